/* crash.c - power fails after every change that the engine makes to its disk, and each
 * disk that this may leave is opened.
 *
 *   crash                       a fixed set, in seconds
 *   crash --all [SHARE]         every workload of up to four operations (three in modes that
 * are others with larger records), and the written ones; with a SHARE, kills at every so many
 * moments only crash MODE WORKLOAD [SEED]  one, as a failure prints it
 *
 * A workload is a string of operations: p put, o overwrite, d delete, s sync, r rotate,
 * c close and open again, k be killed and open again, v be killed, look read-only, open
 * again, l put a large value, t put a value over another one that expires at once, T one that
 * expires late, i insert, x compare and swap, b back up, by links, B by copies,
 * 1 2 3 a sync fails and its pages stay dirty, are taken for clean, are dropped; then close
 * and open again; h write the hint files of all sealed segments; m merge all sealed segments,
 * M every other one; 4 the sync of the directory fails with which a rotation ends, and the new
 * entry is taken for clean; then close and open again.
 *
 * At each moment a number of writes were acknowledged, and some of them were promised to
 * survive a loss of power (what was written under sync = "always", or before a sync, a
 * rotation or a close that returned). A disk is right if it opens without a fault or damage
 * and holds the state after k writes, for a k that is not less than the promised ones, and
 * not more than those begun; for the disk that a killed process leaves, not less than the
 * acknowledged ones.
 *
 * From some of the disks recovery itself is interrupted: after each of its changes, on each
 * disk that this may leave, the same state must come. Then a write follows and power
 * fails again. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "states.h"
#include "witness.h"

#define OPERATIONS_MAX 16
#define PAUSE 400000         /* microseconds that pass before an operation */
#define LATER 1000           /* and before the store is opened again after a crash */
#define TTL_LATE 3600000000u /* microseconds */
#define NESTED_EVERY 2000    /* of the disks, for one recovery is interrupted */
#define VERIFIED_EVERY 16    /* of the disks, which are then checked as a user would */
#define KILLED_EVERY 50 /* of the moments, from which recovery after a kill is interrupted */
#define TORN_EVERY 1000 /* of those with a torn tail */
#define LARGE_SAMPLE 4  /* disks at a moment, where files are large */
#define LARGE_TORN_EVERY 40  /* of those with a torn tail, there */
#define LARGE_SAMPLES 8      /* of all of them, each other disks, for --all */
#define LARGE_KILLED_EVERY 4 /* of the moments, there */

static const char operations[] = "podsrclkt";

typedef struct mode {
  const char *name;
  freyja_io io;
  freyja_sync_mode sync;
  bool no_reserve;
  uint32_t hash_bits;
  uint32_t segment_size; /* bytes */
  size_t large;          /* bytes of a large value */
  uint32_t sample;       /* of sim_disk; not 0: files that are worked on in many pieces */
} mode;

static const mode modes[] = {
    {"mmap-none", FREYJA_IO_MMAP, FREYJA_SYNC_NONE, false, 64, 4096, 1500, 0},
    {"mmap-always", FREYJA_IO_MMAP, FREYJA_SYNC_ALWAYS, false, 64, 4096, 1500, 0},
    {"syscall-none", FREYJA_IO_SYSCALL, FREYJA_SYNC_NONE, false, 64, 4096, 1500, 0},
    {"syscall-always", FREYJA_IO_SYSCALL, FREYJA_SYNC_ALWAYS, false, 64, 4096, 1500, 0},
    {"mmap-interval", FREYJA_IO_MMAP, FREYJA_SYNC_INTERVAL, false, 64, 4096, 1500, 0},
    {"syscall-interval", FREYJA_IO_SYSCALL, FREYJA_SYNC_INTERVAL, false, 64, 4096, 1500, 0},
    {"unreserved-none", FREYJA_IO_MMAP, FREYJA_SYNC_NONE, true, 64, 4096, 1500, 0},
    {"unreserved-always", FREYJA_IO_MMAP, FREYJA_SYNC_ALWAYS, true, 1, 4096, 1500, 0},
    {"pages-none", FREYJA_IO_MMAP, FREYJA_SYNC_NONE, false, 64, 20000, 6000, 0},
    {"pages-always", FREYJA_IO_SYSCALL, FREYJA_SYNC_ALWAYS, false, 64, 20000, 6000, 0},
    {"large-none", FREYJA_IO_MMAP, FREYJA_SYNC_NONE, false, 64, 1 << 20, 300000, LARGE_SAMPLE},
    {"large-interval", FREYJA_IO_SYSCALL, FREYJA_SYNC_INTERVAL, false, 64, 1 << 20, 300000,
     LARGE_SAMPLE},
};
#define MODES (sizeof modes / sizeof *modes)

