/* merging.h - how fast a merge copies what is live. */
#ifndef MERGING_H
#define MERGING_H

#include <stdint.h>

#include "freyja.h"

/* Writes about so many MiB to random keys in a store in the folder, so that half of it is
 * dead, for each of some sizes of values, merges it and prints how long that takes, medians of
 * the runs. */
void print_merging(const char *folder, const freyja_options *options, uint64_t mib,
                   unsigned runs);

#endif
