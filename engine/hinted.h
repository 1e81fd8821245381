/* hinted.h - loading segments into the index from their hint files, without reading their
 * records: with the result that reading them would have. Hints of several segments are loaded
 * side by side: as each is sorted by hash, the keydir is gone through once, from its beginning
 * to its end.
 *
 * Why it has that. Applying records in the log's order (batch.h) leaves of each key what its
 * last record says; an entry is the last record of its key in the segment, and there is one of
 * each. Entries come by their hashes, not in the log's order, so the question is only whether
 * one that stands for another key is ever moved. Keys of different index hashes have nothing
 * to do with each other; those of one hash come in the log's order of their segments.
 *
 * An entry that finds slots of its index hash is compared with their keys in the log, and then
 * moves its own key's alone, in whatever order: but where all 64 bits of the hash make the
 * index hash, neither entry nor slot is flagged `collides`, and the slot is the only one.
 *
 * There entries of one hash come in the log's order, and the slot is taken for the key's. Let
 * it be another's, X. Of two keys of one hash that are live at the same time, the record of
 * one at least is flagged (FORMAT.md, section 3). So when the entry's record was written, X
 * was not live, or not by the record of this slot. What ended that record is another one of X,
 * and it is in this segment, or the slot would not be here. X's last record in this segment is
 * not before the entry's, or the slot would be as that says. So its entry comes behind this
 * one and says what becomes of X. (Where a merge has moved records, the later one that it has
 * made sure of may be in a later segment.)
 *
 * What has expired gets a slot here, and none by reading: whoever reads it or counts keys
 * finds out (expire.c), as when it expires in an open store. It is no live key: to take its
 * slot for another key's does no harm.
 *
 * Where damage hides records of earlier segments, which of two keys of one hash is kept may
 * differ; both are then in doubt and raise CORRUPT (fj_index_prove). */
#ifndef FJ_HINTED_H
#define FJ_HINTED_H

#include "apply.h"
#include "hint.h"

#define FJ_HINTED_MAX 64u  /* hints that are loaded side by side, */
#define FJ_HINTED_FILES 8u /* and where files are not mapped: each keeps its file open */

/* A hint that is being loaded. */
typedef struct fj_load {
  fj_segment *segment;
  fj_hint hint;
} fj_load;

/* How far a range of hashes, that of whole shards, is loaded: each hint's entries in turn, up
 * to a bound that rises by steps. */
typedef struct fj_range {
  uint64_t low, high;           /* the first hash and the last */
  uint64_t bound, step;         /* low <= bound <= high */
  uint64_t next[FJ_HINTED_MAX]; /* the number of each hint's entry that comes next */
} fj_range;

/* After the hints' turns up to the bound: the next bound; false if there is none. */
static inline bool fj_range_go_on(fj_range *range) {
  if (range->bound == range->high) return false;
  bool last = range->high - range->bound <= range->step;
  range->bound = last ? range->high : range->bound + range->step;
  return true;
}

/* What is to be done for a hint's entry. */
static inline fj_entry fj_hinted_entry(const fj_load *load, const fj_hint_entry *hint) {
  uint64_t word = fj_word_make(load->segment->slot, fj_hint_offset(hint->word),
                               fj_hint_size(hint->word), fj_hint_flags(hint->word));
  if ((hint->word & FJ_HINT_TOMBSTONE) != 0) word |= FJ_WORD_GONE;
  return (fj_entry){hint->hash, word};
}

/* Hints of segments that follow each other in the log, oldest first. */
typedef struct fj_hinted {
  fj_index *index;
  fj_load *loads; /* room of them, at most FJ_HINTED_MAX */
  uint32_t count, room;
} fj_hinted;

/* An empty group. No allocation. */
void fj_hinted_create(fj_hinted *group, fj_index *index);

/* Closes what is open. */
void fj_hinted_destroy(fj_hinted *group);

static inline bool fj_hinted_is_full(const fj_hinted *group) {
  bool mapped = group->index->pool.io == FREYJA_IO_MMAP;
  return group->count == (mapped ? FJ_HINTED_MAX : FJ_HINTED_FILES);
}

/* Takes a sealed segment without known damage, whose file has the size that the MANIFEST gives
 * and which is the newest of the index, into the group, which is not full, if it has a hint
 * that can be used: then *taken, its statistics are set, and the segment's tail is its end.
 * Otherwise it is to be read; if there is a hint, *why says what is wrong with it (else it is
 * empty). Faults: MEMORY. */
freyja_status fj_hinted_take(fj_hinted *group, fj_segment *segment, bool *taken,
                             freyja_error *why, freyja_error *error);

/* Loads the hints of the group, which is empty then. Faults: MEMORY, LIMIT; or, and *why
 * says the same, a hint turns out not to be usable after all: CORRUPT, IO. Then the index is
 * to be filled anew, without hints. */
freyja_status fj_hinted_load(fj_hinted *group, freyja_error *why, freyja_error *error);

#endif
