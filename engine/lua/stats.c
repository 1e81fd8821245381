/* stats.c - db:stats() and db:segments() as tables. */
#include "binding.h"

static void set_integer(lua_State *L, const char *key, uint64_t value) {
  lua_pushinteger(L, (lua_Integer)value);
  lua_setfield(L, -2, key);
}

static void set_boolean(lua_State *L, const char *key, bool value) {
  lua_pushboolean(L, value);
  lua_setfield(L, -2, key);
}

static void set_string(lua_State *L, const char *key, const char *value) {
  lua_pushstring(L, value);
  lua_setfield(L, -2, key);
}

static void set_error(lua_State *L, const char *key, const freyja_error *error) {
  if (error->status == FREYJA_OK) return;
  fjl_push_error(L, error);
  lua_setfield(L, -2, key);
}

/* Stack: +1. */
static void push_recovery(lua_State *L, const freyja_recovery *recovery) {
  lua_createtable(L, 0, 11);
  set_integer(L, "records", recovery->records);
  set_integer(L, "bytes_cut", recovery->bytes_cut);
  set_integer(L, "files_scanned", recovery->files_scanned);
  set_integer(L, "hints_used", recovery->hints_used);
  set_integer(L, "hints_ignored", recovery->hints_ignored);
  set_integer(L, "damaged", recovery->damaged);
  lua_pushnumber(L, recovery->milliseconds);
  lua_setfield(L, -2, "milliseconds");
  set_error(L, "damage", &recovery->damage);
  set_error(L, "hint", &recovery->hint);
  set_boolean(L, "checkpoint_used", recovery->checkpoint_used);
  set_error(L, "checkpoint", &recovery->checkpoint);
}

static void set_sync(lua_State *L, const freyja_stats *stats) {
  if (stats->sync_mode == FREYJA_SYNC_INTERVAL) set_integer(L, "sync", stats->sync_ms);
  else set_string(L, "sync", stats->sync_mode == FREYJA_SYNC_NONE ? "none" : "always");
}

/* db:stats() -> table */
int fjl_stats(lua_State *L) {
  freyja_stats stats;
  freyja_get_stats(fjl_check_store(L), &stats);
  lua_createtable(L, 0, 19);
  set_integer(L, "keys", stats.keys);
  set_integer(L, "segments", stats.segments);
  set_integer(L, "bytes", stats.bytes);
  set_integer(L, "live_bytes", stats.live_bytes);
  set_integer(L, "dead_bytes", stats.dead_bytes);
  set_integer(L, "pending_bytes", stats.pending_bytes);
  set_integer(L, "index_bytes", stats.index_bytes);
  set_integer(L, "generation", stats.generation);
  set_integer(L, "puts", stats.puts);
  set_integer(L, "deletes", stats.deletes);
  set_integer(L, "syncs", stats.syncs);
  set_integer(L, "iterators", stats.iterators);
  set_boolean(L, "poisoned", stats.poisoned);
  set_boolean(L, "readonly", stats.readonly);
  set_string(L, "io", stats.io == FREYJA_IO_MMAP ? "mmap" : "syscall");
  set_sync(L, &stats);
  set_integer(L, "segment_size", stats.segment_size);
  set_string(L, "store_id", stats.store_id);
  push_recovery(L, &stats.recovery);
  lua_setfield(L, -2, "recovery");
  fjl_push_report(L);
  lua_setfield(L, -2, "maintenance");
  return 1;
}

/* Stack: +1. */
static void push_segment(lua_State *L, const freyja_segment *segment) {
  lua_createtable(L, 0, 15);
  set_integer(L, "id", segment->id);
  set_integer(L, "rank", segment->rank);
  set_integer(L, "bytes", segment->bytes);
  set_integer(L, "live_bytes", segment->live_bytes);
  set_integer(L, "dead_bytes", segment->dead_bytes);
  set_integer(L, "keys", segment->keys);
  set_integer(L, "live_keys", segment->live_keys);
  set_integer(L, "tombstones", segment->tombstones);
  set_integer(L, "oldest", segment->oldest);
  set_integer(L, "newest", segment->newest);
  if (segment->expires != 0) set_integer(L, "expires", segment->expires);
  if (segment->began != 0) set_integer(L, "began", segment->began);
  set_boolean(L, "sealed", segment->sealed);
  set_boolean(L, "damaged", segment->damaged);
  set_boolean(L, "has_hint", segment->has_hint);
  set_boolean(L, "merged", segment->merged);
}

typedef size_t (*get_segments)(freyja *db, freyja_segment *out, size_t capacity);

/* A list of tables, oldest first. The figures are copied into a
 * userdata first, so that all are of one moment. Finalizers that run when it is made may begin
 * more segments: with each turn it has more to spare. */
static int push_segments(lua_State *L, get_segments get) {
  (void)fjl_check_store(L);
  size_t room = 0, count = 0;
  freyja_segment *segments = NULL;
  do {
    lua_settop(L, 1);
    room = 2 * room + get(fjl_check_store(L), NULL, 0);
    segments = lua_newuserdatauv(L, (room + 1) * sizeof *segments, 0);
    count = get(fjl_check_store(L), segments, room);
  } while (count > room);
  lua_createtable(L, (int)count, 0);
  for (size_t i = 0; i < count; i++) {
    push_segment(L, &segments[i]);
    lua_seti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

/* db:segments() -> list of tables */
int fjl_segments(lua_State *L) { return push_segments(L, freyja_get_segments); }

/* peek(db) -> list of tables: as db:segments(), but does not look for what has expired */
int fjl_peek(lua_State *L) { return push_segments(L, freyja_peek_segments); }
