/* all.c - all calls at once, by several threads that each open the store, and close it and
 * open it again. Each has keys of its own, of which it knows what they are; of the keys of the
 * others it sees whole values, and of a transaction all or nothing. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared.h"

#define THREADS 8u
#define KEYS 64u  /* of each thread */
#define PAIRS 16u /* keys that are written two at a time, with the same value */
#define WORDS 16u
#define LADDERS 8u /* pairs of keys, and lists of them, whose values rise with each commit */
#define RUNGS 40u  /* keys of such a list */
#define SEGMENTS 1024u /* of which the store has fewer: all of them are merged in turn */

typedef struct worker {
  pthread_t thread;
  freyja *db;
  uint64_t random;
  unsigned number;
  uint64_t versions[KEYS]; /* 0: it is not there */
  uint64_t last;
} worker;

static long left; /* operations */
static const char *wrong;

static void expect(bool condition, const char *what) {
  if (!condition) __atomic_store_n(&wrong, what, __ATOMIC_SEQ_CST);
}

/* A call may be refused because of what another thread is about. */
static bool took_place(freyja_status status, const freyja_error *error) {
  bool refused = status == FREYJA_CONFLICT || status == FREYJA_CLOSED;
  if (freyja_is_fault(status) && !refused) {
    printf("# %s\n", error->message);
    expect(false, "a call fails");
  }
  return status == FREYJA_OK || status == FREYJA_END;
}

typedef struct value {
  uint64_t words[WORDS];
  size_t size;
} value;

/* All of its words are the same. */
static value make_value(uint64_t version) {
  value v = {.size = 8 * (1 + version % WORDS)};
  for (size_t i = 0; i < WORDS; i++) v.words[i] = version;
  return v;
}

static bool is_whole(const void *data, size_t size, uint64_t *version) {
  value v;
  if (size < 8 || size > sizeof v.words) return false;
  memcpy(v.words, data, size);
  *version = v.words[0];
  value expected = make_value(*version);
  return size == expected.size && memcmp(v.words, expected.words, size) == 0;
}

static uint64_t own_key(const worker *w, unsigned key) { return w->number * 1000u + key; }

/* ---- one key ----------------------------------------------------------------------- */

static void write_own(worker *w, unsigned key, uint64_t random) {
  freyja_error error;
  uint64_t name = own_key(w, key), version = ++w->last;
  value v = make_value(version), old = make_value(w->versions[key]);
  freyja_slice wanted = {v.words, v.size}, expected = {old.words, old.size};
  bool is_there = w->versions[key] != 0;
  freyja_status status = FREYJA_OK;
  switch (random % 4) {
  case 0:
    status = freyja_put(w->db, &name, 8, v.words, v.size, &error);
    break;
  case 1:
    status = freyja_insert(w->db, &name, 8, v.words, v.size, &error);
    if (status == FREYJA_CONFLICT) break;
    expect((status == FREYJA_EXISTS) == is_there, "an insert is wrong about a key");
    break;
  case 2:
    status = freyja_cas(w->db, &name, 8, is_there ? &expected : NULL, &wanted, &error);
    if (status == FREYJA_CONFLICT) break;
    expect(status != FREYJA_MISMATCH, "a cas is wrong about a key");
    break;
  default:
    status = freyja_delete(w->db, &name, 8, &error);
    if (status == FREYJA_CONFLICT) break;
    expect((status == FREYJA_OK) == is_there, "a delete is wrong about a key");
    version = 0;
  }
  if (took_place(status, &error)) w->versions[key] = version;
}

