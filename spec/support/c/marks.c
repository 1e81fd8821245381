/* marks.c - what a mark is for is damage before it: a loss of power alone never needs one. So
 * this looks at the disk: after a close, the durable mark covers all that was written. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "freyja.h"
#include "hash.h"
#include "segment.h"

static int failures;

static void ok(bool condition, const char *name) {
  printf("%s marks: %s\n", condition ? "ok" : "not ok", name);
  failures += !condition;
}

static freyja *open_store(const sim_disk *disk, freyja_io io, freyja_sync_mode sync) {
  freyja_options options;
  freyja *db = NULL;
  freyja_options_init(&options);
  options.io = io;
  options.sync_mode = sync;
  options.segment_size = FREYJA_SEGMENT_SIZE_MIN;
  options.os = &disk->os;
  if (freyja_open("db", &options, &db, NULL) != FREYJA_OK) exit(1);
  return db;
}

/* The highest mark of a data file, as it is on the disk, and where its bytes end there. */
static uint64_t durable_mark(const sim_disk *disk, const char *path, uint64_t *end) {
  const sim_node *node = &disk->nodes[sim_disk_find(disk, path)];
  const sim_node *manifest = &disk->nodes[sim_disk_find(disk, "db/MANIFEST")];
  fj_identity identity;
  uint64_t mark = 0, highest = 0;
  memcpy(identity.id, manifest->disk.at + 16, FJ_STORE_ID);
  identity.hash_seed = fj_get64(manifest->disk.at + 32);
  uint64_t seed = fj_segment_seed(&identity, 1);
  for (unsigned slot = 0; slot < 2; slot++)
    if (fj_segment_decode_mark(node->disk.at, seed, slot, &mark) && mark > highest)
      highest = mark;
  *end = node->disk.size;
  return highest;
}

/* `synced`: by the user, just before, and nothing is reserved that a close had to cut. */
static void test_close(freyja_io io, freyja_sync_mode sync, int writes, bool synced,
                       const char *name) {
  sim_disk *disk = sim_disk_create(1);
  disk->no_reserve = synced;
  uint64_t end = 0;
  bool right = true;
  /* Closed twice, so that each slot has its turn. */
  for (int round = 0; round < 3; round++) {
    freyja *db = open_store(disk, io, sync);
    for (int i = 0; i < writes; i++)
      if (freyja_put(db, "key", 3, "value", 5, NULL) != FREYJA_OK) exit(1);
    if (synced && freyja_sync(db, NULL) != FREYJA_OK) exit(1);
    if (freyja_close(db, NULL) != FREYJA_OK) exit(1);
    right = right && durable_mark(disk, "db/1.data", &end) == end;
  }
  ok(right, name);
  sim_disk_destroy(disk);
}

/* A close fails: each of its calls in turn, and where that is a sync, pages that are not on
 * the disk are taken for clean. What the next session finds can be read, and it makes it
 * durable. */
static void test_lost(freyja_io io, sim_effect effect, const char *name) {
  bool right = true, failed = true;
  for (long at = 1; failed && right; at++) {
    sim_disk *disk = sim_disk_create(1);
    freyja *db = open_store(disk, io, FREYJA_SYNC_NONE);
    if (freyja_put(db, "key", 3, "value", 5, NULL) != FREYJA_OK) exit(1);
    sim_fault fault = {.at = at, .code = EIO, .effect = effect, .loss = SIM_MARK_CLEAN};
    sim_disk_fail(disk, &fault);
    (void)freyja_close(db, NULL);
    failed = disk->failed_calls > 0;
    fault.at = 0;
    sim_disk_fail(disk, &fault);
    if (freyja_close(open_store(disk, io, FREYJA_SYNC_NONE), NULL) != FREYJA_OK) exit(1);
    uint64_t end = 0;
    right = durable_mark(disk, "db/1.data", &end) == end;
    sim_disk_destroy(disk);
  }
  ok(right, name);
}

/* ---- of what is made as a whole ------------------------------------------------ */

static void put_some(freyja *db, int count) {
  char key[16];
  for (int i = 0; i < count; i++) {
    size_t size = (size_t)snprintf(key, sizeof key, "key%d", i);
    if (freyja_put(db, key, size, "value", 5, NULL) != FREYJA_OK) exit(1);
  }
}

static freyja_status load_some(freyja *db) {
  freyja_load *load = NULL;
  freyja_status status = freyja_load_open(db, &load, NULL);
  if (status == FREYJA_OK) status = freyja_load_put(load, "a", 1, "b", 1, 0, NULL);
  if (status == FREYJA_OK) status = freyja_load_commit(load, NULL);
  freyja_load_close(load);
  return status;
}

