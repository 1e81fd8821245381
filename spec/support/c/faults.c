/* faults.c - every call to the operating system fails in turn, once and from then
 * on, in every I/O and sync mode. Whatever fails: the call that meets it returns a
 * fault or succeeds, readers see the old value or the new one, what was
 * acknowledged is there when the fault is gone and the store was opened again, a backup
 * that was made is one, what repair makes is whole, and no memory, descriptor or mapping is
 * left. */
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "freyja.h"
#include "os.h"
#include "repair.h"

#define KEYS 8
#define STEPS 24
#define CALLS_MAX 2000

static const fj_os *real;
static long calls, fail_at; /* fail_at: number of the call that fails; 0: none */
static bool fail_on;        /* and all after it */
static int fail_code;
static long held; /* descriptors, mappings, blocks and page ranges */

static bool fails(void) {
  calls++;
  return fail_at != 0 && (calls == fail_at || (fail_on && calls > fail_at));
}

/* ---- the table ------------------------------------------------------------------ */

static int f_make_dir(void *c, int dir, const char *path) {
  return fails() ? -fail_code : real->make_dir(c, dir, path);
}
static int f_open_dir(void *c, int dir, const char *path, int *out) {
  int code = fails() ? -fail_code : real->open_dir(c, dir, path, out);
  held += code == 0;
  return code;
}
static int f_list(void *c, int dir, fj_os_visit visit, void *argument) {
  return fails() ? -fail_code : real->list(c, dir, visit, argument);
}
static int f_sync_dir(void *c, int dir) {
  return fails() ? -fail_code : real->sync_dir(c, dir);
}
static int f_rename(void *c, int dir, const char *from, const char *to) {
  return fails() ? -fail_code : real->rename(c, dir, from, to);
}
static int f_unlink(void *c, int dir, const char *name) {
  return fails() ? -fail_code : real->unlink(c, dir, name);
}
static int f_remove_dir(void *c, const char *name) {
  return fails() ? -fail_code : real->remove_dir(c, name);
}
static int f_link(void *c, int from, const char *name, int to) {
  return fails() ? -fail_code : real->link(c, from, name, to);
}
static int f_open(void *c, int dir, const char *name, unsigned flags, int *file) {
  int code = fails() ? -fail_code : real->open(c, dir, name, flags, file);
  held += code == 0;
  return code;
}
static int f_close(void *c, int file) {
  held--;
  int code = real->close(c, file);
  return fails() ? -fail_code : code; /* Linux frees the descriptor all the same */
}
static int f_stat(void *c, int file, fj_os_stat *out) {
  return fails() ? -fail_code : real->stat(c, file, out);
}
static int64_t f_read(void *c, int file, void *buffer, size_t size, uint64_t offset) {
  return fails() ? -fail_code : real->read(c, file, buffer, size, offset);
}
/* A write that fails has written a part, or all and yet failed. */
static int64_t f_write(void *c, int file, const freyja_slice *parts, size_t count,
                       uint64_t offset) {
  if (!fails()) return real->write(c, file, parts, count, offset);
  freyja_slice half = {parts[0].data, parts[0].size / 2};
  if (calls % 2 == 0) (void)real->write(c, file, &half, 1, offset);
  else (void)real->write(c, file, parts, count, offset);
  return -fail_code;
}
static int f_sync(void *c, int file) { return fails() ? -fail_code : real->sync(c, file); }
static int f_truncate(void *c, int file, uint64_t size) {
  return fails() ? -fail_code : real->truncate(c, file, size);
}
static int f_reserve(void *c, int file, uint64_t offset, uint64_t size) {
  return fails() ? -fail_code : real->reserve(c, file, offset, size);
}
static int f_lock(void *c, int file, bool exclusive) {
  return fails() ? -fail_code : real->lock(c, file, exclusive);
}
static int f_map(void *c, int file, uint64_t size, bool writable, uint8_t **out) {
  int code = fails() ? -fail_code : real->map(c, file, size, writable, out);
  held += code == 0;
  return code;
}
static void f_unmap(void *c, uint8_t *map, uint64_t size) {
  held--;
  real->unmap(c, map, size);
}
static int f_protect(void *c, uint8_t *map, uint64_t size) {
  return fails() ? -fail_code : real->protect(c, map, size);
}
static void *f_allocate(void *c, size_t size) {
  void *block = fails() ? NULL : real->allocate(c, size);
  held += block != NULL;
  return block;
}
static void f_release(void *c, void *block) {
  held -= block != NULL;
  real->release(c, block);
}
static void *f_allocate_pages(void *c, size_t size) {
  void *pages = fails() ? NULL : real->allocate_pages(c, size);
  held += pages != NULL;
  return pages;
}
static void f_release_pages(void *c, void *pages, size_t size) {
  held -= pages != NULL;
  real->release_pages(c, pages, size);
}
static int f_random(void *c, void *buffer, size_t size) {
  return fails() ? -fail_code : real->random(c, buffer, size);
}
static const volatile uint32_t *f_fork_guard(void *c) {
  return fails() ? NULL : real->fork_guard(c);
}

