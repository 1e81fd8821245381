/* scenarios.h - what a store does while calls fail. A new feature adds a row to the table in
 * scenarios.c, or more. */
#ifndef SIM_SCENARIOS_H
#define SIM_SCENARIOS_H

#include "trial.h"

enum {
  SIM_UNRESERVED = 1, /* the file system cannot reserve */
  SIM_MAPPED_ONLY = 2 /* the other way of input and output makes no difference */
};

typedef struct scenario {
  const char *name;
  /* Makes, without faults, what `run` begins with, and leaves the store closed; NULL: nothing
   * is there. May change t->options. */
  void (*prepare)(trial *t);
  /* Begins with the store closed; calls trial_arm. */
  void (*run)(trial *t);
  freyja_sync_mode sync_mode;
  uint32_t hash_bits; /* 0: 64 */
  unsigned flags;     /* as below */
} scenario;

extern const scenario sim_scenarios[];
extern const size_t sim_scenario_count;

/* Makes the trial that every run of the scenario begins with. */
void sim_scenario_prepare(const scenario *s, freyja_io io, trial *t);

#endif
