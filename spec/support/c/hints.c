/* hints.c - loading hint files, or the KEYDIR, against reading the data files: the index is
 * the same, slot by slot, whatever hashes collide. Writing hints in steps, in bounded memory,
 * and with little of it. Searching in them. hints/forgery.c makes hint files with right sums
 * that no store has written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hints/shared.h"
#include "hintwriter.h"

#define TTL 3000u /* microseconds, at most */

/* ---- what is in the store ---------------------------------------------- */

/* Merges some of the sealed segments. */
static void merge_some(freyja *db) {
  uint64_t ids[64];
  size_t count = 0;
  freyja_rewrite *rewrite = NULL;
  for (uint32_t i = 0; i < db->store->index.count && count < 64; i++)
    if (db->store->index.ranks[i]->sealed && hints_pick(3) == 0)
      ids[count++] = db->store->index.ranks[i]->id;
  if (count == 0) return;
  hints_demand(freyja_rewrite_open(db, ids, count, &rewrite, NULL) == FREYJA_OK, "a merge");
  hints_demand(freyja_rewrite_commit(rewrite, NULL) == FREYJA_OK, "a merge is committed");
  freyja_rewrite_close(rewrite);
}

static void write_some(freyja *db, uint32_t count) {
  static const uint8_t value[400];
  for (uint32_t i = 0; i < count; i++) {
    const hints_key *k = &hints_keys[hints_pick(HINTS_KEYS)];
    size_t size = hints_pick(sizeof value);
    freyja_status status;
    uint32_t what = hints_pick(9);
    if (what < 3) status = freyja_delete(db, k->bytes, k->size, NULL);
    else if (what < 7) status = freyja_put(db, k->bytes, k->size, value, size, NULL);
    else
      status = freyja_put_ttl(db, k->bytes, k->size, value, size, 1 + hints_pick(TTL), NULL);
    hints_demand(!freyja_is_fault(status), "a write");
    if (hints_pick(40) == 0) hints_demand(freyja_rotate(db, NULL) == FREYJA_OK, "a rotation");
    if (hints_pick(120) == 0) merge_some(db);
  }
}

/* ---- the same index ---------------------------------------------------- */

static int compare_slots(const void *a, const void *b) {
  const fj_slot *x = a, *y = b;
  if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
  return (x->word > y->word) - (x->word < y->word);
}

/* What an open has made of the files. */
typedef struct picture {
  fj_slot slots[HINTS_KEYS + 1];
  size_t count;
  freyja_segment segments[64];
  size_t segment_count;
  uint64_t last_timestamp;
  uint64_t hints;
  bool adopted; /* from the KEYDIR */
  const freyja *db;
} picture;

/* Numbers of segments may differ: here they are their ranks. */
static void add_slot(void *argument, const fj_slot *slot) {
  picture *p = argument;
  hints_demand(p->count <= HINTS_KEYS, "no more slots than keys");
  uint64_t number = fj_word_segment(slot->word);
  uint64_t rank = p->db->store->index.slots[number]->rank;
  fj_slot seen = {slot->hash, slot->word - (number << 28) + (rank << 28)};
  p->slots[p->count++] = seen;
}

static void take_picture(sim_disk *disk, freyja_io io, picture *out) {
  freyja *db = hints_open(disk, io, 64);
  memset(out, 0, sizeof *out);
  out->db = db;
  hints_demand(fj_keydir_bring_all(&db->store->index.keydir, NULL) == FREYJA_OK,
               "all shards come");
  out->segment_count = freyja_get_segments(db, out->segments, 64); /* what has expired goes */
  hints_demand(fj_keydir_check(&db->store->index.keydir, add_slot, out) == NULL,
               "the keydir is sound");
  qsort(out->slots, out->count, sizeof *out->slots, compare_slots);
  hints_demand(out->segment_count <= 64, "no more than 64 segments");
  for (size_t i = 0; i < out->segment_count; i++) out->segments[i].has_hint = false;
  out->last_timestamp = db->store->index.last_timestamp;
  out->hints = db->store->recovery.hints_used;
  out->adopted = db->store->recovery.checkpoint_used;
  hints_close(db);
}

