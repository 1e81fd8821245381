/* threads.c - see threads.h. */
#include "threads.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "freyja.h"

#define READERS 2u
#define WRITERS 8u
#define GETS 2000000u  /* of each reader */
#define TIMED 1000000u /* gets that are timed one by one */
#define DURABLE 3000u  /* puts of each run, by all threads together */
#define RUNS_MAX 32u
#define COPIED                                                                                \
  (512u << 20) /* bytes of the file that the floor's writer fills, again and again */

typedef struct task {
  pthread_t thread;
  freyja *db;
  uint64_t keys, count, random;
  uint32_t *times; /* of each call, nanoseconds; NULL: they are not wanted */
} task;

static char path[512];
static uint32_t ended;

static freyja *open_store(freyja_sync_mode sync) {
  freyja_options options;
  freyja *db = NULL;
  freyja_options_init(&options);
  options.sync_mode = sync;
  if (freyja_open(path, &options, &db, NULL) != FREYJA_OK) exit(1);
  return db;
}

static uint64_t next(uint64_t *random) {
  *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return *random >> 16;
}

static void *get_on(void *argument) {
  task *t = argument;
  uint8_t key[KEY_SIZE], value[VALUE_SIZE];
  size_t size = 0;
  uint64_t random = t->random; /* beside that of another thread it would cost both */
  for (uint64_t i = 0; i < t->count; i++) {
    make_key(key, next(&random) % t->keys);
    double start = t->times == NULL ? 0 : now();
    if (freyja_get(t->db, key, KEY_SIZE, value, sizeof value, &size, NULL) != FREYJA_OK)
      exit(1);
    if (t->times != NULL) t->times[i] = (uint32_t)(now() - start);
  }
  return NULL;
}

static void *put_on(void *argument) {
  task *t = argument;
  uint8_t key[KEY_SIZE], value[VALUE_SIZE] = {0};
  uint64_t random = t->random;
  for (uint64_t i = 0; i < t->count && __atomic_load_n(&ended, __ATOMIC_RELAXED) == 0; i++) {
    make_key(key, next(&random) % t->keys);
    if (freyja_put(t->db, key, KEY_SIZE, value, sizeof value, NULL) != FREYJA_OK) exit(1);
  }
  return NULL;
}

