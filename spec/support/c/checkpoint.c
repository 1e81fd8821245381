/* checkpoint.c - the KEYDIR: what an open takes over from it and what it must not; shards that
 * come late, or turn out to be damaged in an open store; files with right sums that no store
 * has written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"
#include "disk.h"
#include "share.h"

#define KEYS 2000u
#define PATH "db/KEYDIR"

static int failures;

static void ok(bool condition, const char *name, freyja_io io) {
  printf("%s checkpoint: %s, io = %s\n", condition ? "ok" : "not ok", name,
         io == FREYJA_IO_MMAP ? "mmap" : "syscall");
  failures += !condition;
}

static void demand(bool condition, const char *what) {
  if (condition) return;
  printf("not ok checkpoint: %s\n", what);
  exit(1);
}

/* ---- a store ---------------------------------------------------------------- */

typedef struct shop {
  sim_disk *disk;
  freyja_options options;
  freyja *db;
} shop;

static void open_it(shop *s) {
  freyja_error error;
  if (freyja_open("db", &s->options, &s->db, &error) == FREYJA_OK) return;
  printf("not ok checkpoint: open: %s (%s)\n", error.message, error.path);
  exit(1);
}

static void close_it(shop *s) {
  demand(freyja_close(s->db, NULL) == FREYJA_OK, "a store closes");
  demand(sim_disk_held(s->disk) == 0, "nothing is held behind it");
}

static bool put(shop *s, unsigned key, unsigned value) {
  char name[16], bytes[16];
  size_t size = (size_t)snprintf(name, sizeof name, "key%u", key);
  size_t value_size = (size_t)snprintf(bytes, sizeof bytes, "%u", value);
  return freyja_put(s->db, name, size, bytes, value_size, NULL) == FREYJA_OK;
}

static bool erase(shop *s, unsigned key) {
  char name[16];
  size_t size = (size_t)snprintf(name, sizeof name, "key%u", key);
  return freyja_delete(s->db, name, size, NULL) == FREYJA_OK;
}

/* The value; -1: absent; -2: a fault. */
static int get(shop *s, unsigned key) {
  char name[16], bytes[16] = "";
  size_t size = 0, length = (size_t)snprintf(name, sizeof name, "key%u", key);
  freyja_status status = freyja_get(s->db, name, length, bytes, sizeof bytes - 1, &size, NULL);
  if (status == FREYJA_NOTFOUND) return -1;
  return status == FREYJA_OK ? atoi(bytes) : -2;
}

/* Keys 0 to KEYS - 1, each with its number, but every tenth, which was deleted; all in one
 * segment, and closed: there is a KEYDIR. */
static void make(shop *s, freyja_io io) {
  s->disk = sim_disk_create(1);
  s->disk->plain = true;
  freyja_options_init(&s->options);
  s->options.io = io;
  s->options.segment_size = 1u << 20;
  s->options.os = &s->disk->os;
  open_it(s);
  for (unsigned i = 0; i < KEYS; i++) demand(put(s, i, i), "a put");
  for (unsigned i = 0; i < KEYS; i += 10) demand(erase(s, i), "a delete");
  demand(freyja_checkpoint(s->db, NULL) == FREYJA_OK, "a checkpoint");
  close_it(s);
  demand(sim_disk_find(s->disk, PATH) != UINT32_MAX, "there is a KEYDIR");
}

static void end(shop *s) {
  close_it(s);
  sim_disk_destroy(s->disk);
}

static bool holds_all(shop *s) {
  for (unsigned i = 0; i < KEYS; i++)
    if (get(s, i) != (i % 10 == 0 ? -1 : (int)i)) return false;
  return get(s, KEYS) == -1;
}

static freyja_recovery recovery_of(shop *s) {
  freyja_stats stats;
  freyja_get_stats(s->db, &stats);
  return stats.recovery;
}

static void count_others(void *argument, const freyja_problem *problem) {
  unsigned *others = argument;
  if (strstr(problem->path, "KEYDIR") == NULL) ++*others;
}

/* Whether verify finds nothing, but perhaps of the KEYDIR. */
static bool is_sound(shop *s) {
  freyja_report report;
  unsigned others = 0;
  return freyja_verify(s->db, count_others, &others, &report, NULL) == FREYJA_OK &&
         others == 0 && report.keys == s->db->store->index.keydir.count;
}

