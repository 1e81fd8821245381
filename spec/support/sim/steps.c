/* steps.c - the steps of a trial (trial.h): each calls the engine and compares what it gives
 * with what the keys hold. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trial.h"

#define PAUSE 400000u /* microseconds between writes: every third one syncs an interval */
#define TTL_LATE 3600000000u /* microseconds: longer than all the pauses */
#define FAULTS_MAX 3         /* faults of an iterator that is asked again */
#define VIEWS 4u
#define HINTS_MAX 64u /* segments */

/* ---- writing ---------------------------------------------------------- */

typedef enum verb {
  PUT,
  INSERT,
  DELETE,
  CAS,
  CAS_WRONGLY,
  CAS_DELETE,
  PUT_LATE, /* it expires late */
  EXPIRE    /* and so early that it is over before anything else */
} verb;

static const char *const verbs[] = {"put", "insert", "delete",  "cas",
                                    "cas", "cas",    "put_ttl", "put_ttl"};

/* Syncs that the call made: what was written before it is promised then. */
static void note_syncs(trial *t, const freyja_stats *stats, int before) {
  bool synced = stats->syncs > t->before.syncs || stats->segments > t->before.segments;
  if (synced && before > t->promised) t->promised = before;
  if (t->options.sync_mode == FREYJA_SYNC_ALWAYS) t->promised = t->acknowledged;
}

static freyja_status call_cas(trial *t, verb v, unsigned key, const char *name,
                              const freyja_slice *value) {
  char old[TRIAL_VALUE_MAX] = "";
  freyja_slice was = {old, 0};
  int serial = trial_now(t)->of[key];
  if (serial > 0) {
    was.size = t->sizes[serial];
    trial_make_value(old, was.size, serial, key);
  }
  bool expects = v == CAS_WRONGLY ? serial < 0 : serial > 0;
  return freyja_cas(t->db, name, TRIAL_KEY_SIZE, expects ? &was : NULL,
                    v == CAS_DELETE ? NULL : value, &t->error);
}

static freyja_status call(trial *t, verb v, unsigned key, const freyja_slice *value) {
  char name[TRIAL_KEY_SIZE];
  trial_name(key, name);
  if (v == PUT)
    return freyja_put(t->db, name, sizeof name, value->data, value->size, &t->error);
  if (v == PUT_LATE || v == EXPIRE)
    return freyja_put_ttl(t->db, name, sizeof name, value->data, value->size,
                          v == EXPIRE ? 1 : TTL_LATE, &t->error);
  if (v == INSERT)
    return freyja_insert(t->db, name, sizeof name, value->data, value->size, &t->error);
  if (v == DELETE) return freyja_delete(t->db, name, sizeof name, &t->error);
  return call_cas(t, v, key, name, value);
}

/* The outcome that is no fault. */
static freyja_status expected(verb v, bool there) {
  if (v == INSERT) return there ? FREYJA_EXISTS : FREYJA_OK;
  if (v == DELETE) return there ? FREYJA_OK : FREYJA_NOTFOUND;
  return v == CAS_WRONGLY ? FREYJA_MISMATCH : FREYJA_OK;
}

static void do_write(trial *t, verb v, unsigned key, size_t size) {
  char bytes[TRIAL_VALUE_MAX];
  freyja_slice value = {bytes, size};
  freyja_stats stats;
  if (!trial_runs(t)) return;
  if (t->acknowledged == TRIAL_WRITES || t->serial + 1 == TRIAL_SERIALS) abort();
  int before = t->acknowledged;
  trial_state next = *trial_now(t);
  bool there = next.of[key] >= 0;
  trial_make_value(bytes, size, ++t->serial, key);
  t->sizes[t->serial] = (uint16_t)size;
  bool removes = v == DELETE || v == CAS_DELETE || v == EXPIRE;
  next.of[key] = (int16_t)(removes ? TRIAL_ABSENT : t->serial);
  t->disk->clock += PAUSE;
  trial_begin(t);
  freyja_status status = call(t, v, key, &value);
  trial_judge(t, TRIAL_WRITES_TO, verbs[v], status);
  t->disk->clock += v == EXPIRE;
  freyja_get_stats(t->db, &stats);
  /* One that poisons the store is there or not, when that is opened again. */
  bool doubtful = freyja_is_fault(status) && stats.poisoned && !t->before.poisoned;
  if (status == FREYJA_OK || doubtful) t->states[before + 1] = next;
  t->acknowledged += status == FREYJA_OK;
  t->doubt = t->doubt || doubtful;
  if (freyja_is_fault(status)) return;
  if (status != expected(v, there))
    trial_wrong(t, "%s of key %u, which is %s there: %s", verbs[v], key, there ? "" : "not ",
                freyja_status_name(status));
  note_syncs(t, &stats, before);
}

