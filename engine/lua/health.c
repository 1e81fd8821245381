/* health.c - db:verify, db:backup and repair. The engine's visitor runs while the engine
 * works: it calls no Lua, but collects the problems in a block that a handle owns; the tables
 * are made afterwards. */
#include <string.h>

#include "binding.h"

#define PROBLEMS_MAX 100000u /* that are listed; more are counted */
#define BLOCK_MIN 4096u      /* bytes */

/* A problem as it is kept; path, message and key follow. */
typedef struct fjl_kept {
  uint64_t offset, size;
  size_t path_size, message_size, key_size;
  bool has_key, lost;
} fjl_kept;

/* The list while it is made. */
typedef struct fjl_problems {
  fjl_object *object; /* on the Lua stack */
  fjl_handle *handle; /* its handle, which has the block */
  lua_Alloc allocate;
  void *context;
  size_t used; /* bytes of the block */
  size_t count;
  bool failed; /* there was no memory for one */
} fjl_problems;

static int problems_collect(lua_State *L) {
  fjl_release(L, fjl_check_object(L, fjl_problems_kind));
  return 0;
}

void fjl_create_problems(lua_State *L) {
  (void)luaL_newmetatable(L, fjl_problems_kind);
  lua_pushcfunction(L, problems_collect);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}

/* Stack: +1. */
static fjl_problems push_problems(lua_State *L) {
  fjl_problems problems;
  memset(&problems, 0, sizeof problems);
  problems.object = fjl_push_object(L, fjl_problems_kind);
  problems.handle = problems.object->handle;
  problems.allocate = lua_getallocf(L, &problems.context);
  return problems;
}

/* ---- collecting: no Lua here ------------------------------------------------ */

static bool make_room(fjl_problems *problems, size_t size) {
  fjl_handle *handle = problems->handle;
  size_t room = handle->block_size < BLOCK_MIN ? BLOCK_MIN : handle->block_size;
  while (room - problems->used < size) room *= 2;
  if (room == handle->block_size) return true;
  void *block = problems->allocate(problems->context, handle->block, handle->block_size, room);
  if (block == NULL) return false;
  handle->block = block;
  handle->block_size = room;
  return true;
}

static void append(fjl_problems *problems, const void *bytes, size_t size) {
  if (size > 0) memcpy(problems->handle->block + problems->used, bytes, size);
  problems->used += size;
}

static void keep_problem(void *argument, const freyja_problem *problem) {
  fjl_problems *problems = argument;
  fjl_kept kept;
  if (problems->failed || problems->count == PROBLEMS_MAX) return;
  memset(&kept, 0, sizeof kept);
  kept.offset = problem->offset;
  kept.size = problem->size;
  kept.path_size = strlen(problem->path);
  kept.message_size = strlen(problem->message);
  kept.key_size = problem->key.size;
  kept.has_key = problem->has_key;
  kept.lost = problem->lost;
  problems->failed =
      !make_room(problems, sizeof kept + kept.path_size + kept.message_size + kept.key_size);
  if (problems->failed) return;
  append(problems, &kept, sizeof kept);
  append(problems, problem->path, kept.path_size);
  append(problems, problem->message, kept.message_size);
  append(problems, problem->key.data, kept.key_size);
  problems->count++;
}

/* ---- as tables ---------------------------------------------------------------- */

static void set_integer(lua_State *L, const char *key, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, key);
}

static void set_string(lua_State *L, const char *key, const unsigned char *bytes,
                       size_t size) {
  lua_pushlstring(L, (const char *)bytes, size);
  lua_setfield(L, -2, key);
}

/* Pushes the problem at `at`; returns where the next one begins. Stack: +1. */
static const unsigned char *push_problem(lua_State *L, const unsigned char *at) {
  fjl_kept kept;
  memcpy(&kept, at, sizeof kept);
  at += sizeof kept;
  lua_createtable(L, 0, 6);
  set_string(L, "path", at, kept.path_size);
  at += kept.path_size;
  set_string(L, "message", at, kept.message_size);
  at += kept.message_size;
  if (kept.has_key) set_string(L, "key", at, kept.key_size);
  at += kept.key_size;
  set_integer(L, "offset", kept.offset);
  set_integer(L, "size", kept.size);
  if (kept.lost) {
    lua_pushboolean(L, true);
    lua_setfield(L, -2, "lost");
  }
  return at;
}

