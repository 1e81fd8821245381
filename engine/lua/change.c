/* change.c - the methods of a store that write. Arguments are checked as Lua's own library
 * does; faults raise error objects. */
#include <string.h>

#include "binding.h"

#define MICROSECONDS 1e6               /* of a second */
#define TTL_MAX 18446744073709551616.0 /* microseconds: so many do not fit 64 bits */

/* ---- options --------------------------------------------------------------- */

/* The time to live on the top of the stack, in microseconds, at least 1. Of more than fit 64
 * bits the most that do: the engine refuses them. */
static uint64_t check_ttl(lua_State *L, int index) {
  lua_Number seconds = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
  luaL_argcheck(L, seconds > 0, index,
                "option 'ttl' must be a number (seconds) greater than 0");
  lua_Number micro = seconds * MICROSECONDS;
  if (micro >= TTL_MAX) return UINT64_MAX;
  uint64_t whole = (uint64_t)micro;
  return whole + ((lua_Number)whole < micro);
}

uint64_t fjl_check_writing(lua_State *L, int index) {
  uint64_t ttl = 0;
  if (lua_isnoneornil(L, index)) return ttl;
  luaL_checktype(L, index, LUA_TTABLE);
  lua_pushnil(L);
  while (lua_next(L, index) != 0) {
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
    if (strcmp(name, "ttl") != 0)
      luaL_argerror(L, index, lua_pushfstring(L, "unknown option '%s'", name));
    ttl = check_ttl(L, index);
    lua_pop(L, 1);
  }
  return ttl;
}

int fjl_finish_writing(lua_State *L, fjl_object *object) {
  size_t written = object->handle->written;
  (void)lua_getiuservalue(L, 1, 1);
  fjl_release(L, object);
  lua_replace(L, 1);
  lua_settop(L, 1);
  const fjl_object *store =
      fjl_find_object(L, fjl_store_kind); /* it is done: nothing raises */
  if (store->handle != NULL && written > 0) fjl_wrote(L, store, written);
  return 0;
}

/* ---- the methods ----------------------------------------------------------- */

/* db:put(key, value [, options]) */
int fjl_put(lua_State *L) {
  size_t key_size = 0, value_size = 0;
  freyja_error error;
  const fjl_object *store = fjl_check_object(L, fjl_store_kind);
  const char *key = luaL_checklstring(L, 2, &key_size);
  const char *value = luaL_checklstring(L, 3, &value_size);
  uint64_t ttl = fjl_check_writing(L, 4);
  freyja *db = fjl_open_store(L, store);
  freyja_status status = freyja_put_ttl(db, key, key_size, value, value_size, ttl, &error);
  if (status != FREYJA_OK) return fjl_raise(L, &error);
  fjl_wrote(L, store, FJL_RECORD_HEADER + key_size + value_size);
  return 0;
}

/* db:insert(key, value [, options]) -> boolean: false if the key was there */
int fjl_insert(lua_State *L) {
  size_t key_size = 0, value_size = 0;
  freyja_error error;
  const fjl_object *store = fjl_check_object(L, fjl_store_kind);
  const char *key = luaL_checklstring(L, 2, &key_size);
  const char *value = luaL_checklstring(L, 3, &value_size);
  uint64_t ttl = fjl_check_writing(L, 4);
  freyja *db = fjl_open_store(L, store);
  freyja_status status = freyja_insert_ttl(db, key, key_size, value, value_size, ttl, &error);
  if (status == FREYJA_OK) fjl_wrote(L, store, FJL_RECORD_HEADER + key_size + value_size);
  return fjl_push_done(L, status, &error);
}

/* db:delete(key) -> boolean: false if the key was not there */
int fjl_delete(lua_State *L) {
  size_t key_size = 0;
  const fjl_object *store = fjl_check_object(L, fjl_store_kind);
  const char *key = luaL_checklstring(L, 2, &key_size);
  freyja *db = fjl_open_store(L, store);
  freyja_error error;
  freyja_status status = freyja_delete(db, key, key_size, &error);
  if (status == FREYJA_OK) fjl_wrote(L, store, FJL_RECORD_HEADER + key_size);
  return fjl_push_done(L, status, &error);
}

/* A string or nil at that index, which must be given; NULL for nil. */
static const freyja_slice *check_slice(lua_State *L, int index, freyja_slice *slice) {
  luaL_checkany(L, index);
  if (lua_isnil(L, index)) return NULL;
  luaL_argexpected(L, lua_isstring(L, index), index, "string or nil");
  slice->data = lua_tolstring(L, index, &slice->size);
  return slice;
}

/* db:cas(key, expected | nil, new | nil [, options]) -> boolean */
int fjl_cas(lua_State *L) {
  size_t key_size = 0;
  freyja_slice slices[2];
  freyja_error error;
  const fjl_object *store = fjl_check_object(L, fjl_store_kind);
  const char *key = luaL_checklstring(L, 2, &key_size);
  const freyja_slice *expected = check_slice(L, 3, &slices[0]);
  const freyja_slice *desired = check_slice(L, 4, &slices[1]);
  uint64_t ttl = fjl_check_writing(L, 5);
  freyja *db = fjl_open_store(L, store);
  freyja_status status = freyja_cas_ttl(db, key, key_size, expected, desired, ttl, &error);
  size_t value_size = desired == NULL ? 0 : desired->size;
  if (status == FREYJA_OK) fjl_wrote(L, store, FJL_RECORD_HEADER + key_size + value_size);
  return fjl_push_done(L, status, &error);
}
