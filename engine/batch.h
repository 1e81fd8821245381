/* batch.h - records that were read in the log's order, on their way into the keydir. In a
 * large keydir each key's place is memory that is not in any cache: records are put aside
 * until there are many (run.h), and then applied by the hashes of their keys, so that the
 * keydir is gone through in its own order; by several threads, where there are enough.
 *
 * B1  Records of one index hash are applied in the order in which they were added. Those of
 *     different ones have nothing to do with each other. */
#ifndef FJ_BATCH_H
#define FJ_BATCH_H

#include "pieces.h"

typedef struct fj_batch {
  fj_index *index;
  /* The newest that were added, as they came: so many, and room for more. */
  fj_entry *entries;
  uint32_t count, capacity;
  fj_run *first, *last; /* those before them: the oldest and the newest run */
  uint64_t in_runs;     /* entries */
  fj_arena arena;       /* of the runs */
  fj_arena scratch;     /* of threads that read pieces */
  uint64_t bytes;       /* of the records in it */
  uint64_t left;        /* bytes of the log that are still to come, as far as that is known */
} fj_batch;

/* An empty one. No allocation. `left`: bytes of the log that may come, for an estimate of how
 * large the keydir will be; 0 where that is not known. */
void fj_batch_create(fj_batch *batch, fj_index *index, uint64_t left);
void fj_batch_destroy(fj_batch *batch);

/* So many bytes of the log will not come. */
static inline void fj_batch_pass(fj_batch *batch, uint64_t bytes) {
  batch->left -= batch->left < bytes ? batch->left : bytes;
}

/* Takes a record that was read in the log's order; the segment's tail is behind it. One that
 * has expired, by the clock or by a record before it, counts as a tombstone. May flush.
 * Faults: MEMORY, those of fj_batch_flush. */
freyja_status fj_batch_add(fj_batch *batch, fj_segment *segment, uint64_t offset,
                           const fj_record *record, uint64_t key_hash, freyja_error *error);

/* Takes the records of the segment's bytes [*from, end), which begin with one, as far as there
 * is nothing else and several threads are of use, counting them in the segment's statistics
 * and in *records. *from is then behind them, and so is the segment's tail. May flush. Faults:
 * those of fj_batch_flush. */
freyja_status fj_batch_read(fj_batch *batch, fj_segment *segment, uint64_t *from, uint64_t end,
                            uint64_t *records, freyja_error *error);

/* Applies all that are there (FORMAT.md, section 3). Faults: MEMORY, IO, LIMIT (also
 * fj_index_charge); CORRUPT if a record is not there any more. */
freyja_status fj_batch_flush(fj_batch *batch, freyja_error *error);

#endif
