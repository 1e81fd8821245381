/* log.h - reading a data file by freyja_log, whatever is in it. */
#ifndef FUZZ_LOG_H
#define FUZZ_LOG_H

#include "disk.h"

/* Reads the data file `path` to its end: records that can be, in order. Then again from the
 * `number`th of them, if there are as many (from 0), which gives the same. */
void fuzz_read_log(sim_disk *disk, const char *path, uint32_t number);

/* Whether each record of the store "db" is newer than all before it, as the engine writes
 * them. */
bool fuzz_in_order(sim_disk *disk, freyja *db);

/* How the records of the store "db" differ from what the engine writes, which takes it for
 * granted that
 *   *distinct  no two have the same timestamp (T1), where it keeps iterators' views;
 *   *flagged   of the keys of one index hash, all but one have `collides` in their records:
 *              otherwise a later one may take the place of an earlier one's, or not, by what
 *              else has that hash and has not expired. (Of keys that were live at the same
 * time; this is stricter.) False where not all records can be told. */
void fuzz_take_stock(sim_disk *disk, freyja *db, bool *distinct, bool *flagged);

#endif
