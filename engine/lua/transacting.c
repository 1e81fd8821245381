/* transacting.c - db:begin and the methods of transactions; db:transaction is Lua. */
#include <string.h>

#include "binding.h"

/* ---- the object ------------------------------------------------------------ */

/* The transaction of the object at index 1; raises if it has ended, or was closed. */
static freyja_transaction *open_transaction(lua_State *L, const fjl_object *object) {
  if (object->handle == NULL || object->handle->transaction == NULL)
    (void)fjl_raise_plain(L, FREYJA_CLOSED, "the transaction has ended");
  return object->handle->transaction;
}

static freyja_transaction *check_transaction(lua_State *L) {
  return open_transaction(L, fjl_check_object(L, fjl_transaction_kind));
}

/* tx:rollback(), __close and __gc: what is not committed has not happened */
static int tx_rollback(lua_State *L) {
  fjl_object *object = fjl_check_object(L, fjl_transaction_kind);
  if (object->handle != NULL) freyja_transaction_close(object->handle->transaction);
  fjl_release(L, object);
  return 0;
}

static int tx_tostring(lua_State *L) {
  const fjl_object *object = fjl_check_object(L, fjl_transaction_kind);
  const char *state = object->handle == NULL ? "ended" : "open";
  lua_pushfstring(L, "%s (%s)", fjl_transaction_kind, state);
  return 1;
}

/* tx:is_open() -> boolean: false once it was committed or rolled back */
static int tx_is_open(lua_State *L) {
  lua_pushboolean(L, fjl_check_object(L, fjl_transaction_kind)->handle != NULL);
  return 1;
}

/* ---- reading --------------------------------------------------------------- */

static freyja_status get_value(lua_State *L, const fjl_object *object, freyja_slice key,
                               void *buffer, size_t capacity, size_t *size,
                               freyja_error *error) {
  freyja_transaction *tx = open_transaction(L, object);
  return freyja_transaction_get(tx, key.data, key.size, buffer, capacity, size, error);
}

/* tx:get(key) -> string | nil */
static int tx_get(lua_State *L) {
  return fjl_push_value(L, fjl_check_object(L, fjl_transaction_kind), get_value);
}

/* tx:has(key) -> boolean */
static int tx_has(lua_State *L) {
  size_t key_size = 0;
  freyja_error error;
  const fjl_object *object = fjl_check_object(L, fjl_transaction_kind);
  const char *key = luaL_checklstring(L, 2, &key_size);
  freyja_transaction *tx = open_transaction(L, object);
  return fjl_push_done(L, freyja_transaction_has(tx, key, key_size, &error), &error);
}

static freyja_status open_iterator(lua_State *L, const fjl_object *object,
                                   const freyja_iterator_options *options,
                                   freyja_iterator **out, freyja_error *error) {
  return freyja_transaction_iterate(open_transaction(L, object), options, out, error);
}

/* tx:each([prefix | options]), tx:keys([prefix | options]) */
static int tx_each(lua_State *L) {
  return fjl_push_loop(L, fjl_transaction_kind, false, open_iterator);
}

static int tx_keys(lua_State *L) {
  return fjl_push_loop(L, fjl_transaction_kind, true, open_iterator);
}

/* ---- writing --------------------------------------------------------------- */

/* tx:put(key, value [, options]) */
static int tx_put(lua_State *L) {
  size_t key_size = 0, value_size = 0;
  freyja_error error;
  const fjl_object *object = fjl_check_object(L, fjl_transaction_kind);
  const char *key = luaL_checklstring(L, 2, &key_size);
  const char *value = luaL_checklstring(L, 3, &value_size);
  uint64_t ttl = fjl_check_writing(L, 4);
  freyja_transaction *tx = open_transaction(L, object);
  freyja_status status =
      freyja_transaction_put(tx, key, key_size, value, value_size, ttl, &error);
  if (status != FREYJA_OK) return fjl_raise(L, &error);
  object->handle->written += FJL_RECORD_HEADER + key_size + value_size;
  return 0;
}

/* tx:delete(key) -> boolean: false if the key was not there */
static int tx_delete(lua_State *L) {
  size_t key_size = 0;
  freyja_error error;
  const fjl_object *object = fjl_check_object(L, fjl_transaction_kind);
  const char *key = luaL_checklstring(L, 2, &key_size);
  freyja_transaction *tx = open_transaction(L, object);
  freyja_status status = freyja_transaction_delete(tx, key, key_size, &error);
  if (status == FREYJA_OK) object->handle->written += FJL_RECORD_HEADER + key_size;
  return fjl_push_done(L, status, &error);
}

/* tx:commit() */
static int tx_commit(lua_State *L) {
  freyja_error error;
  if (freyja_transaction_commit(check_transaction(L), &error) != FREYJA_OK)
    return fjl_raise(L, &error);
  fjl_object *object = fjl_check_object(L, fjl_transaction_kind);
  freyja_transaction_close(object->handle->transaction);
  return fjl_finish_writing(L, object);
}

/* ---- making one ------------------------------------------------------------ */

/* The options at index 2, if there are any. */
static freyja_transaction_options check_options(lua_State *L) {
  freyja_transaction_options options;
  memset(&options, 0, sizeof options);
  if (lua_isnoneornil(L, 2)) return options;
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_pushnil(L);
  while (lua_next(L, 2) != 0) {
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
    if (strcmp(name, "serializable") != 0)
      luaL_argerror(L, 2, lua_pushfstring(L, "unknown option '%s'", name));
    luaL_argcheck(L, lua_isboolean(L, -1), 2, "option 'serializable' must be a boolean");
    options.serializable = lua_toboolean(L, -1);
    lua_pop(L, 1);
  }
  return options;
}

/* db:begin([options]) -> transaction */
int fjl_begin(lua_State *L) {
  freyja_error error;
  const fjl_object *store = fjl_check_object(L, fjl_store_kind);
  (void)fjl_open_store(L, store);
  freyja_transaction_options options = check_options(L);
  fjl_object *object = fjl_push_object(L, fjl_transaction_kind);
  lua_pushvalue(L, 1);
  (void)lua_setiuservalue(L, -2, 1);
  freyja *db = fjl_open_store(L, store);
  if (freyja_begin(db, &options, &object->handle->transaction, &error) != FREYJA_OK) {
    fjl_release(L, object);
    return fjl_raise(L, &error);
  }
  return 1;
}

void fjl_create_transaction(lua_State *L) {
  static const luaL_Reg meta[] = {{"__gc", tx_rollback},
                                  {"__close", tx_rollback},
                                  {"__tostring", tx_tostring},
                                  {NULL, NULL}};
  static const luaL_Reg methods[] = {{"get", tx_get},         {"has", tx_has},
                                     {"put", tx_put},         {"delete", tx_delete},
                                     {"each", tx_each},       {"keys", tx_keys},
                                     {"commit", tx_commit},   {"rollback", tx_rollback},
                                     {"is_open", tx_is_open}, {NULL, NULL}};
  (void)luaL_newmetatable(L, fjl_transaction_kind);
  luaL_setfuncs(L, meta, 0);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}
