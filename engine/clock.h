/* clock.h - a store's time, by which values expire: the system's clock, but it never goes
 * back while the store is open. When the system's clock is set back, time goes on from where
 * it was; when that has caught up, they are the same again. A jump ahead is followed.
 *
 * Any number of threads may ask for it, without a lock: the time is what has passed since the
 * start and a lead, the most by which the system's clock was ever ahead of that. Both never
 * decrease. */
#ifndef FJ_CLOCK_H
#define FJ_CLOCK_H

#include "atomic.h"
#include "os.h"

typedef struct fj_clock {
  const fj_os *os;
  uint64_t time;  /* as told last: microseconds since the epoch */
  uint64_t wall;  /* what the system's clock said then */
  uint64_t lead;  /* microseconds */
  uint64_t start; /* os->monotonic */
} fj_clock;

void fj_clock_start(fj_clock *clock, const fj_os *os);

/* Time goes on from there, if that is later than it is: it was so late once. */
void fj_clock_raise(fj_clock *clock, uint64_t time);

/* What follows when the system's clock has moved to `wall`. */
uint64_t fj_clock_advance(fj_clock *clock, uint64_t wall);

/* The time, in microseconds since the epoch. Cheap: while the system's clock, which is a
 * coarse one, stands still, it is all that is asked. */
static inline uint64_t fj_clock_now(fj_clock *clock) {
  uint64_t wall = clock->os->now(clock->os->context);
  if (wall == fj_observe(&clock->wall)) return fj_glance(&clock->time);
  return fj_clock_advance(clock, wall);
}

/* The time as it was told last. */
static inline uint64_t fj_clock_told(const fj_clock *clock) { return fj_glance(&clock->time); }

#endif
