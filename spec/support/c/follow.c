/* follow.c - stores that follow a writer: at every call that the writer makes to the system,
 * read-only stores are refreshed, or opened, and must show what the writer had committed
 * before the operation that is under way or will have after it, and what they show must not go
 * back.
 *
 *   follow               a fixed set of seeds, in seconds
 *   follow SEED [COUNT]  one run, of so many operations
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "freyja.h"
#include "os.h"

#define KEYS 40
#define VALUE_MAX 300
#define FOLLOWERS 4
#define OPERATIONS 700

static int failures;
static char folder[300], path[320], command[340];

static void ok(bool condition, const char *name) {
  printf("%s follow: %s\n", condition ? "ok" : "not ok", name);
  failures += !condition;
}

/* What each key holds: the number of the operation that put it; 0: nothing. */
typedef struct state {
  int of[KEYS];
} state;

/* A read-only store, and how it is used. */
typedef struct follower {
  freyja *db;
  unsigned every;      /* of so many calls of the writer one is a moment to refresh */
  bool comes_and_goes; /* it is opened instead */
  state shown;
  int seen;                  /* the last operation whose effect it has shown */
  freyja_iterator *iterator; /* one that was begun before */
  state begun;
} follower;

static const fj_os *real;
static fj_os os;
static freyja *writer;
static follower followers[FOLLOWERS];
static state before, after; /* of the operation that is under way */
static freyja_options reading, writing;
static uint64_t random_state;
static bool is_looking;
static int operation;
static const char *doing = "";
static long looks, glances, vain, ended;
static long fails_at; /* of a follower's calls, or allocations, from now on; 0: none */
static bool fails_memory;

static uint32_t pick(uint32_t below) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return (uint32_t)(random_state >> 11) % below;
}

static void wrong(const char *what, const freyja_error *error) {
  if (failures++ > 0) return;
  printf("# operation %d, %s: %s: %s\n", operation, doing, what,
         error == NULL ? "" : error->message);
}

/* ---- keys and values --------------------------------------------------------- */

static size_t make_key(int key, char *out) { return (size_t)sprintf(out, "key%d", key); }

static size_t make_value(int key, int serial, char *out) {
  int size = sprintf(out, "%d.%d.", key, serial);
  size_t all = (size_t)size + (size_t)(serial * 7 % (VALUE_MAX - size));
  memset(out + size, 'a' + serial % 26, all - (size_t)size);
  return all;
}

static int read_key(freyja_slice key) {
  char text[16];
  int number = -1;
  if (key.size > 8) return -1;
  memcpy(text, key.data, key.size);
  text[key.size] = '\0';
  return sscanf(text, "key%d", &number) == 1 && number < KEYS ? number : -1;
}

/* The serial of a value of the key, or -1. */
static int read_value(int key, const char *value, size_t size) {
  char text[VALUE_MAX + 1], want[VALUE_MAX + 1];
  int k = -1, serial = -1;
  if (size > VALUE_MAX) return -1;
  memcpy(text, value, size);
  text[size] = '\0';
  if (sscanf(text, "%d.%d.", &k, &serial) != 2 || k != key) return -1;
  size_t wanted = make_value(key, serial, want);
  return wanted == size && memcmp(want, value, size) == 0 ? serial : -1;
}

/* ---- looking ------------------------------------------------------------------- */

static bool same(const state *a, const state *b) { return memcmp(a, b, sizeof *a) == 0; }

/* All that an iterator has left; false if it gives what cannot be. */
static bool drain(freyja_iterator *it, state *out) {
  freyja_entry entry;
  freyja_error error;
  freyja_status status;
  memset(out, 0, sizeof *out);
  while ((status = freyja_iterator_next(it, &entry, &error)) == FREYJA_OK) {
    int key = read_key(entry.key);
    if (key < 0 || out->of[key] != 0) return false;
    out->of[key] = read_value(key, entry.value.data, entry.value.size);
  }
  /* Where all was read anew an iterator has ended, and says so. */
  ended += status == FREYJA_CLOSED;
  if (status == FREYJA_CLOSED) return false;
  if (status != FREYJA_END) wrong("iterating", &error);
  return true;
}

