/* guard.c - see guard.h. */
#include "guard.h"

#include <sched.h>
#include <string.h>

void fj_guard_create(fj_guard *guard, const fj_os *os, bool fences) {
  memset(guard, 0, sizeof *guard);
  guard->os = os;
  guard->epoch = 1;
  guard->fences = fences;
}

void fj_guard_add(fj_guard *guard, fj_reader *reader) {
  reader->since = 0;
  reader->next = guard->readers;
  guard->readers = reader;
}

void fj_guard_remove(fj_guard *guard, fj_reader *reader) {
  fj_reader **link = &guard->readers;
  while (*link != reader) link = &(*link)->next;
  *link = reader->next;
}

/* Whether there is a reader that is not the caller. */
static bool has_others(const fj_guard *guard) {
  return guard->readers != NULL && guard->readers->next != NULL;
}

uint64_t fj_guard_advance(fj_guard *guard) {
  if (guard == NULL) return 0;
  uint64_t epoch = guard->epoch + 1;
  fj_publish(&guard->epoch, epoch);
  if (!has_others(guard)) return epoch;
  fj_fence();
  if (!guard->fences) (void)guard->os->barrier(guard->os->context); /* E1 */
  return epoch;
}

bool fj_guard_is_past(const fj_guard *guard, uint64_t epoch) {
  if (guard == NULL || !has_others(guard)) return true;
  for (const fj_reader *reader = guard->readers; reader != NULL; reader = reader->next) {
    uint64_t since = fj_observe(&reader->since);
    if (since != 0 && since < epoch) return false;
  }
  return true;
}

void fj_guard_wait(fj_guard *guard) {
  if (guard == NULL) return;
  uint64_t epoch = fj_guard_advance(guard);
  while (!fj_guard_is_past(guard, epoch)) (void)sched_yield();
}