static void read_own(worker *w, unsigned key, uint64_t random) {
  freyja_error error;
  value v;
  freyja_view view;
  uint64_t name = own_key(w, key), version = 0;
  freyja_status status = FREYJA_OK;
  if (random % 3 == 0) {
    status = freyja_has(w->db, &name, 8, &error);
    version = w->versions[key];
  } else if (random % 3 == 1) {
    status = freyja_get(w->db, &name, 8, v.words, sizeof v.words, &v.size, &error);
    if (status == FREYJA_OK)
      expect(is_whole(v.words, v.size, &version), "a value is not whole");
  } else {
    status = freyja_get_view(w->db, &name, 8, &view, &error);
    if (status == FREYJA_OK)
      expect(is_whole(view.data, view.size, &version), "a view is not whole");
    freyja_view_release(&view);
  }
  (void)took_place(status, &error);
  expect((status == FREYJA_OK) == (w->versions[key] != 0) && version == w->versions[key],
         "a thread does not see what it wrote");
}

static void read_other(worker *w, uint64_t random) {
  freyja_error error;
  value v;
  uint64_t name = random % THREADS * 1000 + (random >> 8) % KEYS, version = 0;
  freyja_status status = freyja_get(w->db, &name, 8, v.words, sizeof v.words, &v.size, &error);
  if (status == FREYJA_OK) expect(is_whole(v.words, v.size, &version), "a value is not whole");
  else expect(status == FREYJA_NOTFOUND, "a read fails");
}

/* ---- several ----------------------------------------------------------------------- */

/* The two keys of a pair always have the same value, or are both not there. */
static void name_pair(uint64_t names[2], uint64_t random) {
  names[0] = UINT64_C(1) << 32 | random % PAIRS;
  names[1] = UINT64_C(2) << 32 | random % PAIRS;
}

static void write_pair(worker *w, uint64_t random) {
  freyja_error error;
  freyja_transaction *tx = NULL;
  bool puts = (random >> 20) % 4 != 0;
  /* Read-committed, the first key of the two may not be there, and the second one be by then.
   */
  freyja_transaction_options options = {.serializable = !puts || random % 2 == 0};
  value v = make_value(++w->last);
  uint64_t names[2];
  name_pair(names, random >> 8);
  freyja_status status = freyja_begin(w->db, &options, &tx, &error);
  for (unsigned i = 0; i < 2 && status == FREYJA_OK; i++) {
    if (puts) status = freyja_transaction_put(tx, &names[i], 8, v.words, v.size, 0, &error);
    else status = freyja_transaction_delete(tx, &names[i], 8, &error);
    if (status == FREYJA_NOTFOUND) status = FREYJA_OK;
  }
  if (status == FREYJA_OK && (random >> 30) % 8 != 0)
    status = freyja_transaction_commit(tx, &error);
  (void)took_place(status, &error);
  freyja_transaction_close(tx);
}

static void read_pair(worker *w, uint64_t random) {
  freyja_error error;
  uint64_t names[2], versions[2] = {0, 0};
  uint8_t buffer[2 * sizeof(value)];
  size_t needed = 0;
  name_pair(names, random);
  freyja_item items[2];
  memset(items, 0, sizeof items);
  for (unsigned i = 0; i < 2; i++) items[i].key = &names[i], items[i].key_size = 8;
  if (!took_place(freyja_get_many(w->db, items, 2, buffer, sizeof buffer, &needed, &error),
                  &error))
    return;
  for (unsigned i = 0; i < 2; i++)
    if (items[i].found)
      expect(is_whole(buffer + items[i].offset, items[i].size, &versions[i]),
             "a value of several is not whole");
  expect(versions[0] == versions[1], "a part of a transaction is seen");
}

/* Two keys whose value each transaction raises by one. */
static void name_ladder(uint64_t names[2], uint64_t random) {
  names[0] = UINT64_C(4) << 32 | random % LADDERS;
  names[1] = UINT64_C(5) << 32 | random % LADDERS;
}

