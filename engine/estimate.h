/* estimate.h - how many keys the keydir will have more when it has taken many entries, before
 * it takes any: hashes are random, so that those of the lowest are as good as any to tell. */
#ifndef FJ_ESTIMATE_H
#define FJ_ESTIMATE_H

#include "apply.h"

#define FJ_ESTIMATE_MIN                                                                       \
  8192u /* entries; for fewer it may as well grow while it takes them                         \
         */

typedef struct fj_estimate {
  fj_keydir *keydir;
  uint64_t entries;
  uint64_t bound; /* only hashes up to it are asked for */
  uint64_t step;
  uint64_t *bits; /* for each step of hashes: it has a key that the keydir does not have yet */
  int64_t absent; /* bits that are set */
} fj_estimate;

/* Begins, for so many entries, more than FJ_ESTIMATE_MIN. False: there is no need, as the
 * keydir has room for all, or no memory. */
bool fj_estimate_open(fj_estimate *estimate, fj_keydir *keydir, uint64_t entries);

/* An entry that there is, in the log's order for those of one key. `gone`: it leaves none. */
static inline void fj_estimate_note(fj_estimate *estimate, uint64_t hash, bool gone) {
  fj_place place;
  if (hash > estimate->bound) return;
  uint64_t number = hash / estimate->step, bit = UINT64_C(1) << number % 64;
  bool was = (estimate->bits[number / 64] & bit) != 0;
  if (was != gone) return;
  if (fj_keydir_find(estimate->keydir, hash & estimate->keydir->hash_mask, &place)) return;
  estimate->bits[number / 64] ^= bit;
  estimate->absent += gone ? -1 : 1;
}

/* The number of keys more, a little above what it seems to be; at most that of the entries,
 * whatever their hashes. */
uint64_t fj_estimate_close(fj_estimate *estimate);

#endif
