/* expiry.c - values that expire, on a simulated disk with a clock of its own: when they are
 * there and when not, whatever the clock does, by every call, in both modes, with keys that
 * collide, after each kind of opening, and with damage in them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expiry/shared.h"
#include "record.h"
#include "repair.h"
#include "segment.h"

#define RUNS 12u /* random ones for each width of the hash */

static freyja_status insert(shop *s, const char *key, const char *value, uint64_t ttl) {
  return freyja_insert_ttl(s->db, key, strlen(key), value, strlen(value), ttl, NULL);
}

static freyja_status cas(shop *s, const char *key, const char *expected, const char *desired,
                         uint64_t ttl) {
  freyja_slice old = {expected, expected == NULL ? 0 : strlen(expected)};
  freyja_slice new = {desired, desired == NULL ? 0 : strlen(desired)};
  return freyja_cas_ttl(s->db, key, strlen(key), expected == NULL ? NULL : &old,
                        desired == NULL ? NULL : &new, ttl, NULL);
}

static uint64_t ttl_of(shop *s, const char *key) {
  uint64_t ttl = UINT64_MAX;
  freyja_status status = freyja_ttl(s->db, key, strlen(key), &ttl, NULL);
  return status == FREYJA_OK ? ttl : UINT64_MAX;
}

static uint64_t written(shop *s) {
  freyja_stats stats;
  freyja_get_stats(s->db, &stats);
  return stats.puts + stats.deletes;
}

/* ---- when it is there --------------------------------------------------------- */

static void test_moment(freyja_io io) {
  shop s;
  shop_open(&s, io, 64);
  bool right =
      put(&s, "a", "old", 0) && put(&s, "a", "1", 10 * SECOND) && put(&s, "b", "2", 0);
  ok(right && ttl_of(&s, "a") == 10 * SECOND && ttl_of(&s, "b") == 0 && keys_of(&s) == 2,
     "a value is there with its time to live", io);
  shop_wait(&s, 10 * SECOND - 1);
  ok(holds(&s, "a", "1") && ttl_of(&s, "a") == 1 && keys_of(&s) == 2,
     "until its last microsecond", io);
  shop_wait(&s, 1);
  ok(holds(&s, "a", NULL) && keys_of(&s) == 1 && holds(&s, "a", NULL) && is_sound(&s, 1),
     "then the key is absent, and an older value does not come back", io);
  right = true;
  for (int i = 0; i < 4; i++) {
    shop_reopen(&s, i % 2 == 0 ? FREYJA_IO_MMAP : FREYJA_IO_SYSCALL);
    right = right && holds(&s, "a", NULL) && holds(&s, "b", "2") && keys_of(&s) == 1 &&
            is_sound(&s, 1);
  }
  ok(right, "nor when the store is opened again", io);
  shop_close(&s);
}

static void test_writes(freyja_io io) {
  shop s;
  shop_open(&s, io, 64);
  bool right = put(&s, "a", "1", SECOND) && put(&s, "b", "1", SECOND) &&
               put(&s, "c", "1", SECOND) && put(&s, "d", "1", SECOND);
  ok(right && insert(&s, "a", "2", 0) == FREYJA_EXISTS &&
         cas(&s, "a", NULL, "2", 0) == FREYJA_MISMATCH,
     "insert and cas see a value that has not expired", io);
  uint64_t before = written(&s);
  shop_wait(&s, SECOND);
  ok(freyja_delete(s.db, "a", 1, NULL) == FREYJA_NOTFOUND &&
         cas(&s, "a", "1", "2", 0) == FREYJA_MISMATCH &&
         cas(&s, "a", NULL, NULL, 0) == FREYJA_OK && written(&s) == before,
     "where it has, there is nothing to delete or to compare with", io);
  ok(insert(&s, "b", "2", 5 * SECOND) == FREYJA_OK && ttl_of(&s, "b") == 5 * SECOND &&
         cas(&s, "c", NULL, "2", 0) == FREYJA_OK && put(&s, "d", "2", 0) && keys_of(&s) == 3,
     "and it is replaced as if it were not there", io);
  shop_wait(&s, 4 * SECOND);
  right = put(&s, "b", "3", 0) && cas(&s, "c", "2", "3", SECOND) == FREYJA_OK;
  ok(right && ttl_of(&s, "b") == 0 && ttl_of(&s, "c") == SECOND,
     "each write sets or clears the time to live", io);
  shop_wait(&s, 10 * SECOND);
  shop_reopen(&s, io);
  ok(holds(&s, "a", NULL) && holds(&s, "b", "3") && holds(&s, "c", NULL) &&
         holds(&s, "d", "2") && is_sound(&s, 2),
     "which holds when it is opened again", io);
  shop_close(&s);
}

