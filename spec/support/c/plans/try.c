/* try.c - see try.h. */
#include "try.h"

#include <stdio.h>
#include <string.h>

#define TTL UINT64_C(1000000) /* microseconds */
#define LONG (TTL + 1)        /* likewise: what has a time to live has expired */
#define IDS_MAX 40u           /* of the files of a store */
#define VALUE_MAX 32u         /* bytes */

char why[256];

static bool wrong(const char *what, const char *detail) {
  (void)snprintf(why, sizeof why, "%s: %s", what, detail);
  return false;
}

/* A number below the limit that the salt and `what` decide. */
static unsigned decide(uint64_t salt, unsigned what, unsigned limit) {
  uint64_t x = (salt + what * UINT64_C(1000003)) * UINT64_C(0x9E3779B97F4A7C15);
  x = (x ^ x >> 29) * UINT64_C(0xBF58476D1CE4E5B9);
  return (unsigned)((x >> 32) % limit);
}

/* What is decided, from pattern.salt or from a trial's own. */
enum { MODE, ORDER, HINTED, WAITS, STEP, LOST, SECOND, OTHER_MODE, COVERED };

/* A store being read, and what must be there. */
typedef struct trial {
  const base *base;
  uint64_t salt;
  sim_disk *disk;
  freyja *db;
  version now[KEYS];
  const char *when; /* for what goes wrong */
} trial;

static const char *const names[KEYS] = {"a", "key", ""};

static size_t make_value(unsigned key, unsigned segment, char *out) {
  return (size_t)snprintf(out, VALUE_MAX, "%.*s%u of segment %u", (int)key, "the", key,
                          segment);
}

static bool is_there(const trial *t, unsigned key) {
  const version *v = &t->now[key];
  return v->segment != 0 && (v->expiry == 0 || v->expiry > t->disk->clock);
}

/* ---- comparing ---------------------------------------------------------------- */

static bool is_value(const trial *t, unsigned key, const void *data, size_t size) {
  char value[VALUE_MAX];
  return make_value(key, t->now[key].segment, value) == size && memcmp(value, data, size) == 0;
}

static bool differs(const trial *t, unsigned key, const char *how) {
  char text[64];
  (void)snprintf(text, sizeof text, "key %u %s", key + 1, how);
  return wrong(t->when, text);
}

static bool check_key(const trial *t, unsigned key) {
  char value[VALUE_MAX];
  size_t size = 0;
  freyja_error error;
  freyja_status status =
      freyja_get(t->db, names[key], strlen(names[key]), value, sizeof value, &size, &error);
  if (freyja_is_fault(status)) return wrong(t->when, error.message);
  if ((status == FREYJA_OK) != is_there(t, key))
    return differs(t, key, status == FREYJA_OK ? "is there again" : "is gone");
  return status != FREYJA_OK || is_value(t, key, value, size) ||
         differs(t, key, "has another value");
}

static bool check_listed(const trial *t) {
  freyja_iterator *iterator = NULL;
  freyja_entry entry;
  freyja_error error = {.message = "it cannot be iterated"};
  freyja_status status = freyja_iterator_open(t->db, NULL, &iterator, &error);
  unsigned given = 0;
  bool right = true;
  while (right && status == FREYJA_OK) {
    status = freyja_iterator_next(iterator, &entry, &error);
    if (status != FREYJA_OK) break;
    unsigned key = 0;
    while (key < KEYS && (entry.key.size != strlen(names[key]) ||
                          memcmp(entry.key.data, names[key], entry.key.size) != 0))
      key++;
    right = key < KEYS && (given >> key & 1) == 0 && is_there(t, key) &&
            is_value(t, key, entry.value.data, entry.value.size);
    if (right) given |= 1u << key;
  }
  freyja_iterator_close(iterator);
  if (!right) return wrong(t->when, "an iterator gives something else");
  if (status != FREYJA_END) return wrong(t->when, error.message);
  for (unsigned key = 0; key < KEYS; key++)
    if (is_there(t, key) && (given >> key & 1) == 0)
      return differs(t, key, "is not given by an iterator");
  return true;
}

static bool check(trial *t, const char *when) {
  freyja_stats stats;
  unsigned there = 0;
  t->when = when;
  for (unsigned key = 0; key < KEYS; key++) {
    if (!check_key(t, key)) return false;
    there += is_there(t, key);
  }
  freyja_get_stats(t->db, &stats);
  if (stats.keys != there) return wrong(when, "the number of keys");
  if (stats.recovery.damaged != 0) return wrong(when, stats.recovery.damage.message);
  return check_listed(t);
}

static void note_problem(void *argument, const freyja_problem *problem) {
  const trial *t = argument;
  (void)wrong(t->when, problem->message);
}