static size_t small_size(const trial *t, unsigned key) {
  return 20 + ((size_t)t->serial * 7 + key) % 40;
}

void trial_put(trial *t, unsigned key) { do_write(t, PUT, key, small_size(t, key)); }
void trial_put_large(trial *t, unsigned key) { do_write(t, PUT, key, 1500); }
void trial_put_probe(trial *t, unsigned key) { do_write(t, PUT, key, TRIAL_PROBE); }
void trial_put_late(trial *t, unsigned key) { do_write(t, PUT_LATE, key, small_size(t, key)); }
void trial_expire(trial *t, unsigned key) { do_write(t, EXPIRE, key, small_size(t, key)); }
void trial_insert(trial *t, unsigned key) { do_write(t, INSERT, key, small_size(t, key)); }
void trial_delete(trial *t, unsigned key) { do_write(t, DELETE, key, TRIAL_PROBE); }
void trial_cas(trial *t, unsigned key) { do_write(t, CAS, key, small_size(t, key)); }
void trial_cas_wrongly(trial *t, unsigned key) { do_write(t, CAS_WRONGLY, key, TRIAL_PROBE); }
void trial_cas_delete(trial *t, unsigned key) { do_write(t, CAS_DELETE, key, TRIAL_PROBE); }

/* What a transaction writes: a put, or, of every third key, a deletion. */
static freyja_status change(trial *t, freyja_transaction *tx, unsigned key, size_t size,
                            trial_state *next) {
  char name[TRIAL_KEY_SIZE], bytes[TRIAL_VALUE_MAX];
  trial_name(key, name);
  if (key % 3 == 2) {
    freyja_status status = freyja_transaction_delete(tx, name, sizeof name, &t->error);
    if (!freyja_is_fault(status) && (status == FREYJA_OK) != (next->of[key] >= 0))
      trial_wrong(t, "a transaction's delete of key %u: %s", key, freyja_status_name(status));
    if (status == FREYJA_OK) next->of[key] = TRIAL_ABSENT;
    return status == FREYJA_NOTFOUND ? FREYJA_OK : status;
  }
  if (t->serial + 1 == TRIAL_SERIALS) abort();
  trial_make_value(bytes, size, ++t->serial, key);
  t->sizes[t->serial] = (uint16_t)size;
  next->of[key] = (int16_t)t->serial;
  return freyja_transaction_put(tx, name, sizeof name, bytes, size,
                                key % 3 == 1 ? TTL_LATE : 0, &t->error);
}

/* The steps before the commit; nothing of them is in the store. */
static freyja_status fill_transaction(trial *t, freyja_transaction *tx, unsigned key,
                                      bool large, trial_state *next) {
  freyja_status status = FREYJA_OK;
  for (unsigned i = 0; status == FREYJA_OK && i < 5; i++) {
    trial_begin(t);
    status = change(t, tx, key + i, large || i == 0 ? 600 : TRIAL_PROBE, next);
    trial_judge(t, TRIAL_WRITES_TO, "transaction_put or _delete", status);
    if (t->why[0] != '\0') return FREYJA_MEMORY;
  }
  return status;
}