static bool same_picture(const picture *a, const picture *b) {
  return a->count == b->count && a->segment_count == b->segment_count &&
         a->last_timestamp == b->last_timestamp &&
         memcmp(a->slots, b->slots, a->count * sizeof *a->slots) == 0 &&
         memcmp(a->segments, b->segments, a->segment_count * sizeof *a->segments) == 0;
}

static void remove_hints(sim_disk *disk) {
  for (unsigned id = 1; id < 200; id++) {
    char path[32];
    (void)snprintf(path, sizeof path, "db/%u.hint", id);
    sim_disk_remove(disk, path);
  }
}

static void remove_checkpoint(sim_disk *disk) {
  if (sim_disk_find(disk, "db/KEYDIR") != UINT32_MAX) sim_disk_remove(disk, "db/KEYDIR");
}

static void test_same(void) {
  static const uint32_t bits[] = {64, 64, 1, 2, 5, 8, 40};
  static picture adopted, with, without;
  uint64_t seed = hints_new_seed();
  uint64_t hints = 0, checkpoints = 0;
  for (uint64_t round = 0; round < 210; round++) {
    freyja_io io = round % 2 == 0 ? FREYJA_IO_MMAP : FREYJA_IO_SYSCALL;
    sim_disk *disk = hints_disk(seed + round);
    for (int session = 0; session < 3; session++) {
      freyja *db = hints_open(disk, io, bits[round % 7]);
      if (session == 0) hints_make_keys(db->store->index.pool.identity.hash_seed);
      write_some(db, hints_pick(150));
      if (hints_pick(2) == 0)
        hints_demand(freyja_checkpoint(db, NULL) == FREYJA_OK, "a checkpoint is written");
      write_some(db, hints_pick(60));
      (void)hints_write_all(db);
      hints_close(db);
      disk->clock += 1000;
    }
    take_picture(disk, io, &adopted);
    remove_checkpoint(disk);
    take_picture(disk, io, &with);
    remove_checkpoint(disk);
    remove_hints(disk);
    take_picture(disk, io, &without);
    hints += with.hints;
    checkpoints += adopted.adopted;
    bool right = same_picture(&with, &without) && without.hints == 0 && !without.adopted &&
                 same_picture(&adopted, &without);
    sim_disk_destroy(disk);
    if (right) continue;
    printf("not ok hints: seed %llu, round %llu: another index than by reading\n",
           (unsigned long long)seed, (unsigned long long)round);
    exit(1);
  }
  printf("# seed %llu: %llu hints, %llu checkpoints\n", (unsigned long long)seed,
         (unsigned long long)hints, (unsigned long long)checkpoints);
  hints_ok(hints > 500 && checkpoints > 60, "the same index as by reading the data files");
}

/* ---- what comes back ---------------------------------------------------- */

/* Whether each key has a slot of its own, as a get tells. */
static bool has_all(freyja *db) {
  for (uint32_t i = 0; i < HINTS_KEYS; i++) {
    uint8_t value[8];
    size_t size = 0;
    const hints_key *k = &hints_keys[i];
    if (freyja_get(db, k->bytes, k->size, value, sizeof value, &size, NULL) != FREYJA_OK)
      return false;
  }
  return true;
}

/* Keys that expire are forgotten before others, of the same hashes, are written: a hint brings
 * their slots back. Written once more they hide those others from no one who reads the log.
 * With fewer bits of hash, that is: with all 64 a hint's key is the same one as long as
 * nothing is flagged. Which of two slots of one hash is met first is not ours to say: so each
 * key of a pair has both parts. */
