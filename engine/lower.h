/* lower.h - whether the segments below a merge may have an older record of a key (W4): so that
 * a tombstone that nothing needs any more can go.
 *
 * L1  The output of a merge has no put of a key of which a later record was there when the
 *     merge began: it copied what was live. So one whose header says that it began after a
 *     tombstone (segment.h, `created`) has nothing that this hides.
 * L2  The hint file of a segment names all of its keys. */
#ifndef FJ_LOWER_H
#define FJ_LOWER_H

#include "hint.h"

struct freyja_rewrite;

/* The hint of a segment that is not merged, below where the outputs will stand. */
typedef struct fj_lower_hint {
  fj_hint hint;
  uint64_t began; /* L1; 0: it is no output of a merge */
} fj_lower_hint;

typedef struct fj_lower {
  bool known;           /* it has been looked for them */
  uint64_t before;      /* no record up to that time is needed by those without a hint here */
  fj_lower_hint *hints; /* owned */
  uint32_t count;
} fj_lower;

/* Whether such a segment may have a record of a key with that hash, older than one of that
 * time: false is certain. The first time it opens hints, where they are mapped and reading
 * them is less than reading the inputs. */
bool fj_lower_may_hold(struct freyja_rewrite *rewrite, uint64_t key_hash, uint64_t timestamp);

void fj_lower_close(struct freyja_rewrite *rewrite);

#endif
