/* bench.c - the benchmark. Names, runs and what is printed: spec/bench/README.md. */
#include "bench.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "extremes.h"
#include "freyja.h"
#include "merging.h"
#include "opening.h"
#include "threads.h"

#define RUNS_MAX 99u

enum {
  PUT,
  OVERWRITE,
  GET,
  GET_FREE,
  MANY,
  MISS,
  MISS_FREE,
  DELETE,
  EACH,
  REOPEN,
  LOAD,
  DURABLE,
  NAMES
};

static const struct {
  const char *name, *what;
} names[NAMES] = {
    [PUT] = {"put", "new keys"},
    [OVERWRITE] = {"overwrite", "the same keys again"},
    [GET] = {"get", "hit; each key comes from the value read before"},
    [GET_FREE] = {"get-free", "hit; independent keys"},
    [MANY] = {"get-many", "hit; independent keys, 64 a call; the floor: a get for each"},
    [MISS] = {"miss", "absent; each key depends on the answer before"},
    [MISS_FREE] = {"miss-free", "absent; independent keys"},
    [DELETE] = {"delete", "every key"},
    [EACH] = {"each", "iterate all entries"},
    [REOPEN] = {"reopen", "open by reading the log, per key"},
    [LOAD] = {"load", "new keys by a bulk load, into a new store; with the sync in its end"},
    [DURABLE] = {"durable", "put with sync = \"always\"; at most 2,000"},
};

typedef struct settings {
  const char *folder;
  unsigned runs;
  bool extremes, opening, threads;
  uint64_t merged; /* MiB, 0: no merge */
  freyja_options options;
} settings;

typedef struct result {
  double store[RUNS_MAX], floor[RUNS_MAX], ratio[RUNS_MAX];
} result;

static result results[NAMES];
static freyja_error error;

static void check(freyja_status status) {
  if (status == FREYJA_OK) return;
  fprintf(stderr, "%s: %s (%s)\n", freyja_status_name(status), error.message, error.path);
  exit(1);
}

static void store_path(const settings *s, char path[512]) {
  (void)snprintf(path, 512, "%s/store", s->folder);
}

static void remove_store(const settings *s) {
  char path[512], command[600];
  store_path(s, path);
  (void)snprintf(command, sizeof command, "rm -rf '%s'", path);
  if (system(command) != 0) exit(1);
}

static freyja *open_store(const settings *s) {
  char path[512];
  freyja *db = NULL;
  store_path(s, path);
  check(freyja_open(path, &s->options, &db, &error));
  return db;
}

/* ---- the store's part of each name --------------------------------------------- */

static double store_write(freyja *db, uint64_t keys, const uint32_t *next) {
  uint8_t key[KEY_SIZE], value[VALUE_SIZE] = {0};
  double start = now();
  for (uint64_t i = 0; i < keys; i++) {
    make_key(key, i);
    make_key(value, next[i]);
    check(freyja_put(db, key, KEY_SIZE, value, VALUE_SIZE, &error));
  }
  return (now() - start) / (double)keys;
}

static double store_get(freyja *db, uint64_t keys, bool chained) {
  uint8_t key[KEY_SIZE], value[VALUE_SIZE];
  uint64_t sum = 0;
  size_t size = 0;
  make_key(key, 0);
  double start = now();
  for (uint64_t i = 0; i < keys; i++) {
    if (!chained) make_key(key, i * 7919 % keys);
    check(freyja_get(db, key, KEY_SIZE, value, sizeof value, &size, &error));
    if (chained) memcpy(key, value, KEY_SIZE);
    else sum += value[60];
  }
  double time = (now() - start) / (double)keys;
  sink = sum + key[0];
  return time;
}

#define MANY_KEYS 64u

/* By freyja_get_many, or the same keys by a get for each. */
static double store_many(freyja *db, uint64_t keys, bool together) {
  static uint8_t key[MANY_KEYS][KEY_SIZE], values[MANY_KEYS * VALUE_SIZE];
  freyja_item items[MANY_KEYS];
  uint64_t calls = keys / MANY_KEYS + 1, random = 1;
  double time = 0;
  for (uint64_t call = 0; call < calls; call++) {
    for (unsigned i = 0; i < MANY_KEYS; i++) {
      random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
      make_key(key[i], (random >> 33) % keys);
      items[i] = (freyja_item){.key = key[i], .key_size = KEY_SIZE};
    }
    size_t size = 0;
    double start = now();
    if (together)
      check(freyja_get_many(db, items, MANY_KEYS, values, sizeof values, &size, &error));
    for (unsigned i = 0; i < MANY_KEYS && !together; i++)
      check(freyja_get(db, key[i], KEY_SIZE, values + (size_t)i * VALUE_SIZE, VALUE_SIZE,
                       &size, &error));
    time += now() - start;
    sink = values[size - 1];
  }
  return time / (double)(calls * MANY_KEYS);
}

