/* lock.h - one writer of a store, or any number of readers (FORMAT.md, section 1): by a lock
 * of its directory, which cannot be lost while somebody has it open, and one of its LOCK,
 * which tells others who holds it. */
#ifndef FJ_LOCK_H
#define FJ_LOCK_H

#include "error.h"

extern const char fj_lock_name[]; /* "LOCK" */

/* Takes both: exclusive, leaving `process` in the LOCK for others' messages, or shared. A
 * writer makes the LOCK if it is missing; for a reader there is none then, and *file is -1, as
 * it is after a fault. Held until dir->fd and *file are closed, both of them after a fault
 * too. Faults: LOCKED, IO, FULL. */
freyja_status fj_lock_take(const fj_dir *dir, bool exclusive, uint32_t process, int *file,
                           freyja_error *error);

#endif