static void commit_transaction(trial *t, freyja_transaction *tx, const trial_state *next) {
  freyja_stats stats;
  int before = t->acknowledged;
  t->disk->clock += PAUSE;
  trial_begin(t);
  freyja_status status = freyja_transaction_commit(tx, &t->error);
  trial_judge(t, TRIAL_WRITES_TO, "transaction_commit", status);
  freyja_get_stats(t->db, &stats);
  bool doubtful = freyja_is_fault(status) && stats.poisoned && !t->before.poisoned;
  if (status == FREYJA_OK || doubtful) t->states[before + 1] = *next;
  t->acknowledged += status == FREYJA_OK;
  t->doubt = t->doubt || doubtful;
  if (!freyja_is_fault(status)) note_syncs(t, &stats, before);
}

void trial_transact(trial *t, unsigned key, bool large) {
  freyja_transaction *tx = NULL;
  if (!trial_runs(t)) return;
  if (t->acknowledged == TRIAL_WRITES) abort();
  static const freyja_transaction_options options = {.serializable = true};
  trial_state next = *trial_now(t);
  trial_begin(t);
  freyja_status status = freyja_begin(t->db, key % 2 == 0 ? &options : NULL, &tx, &t->error);
  trial_judge(t, TRIAL_READS, "begin", status);
  if (status != FREYJA_OK && tx != NULL) trial_wrong(t, "a transaction that failed is there");
  if (status == FREYJA_OK) status = fill_transaction(t, tx, key, large, &next);
  if (status == FREYJA_OK) commit_transaction(t, tx, &next);
  freyja_transaction_close(tx);
}

static freyja_status fill_load(trial *t, freyja_load *load, unsigned key, trial_state *next) {
  char name[TRIAL_KEY_SIZE], bytes[TRIAL_VALUE_MAX];
  freyja_status status = FREYJA_OK;
  for (unsigned i = 0; status == FREYJA_OK && i < 8; i++) {
    unsigned each = key + i % 6;
    size_t size = i == 3 ? 1500 : TRIAL_PROBE;
    if (t->serial + 1 == TRIAL_SERIALS) abort();
    trial_name(each, name);
    trial_make_value(bytes, size, ++t->serial, each);
    t->sizes[t->serial] = (uint16_t)size;
    next->of[each] = (int16_t)t->serial;
    trial_begin(t);
    status = freyja_load_put(load, name, sizeof name, bytes, size, i % 3 == 1 ? TTL_LATE : 0,
                             &t->error);
    trial_judge(t, TRIAL_COPIES, "load_put", status);
  }
  return status;
}

void trial_load(trial *t, unsigned key) {
  freyja_load *load = NULL;
  freyja_stats stats;
  if (!trial_runs(t)) return;
  if (t->acknowledged == TRIAL_WRITES) abort();
  int before = t->acknowledged;
  trial_state next = *trial_now(t);
  trial_begin(t);
  freyja_status status = freyja_load_open(t->db, &load, &t->error);
  trial_judge(t, TRIAL_WRITES_TO, "load_open", status);
  if (status == FREYJA_OK) status = fill_load(t, load, key, &next);
  if (status == FREYJA_OK && t->why[0] == '\0') {
    trial_begin(t);
    status = freyja_load_commit(load, &t->error);
    trial_judge(t, TRIAL_WRITES_TO, "load_commit", status);
    freyja_get_stats(t->db, &stats);
    bool doubtful = freyja_is_fault(status) && stats.poisoned && !t->before.poisoned;
    if (status == FREYJA_OK || doubtful) t->states[before + 1] = next;
    t->acknowledged += status == FREYJA_OK;
    t->doubt = t->doubt || doubtful;
    if (status == FREYJA_OK) t->promised = t->acknowledged;
    else if (stats.segments > t->before.segments) t->promised = before; /* it has rotated */
  }
  freyja_load_close(load);
}