static fj_os make_table(void) {
  fj_os os = *real;
  os.make_dir = f_make_dir;
  os.open_dir = f_open_dir;
  os.list = f_list;
  os.sync_dir = f_sync_dir;
  os.rename = f_rename;
  os.unlink = f_unlink;
  os.remove_dir = f_remove_dir;
  os.link = f_link;
  os.open = f_open;
  os.close = f_close;
  os.stat = f_stat;
  os.read = f_read;
  os.write = f_write;
  os.sync = f_sync;
  os.truncate = f_truncate;
  os.reserve = f_reserve;
  os.lock = f_lock;
  os.map = f_map;
  os.unmap = f_unmap;
  os.protect = f_protect;
  os.allocate = f_allocate;
  os.release = f_release;
  os.allocate_pages = f_allocate_pages;
  os.release_pages = f_release_pages;
  os.random = f_random;
  os.fork_guard = f_fork_guard;
  return os;
}

/* ---- the scenario ---------------------------------------------------------------- */

/* What each key holds: -1 absent, otherwise the step that wrote it. A write that failed
 * has changed nothing, unless it poisoned the store: then it is in doubt until the store
 * is opened again, and `maybe` is what it would have made. */
typedef struct model {
  int now[KEYS], maybe[KEYS];
} model;

static char path[128], copies[128]; /* of the store, of the folder with its backups */
static char why[400];

static bool wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
static bool wrong(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(why, sizeof why, format, arguments);
  va_end(arguments);
  return false;
}

static size_t make_value(char *value, int step) {
  int size = snprintf(value, 1200, "%d", step);
  size_t padding = step % 3 == 0 ? 1000 : 20;
  memset(value + size, '.', padding);
  return (size_t)size + padding;
}

/* Whether the store holds what the model allows. With faults about, a read may fail. */
static bool agrees(freyja *db, const model *m, bool faulty, bool doubtful) {
  char value[1200], want[1200];
  for (int k = 0; k < KEYS; k++) {
    char key = (char)('a' + k);
    size_t size = 0;
    freyja_error error;
    freyja_status status = freyja_get(db, &key, 1, value, sizeof value, &size, &error);
    if (freyja_is_fault(status)) {
      if (faulty && status != FREYJA_CORRUPT) continue;
      return wrong("get of %c: %s", key, error.message);
    }
    int found = -1;
    if (status == FREYJA_OK) found = atoi(value);
    if (found >= 0 && (make_value(want, found) != size || memcmp(want, value, size) != 0))
      return wrong("a value that was never written for %c", key);
    if (found != m->now[k] && !(doubtful && found == m->maybe[k]))
      return wrong("%c is of step %d, not %d", key, found, m->now[k]);
  }
  return true;
}

static bool is_poisoned(freyja *db) {
  freyja_stats stats;
  freyja_get_stats(db, &stats);
  return stats.poisoned;
}

/* Opened again, the store tells what became of a write in doubt. */
static void settle(freyja *db, model *m) {
  for (int k = 0; k < KEYS; k++) {
    char key = (char)('a' + k);
    char value[1200];
    size_t size = 0;
    if (m->now[k] == m->maybe[k]) continue;
    freyja_status status = freyja_get(db, &key, 1, value, sizeof value, &size, NULL);
    if (freyja_is_fault(status)) continue;
    if ((status == FREYJA_OK ? atoi(value) : -1) == m->maybe[k]) m->now[k] = m->maybe[k];
    else m->maybe[k] = m->now[k];
  }
}

/* One write; the model learns of it if it was acknowledged. */
static void write_step(freyja *db, model *m, int step) {
  char key = (char)('a' + step * 5 % KEYS);
  int k = key - 'a';
  char value[1200];
  size_t size = make_value(value, step);
  freyja_status status = FREYJA_OK;
  bool poisoned = is_poisoned(db);
  int after = step;
  if (step % 7 == 3) {
    status = freyja_delete(db, &key, 1, NULL);
    after = -1;
  } else {
    status = freyja_put(db, &key, 1, value, size, NULL);
  }
  if (!freyja_is_fault(status)) m->now[k] = m->maybe[k] = after;
  else if (!poisoned && is_poisoned(db)) m->maybe[k] = after;
  if (step % 9 == 8) (void)freyja_rotate(db, NULL);
  if (step % 5 == 4) (void)freyja_sync(db, NULL);
}

