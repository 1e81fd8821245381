/* db.c - the methods of a store. Arguments are checked as Lua's own library does;
 * faults raise error objects. */
#include <string.h>

#include "background.h"

#define STACK_VALUE_MAX 1024 /* bytes of a value that need no second look-up */

/* ---- the store itself ------------------------------------------------------ */

/* Raises the error `closed` about the store at index 1. */
static void raise_closed(lua_State *L) {
  freyja_error error;
  memset(&error, 0, sizeof error);
  error.status = FREYJA_CLOSED;
  memcpy(error.message, "the store is closed", sizeof "the store is closed");
  fjl_push_error(L, &error);
  (void)lua_getiuservalue(L, 1, 1);
  lua_setfield(L, -2, "path");
  (void)lua_error(L);
}

freyja *fjl_open_store(lua_State *L, const fjl_object *object) {
  if (object->handle == NULL || object->handle->db == NULL) raise_closed(L);
  return object->handle->db;
}

freyja *fjl_check_store(lua_State *L) {
  return fjl_open_store(L, fjl_check_object(L, fjl_store_kind));
}

freyja *fjl_find_store(lua_State *L) {
  return fjl_open_store(L, fjl_find_object(L, fjl_store_kind));
}

/* Closes the store at index 1, if it is open; nothing is left, whatever the result. */
static freyja_status close_store(lua_State *L, freyja_error *error) {
  fjl_object *object = fjl_find_object(L, fjl_store_kind);
  if (object->handle != NULL) fjl_background_stop(L, object->handle);
  freyja *db = object->handle == NULL ? NULL : object->handle->db;
  fjl_release(L, object);
  return freyja_close(db, error);
}

/* db:close(): raises what closing could not do; a second time does nothing. */
static int db_close(lua_State *L) {
  freyja_error error;
  fjl_leave(L, fjl_find_object(L, fjl_store_kind));
  if (close_store(L, &error) != FREYJA_OK) return fjl_raise(L, &error);
  return 0;
}

/* __gc, and __close when a scope is left by an error: raises nothing. */
static int db_collect(lua_State *L) {
  (void)close_store(L, NULL);
  return 0;
}

/* __close(db, error): as close, but an error that is on its way is not replaced. */
static int db_leave(lua_State *L) {
  if (lua_isnoneornil(L, 2)) return db_close(L);
  fjl_leave(L, fjl_find_object(L, fjl_store_kind));
  return db_collect(L);
}

static int db_tostring(lua_State *L) {
  const fjl_object *object = fjl_find_object(L, fjl_store_kind);
  (void)lua_getiuservalue(L, 1, 1);
  if (object->handle == NULL) lua_pushfstring(L, "%s (closed)", fjl_store_kind);
  else lua_pushfstring(L, "%s (\"%s\")", fjl_store_kind, lua_tostring(L, -1));
  return 1;
}

/* ---- reading --------------------------------------------------------------- */

/* A value too large for the C stack: into Lua's memory. A finalizer that runs when
 * that is allocated may close the store or change the value, so both are looked at again. */
static freyja_status push_large(lua_State *L, const fjl_object *object, fjl_getter get,
                                freyja_slice key, size_t size, freyja_error *error) {
  for (;;) {
    luaL_Buffer buffer;
    size_t capacity = size;
    char *target = luaL_buffinitsize(L, &buffer, capacity);
    freyja_status status = get(L, object, key, target, capacity, &size, error);
    if (status != FREYJA_OK) return status;
    luaL_pushresultsize(&buffer, size <= capacity ? size : 0);
    if (size <= capacity) return FREYJA_OK;
    lua_pop(L, 1);
  }
}

int fjl_push_value(lua_State *L, const fjl_object *object, fjl_getter get) {
  char value[STACK_VALUE_MAX];
  size_t size = 0;
  freyja_error error;
  freyja_slice key;
  key.data = luaL_checklstring(L, 2, &key.size);
  freyja_status status = get(L, object, key, value, sizeof value, &size, &error);
  if (status == FREYJA_OK && size <= sizeof value) lua_pushlstring(L, value, size);
  else if (status == FREYJA_OK) status = push_large(L, object, get, key, size, &error);
  if (freyja_is_fault(status)) return fjl_raise(L, &error);
  if (status != FREYJA_OK) lua_pushnil(L);
  return 1;
}

