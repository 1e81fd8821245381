/* binding.h - what the files of the Lua binding share.
 *
 * Any call of Lua's that allocates may run finalizers, which are any Lua code, or raise.
 * So nothing here holds memory, a view or a lock across one: what the engine hands
 * out is owned by a handle before; and the store is asked for (fjl_open_store)
 * behind the last such call, not before it, because a finalizer may close it. */
#ifndef FJL_BINDING_H
#define FJL_BINDING_H

#include <lauxlib.h>
#include <lua.h>

#include "freyja.h"

#define FJL_ERROR "freyja.error" /* the metatable of errors */

/* ---- handles (handle.c) ---------------------------------------------------- */

/* The kinds of userdata, compared by address; their names are those of the metatables. */
extern const char fjl_store_kind[];    /* user value 1: the path */
extern const char fjl_iterator_kind[]; /* user value 1: the store's userdata */
extern const char fjl_rewrite_kind[];  /* user values: the store's userdata, the record */
extern const char fjl_problems_kind[]; /* never seen by a program */

/* Owns what the engine handed out, and releases it at the latest when the Lua state
 * ends, even if the userdata is gone without its finalizer having run. */
typedef struct fjl_handle fjl_handle;
struct fjl_handle {
  fjl_handle *next, **link;  /* in the list of the Lua state's handles */
  freyja *db;                /* of a store; NULL once closed */
  freyja_iterator *iterator; /* of an iterator; NULL once closed */
  freyja_rewrite *rewrite;   /* of a rewrite; NULL once closed */
  unsigned char *block;      /* of a list of problems: from the state's allocator; or NULL */
  size_t block_size;         /* bytes */
  bool has_object;           /* as far as handle.c knows */
};

/* A userdata. */
typedef struct fjl_object {
  const char *kind;
  fjl_handle *handle; /* NULL once closed */
  bool keys_only;     /* of an iterator */
} fjl_object;

/* Prepares the Lua state for handles; again: does nothing. Stack: 0. */
void fjl_create_handles(lua_State *L);

/* Pushes a new object with a handle of its own, in which nothing is open yet. Stack: +1. */
fjl_object *fjl_push_object(lua_State *L, const char *kind);

/* The object of that kind at index 1; raises if it is none. */
fjl_object *fjl_check_object(lua_State *L, const char *kind);

/* Frees the object's handle, in which nothing is open any more. Calls no Lua function that
 * could raise. */
void fjl_release(lua_State *L, fjl_object *object);

/* Closes what belongs to userdata that are gone. Returns whether there was anything. */
bool fjl_sweep(lua_State *L);

/* ---- errors (raise.c) ------------------------------------------------------ */

/* Makes their metatable. Stack: 0. */
void fjl_create_error(lua_State *L);

/* Pushes an error object {code, message, path, errno}. Stack: +1. */
void fjl_push_error(lua_State *L, const freyja_error *error);

/* Raises it. */
int fjl_raise(lua_State *L, const freyja_error *error);

/* Pushes whether the status is OK; raises if it is a fault. */
int fjl_push_done(lua_State *L, freyja_status status, const freyja_error *error);

/* Raises an error object of that status, with the message (shorter than an error's). */
int fjl_raise_plain(lua_State *L, freyja_status status, const char *message);

/* ---- stores and iterators -------------------------------------------------- */

/* Make the metatables. Stack: 0. */
void fjl_create_store(lua_State *L);
void fjl_create_iterator(lua_State *L);
void fjl_create_rewrite(lua_State *L);
void fjl_create_problems(lua_State *L);

/* The store of the object at index 1; raises if it is closed. */
freyja *fjl_open_store(lua_State *L, const fjl_object *object);

/* The open store at index 1; raises if it is none, or closed. */
freyja *fjl_check_store(lua_State *L);

/* The methods of stores that write: db:put, db:insert, db:cas, db:delete (change.c). */
int fjl_put(lua_State *L);
int fjl_insert(lua_State *L);
int fjl_cas(lua_State *L);
int fjl_delete(lua_State *L);

/* Methods of stores: db:get_many; db:each, db:keys and db:count; db:stats and db:segments;
 * db:verify and db:backup; db:rewrite. */
int fjl_get_many(lua_State *L);
int fjl_each(lua_State *L);
int fjl_keys(lua_State *L);
int fjl_count(lua_State *L);
int fjl_stats(lua_State *L);
int fjl_segments(lua_State *L);
int fjl_verify(lua_State *L);
int fjl_backup(lua_State *L);
int fjl_rewrite(lua_State *L);

/* The module's function repair. */
int fjl_repair(lua_State *L);

#endif
