/* clock.c - see clock.h. */
#include "clock.h"

void fj_clock_start(fj_clock *clock, const fj_os *os) {
  clock->os = os;
  clock->time = clock->wall = os->now(os->context);
  clock->steady = os->monotonic(os->context);
  clock->held = false;
}

void fj_clock_raise(fj_clock *clock, uint64_t time) {
  if (time > clock->time) clock->time = time;
}

uint64_t fj_clock_advance(fj_clock *clock, uint64_t wall) {
  if (clock->held) return clock->time;
  uint64_t steady = clock->os->monotonic(clock->os->context);
  uint64_t passed = steady - clock->steady;
  uint64_t left = UINT64_MAX - clock->time;
  clock->time += passed < left ? passed : left;
  if (wall > clock->time) clock->time = wall;
  clock->wall = wall;
  clock->steady = steady;
  return clock->time;
}
