/* atomic.c - power fails at every moment of transactions, and loads, of 1 to 64 records, and
 * each disk that this may leave holds all of each or nothing of it, in the order of the
 * commits.
 *
 *   atomic                a fixed set, in seconds
 *   atomic --all          more of them, in every mode
 *   atomic MODE WORKLOAD  one, as a failure prints it
 *
 * A workload is a list of numbers and letters, as in "p.64.s.3": a number commits a
 * transaction of so many records, l and a number loads so many at once, p puts a record by
 * itself, s syncs, r rotates, k kills the process and opens the store again, K writes the
 * KEYDIR. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "freyja.h"
#include "states.h"
#include "witness.h"

#define KEYS 64
#define STATES_MAX 16
#define VALUE_MAX 128
#define PAUSE 400000 /* microseconds that pass before an operation */

typedef struct mode {
  const char *name;
  freyja_io io;
  freyja_sync_mode sync;
  bool no_reserve;
  uint32_t hash_bits;
} mode;

static const mode modes[] = {
    {"mmap-none", FREYJA_IO_MMAP, FREYJA_SYNC_NONE, false, 64},
    {"mmap-always", FREYJA_IO_MMAP, FREYJA_SYNC_ALWAYS, false, 64},
    {"syscall-none", FREYJA_IO_SYSCALL, FREYJA_SYNC_NONE, false, 64},
    {"syscall-always", FREYJA_IO_SYSCALL, FREYJA_SYNC_ALWAYS, false, 64},
    {"mmap-interval", FREYJA_IO_MMAP, FREYJA_SYNC_INTERVAL, false, 64},
    {"unreserved-none", FREYJA_IO_MMAP, FREYJA_SYNC_NONE, true, 64},
    {"collide-none", FREYJA_IO_MMAP, FREYJA_SYNC_NONE, false, 3},
};
#define MODES (sizeof modes / sizeof *modes)

/* Which of the states each key's value is of; -1: absent. */
typedef struct state {
  int8_t of[KEYS];
} state;

typedef struct run {
  const mode *mode;
  sim_disk *disk;
  freyja *db;
  state states[STATES_MAX + 2]; /* after 0, 1, 2... commits */
  int acknowledged, promised;
  bool in_flight;
  uint64_t syncs, segments;
} run;

static long disks, moments;

/* ---- the store's content ----------------------------------------------------- */

static size_t make_key(char *name, int key) {
  return (size_t)snprintf(name, 32, key % 5 == 0 ? "the key number %d" : "k%d", key);
}

static size_t make_value(char *value, int number, int key) {
  size_t size = 4 + (size_t)(number * 7 + key * 11) % 90;
  memset(value, 'a' + (number + key) % 26, VALUE_MAX);
  (void)snprintf(value, VALUE_MAX, "%d", number);
  return size;
}

static bool examine(freyja *db, state *out) {
  char name[32], value[VALUE_MAX], want[VALUE_MAX];
  freyja_error error;
  for (int key = 0; key < KEYS; key++) {
    size_t size = 0;
    freyja_status status =
        freyja_get(db, name, make_key(name, key), value, sizeof value, &size, &error);
    out->of[key] = -1;
    if (status == FREYJA_NOTFOUND) continue;
    if (status != FREYJA_OK) return wit_wrong("get of key %d: %s", key, error.message);
    out->of[key] = (int8_t)atoi(value);
    if (make_value(want, out->of[key], key) != size || memcmp(want, value, size) != 0)
      return wit_wrong("key %d has a value that was never written", key);
  }
  return true;
}

static bool open_store(const run *r, sim_disk *disk, freyja **db) {
  freyja_options options;
  freyja_error error;
  freyja_stats stats;
  freyja_options_init(&options);
  options.io = r->mode->io;
  options.sync_mode = r->mode->sync;
  options.segment_size = 12000;
  options.hash_bits = r->mode->hash_bits;
  options.os = &disk->os;
  if (freyja_open("db", &options, db, &error) != FREYJA_OK)
    return wit_wrong("open: %s (%s)", error.message, error.path);
  freyja_get_stats(*db, &stats);
  return stats.recovery.damaged == 0 || wit_wrong("damage: %s", stats.recovery.damage.message);
}

