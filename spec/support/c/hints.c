/* hints.c - loading hint files, or the KEYDIR, against reading the data files: the index is
 * the same, slot by slot, whatever hashes collide. Writing hints in steps, in bounded memory,
 * and with little of it. Hint files with right sums that no store has written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "disk.h"
#include "freyja.h"
#include "hintwriter.h"
#include "store.h"

#define KEYS 60u
#define KEY_MAX 12u
#define SEGMENT 8192u /* bytes */
#define TTL 3000u     /* microseconds, at most */

static int failures;
static uint64_t state; /* of the random numbers */

static void ok(bool condition, const char *name) {
  printf("%s hints: %s\n", condition ? "ok" : "not ok", name);
  failures += !condition;
}

static void demand(bool condition, const char *what) {
  if (condition) return;
  printf("not ok hints: %s\n", what);
  exit(1);
}

/* The seed of a test that takes another one each time. */
static uint64_t new_seed(void) {
  const char *given = getenv("FREYJA_SEED");
  return given == NULL ? (uint64_t)time(NULL) : strtoull(given, NULL, 10);
}

static uint32_t pick(uint32_t below) {
  state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)((state >> 33) % below);
}

/* ---- keys of the same hash -------------------------------------------- */

/* XXH3 of 4 to 8 bytes can be turned round: so for a key there is one of 8 bytes that has the
 * same 64 bits of hash. */
#define MULTIPLIER UINT64_C(0x9FB21C651E98DF25)

static uint64_t rotate(uint64_t x, unsigned by) { return x << by | x >> (64 - by); }

static uint64_t inverse(uint64_t odd) {
  uint64_t x = odd;
  for (int i = 0; i < 6; i++) x *= 2 - odd * x;
  return x;
}

/* What was mixed into this hash of 8 bytes. */
static uint64_t unmix(uint64_t h) {
  h ^= h >> 28 ^ h >> 56;
  h *= inverse(MULTIPLIER);
  h ^= (h >> 35) + 8;
  h *= inverse(MULTIPLIER);
  /* This step is linear, and doing it 64 times does nothing. */
  for (int i = 0; i < 63; i++) h ^= rotate(h, 49) ^ rotate(h, 24);
  return h;
}

static void make_twin(uint8_t out[8], const uint8_t *key, size_t size, uint64_t seed) {
  static const uint8_t zeros[8];
  uint64_t input = unmix(fj_hash(key, size, seed)) ^ unmix(fj_hash(zeros, 8, seed));
  fj_put32(out, (uint32_t)(input >> 32));
  fj_put32(out + 4, (uint32_t)input);
  demand(fj_hash(out, 8, seed) == fj_hash(key, size, seed), "two keys of the same hash");
}

typedef struct key {
  uint8_t bytes[KEY_MAX];
  size_t size;
} key;

static key keys[KEYS];

/* A third of them are twins of another third. */
static void make_keys(uint64_t seed) {
  for (uint32_t i = 0; i < KEYS; i++) {
    key *k = &keys[i];
    k->size = 5;
    (void)snprintf((char *)k->bytes, sizeof k->bytes, "k%04u", i);
    if (i % 3 != 2) continue;
    make_twin(k->bytes, keys[i - 1].bytes, 5, seed);
    k->size = 8;
  }
}

/* ---- a store ---------------------------------------------------------- */

static freyja *open_store(sim_disk *disk, freyja_io io, uint32_t hash_bits) {
  freyja_options options;
  freyja *db = NULL;
  freyja_options_init(&options);
  options.segment_size = SEGMENT;
  options.sync_mode = FREYJA_SYNC_NONE;
  options.io = io;
  options.hash_bits = hash_bits;
  options.os = &disk->os;
  demand(freyja_open("db", &options, &db, NULL) == FREYJA_OK, "a store opens");
  return db;
}

