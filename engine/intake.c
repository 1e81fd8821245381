/* intake.c - see intake.h. */
#include "intake.h"

#include <errno.h>
#include <string.h>

#include "detour.h"

void fj_intake_open(fj_intake *intake, fj_index *index, bool with_hints, uint64_t left,
                    freyja_recovery *result) {
  memset(intake, 0, sizeof *intake);
  intake->index = index;
  intake->with_hints = with_hints;
  intake->result = result;
  fj_batch_create(&intake->batch, index, left);
  fj_hinted_create(&intake->hinted, index);
}

void fj_intake_close(fj_intake *intake) {
  fj_batch_destroy(&intake->batch);
  fj_hinted_destroy(&intake->hinted);
}

/* ---- by its records ------------------------------------------------------- */

/* Whether an invalid record at `offset` is damage; otherwise it is the log's end. */
static bool is_damage(const fj_segment *segment, uint64_t offset) {
  return segment->sealed || offset < segment->mark;
}

/* Passes over bytes that are no record, or that cannot be read (`why`), and remembers them. */
static freyja_status take_damage(fj_index *index, fj_scan *scan, freyja_error *why,
                                 freyja_error *error) {
  fj_segment *segment = scan->segment;
  uint64_t from = scan->offset;
  uint64_t limit = segment->sealed || segment->mark > scan->end ? scan->end : segment->mark;
  freyja_status status = fj_detour_resume(scan, limit, why, error);
  /* In a store that is open already the next try may succeed: nothing is remembered that
   * would outlast the fault. */
  if (status == FREYJA_OK && index->recovered && why->status != FREYJA_OK) {
    if (error != NULL) *error = *why;
    status = why->status;
  }
  if (status != FREYJA_OK) return status;
  fj_index_add_damage(index, segment, from, scan->offset - from, true, why);
  return FREYJA_OK;
}

/* Reading failed at scan->offset. Where what is not there would be damage, so is what cannot
 * be read; where the log ends cannot be told without it. */
static freyja_status take_fault(fj_index *index, fj_scan *scan, freyja_error *why,
                                freyja_error *error) {
  if (!index->recovered && fj_scan_is_unreadable(scan, why) &&
      is_damage(scan->segment, scan->offset))
    return take_damage(index, scan, why, error);
  if (error != NULL) *error = *why;
  return why->status;
}

/* Whether the log ends with the record at the scan's offset, where it may be torn: because its
 * transaction is not whole (N2). */
static freyja_status ends_within(fj_intake *intake, const fj_scan *scan,
                                 const fj_record *record, bool *ends, freyja_error *error) {
  bool whole = true;
  uint64_t end = scan->end;
  bool first = (record->flags & FJ_FLAG_MORE) != 0 && scan->offset >= intake->whole_until;
  *ends = false;
  if (!first) return FREYJA_OK;
  freyja_status status = fj_scan_transaction(scan->segment, scan->offset, &end, &whole, error);
  if (whole) intake->whole_until = end;
  *ends = !whole;
  return status;
}

/* Applies the record at scan->offset if its value is whole or its damage is no
 * torn tail; *ends tells that the log ends here instead. */
static freyja_status take_record(fj_intake *intake, fj_scan *scan, fj_record *record,
                                 uint64_t key_hash, bool *ends, freyja_error *error) {
  fj_index *index = intake->index;
  fj_segment *segment = scan->segment;
  bool valid = false;
  freyja_error why;
  bool damage = is_damage(segment, scan->offset);
  freyja_status status = fj_detour_value(scan, record, &valid, &why);
  if (status != FREYJA_OK || (why.status != FREYJA_OK && (!damage || index->recovered)))
    return take_fault(index, scan, &why, error);
  *ends = !damage && !(valid && fj_record_is_padded(record));
  if (!*ends && !damage) status = ends_within(intake, scan, record, ends, error);
  if (*ends || status != FREYJA_OK) return status;
  if (!valid) fj_index_add_damage(index, segment, scan->offset, record->size, false, &why);
  uint64_t offset = scan->offset;
  fj_scan_skip(scan, record);
  if (scan->offset > segment->tail) segment->tail = scan->offset;
  fj_segment_count(segment, record->kind, record->timestamp, fj_record_expiry(record));
  intake->result->records++;
  return fj_batch_add(&intake->batch, segment, offset, record, key_hash, error);
}

freyja_status fj_intake_scan(fj_intake *intake, fj_segment *segment, uint64_t from,
                             uint64_t end, freyja_error *error) {
  fj_index *index = intake->index;
  fj_scan scan;
  bool ends = false;
  freyja_status status = fj_hinted_load(&intake->hinted, &intake->hint_fault, error);
  /* What may be torn is for one thread (N2). */
  uint64_t whole = segment->sealed || segment->mark > end ? end : segment->mark;
  if (status == FREYJA_OK)
    status =
        fj_batch_read(&intake->batch, segment, &from, whole, &intake->result->records, error);
  fj_scan_open(&scan, segment, from, end);
  intake->whole_until = 0;
  while (status == FREYJA_OK && !ends) {
    fj_scan_found found;
    fj_record record;
    freyja_error why;
    uint64_t key_hash = 0;
    fj_error_clear(&why);
    if (fj_scan_next(&scan, &found, &record, &key_hash, &why) != FREYJA_OK)
      status = take_fault(index, &scan, &why, error);
    else if (found == FJ_SCAN_RECORD)
      status = take_record(intake, &scan, &record, key_hash, &ends, error);
    else if (found == FJ_SCAN_END || !is_damage(segment, scan.offset)) ends = true;
    else status = take_damage(index, &scan, &why, error);
  }
  if (status == FREYJA_OK) segment->tail = scan.offset;
  fj_scan_close(&scan);
  return status;
}

/* ---- by its hint ---------------------------------------------------------- */

static freyja_status load_hints(fj_intake *intake, freyja_error *error) {
  return fj_hinted_load(&intake->hinted, &intake->hint_fault, error);
}

/* Those that are open give their descriptors up where there are too few. */
static freyja_status take_hint(fj_intake *intake, fj_segment *segment, bool *taken,
                               freyja_error *why, freyja_error *error) {
  fj_hinted *hinted = &intake->hinted;
  freyja_status status = fj_hinted_take(hinted, segment, taken, why, error);
  bool few = why->os_code == EMFILE || why->os_code == ENFILE;
  if (status != FREYJA_OK || *taken || !few || hinted->count == 0) return status;
  status = load_hints(intake, error);
  return status == FREYJA_OK ? fj_hinted_take(hinted, segment, taken, why, error) : status;
}

freyja_status fj_intake_hint(fj_intake *intake, fj_segment *segment, bool *taken,
                             freyja_error *error) {
  freyja_error why;
  freyja_status status = FREYJA_OK;
  *taken = false;
  if (!intake->with_hints) return FREYJA_OK;
  if (fj_hinted_is_full(&intake->hinted)) status = load_hints(intake, error);
  if (status == FREYJA_OK) status = take_hint(intake, segment, taken, &why, error);
  if (status != FREYJA_OK) return status;
  if (*taken) {
    intake->result->hints_used++;
    fj_batch_pass(&intake->batch, segment->limit);
    return fj_batch_flush(&intake->batch, error); /* N1 */
  }
  if (why.status != FREYJA_OK && intake->result->hints_ignored++ == 0)
    intake->result->hint = why;
  return FREYJA_OK;
}

freyja_status fj_intake_finish(fj_intake *intake, freyja_error *error) {
  freyja_status status = fj_batch_flush(&intake->batch, error);
  if (status == FREYJA_OK) status = load_hints(intake, error);
  return status;
}
