/* raise.c - error objects: tables {code, message, path, errno} whose text is
 * "freyja: code: message (path)". */
#include <stdio.h>
#include <string.h>

#include "binding.h"

static void set_string(lua_State *L, const char *key, const char *value) {
  if (*value == '\0') return;
  lua_pushstring(L, value);
  lua_setfield(L, -2, key);
}

void fjl_push_error(lua_State *L, const freyja_error *error) {
  lua_createtable(L, 0, 4);
  set_string(L, "code", freyja_status_name(error->status));
  set_string(L, "message", error->message);
  set_string(L, "path", error->path);
  if (error->os_code != 0) {
    lua_pushinteger(L, error->os_code);
    lua_setfield(L, -2, "errno");
  }
  luaL_setmetatable(L, FJL_ERROR);
}

int fjl_raise(lua_State *L, const freyja_error *error) {
  fjl_push_error(L, error);
  return lua_error(L);
}

int fjl_raise_plain(lua_State *L, freyja_status status, const char *message) {
  freyja_error error;
  memset(&error, 0, sizeof error);
  error.status = status;
  (void)snprintf(error.message, sizeof error.message, "%s", message);
  return fjl_raise(L, &error);
}

int fjl_push_done(lua_State *L, freyja_status status, const freyja_error *error) {
  if (freyja_is_fault(status)) return fjl_raise(L, error);
  lua_pushboolean(L, status == FREYJA_OK);
  return 1;
}

int fjl_push_more(lua_State *L, freyja_status status, const freyja_error *error) {
  return fjl_push_done(L, status, error);
}

/* as_error(table) -> the table, as an error object */
int fjl_as_error(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  luaL_setmetatable(L, FJL_ERROR);
  return 1;
}

static int error_tostring(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  (void)lua_getfield(L, 1, "code");
  (void)lua_getfield(L, 1, "message");
  (void)lua_getfield(L, 1, "path");
  const char *path = lua_tostring(L, 4);
  const char *code = luaL_tolstring(L, 2, NULL);
  const char *message = luaL_tolstring(L, 3, NULL);
  if (path == NULL) lua_pushfstring(L, "freyja: %s: %s", code, message);
  else lua_pushfstring(L, "freyja: %s: %s (%s)", code, message, path);
  return 1;
}

void fjl_create_error(lua_State *L) {
  (void)luaL_newmetatable(L, FJL_ERROR); /* sets __name */
  lua_pushcfunction(L, error_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_pop(L, 1);
}
