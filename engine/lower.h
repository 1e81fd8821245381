/* lower.h - whether the segments below a merge may have a record of a key, by their hint files
 * (W4): so that a tombstone that nothing needs any more can go. */
#ifndef FJ_LOWER_H
#define FJ_LOWER_H

#include "hint.h"

struct freyja_rewrite;

typedef struct fj_lower {
  bool known;     /* it has been looked for them */
  bool certain;   /* each of those segments has a hint here */
  fj_hint *hints; /* owned */
  uint32_t count;
} fj_lower;

/* Whether a segment that is not merged, below where the outputs will stand, may have a record
 * of a key with that hash: false is certain. The first time it opens the hints, if they are
 * mapped, all are there, and reading them is less than reading the inputs. */
bool fj_lower_may_hold(struct freyja_rewrite *rewrite, uint64_t key_hash);

void fj_lower_close(struct freyja_rewrite *rewrite);

#endif
