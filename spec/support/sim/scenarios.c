/* scenarios.c - see scenarios.h. */
#include "scenarios.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANY 14u /* segments: more than the engine keeps open */

/* ---- what is there ---------------------------------------------------- */

static void put_some(trial *t, unsigned from, unsigned count) {
  for (unsigned key = from; key < from + count; key++) trial_put(t, key);
}

/* Three segments, with values of all sizes, overwritten and deleted ones. */
static void make_store(trial *t) {
  trial_open(t);
  put_some(t, 0, 8);
  trial_put_large(t, 2);
  trial_rotate(t);
  put_some(t, 6, 4);
  trial_delete(t, 3);
  trial_put(t, 0);
  trial_rotate(t);
  put_some(t, 10, 3);
  trial_put_large(t, 11);
  trial_delete(t, 6);
  trial_close(t);
}

static void make_many_segments(trial *t) {
  trial_open(t);
  for (unsigned key = 0; key < MANY; key++) {
    trial_put(t, key);
    trial_rotate(t);
  }
  trial_close(t);
}

/* Changes one byte of a file of the store. */
static void spoil(trial *t, const char *path, uint64_t offset) {
  uint64_t size = 0;
  const uint8_t *bytes = sim_disk_bytes(t->disk, path, &size);
  if (bytes == NULL || offset >= size) abort();
  uint8_t *copy = malloc(size);
  if (copy == NULL) abort();
  memcpy(copy, bytes, size);
  copy[offset] ^= 0x55;
  sim_disk_put(t->disk, path, copy, size);
  free(copy);
}

/* Behind the mark a record that is not whole and two that are. What recovery cuts must not
 * come back when the next write, of the same size, takes the place of the first. */
static void make_torn(trial *t) {
  trial_state sure;
  trial_open(t);
  put_some(t, 0, 6);
  trial_close(t);
  trial_open(t);
  sure = *trial_now(t);
  uint64_t end = 0;
  freyja_segment segment;
  (void)freyja_get_segments(t->db, &segment, 1);
  end = segment.bytes;
  trial_put_probe(t, 1);
  trial_put_probe(t, 2);
  trial_put_probe(t, 7);
  sim_disk_kill(t->disk);
  t->db = NULL;
  spoil(t, "db/1.data", end + 30);
  t->states[0] = sure;
  t->acknowledged = t->promised = 0;
}

/* What crashes leave, and what is not ours. */
static void make_leftovers(trial *t) {
  static const uint8_t junk[300] = "junk";
  uint64_t size = 0;
  make_store(t);
  const uint8_t *ours = sim_disk_bytes(t->disk, "db/1.data", &size);
  sim_disk_put(t->disk, "db/4.data", junk, 64);
  sim_disk_put(t->disk, "db/5.data", NULL, 0);
  sim_disk_put(t->disk, "db/6.data", ours, 128);
  sim_disk_put(t->disk, "db/7.data", junk, sizeof junk);
  sim_disk_put(t->disk, "db/MANIFEST.tmp", junk, 10);
  sim_disk_put(t->disk, "db/other.tmp", junk, 10);
  sim_disk_put(t->disk, "db/notes", junk, 10);
  sim_disk_put_type(t->disk, "db/8.data", SIM_DIRECTORY);
}

/* Remembers which keys damage makes unreadable. */
static void learn_damage(trial *t) {
  t->broken = true;
  trial_open(t);
  trial_state state = *trial_now(t);
  for (unsigned key = 0; key < TRIAL_KEYS && t->db != NULL; key++) {
    char name[TRIAL_KEY_SIZE], value[TRIAL_VALUE_MAX];
    size_t size = 0;
    trial_name(key, name);
    if (freyja_get(t->db, name, sizeof name, value, sizeof value, &size, NULL) ==
        FREYJA_CORRUPT)
      state.of[key] = TRIAL_CORRUPT;
  }
  trial_close(t);
  t->states[0] = state;
  t->acknowledged = t->promised = 0;
}

static void make_damaged_value(trial *t) {
  make_store(t);
  spoil(t, "db/1.data", 128 + 24 + 5 + 3);
  learn_damage(t);
}

static void make_damaged_header(trial *t) {
  make_store(t);
  spoil(t, "db/2.data", 128 + 1);
  learn_damage(t);
}

static void make_missing(trial *t) {
  make_store(t);
  sim_disk_remove(t->disk, "db/2.data");
  t->disk->unchecked = true; /* which demands that it is there */
  learn_damage(t);
}

static void make_folder(trial *t) { sim_disk_put_type(t->disk, "db", SIM_DIRECTORY); }

static void make_readonly(trial *t) {
  make_store(t);
  t->options.readonly = true;
}

/* Not closed, but killed: nothing of the last segment is synced. */
static void make_killed(trial *t) {
  trial_open(t);
  put_some(t, 0, 5);
  trial_rotate(t);
  put_some(t, 4, 5);
  trial_delete(t, 1);
  sim_disk_kill(t->disk);
  t->db = NULL;
  t->promised = t->acknowledged;
}

/* As well, and copied without the zeros that were reserved. */
static void make_sparse(trial *t) {
  t->options.segment_size = 5 * FREYJA_SEGMENT_SIZE_MIN;
  make_killed(t);
  sim_disk_punch(t->disk, "db/2.data");
}

static void make_hinted(trial *t) {
  make_store(t);
  trial_open(t);
  trial_hint(t);
  trial_close(t);
}

/* One of the hint files is not what it was. */
static void make_wrong_hint(trial *t) {
  make_hinted(t);
  spoil(t, "db/2.hint", 100);
}

#define FULL 38u /* keys of two hashes: as many as the keydir's first memory takes */

