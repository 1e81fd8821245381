/* shared.c - see shared.h. */
#include "shared.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SEGMENT 8192u             /* bytes */
#define SEGMENT_LARGE (64u << 20) /* bytes */

hints_key hints_keys[HINTS_KEYS];

static int failures;
static uint64_t state; /* of the random numbers */

void hints_ok(bool condition, const char *name) {
  printf("%s hints: %s\n", condition ? "ok" : "not ok", name);
  failures += !condition;
}

bool hints_all_good(void) { return failures == 0; }

void hints_demand(bool condition, const char *what) {
  if (condition) return;
  printf("not ok hints: %s\n", what);
  exit(1);
}

/* ---- random numbers --------------------------------------------------- */

uint64_t hints_new_seed(void) {
  const char *given = getenv("FREYJA_SEED");
  return given == NULL ? (uint64_t)time(NULL) : strtoull(given, NULL, 10);
}

void hints_set_seed(uint64_t seed) { state = seed; }

uint32_t hints_pick(uint32_t below) {
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
  hints_demand(fj_hash(out, 8, seed) == fj_hash(key, size, seed), "two keys of the same hash");
}

void hints_make_keys(uint64_t hash_seed) {
  for (uint32_t i = 0; i < HINTS_KEYS; i++) {
    hints_key *k = &hints_keys[i];
    k->size = 5;
    (void)snprintf((char *)k->bytes, sizeof k->bytes, "k%04u", i);
    if (i % 3 != 2) continue;
    make_twin(k->bytes, hints_keys[i - 1].bytes, 5, hash_seed);
    k->size = 8;
  }
}

/* ---- a store ---------------------------------------------------------- */

sim_disk *hints_disk(uint64_t seed) {
  sim_disk *disk = sim_disk_create(seed);
  disk->plain = true;
  hints_set_seed(seed);
  return disk;
}

static freyja *open_store(sim_disk *disk, freyja_options *options) {
  freyja *db = NULL;
  options->sync_mode = FREYJA_SYNC_NONE;
  options->os = &disk->os;
  hints_demand(freyja_open("db", options, &db, NULL) == FREYJA_OK, "a store opens");
  return db;
}

freyja *hints_open(sim_disk *disk, freyja_io io, uint32_t hash_bits) {
  freyja_options options;
  freyja_options_init(&options);
  options.segment_size = SEGMENT;
  options.io = io;
  options.hash_bits = hash_bits;
  return open_store(disk, &options);
}

void hints_close(freyja *db) {
  hints_demand(freyja_close(db, NULL) == FREYJA_OK, "a store closes");
}

freyja *hints_make_large(sim_disk *disk, uint32_t count) {
  freyja_options options;
  freyja_options_init(&options);
  options.segment_size = SEGMENT_LARGE;
  freyja *db = open_store(disk, &options);
  hints_make_keys(db->store->index.pool.identity.hash_seed);
  for (uint32_t i = 0; i < count; i++) {
    hints_key number;
    number.size =
        (size_t)snprintf((char *)number.bytes, sizeof number.bytes, "%u", hints_pick(count));
    const hints_key *k = &hints_keys[hints_pick(HINTS_KEYS)];
    if (hints_pick(3) != 0) k = &number;
    hints_demand(freyja_put(db, k->bytes, k->size, "v", 1, NULL) == FREYJA_OK, "a put");
  }
  hints_demand(freyja_rotate(db, NULL) == FREYJA_OK, "a rotation");
  return db;
}

uint32_t hints_write_all(freyja *db) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < db->store->index.count; i++) {
    const fj_segment *segment = db->store->index.ranks[i];
    if (!segment->sealed) continue;
    hints_demand(freyja_hint(db, segment->id, NULL) == FREYJA_OK, "a hint is written");
    count++;
  }
  return count;
}