static void climb(worker *w, uint64_t random) {
  freyja_error error;
  freyja_transaction *tx = NULL;
  freyja_transaction_options options = {.serializable = true};
  uint64_t names[2], version = 0;
  value v;
  name_ladder(names, random);
  freyja_status status = freyja_begin(w->db, &options, &tx, &error);
  if (status == FREYJA_OK)
    status =
        freyja_transaction_get(tx, &names[0], 8, v.words, sizeof v.words, &v.size, &error);
  if (status == FREYJA_OK) expect(is_whole(v.words, v.size, &version), "a rung is not whole");
  if (status == FREYJA_NOTFOUND) status = FREYJA_OK;
  v = make_value(version + 1);
  for (unsigned i = 0; i < 2 && status == FREYJA_OK; i++)
    status = freyja_transaction_put(tx, &names[i], 8, v.words, v.size, 0, &error);
  if (status == FREYJA_OK) status = freyja_transaction_commit(tx, &error);
  (void)took_place(status, &error);
  freyja_transaction_close(tx);
}

/* What was committed, as one, before a call sees any of it is there in every later call. */
static void read_in_turn(worker *w, const uint64_t names[2]) {
  freyja_error error;
  uint64_t versions[2] = {0, 0};
  value v;
  for (unsigned i = 0; i < 2; i++) {
    freyja_status status =
        freyja_get(w->db, &names[i], 8, v.words, sizeof v.words, &v.size, &error);
    if (status == FREYJA_OK)
      expect(is_whole(v.words, v.size, &versions[i]), "a rung is not whole");
    if (status != FREYJA_NOTFOUND) (void)took_place(status, &error);
  }
  expect(versions[1] >= versions[0], "of what is committed as one a part is seen");
}

static void read_ladder(worker *w, uint64_t random) {
  uint64_t names[2];
  name_ladder(names, random);
  if (random >> 20 & 1) {
    names[0] = UINT64_C(3) << 32 | (random >> 8) % RUNGS;
    names[1] = UINT64_C(3) << 32 | (random >> 24) % RUNGS;
  }
  read_in_turn(w, names);
}

static void iterate(worker *w, uint64_t random) {
  freyja_error error;
  freyja_entry entry;
  freyja_iterator *it = NULL;
  uint64_t version = 0;
  freyja_iterator_options options;
  memset(&options, 0, sizeof options);
  options.order = random % 2 == 0 ? FREYJA_ORDER_LOG : FREYJA_ORDER_KEY;
  freyja_status status = freyja_iterator_open(w->db, &options, &it, &error);
  for (unsigned i = 0; i < (random >> 8) % 600 && status == FREYJA_OK; i++) {
    status = freyja_iterator_next(it, &entry, &error);
    if (status == FREYJA_OK)
      expect(is_whole(entry.value.data, entry.value.size, &version), "an entry is not whole");
  }
  (void)took_place(status, &error);
  freyja_iterator_close(it);
}

/* ---- the store --------------------------------------------------------------------- */

static void merge(worker *w, uint64_t random) {
  freyja_error error;
  freyja_segment segments[SEGMENTS];
  freyja_rewrite *rewrite = NULL;
  uint64_t ids[SEGMENTS];
  size_t count = freyja_get_segments(w->db, segments, SEGMENTS), chosen = 0;
  for (size_t i = 0; i < count && i < SEGMENTS; i++)
    if (segments[i].sealed && (random >> (i % 16)) % 2 == 0) ids[chosen++] = segments[i].id;
  if (chosen == 0) return;
  freyja_status status = freyja_rewrite_open(w->db, ids, chosen, &rewrite, &error);
  if (status == FREYJA_LIMIT) return; /* another thread has merged them meanwhile */
  if (status == FREYJA_OK && random % 3 == 0) freyja_rewrite_give_way(rewrite);
  for (unsigned i = 0; i < (random >> 20) % 200 && status == FREYJA_OK; i++)
    status = freyja_rewrite_step(rewrite, 2000, &error);
  if (status == FREYJA_OK || status == FREYJA_END)
    if ((random >> 40) % 4 != 0) status = freyja_rewrite_commit(rewrite, &error);
  (void)took_place(status, &error);
  freyja_rewrite_close(rewrite);
}