/* Whether verify finds nothing. */
static bool verify(trial *t, const char *when) {
  freyja_report report = {0};
  t->when = when;
  return freyja_verify(t->db, note_problem, t, &report, NULL) == FREYJA_OK &&
         report.problems == 0;
}

/* Whether no file is left that is no segment's. */
static bool check_files(const trial *t) {
  freyja_stats stats;
  uint64_t files = 0;
  for (unsigned id = 1; id < IDS_MAX; id++) {
    char path[16];
    uint64_t size = 0;
    (void)snprintf(path, sizeof path, "db/%u.data", id);
    files += sim_disk_bytes(t->disk, path, &size) != NULL;
  }
  freyja_get_stats(t->db, &stats);
  return files == stats.segments || wrong(t->when, "another number of files than of segments");
}

/* ---- opening ------------------------------------------------------------------ */

static bool open_store(sim_disk *disk, const pattern *p, freyja_io io, freyja **db) {
  freyja_options options;
  freyja_error error;
  freyja_options_init(&options);
  options.segment_size = FREYJA_SEGMENT_SIZE_MIN;
  options.sync_mode = FREYJA_SYNC_NONE;
  options.hash_bits = p->hash_bits;
  options.io = io;
  options.os = &disk->os;
  return freyja_open("db", &options, db, &error) == FREYJA_OK || wrong("open", error.message);
}

/* Removes the KEYDIR, and the hints whose bits are set. */
static void lose(sim_disk *disk, bool keydir, unsigned hints) {
  if (keydir) sim_disk_remove(disk, "db/KEYDIR");
  for (unsigned id = 1; id < IDS_MAX; id++) {
    char path[16];
    (void)snprintf(path, sizeof path, "db/%u.hint", id);
    if ((hints >> id % 8 & 1) != 0) sim_disk_remove(disk, path);
  }
}

/* Opens it again, without the KEYDIR if `keydir`, and without some hints, and compares. */
static bool open_again(trial *t, bool keydir, unsigned hints, const char *when) {
  freyja_error error;
  freyja *db = t->db;
  freyja_io io = decide(t->salt, OTHER_MODE, 2) == 0 ? FREYJA_IO_MMAP : FREYJA_IO_SYSCALL;
  t->db = NULL;
  if (freyja_close(db, &error) != FREYJA_OK) return wrong("close", error.message);
  lose(t->disk, keydir, hints);
  return open_store(t->disk, &t->base->pattern, io, &t->db) && check(t, when);
}

/* ---- the store that a plan begins with ---------------------------------------- */

static bool write_key(base *b, freyja *db, unsigned segment, unsigned key) {
  char value[VALUE_MAX];
  char does = b->pattern.does[segment][key];
  freyja_error error = {.message = "the key was not there"};
  freyja_status status = FREYJA_OK;
  if (does == NOTHING) return true;
  if (does == DELETE) {
    status = freyja_delete(db, names[key], strlen(names[key]), &error);
    b->now[key] = (version){0, 0};
  } else {
    uint64_t ttl = does == EXPIRE ? TTL : 0;
    b->now[key] = (version){segment + 1, ttl == 0 ? 0 : b->disk->clock + ttl};
    status = freyja_put_ttl(db, names[key], strlen(names[key]), value,
                            make_value(key, segment + 1, value), ttl, &error);
  }
  return status == FREYJA_OK || wrong("write", error.message);
}

static bool write_segment(base *b, freyja *db, unsigned segment) {
  const pattern *p = &b->pattern;
  freyja_error error;
  unsigned first = decide(p->salt, ORDER, KEYS);
  for (unsigned i = 0; i < KEYS; i++)
    if (!write_key(b, db, segment, (first + i) % KEYS)) return false;
  freyja_status status = freyja_rotate(db, &error);
  if (status == FREYJA_OK && (decide(p->salt, HINTED, 64) >> segment & 1) != 0)
    status = freyja_hint(db, segment + 1, &error);
  if (status == FREYJA_OK && decide(p->salt, COVERED, 2 * p->segments) == segment)
    status = freyja_checkpoint(db, &error);
  if (p->due == DUE_SOON) b->disk->clock += LONG;
  return status == FREYJA_OK || wrong("write", error.message);
}

bool base_make(base *b, const pattern *p) {
  freyja *db = NULL;
  freyja_error error;
  freyja_io io = decide(p->salt, MODE, 2) == 0 ? FREYJA_IO_MMAP : FREYJA_IO_SYSCALL;
  memset(b, 0, sizeof *b);
  b->pattern = *p;
  b->disk = sim_disk_create(p->salt);
  b->disk->plain = true;
  bool right = open_store(b->disk, p, io, &db);
  for (unsigned i = 0; right && i < p->segments; i++) right = write_segment(b, db, i);
  if (freyja_close(db, &error) != FREYJA_OK && right) return wrong("close", error.message);
  return right;
}

