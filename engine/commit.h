/* commit.h - writing several records as one: all of them, or none, are there for every reader
 * and after every crash.
 *
 * M1  The records of a transaction follow each other in one segment, all but the last flagged
 *     `more`; whoever looks for the log's end takes them as a whole (intake.h, N2).
 * M2  Whatever can fail has happened before the first of them can be seen, new keys having got
 *     slots that lead behind the log's end: a commit that fails takes these away again. */
#ifndef FJ_COMMIT_H
#define FJ_COMMIT_H

#include "local.h"
#include "store.h"

/* Writes the newest edits; changes what only a commit uses of them. Faults: as the writing
 * calls; then nothing has changed, but poisoned the store may be. */
freyja_status fj_commit(fj_store *db, fj_local *local, freyja_error *error);

#endif
