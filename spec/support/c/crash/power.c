/* power.c - power fails: each disk that this may leave is opened and compared with what the
 * run has written; recovery is interrupted in turn. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "run.h"

#define LATER 1000        /* and before the store is opened again after a crash */
#define NESTED_EVERY 2000 /* of the disks, for one recovery is interrupted */
#define VERIFIED_EVERY 16 /* of the disks, which are then checked as a user would */
#define LOOK_EVERY 3      /* of the moments at which a process is killed, it is read then */
#define FOLLOW_EVERY 48   /* and followed */
#define KILLED_EVERY 50   /* of the moments, from which recovery after a kill is interrupted */
#define TORN_EVERY 1000   /* of those with a torn tail */
#define LARGE_TORN_EVERY 40  /* of those with a torn tail, there */
#define LARGE_KILLED_EVERY 4 /* of the moments, there */

tally seen;
long kill_share = 1;
long nested_share = 1;

/* ---- opening what is left --------------------------------------------- */

freyja_options options_for(const mode *m, sim_disk *disk) {
  freyja_options options;
  freyja_options_init(&options);
  options.io = m->io;
  options.sync_mode = m->sync;
  options.segment_size = m->segment_size;
  options.hash_bits = m->hash_bits;
  options.os = &disk->os;
  return options;
}

bool open_on(const mode *m, sim_disk *disk, bool readonly, freyja **db) {
  freyja_options options = options_for(m, disk);
  options.readonly = readonly;
  freyja_error error;
  if (freyja_open("db", &options, db, &error) == FREYJA_OK) return true;
  return wit_wrong("open: %s (%s)", error.message, error.path);
}

bool close_on(sim_disk *disk, freyja *db) {
  freyja_error error;
  if (freyja_close(db, &error) != FREYJA_OK) return wit_wrong("close: %s", error.message);
  if (sim_disk_held(disk) != 0)
    return wit_wrong("%ld things are not given back", sim_disk_held(disk));
  if (disk->broken[0] != '\0') return wit_wrong("%s", disk->broken);
  return true;
}

/* Opens the disk and tells what it holds. */
static bool recover(const mode *m, sim_disk *disk, wit_state *out, bool *cut) {
  freyja *db = NULL;
  freyja_stats stats;
  if (!open_on(m, disk, false, &db)) return false;
  freyja_get_stats(db, &stats);
  *cut = stats.recovery.bytes_cut > 0;
  bool right = wit_examine(db, out);
  if (right && (seen.disks + seen.nested) % VERIFIED_EVERY == 0) right = wit_verify(db);
  bool closed = close_on(disk, db);
  return right && closed;
}

/* ---- recovery interrupted ------------------------------------------------ */

typedef struct second {
  const mode *mode;
  const wit_state *allowed; /* what may be there */
  int count;
  bool failed;
} second;

static bool is_among(const wit_state *found, const wit_state *allowed, int count) {
  for (int i = 0; i < count; i++)
    if (wit_same(found, &allowed[i])) return true;
  return wit_wrong("after a second loss of power the state is another:%s, not%s",
                   wit_text(found), wit_text(&allowed[count - 1]));
}

static bool visit_second(void *argument, sim_disk *image, const sim_state *left) {
  second *s = argument;
  wit_state found;
  bool cut = false;
  seen.nested++;
  if (recover(s->mode, image, &found, &cut) && is_among(&found, s->allowed, s->count))
    return true;
  s->failed = true;
  wit_explain("; second loss of power: disk %u, %s", left->number, left->what);
  return false;
}

static void second_point(void *argument, sim_disk *disk, const char *call) {
  second *s = argument;
  if (s->failed) return;
  seen.nested_points++;
  if (sim_states_each(disk, visit_second, s) < 0) wit_explain(", at %s", call);
}

/* Puts a key, every other write by a transaction. */
static freyja_status put_after(freyja *db, int key, int write, freyja_error *error) {
  static char value[WIT_VALUE_MAX];
  const char *name = wit_keys[key];
  size_t size = wit_value(value, write, key);
  freyja_transaction *tx = NULL;
  if (write % 2 == 0) return freyja_put(db, name, strlen(name), value, size, error);
  freyja_status status = freyja_begin(db, NULL, &tx, error);
  if (status == FREYJA_OK)
    status = freyja_transaction_put(tx, name, strlen(name), value, size, 0, error);
  if (status == FREYJA_OK) status = freyja_transaction_commit(tx, error);
  freyja_transaction_close(tx);
  return status;
}