/* The slot is still there when the key is written again. */
static void test_replacing(freyja_io io) {
  shop s;
  shop_open(&s, io, 64);
  bool right = put(&s, "a", "1", SECOND) && put(&s, "b", "1", SECOND) && put(&s, "c", "1", 0);
  shop_wait(&s, SECOND);
  right = right && insert(&s, "a", "2", 0) == FREYJA_OK && put(&s, "b", "2", 0);
  ok(right && keys_of(&s) == 3 && is_sound(&s, 3), "a key that expired is counted once", io);
  shop_close(&s);
}

static void test_limits(freyja_io io) {
  shop s;
  char value[FREYJA_SEGMENT_SIZE_MIN];
  freyja_error error;
  uint64_t room = FREYJA_SEGMENT_SIZE_MIN - FJ_SEGMENT_HEADER - 24 - 8 - 1;
  memset(value, 'v', sizeof value);
  shop_open(&s, io, 64);
  ok(freyja_put_ttl(s.db, "k", 1, value, room, 1, NULL) == FREYJA_OK &&
         freyja_put_ttl(s.db, "k", 1, value, room + 1, 1, &error) == FREYJA_LIMIT &&
         freyja_put_ttl(s.db, "k", 1, value, room + 8, 0, NULL) == FREYJA_OK,
     "a record that expires is 8 bytes longer", io);
  uint64_t most = UINT64_MAX - s.disk->clock;
  ok(freyja_put_ttl(s.db, "k", 1, "v", 1, most + 1, &error) == FREYJA_LIMIT &&
         strstr(error.message, "too long") != NULL &&
         freyja_insert_ttl(s.db, "n", 1, "v", 1, UINT64_MAX, NULL) == FREYJA_LIMIT &&
         cas(&s, "n", NULL, "v", UINT64_MAX) == FREYJA_LIMIT && keys_of(&s) == 1,
     "no time to live ends after the last time that there is", io);
  ok(put(&s, "k", "v", most) && ttl_of(&s, "k") == most, "but at it", io);
  shop_close(&s);
}

/* ---- the clock ------------------------------------------------------------------ */

static void test_clock(freyja_io io) {
  shop s;
  shop_open(&s, io, 64);
  bool right = put(&s, "a", "1", 10 * SECOND);
  sim_disk_jump(s.disk, -CENTURY);
  right = right && ttl_of(&s, "a") == 10 * SECOND && put(&s, "b", "1", 10 * SECOND);
  shop_wait(&s, 10 * SECOND - 1);
  ok(right && holds(&s, "a", "1") && ttl_of(&s, "b") == 1,
     "a clock that is set back a hundred years keeps nothing alive", io);
  shop_wait(&s, 1);
  ok(holds(&s, "a", NULL) && holds(&s, "b", NULL) && keys_of(&s) == 0, "nor kills it early",
     io);
  right = put(&s, "a", "2", 10 * SECOND);
  shop_reopen(&s, io);
  right = right && ttl_of(&s, "a") == 10 * SECOND;
  shop_wait(&s, 10 * SECOND);
  ok(right && holds(&s, "a", NULL) && is_sound(&s, 0), "also when it is opened again", io);

  sim_disk_jump(s.disk, CENTURY);
  right = put(&s, "a", "3", 10 * SECOND) && put(&s, "old", "1", 0);
  sim_disk_jump(s.disk, CENTURY);
  right = right && holds(&s, "a", NULL) && put(&s, "b", "3", 10 * SECOND);
  sim_disk_jump(s.disk, -CENTURY);
  ok(right && holds(&s, "a", NULL) && ttl_of(&s, "b") == 10 * SECOND && holds(&s, "old", "1"),
     "what a clock that was set ahead has let expire stays dead when it is set back", io);
  shop_wait(&s, 9 * SECOND);
  shop_reopen(&s, io);
  ok(holds(&s, "a", NULL) && holds(&s, "b", "3") && ttl_of(&s, "b") <= 10 * SECOND &&
         is_sound(&s, 2),
     "and when it is opened again behind a later record", io);
  shop_close(&s);
}

