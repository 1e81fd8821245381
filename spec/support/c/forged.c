/* forged.c - files with right checksums that no store has written: whoever knows the format
 * can make them, and they are believed no more than others. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "freyja.h"
#include "hash.h"
#include "record.h"
#include "repair.h"
#include "scan.h"
#include "segment.h"

#define MANIFEST_MAX 512u /* bytes; more than the one here has */

static int failures;

static void ok(bool condition, const char *name, const char *said) {
  printf("%s forged: %s%s%s\n", condition ? "ok" : "not ok", name, condition ? "" : ": ",
         condition ? "" : said);
  failures += !condition;
}

static freyja_status open_store(const sim_disk *disk, freyja **db, freyja_error *error) {
  freyja_options options;
  freyja_options_init(&options);
  options.segment_size = FREYJA_SEGMENT_SIZE_MIN;
  options.os = &disk->os;
  return freyja_open("db", &options, db, error);
}

/* Two sealed segments and an active one. */
static sim_disk *make_store(void) {
  freyja *db = NULL;
  sim_disk *disk = sim_disk_create(1);
  disk->plain = true;
  if (open_store(disk, &db, NULL) != FREYJA_OK) exit(1);
  for (char key = 'a'; key < 'd'; key++) {
    if (key > 'a' && freyja_rotate(db, NULL) != FREYJA_OK) exit(1);
    if (freyja_put(db, &key, 1, "value", 5, NULL) != FREYJA_OK) exit(1);
  }
  if (freyja_close(db, NULL) != FREYJA_OK) exit(1);
  return disk;
}

/* ---- the MANIFEST ----------------------------------------------------------- */

typedef struct manifest {
  uint8_t bytes[MANIFEST_MAX];
  size_t size;
} manifest;

/* Opens the store with that MANIFEST, its checksum made right. */
static void refuse(const manifest *changed, const char *name, const char *text) {
  sim_disk *disk = make_store();
  manifest m = *changed;
  freyja *db = NULL;
  freyja_error error = {.status = FREYJA_OK};
  fj_put64(m.bytes + m.size - 8, fj_hash(m.bytes, m.size - 8, 0));
  sim_disk_put(disk, "db/MANIFEST", m.bytes, m.size);
  freyja_status status = open_store(disk, &db, &error);
  bool right = status == FREYJA_CORRUPT && strstr(error.message, text) != NULL &&
               strcmp(error.path, "db/MANIFEST") == 0;
  ok(right, name, status == FREYJA_OK ? "it was believed" : error.message);
  (void)freyja_close(db, NULL);
  sim_disk_destroy(disk);
}

/* The store's own, of three entries of 16 bytes behind 64. */
static manifest read_manifest(void) {
  manifest m = {.size = 0};
  uint64_t size = 0;
  sim_disk *disk = make_store();
  const uint8_t *bytes = sim_disk_bytes(disk, "db/MANIFEST", &size);
  if (bytes == NULL || size != 64 + 3 * 16 + 8) exit(1);
  memcpy(m.bytes, bytes, size);
  m.size = size;
  sim_disk_destroy(disk);
  return m;
}

static void change(uint64_t offset, uint64_t value, const char *name, const char *text) {
  manifest m = read_manifest();
  fj_put64(m.bytes + offset, value);
  refuse(&m, name, text);
}

static void test_manifest(void) {
  manifest m = read_manifest();
  fj_put32(m.bytes + 8, 2);
  refuse(&m, "a MANIFEST with fewer entries than it has bytes for", "its size is wrong");
  m = read_manifest();
  fj_put32(m.bytes + 8, 4);
  refuse(&m, "one with more", "its size is wrong");
  m = read_manifest();
  fj_put32(m.bytes + 12, 65);
  refuse(&m, "one with too wide a hash", "a field is impossible");
  change(40, 0, "one without a generation", "a field is impossible");
  change(64, 0, "one that names file 0", "a file id is impossible");
  change(64, 4, "one that names the file that is next", "a file id is impossible");
  change(64, UINT64_MAX, "one that names the last file there can be",
         "a file id is impossible");
  change(64, 2, "one that names a file twice", "a file id stands twice");
  change(72, 0, "one with an open segment that is not the last", "size is impossible");
  change(72, 64, "one with a segment that is smaller than its header", "size is impossible");
  change(72, 1001, "one with a segment that ends within 8 bytes", "size is impossible");
  change(72, (UINT64_C(2) << 30) + 8, "one with a segment that is too large",
         "size is impossible");
}

