/* run.h - entries of the log on their way into the keydir (batch.h), put aside in runs: each
 * has some that follow each other in the log, by ranges of their index hashes, and in the
 * log's order within a range. So the entries of a range are at hand without those of others:
 * the keydir is gone through in its own order (radix partitioning, as in hash joins:
 * S. Manegold, P. Boncz, M. Kersten, 2002), or by several threads, each in ranges of its own.
 */
#ifndef FJ_RUN_H
#define FJ_RUN_H

#include "part.h"

#define FJ_RANGE_BITS 10u /* of an index hash: those that are the same make a range */
#define FJ_RANGES (1u << FJ_RANGE_BITS)
#define FJ_RUN_MAX (UINT32_C(32) << 10) /* entries of a run */

/* It lies in an arena. */
typedef struct fj_run fj_run;
struct fj_run {
  fj_run *next; /* the next newer one */
  uint32_t count;
  uint32_t starts[FJ_RANGES + 1]; /* range r is entries [starts[r], starts[r + 1]) */
  fj_entry entries[];
};

/* Memory for runs, of which the system gives what is used. */
typedef struct fj_arena {
  const fj_os *os;
  uint8_t *pages; /* NULL: none */
  size_t mapped;  /* bytes; */
  size_t size;    /* so many may be used, */
  size_t used;    /* and so many are */
} fj_arena;

/* Gives an arena that has none so many bytes; false without them. */
bool fj_arena_open(fj_arena *arena, const fj_os *os, size_t size);
void fj_arena_close(fj_arena *arena);

/* Makes a run of at most FJ_RUN_MAX entries, in the log's order, of a keydir with that mask;
 * NULL if there is no room. Several threads may do so at once. */
fj_run *fj_run_make(fj_arena *arena, const fj_entry *entries, uint32_t count,
                    uint64_t hash_mask);

/* Bytes of the arena that a run of so many entries takes. */
static inline size_t fj_run_size(uint64_t count) {
  const size_t line = 64;
  return (sizeof(fj_run) + (size_t)count * sizeof(fj_entry) + line - 1) / line * line;
}

/* A way through all entries of ranges that follow each other: those of a range in the log's
 * order, and then those of the next. */
typedef struct fj_course {
  const fj_run *first; /* the oldest of all runs */
  uint32_t range, end; /* the one that it is in, and the one that it does not come to */
  const fj_run *run;   /* that comes next in the range; NULL: none does */
  uint32_t at;         /* and how many of its entries there are behind it */
} fj_course;

/* Through the ranges [range, end). */
static inline fj_course fj_course_begin(const fj_run *first, uint32_t range, uint32_t end) {
  return (fj_course){first, range, end, first, 0};
}

/* Copies the entries that come next, at most `room`; returns how many. 0: there are no more.
 */
uint32_t fj_course_take(fj_course *course, fj_entry *out, uint32_t room);

#endif
