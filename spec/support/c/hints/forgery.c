/* forgery.c - hint files that no store has written, with right sums: as somebody who knows the
 * format would make them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared.h"

/* ---- forging ----------------------------------------------------------- */

/* A hint, to be changed and put back with right sums. */
typedef struct forgery {
  char path[32];
  uint8_t *bytes;
  uint64_t size;
} forgery;

static void forge_begin(forgery *f, const sim_disk *disk, uint64_t id) {
  (void)snprintf(f->path, sizeof f->path, "db/%llu.hint", (unsigned long long)id);
  const uint8_t *bytes = sim_disk_bytes(disk, f->path, &f->size);
  hints_demand(bytes != NULL, "there is a hint");
  f->bytes = malloc(f->size);
  hints_demand(f->bytes != NULL, "memory");
  memcpy(f->bytes, bytes, f->size);
}

static void forge_end(forgery *f, sim_disk *disk) {
  uint64_t check = 0;
  for (uint64_t at = FJ_HINT_HEADER; at < f->size; at += FJ_HINT_BLOCK) {
    uint64_t left = f->size - at;
    check = fj_hint_check_block(check, f->bytes + at,
                                left < FJ_HINT_BLOCK ? (size_t)left : FJ_HINT_BLOCK);
  }
  fj_put64(f->bytes + 64, (f->size - FJ_HINT_HEADER) / FJ_HINT_ENTRY);
  fj_put64(f->bytes + 112, check);
  fj_put64(f->bytes + 120, fj_hash(f->bytes, 120, 0));
  sim_disk_put(disk, f->path, f->bytes, f->size);
  free(f->bytes);
}

/* Changes something. */
static void forge_change(forgery *f) {
  uint64_t count = (f->size - FJ_HINT_HEADER) / FJ_HINT_ENTRY;
  if (count == 0) return;
  uint8_t *entry = f->bytes + FJ_HINT_HEADER + hints_pick((uint32_t)count) * FJ_HINT_ENTRY;
  uint8_t *other = f->bytes + FJ_HINT_HEADER + hints_pick((uint32_t)count) * FJ_HINT_ENTRY;
  uint64_t word = fj_get64(entry + 8);
  uint32_t at = 0;
  switch (hints_pick(10)) {
  case 0: /* they change their places */
    fj_put64(entry + 8, fj_get64(other + 8));
    fj_put64(other + 8, word);
    break;
  case 1:
    fj_put64(entry, fj_get64(entry) + 1);
    break;
  case 2: /* one is missing */
    memmove(entry, entry + FJ_HINT_ENTRY,
            (size_t)(f->bytes + f->size - entry) - FJ_HINT_ENTRY);
    f->size -= FJ_HINT_ENTRY;
    break;
  case 3:
    fj_put64(entry + 8, word ^ FJ_HINT_TOMBSTONE);
    break;
  case 4:
    fj_put64(entry + 8, word ^ FJ_HINT_COLLIDES);
    break;
  case 5: /* another place */
    fj_put64(entry + 8, word + 1 + hints_pick(200));
    break;
  case 6: /* another size */
    fj_put64(entry + 8, word + ((1 + (uint64_t)hints_pick(2000)) << 28));
    break;
  case 7:
    fj_put64(entry + 8, word - ((uint64_t)hints_pick(4) << 28));
    break;
  case 8:
    at = hints_pick(4);
    fj_put64(f->bytes + 72 + 8 * at, hints_pick(4));
    break;
  default:
    fj_put64(entry + 8, word ^ UINT64_C(1) << hints_pick(64));
  }
}

/* ---- changed hints ------------------------------------------------------ */

/* Whether the value that a get may give is one of the key, and writing goes on. */
static bool is_sane(freyja *db) {
  uint8_t value[400];
  for (uint32_t i = 0; i < HINTS_KEYS; i++) {
    size_t size = 0;
    const hints_key *k = &hints_keys[i];
    freyja_status status = freyja_get(db, k->bytes, k->size, value, sizeof value, &size, NULL);
    if (status != FREYJA_OK && status != FREYJA_NOTFOUND && status != FREYJA_CORRUPT)
      return false;
    if (status == FREYJA_OK && (size == 0 || value[0] != i)) {
      printf("# key %u has the value of key %u\n", i, value[0]);
      return false;
    }
  }
  for (uint32_t i = 0; i < 5; i++) {
    const hints_key *k = &hints_keys[hints_pick(HINTS_KEYS)];
    uint8_t mark = (uint8_t)(k - hints_keys);
    size_t size = 0;
    freyja_status status = freyja_put(db, k->bytes, k->size, &mark, 1, NULL);
    if (status == FREYJA_OK)
      status = freyja_get(db, k->bytes, k->size, value, sizeof value, &size, NULL);
    if (status == FREYJA_CORRUPT) continue; /* a slot of its hash leads to another place */
    if (status == FREYJA_OK && size == 1 && value[0] == mark) continue;
    printf("# key %u after a put: %s\n", mark, freyja_status_name(status));
    return false;
  }
  return true;
}

static bool about_hint;

