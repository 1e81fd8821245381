/* trial.c - see trial.h: judging what calls return, and what is left in the end. */
#include "trial.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char path[] = "db";
static const sim_fault no_fault = {.at = 0};

/* ---- life ------------------------------------------------------------- */

void trial_create(trial *t, freyja_io io) {
  memset(t, 0, sizeof *t);
  memset(t->states[0].of, 0xFF, sizeof t->states[0].of); /* TRIAL_ABSENT */
  t->disk = sim_disk_create(1);
  freyja_options_init(&t->options);
  t->options.io = io;
  t->options.sync_mode = FREYJA_SYNC_NONE;
  t->options.segment_size = FREYJA_SEGMENT_SIZE_MIN;
  t->options.os = &t->disk->os;
}

void trial_destroy(trial *t) {
  sim_disk_destroy(t->disk);
  t->disk = NULL;
}

void trial_copy(trial *to, const trial *from) {
  *to = *from;
  to->disk = sim_disk_copy(from->disk);
  to->disk->no_reserve = from->disk->no_reserve;
  to->disk->unchecked = from->disk->unchecked;
  to->options.os = &to->disk->os;
}

static void arm(trial *t, const sim_fault *fault) {
  sim_disk_fail(t->disk, fault);
  t->disk->space = 0;
}

void trial_arm(trial *t) {
  arm(t, &t->fault);
  if (t->space > 0) t->disk->space = sim_disk_taken(t->disk) + t->space;
}

void trial_disarm(trial *t) {
  t->calls = t->disk->calls;
  t->allocations = t->disk->allocations;
  t->failed_calls = t->disk->failed_calls;
  t->failed_allocations = t->disk->failed_allocations;
  t->first_failure = t->disk->first_failure;
  arm(t, &no_fault);
}

void trial_wrong(trial *t, const char *format, ...) {
  va_list arguments;
  if (t->why[0] != '\0') return; /* the first says most */
  va_start(arguments, format);
  (void)vsnprintf(t->why, sizeof t->why, format, arguments);
  va_end(arguments);
}

bool trial_runs(const trial *t) { return t->db != NULL && t->why[0] == '\0'; }

const trial_state *trial_now(const trial *t) { return &t->states[t->acknowledged]; }

/* ---- keys and values -------------------------------------------------- */

void trial_name(unsigned key, char name[TRIAL_KEY_SIZE]) {
  memcpy(name, "key", 3);
  name[3] = (char)('0' + key / 10);
  name[4] = (char)('0' + key % 10);
}

unsigned trial_key_of(const freyja_slice *name) {
  char own[TRIAL_KEY_SIZE];
  for (unsigned key = 0; key < TRIAL_KEYS; key++) {
    trial_name(key, own);
    if (name->size == sizeof own && memcmp(name->data, own, sizeof own) == 0) return key;
  }
  return TRIAL_KEYS;
}

void trial_make_value(char *value, size_t size, int serial, unsigned key) {
  memset(value, 'a' + (serial + (int)key) % 26, size);
  (void)snprintf(value, size, "%d", serial);
}

int trial_serial_of(const void *value, size_t size, unsigned key) {
  char want[TRIAL_VALUE_MAX];
  if (size < 16 || size > sizeof want || memchr(value, '\0', 16) == NULL) return TRIAL_WRONG;
  int serial = atoi(value);
  if (serial < 1 || serial > INT16_MAX) return TRIAL_WRONG;
  trial_make_value(want, size, serial, key);
  return memcmp(value, want, size) == 0 ? serial : TRIAL_WRONG;
}

/* ---- what a call may return ------------------------------------------- */

static freyja_status status_of(int code) {
  if (code == ENOSPC || code == EDQUOT) return FREYJA_FULL;
  return code == ENOMEM ? FREYJA_MEMORY : FREYJA_IO;
}

