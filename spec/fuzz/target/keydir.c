/* keydir.c - a KEYDIR in which some bytes are others than were written, or which is cut: as it
 * is then, or with its sums made right, as somebody who knows the format would. The former
 * changes nothing that is read; the latter may hide keys, but gives no value that is not the
 * key's, and what is written is there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"
#include "image.h"
#include "target.h"

#define KEYS 24u
#define PATH "db/KEYDIR"

const char *const fuzz_target = "keydir";

/* What holds for an input. */
typedef struct trial {
  bool sealed;          /* its sums are right */
  uint8_t latest[KEYS]; /* serial number of each key's value, 0: absent */
} trial;

static trial made_values;

static void demand(bool condition, const char *what) {
  if (condition) return;
  fprintf(stderr, "a KEYDIR: %s\n", what);
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

static void write_some(freyja *db, uint8_t from, uint8_t to) {
  for (uint8_t i = from; i < to; i++) {
    uint8_t key = (uint8_t)(i * 7 % KEYS);
    freyja_status status = i % 5 == 4 ? freyja_delete(db, &key, 1, NULL) : put(db, key, i);
    demand(!freyja_is_fault(status), "a write");
    made_values.latest[key] = i % 5 == 4 ? 0 : i;
    if (i % 25 == 24) demand(freyja_rotate(db, NULL) == FREYJA_OK, "a rotation");
  }
}

/* A store of three segments with a KEYDIR, and some records behind it. Made once. */
static sim_disk *make_store(void) {
  sim_disk *disk = fuzz_disk_create();
  freyja *db = open_store(disk, FREYJA_IO_MMAP);
  write_some(db, 1, 60);
  demand(freyja_checkpoint(db, NULL) == FREYJA_OK, "writing it");
  write_some(db, 60, 64);
  demand(freyja_close(db, NULL) == FREYJA_OK, "closing");
  return disk;
}

/* ---- the file ---------------------------------------------------------------- */

static size_t slots_start(const uint8_t *bytes) {
  return (size_t)fj_checkpoint_start(fj_get32(bytes + 48));
}

/* Where a change begins: in the header, in the tables, at a slot that is used, or anywhere in
 * the slots. */
static size_t find_place(const uint8_t *real, size_t size, unsigned part, unsigned number) {
  size_t start = slots_start(real), at = start;
  if (part == 0) return number % FJ_CHECKPOINT_HEADER;
  if (part == 1) return FJ_CHECKPOINT_HEADER + number % (start - FJ_CHECKPOINT_HEADER);
  if (part == 2) return start + (size_t)number * sizeof(fj_slot) % (size - start);
  for (unsigned used = 0; at < size; at += sizeof(fj_slot))
    if (fj_get64(real + at + 8) != 0 && used++ == number % KEYS) return at;
  return start;
}

/* Makes the sums right, where the lengths are still those of the real one. */
static void seal(uint8_t *bytes, const uint8_t *real) {
  fj_identity identity;
  uint32_t segments = fj_get32(real + 48), limit = fj_keydir_limit(fj_get32(real + 52));
  size_t shard_size = (size_t)limit * sizeof(fj_slot);
  uint8_t *shard = bytes + FJ_CHECKPOINT_HEADER + (size_t)segments * FJ_CHECKPOINT_SEGMENT;
  memcpy(identity.id, real + 16, FJ_STORE_ID);
  for (uint32_t i = 0; i < FJ_SHARDS; i++, shard += FJ_CHECKPOINT_SHARD) {
    const uint8_t *slots = bytes + slots_start(real) + i * shard_size;
    fj_put64(shard + 8,
             fj_checkpoint_check(fj_checkpoint_seed(&identity, i), slots, shard_size));
  }
  fj_put64(bytes + 88,
           fj_hash(bytes + FJ_CHECKPOINT_HEADER, (size_t)fj_checkpoint_tables(segments), 0));
  fj_put64(bytes + 120, fj_hash(bytes, 120, 0));
}

/* Does what the input says: changes of {part, number (2 bytes), length, bytes}. Returns the
 * file's size. */
static size_t change(uint8_t *bytes, const uint8_t *real, size_t size, fuzz_input *input,
                     trial *t) {
  uint8_t how = fuzz_byte(input);
  while (input->left > 0) {
    unsigned part = fuzz_byte(input) % 4;
    size_t place = find_place(real, size, part, fuzz_short(input)), count = 0;
    const uint8_t *what = fuzz_bytes(input, 1 + fuzz_byte(input) % 16u, &count);
    if (count > size - place) count = size - place;
    if (count > 0) memcpy(bytes + place, what, count);
  }
  t->sealed = (how & 1) != 0;
  if (t->sealed) seal(bytes, real);
  else if ((how & 2) != 0) size = size * (how >> 2) / 64;
  return size;
}

/* ---- the store --------------------------------------------------------------- */

static void use_store(freyja *db, const trial *t) {
  freyja_report report;
  for (uint8_t key = 0; key < KEYS; key++) {
    uint8_t value[8];
    size_t size = 0;
    freyja_status status = freyja_get(db, &key, 1, value, sizeof value, &size, NULL);
    bool found = status == FREYJA_OK, right = size == 2 && value[0] == key;
    demand(found || status == FREYJA_NOTFOUND || (t->sealed && status == FREYJA_CORRUPT),
           "a get fails");
    demand(!found || right, "another key's value");
    demand(t->sealed || (found ? value[1] == t->latest[key] : t->latest[key] == 0),
           "not the latest value");
    if (key % 4 != 0 || put(db, key, 200) != FREYJA_OK) continue;
    status = freyja_get(db, &key, 1, value, sizeof value, &size, NULL);
    demand((t->sealed && status == FREYJA_CORRUPT) ||
               (status == FREYJA_OK && size == 2 && value[1] == 200),
           "what was put is not there");
  }
  demand(freyja_verify(db, NULL, NULL, &report, NULL) == FREYJA_OK, "verify");
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static sim_disk *made;
  uint64_t real_size = 0;
  if (made == NULL) made = make_store();
  const uint8_t *real = sim_disk_bytes(made, PATH, &real_size);
  uint8_t *copy = malloc((size_t)real_size);
  demand(real != NULL && copy != NULL, "memory");
  memcpy(copy, real, (size_t)real_size);
  trial t = made_values;
  fuzz_input input = {bytes, size};
  size_t left = change(copy, real, (size_t)real_size, &input, &t);
  for (int io = 0; io < 2; io++) {
    sim_disk *disk = sim_disk_copy(made);
    disk->plain = true;
    sim_disk_put(disk, PATH, copy, left);
    freyja *db = open_store(disk, io == 0 ? FREYJA_IO_MMAP : FREYJA_IO_SYSCALL);
    demand(disk->bytes_peak < (1u << 20) + 4 * left, "memory out of proportion");
    use_store(db, &t);
    demand(freyja_close(db, NULL) == FREYJA_OK, "closing");
    demand(sim_disk_held(disk) == 0, "something is not given back");
    sim_disk_destroy(disk);
  }
  free(copy);
  return 0;
}
