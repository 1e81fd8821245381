/* merging.c - see merging.h. The floor knows beforehand which records are live: it passes each
 * of those through the checksum, copies it to a mapped, reserved file and passes the copy
 * through the checksum, since a record's sum is bound to its place; then it syncs, and removes
 * the old file. It has no keys to find, no dead records to pass by, no slots to move. */
#include "merging.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "bench.h"

#define RUNS_MAX 99u
#define HEADER 24u
#define WRITES_PER_KEY 1.594 /* at random: then half of what was written is dead */
#define STEP (UINT64_C(4) << 20)

/* What is written: record i is of key keys[i]; live[i] if no later one is of it. */
typedef struct load {
  uint64_t writes, keys, live_count;
  size_t value_size, record_size;
  uint32_t *key_of;
  uint8_t *live;
} load;

static freyja_error error;

static void check(freyja_status status) {
  if (status == FREYJA_OK) return;
  fprintf(stderr, "%s: %s (%s)\n", freyja_status_name(status), error.message, error.path);
  exit(1);
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void remove_store(const char *path) {
  char command[600];
  (void)snprintf(command, sizeof command, "rm -rf '%s'", path);
  if (system(command) != 0) exit(1);
}

static void make_load(load *l, uint64_t mib, size_t value_size) {
  l->value_size = value_size;
  l->record_size = (HEADER + KEY_SIZE + value_size + 7) / 8 * 8;
  l->writes = (mib << 20) / l->record_size;
  l->keys = (uint64_t)((double)l->writes / WRITES_PER_KEY) + 1;
  l->live_count = 0;
  l->key_of = malloc(l->writes * sizeof *l->key_of);
  l->live = calloc(l->writes, 1);
  uint8_t *seen = calloc(l->keys, 1);
  if (l->key_of == NULL || l->live == NULL || seen == NULL) die("malloc");
  for (uint64_t i = 0; i < l->writes; i++)
    l->key_of[i] = (uint32_t)(XXH3_64bits(&i, sizeof i) % l->keys);
  for (uint64_t i = l->writes; i-- > 0;) {
    l->live[i] = !seen[l->key_of[i]];
    l->live_count += l->live[i];
    seen[l->key_of[i]] = 1;
  }
  free(seen);
}

/* ---- the floor ---------------------------------------------------------------- */

static uint8_t *map_file(const char *folder, const char *name, size_t size, int *file) {
  char path[512];
  (void)snprintf(path, sizeof path, "%s/%s", folder, name);
  *file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (*file < 0 || fallocate(*file, 0, 0, (off_t)size) != 0) die(path);
  uint8_t *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, *file, 0);
  if (map == MAP_FAILED) die("mmap");
  (void)unlink(path);
  return map;
}

static double floor_merge(const char *folder, const load *l) {
  int file = -1, made = -1;
  size_t size = l->record_size, all = l->writes * size, live = l->live_count * size;
  uint8_t *in = map_file(folder, "floor", all, &file);
  memset(in, 1, all);
  if (fdatasync(file) != 0) die("fdatasync");
  uint64_t sum = 0;
  double start = now();
  uint8_t *out = map_file(folder, "copies", live, &made), *to = out;
  for (uint64_t i = 0; i < l->writes; i++) {
    if (!l->live[i]) continue;
    const uint8_t *from = in + i * size;
    sum += XXH3_64bits_withSeed(from, size, i);
    memcpy(to, from, size);
    sum += XXH3_64bits_withSeed(to, size, sum);
    to += size;
  }
  if (fdatasync(made) != 0) die("fdatasync");
  (void)munmap(in, all);
  (void)close(file); /* and so removed */
  double time = now() - start;
  sink = sum;
  (void)munmap(out, live);
  (void)close(made);
  return time;
}

/* ---- the store ---------------------------------------------------------------- */

static void fill(freyja *db, const load *l) {
  static uint8_t value[1 << 16];
  uint8_t key[KEY_SIZE];
  for (uint64_t i = 0; i < l->writes; i++) {
    make_key(key, l->key_of[i]);
    check(freyja_put(db, key, KEY_SIZE, value, l->value_size, &error));
  }
  check(freyja_rotate(db, &error));
}

static double merge(freyja *db, const load *l) {
  freyja_segment segments[64];
  uint64_t ids[64];
  size_t count = freyja_get_segments(db, segments, 64), chosen = 0;
  freyja_rewrite *rewrite = NULL;
  freyja_status status = FREYJA_OK;
  freyja_stats stats;
  for (size_t i = 0; i < count && i < 64; i++)
    if (segments[i].sealed) ids[chosen++] = segments[i].id;
  double start = now();
  check(freyja_rewrite_open(db, ids, chosen, &rewrite, &error));
  while ((status = freyja_rewrite_step(rewrite, STEP, &error)) == FREYJA_OK) continue;
  if (status != FREYJA_END) check(status);
  check(freyja_rewrite_commit(rewrite, &error));
  while ((status = freyja_rewrite_step(rewrite, STEP, &error)) == FREYJA_OK) continue;
  if (status != FREYJA_END) check(status);
  freyja_rewrite_close(rewrite);
  double time = now() - start;
  freyja_get_stats(db, &stats);
  if (stats.keys != l->live_count || stats.dead_bytes > stats.bytes / 100) {
    fprintf(stderr, "not what was to be measured\n");
    exit(1);
  }
  return time;
}

static double store_merge(const char *folder, const freyja_options *options, const load *l) {
  char path[512];
  freyja *db = NULL;
  (void)snprintf(path, sizeof path, "%s/store", folder);
  remove_store(path);
  check(freyja_open(path, options, &db, &error));
  fill(db, l);
  double time = merge(db, l);
  check(freyja_close(db, &error));
  remove_store(path);
  return time;
}

/* ---- what is printed ------------------------------------------------------------ */

static int compare(const void *a, const void *b) {
  double x = *(const double *)a;
  double y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *values, unsigned count) {
  qsort(values, count, sizeof *values, compare);
  return values[count / 2];
}

static void print_one(const char *folder, const freyja_options *options, uint64_t mib,
                      size_t value_size, unsigned runs) {
  double store[RUNS_MAX], floor[RUNS_MAX], ratio[RUNS_MAX];
  load l;
  make_load(&l, mib, value_size);
  for (unsigned run = 0; run < runs; run++) {
    floor[run] = floor_merge(folder, &l);
    store[run] = store_merge(folder, options, &l);
    ratio[run] = floor[run] / store[run];
  }
  double live = (double)l.live_count, bytes = live * (double)l.record_size / (1 << 20);
  double time = median(store, runs), bare = median(floor, runs);
  printf("%8zu %8.2f %10.0f %10.0f %10.0f %10.0f %12.2f\n", value_size,
         live / (double)l.writes, time / live, bare / live, bytes / time * 1e9,
         bytes / bare * 1e9, median(ratio, runs));
  free(l.key_of);
  free(l.live);
}

void print_merging(const char *folder, const freyja_options *options, uint64_t mib,
                   unsigned runs) {
  static const size_t sizes[] = {100, 1000, 10000};
  freyja_options chosen = *options;
  chosen.sync_mode = FREYJA_SYNC_NONE;
  printf(
      "\nmerge of %llu MiB, medians of %u runs; ns per live record, MiB of them per second\n",
      (unsigned long long)mib, runs);
  printf("%8s %8s %10s %10s %10s %10s %12s\n", "value", "live", "ns", "floor", "MiB/s",
         "floor", "of its speed");
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    print_one(folder, &chosen, mib, sizes[i], runs);
}
