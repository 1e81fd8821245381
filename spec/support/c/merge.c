/* merge.c - random operations, merges in steps among them, compared with a model: with few
 * bits of hash, in both io modes, with iterators that were begun before, between and after,
 * with values that expire, with hint files and a KEYDIR, which may be lost before the next
 * open.
 *
 *   merge                        a fixed number of runs
 *   merge --all                  as many as make five million operations, others each time
 *   merge SEED [RUNS [STEPS]]    others; a failure prints its seed */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "disk.h"
#include "freyja.h"

#define KEYS 24
#define VALUE_MAX 96 /* bytes */
#define ITERATORS 3
#define STEPS 3000
#define RUNS 150
#define RUNS_ALL 1667 /* five million steps */
#define SEGMENTS_MAX 64
#define TICK 100000u /* microseconds that pass with each step */

/* What a key's value may be: that of a write, by its number; 0: absent. */
typedef struct version {
  unsigned write;
  bool changed;    /* by a rewrite: another value for the same write */
  uint64_t expiry; /* by the disk's clock; 0: never */
} version;

typedef struct walk {
  freyja_iterator *iterator;
  version then[KEYS];
  bool given[KEYS];
  bool in_order;
} walk;

/* What runs have done. */
typedef struct tally {
  uint64_t merges, drops;  /* drops: records */
  uint64_t hints, keydirs; /* that opens have used */
} tally;

typedef struct run {
  uint64_t seed, state;
  sim_disk *disk;
  freyja_options options;
  freyja *db;
  unsigned writes;
  version now[KEYS];
  version later[KEYS]; /* what a rewrite makes of it, where `decided` */
  bool decided[KEYS];
  freyja_rewrite *rewrite;
  bool moving; /* it is committed */
  walk walks[ITERATORS];
  tally *tally;
} run;

static char why[512];

static bool wrong(const char *what, const char *detail) {
  if (why[0] == '\0') (void)snprintf(why, sizeof why, "%s: %s", what, detail);
  return false;
}

static uint64_t next_random(run *r) {
  r->state ^= r->state << 13; /* xorshift64 (G. Marsaglia, 2003) */
  r->state ^= r->state >> 7;
  r->state ^= r->state << 17;
  return r->state >> 11;
}

static unsigned below(run *r, unsigned limit) { return (unsigned)(next_random(r) % limit); }

static size_t make_key(unsigned key, char *out) {
  return (size_t)snprintf(out, 16, "%.*s%u", (int)(key % 3), "kk", key);
}

static size_t make_value(version v, char *out) {
  size_t size = 8 + v.write % (VALUE_MAX - 8);
  if (v.changed) size = VALUE_MAX + 8 - size; /* another length, but in the middle */
  memset(out, v.changed ? '!' : '.', size);
  (void)snprintf(out, size, "%u", v.write);
  return size;
}

static bool is_value(version v, const void *data, size_t size) {
  char value[VALUE_MAX];
  return make_value(v, value) == size && memcmp(value, data, size) == 0;
}

static bool same(version a, version b) { return a.write == b.write && a.changed == b.changed; }

static bool is_there(const run *r, version v) {
  return v.write != 0 && (v.expiry == 0 || v.expiry > r->disk->clock);
}

/* ---- reading ----------------------------------------------------------------- */

static bool check_key(run *r, unsigned key) {
  char name[16], value[VALUE_MAX];
  size_t size = 0;
  freyja_error error = {.message = "another value"};
  freyja_status status =
      freyja_get(r->db, name, make_key(key, name), value, sizeof value, &size, &error);
  if (freyja_is_fault(status)) return wrong("get", error.message);
  version possible[2] = {r->now[key], r->now[key]};
  if (r->moving && r->decided[key]) possible[1] = r->later[key];
  for (unsigned i = 0; i < 2; i++)
    if (status == FREYJA_OK ? is_there(r, possible[i]) && is_value(possible[i], value, size)
                            : !is_there(r, possible[i]))
      return true;
  char text[96];
  (void)snprintf(text, sizeof text, "key %u is %.*s, not that of write %u", key,
                 status == FREYJA_OK ? (int)(size < 40 ? size : 40) : 6,
                 status == FREYJA_OK ? value : "absent", r->now[key].write);
  return wrong("get", text);
}

static bool check_all(run *r) {
  for (unsigned key = 0; key < KEYS; key++)
    if (!check_key(r, key)) return false;
  return true;
}

static void note_problem(void *argument, const freyja_problem *problem) {
  (void)argument;
  (void)wrong(problem->path, problem->message);
}

static bool verify(run *r) {
  freyja_report report;
  freyja_error error;
  if (freyja_verify(r->db, note_problem, NULL, &report, &error) != FREYJA_OK)
    return wrong("verify", error.message);
  return report.problems == 0 || wrong("verify", "it found something");
}