static void iterate(freyja *db) {
  freyja_iterator_options options = {.order = FREYJA_ORDER_KEY};
  freyja_iterator *iterator = NULL;
  freyja_entry entry;
  for (int order = 0; order < 2; order++) {
    options.order = (freyja_order)order;
    if (freyja_iterator_open(db, &options, &iterator, NULL) != FREYJA_OK) continue;
    for (int i = 0; i < 2 * KEYS; i++)
      if (freyja_iterator_next(iterator, &entry, NULL) != FREYJA_OK) break;
    freyja_iterator_close(iterator);
  }
}

/* Removes a directory with the files and directories in it. */
static void remove_store(const char *folder) {
  DIR *stream = opendir(folder);
  const struct dirent *entry = NULL;
  while (stream != NULL && (entry = readdir(stream)) != NULL) {
    char name[512];
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    (void)snprintf(name, sizeof name, "%s/%s", folder, entry->d_name);
    if (unlink(name) != 0) remove_store(name);
  }
  if (stream != NULL) (void)closedir(stream);
  (void)rmdir(folder);
}

/* ---- verify, backup and repair -------------------------------------------------------------
 */

static bool is_same(const model *a, const model *b) { return memcmp(a, b, sizeof *a) == 0; }

/* Makes a backup and verifies. Without a fault nothing is found; a report of a fault is not of
 * a key. A backup that was made is remembered in *copy. */
static bool check_up(freyja *db, const model *m, int session, model *copy) {
  char name[192];
  freyja_report report;
  freyja_backup_options options = {.copy = session == 0};
  long before = calls;
  (void)snprintf(name, sizeof name, "%s/%d", copies, session);
  if (freyja_backup(db, name, &options, NULL) == FREYJA_OK) copy[session] = *m;
  if (freyja_verify(db, NULL, NULL, &report, NULL) != FREYJA_OK || is_poisoned(db))
    return true;
  bool faulty =
      fail_at != 0 && (fail_on ? fail_at <= calls : fail_at > before && fail_at <= calls);
  if (report.problems > 0 && !faulty)
    return wrong("verify finds a problem where there is none");
  return report.problems > 0 || report.records > 0 || wrong("verify read nothing");
}

/* What lies where a backup was to be made is a store with what there was then, or none. */
static bool agrees_copy(const freyja_options *options, int session, const model *copy,
                        const model *none) {
  char name[192];
  freyja *db = NULL;
  freyja_options chosen = *options;
  freyja_report report;
  chosen.create = false;
  chosen.os = NULL;
  (void)snprintf(name, sizeof name, "%s/%d", copies, session);
  freyja_status status = freyja_open(name, &chosen, &db, NULL);
  if (status != FREYJA_OK)
    return is_same(copy, none) || wrong("a backup that was made does not open");
  bool right = is_same(copy, none) || agrees(db, copy, false, false);
  if (right && (freyja_verify(db, NULL, NULL, &report, NULL) != FREYJA_OK || report.problems))
    right = wrong("a backup does not pass verify");
  (void)freyja_close(db, NULL);
  return right;
}

/* Repairs the closed store: what that makes is whole, holds what the store holds if no problem
 * was told of, and is no store if it failed (unless what failed is removing it). */
static bool mend(const fj_os *os, const model *m, int session) {
  char name[192];
  freyja *db = NULL;
  freyja_options chosen;
  freyja_report report, check;
  (void)snprintf(name, sizeof name, "%s/mended%d", copies, session);
  freyja_status status = fj_repair(os, path, name, NULL, NULL, &report, NULL);
  freyja_options_init(&chosen);
  chosen.create = false;
  bool opens = freyja_open(name, &chosen, &db, NULL) == FREYJA_OK;
  bool right = true;
  if (status == FREYJA_OK && !opens) return wrong("a repaired store does not open");
  if (status != FREYJA_OK && opens && !fail_on) right = wrong("half a repaired store opens");
  if (opens && report.problems == 0) right = right && agrees(db, m, false, true);
  if (opens &&
      (freyja_verify(db, NULL, NULL, &check, NULL) != FREYJA_OK || check.problems > 0))
    right = wrong("a repaired store does not pass verify");
  (void)freyja_close(db, NULL);
  return right;
}