static void make_full_keydir(trial *t) {
  trial_open(t);
  put_some(t, 0, FULL);
  trial_close(t);
}

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
  put_some(t, 0, 3);
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
  put_some(t, 20, 3);
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
  put_some(t, FULL, 2);
  freyja_get_stats(t->db, &after);
  if (t->acknowledged == 2 && after.index_bytes == before.index_bytes)
    trial_wrong(t, "the keydir has not grown: this tests nothing");
}

/* Opened, used and closed twice. */
static void live(trial *t) {
  trial_arm(t);
  for (unsigned session = 0; session < 2; session++) {
    trial_open(t);
    put_some(t, session * 3, 8);
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
    {"create-in-folder", make_folder, create, ALWAYS, 0, 0},
    {"create-unreserved", NULL, create, NONE, 0, SIM_UNRESERVED},
    {"open", make_store, open_and_read, NONE, 0, 0},
    {"open-killed", make_killed, open_and_read, NONE, 0, 0},
    {"open-sparse", make_sparse, open_and_read, NONE, 0, 0},
    {"write-sparse", make_sparse, write_pages, NONE, 0, 0},
    {"write-sparse-always", make_sparse, write_pages, ALWAYS, 0, 0},
    {"open-torn", make_torn, open_and_read, NONE, 0, 0},
    {"open-leftovers", make_leftovers, open_and_read, NONE, 0, 0},
    {"open-damaged-value", make_damaged_value, open_and_read, NONE, 0, 0},
    {"open-damaged-header", make_damaged_header, open_and_read, NONE, 0, 0},
    {"open-missing", make_missing, open_and_read, NONE, 0, 0},
    {"open-readonly", make_readonly, open_and_read, NONE, 0, 0},
    {"open-many", make_many_segments, open_and_read, NONE, 0, 0},
    {"write", make_store, write_all_ways, NONE, 0, 0},
    {"write-always", make_store, write_all_ways, ALWAYS, 0, 0},
    {"write-interval", make_store, write_all_ways, INTERVAL, 0, 0},
    {"write-unreserved", make_store, write_all_ways, NONE, 0, SIM_UNRESERVED},
    {"write-unreserved-always", make_store, write_all_ways, ALWAYS, 0, SIM_UNRESERVED},
    {"expire", make_store, expire, NONE, 0, 0},
    {"expire-always-collide", make_store, expire, ALWAYS, 2, 0},
    {"expire-unreserved", make_store, expire, INTERVAL, 0, SIM_UNRESERVED},
    {"rotate", make_store, rotate, NONE, 0, 0},
    {"rotate-always", make_store, rotate, ALWAYS, 0, 0},
    {"rotate-unreserved", make_store, rotate, NONE, 0, SIM_UNRESERVED},
    {"hint", make_store, write_hints, NONE, 0, 0},
    {"hint-collide", make_store, write_hints, ALWAYS, 2, 0},
    {"open-hinted", make_hinted, open_and_read, NONE, 0, 0},
    {"open-hinted-collide", make_hinted, open_and_read, NONE, 1, 0},
    {"open-wrong-hint", make_wrong_hint, open_and_read, NONE, 0, 0},
    {"sync", make_store, sync_often, NONE, 0, 0},
    {"close", make_store, close_it, NONE, 0, 0},
    {"read", make_store, read_all, NONE, 0, 0},
    {"read-many", make_many_segments, read_all, NONE, 0, 0},
    {"iterate", make_store, iterate, NONE, 0, 0},
    {"iterate-many", make_many_segments, iterate_once, NONE, 0, 0},
    {"iterate-log-write", make_store, iterate_in_log, NONE, 0, 0},
    {"iterate-key-write", make_store, iterate_in_order, ALWAYS, 0, 0},
    {"view", make_store, view, NONE, 0, 0},
    {"statistics", make_store, count, NONE, 0, 0},
    {"merge", make_store, merge_all, NONE, 0, 0},
    {"merge-always", make_store, merge_all, ALWAYS, 2, SIM_MAPPED_ONLY},
    {"transform", make_store, transform, NONE, 0, 0},
    {"transform-always-collide", make_store, transform, ALWAYS, 2, SIM_MAPPED_ONLY},
    {"verify", make_store, verify, NONE, 0, 0},
    {"verify-hinted", make_hinted, verify, NONE, 0, 0},
    {"verify-damaged", make_damaged_value, verify, NONE, 0, 0},
    {"verify-readonly", make_readonly, verify, NONE, 0, 0},
    {"backup", make_store, back_up, NONE, 0, 0},
    {"backup-copy", make_store, back_up_copy, ALWAYS, 0, 0},
    {"backup-many", make_many_segments, back_up, NONE, 0, 0},
    {"backup-hinted", make_hinted, back_up, NONE, 0, 0},
    {"backup-hinted-copy", make_hinted, back_up_copy, NONE, 0, 0},
    {"backup-damaged", make_damaged_value, back_up, NONE, 0, 0},
    {"repair", make_store, mend, NONE, 0, SIM_MAPPED_ONLY},
    {"repair-killed", make_killed, mend, NONE, 0, SIM_MAPPED_ONLY},
    {"repair-damaged-value", make_damaged_value, mend, NONE, 0, SIM_MAPPED_ONLY},
    {"repair-damaged-header", make_damaged_header, mend, NONE, 0, SIM_MAPPED_ONLY},
    {"repair-missing", make_missing, mend, NONE, 0, SIM_MAPPED_ONLY},
    {"collide", make_store, collide, NONE, 2, 0},
    {"fill-keydir", make_full_keydir, fill_keydir, NONE, 1, SIM_MAPPED_ONLY},
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
