/* background.c - maintenance in a thread of its own: with a Lua state of its own, which opens
 * nothing but gets a handle of the store, and runs lua/freyja/background.lua.
 *
 * Who has opened the store and the thread know of each other by an fjl_background, which is
 * the former's. All of it that changes is changed with the lock held, or by atomic.h. Nothing
 * of a Lua state is ever touched by the thread of the other. */
#include <errno.h>
#include <lualib.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "atomic.h"
#include "background.h"

#define REPORT_MAX 16384 /* bytes */

struct fjl_background {
  size_t size; /* bytes of it all */
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t woken; /* the thread is to do something */
  pthread_cond_t moved; /* it has done something */
  pid_t process;
  bool started, ended;  /* it has told for the first time; it does nothing any more */
  bool is_woken;        /* and has not seen it yet */
  bool is_busy;         /* it has more to do */
  uint32_t ends;        /* it is to end; atomic.h */
  uint32_t has_failed;  /* and the program has not been told; atomic.h */
  freyja *db;           /* until the thread's state takes it */
  freyja_error failure; /* why it has ended by itself; or OK */
  size_t report_size;   /* bytes */
  char report[REPORT_MAX];
  size_t untold_size; /* of what the program is to be told: */
  char untold[REPORT_MAX];
  size_t path_size, cpath_size, text_size; /* bytes, in that order in */
  char texts[]; /* package.path, package.cpath, and what it is started with */
};

static const char registry_key = 0; /* its address is the key of the thread's, in its state */

/* ---- times ------------------------------------------------------------------- */

static struct timespec in_microseconds(lua_Integer microseconds) {
  struct timespec time;
  (void)clock_gettime(CLOCK_MONOTONIC, &time);
  uint64_t nanoseconds = (uint64_t)time.tv_nsec + (uint64_t)(microseconds % 1000000) * 1000;
  time.tv_sec += (time_t)(microseconds / 1000000 + (lua_Integer)(nanoseconds / 1000000000));
  time.tv_nsec = (long)(nanoseconds % 1000000000);
  return time;
}

/* With the lock held. False once the time is over. */
static bool wait_until(fjl_background *background, pthread_cond_t *what,
                       const struct timespec *time) {
  return pthread_cond_timedwait(what, &background->lock, time) == 0;
}

/* ---- the thread --------------------------------------------------------------- */

static fjl_background *find_own(lua_State *L) {
  (void)lua_rawgetp(L, LUA_REGISTRYINDEX, &registry_key);
  fjl_background *background = lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (background == NULL) (void)luaL_error(L, "this is no thread for maintenance");
  return background;
}

static void set_path(lua_State *L, const char *name, const char *path, size_t size) {
  (void)lua_getglobal(L, LUA_LOADLIBNAME);
  lua_pushlstring(L, path, size);
  lua_setfield(L, -2, name);
  lua_pop(L, 1);
}

/* Stack: +1, the store. */
static void take_store(lua_State *L, fjl_background *background) {
  fjl_object *store = fjl_push_object(L, fjl_store_kind);
  lua_pushliteral(L, ""); /* its path: errors have it from the engine */
  (void)lua_setiuservalue(L, -2, 1);
  store->handle->db = background->db;
  background->db = NULL;
}

/* work(background): until it is to end */
static int work(lua_State *L) {
  fjl_background *background = lua_touserdata(L, 1);
  const char *texts = background->texts;
  lua_rawsetp(L, LUA_REGISTRYINDEX, &registry_key);
  fjl_watch_end(L, &background->ends);
  luaL_openlibs(L);
  luaL_requiref(L, "freyja.core", luaopen_freyja_core, 0);
  set_path(L, "path", texts, background->path_size);
  texts += background->path_size;
  set_path(L, "cpath", texts, background->cpath_size);
  texts += background->cpath_size;
  (void)lua_getglobal(L, "require");
  lua_pushliteral(L, "freyja.background");
  lua_call(L, 1, 1);
  take_store(L, background);
  lua_pushlstring(L, texts, background->text_size);
  lua_call(L, 2, 0);
  return 0;
}

