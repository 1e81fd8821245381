/* operations.c - what a workload does to its store, and what of it is promised. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "run.h"

#define PAUSE 400000         /* microseconds that pass before an operation */
#define TTL_LATE 3600000000u /* microseconds */

/* ---- the operations --------------------------------------------------- */

/* Tells what is promised after a write: what was written before a sync that it made. */
static void note_syncs(run *r, int before) {
  freyja_stats stats;
  freyja_get_stats(r->db, &stats);
  bool synced = stats.syncs > r->syncs || stats.segments > r->segments;
  if (synced && before > r->promised) r->promised = before;
  if (r->mode->sync == FREYJA_SYNC_ALWAYS) r->promised = r->acknowledged;
  r->syncs = stats.syncs;
  r->segments = stats.segments;
}

/* Notes what a write is about to make; returns the value's size. */
static size_t begin_write(run *r, int key, int write, char *value) {
  int before = r->acknowledged;
  r->states[before + 1] = r->states[before];
  r->states[before + 1].of[key] = (int8_t)write;
  r->keys[before + 1] = key;
  r->in_flight = true;
  return write < 0 ? 0 : wit_value(value, write, key);
}

/* Does one write: a put, or a delete if `write` is -1; by another call, or with a value that
 * expires, if `by` says so. */
static bool do_write(run *r, int key, int write, char by) {
  static char value[WIT_VALUE_MAX], old[WIT_VALUE_MAX];
  freyja_error error;
  freyja_status status;
  const char *name = wit_keys[key];
  int before = r->acknowledged;
  const wit_state *now = &r->states[before];
  size_t size = begin_write(r, key, by == 't' ? -1 : write, value);
  if (by == 't' || by == 'T') {
    size = wit_value(value, write, key);
    status = freyja_put_ttl(r->db, name, strlen(name), value, size, by == 't' ? 1 : TTL_LATE,
                            &error);
  } else if (write < 0) {
    status = freyja_delete(r->db, name, strlen(name), &error);
  } else if (by == 'i') {
    status = freyja_insert(r->db, name, strlen(name), value, size, &error);
  } else if (by == 'x') {
    freyja_slice expected = {old, 0}, desired = {value, size};
    bool there = now->of[key] >= 0;
    if (there) expected.size = wit_value(old, now->of[key], key);
    status = freyja_cas(r->db, name, strlen(name), there ? &expected : NULL, &desired, &error);
  } else {
    status = freyja_put(r->db, name, strlen(name), value, size, &error);
  }
  if (freyja_is_fault(status)) return wit_wrong("a write: %s (%s)", error.message, error.path);
  if (status == FREYJA_OK) r->acknowledged++;
  r->in_flight = false;
  note_syncs(r, before);
  return true;
}

/* One of the writes of a transaction: a put, or where `removes` a deletion of a key that is
 * there. */
static freyja_status change(run *r, freyja_transaction *tx, int key, int write, bool removes,
                            freyja_error *error) {
  static char value[WIT_VALUE_MAX];
  const char *name = wit_keys[key];
  int8_t *now = &r->states[r->acknowledged + 1].of[key];
  bool there = *now >= 0;
  *now = (int8_t)(there && removes ? -1 : write);
  if (there && removes) return freyja_transaction_delete(tx, name, strlen(name), error);
  size_t size = wit_value(value, write, key);
  return freyja_transaction_put(tx, name, strlen(name), value, size, 0, error);
}

/* Several keys change at once: puts of new keys, of others, deletions, one of them twice. */
static bool transact(run *r, int write, bool large) {
  static const int keys[] = {3, 0, 2, 4, 1, 0};
  freyja_transaction *tx = NULL;
  freyja_error error;
  int before = r->acknowledged, first = write % 3;
  r->states[before + 1] = r->states[before];
  r->keys[before + 1] = keys[first];
  freyja_status status = freyja_begin(r->db, NULL, &tx, &error);
  for (int i = first; status == FREYJA_OK && i < 6; i++)
    status = change(r, tx, keys[i], write, i > 0 && i % 2 == 0, &error);
  if (status == FREYJA_OK && large)
    status = change(r, tx, WIT_LARGE, write, write % 5 == 0, &error);
  r->in_flight = true;
  if (status == FREYJA_OK) status = freyja_transaction_commit(tx, &error);
  freyja_transaction_close(tx);
  if (status != FREYJA_OK)
    return wit_wrong("a transaction: %s (%s)", error.message, error.path);
  r->acknowledged++;
  r->in_flight = false;
  note_syncs(r, before);
  return true;
}

