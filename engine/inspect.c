/* inspect.c - see inspect.h. */
#include "inspect.h"

#include <string.h>

#include "detour.h"

freyja_status fj_inspect_open(fj_pool *pool, uint64_t id, uint64_t sealed_size,
                              const fj_findings *findings, fj_segment **out,
                              freyja_error *error) {
  freyja_error why, fault;
  char name[FJ_NAME_MAX];
  freyja_status status = fj_segment_open(pool, id, sealed_size, 0, out, &why, &fault);
  if (status == FREYJA_MEMORY) {
    if (error != NULL) *error = fault;
    return status;
  }
  if (status != FREYJA_OK) why = fault;
  fj_extent extent = {name, 0, 0};
  fj_segment_name(name, id);
  if (why.status != FREYJA_OK) {
    if (*out != NULL && !(*out)->missing) extent.size = FJ_SEGMENT_HEADER;
    fj_findings_add(findings, extent, "%s", why.message);
  }
  if (*out != NULL && (*out)->missing) {
    fj_segment_release(*out);
    *out = NULL;
  }
  return FREYJA_OK;
}

/* ---- what is no record ----------------------------------------------------- */

/* Tells of a span that holds no record; `why` if reading failed in it. */
static void tell_span(const fj_inspection *in, uint64_t from, const freyja_error *why) {
  char name[FJ_NAME_MAX];
  if (in->findings == NULL) return;
  fj_segment_name(name, in->segment->id);
  fj_extent extent = {name, from, in->scan.offset - from};
  if (why->status != FREYJA_OK) fj_findings_add(in->findings, extent, "%s", why->message);
  else fj_findings_add(in->findings, extent, "these bytes are no record");
}

/* From a place that is no record, or cannot be read (`why`), to the next that is one. */
static freyja_status pass_span(fj_inspection *in, freyja_error *why, freyja_error *error) {
  fj_scan *scan = &in->scan;
  uint64_t from = scan->offset;
  uint64_t limit = in->trusted < in->end ? in->trusted : in->end;
  freyja_status status = fj_detour_resume(scan, limit, why, error);
  if (status != FREYJA_OK) return status;
  in->unknown += scan->offset - from;
  in->last_end = scan->offset;
  tell_span(in, from, why);
  return FREYJA_OK;
}

/* ---- records --------------------------------------------------------------- */

static void check_padding(const fj_inspection *in, const fj_record *record) {
  if (fj_record_is_padded(record)) return;
  char name[FJ_NAME_MAX];
  fj_segment_name(name, in->segment->id);
  fj_extent extent = {name, in->scan.offset, record->size};
  freyja_slice key = {record->key, record->key_size};
  fj_findings_add_key(in->findings, extent, key, false,
                      "the padding behind a record is not zero");
}

/* Whether the log ends with this record, since its transaction is not whole: also where a part
 * of that cannot be read. */
static freyja_status ends_within(fj_inspection *in, const fj_record *record, bool *ends,
                                 freyja_error *error) {
  bool whole = true;
  uint64_t end = in->end;
  freyja_error fault;
  if ((record->flags & FJ_FLAG_MORE) == 0 || in->scan.offset < in->whole_until)
    return FREYJA_OK;
  freyja_status status =
      fj_scan_transaction(in->segment, in->scan.offset, &end, &whole, &fault);
  if (status != FREYJA_OK && !fj_scan_is_unreadable(&in->scan, &fault)) {
    if (error != NULL) *error = fault;
    return status;
  }
  *ends = status != FREYJA_OK || !whole;
  if (!*ends) in->whole_until = end;
  return FREYJA_OK;
}

/* Takes the record at the scan's offset and moves behind it. *ends: the log ends before it. */
static freyja_status take_record(fj_inspection *in, fj_record *record, uint64_t key_hash,
                                 bool *ends, freyja_error *error) {
  bool whole = true;
  bool trusted = in->scan.offset < in->trusted;
  if (in->values || !trusted) {
    freyja_error fault;
    freyja_status status = fj_detour_value(&in->scan, record, &whole, &fault);
    bool unreadable = status != FREYJA_OK && fj_scan_is_unreadable(&in->scan, &fault);
    if (unreadable && trusted) return pass_span(in, &fault, error);
    if (status != FREYJA_OK && !unreadable) {
      if (error != NULL) *error = fault;
      return status;
    }
  }
  *ends = !trusted && !(whole && fj_record_is_padded(record));
  if (!*ends && !trusted) {
    freyja_status status = ends_within(in, record, ends, error);
    if (status != FREYJA_OK) return status;
  }
  if (*ends) return FREYJA_OK;
  if (whole && in->values && in->findings != NULL) check_padding(in, record);
  uint64_t size = record->size;
  freyja_status status = in->take(in, record, key_hash, whole, error);
  in->scan.offset += size;
  return status;
}

/* One record, or one span that holds none. */
static freyja_status step(fj_inspection *in, bool *ends, freyja_error *error) {
  fj_scan *scan = &in->scan;
  fj_scan_found found = FJ_SCAN_BAD;
  fj_record record;
  freyja_error fault;
  uint64_t key_hash = 0;
  memset(&fault, 0, sizeof fault);
  freyja_status status = fj_scan_next(scan, &found, &record, &key_hash, &fault);
  if (status == FREYJA_OK && found == FJ_SCAN_RECORD)
    return take_record(in, &record, key_hash, ends, error);
  if (status != FREYJA_OK && !fj_scan_is_unreadable(scan, &fault)) {
    if (error != NULL) *error = fault;
    return status;
  }
  *ends = (status == FREYJA_OK && found == FJ_SCAN_END) || scan->offset >= in->trusted;
  return *ends ? FREYJA_OK : pass_span(in, &fault, error);
}

freyja_status fj_inspect(fj_inspection *in, uint64_t offset, freyja_error *error) {
  freyja_status status = FREYJA_OK;
  bool ends = false;
  fj_scan_open(&in->scan, in->segment, offset, in->end);
  in->scan.lenient = true;
  in->unknown = in->last_end = in->whole_until = 0;
  while (status == FREYJA_OK && !ends) status = step(in, &ends, error);
  in->stop = in->scan.offset;
  fj_scan_close(&in->scan);
  return status;
}