/* describe(value) -> string */
static int describe(lua_State *L) {
  (void)luaL_tolstring(L, 1, NULL);
  return 1;
}

/* What was raised, on the top of the stack. */
static void keep_failure(lua_State *L, freyja_error *failure) {
  lua_pushcfunction(L, describe);
  lua_insert(L, -2);
  (void)lua_pcall(L, 1, 1, 0);
  const char *why = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "an error";
  failure->status = strcmp(why, "not enough memory") == 0 ? FREYJA_MEMORY : FREYJA_IO;
  (void)snprintf(failure->message, sizeof failure->message, "%s", why);
}

static void *run(void *argument) {
  fjl_background *background = argument;
  freyja_error failure;
  memset(&failure, 0, sizeof failure);
  lua_State *L = luaL_newstate();
  if (L == NULL) {
    failure.status = FREYJA_MEMORY;
    (void)snprintf(failure.message, sizeof failure.message, "no memory for a Lua state");
  } else {
    lua_pushcfunction(L, work);
    lua_pushlightuserdata(L, background);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) keep_failure(L, &failure);
    lua_close(L); /* its handle of the store, too */
  }
  (void)freyja_close(background->db, NULL);
  (void)pthread_mutex_lock(&background->lock);
  background->failure = failure;
  background->ended = true;
  background->is_busy = false;
  if (failure.status != FREYJA_OK) fj_publish(&background->has_failed, 1);
  (void)pthread_cond_broadcast(&background->moved);
  (void)pthread_mutex_unlock(&background->lock);
  return NULL;
}

/* tell(report [, failure]): what the other's report(db) gives from now on, and what its next
 * take_failure(db) does */
int fjl_tell(lua_State *L) {
  size_t size = 0, failure_size = 0;
  const char *report = luaL_checklstring(L, 1, &size);
  const char *failure = luaL_optlstring(L, 2, NULL, &failure_size);
  luaL_argcheck(L, size <= REPORT_MAX, 1, "too long");
  luaL_argcheck(L, failure_size <= REPORT_MAX, 2, "too long");
  fjl_background *background = find_own(L);
  (void)pthread_mutex_lock(&background->lock);
  memcpy(background->report, report, size);
  background->report_size = size;
  background->started = true;
  if (failure != NULL) {
    memcpy(background->untold, failure, failure_size);
    background->untold_size = failure_size;
    fj_publish(&background->has_failed, 1);
  }
  (void)pthread_cond_broadcast(&background->moved);
  (void)pthread_mutex_unlock(&background->lock);
  return 0;
}

/* pause(microseconds) -> boolean: waits so long, at most, to be woken; false if the thread is
 * to end */
int fjl_pause(lua_State *L) {
  lua_Integer microseconds = luaL_checkinteger(L, 1);
  fjl_background *background = find_own(L);
  struct timespec until = in_microseconds(microseconds);
  (void)pthread_mutex_lock(&background->lock);
  if (microseconds > 0) {
    background->is_busy = false;
    (void)pthread_cond_broadcast(&background->moved);
    while (!background->is_woken && !background->ends)
      if (!wait_until(background, &background->woken, &until)) break;
  }
  background->is_woken = false;
  background->is_busy = true;
  bool goes_on = !background->ends;
  (void)pthread_mutex_unlock(&background->lock);
  lua_pushboolean(L, goes_on);
  return 1;
}

/* ---- who has opened the store -------------------------------------------------- */

/* Not the child of a fork, where the thread is not, and may have had the lock. */
static bool is_here(const fjl_background *background) {
  return background != NULL && background->process == getpid();
}

bool fjl_background_has_failed(const fjl_background *background) {
  return fj_observe(&background->has_failed) != 0;
}

