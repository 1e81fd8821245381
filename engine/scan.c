/* scan.c - see scan.h. */
#include "scan.h"

#include <assert.h>
#include <string.h>

#define PEEK_KEY_MAX 256u       /* bytes of a key that are hashed only to be early */
#define BUFFER_MIN (256u << 10) /* bytes a read in syscall mode, where there are as many */

void fj_scan_open(fj_scan *scan, fj_segment *segment, uint64_t offset, uint64_t end) {
  assert(offset % FJ_RECORD_ALIGN == 0);
  memset(scan, 0, sizeof *scan);
  scan->segment = segment;
  scan->offset = offset;
  scan->end = end;
  scan->by_calls =
      fj_segment_at(segment, 0) == NULL || (segment->followed && end > segment->tail);
}

void fj_scan_close(fj_scan *scan) {
  if (scan->buffer != NULL)
    scan->segment->os->release(scan->segment->os->context, scan->buffer);
  scan->buffer = NULL;
}

/* Gives the buffer room for `size` bytes from `offset` on; its content is lost. */
static freyja_status enlarge(fj_scan *scan, uint64_t offset, size_t size,
                             freyja_error *error) {
  const fj_os *os = scan->segment->os;
  uint64_t left = scan->end - offset;
  if (size <= scan->capacity) return FREYJA_OK;
  if (size < BUFFER_MIN) size = left < BUFFER_MIN ? (size_t)left : BUFFER_MIN;
  os->release(os->context, scan->buffer);
  scan->capacity = scan->filled = 0;
  scan->buffer = os->allocate(os->context, size);
  if (scan->buffer == NULL) return fj_fail_memory(error, "read a record");
  scan->capacity = size;
  return FREYJA_OK;
}

bool fj_scan_is_unreadable(const fj_scan *scan, const freyja_error *fault) {
  if (scan->lenient) return fault->status == FREYJA_IO || fault->status == FREYJA_FULL;
  return fj_is_unreadable(fault);
}

/* Fills the buffer from `offset` on: as much as it takes, or, where that fails, only the
 * sectors of the `size` bytes that are asked for. */
static freyja_status fill(fj_scan *scan, uint64_t offset, uint64_t size, freyja_error *error) {
  uint64_t left = scan->end - offset;
  uint64_t all = left < scan->capacity ? left : scan->capacity;
  uint64_t part = (offset + size + FJ_SECTOR - 1) / FJ_SECTOR * FJ_SECTOR - offset;
  if (part > all) part = all;
  freyja_error fault;
  bool careful = offset < scan->careful;
  scan->filled = 0;
  scan->start = offset;
  freyja_status status =
      fj_segment_read(scan->segment, scan->buffer, (size_t)(careful ? part : all), offset,
                      &scan->filled, &fault);
  if (status != FREYJA_OK && !careful && fj_scan_is_unreadable(scan, &fault)) {
    scan->careful = offset + all;
    status = fj_segment_read(scan->segment, scan->buffer, (size_t)part, offset, &scan->filled,
                             &fault);
  }
  if (status != FREYJA_OK && error != NULL) *error = fault;
  return status;
}

/* As fetch, where the file is not mapped. */
static freyja_status fetch_by_read(fj_scan *scan, uint64_t offset, uint64_t size,
                                   const uint8_t **out, uint64_t *available,
                                   freyja_error *error) {
  *available = size;
  bool inside = offset >= scan->start && offset + size <= scan->start + scan->filled;
  if (!inside) {
    freyja_status status = enlarge(scan, offset, (size_t)size, error);
    if (status != FREYJA_OK) return status;
    status = fill(scan, offset, size, error);
    if (status != FREYJA_OK) return status;
    if (scan->filled < size) *available = scan->filled;
  }
  *out = scan->buffer + (offset - scan->start);
  return FREYJA_OK;
}

/* Makes [offset, offset + size) readable at *out; *available is how much of it is
 * there: less only where the file turned out to be shorter. */
static inline freyja_status fetch(fj_scan *scan, uint64_t offset, uint64_t size,
                                  const uint8_t **out, uint64_t *available,
                                  freyja_error *error) {
  *available = size;
  if (scan->by_calls) return fetch_by_read(scan, offset, size, out, available, error);
  *out = fj_segment_at(scan->segment, offset);
  return FREYJA_OK;
}

