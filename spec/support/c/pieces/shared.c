/* shared.c - see shared.h. */
#include "shared.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hash.h"

#define SOON UINT64_C(100000000) /* microseconds */

char pieces_path[64];
uint64_t pieces_jump;
bool pieces_no_thread;
int pieces_pages = -1;

static int failures;
static pieces_look shown; /* by the store that was closed last */
static uint64_t state;

void pieces_ok(bool condition, const char *name) {
  printf("%s pieces: %s\n", condition ? "ok" : "not ok", name);
  failures += !condition;
}

bool pieces_all_good(void) { return failures == 0; }

void pieces_demand(bool condition, const char *what, const freyja_error *error) {
  if (condition) return;
  printf("not ok pieces: %s: %s\n", what, error == NULL ? "it failed" : error->message);
  exit(1);
}

void pieces_seed(uint64_t seed) { state = seed; }

uint32_t pieces_below(uint32_t bound) {
  state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)((state >> 32) * bound >> 32);
}

/* ---- a system that has less ------------------------------------------------------- */

/* In the place of the library's, which it calls. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                   void *(*run)(void *argument), void *argument) {
  typedef int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  create real = NULL;
  void *symbol = dlsym(RTLD_NEXT, "pthread_create");
  memcpy(&real, &symbol, sizeof real);
  return pieces_no_thread ? EAGAIN : real(thread, attributes, run, argument);
}

/* Time stands still but where it jumps: what looks alike is looked at at the same moment. */
static uint64_t later(void *context) {
  static uint64_t begin;
  if (begin == 0) begin = fj_os_real()->now(context);
  return begin + pieces_jump;
}

static uint64_t stand_still(void *context) {
  (void)context;
  return 1000000;
}

static void *allocate_pages(void *context, size_t size) {
  if (pieces_pages == 0) return NULL;
  if (pieces_pages > 0) pieces_pages--;
  return fj_os_real()->allocate_pages(context, size);
}

static const fj_os *changed(bool several) {
  static fj_os both[2];
  fj_os *os = &both[several];
  *os = *fj_os_real();
  os->now = later;
  os->monotonic = stand_still;
  os->allocate_pages = allocate_pages;
  os->shares = several;
  return os;
}

/* ---- folders ---------------------------------------------------------------------- */

void pieces_copy(const char *from, const char *to) {
  char command[300];
  (void)snprintf(command, sizeof command, "rm -rf '%s' && cp -r '%s' '%s'", to, from, to);
  pieces_demand(system(command) == 0, "a copy", NULL);
}

void pieces_remove(void) {
  char command[300];
  (void)snprintf(command, sizeof command, "rm -rf '%s' '%s.look' '%s.kept'", pieces_path,
                 pieces_path, pieces_path);
  pieces_demand(system(command) == 0, "the folder is removed", NULL);
}

void pieces_keep(bool back) {
  char kept[80];
  (void)snprintf(kept, sizeof kept, "%s.kept", pieces_path);
  pieces_copy(back ? kept : pieces_path, back ? pieces_path : kept);
}

/* ---- stores ----------------------------------------------------------------------- */

static freyja_status open_it(const char *path, bool several, freyja_io io,
                             uint32_t segment_size, freyja **out, freyja_error *error) {
  freyja_options options;
  freyja_options_init(&options);
  options.os = changed(several);
  options.io = io;
  options.sync_mode = FREYJA_SYNC_NONE;
  if (segment_size > 0) options.segment_size = segment_size;
  return freyja_open(path, &options, out, error);
}

freyja *pieces_make(uint32_t segment_size) {
  freyja_error error;
  freyja *db = NULL;
  pieces_remove();
  freyja_status status =
      open_it(pieces_path, false, FREYJA_IO_MMAP, segment_size, &db, &error);
  pieces_demand(status == FREYJA_OK, "a store is made", &error);
  return db;
}

freyja *pieces_again(void) {
  freyja_error error;
  freyja *db = NULL;
  pieces_demand(open_it(pieces_path, true, FREYJA_IO_MMAP, 0, &db, &error) == FREYJA_OK,
                "a store opens", &error);
  return db;
}

