/* rewriting.c - db:rewrite and its methods. */
#include <string.h>

#include "binding.h"

#define STEP_DEFAULT (4 << 20) /* bytes */

/* ---- the object ------------------------------------------------------------ */

/* The rewrite at index 1, which must be open; raises otherwise. */
static freyja_rewrite *check_rewrite(lua_State *L) {
  const fjl_object *object = fjl_check_object(L, fjl_rewrite_kind);
  if (object->handle == NULL || object->handle->rewrite == NULL)
    (void)fjl_raise_plain(L, FREYJA_CLOSED, "the rewrite is closed");
  return object->handle->rewrite;
}

/* rewrite:close(), __close and __gc: what is not committed has not happened */
static int rewrite_close(lua_State *L) {
  fjl_object *object = fjl_check_object(L, fjl_rewrite_kind);
  if (object->handle != NULL) freyja_rewrite_close(object->handle->rewrite);
  fjl_release(L, object);
  return 0;
}

static int rewrite_tostring(lua_State *L) {
  const fjl_object *object = fjl_check_object(L, fjl_rewrite_kind);
  lua_pushfstring(L, "%s (%s)", fjl_rewrite_kind, object->handle == NULL ? "closed" : "open");
  return 1;
}

/* ---- as a whole ------------------------------------------------------------ */

/* rewrite:step([bytes]) -> boolean: whether there is more to do */
static int rewrite_step(lua_State *L) {
  freyja_error error;
  (void)check_rewrite(L);
  lua_Integer bytes = luaL_optinteger(L, 2, STEP_DEFAULT);
  luaL_argcheck(L, bytes > 0, 2, "a positive number of bytes expected");
  freyja_rewrite *rewrite = check_rewrite(L);
  return fjl_push_more(L, freyja_rewrite_step(rewrite, (uint64_t)bytes, &error), &error);
}

/* rewrite:commit() */
static int rewrite_commit(lua_State *L) {
  freyja_error error;
  if (freyja_rewrite_commit(check_rewrite(L), &error) != FREYJA_OK)
    return fjl_raise(L, &error);
  return 0;
}

static void set_integer(lua_State *L, const char *key, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, key);
}

/* rewrite:give_way(): another rewrite may take its place */
static int rewrite_give_way(lua_State *L) {
  freyja_rewrite_give_way(check_rewrite(L));
  return 0;
}

/* rewrite:progress() -> table */
static int rewrite_progress(lua_State *L) {
  freyja_progress progress;
  freyja_rewrite_progress(check_rewrite(L), &progress);
  lua_createtable(L, 0, 4);
  set_integer(L, "bytes", progress.bytes);
  set_integer(L, "done", progress.done);
  set_integer(L, "written", progress.written);
  set_integer(L, "outputs", progress.outputs);
  return 1;
}

/* ---- record by record ------------------------------------------------------- */

/* The next record as a table, which is kept in user value 2 of the rewrite: that is the one to
 * keep or drop; times are in microseconds since the epoch, as everywhere. Key and value, which
 * lie one behind the other, are taken as one string: a finalizer, which any push may run, may
 * close the rewrite. */
static int push_record(lua_State *L, const freyja_entry *entry) {
  uint64_t timestamp = entry->timestamp, expiry = entry->expiry;
  size_t key_size = entry->key.size, size = key_size + entry->value.size;
  lua_settop(L, 1);
  const char *both = lua_pushlstring(L, entry->key.data, size);
  lua_createtable(L, 0, 4);
  lua_pushlstring(L, both, key_size);
  lua_setfield(L, 3, "key");
  lua_pushlstring(L, both + key_size, size - key_size);
  lua_setfield(L, 3, "value");
  set_integer(L, "timestamp", timestamp);
  if (expiry != 0) set_integer(L, "expires", expiry);
  lua_pushvalue(L, 3);
  (void)lua_setiuservalue(L, 1, 2);
  return 1;
}

/* next(rewrite) -> record | nil */
static int rewrite_next(lua_State *L) {
  freyja_entry entry;
  freyja_error error;
  freyja_status status = freyja_rewrite_next(check_rewrite(L), &entry, &error);
  if (status == FREYJA_OK) return push_record(L, &entry);
  if (status != FREYJA_END) return fjl_raise(L, &error);
  lua_pushnil(L);
  return 1;
}

