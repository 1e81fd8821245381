/* operations.h - what is done to an open store, by the bytes of an input, beside a model of
 * what it should hold. */
#ifndef FUZZ_OPERATIONS_H
#define FUZZ_OPERATIONS_H

#include "check.h"
#include "input.h"

/* A store in use. */
typedef struct fuzz_store {
  sim_disk *disk;
  freyja *db;
  fuzz_mode mode;
  fuzz_view model; /* what can be read of it, sorted */
  bool whole;      /* all of it can */
  uint64_t bytes;  /* of the files, and of what was written since */
  uint64_t steps;  /* that were done */

  freyja_iterator *iterator; /* at most one is open */
  fuzz_view expected;        /* what it is to give, */
  bool expects_whole;        /* all of it */
  fuzz_view given;           /* what it gave */
  freyja_view held;          /* a value that was asked for, and */
  bool holds;
  uint64_t held_sum; /* its sum then */
} fuzz_store;

/* Does what the input says, checking each result, then examines and closes the store. The
 * model is what is there when this is called, and what must be there after. */
void fuzz_operate(fuzz_store *store, fuzz_input *input);

#endif
