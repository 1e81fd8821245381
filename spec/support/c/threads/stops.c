/* stops.c - one thread writes, and is stopped again and again, wherever it happens to be, by a
 * signal whose handler waits. Meanwhile readers must go on, and see of each key what was there
 * at some moment of their call: no version that had been replaced before it began, none that
 * had not been begun when it ended.
 *
 * As often a reader is stopped while the writer goes on, rotates, merges and grows: when it
 * goes on, what it was looking at must be there. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "shared.h"

#define READERS 2u
#define KEYS 400u
#define READS 64u           /* of each reader, that a stopped writer must not prevent */
#define STEPS 3000u         /* of the writer, while a reader is stopped */
#define GONE 5u             /* of so many versions of a key one is a deletion */
#define PATIENCE_SECONDS 60 /* then it is a hang */

/* What the writer is doing. */
typedef enum phase { PUTS, DELETES, GROWS, ROTATES, MERGES, PHASES } phase;

static const char *const phase_names[PHASES] = {"put", "delete", "grow", "rotate", "merge"};

typedef struct key_state {
  uint64_t begun, done; /* versions of the key, by the writer */
} key_state;

static key_state keys[KEYS];
static uint64_t reads[READERS];
static uint64_t steps; /* of the writer: puts, deletions, rotations, steps of merges */
static uint32_t now;   /* a phase */
static uint32_t stopped, go_on, ended;
static pthread_t writer_thread;
static const char *wrong; /* what a reader has seen */

