/* hint.c - any hint file beside a good data file: the bytes as they are, or with its sums made
 * right, as somebody who knows the format would. Such a hint may hide keys; but it gives no
 * value that is not the key's, and what is written is there. */
#include <string.h>

#include "check.h"
#include "derived.h"
#include "hint.h"
#include "image.h"
#include "target.h"

#define HINT_MAX 65536u /* bytes */

const char *const fuzz_target = "hint";

/* A store of two sealed segments with hints, and one that is written. Made once. */
static sim_disk *make_store(void) {
  sim_disk *disk = fuzz_disk_create();
  freyja *db = fuzz_derived_open(disk, FREYJA_IO_MMAP);
  fuzz_derived_write(db, 0, 60, NULL);
  for (uint64_t id = 1; id <= 2; id++)
    if (freyja_hint(db, id, NULL) != FREYJA_OK) fuzz_fail("writing a hint");
  fuzz_close(db);
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
  fuzz_derived file = {path, copy, size, 16 * size, NULL};
  fuzz_derived_try(made, &file);
  return 0;
}
