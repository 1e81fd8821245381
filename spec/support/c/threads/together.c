/* together.c - durable writes of several threads share syncs; and a sync that fails fails all
 * whose records it was to make durable, and nobody else. The disk is one that waits: a sync
 * returns when it is let. And what is written at last is synced though nobody writes again. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "os.h"
#include "share.h"
#include "shared.h"

#include "group.h"

#define WRITERS 8u

static uint32_t syncs, allowed; /* that have begun; that may end */
static uint32_t failing;        /* the number of the one that fails; 0: none does */

static int slow_sync(void *context, int file) {
  uint32_t number = __atomic_add_fetch(&syncs, 1, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(&allowed, __ATOMIC_SEQ_CST) < number) (void)sched_yield();
  if (__atomic_load_n(&failing, __ATOMIC_SEQ_CST) == number) return -EIO;
  return fj_os_real()->sync(context, file);
}

static void allow(uint32_t count) { __atomic_store_n(&allowed, count, __ATOMIC_SEQ_CST); }

static void fail_sync(uint32_t number) {
  __atomic_store_n(&failing, number, __ATOMIC_SEQ_CST);
}

typedef struct writer {
  pthread_t thread;
  freyja *db;
  uint32_t number;
  bool deletes;
  freyja_status status;
  freyja_error error;
} writer;

static void *write_one(void *argument) {
  writer *w = argument;
  if (w->deletes) w->status = freyja_delete(w->db, &w->number, 4, &w->error);
  else w->status = freyja_put(w->db, &w->number, 4, "value", 5, &w->error);
  return NULL;
}

static unsigned count_waiting(fj_share *share) {
  unsigned count = 0;
  (void)pthread_mutex_lock(&share->queue_lock);
  for (const fj_request *r = share->queue; r != NULL; r = r->next) count++;
  (void)pthread_mutex_unlock(&share->queue_lock);
  return count;
}

/* One thread writes, and while it waits for the disk all others come. Returns how many syncs
 * that took. The writers' outcomes are theirs. */
static uint32_t write_together(writer *writers) {
  uint32_t before = __atomic_load_n(&syncs, __ATOMIC_SEQ_CST);
  allow(before);
  for (unsigned i = 0; i < WRITERS; i++) {
    threads_demand(pthread_create(&writers[i].thread, NULL, write_one, &writers[i]) == 0,
                   "a thread", NULL);
    while (i == 0 && __atomic_load_n(&syncs, __ATOMIC_SEQ_CST) == before) (void)sched_yield();
  }
  while (count_waiting(writers[0].db->share) < WRITERS - 1) (void)sched_yield();
  allow(UINT32_MAX);
  for (unsigned i = 0; i < WRITERS; i++) (void)pthread_join(writers[i].thread, NULL);
  return __atomic_load_n(&syncs, __ATOMIC_SEQ_CST) - before;
}

/* How many of the keys are there. */
static unsigned count_keys(freyja *db) {
  unsigned count = 0;
  for (uint32_t i = 0; i < WRITERS; i++) count += freyja_has(db, &i, 4, NULL) == FREYJA_OK;
  return count;
}

static unsigned count_outcomes(const writer *writers, freyja_status status) {
  unsigned count = 0;
  for (unsigned i = 0; i < WRITERS; i++) count += writers[i].status == status;
  return count;
}