/* The store with a MANIFEST that names `missing` files besides its three, first of all. */
static sim_disk *make_missing(uint32_t missing, uint64_t *size) {
  manifest m = read_manifest();
  sim_disk *disk = make_store();
  uint64_t next = fj_get64(m.bytes + 48);
  *size = m.size + (uint64_t)missing * 16;
  uint8_t *bytes = malloc(*size), *p = bytes + 64;
  if (bytes == NULL) exit(1);
  memcpy(bytes, m.bytes, 64);
  fj_put32(bytes + 8, missing + 3);
  fj_put64(bytes + 48, next + missing);
  for (uint32_t i = 0; i < missing; i++, p += 16) {
    fj_put64(p, next + i);
    fj_put64(p + 8, FREYJA_SEGMENT_SIZE_MIN);
  }
  memcpy(p, m.bytes + 64, 3 * 16);
  fj_put64(bytes + *size - 8, fj_hash(bytes, *size - 8, 0));
  sim_disk_put(disk, "db/MANIFEST", bytes, *size);
  free(bytes);
  return disk;
}

/* Files that are missing are damage; more of them than a store can have lost take neither
 * memory nor calls. */
static void test_missing(void) {
  uint64_t size = 0;
  freyja *db = NULL;
  freyja_stats stats;
  freyja_report report;
  freyja_error error = {.message = "it was believed"};
  sim_disk *disk = make_missing(900, &size);
  freyja_status status = open_store(disk, &db, &error);
  if (status == FREYJA_OK) freyja_get_stats(db, &stats);
  ok(status == FREYJA_OK && stats.recovery.damaged == 900, "900 missing files are damage",
     error.message);
  (void)freyja_close(db, NULL);
  sim_disk_destroy(disk);

  disk = make_missing((1u << 20) - 3, &size);
  disk->bytes_peak = 0;
  sim_disk_fail(disk, &disk->fault); /* counts calls anew */
  status = open_store(disk, &db, &error);
  ok(status == FREYJA_CORRUPT && strstr(error.message, "1048573 data files") != NULL,
     "a million missing files are no store", error.message);
  ok(disk->calls < 100 && disk->bytes_peak < 3 * size, "which takes little to find out", "");
  disk->bytes_peak = 0;
  sim_disk_fail(disk, &disk->fault);
  status = fj_repair(&disk->os, "db", "repaired", NULL, NULL, &report, &error);
  ok(status == FREYJA_OK && report.keys == 3, "its keys are saved", error.message);
  ok(disk->calls < 200 && disk->bytes_peak < 3 * size, "which takes little, too", "");
  sim_disk_destroy(disk);
}

/* ---- records ----------------------------------------------------------------- */

static uint64_t seed_of(const sim_disk *disk, uint64_t id, uint64_t *hash_seed) {
  uint64_t size = 0;
  fj_identity identity;
  const uint8_t *bytes = sim_disk_bytes(disk, "db/MANIFEST", &size);
  memcpy(identity.id, bytes + 16, FJ_STORE_ID);
  identity.hash_seed = *hash_seed = fj_get64(bytes + 32);
  return fj_segment_seed(&identity, id);
}

/* A tombstone in the place of the put of "a", but with the value that this had. */
static void test_tombstone(void) {
  sim_disk *disk = make_store();
  uint64_t hash_seed = 0, size = 0;
  uint64_t seed = seed_of(disk, 1, &hash_seed);
  const uint8_t *bytes = sim_disk_bytes(disk, "db/1.data", &size);
  uint8_t copy[512];
  freyja *db = NULL;
  char value[8];
  size_t value_size = 0;
  freyja_error error = {.status = FREYJA_OK};
  if (bytes == NULL || size > sizeof copy) exit(1);
  memcpy(copy, bytes, size);
  uint8_t *p = copy + FJ_SEGMENT_HEADER;
  uint64_t record_seed = fj_record_seed(seed, FJ_SEGMENT_HEADER);
  p[14] = FJ_KIND_TOMBSTONE;
  fj_put32(p, fj_record_header_sum(p, record_seed, fj_hash("a", 1, hash_seed)));
  sim_disk_put(disk, "db/1.data", copy, size);
  if (open_store(disk, &db, &error) != FREYJA_OK) {
    ok(false, "a tombstone with a value", error.message);
  } else {
    freyja_status status = freyja_get(db, "a", 1, value, sizeof value, &value_size, &error);
    ok(status == FREYJA_CORRUPT, "a tombstone with a value is damage, not a deletion",
       freyja_status_name(status));
  }
  (void)freyja_close(db, NULL);
  sim_disk_destroy(disk);
}