/* ---- iterators ------------------------------------------------------------------- */

/* How many entries the iterator gives; they must be of keys that begin with 'x'. */
static unsigned drain(freyja_iterator *iterator) {
  unsigned count = 0;
  freyja_entry entry;
  while (freyja_iterator_next(iterator, &entry, NULL) == FREYJA_OK)
    count += entry.key.size > 0 && *(const char *)entry.key.data == 'x';
  freyja_iterator_close(iterator);
  return count;
}

static void test_iterators(freyja_io io) {
  shop s;
  freyja_iterator *before[3] = {NULL}, *after[2] = {NULL};
  freyja_iterator_options options = {.order = FREYJA_ORDER_LOG};
  char key[8];
  bool right = true;
  shop_open(&s, io, 64);
  for (unsigned i = 0; i < 200; i++) {
    (void)snprintf(key, sizeof key, "x%u", i);
    right = right && put(&s, key, "value", i % 2 == 0 ? SECOND : 0);
  }
  for (int i = 0; i < 3; i++) {
    options.order = i == 1 ? FREYJA_ORDER_KEY : FREYJA_ORDER_LOG;
    options.keys_only = i == 2;
    right = right && freyja_iterator_open(s.db, &options, &before[i], NULL) == FREYJA_OK;
  }
  freyja_entry entry;
  for (int i = 0; i < 10; i++) /* one of them is on its way */
    right = right && freyja_iterator_next(before[2], &entry, NULL) == FREYJA_OK &&
            (entry.expiry != 0) == (i % 2 == 0);
  shop_wait(&s, SECOND);
  for (int i = 0; i < 2; i++) {
    options.order = i == 1 ? FREYJA_ORDER_KEY : FREYJA_ORDER_LOG;
    right = right && freyja_iterator_open(s.db, &options, &after[i], NULL) == FREYJA_OK;
  }
  right = right && keys_of(&s) == 100 && put(&s, "x0", "new", 0) && put(&s, "x2", "new", 0);
  ok(right && drain(before[0]) == 200 && drain(before[1]) == 200 && drain(before[2]) == 190,
     "iterators give what had not expired when they were made", io);
  ok(drain(after[0]) == 100 && drain(after[1]) == 100, "and not what had", io);
  shop_close(&s);
}

/* Without memory to tell the iterators the slots stay, and yet the count is right. */
static void test_memory(freyja_io io) {
  shop s;
  freyja_iterator *iterator = NULL;
  freyja_stats stats;
  sim_fault fault = {.memory_at = 1, .memory_on = true}, none = {.at = 0};
  shop_open(&s, io, 64);
  bool right = put(&s, "x1", "1", SECOND) && put(&s, "x2", "1", 0) &&
               freyja_iterator_open(s.db, NULL, &iterator, NULL) == FREYJA_OK;
  shop_wait(&s, SECOND);
  sim_disk_fail(s.disk, &fault);
  for (int i = 0; i < 3; i++) {
    freyja_get_stats(s.db, &stats);
    right = right && stats.keys == 1;
  }
  sim_disk_fail(s.disk, &none);
  ok(right && keys_of(&s) == 1 && drain(iterator) == 2 && is_sound(&s, 1),
     "where there is no memory to tell an iterator, the count is right all the same", io);
  shop_close(&s);
}

/* ---- damage ---------------------------------------------------------------------- */