/* ---- the file ---------------------------------------------------------------- */

static uint8_t *copy_file(const shop *s, uint64_t *size) {
  const uint8_t *bytes = sim_disk_bytes(s->disk, PATH, size);
  uint8_t *copy = malloc((size_t)*size);
  demand(bytes != NULL && copy != NULL, "a copy of the KEYDIR");
  memcpy(copy, bytes, (size_t)*size);
  return copy;
}

static void flip(shop *s, uint64_t bit) {
  uint64_t size = 0;
  uint8_t *bytes = copy_file(s, &size);
  bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
  sim_disk_put(s->disk, PATH, bytes, size);
  free(bytes);
}

/* Makes the checks of the header, the tables and the shards right. */
static void mend(uint8_t *bytes) {
  fj_identity identity;
  uint32_t segments = fj_get32(bytes + 48);
  uint32_t limit = fj_keydir_limit(fj_get32(bytes + 52));
  size_t tables = (size_t)fj_checkpoint_tables(segments);
  uint8_t *shard = bytes + FJ_CHECKPOINT_HEADER + (size_t)segments * FJ_CHECKPOINT_SEGMENT;
  memcpy(identity.id, bytes + 16, FJ_STORE_ID);
  for (uint32_t i = 0; i < FJ_SHARDS; i++, shard += FJ_CHECKPOINT_SHARD) {
    const uint8_t *slots = bytes + fj_checkpoint_start(segments) + (size_t)i * limit * 16;
    demand((size_t)limit * 16 <= FJ_CHECKPOINT_BLOCK, "one block a shard");
    uint64_t check = fj_checkpoint_seed(&identity, i);
    fj_put64(shard + 8, fj_checkpoint_check(check, slots, (size_t)limit * 16));
  }
  fj_put64(bytes + 88, fj_hash(bytes + FJ_CHECKPOINT_HEADER, tables, 0));
  fj_put64(bytes + 120, fj_hash(bytes, 120, 0));
}

/* ---- what is taken over ------------------------------------------------------- */

static void test_open(freyja_io io) {
  shop s;
  make(&s, io);
  open_it(&s);
  freyja_recovery r = recovery_of(&s);
  ok(r.checkpoint_used && r.checkpoint.status == FREYJA_OK && r.records == 0 &&
         r.files_scanned == 0 && s.db->store->index.keydir.absent == FJ_SHARDS,
     "an open reads neither records nor keys", io);
  ok(s.db->store->index.keydir.count == KEYS - KEYS / 10 && holds_all(&s) &&
         s.db->store->index.keydir.absent == 0 && is_sound(&s),
     "all keys are there, and no others", io);
  demand(put(&s, 1, 5) && erase(&s, 2) && put(&s, 0, 7) && put(&s, KEYS + 1, 8), "writes");
  close_it(&s);
  open_it(&s);
  r = recovery_of(&s);
  ok(r.checkpoint_used && r.records == 4 && get(&s, 1) == 5 && get(&s, 2) == -1 &&
         get(&s, 0) == 7 && get(&s, KEYS + 1) == 8 && get(&s, 3) == 3 && is_sound(&s),
     "what was written behind it is read", io);
  demand(freyja_rotate(s.db, NULL) == FREYJA_OK && put(&s, 1, 6) && erase(&s, 3), "writes");
  sim_disk_kill(s.disk);
  open_it(&s);
  r = recovery_of(&s);
  ok(r.checkpoint_used && r.records == 6 && get(&s, 1) == 6 && get(&s, 3) == -1 &&
         get(&s, 0) == 7 && is_sound(&s),
     "so is what lies in later data files, after a kill", io);
  end(&s);
}

/* Grows far beyond what the checkpoint has room for, while shards are absent. */
static void test_growth(freyja_io io) {
  shop s;
  make(&s, io);
  open_it(&s);
  bool right = true;
  for (unsigned i = KEYS; i < 4 * KEYS && right; i++) right = put(&s, i, i);
  for (unsigned i = 0; i < 4 * KEYS && right; i++)
    right = get(&s, i) == (i < KEYS && i % 10 == 0 ? -1 : (int)i);
  ok(right && is_sound(&s), "a keydir grows whose shards are absent", io);
  end(&s);
}

