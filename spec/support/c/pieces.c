/* pieces.c - a log that several threads read in pieces gives what one thread makes of it that
 * reads one record after the other: where pieces begin within a value, where it is damaged or
 * torn, where records are as small or as large as they can be.
 *
 *   pieces [SEED [DAMAGES]]     so many stores are damaged */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "pieces/shared.h"
#include "share.h"

#define MIB (1u << 20)
#define FAKE 32u /* bytes of the smallest record with a key of 8 */
#define KEYS 40000u
#ifdef __SANITIZE_THREAD__ /* it is slow */
#define WRITES 80000u
#define SMALLEST 100000u
#define DAMAGES 1u
#define IS_SLOW true
#else
#define WRITES 160000u
#define SMALLEST 400000u
#define DAMAGES 8u
#define IS_SLOW false
#endif

/* ---- all kinds of records ----------------------------------------------------------- */

static void write_transaction(freyja *db, uint32_t count) {
  freyja_transaction *tx = NULL;
  freyja_error error;
  pieces_demand(freyja_begin(db, NULL, &tx, &error) == FREYJA_OK, "a transaction", &error);
  for (uint32_t i = 0; i < count; i++) {
    uint32_t key = pieces_below(KEYS);
    pieces_demand(freyja_transaction_put(tx, &key, sizeof key, &i, sizeof i, 0, &error) ==
                      FREYJA_OK,
                  "a transaction's put", &error);
  }
  pieces_demand(freyja_transaction_commit(tx, &error) == FREYJA_OK, "a commit", &error);
  freyja_transaction_close(tx);
}

/* More than threads want; the last of it in a segment that is not sealed. */
static void write_all_kinds(freyja *db) {
  static uint8_t value[200];
  freyja_error error;
  for (uint32_t i = 0; i < WRITES; i++) {
    uint32_t key = pieces_below(KEYS / 8 + i / (WRITES / KEYS * 8 / 7));
    memset(value, (int)i, sizeof value);
    if (pieces_below(6) == 0) (void)freyja_delete(db, &key, sizeof key, &error);
    else if (pieces_below(1000) == 0) write_transaction(db, 8);
    else pieces_put(db, &key, sizeof key, value, pieces_below(100), 0);
  }
}

/* Every other sealed segment gets a hint. */
static void write_hints(freyja *db) {
  freyja_error error;
  freyja_segment segments[64];
  size_t count = freyja_get_segments(db, segments, 64);
  for (size_t i = 1; i < count && i < 64; i += 2)
    if (segments[i].sealed)
      pieces_demand(freyja_hint(db, segments[i].id, &error) == FREYJA_OK, "a hint", &error);
}

static void test_all_kinds(void) {
  freyja *db = pieces_make(5 * MIB / 2);
  write_all_kinds(db);
  pieces_close(db);
  pieces_ok(pieces_are_same(true), "a log of all kinds of records");
  db = pieces_again();
  write_hints(db);
  pieces_close(db);
  pieces_ok(pieces_are_same(true), "some of it by hints");
  pieces_no_thread = true;
  pieces_ok(pieces_are_same(true), "where no thread can be begun");
  pieces_no_thread = false;
}

/* ---- damage -------------------------------------------------------------------------- */

/* Changes a byte, a sector, or all from somewhere on of one of the files. */
static void damage_file(const char *name) {
  struct stat st;
  uint8_t bytes[512];
  int file = open(name, O_RDWR);
  pieces_demand(file >= 0 && fstat(file, &st) == 0, "a file", NULL);
  uint32_t size = (uint32_t)st.st_size, at = 64 + pieces_below(size - 64 - 512);
  size_t count = pieces_below(2) == 0 ? 1 : sizeof bytes;
  ssize_t got = pread(file, bytes, count, at);
  for (size_t i = 0; i < count; i++) bytes[i] ^= (uint8_t)(1 + pieces_below(255));
  bool cut = pieces_below(5) == 0;
  bool good = got == (ssize_t)count &&
              (cut ? ftruncate(file, at) == 0 : pwrite(file, bytes, count, at) == got);
  (void)close(file);
  pieces_demand(good, "a file is damaged", NULL);
}

