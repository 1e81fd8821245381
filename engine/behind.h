/* behind.h - write-behind: a thread writes a block of records to a segment while its owner
 * gathers the next.
 *
 * J1  From fj_behind_hand until the fj_behind_wait that follows, the block is the thread's,
 *     and of the segment its file, its tail and what is said of its reserve: all that
 *     fj_segment_append_block touches. Nobody else looks at them. */
#ifndef FJ_BEHIND_H
#define FJ_BEHIND_H

#include "segment.h"

typedef struct fj_behind fj_behind;

/* A new thread, that sleeps; NULL if none can be had. Owned by the caller. */
fj_behind *fj_behind_begin(const fj_os *os);

/* Has the block appended; of the one before fj_behind_wait has told. Nothing is copied. */
void fj_behind_hand(fj_behind *behind, fj_segment *segment, const uint8_t *block, size_t size);

/* Waits until the block is written, and tells what it came to: as fj_segment_append_block; OK
 * if none was handed over since. */
freyja_status fj_behind_wait(fj_behind *behind, freyja_error *error);

/* Ends the thread, behind the write that goes on; a block that it has not begun with stays
 * unwritten. NULL is allowed. `here`: this is the process that has begun it; a child of that
 * has no thread. */
void fj_behind_end(fj_behind *behind, bool here);

#endif
