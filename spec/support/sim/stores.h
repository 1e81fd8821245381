/* stores.h - the stores that scenarios begin with: each function makes one where nothing is,
 * and leaves it closed. */
#ifndef SIM_STORES_H
#define SIM_STORES_H

#include "trial.h"

#define SIM_FULL 38u /* keys of two hashes: as many as the keydir's first memory takes */

/* Puts keys `from` and the following into the open store. */
void sim_put_some(trial *t, unsigned from, unsigned count);

/* Three segments, with values of all sizes, overwritten and deleted ones. */
void sim_make_store(trial *t);
void sim_make_readonly(trial *t);      /* it is then opened read-only */
void sim_make_many_segments(trial *t); /* more than the engine keeps open */
void sim_make_full_keydir(trial *t);   /* of SIM_FULL keys */
void sim_make_folder(trial *t);        /* only the directory is there */

/* Not closed, but killed: nothing of the last segment is synced. */
void sim_make_killed(trial *t);
void sim_make_sparse(trial *t); /* as well, and copied without the zeros that were reserved */

/* Behind the mark a record that is not whole and two that are. */
void sim_make_torn(trial *t);

/* What crashes leave, and what is not ours. */
void sim_make_leftovers(trial *t);

void sim_make_damaged_value(trial *t);
void sim_make_damaged_header(trial *t);
void sim_make_missing(trial *t); /* one of the data files */

void sim_make_hinted(trial *t);
void sim_make_wrong_hint(trial *t); /* one of the hint files is not what it was */

void sim_make_checkpointed(trial *t);       /* a KEYDIR covers all of it */
void sim_make_tail(trial *t);               /* as well, and killed after more writes */
void sim_make_spoiled_checkpoint(trial *t); /* the KEYDIR covers all; its shards are damaged */
void sim_make_spoiled_tail(trial *t);       /* likewise of the one with a tail */
void sim_make_much(trial *t); /* so much log that a close writes a KEYDIR; killed */

#endif