static void test_back(uint32_t expiring) {
  freyja_stats stats;
  sim_disk *disk = hints_disk(7);
  freyja *db = hints_open(disk, FREYJA_IO_MMAP, 40);
  hints_make_keys(db->store->index.pool.identity.hash_seed);
  for (uint32_t i = 0; i < HINTS_KEYS; i++)
    if (i % 3 == expiring)
      (void)freyja_put_ttl(db, hints_keys[i].bytes, hints_keys[i].size, "old", 3, 1, NULL);
  disk->clock += 1000000;
  freyja_get_stats(db, &stats);
  hints_demand(stats.keys == 0 && freyja_rotate(db, NULL) == FREYJA_OK, "all is forgotten");
  for (uint32_t i = 0; i < HINTS_KEYS; i++)
    if (i % 3 != expiring)
      (void)freyja_put(db, hints_keys[i].bytes, hints_keys[i].size, "x", 1, NULL);
  hints_demand(freyja_rotate(db, NULL) == FREYJA_OK && hints_write_all(db) == 2, "two hints");
  hints_close(db);
  remove_checkpoint(disk);
  db = hints_open(disk, FREYJA_IO_MMAP, 40);
  for (uint32_t i = 0; i < HINTS_KEYS; i++)
    if (i % 3 == expiring)
      (void)freyja_put(db, hints_keys[i].bytes, hints_keys[i].size, "new", 3, NULL);
  bool right = db->store->recovery.hints_used == 2 && has_all(db);
  hints_close(db);
  remove_checkpoint(disk);
  remove_hints(disk);
  db = hints_open(disk, FREYJA_IO_MMAP, 40);
  hints_ok(right && has_all(db), "a key that comes back hides no other");
  hints_close(db);
  sim_disk_destroy(disk);
}

/* ---- writing ----------------------------------------------------------- */

/* The hint of segment 1, written with so many entries and bytes at a time. */
static uint8_t *write_hint(sim_disk *disk, freyja *db, uint64_t capacity, uint64_t bytes,
                           uint64_t *size, uint32_t *steps) {
  fj_hint_writer writer;
  bool done = false;
  freyja_error error = {.status = FREYJA_OK};
  freyja_status status =
      fj_hint_writer_open(&writer, db->store->index.ranks[0], capacity, &error);
  for (*steps = 0; status == FREYJA_OK && !done; ++*steps)
    status = fj_hint_writer_step(&writer, bytes, &done, &error);
  if (status == FREYJA_OK) status = fj_hint_writer_finish(&writer, &error);
  fj_hint_writer_close(&writer);
  hints_demand(status == FREYJA_OK, error.message);
  const uint8_t *at = sim_disk_bytes(disk, "db/1.hint", size);
  uint8_t *copy = malloc(*size);
  hints_demand(at != NULL && copy != NULL, "there is a hint");
  memcpy(copy, at, *size);
  return copy;
}

static void test_passes(void) {
  static const uint64_t capacities[] = {7, 100, 1000, 4096};
  sim_disk *disk = hints_disk(1);
  freyja *db = hints_make_large(disk, 20000);
  uint64_t size = 0, other = 0;
  uint32_t steps = 0, few = 0;
  uint8_t *whole = write_hint(disk, db, FJ_GATHER_ENTRIES, UINT64_MAX, &size, &few);
  for (size_t i = 0; i < sizeof capacities / sizeof *capacities; i++) {
    uint8_t *part = write_hint(disk, db, capacities[i], 2000, &other, &steps);
    bool same = size == other && memcmp(whole, part, size) == 0;
    free(part);
    hints_demand(same, "the same hint in many passes and small steps");
  }
  hints_ok(steps > 300 && few < 4, "the same hint in many passes and small steps");
  free(whole);
  hints_close(db);
  hints_ok(sim_disk_held(disk) == 0, "all is given back");
  sim_disk_destroy(disk);
}

static void test_memory(void) {
  sim_disk *disk = hints_disk(2);
  freyja *db = hints_make_large(disk, 900000);
  freyja_segment segment;
  uint64_t before = disk->bytes_held;
  disk->bytes_peak = before;
  (void)freyja_get_segments(db, &segment, 1);
  hints_demand(segment.keys == 900000, "more records than there is room for");
  hints_demand(freyja_hint(db, 1, NULL) == FREYJA_OK, "a hint is written");
  uint64_t taken = disk->bytes_peak - before;
  printf("# %llu KiB\n", (unsigned long long)taken >> 10);
  hints_ok(taken > 15u << 20 && taken <= 16u << 20, "no more than 16 MiB");
  hints_close(db);
  sim_disk_destroy(disk);
}