void base_drop(base *b) {
  sim_disk_destroy(b->disk);
  b->disk = NULL;
}

/* ---- merging ------------------------------------------------------------------ */

/* Merges the sealed segments whose bits are set; of none nothing. */
static bool merge(trial *t, unsigned chosen) {
  freyja_segment segments[IDS_MAX];
  uint64_t ids[IDS_MAX];
  size_t count = 0, all = freyja_get_segments(t->db, segments, IDS_MAX);
  freyja_rewrite *rewrite = NULL;
  freyja_error error;
  uint64_t bytes = decide(t->salt, STEP, 2) == 0 ? UINT64_MAX : 1 + decide(t->salt, STEP, 99);
  for (size_t i = 0; i < all && i < IDS_MAX; i++)
    if (segments[i].sealed && (chosen >> i & 1) != 0) ids[count++] = segments[i].id;
  if (count == 0) return true;
  freyja_status status = freyja_rewrite_open(t->db, ids, count, &rewrite, &error);
  while (status == FREYJA_OK) status = freyja_rewrite_step(rewrite, bytes, &error);
  if (status == FREYJA_END) status = freyja_rewrite_commit(rewrite, &error);
  bool right = status == FREYJA_OK || wrong("merge", error.message);
  right = right && check(t, "while slots move");
  freyja_rewrite_close(rewrite);
  t->when = "after the merge";
  return right && check_files(t) && check(t, "after the merge");
}

static bool hint_all(const trial *t) {
  freyja_segment segments[IDS_MAX];
  freyja_error error;
  size_t all = freyja_get_segments(t->db, segments, IDS_MAX);
  for (size_t i = 0; i < all && i < IDS_MAX; i++)
    if (segments[i].sealed && freyja_hint(t->db, segments[i].id, &error) != FREYJA_OK)
      return wrong("hint", error.message);
  return true;
}

/* Whether the open has used a KEYDIR; of a store without keys there may be none. */
static bool is_taken_over(const trial *t) {
  freyja_stats stats;
  freyja_get_stats(t->db, &stats);
  if (stats.recovery.checkpoint_used || stats.keys == 0) return true;
  return wrong(t->when, stats.recovery.checkpoint.status == FREYJA_OK
                            ? "the KEYDIR is not there"
                            : stats.recovery.checkpoint.message);
}

/* All ways to open it again: with the KEYDIR and the hints that are left, with new ones, and
 * with ever fewer of them. A KEYDIR takes time to write: not each trial has a new one. */
static bool check_opens(trial *t, bool covered) {
  freyja_error error;
  if (!open_again(t, false, 0, "opened as it was left") || !hint_all(t)) return false;
  if (covered && freyja_checkpoint(t->db, &error) != FREYJA_OK)
    return wrong("checkpoint", error.message);
  if (covered && !(open_again(t, false, 0, "opened by the KEYDIR") && is_taken_over(t)))
    return false;
  return open_again(t, true, 0, "opened by hints") &&
         open_again(t, true, decide(t->salt, LOST, 256), "opened by some hints") &&
         open_again(t, true, UINT32_MAX, "opened by reading the data files");
}

static bool carry_out(trial *t, unsigned chosen) {
  const pattern *p = &t->base->pattern;
  freyja_io io = decide(t->salt, MODE, 2) == 0 ? FREYJA_IO_MMAP : FREYJA_IO_SYSCALL;
  bool waits = decide(t->salt, WAITS, 2) == 0; /* time passes while it is open */
  if (p->due == DUE_MERGE && !waits) t->disk->clock += LONG;
  if (!open_store(t->disk, p, io, &t->db)) return false;
  if (p->due == DUE_MERGE && waits) t->disk->clock += LONG;
  if (!check(t, "before the merge") || !merge(t, chosen)) return false;
  if (p->due == DUE_AFTER) t->disk->clock += LONG;
  unsigned covered = decide(t->salt, COVERED, 8);
  return check(t, "after the merge") && check_opens(t, covered == 1) &&
         verify(t, "after the merge") && merge(t, 1 + decide(t->salt, SECOND, 63)) &&
         check_opens(t, covered == 2) && verify(t, "after the second merge");
}

bool base_merge(const base *b, unsigned chosen) {
  trial t = {.base = b, .salt = b->pattern.salt * 64 + chosen};
  memcpy(t.now, b->now, sizeof t.now);
  t.disk = sim_disk_copy(b->disk);
  bool right = carry_out(&t, chosen);
  (void)freyja_close(t.db, NULL);
  if (right && sim_disk_held(t.disk) != 0) right = wrong("close", "something is still held");
  sim_disk_destroy(t.disk);
  return right;
}