void trial_sync(trial *t) {
  if (!trial_runs(t)) return;
  trial_begin(t);
  freyja_status status = freyja_sync(t->db, &t->error);
  trial_judge(t, TRIAL_WRITES_TO, "sync", status);
  if (status == FREYJA_OK) t->promised = t->acknowledged;
}

void trial_rotate(trial *t) {
  if (!trial_runs(t)) return;
  trial_begin(t);
  freyja_status status = freyja_rotate(t->db, &t->error);
  trial_judge(t, TRIAL_WRITES_TO, "rotate", status);
  if (status == FREYJA_OK) t->promised = t->acknowledged;
}

/* The steps before the commit touch files that nobody needs yet, so that their faults poison
 * nothing; those behind it only read. */
static freyja_status merge_on(trial *t, freyja_rewrite *rewrite, trial_kind kind) {
  freyja_status status = FREYJA_OK;
  for (unsigned turn = 0; status == FREYJA_OK && t->why[0] == '\0'; turn++) {
    trial_begin(t);
    status = freyja_rewrite_step(rewrite, 700, &t->error);
    trial_judge(t, kind, "rewrite_step", status);
    if (turn == 1 && status == FREYJA_OK) trial_put(t, 3);
  }
  return status;
}

/* Begins to rewrite all sealed segments; NULL if that fails. */
static freyja_rewrite *begin_rewrite(trial *t) {
  freyja_segment segments[64];
  uint64_t ids[64];
  size_t count = 0, there = freyja_get_segments(t->db, segments, 64);
  freyja_rewrite *rewrite = NULL;
  for (size_t i = 0; i < there && i < 64; i++)
    if (segments[i].sealed) ids[count++] = segments[i].id;
  trial_begin(t);
  freyja_status status = freyja_rewrite_open(t->db, ids, count, &rewrite, &t->error);
  trial_judge(t, TRIAL_COPIES, "rewrite_open", status);
  t->merged = true;
  return rewrite;
}

static freyja_status commit_rewrite(trial *t, freyja_rewrite *rewrite) {
  trial_begin(t);
  freyja_status status = freyja_rewrite_commit(rewrite, &t->error);
  trial_judge(t, TRIAL_WRITES_TO, "rewrite_commit", status);
  if (status == FREYJA_OK) t->promised = t->acknowledged;
  return status;
}

void trial_merge(trial *t) {
  if (!trial_runs(t)) return;
  freyja_rewrite *rewrite = begin_rewrite(t);
  if (rewrite != NULL && merge_on(t, rewrite, TRIAL_COPIES) == FREYJA_END &&
      commit_rewrite(t, rewrite) == FREYJA_OK)
    (void)merge_on(t, rewrite, TRIAL_READS);
  freyja_rewrite_close(rewrite);
}

/* Keeps, changes or drops the record that the rewrite is at; *later tells what becomes of it.
 */
static freyja_status decide(trial *t, freyja_rewrite *rewrite, const freyja_entry *entry,
                            trial_state *later) {
  char bytes[TRIAL_VALUE_MAX];
  freyja_slice value = {bytes, TRIAL_PROBE};
  unsigned key = trial_key_of(&entry->key);
  freyja_status status = FREYJA_OK;
  if (key == TRIAL_KEYS ||
      trial_serial_of(entry->value.data, entry->value.size, key) != trial_now(t)->of[key]) {
    trial_wrong(t, "a rewrite gives a record of key %u that is not live", key);
    return FREYJA_END;
  }
  trial_begin(t);
  if (key % 4 == 0) {
    status = freyja_rewrite_keep(rewrite, NULL, &t->error);
  } else if (key % 4 == 1) {
    trial_make_value(bytes, value.size, ++t->serial, key);
    t->sizes[t->serial] = (uint16_t)value.size;
    later->of[key] = (int16_t)t->serial;
    status = freyja_rewrite_keep(rewrite, &value, &t->error);
  } else if (key % 4 == 2) {
    later->of[key] = TRIAL_ABSENT;
    status = freyja_rewrite_drop(rewrite, &t->error);
  }
  trial_judge(t, TRIAL_COPIES, "rewrite_keep or _drop", status);
  return status;
}

