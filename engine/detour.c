/* detour.c - see detour.h. */
#include "detour.h"

#include <string.h>

#define PAGE 4096u      /* bytes */
#define SECTORS_MAX 64u /* tried one by one; each may keep a failing disk busy for seconds */

freyja_status fj_detour_value(fj_scan *scan, fj_record *record, bool *valid,
                              freyja_error *why) {
  fj_error_clear(why); /* all of it would take longer than most values do */
  freyja_status status = fj_scan_value(scan, record, valid, why);
  if (status == FREYJA_OK || !fj_scan_is_unreadable(scan, why)) return status;
  /* Header and key went with the read that failed. */
  fj_scan_found found;
  freyja_error again;
  uint64_t key_hash = 0;
  *valid = false;
  status = fj_scan_next(scan, &found, record, &key_hash, &again);
  if (status == FREYJA_OK) return found == FJ_SCAN_RECORD ? FREYJA_OK : FREYJA_IO;
  *why = again;
  return status;
}

static bool is_readable(const fj_scan *scan, uint64_t offset, size_t size) {
  uint8_t bytes[FJ_RECORD_HEADER];
  size_t count = 0;
  return fj_segment_read(scan->segment, bytes, size, offset, &count, NULL) == FREYJA_OK;
}

/* Moves the scan, which could not read on at its offset, to where resuming can begin. */
static void pass_unreadable(fj_scan *scan, uint64_t limit) {
  uint64_t offset = scan->offset;
  /* Where only the key could not be read, it may be none, and a record begin before its end.
   */
  if (is_readable(scan, offset, FJ_RECORD_HEADER)) return;
  uint32_t tried = 0;
  do {
    uint64_t step = tried++ < SECTORS_MAX ? FJ_SECTOR : PAGE;
    offset = (offset / step + 1) * step;
  } while (offset < limit && !is_readable(scan, offset, 1));
  /* Resuming begins behind the scan's offset. */
  scan->offset = offset < limit ? offset - FJ_RECORD_ALIGN : limit;
}

freyja_status fj_detour_resume(fj_scan *scan, uint64_t limit, freyja_error *why,
                               freyja_error *error) {
  freyja_error fault = *why;
  for (;;) {
    if (fault.status != FREYJA_OK) pass_unreadable(scan, limit);
    freyja_status status = fj_scan_resume(scan, limit, &fault);
    if (status == FREYJA_OK) return status;
    if (!fj_scan_is_unreadable(scan, &fault)) {
      if (error != NULL) *error = fault;
      return status;
    }
    if (why->status == FREYJA_OK) *why = fault;
  }
}
