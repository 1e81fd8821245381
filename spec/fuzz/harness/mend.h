/* mend.h - repairing a store, whatever is in its directory. */
#ifndef FUZZ_MEND_H
#define FUZZ_MEND_H

#include "disk.h"
#include "view.h"

/* Repairs "db" to a new store in directory `to`, which changes nothing of it. What comes of it
 * is sound; what it holds goes into *view. False if it cannot be done, and then nothing is
 * left of it. */
bool fuzz_mend(sim_disk *disk, const char *to, fuzz_view *view);

#endif