static void see(const char *what) { __atomic_store_n(&wrong, what, __ATOMIC_SEQ_CST); }
static uint64_t load64(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
static uint32_t load32(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
static void store64(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }
static void store32(uint32_t *p, uint32_t v) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }

static void wait_here(int signal_number) {
  (void)signal_number;
  store32(&stopped, 1);
  while (load32(&go_on) == 0) (void)sched_yield();
  store32(&stopped, 0);
}

/* ---- the reader ------------------------------------------------------------------- */

typedef struct reader {
  pthread_t thread;
  freyja *db;
  uint64_t random;
  unsigned number;
} reader;

/* Whether some version from `low` to `high` is a deletion; before the first there is none. */
static bool may_be_gone(uint64_t low, uint64_t high) {
  for (uint64_t v = low; v <= high && v <= low + GONE; v++)
    if (v % GONE == 0) return true;
  return false;
}

static void read_one(reader *r) {
  uint64_t value[8];
  freyja_error error;
  size_t size = 0;
  uint32_t key = (uint32_t)(threads_next(&r->random) % KEYS);
  uint64_t low = load64(&keys[key].done);
  freyja_status status =
      freyja_get(r->db, &key, sizeof key, value, sizeof value, &size, &error);
  uint64_t high = load64(&keys[key].begun);
  if (status == FREYJA_NOTFOUND) {
    if (!may_be_gone(low, high)) see("a key is not there that is");
  } else if (status != FREYJA_OK || size < 16) {
    see("a read fails");
  } else if (value[0] != key || value[1] < low || value[1] > high) {
    see("a reader sees what is not there, or not any more");
  }
}

static void *read_on(void *argument) {
  reader *r = argument;
  while (load32(&ended) == 0) {
    read_one(r);
    store64(&reads[r->number], reads[r->number] + 1);
  }
  return NULL;
}

/* ---- the writer ------------------------------------------------------------------- */

static void begin(phase what) {
  store32(&now, what);
  store64(&steps, steps + 1);
}

static void write_version(freyja *db, uint32_t key, uint64_t *random) {
  freyja_error error;
  uint64_t value[8];
  uint64_t version = keys[key].begun + 1;
  for (size_t i = 0; i < 8; i++) value[i] = version;
  value[0] = key;
  bool gone = version % GONE == 0;
  size_t size = 16 + 8 * (threads_next(random) % 7);
  begin(gone ? DELETES : PUTS);
  store64(&keys[key].begun, version);
  freyja_status status = gone ? freyja_delete(db, &key, sizeof key, &error)
                              : freyja_put(db, &key, sizeof key, value, size, &error);
  threads_demand(status == FREYJA_OK, "a write", &error);
  store64(&keys[key].done, version);
}

void threads_merge(freyja *db) {
  freyja_error error;
  freyja_segment segments[64];
  uint64_t ids[64];
  size_t count = freyja_peek_segments(db, segments, 64), sealed = 0;
  if (count > 64) count = 64;
  for (size_t i = 0; i < count; i++)
    if (segments[i].sealed) ids[sealed++] = segments[i].id;
  freyja_rewrite *rewrite = NULL;
  if (sealed == 0) return;
  freyja_status status = freyja_rewrite_open(db, ids, sealed, &rewrite, &error);
  while (status == FREYJA_OK) {
    begin(MERGES);
    status = freyja_rewrite_step(rewrite, 5000, &error);
  }
  if (status == FREYJA_END) status = freyja_rewrite_commit(rewrite, &error);
  while (status == FREYJA_OK) {
    begin(MERGES);
    status = freyja_rewrite_step(rewrite, 5000, &error);
  }
  threads_demand(status == FREYJA_END, "a merge", &error);
  freyja_rewrite_close(rewrite);
}

/* Puts many keys that nobody reads, so that the keydir grows, or deletes them. */
static void grow(freyja *db, uint64_t *from) {
  freyja_error error;
  for (unsigned i = 0; i < 3000; i++, (*from)++) {
    uint64_t key = UINT64_C(1) << 40 | *from;
    begin(GROWS);
    threads_demand(freyja_put(db, &key, sizeof key, "x", 1, &error) == FREYJA_OK, "a put",
                   &error);
  }
}

static void *write_on(void *argument) {
  freyja *db = argument;
  freyja_error error;
  uint64_t random = 4711, more = 0;
  for (uint64_t i = 0; load32(&ended) == 0; i++) {
    for (unsigned k = 0; k < 200; k++)
      write_version(db, (uint32_t)(threads_next(&random) % KEYS), &random);
    if (i % 8 == 1 && more < 300000) grow(db, &more);
    if (i % 8 == 3) {
      begin(ROTATES);
      threads_demand(freyja_rotate(db, &error) == FREYJA_OK, "rotate", &error);
    }
    if (i % 8 == 5) threads_merge(db);
  }
  return NULL;
}

/* ---- stopping --------------------------------------------------------------------- */

/* Whether all readers read so often more. */
static bool readers_go_on(void) {
  uint64_t before[READERS];
  time_t until = time(NULL) + PATIENCE_SECONDS;
  for (unsigned i = 0; i < READERS; i++) before[i] = load64(&reads[i]);
  for (unsigned i = 0; i < READERS;) {
    if (load64(&reads[i]) - before[i] >= READS) i++;
    else if (time(NULL) > until) return false;
    else (void)sched_yield();
  }
  return true;
}

/* Lets the writer do so many steps more. */
static void let_go_on(uint64_t count) {
  uint64_t from = load64(&steps);
  while (load64(&steps) - from < count) (void)sched_yield();
}

static void stop(pthread_t thread) {
  store32(&go_on, 0);
  (void)pthread_kill(thread, SIGUSR1);
  while (load32(&stopped) == 0) (void)sched_yield();
}

static void release(void) {
  store32(&go_on, 1);
  while (load32(&stopped) != 0) (void)sched_yield();
}

static bool stop_writer(unsigned counts[PHASES]) {
  stop(writer_thread);
  counts[load32(&now)]++;
  bool good = readers_go_on();
  if (!good) printf("# stopped while it was to %s\n", phase_names[load32(&now)]);
  release();
  return good;
}

static void finish(reader *readers, freyja *db) {
  freyja_error error;
  store32(&ended, 1);
  (void)pthread_join(writer_thread, NULL);
  for (unsigned i = 0; i < READERS; i++) {
    (void)pthread_join(readers[i].thread, NULL);
    threads_demand(freyja_close(readers[i].db, &error) == FREYJA_OK, "close", &error);
  }
  threads_demand(freyja_close(db, &error) == FREYJA_OK, "close", &error);
}

void threads_test_stops(uint64_t seed, long stops) {
  freyja_options options = threads_options();
  freyja *db = threads_open_new(&options);
  reader readers[READERS];
  unsigned counts[PHASES] = {0};
  uint64_t random = seed;
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = wait_here;
  threads_demand(sigaction(SIGUSR1, &action, NULL) == 0, "a handler", NULL);
  for (unsigned i = 0; i < READERS; i++) {
    readers[i] = (reader){.db = threads_open(), .random = seed + i, .number = i};
    threads_demand(pthread_create(&readers[i].thread, NULL, read_on, &readers[i]) == 0,
                   "a thread", NULL);
  }
  threads_demand(pthread_create(&writer_thread, NULL, write_on, db) == 0, "a thread", NULL);
  bool good = true;
  for (long i = 0; i < stops && good; i++) {
    good = stop_writer(counts);
    let_go_on(threads_next(&random) % 500);
    stop(readers[i % READERS].thread);
    let_go_on(threads_next(&random) % STEPS);
    release();
  }
  finish(readers, db);
  for (unsigned i = 0; i < PHASES; i++)
    printf("# stopped in a %s: %u\n", phase_names[i], counts[i]);
  threads_ok(good, "readers go on wherever a writer is stopped");
  threads_ok(wrong == NULL, wrong == NULL ? "what they see is what is there" : wrong);
}

/* ---- the second handle ------------------------------------------------------------- */

#define NUMBERS 300u

/* Puts so many keys, from that one on. */
static void *put_numbers(void *argument) {
  freyja *db = argument;
  freyja_error error;
  for (uint32_t i = 0; i < NUMBERS; i++) {
    store64(&steps, steps + 1);
    threads_demand(freyja_put(db, &i, sizeof i, "first", 5, &error) == FREYJA_OK, "a put",
                   &error);
  }
  return NULL;
}

void threads_test_second(uint64_t seed, long times) {
  freyja_options options = threads_options();
  freyja_error error;
  freyja_stats stats;
  uint64_t random = seed;
  bool good = true;
  for (long n = 0; n < times && good; n++) {
    freyja *first = threads_open_new(&options);
    store64(&steps, 0);
    threads_demand(pthread_create(&writer_thread, NULL, put_numbers, first) == 0, "a thread",
                   NULL);
    for (uint64_t count = threads_next(&random) % NUMBERS; load64(&steps) < count;)
      (void)sched_yield();
    freyja *second = threads_open();
    for (uint32_t i = NUMBERS; i < 2 * NUMBERS; i++)
      threads_demand(freyja_put(second, &i, sizeof i, "second", 6, &error) == FREYJA_OK,
                     "a put", &error);
    (void)pthread_join(writer_thread, NULL);
    freyja_get_stats(first, &stats);
    freyja_report report;
    good = stats.keys == 2 * NUMBERS && stats.puts == 2 * NUMBERS &&
           freyja_verify(second, NULL, NULL, &report, &error) == FREYJA_OK &&
           report.problems == 0;
    threads_demand(freyja_close(first, &error) == FREYJA_OK, "close", &error);
    threads_demand(freyja_close(second, &error) == FREYJA_OK, "close", &error);
  }
  threads_ok(good, "a second handle may come in the middle of the first one's calls");
}