/* Opens a disk, which holds one of the allowed states, then puts that key; power fails all the
 * while, or only once it is open. */
static bool interrupt(const mode *m, sim_disk *disk, const wit_state *allowed, int count,
                      int key, int write, bool at_once) {
  second s = {.mode = m, .allowed = allowed, .count = count};
  wit_state shown[2]; /* by the open, and after the put */
  freyja *db = NULL;
  freyja_error error;
  disk->argument = &s;
  disk->hook = at_once ? second_point : NULL;
  if (!open_on(m, disk, false, &db)) return false;
  disk->hook = second_point;
  if (!wit_examine(db, &shown[0]) || !is_among(&shown[0], allowed, count)) s.failed = true;
  shown[1] = shown[0];
  shown[1].of[key] = (int8_t)write;
  s.allowed = shown;
  s.count = 1;
  second_point(&s, disk, "the open's end");
  s.count = 2;
  if (!s.failed && put_after(db, key, write, &error) != FREYJA_OK)
    s.failed = !wit_wrong("put after recovery: %s", error.message);
  sim_disk_look(disk);
  if (m->sync == FREYJA_SYNC_ALWAYS) {
    s.allowed = &shown[1];
    s.count = 1;
  }
  second_point(&s, disk, "the put's end");
  disk->hook = NULL;
  return close_on(disk, db) && !s.failed;
}

void name_backup(char name[16], int number) { (void)snprintf(name, 16, "copy%d", number); }

/* ---- one disk ------------------------------------------------ */

/* A backup that is not finished is no store; one that is holds what the store held. */
static bool check_backup(const run *r, sim_disk *image) {
  char name[16];
  freyja *db = NULL;
  freyja_error error;
  wit_state found;
  freyja_options options = options_for(r->mode, image);
  options.create = false;
  name_backup(name, r->backups);
  freyja_status status = freyja_open(name, &options, &db, &error);
  if (status != FREYJA_OK && !r->backed_up)
    return status == FREYJA_CORRUPT || error.os_code == ENOENT ||
           wit_wrong("an unfinished backup: %s (%s)", error.message, error.path);
  if (status != FREYJA_OK) return wit_wrong("a backup: %s (%s)", error.message, error.path);
  bool right = wit_examine(db, &found);
  if (right && !wit_same(&found, &r->backup))
    right = wit_wrong("a backup holds%s, not%s", wit_text(&found), wit_text(&r->backup));
  return close_on(image, db) && right;
}

static bool visit_first(void *argument, sim_disk *image, const sim_state *left) {
  run *r = argument;
  wit_state found;
  int low = left->all_kept && !r->lossy ? r->acknowledged : r->promised;
  int high = r->acknowledged + r->in_flight;
  bool cut = false;
  int last = low - 1; /* the state that was found */
  image->clock += LATER;
  sim_disk *copy = sim_disk_copy(image);
  seen.disks++;
  bool right = recover(r->mode, image, &found, &cut);
  for (int k = low; right && k <= high; k++)
    if (wit_same(&found, &r->states[k])) last = k;
  if (right && last < low)
    right = wit_wrong("the state is none of those after %d to %d writes:%s; the last is%s",
                      low, high, wit_text(&found), wit_text(&r->states[high]));
  seen.torn += cut;
  long torn_every = r->mode->sample == 0 ? TORN_EVERY * nested_share : LARGE_TORN_EVERY;
  long every = NESTED_EVERY * nested_share;
  if (right && r->backups > 0) right = check_backup(r, image);
  if (right)
    right = check_others(r, copy, &found, &r->states[low], high - low + 1, seen.disks);
  /* What is written then is the first write that was lost, with another value: a record of the
   * same size, behind which an old one would fit. */
  if (right && (seen.disks % every == 0 || (cut && seen.torn % torn_every == 0)))
    right = interrupt(r->mode, copy, &found, 1, last < high ? r->keys[last + 1] : WIT_SPARE,
                      WIT_REDONE + last + 1, true);
  sim_disk_destroy(copy);
  if (!right) wit_explain("; disk %u: %s", left->number, left->what);
  return right;
}

