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

/* The module freyja.core. */
FREYJA_API int luaopen_freyja_core(lua_State *L);

/* ---- handles (handle.c) ---------------------------------------------------- */

/* The kinds of userdata, compared by address; their names are those of the metatables. */
extern const char fjl_store_kind[];       /* user values: the path, the driver (upkeep.c) */
extern const char fjl_iterator_kind[];    /* user value 1: the store's userdata */
extern const char fjl_rewrite_kind[];     /* user values: the store's userdata, the record */
extern const char fjl_transaction_kind[]; /* user value 1: the store's userdata */
extern const char fjl_load_kind[]; /* user value 1: the store's userdata; not seen either */
extern const char fjl_problems_kind[]; /* never seen by a program */

/* Owns what the engine handed out, and releases it at the latest when the Lua state
 * ends, even if the userdata is gone without its finalizer having run. */
typedef struct fjl_handle fjl_handle;
typedef struct fjl_background fjl_background;
struct fjl_handle {
  fjl_handle *next, **link;        /* in the list of the Lua state's handles */
  freyja *db;                      /* of a store; NULL once closed */
  freyja_iterator *iterator;       /* of an iterator; NULL once closed */
  freyja_rewrite *rewrite;         /* of a rewrite; NULL once closed */
  freyja_transaction *transaction; /* of a transaction; NULL once closed */
  freyja_load *load;               /* of a bulk load; NULL once closed */
  size_t written;                  /* bytes that it has written so far */
  unsigned char *block;       /* of a list of problems: from the state's allocator; or NULL */
  size_t block_size;          /* bytes */
  bool has_object;            /* as far as handle.c knows */
  bool driving;               /* of a store: its driver is being called */
  bool has_failed;            /* of a store: its driver wants to be called by the next call */
  fjl_background *background; /* of a store: the thread that maintains it, or NULL */
  lua_Integer until_step;     /* of a store: bytes to be written until the driver's next step;
                                 LUA_MAXINTEGER: writes never call it */
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

/* The object of that kind at index 1; raises if it is none. Of a store whose maintenance has
 * failed, the driver is called before, which may close it or raise. */
fjl_object *fjl_check_object(lua_State *L, const char *kind);

/* Without that. */
fjl_object *fjl_find_object(lua_State *L, const char *kind);

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

/* Function of the module freyja.core: as_error. */
int fjl_as_error(lua_State *L);

/* Pushes whether there is more to do; raises if the status is a fault. */
int fjl_push_more(lua_State *L, freyja_status status, const freyja_error *error);

/* ---- maintenance that runs by itself (upkeep.c) ------------------------------ */

/* Why a driver is called: its second argument. */
typedef enum fjl_occasion {
  FJL_STEP = 0,   /* so much was written as it wanted; it returns how much it wants next */
  FJL_REPORT = 1, /* it returns what stats().maintenance is */
  FJL_CLOSE = 2,  /* the store is about to be closed */
  FJL_OPEN = 4,   /* it was opened, if the driver wanted to be called then */
  FJL_FAILED = 5, /* something went wrong since; what it raises is the program's */
} fjl_occasion;

/* A step of the driver of the open store at index 1. Raises nothing; afterwards the store may
 * be closed. Stack: 0. */
void fjl_step(lua_State *L, const fjl_object *store);

/* The store at index 1 has written so many bytes, and its engine's call has returned. As
 * fjl_step. */
static inline void fjl_wrote(lua_State *L, const fjl_object *store, size_t bytes) {
  store->handle->until_step -= (lua_Integer)bytes;
  if (store->handle->until_step <= 0) fjl_step(L, store);
}

/* Before the store at index 1 is closed by the program. Raises nothing. Stack: 0. */
void fjl_leave(lua_State *L, const fjl_object *store);

/* Pushes the driver's report of the store at index 1, or what is no function. Stack: +1. */
void fjl_push_report(lua_State *L);

/* Pushes the driver for the options at index 2, whether writes call it and whether open does:
 * a function, or nils where none was set; a wrong option raises. Stack: +3. */
void fjl_make_driver(lua_State *L);

/* Calls the driver of the store at index 1 with FJL_OPEN. Returns as lua_pcall, with an error
 * on the stack. */
int fjl_begin_driver(lua_State *L, const fjl_object *store);

/* Calls it with FJL_FAILED if something has failed. Raises what the program's callback does.
 * Stack: 0. */
void fjl_tell_failure(lua_State *L, const fjl_object *store);

/* Functions of the module freyja.core for the driver. */
int fjl_set_driver(lua_State *L);
int fjl_driver(lua_State *L);
int fjl_pulse(lua_State *L);
int fjl_fail(lua_State *L);
int fjl_take_charge(lua_State *L);
int fjl_peek(lua_State *L);
int fjl_expire(lua_State *L);
int fjl_timer(lua_State *L);
int fjl_sleep(lua_State *L);
int fjl_hint_step(lua_State *L);

/* ---- policies that do not end (watch.c) ------------------------------------------ */

/* What is watched in this state is also ended when that is not 0: an atomic.h of its owner's,
 * for as long as the state lives. */
void fjl_watch_end(lua_State *L, const uint32_t *ends);

/* Functions of the module freyja.core for the driver: watch, did, is_over. */
int fjl_watch_thread(lua_State *L);
int fjl_did(lua_State *L);
int fjl_is_over(lua_State *L);

/* ---- stores and iterators -------------------------------------------------- */

/* Make the metatables. Stack: 0. */
void fjl_create_store(lua_State *L);
void fjl_create_iterator(lua_State *L);
void fjl_create_rewrite(lua_State *L);
void fjl_create_transaction(lua_State *L);
void fjl_create_load(lua_State *L);
void fjl_create_problems(lua_State *L);

/* The store of the object at index 1; raises if it is closed. */
freyja *fjl_open_store(lua_State *L, const fjl_object *object);

/* The open store at index 1; raises if it is none, or closed. */
freyja *fjl_check_store(lua_State *L);

/* The same for what the driver calls: fjl_find_object. */
freyja *fjl_find_store(lua_State *L);

/* Pushes the value of the key at index 2 of an open object, or nil; raises faults. `get`
 * raises if the object is closed, which a finalizer may have done between two calls. Stack:
 * +1. */
typedef freyja_status (*fjl_getter)(lua_State *L, const fjl_object *object, freyja_slice key,
                                    void *buffer, size_t capacity, size_t *size,
                                    freyja_error *error);
int fjl_push_value(lua_State *L, const fjl_object *object, fjl_getter get);

/* A loop over what the object at index 1, of that kind, has, by options at index 2: pushes
 * what a generic for wants. `open` raises as an fjl_getter. Stack: +4. */
typedef freyja_status (*fjl_opener)(lua_State *L, const fjl_object *object,
                                    const freyja_iterator_options *options,
                                    freyja_iterator **out, freyja_error *error);
int fjl_push_loop(lua_State *L, const char *kind, bool keys_only, fjl_opener open);

/* The options of a write at that index, if there are any: the time to live in microseconds, 0
 * for none; raises if they are wrong. */
uint64_t fjl_check_writing(lua_State *L, int index);

#define FJL_RECORD_HEADER 24 /* bytes that are written beside key and value */

/* The methods of stores that write: db:put, db:insert, db:cas, db:delete (change.c). */
int fjl_put(lua_State *L);
int fjl_insert(lua_State *L);
int fjl_cas(lua_State *L);
int fjl_delete(lua_State *L);

/* Methods of stores: db:get_many; db:each, db:keys and db:count; db:stats and db:segments;
 * db:verify and db:backup; db:rewrite; db:begin. */
int fjl_get_many(lua_State *L);
int fjl_each(lua_State *L);
int fjl_keys(lua_State *L);
int fjl_count(lua_State *L);
int fjl_stats(lua_State *L);
int fjl_segments(lua_State *L);
int fjl_verify(lua_State *L);
int fjl_backup(lua_State *L);
int fjl_rewrite(lua_State *L);
int fjl_begin(lua_State *L);

/* The object at index 1 has been committed and is released; its store, its user value 1, has
 * got what its handle has written. Stack: 0 behind it. */
int fjl_finish_writing(lua_State *L, fjl_object *object);

/* Function of the module freyja.core: begin_load. */
int fjl_begin_load(lua_State *L);

/* The module's function repair. */
int fjl_repair(lua_State *L);

#endif