void threads_test_together(void) {
  static fj_os slow;
  static writer writers[WRITERS];
  freyja_options options = threads_options();
  slow = *fj_os_real();
  slow.sync = slow_sync;
  options.sync_mode = FREYJA_SYNC_ALWAYS;
  options.os = &slow;
  allow(UINT32_MAX);
  freyja *db = threads_open_new(&options);
  for (uint32_t i = 0; i < WRITERS; i++)
    writers[i] = (writer){.db = threads_open_with(&options), .number = i};
  uint32_t took = write_together(writers);
  threads_ok(took == 2 && count_outcomes(writers, FREYJA_OK) == WRITERS &&
                 count_keys(db) == WRITERS,
             "what comes while a sync goes on has the next one together");
  /* The same key twice, and one that is not there: in their order, and each with its outcome.
   */
  for (uint32_t i = 0; i < WRITERS; i++) {
    writers[i].deletes = i > 0;
    writers[i].number = i < 4 ? i : i < 6 ? 4 : 100 + i;
  }
  took = write_together(writers);
  threads_ok(took <= 3 && count_outcomes(writers, FREYJA_OK) == 5 &&
                 count_outcomes(writers, FREYJA_NOTFOUND) == 3 && count_keys(db) == 4,
             "each of them has an outcome of its own");
  for (uint32_t i = 0; i < WRITERS; i++) {
    writers[i].deletes = false;
    writers[i].number = 1000 + i;
  }
  fail_sync(__atomic_load_n(&syncs, __ATOMIC_SEQ_CST) + 2);
  (void)write_together(writers);
  unsigned there = 0;
  for (uint32_t i = 1000; i < 1000 + WRITERS; i++)
    there += freyja_has(db, &i, 4, NULL) == FREYJA_OK;
  threads_ok(writers[0].status == FREYJA_OK && there == 1 &&
                 count_outcomes(writers, FREYJA_IO) == WRITERS - 1 &&
                 freyja_put(db, "k", 1, "v", 1, NULL) == FREYJA_POISONED,
             "a sync that fails fails those who waited for it, and nothing of theirs is seen");
  for (unsigned i = 0; i < WRITERS; i++) (void)freyja_close(writers[i].db, NULL);
  (void)freyja_close(db, NULL);
}

/* ---- when nobody writes ------------------------------------------------------------ */

#define PATIENCE_SECONDS 60

/* Whether so many syncs have begun, sooner or later. */
static bool has_synced(uint32_t count) {
  time_t until = time(NULL) + PATIENCE_SECONDS;
  while (__atomic_load_n(&syncs, __ATOMIC_SEQ_CST) < count)
    if (time(NULL) > until) return false;
    else (void)sched_yield();
  return true;
}

/* Writes once, and lets it be synced by nobody who writes. */
static bool write_and_wait(freyja *db, const char *key) {
  uint32_t before = __atomic_load_n(&syncs, __ATOMIC_SEQ_CST);
  return freyja_put(db, key, strlen(key), "v", 1, NULL) == FREYJA_OK && has_synced(before + 1);
}

void threads_test_flushes(void) {
  static fj_os counting;
  freyja_error error;
  freyja_options options = threads_options();
  counting = *fj_os_real();
  counting.sync = slow_sync;
  options.sync_mode = FREYJA_SYNC_INTERVAL;
  options.sync_ms = 5;
  options.os = &counting;
  fail_sync(0);
  allow(UINT32_MAX);
  freyja *db = threads_open_new(&options);
  bool good = write_and_wait(db, "a") && write_and_wait(db, "b");
  freyja *other = threads_open_with(&options);
  good = good && write_and_wait(db, "c") && write_and_wait(other, "d");
  threads_ok(good, "what is written at last is synced though nobody writes again");
  (void)freyja_close(other, NULL);
  /* What an open leaves to the first write to sync is not all. */
  threads_demand(freyja_checkpoint(db, &error) == FREYJA_OK &&
                     freyja_close(db, &error) == FREYJA_OK,
                 "close", &error);
  db = threads_open_with(&options);
  uint32_t before = __atomic_load_n(&syncs, __ATOMIC_SEQ_CST);
  good = freyja_put(db, "again", 5, "v", 1, &error) == FREYJA_OK;
  uint32_t settled = __atomic_load_n(&syncs, __ATOMIC_SEQ_CST);
  threads_ok(good && settled > before && has_synced(settled + 1),
             "nor after an open that had nothing to sync");
  fail_sync(__atomic_load_n(&syncs, __ATOMIC_SEQ_CST) + 1);
  good = write_and_wait(db, "e");
  while (good && freyja_put(db, "f", 1, "v", 1, &error) == FREYJA_OK) (void)sched_yield();
  threads_ok(good && error.status == FREYJA_POISONED,
             "a failure of that is told to who writes next");
  (void)freyja_close(db, NULL);
  fail_sync(0);
}