/* Whether `inner` is a path below the directory `outer`. */
static bool is_below(const char *inner, const char *outer) {
  size_t size = strlen(outer);
  return strncmp(inner, outer, size) == 0 && inner[size] == '/';
}

/* The path in the store of what is at that path in the second one. */
static const char *at_home(const trial *t, const char *file, char home[96]) {
  size_t size = t->other.path == NULL ? 0 : strlen(t->other.path);
  if (size == 0 || strncmp(file, t->other.path, size) != 0) return file;
  if (file[size] != '/' && file[size] != '\0') return file;
  (void)snprintf(home, 96, "%s%.90s", path, file + size);
  return home;
}

/* Whether a fault that names `named` may be about what failed at `at`. */
static bool is_about(const sim_failure *failure, const char *at, const char *named) {
  if (strcmp(at, named) == 0) return true;
  if (at[0] == '\0' || strcmp(at, ".") == 0 || strcmp(at, "db/..") == 0)
    return strcmp(named, path) == 0 || is_below(named, path);
  if (strcmp(failure->call, "sync_dir") == 0) return is_below(named, at);
  return strcmp(named, "db/lost") == 0 && is_below(at, named);
}

/* Whether a failure is of the KEYDIR, which may be lost. */
static bool is_of_keydir(const sim_failure *failure) {
  return strcmp(failure->path, "db/KEYDIR") == 0 ||
         strcmp(failure->path, "db/KEYDIR.tmp") == 0;
}

/* Whether a call of the disk that failed is what the fault tells of. */
static bool is_explained(const trial *t, trial_kind kind, freyja_status status) {
  const sim_disk *disk = t->disk;
  for (uint32_t i = 0; i < disk->failure_count && i < SIM_FAILURES; i++) {
    const sim_failure *failure = &disk->failures[i];
    char at[96], named[96];
    bool memory = strcmp(failure->call, "memory") == 0;
    if (kind == TRIAL_CLOSES && (memory || is_of_keydir(failure))) continue;
    if (memory) {
      if (status == FREYJA_MEMORY) return true;
    } else if (status == status_of(failure->code) && t->error.os_code == failure->code &&
               is_about(failure, at_home(t, failure->path, at),
                        at_home(t, t->error.path, named))) {
      return true;
    }
  }
  return false;
}

/* Whether the path is that of one of the store's data files; of one that was made as a whole,
 * if `whole`. */
static bool is_segment(const trial *t, const char *file, bool whole) {
  freyja_segment segments[64];
  size_t count = t->db == NULL ? 0 : freyja_get_segments(t->db, segments, 64);
  for (size_t i = 0; i < count && i < 64; i++) {
    char name[64];
    (void)snprintf(name, sizeof name, "%s/%" PRIu64 ".data", path, segments[i].id);
    if (strcmp(file, name) == 0) return !whole || segments[i].merged;
  }
  return false;
}

/* What the calls that failed mean for the store. */
typedef struct meaning {
  bool sync;    /* one was a sync, which nobody may hide; but that of the marks of what is
                   committed says nothing of the commit */
  bool segment; /* of one of the data files: writes must end */
  bool doubt;   /* writes may end: nobody knows what is on the disk */
} meaning;

/* One that has surely done nothing is told by its errno. */
static bool is_doubtful_rename(const sim_failure *failure) {
  int code = failure->code;
  if (strcmp(failure->call, "rename") != 0) return false;
  return code != ENOSPC && code != EDQUOT && code != ENOMEM && code != EROFS;
}

/* A close does without a KEYDIR that it cannot write. */
static meaning meaning_of(const trial *t, trial_kind kind) {
  meaning m = {false, false, false};
  const sim_disk *disk = t->disk;
  for (uint32_t i = 0; i < disk->failure_count && i < SIM_FAILURES; i++) {
    const sim_failure *failure = &disk->failures[i];
    bool sync = strncmp(failure->call, "sync", 4) == 0;
    if (sync && t->options.readonly && failure->code == EROFS) continue; /* as it should be */
    bool may_hide =
        (kind == TRIAL_CLOSES && is_of_keydir(failure)) || is_segment(t, failure->path, true);
    m.sync = m.sync || (sync && !may_hide);
    m.segment = m.segment || (sync && is_segment(t, failure->path, false));
    m.doubt = m.doubt || ((sync || is_doubtful_rename(failure)) && !is_of_keydir(failure));
  }
  if (disk->failure_count > 1) m.doubt = true; /* a write failed and could not be undone */
  return m;
}