/* Given up in the middle, and two at a time. */
static void test_giving_up(void) {
  sim_disk *disk = hints_disk(3);
  freyja *db = hints_make_large(disk, 1000);
  for (uint64_t bytes = 16; bytes < 200000; bytes += bytes / 2) {
    fj_hint_writer writer, second;
    bool done = false;
    hints_demand(fj_hint_writer_open(&writer, db->store->index.ranks[0], 100, NULL) ==
                     FREYJA_OK,
                 "begun");
    hints_demand(fj_hint_writer_step(&writer, bytes, &done, NULL) == FREYJA_OK, "a step");
    hints_demand(fj_hint_writer_open(&second, db->store->index.ranks[0], 100, NULL) ==
                     FREYJA_LIMIT,
                 "one at a time");
    fj_hint_writer_close(&second);
    hints_demand(freyja_hint(db, 1, NULL) == FREYJA_LIMIT, "one at a time");
    fj_hint_writer_close(&writer);
    hints_demand(sim_disk_find(disk, "db/1.hint.tmp") == UINT32_MAX, "nothing is left");
    hints_demand(sim_disk_find(disk, "db/1.hint") == UINT32_MAX, "nothing is there");
  }
  hints_ok(freyja_hint(db, 1, NULL) == FREYJA_OK, "given up, then written");
  hints_close(db);
  hints_ok(sim_disk_held(disk) == 0, "all of what was given up is given back");
  sim_disk_destroy(disk);
}

/* ---- searching ---------------------------------------------------------- */

static void test_search(void) {
  sim_disk *disk = hints_disk(4);
  freyja *db = hints_make_large(disk, 20000);
  hints_demand(freyja_hint(db, 1, NULL) == FREYJA_OK, "a hint is written");
  for (int io = 0; io < 2; io++) {
    fj_hint hint;
    bool right = true;
    db->store->index.pool.io = io == 0 ? FREYJA_IO_MMAP : FREYJA_IO_SYSCALL;
    hints_demand(fj_hint_open(&hint, db->store->index.ranks[0], NULL) == FREYJA_OK,
                 "a hint is opened");
    uint64_t count = hint.counts.entries;
    uint64_t *hashes = malloc(count * sizeof *hashes);
    hints_demand(hashes != NULL && count > 5000, "entries of more than a block");
    for (uint64_t i = 0; i < count; i++) {
      const uint8_t *p = NULL;
      uint64_t left = 0;
      hints_demand(fj_hint_fetch(&hint, i, &p, &left, NULL) == FREYJA_OK && left > 0,
                   "an entry");
      hashes[i] = fj_get64(p);
    }
    for (uint64_t i = 0; i < count; i++) {
      uint64_t n = i % 2 == 0 ? i : hints_pick((uint32_t)count);
      right = right && fj_hint_may_hold(&hint, hashes[n]);
      bool gap = n + 1 < count && hashes[n] + 1 < hashes[n + 1];
      if (gap) right = right && !fj_hint_may_hold(&hint, hashes[n] + 1);
    }
    right = right && !fj_hint_may_hold(&hint, 0) && !fj_hint_may_hold(&hint, UINT64_MAX);
    hints_ok(right, io == 0 ? "searched, mapped" : "searched, by system calls");
    fj_hint_close(&hint);
    free(hashes);
  }
  db->store->index.pool.io = FREYJA_IO_MMAP;
  hints_close(db);
  sim_disk_destroy(disk);
}

int main(void) {
  test_same();
  test_back(1);
  test_back(2);
  test_passes();
  test_memory();
  test_giving_up();
  test_search();
  hints_test_forged();
  return hints_all_good() ? 0 : 1;
}