/* The floor's writer: records of as many bytes, copied to a mapped, reserved file. */
static void *copy_on(void *argument) {
  uint8_t record[RECORD_SIZE] = {0};
  char name[600];
  (void)argument;
  (void)snprintf(name, sizeof name, "%s-floor", path);
  int file = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (file < 0 || fallocate(file, 0, 0, COPIED) != 0) exit(1);
  uint8_t *map = mmap(NULL, COPIED, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (map == MAP_FAILED) exit(1);
  for (uint64_t i = 0; __atomic_load_n(&ended, __ATOMIC_RELAXED) == 0; i++) {
    make_key(record, i);
    memcpy(map + i % (COPIED / RECORD_SIZE) * RECORD_SIZE, record, RECORD_SIZE);
  }
  (void)munmap(map, COPIED);
  (void)close(file);
  (void)unlink(name);
  return NULL;
}

/* Operations per second of `count` threads together, each with a handle of its own. */
static double rate(void *(*work)(void *), unsigned count, uint64_t each, uint64_t keys,
                   freyja_sync_mode sync) {
  task tasks[WRITERS] = {0};
  for (unsigned i = 0; i < count; i++)
    tasks[i] = (task){.db = open_store(sync), .keys = keys, .count = each, .random = i + 1};
  double start = now();
  for (unsigned i = 0; i < count; i++)
    if (pthread_create(&tasks[i].thread, NULL, work, &tasks[i]) != 0) exit(1);
  for (unsigned i = 0; i < count; i++) (void)pthread_join(tasks[i].thread, NULL);
  double took = now() - start;
  for (unsigned i = 0; i < count; i++) (void)freyja_close(tasks[i].db, NULL);
  return (double)(each * count) / took * 1e9;
}

/* The same of processes, which share nothing but what is in the page cache: what the machine
 * gives. */
static double rate_of_processes(unsigned count, uint64_t each, uint64_t keys) {
  int ready[2], go[2];
  char byte = 0;
  if (pipe(ready) != 0 || pipe(go) != 0) exit(1);
  (void)fflush(stdout);
  for (unsigned i = 0; i < count; i++) {
    if (fork() != 0) continue;
    freyja_options options;
    task t = {.keys = keys, .count = each, .random = i + 1};
    freyja_options_init(&options);
    options.readonly = true;
    if (freyja_open(path, &options, &t.db, NULL) != FREYJA_OK) _exit(1);
    (void)freyja_has(t.db, "", 0, NULL);
    t.count = each / 10;
    (void)get_on(&t);
    t.count = each;
    if (write(ready[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 1) _exit(1);
    (void)get_on(&t);
    _exit(0);
  }
  for (unsigned i = 0; i < count; i++)
    if (read(ready[0], &byte, 1) != 1) exit(1);
  double start = now();
  for (unsigned i = 0; i < count; i++)
    if (write(go[1], &byte, 1) != 1) exit(1);
  for (unsigned i = 0; i < count; i++)
    if (wait(NULL) < 0) exit(1);
  double took = now() - start;
  for (unsigned i = 0; i < 2; i++) (void)close(ready[i]), (void)close(go[i]);
  return (double)(each * count) / took * 1e9;
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static int compare_times(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static double median(double *values, unsigned count) {
  qsort(values, count, sizeof *values, compare);
  return values[count / 2];
}

/* The time that one get of a thousand takes at least, with that beside or nothing (NULL). */
static double late(uint64_t keys, void *(*beside)(void *)) {
  task reader = {
      .db = open_store(FREYJA_SYNC_NONE), .keys = keys, .count = TIMED, .random = 7};
  task writer = {.db = reader.db, .keys = keys, .count = UINT64_MAX, .random = 8};
  reader.times = malloc(TIMED * sizeof *reader.times);
  if (reader.times == NULL) exit(1);
  ended = 0;
  if (beside != NULL) writer.db = open_store(FREYJA_SYNC_NONE);
  if (beside != NULL && pthread_create(&writer.thread, NULL, beside, &writer) != 0) exit(1);
  (void)get_on(&reader);
  __atomic_store_n(&ended, 1, __ATOMIC_RELAXED);
  if (beside != NULL) (void)pthread_join(writer.thread, NULL);
  if (beside != NULL) (void)freyja_close(writer.db, NULL);
  ended = 0;
  qsort(reader.times, TIMED, sizeof *reader.times, compare_times);
  double found = reader.times[TIMED - TIMED / 1000];
  free(reader.times);
  (void)freyja_close(reader.db, NULL);
  return found;
}

/* The store, filled; it stays open, so that nobody has to wait for the first look at a page.
 */
static freyja *fill(uint64_t keys) {
  uint8_t key[KEY_SIZE], value[VALUE_SIZE] = {0};
  freyja *db = open_store(FREYJA_SYNC_NONE);
  for (uint64_t i = 0; i < keys; i++) {
    make_key(key, i);
    if (freyja_put(db, key, KEY_SIZE, value, sizeof value, NULL) != FREYJA_OK) exit(1);
  }
  task t = {.db = db, .keys = keys, .count = keys, .random = 1};
  (void)get_on(&t);
  return db;
}

static void remove_store(void) {
  char command[600];
  (void)snprintf(command, sizeof command, "rm -rf '%s'", path);
  if (system(command) != 0) exit(1);
}

void print_threads(const char *folder, uint64_t keys, unsigned runs) {
  double one[RUNS_MAX], ratio[RUNS_MAX], alone[RUNS_MAX], beside[RUNS_MAX], copies[RUNS_MAX];
  (void)snprintf(path, sizeof path, "%s/threads", folder);
  freyja *db = fill(keys);
  for (unsigned i = 0; i < runs; i++) {
    one[i] = rate(get_on, 1, GETS, keys, FREYJA_SYNC_NONE);
    ratio[i] = rate(get_on, READERS, GETS, keys, FREYJA_SYNC_NONE) / one[i];
  }
  printf("%llu keys: gets of one thread, a second %.0f; of %u threads %.2f times as many",
         (unsigned long long)keys, median(one, runs), READERS, median(ratio, runs));
  for (unsigned i = 0; i < runs; i++) {
    one[i] = rate_of_processes(1, GETS, keys);
    ratio[i] = rate_of_processes(READERS, GETS, keys) / one[i];
  }
  printf("; floor, %u processes that share nothing: %.2f times\n", READERS,
         median(ratio, runs));
  for (unsigned i = 0; i < runs; i++) {
    alone[i] = late(keys, NULL);
    copies[i] = late(keys, copy_on) / alone[i];
    beside[i] = late(keys, put_on);
    ratio[i] = beside[i] / alone[i];
  }
  printf("one get of a thousand takes at least %.0f ns; beside a writer at full speed %.0f, "
         "%.2f times; floor, beside copies to a mapped file: %.2f times\n",
         median(alone, runs), median(beside, runs), median(ratio, runs), median(copies, runs));
  (void)freyja_close(db, NULL);
  remove_store();
  for (unsigned i = 0; i < runs; i++) {
    one[i] = rate(put_on, 1, DURABLE, keys, FREYJA_SYNC_ALWAYS);
    ratio[i] = rate(put_on, WRITERS, DURABLE / WRITERS, keys, FREYJA_SYNC_ALWAYS) / one[i];
    remove_store();
  }
  printf("durable puts of one thread, a second %.0f; of %u threads %.2f times as many\n",
         median(one, runs), WRITERS, median(ratio, runs));
}