void trial_begin(trial *t) {
  sim_disk_forget(t->disk);
  t->error.status = FREYJA_OK;
  t->error.message[0] = t->error.path[0] = '\0';
  if (t->db != NULL) freyja_get_stats(t->db, &t->before);
  else memset(&t->before, 0, sizeof t->before);
}

static void judge_fault(trial *t, trial_kind kind, const char *call, freyja_status status) {
  const freyja_error *e = &t->error;
  bool writes = kind == TRIAL_WRITES_TO || kind == TRIAL_CLOSES;
  if (e->status != status || e->message[0] == '\0') {
    trial_wrong(t, "%s returns %s but the error says %s (%s)", call,
                freyja_status_name(status), freyja_status_name(e->status), e->message);
  } else if (status == FREYJA_POISONED || (t->before.poisoned && writes)) {
    if (status != FREYJA_POISONED || !t->before.poisoned || kind == TRIAL_READS)
      trial_wrong(t, "%s on a store that is %spoisoned: %s", call,
                  t->before.poisoned ? "" : "not ", e->message);
  } else if (status == FREYJA_CORRUPT && (t->broken || t->disk->dropped)) {
    return; /* the step knows whether that key may be */
  } else if (kind == TRIAL_COPIES && t->disk->failure_count > 1 &&
             (status == FREYJA_CORRUPT || e->os_code == EEXIST)) {
    return; /* nothing of the store can be read; a link that failed was made and stays */
  } else if (!is_explained(t, kind, status)) {
    const sim_failure *first = &t->disk->failures[0];
    bool any = t->disk->failure_count > 0;
    trial_wrong(t, "%s: %s: %s (%s; errno %d); what failed: %s %s", call,
                freyja_status_name(status), e->message, e->path, e->os_code,
                any ? first->call : "nothing", any ? first->path : "");
  }
}

void trial_judge(trial *t, trial_kind kind, const char *call, freyja_status status) {
  if (kind == TRIAL_READS && t->disk->failure_count == 0 && !freyja_is_fault(status)) return;
  meaning m = meaning_of(t, kind);
  if (freyja_is_fault(status)) judge_fault(t, kind, call, status);
  else if (t->before.poisoned && kind != TRIAL_READS)
    trial_wrong(t, "%s works on a poisoned store", call);
  else if (m.sync) trial_wrong(t, "%s hides a failed sync", call);
  freyja_stats stats = {.poisoned = false};
  if (t->db != NULL) freyja_get_stats(t->db, &stats);
  if (!stats.poisoned && kind != TRIAL_OPENS && kind != TRIAL_COPIES && m.segment)
    trial_wrong(t, "a sync failed in %s and the store is not poisoned", call);
  if (stats.poisoned && !t->before.poisoned && !m.doubt)
    trial_wrong(t, "%s poisons the store without need", call);
}

/* ---- opening and closing ---------------------------------------------- */

bool trial_examine(trial *t, freyja *db, trial_state *out) {
  char value[TRIAL_VALUE_MAX], name[TRIAL_KEY_SIZE];
  for (unsigned key = 0; key < TRIAL_KEYS; key++) {
    size_t size = 0;
    freyja_error error;
    trial_name(key, name);
    freyja_status status =
        freyja_get(db, name, sizeof name, value, sizeof value, &size, &error);
    int found = TRIAL_ABSENT;
    if (status == FREYJA_OK) found = trial_serial_of(value, size, key);
    else if (status == FREYJA_CORRUPT) found = TRIAL_CORRUPT;
    else if (status != FREYJA_NOTFOUND) found = TRIAL_WRONG;
    if (found == TRIAL_WRONG || (found == TRIAL_CORRUPT && !t->broken)) {
      trial_wrong(t, "key %u: %s", key,
                  status == FREYJA_OK ? "a value that was never written" : error.message);
      return false;
    }
    out->of[key] = (int16_t)found;
  }
  return true;
}

