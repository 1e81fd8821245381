/* lock.h - the LOCK of a store (FORMAT.md, section 1): one writer, or any number of
 * readers. */
#ifndef FJ_LOCK_H
#define FJ_LOCK_H

#include "error.h"

extern const char fj_lock_name[]; /* "LOCK" */

/* Takes it: exclusive, leaving `process` in it for others' messages, or shared. It is held
 * until *file is closed. `make`: a LOCK that is missing is made, by a reader too, so
 * that a writer finds out about it. Where a reader may not (read-only media, another's files),
 * or should not, there is no lock: *file is -1 then, and after a fault.
 * Faults: LOCKED, IO, FULL. */
freyja_status fj_lock_take(const fj_dir *dir, bool exclusive, bool make, uint32_t process,
                           int *file, freyja_error *error);

#endif
