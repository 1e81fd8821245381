/* system.c - what the operating system tells the engine, by a table of functions in its
 * place (engine/os.h): a clock that jumps, each error it may name, descriptors it counts,
 * reads and writes that are short. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "freyja.h"
#include "os.h"

static int failures;
static char folder[300], path[320];

static const fj_os *real;
static uint64_t clock_now;      /* microseconds */
static int reserve_code;        /* what reserving says; 0: as it is */
static int lock_code;           /* as above */
static int lock_dir_code;       /* as above, for directories */
static uint64_t monotonic_now;  /* microseconds; of those tests that go by it */
static long syncs;              /* of files */
static long files_open;         /* descriptors */
static size_t transfer_max;     /* bytes that one read or write moves */
static int maps_left = INT_MAX; /* mappings that there is room for */
static bool interrupts;         /* every second call is interrupted */

static void ok(bool condition, const char *name) {
  printf("%s system: %s\n", condition ? "ok" : "not ok", name);
  failures += !condition;
}

/* ---- the table ------------------------------------------------------------- */

static uint64_t s_now(void *c) {
  (void)c;
  return clock_now;
}
static bool is_interrupted(void) {
  static unsigned calls;
  return interrupts && calls++ % 2 == 0;
}
static uint64_t s_monotonic(void *c) {
  (void)c;
  return monotonic_now;
}
static int s_sync(void *c, int file) {
  syncs++;
  return is_interrupted() ? -EINTR : real->sync(c, file);
}
static int s_sync_dir(void *c, int dir) {
  return is_interrupted() ? -EINTR : real->sync_dir(c, dir);
}
static int s_reserve(void *c, int file, uint64_t offset, uint64_t size) {
  if (is_interrupted()) return -EINTR;
  return reserve_code != 0 ? -reserve_code : real->reserve(c, file, offset, size);
}
static int s_lock(void *c, int file, bool exclusive) {
  return lock_code != 0 ? -lock_code : real->lock(c, file, exclusive);
}
static int s_lock_dir(void *c, int dir, bool exclusive) {
  return lock_dir_code != 0 ? -lock_dir_code : real->lock_dir(c, dir, exclusive);
}
static int s_open(void *c, int dir, const char *name, unsigned flags, int *file) {
  int code = real->open(c, dir, name, flags, file);
  files_open += code == 0;
  return code;
}
static int s_open_dir(void *c, int dir, const char *name, int *out) {
  int code = real->open_dir(c, dir, name, out);
  files_open += code == 0;
  return code;
}
static int s_close(void *c, int file) {
  files_open--;
  return real->close(c, file);
}
static int64_t s_read(void *c, int file, void *buffer, size_t size, uint64_t offset) {
  if (is_interrupted()) return -EINTR;
  return real->read(c, file, buffer, size < transfer_max ? size : transfer_max, offset);
}
/* Some bytes of the first part only. */
static int64_t s_write(void *c, int file, const freyja_slice *parts, size_t count,
                       uint64_t offset) {
  if (is_interrupted()) return -EINTR;
  if (transfer_max == SIZE_MAX) return real->write(c, file, parts, count, offset);
  freyja_slice first = parts[0];
  if (first.size > transfer_max) first.size = transfer_max;
  return real->write(c, file, &first, 1, offset);
}

static int s_map(void *c, int file, uint64_t size, bool writable, uint8_t **out) {
  return maps_left-- <= 0 ? (maps_left = 0, -ENOMEM) : real->map(c, file, size, writable, out);
}

static fj_os make_table(void) {
  fj_os os = *real;
  os.shares = false; /* a second open is as one of another process */
  os.now = s_now;
  os.reserve = s_reserve;
  os.lock = s_lock;
  os.lock_dir = s_lock_dir;
  os.open = s_open;
  os.open_dir = s_open_dir;
  os.close = s_close;
  os.sync = s_sync;
  os.sync_dir = s_sync_dir;
  os.read = s_read;
  os.write = s_write;
  os.map = s_map;
  return os;
}

static freyja *open_store(const fj_os *os, freyja_io io, freyja_status want,
                          freyja_error *error) {
  freyja_options options;
  freyja *db = NULL;
  freyja_options_init(&options);
  options.io = io;
  options.sync_mode = FREYJA_SYNC_NONE;
  options.os = os;
  freyja_status status = freyja_open(path, &options, &db, error);
  if (status != want) {
    printf("not ok system: open: %s (%s)\n", error->message, error->path);
    exit(1);
  }
  return db;
}

static void remove_store(void) {
  char command[340];
  (void)snprintf(command, sizeof command, "rm -rf '%s'", path);
  if (system(command) != 0) exit(1);
}