static void close_walk(walk *w) {
  freyja_iterator_close(w->iterator);
  w->iterator = NULL;
}

static bool begin_walk(run *r, walk *w) {
  freyja_error error;
  w->in_order = below(r, 3) == 0;
  freyja_iterator_options options = {.order =
                                         w->in_order ? FREYJA_ORDER_KEY : FREYJA_ORDER_LOG};
  memcpy(w->then, r->now, sizeof w->then);
  for (unsigned key = 0; key < KEYS; key++)
    if (!is_there(r, w->then[key])) w->then[key].write = 0;
  memset(w->given, 0, sizeof w->given);
  if (freyja_iterator_open(r->db, &options, &w->iterator, &error) == FREYJA_OK) return true;
  return wrong("iterate", error.message);
}

static bool walk_on(walk *w, bool *ended) {
  freyja_entry entry;
  freyja_error error = {.message = ""};
  freyja_status status = freyja_iterator_next(w->iterator, &entry, &error);
  *ended = status == FREYJA_END;
  if (*ended) {
    for (unsigned key = 0; key < KEYS; key++)
      if (w->given[key] != (w->then[key].write != 0)) {
        (void)snprintf(error.message, sizeof error.message, "key %u was not given", key);
        return wrong("iterate", error.message);
      }
    return true;
  }
  if (status != FREYJA_OK) return wrong("iterate", error.message);
  for (unsigned key = 0; key < KEYS; key++) {
    char name[16];
    size_t size = make_key(key, name);
    if (size != entry.key.size || memcmp(name, entry.key.data, size) != 0) continue;
    if (w->given[key]) return wrong("iterate", "a key came twice");
    w->given[key] = true;
    return is_value(w->then[key], entry.value.data, entry.value.size) ||
           wrong("iterate", "another value than there was");
  }
  return wrong("iterate", "a key that there never was");
}

/* ---- the store ---------------------------------------------------------------- */

static bool open_store(run *r) {
  freyja_error error;
  r->options.io = below(r, 2) == 0 ? FREYJA_IO_MMAP : FREYJA_IO_SYSCALL;
  if (freyja_open("db", &r->options, &r->db, &error) != FREYJA_OK)
    return wrong("open", error.message);
  freyja_stats stats;
  freyja_get_stats(r->db, &stats);
  r->tally->hints += stats.recovery.hints_used;
  r->tally->keydirs += stats.recovery.checkpoint_used;
  if (stats.recovery.hints_ignored != 0) return wrong("open", stats.recovery.hint.message);
  if (stats.recovery.checkpoint.status != FREYJA_OK)
    return wrong("open", stats.recovery.checkpoint.message);
  return stats.recovery.damaged == 0 || wrong("open", stats.recovery.damage.message);
}

/* Writes the hint file of a segment, if it is a sealed one. */
static bool hint_one(run *r) {
  freyja_segment segments[SEGMENTS_MAX];
  freyja_error error;
  size_t all = freyja_get_segments(r->db, segments, SEGMENTS_MAX);
  size_t i = below(r, (unsigned)(all < SEGMENTS_MAX ? all : SEGMENTS_MAX));
  if (!segments[i].sealed) return true;
  return freyja_hint(r->db, segments[i].id, &error) == FREYJA_OK ||
         wrong("hint", error.message);
}

/* Loses none of the hint files, some or all, and the KEYDIR or not. */
static void lose_files(run *r, const freyja_segment *segments, size_t count) {
  unsigned share = below(r, 3);
  if (below(r, 2) == 0) sim_disk_remove(r->disk, "db/KEYDIR");
  for (size_t i = 0; i < count; i++) {
    char path[32];
    (void)snprintf(path, sizeof path, "db/%llu.hint", (unsigned long long)segments[i].id);
    if (below(r, 2) < share) sim_disk_remove(r->disk, path);
  }
}

/* What the rewrite decided holds now. */
static void settle(run *r) {
  for (unsigned key = 0; key < KEYS; key++)
    if (r->decided[key]) r->now[key] = r->later[key];
  memset(r->decided, 0, sizeof r->decided);
  r->moving = false;
}

static void end_rewrite(run *r) {
  freyja_rewrite_close(r->rewrite);
  r->rewrite = NULL;
  if (r->moving) settle(r);
  memset(r->decided, 0, sizeof r->decided);
}

