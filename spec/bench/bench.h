/* bench.h - what the files of the benchmark share: keys, time, and the floors, that
 * is the least that any store of this kind has to do for the same work. */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KEY_SIZE 16u
#define VALUE_SIZE 100u
#define RECORD_SIZE 144u /* header of 24, key, value, rounded up to 8 */

/* The i-th key: 16 bytes that look random; different for different i < 2^64. */
void make_key(uint8_t key[KEY_SIZE], uint64_t i);

/* A random cycle over 0..n-1: next[i] follows i. To be freed. */
uint32_t *make_cycle(uint64_t n);

/* Nanoseconds of a steady clock. */
double now(void);

/* The floor: a mapped, reserved file of records and a table of 16-byte slots. */
typedef struct floor_store floor_store;

floor_store *floor_open(const char *folder, uint64_t keys);
void floor_close(floor_store *floor);

/* Each returns nanoseconds per operation over all `keys` keys. The value of key i begins
 * with the key that follows it in the cycle, so that chained gets take each key from the
 * record read before. */
double floor_put(floor_store *floor, const uint32_t *next);
double floor_overwrite(floor_store *floor, const uint32_t *next);
double floor_get(floor_store *floor, bool chained);
double floor_miss(floor_store *floor, bool chained);
double floor_delete(floor_store *floor);
double floor_each(floor_store *floor);
double floor_reopen(floor_store *floor);
double floor_load(const char *folder, uint64_t keys,
                  const uint32_t *next); /* in a file of its own, synced in the end */
double floor_durable(const char *folder,
                     uint64_t count); /* 132-byte appends, fdatasync each */

/* Keeps the compiler from dropping work whose result nobody needs. */
extern volatile uint64_t sink;

#endif
