/* scan.h - reading the records of a segment in order, from the mapping or
 * through a buffer. Used by recovery, iterators, inspections and the log reader. */
#ifndef FJ_SCAN_H
#define FJ_SCAN_H

#include "segment.h"

typedef struct fj_scan {
  fj_segment *segment;
  uint64_t offset; /* of the record that fj_scan_next told of, or will */
  uint64_t end;    /* no record reaches beyond it */
  uint64_t hashed; /* key bytes hashed in vain while looking for a record */
  uint8_t *buffer; /* without a mapping: bytes [start, start + filled) of the file */
  size_t capacity;
  uint64_t start;
  size_t filled;
  uint64_t careful; /* reads before it take the sectors they need: one that took more failed */
  bool by_calls; /* the mapping is not used: what is behind the tail of a followed segment */
  bool lenient;  /* whatever a read fails by, the place is taken for unreadable */
} fj_scan;

/* What lies at scan->offset. */
typedef enum fj_scan_found {
  FJ_SCAN_RECORD, /* a header and key that pass their check; the value is unchecked */
  FJ_SCAN_BAD,    /* bytes that are no record */
  FJ_SCAN_END,    /* nothing: the end is reached */
} fj_scan_found;

/* Begins at `offset`, which must be that of a record. No allocation. */
void fj_scan_open(fj_scan *scan, fj_segment *segment, uint64_t offset, uint64_t end);
void fj_scan_close(fj_scan *scan);

/* Whether a fault of reading says that the place cannot be read: fj_is_unreadable, or if the
 * scan is lenient any fault of the system. */
bool fj_scan_is_unreadable(const fj_scan *scan, const freyja_error *fault);

/* Looks at scan->offset. For a record fills *record, of which key and value
 * borrow from the scan until its next call, and the hash of its key. Does not
 * move on: fj_scan_skip does. Faults: IO, MEMORY. */
freyja_status fj_scan_next(fj_scan *scan, fj_scan_found *found, fj_record *record,
                           uint64_t *key_hash, freyja_error *error);

/* Makes the value of the record readable and tells whether it passes its sum.
 * Key and value of *record may move. Faults: IO, MEMORY. */
freyja_status fj_scan_value(fj_scan *scan, fj_record *record, bool *valid,
                            freyja_error *error);

/* The hash of the key of what seems to be a record at *offset, behind scan->offset, and moves
 * *offset behind that. Nothing is verified, nor read from a file: it is for who wants to ask
 * for memory early. False if nothing can be said, or it would take long. */
bool fj_scan_peek(const fj_scan *scan, uint64_t *offset, uint64_t *key_hash);

/* Whether the records from `offset` on, which must be that of one, are all whole, padding
 * included, up to one that is not flagged `more`: then *end, where they must end by, becomes
 * where they do. Faults: IO, MEMORY. */
freyja_status fj_scan_transaction(fj_segment *segment, uint64_t offset, uint64_t *end,
                                  bool *whole, freyja_error *error);

/* Moves behind the record. */
static inline void fj_scan_skip(fj_scan *scan, const fj_record *record) {
  scan->offset += record->size;
}

/* After FJ_SCAN_BAD: moves to the next place before `limit` where a record
 * passes its check, or to `limit`. Time in proportion to the bytes, whatever
 * they are. Faults: IO, MEMORY. */
freyja_status fj_scan_resume(fj_scan *scan, uint64_t limit, freyja_error *error);

#endif