static void test_damage(uint32_t rounds) {
  char name[100];
  bool good = true;
  static pieces_look look;
  pieces_look_at(&look, FREYJA_IO_MMAP, true);
  for (uint32_t i = 0; i < rounds && good; i++) {
    pieces_keep(false);
    for (uint32_t times = 1 + pieces_below(3); times > 0; times--) {
      (void)snprintf(name, sizeof name, "%s/%u.data", pieces_path,
                     1 + pieces_below((uint32_t)look.count));
      damage_file(name);
    }
    good = pieces_are_same(false);
    pieces_keep(true);
  }
  pieces_ok(good, "damage is the same, and what is whole beside it");
}

static uint64_t log_end(freyja *db) {
  freyja_segment segments[64];
  size_t count = freyja_get_segments(db, segments, 64);
  return segments[count - 1].bytes;
}

/* A copy of an open store is what a crash leaves: nobody knows what is behind the mark. Here
 * that ends within a transaction. */
static void test_torn(void) {
  char name[100];
  freyja *db = pieces_make(64 * MIB);
  freyja_error error;
  write_all_kinds(db);
  pieces_demand(freyja_sync(db, &error) == FREYJA_OK, "a sync", &error);
  write_all_kinds(db);
  uint64_t begin = log_end(db);
  write_transaction(db, 100000);
  uint64_t end = log_end(db);
  pieces_keep(false);
  pieces_close(db);
  pieces_keep(true);
  bool good = pieces_are_same(true);
  (void)snprintf(name, sizeof name, "%s/1.data", pieces_path);
  uint64_t at = begin + 100 + pieces_below((uint32_t)(end - begin) - 100);
  pieces_demand(truncate(name, (off_t)at) == 0, "a file is cut", NULL);
  good = good && pieces_are_same(false);
  static pieces_look look;
  pieces_look_at(&look, FREYJA_IO_MMAP, true);
  /* Zeros at the end are none that were cut. */
  good = good && look.recovery.bytes_cut <= at - begin &&
         look.recovery.bytes_cut + FAKE > at - begin;
  for (uint32_t i = 0; i < 3 && good; i++) {
    damage_file(name);
    good = pieces_are_same(false);
  }
  pieces_ok(good, "a log that ends in what is torn");
}

/* ---- sizes ---------------------------------------------------------------------------- */

/* From small values to such over which pieces are passed, and back, at once. */
static void test_sizes(void) {
  freyja *db = pieces_make(64 * MIB);
  uint8_t *value = calloc(1, 5 * MIB);
  pieces_demand(value != NULL, "memory", NULL);
  for (uint32_t i = 0, n = 0; i < 10; i++) {
    for (uint32_t k = 0; k < 30000; k++, n++) pieces_put(db, &n, sizeof n, value, 8, 0);
    for (uint32_t k = 0; k < 3; k++, n++) {
      uint32_t size = pieces_below(5 * MIB);
      memset(value, (int)n, size);
      pieces_put(db, &n, sizeof n, value, size, 0);
    }
  }
  free(value);
  pieces_close(db);
  pieces_ok(pieces_are_same(true), "small values and large ones");
}

/* 24 bytes each: as many as can be in a piece, and many more than before it. */
static void test_smallest(void) {
  freyja *db = pieces_make(64 * MIB);
  static const uint8_t value[2000];
  for (uint32_t i = 0; i < 4000; i++) pieces_put(db, &i, sizeof i, value, sizeof value, 0);
  for (uint32_t i = 0; i < SMALLEST; i++) pieces_put(db, "", 0, "", 0, 0);
  for (uint32_t i = 0; i < 4000; i++) pieces_put(db, &i, sizeof i, value, 1000, 0);
  pieces_close(db);
  pieces_ok(pieces_are_same(true), "the smallest records that there are");
}

/* ---- a value that is made of records -------------------------------------------------- */

