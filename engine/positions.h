/* positions.h - a set of numbers that are not 0: of records' timestamps, for iterators, or of
 * hashes. */
#ifndef FJ_POSITIONS_H
#define FJ_POSITIONS_H

#include "os.h"

typedef struct fj_positions {
  const fj_os *os;
  uint64_t *slots; /* capacity of them, a power of two; 0: empty */
  size_t capacity;
  size_t count;
} fj_positions;

/* An empty set; no allocation. */
void fj_positions_create(fj_positions *set, const fj_os *os);
void fj_positions_destroy(fj_positions *set);

/* Makes room for so many more; false if there is no memory. */
bool fj_positions_reserve(fj_positions *set, uint64_t more);

/* Adds a number, which is not 0; after fj_positions_reserve. */
void fj_positions_add(fj_positions *set, uint64_t number);

/* Removes the number if it is there. */
void fj_positions_remove(fj_positions *set, uint64_t number);

bool fj_positions_has(const fj_positions *set, uint64_t number);

#endif
