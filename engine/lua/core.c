/* core.c - the module freyja.core: open, and the making of all metatables. The
 * only C of the project that includes lua.h is in this folder. */
#include <stdio.h>
#include <string.h>

#include "background.h"

/* ---- options of open ------------------------------------------------------- */

static int bad_option(lua_State *L, const char *name, const char *what) {
  return luaL_argerror(L, 2, lua_pushfstring(L, "option '%s' must be %s", name, what));
}

/* What integers an option takes. */
typedef struct fjl_range {
  const char *name, *unit;
  uint32_t least, most;
} fjl_range;

static bool check_boolean(lua_State *L, const char *name) {
  if (!lua_isboolean(L, -1)) (void)bad_option(L, name, "a boolean");
  return lua_toboolean(L, -1);
}

/* An integer that is out of the range of the option's C type is out of its own range too: it
 * is told as the engine tells of the others. */
static uint32_t check_integer(lua_State *L, const fjl_range *range, const char *what,
                              freyja_error *error) {
  int is_integer = 0;
  lua_Integer value = lua_tointegerx(L, -1, &is_integer);
  if (!is_integer || lua_type(L, -1) != LUA_TNUMBER) (void)bad_option(L, range->name, what);
  if (value >= 0 && value <= (lua_Integer)UINT32_MAX) return (uint32_t)value;
  error->status = FREYJA_LIMIT;
  (void)snprintf(error->message, sizeof error->message,
                 "%s is " LUA_INTEGER_FMT "%s; it may be %u to %u", range->name,
                 (LUAI_UACINT)value, range->unit, range->least, range->most);
  return 0;
}

static void check_sync(lua_State *L, freyja_options *options, freyja_error *error) {
  static const char what[] = "\"none\", \"always\" or an integer (milliseconds)";
  static const fjl_range range = {"sync", " milliseconds", 1, FREYJA_SYNC_MS_MAX};
  if (lua_type(L, -1) != LUA_TSTRING) {
    options->sync_mode = FREYJA_SYNC_INTERVAL;
    options->sync_ms = check_integer(L, &range, what, error);
    return;
  }
  const char *mode = lua_tostring(L, -1);
  if (strcmp(mode, "none") == 0) options->sync_mode = FREYJA_SYNC_NONE;
  else if (strcmp(mode, "always") == 0) options->sync_mode = FREYJA_SYNC_ALWAYS;
  else (void)bad_option(L, "sync", what);
}

static void check_io(lua_State *L, freyja_options *options) {
  const char *io = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
  if (strcmp(io, "mmap") == 0) options->io = FREYJA_IO_MMAP;
  else if (strcmp(io, "syscall") == 0) options->io = FREYJA_IO_SYSCALL;
  else (void)bad_option(L, "io", "\"mmap\" or \"syscall\"");
}

/* Whether the option is the driver's to check. */
static bool is_of_driver(const char *name) {
  return strcmp(name, "maintenance") == 0 || strcmp(name, "policy") == 0 ||
         strcmp(name, "policy_settings") == 0 || strcmp(name, "rate") == 0 ||
         strcmp(name, "on_error") == 0;
}

/* The option whose name is below its value on the top of the stack. */
static void check_option(lua_State *L, freyja_options *options, freyja_error *error) {
  static const fjl_range segment_size = {"segment_size", " bytes", FREYJA_SEGMENT_SIZE_MIN,
                                         FREYJA_SEGMENT_SIZE_MAX};
  static const fjl_range hash_bits = {"hash_bits", "", 1, 64};
  if (lua_type(L, -2) != LUA_TSTRING) {
    (void)luaL_argerror(L, 2, "options have names");
    return;
  }
  const char *name = lua_tostring(L, -2);
  if (strcmp(name, "readonly") == 0) options->readonly = check_boolean(L, name);
  else if (strcmp(name, "create") == 0) options->create = check_boolean(L, name);
  else if (strcmp(name, "sync") == 0) check_sync(L, options, error);
  else if (strcmp(name, "io") == 0) check_io(L, options);
  else if (strcmp(name, "segment_size") == 0)
    options->segment_size = check_integer(L, &segment_size, "an integer (bytes)", error);
  else if (strcmp(name, "hash_bits") == 0)
    options->hash_bits = check_integer(L, &hash_bits, "an integer", error);
  else if (!is_of_driver(name))
    (void)luaL_argerror(L, 2, lua_pushfstring(L, "unknown option '%s'", name));
}

/* The options at index 2. *error tells of a number beyond all limits. */
static void check_options(lua_State *L, freyja_options *options, freyja_error *error) {
  freyja_options_init(options);
  memset(error, 0, sizeof *error);
  if (lua_isnoneornil(L, 2)) return;
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_pushnil(L);
  while (lua_next(L, 2) != 0) {
    check_option(L, options, error);
    lua_pop(L, 1);
  }
}