/* Closing writes one when opening would have much to read, and not otherwise. */
static void test_closing(freyja_io io) {
  shop s;
  make(&s, io);
  sim_disk_remove(s.disk, PATH);
  open_it(&s);
  bool scanned = !recovery_of(&s).checkpoint_used && recovery_of(&s).records > 0;
  close_it(&s);
  bool none = sim_disk_find(s.disk, PATH) == UINT32_MAX;
  open_it(&s);
  for (unsigned i = 0; i < 20 * KEYS; i++) demand(put(&s, i, i), "a put");
  close_it(&s);
  open_it(&s);
  ok(scanned && none && recovery_of(&s).checkpoint_used && recovery_of(&s).records == 0,
     "closing writes one if there would be much to read", io);
  uint64_t size = 0;
  uint8_t *before = copy_file(&s, &size);
  demand(put(&s, 1, 1), "a put");
  close_it(&s);
  uint64_t again = 0;
  const uint8_t *after = sim_disk_bytes(s.disk, PATH, &again);
  ok(again == size && memcmp(before, after, (size_t)size) == 0, "and not for a little", io);
  free(before);
  sim_disk_destroy(s.disk);
}

/* ---- what is not -------------------------------------------------------------- */

/* Opens, and demands that the KEYDIR is ignored with a note, and that all is read. */
static bool is_ignored(shop *s) {
  open_it(s);
  freyja_recovery r = recovery_of(s);
  bool right = !r.checkpoint_used && r.checkpoint.status == FREYJA_CORRUPT &&
               strstr(r.checkpoint.path, "KEYDIR") != NULL && r.records > 0 && is_sound(s);
  if (!right) printf("# %d, %s\n", r.checkpoint_used, r.checkpoint.message);
  return right;
}

static void test_stale(freyja_io io) {
  shop s;
  freyja_rewrite *rewrite = NULL;
  uint64_t size = 0, id = 1;
  make(&s, io);
  uint8_t *old = copy_file(&s, &size);
  open_it(&s);
  demand(freyja_rotate(s.db, NULL) == FREYJA_OK && put(&s, 1, 100), "writes");
  demand(freyja_rewrite_open(s.db, &id, 1, &rewrite, NULL) == FREYJA_OK &&
             freyja_rewrite_commit(rewrite, NULL) == FREYJA_OK,
         "a merge");
  freyja_rewrite_close(rewrite);
  bool gone = sim_disk_find(s.disk, PATH) == UINT32_MAX;
  close_it(&s);
  sim_disk_put(s.disk, PATH, old, size);
  bool ignored = is_ignored(&s);
  ok(gone && ignored && get(&s, 1) == 100 && get(&s, 2) == 2 && get(&s, 0) == -1,
     "one from before a merge is ignored", io);
  end(&s);
  make(&s, io);
  s.disk->clock += 1000;
  sim_disk_put(s.disk, PATH, old, size);
  open_it(&s);
  ok(holds_all(&s), "one of the same store may be used", io);
  end(&s);
  free(old);
}

/* The log lost what the KEYDIR knows, as where an older copy of the files was put back. */
static void test_rollback(freyja_io io) {
  shop s;
  uint64_t size = 0;
  make(&s, io);
  open_it(&s);
  sim_disk *before = sim_disk_clone(s.disk);
  demand(put(&s, 1, 100) && erase(&s, 2), "writes");
  demand(freyja_checkpoint(s.db, NULL) == FREYJA_OK, "a checkpoint");
  uint8_t *newer = copy_file(&s, &size);
  end(&s);
  s.disk = before;
  sim_disk_kill(s.disk);
  s.options.os = &s.disk->os;
  sim_disk_put(s.disk, PATH, newer, size);
  bool ignored = is_ignored(&s);
  ok(ignored && holds_all(&s), "one that is ahead of the log is ignored", io);
  /* It goes on to be as long as it was, with other records. */
  s.disk->clock += 1000000;
  demand(put(&s, 1, 200) && erase(&s, 3), "writes");
  close_it(&s);
  sim_disk_put(s.disk, PATH, newer, size);
  ok(is_ignored(&s) && get(&s, 1) == 200 && get(&s, 2) == 2 && get(&s, 3) == -1,
     "and where the log has gone on otherwise", io);
  end(&s);
  free(newer);
}

