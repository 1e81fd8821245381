/* shared.h - what the parts of the test of hint files share: results, random numbers, keys
 * some of which have the same hash, and stores on a simulated disk. What cannot be prepared
 * ends the program as a failure. */
#ifndef HINTS_SHARED_H
#define HINTS_SHARED_H

#include "disk.h"
#include "freyja.h"
#include "share.h"

#define HINTS_KEYS 60u
#define HINTS_KEY_MAX 12u /* bytes */

typedef struct hints_key {
  uint8_t bytes[HINTS_KEY_MAX];
  size_t size;
} hints_key;

/* Those of the store that was made last. */
extern hints_key hints_keys[HINTS_KEYS];

/* ---- shared.c ------------------------------------------------------------- */

/* Prints the result of a test. */
void hints_ok(bool condition, const char *name);

/* Whether all were good so far. */
bool hints_all_good(void);

/* Ends the program, with `what` for the test's name, unless the condition holds. */
void hints_demand(bool condition, const char *what);

/* The seed of a test that takes another one each time; FREYJA_SEED if that is set. */
uint64_t hints_new_seed(void);

/* Begins the random numbers anew. */
void hints_set_seed(uint64_t seed);

/* The next of them, less than `below`. */
uint32_t hints_pick(uint32_t below);

/* Makes hints_keys for stores whose hashes have that seed: a third of them are twins, of the
 * same 64 bits of hash, of another third. */
void hints_make_keys(uint64_t hash_seed);

/* An empty disk. Random numbers begin anew by the same seed. */
sim_disk *hints_disk(uint64_t seed);

/* Opens the store "db", which may be new; its segments are small. */
freyja *hints_open(sim_disk *disk, freyja_io io, uint32_t hash_bits);

void hints_close(freyja *db);

/* A new store, open, whose only sealed segment holds so many records, most of them of keys
 * that are decimal numbers, the others of hints_keys, which it makes. */
freyja *hints_make_large(sim_disk *disk, uint32_t count);

/* Writes the hints of all sealed segments; returns how many that are. */
uint32_t hints_write_all(freyja *db);

/* ---- forgery.c ------------------------------------------------------------ */

/* Hint files with right sums that no store has written: whatever they say, no get gives
 * another key's value, and what they cannot say of their data file is found. */
void hints_test_forged(void);

#endif
