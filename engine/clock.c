/* clock.c - see clock.h. */
#include "clock.h"

static uint64_t add(uint64_t a, uint64_t b) { return a > UINT64_MAX - b ? UINT64_MAX : a + b; }

/* Makes the field at least so large, whoever else does so. */
static uint64_t raise_to(uint64_t *field, uint64_t value) {
  uint64_t there = fj_glance(field);
  while (there < value && !__atomic_compare_exchange_n(field, &there, value, true,
                                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return there < value ? value : there;
}

void fj_clock_start(fj_clock *clock, const fj_os *os) {
  clock->os = os;
  clock->time = clock->wall = clock->lead = os->now(os->context);
  clock->start = os->monotonic(os->context);
}

void fj_clock_raise(fj_clock *clock, uint64_t time) {
  uint64_t passed = clock->os->monotonic(clock->os->context) - clock->start;
  if (time > passed) (void)raise_to(&clock->lead, time - passed);
  (void)raise_to(&clock->time, time);
}

uint64_t fj_clock_advance(fj_clock *clock, uint64_t wall) {
  uint64_t passed = clock->os->monotonic(clock->os->context) - clock->start;
  uint64_t lead = raise_to(&clock->lead, wall > passed ? wall - passed : 0);
  uint64_t time = raise_to(&clock->time, add(lead, passed));
  fj_publish(&clock->wall, wall);
  return time;
}
