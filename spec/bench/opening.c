/* opening.c - see opening.h. The floor of the ways to open that read all is to read the same
 * files once through the checksum: as a whole; data files also as what they are, records with
 * checksums of their own (engine/FORMAT.md, section 3). All is done with the files in the page
 * cache. */
#include "opening.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "bench.h"

#define RUNS_MAX 99u
#define SEGMENT_HEADER 128u /* bytes */
#define RECORD_HEADER 24u   /* likewise; none of these records expires */

static freyja_error error;

static void check(freyja_status status) {
  if (status == FREYJA_OK) return;
  fprintf(stderr, "%s: %s (%s)\n", freyja_status_name(status), error.message, error.path);
  exit(1);
}

static void remove_store(const char *path) {
  char command[600];
  (void)snprintf(command, sizeof command, "rm -rf '%s'", path);
  if (system(command) != 0) exit(1);
}

static void fill(const char *path, const freyja_options *options, uint64_t keys,
                 size_t value_size) {
  static uint8_t value[1000];
  uint8_t key[KEY_SIZE];
  freyja *db = NULL;
  check(freyja_open(path, options, &db, &error));
  for (uint64_t i = 0; i < keys; i++) {
    make_key(key, i);
    check(freyja_put(db, key, KEY_SIZE, value, value_size, &error));
  }
  check(freyja_rotate(db, &error));
  check(
      freyja_put(db, key, KEY_SIZE, value, value_size, &error)); /* no store ends like that */
  check(freyja_close(db, &error));
}

/* Nanoseconds that writing all hint files takes. */
static double write_hints(const char *path, const freyja_options *options) {
  freyja *db = NULL;
  check(freyja_open(path, options, &db, &error));
  size_t count = freyja_get_segments(db, NULL, 0);
  freyja_segment *segments = calloc(count, sizeof *segments);
  if (segments == NULL) exit(1);
  (void)freyja_get_segments(db, segments, count);
  double start = now();
  for (size_t i = 0; i < count; i++)
    if (segments[i].sealed) check(freyja_hint(db, segments[i].id, &error));
  double time = now() - start;
  free(segments);
  check(freyja_close(db, &error));
  return time;
}

static void remove_checkpoint(const char *path) {
  char file[600];
  (void)snprintf(file, sizeof file, "%s/KEYDIR", path);
  (void)unlink(file);
}

/* Without the KEYDIR. */
static double open_once(const char *path, const freyja_options *options, uint64_t keys,
                        bool hints) {
  freyja *db = NULL;
  freyja_stats stats;
  remove_checkpoint(path);
  double start = now();
  check(freyja_open(path, options, &db, &error));
  double time = now() - start;
  freyja_get_stats(db, &stats);
  if (stats.keys != keys || (stats.recovery.hints_used > 0) != hints) {
    fprintf(stderr, "not what was to be measured\n");
    exit(1);
  }
  check(freyja_close(db, &error));
  return time;
}

/* All of a file at once. */
static void sum_whole(const uint8_t *map, size_t size) { sink = XXH3_64bits(map, size); }

/* Record by record: the sums of its key, its header and its value. */
static void sum_records(const uint8_t *map, size_t size) {
  uint64_t sum = 0;
  for (size_t at = SEGMENT_HEADER; at + RECORD_HEADER <= size;) {
    uint32_t value = 0;
    uint16_t key = 0;
    memcpy(&value, map + at + 8, sizeof value);
    memcpy(&key, map + at + 12, sizeof key);
    if (map[at + 14] == 0) break; /* no record: what is reserved */
    const uint8_t *p = map + at + RECORD_HEADER;
    uint64_t hash = XXH3_64bits(p, key);
    sum += XXH3_64bits_withSeed(map + at + 4, RECORD_HEADER - 4, at + hash);
    sum += XXH3_64bits_withSeed(p + key, value, at);
    at += (RECORD_HEADER + key + value + 7) / 8 * 8;
  }
  sink = sum;
}

typedef void (*sum_file)(const uint8_t *map, size_t size);

static void read_file(const char *path, sum_file sum) {
  struct stat st;
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0 || fstat(file, &st) != 0) exit(1);
  size_t size = (size_t)st.st_size;
  void *map = mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0);
  if (map == MAP_FAILED) exit(1);
  sum(map, size);
  (void)munmap(map, size);
  (void)close(file);
}

/* Nanoseconds of reading all files whose names end so. */
static double read_files(const char *path, const char *ending, sum_file sum) {
  double start = now();
  DIR *folder = opendir(path);
  if (folder == NULL) exit(1);
  for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
    char file[800];
    const char *dot = strrchr(entry->d_name, '.');
    if (dot == NULL || strcmp(dot, ending) != 0) continue;
    (void)snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
    read_file(file, sum);
  }
  (void)closedir(folder);
  return now() - start;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a;
  double y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *times, unsigned count, uint64_t keys) {
  qsort(times, count, sizeof *times, compare);
  return times[count / 2] / (double)keys;
}

