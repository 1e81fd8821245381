/* recipe.h - a few bytes from which a data file or a MANIFEST is made whose sums are right:
 * most of what a fuzzer does to a recipe gives a file that passes every check. */
#ifndef FUZZ_RECIPE_H
#define FUZZ_RECIPE_H

#include "disk.h"
#include "input.h"

#define FUZZ_CLOCK UINT64_C(1700000000000000) /* what a new disk's clock says */
#define FUZZ_MADE_MAX 8192u                   /* bytes of a file that is made, at most */

/* The key with that number; the same in recipes and operations. */
const uint8_t *fuzz_key(uint8_t number, size_t *size);

/* Makes segment `id`; *clock counts the records, for timestamps. Returns its size.
 *
 *   flags   1 byte: 1 mark 0 behind the last record, 2 mark 1 in the middle, 4 mark 0 behind
 *           the file's end, 8 a damaged header, 16 another store's id, 32 another file id,
 *           64 an unknown version, 128 not a multiple of 8
 *   pieces  each: a byte whose low three bits are a kind (0 to 2 a put, 3 one that expires, by
 *           its value's size, 4 a tombstone, 5 zeros, 6 other bytes, 7 a stale put), 8 flag
 * `collides`, 16 a wrong value sum, 32 a wrong header check, 64 a jump of the timestamp (by
 * the power of two that the next byte says), 128 a longer value; of a record then the key's
 * number and the value's size, of others a count */
size_t fuzz_make_data(fuzz_input *recipe, uint64_t id, uint64_t *clock,
                      uint8_t bytes[FUZZ_MADE_MAX]);

/* Makes a MANIFEST for the data files on the disk.
 *
 *   hash bits  1 byte: 0 for 64
 *   flags      1 byte: 1 the highest file id is next, 2 the one before, 4 the last
 *              generation, 8 the last segment is sealed
 *   segments   each: an id, and by how many times 8 bytes its size differs from the file's */
size_t fuzz_make_manifest(fuzz_input *recipe, const sim_disk *disk,
                          uint8_t bytes[FUZZ_MADE_MAX]);

#endif
