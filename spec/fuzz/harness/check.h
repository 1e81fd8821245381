/* check.h - what holds for a store whatever its files are. A function that finds that it
 * does not hold aborts. */
#ifndef FUZZ_CHECK_H
#define FUZZ_CHECK_H

#include "disk.h"
#include "view.h"

/* How a store is opened. */
typedef struct fuzz_mode {
  freyja_io io;
  bool readonly;
  freyja_sync_mode sync_mode;
  uint32_t segment_size;
} fuzz_mode;

/* A fault has a text and names something below "db", and is none that a working disk cannot
 * give. Anything else has no text to check. */
void fuzz_check_error(freyja_status status, const freyja_error *error);

/* Opens "db" on the disk; NULL if it cannot be opened. error->status is OK if it can. */
freyja *fuzz_open(sim_disk *disk, const fuzz_mode *mode, freyja_error *error);

void fuzz_close(freyja *db);

/* Everything that the engine had of the disk was given back; `when` ends the sentence. */
void fuzz_check_held(const sim_disk *disk, const char *when);

/* Iterates the store in both orders into *view (sorted), which must be the same, without a
 * key twice; compares with what gets and statistics say. True if it all can be read. */
bool fuzz_examine(freyja *db, fuzz_view *view);

/* Iterates to the end into *view, in the iterator's order. True if it ended without a fault.
 */
bool fuzz_drain(freyja_iterator *iterator, fuzz_view *view);

/* What the engine asked of the disk in so many steps (an opening, a look at all of a store,
 * an operation) is in proportion to the bytes of its files. */
void fuzz_check_costs(const sim_disk *disk, uint64_t bytes, uint64_t steps);

/* A sum of all that a program sees on the disk, but for a LOCK with nothing in it, which a
 * reader makes. */
uint64_t fuzz_disk_sum(const sim_disk *disk);

/* Reads the data file `path` by freyja_log to its end. */
void fuzz_read_log(sim_disk *disk, const char *path);

#endif
