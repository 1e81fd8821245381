/* keydir.c - a KEYDIR in which some bytes are others than were written, or which is cut: as it
 * is then, or with its sums made right, as somebody who knows the format would. The former
 * changes nothing that is read; the latter may hide keys, but gives no value that is not the
 * key's, and what is written is there. */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "checkpoint.h"
#include "derived.h"
#include "image.h"
#include "target.h"

#define PATH "db/KEYDIR"

const char *const fuzz_target = "keydir";

/* A store of three segments with a KEYDIR, and some records behind it. Made once. */
static sim_disk *make_store(uint8_t latest[FUZZ_DERIVED_KEYS]) {
  sim_disk *disk = fuzz_disk_create();
  freyja *db = fuzz_derived_open(disk, FREYJA_IO_MMAP);
  fuzz_derived_write(db, 1, 60, latest);
  if (freyja_checkpoint(db, NULL) != FREYJA_OK) fuzz_fail("writing the KEYDIR");
  fuzz_derived_write(db, 60, 64, latest);
  fuzz_close(db);
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
    if (fj_get64(real + at + 8) != 0 && used++ == number % FUZZ_DERIVED_KEYS) return at;
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
 * file's size; *sealed is whether its sums are right. */
static size_t change(uint8_t *bytes, const uint8_t *real, size_t size, fuzz_input *input,
                     bool *sealed) {
  uint8_t how = fuzz_byte(input);
  while (input->left > 0) {
    unsigned part = fuzz_byte(input) % 4;
    size_t place = find_place(real, size, part, fuzz_short(input)), count = 0;
    const uint8_t *what = fuzz_bytes(input, 1 + fuzz_byte(input) % 16u, &count);
    if (count > size - place) count = size - place;
    if (count > 0) memcpy(bytes + place, what, count);
  }
  *sealed = (how & 1) != 0;
  if (*sealed) seal(bytes, real);
  else if ((how & 2) != 0) size = size * (how >> 2) / 64;
  return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static sim_disk *made;
  static uint8_t latest[FUZZ_DERIVED_KEYS];
  uint64_t real_size = 0;
  bool sealed = false;
  if (made == NULL) made = make_store(latest);
  const uint8_t *real = sim_disk_bytes(made, PATH, &real_size);
  uint8_t *copy = fuzz_allocate((size_t)real_size);
  memcpy(copy, real, (size_t)real_size);
  fuzz_input input = {bytes, size};
  size_t left = change(copy, real, (size_t)real_size, &input, &sealed);
  fuzz_derived file = {PATH, copy, left, 4 * left, sealed ? NULL : latest};
  fuzz_derived_try(made, &file);
  free(copy);
  return 0;
}
