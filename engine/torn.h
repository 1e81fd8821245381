/* torn.h - what lies behind the log's end after a crash: telling the reserve's
 * zeros from a torn tail, and keeping the latter in lost/. */
#ifndef FJ_TORN_H
#define FJ_TORN_H

#include "segment.h"

/* Bytes from the segment's tail to the last one in the file that is not zero. */
freyja_status fj_torn_size(fj_segment *segment, uint64_t *size, freyja_error *error);

/* As fj_torn_size, but what cannot be read (fj_is_unreadable) counts as not zero. */
freyja_status fj_torn_bound(fj_segment *segment, uint64_t *size, freyja_error *error);

/* Copies that many bytes behind the tail to lost/N.OFFSET.cut, durably; where that is taken
 * by other bytes, to lost/N.OFFSET.cut.2 and so on. Faults: FULL, IO, MEMORY. */
freyja_status fj_torn_save(fj_segment *segment, uint64_t size, freyja_error *error);

#endif
