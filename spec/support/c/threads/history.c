/* history.c - is what several threads have seen of a key what one thread could have seen, that
 * made the same calls one after the other, each at some moment between its beginning and its
 * end (M. Herlihy, J. Wing, Linearizability, 1990)? The check tries all orders that there can
 * be, and remembers what led nowhere (J. Wing, C. Gong, Testing and verifying concurrent
 * objects, 1993; G. Lowe, 2017). */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared.h"

#define THREADS 8u
#define CALLS 5u /* of each thread in a history */
#define ALL (THREADS * CALLS)
#define KEYS 64u /* histories that are made at once */
#define SEEN_MAX (1u << 20)

typedef enum call_kind { GET, PUT, DELETE, INSERT, CAS, KINDS } call_kind;

typedef struct call {
  call_kind kind;
  uint32_t value, expected; /* 0: there is none */
  uint32_t result;          /* of GET: the value; otherwise whether it took place */
  uint64_t begin, end;
} call;

typedef struct worker {
  pthread_t thread;
  freyja *db;
  uint64_t random;
  uint32_t number;
  call calls[KEYS][CALLS];
} worker;

static uint64_t moment;         /* counts beginnings and ends */
static pthread_barrier_t start; /* of a round */
static long round_number;

static uint64_t tick(void) { return __atomic_add_fetch(&moment, 1, __ATOMIC_SEQ_CST); }

/* ---- making one ----------------------------------------------------------------- */

static size_t name_key(char *out, unsigned key) {
  return (size_t)sprintf(out, "%ld/%u", round_number, key);
}

static uint32_t look(freyja *db, const char *key, size_t size) {
  freyja_error error;
  uint32_t value = 0;
  size_t value_size = 0;
  freyja_status status = freyja_get(db, key, size, &value, sizeof value, &value_size, &error);
  if (status == FREYJA_NOTFOUND) return 0;
  threads_demand(status == FREYJA_OK && value_size == sizeof value, "get", &error);
  return value;
}

static bool make_call(freyja *db, const char *key, size_t size, const call *c) {
  freyja_error error;
  freyja_slice expected = {&c->expected, sizeof c->expected}, wanted = {&c->value, 4};
  freyja_status status = FREYJA_OK;
  if (c->kind == PUT) status = freyja_put(db, key, size, &c->value, 4, &error);
  if (c->kind == DELETE) status = freyja_delete(db, key, size, &error);
  if (c->kind == INSERT) status = freyja_insert(db, key, size, &c->value, 4, &error);
  if (c->kind == CAS)
    status = freyja_cas(db, key, size, c->expected == 0 ? NULL : &expected,
                        c->value == 0 ? NULL : &wanted, &error);
  threads_demand(!freyja_is_fault(status), "a write", &error);
  return status == FREYJA_OK;
}

static void do_call(worker *w, unsigned key, unsigned number) {
  char name[40];
  size_t size = name_key(name, key);
  call *c = &w->calls[key][number];
  uint64_t random = threads_next(&w->random);
  memset(c, 0, sizeof *c);
  c->kind = random % 8 < 3 ? GET : (call_kind)(random % KINDS);
  c->value = (w->number * CALLS + number) + 1;
  if (c->kind == CAS) {
    /* What may be there: what was seen last, or anything. */
    c->expected = (uint32_t)(random >> 8) % (ALL + 1);
    if (number > 0 && w->calls[key][number - 1].kind == GET)
      c->expected = w->calls[key][number - 1].result;
    if ((random >> 40) % 8 == 0) c->value = 0;
  }
  c->begin = tick();
  if ((random >> 50) % 4 == 0) (void)sched_yield();
  c->result = c->kind == GET ? look(w->db, name, size) : make_call(w->db, name, size, c);
  c->end = tick();
}

static void *work(void *argument) {
  worker *w = argument;
  (void)pthread_barrier_wait(&start);
  for (unsigned key = 0; key < KEYS; key++)
    for (unsigned i = 0; i < CALLS; i++) do_call(w, key, i);
  return NULL;
}

/* ---- checking one --------------------------------------------------------------- */

typedef struct check {
  call all[ALL];
  uint64_t *seen; /* open addressing: done calls and value, mixed; 0: empty */
  uint32_t seen_count;
} check;

/* Whether the state is new; it is remembered. */
static bool is_new(check *k, uint64_t done, uint32_t value) {
  uint64_t mark = done << 8 ^ value ^ 1; /* 40 calls, values below 256 */
  uint64_t at = mark * UINT64_C(0x9e3779b97f4a7c15) >> 44;
  while (k->seen[at] != 0 && k->seen[at] != mark) at = (at + 1) % SEEN_MAX;
  if (k->seen[at] == mark) return false;
  threads_demand(++k->seen_count < SEEN_MAX / 2, "a history is too hard to check", NULL);
  k->seen[at] = mark;
  return true;
}

