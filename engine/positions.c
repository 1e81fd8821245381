/* positions.c - see positions.h: open addressing, at most half full. */
#include "positions.h"

#include <assert.h>
#include <string.h>

#define CAPACITY_MIN 64u

/* Fibonacci hashing (D. Knuth, The Art of Computer Programming, 6.4): positions
 * are dense and increasing. */
static size_t home(const fj_positions *set, uint64_t position) {
  return (size_t)(position * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (set->capacity - 1);
}

void fj_positions_create(fj_positions *set, const fj_os *os) {
  memset(set, 0, sizeof *set);
  set->os = os;
}

void fj_positions_destroy(fj_positions *set) {
  const fj_os *os = set->os;
  os->release(os->context, set->slots);
  fj_positions_create(set, os);
}

static void place(fj_positions *set, uint64_t position) {
  size_t i = home(set, position);
  while (set->slots[i] != 0 && set->slots[i] != position) i = (i + 1) & (set->capacity - 1);
  if (set->slots[i] == 0) set->count++;
  set->slots[i] = position;
}

bool fj_positions_reserve(fj_positions *set, uint64_t more) {
  if (set->capacity / 2 - set->count >= more && set->capacity > 0) return true;
  fj_positions grown = *set;
  if (grown.capacity == 0) grown.capacity = CAPACITY_MIN;
  while (grown.capacity / 2 - set->count < more) grown.capacity *= 2;
  grown.count = 0;
  grown.slots = set->os->allocate(set->os->context, grown.capacity * sizeof *grown.slots);
  if (grown.slots == NULL) return false;
  memset(grown.slots, 0, grown.capacity * sizeof *grown.slots);
  for (size_t i = 0; i < set->capacity; i++)
    if (set->slots[i] != 0) place(&grown, set->slots[i]);
  set->os->release(set->os->context, set->slots);
  *set = grown;
  return true;
}

void fj_positions_add(fj_positions *set, uint64_t position) {
  assert(position != 0);
  assert(set->count < set->capacity / 2);
  place(set, position);
}

bool fj_positions_has(const fj_positions *set, uint64_t position) {
  if (set->count == 0) return false;
  size_t i = home(set, position);
  while (set->slots[i] != 0 && set->slots[i] != position) i = (i + 1) & (set->capacity - 1);
  return set->slots[i] == position;
}

void fj_positions_remove(fj_positions *set, uint64_t position) {
  if (!fj_positions_has(set, position)) return;
  size_t mask = set->capacity - 1;
  size_t gap = home(set, position);
  while (set->slots[gap] != position) gap = (gap + 1) & mask;
  /* What follows without a gap moves up if that brings it no further from its home than it
   * began: a search must not meet the gap before it. */
  for (size_t i = (gap + 1) & mask; set->slots[i] != 0; i = (i + 1) & mask) {
    if (((i - home(set, set->slots[i])) & mask) < ((i - gap) & mask)) continue;
    set->slots[gap] = set->slots[i];
    gap = i;
  }
  set->slots[gap] = 0;
  set->count--;
}
