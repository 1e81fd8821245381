/* handle.c - the userdata of stores, iterators, transactions and so on, and what they own.
 *
 * A userdata's finalizer is not enough to release what it stands for: Lua does not
 * run it if there is no memory to call it (the error becomes a warning), nor for
 * objects made by other finalizers while the state closes. A store would stay locked
 * for as long as the process lives. So what the engine handed out is kept in a handle
 * outside of the userdata, and all handles in a list; a handle whose userdata is gone
 * is closed when that is noticed, all when the state ends. */
#include "background.h"

#define SWEEP_MIN 8 /* handles */

const char fjl_store_kind[] = "freyja.db";
const char fjl_iterator_kind[] = "freyja.iterator";
const char fjl_rewrite_kind[] = "freyja.rewrite";
const char fjl_transaction_kind[] = "freyja.transaction";
const char fjl_load_kind[] = "freyja.load";
const char fjl_problems_kind[] = "freyja.problems";

/* A userdata in the registry. Its user value 1 is a table whose weak keys are the objects
 * that there are; Lua removes them when it frees their memory, not before. */
typedef struct fjl_handles {
  fjl_handle *first;
  size_t count;
  size_t sweep_count; /* with as many, those without an object are looked for */
  bool ended;         /* the Lua state is being closed, and what is ours was released */
} fjl_handles;

static const char registry_key = 0; /* its address is the key */

/* Stack: +1. */
static fjl_handles *push_handles(lua_State *L) {
  (void)lua_rawgetp(L, LUA_REGISTRYINDEX, &registry_key);
  return lua_touserdata(L, -1);
}

/* Memory of the state's own allocator, so that it counts as the state's; NULL if there is
 * none. */
static fjl_handle *allocate(lua_State *L) {
  void *context = NULL;
  lua_Alloc function = lua_getallocf(L, &context);
  return function(context, NULL, 0, sizeof(fjl_handle));
}

static void unlink_and_free(lua_State *L, fjl_handles *handles, fjl_handle *handle) {
  void *context = NULL;
  lua_Alloc function = lua_getallocf(L, &context);
  *handle->link = handle->next;
  if (handle->next != NULL) handle->next->link = handle->link;
  handles->count--;
  if (handle->block != NULL) (void)function(context, handle->block, handle->block_size, 0);
  (void)function(context, handle, sizeof *handle, 0);
}

void fjl_release(lua_State *L, fjl_object *object) {
  fjl_handle *handle = object->handle;
  if (handle == NULL) return;
  object->handle = NULL;
  unlink_and_free(L, push_handles(L), handle);
  lua_pop(L, 1);
}

/* Closes and frees the handles that have no object. */
static bool close_lost(lua_State *L, fjl_handles *handles) {
  bool any = false;
  fjl_handle *next = NULL;
  for (fjl_handle *handle = handles->first; handle != NULL; handle = next) {
    next = handle->next;
    if (handle->has_object) continue;
    freyja_iterator_close(handle->iterator);
    freyja_rewrite_close(handle->rewrite);
    freyja_transaction_close(handle->transaction);
    freyja_load_close(handle->load);
    fjl_background_stop(L, handle);
    (void)freyja_close(handle->db, NULL);
    unlink_and_free(L, handles, handle);
    any = true;
  }
  return any;
}

bool fjl_sweep(lua_State *L) {
  fjl_handles *handles = push_handles(L);
  (void)lua_getiuservalue(L, -1, 1);
  for (fjl_handle *handle = handles->first; handle != NULL; handle = handle->next)
    handle->has_object = false;
  lua_pushnil(L);
  while (lua_next(L, -2) != 0) {
    lua_pop(L, 1);
    const fjl_object *object = lua_touserdata(L, -1);
    if (object->handle != NULL) object->handle->has_object = true;
  }
  lua_pop(L, 2);
  bool any = close_lost(L, handles);
  handles->sweep_count = 2 * handles->count + SWEEP_MIN;
  return any;
}

/* __gc of the handles: made before all objects, they are finalized behind all that can be.
 * What is still open belongs to objects that never will be. */
static int handles_collect(lua_State *L) {
  fjl_handles *handles = lua_touserdata(L, 1);
  lua_settop(L, 1);
  (void)lua_getiuservalue(L, 1, 1);
  lua_pushnil(L);
  while (lua_next(L, 2) != 0) {
    lua_pop(L, 1);
    fjl_object *object = lua_touserdata(L, -1);
    if (object->handle != NULL) object->handle->has_object = false;
    object->handle = NULL;
  }
  (void)close_lost(L, handles);
  handles->ended = true;
  return 0;
}

void fjl_create_handles(lua_State *L) {
  fjl_handles *handles = push_handles(L);
  lua_pop(L, 1);
  if (handles != NULL) return;
  handles = lua_newuserdatauv(L, sizeof *handles, 1);
  *handles = (fjl_handles){.sweep_count = SWEEP_MIN};
  lua_newtable(L); /* the objects */
  lua_newtable(L);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  (void)lua_setmetatable(L, -2);
  (void)lua_setiuservalue(L, -2, 1);
  lua_newtable(L);
  lua_pushcfunction(L, handles_collect);
  lua_setfield(L, -2, "__gc");
  (void)lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &registry_key);
}

/* ---- objects --------------------------------------------------------------- */

/* The handle comes last: what is above it may raise. */
fjl_object *fjl_push_object(lua_State *L, const char *kind) {
  fjl_handles *handles = push_handles(L);
  if (handles->ended) (void)fjl_raise_plain(L, FREYJA_CLOSED, "the Lua state is being closed");
  if (handles->count >= handles->sweep_count) (void)fjl_sweep(L);
  fjl_object *object = lua_newuserdatauv(L, sizeof *object, 2);
  *object = (fjl_object){.kind = kind};
  luaL_setmetatable(L, kind);
  (void)lua_getiuservalue(L, -2, 1);
  lua_pushvalue(L, -2);
  lua_pushboolean(L, true);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  fjl_handle *handle = allocate(L);
  if (handle == NULL) (void)fjl_raise_plain(L, FREYJA_MEMORY, "no memory for a handle");
  *handle = (fjl_handle){.next = handles->first,
                         .link = &handles->first,
                         .has_object = true,
                         .until_step = LUA_MAXINTEGER};
  if (handle->next != NULL) handle->next->link = &handle->next;
  handles->first = handle;
  handles->count++;
  object->handle = handle;
  lua_remove(L, -2);
  return object;
}

/* By what is in it: debug.setmetatable can give any userdata any metatable. */
fjl_object *fjl_find_object(lua_State *L, const char *kind) {
  fjl_object *object = lua_touserdata(L, 1);
  if (object == NULL || lua_rawlen(L, 1) != sizeof *object || object->kind != kind)
    (void)luaL_typeerror(L, 1, kind);
  return object;
}

static bool has_failed(const fjl_handle *handle) {
  return handle->has_failed ||
         (handle->background != NULL && fjl_background_has_failed(handle->background));
}

fjl_object *fjl_check_object(lua_State *L, const char *kind) {
  fjl_object *object = fjl_find_object(L, kind);
  if (kind == fjl_store_kind && object->handle != NULL && has_failed(object->handle))
    fjl_tell_failure(L, object);
  return object;
}