static void iterate(freyja *db, state *out) {
  freyja_iterator *it = NULL;
  freyja_error error;
  if (freyja_iterator_open(db, NULL, &it, &error) != FREYJA_OK) wrong("iterating", &error);
  else if (!drain(it, out)) wrong("an iterator gives a key twice, or none of ours", NULL);
  freyja_iterator_close(it);
}

static void get_all(freyja *db, state *out) {
  for (int key = 0; key < KEYS; key++) {
    char name[16], value[VALUE_MAX];
    size_t size = 0, key_size = make_key(key, name);
    freyja_error error;
    freyja_status status = freyja_get(db, name, key_size, value, sizeof value, &size, &error);
    if (status != FREYJA_OK && status != FREYJA_NOTFOUND) wrong("reading", &error);
    out->of[key] = status == FREYJA_OK ? read_value(key, value, size) : 0;
  }
}

/* Checks what the follower shows, which has just been refreshed. */
static void check(follower *f) {
  state got;
  freyja_stats stats;
  if (pick(2) == 0) iterate(f->db, &got);
  else get_all(f->db, &got);
  looks++;
  bool is_new = same(&got, &after);
  if (!is_new && !same(&got, &before)) wrong("a follower shows what never was", NULL);
  if (!is_new && f->seen == operation) wrong("what a follower shows goes back", NULL);
  if (is_new && !same(&before, &after)) f->seen = operation;
  uint64_t count = 0;
  for (int key = 0; key < KEYS; key++) count += got.of[key] != 0;
  freyja_get_stats(f->db, &stats);
  if (stats.keys != count) wrong("a follower counts other keys", NULL);
  f->shown = got;
}

/* An iterator shows what there was when it was made; where all was read anew, CLOSED. */
static void check_iterator(follower *f) {
  state got;
  if (f->iterator == NULL) return;
  if (drain(f->iterator, &got) && !same(&got, &f->begun))
    wrong("an iterator of a follower shows what was not there when it was made", NULL);
  freyja_iterator_close(f->iterator);
  f->iterator = NULL;
}

static void begin_iterator(follower *f) {
  freyja_error error;
  if (freyja_iterator_open(f->db, NULL, &f->iterator, &error) != FREYJA_OK)
    wrong("iterating", &error);
  f->begun = f->shown;
}

static void open_follower(follower *f) {
  freyja_error error;
  freyja_iterator_close(f->iterator);
  f->iterator = NULL;
  (void)freyja_close(f->db, NULL);
  if (freyja_open(path, &reading, &f->db, &error) != FREYJA_OK) {
    wrong("opening", &error);
    f->db = NULL;
    return;
  }
  freyja_stats stats;
  freyja_get_stats(f->db, &stats);
  if (stats.recovery.damaged > 0) wrong("a follower finds damage", &stats.recovery.damage);
}

/* A refresh in which a call fails, or an allocation: it is done, or what is shown is as it
 * was, or nothing is, by the same fault. */
static void refresh_in_vain(follower *f) {
  freyja_error error, fault;
  bool changed = false;
  state got;
  fails_at = 1 + pick(25);
  fails_memory = pick(2) == 0;
  freyja_status status = freyja_refresh(f->db, &changed, &error);
  bool failed = fails_at < 0;
  fails_at = 0;
  vain += failed;
  if (status == FREYJA_OK) return;
  if (!failed) wrong("refreshing", &error);
  freyja_status reads = freyja_has(f->db, "key0", 4, &fault);
  if (reads != FREYJA_OK && reads != FREYJA_NOTFOUND) {
    if (reads != status) wrong("reading fails otherwise than the refresh", &fault);
    return;
  }
  if (reading.io == FREYJA_IO_SYSCALL) return; /* files that were merged are gone */
  get_all(f->db, &got);
  if (!same(&got, &f->shown)) wrong("a refresh that failed has changed something", &error);
}

static void refresh(follower *f) {
  freyja_error error;
  bool changed = false;
  if (f->db != NULL && !f->comes_and_goes && pick(8) == 0) refresh_in_vain(f);
  if (f->comes_and_goes || f->db == NULL) {
    open_follower(f);
    if (f->db == NULL) return;
  } else if (freyja_refresh(f->db, &changed, &error) != FREYJA_OK) {
    wrong("refreshing", &error);
    return;
  }
  check(f);
  if (pick(4) == 0) check_iterator(f);
  if (f->iterator == NULL && pick(4) == 0) begin_iterator(f);
}

