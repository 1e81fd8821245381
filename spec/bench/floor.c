/* floor.c - see bench.h. */
#include "bench.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

volatile uint64_t sink;

static void die(const char *what) {
  perror(what);
  exit(1);
}

double now(void) {
  struct timespec ts;
  (void)clock_gettime(CLOCK_MONOTONIC, &ts);
  return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* SplitMix64's finalizer (G. Steele and others, 2014): a bijection, so keys differ. */
static uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
  return x ^ (x >> 31);
}

void make_key(uint8_t key[KEY_SIZE], uint64_t i) {
  uint64_t parts[2] = {mix(i + 1), mix(~i)};
  memcpy(key, parts, KEY_SIZE);
}

uint32_t *make_cycle(uint64_t n) {
  uint32_t *order = malloc(n * sizeof *order);
  uint32_t *next = malloc(n * sizeof *next);
  if (order == NULL || next == NULL) die("malloc");
  for (uint64_t i = 0; i < n; i++) order[i] = (uint32_t)i;
  for (uint64_t i = n - 1; i > 0; i--) {
    uint64_t j = mix(i) % (i + 1);
    uint32_t t = order[i];
    order[i] = order[j];
    order[j] = t;
  }
  for (uint64_t i = 0; i < n; i++) next[order[i]] = order[(i + 1) % n];
  free(order);
  return next;
}

typedef struct slot {
  uint64_t hash;
  uint64_t place; /* offset in the file + 1; 0: empty */
} slot;

struct floor_store {
  uint64_t keys;
  uint64_t mask; /* slots - 1; their number is the power of two from 1.5 times the keys on */
  slot *slots;
  uint8_t *file;
  size_t file_size;
  uint64_t tail;
  int fd;
};

