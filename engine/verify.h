/* verify.h - checking an open store against its files: freyja_verify of freyja.h. */
#ifndef FJ_VERIFY_H
#define FJ_VERIFY_H

#include "store.h"

freyja_status fj_store_verify(fj_store *db, freyja_visit_problem visit, void *argument,
                              freyja_report *out, freyja_error *error);

#endif
