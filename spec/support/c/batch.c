/* batch.c - records that are put aside and applied by their hashes: with the result that one
 * after the other would have, in memory in proportion, at a cost in proportion. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "estimate.h"

static int failures;

static void ok(bool condition, const char *name) {
  printf("%s batch: %s\n", condition ? "ok" : "not ok", name);
  failures += !condition;
}

static uint64_t next_random(void) {
  static uint64_t count;
  count++;
  return fj_hash(&count, sizeof count, 0);
}

/* ---- an index of one segment whose file is not there ------------------------- */

typedef struct log_index {
  fj_dir dir;
  fj_index index;
  fj_segment *segment;
  fj_batch batch;
  uint64_t end; /* of the segment's records */
} log_index;

static void open_log(log_index *log, uint64_t left) {
  fj_identity identity = {.hash_seed = 0};
  log->dir = (fj_dir){.os = fj_os_real(), .path = (char *)(uintptr_t) "nowhere", .fd = -1};
  fj_index_create(&log->index, &log->dir, &identity, FREYJA_IO_SYSCALL, true, 64);
  if (fj_index_grow(&log->index, 1, NULL) != FREYJA_OK ||
      fj_segment_assume(&log->index.pool, 1, 1, 1 << 30, &log->segment, NULL) != FREYJA_OK)
    exit(1);
  fj_index_add(&log->index, log->segment);
  fj_batch_create(&log->batch, &log->index, left);
  log->end = FJ_SEGMENT_HEADER;
}

static freyja_status add(log_index *log, uint8_t kind, uint64_t hash) {
  fj_record record = {.kind = kind, .size = FJ_RECORD_HEADER + FJ_RECORD_ALIGN};
  uint64_t offset = log->end;
  log->end += record.size;
  return fj_batch_add(&log->batch, log->segment, offset, &record, hash, NULL);
}

static void close_log(log_index *log) {
  fj_batch_destroy(&log->batch);
  fj_index_destroy(&log->index);
}

/* ---- the order --------------------------------------------------------------- */

/* Whether each of the hashes has the slot of its last record, if that was a put: `last` is
 * that record's offset, or 0. */
static bool is_right(log_index *log, const uint64_t *hashes, const uint64_t *last,
                     uint64_t count) {
  uint64_t live = 0;
  bool right = true;
  for (uint64_t i = 0; i < count; i++) {
    fj_place place;
    bool there = fj_keydir_find(&log->index.keydir, hashes[i], &place);
    live += last[i] != 0;
    right = right && there == (last[i] != 0) &&
            (!there || fj_word_offset(place.slot->word) == last[i]);
  }
  return right && live == log->index.keydir.count && live == log->segment->live_keys;
}

/* `records` of so many keys, one in four a tombstone. */
static void test_order(uint64_t keys, uint64_t records, const char *name) {
  log_index log;
  uint64_t *hashes = calloc(keys, sizeof *hashes), *last = calloc(keys, sizeof *last);
  if (hashes == NULL || last == NULL) exit(1);
  for (uint64_t i = 0; i < keys; i++) hashes[i] = next_random();
  open_log(&log, 0);
  freyja_status status = FREYJA_OK;
  for (uint64_t i = 0; i < records && status == FREYJA_OK; i++) {
    uint64_t key = next_random() % keys;
    bool put = next_random() % 4 != 0;
    last[key] = put ? log.end : 0;
    status = add(&log, put ? FJ_KIND_PUT : FJ_KIND_TOMBSTONE, hashes[key]);
  }
  if (status == FREYJA_OK) status = fj_batch_flush(&log.batch, NULL);
  ok(status == FREYJA_OK && is_right(&log, hashes, last, keys), name);
  close_log(&log);
  free(hashes);
  free(last);
}

/* ---- memory ------------------------------------------------------------------ */