/* The writer is about to call the system, or has. */
static void glance(void) {
  if (is_looking || failures > 0) return;
  is_looking = true;
  glances++;
  for (follower *f = followers; f < followers + FOLLOWERS; f++)
    if (pick(f->every) == 0) refresh(f);
  is_looking = false;
}

/* ---- the writer's calls ---------------------------------------------------------- */

#define SEEN(call)                                                                            \
  glance();                                                                                   \
  int result = real->call;                                                                    \
  glance();                                                                                   \
  return result

static int w_open(void *c, int dir, const char *name, unsigned flags, int *file) {
  SEEN(open(c, dir, name, flags, file));
}
static int w_rename(void *c, int dir, const char *from, const char *to) {
  SEEN(rename(c, dir, from, to));
}
static int w_unlink(void *c, int dir, const char *name) { SEEN(unlink(c, dir, name)); }
static int w_truncate(void *c, int file, uint64_t size) { SEEN(truncate(c, file, size)); }
static int w_reserve(void *c, int file, uint64_t offset, uint64_t size) {
  SEEN(reserve(c, file, offset, size));
}
static int w_lock(void *c, int file, bool exclusive) { SEEN(lock(c, file, exclusive)); }
static int w_lock_dir(void *c, int dir, bool exclusive) { SEEN(lock_dir(c, dir, exclusive)); }
static int w_close(void *c, int file) { SEEN(close(c, file)); }
/* Nothing is to outlast the machine here. */
static int w_sync(void *c, int file) {
  (void)c, (void)file;
  glance();
  return 0;
}
static int64_t w_write(void *c, int file, const freyja_slice *parts, size_t count,
                       uint64_t offset) {
  glance();
  /* In two, as it may be seen. */
  freyja_slice half = {parts[0].data, parts[0].size / 2};
  if (half.size > 0) {
    int64_t result = real->write(c, file, &half, 1, offset);
    glance();
    if (result > 0) return result;
  }
  int64_t result = real->write(c, file, parts, count, offset);
  glance();
  return result;
}

static void make_table(void) {
  real = fj_os_real();
  os = *real;
  os.open = w_open;
  os.rename = w_rename;
  os.unlink = w_unlink;
  os.truncate = w_truncate;
  os.reserve = w_reserve;
  os.lock = w_lock;
  os.lock_dir = w_lock_dir;
  os.close = w_close;
  os.sync = os.sync_dir = w_sync;
  os.write = w_write;
}

/* ---- the followers' calls --------------------------------------------------------- */

static fj_os reading_os;

static bool fails(bool memory) {
  return fails_at > 0 && memory == fails_memory && --fails_at == 0 && (fails_at = -1) != 0;
}

static int r_open(void *c, int dir, const char *name, unsigned flags, int *file) {
  return fails(false) ? -EACCES : real->open(c, dir, name, flags, file);
}
static int r_stat(void *c, int file, fj_os_stat *out) {
  return fails(false) ? -EIO : real->stat(c, file, out);
}
static int64_t r_read(void *c, int file, void *buffer, size_t size, uint64_t offset) {
  return fails(false) ? -ENOMEM : real->read(c, file, buffer, size, offset);
}
static int r_map(void *c, int file, uint64_t size, bool writable, uint8_t **out) {
  return fails(false) ? -EPERM : real->map(c, file, size, writable, out);
}
static int r_is_locked(void *c, int file, bool exclusive) {
  return fails(false) ? -EIO : real->is_locked(c, file, exclusive);
}
static void *r_allocate(void *c, size_t size) {
  return fails(true) ? NULL : real->allocate(c, size);
}
static void *r_allocate_pages(void *c, size_t size) {
  return fails(true) ? NULL : real->allocate_pages(c, size);
}

static void make_reading_table(void) {
  reading_os = *real;
  reading_os.open = r_open;
  reading_os.stat = r_stat;
  reading_os.read = r_read;
  reading_os.map = r_map;
  reading_os.is_locked = r_is_locked;
  reading_os.allocate = r_allocate;
  reading_os.allocate_pages = r_allocate_pages;
}

/* ---- what the writer does ----------------------------------------------------------- */