/* nil, error */
static int push_failure(lua_State *L, const freyja_error *error) {
  lua_pushnil(L);
  fjl_push_error(L, error);
  return 2;
}

/* The store on the top of the stack is open, as its handle says: gives it the driver at index
 * 3. Returns as lua_pcall; after a failure it is closed, and the error on the stack. */
static int begin_maintenance(lua_State *L, fjl_object *store) {
  if (lua_toboolean(L, 4)) store->handle->until_step = 1; /* the first write calls it */
  lua_pushvalue(L, 3);
  (void)lua_setiuservalue(L, -2, 2);
  if (!lua_toboolean(L, 5)) return LUA_OK;
  lua_insert(L, 1);
  int status = fjl_begin_driver(L, store);
  if (status != LUA_OK && store->handle != NULL) {
    fjl_background_stop(L, store->handle);
    (void)freyja_close(store->handle->db, NULL);
    fjl_release(L, store);
  }
  if (status == LUA_OK) lua_pushvalue(L, 1);
  return status;
}

/* open([path [, options]]) -> store | nil, error */
static int core_open(lua_State *L) {
  freyja_options options;
  size_t size = 0;
  freyja_error error;
  const char *path = luaL_optlstring(L, 1, "freyja.db", &size);
  luaL_argcheck(L, strlen(path) == size, 1, "the path contains a zero byte");
  check_options(L, &options, &error);
  if (error.status != FREYJA_OK) return push_failure(L, &error);
  lua_settop(L, 2);
  fjl_make_driver(L);
  fjl_object *store = fjl_push_object(L, fjl_store_kind);
  lua_pushstring(L, path);
  (void)lua_setiuservalue(L, 6, 1);
  freyja_status status = freyja_open(path, &options, &store->handle->db, &error);
  if (status == FREYJA_CONFLICT && fjl_sweep(L)) /* with a store that was lost */
    status = freyja_open(path, &options, &store->handle->db, &error);
  if (status != FREYJA_OK) {
    fjl_release(L, store);
    return push_failure(L, &error);
  }
  if (options.readonly || begin_maintenance(L, store) == LUA_OK) return 1;
  if (lua_type(L, -1) == LUA_TSTRING) return lua_error(L);
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

/* is_store(value) -> boolean: whether it is a store, open or closed */
static int core_is_store(lua_State *L) {
  const fjl_object *object = lua_touserdata(L, 1);
  lua_pushboolean(L, object != NULL && lua_rawlen(L, 1) == sizeof *object &&
                         object->kind == fjl_store_kind);
  return 1;
}

/* check_open(store): raises if it is closed */
static int core_check_open(lua_State *L) {
  (void)fjl_check_store(L);
  return 0;
}

int luaopen_freyja_core(lua_State *L) {
  static const luaL_Reg functions[] = {{"open", core_open},
                                       {"repair", fjl_repair},
                                       {"is_store", core_is_store},
                                       {"set_driver", fjl_set_driver},
                                       {"driver", fjl_driver},
                                       {"fail", fjl_fail},
                                       {"start", fjl_start},
                                       {"wake", fjl_wake},
                                       {"await", fjl_await},
                                       {"report", fjl_report},
                                       {"watch", fjl_watch_thread},
                                       {"did", fjl_did},
                                       {"is_over", fjl_is_over},
                                       {"take_failure", fjl_take_failure},
                                       {"tell", fjl_tell},
                                       {"pause", fjl_pause},
                                       {"as_error", fjl_as_error},
                                       {"pulse", fjl_pulse},
                                       {"take_charge", fjl_take_charge},
                                       {"peek", fjl_peek},
                                       {"expire", fjl_expire},
                                       {"timer", fjl_timer},
                                       {"sleep", fjl_sleep},
                                       {"hint_step", fjl_hint_step},
                                       {"check_open", core_check_open},
                                       {"begin_load", fjl_begin_load},
                                       {NULL, NULL}};
  luaL_checkversion(L);
  fjl_create_handles(L);
  fjl_create_error(L);
  fjl_create_store(L);
  fjl_create_iterator(L);
  fjl_create_rewrite(L);
  fjl_create_transaction(L);
  fjl_create_load(L);
  fjl_create_problems(L);
  luaL_newlib(L, functions);
  lua_pushliteral(L, FREYJA_VERSION);
  lua_setfield(L, -2, "version");
  (void)luaL_getmetatable(L,
                          fjl_store_kind); /* where the module adds what is written in Lua */
  (void)lua_getfield(L, -1, "__index");
  lua_setfield(L, -3, "methods");
  lua_pop(L, 1);
  return 1;
}