/* A log that begins with new keys, so that many more are expected than there are. */
static void test_memory(void) {
  log_index log;
  freyja_status status = FREYJA_OK;
  open_log(&log, UINT64_C(1) << 30);
  for (uint64_t i = 0; i < 600000 && status == FREYJA_OK; i++)
    status = add(&log, FJ_KIND_PUT, next_random());
  if (status == FREYJA_OK) status = fj_batch_flush(&log.batch, NULL);
  fj_keydir *keydir = &log.index.keydir;
  ok(status == FREYJA_OK && fj_keydir_bytes(keydir) > 26 * keydir->count,
     "more keys are expected than there turn out to be");
  fj_keydir_fit(keydir);
  ok(fj_keydir_bytes(keydir) < 25 * keydir->count &&
         fj_keydir_bytes(keydir) > 19 * keydir->count,
     "and then the memory is given back");
  close_log(&log);
}

/* `records` of so many keys; then whether they are all still put aside. */
static bool is_aside(uint64_t keys, uint64_t records) {
  log_index log;
  freyja_status status = FREYJA_OK;
  open_log(&log, UINT64_C(1) << 30);
  for (uint64_t i = 0; i < records && status == FREYJA_OK; i++) {
    uint64_t key = next_random() % keys;
    status = add(&log, FJ_KIND_PUT, fj_hash(&key, sizeof key, 0));
  }
  bool aside = status == FREYJA_OK && log.index.keydir.count == 0;
  close_log(&log);
  return aside;
}

/* The keydir has to grow for new keys, which go into it together; others would need more
 * memory than it does. */
static void test_aside(void) {
  ok(is_aside(UINT64_C(1) << 40, 1500000), "new keys wait for each other");
  ok(!is_aside(100000, 600000), "where there are few of them, records do not");
}

/* ---- what finding places may cost -------------------------------------------- */

#define APPLIED 1000000u /* records */

/* Applies records of other keys until that is refused, or to the end. *searched: what finding
 * their places has cost. */
static freyja_status apply_all(uint64_t (*hash_of)(uint64_t i), uint64_t *searched) {
  log_index log;
  freyja_status status = FREYJA_OK;
  open_log(&log, 0);
  for (uint64_t i = 0; i < APPLIED && status == FREYJA_OK; i++)
    status = add(&log, FJ_KIND_PUT, hash_of(i));
  if (status == FREYJA_OK) status = fj_batch_flush(&log.batch, NULL);
  *searched = log.index.searched;
  close_log(&log);
  return status;
}

static uint64_t random_hash(uint64_t i) {
  (void)i;
  return next_random();
}

static uint64_t rising_hash(uint64_t i) { return i; }
static uint64_t falling_hash(uint64_t i) { return APPLIED - i; }

/* Hashes that are next to each other belong in the same slot: no file can make that slow. */
static void test_costs(void) {
  uint64_t searched = 0;
  const uint64_t most = UINT64_C(512) << 20;
  ok(apply_all(random_hash, &searched) == FREYJA_OK && searched < UINT64_C(32) * APPLIED,
     "random hashes cost less than their records' bytes");
  ok(apply_all(rising_hash, &searched) == FREYJA_LIMIT && searched < most,
     "rising hashes are refused");
  ok(apply_all(falling_hash, &searched) == FREYJA_LIMIT && searched < most,
     "falling hashes are refused");
}

/* Many entries of the lowest hashes: there are no more keys than entries. */
static void test_estimate(void) {
  const uint64_t entries = 100000;
  log_index log;
  fj_estimate estimate;
  open_log(&log, 0);
  bool asked = fj_estimate_open(&estimate, &log.index.keydir, entries);
  for (uint64_t i = 0; asked && i < entries; i++)
    fj_estimate_note(&estimate, estimate.bound / entries * i, false);
  ok(asked && fj_estimate_close(&estimate) == entries,
     "no more keys are expected than entries");
  close_log(&log);
}

int main(void) {
  test_order(50, 1000, "a few records");
  test_order(3000, 100000, "many records of few keys");
  test_order(700000, 1500000, "more than are put aside at a time");
  test_memory();
  test_aside();
  test_costs();
  test_estimate();
  return failures > 0;
}
