/* recognized.c - data files that an open by the KEYDIR does not open, since they are as they
 * were (S6): when it may, what it gives, and what becomes of it where they are not, by then or
 * later. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "freyja.h"

#define KEYS 300u /* of a segment */
#define SEGMENTS 3u

static int failures;
static freyja_io io;

static void ok(bool condition, const char *name) {
  printf("%s recognized: %s, io = %s\n", condition ? "ok" : "not ok", name,
         io == FREYJA_IO_MMAP ? "mmap" : "syscall");
  failures += !condition;
}

static void demand(bool condition, const char *what) {
  if (condition) return;
  printf("not ok recognized: %s\n", what);
  exit(1);
}

/* ---- how many data files are opened ------------------------------------------------- */

static unsigned opened;
static int (*real_open)(void *context, int dir, const char *name, unsigned flags, int *file);

static int count_open(void *context, int dir, const char *name, unsigned flags, int *file) {
  const char *end = strchr(name, '.');
  opened += end != NULL && strcmp(end, ".data") == 0 && (flags & FJ_OPEN_WRITE) == 0;
  return real_open(context, dir, name, flags, file);
}

/* ---- a store ---------------------------------------------------------------- */

typedef struct shop {
  sim_disk *disk;
  freyja_options options;
  freyja *db;
} shop;

static void open_it(shop *s) {
  freyja_error error;
  real_open = s->disk->os.open;
  s->disk->os.open = count_open;
  opened = 0;
  if (freyja_open("db", &s->options, &s->db, &error) == FREYJA_OK) return;
  printf("not ok recognized: open: %s (%s)\n", error.message, error.path);
  exit(1);
}

static void close_it(shop *s) {
  demand(freyja_close(s->db, NULL) == FREYJA_OK, "a store closes");
  demand(sim_disk_held(s->disk) == 0, "nothing is held behind it");
  s->disk->os.open = real_open;
}

/* The key of a number, of the store that is written by `letter`. */
static size_t name_key(char name[16], char letter, unsigned key) {
  return (size_t)snprintf(name, 16, "%c%05u", letter, key);
}

static void put(shop *s, char letter, unsigned key) {
  char name[16];
  size_t size = name_key(name, letter, key);
  demand(freyja_put(s->db, name, size, name, size, NULL) == FREYJA_OK, "a put");
}

/* OK: it has the value that it must have. */
static freyja_status get(shop *s, char letter, unsigned key, freyja_error *error) {
  char name[16], bytes[16];
  size_t size = 0, length = name_key(name, letter, key);
  freyja_status status = freyja_get(s->db, name, length, bytes, sizeof bytes, &size, error);
  if (status == FREYJA_OK)
    demand(size == length && memcmp(bytes, name, size) == 0, "the value is the key's");
  return status;
}

/* Whether all keys of segment `number` (0 is the first) give that. */
static bool gives(shop *s, char letter, unsigned number, freyja_status status) {
  for (unsigned i = number * KEYS; i < (number + 1) * KEYS; i++)
    if (get(s, letter, i, NULL) != status) return false;
  return true;
}

static bool gives_all(shop *s, char letter) {
  for (unsigned i = 0; i < SEGMENTS; i++)
    if (!gives(s, letter, i, FREYJA_OK)) return false;
  return true;
}

static void write_segment(shop *s, char letter, unsigned number) {
  for (unsigned i = 0; i < KEYS; i++) put(s, letter, number * KEYS + i);
  demand(freyja_rotate(s->db, NULL) == FREYJA_OK, "a rotation");
}

static void cover(shop *s) {
  demand(freyja_checkpoint(s->db, NULL) == FREYJA_OK, "a checkpoint");
  close_it(s);
}

static void begin(shop *s) {
  s->disk = sim_disk_create(1);
  s->disk->plain = true;
  s->disk->changes = SIM_ALL;
  freyja_options_init(&s->options);
  s->options.segment_size = 1u << 16;
  s->options.io = io;
  s->options.os = &s->disk->os;
  open_it(s);
}

/* 1.data to 3.data, sealed and covered by a KEYDIR; closed. */
static void make(shop *s) {
  begin(s);
  for (unsigned i = 0; i < SEGMENTS; i++) write_segment(s, 'k', i);
  cover(s);
}

static void end(shop *s) {
  close_it(s);
  sim_disk_destroy(s->disk);
}

static freyja_recovery recovery_of(shop *s) {
  freyja_stats stats;
  freyja_get_stats(s->db, &stats);
  return stats.recovery;
}