/* All records, with a write in between, which wins; *later tells what all keys hold then. */
static freyja_status decide_all(trial *t, freyja_rewrite *rewrite, trial_state *later) {
  *later = *trial_now(t);
  freyja_status status = FREYJA_OK;
  for (unsigned turn = 0; status == FREYJA_OK && t->why[0] == '\0'; turn++) {
    freyja_entry entry;
    int before = t->acknowledged;
    if (turn == 4) trial_put(t, 1);
    if (t->acknowledged > before) later->of[1] = trial_now(t)->of[1];
    trial_begin(t);
    status = freyja_rewrite_next(rewrite, &entry, &t->error);
    trial_judge(t, TRIAL_COPIES, "rewrite_next", status);
    if (status == FREYJA_OK) status = decide(t, rewrite, &entry, later);
  }
  return status;
}

void trial_transform(trial *t) {
  freyja_stats stats;
  trial_state later;
  if (!trial_runs(t)) return;
  freyja_rewrite *rewrite = begin_rewrite(t);
  if (rewrite != NULL && decide_all(t, rewrite, &later) == FREYJA_END && trial_runs(t)) {
    t->states[t->acknowledged + 1] = later;
    freyja_status status = commit_rewrite(t, rewrite);
    freyja_get_stats(t->db, &stats);
    if (status == FREYJA_OK) t->promised = ++t->acknowledged;
    else t->doubt = t->doubt || (stats.poisoned && !t->before.poisoned);
    if (status == FREYJA_OK) (void)merge_on(t, rewrite, TRIAL_READS);
  }
  freyja_rewrite_close(rewrite);
}

void trial_hint(trial *t) {
  freyja_segment segments[HINTS_MAX];
  if (!trial_runs(t)) return;
  size_t count = freyja_get_segments(t->db, segments, HINTS_MAX);
  for (size_t i = 0; i < count && i < HINTS_MAX && trial_runs(t); i++) {
    if (!segments[i].sealed || segments[i].damaged) continue;
    trial_begin(t);
    freyja_status status = freyja_hint(t->db, segments[i].id, &t->error);
    trial_judge(t, TRIAL_WRITES_TO, "hint", status);
  }
}

void trial_checkpoint(trial *t) {
  if (!trial_runs(t)) return;
  trial_begin(t);
  freyja_status status = freyja_checkpoint(t->db, &t->error);
  trial_judge(t, TRIAL_WRITES_TO, "checkpoint", status);
  if (status == FREYJA_OK) t->promised = t->acknowledged;
}

void trial_checkpoint_moving(trial *t) {
  if (!trial_runs(t)) return;
  freyja_rewrite *rewrite = begin_rewrite(t);
  if (rewrite != NULL && merge_on(t, rewrite, TRIAL_COPIES) == FREYJA_END &&
      commit_rewrite(t, rewrite) == FREYJA_OK) {
    trial_begin(t);
    freyja_status status = freyja_rewrite_step(rewrite, 100, &t->error);
    trial_judge(t, TRIAL_READS, "rewrite_step", status);
    trial_checkpoint(t);
  }
  freyja_rewrite_close(rewrite);
}

/* ---- reading ---------------------------------------------------------- */

/* Whether a read that raises CORRUPT is right. */
static bool may_be_corrupt(const trial *t, unsigned key) {
  return t->disk->dropped || trial_now(t)->of[key] == TRIAL_CORRUPT;
}

/* Compares what was read with what the key holds. */
static void compare(trial *t, const char *call, unsigned key, freyja_status status,
                    const void *value, size_t size) {
  int holds = trial_now(t)->of[key];
  trial_judge(t, TRIAL_READS, call, status);
  if (status == FREYJA_CORRUPT && !may_be_corrupt(t, key))
    trial_wrong(t, "%s of key %u: %s", call, key, t->error.message);
  if (freyja_is_fault(status)) return;
  int found = TRIAL_ABSENT;
  if (status == FREYJA_OK) found = value == NULL ? holds : trial_serial_of(value, size, key);
  if (found != holds || (status == FREYJA_OK && holds == TRIAL_ABSENT))
    trial_wrong(t, "%s of key %u finds %d, not %d", call, key, found, holds);
}

