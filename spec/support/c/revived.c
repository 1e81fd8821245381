/* revived.c - keys that had expired and whose slots are gone get slots again when a damaged
 * KEYDIR makes all of the log be read, by hint files, which say nothing of expiry. Where that
 * happens in the middle of a write of those very keys, each has one slot all the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "freyja.h"
#include "hash.h"
#include "keydir.h"

#define FILL 3000 /* keys that do not expire */
#define DEAD 40   /* that do */
#define PAGE 4096u

static int failures;

static void ok(bool condition, const char *name) {
  printf("%s revived: %s\n", condition ? "ok" : "not ok", name);
  failures += !condition;
}

static void must(freyja_status status) {
  if (status != FREYJA_OK) exit(1);
}

static freyja *open_store(const sim_disk *disk) {
  freyja_options options;
  freyja *db = NULL;
  freyja_options_init(&options);
  options.os = &disk->os;
  must(freyja_open("db", &options, &db, NULL));
  return db;
}

static size_t name_key(char name[16], const char *kind, int i) {
  return (size_t)snprintf(name, 16, "%s%d", kind, i);
}

/* Keys that expire, with a hint, and forgotten; a KEYDIR without them. */
static void make_store(sim_disk *disk) {
  char name[16];
  freyja_stats stats;
  freyja *db = open_store(disk);
  for (int i = 0; i < DEAD; i++)
    must(freyja_put_ttl(db, name, name_key(name, "dead", i), "old", 3, 1000, NULL));
  for (int i = 0; i < FILL; i++)
    must(freyja_put(db, name, name_key(name, "fill", i), "x", 1, NULL));
  must(freyja_rotate(db, NULL));
  must(freyja_hint(db, 1, NULL));
  disk->clock += 1000000;
  freyja_get_stats(db, &stats);
  if (stats.keys != FILL) exit(1);
  must(freyja_checkpoint(db, NULL));
  must(freyja_close(db, NULL));
}

/* Changes a byte of the slots of each shard from number `from` on. */
static void damage_keydir(sim_disk *disk, uint32_t from) {
  uint64_t size = 0;
  const uint8_t *bytes = sim_disk_bytes(disk, "db/KEYDIR", &size);
  if (bytes == NULL) exit(1);
  uint8_t *copy = malloc(size);
  if (copy == NULL) exit(1);
  memcpy(copy, bytes, size);
  uint64_t tables = 128 + UINT64_C(88) * fj_get32(copy + 48) + UINT64_C(16) * FJ_SHARDS;
  uint64_t slots = (tables + PAGE - 1) / PAGE * PAGE;
  uint64_t shard = UINT64_C(16) * fj_keydir_limit(fj_get32(copy + 52));
  for (uint32_t i = from; i < FJ_SHARDS; i++) copy[slots + i * shard + 64] ^= 1;
  sim_disk_put(disk, "db/KEYDIR", copy, size);
  free(copy);
}

/* Counts problems that are not the KEYDIR's. */
static void count_problem(void *argument, const freyja_problem *problem) {
  *(int *)argument += strstr(problem->path, "KEYDIR") == NULL;
}

/* Whether each of them has the new value, once. */
static bool is_right(freyja *db) {
  freyja_iterator_options options = {.prefix = {"dead", 4}};
  freyja_iterator *iterator = NULL;
  freyja_entry entry;
  freyja_report report;
  int given = 0, problems = 0;
  must(freyja_iterator_open(db, &options, &iterator, NULL));
  while (freyja_iterator_next(iterator, &entry, NULL) == FREYJA_OK)
    given += entry.value.size == 3 && memcmp(entry.value.data, "new", 3) == 0;
  freyja_iterator_close(iterator);
  for (int i = 0; i < DEAD; i++) {
    char name[16], value[8];
    size_t size = 0;
    if (freyja_get(db, name, name_key(name, "dead", i), value, sizeof value, &size, NULL) !=
        FREYJA_OK)
      return false;
  }
  must(freyja_verify(db, count_problem, &problems, &report, NULL));
  return given == DEAD && problems == 0 && report.keys == FILL + DEAD;
}

static void write_at_once(freyja *db) {
  freyja_transaction *tx = NULL;
  char name[16];
  must(freyja_begin(db, NULL, &tx, NULL));
  for (int i = 0; i < DEAD; i++)
    must(freyja_transaction_put(tx, name, name_key(name, "dead", i), "new", 3, 0, NULL));
  must(freyja_transaction_commit(tx, NULL));
  freyja_transaction_close(tx);
}

static void write_one_by_one(freyja *db) {
  char name[16];
  for (int i = 0; i < DEAD; i++)
    must(freyja_put(db, name, name_key(name, "dead", i), "new", 3, NULL));
}

static void test(void (*write)(freyja *db), uint32_t from, const char *name) {
  sim_disk *disk = sim_disk_create(1);
  disk->plain = true;
  make_store(disk);
  damage_keydir(disk, from);
  freyja *db = open_store(disk);
  write(db);
  bool right = is_right(db);
  must(freyja_close(db, NULL));
  db = open_store(disk);
  right = right && is_right(db);
  must(freyja_close(db, NULL));
  ok(right && sim_disk_held(disk) == 0, name);
  sim_disk_destroy(disk);
}

int main(void) {
  test(write_at_once, 128, "by a transaction, half of the KEYDIR being damaged");
  test(write_at_once, 250, "by a transaction, the end of it being damaged");
  test(write_at_once, 0, "by a transaction, all of it being damaged");
  test(write_one_by_one, 128, "by puts");
  return failures > 0;
}