static void see_problem(void *argument, const freyja_problem *problem) {
  (void)argument;
  if (strstr(problem->path, ".hint") != NULL) about_hint = true;
}

/* Opens the store whose hint was changed. */
static bool open_forged(sim_disk *disk, freyja_io io, bool differs) {
  freyja *db = hints_open(disk, io, 64);
  freyja_report report;
  about_hint = false;
  bool right = freyja_verify(db, see_problem, NULL, &report, NULL) == FREYJA_OK;
  if (about_hint != differs) printf("# verify %s\n", differs ? "is silent" : "complains");
  right = right && about_hint == differs && is_sane(db);
  return freyja_close(db, NULL) == FREYJA_OK && sim_disk_held(disk) == 0 && right;
}

/* A store of three segments, two of them sealed and with hints, in which each value's first
 * byte is its key's number. */
static sim_disk *make_marked(uint64_t seed) {
  sim_disk *disk = hints_disk(seed);
  freyja *db = hints_open(disk, FREYJA_IO_MMAP, 64);
  hints_make_keys(db->store->index.pool.identity.hash_seed);
  for (uint32_t i = 0; i < 200; i++) {
    uint8_t value[30] = {(uint8_t)hints_pick(HINTS_KEYS)};
    const hints_key *k = &hints_keys[value[0]];
    freyja_status status;
    if (hints_pick(4) == 0) status = freyja_delete(db, k->bytes, k->size, NULL);
    else status = freyja_put(db, k->bytes, k->size, value, 1 + hints_pick(29), NULL);
    hints_demand(!freyja_is_fault(status), "a write");
    if (i % 70 == 69) hints_demand(freyja_rotate(db, NULL) == FREYJA_OK, "a rotation");
  }
  hints_demand(hints_write_all(db) == 2, "two hints");
  hints_close(db);
  return disk;
}

static void test_changed(void) {
  uint64_t seed = hints_new_seed(), wrong = 0;
  sim_disk *made = make_marked(seed);
  for (uint64_t round = 0; round < 3000; round++) {
    sim_disk *disk = sim_disk_copy(made);
    disk->plain = true;
    forgery f;
    uint64_t size = 0, before = 0;
    hints_set_seed(seed + round);
    forge_begin(&f, disk, 1 + round % 2);
    for (uint32_t n = hints_pick(3); n < 3; n++) forge_change(&f);
    forge_end(&f, disk);
    const uint8_t *now = sim_disk_bytes(disk, f.path, &size);
    const uint8_t *was = sim_disk_bytes(made, f.path, &before);
    bool differs = size != before || memcmp(now, was, size) != 0;
    freyja_io io = round % 3 == 0 ? FREYJA_IO_SYSCALL : FREYJA_IO_MMAP;
    bool right = open_forged(disk, io, differs);
    wrong += differs;
    sim_disk_destroy(disk);
    if (right) continue;
    printf("not ok hints: seed %llu, round %llu: a changed hint with right sums\n",
           (unsigned long long)seed, (unsigned long long)round);
    exit(1);
  }
  sim_disk_destroy(made);
  printf("# seed %llu: %llu changed hints\n", (unsigned long long)seed,
         (unsigned long long)wrong);
  hints_ok(wrong > 2000,
           "changed hints with right sums give no wrong value, and verify tells of them");
}

/* ---- what cannot be ------------------------------------------------------ */

/* An entry that says what cannot be of its data file, though all sums are right: the hint is
 * not used, and the open says so. */
static void test_impossible(freyja_io io) {
  static const char *const names[] = {"nothing wrong",
                                      "a record that ends behind the end",
                                      "a record behind the end",
                                      "one in the header",
                                      "one without room for a header",
                                      "an unknown flag",
                                      "a tombstone that expires"};
  sim_disk *disk = hints_disk(6);
  freyja *db = hints_open(disk, io, 64);
  hints_demand(freyja_put(db, "key", 3, "value", 5, NULL) == FREYJA_OK, "a put");
  hints_demand(freyja_put(db, "other", 5, "value", 5, NULL) == FREYJA_OK, "a put");
  hints_demand(freyja_rotate(db, NULL) == FREYJA_OK && hints_write_all(db) == 1,
               "a hint is written");
  uint64_t end = db->store->index.ranks[0]->tail / FJ_RECORD_ALIGN;
  hints_close(db);
  for (unsigned what = 0; what < 7; what++) {
    forgery f;
    forge_begin(&f, disk, 1);
    uint8_t *at = f.bytes + FJ_HINT_HEADER + 8; /* of the first record; the last is checked */
    if (fj_hint_offset(fj_get64(at)) != FJ_SEGMENT_HEADER) at += FJ_HINT_ENTRY;
    uint64_t word = fj_get64(at), offset = fj_hint_offset(word) / FJ_RECORD_ALIGN;
    uint64_t size = fj_hint_size(word) / FJ_RECORD_ALIGN;
    if (what == 1) size = end - offset + 1;
    if (what == 2) offset = end;
    if (what == 3) offset--;
    if (what == 4) size = 2;
    fj_put64(at, offset | size << 28 | (what == 5 ? UINT64_C(1) << 59 : 0) |
                     (what == 6 ? FJ_HINT_TOMBSTONE | FJ_HINT_EXPIRES : 0));
    forge_end(&f, disk);
    freyja_stats stats;
    char value[8];
    size_t length = 0;
    db = hints_open(disk, io, 64);
    freyja_get_stats(db, &stats);
    hints_ok(stats.recovery.hints_ignored == (what > 0) &&
                 freyja_get(db, "key", 3, value, sizeof value, &length, NULL) == FREYJA_OK,
             names[what]);
    hints_demand(freyja_hint(db, 1, NULL) == FREYJA_OK, "a hint is written");
    hints_close(db);
  }
  sim_disk_destroy(disk);
}