/* Whether the call could have that result when the value is `value`; then it becomes *after.
 */
static bool fits(const call *c, uint32_t value, uint32_t *after) {
  bool takes_place = true;
  *after = value;
  switch (c->kind) {
  case GET:
    return c->result == value;
  case DELETE:
    takes_place = value != 0;
    break;
  case INSERT:
    takes_place = value == 0;
    break;
  case CAS:
    takes_place = value == c->expected;
    break;
  default:
    break;
  }
  if (takes_place) *after = c->kind == DELETE ? 0 : c->value;
  return (c->result != 0) == takes_place;
}

/* Whether the calls that are not done yet can follow. */
static bool can_follow(check *k, uint64_t done, uint32_t value) {
  uint64_t first_end = UINT64_MAX;
  if (done == (UINT64_C(1) << ALL) - 1) return true;
  if (!is_new(k, done, value)) return false;
  for (unsigned i = 0; i < ALL; i++)
    if ((done >> i & 1) == 0 && k->all[i].end < first_end) first_end = k->all[i].end;
  for (unsigned i = 0; i < ALL; i++) {
    uint32_t after = 0;
    if ((done >> i & 1) != 0 || k->all[i].begin > first_end) continue;
    if (fits(&k->all[i], value, &after) && can_follow(k, done | UINT64_C(1) << i, after))
      return true;
  }
  return false;
}

static void print_history(const check *k) {
  static const char *const names[KINDS] = {"get", "put", "delete", "insert", "cas"};
  for (unsigned i = 0; i < ALL; i++) {
    const call *c = &k->all[i];
    printf("  thread %u, %llu to %llu: %s %u (expected %u) gave %u\n", i / CALLS,
           (unsigned long long)c->begin, (unsigned long long)c->end, names[c->kind], c->value,
           c->expected, c->result);
  }
}

static bool check_key(check *k, const worker *workers, unsigned key) {
  for (unsigned t = 0; t < THREADS; t++)
    memcpy(k->all + t * CALLS, workers[t].calls[key], sizeof workers[t].calls[key]);
  memset(k->seen, 0, SEEN_MAX * sizeof *k->seen);
  k->seen_count = 0;
  bool good = can_follow(k, 0, 0);
  if (!good) print_history(k);
  return good;
}

/* A check that accepts everything proves nothing. */
static bool refuses(check *k) {
  call wrong[ALL];
  memset(wrong, 0, sizeof wrong);
  for (unsigned i = 0; i < ALL; i++)
    wrong[i] = (call){.kind = GET, .begin = 2 * i + 1, .end = 2 * i + 2};
  wrong[3] = (call){.kind = PUT, .value = 7, .result = 1, .begin = 7, .end = 8};
  memcpy(k->all, wrong, sizeof wrong);
  memset(k->seen, 0, SEEN_MAX * sizeof *k->seen);
  k->seen_count = 0;
  return !can_follow(k, 0, 0);
}

void threads_test_histories(uint64_t seed, long rounds) {
  static worker workers[THREADS];
  static check k;
  freyja_error error;
  freyja_options options = threads_options();
  freyja *db = threads_open_new(&options);
  bool good = true;
  k.seen = malloc(SEEN_MAX * sizeof *k.seen);
  threads_demand(k.seen != NULL, "no memory", NULL);
  threads_ok(refuses(&k), "a history that cannot be is refused");
  for (unsigned t = 0; t < THREADS; t++) {
    workers[t].number = t;
    workers[t].random = seed * THREADS + t + 1;
    workers[t].db = threads_open();
  }
  for (round_number = 0; round_number < rounds && good; round_number++) {
    (void)pthread_barrier_init(&start, NULL, THREADS);
    for (unsigned t = 0; t < THREADS; t++)
      threads_demand(pthread_create(&workers[t].thread, NULL, work, &workers[t]) == 0,
                     "a thread", NULL);
    for (unsigned t = 0; t < THREADS; t++) (void)pthread_join(workers[t].thread, NULL);
    (void)pthread_barrier_destroy(&start);
    for (unsigned key = 0; key < KEYS && good; key++) good = check_key(&k, workers, key);
  }
  char text[100];
  (void)snprintf(text, sizeof text, "%ld histories of %u threads are linearizable",
                 rounds * (long)KEYS, THREADS);
  threads_ok(good, text);
  for (unsigned t = 0; t < THREADS; t++)
    threads_demand(freyja_close(workers[t].db, &error) == FREYJA_OK, "close", &error);
  threads_demand(freyja_close(db, &error) == FREYJA_OK, "close", &error);
  free(k.seen);
}