/* rewrite:records() -> next, rewrite */
static int rewrite_records(lua_State *L) {
  (void)check_rewrite(L);
  lua_pushcfunction(L, rewrite_next);
  lua_pushvalue(L, 1);
  return 2;
}

/* The record at index 2 must be the one that was given last, and not decided yet. */
static void check_record(lua_State *L) {
  (void)check_rewrite(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  (void)lua_getiuservalue(L, 1, 2);
  luaL_argcheck(L, lua_rawequal(L, -1, 2), 2, "not the record that the rewrite is at");
  lua_pop(L, 1);
}

/* No record waits any more. */
static void decide(lua_State *L) {
  lua_pushnil(L);
  (void)lua_setiuservalue(L, 1, 2);
}

/* rewrite:keep(record): with the value that it has now */
static int rewrite_keep(lua_State *L) {
  freyja_error error;
  freyja_slice value;
  check_record(L);
  (void)lua_getfield(L, 2, "value");
  luaL_argcheck(L, lua_isstring(L, -1), 2, "its value is no string or number");
  value.data = lua_tolstring(L, -1, &value.size);
  if (freyja_rewrite_keep(check_rewrite(L), &value, &error) != FREYJA_OK)
    return fjl_raise(L, &error);
  decide(L);
  return 0;
}

/* rewrite:drop(record) */
static int rewrite_drop(lua_State *L) {
  freyja_error error;
  check_record(L);
  if (freyja_rewrite_drop(check_rewrite(L), &error) != FREYJA_OK) return fjl_raise(L, &error);
  decide(L);
  return 0;
}

/* ---- making one -------------------------------------------------------------- */

/* The list of ids at index 2, as a block on the stack. Stack: +1. */
static const uint64_t *push_ids(lua_State *L, size_t *count) {
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_Unsigned length = lua_rawlen(L, 2);
  uint64_t *ids = lua_newuserdatauv(L, ((size_t)length + 1) * sizeof *ids, 0);
  for (lua_Unsigned i = 0; i < length; i++) {
    int is_integer = 0;
    (void)lua_rawgeti(L, 2, (lua_Integer)i + 1);
    ids[i] = (uint64_t)lua_tointegerx(L, -1, &is_integer);
    luaL_argcheck(L, is_integer, 2, "a list of segments' ids expected");
    lua_pop(L, 1);
  }
  *count = (size_t)length;
  return ids;
}

int fjl_rewrite(lua_State *L) {
  const fjl_object *store = fjl_check_object(L, fjl_store_kind);
  size_t count = 0;
  (void)fjl_open_store(L, store);
  lua_settop(L, 2);
  const uint64_t *ids = push_ids(L, &count);
  fjl_object *object = fjl_push_object(L, fjl_rewrite_kind);
  lua_pushvalue(L, 1);
  (void)lua_setiuservalue(L, -2, 1);
  freyja *db = fjl_open_store(L, store);
  freyja_error error;
  if (freyja_rewrite_open(db, ids, count, &object->handle->rewrite, &error) != FREYJA_OK) {
    fjl_release(L, object);
    return fjl_raise(L, &error);
  }
  return 1;
}

void fjl_create_rewrite(lua_State *L) {
  static const luaL_Reg meta[] = {{"__gc", rewrite_close},
                                  {"__close", rewrite_close},
                                  {"__tostring", rewrite_tostring},
                                  {NULL, NULL}};
  static const luaL_Reg methods[] = {{"step", rewrite_step},
                                     {"commit", rewrite_commit},
                                     {"progress", rewrite_progress},
                                     {"records", rewrite_records},
                                     {"keep", rewrite_keep},
                                     {"drop", rewrite_drop},
                                     {"give_way", rewrite_give_way},
                                     {"close", rewrite_close},
                                     {NULL, NULL}};
  (void)luaL_newmetatable(L, fjl_rewrite_kind);
  luaL_setfuncs(L, meta, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
