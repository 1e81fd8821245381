/* follow.h - what a read-only store takes over of what a writer has done, in this process or
 * another: freyja_refresh of freyja.h.
 *
 * F1  Between two refreshes all records up to the horizon, a timestamp, are applied, and none
 *     that is later: what is shown is what the writer had committed at some moment.
 *
 * F2  A record that is not later than that was applied, or is dead. A copy of it, which a
 * merge has made, takes the slot that leads to it, if one does, and is nothing otherwise.
 *
 * F3  The log is read up to where it ended at a moment when the MANIFEST was the one that is
 *     gone by. What was written later may rest on what a later MANIFEST has put below it.
 *
 * F4  Of a file that somebody else may write, and cut, only what is below the tail, which
 *     stays, is read by the mapping; what is behind that by calls, which may find less. */
#ifndef FJ_FOLLOW_H
#define FJ_FOLLOW_H

#include "store.h"

/* Reads the store, which is read-only, from its MANIFEST on; once more where a writer has
 * changed meanwhile what was to be read. Faults: those of freyja_open; then there is nothing
 * in the index. */
freyja_status fj_follow_read(fj_store *db, freyja_error *error);

/* freyja_refresh */
freyja_status fj_store_refresh(fj_store *db, bool *changed, freyja_error *error);

/* OK, or CONFLICT for a read-only store beside a writer: for what goes through all files,
 * which that may change meanwhile. Faults: IO. */
freyja_status fj_follow_check_alone(const fj_store *db, freyja_error *error);

#endif
