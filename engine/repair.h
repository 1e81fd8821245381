/* repair.h - freyja_repair on an operating system of the caller's choice, for tests. */
#ifndef FJ_REPAIR_H
#define FJ_REPAIR_H

#include "os.h"

freyja_status fj_repair(const fj_os *os, const char *path, const char *to,
                        freyja_visit_problem visit, void *argument, freyja_report *report,
                        freyja_error *error);

#endif
