/* scenarios.c - see scenarios.h. */
#include "scenarios.h"

#include <stddef.h>

#include "stores.h"

/* ---- what is done ----------------------------------------------------- */

static void open_and_read(trial *t) {
  trial_arm(t);
  trial_open(t);
  trial_get_all(t);
  if (!t->options.readonly) trial_put_probe(t, 9);
}

static void create(trial *t) {
  trial_arm(t);
  trial_open(t);
  sim_put_some(t, 0, 3);
  trial_get_all(t);
  trial_close(t);
}

static void write_all_ways(trial *t) {
  trial_open(t);
  trial_arm(t);
  trial_put(t, 20);
  trial_put(t, 1);
  trial_insert(t, 21);
  trial_insert(t, 1);
  trial_delete(t, 4);
  trial_delete(t, 30);
  trial_cas(t, 5);
  trial_cas(t, 22);
  trial_cas_wrongly(t, 5);
  trial_cas_delete(t, 7);
  trial_put_large(t, 2);
  trial_get(t, 2);
  trial_get(t, 4);
  trial_put(t, 20);
}

/* Values that expire, late and at once, over others and under them. */
static void expire(trial *t) {
  trial_open(t);
  trial_arm(t);
  trial_put_late(t, 20);
  trial_expire(t, 1);
  trial_expire(t, 21);
  trial_get(t, 1);
  trial_delete(t, 1);
  trial_insert(t, 21);
  trial_cas(t, 20);
  trial_put_late(t, 2);
  trial_rotate(t);
  trial_expire(t, 2);
  trial_cas(t, 1);
  trial_expire(t, 5);
  trial_iterate(t, FREYJA_ORDER_LOG, false, false);
  trial_close(t);
  trial_open(t);
  trial_get_all(t);
}

/* Transactions, of which one needs another segment. */
static void transact(trial *t) {
  trial_open(t);
  trial_arm(t);
  trial_transact(t, 20, false);
  trial_get(t, 21);
  trial_transact(t, 1, true);
  trial_put_probe(t, 9);
  trial_transact(t, 20, false);
  trial_get_all(t);
}

/* Loads, of keys that are there and of others, under an iterator. */
static void load(trial *t) {
  freyja_iterator *iterator = NULL;
  trial_open(t);
  if (t->db != NULL) (void)freyja_iterator_open(t->db, NULL, &iterator, &t->error);
  trial_arm(t);
  trial_load(t, 2);
  trial_put(t, 21);
  trial_load(t, 18);
  trial_get_all(t);
  freyja_iterator_close(iterator);
}

/* While an iterator keeps the store as it was. */
static void transact_under_iterator(trial *t) {
  freyja_iterator *iterator = NULL;
  trial_open(t);
  if (t->db != NULL) (void)freyja_iterator_open(t->db, NULL, &iterator, &t->error);
  trial_arm(t);
  trial_transact(t, 0, false);
  trial_transact(t, 0, true);
  trial_get(t, 1);
  freyja_iterator_close(iterator);
}

/* More than a page of the segment. */
static void write_pages(trial *t) {
  trial_open(t);
  trial_arm(t);
  for (unsigned key = 20; key < 25; key++) trial_put_large(t, key);
  trial_sync(t);
  trial_get_all(t);
}

/* Segments fill up, and are ended by hand. */
static void rotate(trial *t) {
  trial_open(t);
  trial_arm(t);
  trial_put(t, 20);
  trial_rotate(t);
  trial_rotate(t);
  trial_put_large(t, 21);
  trial_put_large(t, 22);
  trial_put_large(t, 23);
  trial_delete(t, 21);
  trial_get(t, 22);
  trial_rotate(t);
  trial_put(t, 2);
}

static void write_hints(trial *t) {
  trial_open(t);
  trial_put(t, 20);
  trial_rotate(t);
  trial_arm(t);
  trial_hint(t);
  trial_put(t, 21);
  trial_hint(t);
  trial_get(t, 2);
}

static void sync_often(trial *t) {
  trial_open(t);
  trial_put(t, 20);
  trial_arm(t);
  trial_sync(t);
  trial_sync(t);
  trial_put(t, 21);
  trial_put_large(t, 1);
  trial_sync(t);
  trial_delete(t, 20);
  trial_sync(t);
  trial_get_all(t);
}

static void close_it(trial *t) {
  trial_open(t);
  sim_put_some(t, 20, 3);
  trial_delete(t, 1);
  trial_arm(t);
  trial_close(t);
}

static void read_all(trial *t) {
  trial_open(t);
  trial_put(t, 1);
  trial_arm(t);
  for (unsigned key = 0; key < TRIAL_KEYS; key += 2) trial_get(t, key);
  for (unsigned key = TRIAL_KEYS; key > 1; key -= 3) trial_has(t, key - 1);
}

