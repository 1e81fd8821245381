/* log.c - see log.h. */
#include "log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "check.h"
#include "hash.h"
#include "input.h"
#include "reader.h"
#include "share.h"

#define SEGMENTS_MAX 64u
#define RECORDS_MAX 65536u
#define CALLS_MAX 1000000u /* of one reading, for an input that a fuzzer makes */

typedef struct content {
  const uint8_t *bytes;
  uint64_t size;
} content;

/* What a reading gave, from one of its records on. */
typedef struct part {
  uint64_t offset; /* of that record; 0: there is none */
  uint64_t sum;    /* of it and of all that came behind it */
} part;

static uint64_t add(uint64_t sum, uint64_t number) {
  return fj_hash(&number, sizeof number, sum);
}

/* All of a record can be read. */
static uint64_t add_record(uint64_t sum, const freyja_record *record) {
  sum = add(add(sum, record->offset), record->timestamp);
  sum = add(sum, (uint64_t)record->kind << 1 | record->collides);
  sum = fj_hash(record->key.data, record->key.size, sum);
  return fj_hash(record->value.data, record->value.size, sum);
}

static void check_record(const freyja_record *record, uint64_t end, uint64_t size) {
  if (record->offset < end || record->offset % 8 != 0 || record->size % 8 != 0 ||
      record->size < 24 + record->key.size + record->value.size ||
      record->offset + record->size > size)
    fuzz_fail("a record that cannot be, at offset %llu", (unsigned long long)record->offset);
}

/* What was passed over without a word is nothing but the zeros behind the log and less than 8
 * bytes at the file's end; and zeros behind the log are not told of as damage. */
static void check_gap(const content *file, uint64_t from, uint64_t to, bool told) {
  bool zero = true;
  if (!told && to == file->size) to -= to % 8;
  for (uint64_t i = from; i < to && zero; i++) zero = file->bytes[i] == 0;
  bool is_end = to >= file->size - file->size % 8;
  if (told && is_end && zero)
    fuzz_fail("damage at offset %llu, and there is none", (unsigned long long)from);
  if (!told && (is_end ? !zero : from < to))
    fuzz_fail("bytes at offset %llu are passed over", (unsigned long long)from);
}

/* Reads from `end` to the end; *found is from the record `number` on. */
static void read_on(freyja_log *log, const content *file, uint64_t end, uint32_t number,
                    part *found) {
  freyja_record record;
  freyja_error error;
  bool told = false;
  uint32_t records = 0;
  for (uint32_t i = 0; i < CALLS_MAX; i++) {
    freyja_status status = freyja_log_next(log, &record, &error);
    fuzz_check_error(status, &error);
    if (status == FREYJA_END) {
      check_gap(file, end, file->size, told);
      return;
    }
    if (status != FREYJA_OK && status != FREYJA_CORRUPT)
      fuzz_fail("reading a file: %s", error.message);
    if (status == FREYJA_OK && records++ == number) found->offset = record.offset;
    if (found->offset > 0) found->sum = add(found->sum, (uint64_t)status);
    told = told || status != FREYJA_OK;
    if (status != FREYJA_OK) continue;
    check_record(&record, end, file->size);
    check_gap(file, end, record.offset, told);
    told = false;
    end = record.offset + record.size;
    if (found->offset > 0) found->sum = add_record(found->sum, &record);
  }
  fuzz_fail("reading a file does not end");
}

static part read_from(sim_disk *disk, const char *path, uint64_t offset, uint32_t number) {
  freyja_log *log = NULL;
  freyja_error error;
  part found = {.offset = 0};
  content all = {.size = 0};
  all.bytes = sim_disk_bytes(disk, path, &all.size);
  freyja_status status = fj_log_open(&disk->os, path, offset, &log, &error);
  fuzz_check_error(status, &error);
  if ((status == FREYJA_OK) != (log != NULL)) fuzz_fail("a reader and no OK, or not");
  if (log != NULL) read_on(log, &all, offset == 0 ? 128 : offset, number, &found);
  freyja_log_close(log);
  fuzz_check_held(disk, "after reading a file");
  return found;
}

void fuzz_read_log(sim_disk *disk, const char *path, uint32_t number) {
  part first = read_from(disk, path, 0, number);
  if (first.offset == 0) return;
  part second = read_from(disk, path, first.offset, 0);
  if (second.offset != first.offset || second.sum != first.sum)
    fuzz_fail("reading from offset %llu on gives something else",
              (unsigned long long)first.offset);
}

/* ---- the records of a whole store ------------------------------------------------ */

