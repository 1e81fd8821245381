/* gather.h - what the hint file of a sealed segment holds: of each key the latest record,
 * sorted by the key's hash (FORMAT.md, section 5). Reads the data file step by step, as often
 * as it takes: each time for the keys whose hashes lie in a range, so that the memory is
 * bounded.
 *
 * G1  Entries [0, sorted) are in order, one a key. The others are in the log's order, and
 *     behind all of them in the log: so a sort by the hash alone that leaves what is equal in
 *     its order puts those of one hash in the log's order.
 * G2  Of the records read so far whose hash is in [low, high], each is here, or a later one of
 *     its key. */
#ifndef FJ_GATHER_H
#define FJ_GATHER_H

#include "hint.h"
#include "scan.h"

/* At a time; with as many for sorting, and what else writing a hint takes, 16 MiB. */
#define FJ_GATHER_ENTRIES (UINT64_C(496) << 10)

/* What the next step does. */
typedef enum fj_gather_phase {
  FJ_GATHER_READ,   /* read the data file */
  FJ_GATHER_SORT,   /* sort what was read, */
  FJ_GATHER_REDUCE, /* and leave one entry a key */
  FJ_GATHER_READY,  /* nothing: the owner takes the entries and calls fj_gather_pass */
  FJ_GATHER_DONE,   /* nothing: there are no more */
} fj_gather_phase;

/* The key of a record that was looked at. */
typedef struct fj_gather_key {
  uint64_t offset; /* of the record; 0: none */
  freyja_slice key;
  uint8_t *block; /* where it lies if the file is not mapped; owned */
} fj_gather_key;

typedef struct fj_gather {
  fj_segment *segment; /* one reference */
  fj_scan scan;
  fj_gather_phase phase;
  fj_hint_entry *block;   /* owned: room for both of these */
  fj_hint_entry *entries; /* count of them */
  fj_hint_entry *spare;   /* for sorting */
  uint64_t capacity;      /* of each */
  uint64_t count;
  uint64_t sorted;       /* G1 */
  unsigned digit;        /* sorting: the byte of the hash, from the lowest on, that is next */
  uint64_t next, kept;   /* reducing: the entry that is next, and those in front that stay */
  uint64_t low, high;    /* G2 */
  bool first;            /* pass: values are checked, and records counted */
  fj_hint_counts counts; /* entries: of the passes that are over */
  uint64_t looked;       /* comparisons of keys */
  fj_gather_key keys[2];
} fj_gather;

/* Begins with a sealed segment that is not damaged, in a pool that stays until
 * fj_gather_close, which is due in any case. Takes `capacity` entries at a time, at least 2:
 * FJ_GATHER_ENTRIES but in tests. Faults: MEMORY. */
freyja_status fj_gather_open(fj_gather *gather, fj_segment *segment, uint64_t capacity,
                             freyja_error *error);

/* Goes on until entries are ready, none are left, or about so many bytes were looked at; a
 * record is looked at as a whole. Faults: CORRUPT (a record fails verification), IO, MEMORY,
 * LIMIT (keys with the same hash, in such a number as only a file that was made up has). */
freyja_status fj_gather_step(fj_gather *gather, uint64_t bytes, freyja_error *error);

/* The entries that were ready have been taken: on to the next range of hashes. */
void fj_gather_pass(fj_gather *gather);

void fj_gather_close(fj_gather *gather);

#endif
