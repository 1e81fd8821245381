/* part.h - filling the index by several threads, each in shards of its own, as far as that
 * takes nothing but a look at the slots of an entry's hash, and changing them: which is all
 * there is to do for nearly every entry.
 *
 * P1  A thread changes the slots and counts of the shards of its part, and what is its own.
 *     Everything else it reads, and nobody changes it meanwhile.
 *
 * P2  It applies an entry as fj_apply would, or stops before it; what it has changed is what
 *     one thread would have come to when it has applied as many of the part's. */
#ifndef FJ_PART_H
#define FJ_PART_H

#include "apply.h"
#include "thread.h"

#define FJ_PARTS FJ_THREADS
#define FJ_PARTS_MIN (UINT64_C(1) << 16) /* entries; of fewer threads are not worth it */

/* What has become live in a segment, and no longer is: differences, modulo 2^64. */
typedef struct fj_live {
  uint64_t keys, bytes;
} fj_live;

/* What a thread has changed beside slots. Nothing of it lies in a cache line of another's. */
typedef struct fj_part {
  _Alignas(128) fj_index *index;
  fj_live *live;                /* by the segments' numbers */
  uint64_t room;                /* slots that may be added */
  uint64_t added;               /* those that were, less those that went; modulo 2^64 */
  uint64_t passed, passed_most; /* slots; a thread that has passed more stops */
} fj_part;

typedef struct fj_parts {
  fj_part parts[FJ_PARTS]; /* of the same number of shards each, in their order */
  fj_live *live;           /* of all of them */
} fj_parts;

/* Makes parts, if so many entries are worth it and the keydir is one to which that applies:
 * all bits of hashes are in use, no shard is absent, it does not grow right now. They may pass
 * `passed_most` slots together, and stop where the keydir has no room for more keys. False:
 * that is for one thread. No fault: without memory it is false. */
bool fj_parts_open(fj_parts *parts, fj_index *index, uint64_t entries, uint64_t passed_most);

/* Applies an entry whose hash is of the part's shards. False, and nothing has changed: it is
 * for fj_apply, and so are those of the part that follow it. */
bool fj_part_apply(fj_part *part, const fj_entry *entry);

/* Brings the index up to date with what the parts have changed, after all of their threads;
 * returns the slots that they have passed. */
uint64_t fj_parts_close(fj_parts *parts);

#endif