/* Several keys are loaded at once, one of them twice, of which some are there. */
static bool load_some(run *r, int write, bool large) {
  static const int keys[] = {4, 1, 3, 0, 1};
  static char value[WIT_VALUE_MAX];
  freyja_load *load = NULL;
  freyja_error error;
  int before = r->acknowledged, last = large ? 6 : 5;
  wit_state *next = &r->states[before + 1];
  *next = r->states[before];
  r->keys[before + 1] = WIT_SPARE;
  freyja_status status = freyja_load_open(r->db, &load, &error);
  for (int i = write % 3; status == FREYJA_OK && i < last; i++) {
    int key = i < 5 ? keys[i] : WIT_LARGE;
    next->of[key] = (int8_t)write;
    size_t size = wit_value(value, write, key);
    status =
        freyja_load_put(load, wit_keys[key], strlen(wit_keys[key]), value, size, 0, &error);
  }
  r->in_flight = true;
  if (status == FREYJA_OK) status = freyja_load_commit(load, &error);
  freyja_load_close(load);
  if (status != FREYJA_OK) return wit_wrong("a load: %s (%s)", error.message, error.path);
  r->acknowledged++;
  r->in_flight = false;
  note_syncs(r, before);
  r->promised = r->acknowledged; /* it is durable, whatever the mode */
  return true;
}

static int pick(const run *r, bool present) {
  const wit_state *now = &r->states[r->acknowledged];
  for (int k = 0; k < 5; k++)
    if ((now->of[k] >= 0) == present) return k;
  return 0;
}

static bool open_store(run *r, bool readonly) {
  freyja_stats stats;
  if (!open_on(r->mode, r->disk, readonly, &r->db)) return false;
  freyja_get_stats(r->db, &stats);
  r->syncs = stats.syncs;
  r->segments = stats.segments;
  return true;
}

/* Whether the store holds what was acknowledged. */
static bool agree(run *r) {
  wit_state found;
  if (!wit_examine(r->db, &found)) return false;
  return wit_same(&found, &r->states[r->acknowledged]) ||
         wit_wrong("a killed process lost writes:%s, not%s", wit_text(&found),
                   wit_text(&r->states[r->acknowledged]));
}

static bool back_up(run *r, bool copy) {
  freyja_backup_options options = {.copy = copy};
  freyja_error error;
  char name[16];
  name_backup(name, ++r->backups);
  r->backed_up = false;
  r->backup = r->states[r->acknowledged];
  if (freyja_backup(r->db, name, &options, &error) != FREYJA_OK)
    return wit_wrong("backup: %s (%s)", error.message, error.path);
  r->backed_up = true;
  return true;
}

static bool reopen_killed(run *r, bool readonly) {
  sim_disk_kill(r->disk);
  r->db = NULL;
  bool right = open_store(r, readonly);
  r->promised = r->acknowledged; /* what it shows now it will show again */
  return right && agree(r);
}

/* What is there becomes what was acknowledged: a write that failed may be there or not. */
static bool accept(run *r, sim_loss loss) {
  wit_state found;
  if (!wit_examine(r->db, &found)) return false;
  int high = r->acknowledged + r->in_flight;
  int low = loss == SIM_DROP ? r->promised : r->acknowledged; /* a process has died, no more */
  while (high >= low && !wit_same(&found, &r->states[high])) high--;
  if (high < low) return wit_wrong("after a failed sync there is%s", wit_text(&found));
  r->acknowledged = r->promised = high;
  r->in_flight = r->lossy = false;
  return true;
}