static const char *const written[] = {
    "pppppp",       "oooooo",       "pdpdpd",       "podpod",       "lllll",
    "llllll",       "pllopll",      "plsldls",      "prprpr",       "orordr",
    "psrcps",       "rprprp",       "cpcpcp",       "pcdcpc",       "pocdoc",
    "lcllcl",       "ppsppsdd",     "ssspsss",      "pslrocds",     "lrlrlrlr",
    "dpdpdpdp",     "odododod",     "ppppcpppp",    "poclrsdp",     "llsllsll",
    "lolololo",     "oooolooool",   "iixxii",       "ixdixdix",     "xixrxixc",
    "pixspixs",     "lxlxlxlx",     "pppppppppppp", "oooooooooooo", "podspodspods",
    "lllllllllll",  "prsprsprsprs", "cdcpcdcpcdcp", "lodclodclodc", "srcpsrclsrco",
    "plplplplplpl", "poprpdpspcpl", "pkpkpk",       "lkdkok",       "lklklklk",
    "pokdslkrcpkp", "pvpvpv",       "lvlodvlv",     "povkpvco",     "pbob",
    "plrbpB",       "Bpb",          "llbllB",       "prdbrpBk",     "ps12pc",
    "psp1p2p3p",    "oso2o3odkp",   "lsl2lkl3l",    "prp2rp3s",     "p4pko",
    "pl4c4pv4p",    "prm",          "prdrm",        "podrprM",      "prordrMc",
    "llrolrmk",     "prprdrMdrm",   "pdrpdrMcom",   "prmrmvMc",     "prpmd1rm2o",
    "prorMbodrmB",  "lrlrdM4pm4k",  "prom",         "ptptpt",       "tttttt",
    "potdotd",      "ptrtrpcr",     "ptkptkt",      "ltltlt",       "pTTdToTc",
    "oTotcTko",     "ptbtrB",       "ptsts1tcp2t",  "pvtvTvt",      "pttitxtx",
    "prtrm",        "prtrprMc",     "ptrTrMtrmk",   "oTrtrpmtrMc",  "prh",
    "prordrhpch",   "lrlhrhkdhrk",  "prdrhprMhc",   "podrhpbrhB",   "prhorhdv1rh2"};

/* For files that are read, copied and written again in pieces of 64 and 256 KiB: what a failed
 * sync left, torn tails, backups. */
static const char *const large_written[] = {"ll2ps", "plpBlB", "llk3lrB", "lplll1s2"};

typedef struct run {
  const mode *mode;
  const char *workload;
  uint64_t seed;
  sim_disk *disk;
  freyja *db;
  wit_state states[OPERATIONS_MAX + 2]; /* after 0, 1, 2... writes */
  int keys[OPERATIONS_MAX + 2];         /* that each write is of */
  int acknowledged, promised;
  bool in_flight; /* states[acknowledged + 1] is what a write is about to make */
  bool lossy; /* a sync failed: what was acknowledged is there as long as the process lives */
  bool armed;
  int backups;      /* begun */
  bool backed_up;   /* the last of them has returned */
  wit_state backup; /* what it holds */
  long point;       /* changes so far */
  uint64_t syncs, segments;
} run;

static long kill_share = 1;
static long moments, disks, torn, nested, nested_points;
/* ---- opening what is left --------------------------------------------- */

static freyja_options options_for(const mode *m, sim_disk *disk) {
  freyja_options options;
  freyja_options_init(&options);
  options.io = m->io;
  options.sync_mode = m->sync;
  options.segment_size = m->segment_size;
  options.hash_bits = m->hash_bits;
  options.os = &disk->os;
  return options;
}