/* Merges some of the sealed segments. */
static void merge_some(freyja *db) {
  uint64_t ids[64];
  size_t count = 0;
  freyja_rewrite *rewrite = NULL;
  for (uint32_t i = 0; i < db->index.count && count < 64; i++)
    if (db->index.ranks[i]->sealed && pick(3) == 0) ids[count++] = db->index.ranks[i]->id;
  if (count == 0) return;
  demand(freyja_rewrite_open(db, ids, count, &rewrite, NULL) == FREYJA_OK, "a merge");
  demand(freyja_rewrite_commit(rewrite, NULL) == FREYJA_OK, "a merge is committed");
  freyja_rewrite_close(rewrite);
}

static void write_some(freyja *db, uint32_t count) {
  static const uint8_t value[400];
  for (uint32_t i = 0; i < count; i++) {
    const key *k = &keys[pick(KEYS)];
    size_t size = pick(sizeof value);
    freyja_status status;
    uint32_t what = pick(9);
    if (what < 3) status = freyja_delete(db, k->bytes, k->size, NULL);
    else if (what < 7) status = freyja_put(db, k->bytes, k->size, value, size, NULL);
    else status = freyja_put_ttl(db, k->bytes, k->size, value, size, 1 + pick(TTL), NULL);
    demand(!freyja_is_fault(status), "a write");
    if (pick(40) == 0) demand(freyja_rotate(db, NULL) == FREYJA_OK, "a rotation");
    if (pick(120) == 0) merge_some(db);
  }
}

static uint32_t hint_all(freyja *db) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < db->index.count; i++)
    if (db->index.ranks[i]->sealed) {
      demand(freyja_hint(db, db->index.ranks[i]->id, NULL) == FREYJA_OK, "a hint is written");
      count++;
    }
  return count;
}

static int compare_slots(const void *a, const void *b) {
  const fj_slot *x = a, *y = b;
  if (x->hash != y->hash) return x->hash < y->hash ? -1 : 1;
  return (x->word > y->word) - (x->word < y->word);
}

/* What an open has made of the files. */
typedef struct picture {
  fj_slot slots[KEYS + 1];
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
  demand(p->count <= KEYS, "no more slots than keys");
  uint64_t number = fj_word_segment(slot->word);
  uint64_t rank = p->db->index.slots[number]->rank;
  fj_slot seen = {slot->hash, slot->word - (number << 28) + (rank << 28)};
  p->slots[p->count++] = seen;
}