/* A sync fails, and the store is opened again. */
static bool fail_sync(run *r, sim_loss loss) {
  sim_fault fault = {.code = EIO, .loss = loss, .sync = true};
  freyja_error error;
  freyja_stats stats;
  freyja_status status = FREYJA_OK;
  sim_disk_fail(r->disk, &fault);
  r->lossy = true;
  if (r->mode->sync == FREYJA_SYNC_ALWAYS) {
    static char value[WIT_VALUE_MAX];
    size_t size = begin_write(r, 0, r->acknowledged + 1, value);
    status = freyja_put(r->db, wit_keys[0], strlen(wit_keys[0]), value, size, &error);
  } else {
    status = freyja_sync(r->db, &error);
  }
  freyja_get_stats(r->db, &stats);
  memset(&r->disk->fault, 0, sizeof r->disk->fault);
  if (status == FREYJA_OK) r->lossy = false; /* there was nothing to sync */
  if (status == FREYJA_OK) return true;
  if (status != FREYJA_IO || !stats.poisoned)
    return wit_wrong("a failed sync: %s", freyja_status_name(status));
  (void)freyja_close(r->db, NULL);
  r->db = NULL;
  return open_store(r, false) && accept(r, loss);
}

/* A rotation's last sync fails, and the store is opened again. */
static bool fail_rotation(run *r) {
  sim_fault fault = {.sync_dir = 2};
  freyja_error error;
  freyja_stats stats;
  sim_disk_fail(r->disk, &fault);
  freyja_status status = freyja_rotate(r->db, &error);
  freyja_get_stats(r->db, &stats);
  memset(&r->disk->fault, 0, sizeof r->disk->fault);
  if (status == FREYJA_OK) return true; /* there was nothing to seal */
  if (status != FREYJA_IO || !stats.poisoned)
    return wit_wrong("a failed sync of the directory: %s", freyja_status_name(status));
  r->promised = r->acknowledged; /* the old file was synced */
  (void)freyja_close(r->db, NULL);
  r->db = NULL;
  return open_store(r, false);
}

/* Merges all sealed segments, or every other one. What they hold stays the same, and all that
 * was written before is durable when it is done. */
static bool merge(run *r, bool all, freyja_status *status, freyja_error *error) {
  freyja_segment segments[32];
  uint64_t ids[32];
  size_t count = 0, there = freyja_get_segments(r->db, segments, 32);
  freyja_rewrite *rewrite = NULL;
  for (size_t i = 0; i < there; i++)
    if (segments[i].sealed && (all || i % 2 == 0)) ids[count++] = segments[i].id;
  if (count == 0) return false;
  *status = freyja_rewrite_open(r->db, ids, count, &rewrite, error);
  if (*status == FREYJA_OK) *status = freyja_rewrite_commit(rewrite, error);
  freyja_rewrite_close(rewrite);
  return true;
}

/* The MANIFEST of a merge is in its place; the sync of the directory fails, and the entry is
 * taken for clean: then close and open again. */
static bool fail_merge(run *r) {
  sim_fault fault = {.sync_dir = 2};
  freyja_error error;
  freyja_status status = FREYJA_OK;
  sim_disk_fail(r->disk, &fault);
  bool any = merge(r, true, &status, &error);
  memset(&r->disk->fault, 0, sizeof r->disk->fault);
  if (!any) return true;
  r->promised = r->acknowledged;
  if (status != FREYJA_IO)
    return status == FREYJA_OK ||
           wit_wrong("a merge whose entry is not synced: %s", freyja_status_name(status));
  (void)freyja_close(r->db, NULL);
  r->db = NULL;
  return open_store(r, false);
}

/* The first sync of the directory fails in a rotation or a merge, likewise: nothing has
 * happened, and nothing is written until the store is opened again. */
static bool fail_create(run *r, bool merges) {
  sim_fault fault = {.sync_dir = 1};
  freyja_error error;
  freyja_stats stats;
  freyja_status status = FREYJA_OK;
  sim_disk_fail(r->disk, &fault);
  if (merges) (void)merge(r, true, &status, &error);
  else status = freyja_rotate(r->db, &error);
  freyja_get_stats(r->db, &stats);
  memset(&r->disk->fault, 0, sizeof r->disk->fault);
  if (status == FREYJA_OK) return true; /* there was nothing to do */
  if (status != FREYJA_IO || !stats.poisoned)
    return wit_wrong("a failed sync of the directory: %s", freyja_status_name(status));
  (void)freyja_close(r->db, NULL);
  r->db = NULL;
  bool right = open_store(r, false);
  r->promised = r->acknowledged;
  return right && agree(r);
}