/* Two sessions of writing, or, `checking`, one of a few writes that ends with a check-up: the
 * calls are swept by all calls, so a scenario had better be short. */
static bool run(const freyja_options *options, const fj_os *os, bool checking) {
  model m, none, copy[2];
  freyja_options chosen = *options;
  freyja *db = NULL;
  remove_store(path);
  remove_store(copies);
  (void)mkdir(copies, 0700);
  for (int k = 0; k < KEYS; k++) m.now[k] = m.maybe[k] = -1;
  memset(&none, 0, sizeof none);
  copy[0] = copy[1] = none;
  chosen.os = os;
  calls = 0;
  held = 0;
  for (int session = 0; session < 2; session++) {
    int steps = checking ? 5 : STEPS;
    if (freyja_open(path, &chosen, &db, NULL) != FREYJA_OK) continue;
    settle(db, &m);
    for (int i = 0; i < steps; i++) {
      write_step(db, &m, session * STEPS + i + (checking ? 4 : 0));
      if (i % 8 == 7 && !agrees(db, &m, true, false)) return false;
    }
    if (!checking) iterate(db);
    else if (!check_up(db, &m, session, copy)) return false;
    (void)freyja_close(db, NULL);
    if (checking && !mend(os, &m, session)) return false;
  }
  if (held != 0) return wrong("%ld descriptors, mappings or blocks are left", held);
  fail_at = 0; /* the fault is gone */
  freyja_error error;
  if (freyja_open(path, &chosen, &db, &error) != FREYJA_OK)
    return wrong("open without faults: %s (%s)", error.message, error.path);
  bool right = agrees(db, &m, false, true);
  for (int session = 0; session < 2 && right && checking; session++)
    right = agrees_copy(options, session, &copy[session], &none);
  if (right && freyja_put(db, "z", 1, "z", 1, &error) != FREYJA_OK)
    right = wrong("put without faults: %s", error.message);
  if (freyja_close(db, &error) != FREYJA_OK) right = wrong("close: %s", error.message);
  if (right && held != 0) right = wrong("%ld left after closing", held);
  return right;
}

/* Fails each call of the scenario in turn; returns the number of calls that failed. */
static long sweep(const freyja_options *options, const fj_os *os, bool checking,
                  const char *name) {
  static const int codes[] = {EIO, ENOSPC, ENOMEM, EMFILE, EINTR};
  long points = 0;
  for (size_t c = 0; c < sizeof codes / sizeof *codes; c++) {
    for (int on = 0; on < 2; on++) {
      if (codes[c] == EINTR && on) continue;        /* for ever is not an interruption */
      if (codes[c] == EMFILE && checking) continue; /* as EIO, there */
      for (long at = 1; at < CALLS_MAX; at++) {
        fail_code = codes[c];
        fail_on = on;
        fail_at = at;
        if (!run(options, os, checking)) {
          printf("not ok %s: call %ld fails by %s%s: %s\n", name, at, strerror(codes[c]),
                 on ? ", and all after it" : "", why);
          return -1;
        }
        if (calls < at) break;
        points++;
      }
    }
  }
  return points;
}

int main(void) {
  int failures = 0;
  char folder[] = "/dev/shm/freyja-faults-XXXXXX"; /* a sync costs nothing there */
  real = fj_os_real();
  fj_os os = make_table();
  if (mkdtemp(folder) == NULL) return 1;
  (void)snprintf(path, sizeof path, "%s/db", folder);
  (void)snprintf(copies, sizeof copies, "%s/copies", folder);
  static const freyja_sync_mode modes[] = {FREYJA_SYNC_NONE, FREYJA_SYNC_ALWAYS};
  for (int io = FREYJA_IO_MMAP; io <= FREYJA_IO_SYSCALL; io++) {
    for (size_t mode = 0; mode < 3; mode++) {
      freyja_options options;
      char name[80];
      bool checking = mode == 2;
      freyja_options_init(&options);
      options.io = (freyja_io)io;
      options.sync_mode = modes[mode % 2];
      options.segment_size = FREYJA_SEGMENT_SIZE_MIN;
      (void)snprintf(name, sizeof name, "faults%s, io = %s, sync = %s",
                     checking ? " of backup, verify and repair" : "",
                     io == FREYJA_IO_MMAP ? "mmap" : "syscall", mode == 1 ? "always" : "none");
      long points = sweep(&options, &os, checking, name);
      if (points > 0) printf("ok %s: %ld calls failed\n", name, points);
      else failures++;
    }
  }
  remove_store(folder);
  return failures == 0 ? 0 : 1;
}
