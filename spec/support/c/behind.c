/* behind.c - blocks of records that a thread writes: what goes wrong there is told where the
 * next is gathered, and changes nothing; closing, merging and forking in the middle; without a
 * thread the files are the same. The linker puts a count of the engine's threads in the place
 * of fj_thread_begin (--wrap). */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "freyja.h"

#include "os.h"
#include "outputs.h"
#include "share.h"
#include "thread.h"

#define VALUE 4000u        /* bytes */
#define KEYS 2000u         /* of them: eight blocks, in three segments */
#define HANG 100u          /* seconds */
#ifdef __SANITIZE_THREAD__ /* it is slow */
#define SHORT true
#else
#define SHORT false
#endif

static int failures;
static char folder[64], path[80];
static pthread_t owner;

static void ok(bool condition, const char *name) {
  printf("%s behind: %s\n", condition ? "ok" : "not ok", name);
  (void)fflush(stdout);
  failures += !condition;
}

static void demand(bool condition, const char *what, const freyja_error *error) {
  if (condition) return;
  printf("not ok behind: %s: %s\n", what, error == NULL ? "it failed" : error->message);
  (void)fflush(stdout);
  _exit(1);
}

/* ---- an operating system that fails, or waits --------------------------------------- */

static struct {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  unsigned writes;   /* by another thread than the owner */
  unsigned fails_at; /* the number of the one that fails, or is cut short first; 0: none */
  int code;          /* a negative errno; 0: it is cut short only */
  bool holds;        /* such a write waits */
  bool held;         /* one does */
  bool stands;       /* clocks stand still, and what is random is the same in each new store */
  uint8_t random;    /* the next byte of that */
  bool refuses;      /* threads */
  unsigned threads;  /* the engine's */
  void *blocks[4];   /* of FJ_OUTPUTS_BLOCK bytes, that it has; NULL: none */
  bool unreadable;   /* reads fail */
  unsigned late;     /* of both, how many there were when a file was renamed, at most */
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static int64_t write_slowly(void *context, int file, const freyja_slice *parts, size_t count,
                            uint64_t offset) {
  const fj_os *real = fj_os_real();
  bool fails = false;
  if (!pthread_equal(pthread_self(), owner)) {
    (void)pthread_mutex_lock(&disk.lock);
    fails = ++disk.writes == disk.fails_at;
    disk.held = disk.holds;
    (void)pthread_cond_broadcast(&disk.changed);
    while (disk.holds) (void)pthread_cond_wait(&disk.changed, &disk.lock);
    disk.held = false;
    (void)pthread_mutex_unlock(&disk.lock);
  }
  if (!fails) return real->write(context, file, parts, count, offset);
  if (disk.code != 0) return disk.code;
  freyja_slice half = {parts->data, parts->size / 2};
  return real->write(context, file, &half, 1, offset);
}

static int64_t read_if(void *context, int file, void *buffer, size_t size, uint64_t offset) {
  return disk.unreadable ? -EIO : fj_os_real()->read(context, file, buffer, size, offset);
}

static void plan(unsigned fails_at, int code, bool holds) {
  (void)pthread_mutex_lock(&disk.lock);
  disk.writes = 0;
  disk.fails_at = fails_at;
  disk.code = code;
  disk.holds = holds;
  (void)pthread_cond_broadcast(&disk.changed);
  (void)pthread_mutex_unlock(&disk.lock);
}

static unsigned count_writes(void) {
  (void)pthread_mutex_lock(&disk.lock);
  unsigned count = disk.writes;
  (void)pthread_mutex_unlock(&disk.lock);
  return count;
}

/* ---- what it hands out -------------------------------------------------------------- */

static void change_block(void *from, void *to) {
  unsigned i = 0;
  (void)pthread_mutex_lock(&disk.lock);
  while (i < 4 && disk.blocks[i] != from) i++;
  if (i < 4) disk.blocks[i] = to;
  (void)pthread_mutex_unlock(&disk.lock);
  demand(i < 4 || to == NULL, "few blocks", NULL);
}

static unsigned count_blocks(void) {
  unsigned count = 0;
  (void)pthread_mutex_lock(&disk.lock);
  for (unsigned i = 0; i < 4; i++) count += disk.blocks[i] != NULL;
  (void)pthread_mutex_unlock(&disk.lock);
  return count;
}

static void *allocate(void *context, size_t size) {
  void *block = fj_os_real()->allocate(context, size);
  if (block != NULL && size == FJ_OUTPUTS_BLOCK) change_block(NULL, block);
  return block;
}

static void release(void *context, void *block) {
  if (block != NULL) change_block(block, NULL);
  fj_os_real()->release(context, block);
}

static unsigned count_threads(void) {
  (void)pthread_mutex_lock(&disk.lock);
  unsigned count = disk.threads;
  (void)pthread_mutex_unlock(&disk.lock);
  return count;
}

static void add_threads(unsigned count) {
  (void)pthread_mutex_lock(&disk.lock);
  disk.threads += count;
  (void)pthread_mutex_unlock(&disk.lock);
}

typedef struct task {
  void *(*run)(void *argument);
  void *argument;
} task;

static void *run_task(void *argument) {
  task own = *(task *)argument;
  free(argument);
  void *result = own.run(own.argument);
  add_threads(-1u);
  return result;
}

bool __real_fj_thread_begin(pthread_t *thread, void *(*run)(void *argument), void *argument);
bool __wrap_fj_thread_begin(pthread_t *thread, void *(*run)(void *argument), void *argument);

bool __wrap_fj_thread_begin(pthread_t *thread, void *(*run)(void *argument), void *argument) {
  if (disk.refuses) return false;
  task *own = malloc(sizeof *own);
  demand(own != NULL, "memory", NULL);
  *own = (task){run, argument};
  add_threads(1);
  demand(__real_fj_thread_begin(thread, run_task, own), "a thread", NULL);
  return true;
}

static int rename_late(void *context, int dir, const char *from, const char *to) {
  unsigned count = count_threads() + count_blocks();
  if (count > disk.late) disk.late = count;
  return fj_os_real()->rename(context, dir, from, to);
}

static uint64_t get_time(void *context) {
  return disk.stands ? UINT64_C(1) << 50 : fj_os_real()->now(context);
}

static uint64_t get_monotonic(void *context) {
  return disk.stands ? 1 : fj_os_real()->monotonic(context);
}

static int get_random(void *context, void *buffer, size_t size) {
  uint8_t *bytes = buffer;
  if (!disk.stands) return fj_os_real()->random(context, buffer, size);
  for (size_t i = 0; i < size; i++) bytes[i] = disk.random++;
  return 0;
}

/* ---- a store ------------------------------------------------------------------------ */

static freyja_io io = FREYJA_IO_DEFAULT;

static freyja *open_store(void) {
  static fj_os os;
  freyja_options options;
  freyja_error error;
  freyja *db = NULL;
  os = *fj_os_real();
  os.read = read_if;
  os.write = write_slowly;
  os.allocate = allocate;
  os.release = release;
  os.rename = rename_late;
  os.now = get_time;
  os.monotonic = get_monotonic;
  os.random = get_random;
  freyja_options_init(&options);
  options.os = &os;
  options.io = io;
  options.segment_size = UINT64_C(3) << 20;
  options.sync_mode = FREYJA_SYNC_NONE;
  demand(freyja_open(path, &options, &db, &error) == FREYJA_OK, "a store opens", &error);
  return db;
}

static freyja *open_new(void) {
  static unsigned count;
  (void)snprintf(path, sizeof path, "%s/%u", folder, count++);
  disk.random = 0;
  disk.late = 0;
  return open_store();
}

static const uint8_t *value_of(uint32_t key, uint8_t turn) {
  static uint8_t value[VALUE];
  memset(value, (int)(key % 251) ^ turn, sizeof value);
  return value;
}

static void put_all(freyja *db, uint8_t turn) {
  freyja_error error;
  for (uint32_t i = 0; i < KEYS; i++)
    demand(freyja_put(db, &i, sizeof i, value_of(i, turn), VALUE, &error) == FREYJA_OK,
           "a put", &error);
}

/* Whether the store has these values, all of them, and nothing else. */
static bool holds_all(freyja *db, uint8_t turn) {
  freyja_stats stats;
  freyja_view view;
  bool same = true;
  freyja_get_stats(db, &stats);
  for (uint32_t i = 0; i < KEYS && same; i++) {
    same = freyja_get_view(db, &i, sizeof i, &view, NULL) == FREYJA_OK && view.size == VALUE &&
           memcmp(view.data, value_of(i, turn), VALUE) == 0;
    freyja_view_release(&view);
  }
  return same && stats.keys == KEYS;
}

static freyja_load *begin_load(freyja *db) {
  freyja_error error;
  freyja_load *load = NULL;
  demand(freyja_load_open(db, &load, &error) == FREYJA_OK, "a load begins", &error);
  return load;
}

/* Loads all of them; the first fault ends it. */
static freyja_status load_all(freyja *db, uint8_t turn, freyja_error *error) {
  freyja_load *load = begin_load(db);
  freyja_status status = FREYJA_OK;
  for (uint32_t i = 0; i < KEYS && status == FREYJA_OK; i++)
    status = freyja_load_put(load, &i, sizeof i, value_of(i, turn), VALUE, 0, error);
  if (status == FREYJA_OK) status = freyja_load_commit(load, error);
  freyja_load_close(load);
  return status;
}

/* Begins a merge of all that is sealed. */
static freyja_rewrite *begin_merge(freyja *db) {
  freyja_error error;
  freyja_segment segments[16];
  uint64_t ids[16];
  size_t count = freyja_get_segments(db, segments, 16), chosen = 0;
  freyja_rewrite *rewrite = NULL;
  for (size_t i = 0; i < count; i++)
    if (segments[i].sealed) ids[chosen++] = segments[i].id;
  demand(freyja_rewrite_open(db, ids, chosen, &rewrite, &error) == FREYJA_OK, "a merge begins",
         &error);
  return rewrite;
}

static freyja_status merge_all(freyja *db, freyja_error *error) {
  freyja_rewrite *rewrite = begin_merge(db);
  freyja_status status = FREYJA_OK;
  while (status == FREYJA_OK) status = freyja_rewrite_step(rewrite, 1 << 20, error);
  if (status == FREYJA_END) status = freyja_rewrite_commit(rewrite, error);
  while (status == FREYJA_OK) status = freyja_rewrite_step(rewrite, 1 << 20, error);
  freyja_rewrite_close(rewrite);
  return status == FREYJA_END ? FREYJA_OK : status;
}

/* Closes it, and whether another open finds the same. */
static bool close_and_look(freyja *db, uint8_t turn) {
  freyja_error error;
  demand(freyja_close(db, &error) == FREYJA_OK, "a store closes", &error);
  db = open_store();
  bool same = holds_all(db, turn);
  demand(freyja_close(db, &error) == FREYJA_OK, "a store closes", &error);
  return same;
}

/* ---- the tests ---------------------------------------------------------------------- */

typedef freyja_status call(freyja *db, freyja_error *error);

static freyja_status load_anew(freyja *db, freyja_error *error) {
  return load_all(db, 1, error);
}

/* Each write of a thread in turn, by one error of the operating system. */
static bool fails_well(call *work, uint8_t turn, int code, freyja_status expected) {
  bool good = true;
  for (unsigned at = 1; good; at++) {
    freyja_error error = {.status = FREYJA_OK};
    freyja *db = open_new();
    put_all(db, 0);
    plan(at, code, false);
    freyja_status status = work(db, &error);
    bool reached = count_writes() >= at;
    plan(0, 0, false);
    if (reached && expected != FREYJA_OK) {
      good = status == expected && error.status == expected && holds_all(db, 0) &&
             strstr(error.path, ".data") != NULL && work(db, &error) == FREYJA_OK;
    } else {
      good = status == FREYJA_OK;
    }
    good = good && holds_all(db, turn) && close_and_look(db, turn);
    if (!good) printf("# write %u, status %d: %s\n", at, (int)status, error.message);
    if (!reached) return good && at > 3; /* there are several */
  }
  return false;
}

static void test_faults(call *work, uint8_t turn, const char *what) {
  char name[120];
  (void)snprintf(name, sizeof name, "%s tells of a failed write and changes nothing", what);
  bool good = fails_well(work, turn, -EIO, FREYJA_IO);
  ok(good && (SHORT || fails_well(work, turn, -ENOSPC, FREYJA_FULL)), name);
  (void)snprintf(name, sizeof name, "%s goes on after short and interrupted writes", what);
  good = fails_well(work, turn, 0, FREYJA_OK);
  ok(good && (SHORT || fails_well(work, turn, -EINTR, FREYJA_OK)), name);
}

/* So many records that one block is full, but not the next. */
static void put_block(freyja_load *load) {
  freyja_error error;
  for (uint32_t i = 0; i < FJ_OUTPUTS_BLOCK / VALUE * 3 / 2; i++)
    demand(freyja_load_put(load, &i, sizeof i, value_of(i, 1), VALUE, 0, &error) == FREYJA_OK,
           "a record is loaded", &error);
}

static void wait_until_held(void) {
  (void)pthread_mutex_lock(&disk.lock);
  while (!disk.held) (void)pthread_cond_wait(&disk.changed, &disk.lock);
  (void)pthread_mutex_unlock(&disk.lock);
}

/* Lets the writes go on, after the owner has come to wait for them or before. */
static void *let_go(void *argument) {
  plan(0, 0, false);
  return argument;
}

static void test_close(bool of_store, const char *name) {
  freyja *db = open_new();
  freyja_error error;
  pthread_t other;
  put_all(db, 0);
  freyja_load *load = begin_load(db);
  plan(0, 0, true);
  put_block(load);
  wait_until_held();
  demand(pthread_create(&other, NULL, let_go, NULL) == 0, "a thread", NULL);
  if (of_store) demand(freyja_close(db, &error) == FREYJA_OK, "a store closes", &error);
  freyja_load_close(load);
  demand(pthread_join(other, NULL) == 0, "the thread ends", NULL);
  if (of_store) db = open_store();
  ok(holds_all(db, 0) && load_all(db, 1, &error) == FREYJA_OK && close_and_look(db, 1), name);
}

/* The child has no such thread, and what that has locked stays so. */
static void test_fork(void) {
  freyja *db = open_new();
  freyja_error error;
  int status = 1;
  put_all(db, 0);
  freyja_load *load = begin_load(db);
  plan(0, 0, true);
  put_block(load);
  wait_until_held();
  pid_t child = fork();
  if (child == 0) {
    (void)alarm(HANG);
    bool refused = freyja_load_commit(load, NULL) == FREYJA_FORKED;
    freyja_load_close(load);
    (void)freyja_close(db, NULL);
    _exit(refused ? 0 : 2);
  }
  demand(child > 0 && waitpid(child, &status, 0) == child, "the child ends", NULL);
  ok(status == 0, "a forked child closes a load without waiting for the thread");
  plan(0, 0, false);
  for (uint32_t i = 0; i < KEYS; i++)
    demand(freyja_load_put(load, &i, sizeof i, value_of(i, 1), VALUE, 0, &error) == FREYJA_OK,
           "a record is loaded", &error);
  demand(freyja_load_commit(load, &error) == FREYJA_OK, "a commit", &error);
  freyja_load_close(load);
  ok(holds_all(db, 1) && close_and_look(db, 1), "and the parent's goes on");
}

/* A store that was loaded and merged; it is closed. Whether all went well: `begun` tells
 * whether there were threads, and with that the blocks that are needed. */
static bool write_all(bool begun) {
  freyja_error error;
  freyja *db = open_new();
  put_all(db, 0);
  plan(0, 0, false);
  freyja_load *load = begin_load(db);
  put_block(load);
  bool good = count_blocks() == 1u + begun && count_threads() == begun;
  freyja_load_close(load);
  good = good && load_all(db, 1, &error) == FREYJA_OK && merge_all(db, &error) == FREYJA_OK;
  return good && (count_writes() > 0) == begun && close_and_look(db, 1);
}

/* Where no thread can be had its owner writes, and keeps no block for it. */
static void test_no_thread(void) {
  char one[sizeof path], command[2 * sizeof path + 40];
  disk.stands = true;
  bool good = write_all(true);
  strcpy(one, path);
  disk.refuses = true;
  good = write_all(false) && good;
  disk.stands = disk.refuses = false;
  ok(good, "a load and a merge go on where no thread can be had");
  /* A KEYDIR knows each file by its inode. */
  (void)snprintf(command, sizeof command, "diff -r -x KEYDIR '%s' '%s'", one, path);
  ok(system(command) == 0, "and the files are the same");
}

/* The thread and the blocks are for records, not for what follows. */
static void test_end(void) {
  freyja_error error;
  freyja *db = open_new();
  put_all(db, 0);
  bool good = load_all(db, 1, &error) == FREYJA_OK;
  ok(good && disk.late == 0, "a load ends the thread before it takes effect");
  freyja_rewrite *rewrite = begin_merge(db);
  freyja_status status = FREYJA_OK;
  for (good = false; status == FREYJA_OK; good = good || count_threads() + count_blocks() == 3)
    status = freyja_rewrite_step(rewrite, 1 << 20, &error);
  good = good && status == FREYJA_END && count_threads() == 0 && count_blocks() == 0;
  ok(good, "a merge ends it when all is copied");
  freyja_rewrite_close(rewrite);
  ok(close_and_look(db, 1), "and can be given up then");
}

/* Another merge takes its place: of one that waits for what is done with a record, too. */
static void test_displaced(bool lent, const char *name) {
  freyja *db = open_new();
  freyja_error error;
  freyja_entry entry;
  pthread_t other;
  put_all(db, 0);
  freyja_rewrite *rewrite = begin_merge(db);
  plan(0, 0, true);
  freyja_rewrite_give_way(rewrite);
  freyja_status status = freyja_rewrite_step(rewrite, FJ_OUTPUTS_BLOCK * 3 / 2, &error);
  if (status == FREYJA_OK && lent) status = freyja_rewrite_next(rewrite, &entry, &error);
  demand(status == FREYJA_OK, "records are copied", &error);
  wait_until_held();
  demand(pthread_create(&other, NULL, let_go, NULL) == 0, "a thread", NULL);
  bool good = merge_all(db, &error) == FREYJA_OK;
  demand(pthread_join(other, NULL) == 0, "the thread ends", NULL);
  good = good && count_threads() + count_blocks() == 0;
  good = good && freyja_rewrite_step(rewrite, 1, &error) == FREYJA_CLOSED;
  freyja_rewrite_close(rewrite);
  ok(good && close_and_look(db, 0), name);
}

/* The handle of a merge closes while its slots cannot be moved: they are by another. */
static void test_heir(bool closed_first, const char *name) {
  io = FREYJA_IO_SYSCALL;
  freyja *db = open_new(), *second = open_store();
  freyja_error error;
  freyja_progress before, after;
  put_all(db, 0);
  plan(0, 0, false);
  freyja_rewrite *rewrite = begin_merge(second);
  demand(freyja_rewrite_commit(rewrite, &error) == FREYJA_OK, "a commit", &error);
  freyja_rewrite_progress(rewrite, &before);
  bool good = count_writes() > 0 && before.written > 0 && before.outputs > 1;
  uint64_t stamp = db->store->index.last_timestamp;
  disk.unreadable = true;
  demand(freyja_close(second, &error) == FREYJA_OK, "a handle closes", &error);
  disk.unreadable = false;
  good = good && db->store->rewrite != NULL && db->store->index.last_timestamp == stamp;
  if (closed_first) freyja_rewrite_close(rewrite);
  good = good && merge_all(db, &error) == FREYJA_OK && holds_all(db, 0);
  if (!closed_first) {
    freyja_rewrite_progress(rewrite, &after);
    good = good && memcmp(&before, &after, sizeof after) == 0;
    freyja_rewrite_close(rewrite);
  }
  ok(good && close_and_look(db, 0), name);
  io = FREYJA_IO_DEFAULT;
}

int main(void) {
  char command[100];
  (void)alarm(HANG);
  owner = pthread_self();
  strcpy(folder, "/dev/shm/freyja-behind-XXXXXX");
  if (mkdtemp(folder) == NULL)
    demand(mkdtemp(strcpy(folder, "behind-XXXXXX")) != NULL, "a folder", NULL);
  test_faults(load_anew, 1, "a load");
  test_faults(merge_all, 0, "a merge");
  test_close(false, "a load is given up while a block is being written");
  test_close(true, "its store is closed then");
  test_fork();
  test_no_thread();
  test_end();
  test_displaced(false, "a merge gives way while a block is being written");
  test_displaced(true, "and with a record that its owner looks at");
  test_heir(true, "a handle leaves to another what it has copied, and is gone");
  test_heir(false, "or stays, and tells what it has copied");
  (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
  demand(system(command) == 0, "the folder is removed", NULL);
  return failures > 0;
}