static double store_miss(freyja *db, uint64_t keys, bool chained) {
  uint8_t key[KEY_SIZE], value[VALUE_SIZE];
  uint64_t status = FREYJA_NOTFOUND;
  size_t size = 0;
  double start = now();
  for (uint64_t i = 0; i < keys; i++) {
    make_key(key, keys + i + (chained ? status - FREYJA_NOTFOUND : 0));
    status = freyja_get(db, key, KEY_SIZE, value, sizeof value, &size, &error);
  }
  double time = (now() - start) / (double)keys;
  if (status != FREYJA_NOTFOUND) check((freyja_status)status);
  return time;
}

static double store_delete(freyja *db, uint64_t keys) {
  uint8_t key[KEY_SIZE];
  double start = now();
  for (uint64_t i = 0; i < keys; i++) {
    make_key(key, i);
    check(freyja_delete(db, key, KEY_SIZE, &error));
  }
  return (now() - start) / (double)keys;
}

static double store_each(freyja *db, uint64_t keys) {
  freyja_iterator *iterator = NULL;
  freyja_entry entry;
  uint64_t count = 0;
  double start = now();
  check(freyja_iterator_open(db, NULL, &iterator, &error));
  while (freyja_iterator_next(iterator, &entry, &error) == FREYJA_OK) count++;
  freyja_iterator_close(iterator);
  double time = (now() - start) / (double)keys;
  if (count != keys) exit(1);
  return time;
}

static double store_load(const settings *s, uint64_t keys, const uint32_t *next) {
  uint8_t key[KEY_SIZE], value[VALUE_SIZE] = {0};
  freyja_load *load = NULL;
  remove_store(s);
  freyja *db = open_store(s);
  double start = now();
  check(freyja_load_open(db, &load, &error));
  for (uint64_t i = 0; i < keys; i++) {
    make_key(key, i);
    make_key(value, next[i]);
    check(freyja_load_put(load, key, KEY_SIZE, value, VALUE_SIZE, 0, &error));
  }
  check(freyja_load_commit(load, &error));
  double time = (now() - start) / (double)keys;
  freyja_load_close(load);
  check(freyja_close(db, &error));
  return time;
}

static double store_durable(const settings *s, uint64_t count, const uint32_t *next) {
  settings durable = *s;
  durable.options.sync_mode = FREYJA_SYNC_ALWAYS;
  remove_store(s);
  freyja *db = open_store(&durable);
  double time = store_write(db, count, next);
  check(freyja_close(db, &error));
  return time;
}

/* ---- runs ---------------------------------------------------------------------- */

static void note(unsigned name, unsigned run, double floor, double store) {
  results[name].floor[run] = floor;
  results[name].store[run] = store;
  results[name].ratio[run] = store / floor;
}

/* Floor and store in turn, in the same order of work, each with new files and memory. */
static void one_run(const settings *s, unsigned run, uint64_t keys, const uint32_t *next) {
  double floor[NAMES];
  floor_store *f = floor_open(s->folder, keys);
  floor[PUT] = floor_put(f, next);
  floor[GET] = floor_get(f, true);
  floor[GET_FREE] = floor_get(f, false);
  floor[MISS] = floor_miss(f, true);
  floor[MISS_FREE] = floor_miss(f, false);
  floor[EACH] = floor_each(f);
  floor[REOPEN] = floor_reopen(f);
  floor[OVERWRITE] = floor_overwrite(f, next);
  floor[DELETE] = floor_delete(f);
  floor_close(f);

  remove_store(s);
  freyja *db = open_store(s);
  note(PUT, run, floor[PUT], store_write(db, keys, next));
  note(GET, run, floor[GET], store_get(db, keys, true));
  note(GET_FREE, run, floor[GET_FREE], store_get(db, keys, false));
  double apart = store_many(db, keys, false);
  note(MANY, run, apart, store_many(db, keys, true));
  note(MISS, run, floor[MISS], store_miss(db, keys, true));
  note(MISS_FREE, run, floor[MISS_FREE], store_miss(db, keys, false));
  note(EACH, run, floor[EACH], store_each(db, keys));
  check(freyja_close(db, &error));
  double start = now();
  db = open_store(s);
  note(REOPEN, run, floor[REOPEN], (now() - start) / (double)keys);
  note(OVERWRITE, run, floor[OVERWRITE], store_write(db, keys, next));
  note(DELETE, run, floor[DELETE], store_delete(db, keys));
  check(freyja_close(db, &error));

  floor[LOAD] = floor_load(s->folder, keys, next);
  note(LOAD, run, floor[LOAD], store_load(s, keys, next));

  uint64_t durable = keys < 2000 ? keys : 2000;
  double bare = floor_durable(s->folder, durable);
  note(DURABLE, run, bare, store_durable(s, durable, next));
  remove_store(s);
}

static int compare(const void *a, const void *b) {
  double x = *(const double *)a;
  double y = *(const double *)b;
  return (x > y) - (x < y);
}

static double sorted_at(const double *values, unsigned runs, unsigned index) {
  double copy[RUNS_MAX];
  memcpy(copy, values, runs * sizeof *copy);
  qsort(copy, runs, sizeof *copy, compare);
  return copy[index];
}