/* ---- the tests ------------------------------------------------------------- */

/* The clock goes back between the opens and within them; versions go on. */
static void test_clock(const fj_os *os, freyja_io io) {
  static const uint64_t times[] = {1700000000000000, 1600000000000000, 0,
                                   1600000000000001, 1800000000000000, 5};
  freyja_error error;
  uint64_t last = 0;
  bool right = true;
  remove_store();
  for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
    clock_now = times[i];
    freyja *db = open_store(os, io, FREYJA_OK, &error);
    for (int put = 0; put < 3; put++)
      right = right && freyja_put(db, "k", 1, "v", 1, NULL) == 0;
    freyja_segment segment;
    (void)freyja_get_segments(db, &segment, 1);
    right = right && segment.newest > last && segment.newest >= times[i];
    last = segment.newest;
    (void)freyja_close(db, NULL);
  }
  ok(right && last == 1800000000000005, "a clock that goes back does not take versions back");
  freyja *db = open_store(os, io, FREYJA_OK, &error);
  clock_now = UINT64_MAX;
  right = freyja_put(db, "last", 4, "v", 1, NULL) == FREYJA_OK;
  ok(right && freyja_put(db, "k", 1, "w", 1, &error) == FREYJA_LIMIT &&
         freyja_delete(db, "k", 1, &error) == FREYJA_LIMIT &&
         freyja_insert(db, "n", 1, "w", 1, &error) == FREYJA_LIMIT &&
         freyja_cas(db, "n", 1, NULL, &(freyja_slice){"w", 1}, &error) == FREYJA_LIMIT &&
         freyja_has(db, "k", 1, NULL) == FREYJA_OK,
     "at the end of time nothing is written");
  (void)freyja_close(db, NULL);
}

/* What each errno becomes. */
static void test_errors(const fj_os *os, freyja_io io) {
  static const struct {
    int code;
    freyja_status status;
  } rows[] = {{ENOSPC, FREYJA_FULL},   {EDQUOT, FREYJA_FULL}, {EFBIG, FREYJA_FULL},
              {ENOMEM, FREYJA_MEMORY}, {EIO, FREYJA_IO},      {EACCES, FREYJA_IO},
              {EROFS, FREYJA_IO},      {EBADF, FREYJA_IO}};
  freyja_error error;
  remove_store();
  freyja *db = open_store(os, io, FREYJA_OK, &error);
  bool right = true;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    reserve_code = rows[i].code;
    right = right && freyja_put(db, "k", 1, "v", 1, &error) == rows[i].status &&
            error.status == rows[i].status && error.os_code == rows[i].code &&
            strstr(error.message, strerror(rows[i].code)) != NULL &&
            strstr(error.path, "/1.data") != NULL && freyja_has(db, "k", 1, NULL) != FREYJA_OK;
  }
  reserve_code = 0;
  ok(right, "each error of a write has its status, its number, its text and the file");
  ok(freyja_put(db, "k", 1, "v", 1, NULL) == FREYJA_OK, "and none of them ends writing");
  (void)freyja_close(db, NULL);
  lock_code = ENOLCK;
  (void)open_store(os, io, FREYJA_IO, &error);
  ok(error.os_code == ENOLCK && strstr(error.path, "/LOCK") != NULL,
     "a file system without locks is told");
  lock_code = 0;
}

/* Whether opening the store is LOCKED, and the message says so. */
static bool is_locked(const freyja_options *options, const char *text) {
  freyja *db = NULL;
  freyja_error error;
  freyja_status status = freyja_open(path, options, &db, &error);
  (void)freyja_close(db, NULL);
  return status == FREYJA_LOCKED && strstr(error.message, text) != NULL;
}

/* Where directories cannot be locked, the file LOCK does it, within a process too. */
static void test_no_dir_lock(const fj_os *os) {
  static const int codes[] = {EOPNOTSUPP, ENOSYS, EBADF, EINVAL};
  freyja_options writing, reading;
  freyja_options_init(&writing);
  writing.os = os;
  reading = writing;
  reading.readonly = true;
  for (size_t c = 0; c < sizeof codes / sizeof *codes; c++) {
    freyja *first = NULL, *second = NULL;
    remove_store();
    lock_dir_code = codes[c];
    if (freyja_open(path, &writing, &first, NULL) != FREYJA_OK) exit(1);
    ok(is_locked(&writing, "in this process"),
       "where folders cannot be locked, the file LOCK keeps other writers out");
    ok(freyja_open(path, &reading, &second, NULL) == FREYJA_OK, "but not those who read");
    (void)freyja_close(first, NULL);
    (void)freyja_close(second, NULL);
  }
  lock_dir_code = 0;
}

