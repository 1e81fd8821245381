/* wholes.c - many keys that are written as one, by transactions and by loads, always with the
 * same number, which rises; half of them each time, the others are new ones each time. Who
 * reads one of either half and then another must not find the second one older, or absent. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "shared.h"

#define READERS 2u
#define KEYS 200u

typedef struct reader {
  pthread_t thread;
  freyja *db;
  uint64_t random, pairs;
  bool saw_part;
} reader;

static uint32_t ended;
static uint64_t newest; /* the number that is written now */

/* The i-th key that is written with a number. */
static uint64_t name_key(uint64_t number, uint64_t i) {
  return i % 2 == 0 ? i : number << 32 | i;
}

static uint64_t read_number(freyja *db, uint64_t key) {
  uint64_t number = 0;
  size_t size = 0;
  freyja_error error;
  freyja_status status =
      freyja_get(db, &key, sizeof key, &number, sizeof number, &size, &error);
  threads_demand(status == FREYJA_OK || status == FREYJA_NOTFOUND, "a read", &error);
  return number;
}

static void *read_pairs(void *argument) {
  reader *r = argument;
  while (__atomic_load_n(&ended, __ATOMIC_SEQ_CST) == 0 && !r->saw_part) {
    uint64_t random = threads_next(&r->random);
    uint64_t now = __atomic_load_n(&newest, __ATOMIC_SEQ_CST);
    uint64_t half = random >> 60 & 1;
    uint64_t first = read_number(r->db, name_key(now, random % (KEYS / 2) * 2 + half));
    uint64_t second =
        read_number(r->db, name_key(now, (random >> 32) % (KEYS / 2) * 2 + half));
    r->saw_part = second < first;
    r->pairs++;
  }
  return NULL;
}

static void transact(freyja *db, uint64_t number) {
  freyja_error error;
  freyja_transaction *tx = NULL;
  freyja_status status = freyja_begin(db, NULL, &tx, &error);
  for (uint64_t i = 0; i < KEYS && status == FREYJA_OK; i++) {
    uint64_t key = name_key(number, i);
    status = freyja_transaction_put(tx, &key, sizeof key, &number, sizeof number, 0, &error);
  }
  if (status == FREYJA_OK) status = freyja_transaction_commit(tx, &error);
  threads_demand(status == FREYJA_OK, "a transaction", &error);
  freyja_transaction_close(tx);
}

static void load(freyja *db, uint64_t number) {
  freyja_error error;
  freyja_load *loading = NULL;
  freyja_status status = freyja_load_open(db, &loading, &error);
  for (uint64_t i = 0; i < KEYS && status == FREYJA_OK; i++) {
    uint64_t key = name_key(number, i);
    status = freyja_load_put(loading, &key, sizeof key, &number, sizeof number, 0, &error);
  }
  if (status == FREYJA_OK) status = freyja_load_commit(loading, &error);
  threads_demand(status == FREYJA_OK, "a load", &error);
  freyja_load_close(loading);
}

static bool run(uint64_t seed, long times, void (*write)(freyja *db, uint64_t number)) {
  freyja_options options = threads_options();
  freyja_error error;
  freyja *db = threads_open_new(&options);
  reader readers[READERS];
  bool good = true;
  newest = 1;
  write(db, newest);
  __atomic_store_n(&ended, 0, __ATOMIC_SEQ_CST);
  for (unsigned i = 0; i < READERS; i++) {
    readers[i] = (reader){.db = threads_open(), .random = seed + i};
    threads_demand(pthread_create(&readers[i].thread, NULL, read_pairs, &readers[i]) == 0,
                   "a thread", NULL);
  }
  for (long n = 2; n < times + 2; n++) {
    __atomic_store_n(&newest, (uint64_t)n, __ATOMIC_SEQ_CST);
    write(db, (uint64_t)n);
  }
  __atomic_store_n(&ended, 1, __ATOMIC_SEQ_CST);
  for (unsigned i = 0; i < READERS; i++) {
    (void)pthread_join(readers[i].thread, NULL);
    good = good && !readers[i].saw_part;
    printf("# %llu pairs\n", (unsigned long long)readers[i].pairs);
    threads_demand(freyja_close(readers[i].db, &error) == FREYJA_OK, "close", &error);
  }
  threads_demand(freyja_close(db, &error) == FREYJA_OK, "close", &error);
  return good;
}

void threads_test_wholes(uint64_t seed, long times) {
  threads_ok(run(seed, times * 8, transact), "of a transaction no part is seen");
  threads_ok(run(seed, times / 2, load), "nor of a load");
}