/* The report as a table, with the list of problems in the userdata below it. Stack: +1. */
static int push_report(lua_State *L, const fjl_problems *problems,
                       const freyja_report *report) {
  lua_createtable(L, 0, 16);
  lua_pushboolean(L, report->problems == 0);
  lua_setfield(L, -2, "ok");
  set_integer(L, "files", report->files);
  set_integer(L, "records", report->records);
  set_integer(L, "bytes", report->bytes);
  set_integer(L, "keys", report->keys);
  set_integer(L, "torn_bytes", report->torn_bytes);
  set_integer(L, "problem_count", report->problems);
  lua_createtable(L, (int)problems->count, 0);
  const unsigned char *at = problems->handle->block;
  for (size_t i = 0; i < problems->count; i++) {
    at = push_problem(L, at);
    lua_seti(L, -2, (lua_Integer)i + 1);
  }
  lua_setfield(L, -2, "problems");
  return 1;
}

/* What a call came to: the report, or an error. The list of problems is in the object on the
 * top of the stack. Stack: +1. */
static int finish(lua_State *L, freyja_status status, const fjl_problems *problems,
                  const freyja_report *report, const freyja_error *error) {
  if (status != FREYJA_OK) return fjl_raise(L, error);
  if (problems->failed)
    return fjl_raise_plain(L, FREYJA_MEMORY, "not enough memory to list the problems");
  (void)push_report(L, problems, report);
  fjl_release(L, problems->object);
  return 1;
}

/* ---- the calls ---------------------------------------------------------------- */

/* db:verify() -> report */
int fjl_verify(lua_State *L) {
  freyja_report report;
  freyja_error error;
  const fjl_object *store = fjl_check_object(L, fjl_store_kind);
  fjl_problems problems = push_problems(L);
  freyja *db = fjl_open_store(L, store);
  freyja_status status = freyja_verify(db, keep_problem, &problems, &report, &error);
  return finish(L, status, &problems, &report, &error);
}

static const char *check_path(lua_State *L, int index) {
  size_t size = 0;
  const char *path = luaL_checklstring(L, index, &size);
  luaL_argcheck(L, strlen(path) == size, index, "the path contains a zero byte");
  return path;
}

/* Whether sealed files may be linked: the options at index 3. */
static bool check_links(lua_State *L) {
  bool links = true;
  if (lua_isnoneornil(L, 3)) return links;
  luaL_checktype(L, 3, LUA_TTABLE);
  lua_pushnil(L);
  while (lua_next(L, 3) != 0) {
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
    if (strcmp(name, "links") != 0)
      luaL_argerror(L, 3, lua_pushfstring(L, "unknown option '%s'", name));
    luaL_argcheck(L, lua_isboolean(L, -1), 3, "option 'links' must be a boolean");
    links = lua_toboolean(L, -1);
    lua_pop(L, 1);
  }
  return links;
}

/* db:backup(path [, {links = boolean}]) */
int fjl_backup(lua_State *L) {
  freyja_error error;
  const fjl_object *store = fjl_check_object(L, fjl_store_kind);
  (void)fjl_open_store(L, store);
  const char *path = check_path(L, 2);
  freyja_backup_options options = {.copy = !check_links(L)};
  freyja *db = fjl_open_store(L, store);
  if (freyja_backup(db, path, &options, &error) != FREYJA_OK) return fjl_raise(L, &error);
  return 0;
}

/* The option `to` of the table at index 2: the path stays on the stack at index 3. */
static const char *check_to(lua_State *L) {
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  lua_pushnil(L);
  lua_pushnil(L);
  while (lua_next(L, 2) != 0) {
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
    if (strcmp(name, "to") != 0)
      luaL_argerror(L, 2, lua_pushfstring(L, "unknown option '%s'", name));
    lua_copy(L, -1, 3);
    lua_pop(L, 1);
  }
  luaL_argcheck(L, lua_type(L, 3) == LUA_TSTRING, 2, "option 'to' must be a string (a path)");
  const char *to = lua_tostring(L, 3);
  luaL_argcheck(L, strlen(to) == lua_rawlen(L, 3), 2, "the path contains a zero byte");
  return to;
}

/* repair(path, {to = path}) -> report */
int fjl_repair(lua_State *L) {
  freyja_report report;
  freyja_error error;
  const char *path = check_path(L, 1);
  const char *to = check_to(L);
  fjl_problems problems = push_problems(L);
  freyja_status status = freyja_repair(path, to, keep_problem, &problems, &report, &error);
  if (status == FREYJA_LOCKED && fjl_sweep(L)) /* by a store that was lost */
    status = freyja_repair(path, to, keep_problem, &problems, &report, &error);
  (void)finish(L, status, &problems, &report, &error);
  set_integer(L, "torn_records", report.torn_records);
  set_integer(L, "lost_keys", report.lost_keys);
  set_integer(L, "doubtful_keys", report.doubtful_keys);
  return 1;
}
