/* findings.c - see findings.h. */
#include "findings.h"

#include <stdarg.h>
#include <stdio.h>

static void tell(const fj_findings *findings, fj_extent extent, const freyja_slice *key,
                 bool lost, const char *message) {
  findings->report->problems++;
  if (findings->visit == NULL) return;
  freyja_error where; /* only for its path */
  (void)fj_fail_at(&where, FREYJA_CORRUPT, findings->dir, extent.name, "%s", message);
  freyja_problem problem = {.path = where.path,
                            .offset = extent.offset,
                            .size = extent.size,
                            .message = message,
                            .has_key = key != NULL,
                            .lost = lost};
  if (key != NULL) problem.key = *key;
  findings->visit(findings->argument, &problem);
}

void fj_findings_add(const fj_findings *findings, fj_extent extent, const char *format, ...) {
  char message[sizeof((freyja_error *)NULL)->message];
  va_list arguments;
  va_start(arguments, format);
  (void)vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  tell(findings, extent, NULL, false, message);
}

void fj_findings_add_key(const fj_findings *findings, fj_extent extent, freyja_slice key,
                         bool lost, const char *message) {
  tell(findings, extent, &key, lost, message);
}
