/* opening.h - how long opening takes, by reading data files and by reading their hint files.
 */
#ifndef OPENING_H
#define OPENING_H

#include <stdint.h>

#include "freyja.h"

/* Fills a store in the folder with so many keys, for each of some sizes of values, and prints
 * nanoseconds per key, medians of the runs. */
void print_opening(const char *folder, const freyja_options *options, uint64_t keys,
                   unsigned runs);

#endif