static void take_picture(sim_disk *disk, freyja_io io, picture *out) {
  freyja *db = open_store(disk, io, 64);
  memset(out, 0, sizeof *out);
  out->db = db;
  demand(fj_keydir_bring_all(&db->index.keydir, NULL) == FREYJA_OK, "all shards come");
  out->segment_count = freyja_get_segments(db, out->segments, 64); /* what has expired goes */
  demand(fj_keydir_check(&db->index.keydir, add_slot, out) == NULL, "the keydir is sound");
  qsort(out->slots, out->count, sizeof *out->slots, compare_slots);
  demand(out->segment_count <= 64, "no more than 64 segments");
  for (size_t i = 0; i < out->segment_count; i++) out->segments[i].has_hint = false;
  out->last_timestamp = db->index.last_timestamp;
  out->hints = db->recovery.hints_used;
  out->adopted = db->recovery.checkpoint_used;
  demand(freyja_close(db, NULL) == FREYJA_OK, "a store closes");
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

/* ---- the same index ---------------------------------------------------- */

static void test_same(void) {
  static const uint32_t bits[] = {64, 64, 1, 2, 5, 8, 40};
  static picture adopted, with, without;
  uint64_t seed = new_seed();
  uint64_t hints = 0, checkpoints = 0;
  for (uint64_t round = 0; round < 210; round++) {
    freyja_io io = round % 2 == 0 ? FREYJA_IO_MMAP : FREYJA_IO_SYSCALL;
    sim_disk *disk = sim_disk_create(seed + round);
    disk->plain = true;
    state = seed + round;
    for (int session = 0; session < 3; session++) {
      freyja *db = open_store(disk, io, bits[round % 7]);
      if (session == 0) make_keys(db->index.pool.identity.hash_seed);
      write_some(db, pick(150));
      if (pick(2) == 0)
        demand(freyja_checkpoint(db, NULL) == FREYJA_OK, "a checkpoint is written");
      write_some(db, pick(60));
      (void)hint_all(db);
      demand(freyja_close(db, NULL) == FREYJA_OK, "a store closes");
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
  ok(hints > 500 && checkpoints > 60, "the same index as by reading the data files");
}

/* ---- writing ----------------------------------------------------------- */

/* A store with one sealed segment, with many keys, some of them often. */
static freyja *make_large(sim_disk *disk, uint32_t count) {
  freyja_options options;
  freyja *db = NULL;
  freyja_options_init(&options);
  options.segment_size = 64u << 20;
  options.sync_mode = FREYJA_SYNC_NONE;
  options.os = &disk->os;
  demand(freyja_open("db", &options, &db, NULL) == FREYJA_OK, "a store opens");
  make_keys(db->index.pool.identity.hash_seed);
  for (uint32_t i = 0; i < count; i++) {
    uint8_t bytes[KEY_MAX];
    size_t size = (size_t)snprintf((char *)bytes, sizeof bytes, "%u", pick(count));
    const key *k = &keys[pick(KEYS)];
    bool often = pick(3) == 0;
    demand(freyja_put(db, often ? k->bytes : bytes, often ? k->size : size, "v", 1, NULL) ==
               FREYJA_OK,
           "a put");
  }
  demand(freyja_rotate(db, NULL) == FREYJA_OK, "a rotation");
  return db;
}

/* The hint of segment 1, written with so many entries and bytes at a time. */
static uint8_t *write_hint(sim_disk *disk, freyja *db, uint64_t capacity, uint64_t bytes,
                           uint64_t *size, uint32_t *steps) {
  fj_hint_writer writer;
  bool done = false;
  freyja_error error = {.status = FREYJA_OK};
  freyja_status status = fj_hint_writer_open(&writer, db->index.ranks[0], capacity, &error);
  for (*steps = 0; status == FREYJA_OK && !done; ++*steps)
    status = fj_hint_writer_step(&writer, bytes, &done, &error);
  if (status == FREYJA_OK) status = fj_hint_writer_finish(&writer, &error);
  fj_hint_writer_close(&writer);
  demand(status == FREYJA_OK, error.message);
  const uint8_t *at = sim_disk_bytes(disk, "db/1.hint", size);
  uint8_t *copy = malloc(*size);
  demand(at != NULL && copy != NULL, "there is a hint");
  memcpy(copy, at, *size);
  return copy;
}

static void test_passes(void) {
  static const uint64_t capacities[] = {7, 100, 1000, 4096};
  sim_disk *disk = sim_disk_create(1);
  disk->plain = true;
  state = 1;
  freyja *db = make_large(disk, 20000);
  uint64_t size = 0, other = 0;
  uint32_t steps = 0, few = 0;
  uint8_t *whole = write_hint(disk, db, FJ_GATHER_ENTRIES, UINT64_MAX, &size, &few);
  for (size_t i = 0; i < sizeof capacities / sizeof *capacities; i++) {
    uint8_t *part = write_hint(disk, db, capacities[i], 2000, &other, &steps);
    bool same = size == other && memcmp(whole, part, size) == 0;
    free(part);
    demand(same, "the same hint in many passes and small steps");
  }
  ok(steps > 300 && few < 4, "the same hint in many passes and small steps");
  free(whole);
  demand(freyja_close(db, NULL) == FREYJA_OK, "a store closes");
  ok(sim_disk_held(disk) == 0, "all is given back");
  sim_disk_destroy(disk);
}

static void test_memory(void) {
  sim_disk *disk = sim_disk_create(2);
  disk->plain = true;
  state = 2;
  freyja *db = make_large(disk, 900000);
  freyja_segment segment;
  uint64_t before = disk->bytes_held;
  disk->bytes_peak = before;
  (void)freyja_get_segments(db, &segment, 1);
  demand(segment.keys == 900000, "more records than there is room for");
  demand(freyja_hint(db, 1, NULL) == FREYJA_OK, "a hint is written");
  uint64_t taken = disk->bytes_peak - before;
  printf("# %llu KiB\n", (unsigned long long)taken >> 10);
  ok(taken > 15u << 20 && taken <= 16u << 20, "no more than 16 MiB");
  demand(freyja_close(db, NULL) == FREYJA_OK, "a store closes");
  sim_disk_destroy(disk);
}

/* Given up in the middle, and two at a time. */
static void test_giving_up(void) {
  sim_disk *disk = sim_disk_create(3);
  disk->plain = true;
  state = 3;
  freyja *db = make_large(disk, 1000);
  for (uint64_t bytes = 16; bytes < 200000; bytes += bytes / 2) {
    fj_hint_writer writer, second;
    bool done = false;
    demand(fj_hint_writer_open(&writer, db->index.ranks[0], 100, NULL) == FREYJA_OK, "begun");
    demand(fj_hint_writer_step(&writer, bytes, &done, NULL) == FREYJA_OK, "a step");
    demand(fj_hint_writer_open(&second, db->index.ranks[0], 100, NULL) == FREYJA_LIMIT,
           "one at a time");
    fj_hint_writer_close(&second);
    demand(freyja_hint(db, 1, NULL) == FREYJA_LIMIT, "one at a time");
    fj_hint_writer_close(&writer);
    demand(sim_disk_find(disk, "db/1.hint.tmp") == UINT32_MAX, "nothing is left");
    demand(sim_disk_find(disk, "db/1.hint") == UINT32_MAX, "nothing is there");
  }
  ok(freyja_hint(db, 1, NULL) == FREYJA_OK, "given up, then written");
  demand(freyja_close(db, NULL) == FREYJA_OK, "a store closes");
  ok(sim_disk_held(disk) == 0, "all of what was given up is given back");
  sim_disk_destroy(disk);
}

/* ---- searching ---------------------------------------------------------- */

static void test_search(void) {
  sim_disk *disk = sim_disk_create(4);
  disk->plain = true;
  state = 4;
  freyja *db = make_large(disk, 20000);
  demand(freyja_hint(db, 1, NULL) == FREYJA_OK, "a hint is written");
  for (int io = 0; io < 2; io++) {
    fj_hint hint;
    bool right = true;
    db->index.pool.io = io == 0 ? FREYJA_IO_MMAP : FREYJA_IO_SYSCALL;
    demand(fj_hint_open(&hint, db->index.ranks[0], NULL) == FREYJA_OK, "a hint is opened");
    uint64_t count = hint.counts.entries;
    uint64_t *hashes = malloc(count * sizeof *hashes);
    demand(hashes != NULL && count > 5000, "entries of more than a block");
    for (uint64_t i = 0; i < count; i++) {
      const uint8_t *p = NULL;
      uint64_t left = 0;
      demand(fj_hint_fetch(&hint, i, &p, &left, NULL) == FREYJA_OK && left > 0, "an entry");
      hashes[i] = fj_get64(p);
    }
    for (uint64_t i = 0; i < count; i++) {
      uint64_t n = i % 2 == 0 ? i : pick((uint32_t)count);
      right = right && fj_hint_may_hold(&hint, hashes[n]);
      bool gap = n + 1 < count && hashes[n] + 1 < hashes[n + 1];
      if (gap) right = right && !fj_hint_may_hold(&hint, hashes[n] + 1);
    }
    right = right && !fj_hint_may_hold(&hint, 0) && !fj_hint_may_hold(&hint, UINT64_MAX);
    ok(right, io == 0 ? "searched, mapped" : "searched, by system calls");
    fj_hint_close(&hint);
    free(hashes);
  }
  db->index.pool.io = FREYJA_IO_MMAP;
  demand(freyja_close(db, NULL) == FREYJA_OK, "a store closes");
  sim_disk_destroy(disk);
}

/* ---- files that no store has written --------------------------------------- */

/* A hint, to be changed and put back with right sums. */
typedef struct forgery {
  char path[32];
  uint8_t *bytes;
  uint64_t size;
} forgery;

static void forge_begin(forgery *f, const sim_disk *disk, uint64_t id) {
  (void)snprintf(f->path, sizeof f->path, "db/%llu.hint", (unsigned long long)id);
  const uint8_t *bytes = sim_disk_bytes(disk, f->path, &f->size);
  demand(bytes != NULL, "there is a hint");
  f->bytes = malloc(f->size);
  demand(f->bytes != NULL, "memory");
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
  uint8_t *entry = f->bytes + FJ_HINT_HEADER + pick((uint32_t)count) * FJ_HINT_ENTRY;
  uint8_t *other = f->bytes + FJ_HINT_HEADER + pick((uint32_t)count) * FJ_HINT_ENTRY;
  uint64_t word = fj_get64(entry + 8);
  switch (pick(10)) {
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
    fj_put64(entry + 8, word + 1 + pick(200));
    break;
  case 6: /* another size */
    fj_put64(entry + 8, word + ((1 + (uint64_t)pick(2000)) << 28));
    break;
  case 7:
    fj_put64(entry + 8, word - ((uint64_t)pick(4) << 28));
    break;
  case 8:
    fj_put64(f->bytes + 72 + 8 * pick(4), pick(4));
    break;
  default:
    fj_put64(entry + 8, word ^ UINT64_C(1) << pick(64));
  }
}

/* Whether the value that a get may give is one of the key, and writing goes on. */
static bool is_sane(freyja *db) {
  uint8_t value[400];
  for (uint32_t i = 0; i < KEYS; i++) {
    size_t size = 0;
    const key *k = &keys[i];
    freyja_status status = freyja_get(db, k->bytes, k->size, value, sizeof value, &size, NULL);
    if (status != FREYJA_OK && status != FREYJA_NOTFOUND && status != FREYJA_CORRUPT)
      return false;
    if (status == FREYJA_OK && (size == 0 || value[0] != i)) {
      printf("# key %u has the value of key %u\n", i, value[0]);
      return false;
    }
  }
  for (uint32_t i = 0; i < 5; i++) {
    const key *k = &keys[pick(KEYS)];
    uint8_t mark = (uint8_t)(k - keys);
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
  freyja *db = open_store(disk, io, 64);
  freyja_report report;
  about_hint = false;
  bool right = freyja_verify(db, see_problem, NULL, &report, NULL) == FREYJA_OK;
  if (about_hint != differs) printf("# verify %s\n", differs ? "is silent" : "complains");
  right = right && about_hint == differs && is_sane(db);
  return freyja_close(db, NULL) == FREYJA_OK && sim_disk_held(disk) == 0 && right;
}

static void test_changed(void) {
  uint64_t seed = new_seed(), wrong = 0;
  sim_disk *made = sim_disk_create(seed);
  made->plain = true;
  state = seed;
  freyja *db = open_store(made, FREYJA_IO_MMAP, 64);
  make_keys(db->index.pool.identity.hash_seed);
  for (uint32_t i = 0; i < 200; i++) {
    uint8_t value[30] = {(uint8_t)pick(KEYS)};
    const key *k = &keys[value[0]];
    freyja_status status = pick(4) == 0
                               ? freyja_delete(db, k->bytes, k->size, NULL)
                               : freyja_put(db, k->bytes, k->size, value, 1 + pick(29), NULL);
    demand(!freyja_is_fault(status), "a write");
    if (i % 70 == 69) demand(freyja_rotate(db, NULL) == FREYJA_OK, "a rotation");
  }
  demand(hint_all(db) == 2, "two hints");
  demand(freyja_close(db, NULL) == FREYJA_OK, "a store closes");
  for (uint64_t round = 0; round < 3000; round++) {
    sim_disk *disk = sim_disk_copy(made);
    disk->plain = true;
    forgery f;
    uint64_t size = 0;
    state = seed + round;
    forge_begin(&f, disk, 1 + round % 2);
    for (uint32_t n = pick(3); n < 3; n++) forge_change(&f);
    forge_end(&f, disk);
    const uint8_t *now = sim_disk_bytes(disk, f.path, &size), *was;
    uint64_t before = 0;
    was = sim_disk_bytes(made, f.path, &before);
    bool differs = size != before || memcmp(now, was, size) != 0;
    bool right =
        open_forged(disk, round % 3 == 0 ? FREYJA_IO_SYSCALL : FREYJA_IO_MMAP, differs);
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
  ok(wrong > 2000,
     "changed hints with right sums give no wrong value, and verify tells of them");
}

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
  sim_disk *disk = sim_disk_create(6);
  disk->plain = true;
  freyja *db = open_store(disk, io, 64);
  demand(freyja_put(db, "key", 3, "value", 5, NULL) == FREYJA_OK, "a put");
  demand(freyja_put(db, "other", 5, "value", 5, NULL) == FREYJA_OK, "a put");
  demand(freyja_rotate(db, NULL) == FREYJA_OK && hint_all(db) == 1, "a hint is written");
  uint64_t end = db->index.ranks[0]->tail / FJ_RECORD_ALIGN;
  demand(freyja_close(db, NULL) == FREYJA_OK, "a store closes");
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
    db = open_store(disk, io, 64);
    freyja_get_stats(db, &stats);
    ok(stats.recovery.hints_ignored == (what > 0) &&
           freyja_get(db, "key", 3, value, sizeof value, &length, NULL) == FREYJA_OK,
       names[what]);
    demand(freyja_hint(db, 1, NULL) == FREYJA_OK, "a hint is written");
    demand(freyja_close(db, NULL) == FREYJA_OK, "a store closes");
  }
  sim_disk_destroy(disk);
}

/* Hashes that lie so near to each other that the keydir could not spread them. */
static void test_near(void) {
  static const uint64_t from[] = {0, UINT64_MAX - 20000, UINT64_C(0x7fffffffffff0000)};
  for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
    sim_disk *disk = sim_disk_create(5);
    disk->plain = true;
    state = 5;
    freyja *db = make_large(disk, 20000);
    forgery f;
    demand(freyja_hint(db, 1, NULL) == FREYJA_OK, "a hint is written");
    demand(freyja_close(db, NULL) == FREYJA_OK, "a store closes");
    forge_begin(&f, disk, 1);
    for (uint64_t at = FJ_HINT_HEADER, n = 0; at < f.size; at += FJ_HINT_ENTRY, n++)
      fj_put64(f.bytes + at, from[i] + n);
    uint64_t size = f.size;
    forge_end(&f, disk);
    disk->pages.largest = 0;
    db = open_store(disk, FREYJA_IO_MMAP, 64);
    freyja_stats stats;
    freyja_get_stats(db, &stats);
    printf("# %llu KiB for a hint of %llu\n", (unsigned long long)disk->pages.largest >> 10,
           (unsigned long long)size >> 10);
    ok(stats.keys > 5000 && disk->pages.largest < 8 * size,
       "hashes that are too near take no memory");
    demand(freyja_close(db, NULL) == FREYJA_OK, "a store closes");
    sim_disk_destroy(disk);
  }
}

int main(void) {
  test_same();
  test_passes();
  test_memory();
  test_giving_up();
  test_search();
  test_changed();
  test_impossible(FREYJA_IO_MMAP);
  test_impossible(FREYJA_IO_SYSCALL);
  test_near();
  return failures > 0;
}
