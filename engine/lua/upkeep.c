/* upkeep.c - maintenance that runs by itself: where writes hand over to a function in Lua, the
 * driver (lua/freyja/driver.lua), and what that asks of a store.
 *
 * The driver is user value 2 of a store. It is called between two calls of the program, by a
 * write that is through: nothing it does, not even an error, can undo that or make it fail. */
#include <string.h>

#include "background.h"

#define INTERVAL                                                                              \
  (1 << 20) /* bytes that are written between two steps, if nothing else is said */

static const char registry_key = 0; /* its address is the key */

/* ---- calling the driver ------------------------------------------------------ */

/* Calls the driver, if there is one, of the store at index 1: for a step, or before it is
 * closed. Raises nothing, whatever happens. Stack: 0. */
static void call_driver(lua_State *L, const fjl_object *store, fjl_occasion occasion) {
  int top = lua_gettop(L);
  lua_Integer next = 0;
  store->handle->until_step = INTERVAL;
  if (store->handle->driving || !lua_checkstack(L, 4)) return;
  if (lua_getiuservalue(L, 1, 2) == LUA_TFUNCTION) {
    store->handle->driving = true;
    lua_pushvalue(L, 1);
    lua_pushinteger(L, occasion);
    if (lua_pcall(L, 2, 1, 0) == LUA_OK) next = lua_tointeger(L, -1);
    if (store->handle != NULL) { /* it may have been closed by any Lua code that ran */
      store->handle->driving = false;
      if (next > 0) store->handle->until_step = next;
    }
  }
  lua_settop(L, top);
}

void fjl_step(lua_State *L, const fjl_object *store) { call_driver(L, store, FJL_STEP); }

void fjl_leave(lua_State *L, const fjl_object *store) {
  if (store->handle == NULL || store->handle->db == NULL) return;
  call_driver(L, store, FJL_CLOSE);
}

int fjl_begin_driver(lua_State *L, const fjl_object *store) {
  (void)lua_getiuservalue(L, 1, 2);
  lua_pushvalue(L, 1);
  lua_pushinteger(L, FJL_OPEN);
  store->handle->driving = true;
  int status = lua_pcall(L, 2, 0, 0);
  if (store->handle != NULL) store->handle->driving = false;
  return status;
}

void fjl_tell_failure(lua_State *L, const fjl_object *store) {
  fjl_handle *handle = store->handle;
  if (handle->driving) return;
  luaL_checkstack(L, 4, NULL);
  handle->has_failed = false;
  (void)lua_getiuservalue(L, 1, 2);
  lua_pushvalue(L, 1);
  lua_pushinteger(L, FJL_FAILED);
  lua_call(L, 2, 0);
}

/* fail(db): the driver wants to be called by the next call of the program */
int fjl_fail(lua_State *L) {
  const fjl_object *store = fjl_find_object(L, fjl_store_kind);
  (void)fjl_open_store(L, store);
  store->handle->has_failed = true;
  return 0;
}

void fjl_push_report(lua_State *L) {
  if (lua_getiuservalue(L, 1, 2) != LUA_TFUNCTION) return;
  lua_pushvalue(L, 1);
  lua_pushinteger(L, FJL_REPORT);
  lua_call(L, 2, 1);
}

/* ---- beginning --------------------------------------------------------------- */

/* set_driver(make): `make` is called by open as make(options), where options may be nil. It
 * returns a driver, whether that is to be called by writes and whether by open, or raises a
 * message about the options. */
int fjl_set_driver(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_settop(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &registry_key);
  return 0;
}

/* driver(db) -> function | nil */
int fjl_driver(lua_State *L) {
  (void)fjl_find_store(L);
  (void)lua_getiuservalue(L, 1, 2);
  return 1;
}

void fjl_make_driver(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &registry_key) != LUA_TFUNCTION) {
    lua_pushnil(L);
    lua_pushnil(L);
    return;
  }
  lua_pushvalue(L, 2);
  int status = lua_pcall(L, 1, 3, 0);
  if (status == LUA_OK) return;
  const char *why = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
  if (why == NULL || strcmp(why, "not enough memory") == 0) (void)lua_error(L);
  (void)luaL_argerror(L, 2, why);
}

/* ---- what the driver asks for ------------------------------------------------ */

/* pulse(db) -> bytes, live bytes, generation, segments, keys, whether something is due */
int fjl_pulse(lua_State *L) {
  freyja_pulse pulse;
  freyja_get_pulse(fjl_find_store(L), &pulse);
  lua_pushinteger(L, (lua_Integer)pulse.bytes);
  lua_pushinteger(L, (lua_Integer)pulse.live_bytes);
  lua_pushinteger(L, (lua_Integer)pulse.generation);
  lua_pushinteger(L, (lua_Integer)pulse.segments);
  lua_pushinteger(L, (lua_Integer)pulse.keys);
  lua_pushboolean(L, pulse.due);
  return 6;
}

/* take_charge(db) -> boolean: whether it is this driver, of all that the store has, that is to
 * do something */
int fjl_take_charge(lua_State *L) {
  lua_pushboolean(L, freyja_take_charge(fjl_find_store(L)));
  return 1;
}

/* expire(db, slots) -> boolean: whether there is more to look at */
int fjl_expire(lua_State *L) {
  freyja_error error;
  const fjl_object *store = fjl_find_object(L, fjl_store_kind);
  lua_Integer slots = luaL_checkinteger(L, 2);
  freyja *db = fjl_open_store(L, store);
  return fjl_push_more(L, freyja_expire(db, (uint64_t)slots, &error), &error);
}

/* timer(db) -> integer (microseconds) */
int fjl_timer(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)freyja_timer(fjl_find_store(L)));
  return 1;
}

/* sleep(db, microseconds) */
int fjl_sleep(lua_State *L) {
  const fjl_object *store = fjl_find_object(L, fjl_store_kind);
  lua_Integer microseconds = luaL_checkinteger(L, 2);
  freyja *db = fjl_open_store(L, store);
  if (microseconds > 0) freyja_sleep(db, (uint64_t)microseconds);
  return 0;
}

/* hint_step(db, id, bytes) -> boolean: whether there is more to do */
int fjl_hint_step(lua_State *L) {
  freyja_error error;
  const fjl_object *store = fjl_find_object(L, fjl_store_kind);
  lua_Integer id = luaL_checkinteger(L, 2);
  lua_Integer bytes = luaL_checkinteger(L, 3);
  freyja *db = fjl_open_store(L, store);
  return fjl_push_more(L, freyja_hint_step(db, (uint64_t)id, (uint64_t)bytes, &error), &error);
}
