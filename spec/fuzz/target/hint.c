/* hint.c - any hint file beside a good data file: the bytes as they are, or with its sums made
 * right, as somebody who knows the format would. Such a hint may hide keys; but it gives no
 * value that is not the key's, and what is written is there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hint.h"
#include "image.h"
#include "target.h"

#define KEYS 24u
#define HINT_MAX 65536u /* bytes */

const char *const fuzz_target = "hint";

static void demand(bool condition, const char *what) {
  if (condition) return;
  fprintf(stderr, "a hint file: %s\n", what);
  abort();
}

static freyja *open_store(sim_disk *disk, freyja_io io) {
  freyja_options options;
  freyja *db = NULL;
  freyja_options_init(&options);
  options.segment_size = FREYJA_SEGMENT_SIZE_MIN;
  options.sync_mode = FREYJA_SYNC_NONE;
  options.io = io;
  options.os = &disk->os;
  demand(freyja_open("db", &options, &db, NULL) == FREYJA_OK, "the store does not open");
  return db;
}

static freyja_status put(freyja *db, uint8_t key, uint8_t serial) {
  uint8_t value[2] = {key, serial};
  return freyja_put(db, &key, 1, value, sizeof value, NULL);
}

/* A store of two sealed segments with hints, and one that is written. Made once. */
static sim_disk *make_store(void) {
  sim_disk *disk = fuzz_disk_create();
  freyja *db = open_store(disk, FREYJA_IO_MMAP);
  for (uint8_t i = 0; i < 60; i++) {
    uint8_t key = (uint8_t)(i * 7 % KEYS);
    freyja_status status = i % 5 == 4 ? freyja_delete(db, &key, 1, NULL) : put(db, key, i);
    demand(!freyja_is_fault(status), "a write");
    if (i % 25 == 24) demand(freyja_rotate(db, NULL) == FREYJA_OK, "a rotation");
  }
  for (uint64_t id = 1; id <= 2; id++)
    demand(freyja_hint(db, id, NULL) == FREYJA_OK, "writing it");
  demand(freyja_close(db, NULL) == FREYJA_OK, "closing");
  return disk;
}

/* Makes the sums of a hint of that data file right, and what says whose it is. */
static void seal(uint8_t *bytes, size_t size, const uint8_t *real) {
  uint64_t check = 0;
  if (size < FJ_HINT_HEADER) return;
  memcpy(bytes, real, 64);
  for (size_t at = FJ_HINT_HEADER; at < size; at += FJ_HINT_BLOCK)
    check = fj_hint_check_block(check, bytes + at,
                                size - at < FJ_HINT_BLOCK ? size - at : FJ_HINT_BLOCK);
  fj_put64(bytes + 64, (size - FJ_HINT_HEADER) / FJ_HINT_ENTRY);
  fj_put64(bytes + 112, check);
  fj_put64(bytes + 120, fj_hash(bytes, 120, 0));
}

static void use_store(freyja *db) {
  freyja_report report;
  demand(freyja_verify(db, NULL, NULL, &report, NULL) == FREYJA_OK, "verify");
  for (uint8_t key = 0; key < KEYS; key++) {
    uint8_t value[8];
    size_t size = 0;
    freyja_status status = freyja_get(db, &key, 1, value, sizeof value, &size, NULL);
    demand(status == FREYJA_OK || status == FREYJA_NOTFOUND || status == FREYJA_CORRUPT,
           "a get fails");
    demand(status != FREYJA_OK || (size == 2 && value[0] == key), "another key's value");
    if (key % 4 != 0 || put(db, key, 200) != FREYJA_OK) continue;
    status = freyja_get(db, &key, 1, value, sizeof value, &size, NULL);
    demand(status == FREYJA_CORRUPT || (status == FREYJA_OK && size == 2 && value[1] == 200),
           "what was put is not there");
  }
}

/* The first byte says how the rest is used. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static sim_disk *made;
  static uint8_t copy[HINT_MAX];
  uint64_t real = 0;
  if (made == NULL) made = make_store();
  if (size == 0 || size > HINT_MAX) return 0;
  uint8_t how = bytes[0];
  const char *path = (how & 2) == 0 ? "db/1.hint" : "db/2.hint";
  memcpy(copy, bytes + 1, --size);
  if ((how & 1) != 0) seal(copy, size, sim_disk_bytes(made, path, &real));
  for (int io = 0; io < 2; io++) {
    sim_disk *disk = sim_disk_copy(made);
    disk->plain = true;
    sim_disk_put(disk, path, copy, size);
    freyja *db = open_store(disk, io == 0 ? FREYJA_IO_MMAP : FREYJA_IO_SYSCALL);
    demand(disk->bytes_peak < (1u << 20) + 16 * size, "memory out of proportion");
    use_store(db);
    demand(freyja_close(db, NULL) == FREYJA_OK, "closing");
    demand(sim_disk_held(disk) == 0, "something is not given back");
    sim_disk_destroy(disk);
  }
  return 0;
}