static bool is_covered(shop *s) { return recovery_of(s).checkpoint_used; }

/* A file of a store that was once the same and then went another way: its 2.data holds as many
 * bytes, at the same places, of other keys. */
static uint8_t *make_twin(uint64_t *size) {
  shop s;
  begin(&s);
  s.disk->clock += 1000000; /* 2.data was made at another time */
  write_segment(&s, 'k', 0);
  for (unsigned i = 1; i < SEGMENTS; i++) write_segment(&s, 't', i);
  close_it(&s);
  const uint8_t *bytes = sim_disk_bytes(s.disk, "db/2.data", size);
  uint8_t *copy = malloc((size_t)*size);
  demand(bytes != NULL && copy != NULL, "a copy");
  memcpy(copy, bytes, (size_t)*size);
  sim_disk_destroy(s.disk);
  return copy;
}

/* ---- that it is so ------------------------------------------------------------- */

static void test_files(void) {
  shop s;
  make(&s);
  open_it(&s);
  ok(is_covered(&s) && opened == 0, "an open opens no file that is as it was");
  bool first = get(&s, 'k', 0, NULL) == FREYJA_OK && opened == 1;
  ok(first && gives(&s, 'k', 0, FREYJA_OK) && opened == 1, "reading opens what it reads");
  ok(gives_all(&s, 'k') && opened == SEGMENTS, "and each once");
  close_it(&s);
  s.options.readonly = true;
  open_it(&s);
  ok(is_covered(&s) && opened >= SEGMENTS && gives_all(&s, 'k'),
     "a read-only one has all that a writer may remove");
  end(&s);
}

/* A merge makes files, and marks them when they are named. */
static void test_merged(void) {
  shop s;
  static const uint64_t ids[] = {1, 2};
  freyja_rewrite *rewrite = NULL;
  make(&s);
  open_it(&s);
  demand(freyja_rewrite_open(s.db, ids, 2, &rewrite, NULL) == FREYJA_OK &&
             freyja_rewrite_commit(rewrite, NULL) == FREYJA_OK,
         "a merge");
  freyja_rewrite_close(rewrite);
  cover(&s);
  open_it(&s); /* as long as the MANIFEST has retired files, they are marked once more */
  cover(&s);
  open_it(&s);
  ok(is_covered(&s) && opened == 0 && gives_all(&s, 'k'), "so are files that a merge made");
  end(&s);
}

/* Nobody looks at the header. */
static void test_header(void) {
  shop s;
  freyja_report report;
  make(&s);
  static const uint8_t junk[64] = {1};
  sim_disk_put_part(s.disk, "db/1.data", 0, junk, sizeof junk);
  open_it(&s);
  ok(is_covered(&s) && gives_all(&s, 'k'), "a damaged header keeps nothing from being read");
  demand(freyja_verify(s.db, NULL, NULL, &report, NULL) == FREYJA_OK, "verify");
  ok(report.problems == 1, "and verify tells of it");
  end(&s);
}

/* A merge whose inputs could not be removed yet: somebody goes through them when the process
 * is killed. Where what stands in their place is damaged they have to stay. */
static void test_retired(void) {
  static const uint64_t ids[] = {1, 2};
  static const uint8_t junk[64] = {1};
  freyja_rewrite *rewrite = NULL;
  freyja_iterator *iterator = NULL;
  freyja_segment segments[8];
  shop s;
  make(&s);
  open_it(&s);
  demand(freyja_iterator_open(s.db, NULL, &iterator, NULL) == FREYJA_OK &&
             freyja_rewrite_open(s.db, ids, 2, &rewrite, NULL) == FREYJA_OK &&
             freyja_rewrite_commit(rewrite, NULL) == FREYJA_OK &&
             freyja_checkpoint(s.db, NULL) == FREYJA_OK,
         "a merge");
  size_t count = freyja_get_segments(s.db, segments, 8);
  demand(count > 0 && segments[0].merged, "what it has made comes first");
  char path[32];
  (void)snprintf(path, sizeof path, "db/%llu.data", (unsigned long long)segments[0].id);
  demand(sim_disk_find(s.disk, "db/1.data") != UINT32_MAX, "an input stays");
  sim_disk_kill(s.disk);
  s.disk->os.open = real_open;
  sim_disk_put_part(s.disk, path, 0, junk, sizeof junk);
  open_it(&s);
  ok(sim_disk_find(s.disk, "db/1.data") != UINT32_MAX && gives_all(&s, 'k'),
     "what a damaged file has replaced stays");
  end(&s);
}

