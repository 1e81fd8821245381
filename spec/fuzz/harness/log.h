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

/* Whether no two records of the store "db" have the same timestamp: as the engine writes them,
 * and as it takes for granted where it keeps iterators' views (T1). */
bool fuzz_distinct(sim_disk *disk, freyja *db);

#endif
