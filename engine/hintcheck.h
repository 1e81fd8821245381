/* hintcheck.h - comparing a hint file with its data file: for verify. */
#ifndef FJ_HINTCHECK_H
#define FJ_HINTCHECK_H

#include "findings.h"
#include "gather.h"

/* Tells of a hint that cannot be used, or that is not what a hint of the data file must be.
 * `file` is sealed and opened by an inspection, which tells of damage in it: a hint is not
 * compared with that. Without a hint there is nothing to tell. Memory as for writing one.
 * Faults: MEMORY. */
freyja_status fj_hint_compare(fj_segment *file, const fj_findings *findings,
                              freyja_error *error);

#endif