static bool reopen(run *r) {
  freyja_error error;
  bool before = below(r, 2) == 0;
  for (unsigned i = 0; i < ITERATORS; i++) close_walk(&r->walks[i]);
  if (before) end_rewrite(r);
  if (below(r, 2) == 0 && freyja_checkpoint(r->db, &error) != FREYJA_OK)
    return wrong("checkpoint", error.message);
  freyja_segment segments[SEGMENTS_MAX];
  size_t count = freyja_get_segments(r->db, segments, SEGMENTS_MAX);
  freyja *db = r->db;
  r->db = NULL;
  if (freyja_close(db, &error) != FREYJA_OK) return wrong("close", error.message);
  end_rewrite(r);
  lose_files(r, segments, count < SEGMENTS_MAX ? count : SEGMENTS_MAX);
  return open_store(r) && check_all(r) && verify(r);
}

static bool write_key(run *r, bool puts) {
  char name[16], value[VALUE_MAX];
  unsigned key = below(r, KEYS);
  size_t size = make_key(key, name);
  freyja_error error;
  freyja_status status;
  version v = {puts ? ++r->writes : 0, false, 0};
  uint64_t ttl = puts && below(r, 4) == 0 ? TICK * (1 + below(r, 500)) : 0;
  if (ttl != 0) v.expiry = r->disk->clock + ttl;
  if (r->moving && r->decided[key] && !same(r->now[key], r->later[key])) return true;
  if (puts)
    status = freyja_put_ttl(r->db, name, size, value, make_value(v, value), ttl, &error);
  else status = freyja_delete(r->db, name, size, &error);
  if (freyja_is_fault(status)) return wrong("write", error.message);
  if (!puts && (status == FREYJA_OK) != is_there(r, r->now[key]))
    return wrong("delete", "whether the key was there");
  if (status == FREYJA_OK) r->now[key] = v;
  if (status == FREYJA_OK) r->decided[key] = false;
  return true;
}

/* Whether a rewrite is about to change a key, so that what is seen is one of two values. */
static bool is_changing(const run *r) {
  bool changing = false;
  for (unsigned key = 0; r->moving && key < KEYS; key++)
    changing = changing || (r->decided[key] && !same(r->now[key], r->later[key]));
  return changing;
}

/* ---- merging ------------------------------------------------------------------ */

static bool begin_rewrite(run *r) {
  freyja_segment segments[SEGMENTS_MAX];
  uint64_t ids[SEGMENTS_MAX];
  size_t count = 0, all = freyja_get_segments(r->db, segments, SEGMENTS_MAX);
  freyja_error error;
  unsigned share = 1 + below(r, 3);
  for (size_t i = 0; i < all && i < SEGMENTS_MAX; i++)
    if (segments[i].sealed && below(r, 3) < share) ids[count++] = segments[i].id;
  for (size_t i = 1; i < count; i++) { /* in any order */
    size_t other = below(r, (unsigned)i + 1);
    uint64_t id = ids[i];
    ids[i] = ids[other];
    ids[other] = id;
  }
  if (count == 0) return true;
  r->tally->merges++;
  if (freyja_rewrite_open(r->db, ids, count, &r->rewrite, &error) == FREYJA_OK) return true;
  return wrong("rewrite", error.message);
}

/* The next record of the rewrite is kept, changed or dropped. */
static bool decide(run *r) {
  freyja_entry entry;
  freyja_error error;
  freyja_status status = freyja_rewrite_next(r->rewrite, &entry, &error);
  if (status == FREYJA_END) return true;
  if (status != FREYJA_OK) return wrong("next", error.message);
  unsigned key = 0;
  char name[16], value[VALUE_MAX];
  while (key < KEYS && (make_key(key, name) != entry.key.size ||
                        memcmp(name, entry.key.data, entry.key.size) != 0))
    key++;
  if (key == KEYS) return wrong("next", "a key that there never was");
  if (entry.expiry != r->now[key].expiry ||
      !is_value(r->now[key], entry.value.data, entry.value.size))
    return wrong("next", "a record that is not live");
  unsigned what = below(r, 4);
  r->decided[key] = what < 2;
  r->later[key] = r->now[key];
  if (what == 0) {
    r->later[key].write = 0;
    r->tally->drops++;
    status = freyja_rewrite_drop(r->rewrite, &error);
  } else if (what == 1) {
    r->later[key].changed = !r->later[key].changed;
    freyja_slice made = {value, make_value(r->later[key], value)};
    status = freyja_rewrite_keep(r->rewrite, &made, &error);
  } else if (what == 2) {
    status = freyja_rewrite_keep(r->rewrite, NULL, &error);
  }
  return status == FREYJA_OK || wrong("keep or drop", error.message);
}