/* The number of the writes that make the state, from `low` on; -1 if there is none. */
static int find_state(const trial *t, const trial_state *state, int low) {
  for (int i = t->acknowledged + t->doubt; i >= low; i--)
    if (memcmp(&t->states[i], state, sizeof *state) == 0) return i;
  return -1;
}

static void tell_state(trial *t, const char *when, const trial_state *found, int low) {
  const trial_state *now = trial_now(t);
  unsigned key = 0;
  while (key + 1 < TRIAL_KEYS && found->of[key] == now->of[key]) key++;
  trial_wrong(t, "%s the store holds no state after %d to %d writes: key %u is of %d, not %d",
              when, low, t->acknowledged + t->doubt, key, found->of[key], now->of[key]);
}

/* What was found when it was opened becomes the beginning. */
static void settle(trial *t) {
  int low = t->disk->dropped ? t->promised : t->acknowledged;
  int found = t->acknowledged;
  if (low < t->acknowledged + t->doubt) {
    sim_fault armed = t->disk->fault;
    long calls = t->disk->calls, allocations = t->disk->allocations;
    trial_state state;
    t->disk->fault = no_fault;
    bool right = trial_examine(t, t->db, &state);
    t->disk->fault = armed;
    t->disk->calls = calls;
    t->disk->allocations = allocations;
    if (!right) return;
    found = find_state(t, &state, low);
    if (found < 0) {
      tell_state(t, "opened again,", &state, low);
      return;
    }
  }
  t->states[0] = t->states[found];
  t->acknowledged = t->promised = 0;
  t->doubt = t->disk->faulty = t->disk->lost = t->disk->dropped = false;
}

void trial_open(trial *t) {
  freyja_stats stats;
  if (t->db != NULL || t->why[0] != '\0') return;
  trial_begin(t);
  freyja_status status = freyja_open(path, &t->options, &t->db, &t->error);
  trial_judge(t, TRIAL_OPENS, "open", status);
  if (status != FREYJA_OK) {
    if (t->db != NULL) trial_wrong(t, "an open that failed gives a handle");
    if (sim_disk_held(t->disk) != 0)
      trial_wrong(t, "an open that failed keeps %ld things", sim_disk_held(t->disk));
    return;
  }
  freyja_get_stats(t->db, &stats);
  if ((stats.recovery.damaged > 0) != t->broken)
    trial_wrong(t, "%d places are damaged: %s (%s)", (int)stats.recovery.damaged,
                stats.recovery.damage.message, stats.recovery.damage.path);
  settle(t);
}

void trial_close(trial *t) {
  if (t->db == NULL) return;
  trial_begin(t);
  freyja_status status = freyja_close(t->db, &t->error);
  t->db = NULL;
  trial_judge(t, TRIAL_CLOSES, "close", status);
  if (status == FREYJA_OK) t->promised = t->acknowledged;
  if (sim_disk_held(t->disk) != 0)
    trial_wrong(t, "closing keeps %ld things", sim_disk_held(t->disk));
}

/* ---- losses of power -------------------------------------------------- */

typedef struct loss {
  trial *trial;
  bool all; /* disks; else two: all that is pending is kept, and lost */
} loss;