#define LATE_KEYS 40u

static bool has_late_keys(freyja *db) {
  char key[8], value[8] = "";
  size_t size = 0;
  bool right = true;
  for (unsigned i = 0; i < LATE_KEYS; i++) {
    size_t length = (size_t)snprintf(key, sizeof key, "%u", i);
    right = right &&
            freyja_get(db, key, length, value, sizeof value, &size, NULL) == FREYJA_OK &&
            size == length && memcmp(key, value, size) == 0;
  }
  return right;
}

/* A store is open whose KEYDIR turns out to be damaged, so that its log is read after all: by
 * a hint, of which it is found when it is half loaded that an entry is not what it says. */
static void test_late(freyja_io io) {
  sim_disk *disk = hints_disk(7);
  freyja *db = hints_open(disk, io, 4); /* keys are told apart by their records */
  uint64_t size = 0, at = FJ_HINT_HEADER;
  freyja_stats stats;
  forgery f;
  for (unsigned i = 0; i < LATE_KEYS; i++) {
    char key[8];
    size_t length = (size_t)snprintf(key, sizeof key, "%u", i);
    hints_demand(freyja_put(db, key, length, key, length, NULL) == FREYJA_OK, "a put");
  }
  hints_demand(freyja_rotate(db, NULL) == FREYJA_OK && hints_write_all(db) == 1 &&
                   freyja_checkpoint(db, NULL) == FREYJA_OK,
               "a hint and a checkpoint are written");
  hints_close(db);
  const uint8_t *bytes = sim_disk_bytes(disk, "db/KEYDIR", &size);
  uint8_t *copy = malloc(size);
  hints_demand(bytes != NULL && copy != NULL, "a KEYDIR");
  for (uint64_t i = 0; i < size; i++)
    copy[i] = i < fj_checkpoint_start(2) ? bytes[i] : (uint8_t)~bytes[i];
  sim_disk_put(disk, "db/KEYDIR", copy, size);
  free(copy);
  forge_begin(&f, disk, 1);
  for (; at < f.size; at += FJ_HINT_ENTRY) { /* all but the last record's, which is checked */
    uint64_t word = fj_get64(f.bytes + at + 8);
    if (fj_hint_offset(word) < FJ_SEGMENT_HEADER + (LATE_KEYS - 2) * 32u)
      fj_put64(f.bytes + at + 8, word + (UINT64_C(1) << 28));
  }
  forge_end(&f, disk);
  db = hints_open(disk, io, 4);
  freyja_get_stats(db, &stats);
  hints_ok(stats.recovery.checkpoint_used && has_late_keys(db) &&
               db->store->index.keydir.count == LATE_KEYS,
           "a hint that turns out wrong late is no fault of an open store");
  hints_close(db);
  sim_disk_destroy(disk);
}

/* Hashes that lie so near to each other that the keydir could not spread them. */
static void test_near(void) {
  static const uint64_t from[] = {0, UINT64_MAX - 20000, UINT64_C(0x7fffffffffff0000)};
  for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
    sim_disk *disk = hints_disk(5);
    freyja *db = hints_make_large(disk, 20000);
    forgery f;
    hints_demand(freyja_hint(db, 1, NULL) == FREYJA_OK, "a hint is written");
    hints_close(db);
    forge_begin(&f, disk, 1);
    for (uint64_t at = FJ_HINT_HEADER, n = 0; at < f.size; at += FJ_HINT_ENTRY, n++)
      fj_put64(f.bytes + at, from[i] + n);
    uint64_t size = f.size;
    forge_end(&f, disk);
    disk->pages.largest = 0;
    db = hints_open(disk, FREYJA_IO_MMAP, 64);
    freyja_stats stats;
    freyja_get_stats(db, &stats);
    printf("# %llu KiB for a hint of %llu\n", (unsigned long long)disk->pages.largest >> 10,
           (unsigned long long)size >> 10);
    hints_ok(stats.keys > 5000 && disk->pages.largest < 8 * size,
             "hashes that are too near take no memory");
    hints_close(db);
    sim_disk_destroy(disk);
  }
}

void hints_test_forged(void) {
  test_changed();
  test_impossible(FREYJA_IO_MMAP);
  test_impossible(FREYJA_IO_SYSCALL);
  test_near();
  test_late(FREYJA_IO_MMAP);
  test_late(FREYJA_IO_SYSCALL);
}
