/* recovery.h - from what lies in a directory to an index: reads the segments
 * that the MANIFEST names, oldest first, finds the log's end, cuts a torn tail,
 * removes what an interrupted write left. */
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

/* CORRUPT if there is a file that is this store's, that the manifest does not name, and that
 * is longer than a header: then the manifest is not the one that belongs to the data, and
 * what goes on from it would lose records. Faults: IO, too. */
freyja_status fj_recovery_check(const fj_dir *dir, const fj_manifest *manifest,
                                freyja_error *error);

/* Removes temporary files, and data files that the manifest does not name, that are this
 * store's or have no header, and that have nothing behind it. Files that cannot be removed
 * stay. Faults: IO, MEMORY. */
freyja_status fj_recovery_clean(const fj_dir *dir, const fj_manifest *manifest,
                                freyja_error *error);

/* Whether the directory holds any data file. */
freyja_status fj_recovery_has_data(const fj_dir *dir, bool *has_data, freyja_error *error);

#endif
