/* plan.h - which of a series of calls fail. */
#ifndef PLAN_H
#define PLAN_H

#include <limits.h>
#include <stdbool.h>

#define PLAN_FOR_GOOD LONG_MAX

typedef struct plan {
  bool armed;  /* counts, and lets calls fail */
  long calls;  /* since it was armed */
  long at;     /* the first that fails, counted from 1; 0: none */
  long times;  /* how many fail, from there on */
  long failed; /* since it was armed */
} plan;

/* To be asked once for each call. */
static inline bool plan_fails(plan *p) {
  if (!p->armed) return false;
  p->calls++;
  bool fails = p->at != 0 && p->calls >= p->at && p->calls - p->at < p->times;
  p->failed += fails;
  return fails;
}

#endif