static void flip(sim_disk *disk, const char *path, uint64_t bit) {
  uint64_t size = 0;
  const uint8_t *bytes = sim_disk_bytes(disk, path, &size);
  static uint8_t copy[1u << 20];
  if (bytes == NULL || size > sizeof copy || bit / 8 >= size) exit(1);
  memcpy(copy, bytes, size);
  copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
  sim_disk_put(disk, path, copy, size);
}

static freyja_status look(shop *s, const char *key, const char *value, bool *wrong) {
  char found[16];
  size_t size = 0;
  freyja_status status = freyja_get(s->db, key, strlen(key), found, sizeof found, &size, NULL);
  *wrong = status == FREYJA_OK && (size != strlen(value) || memcmp(found, value, size) != 0);
  return status;
}

/* An old value, one that expires, and another key. */
static void make_expiring(shop *s, freyja_io io) {
  shop_open(s, io, 64);
  bool right = put(s, "key", "old", 0) && put(s, "key", "value", SECOND) &&
               put(s, "other", "value", 0) && freyja_rotate(s->db, NULL) == FREYJA_OK &&
               put(s, "last", "value", 0);
  if (!right) exit(1);
}

#define FIRST_SIZE 32u /* bytes of the record with the old value */
#define SIZE 40u       /* bytes of the one that expires: 32, 3 and 5 */

static void test_damage(freyja_io io, bool open) {
  bool right = true;
  for (uint64_t bit = 0; bit < 8 * SIZE && right; bit++) {
    shop s;
    bool wrong[3];
    make_expiring(&s, io);
    if (open) (void)keys_of(&s);
    else if (freyja_close(s.db, NULL) != FREYJA_OK) exit(1);
    flip(s.disk, "db/1.data", 8 * (FJ_SEGMENT_HEADER + FIRST_SIZE) + bit);
    if (!open && freyja_open("db", &s.options, &s.db, NULL) != FREYJA_OK) exit(1);
    for (int due = 0; due < 2; due++) {
      freyja_status status = look(&s, "key", "value", &wrong[0]);
      freyja_status other = look(&s, "other", "value", &wrong[1]);
      freyja_status last = look(&s, "last", "value", &wrong[2]);
      right = right && !wrong[0] && !wrong[1] && !wrong[2] && last == FREYJA_OK &&
              (other == FREYJA_OK || (!open && other == FREYJA_CORRUPT)) &&
              (status == FREYJA_CORRUPT || (due == 1 && status == FREYJA_NOTFOUND));
      (void)keys_of(&s);
      freyja_report report;
      right = right && freyja_verify(s.db, NULL, NULL, &report, NULL) == FREYJA_OK &&
              report.problems > 0;
      shop_wait(&s, SECOND);
    }
    if (!right) printf("# bit %u\n", (unsigned)bit);
    shop_close(&s);
  }
  ok(right,
     open ? "each bit that is flipped under an open store makes the key corrupt, or absent "
            "when it is"
          : "each bit that is flipped makes the key corrupt, or absent when it is",
     io);
}

/* A damaged header tells nothing of the time: the key is not forgotten because of it. */
static void test_damaged_expiry(freyja_io io) {
  shop s;
  bool wrong = false;
  shop_open(&s, io, 64);
  if (!put(&s, "key", "value", 10 * SECOND) || !put(&s, "soon", "value", SECOND)) exit(1);
  /* The highest bit of the time: what expires late seems to have expired long ago. */
  flip(s.disk, "db/1.data", 8 * (FJ_SEGMENT_HEADER + FJ_RECORD_HEADER) + 52);
  shop_wait(&s, 2 * SECOND);
  ok(keys_of(&s) == 1 && look(&s, "key", "value", &wrong) == FREYJA_CORRUPT,
     "a key whose expiry is damaged is not forgotten when keys are counted", io);
  shop_close(&s);
}

/* ---- copies ----------------------------------------------------------------------- */

static void open_other(shop *s, const char *path) {
  if (freyja_close(s->db, NULL) != FREYJA_OK ||
      freyja_open(path, &s->options, &s->db, NULL) != FREYJA_OK)
    exit(1);
}