static void must(freyja_status status, const freyja_error *error) {
  if (status != FREYJA_OK) wrong("the writer", error);
}

static int some_key(void) { return (int)pick(KEYS); }

static void do_put(void) {
  char name[16], value[VALUE_MAX];
  int key = some_key();
  freyja_error error;
  doing = "put";
  after.of[key] = operation;
  must(freyja_put(writer, name, make_key(key, name), value, make_value(key, operation, value),
                  &error),
       &error);
}

static void do_delete(void) {
  char name[16];
  int key = some_key();
  freyja_error error;
  doing = "delete";
  after.of[key] = 0;
  freyja_status status = freyja_delete(writer, name, make_key(key, name), &error);
  if (status != FREYJA_NOTFOUND) must(status, &error);
}

static void do_transact(void) {
  char name[16], value[VALUE_MAX];
  freyja_transaction *tx = NULL;
  state next = after;
  freyja_error error;
  doing = "transaction";
  must(freyja_begin(writer, NULL, &tx, &error), &error);
  for (uint32_t i = 1 + pick(8); i > 0; i--) {
    int key = some_key();
    size_t key_size = make_key(key, name);
    bool deletes = pick(4) == 0;
    freyja_status status;
    if (deletes) status = freyja_transaction_delete(tx, name, key_size, &error);
    else
      status = freyja_transaction_put(tx, name, key_size, value,
                                      make_value(key, operation, value), 0, &error);
    if (status != FREYJA_NOTFOUND) must(status, &error);
    next.of[key] = deletes ? 0 : operation;
  }
  after = next;
  must(freyja_transaction_commit(tx, &error), &error);
  freyja_transaction_close(tx);
}

static void do_load(void) {
  char name[16], value[VALUE_MAX];
  freyja_load *load = NULL;
  state next = after;
  freyja_error error;
  doing = "load";
  must(freyja_load_open(writer, &load, &error), &error);
  bool commits = pick(5) != 0;
  for (uint32_t i = 1 + pick(30); i > 0; i--) {
    int key = some_key();
    must(freyja_load_put(load, name, make_key(key, name), value,
                         make_value(key, operation, value), 0, &error),
         &error);
    if (commits) next.of[key] = operation;
  }
  after = next;
  if (commits) must(freyja_load_commit(load, &error), &error);
  freyja_load_close(load);
}

/* Some sealed segments; how many. */
static size_t choose(uint64_t *ids, size_t most) {
  static freyja_segment segments[512];
  size_t chosen = 0;
  uint64_t count = freyja_get_segments(writer, segments, 512);
  for (uint64_t i = 0; i < count && i < 512 && chosen < most; i++)
    if (segments[i].sealed && pick(2) == 0) ids[chosen++] = segments[i].id;
  return chosen;
}

static void do_merge(bool filters) {
  uint64_t ids[64];
  size_t count = choose(ids, 64);
  freyja_rewrite *rewrite = NULL;
  state next = after;
  freyja_error error;
  freyja_entry entry;
  freyja_status status = FREYJA_OK;
  doing = filters ? "filter" : "merge";
  if (count == 0) return;
  must(freyja_rewrite_open(writer, ids, count, &rewrite, &error), &error);
  while (filters && (status = freyja_rewrite_next(rewrite, &entry, &error)) == FREYJA_OK) {
    int key = read_key(entry.key);
    bool drops = pick(4) == 0;
    if (drops) next.of[key] = 0;
    must(drops ? freyja_rewrite_drop(rewrite, &error)
               : freyja_rewrite_keep(rewrite, NULL, &error),
         &error);
  }
  after = next;
  if (filters) must(freyja_rewrite_commit(rewrite, &error), &error);
  do {
    glance();
    status = freyja_rewrite_step(rewrite, 1 + pick(3000), &error);
    if (!filters && status == FREYJA_END) break;
  } while (status == FREYJA_OK);
  if (status != FREYJA_END) must(status, &error);
  freyja_rewrite_close(rewrite);
}

static void do_upkeep(void) {
  uint64_t ids[1];
  freyja_error error;
  uint32_t what = pick(4);
  doing = "upkeep";
  if (what == 0) must(freyja_rotate(writer, &error), &error);
  if (what == 1) must(freyja_checkpoint(writer, &error), &error);
  if (what == 2) must(freyja_sync(writer, &error), &error);
  if (what == 3 && choose(ids, 1) == 1) must(freyja_hint(writer, ids[0], &error), &error);
}

