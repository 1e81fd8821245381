/* inspect.h - reads all of one data file, whatever is in it: each record goes to a function,
 * each problem to the findings, and behind each problem it goes on. A place that cannot be
 * read is passed over like one that is damaged. */
#ifndef FJ_INSPECT_H
#define FJ_INSPECT_H

#include "findings.h"
#include "scan.h"

typedef struct fj_inspection fj_inspection;

/* A record whose header and key pass their check. `whole`: its value passes too, or was not
 * looked at. The record borrows from the inspection. A fault ends the inspection. */
typedef freyja_status (*fj_take_record)(fj_inspection *inspection, const fj_record *record,
                                        uint64_t key_hash, bool whole, freyja_error *error);

struct fj_inspection {
  fj_segment *segment; /* opened, not mapped */
  uint64_t end;        /* of what is read; within the file, a multiple of 8 */
  uint64_t trusted;    /* what is invalid before it is damage; at the first that is
                          invalid from there on the log ends */
  bool values;         /* verify values and padding (behind `trusted` it is done anyway) */
  const fj_findings *findings; /* NULL: problems are passed over in silence */
  fj_take_record take;
  void *argument;

  fj_scan scan;         /* its offset is that of the record being taken */
  uint64_t whole_until; /* end of the transaction that was read to its end last */
  uint64_t stop;        /* result: where the log ended, or `end` */
  uint64_t unknown;     /* result: bytes of which nobody can tell what records they held */
  uint64_t last_end;    /* result: end of the last span of those */
};

/* Opens the file of segment `id` for an inspection, through `pool`, which is read-only and in
 * syscall mode. *out is NULL, and the findings know why, if there is no file of it to read.
 * `sealed_size` as in the MANIFEST. Faults: MEMORY. */
freyja_status fj_inspect_open(fj_pool *pool, uint64_t id, uint64_t sealed_size,
                              const fj_findings *findings, fj_segment **out,
                              freyja_error *error);

/* Reads it from `offset` on. Faults: MEMORY, and those of `take`. */
freyja_status fj_inspect(fj_inspection *inspection, uint64_t offset, freyja_error *error);

#endif