/* ---- damage -------------------------------------------------------------------- */

static void test_flips(freyja_io io) {
  shop s;
  make(&s, io);
  uint64_t size = 0, noted = 0, found = 0, count = 0;
  const uint8_t *bytes = sim_disk_bytes(s.disk, PATH, &size);
  uint8_t *whole = copy_file(&s, &size);
  bool right = bytes != NULL;
  /* All of the header, and a share of the rest. */
  for (uint64_t bit = 0; bit < 8 * size && right; bit += bit < 1024 ? 3 : 4999) {
    flip(&s, bit);
    open_it(&s);
    right = holds_all(&s) && is_sound(&s);
    noted += recovery_of(&s).checkpoint.status == FREYJA_CORRUPT;
    freyja_report report;
    demand(freyja_verify(s.db, NULL, NULL, &report, NULL) == FREYJA_OK, "verify");
    found += report.problems == 1;
    count++;
    if (!right) printf("# bit %llu\n", (unsigned long long)bit);
    close_it(&s);
    sim_disk_put(s.disk, PATH, whole, size);
  }
  printf("# %llu bits, %llu noted\n", (unsigned long long)count, (unsigned long long)noted);
  ok(right && noted + 20 > count, "a flipped bit changes nothing that is read", io);
  ok(found == noted, "verify tells of each that was noted", io);
  free(whole);
  sim_disk_destroy(s.disk);
}

/* A shard that cannot be read, or fails its check, when the store is open already. */
static void test_late_damage(freyja_io io) {
  for (int unreadable = 0; unreadable < 2; unreadable++) {
    shop s;
    uint64_t size = 0;
    make(&s, io);
    (void)sim_disk_bytes(s.disk, PATH, &size);
    if (unreadable) sim_disk_make_unreadable(s.disk, PATH, size / 2, size / 2);
    else flip(&s, 8 * (size - 16 * fj_keydir_limit(1)));
    open_it(&s);
    bool adopted = recovery_of(&s).checkpoint_used;
    demand(freyja_rotate(s.db, NULL) == FREYJA_OK && put(&s, 11, 100), "writes");
    bool right = adopted && get(&s, 11) == 100 && put(&s, 11, 11) && holds_all(&s);
    ok(right && is_sound(&s) && recovery_of(&s).checkpoint.status != FREYJA_OK,
       unreadable ? "where a shard cannot be read all is read after all"
                  : "where a shard is damaged all is read after all",
       io);
    demand(freyja_checkpoint(s.db, NULL) == FREYJA_OK, "a checkpoint");
    close_it(&s);
    if (unreadable) sim_disk_make_unreadable(s.disk, PATH, 0, 0);
    open_it(&s);
    ok(recovery_of(&s).checkpoint_used && holds_all(&s), "and the next one is whole", io);
    end(&s);
  }
}

/* Nor can the log be read just then: it is another time. */
static void test_late_faults(freyja_io io) {
  shop s;
  uint64_t size = 0;
  make(&s, io);
  (void)sim_disk_bytes(s.disk, PATH, &size);
  flip(&s, 8 * (size / 2));
  open_it(&s);
  bool right = recovery_of(&s).checkpoint_used;
  sim_fault fault = {.memory_at = 1, .memory_on = true};
  sim_disk_fail(s.disk, &fault);
  unsigned faults = 0, values = 0;
  for (unsigned i = 1; i < KEYS; i += 10) {
    int value = get(&s, i);
    faults += value == -2;
    values += value == (int)i;
    right = right && (value == -2 || value == (int)i);
  }
  freyja_stats stats;
  freyja_get_stats(s.db, &stats);
  right = right && stats.keys == KEYS - KEYS / 10 && stats.live_bytes > 0;
  static const sim_fault none;
  sim_disk_fail(s.disk, &none);
  ok(right && faults > 0 && values > 0 && holds_all(&s) && is_sound(&s),
     "without memory for it that is a fault, and later it is well", io);
  end(&s);
}