void trial_get(trial *t, unsigned key) {
  char name[TRIAL_KEY_SIZE], value[TRIAL_VALUE_MAX];
  size_t size = 0;
  if (!trial_runs(t)) return;
  trial_name(key, name);
  trial_begin(t);
  freyja_status status =
      freyja_get(t->db, name, sizeof name, value, sizeof value, &size, &t->error);
  compare(t, "get", key, status, value, size);
}

void trial_has(trial *t, unsigned key) {
  char name[TRIAL_KEY_SIZE];
  if (!trial_runs(t)) return;
  trial_name(key, name);
  trial_begin(t);
  freyja_status status = freyja_has(t->db, name, sizeof name, &t->error);
  /* The value may be damaged and the key be there all the same. */
  if (status == FREYJA_OK && trial_now(t)->of[key] == TRIAL_CORRUPT) return;
  compare(t, "has", key, status, NULL, 0);
}

void trial_get_all(trial *t) {
  for (unsigned key = 0; key < TRIAL_KEYS; key++) trial_get(t, key);
}

/* ---- iterating -------------------------------------------------------- */

typedef struct tour {
  freyja_order order;
  bool keys_only;
  trial_state then; /* what it began with */
  bool seen[TRIAL_KEYS];
  char last[TRIAL_KEY_SIZE];
  uint64_t timestamp;
  bool lacks; /* it said so: entries may be missing */
} tour;

static void take_entry(trial *t, tour *u, const freyja_entry *entry) {
  unsigned key = trial_key_of(&entry->key);
  if (key == TRIAL_KEYS) {
    trial_wrong(t, "an iterator gives a key that was never written");
    return;
  }
  int holds = u->then.of[key];
  if (holds == TRIAL_ABSENT || u->seen[key] || (holds == TRIAL_CORRUPT && !u->keys_only))
    trial_wrong(t, "an iterator gives key %u, which %s", key,
                u->seen[key] ? "it gave before" : "was not there");
  if (!u->keys_only &&
      trial_serial_of(entry->value.data, entry->value.size, key) != u->then.of[key])
    trial_wrong(t, "an iterator gives a value of key %u that is not that of %d", key, holds);
  bool ordered = u->order == FREYJA_ORDER_KEY
                     ? memcmp(u->last, entry->key.data, sizeof u->last) < 0
                     : u->timestamp < entry->timestamp;
  if (!ordered) trial_wrong(t, "an iterator gives key %u out of order", key);
  memcpy(u->last, entry->key.data, sizeof u->last);
  u->timestamp = entry->timestamp;
  u->seen[key] = true;
}

static void end_tour(trial *t, const tour *u) {
  for (unsigned key = 0; key < TRIAL_KEYS; key++)
    if (u->then.of[key] >= 0 && !u->seen[key] && !u->lacks)
      trial_wrong(t, "an iterator ends without key %u", key);
}

/* Writes to keys before and behind where an iterator is. */
static void write_meanwhile(trial *t, unsigned turn) {
  if (turn == 1) trial_put(t, 0);
  if (turn == 1) trial_delete(t, 1);
  if (turn == 2) trial_put_large(t, 6);
  if (turn == 2) trial_put(t, 20);
  if (turn == 3) trial_rotate(t);
  if (turn == 3) trial_cas(t, 5);
}

