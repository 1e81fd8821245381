/* watch.c - has an end to policies that do not end by themselves: a hook of the coroutine that
 * a policy runs in, and of those that this makes, which inherit it.
 *
 * It leaves the coroutine by a yield, since an error may be caught by what it runs, again and
 * again. Where it cannot yield, in a function that C has called, and in other coroutines,
 * where a yield would look like a value that they give, it raises an error, and comes back
 * with the next instruction. A function in C that does not return is not ended. */
#include "atomic.h"
#include "binding.h"

#define LOOK 10000             /* instructions of Lua between two looks */
#define INSTRUCTIONS 10000000u /* that a policy may run without doing anything */

/* In the registry of a Lua state. */
typedef struct fjl_watch {
  const lua_State *thread; /* the coroutine, while it is watched; or NULL */
  uint32_t looks;          /* since it did something */
  bool over;               /* it is ended */
  bool heeds;              /* it is also ended when that is not 0: */
  const uint32_t *ends;    /* or NULL */
} fjl_watch;

static const char registry_key = 0; /* its address is the key */

/* NULL if there is none yet. */
static fjl_watch *find_watch(lua_State *L) {
  (void)lua_rawgetp(L, LUA_REGISTRYINDEX, &registry_key);
  fjl_watch *watch = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return watch;
}

static fjl_watch *make_watch(lua_State *L) {
  fjl_watch *watch = find_watch(L);
  if (watch != NULL) return watch;
  watch = lua_newuserdatauv(L, sizeof *watch, 0);
  *watch = (fjl_watch){0};
  lua_rawsetp(L, LUA_REGISTRYINDEX, &registry_key);
  return watch;
}

void fjl_watch_end(lua_State *L, const uint32_t *ends) { make_watch(L)->ends = ends; }

static void look(lua_State *L, lua_Debug *activation) {
  (void)activation;
  fjl_watch *watch = find_watch(L);
  if (watch->thread == NULL) { /* what a policy has left behind */
    lua_sethook(L, NULL, 0, 0);
    return;
  }
  bool ends = watch->heeds && watch->ends != NULL && fj_observe(watch->ends);
  if (!ends && !watch->over && ++watch->looks <= INSTRUCTIONS / LOOK) return;
  watch->over = true;
  lua_sethook(L, look, LUA_MASKCOUNT, 1);
  if (L == watch->thread && lua_isyieldable(L)) (void)lua_yield(L, 0);
  else (void)luaL_error(L, "the policy is ended");
}

/* watch(thread, heeds): that coroutine is about to be resumed, or closed; heeds: it is ended
 * when the store is being closed, too */
int fjl_watch_thread(lua_State *L) {
  lua_State *thread = lua_tothread(L, 1);
  luaL_argexpected(L, thread != NULL, 1, "thread");
  fjl_watch *watch = make_watch(L);
  watch->thread = thread;
  watch->looks = 0;
  watch->over = false;
  watch->heeds = lua_toboolean(L, 2);
  lua_sethook(thread, look, LUA_MASKCOUNT, LOOK);
  return 0;
}

/* did(): what is watched has done something */
int fjl_did(lua_State *L) {
  fjl_watch *watch = find_watch(L);
  if (watch != NULL) watch->looks = 0;
  return 0;
}

/* is_over() -> boolean: whether what was watched had to be ended; it is watched no more */
int fjl_is_over(lua_State *L) {
  fjl_watch *watch = find_watch(L);
  lua_pushboolean(L, watch != NULL && watch->over);
  if (watch != NULL) watch->thread = NULL;
  return 1;
}
