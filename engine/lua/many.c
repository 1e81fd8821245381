/* many.c - db:get_many. */
#include "binding.h"

/* Replaces the list at index 2 by a copy in which all elements are strings. The list's
 * metamethods are honoured, which may run any code. Stack: set to 2. */
static size_t copy_keys(lua_State *L) {
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  lua_Integer count = luaL_len(L, 2);
  lua_newtable(L);
  for (lua_Integer i = 1; i <= count; i++) {
    (void)lua_geti(L, 2, i);
    if (!lua_isstring(L, -1))
      (void)luaL_argerror(L, 2,
                          lua_pushfstring(L, "element %I must be a string, not %s",
                                          (LUAI_UACINT)i, luaL_typename(L, -1)));
    (void)lua_tolstring(L, -1, NULL);
    lua_rawseti(L, 3, i);
  }
  lua_replace(L, 2);
  return count > 0 ? (size_t)count : 0;
}

/* The keys of the list, which holds on to them. */
static void fill_items(lua_State *L, freyja_item *items, size_t count) {
  for (size_t i = 0; i < count; i++) {
    (void)lua_rawgeti(L, 2, (lua_Integer)i + 1);
    items[i].key = lua_tolstring(L, -1, &items[i].key_size);
    lua_pop(L, 1);
  }
}

/* db:get_many{key, ...} -> {[key] = value, ...}, all as of one moment, even if
 * finalizers write to the store meanwhile. */
int fjl_get_many(lua_State *L) {
  const fjl_object *store = fjl_check_object(L, fjl_store_kind);
  (void)fjl_open_store(L, store);
  size_t count = copy_keys(L);
  freyja_item *items = lua_newuserdatauv(L, (count + 1) * sizeof *items, 0);
  fill_items(L, items, count);
  size_t total = 0, capacity = 0;
  char *block = NULL;
  freyja_error error;
  do {
    lua_settop(L, 3);
    capacity =
        total + 64 * count; /* grows with each turn, should finalizers grow the values */
    block = lua_newuserdatauv(L, capacity + 1, 0);
    freyja *db = fjl_open_store(L, store);
    freyja_status status = freyja_get_many(db, items, count, block, capacity, &total, &error);
    if (status != FREYJA_OK) return fjl_raise(L, &error);
  } while (total > capacity);
  lua_createtable(L, 0, count < 1024 ? (int)count : 1024);
  for (size_t i = 0; i < count; i++) {
    if (!items[i].found) continue;
    (void)lua_rawgeti(L, 2, (lua_Integer)i + 1);
    lua_pushlstring(L, block + items[i].offset, items[i].size);
    lua_rawset(L, -3);
  }
  return 1;
}
