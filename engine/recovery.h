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

/* CORRUPT if the manifest is older than the data: a file that it does not name and whose
 * id is none that it gave holds records of this store. Faults: IO, too. */
freyja_status fj_recovery_check(const fj_dir *dir, fj_manifest *manifest, freyja_error *error);

/* Removes temporary files, and data files that the manifest does not name and
 * that are this store's or have no header. next_id is raised above every id in sight
 * that is not far ahead. Files that cannot be removed stay. Faults: IO, MEMORY. */
freyja_status fj_recovery_clean(const fj_dir *dir, fj_manifest *manifest, freyja_error *error);

/* Whether the directory holds any data file. */
freyja_status fj_recovery_has_data(const fj_dir *dir, bool *has_data, freyja_error *error);

#endif