static void iterate(trial *t) {
  trial_open(t);
  trial_arm(t);
  trial_iterate(t, FREYJA_ORDER_LOG, false, false);
  trial_iterate(t, FREYJA_ORDER_KEY, false, false);
  trial_iterate(t, FREYJA_ORDER_LOG, true, false);
  trial_iterate(t, FREYJA_ORDER_KEY, true, false);
}

static void iterate_once(trial *t) {
  trial_open(t);
  trial_arm(t);
  trial_iterate(t, FREYJA_ORDER_KEY, false, false);
}

static void iterate_in_log(trial *t) {
  trial_open(t);
  trial_arm(t);
  for (int keys = 0; keys < 2; keys++) trial_iterate(t, FREYJA_ORDER_LOG, keys == 1, true);
}

static void iterate_in_order(trial *t) {
  trial_open(t);
  trial_arm(t);
  for (int keys = 0; keys < 2; keys++) trial_iterate(t, FREYJA_ORDER_KEY, keys == 1, true);
}

static void merge_all(trial *t) {
  trial_open(t);
  trial_delete(t, 1);
  trial_rotate(t);
  trial_arm(t);
  trial_merge(t);
  trial_put(t, 2);
  trial_rotate(t);
}

static void transform(trial *t) {
  trial_open(t);
  trial_put_late(t, 5);
  trial_rotate(t);
  trial_arm(t);
  trial_transform(t);
  trial_put(t, 20);
  trial_rotate(t);
}

static void view(trial *t) {
  trial_open(t);
  trial_arm(t);
  trial_views(t);
}

static void count(trial *t) {
  trial_open(t);
  trial_arm(t);
  trial_put(t, 20);
  trial_stats(t);
  trial_delete(t, 20);
  trial_stats(t);
  trial_rotate(t);
  trial_stats(t);
}

static void verify(trial *t) {
  trial_open(t);
  if (!t->options.readonly && !t->broken) trial_put(t, 20);
  trial_arm(t);
  trial_verify(t);
  trial_get(t, 2);
}

static void back_up(trial *t) {
  trial_open(t);
  trial_put(t, 20);
  trial_arm(t);
  trial_backup(t, false);
  trial_put(t, 21);
  trial_get(t, 2);
}

static void back_up_copy(trial *t) {
  trial_open(t);
  trial_arm(t);
  trial_put(t, 20);
  trial_backup(t, true);
  trial_put(t, 20);
}

static void mend(trial *t) {
  trial_arm(t);
  trial_repair(t);
}

/* Every key has one of four hashes. */
static void collide(trial *t) {
  trial_open(t);
  trial_arm(t);
  trial_put(t, 1);
  trial_put(t, 20);
  trial_delete(t, 2);
  trial_insert(t, 21);
  trial_cas(t, 5);
  trial_get(t, 0);
  trial_rotate(t);
  trial_put(t, 2);
  trial_close(t);
  trial_open(t);
  trial_get(t, 2);
  trial_has(t, 30);
}

/* The keydir moves to a larger region of memory. */
static void fill_keydir(trial *t) {
  freyja_stats before, after;
  trial_open(t);
  if (t->db == NULL) return;
  freyja_get_stats(t->db, &before);
  trial_arm(t);
  sim_put_some(t, SIM_FULL, 2);
  freyja_get_stats(t->db, &after);
  if (t->acknowledged == 2 && after.index_bytes == before.index_bytes)
    trial_wrong(t, "the keydir has not grown: this tests nothing");
}

static void checkpoint(trial *t) {
  trial_open(t);
  trial_put(t, 20);
  trial_arm(t);
  trial_checkpoint(t);
  trial_put(t, 21);
  trial_delete(t, 2);
  trial_rotate(t);
  trial_put(t, 5);
  trial_checkpoint(t);
  trial_get_all(t);
}

static void checkpoint_moving(trial *t) {
  trial_open(t);
  trial_put(t, 20);
  trial_rotate(t);
  trial_arm(t);
  trial_checkpoint_moving(t);
  trial_get(t, 2);
}

/* A close that writes a KEYDIR. */
static void close_much(trial *t) {
  trial_open(t);
  trial_put(t, 20);
  trial_delete(t, 1);
  trial_arm(t);
  trial_close(t);
  trial_open(t);
  trial_get_all(t);
}

/* Opened, used and closed twice. */
static void live(trial *t) {
  trial_arm(t);
  for (unsigned session = 0; session < 2; session++) {
    trial_open(t);
    sim_put_some(t, session * 3, 8);
    trial_put_large(t, session);
    trial_sync(t);
    trial_delete(t, session + 4);
    trial_put_large(t, session + 1);
    trial_put_large(t, session + 2);
    trial_get_all(t);
    trial_iterate(t, FREYJA_ORDER_KEY, false, false);
    trial_close(t);
  }
}