/* NULL if the file cannot be read alone. */
static freyja_log *open_data(sim_disk *disk, uint64_t id) {
  freyja_log *log = NULL;
  char path[SIM_NAME_MAX];
  (void)snprintf(path, sizeof path, "db/%" PRIu64 ".data", id);
  return fj_log_open(&disk->os, path, 0, &log, NULL) == FREYJA_OK ? log : NULL;
}

/* Moves *newest on. */
static bool is_file_in_order(sim_disk *disk, uint64_t id, uint64_t *newest) {
  freyja_log *log = open_data(disk, id);
  freyja_record record;
  bool ordered = true;
  if (log == NULL) return false;
  while (ordered && freyja_log_next(log, &record, NULL) == FREYJA_OK) {
    ordered = record.timestamp > *newest;
    *newest = record.timestamp;
  }
  freyja_log_close(log);
  return ordered;
}

bool fuzz_in_order(sim_disk *disk, freyja *db) {
  freyja_segment segments[SEGMENTS_MAX];
  uint64_t newest = 0;
  size_t count = freyja_get_segments(db, segments, SEGMENTS_MAX);
  bool ordered = count <= SEGMENTS_MAX;
  for (size_t i = 0; i < count && ordered; i++)
    ordered = is_file_in_order(disk, segments[i].id, &newest);
  return ordered;
}

/* What is looked at of the records of a store. */
typedef struct sample {
  uint64_t timestamp;
  uint64_t hash; /* the index hash of its key */
  uint64_t key;  /* another sum of that */
  bool lacks;    /* a put without `collides` */
} sample;

typedef struct samples {
  sample all[RECORDS_MAX];
  size_t count;
} samples;

static sample take_sample(const fj_index *index, const freyja_record *record) {
  uint64_t hash = fj_index_hash(index, record->key.data, record->key.size);
  return (sample){.timestamp = record->timestamp,
                  .hash = hash & index->keydir.hash_mask,
                  .key = fj_hash(record->key.data, record->key.size, ~hash),
                  .lacks = record->kind == FREYJA_PUT && !record->collides};
}

/* Adds those of one file's records; false if not all can be told: there is no room, or the
 * store reads more of a damaged file than can be read alone. */
static bool add_samples(sim_disk *disk, const fj_index *index, uint64_t id, samples *to) {
  freyja_log *log = open_data(disk, id);
  freyja_record record;
  freyja_status status = FREYJA_OK;
  if (log == NULL) return false;
  while (status != FREYJA_END && to->count < RECORDS_MAX) {
    status = freyja_log_next(log, &record, NULL);
    if (status == FREYJA_OK) to->all[to->count++] = take_sample(index, &record);
  }
  freyja_log_close(log);
  return status == FREYJA_END;
}

static bool sample_store(sim_disk *disk, freyja *db, samples *to) {
  freyja_segment segments[SEGMENTS_MAX];
  size_t files = freyja_get_segments(db, segments, SEGMENTS_MAX);
  to->count = 0;
  if (files > SEGMENTS_MAX) return false;
  for (size_t i = 0; i < files; i++)
    if (!add_samples(disk, &db->store->index, segments[i].id, to)) return false;
  return true;
}

static int compare_times(const void *left, const void *right) {
  const sample *a = left, *b = right;
  return (a->timestamp > b->timestamp) - (a->timestamp < b->timestamp);
}

static int compare_keys(const void *left, const void *right) {
  const sample *a = left, *b = right;
  if (a->hash != b->hash) return a->hash > b->hash ? 1 : -1;
  return (a->key > b->key) - (a->key < b->key);
}

static bool are_distinct(samples *s) {
  qsort(s->all, s->count, sizeof *s->all, compare_times);
  for (size_t i = 1; i < s->count; i++)
    if (s->all[i].timestamp == s->all[i - 1].timestamp) return false;
  return true;
}

/* Of the keys of one hash, at most one has a record without the flag. */
static bool are_flagged(samples *s) {
  const sample *without = NULL;
  qsort(s->all, s->count, sizeof *s->all, compare_keys);
  for (size_t i = 0; i < s->count; i++) {
    const sample *now = &s->all[i];
    if (!now->lacks) continue;
    if (without != NULL && without->hash == now->hash && without->key != now->key)
      return false;
    without = now;
  }
  return true;
}

void fuzz_take_stock(sim_disk *disk, freyja *db, bool *distinct, bool *flagged) {
  static samples s;
  bool all = sample_store(disk, db, &s);
  *distinct = all && are_distinct(&s);
  *flagged = all && are_flagged(&s);
}