static bool work_on(run *r) {
  freyja_error error;
  freyja_status status = FREYJA_OK;
  unsigned what = below(r, 10);
  if (r->rewrite == NULL) return begin_rewrite(r);
  if (what == 0) {
    end_rewrite(r);
  } else if (what == 1 && !r->moving) {
    status = freyja_rewrite_commit(r->rewrite, &error);
    r->moving = status == FREYJA_OK;
  } else if (what < 6 || r->moving) {
    status = freyja_rewrite_step(r->rewrite, below(r, 400), &error);
    if (status == FREYJA_END && r->moving) settle(r), end_rewrite(r);
  } else {
    return decide(r);
  }
  return !freyja_is_fault(status) || wrong("rewrite", error.message);
}

/* ---- a run -------------------------------------------------------------------- */

static bool step(run *r) {
  r->disk->clock += TICK;
  unsigned what = below(r, 100);
  walk *w = &r->walks[below(r, ITERATORS)];
  bool ended = false, right = true;
  freyja_error error;
  if (what < 34) return write_key(r, true);
  if (what < 52) return write_key(r, false);
  if (what < 75) return work_on(r);
  if (what < 82) return check_key(r, below(r, KEYS));
  if (what < 90 && w->iterator != NULL) {
    for (unsigned n = below(r, 6); right && !ended && n > 0; n--) right = walk_on(w, &ended);
    if (ended || below(r, 20) == 0) close_walk(w);
    return right;
  }
  if (what < 90) return is_changing(r) || begin_walk(r, w);
  if (what < 92) return hint_one(r);
  if (what < 93)
    return freyja_checkpoint(r->db, &error) == FREYJA_OK || wrong("checkpoint", error.message);
  if (what < 97)
    return freyja_rotate(r->db, &error) == FREYJA_OK || wrong("rotate", error.message);
  if (what < 98 && below(r, 2) == 0 && !is_changing(r))
    return freyja_checkpoint(r->db, &error) == FREYJA_OK || wrong("checkpoint", error.message);
  if (what < 98) return reopen(r);
  return check_all(r) && (r->moving || verify(r));
}

/* Nothing may be left of merges once nobody reads what they replaced. */
static bool check_files(run *r) {
  freyja_stats stats;
  freyja_get_stats(r->db, &stats);
  if (stats.pending_bytes != 0) return wrong("files", "one that was replaced is still there");
  uint32_t files = 0;
  for (unsigned id = 1; id < 4 * STEPS; id++) {
    char path[32];
    uint64_t size = 0;
    (void)snprintf(path, sizeof path, "db/%u.data", id);
    files += sim_disk_bytes(r->disk, path, &size) != NULL;
  }
  return files == stats.segments || wrong("files", "there are more than segments");
}

static bool run_one(uint64_t seed, unsigned steps, tally *done) {
  static const uint32_t bits[] = {64, 5, 3, 1};
  run r = {.seed = seed, .state = seed * 2654435769u + 1, .tally = done};
  why[0] = '\0';
  for (unsigned i = 0; i < 8; i++) (void)next_random(&r);
  r.disk = sim_disk_create(seed);
  r.disk->plain = true;
  freyja_options_init(&r.options);
  r.options.segment_size = FREYJA_SEGMENT_SIZE_MIN;
  r.options.hash_bits = bits[seed % 4];
  r.options.os = &r.disk->os;
  bool right = open_store(&r);
  for (unsigned i = 0; right && i < steps; i++) right = step(&r);
  for (unsigned i = 0; i < ITERATORS; i++) close_walk(&r.walks[i]);
  end_rewrite(&r);
  right = right && check_all(&r) && verify(&r) && check_files(&r) && reopen(&r);
  for (unsigned i = 0; i < ITERATORS; i++) close_walk(&r.walks[i]);
  (void)freyja_close(r.db, NULL);
  sim_disk_destroy(r.disk);
  if (!right)
    printf("not ok merge: %s\n# again: build/debug/merge %llu 1 %u\n", why,
           (unsigned long long)seed, steps);
  return right;
}

int main(int count, char **arguments) {
  bool all = count == 2 && strcmp(arguments[1], "--all") == 0;
  uint64_t seed = all         ? (uint64_t)time(NULL)
                  : count > 1 ? strtoull(arguments[1], NULL, 10)
                              : 1;
  uint64_t runs = all ? RUNS_ALL : count > 2 ? strtoull(arguments[2], NULL, 10) : RUNS;
  unsigned steps = count > 3 ? (unsigned)strtoul(arguments[3], NULL, 10) : STEPS;
  tally done = {0};
  for (uint64_t i = 0; i < runs; i++)
    if (!run_one(seed + i, steps, &done)) return 1;
  printf("ok merge: seed %llu: %llu runs of %u steps, %llu merges, %llu records dropped by "
         "them, %llu hint files used, %llu KEYDIRs\n",
         (unsigned long long)seed, (unsigned long long)runs, steps,
         (unsigned long long)done.merges, (unsigned long long)done.drops,
         (unsigned long long)done.hints, (unsigned long long)done.keydirs);
  return 0;
}