floor_store *floor_open(const char *folder, uint64_t keys) {
  floor_store *f = calloc(1, sizeof *f);
  char path[512];
  if (f == NULL) die("calloc");
  uint64_t slots = 2;
  while (slots < keys + keys / 2) slots *= 2;
  f->keys = keys;
  f->mask = slots - 1;
  f->slots = mmap(NULL, slots * sizeof(slot), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (f->slots == MAP_FAILED) die("mmap");
  (void)snprintf(path, sizeof path, "%s/floor", folder);
  f->fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  f->file_size = 2 * keys * RECORD_SIZE + keys * 40; /* put, overwrite, delete */
  if (f->fd < 0 || fallocate(f->fd, 0, 0, (off_t)f->file_size) != 0) die(path);
  f->file = mmap(NULL, f->file_size, PROT_READ | PROT_WRITE, MAP_SHARED, f->fd, 0);
  if (f->file == MAP_FAILED) die("mmap");
  (void)unlink(path);
  return f;
}

void floor_close(floor_store *f) {
  (void)munmap(f->slots, (f->mask + 1) * sizeof(slot));
  (void)munmap(f->file, f->file_size);
  (void)close(f->fd);
  free(f);
}

/* The slot of the hash, or the empty one where the probe ends. */
static slot *probe(floor_store *f, uint64_t hash) {
  uint64_t i = hash & f->mask;
  while (f->slots[i].place != 0 && f->slots[i].hash != hash) i = (i + 1) & f->mask;
  return &f->slots[i];
}

static uint64_t append(floor_store *f, const uint8_t *key, const uint8_t *value) {
  static const uint8_t header[24] = {1};
  uint8_t *p = f->file + f->tail;
  memcpy(p, header, sizeof header);
  memcpy(p + 24, key, KEY_SIZE);
  memcpy(p + 40, value, VALUE_SIZE);
  f->tail += RECORD_SIZE;
  return f->tail - RECORD_SIZE + 1;
}

static double write_all(floor_store *f, const uint32_t *next) {
  uint8_t key[KEY_SIZE], value[VALUE_SIZE] = {0};
  double start = now();
  for (uint64_t i = 0; i < f->keys; i++) {
    make_key(key, i);
    make_key(value, next[i]);
    uint64_t hash = XXH3_64bits(key, KEY_SIZE);
    slot *s = probe(f, hash);
    s->hash = hash;
    s->place = append(f, key, value);
  }
  return (now() - start) / (double)f->keys;
}

double floor_put(floor_store *f, const uint32_t *next) { return write_all(f, next); }

double floor_overwrite(floor_store *f, const uint32_t *next) { return write_all(f, next); }

double floor_get(floor_store *f, bool chained) {
  uint8_t key[KEY_SIZE], record[RECORD_SIZE];
  uint64_t sum = 0;
  make_key(key, 0);
  double start = now();
  for (uint64_t i = 0; i < f->keys; i++) {
    if (!chained) make_key(key, i * 7919 % f->keys);
    const slot *s = probe(f, XXH3_64bits(key, KEY_SIZE));
    memcpy(record, f->file + s->place - 1, RECORD_SIZE);
    if (chained) memcpy(key, record + 40, KEY_SIZE);
    else sum += record[100];
  }
  double time = (now() - start) / (double)f->keys;
  sink = sum + key[0];
  return time;
}

double floor_miss(floor_store *f, bool chained) {
  uint8_t key[KEY_SIZE];
  uint64_t found = 0, sum = 0;
  double start = now();
  for (uint64_t i = 0; i < f->keys; i++) {
    make_key(key, f->keys + i + (chained ? found : 0)); /* found is 0: no such key */
    found = probe(f, XXH3_64bits(key, KEY_SIZE))->place;
    sum += found;
  }
  double time = (now() - start) / (double)f->keys;
  sink = sum;
  return time;
}

double floor_delete(floor_store *f) {
  static const uint8_t header[24] = {2};
  uint8_t key[KEY_SIZE];
  double start = now();
  for (uint64_t i = 0; i < f->keys; i++) {
    make_key(key, i);
    slot *s = probe(f, XXH3_64bits(key, KEY_SIZE));
    uint8_t *p = f->file + f->tail;
    memcpy(p, header, sizeof header);
    memcpy(p + 24, key, KEY_SIZE);
    f->tail += 40;
    s->place = f->tail; /* of the tombstone: the slot stays a link of other probes */
  }
  return (now() - start) / (double)f->keys;
}

/* The records in order, each through the checksum. */
double floor_each(floor_store *f) {
  uint64_t sum = 0;
  double start = now();
  for (uint64_t i = 0; i < f->keys; i++)
    sum += XXH3_64bits(f->file + i * RECORD_SIZE, RECORD_SIZE);
  double time = (now() - start) / (double)f->keys;
  sink = sum;
  return time;
}

double floor_reopen(floor_store *f) {
  double start = now();
  sink = XXH3_64bits(f->file, f->keys * RECORD_SIZE);
  return (now() - start) / (double)f->keys;
}

double floor_load(const char *folder, uint64_t keys, const uint32_t *next) {
  uint8_t record[RECORD_SIZE] = {0};
  char path[512];
  size_t size = keys * RECORD_SIZE;
  (void)snprintf(path, sizeof path, "%s/floor", folder);
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (fd < 0 || fallocate(fd, 0, 0, (off_t)size) != 0) die(path);
  uint8_t *file = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (file == MAP_FAILED) die("mmap");
  double start = now();
  for (uint64_t i = 0; i < keys; i++) {
    make_key(record + 24, i);
    make_key(record + 40, next[i]);
    uint64_t sum = XXH3_64bits_withSeed(record + 8, RECORD_SIZE - 8, i);
    memcpy(record, &sum, sizeof sum);
    memcpy(file + i * RECORD_SIZE, record, RECORD_SIZE);
  }
  if (fdatasync(fd) != 0) die(path);
  double time = (now() - start) / (double)keys;
  (void)munmap(file, size);
  (void)close(fd);
  (void)unlink(path);
  return time;
}

double floor_durable(const char *folder, uint64_t count) {
  uint8_t bytes[132] = {1};
  char path[512];
  (void)snprintf(path, sizeof path, "%s/durable", folder);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
  if (fd < 0) die(path);
  double start = now();
  for (uint64_t i = 0; i < count; i++)
    if (write(fd, bytes, sizeof bytes) != (ssize_t)sizeof bytes || fdatasync(fd) != 0)
      die(path);
  double time = (now() - start) / (double)count;
  (void)close(fd);
  (void)unlink(path);
  return time;
}
