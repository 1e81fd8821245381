/* check.c - see check.h. */
#include "check.h"

#include <string.h>

#include "hash.h"
#include "input.h"
#include "recipe.h"

#define CALLS_MAX 1000000u         /* of an iterator, for an input that a fuzzer makes */
#define PROBES 3u                  /* keys that are looked for in vain */
#define STEP_CALLS 200u            /* of a step that a store without a record takes */
#define MEMORY_ALWAYS (512u << 10) /* bytes; buffers are up to 256 KiB */

void fuzz_check_error(freyja_status status, const freyja_error *error) {
  if (!freyja_is_fault(status)) return;
  const char *name = freyja_status_name(status);
  bool expected = status == FREYJA_IO || status == FREYJA_CORRUPT || status == FREYJA_LIMIT ||
                  status == FREYJA_FORMAT || status == FREYJA_READONLY;
  if (!expected) fuzz_fail("a fault that cannot be: %s: %s", name, error->message);
  if (error->status != status) fuzz_fail("the error of %s has another status", name);
  if (error->message[0] == '\0') fuzz_fail("%s has no message", name);
  if (status != FREYJA_LIMIT && strncmp(error->path, "db", 2) != 0)
    fuzz_fail("%s names no file: %s (%s)", name, error->message, error->path);
}

/* ---- opening and closing --------------------------------------------------- */

freyja *fuzz_open(sim_disk *disk, const fuzz_mode *mode, freyja_error *error) {
  freyja *db = NULL;
  freyja_options options;
  freyja_options_init(&options);
  options.io = mode->io;
  options.readonly = mode->readonly;
  options.sync_mode = mode->sync_mode;
  options.segment_size = mode->segment_size;
  options.os = &disk->os;
  memset(error, 0, sizeof *error);
  freyja_status status = freyja_open(mode->path, &options, &db, error);
  fuzz_check_error(status, error);
  if ((status == FREYJA_OK) != (db != NULL)) fuzz_fail("open: a handle and no OK, or not");
  if (db == NULL) fuzz_check_held(disk, "after an open that failed");
  return db;
}

void fuzz_close(freyja *db) {
  freyja_error error;
  freyja_status status = freyja_close(db, &error);
  if (status != FREYJA_OK) fuzz_fail("close: %s", error.message);
}

void fuzz_check_held(const sim_disk *disk, const char *when) {
  long held = sim_disk_held(disk);
  if (held != 0) fuzz_fail("%ld things are held %s", held, when);
}

/* ---- iterating --------------------------------------------------------------- */

bool fuzz_drain(freyja_iterator *iterator, fuzz_view *view) {
  freyja_entry entry;
  freyja_error error, before;
  memset(&before, 0, sizeof before);
  for (uint32_t i = 0; i < CALLS_MAX; i++) {
    freyja_status status = freyja_iterator_next(iterator, &entry, &error);
    if (status == FREYJA_OK) {
      fuzz_view_add(view, entry.key.data, entry.key.size, entry.value.data, entry.value.size,
                    entry.timestamp, entry.expiry);
      continue;
    }
    if (status == FREYJA_END) return before.status == FREYJA_OK;
    fuzz_check_error(status, &error);
    if (status != FREYJA_CORRUPT) fuzz_fail("iterating: %s", error.message);
    /* Told again, word by word: it stands in place of END. */
    if (before.status != FREYJA_OK && strcmp(before.message, error.message) == 0 &&
        strcmp(before.path, error.path) == 0)
      return false;
    before = error;
  }
  fuzz_fail("iterating does not end");
}

static bool iterate(freyja *db, const freyja_iterator_options *options, fuzz_view *view) {
  freyja_iterator *iterator = NULL;
  freyja_error error;
  freyja_status status = freyja_iterator_open(db, options, &iterator, &error);
  if (status != FREYJA_OK) fuzz_fail("opening an iterator: %s", error.message);
  fuzz_view_clear(view);
  bool whole = fuzz_drain(iterator, view);
  freyja_iterator_close(iterator);
  return whole;
}

static void check_once(const fuzz_view *view, const char *what) {
  for (size_t i = 1; i < view->count; i++) {
    freyja_slice a = fuzz_view_key(view, &view->items[i - 1]);
    freyja_slice b = fuzz_view_key(view, &view->items[i]);
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    if (order > 0 || (order == 0 && a.size > b.size)) fuzz_fail("%s: not in order", what);
    if (order == 0 && a.size == b.size) fuzz_fail("%s: a key stands twice", what);
  }
}

/* ---- getting ----------------------------------------------------------------- */

static void check_get(freyja *db, const fuzz_view *view, const fuzz_item *item) {
  static uint8_t buffer[1u << 17];
  freyja_error error;
  freyja_slice key = fuzz_view_key(view, item);
  size_t size = 0;
  freyja_status status =
      freyja_get(db, key.data, key.size, buffer, sizeof buffer, &size, &error);
  if (status != FREYJA_OK)
    fuzz_fail("get of a key that was iterated: %s", freyja_status_name(status));
  if (size > sizeof buffer || !fuzz_item_is(item, buffer, size))
    fuzz_fail("get gives another value than iterating");
  if (freyja_has(db, key.data, key.size, &error) != FREYJA_OK)
    fuzz_fail("has does not know a key that was iterated");
}

static void check_absent(freyja *db, const fuzz_view *view, bool whole, uint8_t number) {
  freyja_error error;
  freyja_view value;
  size_t size = 0;
  const uint8_t *key = fuzz_key(number, &size);
  if (fuzz_view_find(view, key, size) != NULL) return;
  freyja_status status = freyja_get_view(db, key, size, &value, &error);
  fuzz_check_error(status, &error);
  if (status == FREYJA_NOTFOUND || (status == FREYJA_CORRUPT && !whole)) return;
  fuzz_fail("get of a key that was not iterated: %s", freyja_status_name(status));
}

