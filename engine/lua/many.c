/* many.c - db:get_many. */
#include "binding.h"

/* Where the value of a key lies in the block. */
typedef struct place {
  bool found;
  size_t offset, size;
} place;

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

/* Copies as many of the values as fit into the block, in one go: nothing here runs Lua
 * code. *total gets the bytes that all of them need. */
static freyja_status read_all(lua_State *L, freyja *db, size_t count, place *places,
                              char *block, size_t capacity, size_t *total,
                              freyja_error *error) {
  *total = 0;
  for (size_t i = 0; i < count; i++) {
    size_t key_size = 0;
    size_t room = *total < capacity ? capacity - *total : 0;
    (void)lua_rawgeti(L, 2, (lua_Integer)i + 1);
    const char *key = lua_tolstring(L, -1, &key_size);
    places[i].size = 0;
    places[i].offset = *total;
    char *target = room == 0 ? block : block + *total;
    freyja_status status = freyja_get(db, key, key_size, target, room, &places[i].size, error);
    lua_pop(L, 1);
    if (freyja_is_fault(status)) return status;
    places[i].found = status == FREYJA_OK;
    if (places[i].found) *total += places[i].size;
  }
  return FREYJA_OK;
}

/* db:get_many{key, ...} -> {[key] = value, ...}, all as of one moment, even if
 * finalizers write to the store meanwhile. */
int fjl_get_many(lua_State *L) {
  const fjl_object *store = fjl_check_object(L, fjl_store_kind);
  (void)fjl_open_store(L, store);
  size_t count = copy_keys(L);
  place *places = lua_newuserdatauv(L, (count + 1) * sizeof *places, 0);
  size_t total = 0, capacity = 0;
  char *block = NULL;
  freyja_error error;
  do {
    lua_settop(L, 3);
    capacity =
        total + 64 * count; /* grows with each turn, should finalizers grow the values */
    block = lua_newuserdatauv(L, capacity + 1, 0);
    freyja *db = fjl_open_store(L, store);
    freyja_hold_time(db, true);
    freyja_status status = read_all(L, db, count, places, block, capacity, &total, &error);
    freyja_hold_time(db, false);
    if (status != FREYJA_OK) return fjl_raise(L, &error);
  } while (total > capacity);
  lua_createtable(L, 0, count < 1024 ? (int)count : 1024);
  for (size_t i = 0; i < count; i++) {
    if (!places[i].found) continue;
    (void)lua_rawgeti(L, 2, (lua_Integer)i + 1);
    lua_pushlstring(L, block + places[i].offset, places[i].size);
    lua_rawset(L, -3);
  }
  return 1;
}