void fjl_background_stop(lua_State *L, fjl_handle *handle) {
  fjl_background *background = handle->background;
  if (background == NULL) return;
  if (is_here(background)) {
    (void)pthread_mutex_lock(&background->lock);
    fj_publish(&background->ends, 1);
    (void)pthread_cond_broadcast(&background->woken);
    (void)pthread_mutex_unlock(&background->lock);
    (void)pthread_join(background->thread, NULL);
    (void)pthread_cond_destroy(&background->woken);
    (void)pthread_cond_destroy(&background->moved);
    (void)pthread_mutex_destroy(&background->lock);
  }
  void *context = NULL;
  lua_Alloc function = lua_getallocf(L, &context);
  handle->background = NULL;
  (void)function(context, background, background->size, 0);
}

/* As glibc has them, none of these fails. */
static void create_locks(fjl_background *background) {
  pthread_condattr_t attributes;
  (void)pthread_mutex_init(&background->lock, NULL);
  (void)pthread_condattr_init(&attributes);
  (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  (void)pthread_cond_init(&background->woken, &attributes);
  (void)pthread_cond_init(&background->moved, &attributes);
  (void)pthread_condattr_destroy(&attributes);
}

/* No signal is for the thread. */
static int create_thread(fjl_background *background) {
  sigset_t all, before;
  (void)sigfillset(&all);
  (void)pthread_sigmask(SIG_SETMASK, &all, &before);
  int code = pthread_create(&background->thread, NULL, run, background);
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  return code;
}

/* Makes it for the three strings at these indexes of the stack. NULL: no memory. */
static fjl_background *create(lua_State *L, int path, int cpath, int text) {
  size_t path_size = 0, cpath_size = 0, text_size = 0;
  const char *paths = lua_tolstring(L, path, &path_size);
  const char *cpaths = lua_tolstring(L, cpath, &cpath_size);
  const char *texts = lua_tolstring(L, text, &text_size);
  size_t size = sizeof(fjl_background) + path_size + cpath_size + text_size;
  void *context = NULL;
  lua_Alloc function = lua_getallocf(L, &context);
  fjl_background *made = function(context, NULL, 0, size);
  if (made == NULL) return NULL;
  memset(made, 0, sizeof *made);
  made->size = size;
  made->process = getpid();
  made->path_size = path_size;
  made->cpath_size = cpath_size;
  made->text_size = text_size;
  memcpy(made->texts, paths, path_size);
  memcpy(made->texts + path_size, cpaths, cpath_size);
  memcpy(made->texts + path_size + cpath_size, texts, text_size);
  create_locks(made);
  return made;
}

static void destroy(lua_State *L, fjl_background *background) {
  void *context = NULL;
  lua_Alloc function = lua_getallocf(L, &context);
  (void)freyja_close(background->db, NULL);
  (void)function(context, background, background->size, 0);
}

/* Begins the thread of an open store; the strings as in create. */
static freyja_status start(lua_State *L, const fjl_object *store, freyja_error *error) {
  freyja *db = fjl_open_store(L, store);
  fjl_background *made = create(L, 3, 4, 2);
  memset(error, 0, sizeof *error);
  if (made == NULL) {
    (void)snprintf(error->message, sizeof error->message, "no memory for a thread");
    return error->status = FREYJA_MEMORY;
  }
  freyja_status status = freyja_open_again(db, &made->db, error);
  int code = status == FREYJA_OK ? create_thread(made) : 0;
  if (code != 0) {
    status = error->status = FREYJA_IO;
    error->os_code = code;
    (void)snprintf(error->message, sizeof error->message, "cannot start a thread: %s",
                   strerror(code));
  }
  if (status != FREYJA_OK) {
    destroy(L, made);
    return status;
  }
  store->handle->background = made;
  (void)pthread_mutex_lock(&made->lock);
  while (!made->started && !made->ended) (void)pthread_cond_wait(&made->moved, &made->lock);
  if (made->ended) *error = made->failure;
  (void)pthread_mutex_unlock(&made->lock);
  return error->status;
}

/* start(db, text): maintains the store in a thread that runs freyja.background with the text,
 * and returns when it has told for the first time; raises if it cannot */
int fjl_start(lua_State *L) {
  freyja_error error;
  const fjl_object *store = fjl_find_object(L, fjl_store_kind);
  (void)luaL_checkstring(L, 2);
  lua_settop(L, 2);
  (void)lua_getglobal(L, LUA_LOADLIBNAME);
  luaL_checktype(L, 3, LUA_TTABLE);
  (void)lua_getfield(L, 3, "path");
  (void)lua_getfield(L, 3, "cpath");
  lua_remove(L, 3);
  (void)luaL_checkstring(L, 3);
  (void)luaL_checkstring(L, 4);
  (void)fjl_open_store(L, store);
  luaL_argcheck(L, store->handle->background == NULL, 1, "it has a thread already");
  if (start(L, store, &error) != FREYJA_OK) return fjl_raise(L, &error);
  return 0;
}

/* wake(db): the thread is to look whether there is something to do */
int fjl_wake(lua_State *L) {
  const fjl_object *store = fjl_find_object(L, fjl_store_kind);
  (void)fjl_open_store(L, store);
  fjl_background *background = store->handle->background;
  if (!is_here(background)) return 0;
  (void)pthread_mutex_lock(&background->lock);
  background->is_woken = true;
  (void)pthread_cond_signal(&background->woken);
  (void)pthread_mutex_unlock(&background->lock);
  return 0;
}

/* await(db, microseconds) -> boolean: waits, at most so long, until the thread has done
 * something; whether it has more to do */
int fjl_await(lua_State *L) {
  const fjl_object *store = fjl_find_object(L, fjl_store_kind);
  lua_Integer microseconds = luaL_checkinteger(L, 2);
  (void)fjl_open_store(L, store);
  fjl_background *background = store->handle->background;
  bool is_busy = false;
  if (is_here(background) && microseconds > 0) {
    struct timespec until = in_microseconds(microseconds);
    (void)pthread_mutex_lock(&background->lock);
    is_busy = (background->is_busy || background->is_woken) && !background->ended;
    if (is_busy) (void)wait_until(background, &background->moved, &until);
    (void)pthread_mutex_unlock(&background->lock);
  }
  lua_pushboolean(L, is_busy);
  return 1;
}

/* Copies what the thread has told, or, if `takes`, what has failed, which is forgotten then;
 * and why the thread has ended, if it has by itself. Returns the size. */
static size_t copy_told(fjl_background *background, bool takes, char *text,
                        freyja_error *failure) {
  memset(failure, 0, sizeof *failure);
  if (takes && background != NULL) fj_publish(&background->has_failed, 0);
  if (!is_here(background)) return 0;
  (void)pthread_mutex_lock(&background->lock);
  size_t size = takes ? background->untold_size : background->report_size;
  memcpy(text, takes ? background->untold : background->report, size);
  *failure = background->failure;
  if (takes) background->untold_size = 0;
  (void)pthread_mutex_unlock(&background->lock);
  return size;
}

static int push_told(lua_State *L, bool takes) {
  char text[REPORT_MAX];
  freyja_error failure;
  const fjl_object *store = fjl_find_object(L, fjl_store_kind);
  (void)fjl_open_store(L, store);
  size_t size = copy_told(store->handle->background, takes, text, &failure);
  lua_pushlstring(L, text, size);
  if (failure.status == FREYJA_OK) return 1;
  fjl_push_error(L, &failure);
  return 2;
}

/* report(db) -> string [, error]: what the thread has told last, and why it has ended */
int fjl_report(lua_State *L) { return push_told(L, false); }

/* take_failure(db) -> string [, error]: what has failed since, "" if nothing has; and why the
 * thread has ended */
int fjl_take_failure(lua_State *L) { return push_told(L, true); }