void trial_iterate(trial *t, freyja_order order, bool keys_only, bool write) {
  freyja_iterator_options options = {.order = order, .keys_only = keys_only};
  tour u = {.order = order, .keys_only = keys_only};
  freyja_iterator *iterator = NULL;
  unsigned turn = 0;
  int faults = 0;
  if (!trial_runs(t)) return;
  u.then = *trial_now(t);
  trial_begin(t);
  freyja_status status = freyja_iterator_open(t->db, &options, &iterator, &t->error);
  trial_judge(t, TRIAL_READS, "iterator_open", status);
  if (status != FREYJA_OK && iterator != NULL)
    trial_wrong(t, "an iterator that failed to open is there");
  if (status != FREYJA_OK) return;
  while (t->why[0] == '\0' && faults < FAULTS_MAX) {
    freyja_entry entry;
    trial_begin(t);
    status = freyja_iterator_next(iterator, &entry, &t->error);
    trial_judge(t, TRIAL_READS, "iterator_next", status);
    if (freyja_is_fault(status)) u.lacks = true;
    faults += freyja_is_fault(status); /* the next call goes on */
    if (status == FREYJA_OK) take_entry(t, &u, &entry);
    if (status == FREYJA_END) end_tour(t, &u);
    if (status == FREYJA_END) break;
    if (write) write_meanwhile(t, ++turn);
  }
  freyja_iterator_close(iterator);
}

/* ---- views and statistics --------------------------------------------- */

void trial_views(trial *t) {
  freyja_view views[VIEWS];
  int serials[VIEWS];
  if (!trial_runs(t)) return;
  for (unsigned key = 0; key < VIEWS; key++) {
    char name[TRIAL_KEY_SIZE];
    trial_name(key, name);
    trial_begin(t);
    freyja_status status = freyja_get_view(t->db, name, sizeof name, &views[key], &t->error);
    compare(t, "get_view", key, status, views[key].data, views[key].size);
    serials[key] = status == FREYJA_OK ? trial_now(t)->of[key] : TRIAL_ABSENT;
    if (status != FREYJA_OK && (views[key].owner != NULL || views[key].data != NULL))
      trial_wrong(t, "a view that failed is not empty");
  }
  trial_put(t, 0);
  trial_delete(t, 1);
  trial_rotate(t);
  trial_begin(t);
  freyja_status status = freyja_close(t->db, &t->error);
  t->db = NULL;
  trial_judge(t, TRIAL_CLOSES, "close", status);
  if (status == FREYJA_OK) t->promised = t->acknowledged;
  for (unsigned key = 0; key < VIEWS; key++) {
    int found = serials[key];
    if (found >= 0 && !t->disk->dropped)
      found = trial_serial_of(views[key].data, views[key].size, key);
    if (found != serials[key]) trial_wrong(t, "the view of key %u changed", key);
    freyja_view_release(&views[key]);
  }
  if (sim_disk_held(t->disk) != 0)
    trial_wrong(t, "views keep %ld things", sim_disk_held(t->disk));
}

void trial_stats(trial *t) {
  freyja_stats stats;
  freyja_segment segments[64];
  uint64_t live = 0, bytes = 0, keys = 0;
  if (!trial_runs(t)) return;
  trial_begin(t);
  freyja_get_stats(t->db, &stats);
  size_t count = freyja_get_segments(t->db, segments, 64);
  for (unsigned key = 0; key < TRIAL_KEYS; key++) live += trial_now(t)->of[key] >= 0;
  for (size_t i = 0; i < count; i++) {
    bytes += segments[i].bytes;
    keys += segments[i].live_keys;
  }
  if (t->disk->failure_count > 0) trial_wrong(t, "statistics call the operating system");
  /* Keys whose slots a merge could not move are in files that are no segments any more. */
  bool moved = stats.pending_bytes == 0 ? stats.keys == keys : stats.keys >= keys;
  if (stats.segments != count || stats.bytes != bytes || !moved)
    trial_wrong(t, "the segments' statistics do not add up");
  /* What a failed sync has dropped is missed where the log had to be read again. */
  bool fewer = t->disk->dropped && stats.keys < live;
  if (!t->broken && stats.keys != live && !fewer)
    trial_wrong(t, "%d keys are counted, not %d", (int)stats.keys, (int)live);
  if (stats.iterators != 0) trial_wrong(t, "%d iterators are open", (int)stats.iterators);
}