static void do_reopen(void) {
  freyja_error error;
  doing = "reopening";
  if (writer != NULL) must(freyja_close(writer, &error), &error);
  writer = NULL;
  must(freyja_open(path, &writing, &writer, &error), &error);
}

static void do_something(void) {
  uint32_t n = pick(100);
  if (n < 50) do_put();
  else if (n < 62) do_delete();
  else if (n < 72) do_transact();
  else if (n < 75) do_load();
  else if (n < 83) do_merge(false);
  else if (n < 86) do_merge(true);
  else if (n < 98) do_upkeep();
  else do_reopen();
}

/* ---- runs ---------------------------------------------------------------------------- */

static void end_run(void) {
  for (follower *f = followers; f < followers + FOLLOWERS; f++) {
    freyja_iterator_close(f->iterator);
    (void)freyja_close(f->db, NULL);
  }
  (void)freyja_close(writer, NULL);
  writer = NULL;
  memset(followers, 0, sizeof followers);
}

static void run(uint64_t seed, int count) {
  char name[120];
  random_state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
  if (system(command) != 0) exit(1);
  freyja_options_init(&writing);
  writing.os = &os;
  writing.segment_size = pick(2) == 0 ? FREYJA_SEGMENT_SIZE_MIN : 16384;
  writing.sync_mode = pick(2) == 0 ? FREYJA_SYNC_NONE : FREYJA_SYNC_ALWAYS;
  writing.io = pick(2) == 0 ? FREYJA_IO_MMAP : FREYJA_IO_SYSCALL;
  writing.hash_bits = pick(2) == 0 ? 64 : 1 + pick(5);
  freyja_options_init(&reading);
  reading.readonly = true;
  reading.os = &reading_os;
  reading.io = pick(3) == 0 ? FREYJA_IO_SYSCALL : FREYJA_IO_MMAP;
  reading.segment_size = pick(2) == 0 ? FREYJA_SEGMENT_SIZE_MIN : 1u << 20;
  memset(&before, 0, sizeof before);
  after = before;
  is_looking = true;
  operation = 0;
  do_reopen();
  followers[0].every = 3;
  followers[1].every = 100;
  followers[2].every = 2000;
  followers[3].every = 50;
  followers[3].comes_and_goes = true;
  for (int i = 0; i < FOLLOWERS; i++) open_follower(&followers[i]);
  is_looking = false;
  for (operation = 1; operation <= count && failures == 0; operation++) {
    do_something();
    before = after;
    glance();
  }
  doing = "in the end";
  for (int i = 0; i < FOLLOWERS && failures == 0; i++) refresh(&followers[i]);
  (void)snprintf(name, sizeof name, "seed %llu: %s, followed by %s, hash_bits %u",
                 (unsigned long long)seed, writing.io == FREYJA_IO_MMAP ? "mmap" : "syscall",
                 reading.io == FREYJA_IO_MMAP ? "mmap" : "syscall", writing.hash_bits);
  is_looking = true;
  end_run();
  is_looking = false;
  bool right = failures == 0;
  failures = 0;
  ok(right, name);
}

int main(int count, char **arguments) {
  const char *base = getenv("TMPDIR");
  (void)snprintf(folder, sizeof folder, "%s/freyja-XXXXXX", base != NULL ? base : "/tmp");
  if (mkdtemp(folder) == NULL) return 1;
  (void)snprintf(path, sizeof path, "%s/db", folder);
  (void)snprintf(command, sizeof command, "rm -rf %s", path);
  make_table();
  make_reading_table();
  int operations = count > 2 ? atoi(arguments[2]) : OPERATIONS;
  if (count > 1) run(strtoull(arguments[1], NULL, 10), operations);
  for (uint64_t seed = 1; count == 1 && seed <= 16 && failures == 0; seed++)
    run(seed, operations);
  printf(
      "# %ld calls of a writer, %ld looks at followers, %ld refreshes that met a fault, %ld "
      "iterators that ended early\n",
      glances, looks, vain, ended);
  (void)snprintf(command, sizeof command, "rm -rf %s", folder);
  if (system(command) != 0) return 1;
  return failures > 0;
}
