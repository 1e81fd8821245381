/* detour.h - reading on in a segment behind what is no record, and behind what the disk cannot
 * read. */
#ifndef FJ_DETOUR_H
#define FJ_DETOUR_H

#include "scan.h"

/* As fj_scan_value, but a value that cannot be read (fj_scan_is_unreadable) is no fault: it is
 * not *valid, and *why says what reading said; header and key of *record are readable again.
 * Otherwise *why is empty. Faults, told in *why: IO, MEMORY; unreadable is then the whole
 * record. */
freyja_status fj_detour_value(fj_scan *scan, fj_record *record, bool *valid,
                              freyja_error *why);

/* From scan->offset, which holds no record (*why is empty) or cannot be read (*why says so),
 * to the next place before `limit` where a record passes its check, or to `limit`. *why gets
 * the first fault of reading on the way. Faults: IO, MEMORY; none where a place is unreadable.
 */
freyja_status fj_detour_resume(fj_scan *scan, uint64_t limit, freyja_error *why,
                               freyja_error *error);

#endif