/* A store that is damaged gets none: it would hide that. */
static void test_damaged_store(freyja_io io) {
  shop s;
  freyja_error error;
  uint64_t size = 0;
  make(&s, io);
  sim_disk_remove(s.disk, PATH);
  const uint8_t *data = sim_disk_bytes(s.disk, "db/1.data", &size);
  uint8_t *copy = malloc((size_t)size);
  demand(data != NULL && copy != NULL, "a copy");
  memcpy(copy, data, (size_t)size);
  copy[FJ_SEGMENT_HEADER + 24] ^= 1;
  sim_disk_put(s.disk, "db/1.data", copy, size);
  free(copy);
  open_it(&s);
  freyja_status status = freyja_checkpoint(s.db, &error);
  ok(status == FREYJA_CORRUPT && strstr(error.path, "1.data") != NULL,
     "a damaged store gets no checkpoint", io);
  for (unsigned i = 0; i < 20 * KEYS; i++) (void)put(&s, KEYS + i, i);
  close_it(&s);
  ok(sim_disk_find(s.disk, PATH) == UINT32_MAX, "not when it is closed either", io);
  sim_disk_destroy(s.disk);
}

/* ---- made up ------------------------------------------------------------------- */

/* Where the first used slot of the file lies. */
static size_t first_slot(const uint8_t *bytes, uint64_t size) {
  size_t at = (size_t)fj_checkpoint_start(fj_get32(bytes + 48));
  while (at < size && fj_get64(bytes + at + 8) == 0) at += 16;
  demand(at < size, "a used slot");
  return at;
}

static void test_made_up(freyja_io io) {
  static const struct {
    const char *what;
    int place; /* of 8 bytes: in the first segment's entry; or -1: the first slot's word */
    uint64_t value;
  } cases[] = {
      {"its place is behind the end", -1, 0x0fffffff},
      {"its place is the file's header", -1, 1},
      {"its segment is not there", -1, UINT64_C(5) << 28 | 16},
      {"the covered size is small", 16, 8},
      {"the covered size is large", 16, UINT64_C(1) << 40},
      {"the covered size is not that of records", 16, 1001},
      {"the segment's number is large", 24, 0x000fffff},
      {"the segment was made at another time", 8, 1},
      {"the segment is another", 0, 9},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    shop s;
    char name[128];
    uint64_t size = 0;
    make(&s, io);
    uint8_t *bytes = copy_file(&s, &size);
    size_t at = cases[i].place < 0 ? first_slot(bytes, size) + 8
                                   : FJ_CHECKPOINT_HEADER + (size_t)cases[i].place;
    fj_put64(bytes + at, cases[i].value);
    mend(bytes);
    sim_disk_put(s.disk, PATH, bytes, size);
    free(bytes);
    open_it(&s);
    (void)snprintf(name, sizeof name, "a made-up file is not used: %s", cases[i].what);
    ok(holds_all(&s) && recovery_of(&s).checkpoint.status == FREYJA_CORRUPT && is_sound(&s),
       name, io);
    end(&s);
  }
}

/* ---- expiry ---------------------------------------------------------------------- */

/* A key that has expired, and was forgotten, is not missed when the clock is set back. */
static void test_expiry(freyja_io io) {
  shop s;
  make(&s, io);
  open_it(&s);
  demand(freyja_put_ttl(s.db, "soon", 4, "x", 1, 1000, NULL) == FREYJA_OK, "a put");
  s.disk->clock += 2000;
  freyja_stats stats;
  freyja_get_stats(s.db, &stats); /* forgets it */
  demand(freyja_checkpoint(s.db, NULL) == FREYJA_OK, "a checkpoint");
  close_it(&s);
  sim_disk_jump(s.disk, -100000);
  open_it(&s);
  ok(recovery_of(&s).checkpoint_used && is_sound(&s) &&
         freyja_has(s.db, "soon", 4, NULL) == FREYJA_NOTFOUND,
     "what had expired stays so, whatever the clock says", io);
  end(&s);
}

int main(void) {
  for (int i = FREYJA_IO_MMAP; i <= FREYJA_IO_SYSCALL; i++) {
    freyja_io io = (freyja_io)i;
    test_open(io);
    test_growth(io);
    test_closing(io);
    test_stale(io);
    test_rollback(io);
    test_flips(io);
    test_late_damage(io);
    test_late_faults(io);
    test_damaged_store(io);
    test_made_up(io);
    test_expiry(io);
  }
  return failures == 0 ? 0 : 1;
}