freyja_status fj_scan_next(fj_scan *scan, fj_scan_found *found, fj_record *record,
                           uint64_t *key_hash, freyja_error *error) {
  const fj_segment *segment = scan->segment;
  const uint8_t *p = NULL;
  uint64_t available = 0;
  *found = scan->offset >= scan->end ? FJ_SCAN_END : FJ_SCAN_BAD;
  uint64_t left = scan->end - scan->offset;
  if (*found == FJ_SCAN_END || left < FJ_RECORD_HEADER) return FREYJA_OK;
  freyja_status status = fetch(scan, scan->offset, FJ_RECORD_HEADER, &p, &available, error);
  if (status != FREYJA_OK || available < FJ_RECORD_HEADER) return status;
  if (!fj_record_parse(p, left, record)) return FREYJA_OK;
  uint32_t prefix = fj_record_prefix(record->flags);
  uint64_t head = prefix + (uint64_t)record->key_size;
  status = fetch(scan, scan->offset, head, &p, &available, error);
  if (status != FREYJA_OK || available < head) return status;
  record->key = p + prefix;
  record->value = NULL; /* until fj_scan_value */
  *key_hash = fj_hash(record->key, record->key_size, segment->pool->identity.hash_seed);
  scan->hashed += record->key_size;
  if (fj_record_check_header(record, fj_record_seed(segment->seed, scan->offset), *key_hash)) {
    scan->hashed -= record->key_size;
    *found = FJ_SCAN_RECORD;
  }
  return FREYJA_OK;
}

bool fj_scan_peek(const fj_scan *scan, uint64_t *offset, uint64_t *key_hash) {
  fj_segment *segment = scan->segment;
  const uint8_t *p = NULL;
  uint64_t end = scan->end;
  if (!scan->by_calls) p = fj_segment_at(segment, *offset);
  else {
    end = scan->start + scan->filled;
    if (end > scan->end) end = scan->end;
    if (*offset < scan->start || *offset >= end) return false;
    p = scan->buffer + (*offset - scan->start);
  }
  fj_record record;
  if (*offset + FJ_RECORD_HEADER > end) return false;
  if (!fj_record_parse(p, end - *offset, &record)) return false;
  if (record.key_size > PEEK_KEY_MAX) return false;
  *offset += record.size;
  *key_hash = fj_hash(record.key, record.key_size, segment->pool->identity.hash_seed);
  return true;
}

freyja_status fj_scan_value(fj_scan *scan, fj_record *record, bool *valid,
                            freyja_error *error) {
  const uint8_t *p = NULL;
  uint64_t available = 0;
  *valid = false;
  freyja_status status = fetch(scan, scan->offset, record->size, &p, &available, error);
  if (status != FREYJA_OK || available < record->size) return status;
  record->key = p + fj_record_prefix(record->flags);
  record->value = record->key + record->key_size;
  *valid = fj_record_check_value(record, fj_record_seed(scan->segment->seed, scan->offset));
  return FREYJA_OK;
}

freyja_status fj_scan_transaction(fj_segment *segment, uint64_t offset, uint64_t *end,
                                  bool *whole, freyja_error *error) {
  fj_scan scan;
  freyja_status status = FREYJA_OK;
  bool more = true;
  *whole = true;
  fj_scan_open(&scan, segment, offset, *end);
  scan.careful = *end; /* a buffer full for each small transaction would be read in vain */
  while (more && *whole && status == FREYJA_OK) {
    fj_scan_found found = FJ_SCAN_BAD;
    fj_record record;
    uint64_t key_hash = 0;
    status = fj_scan_next(&scan, &found, &record, &key_hash, error);
    *whole = status == FREYJA_OK && found == FJ_SCAN_RECORD;
    if (*whole) status = fj_scan_value(&scan, &record, whole, error);
    if (status != FREYJA_OK || !*whole) break;
    *whole = fj_record_is_padded(&record);
    more = (record.flags & FJ_FLAG_MORE) != 0;
    fj_scan_skip(&scan, &record);
  }
  if (*whole && status == FREYJA_OK) *end = scan.offset;
  fj_scan_close(&scan);
  return status;
}

freyja_status fj_scan_resume(fj_scan *scan, uint64_t limit, freyja_error *error) {
  /* Each candidate that passes the look at its fields has its key hashed. In real
   * damage those are few; in a file made for it they could be long keys at every
   * step, and then the rest is given up as damaged. */
  uint64_t hashed_max = scan->hashed + 4 * (scan->end - scan->offset) + FREYJA_KEY_SIZE_MAX;
  while (scan->offset < limit) {
    fj_scan_found found;
    fj_record record;
    uint64_t key_hash = 0;
    scan->offset += FJ_RECORD_ALIGN;
    if (scan->offset >= limit || scan->hashed > hashed_max) break;
    freyja_status status = fj_scan_next(scan, &found, &record, &key_hash, error);
    if (status != FREYJA_OK) return status;
    if (found == FJ_SCAN_RECORD) return FREYJA_OK;
  }
  scan->offset = limit;
  return FREYJA_OK;
}
