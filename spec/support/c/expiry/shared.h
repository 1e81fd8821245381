/* shared.h - what the parts of the test of expiry share: a store on a simulated disk, whose
 * clock they move. */
#ifndef EXPIRY_SHARED_H
#define EXPIRY_SHARED_H

#include "disk.h"
#include "freyja.h"

#define SECOND UINT64_C(1000000) /* microseconds */
#define CENTURY (INT64_C(36525) * 24 * 3600 * 1000000)

typedef struct shop {
  sim_disk *disk;
  freyja *db;
  freyja_options options; /* of the next open */
} shop;

/* Prints the result of a test. */
void ok(bool condition, const char *name, freyja_io io);

/* Whether all were good so far. */
bool all_good(void);

/* An open store on a disk of its own. */
void shop_open(shop *s, freyja_io io, uint32_t hash_bits);

/* Closes it and opens it again. */
void shop_reopen(shop *s, freyja_io io);

/* Opens it after it was closed by freyja_close. */
void shop_open_again(shop *s, freyja_io io);

void shop_close(shop *s);

/* Time passes. */
void shop_wait(shop *s, uint64_t microseconds);

bool put(shop *s, const char *key, const char *value, uint64_t ttl);

/* Whether get, has, views, iterators in both orders and ttl agree that the key has that value;
 * NULL: that it is absent. */
bool holds(shop *s, const char *key, const char *value);

/* How many keys there are, by the statistics; they must agree with the segments'. */
uint64_t keys_of(shop *s);

/* Whether verify finds nothing and counts that many keys. */
bool is_sound(shop *s, uint64_t keys);

/* A random run against a model, by the seed. */
void test_random(uint64_t seed, uint32_t hash_bits);

#endif