/* A record in the place of the put of "a", of as many bytes: of the empty key, flagged
 * `expires`, and by `flags`. *damaged: how the store opens. */
static freyja_status open_flagged(uint8_t kind, uint8_t flags, uint64_t expiry,
                                  bool *damaged) {
  sim_disk *disk = make_store();
  uint64_t hash_seed = 0, size = 0;
  uint64_t seed = fj_record_seed(seed_of(disk, 1, &hash_seed), FJ_SEGMENT_HEADER);
  const uint8_t *bytes = sim_disk_bytes(disk, "db/1.data", &size);
  uint8_t copy[512];
  freyja *db = NULL;
  freyja_stats stats;
  if (bytes == NULL || size != FJ_SEGMENT_HEADER + FJ_RECORD_PREFIX_MAX) exit(1);
  memcpy(copy, bytes, size);
  uint8_t *p = copy + FJ_SEGMENT_HEADER;
  memset(p + 8, 0, 6); /* no value and no key */
  p[14] = kind;
  p[15] = FJ_FLAG_EXPIRES | flags;
  fj_put64(p + FJ_RECORD_HEADER, expiry);
  fj_put32(p + 4, fj_record_value_sum(NULL, 0, seed, fj_get64(p + 16)));
  fj_put32(p, fj_record_header_sum(p, seed, fj_hash(NULL, 0, hash_seed)));
  sim_disk_put(disk, "db/1.data", copy, size);
  if (open_store(disk, &db, NULL) != FREYJA_OK) exit(1);
  freyja_status status = freyja_has(db, NULL, 0, NULL);
  freyja_get_stats(db, &stats);
  *damaged = stats.recovery.damaged > 0;
  if (freyja_close(db, NULL) != FREYJA_OK) exit(1);
  sim_disk_destroy(disk);
  return status;
}

static freyja_status open_expiring(uint8_t kind, uint64_t expiry, bool *damaged) {
  return open_flagged(kind, 0, expiry, damaged);
}

/* What a flag that is not known says of a record nobody here can tell. */
static void test_flags(void) {
  bool right = true, damaged = false;
  for (uint8_t flag = 8; flag != 0; flag = (uint8_t)(flag << 1)) {
    freyja_status status = open_flagged(FJ_KIND_PUT, flag, UINT64_MAX, &damaged);
    right = right && status == FREYJA_CORRUPT && damaged;
  }
  ok(right, "a record with an unknown flag is damage", "it is not");
  ok(open_flagged(FJ_KIND_PUT, FJ_FLAG_COLLIDES | FJ_FLAG_MORE, UINT64_MAX, &damaged) ==
             FREYJA_OK &&
         !damaged,
     "one with all that are known is not", "it is");
}

/* Two keys of one hash, of which the second is put again, by a record whose flag says that no
 * other key has its hash: the first key's slot is not it. `first` and `second`: the keys. */