static void test_copies(freyja_io io) {
  shop s;
  freyja_report report;
  shop_open(&s, io, 64);
  bool right = put(&s, "soon", "old", 0) && put(&s, "soon", "1", SECOND) &&
               put(&s, "late", "2", 10 * SECOND) && put(&s, "never", "3", 0);
  shop_wait(&s, SECOND);
  right = right && freyja_backup(s.db, "copy", NULL, NULL) == FREYJA_OK;
  open_other(&s, "copy");
  ok(right && holds(&s, "soon", NULL) && ttl_of(&s, "late") == 9 * SECOND && is_sound(&s, 2),
     "a backup keeps the time to live", io);
  if (freyja_close(s.db, NULL) != FREYJA_OK) exit(1);
  right = fj_repair(&s.disk->os, "db", "repaired", NULL, NULL, &report, NULL) == FREYJA_OK &&
          report.keys == 2 && report.problems == 0;
  if (freyja_open("repaired", &s.options, &s.db, NULL) != FREYJA_OK) exit(1);
  right = right && holds(&s, "soon", NULL) && ttl_of(&s, "late") == 9 * SECOND &&
          ttl_of(&s, "never") == 0 && is_sound(&s, 2);
  sim_disk_jump(s.disk, -CENTURY);
  open_other(&s, "repaired");
  ok(right && holds(&s, "soon", NULL) && keys_of(&s) == 2,
     "so does a repair, which leaves out what has expired", io);
  shop_close(&s);
}

/* A repair does not count as lost what has expired. */
static void test_repaired_damage(freyja_io io) {
  shop s;
  freyja_report report;
  make_expiring(&s, io);
  if (freyja_close(s.db, NULL) != FREYJA_OK) exit(1);
  flip(s.disk, "db/1.data", 8 * (FJ_SEGMENT_HEADER + FIRST_SIZE + SIZE - 1));
  bool right = fj_repair(&s.disk->os, "db", "first", NULL, NULL, &report, NULL) == FREYJA_OK &&
               report.lost_keys == 1;
  shop_wait(&s, SECOND);
  right = right &&
          fj_repair(&s.disk->os, "db", "second", NULL, NULL, &report, NULL) == FREYJA_OK &&
          report.lost_keys == 0 && report.problems == 1 && report.keys == 2;
  ok(right, "a damaged value is lost unless it has expired", io);
  if (freyja_open("db", &s.options, &s.db, NULL) != FREYJA_OK) exit(1);
  shop_close(&s);
}

/* Without a MANIFEST it finds late what is newest: behind damage that it took for torn, in a
 * file whose number is lower, as those have that were there before a merge. */
static void test_repaired_clock(freyja_io io) {
  static const uint8_t none[32];
  uint8_t bytes[FREYJA_SEGMENT_SIZE_MIN];
  uint64_t size = 0;
  shop s;
  freyja_report report;
  shop_open(&s, io, 64);
  bool right = put(&s, "soon", "1", 10 * SECOND) && freyja_rotate(s.db, NULL) == FREYJA_OK;
  shop_wait(&s, 20 * SECOND);
  right = right && put(&s, "a", "2", 0) && put(&s, "b", "3", 0) &&
          freyja_close(s.db, NULL) == FREYJA_OK;
  const uint8_t *file = sim_disk_bytes(s.disk, "db/2.data", &size);
  if (!right || size > sizeof bytes) exit(1);
  memcpy(bytes, file, size);
  memcpy(bytes + 64, none, sizeof none); /* nothing was synced */
  bytes[FJ_SEGMENT_HEADER] ^= 1;
  sim_disk_put(s.disk, "db/2.data", bytes, size);
  file = sim_disk_bytes(s.disk, "db/1.data", &size);
  memcpy(bytes, file, size);
  sim_disk_put(s.disk, "db/3.data", bytes, size);
  sim_disk_remove(s.disk, "db/1.data");
  sim_disk_remove(s.disk, "db/MANIFEST");
  sim_disk_jump(s.disk, -20 * (int64_t)SECOND);
  right = fj_repair(&s.disk->os, "db", "new", NULL, NULL, &report, NULL) == FREYJA_OK &&
          report.keys == 1;
  if (freyja_open("new", &s.options, &s.db, NULL) != FREYJA_OK) exit(1);
  ok(right && holds(&s, "soon", NULL) && holds(&s, "b", "3") && is_sound(&s, 1),
     "a repair leaves out what has expired by the newest record of all", io);
  shop_close(&s);
}