/* One at a time: a value that rises with each load, which others see as a whole. */
static void load(worker *w, uint64_t random) {
  static uint64_t last;
  freyja_error error;
  freyja_load *loading = NULL;
  freyja_status status = freyja_load_open(w->db, &loading, &error);
  if (!took_place(status, &error)) return;
  value v = make_value(++last);
  for (unsigned i = 0; i < RUNGS && status == FREYJA_OK; i++) {
    uint64_t name = UINT64_C(3) << 32 | i;
    status = freyja_load_put(loading, &name, 8, v.words, v.size, 0, &error);
  }
  if (status == FREYJA_OK && random % 4 != 0) status = freyja_load_commit(loading, &error);
  (void)took_place(status, &error);
  freyja_load_close(loading);
}

static void reopen(worker *w) {
  freyja_error error;
  threads_demand(freyja_close(w->db, &error) == FREYJA_OK, "close", &error);
  w->db = threads_open();
}

static void tend(worker *w, uint64_t random) {
  freyja_error error;
  freyja_stats stats;
  freyja_pulse pulse;
  freyja_segment segments[SEGMENTS];
  switch (random % 10) {
  case 0:
    (void)took_place(freyja_rotate(w->db, &error), &error);
    break;
  case 1:
    (void)took_place(freyja_sync(w->db, &error), &error);
    break;
  case 2:
    (void)took_place(freyja_checkpoint(w->db, &error), &error);
    break;
  case 3:
    freyja_get_stats(w->db, &stats);
    break;
  case 4:
    freyja_get_pulse(w->db, &pulse);
    break;
  case 5:
    (void)took_place(freyja_expire(w->db, 1000, &error), &error);
    break;
  case 6: {
    size_t count = freyja_peek_segments(w->db, segments, SEGMENTS);
    if (count > SEGMENTS) count = SEGMENTS;
    freyja_status status = freyja_hint(w->db, segments[random / 10 % count].id, &error);
    if (status != FREYJA_LIMIT) (void)took_place(status, &error);
    break;
  }
  case 7:
    load(w, random / 10);
    break;
  case 8:
    merge(w, random / 10);
    break;
  default:
    reopen(w);
  }
}

static void *work(void *argument) {
  worker *w = argument;
  w->db = threads_open();
  while (__atomic_sub_fetch(&left, 1, __ATOMIC_SEQ_CST) >= 0 &&
         __atomic_load_n(&wrong, __ATOMIC_SEQ_CST) == NULL) {
    uint64_t random = threads_next(&w->random);
    unsigned kind = (unsigned)(random >> 48) % 1000, key = (unsigned)(random >> 32) % KEYS;
    if (kind < 300) write_own(w, key, random);
    else if (kind < 550) read_own(w, key, random);
    else if (kind < 700) read_other(w, random);
    else if (kind < 770) read_ladder(w, random);
    else if (kind < 830) write_pair(w, random);
    else if (kind < 950) read_pair(w, random);
    else if (kind < 960) climb(w, random);
    else if (kind < 980) read_ladder(w, random);
    else if (kind < 985) iterate(w, random);
    else tend(w, random);
  }
  for (unsigned key = 0; key < KEYS; key++) read_own(w, key, 1);
  freyja_error error;
  expect(freyja_close(w->db, &error) == FREYJA_OK, "closing fails");
  return NULL;
}

void threads_test_all(uint64_t seed, long operations) {
  static worker workers[THREADS];
  freyja_error error;
  freyja_report report;
  freyja_options options = threads_options();
  freyja *db = threads_open_new(&options);
  left = operations;
  for (unsigned i = 0; i < THREADS; i++) {
    workers[i].number = i;
    workers[i].random = seed * THREADS + i;
    threads_demand(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0,
                   "a thread", NULL);
  }
  for (unsigned i = 0; i < THREADS; i++) (void)pthread_join(workers[i].thread, NULL);
  threads_ok(wrong == NULL, wrong == NULL ? "all calls at once give what they should" : wrong);
  freyja_status status = freyja_verify(db, NULL, NULL, &report, &error);
  threads_ok(status == FREYJA_OK && report.problems == 0, "the store is sound then");
  threads_demand(freyja_close(db, &error) == FREYJA_OK, "close", &error);
}