static bool close_store(sim_disk *disk, freyja *db) {
  freyja_error error;
  if (freyja_close(db, &error) != FREYJA_OK) return wit_wrong("close: %s", error.message);
  if (disk->broken[0] != '\0') return wit_wrong("%s", disk->broken);
  return sim_disk_held(disk) == 0 || wit_wrong("things are not given back");
}

/* ---- power fails --------------------------------------------------------------- */

/* What differs first between a state that was found and the nearest one. */
static bool tell(const run *r, const state *found, int low, int high) {
  int key = 0;
  while (key < KEYS - 1 && found->of[key] == r->states[high].of[key]) key++;
  return wit_wrong(
      "the state is none of those after %d to %d commits: key %d is of %d, not %d", low, high,
      key, found->of[key], r->states[high].of[key]);
}

static bool visit(void *argument, sim_disk *image, const sim_state *left) {
  const run *r = argument;
  freyja *db = NULL;
  state found;
  int low = left->all_kept ? r->acknowledged : r->promised;
  int high = r->acknowledged + r->in_flight;
  disks++;
  bool right = open_store(r, image, &db) && examine(db, &found);
  int k = high;
  while (right && k >= low && memcmp(&found, &r->states[k], sizeof found) != 0) k--;
  if (right && k < low) right = tell(r, &found, low, high);
  if (right && disks % 16 == 0) right = wit_verify(db);
  if (db != NULL) right = close_store(image, db) && right;
  if (!right) wit_explain("; disk %u: %s", left->number, left->what);
  return right;
}

static void point(void *argument, sim_disk *disk, const char *call) {
  if (*wit_why() != '\0') return;
  moments++;
  if (sim_states_each(disk, visit, argument) < 0) wit_explain("; after %s", call);
}

/* ---- operations ------------------------------------------------------------------ */

static void note_syncs(run *r, int before) {
  freyja_stats stats;
  freyja_get_stats(r->db, &stats);
  bool synced = stats.syncs > r->syncs || stats.segments > r->segments;
  if (synced && before > r->promised) r->promised = before;
  if (r->mode->sync == FREYJA_SYNC_ALWAYS) r->promised = r->acknowledged;
  r->syncs = stats.syncs;
  r->segments = stats.segments;
}

static freyja_status change(freyja_transaction *tx, state *next, int key, int number,
                            freyja_error *error) {
  char name[32], value[VALUE_MAX];
  size_t size = make_key(name, key);
  bool removes = next->of[key] >= 0 && (key + number) % 4 == 0;
  next->of[key] = (int8_t)(removes ? -1 : number);
  if (removes) return freyja_transaction_delete(tx, name, size, error);
  return freyja_transaction_put(tx, name, size, value, make_value(value, number, key), 0,
                                error);
}

static bool transact(run *r, int records) {
  freyja_transaction *tx = NULL;
  freyja_error error;
  int before = r->acknowledged, number = before + 1;
  state *next = &r->states[number];
  *next = r->states[before];
  freyja_status status = freyja_begin(r->db, NULL, &tx, &error);
  for (int i = 0; i < records && status == FREYJA_OK; i++)
    status = change(tx, next, (number * 13 + i) % KEYS, number, &error);
  r->in_flight = true;
  if (status == FREYJA_OK) status = freyja_transaction_commit(tx, &error);
  freyja_transaction_close(tx);
  if (status != FREYJA_OK) return wit_wrong("a transaction: %s", error.message);
  r->acknowledged = number;
  r->in_flight = false;
  note_syncs(r, before);
  return true;
}

/* Some of the keys are loaded twice. */
static bool load_some(run *r, int records) {
  freyja_load *load = NULL;
  freyja_error error;
  int before = r->acknowledged, number = before + 1;
  state *next = &r->states[number];
  *next = r->states[before];
  freyja_status status = freyja_load_open(r->db, &load, &error);
  for (int i = 0; i < records && status == FREYJA_OK; i++) {
    char name[32], value[VALUE_MAX];
    int key = (number * 13 + i * 7 % 60) % KEYS;
    size_t size = make_key(name, key);
    next->of[key] = (int8_t)number;
    status =
        freyja_load_put(load, name, size, value, make_value(value, number, key), 0, &error);
  }
  r->in_flight = true;
  if (status == FREYJA_OK) status = freyja_load_commit(load, &error);
  freyja_load_close(load);
  if (status != FREYJA_OK) return wit_wrong("a load: %s", error.message);
  r->acknowledged = number;
  r->in_flight = false;
  note_syncs(r, before);
  r->promised = number;
  return true;
}

