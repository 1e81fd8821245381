/* interrupted.c - signals interrupt the system calls of the real os table (engine/os.c), and
 * reads and writes are short: nobody notices. The simulated disk cannot tell, as it takes
 * the place of what is tested here.
 *
 * The functions of the C library that os.c calls are defined below: each is interrupted in
 * turn, once and twice in a row, and then all of them at once. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "freyja.h"
#include "os.h"

#define KEYS 12

/* ---- the calls -------------------------------------------------------- */

typedef enum fault { NOTHING, INTERRUPTED, SHORT } fault;

static fault what;
static long at;    /* the number of the call; 0: every call, or every second one */
static long times; /* that it is interrupted, in a row */
static long calls;

/* Whether the call is the one. An interrupted one is made again, under a new number. */
static bool is_due(fault which) {
  if (what != which) return false;
  calls++;
  return at == 0 ? calls % 2 == 1 || which == SHORT : calls >= at && calls < at + times;
}

static bool interrupts(void) {
  if (!is_due(INTERRUPTED)) return false;
  errno = EINTR;
  return true;
}

int openat(int dir, const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
  va_end(arguments);
  return interrupts() ? -1 : (int)syscall(SYS_openat, dir, path, flags, mode);
}

int fcntl(int file, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void *argument = va_arg(arguments, void *);
  va_end(arguments);
  return interrupts() ? -1 : (int)syscall(SYS_fcntl, file, command, argument);
}

/* The descriptor is gone all the same. */
int close(int file) {
  int result = (int)syscall(SYS_close, file);
  return interrupts() ? -1 : result;
}

ssize_t pread(int file, void *buffer, size_t size, off_t offset) {
  if (interrupts()) return -1;
  if (is_due(SHORT) && size > 1) size /= 2;
  return syscall(SYS_pread64, file, buffer, size, offset);
}

/* A short one takes half of the first part that is not empty. */
ssize_t pwritev(int file, const struct iovec *parts, int count, off_t offset) {
  if (interrupts()) return -1;
  struct iovec half = {NULL, 0};
  for (int i = 0; i < count && half.iov_len == 0; i++) half = parts[i];
  half.iov_len -= half.iov_len / 2;
  bool cut = is_due(SHORT);
  return syscall(SYS_pwritev, file, cut ? &half : parts, cut ? 1 : count, offset, 0);
}

int fsync(int file) { return interrupts() ? -1 : (int)syscall(SYS_fsync, file); }
int fdatasync(int file) { return interrupts() ? -1 : (int)syscall(SYS_fdatasync, file); }
int ftruncate(int file, off_t size) {
  return interrupts() ? -1 : (int)syscall(SYS_ftruncate, file, size);
}
int fallocate(int file, int mode, off_t offset, off_t size) {
  return interrupts() ? -1 : (int)syscall(SYS_fallocate, file, mode, offset, size);
}
int mkdirat(int dir, const char *path, mode_t mode) {
  return interrupts() ? -1 : (int)syscall(SYS_mkdirat, dir, path, mode);
}
int renameat(int from, const char *name, int to, const char *other) {
  return interrupts() ? -1 : (int)syscall(SYS_renameat2, from, name, to, other, 0);
}
int unlinkat(int dir, const char *path, int flags) {
  return interrupts() ? -1 : (int)syscall(SYS_unlinkat, dir, path, flags);
}
ssize_t getrandom(void *buffer, size_t size, unsigned flags) {
  return interrupts() ? -1 : syscall(SYS_getrandom, buffer, size, flags);
}

/* ---- the scenario ----------------------------------------------------- */

static char folder[] = "/dev/shm/freyja-interrupted-XXXXXX"; /* a sync costs nothing there */
static char path[96];
static freyja_error error;

static void name_in(char *out, size_t room, const char *dir, const char *name) {
  (void)snprintf(out, room, "%s/%s", dir, name);
}

/* Removes a directory with the files and directories in it. */
static void remove_all(const char *dir) {
  DIR *stream = opendir(dir);
  const struct dirent *entry = NULL;
  while (stream != NULL && (entry = readdir(stream)) != NULL) {
    char name[400];
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    name_in(name, sizeof name, dir, entry->d_name);
    if (unlink(name) != 0) remove_all(name);
  }
  if (stream != NULL) (void)closedir(stream);
  (void)rmdir(dir);
}