/* Writes the hint files of all sealed segments. */
static bool write_hints(run *r) {
  freyja_segment segments[OPERATIONS_MAX + 2];
  freyja_error error;
  size_t count = freyja_get_segments(r->db, segments, OPERATIONS_MAX + 2);
  for (size_t i = 0; i < count && i < OPERATIONS_MAX + 2; i++)
    if (segments[i].sealed && freyja_hint(r->db, segments[i].id, &error) != FREYJA_OK)
      return wit_wrong("a hint: %s (%s)", error.message, error.path);
  return true;
}

static bool do_operation(run *r, char operation) {
  freyja_error error;
  freyja_status status = FREYJA_OK;
  int write = r->acknowledged + 1;
  bool right = false;
  r->disk->clock += PAUSE;
  switch (operation) {
  case 'p':
    return do_write(r, pick(r, false), write, 'p');
  case 'o':
    return do_write(r, pick(r, true), write, 'p');
  case 'd':
    return do_write(r, pick(r, true), -1, 'd');
  case 'l':
    return do_write(r, WIT_LARGE, write, 'p');
  case 't':
  case 'T':
    return do_write(r, pick(r, true), write, operation);
  case 'i':
    return do_write(r, pick(r, false), write, 'i');
  case 'x':
    return do_write(r, pick(r, write % 2 == 0), write, 'x');
  case 'n':
  case 'N':
    return transact(r, write, operation == 'N');
  case 'a':
  case 'A':
    return load_some(r, write, operation == 'A');
  case 'b':
  case 'B':
    return back_up(r, operation == 'B');
  case 's':
    status = freyja_sync(r->db, &error);
    break;
  case 'r':
    status = freyja_rotate(r->db, &error);
    break;
  case 'K':
    status = freyja_checkpoint(r->db, &error);
    break;
  case 'm':
  case 'M':
    if (!merge(r, operation == 'm', &status, &error)) return true;
    break;
  case 'h':
    return write_hints(r);
  case 'c':
    if (!close_on(r->disk, r->db)) return false;
    r->db = NULL;
    r->promised = r->acknowledged;
    return open_store(r, false);
  case 'k':
    return reopen_killed(r, false);
  case 'v':
    if (!reopen_killed(r, true)) return false;
    sim_disk_look(r->disk);
    first_point(r, r->disk, "the end of reading");
    right = close_on(r->disk, r->db);
    r->db = NULL;
    return right && open_store(r, false);
  case '1':
  case '2':
  case '3':
    return fail_sync(r, (sim_loss)(operation - '1'));
  case '4':
    return fail_rotation(r);
  case '5':
    return fail_merge(r);
  case '6':
  case '7':
    return fail_create(r, operation == '7');
  default:
    return wit_wrong("no operation '%c'", operation);
  }
  if (status != FREYJA_OK)
    return wit_wrong("'%c': %s (%s)", operation, error.message, error.path);
  r->promised = r->acknowledged;
  note_syncs(r, r->acknowledged);
  return true;
}

/* Runs a workload; power fails during operations number `from` and after (0 is the
 * first open). Shorter workloads have seen to the moments before. */
bool run_workload(const mode *m, const char *workload, size_t from, uint64_t seed) {
  run r = {.mode = m, .workload = workload, .seed = seed};
  memset(&r.states[0], -1, sizeof r.states[0]);
  wit_clear();
  wit_large = m->large;
  r.disk = sim_disk_create(seed);
  r.disk->no_reserve = m->no_reserve;
  r.disk->sample = m->sample;
  r.disk->hook = first_point;
  r.disk->argument = &r;
  r.armed = from == 0;
  bool right = open_store(&r, false);
  for (size_t i = 0; right && workload[i] != '\0'; i++) {
    r.armed = i + 1 >= from;
    right = do_operation(&r, workload[i]) && *wit_why() == '\0';
    if (!right) break;
    sim_disk_look(r.disk);
    first_point(&r, r.disk, "the operation's end");
    right = *wit_why() == '\0';
  }
  r.disk->hook = NULL;
  if (r.db != NULL) right = close_on(r.disk, r.db) && right;
  right = right && *wit_why() == '\0';
  sim_disk_destroy(r.disk);
  if (!right)
    printf("not ok crash: %s\n# again: build/debug/crash %s %s %llu\n", wit_why(), m->name,
           workload, (unsigned long long)seed);
  return right;
}
