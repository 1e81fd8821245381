/* plain.h - loading hints (hinted.h) by several threads, each its part (part.h) of the
 * entries. */
#ifndef FJ_PLAIN_H
#define FJ_PLAIN_H

#include "hinted.h"
#include "part.h"

#define FJ_HINT_AHEAD 16u /* entries: so far ahead of being used memory is asked for */

/* Loads what it can of a group that has so many entries; `step` is that of the ranges, and
 * `passed_most` that of fj_parts_open. The ranges say how far that is, one for each part.
 * False: nothing is loaded, and that is for one thread. */
bool fj_plain_load(const fj_hinted *group, uint64_t entries, uint64_t step,
                   uint64_t passed_most, fj_range ranges[FJ_PARTS]);

#endif
