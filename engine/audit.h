/* audit.h - comparing the index of an open store with its log: that it says of each key what
 * the log says (I1), and its statistics (I3). The records come from an inspection of the
 * files, in the log's order, as often as there are passes.
 *
 * That no key is missing in the index can be told only when a key's last record is known: the
 * audit remembers keys that have a put and are not in the index until their tombstone comes,
 * or a put that has expired, whose slot may be gone or not. A pass remembers those of a part
 * of all hashes, so that the memory is bounded. */
#ifndef FJ_AUDIT_H
#define FJ_AUDIT_H

#include "findings.h"
#include "index.h"
#include "positions.h"

/* Of one segment, by its slot. */
typedef struct fj_tally {
  uint64_t slots; /* of the keydir that point to it */
  uint64_t bytes; /* their records', as the keydir counts */
  uint64_t found; /* slots whose record was read where they say */
  uint64_t keys, tombstones;
  uint64_t expires; /* as in fj_segment */
} fj_tally;

typedef struct fj_audit {
  const fj_findings *findings;
  const fj_index *index;
  /* The same keydir and the same segments, but read by system calls: what is compared is what
   * the files hold, and a file that was cut does not end in a signal. */
  fj_index files;
  fj_tally *tallies;    /* files.count of them */
  fj_positions pending; /* hashes of keys that wait for their tombstone */
  uint64_t time;        /* the store's: what expired before has no slot, or an old one */
  uint64_t ends;        /* records that a key may wait for, at most: no more can wait */
  uint32_t passes;      /* that it takes */
  uint32_t pass;        /* the one that is running: 0, 1... */
  bool sound;           /* the keydir is well-formed */
  bool hides;           /* some bytes of the log are not known: keys may seem missing */
} fj_audit;

/* Begins; looks at the keydir itself. Faults: MEMORY. Destroy it in any case. */
freyja_status fj_audit_create(fj_audit *audit, const fj_index *index,
                              const fj_findings *findings, freyja_error *error);

/* Takes over the segment that was opened for this one of the index, to be read up to `end`. */
void fj_audit_add(fj_audit *audit, fj_segment *file, const fj_segment *segment, uint64_t end);

/* Looks at a record, whose value may be damaged. Faults: MEMORY. */
freyja_status fj_audit_record(fj_audit *audit, const fj_segment *file, uint64_t offset,
                              const fj_record *record, uint64_t key_hash, freyja_error *error);

/* All of a segment's records were looked at: compares its statistics. `whole`: none of
 * its bytes is unknown. In the first pass only. */
void fj_audit_segment(fj_audit *audit, const fj_segment *segment, bool whole);

/* The end of a pass. */
void fj_audit_pass(fj_audit *audit);

void fj_audit_destroy(fj_audit *audit);

#endif
