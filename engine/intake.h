/* intake.h - brings what segments hold into the index, in the log's order: from their records,
 * or from their hint files where these are there. Each of the two ways puts aside what it has
 * read (batch.h, hinted.h), and gives way to the other only with all of it applied.
 *
 * N1  What is put aside is of one of the two kinds, and newer than what was applied.
 * N2  Where the log may be torn, no record of a transaction is taken before all of it was
 *     read. */
#ifndef FJ_INTAKE_H
#define FJ_INTAKE_H

#include "batch.h"
#include "hinted.h"

typedef struct fj_intake {
  fj_index *index;
  fj_batch batch;
  fj_hinted hinted;
  bool with_hints;         /* hints may be used */
  freyja_error hint_fault; /* a hint that was taken turned out not to be usable */
  uint64_t whole_until;    /* end of the transaction that was read to its end last */
  freyja_recovery *result;
} fj_intake;

/* `left`: bytes of the log that may have to be read, for an estimate; what is read is counted
 * in *result. No allocation. */
void fj_intake_open(fj_intake *intake, fj_index *index, bool with_hints, uint64_t left,
                    freyja_recovery *result);
void fj_intake_close(fj_intake *intake);

/* The segment's bytes [from, end), which begin with a record, or are none; its tail is then
 * where the log ends in it. Damage is remembered and is no fault. Faults: MEMORY, IO, LIMIT,
 * those of a KEYDIR's shards. */
freyja_status fj_intake_scan(fj_intake *intake, fj_segment *segment, uint64_t from,
                             uint64_t end, freyja_error *error);

/* The whole segment, by its hint, if that is allowed and it has one that can be used: then
 * *taken. Preconditions and faults are those of fj_hinted_take and fj_hinted_load, of which
 * hint_fault remembers that there is to be another try without hints. */
freyja_status fj_intake_hint(fj_intake *intake, fj_segment *segment, bool *taken,
                             freyja_error *error);

/* Applies all that is put aside. Faults: as above. */
freyja_status fj_intake_finish(fj_intake *intake, freyja_error *error);

#endif