static void print_results(uint64_t keys, unsigned runs) {
  printf("\n%llu keys, ns per operation, medians of %u runs [min-max]\n",
         (unsigned long long)keys, runs);
  printf("%-10s %24s %24s %8s\n", "name", "freyja", "floor", "ratio");
  for (unsigned i = 0; i < NAMES; i++) {
    const result *r = &results[i];
    printf("%-10s %9.1f [%.0f-%.0f] %14.1f [%.0f-%.0f] %12.2f   %s\n", names[i].name,
           sorted_at(r->store, runs, runs / 2), sorted_at(r->store, runs, 0),
           sorted_at(r->store, runs, runs - 1), sorted_at(r->floor, runs, runs / 2),
           sorted_at(r->floor, runs, 0), sorted_at(r->floor, runs, runs - 1),
           sorted_at(r->ratio, runs, runs / 2), names[i].what);
  }
  double times[RUNS_MAX];
  for (unsigned run = 0; run < runs; run++)
    times[run] = results[PUT].store[run] / results[LOAD].store[run];
  printf("a load is %.2f times as fast as puts\n", sorted_at(times, runs, runs / 2));
}

/* ---- the command line ----------------------------------------------------------- */

static void print_machine(const settings *s) {
  char line[256];
  FILE *file = fopen("/proc/cpuinfo", "r");
  while (file != NULL && fgets(line, sizeof line, file) != NULL)
    if (strncmp(line, "model name", 10) == 0) {
      printf("%s", strchr(line, ':') + 2);
      break;
    }
  if (file != NULL) (void)fclose(file);
  printf("freyja %s, compiler %s, xxHash %u\n", FREYJA_VERSION, __VERSION__,
         XXH_versionNumber());
  printf("keys of %u bytes, values of %u; io = %s, sync = %s\n", KEY_SIZE, VALUE_SIZE,
         s->options.io == FREYJA_IO_SYSCALL ? "syscall" : "mmap",
         s->options.sync_mode == FREYJA_SYNC_NONE ? "none" : "1000");
}

static int usage(void) {
  fprintf(stderr,
          "usage: bench [--keys N[,N...]] [--runs N] [--io mmap|syscall] "
          "[--sync none] [--dir FOLDER] [--extremes] [--open] [--merge MIB] [--threads]\n");
  return 2;
}

int main(int argc, char **argv) {
  static const struct option options[] = {
      {"keys", required_argument, NULL, 'k'}, {"runs", required_argument, NULL, 'r'},
      {"io", required_argument, NULL, 'i'},   {"sync", required_argument, NULL, 's'},
      {"dir", required_argument, NULL, 'd'},  {"extremes", no_argument, NULL, 'e'},
      {"open", no_argument, NULL, 'o'},       {"merge", required_argument, NULL, 'm'},
      {"threads", no_argument, NULL, 't'},    {NULL, 0, NULL, 0}};
  char all[] = "10000,100000,1000000,10000000";
  char folder[] = "./freyja-bench-XXXXXX";
  char *keys = all;
  settings s = {.folder = NULL, .runs = 5};
  freyja_options_init(&s.options);
  for (int c = 0; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
    if (c == 'k') keys = optarg;
    else if (c == 'r') s.runs = (unsigned)strtoul(optarg, NULL, 10);
    else if (c == 'i' && strcmp(optarg, "syscall") == 0) s.options.io = FREYJA_IO_SYSCALL;
    else if (c == 's' && strcmp(optarg, "none") == 0) s.options.sync_mode = FREYJA_SYNC_NONE;
    else if (c == 'd') s.folder = optarg;
    else if (c == 'e') s.extremes = true;
    else if (c == 'o') s.opening = true;
    else if (c == 't') s.threads = true;
    else if (c == 'm') s.merged = strtoull(optarg, NULL, 10);
    else if (c != 'i') return usage();
  }
  if (s.runs < 1 || s.runs > RUNS_MAX || optind != argc) return usage();
  bool temporary = s.folder == NULL;
  if (temporary) s.folder = mkdtemp(folder);
  if (s.folder == NULL) return usage();
  print_machine(&s);
  if (s.extremes) print_extremes(s.folder);
  if (s.merged > 0) print_merging(s.folder, &s.options, s.merged, s.runs);
  bool keyed = !s.extremes && s.merged == 0;
  for (char *part = strtok(keys, ","); part != NULL && keyed; part = strtok(NULL, ",")) {
    uint64_t n = strtoull(part, NULL, 10);
    if (n < 2 || n > UINT32_MAX) return usage();
    if (s.threads) {
      print_threads(s.folder, n, s.runs);
      continue;
    }
    if (s.opening) {
      print_opening(s.folder, &s.options, n, s.runs);
      continue;
    }
    uint32_t *next = make_cycle(n);
    for (unsigned run = 0; run < s.runs; run++) one_run(&s, run, n, next);
    print_results(n, s.runs);
    free(next);
  }
  if (temporary) (void)rmdir(s.folder);
  return 0;
}
