/* recovery.h - from what lies in a directory to an index: takes over the KEYDIR, reads the
 * segments behind it that the MANIFEST names, or their hint files, oldest first, finds the
 * log's end, cuts a torn tail. */
#ifndef FJ_RECOVERY_H
#define FJ_RECOVERY_H

#include "index.h"
#include "manifest.h"

/* Fills the index, which is empty, from the segments of the manifest. Without
 * `readonly` the active segment is ready for appends afterwards, everything in
 * it is durable, and a torn tail is in lost/; read-only, nothing is changed.
 * *active is the last segment if appends may go on in it, NULL if there is none or
 * it is damaged. `limit`: of the active segment, bytes. Damage is no fault.
 * Faults: IO, FULL, MEMORY, FORMAT, LIMIT; the index is then to be destroyed. */
freyja_status fj_recover(fj_index *index, const fj_manifest *manifest, uint64_t limit,
                         fj_segment **active, freyja_recovery *result, freyja_error *error);

/* For an index whose keydir is lost: fills it anew from the segments that it has, as far as
 * they are written, with their statistics. No iterator or rewrite is open. Faults: IO, MEMORY,
 * LIMIT; then it can be tried again. */
freyja_status fj_recover_again(fj_index *index, freyja_error *error);

#endif