/* Under sync = milliseconds a write that comes so long after the first one that was not
 * synced, and no earlier one, syncs what was written before it. */
static void test_interval(const fj_os *table, freyja_io io) {
  static const struct {
    uint64_t passed; /* microseconds since the write before */
    bool synced;
  } writes[] = {{0, false},      {249999, false}, {1, true},      {1, false},
                {249998, false}, {1, true},       {250000, true}, {900000, true}};
  fj_os os = *table;
  freyja_options options;
  freyja *db = NULL;
  bool right = true;
  os.monotonic = s_monotonic;
  freyja_options_init(&options);
  options.io = io;
  options.sync_mode = FREYJA_SYNC_INTERVAL;
  options.sync_ms = 250;
  options.os = &os;
  remove_store();
  monotonic_now = 1000000;
  if (freyja_open(path, &options, &db, NULL) != FREYJA_OK) exit(1);
  monotonic_now += 10000000; /* nothing waits for a sync meanwhile */
  for (size_t i = 0; i < sizeof writes / sizeof *writes; i++) {
    long before = syncs;
    monotonic_now += writes[i].passed;
    right = freyja_put(db, "k", 1, "v", 1, NULL) == FREYJA_OK && right;
    right = right && (syncs > before) == writes[i].synced;
  }
  ok(right, "a write syncs those before it when they have waited so many milliseconds");
  (void)freyja_close(db, NULL);
}

/* Where space cannot be reserved, all works by writes of its own. */
static void test_no_reserve(const fj_os *os, freyja_io io) {
  static const int codes[] = {EOPNOTSUPP, ENOSYS};
  char key[16], value[200], found[200];
  for (size_t c = 0; c < sizeof codes / sizeof *codes; c++) {
    bool right = true;
    size_t size = 0;
    freyja_error error;
    remove_store();
    reserve_code = codes[c];
    for (int round = 0; round < 2; round++) {
      freyja *db = open_store(os, io, FREYJA_OK, &error);
      for (int i = 0; i < 200 && right; i++) {
        size_t length = (size_t)snprintf(key, sizeof key, "key%d", i);
        memset(value, 'a' + i % 26, sizeof value);
        if (round == 0) right = freyja_put(db, key, length, value, sizeof value, NULL) == 0;
        right = right && freyja_get(db, key, length, found, sizeof found, &size, NULL) == 0 &&
                size == sizeof value && memcmp(found, value, size) == 0;
      }
      right = right && freyja_close(db, NULL) == FREYJA_OK;
    }
    reserve_code = 0;
    ok(right, "without reserved space puts are writes");
  }
}

/* Short ones, and interrupted ones. */
static void test_transfers(const fj_os *os, freyja_io io) {
  static const size_t sizes[] = {1, 7, 4095, SIZE_MAX};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    char value[3000], found[3000];
    size_t size = 0;
    freyja_error error;
    bool right = true;
    memset(value, 'v', sizeof value);
    remove_store();
    transfer_max = sizes[s];
    interrupts = s % 2 == 1;
    for (int round = 0; round < 3; round++) {
      freyja *db = open_store(os, io, FREYJA_OK, &error);
      if (round == 0) right = freyja_put(db, "k", 1, value, sizeof value, NULL) == FREYJA_OK;
      right = right && freyja_get(db, "k", 1, found, sizeof found, &size, NULL) == FREYJA_OK &&
              size == sizeof value && memcmp(found, value, size) == 0;
      if (round == 1) right = right && freyja_rotate(db, NULL) == FREYJA_OK;
      right = right && freyja_close(db, NULL) == FREYJA_OK;
    }
    transfer_max = SIZE_MAX;
    interrupts = false;
    ok(right, "what is short or interrupted goes on");
  }
}

/* A view lives on; the store's descriptors do not. */
static void test_descriptors(const fj_os *os, freyja_io io) {
  freyja_view views[2];
  freyja_error error;
  remove_store();
  files_open = 0;
  freyja *db = open_store(os, io, FREYJA_OK, &error);
  (void)freyja_put(db, "k", 1, "value", 5, NULL);
  (void)freyja_rotate(db, NULL);
  (void)freyja_put(db, "l", 1, "value", 5, NULL);
  bool right = freyja_get_view(db, "k", 1, &views[0], NULL) == FREYJA_OK &&
               freyja_get_view(db, "l", 1, &views[1], NULL) == FREYJA_OK;
  (void)freyja_close(db, NULL);
  ok(right && files_open == 0 && memcmp(views[0].data, "value", 5) == 0 &&
         memcmp(views[1].data, "value", 5) == 0,
     "a view keeps no descriptor when its store is closed");
  freyja_view_release(&views[0]);
  freyja_view_release(&views[1]);
}

