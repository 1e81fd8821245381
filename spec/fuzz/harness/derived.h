/* derived.h - a good store in which an input takes the place of one file that is made from
 * others, a hint file or the KEYDIR: whatever is in it, the store opens, no get gives another
 * key's value, and what is put then is there. A function that finds otherwise aborts. */
#ifndef FUZZ_DERIVED_H
#define FUZZ_DERIVED_H

#include "disk.h"
#include "freyja.h"

#define FUZZ_DERIVED_KEYS 24u /* of one byte each, from 0 */

/* What takes the file's place. */
typedef struct fuzz_derived {
  const char *path;
  const uint8_t *bytes;
  size_t size;
  uint64_t memory; /* bytes that opening may take for it, besides 1 MiB */
  /* The serial number of each key's value, which is what is read whatever the file holds;
   * NULL: its sums may be right, and then it may hide keys or lead to where they are not. */
  const uint8_t *latest;
} fuzz_derived;

/* Opens the store "db" to write; it may be new. */
freyja *fuzz_derived_open(sim_disk *disk, freyja_io io);

/* Puts and deletes keys in a fixed order, beginning a segment after every 25th of all writes:
 * does those with the serial numbers from `from` to less than `to`, at most 200. Notes in
 * `latest`, unless it is NULL, the serial number of each key's value, 0 for one that was
 * deleted. */
void fuzz_derived_write(freyja *db, uint8_t from, uint8_t to,
                        uint8_t latest[FUZZ_DERIVED_KEYS]);

/* Opens copies of the store on the disk `made`, where it is closed, with the file in its
 * place, in both I/O modes; reads all keys, writes some, verifies and closes. */
void fuzz_derived_try(sim_disk *made, const fuzz_derived *file);

#endif