/* Adds what a crash may leave: a torn tail, and a temporary file. */
static void leave(void) {
  char name[160];
  name_in(name, sizeof name, path, "2.data");
  FILE *file = fopen(name, "a");
  if (file != NULL) {
    (void)fputs("torn", file);
    (void)fclose(file);
  }
  name_in(name, sizeof name, path, "MANIFEST.tmp");
  file = fopen(name, "w");
  if (file != NULL) (void)fclose(file);
}

static bool is_ok(freyja_status status) { return status == FREYJA_OK; }

static bool write_some(freyja *db, int from) {
  char value[1000];
  for (int i = from; i < from + KEYS / 2; i++) {
    char key = (char)('a' + i);
    memset(value, key, sizeof value);
    if (!is_ok(freyja_put(db, &key, 1, value, i % 3 == 0 ? sizeof value : 30, &error)))
      return false;
  }
  return is_ok(freyja_sync(db, &error));
}

static bool read_some(freyja *db, int count) {
  freyja_iterator_options options = {.order = FREYJA_ORDER_KEY};
  freyja_iterator *iterator = NULL;
  freyja_entry entry;
  freyja_status status;
  int found = 0;
  char value[1000];
  for (int i = 0; i < count; i++) {
    char key = (char)('a' + i);
    size_t size = 0;
    if (!is_ok(freyja_get(db, &key, 1, value, sizeof value, &size, &error))) return false;
    if (value[0] != key || value[size - 1] != key) return false;
  }
  if (!is_ok(freyja_iterator_open(db, &options, &iterator, &error))) return false;
  while ((status = freyja_iterator_next(iterator, &entry, &error)) == FREYJA_OK) found++;
  freyja_iterator_close(iterator);
  return status == FREYJA_END && found == count;
}

static bool run(const freyja_options *options) {
  freyja *db = NULL;
  remove_all(path);
  calls = 0;
  memset(&error, 0, sizeof error);
  bool right = is_ok(freyja_open(path, options, &db, &error)) && write_some(db, 0) &&
               is_ok(freyja_rotate(db, &error)) && read_some(db, KEYS / 2);
  if (db != NULL) right = is_ok(freyja_close(db, &error)) && right;
  leave();
  db = NULL;
  right = right && is_ok(freyja_open(path, options, &db, &error)) &&
          write_some(db, KEYS / 2) && read_some(db, KEYS);
  if (db != NULL) right = is_ok(freyja_close(db, &error)) && right;
  return right;
}

/* The lowest descriptor that is free: where it grows, one was not closed. */
static int free_file(void) {
  int file = dup(0);
  (void)syscall(SYS_close, file);
  return file;
}

static bool sweep(const freyja_options *options, fault f, long in_a_row, long *runs) {
  int file = free_file();
  what = f;
  times = in_a_row;
  for (at = in_a_row == 0 ? 0 : 1;; at++) {
    bool right = run(options) && free_file() == file;
    ++*runs;
    if (!right) {
      printf("not ok interrupted, io = %d: call %ld, %ld times: %s (%s)\n", options->io, at,
             times, error.message, error.path);
      return false;
    }
    if (at == 0 || calls < at) return true;
  }
}

/* The descriptor is gone, which is what was asked for. */
static bool closes(void) {
  const fj_os *os = fj_os_real();
  what = INTERRUPTED;
  at = times = 1;
  calls = 0;
  bool right = os->close(os->context, (int)syscall(SYS_dup, 0)) == 0 && calls == 1;
  what = NOTHING;
  printf("%s interrupted: close\n", right ? "ok" : "not ok");
  return right;
}

int main(void) {
  int failures = !closes();
  if (mkdtemp(folder) == NULL) return 1;
  (void)snprintf(path, sizeof path, "%s/db", folder);
  for (int io = FREYJA_IO_MMAP; io <= FREYJA_IO_SYSCALL; io++) {
    freyja_options options;
    long runs = 0;
    freyja_options_init(&options);
    options.io = (freyja_io)io;
    options.segment_size = FREYJA_SEGMENT_SIZE_MIN * 4;
    bool right = sweep(&options, INTERRUPTED, 1, &runs) &&
                 sweep(&options, INTERRUPTED, 2, &runs) &&
                 sweep(&options, INTERRUPTED, 0, &runs) && sweep(&options, SHORT, 1, &runs) &&
                 sweep(&options, SHORT, 2, &runs) && sweep(&options, SHORT, 0, &runs);
    what = NOTHING;
    failures += !right;
    if (right)
      printf("ok interrupted, io = %s: %ld runs\n", io == FREYJA_IO_MMAP ? "mmap" : "syscall",
             runs);
  }
  remove_all(folder);
  return failures == 0 ? 0 : 1;
}