static void open_unflagged(const char *first, const char *second) {
  sim_disk *disk = sim_disk_create(1);
  const char *keys[3] = {first, second, second};
  uint8_t copy[512];
  uint64_t hash_seed = 0, size = 0, last = FJ_SEGMENT_HEADER;
  freyja_options options;
  freyja *db = NULL;
  freyja_error error = {.message = "a key was lost"};
  disk->plain = true;
  freyja_options_init(&options);
  options.segment_size = FREYJA_SEGMENT_SIZE_MIN;
  options.hash_bits = 1;
  options.os = &disk->os;
  if (freyja_open("db", &options, &db, NULL) != FREYJA_OK) exit(1);
  for (int i = 0; i < 3; i++)
    if (freyja_put(db, keys[i], 1, "value", 5, NULL) != FREYJA_OK) exit(1);
  if (freyja_close(db, NULL) != FREYJA_OK) exit(1);

  const uint8_t *bytes = sim_disk_bytes(disk, "db/1.data", &size);
  if (bytes == NULL || size > sizeof copy) exit(1);
  memcpy(copy, bytes, size);
  last += 2 * fj_record_size(0, 1, 5);
  uint8_t *p = copy + last;
  uint64_t seed = fj_record_seed(seed_of(disk, 1, &hash_seed), last);
  uint64_t hashes[2] = {fj_hash(first, 1, hash_seed), fj_hash(second, 1, hash_seed)};
  p[15] = 0;
  fj_put32(p, fj_record_header_sum(p, seed, hashes[1]));
  sim_disk_put(disk, "db/1.data", copy, size);
  sim_disk_put(disk, "db/KEYDIR", copy, 0);
  freyja_status status = open_store(disk, &db, &error);
  bool right = status == FREYJA_OK && freyja_has(db, first, 1, NULL) == FREYJA_OK &&
               freyja_has(db, second, 1, NULL) == FREYJA_OK;
  if ((hashes[0] ^ hashes[1]) >> 63 == 0)
    ok(right, "a record that denies its hash's other key is not taken for that",
       error.message);
  (void)freyja_close(db, NULL);
  sim_disk_destroy(disk);
}

/* Of three keys two have the same bit as their hash. */
static void test_unflagged(void) {
  open_unflagged("a", "b");
  open_unflagged("b", "c");
  open_unflagged("a", "c");
}

static void test_expiry(void) {
  bool damaged = false;
  ok(open_expiring(FJ_KIND_PUT, UINT64_MAX, &damaged) == FREYJA_OK && !damaged,
     "a record that expires", "it is damage");
  ok(open_expiring(FJ_KIND_PUT, 1, &damaged) == FREYJA_NOTFOUND && !damaged,
     "one that has expired", "it is damage, or there");
  ok(open_expiring(FJ_KIND_PUT, 0, &damaged) == FREYJA_CORRUPT && damaged,
     "one that expires at 0 is damage", "it is not");
  ok(open_expiring(FJ_KIND_TOMBSTONE, UINT64_MAX, &damaged) == FREYJA_CORRUPT && damaged,
     "a tombstone that expires is damage", "it is not");
}

/* ---- searching ---------------------------------------------------------------- */

/* Each 8 bytes begin what may be a record with the largest key: hashing all of them would take
 * time in proportion to the square of the file's size. */
static void test_search(void) {
  enum { SIZE = 1 << 20 };
  sim_disk *disk = make_store();
  uint8_t *bytes = calloc(1, SIZE);
  fj_pool pool = {.io = FREYJA_IO_SYSCALL, .readonly = true};
  fj_dir dir = {.os = &disk->os};
  fj_segment *segment = NULL;
  fj_scan scan;
  if (bytes == NULL || disk->os.open_dir(disk, -1, "db", &dir.fd) != 0) exit(1);
  for (uint32_t at = FJ_SEGMENT_HEADER; at + 8 <= SIZE; at += 8) {
    /* 12 bytes into one, 4 into the next: key size, kind and flags; the value's size, 0 */
    fj_put32(bytes + at, 0);
    fj_put16(bytes + at + 4, FREYJA_KEY_SIZE_MAX);
    bytes[at + 6] = FJ_KIND_PUT;
    bytes[at + 7] = 0;
  }
  sim_disk_put(disk, "db/9.data", bytes, SIZE);
  dir.path = (char *)(uintptr_t) "db";
  pool.dir = &dir;
  if (fj_segment_assume(&pool, 9, 9, SIZE, &segment, NULL) != FREYJA_OK) exit(1);
  fj_scan_open(&scan, segment, FJ_SEGMENT_HEADER, SIZE);
  freyja_status status = fj_scan_resume(&scan, SIZE, NULL);
  char said[64];
  (void)snprintf(said, sizeof said, "%llu bytes are hashed", (unsigned long long)scan.hashed);
  ok(status == FREYJA_OK && scan.offset == SIZE && scan.hashed > SIZE &&
         scan.hashed < UINT64_C(8) * SIZE,
     "a search hashes bytes in proportion to the file's", said);
  fj_scan_close(&scan);
  fj_segment_release(segment);
  (void)disk->os.close(disk, dir.fd);
  free(bytes);
  sim_disk_destroy(disk);
}

int main(void) {
  test_manifest();
  test_missing();
  test_tombstone();
  test_expiry();
  test_flags();
  test_unflagged();
  test_search();
  return failures > 0;
}