/* ---- the table -------------------------------------------------------- */

#define NONE FREYJA_SYNC_NONE
#define ALWAYS FREYJA_SYNC_ALWAYS
#define INTERVAL FREYJA_SYNC_INTERVAL

const scenario sim_scenarios[] = {
    {"create", NULL, create, NONE, 0, 0},
    {"create-in-folder", sim_make_folder, create, ALWAYS, 0, 0},
    {"create-unreserved", NULL, create, NONE, 0, SIM_UNRESERVED},
    {"open", sim_make_store, open_and_read, NONE, 0, 0},
    {"open-killed", sim_make_killed, open_and_read, NONE, 0, 0},
    {"open-sparse", sim_make_sparse, open_and_read, NONE, 0, 0},
    {"write-sparse", sim_make_sparse, write_pages, NONE, 0, 0},
    {"write-sparse-always", sim_make_sparse, write_pages, ALWAYS, 0, 0},
    {"open-torn", sim_make_torn, open_and_read, NONE, 0, 0},
    {"open-leftovers", sim_make_leftovers, open_and_read, NONE, 0, 0},
    {"open-damaged-value", sim_make_damaged_value, open_and_read, NONE, 0, 0},
    {"open-damaged-header", sim_make_damaged_header, open_and_read, NONE, 0, 0},
    {"open-missing", sim_make_missing, open_and_read, NONE, 0, 0},
    {"open-readonly", sim_make_readonly, open_and_read, NONE, 0, 0},
    {"open-many", sim_make_many_segments, open_and_read, NONE, 0, 0},
    {"write", sim_make_store, write_all_ways, NONE, 0, 0},
    {"write-always", sim_make_store, write_all_ways, ALWAYS, 0, 0},
    {"write-interval", sim_make_store, write_all_ways, INTERVAL, 0, 0},
    {"write-unreserved", sim_make_store, write_all_ways, NONE, 0, SIM_UNRESERVED},
    {"write-unreserved-always", sim_make_store, write_all_ways, ALWAYS, 0, SIM_UNRESERVED},
    {"expire", sim_make_store, expire, NONE, 0, 0},
    {"expire-always-collide", sim_make_store, expire, ALWAYS, 2, 0},
    {"expire-unreserved", sim_make_store, expire, INTERVAL, 0, SIM_UNRESERVED},
    {"transact", sim_make_store, transact, NONE, 0, 0},
    {"transact-always", sim_make_store, transact, ALWAYS, 0, 0},
    {"transact-collide", sim_make_store, transact, INTERVAL, 2, 0},
    {"transact-unreserved", sim_make_store, transact, NONE, 0, SIM_UNRESERVED},
    {"transact-checkpointed", sim_make_tail, transact, NONE, 0, 0},
    {"transact-spoiled", sim_make_spoiled_checkpoint, transact, NONE, 0, 0},
    {"transact-iterating", sim_make_store, transact_under_iterator, NONE, 0, 0},
    {"load", sim_make_store, load, NONE, 0, 0},
    {"load-always-collide", sim_make_store, load, ALWAYS, 2, 0},
    {"load-unreserved", sim_make_store, load, INTERVAL, 0, SIM_UNRESERVED},
    {"load-checkpointed", sim_make_tail, load, NONE, 0, SIM_MAPPED_ONLY},
    {"load-spoiled", sim_make_spoiled_checkpoint, load, NONE, 2, SIM_MAPPED_ONLY},
    {"load-first", NULL, load, NONE, 0, 0},
    {"rotate", sim_make_store, rotate, NONE, 0, 0},
    {"rotate-always", sim_make_store, rotate, ALWAYS, 0, 0},
    {"rotate-unreserved", sim_make_store, rotate, NONE, 0, SIM_UNRESERVED},
    {"hint", sim_make_store, write_hints, NONE, 0, 0},
    {"hint-collide", sim_make_store, write_hints, ALWAYS, 2, 0},
    {"open-hinted", sim_make_hinted, open_and_read, NONE, 0, 0},
    {"open-hinted-collide", sim_make_hinted, open_and_read, NONE, 1, 0},
    {"open-wrong-hint", sim_make_wrong_hint, open_and_read, NONE, 0, 0},
    {"checkpoint", sim_make_store, checkpoint, NONE, 0, 0},
    {"checkpoint-always-collide", sim_make_store, checkpoint, ALWAYS, 2, 0},
    {"checkpoint-unreserved", sim_make_store, checkpoint, NONE, 0, SIM_UNRESERVED},
    {"checkpoint-again", sim_make_checkpointed, checkpoint, NONE, 0, 0},
    {"checkpoint-spoiled", sim_make_spoiled_tail, checkpoint, NONE, 0, SIM_MAPPED_ONLY},
    {"checkpoint-moving", sim_make_store, checkpoint_moving, NONE, 0, 0},
    {"open-checkpointed", sim_make_checkpointed, open_and_read, NONE, 0, 0},
    {"open-checkpointed-collide", sim_make_tail, open_and_read, NONE, 1, 0},
    {"open-tail", sim_make_tail, open_and_read, NONE, 0, 0},
    {"open-spoiled", sim_make_spoiled_checkpoint, open_and_read, NONE, 0, 0},
    {"open-spoiled-tail", sim_make_spoiled_tail, open_and_read, NONE, 0, 0},
    {"write-spoiled", sim_make_spoiled_checkpoint, write_all_ways, NONE, 2, 0},
    {"close-much", sim_make_much, close_much, NONE, 0, SIM_MAPPED_ONLY},
    {"sync", sim_make_store, sync_often, NONE, 0, 0},
    {"close", sim_make_store, close_it, NONE, 0, 0},
    {"read", sim_make_store, read_all, NONE, 0, 0},
    {"read-many", sim_make_many_segments, read_all, NONE, 0, 0},
    {"iterate", sim_make_store, iterate, NONE, 0, 0},
    {"iterate-checkpointed", sim_make_tail, iterate_once, NONE, 0, 0},
    {"iterate-many", sim_make_many_segments, iterate_once, NONE, 0, 0},
    {"iterate-log-write", sim_make_store, iterate_in_log, NONE, 0, 0},
    {"iterate-key-write", sim_make_store, iterate_in_order, ALWAYS, 0, 0},
    {"view", sim_make_store, view, NONE, 0, 0},
    {"statistics", sim_make_store, count, NONE, 0, 0},
    {"merge", sim_make_store, merge_all, NONE, 0, 0},
    {"merge-always", sim_make_store, merge_all, ALWAYS, 2, SIM_MAPPED_ONLY},
    {"merge-checkpointed", sim_make_checkpointed, merge_all, NONE, 0, 0},
    {"transform", sim_make_store, transform, NONE, 0, 0},
    {"transform-always-collide", sim_make_store, transform, ALWAYS, 2, SIM_MAPPED_ONLY},
    {"verify", sim_make_store, verify, NONE, 0, 0},
    {"verify-hinted", sim_make_hinted, verify, NONE, 0, 0},
    {"verify-checkpointed", sim_make_tail, verify, NONE, 0, 0},
    {"verify-damaged", sim_make_damaged_value, verify, NONE, 0, 0},
    {"verify-readonly", sim_make_readonly, verify, NONE, 0, 0},
    {"backup", sim_make_store, back_up, NONE, 0, 0},
    {"backup-copy", sim_make_store, back_up_copy, ALWAYS, 0, 0},
    {"backup-many", sim_make_many_segments, back_up, NONE, 0, 0},
    {"backup-hinted", sim_make_hinted, back_up, NONE, 0, 0},
    {"backup-hinted-copy", sim_make_hinted, back_up_copy, NONE, 0, 0},
    {"backup-damaged", sim_make_damaged_value, back_up, NONE, 0, 0},
    {"repair", sim_make_store, mend, NONE, 0, SIM_MAPPED_ONLY},
    {"repair-killed", sim_make_killed, mend, NONE, 0, SIM_MAPPED_ONLY},
    {"repair-damaged-value", sim_make_damaged_value, mend, NONE, 0, SIM_MAPPED_ONLY},
    {"repair-damaged-header", sim_make_damaged_header, mend, NONE, 0, SIM_MAPPED_ONLY},
    {"repair-missing", sim_make_missing, mend, NONE, 0, SIM_MAPPED_ONLY},
    {"collide", sim_make_store, collide, NONE, 2, 0},
    {"fill-keydir", sim_make_full_keydir, fill_keydir, NONE, 1, SIM_MAPPED_ONLY},
    {"fill-keydir-transact", sim_make_full_keydir, transact, NONE, 1, SIM_MAPPED_ONLY},
    {"live", NULL, live, INTERVAL, 0, 0},
};

const size_t sim_scenario_count = sizeof sim_scenarios / sizeof *sim_scenarios;

void sim_scenario_prepare(const scenario *s, freyja_io io, trial *t) {
  trial_create(t, io);
  t->disk->no_reserve = (s->flags & SIM_UNRESERVED) != 0;
  t->options.sync_mode = s->sync_mode;
  if (s->hash_bits != 0) t->options.hash_bits = s->hash_bits;
  if (s->prepare != NULL) s->prepare(t);
  t->states[0] = *trial_now(t);
  t->acknowledged = t->promised = 0;
}
