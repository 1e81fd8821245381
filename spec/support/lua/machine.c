/* machine.c - see machine.h. The state under test is T, the one that asks for it D. */
#include "machine.h"

#include <dirent.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "heap.h"
#include "os_wrap.h"

#define WARNINGS_MAX 400 /* bytes; what is longer is cut */

typedef struct machine {
  lua_State *T; /* its stack's index 1 is the table that all chunks are given */
  heap heap;
  plan *chosen; /* of the two plans, the one that lets calls fail; may be NULL */
  long heap_calls, engine_calls;
  char warnings[WARNINGS_MAX];
} machine;

/* ---- the state -------------------------------------------------------------------- */

static void warn(void *context, const char *message, int to_be_continued) {
  machine *m = context;
  size_t used = strlen(m->warnings);
  (void)snprintf(m->warnings + used, sizeof m->warnings - used, "%s%s", message,
                 to_be_continued ? "" : "; ");
}

static void create(machine *m) {
  memset(m, 0, sizeof *m);
  m->T = lua_newstate(heap_allocate, &m->heap);
  if (m->T == NULL) abort();
  lua_setwarnf(m->T, warn, m);
  luaL_openlibs(m->T);
  (void)luaL_getsubtable(m->T, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(m->T, luaopen_freyja_core);
  lua_setfield(m->T, -2, "freyja.core");
  lua_settop(m->T, 0);
  lua_newtable(m->T);
}

/* Copies the strings, numbers and booleans of D's table at `index` to T's. */
static void give(lua_State *D, int index, lua_State *T) {
  lua_pushnil(D);
  while (lua_next(D, index) != 0) {
    if (lua_type(D, -1) == LUA_TSTRING) lua_pushstring(T, lua_tostring(D, -1));
    else if (lua_isinteger(D, -1)) lua_pushinteger(T, lua_tointeger(D, -1));
    else lua_pushboolean(T, lua_toboolean(D, -1));
    lua_setfield(T, 1, lua_tostring(D, -2));
    lua_pop(D, 1);
  }
}

/* ---- running ---------------------------------------------------------------------- */

/* What became of a call, from its status and the value on the top of T's stack. */
static const char *kind_of(lua_State *T, int status) {
  if (status == LUA_OK) return "ok";
  if (status == LUA_ERRMEM) return "memory";
  if (lua_istable(T, -1)) {
    lua_pushliteral(T, "code");
    lua_rawget(T, -2);
    const char *code = lua_tostring(T, -1); /* the error object keeps it */
    lua_pop(T, 1);
    if (code != NULL) return code;
  }
  const char *message = lua_tostring(T, -1);
  /* What a buffer of the auxiliary library raises. */
  if (message != NULL && strstr(message, "not enough memory") != NULL) return "memory";
  return "other";
}

/* Calls a chunk with the table at index 1. Stack of T: +1. */
static int call(machine *m, const char *bytes, size_t size, bool fails) {
  lua_State *T = m->T;
  if (luaL_loadbufferx(T, bytes, size, "chunk", "b") != LUA_OK) abort();
  lua_pushvalue(T, 1);
  m->heap.plan.calls = os_plan.calls = 0;
  m->heap.plan.armed = os_plan.armed = fails;
  int status = lua_pcall(T, 1, 1, 0);
  m->heap.plan.armed = os_plan.armed = false;
  if (fails) m->heap_calls = m->heap.plan.calls;
  if (fails) m->engine_calls = os_plan.calls;
  return status;
}

/* Runs one of the chunks that must not fail, if it is given. Stack of D: +1, what went wrong
 * or the chunk's result. */
static bool run_chunk(lua_State *D, machine *m, const char *name) {
  size_t size = 0;
  if (lua_getfield(D, 1, name) == LUA_TNIL) return true;
  const char *bytes = lua_tolstring(D, -1, &size);
  bool good = call(m, bytes, size, false) == LUA_OK;
  const char *said = luaL_tolstring(m->T, -1, NULL);
  if (good) lua_pushstring(D, said);
  else lua_pushfstring(D, "%s: %s", name, said);
  lua_remove(D, -2);
  lua_settop(m->T, 1);
  return good;
}

/* The chunk under test. Leaves what became of it, and its result as text, as fields of D's
 * table at index 2 and on T's stack. */
static void run_under_test(lua_State *D, machine *m) {
  size_t size = 0;
  (void)lua_getfield(D, 1, "run");
  const char *bytes = luaL_checklstring(D, -1, &size);
  int status = call(m, bytes, size, true);
  const char *kind = kind_of(m->T, status);
  lua_pushstring(D, kind);
  lua_setfield(D, 2, "kind");
  lua_pushstring(D, luaL_tolstring(m->T, -1, NULL));
  lua_setfield(D, 2, "said");
  lua_pop(D, 1);
  lua_settop(m->T, 1);
}

/* ---- what is left ------------------------------------------------------------------- */

static void tell_left(lua_State *D, const machine *m, const os_held *before) {
  if (m->heap.blocks == 0 && memcmp(before, &os_held_now, sizeof *before) == 0) return;
  lua_pushfstring(D, "left: %d blocks of Lua, %d blocks, %d files, %d mappings of the engine",
                  (int)m->heap.blocks, (int)(os_held_now.blocks - before->blocks),
                  (int)(os_held_now.files - before->files),
                  (int)(os_held_now.maps - before->maps));
  lua_setfield(D, 2, "wrong");
}

static void set_integer(lua_State *D, const char *name, long value) {
  lua_pushinteger(D, value);
  lua_setfield(D, 2, name);
}

static long get_integer(lua_State *D, const char *name) {
  (void)lua_getfield(D, 1, name);
  long value = (long)luaL_optinteger(D, -1, 0);
  lua_pop(D, 1);
  return value;
}

static void make_plan(lua_State *D, machine *m) {
  (void)lua_getfield(D, 1, "fails");
  const char *fails = luaL_optstring(D, -1, "");
  memset(&os_plan, 0, sizeof os_plan);
  if (strcmp(fails, "heap") == 0) m->chosen = &m->heap.plan;
  if (strcmp(fails, "engine") == 0) m->chosen = &os_plan;
  lua_pop(D, 1);
  if (m->chosen == NULL) return;
  m->chosen->at = get_integer(D, "at");
  m->chosen->times = get_integer(D, "times");
  if (m->chosen->times == 0) m->chosen->times = PLAN_FOR_GOOD;
}

/* machine.run{given, prelude, before, run, after, fails, at, times} -> {kind, said, wrong,
 * ...}
 *
 * In a fresh Lua state with the standard libraries and freyja.core, calls the functions of
 * these chunks (as of string.dump) in turn, each with one table, which holds a copy of
 * `given`. While `run` is called, the allocations of "heap" (Lua's) or "engine" (freyja's), as
 * `fails` says, fail: `times` of them (0: all) from the one numbered `at` on. `after` is also
 * given what became of `run`: "ok", an error object's code, "memory" or "other". Then the
 * state is closed.
 *
 * kind, said     of `run`: see above; its result or error as text
 * wrong          what another chunk raised, or what was left; nil if all is well
 * heap, engine   numbers of their allocations in `run`
 * failed         how many failed
 * result         of `after`, as text
 * warnings       what errors in finalizers said */
static int machine_run(lua_State *D) {
  machine m;
  os_held before = os_held_now;
  lua_settop(D, 1);
  lua_newtable(D);
  create(&m);
  make_plan(D, &m);
  (void)lua_getfield(D, 1, "given");
  give(D, 3, m.T);
  bool good = run_chunk(D, &m, "prelude") && run_chunk(D, &m, "describe") &&
              run_chunk(D, &m, "before");
  if (good) {
    run_under_test(D, &m);
    good = run_chunk(D, &m, "mend") && run_chunk(D, &m, "after");
    if (good) lua_setfield(D, 2, "result");
  }
  if (!good) lua_setfield(D, 2, "wrong");
  lua_close(m.T);
  if (good) tell_left(D, &m, &before);
  set_integer(D, "heap", m.heap_calls);
  set_integer(D, "engine", m.engine_calls);
  set_integer(D, "failed", m.chosen == NULL ? 0 : m.chosen->failed);
  lua_pushstring(D, m.warnings);
  lua_setfield(D, 2, "warnings");
  lua_settop(D, 2);
  return 1;
}

/* ---- files -------------------------------------------------------------------------- */

void machine_remove(const char *folder) {
  DIR *stream = opendir(folder);
  const struct dirent *entry = NULL;
  while (stream != NULL && (entry = readdir(stream)) != NULL) {
    char name[600];
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    (void)snprintf(name, sizeof name, "%s/%s", folder, entry->d_name);
    if (unlink(name) != 0) machine_remove(name);
  }
  if (stream != NULL) (void)closedir(stream);
  (void)rmdir(folder);
}

/* machine.empty(path): makes it an empty directory */
static int machine_empty(lua_State *D) {
  const char *path = luaL_checkstring(D, 1);
  machine_remove(path);
  if (mkdir(path, 0700) != 0) return luaL_error(D, "cannot make %s", path);
  return 0;
}

/* machine.open_files() -> number of the process's descriptors */
static int machine_open_files(lua_State *D) {
  DIR *stream = opendir("/proc/self/fd");
  lua_Integer count = 0;
  while (stream != NULL && readdir(stream) != NULL) count++;
  if (stream != NULL) (void)closedir(stream);
  lua_pushinteger(D, count);
  return 1;
}

/* machine.clock(now, monotonic, step): the engine's clocks say that, in microseconds, from now
 * on, and move by `step` when they are asked; without arguments: what the system's say */
static int machine_clock(lua_State *D) {
  os_clock_now.moved_by_hand = !lua_isnoneornil(D, 1);
  os_clock_now.now = (uint64_t)luaL_optinteger(D, 1, 0);
  os_clock_now.monotonic = (uint64_t)luaL_optinteger(D, 2, 0);
  os_clock_now.step = (uint64_t)luaL_optinteger(D, 3, 0);
  return 0;
}

/* machine.fail_syncs(errno): syncs of files fail with it from now on; 0: they do not */
static int machine_fail_syncs(lua_State *D) {
  os_sync_code = (int)luaL_checkinteger(D, 1);
  return 0;
}

int luaopen_machine(lua_State *L) {
  static const luaL_Reg functions[] = {{"run", machine_run},
                                       {"empty", machine_empty},
                                       {"open_files", machine_open_files},
                                       {"clock", machine_clock},
                                       {"fail_syncs", machine_fail_syncs},
                                       {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