static void check_statistics(freyja *db, const fuzz_view *view, bool whole) {
  freyja_stats stats;
  freyja_segment segments[64];
  freyja_get_stats(db, &stats);
  if (whole ? stats.keys != view->count : stats.keys < view->count)
    fuzz_fail("%llu keys are counted, %zu iterated", (unsigned long long)stats.keys,
              view->count);
  if (!whole && stats.recovery.damaged == 0)
    fuzz_fail("not all can be read, and yet opening found no damage");
  size_t count = freyja_get_segments(db, segments, 64);
  uint64_t live = 0;
  for (size_t i = 0; i < count && i < 64; i++) {
    live += segments[i].live_keys;
    if (segments[i].live_bytes + segments[i].dead_bytes > segments[i].bytes)
      fuzz_fail("segment %zu has more bytes than it has", i);
    if (segments[i].live_keys > segments[i].keys)
      fuzz_fail("segment %zu has more live keys than keys", i);
  }
  if (count <= 64 && live != stats.keys) fuzz_fail("the segments' live keys are not the keys");
}

bool fuzz_examine(freyja *db, fuzz_view *view) {
  static fuzz_view in_order;
  static const freyja_iterator_options by_key = {.order = FREYJA_ORDER_KEY};
  bool whole = iterate(db, NULL, view);
  fuzz_view_sort(view);
  check_once(view, "iterating in the log's order");
  if (iterate(db, &by_key, &in_order) != whole)
    fuzz_fail("only one of the two orders can be read to the end");
  check_once(&in_order, "iterating in the keys' order");
  fuzz_view_expect(&in_order, view, "iterating in the keys' order");
  for (size_t i = 0; i < view->count; i++) check_get(db, view, &view->items[i]);
  for (uint8_t i = 0; i < PROBES; i++) check_absent(db, view, whole, i);
  check_absent(db, view, whole, 255);
  check_statistics(db, view, whole);
  return whole;
}

bool fuzz_look(sim_disk *disk, const char *path, freyja_io io, fuzz_view *view, bool *whole,
               freyja_error *error) {
  fuzz_mode mode = {
      .path = path, .io = io, .readonly = true, .segment_size = FREYJA_SEGMENT_SIZE_MIN};
  uint64_t before = fuzz_disk_sum(disk);
  freyja *db = fuzz_open(disk, &mode, error);
  if (db != NULL) {
    *whole = fuzz_examine(db, view);
    fuzz_close(db);
  }
  if (fuzz_disk_sum(disk) != before) fuzz_fail("a read-only store was changed");
  return db != NULL;
}

/* ---- verifying ------------------------------------------------------------------ */

/* A hint that lies beside a file is looked at from the moment on at which that is sealed: what
 * is wrong with it is no change of what was read. */
static uint64_t hint_problems;

static bool is_hint(const char *path) {
  size_t size = strlen(path);
  return size > 5 && strcmp(path + size - 5, ".hint") == 0;
}

void fuzz_check_problem(void *argument, const freyja_problem *problem) {
  hint_problems += is_hint(problem->path);
  if (problem->message[0] == '\0') fuzz_fail("a problem has no message");
  if (strncmp(problem->path, "db", 2) != 0)
    fuzz_fail("a problem names no file: %s (%s)", problem->message, problem->path);
  if (problem->has_key) (void)fj_hash(problem->key.data, problem->key.size, 0);
  ++*(uint64_t *)argument;
}

uint64_t fuzz_verify(freyja *db, uint64_t keys, bool whole) {
  freyja_report report;
  freyja_error error;
  uint64_t told = 0;
  hint_problems = 0;
  freyja_status status = freyja_verify(db, fuzz_check_problem, &told, &report, &error);
  if (status != FREYJA_OK) fuzz_fail("verify: %s", error.message);
  if (told != report.problems)
    fuzz_fail("%llu problems were told of, %llu counted", (unsigned long long)told,
              (unsigned long long)report.problems);
  if (!whole && told == 0) fuzz_fail("not all can be read, and verify finds nothing");
  if (whole && report.keys != keys) fuzz_fail("verify counts other keys");
  return told - hint_problems;
}

/* ---- the disk ------------------------------------------------------------------ */

void fuzz_check_costs(const sim_disk *disk, uint64_t bytes, uint64_t steps) {
  if ((uint64_t)disk->calls > steps * (STEP_CALLS + bytes / 2))
    fuzz_fail("%ld calls in %llu steps for %llu bytes", disk->calls, (unsigned long long)steps,
              (unsigned long long)bytes);
  if (disk->memory.largest > bytes + MEMORY_ALWAYS)
    fuzz_fail("%llu bytes of memory at once for %llu bytes",
              (unsigned long long)disk->memory.largest, (unsigned long long)bytes);
}

uint64_t fuzz_nodes_sum(const sim_disk *disk, uint32_t first, uint32_t count) {
  uint64_t sum = 0;
  for (uint32_t i = first; i < first + count; i++) {
    const sim_node *node = &disk->nodes[i];
    sum = fj_hash(node->now.at, node->now.size, sum + node->now.size);
    for (uint32_t k = 0; k < node->entries.count; k++)
      sum = fj_hash(node->entries.items[k].name, strlen(node->entries.items[k].name),
                    sum + node->entries.items[k].node);
  }
  return sum;
}

uint64_t fuzz_disk_sum(const sim_disk *disk) {
  return fuzz_nodes_sum(disk, 0, disk->node_count) + disk->node_count;
}
