/* each.c - db:each, db:keys, db:count, and what a transaction's are made of. An iterator is
 * released when its loop ends, by break (as the generic for's to-be-closed value), or by the
 * collector. */
#include <string.h>

#include "binding.h"

#define KEY_COPY_MAX 512 /* bytes */

static int iterator_close(lua_State *L) {
  fjl_object *object = fjl_check_object(L, fjl_iterator_kind);
  if (object->handle != NULL) freyja_iterator_close(object->handle->iterator);
  fjl_release(L, object);
  return 0;
}

/* Pushes key and value, which are borrowed: a finalizer, which any push may run, may
 * close the store they lie in. So both are safe before the collector can run: a
 * short key in `copy`; a long one by taking it and the value, which lies behind
 * it in the record, as one string. Stack: +2. */
static int push_entry(lua_State *L, const freyja_entry *entry) {
  char copy[KEY_COPY_MAX];
  size_t key_size = entry->key.size;
  size_t value_size = entry->value.size;
  if (key_size <= sizeof copy) {
    if (key_size > 0) memcpy(copy, entry->key.data, key_size);
    lua_pushlstring(L, entry->value.data, value_size);
    lua_pushlstring(L, copy, key_size);
    lua_insert(L, -2);
    return 2;
  }
  const char *both = lua_pushlstring(L, entry->key.data, key_size + value_size);
  lua_pushlstring(L, both, key_size);
  lua_pushlstring(L, both + key_size, value_size);
  return 2;
}

/* next(iterator) -> key [, value] | nil */
static int iterator_next(lua_State *L) {
  fjl_object *object = fjl_check_object(L, fjl_iterator_kind);
  freyja_entry entry;
  freyja_error error;
  freyja_status status = FREYJA_END; /* of one that was released */
  if (object->handle != NULL)
    status = freyja_iterator_next(object->handle->iterator, &entry, &error);
  if (status == FREYJA_OK && !object->keys_only) return push_entry(L, &entry);
  if (status == FREYJA_OK) {
    lua_pushlstring(L, entry.key.data, entry.key.size);
    return 1;
  }
  if (status != FREYJA_END) return fjl_raise(L, &error);
  (void)iterator_close(L);
  lua_pushnil(L);
  return 1;
}

/* ---- db:each, db:keys, db:count ------------------------------------------- */

static freyja_order check_order(lua_State *L) {
  const char *order = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
  if (strcmp(order, "key") == 0) return FREYJA_ORDER_KEY;
  luaL_argcheck(L, strcmp(order, "log") == 0, 2, "option 'order' must be \"log\" or \"key\"");
  return FREYJA_ORDER_LOG;
}

/* The option whose name is below its value on the top of the stack. The prefix goes to
 * index 3, where it stays whatever becomes of the table. */
static void check_option(lua_State *L, freyja_iterator_options *options) {
  const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
  if (strcmp(name, "order") == 0) {
    options->order = check_order(L);
  } else if (strcmp(name, "prefix") == 0) {
    luaL_argcheck(L, lua_isstring(L, -1), 2, "option 'prefix' must be a string");
    lua_copy(L, -1, 3);
  } else {
    (void)luaL_argerror(L, 2, lua_pushfstring(L, "unknown option '%s'", name));
  }
}

/* The options at index 2: none, a prefix, or a table {prefix, order}. The prefix stays
 * on the stack at index 3. Stack: set to 3. */
static freyja_iterator_options check_options(lua_State *L) {
  freyja_iterator_options options;
  memset(&options, 0, sizeof options);
  lua_settop(L, 2);
  lua_pushnil(L);
  if (lua_type(L, 2) == LUA_TTABLE) {
    lua_pushnil(L);
    while (lua_next(L, 2) != 0) {
      check_option(L, &options);
      lua_pop(L, 1);
    }
  } else {
    luaL_argexpected(L, lua_isnil(L, 2) || lua_isstring(L, 2), 2, "string or table");
    lua_copy(L, 2, 3);
  }
  options.prefix.data = lua_tolstring(L, 3, &options.prefix.size);
  return options;
}

int fjl_push_loop(lua_State *L, const char *kind, bool keys_only, fjl_opener open) {
  const fjl_object *source = fjl_check_object(L, kind);
  freyja_iterator_options options = check_options(L);
  options.keys_only = keys_only;
  lua_pushcfunction(L, iterator_next);
  fjl_object *object = fjl_push_object(L, fjl_iterator_kind);
  object->keys_only = keys_only;
  lua_pushvalue(L, 1);
  (void)lua_setiuservalue(L, -2, 1);
  freyja_error error;
  if (open(L, source, &options, &object->handle->iterator, &error) != FREYJA_OK) {
    fjl_release(L, object);
    return fjl_raise(L, &error);
  }
  lua_pushnil(L);
  lua_pushvalue(L, -2);
  return 4;
}

static freyja_status open_iterator(lua_State *L, const fjl_object *store,
                                   const freyja_iterator_options *options,
                                   freyja_iterator **out, freyja_error *error) {
  return freyja_iterator_open(fjl_open_store(L, store), options, out, error);
}

int fjl_each(lua_State *L) { return fjl_push_loop(L, fjl_store_kind, false, open_iterator); }

int fjl_keys(lua_State *L) { return fjl_push_loop(L, fjl_store_kind, true, open_iterator); }

/* db:count([prefix]) -> integer */
int fjl_count(lua_State *L) {
  const fjl_object *store = fjl_check_object(L, fjl_store_kind);
  freyja_iterator_options options;
  memset(&options, 0, sizeof options);
  options.prefix.data = luaL_optlstring(L, 2, "", &options.prefix.size);
  options.keys_only = true;
  freyja *db = fjl_open_store(L, store);
  lua_Integer count = 0;
  freyja_error error;
  freyja_stats stats;
  if (options.prefix.size == 0) {
    freyja_get_stats(db, &stats);
    lua_pushinteger(L, (lua_Integer)stats.keys);
    return 1;
  }
  freyja_iterator *iterator = NULL;
  freyja_entry entry;
  freyja_status status = freyja_iterator_open(db, &options, &iterator, &error);
  while (status == FREYJA_OK) {
    status = freyja_iterator_next(iterator, &entry, &error);
    count += status == FREYJA_OK;
  }
  freyja_iterator_close(iterator); /* before any Lua call that may raise */
  if (status != FREYJA_END) return fjl_raise(L, &error);
  lua_pushinteger(L, count);
  return 1;
}

static int iterator_tostring(lua_State *L) {
  const fjl_object *object = fjl_check_object(L, fjl_iterator_kind);
  const char *state = object->handle == NULL ? "closed" : "open";
  lua_pushfstring(L, "%s (%s)", fjl_iterator_kind, state);
  return 1;
}

void fjl_create_iterator(lua_State *L) {
  static const luaL_Reg methods[] = {{"__gc", iterator_close},
                                     {"__close", iterator_close},
                                     {"__tostring", iterator_tostring},
                                     {NULL, NULL}};
  (void)luaL_newmetatable(L, fjl_iterator_kind);
  luaL_setfuncs(L, methods, 0);
  lua_pop(L, 1);
}