static bool put_one(run *r) {
  char name[32], value[VALUE_MAX];
  freyja_error error;
  int before = r->acknowledged, number = before + 1, key = number * 5 % KEYS;
  r->states[number] = r->states[before];
  r->states[number].of[key] = (int8_t)number;
  r->in_flight = true;
  if (freyja_put(r->db, name, make_key(name, key), value, make_value(value, number, key),
                 &error) != FREYJA_OK)
    return wit_wrong("a put: %s", error.message);
  r->acknowledged = number;
  r->in_flight = false;
  note_syncs(r, before);
  return true;
}

static bool do_other(run *r, char operation) {
  freyja_error error;
  freyja_status status = FREYJA_OK;
  if (operation == 'k') {
    sim_disk_kill(r->disk);
    r->db = NULL;
    if (!open_store(r, r->disk, &r->db)) return false;
  } else if (operation == 's') {
    status = freyja_sync(r->db, &error);
  } else if (operation == 'r') {
    status = freyja_rotate(r->db, &error);
  } else if (operation == 'K') {
    status = freyja_checkpoint(r->db, &error);
  } else {
    return wit_wrong("no operation '%c'", operation);
  }
  if (status != FREYJA_OK) return wit_wrong("'%c': %s", operation, error.message);
  r->promised = r->acknowledged;
  note_syncs(r, r->acknowledged);
  return true;
}

static bool do_operation(run *r, const char *operation) {
  r->disk->clock += PAUSE;
  if (r->acknowledged == STATES_MAX) return wit_wrong("the workload is too long");
  if (*operation == 'p') return put_one(r);
  if (*operation == 'l') return load_some(r, atoi(operation + 1));
  int records = atoi(operation);
  return records > 0 ? transact(r, records) : do_other(r, *operation);
}

static bool run_workload(const mode *m, const char *workload) {
  run r = {.mode = m};
  bool right = true;
  memset(&r.states[0], -1, sizeof r.states[0]);
  wit_clear();
  r.disk = sim_disk_create(1);
  r.disk->no_reserve = m->no_reserve;
  r.disk->hook = point;
  r.disk->argument = &r;
  right = open_store(&r, r.disk, &r.db);
  for (const char *at = workload; right && at != NULL;) {
    right = do_operation(&r, at) && *wit_why() == '\0';
    sim_disk_look(r.disk);
    if (right) point(&r, r.disk, "the operation's end");
    right = right && *wit_why() == '\0';
    at = strchr(at, '.');
    if (at != NULL) at++;
  }
  r.disk->hook = NULL;
  if (r.db != NULL) right = close_store(r.disk, r.db) && right;
  sim_disk_destroy(r.disk);
  if (!right)
    printf("not ok atomic: %s\n# again: build/debug/atomic %s %s\n", wit_why(), m->name,
           workload);
  return right;
}

/* ---- sets of workloads -------------------------------------------------------------- */

static const char *const few[] = {"p.3.p", "2.s.2.k.2", "64", "3.l5.2.l64"};
static const char *const many[] = {"1.1.1",    "2.2.2",     "3.s.5",        "p.8.p",
                                   "13.k.13",  "21.r.21",   "34.34",        "55.s.55",
                                   "64.64.64", "7.K.7.k",   "p.64.r.9",     "l1.l2",
                                   "p.l9.p",   "l64.k.l64", "l20.r.l20.K.3"};

static bool run_set(const mode *m, const char *const *workloads, size_t count) {
  disks = moments = 0;
  for (size_t i = 0; i < count; i++)
    if (!run_workload(m, workloads[i])) return false;
  printf("ok atomic, %s: %ld disks at %ld moments\n", m->name, disks, moments);
  return true;
}

int main(int count, char **arguments) {
  bool all = count > 1 && strcmp(arguments[1], "--all") == 0;
  bool right = true;
  for (size_t i = 0; i < MODES; i++) {
    if (count > 2 && strcmp(arguments[1], modes[i].name) == 0)
      return run_set(&modes[i], (const char *const *)arguments + 2, 1) ? 0 : 1;
    if (count > 2) continue;
    right = right && run_set(&modes[i], few, sizeof few / sizeof *few);
    if (all) right = right && run_set(&modes[i], many, sizeof many / sizeof *many);
  }
  return right && count <= 2 ? 0 : 1;
}