static bool visit(void *argument, sim_disk *image, const sim_state *left) {
  loss *l = argument;
  trial *t = l->trial;
  freyja *db = NULL;
  trial_state state;
  freyja_options options = t->options;
  bool kept = left->all_kept && !t->disk->lost;
  int low = kept ? t->acknowledged : t->promised;
  t->disks++;
  options.os = &image->os;
  options.readonly = false;
  if (freyja_open(path, &options, &db, &t->error) != FREYJA_OK) {
    trial_wrong(t, "open after a loss of power: %s (%s)", t->error.message, t->error.path);
  } else if (trial_examine(t, db, &state) && find_state(t, &state, low) < 0) {
    tell_state(t, "after a loss of power", &state, low);
  }
  if (freyja_close(db, &t->error) != FREYJA_OK)
    trial_wrong(t, "close after a loss of power: %s", t->error.message);
  trial_check_other(t, image);
  if (sim_disk_held(image) != 0) trial_wrong(t, "after a loss of power things are kept");
  if (image->broken[0] != '\0') trial_wrong(t, "after a loss of power: %s", image->broken);
  if (t->why[0] == '\0') return l->all || left->number == 0;
  size_t at = strlen(t->why);
  (void)snprintf(t->why + at, sizeof t->why - at, "; disk %u, %s", left->number, left->what);
  return false;
}

static void lose_power(trial *t, bool all) {
  loss l = {.trial = t, .all = all};
  if (t->why[0] != '\0') return;
  sim_disk_look(t->disk);
  (void)sim_states_each(t->disk, visit, &l);
}

/* ---- the end ---------------------------------------------------------- */

static void check_order(trial *t) {
  if (t->disk->broken[0] != '\0') trial_wrong(t, "%s", t->disk->broken);
}

/* Nothing fails any more: all is there, and writes work unless the store is poisoned. */
static void work(trial *t) {
  bool readonly = t->options.readonly;
  trial_get_all(t);
  trial_iterate(t, FREYJA_ORDER_LOG, false, false);
  trial_stats(t);
  if (readonly) return;
  trial_put_probe(t, TRIAL_KEYS - 1);
  trial_get(t, TRIAL_KEYS - 1);
}

/* Merges what a merge has left, of which it could perhaps not move all slots. A store that
 * takes no more writes is not merged, but verify moves them. */
static void merge_again(trial *t) {
  freyja_stats stats = {.poisoned = false};
  freyja_report report;
  if (t->db != NULL) freyja_get_stats(t->db, &stats);
  if (stats.poisoned) (void)freyja_verify(t->db, NULL, NULL, &report, &t->error);
  else trial_merge(t);
}

static void finish_session(trial *t, const trial_ending *ending) {
  if (t->db == NULL) return;
  if (ending->how == TRIAL_KILL) {
    sim_disk_kill(t->disk);
    t->db = NULL;
    return;
  }
  if (ending->how == TRIAL_HEAL) {
    if (t->merged) merge_again(t);
    work(t);
    if (!t->options.readonly) trial_rotate(t);
    trial_get_all(t);
  }
  trial_close(t);
}

/* The store is opened, and call number `at` fails. */
static void open_again(trial *t, long at) {
  sim_fault fault = {.at = at, .code = EIO};
  arm(t, &fault);
  trial_open(t);
  for (unsigned key = 0; key < TRIAL_KEYS; key += 5) trial_get(t, key);
  trial_put(t, TRIAL_KEYS - 2);
  t->second_calls = t->disk->calls;
  arm(t, &no_fault);
  trial_get_all(t);
  trial_close(t);
  check_order(t);
}

void trial_finish(trial *t, const trial_ending *ending) {
  trial_disarm(t);
  check_order(t);
  trial_check_other(t, t->disk);
  lose_power(t, ending->power);
  finish_session(t, ending);
  check_order(t);
  t->options.readonly = false;
  if (ending->second > 0) open_again(t, ending->second);
  trial_open(t);
  work(t);
  check_order(t);
  if (t->db != NULL) lose_power(t, ending->power);
  trial_close(t);
  check_order(t);
  if (t->db != NULL) (void)freyja_close(t->db, NULL);
  t->db = NULL;
}
