/* operations.h - what is done to an open store, by the bytes of an input, beside a model of
 * what it should hold. */
#ifndef FUZZ_OPERATIONS_H
#define FUZZ_OPERATIONS_H

#include "check.h"
#include "input.h"

/* What an operation's byte says (less multiples of FUZZ_OPERATIONS). Its arguments follow: a
 * key's number, what a value is made of, how. */
enum {
  FUZZ_PUT,
  FUZZ_PUT_TTL, /* the value expires */
  FUZZ_DELETE,
  FUZZ_INSERT,
  FUZZ_CAS,
  FUZZ_VIEW,    /* asks for a value and keeps it */
  FUZZ_BEGIN,   /* an iterator */
  FUZZ_ADVANCE, /* it, by a few entries */
  FUZZ_ROTATE,
  FUZZ_SYNC,
  FUZZ_REOPEN, /* 1 by calls, 2 read-only, 4 after a kill */
  FUZZ_EXAMINE,
  FUZZ_VERIFY,
  FUZZ_BACKUP, /* 1 copied, not linked */
  FUZZ_WAIT,   /* time passes */
  FUZZ_TRANSACT,
  FUZZ_OPERATIONS
};

/* A store in use. */
typedef struct fuzz_store {
  sim_disk *disk;
  freyja *db;
  fuzz_mode mode;
  fuzz_view model; /* what can be read of it, sorted, and what has expired in it */
  bool whole;      /* all of it can */
  bool is_sound;   /* verify once found nothing, and never may again */
  uint64_t bytes;  /* of the files, and of what was written since */
  uint64_t steps;  /* that were done */
  uint64_t newest; /* its newest timestamp, once it is closed */

  freyja_iterator *iterator;    /* at most one is open */
  fuzz_view expected;           /* what it is to give, */
  bool expects_whole;           /* all of it */
  bool is_distinct, is_flagged; /* as the engine's records are: fuzz_take_stock */
  fuzz_view given;              /* what it gave */
  uint8_t copies;               /* backups that were tried; */
  bool has_copy;                /* the last one is there and */
  fuzz_view copied;             /* holds that; */
  uint64_t copied_newest;       /* its newest timestamp */
  freyja_view held;             /* a value that was asked for, and */
  bool holds;
  uint64_t held_sum; /* its sum then */
} fuzz_store;

/* Does what the input says, checking each result, then examines and closes the store. The
 * model is what is there when this is called, and what must be there after. */
void fuzz_operate(fuzz_store *store, fuzz_input *input);

/* The store, which is closed, was opened again, and *view is what it holds. */
void fuzz_expect_again(const fuzz_store *store, const fuzz_view *view);

#endif
