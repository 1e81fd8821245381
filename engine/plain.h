/* plain.h - loading hints (hinted.h) by several threads, each in shards of its own, as far as
 * that takes nothing but a look at the slots of an entry's hash, and changing them: which is
 * all there is to do for nearly every entry.
 *
 * P1  A thread changes the slots and counts of the shards of its range, and what is its own.
 *     Everything else it reads, and nobody changes it meanwhile.
 *
 * P2  It applies an entry as fj_apply would, or stops before it; what it has changed is what
 *     one thread would have come to when it has loaded as much of the range. */
#ifndef FJ_PLAIN_H
#define FJ_PLAIN_H

#include "hinted.h"

#define FJ_PLAIN_RANGES 4u
#define FJ_PLAIN_LEAST (UINT64_C(1) << 16) /* entries; of fewer a thread is not worth it */
#define FJ_HINT_AHEAD 16u /* entries: so far ahead of being used memory is asked for */

/* Loads what it can of a group that has so many entries; `step` is that of the ranges. The
 * ranges say how far that is: their number, or 0: none is, and that is for one thread. */
uint32_t fj_plain_load(const fj_hinted *group, uint64_t entries, uint64_t step,
                       fj_range ranges[FJ_PLAIN_RANGES]);

#endif
