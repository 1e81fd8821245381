/* lock.h - one writer of a store, or any number of repairs (FORMAT.md, section 1): by a lock
 * of its directory, which cannot be lost while somebody has it open, and one of its LOCK,
 * which tells others who holds it. Beside either any number of those who follow what a writer
 * does: they have a lock of the directory, of another kind (fj_os.lock), by which a writer can
 * tell that there are some. */
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

/* For who reads beside a writer, whoever that is and whenever it comes: tells writers that
 * somebody does, until dir->fd is closed. Where there are no locks nobody is told. Faults: IO.
 */
freyja_status fj_lock_follow(const fj_dir *dir, freyja_error *error);

/* Whether a writer, or a repair, holds the LOCK just now. Faults: IO. */
freyja_status fj_lock_is_held(const fj_dir *dir, bool *held, freyja_error *error);

#endif
