/* check.h - what holds for a store whatever its files are. A function that finds that it
 * does not hold aborts. */
#ifndef FUZZ_CHECK_H
#define FUZZ_CHECK_H

#include "disk.h"
#include "view.h"

/* How a store is opened. */
typedef struct fuzz_mode {
  const char *path;
  freyja_io io;
  bool readonly;
  freyja_sync_mode sync_mode;
  uint32_t segment_size;
} fuzz_mode;

/* A fault has a text and names something below "db", and is none that a working disk cannot
 * give. Anything else has no text to check. */
void fuzz_check_error(freyja_status status, const freyja_error *error);

/* Opens a store; NULL if it cannot be opened. error->status is OK if it can. */
freyja *fuzz_open(sim_disk *disk, const fuzz_mode *mode, freyja_error *error);

void fuzz_close(freyja *db);

/* Everything that the engine had of the disk was given back; `when` ends the sentence. */
void fuzz_check_held(const sim_disk *disk, const char *when);

/* Iterates the store in both orders into *view (sorted), which must be the same, without a
 * key twice; compares with what gets and statistics say. True if it all can be read. */
bool fuzz_examine(freyja *db, fuzz_view *view);

/* Opens the store at `path` read-only, examines and closes it, which changes nothing. False if
 * it cannot be opened. */
bool fuzz_look(sim_disk *disk, const char *path, freyja_io io, fuzz_view *view, bool *whole,
               freyja_error *error);

/* For freyja_verify and freyja_repair: counts into the uint64_t that is its argument. */
void fuzz_check_problem(void *argument, const freyja_problem *problem);

/* Verifies a store that holds `keys` keys, all of which can be read, or not; returns the
 * number of problems but for those of hints. */
uint64_t fuzz_verify(freyja *db, uint64_t keys, bool whole);

/* Iterates to the end into *view, in the iterator's order. True if it ended without a fault.
 */
bool fuzz_drain(freyja_iterator *iterator, fuzz_view *view);

/* What the engine asked of the disk in so many steps (an opening, a look at all of a store,
 * an operation) is in proportion to the bytes of its files. */
void fuzz_check_costs(const sim_disk *disk, uint64_t bytes, uint64_t steps);

/* A sum of all that a program sees on the disk, or of some of its files and directories. */
uint64_t fuzz_disk_sum(const sim_disk *disk);
uint64_t fuzz_nodes_sum(const sim_disk *disk, uint32_t first, uint32_t count);

#endif