void pieces_put(freyja *db, const void *key, size_t key_size, const void *value, size_t size,
                uint64_t ttl) {
  freyja_error error;
  pieces_demand(freyja_put_ttl(db, key, key_size, value, size, ttl, &error) == FREYJA_OK,
                "a put", &error);
}

/* ---- looking ---------------------------------------------------------------------- */

static void read_all(freyja *db, pieces_look *look) {
  freyja_iterator *iterator = NULL;
  freyja_error error;
  freyja_status status = freyja_iterator_open(db, NULL, &iterator, &error);
  pieces_demand(status == FREYJA_OK, "an iterator", &error);
  for (;;) {
    freyja_entry e;
    status = freyja_iterator_next(iterator, &e, &error);
    if (status == FREYJA_END) break;
    look->digest = fj_hash(&status, sizeof status, look->digest);
    if (status != FREYJA_OK) {
      look->digest = fj_hash(error.message, strlen(error.message), look->digest);
      continue;
    }
    look->entries++;
    look->digest = fj_hash(e.key.data, e.key.size, look->digest);
    look->digest = fj_hash(e.value.data, e.value.size, look->digest);
    look->found += freyja_has(db, e.key.data, e.key.size, NULL) == FREYJA_OK;
  }
  freyja_iterator_close(iterator);
  pieces_jump += SOON;
  while (freyja_expire(db, 1 << 20, &error) == FREYJA_OK) {
  }
  freyja_stats stats;
  freyja_get_stats(db, &stats);
  look->counted = stats.keys;
  pieces_jump -= SOON;
}

void pieces_close(freyja *db) {
  char name[80];
  freyja_error error;
  memset(&shown, 0, sizeof shown);
  read_all(db, &shown);
  pieces_demand(freyja_close(db, &error) == FREYJA_OK, "a store closes", &error);
  (void)snprintf(name, sizeof name, "%s/KEYDIR", pieces_path);
  (void)unlink(name);
}

void pieces_look_at(pieces_look *look, freyja_io io, bool several) {
  freyja *db = NULL;
  freyja_error error;
  freyja_stats stats;
  char copy[80];
  memset(look, 0, sizeof *look);
  (void)snprintf(copy, sizeof copy, "%s.look", pieces_path);
  pieces_copy(pieces_path, copy);
  look->opened = open_it(copy, several, io, 0, &db, &error);
  pieces_pages = -1;
  if (look->opened != FREYJA_OK) return;
  freyja_get_stats(db, &stats);
  look->recovery = stats.recovery;
  look->count = freyja_get_segments(db, look->segments, 64);
  pieces_demand(look->count <= 64, "few segments", NULL);
  read_all(db, look);
  pieces_demand(freyja_close(db, &error) == FREYJA_OK, "a reader closes", &error);
}

static bool show_same(const pieces_look *a, const pieces_look *b) {
  return a->entries == b->entries && a->digest == b->digest && a->found == b->found &&
         a->counted == b->counted;
}

static bool is_same(const pieces_look *a, const pieces_look *b, bool figures) {
  bool same = a->opened == b->opened && a->recovery.records == b->recovery.records &&
              a->recovery.bytes_cut == b->recovery.bytes_cut &&
              a->recovery.files_scanned == b->recovery.files_scanned &&
              a->recovery.damaged == b->recovery.damaged &&
              strcmp(a->recovery.damage.message, b->recovery.damage.message) == 0 &&
              a->count == b->count && show_same(a, b);
  for (size_t i = 0; same && figures && i < a->count; i++) {
    const freyja_segment *s = &a->segments[i], *t = &b->segments[i];
    same = s->id == t->id && s->bytes == t->bytes && s->live_bytes == t->live_bytes &&
           s->keys == t->keys && s->live_keys == t->live_keys &&
           s->tombstones == t->tombstones && s->oldest == t->oldest &&
           s->newest == t->newest && s->expires == t->expires && s->damaged == t->damaged;
  }
  return same;
}

bool pieces_are_same(bool whole) {
  static pieces_look one, alone, several;
  pieces_look_at(&one, FREYJA_IO_SYSCALL, false);
  pieces_look_at(&alone, FREYJA_IO_MMAP, false);
  pieces_look_at(&several, FREYJA_IO_MMAP, true);
  return (!whole || show_same(&one, &shown)) && is_same(&one, &alone, whole) &&
         is_same(&one, &several, whole);
}
