/* pieces.h - reading a part of the log by several threads, each one piece of it after the
 * other, as far as there is nothing but whole records: as batch.h and intake.h do, with what
 * they make of it.
 *
 * Nobody knows where records begin in the middle of a file. A piece begins where the first
 * bytes behind its bound pass a record's check; that it is where a record begins, and not in
 * the middle of a value, is known when the piece before ends there.
 *
 * L1  What is taken are records one behind the other, from where the one before ended, each
 *     with both of its sums. At the first that is not so, it ends. */
#ifndef FJ_PIECES_H
#define FJ_PIECES_H

#include "run.h"

/* What there is to know of records beside their places. */
typedef struct fj_tally {
  uint64_t puts, tombstones;
  uint64_t oldest, newest; /* timestamps; no record: UINT64_MAX, 0 */
  uint64_t expires;        /* the soonest expiry; 0: none expires */
  uint64_t soonest;        /* likewise, of those that may get a slot */
  uint64_t left_out; /* the latest expiry of those that got none by the clock alone; 0: none */
} fj_tally;

typedef struct fj_pieces {
  const fj_segment *segment; /* mapped, and read-only up to `end` */
  uint64_t from, end;        /* what is to be read: bytes that begin with a record */
  uint64_t hash_mask;        /* of the keydir */
  uint64_t now;              /* the time by the clock, */
  uint64_t newest;           /* and that of the newest record that was read */
  uint64_t average;          /* bytes of a record, as far as is known */
  uint64_t patience;         /* bytes that may still be read in vain */
  bool over;                 /* what is left is for one thread */
  /* What a step has read, in the log's order. */
  fj_run *first, *last; /* NULL: nothing */
  fj_tally tally;
} fj_pieces;

/* Bytes of the log that are worth it. */
#define FJ_PIECES_MIN (UINT64_C(1) << 20)

/* Begins with bytes [from, end) of the segment, which begin with a record. */
void fj_pieces_open(fj_pieces *pieces, const fj_index *index, fj_segment *segment,
                    uint64_t from, uint64_t end);

/* Reads on, as far as there is room in the arena, at least that of the largest run: `from` is
 * then behind what was read. `scratch` has room for FJ_THREADS * FJ_RUN_MAX entries. */
void fj_pieces_step(fj_pieces *pieces, fj_arena *arena, fj_entry *scratch);

#endif