static freyja_status get_from_store(lua_State *L, const fjl_object *store, freyja_slice key,
                                    void *buffer, size_t capacity, size_t *size,
                                    freyja_error *error) {
  freyja *db = fjl_open_store(L, store);
  return freyja_get(db, key.data, key.size, buffer, capacity, size, error);
}

/* db:get(key) -> string | nil */
static int db_get(lua_State *L) {
  return fjl_push_value(L, fjl_check_object(L, fjl_store_kind), get_from_store);
}

/* db:has(key) -> boolean */
static int db_has(lua_State *L) {
  size_t key_size = 0;
  const fjl_object *store = fjl_check_object(L, fjl_store_kind);
  const char *key = luaL_checklstring(L, 2, &key_size);
  freyja *db = fjl_open_store(L, store);
  freyja_error error;
  return fjl_push_done(L, freyja_has(db, key, key_size, &error), &error);
}

/* db:ttl(key) -> number (seconds) | false: it does not expire | nil: there is none */
static int db_ttl(lua_State *L) {
  size_t key_size = 0;
  uint64_t ttl = 0;
  freyja_error error;
  const fjl_object *store = fjl_check_object(L, fjl_store_kind);
  const char *key = luaL_checklstring(L, 2, &key_size);
  freyja *db = fjl_open_store(L, store);
  freyja_status status = freyja_ttl(db, key, key_size, &ttl, &error);
  if (freyja_is_fault(status)) return fjl_raise(L, &error);
  if (status != FREYJA_OK) lua_pushnil(L);
  else if (ttl == 0) lua_pushboolean(L, false);
  else lua_pushnumber(L, (lua_Number)ttl / 1e6);
  return 1;
}

/* #db, and the number of keys */
static int db_len(lua_State *L) {
  freyja_stats stats;
  freyja_get_stats(fjl_check_store(L), &stats);
  lua_pushinteger(L, (lua_Integer)stats.keys);
  return 1;
}

/* ---- the rest --------------------------------------------------------------- */

static int db_sync(lua_State *L) {
  freyja_error error;
  if (freyja_sync(fjl_check_store(L), &error) != FREYJA_OK) return fjl_raise(L, &error);
  return 0;
}

static int db_rotate(lua_State *L) {
  freyja_error error;
  if (freyja_rotate(fjl_check_store(L), &error) != FREYJA_OK) return fjl_raise(L, &error);
  return 0;
}

static int db_refresh(lua_State *L) {
  freyja_error error;
  bool changed = false;
  if (freyja_refresh(fjl_check_store(L), &changed, &error) != FREYJA_OK)
    return fjl_raise(L, &error);
  lua_pushboolean(L, changed);
  return 1;
}

static int db_checkpoint(lua_State *L) {
  freyja_error error;
  if (freyja_checkpoint(fjl_check_store(L), &error) != FREYJA_OK) return fjl_raise(L, &error);
  return 0;
}

void fjl_create_store(lua_State *L) {
  static const luaL_Reg meta[] = {{"__gc", db_collect},
                                  {"__close", db_leave},
                                  {"__tostring", db_tostring},
                                  {"__len", db_len},
                                  {NULL, NULL}};
  static const luaL_Reg methods[] = {{"put", fjl_put},
                                     {"get", db_get},
                                     {"delete", fjl_delete},
                                     {"has", db_has},
                                     {"ttl", db_ttl},
                                     {"insert", fjl_insert},
                                     {"cas", fjl_cas},
                                     {"get_many", fjl_get_many},
                                     {"each", fjl_each},
                                     {"keys", fjl_keys},
                                     {"count", fjl_count},
                                     {"sync", db_sync},
                                     {"rotate", db_rotate},
                                     {"checkpoint", db_checkpoint},
                                     {"refresh", db_refresh},
                                     {"stats", fjl_stats},
                                     {"segments", fjl_segments},
                                     {"verify", fjl_verify},
                                     {"backup", fjl_backup},
                                     {"rewrite", fjl_rewrite},
                                     {"begin", fjl_begin},
                                     {"close", db_close},
                                     {NULL, NULL}};
  (void)luaL_newmetatable(L, fjl_store_kind);
  luaL_setfuncs(L, meta, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