/* Merges the first segment, which is sealed. */
static freyja_status merge_first(freyja *db) {
  uint64_t id = 1;
  freyja_rewrite *rewrite = NULL;
  freyja_status status = freyja_rewrite_open(db, &id, 1, &rewrite, NULL);
  if (status == FREYJA_OK) status = freyja_rewrite_commit(rewrite, NULL);
  freyja_rewrite_close(rewrite);
  return status;
}

/* Whether a data file of the store has no mark on the disk. */
static bool has_unclaimed(const sim_disk *disk) {
  for (int id = 1; id < 10; id++) {
    char path[24];
    (void)snprintf(path, sizeof path, "db/%d.data", id);
    uint32_t node = sim_disk_find(disk, path);
    if (node != UINT32_MAX && fj_segment_is_unclaimed(disk->nodes[node].disk.at)) return true;
  }
  return false;
}

/* A merge or a load is committed, though a call has failed, perhaps that which was to claim
 * its file: a rotation or a close does it. */
static void test_claim(freyja_status (*make)(freyja *), int code, bool rotates,
                       const char *name) {
  bool right = true, failed = true;
  int committed = 0;
  for (long at = 1; failed && right; at++) {
    sim_disk *disk = sim_disk_create(1);
    freyja *db = open_store(disk, FREYJA_IO_MMAP, FREYJA_SYNC_NONE);
    put_some(db, 5);
    if (freyja_rotate(db, NULL) != FREYJA_OK) exit(1);
    sim_fault fault = {.at = at, .code = code, .effect = SIM_NOTHING};
    sim_disk_fail(disk, &fault);
    bool made = make(db) == FREYJA_OK;
    failed = disk->failed_calls > 0;
    fault.at = 0;
    sim_disk_fail(disk, &fault);
    if (rotates) /* neither goes where a sync has failed */
      made = made && freyja_put(db, "key", 3, "value", 5, NULL) == FREYJA_OK &&
             freyja_rotate(db, NULL) == FREYJA_OK;
    if (made && rotates) right = !has_unclaimed(disk);
    made = freyja_close(db, NULL) == FREYJA_OK && made;
    if (made) right = right && !has_unclaimed(disk);
    committed += made && failed;
    sim_disk_destroy(disk);
  }
  ok(right && committed > 0, name);
}

/* The calls that an open and a close make. */
static long count_calls(sim_disk *disk) {
  long before = disk->calls;
  if (freyja_close(open_store(disk, FREYJA_IO_MMAP, FREYJA_SYNC_NONE), NULL) != FREYJA_OK)
    exit(1);
  return disk->calls - before;
}

/* What a merge has replaced concerns one open behind it, not all. */
static void test_once(void) {
  sim_disk *disk = sim_disk_create(1);
  freyja *db = open_store(disk, FREYJA_IO_MMAP, FREYJA_SYNC_NONE);
  put_some(db, 5);
  if (freyja_rotate(db, NULL) != FREYJA_OK || merge_first(db) != FREYJA_OK) exit(1);
  put_some(db, 5);
  if (freyja_close(db, NULL) != FREYJA_OK) exit(1);
  long first = count_calls(disk), second = count_calls(disk), third = count_calls(disk);
  printf("# %ld, %ld, %ld calls\n", first, second, third);
  ok(second < first && third == second, "an open behind a merge does its work once");
  sim_disk_destroy(disk);
}

int main(void) {
  test_close(FREYJA_IO_MMAP, FREYJA_SYNC_NONE, 5, false, "a close makes them durable");
  test_close(FREYJA_IO_SYSCALL, FREYJA_SYNC_NONE, 5, false, "by system calls");
  test_close(FREYJA_IO_MMAP, FREYJA_SYNC_ALWAYS, 2, false, "that of a write that was synced");
  test_close(FREYJA_IO_SYSCALL, FREYJA_SYNC_ALWAYS, 1, false, "that of the only one");
  for (int io = FREYJA_IO_MMAP; io <= FREYJA_IO_SYSCALL; io++)
    test_close((freyja_io)io, FREYJA_SYNC_NONE, 1, true, "that of a sync just before");
  for (int io = FREYJA_IO_MMAP; io <= FREYJA_IO_SYSCALL; io++) {
    test_lost((freyja_io)io, SIM_NOTHING, "that which a close lost");
    test_lost((freyja_io)io, SIM_HALF, "that of which a close lost half");
  }
  test_claim(load_some, EMFILE, false, "a load is claimed at a close");
  test_claim(load_some, ENOSPC, true, "a load is claimed at a rotation");
  test_claim(merge_first, EMFILE, true, "a merge is claimed at a rotation");
  test_claim(merge_first, EACCES, false, "a merge is claimed at a close");
  test_once();
  return failures > 0;
}