static bool has(freyja *db, int i) {
  char key[16], value[16];
  size_t size = 0;
  size_t length = (size_t)snprintf(key, sizeof key, "key%d", i);
  return freyja_get(db, key, length, value, sizeof value, &size, NULL) == FREYJA_OK &&
         size == length && memcmp(key, value, size) == 0;
}

/* Where there is no room for more mappings, all goes on by calls. */
static void test_few_maps(const fj_os *os) {
  bool right = true;
  for (int room = 0; room < 10; room++) {
    int written = 0;
    freyja_error error;
    remove_store();
    for (int round = 0; round < 3; round++) {
      maps_left = room;
      freyja *db = open_store(os, FREYJA_IO_MMAP, FREYJA_OK, &error);
      freyja_view view = {0};
      for (int i = 0; i < 4 && right; i++) {
        char key[16];
        size_t length = (size_t)snprintf(key, sizeof key, "key%d", ++written);
        right = freyja_put(db, key, length, key, length, NULL) == FREYJA_OK &&
                freyja_rotate(db, NULL) == FREYJA_OK;
      }
      for (int i = 1; i <= written && right; i++) right = has(db, i);
      right = right && freyja_get_view(db, "key3", 4, &view, NULL) == FREYJA_OK;
      right = freyja_close(db, NULL) == FREYJA_OK && right;
      right = right && view.size == 4 && memcmp(view.data, "key3", 4) == 0;
      freyja_view_release(&view);
    }
  }
  maps_left = INT_MAX;
  ok(right, "without room for mappings all goes on");
}

/* ---- a limit on the size of files, which is not the same for long -------------- */

#define KIB 1024u

static void limit_files(rlim_t bytes) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(3);
  limit.rlim_cur = bytes;
  if (setrlimit(RLIMIT_FSIZE, &limit) != 0) _exit(3);
}

static int64_t write_at(int file, size_t size, uint64_t offset) {
  static const uint8_t zeros[128 * KIB];
  freyja_slice part = {zeros, size};
  return real->write(real->context, file, &part, 1, offset);
}

/* Writes far into a file; then its size is limited, and it is written to before that place:
 * 0 if the write was refused. Run where a signal kills only this. */
static int write_beyond(bool large) {
  int file = -1, other = -1;
  unsigned flags = FJ_OPEN_WRITE | FJ_OPEN_CREATE;
  if (real->open(real->context, AT_FDCWD, path, flags, &file) != 0) return 3;
  if (write_at(file, 8, 256 * KIB) != 8) return 3;
  limit_files(64 * KIB);
  /* What a small write was told holds until a file is opened, which a store does often. */
  if (!large && real->open(real->context, AT_FDCWD, path, FJ_OPEN_WRITE, &other) != 0)
    return 3;
  return write_at(file, large ? 100 * KIB : 8, large ? 0 : 100 * KIB) == -EFBIG ? 0 : 4;
}

static void test_size_limit(bool large) {
  int status = -1;
  (void)fflush(stdout);
  pid_t child = fork();
  if (child == 0) _exit(write_beyond(large));
  bool ended = child > 0 && waitpid(child, &status, 0) == child;
  ok(ended && WIFEXITED(status) && WEXITSTATUS(status) == 0,
     large ? "a large write beyond a new limit on files is an error, no signal"
           : "a write beyond a new limit on files is an error, no signal");
  (void)unlink(path);
}

int main(void) {
  const char *base = getenv("TMPDIR");
  (void)snprintf(folder, sizeof folder, "%s/freyja-system-XXXXXX",
                 base == NULL ? "/tmp" : base);
  if (mkdtemp(folder) == NULL) return 1;
  (void)snprintf(path, sizeof path, "%s/db", folder);
  real = fj_os_real();
  fj_os os = make_table();
  transfer_max = SIZE_MAX;
  for (int io = FREYJA_IO_MMAP; io <= FREYJA_IO_SYSCALL; io++) {
    clock_now = 1700000000000000;
    test_clock(&os, (freyja_io)io);
    clock_now = 1700000000000000;
    test_errors(&os, (freyja_io)io);
    test_no_reserve(&os, (freyja_io)io);
    test_transfers(&os, (freyja_io)io);
    test_descriptors(&os, (freyja_io)io);
    test_interval(&os, (freyja_io)io);
  }
  test_no_dir_lock(&os);
  test_few_maps(&os);
  remove_store();
  test_size_limit(false);
  test_size_limit(true);
  return rmdir(folder) == 0 && failures == 0 ? 0 : 1;
}