/* ---- that it is not -------------------------------------------------------------- */

static void test_changed(void) {
  shop s;
  uint64_t size = 0;
  uint8_t *twin = make_twin(&size);
  make(&s);
  sim_disk_put(s.disk, "db/2.data", twin, size);
  open_it(&s);
  ok(!is_covered(&s) && recovery_of(&s).checkpoint.status == FREYJA_CORRUPT &&
         gives(&s, 't', 1, FREYJA_OK) && gives(&s, 'k', 2, FREYJA_OK),
     "a file that was exchanged has its own records");
  end(&s);
  make(&s);
  open_it(&s);
  sim_disk_put(s.disk, "db/2.data", twin, size);
  put(&s, 'x', 0);
  cover(&s);
  open_it(&s);
  ok(!is_covered(&s) && recovery_of(&s).checkpoint.status == FREYJA_CORRUPT &&
         gives(&s, 't', 1, FREYJA_OK) && gives(&s, 'k', 2, FREYJA_OK),
     "and so has one that was exchanged while the store was open");
  end(&s);
  free(twin);
}

/* Another file has the name, of the same bytes even, or it is shorter, before it is opened. */
static void test_replaced(void) {
  for (uint64_t less = 0; less < 2; less++) {
    shop s;
    freyja_error error;
    uint64_t size = 0;
    make(&s);
    const uint8_t *bytes = sim_disk_bytes(s.disk, "db/2.data", &size);
    uint8_t *copy = malloc((size_t)size);
    demand(bytes != NULL && copy != NULL, "a copy");
    memcpy(copy, bytes, (size_t)size);
    open_it(&s);
    if (less == 0) sim_disk_remove(s.disk, "db/2.data");
    sim_disk_put(s.disk, "db/2.data", copy, size - less * SIM_PAGE);
    free(copy);
    freyja_status status = get(&s, 'k', KEYS, &error);
    ok(status == FREYJA_CORRUPT && strstr(error.path, "2.data") != NULL &&
           gives(&s, 'k', 1, FREYJA_CORRUPT) && gives(&s, 'k', 0, FREYJA_OK) &&
           gives(&s, 'k', 2, FREYJA_OK),
       less == 0 ? "a file that is replaced before it is opened is told of"
                 : "and so is one that is cut");
    end(&s);
  }
}

/* Whether the view of a key, if there is one, is right. */
static freyja_status view(shop *s, unsigned key) {
  char name[16];
  freyja_view found;
  size_t size = name_key(name, 'k', key);
  freyja_status status = freyja_get_view(s->db, name, size, &found, NULL);
  if (status != FREYJA_OK) return status;
  demand(found.size == size && memcmp(found.data, name, size) == 0, "the view is right");
  freyja_view_release(&found);
  return status;
}

/* Each call fails, or all from one on, while a file is opened to be read. */
static void test_faults(void) {
  static const int codes[] = {EIO, EMFILE, ENOENT, ENOMEM};
  static const sim_fault none;
  unsigned faults = 0;
  bool right = true, over = false;
  for (unsigned i = 0; i < 8; i++, over = false)
    for (long at = 1; !over && right; at++) {
      shop s;
      make(&s);
      open_it(&s);
      demand(get(&s, 'k', 0, NULL) == FREYJA_OK, "a get"); /* a shard is read */
      sim_fault fault = {.at = at, .on = i >= 4, .code = codes[i % 4]};
      sim_disk_fail(s.disk, &fault);
      freyja_status status = view(&s, KEYS + 1);
      over = s.disk->failed_calls == 0;
      faults += status != FREYJA_OK;
      sim_disk_fail(s.disk, &none);
      bool told = status == FREYJA_IO || (status == FREYJA_MEMORY && codes[i % 4] == ENOMEM);
      right = (status == FREYJA_OK || told) && view(&s, KEYS + 1) == FREYJA_OK &&
              gives_all(&s, 'k');
      end(&s);
    }
  ok(right && faults > 0, "a fault of opening it passes");
}

int main(void) {
  for (int i = FREYJA_IO_MMAP; i <= FREYJA_IO_SYSCALL; i++) {
    io = (freyja_io)i;
    test_files();
    test_merged();
    test_header();
    test_retired();
    test_changed();
    test_replaced();
    test_faults();
  }
  return failures == 0 ? 0 : 1;
}