/* Fills the value with records that would all be valid where they will lie. */
static void forge(freyja *db, uint8_t *value, size_t size, size_t key_size) {
  const fj_index *index = &db->store->index;
  const fj_segment *segment = index->ranks[index->count - 1];
  uint64_t offset = segment->tail + FJ_RECORD_HEADER + key_size;
  for (size_t at = 0; at + FAKE <= size; at += FAKE) {
    uint64_t key = UINT64_C(0xfefefefefefe0000) + at;
    fj_draft draft = {.key = {(const uint8_t *)&key, sizeof key},
                      .timestamp = 1000 + at,
                      .kind = FJ_KIND_PUT};
    draft.key_hash = fj_index_hash(index, &key, sizeof key);
    fj_record_seal(&draft, fj_record_seed(segment->seed, offset + at));
    memcpy(value + at, draft.header, FJ_RECORD_HEADER);
    fj_record_encode_body(value + at, &draft);
  }
}

static void test_forged(void) {
  freyja *db = pieces_make(64 * MIB);
  const uint64_t key = 1;
  size_t size = 12 * MIB;
  uint8_t *value = malloc(size);
  pieces_demand(value != NULL, "memory", NULL);
  for (uint64_t i = 100; i < 30000; i++) pieces_put(db, &i, sizeof i, &i, sizeof i, 0);
  forge(db, value, size, sizeof key);
  pieces_put(db, &key, sizeof key, value, size, 0);
  for (uint64_t i = 20000; i < 60000; i++) pieces_put(db, &i, sizeof i, &i, sizeof i, 0);
  free(value);
  pieces_close(db);
  static pieces_look look;
  pieces_look_at(&look, FREYJA_IO_MMAP, true);
  pieces_ok(pieces_are_same(true) && look.entries == 59901,
            "records within a value are no records");
}

/* ---- expiry --------------------------------------------------------------------------- */

static void test_expiry(void) {
  const uint64_t second = 1000000;
  freyja *db = pieces_make(4 * MIB);
  for (uint32_t i = 0; i < WRITES / 2; i++) {
    uint32_t key = pieces_below(KEYS);
    uint64_t ttl = pieces_below(3) == 0 ? 0 : (1 + pieces_below(1000)) * second;
    if (i == WRITES / 4) pieces_jump = 300 * second; /* what expires before others come */
    pieces_put(db, &key, sizeof key, &i, sizeof i, ttl);
  }
  pieces_close(db);
  bool good = true;
  for (; pieces_jump < 2000 * second; pieces_jump += 400 * second)
    good = good && pieces_are_same(false);
  pieces_jump = 0;
  pieces_ok(good, "what expires is hidden");
}

/* ---- memory --------------------------------------------------------------------------- */

static void test_memory(void) {
  static pieces_look look, whole;
  freyja *db = pieces_make(4 * MIB);
  write_all_kinds(db);
  pieces_close(db);
  pieces_look_at(&whole, FREYJA_IO_MMAP, true);
  bool good = whole.opened == FREYJA_OK;
  uint32_t refused = 0;
  for (int i = 0; i < 12 && good; i++) {
    pieces_pages = i;
    pieces_look_at(&look, FREYJA_IO_MMAP, i % 2 == 0);
    if (look.opened == FREYJA_MEMORY) refused++;
    else
      good = look.opened == FREYJA_OK && look.entries == whole.entries &&
             look.digest == whole.digest && look.recovery.records == whole.recovery.records;
  }
  pieces_ok(good && refused > 0, "without memory it says so, or does with less");
}

int main(int count, char **arguments) {
  uint64_t seed = count > 1 ? strtoull(arguments[1], NULL, 10) : (uint64_t)time(NULL);
  printf("# seed %" PRIu64 "\n", seed);
  pieces_seed(seed);
  strcpy(pieces_path, "/dev/shm/freyja-pieces-XXXXXX");
  if (mkdtemp(pieces_path) == NULL)
    pieces_demand(mkdtemp(strcpy(pieces_path, "pieces-XXXXXX")) != NULL, "a folder", NULL);
  test_all_kinds();
  test_damage(count > 2 ? (uint32_t)strtoul(arguments[2], NULL, 10) : DAMAGES);
  if (!IS_SLOW) test_torn();
  if (!IS_SLOW) test_sizes();
  test_smallest();
  test_forged();
  test_expiry();
  test_memory();
  pieces_remove();
  return !pieces_all_good();
}
