/* lock.h - the LOCK of a store (FORMAT.md, section 1): one writer, or any number of
 * readers. */
#ifndef FJ_LOCK_H
#define FJ_LOCK_H

#include "error.h"

/* Takes it: exclusive, leaving `process` in it for others' messages, or shared. It is held
 * until *file is closed. Without a LOCK a shared one is nothing: *file is -1 then (a copy on
 * read-only media), and after a fault. Faults: LOCKED, IO, FULL. */
freyja_status fj_lock_take(const fj_dir *dir, bool exclusive, uint32_t process, int *file,
                           freyja_error *error);

#endif
