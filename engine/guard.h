/* guard.h - readers without locks: what they may still look at is not taken away.
 *
 * A reader tells, in a place of its own, in which epoch it began, and that it has ended. Who
 * takes something away first makes sure that nobody comes to it any more, then begins an
 * epoch, and gives the thing up when no reader is left that began before (epoch-based
 * reclamation: K. Fraser, Practical lock-freedom, 2004). A reader pays for no memory barrier:
 * who begins the epoch has all threads pass one.
 *
 * E1  A reader that began before the epoch says so, or has not yet looked at anything.
 *
 * E2  The list of readers, and what is retired, is for who is in the store alone (share.h). */
#ifndef FJ_GUARD_H
#define FJ_GUARD_H

#include "atomic.h"
#include "os.h"

typedef struct fj_reader {
  struct fj_reader *next;
  uint64_t since; /* the epoch; 0: it is not reading */
} fj_reader;

typedef struct fj_guard {
  const fj_os *os;
  uint64_t epoch; /* from 1 on */
  bool fences;    /* there is no barrier for all threads: each reader passes one by itself */
  fj_reader *readers;
} fj_guard;

void fj_guard_create(fj_guard *guard, const fj_os *os, bool fences);

void fj_guard_add(fj_guard *guard, fj_reader *reader);
void fj_guard_remove(fj_guard *guard, fj_reader *reader);

/* Begins an epoch and returns it: what nobody can come to any more since before that. */
uint64_t fj_guard_advance(fj_guard *guard);

/* Whether no reader is left that began before that epoch. NULL: there are no others. */
bool fj_guard_is_past(const fj_guard *guard, uint64_t epoch);

/* Waits until that is so of all that is now. Readers are short. NULL: as above. */
void fj_guard_wait(fj_guard *guard);

static inline void fj_guard_begin(const fj_guard *guard, fj_reader *reader) {
  fj_note(&reader->since, fj_observe(&guard->epoch)); /* before what follows is read */
  if (guard->fences) fj_fence();
  else fj_light_fence();
}

static inline void fj_guard_end(fj_reader *reader) { fj_publish(&reader->since, 0); }

#endif
