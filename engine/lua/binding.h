/* binding.h - what the files of the Lua binding share. Nothing here holds memory,
 * a view or a lock across a Lua call that can raise: what the engine hands out
 * is owned by a userdata before the next such call.
 *
 * Functions are closures whose upvalues are 1 the metatable of stores, 2 that of
 * iterators, so that checking a handle is one comparison, and for methods of
 * stores 3 the function that iterates. */
#ifndef FJL_BINDING_H
#define FJL_BINDING_H

#include <lauxlib.h>
#include <lua.h>

#include "freyja.h"

#define FJL_STORE "freyja.db"
#define FJL_ITERATOR "freyja.iterator"
#define FJL_ERROR "freyja.error"
#define FJL_UPVALUES 2

/* A store's userdata; its user value 1 is the path. */
typedef struct fjl_store {
  freyja *db; /* NULL when closed */
} fjl_store;

/* Pushes an error object {code, message, path, errno}. Stack: +1. */
void fjl_push_error(lua_State *L, const freyja_error *error);

/* Raises it. */
int fjl_raise(lua_State *L, const freyja_error *error);

/* Make a metatable each and push it. Stack: +1; fjl_create_error: 0. */
void fjl_create_error(lua_State *L);
void fjl_create_store(lua_State *L);
void fjl_create_iterator(lua_State *L);

/* Fill the metatables at these (absolute) indices, once both are there. Stack: 0. */
void fjl_fill_store(lua_State *L, int store_index, int iterator_index);
void fjl_fill_iterator(lua_State *L, int store_index, int iterator_index);

/* Replaces the two metatables on the top, upvalues 1 and 2, by the function that
 * iterates. Stack: -1. */
void fjl_push_next(lua_State *L);

/* Pushes a closed store with metatable upvalue 1. Stack: +1. */
fjl_store *fjl_push_store(lua_State *L);

/* The open store at index 1; raises if it is none, or closed. */
freyja *fjl_check_store(lua_State *L);

/* db:each, db:keys and db:count. */
int fjl_each(lua_State *L);
int fjl_keys(lua_State *L);
int fjl_count(lua_State *L);

/* db:stats and db:segments. */
int fjl_stats(lua_State *L);
int fjl_segments(lua_State *L);

#endif
