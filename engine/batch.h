/* batch.h - records that were read in the log's order, on their way into the keydir. In a
 * large keydir each key's place is memory that is not in any cache: records are put aside
 * until there are many, and then applied by the hashes of their keys, so that the keydir is
 * gone through in its own order (radix partitioning, as in hash joins: S. Manegold, P. Boncz,
 * M. Kersten, 2002).
 *
 * B1  Records of one index hash are applied in the order in which they were added. Those of
 *     different ones have nothing to do with each other. */
#ifndef FJ_BATCH_H
#define FJ_BATCH_H

#include "apply.h"

typedef struct fj_batch {
  fj_index *index;
  fj_entry *entries; /* capacity of them, */
  fj_entry *ordered; /* and as many again, where they are put in order */
  uint32_t count, capacity;
  uint64_t bytes; /* of the records in it */
  uint64_t left;  /* bytes of the log that are still to come, as far as that is known */
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

/* Applies all that are there (FORMAT.md, section 3). Faults: MEMORY, IO, LIMIT (also
 * fj_index_charge); CORRUPT if a record is not there any more. */
freyja_status fj_batch_flush(fj_batch *batch, freyja_error *error);

#endif