static bool open_on(const mode *m, sim_disk *disk, bool readonly, freyja **db) {
  freyja_options options = options_for(m, disk);
  options.readonly = readonly;
  freyja_error error;
  if (freyja_open("db", &options, db, &error) == FREYJA_OK) return true;
  return wit_wrong("open: %s (%s)", error.message, error.path);
}

static bool close_on(sim_disk *disk, freyja *db) {
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
  if (right && (disks + nested) % VERIFIED_EVERY == 0) right = wit_verify(db);
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
  nested++;
  if (recover(s->mode, image, &found, &cut) && is_among(&found, s->allowed, s->count))
    return true;
  s->failed = true;
  wit_explain("; second loss of power: disk %u, %s", left->number, left->what);
  return false;
}

static void second_point(void *argument, sim_disk *disk, const char *call) {
  second *s = argument;
  if (s->failed) return;
  nested_points++;
  if (sim_states_each(disk, visit_second, s) < 0) wit_explain(", at %s", call);
}

/* Opens a disk, which holds one of the allowed states, then puts that key; power fails all the
 * while, or only once it is open. */
static bool interrupt(const mode *m, sim_disk *disk, const wit_state *allowed, int count,
                      int key, int write, bool at_once) {
  second s = {.mode = m, .allowed = allowed, .count = count};
  wit_state shown[2]; /* by the open, and after the put */
  freyja *db = NULL;
  static char value[WIT_VALUE_MAX];
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
  size_t size = wit_value(value, write, key);
  if (!s.failed &&
      freyja_put(db, wit_keys[key], strlen(wit_keys[key]), value, size, &error) != FREYJA_OK)
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

static void name_backup(char name[16], int number) {
  (void)snprintf(name, 16, "copy%d", number);
}

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
  disks++;
  bool right = recover(r->mode, image, &found, &cut);
  for (int k = low; right && k <= high; k++)
    if (wit_same(&found, &r->states[k])) last = k;
  if (right && last < low)
    right = wit_wrong("the state is none of those after %d to %d writes:%s; the last is%s",
                      low, high, wit_text(&found), wit_text(&r->states[high]));
  torn += cut;
  long torn_every = r->mode->sample == 0 ? TORN_EVERY : LARGE_TORN_EVERY;
  if (right && r->backups > 0) right = check_backup(r, image);
  /* What is written then is the first write that was lost, with another value: a record of the
   * same size, behind which an old one would fit. */
  if (right && (disks % NESTED_EVERY == 0 || (cut && torn % torn_every == 0)))
    right = interrupt(r->mode, copy, &found, 1, last < high ? r->keys[last + 1] : WIT_SPARE,
                      WIT_REDONE + last + 1, true);
  sim_disk_destroy(copy);
  if (!right) wit_explain("; disk %u: %s", left->number, left->what);
  return right;
}

/* The process is killed here; it is opened again, then power fails. */
static bool kill_here(run *r, const sim_disk *disk) {
  sim_disk *killed = sim_disk_clone(disk);
  killed->clock += LATER;
  int count = r->acknowledged + r->in_flight + 1 - r->promised;
  bool right = interrupt(r->mode, killed, &r->states[r->promised], count, WIT_SPARE,
                         WIT_REDONE, moments / kill_share % KILLED_EVERY == 0);
  sim_disk_destroy(killed);
  if (!right) wit_explain("; killed");
  return right;
}

