/* each.c - db:each, db:keys, db:count. An iterator is a userdata that holds
 * its store's userdata as user value 1; it is released when the loop ends, by
 * break (as the generic for's to-be-closed value), or by the collector. */
#include <string.h>

#include "binding.h"

#define KEY_COPY_MAX 512 /* bytes */

typedef struct fjl_iterator {
  freyja_iterator *iterator; /* NULL when released */
  bool keys_only;
} fjl_iterator;

static int iterator_close(lua_State *L) {
  fjl_iterator *it = luaL_checkudata(L, 1, FJL_ITERATOR);
  freyja_iterator *iterator = it->iterator;
  it->iterator = NULL;
  freyja_iterator_close(iterator);
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
  fjl_iterator *it = lua_touserdata(L, 1);
  if (it == NULL || !lua_getmetatable(L, 1) || !lua_rawequal(L, -1, lua_upvalueindex(2)))
    it = luaL_checkudata(L, 1, FJL_ITERATOR);
  freyja_entry entry;
  freyja_error error;
  freyja_status status = FREYJA_END; /* of one that was released */
  if (it->iterator != NULL) status = freyja_iterator_next(it->iterator, &entry, &error);
  if (status == FREYJA_OK && !it->keys_only) return push_entry(L, &entry);
  if (status == FREYJA_OK) {
    lua_pushlstring(L, entry.key.data, entry.key.size);
    return 1;
  }
  if (status != FREYJA_END) return fjl_raise(L, &error);
  freyja_iterator_close(it->iterator);
  it->iterator = NULL;
  lua_pushnil(L);
  return 1;
}

/* ---- db:each, db:keys, db:count ------------------------------------------- */

/* The options at index 2: none, a prefix, or a table {prefix, order}. The prefix stays
 * on the stack at index 3. Stack: set to 3. */
static freyja_iterator_options check_options(lua_State *L) {
  static const char *const orders[] = {"log", "key", NULL};
  freyja_iterator_options options;
  memset(&options, 0, sizeof options);
  lua_settop(L, 2);
  if (lua_type(L, 2) != LUA_TTABLE) {
    lua_pushvalue(L, 2);
  } else {
    lua_pushnil(L);
    while (lua_next(L, 2) != 0) {
      const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
      if (strcmp(name, "prefix") != 0 && strcmp(name, "order") != 0)
        luaL_argerror(L, 2, lua_pushfstring(L, "unknown option '%s'", name));
      lua_pop(L, 1);
    }
    if (lua_getfield(L, 2, "order") != LUA_TNIL) {
      const char *order = lua_tostring(L, -1);
      int i = 0;
      while (order != NULL && orders[i] != NULL && strcmp(order, orders[i]) != 0) i++;
      luaL_argcheck(L, order != NULL && orders[i] != NULL, 2,
                    "option 'order' must be \"log\" or \"key\"");
      options.order = (freyja_order)i;
    }
    lua_pop(L, 1);
    (void)lua_getfield(L, 2, "prefix");
    luaL_argcheck(L, lua_isnil(L, 3) || lua_isstring(L, 3), 2,
                  "option 'prefix' must be a string");
  }
  if (!lua_isnil(L, 3)) {
    luaL_argexpected(L, lua_isstring(L, 3), 2, "string or table");
    options.prefix.data = lua_tolstring(L, 3, &options.prefix.size);
  }
  return options;
}

static int push_loop(lua_State *L, bool keys_only) {
  (void)fjl_check_store(L);
  freyja_iterator_options options = check_options(L);
  options.keys_only = keys_only;
  lua_pushvalue(L, lua_upvalueindex(3)); /* iterator_next */
  fjl_iterator *it = lua_newuserdatauv(L, sizeof *it, 1);
  it->iterator = NULL;
  it->keys_only = keys_only;
  lua_pushvalue(L, lua_upvalueindex(2));
  (void)lua_setmetatable(L, -2);
  lua_pushvalue(L, 1);
  (void)lua_setiuservalue(L, -2, 1);
  freyja *db = fjl_check_store(L); /* a finalizer may have closed it */
  freyja_error error;
  if (freyja_iterator_open(db, &options, &it->iterator, &error) != FREYJA_OK)
    return fjl_raise(L, &error);
  lua_pushnil(L);
  lua_pushvalue(L, -2);
  return 4;
}

int fjl_each(lua_State *L) { return push_loop(L, false); }

int fjl_keys(lua_State *L) { return push_loop(L, true); }

/* db:count([prefix]) -> integer */
int fjl_count(lua_State *L) {
  freyja *db = fjl_check_store(L);
  freyja_iterator_options options;
  memset(&options, 0, sizeof options);
  options.prefix.data = luaL_optlstring(L, 2, "", &options.prefix.size);
  options.keys_only = true;
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
  const fjl_iterator *it = luaL_checkudata(L, 1, FJL_ITERATOR);
  lua_pushfstring(L, "%s (%s)", FJL_ITERATOR, it->iterator == NULL ? "closed" : "open");
  return 1;
}

void fjl_create_iterator(lua_State *L) { (void)luaL_newmetatable(L, FJL_ITERATOR); }

void fjl_fill_iterator(lua_State *L, int store_index, int iterator_index) {
  static const luaL_Reg methods[] = {{"__gc", iterator_close},
                                     {"__close", iterator_close},
                                     {"__tostring", iterator_tostring},
                                     {NULL, NULL}};
  lua_pushvalue(L, iterator_index);
  lua_pushvalue(L, store_index);
  lua_pushvalue(L, iterator_index);
  luaL_setfuncs(L, methods, FJL_UPVALUES);
  lua_pop(L, 1);
}

void fjl_push_next(lua_State *L) { lua_pushcclosure(L, iterator_next, FJL_UPVALUES); }