static void print_one(const char *path, const freyja_options *options, uint64_t keys,
                      size_t value_size, unsigned runs) {
  double scan[RUNS_MAX], data[RUNS_MAX], records[RUNS_MAX], hinted[RUNS_MAX], hints[RUNS_MAX];
  remove_store(path);
  fill(path, options, keys, value_size);
  for (unsigned run = 0; run < runs; run++) {
    data[run] = read_files(path, ".data", sum_whole);
    records[run] = read_files(path, ".data", sum_records);
    scan[run] = open_once(path, options, keys, false);
  }
  double writing = write_hints(path, options) / (double)keys;
  for (unsigned run = 0; run < runs; run++) {
    hints[run] = read_files(path, ".hint", sum_whole);
    hinted[run] = open_once(path, options, keys, true);
  }
  remove_store(path);
  printf("%8zu %12.1f %12.1f %12.1f %12.1f %12.1f %12.1f\n", value_size,
         median(scan, runs, keys), median(data, runs, keys), median(records, runs, keys),
         median(hinted, runs, keys), median(hints, runs, keys), writing);
}

/* ---- by the KEYDIR ---------------------------------------------------------- */

enum { OPEN, FIRST, ALL, WRITE, CHECKPOINT_TIMES };

/* Nanoseconds of opening, of the first get, of the gets that bring all shards, and of writing
 * the KEYDIR anew. */
static void checkpoint_once(const char *path, const freyja_options *options, uint64_t keys,
                            double times[CHECKPOINT_TIMES]) {
  uint8_t key[KEY_SIZE];
  freyja *db = NULL;
  freyja_stats stats;
  double start = now();
  check(freyja_open(path, options, &db, &error));
  times[OPEN] = now() - start;
  freyja_get_stats(db, &stats);
  if (!stats.recovery.checkpoint_used || stats.keys != keys) {
    fprintf(stderr, "not what was to be measured\n");
    exit(1);
  }
  start = now();
  make_key(key, 0);
  check(freyja_has(db, key, KEY_SIZE, &error));
  times[FIRST] = now() - start;
  for (uint64_t i = 0; i < keys; i += keys / 10000 + 1) {
    make_key(key, i);
    check(freyja_has(db, key, KEY_SIZE, &error));
  }
  times[ALL] = now() - start;
  check(freyja_put(db, key, KEY_SIZE, "", 0, &error));
  start = now();
  check(freyja_checkpoint(db, &error));
  times[WRITE] = now() - start;
  check(freyja_close(db, &error));
}

static void print_checkpoint(const char *path, const freyja_options *options, uint64_t keys,
                             size_t value_size, unsigned runs) {
  double times[CHECKPOINT_TIMES][RUNS_MAX];
  remove_store(path);
  fill(path, options, keys, value_size);
  for (unsigned run = 0; run < runs; run++) {
    double one[CHECKPOINT_TIMES];
    checkpoint_once(path, options, keys, one);
    for (int i = 0; i < CHECKPOINT_TIMES; i++) times[i][run] = one[i];
  }
  remove_store(path);
  printf("%8zu %12llu", value_size, (unsigned long long)keys);
  for (int i = 0; i < CHECKPOINT_TIMES; i++)
    printf(" %12.3f", median(times[i], runs, 1) / 1e6);
  printf("\n");
}

/* ---- all ---------------------------------------------------------------------- */

void print_opening(const char *folder, const freyja_options *options, uint64_t keys,
                   unsigned runs) {
  static const size_t sizes[] = {16, 1000};
  char path[512];
  freyja_options chosen = *options;
  chosen.sync_mode = FREYJA_SYNC_NONE;
  (void)snprintf(path, sizeof path, "%s/store", folder);
  printf("\n%llu keys, ns per key, medians of %u runs\n", (unsigned long long)keys, runs);
  printf("%8s %12s %12s %12s %12s %12s %12s\n", "value", "scan", "floor", "by records",
         "hints", "floor", "writing them");
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    print_one(path, &chosen, keys, sizes[i], runs);
  printf("\nby the KEYDIR, milliseconds, medians of %u runs\n", runs);
  printf("%8s %12s %12s %12s %12s %12s\n", "value", "keys", "open", "first get", "all shards",
         "writing it");
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    print_checkpoint(path, &chosen, keys / 10, sizes[i], runs);
    print_checkpoint(path, &chosen, keys, sizes[i], runs);
  }
}