static void first_point(void *argument, sim_disk *disk, const char *call) {
  run *r = argument;
  r->point++;
  if (!r->armed || *wit_why() != '\0') return;
  moments++;
  bool right = sim_states_each(disk, visit_first, r) >= 0;
  long every = r->mode->sample == 0 ? kill_share : LARGE_KILLED_EVERY;
  if (right && moments % every == 0) right = kill_here(r, disk);
  if (!right) wit_explain("; after change %ld, %s", r->point, call);
}

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
static bool accept(run *r) {
  wit_state found;
  if (!wit_examine(r->db, &found)) return false;
  int high = r->acknowledged + r->in_flight;
  while (high >= r->promised && !wit_same(&found, &r->states[high])) high--;
  if (high < r->promised) return wit_wrong("after a failed sync there is%s", wit_text(&found));
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
  return open_store(r, false) && accept(r);
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
  case 'b':
  case 'B':
    return back_up(r, operation == 'B');
  case 's':
    status = freyja_sync(r->db, &error);
    break;
  case 'r':
    status = freyja_rotate(r->db, &error);
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
static bool run_workload(const mode *m, const char *workload, size_t from, uint64_t seed) {
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

/* ---- sets of workloads ------------------------------------------------ */

/* All workloads of `length` operations. */
static bool run_all(const mode *m, size_t length, uint64_t seed) {
  char workload[8] = "";
  size_t digits[8] = {0};
  size_t base = sizeof operations - 1;
  for (;;) {
    for (size_t i = 0; i < length; i++) workload[i] = operations[digits[i]];
    workload[length] = '\0';
    if (!run_workload(m, workload, length, seed)) return false;
    size_t i = 0;
    while (i < length && ++digits[i] == base) digits[i++] = 0;
    if (i == length) return true;
  }
}

static bool run_written(const mode *m, size_t from, size_t step, uint64_t seed) {
  for (size_t i = from; i < sizeof written / sizeof *written; i += step)
    if (!run_workload(m, written[i], 1, seed)) return false;
  return true;
}

/* ---- one process for each mode, as many at once as there are processors ---- */

static bool report(const mode *m, bool right) {
  if (right)
    printf("ok crash, %s: %ld disks at %ld moments; %ld at %ld moments of recovery\n", m->name,
           disks, moments, nested, nested_points);
  return right;
}

static bool run_large(const mode *m, uint64_t seed) {
  for (size_t i = 0; i < sizeof large_written / sizeof *large_written; i++)
    if (!run_workload(m, large_written[i], 1, seed)) return false;
  return true;
}

static bool run_mode(size_t i, bool all) {
  bool right = true;
  size_t samples = modes[i].sample == 0 ? 0 : all ? LARGE_SAMPLES : 1;
  for (size_t n = 0; right && n < samples; n++)
    right = run_large(&modes[i], 1 + i + n * MODES);
  if (samples > 0) return report(&modes[i], right);
  size_t most =
      modes[i].segment_size > FREYJA_SEGMENT_SIZE_MIN ? 3 : 4; /* as others, in pages */
  size_t longest = all ? most : i < 2 ? 2 : 1;
  for (size_t length = 0; right && length <= longest; length++)
    right = run_all(&modes[i], length, 1 + i);
  if (right && all) right = run_written(&modes[i], 0, 1, 1 + i);
  else if (right && i < 2) right = run_written(&modes[i], i, 2, 1 + i);
  return report(&modes[i], right);
}

/* Waits for one child; whether it found nothing wrong. A child that dies has said nothing. */
static bool await(void) {
  int status = 0;
  if (wait(&status) < 0) return false;
  if (WIFSIGNALED(status)) printf("not ok crash: killed by signal %d\n", WTERMSIG(status));
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static bool run_modes(bool all) {
  bool right = true;
  long running = 0, most = sysconf(_SC_NPROCESSORS_ONLN);
  for (size_t i = 0; i < MODES; i++, running++) {
    if (running >= most) {
      right = await() && right;
      running--;
    }
    (void)fflush(stdout);
    pid_t child = fork();
    if (child < 0) return false;
    if (child == 0) {
      right = run_mode(i, all);
      (void)fflush(stdout);
      exit(right ? 0 : 1);
    }
  }
  for (; running > 0; running--) right = await() && right;
  return right;
}

static const mode *find_mode(const char *name) {
  for (size_t i = 0; i < MODES; i++)
    if (strcmp(modes[i].name, name) == 0) return &modes[i];
  return NULL;
}

int main(int count, char **arguments) {
  bool all = count > 1 && strcmp(arguments[1], "--all") == 0;
  if (all && count > 2) kill_share = strtol(arguments[2], NULL, 10);
  if (kill_share < 1) return 2;
  if (all || count < 3) return run_modes(all) ? 0 : 1;
  const mode *m = find_mode(arguments[1]);
  uint64_t seed = count > 3 ? strtoull(arguments[3], NULL, 10) : 1;
  if (m == NULL || strlen(arguments[2]) > OPERATIONS_MAX) return 2;
  return report(m, run_workload(m, arguments[2], 0, seed)) ? 0 : 1;
}