/* The process is killed here; somebody reads, read-only, and what that shows is there again
 * after power has failed. */
static bool read_here(const run *r, const sim_disk *disk) {
  sim_disk *killed = sim_disk_clone(disk);
  second s = {.mode = r->mode, .count = 1};
  wit_state shown;
  freyja *db = NULL;
  freyja_options options = options_for(r->mode, killed);
  bool right = true;
  killed->clock += LATER;
  options.readonly = true;
  if (freyja_open("db", &options, &db, NULL) == FREYJA_OK) {
    s.allowed = &shown;
    right = wit_examine(db, &shown);
    sim_disk_look(killed);
    if (right) second_point(&s, killed, "a look");
    right = close_on(killed, db) && right && !s.failed;
  }
  sim_disk_destroy(killed);
  if (!right) wit_explain("; killed, and read");
  return right;
}

/* The process is killed here; a reader opens the store, another writer puts a key, is killed
 * too, and the reader goes on: what it shows then is there again after power has failed. */
static bool follow_here(const run *r, const sim_disk *disk) {
  sim_disk *killed = sim_disk_clone(disk);
  second s = {.mode = r->mode, .count = 1};
  wit_state shown;
  freyja *reader = NULL, *writer = NULL;
  freyja_error error;
  bool changed = false, right = true;
  freyja_options options = options_for(r->mode, killed);
  killed->clock += LATER;
  options.readonly = true;
  if (freyja_open("db", &options, &reader, NULL) == FREYJA_OK) {
    right = open_on(r->mode, killed, false, &writer);
    if (right && put_after(writer, WIT_SPARE, WIT_REDONE + 1, &error) != FREYJA_OK)
      right = wit_wrong("put beside a reader: %s", error.message);
    sim_disk_orphan(killed);
    if (right && freyja_refresh(reader, &changed, &error) != FREYJA_OK)
      right = wit_wrong("refresh: %s", error.message);
    s.allowed = &shown;
    right = right && wit_examine(reader, &shown);
    if (right && shown.of[WIT_SPARE] != WIT_REDONE + 1)
      right = wit_wrong("a reader does not see what a killed writer has put");
    sim_disk_look(killed);
    if (right) second_point(&s, killed, "a refresh");
    (void)freyja_close(reader, NULL);
    right = right && !s.failed;
  }
  sim_disk_destroy(killed);
  if (!right) wit_explain("; killed, and followed");
  return right;
}

/* The process is killed here; it is opened again, then power fails. */
static bool kill_here(run *r, const sim_disk *disk) {
  sim_disk *killed = sim_disk_clone(disk);
  killed->clock += LATER;
  int count = r->acknowledged + r->in_flight + 1 - r->promised;
  bool right = interrupt(r->mode, killed, &r->states[r->promised], count, WIT_SPARE,
                         WIT_REDONE, seen.moments / kill_share % KILLED_EVERY == 0);
  sim_disk_destroy(killed);
  if (!right) wit_explain("; killed");
  return right;
}

void first_point(void *argument, sim_disk *disk, const char *call) {
  run *r = argument;
  r->point++;
  if (!r->armed || *wit_why() != '\0') return;
  seen.moments++;
  bool right = sim_states_each(disk, visit_first, r) >= 0;
  long every = r->mode->sample == 0 ? kill_share : LARGE_KILLED_EVERY;
  if (right && seen.moments % every == 0) right = kill_here(r, disk);
  /* What the system takes for clean after a sync that failed, only a writer can mend. */
  bool sound = strpbrk(r->workload, "1234567") == NULL;
  if (right && sound && seen.moments % (every * LOOK_EVERY) == 0) right = read_here(r, disk);
  if (right && sound && seen.moments % (every * FOLLOW_EVERY) == 0)
    right = follow_here(r, disk);
  if (!right) wit_explain("; after change %ld, %s", r->point, call);
}
