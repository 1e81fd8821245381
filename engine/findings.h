/* findings.h - telling of problems: what verify and repair find, counted in a report and
 * given to the caller's visitor. */
#ifndef FJ_FINDINGS_H
#define FJ_FINDINGS_H

#include "error.h"

typedef struct fj_findings {
  const fj_dir *dir;
  freyja_visit_problem visit; /* NULL: nobody listens */
  void *argument;
  freyja_report *report;
} fj_findings;

/* Which bytes a problem is about. */
typedef struct fj_extent {
  const char *name; /* of the file; NULL: the directory */
  uint64_t offset, size;
} fj_extent;

/* Tells of a problem. */
void fj_findings_add(const fj_findings *findings, fj_extent extent, const char *format, ...)
    FJ_PRINTF(3, 4) FJ_COLD;

/* As above, of a record with that key; `lost` as in freyja_problem. */
void fj_findings_add_key(const fj_findings *findings, fj_extent extent, freyja_slice key,
                         bool lost, const char *message) FJ_COLD;

#endif