static void merge_one(shop *s, const uint64_t *ids, size_t count) {
  freyja_rewrite *rewrite = NULL;
  if (freyja_rewrite_open(s->db, ids, count, &rewrite, NULL) != FREYJA_OK ||
      freyja_rewrite_commit(rewrite, NULL) != FREYJA_OK)
    exit(1);
  freyja_rewrite_close(rewrite);
}

/* The newest record is merged away, and the clock set back while the store is closed: what is
 * deleted then is deleted after that merge all the same, whatever the time. */
static void test_merged_clock(freyja_io io) {
  static const uint64_t first[] = {1, 2};
  uint64_t last = 0;
  freyja_segment segments[8];
  shop s;
  shop_open(&s, io, 64);
  bool right = put(&s, "key", "1", 0) && freyja_rotate(s.db, NULL) == FREYJA_OK;
  shop_wait(&s, 1000 * SECOND);
  right = right && put(&s, "x", "2", 0) && freyja_delete(s.db, "x", 1, NULL) == FREYJA_OK &&
          freyja_rotate(s.db, NULL) == FREYJA_OK;
  merge_one(&s, first, 2);
  sim_disk_jump(s.disk, -1000 * (int64_t)SECOND);
  shop_reopen(&s, io);
  right = right && freyja_delete(s.db, "key", 3, NULL) == FREYJA_OK &&
          freyja_rotate(s.db, NULL) == FREYJA_OK;
  size_t count = freyja_get_segments(s.db, segments, 8);
  for (size_t i = 0; i < count && i < 8; i++)
    if (segments[i].sealed) last = segments[i].id;
  merge_one(&s, &last, 1);
  right = right && holds(&s, "key", NULL);
  shop_reopen(&s, io);
  ok(right && holds(&s, "key", NULL) && is_sound(&s, 0),
     "what is deleted after a merge stays so though the clock was set back", io);
  shop_close(&s);
}

static void test_segments(freyja_io io) {
  shop s;
  freyja_segment segments[3];
  shop_open(&s, io, 64);
  uint64_t now = s.disk->clock;
  bool right = put(&s, "a", "1", 0) && freyja_rotate(s.db, NULL) == FREYJA_OK &&
               put(&s, "a", "1", 9 * SECOND) && put(&s, "b", "1", 3 * SECOND) &&
               put(&s, "c", "1", 5 * SECOND) && put(&s, "b", "2", 0);
  for (int i = 0; i < 3; i++) {
    right = right && freyja_get_segments(s.db, segments, 3) == 2 && segments[0].expires == 0 &&
            segments[1].expires == now + 3 * SECOND;
    if (i == 1) shop_wait(&s, 4 * SECOND);
    shop_reopen(&s, io);
  }
  ok(right, "a segment tells when the first of its values expires", io);
  shop_close(&s);
}

int main(void) {
  for (int i = FREYJA_IO_MMAP; i <= FREYJA_IO_SYSCALL; i++) {
    freyja_io io = (freyja_io)i;
    test_moment(io);
    test_writes(io);
    test_replacing(io);
    test_limits(io);
    test_clock(io);
    test_iterators(io);
    test_memory(io);
    test_damage(io, false);
    test_damage(io, true);
    test_damaged_expiry(io);
    test_copies(io);
    test_repaired_damage(io);
    test_repaired_clock(io);
    test_segments(io);
    test_merged_clock(io);
  }
  static const uint32_t widths[] = {1, 2, 3, 4, 64};
  for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
    for (uint64_t run = 1; run <= RUNS; run++) test_random(run * 1000003 + i, widths[i]);
  return all_good() ? 0 : 1;
}
