/* loading.c - bulk loads, of which db:load (lua/freyja/load.lua) is made. */
#include "binding.h"

/* The load of the object at index 1; raises if it has ended. */
static freyja_load *check_load(lua_State *L, const fjl_object *object) {
  if (object->handle == NULL || object->handle->load == NULL)
    (void)fjl_raise_plain(L, FREYJA_CLOSED, "the load has ended");
  return object->handle->load;
}

/* load:close(), __close and __gc: what is not committed has not happened */
static int load_close(lua_State *L) {
  fjl_object *object = fjl_check_object(L, fjl_load_kind);
  if (object->handle != NULL) freyja_load_close(object->handle->load);
  fjl_release(L, object);
  return 0;
}

/* The string at that index, which an iterator has given. */
static freyja_slice check_string(lua_State *L, int index, const char *what) {
  freyja_slice slice;
  if (!lua_isstring(L, index)) {
    luaL_where(L, 2); /* who has called db:load */
    lua_pushfstring(L, "%sbad argument #1 to 'load' (its %s must be strings, not %s)",
                    lua_tostring(L, -1), what, luaL_typename(L, index));
    (void)lua_error(L);
  }
  slice.data = lua_tolstring(L, index, &slice.size);
  return slice;
}

/* load:add(key, value [, options]); a key that is a number is not changed for the caller */
static int load_add(lua_State *L) {
  freyja_error error;
  const fjl_object *object = fjl_check_object(L, fjl_load_kind);
  lua_settop(L, 4);
  freyja_slice key = check_string(L, 2, "keys");
  freyja_slice value = check_string(L, 3, "values");
  uint64_t ttl = fjl_check_writing(L, 4);
  freyja_load *load = check_load(L, object);
  if (freyja_load_put(load, key.data, key.size, value.data, value.size, ttl, &error) !=
      FREYJA_OK)
    return fjl_raise(L, &error);
  object->handle->written += FJL_RECORD_HEADER + key.size + value.size;
  return 0;
}

/* load:commit() */
static int load_commit(lua_State *L) {
  freyja_error error;
  fjl_object *object = fjl_check_object(L, fjl_load_kind);
  if (freyja_load_commit(check_load(L, object), &error) != FREYJA_OK)
    return fjl_raise(L, &error);
  freyja_load_close(object->handle->load);
  return fjl_finish_writing(L, object);
}

/* begin_load(db) -> load */
int fjl_begin_load(lua_State *L) {
  freyja_error error;
  const fjl_object *store = fjl_check_object(L, fjl_store_kind);
  fjl_object *object = fjl_push_object(L, fjl_load_kind);
  lua_pushvalue(L, 1);
  (void)lua_setiuservalue(L, -2, 1);
  freyja *db = fjl_open_store(L, store);
  if (freyja_load_open(db, &object->handle->load, &error) != FREYJA_OK) {
    fjl_release(L, object);
    return fjl_raise(L, &error);
  }
  return 1;
}

void fjl_create_load(lua_State *L) {
  static const luaL_Reg meta[] = {{"__gc", load_close}, {"__close", load_close}, {NULL, NULL}};
  static const luaL_Reg methods[] = {
      {"add", load_add}, {"commit", load_commit}, {"close", load_close}, {NULL, NULL}};
  (void)luaL_newmetatable(L, fjl_load_kind);
  luaL_setfuncs(L, meta, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
