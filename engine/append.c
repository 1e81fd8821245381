/* append.c - writing to the active segment: reserving blocks ahead, appending
 * by mapping or by pwrite, syncing, sealing. See segment.h. */
#include "segment.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define PAGE 4096u              /* bytes; only a granularity, not the machine's */
#define FILL_MIN 8192u          /* bytes filled ahead at once, at least */
#define FILL_MAX (64u << 10)    /* and at most; 8 pieces at most */
#define RESERVE_MIN (64u << 10) /* bytes: small stores stay small */
#define RESERVE_MAX                                                                           \
  (256u << 20)                              /* bytes; far from the file's end the system      \
                                               faults in larger pieces */
#define WRITE_BACK_STEP (UINT64_C(4) << 20) /* bytes that gather before the disk gets them */

static freyja_status fail(fj_segment *segment, int code, const char *doing,
                          freyja_error *error) {
  char name[FJ_NAME_MAX];
  fj_segment_name(name, segment->id);
  return fj_fail_os(error, code, segment->pool->dir, name, doing);
}

static uint64_t at_most(uint64_t value, uint64_t limit) {
  return value < limit ? value : limit;
}

static uint64_t round_up(uint64_t value) { return (value + PAGE - 1) & ~(uint64_t)(PAGE - 1); }

/* ---- reserving ---------------------------------------------------------- */

static int reserve_to(fj_segment *segment, uint64_t end) {
  const fj_os *os = segment->os;
  int code = 0;
  do {
    code = os->reserve(os->context, segment->file, segment->reserved, end - segment->reserved);
  } while (code == -EINTR);
  if (code == 0) segment->reserved = end;
  return code;
}

/* Makes sure of blocks up to `end`. Where the file system cannot reserve,
 * appends are pwrites from then on. */
static freyja_status reserve(fj_segment *segment, uint64_t end, freyja_error *error) {
  if (end <= segment->reserved || !segment->can_reserve) return FREYJA_OK;
  uint64_t step = segment->reserved; /* doubling, so that the steps are few */
  if (step < RESERVE_MIN) step = RESERVE_MIN;
  if (step > RESERVE_MAX) step = RESERVE_MAX;
  uint64_t ahead = at_most(round_up(segment->reserved + step), segment->limit);
  uint64_t needed = at_most(round_up(end), segment->limit);
  int code = reserve_to(segment, ahead > needed ? ahead : needed);
  if (code != 0 && ahead > needed) code = reserve_to(segment, needed); /* a nearly full disk */
  if (code == 0) return FREYJA_OK;
  if (code == -EOPNOTSUPP || code == -ENOSYS) {
    segment->can_reserve = segment->mapped_writes = false;
    return FREYJA_OK;
  }
  return fail(segment, code, "reserve space in the data file", error);
}

/* Writes zeros where mapped appends will go. That puts pages into the cache in pieces
 * of our choice: faulted in by the first store to them, they come one by one or
 * in read-ahead windows that may stall a put for 20 ms. Small pieces where syncs are frequent,
 * as a sync writes a piece whole. Only for speed: a failure shows when the record is written.
 */
static void prefill(fj_segment *segment, uint64_t end) {
  static const uint8_t zeros[FILL_MIN];
  uint64_t from = round_up(segment->tail);
  if (from < segment->filled) from = segment->filled;
  while (from < end) {
    uint64_t size = FILL_MIN;
    while (size < FILL_MAX && size < segment->tail - segment->mark) size *= 2;
    size = at_most(size, segment->reserved - from);
    freyja_slice parts[FILL_MAX / FILL_MIN];
    size_t count = 0;
    for (uint64_t done = 0; done < size; done += FILL_MIN, count++) {
      parts[count].data = zeros;
      parts[count].size = (size_t)at_most(FILL_MIN, size - done);
    }
    (void)fj_write(segment->os, segment->file, parts, count, from);
    from += size;
  }
  segment->filled = from;
}

/* ---- appending ---------------------------------------------------------- */

/* Makes a record that was perhaps written in part impossible to read. One that a full disk
 * refused is not whole; another may be, and its disk may have it already: it must not be there
 * after a loss of power, in front of what is written next or in place of it. */
static int undo(fj_segment *segment, bool whole) {
  const fj_os *os = segment->os;
  int code = -EFBIG;
  if (segment->can_reserve) {
    static const uint8_t zeros[FJ_RECORD_HEADER];
    freyja_slice part = {zeros, sizeof zeros};
    code = fj_write(os, segment->file, &part, 1, segment->tail);
  }
  if (code == -EFBIG) { /* also where a limit on files is now below what is reserved */
    segment->reserved = segment->filled = segment->tail;
    code = os->truncate(os->context, segment->file, segment->tail);
  }
  return code == 0 && whole ? fj_sync(os, segment->file) : code;
}

/* Returns 0 or -errno. */
static int write_record(fj_segment *segment, const fj_draft *draft, uint64_t offset) {
  static const uint8_t zeros[FJ_RECORD_ALIGN];
  size_t prefix = fj_record_prefix(draft->flags);
  uint64_t padding = fj_draft_size(draft) - prefix - draft->key.size - draft->value.size;
  freyja_slice parts[4] = {
      {draft->header, prefix}, draft->key, draft->value, {zeros, (size_t)padding}};
  return fj_write(segment->os, segment->file, parts, 4, offset);
}

static freyja_status append_by_write(fj_segment *segment, const fj_draft *draft, bool *poison,
                                     freyja_error *error) {
  int code = write_record(segment, draft, segment->tail);
  if (code == 0) return FREYJA_OK;
  *poison = undo(segment, code != -ENOSPC && code != -EDQUOT && code != -EFBIG) != 0;
  return fail(segment, code, "write to the data file", error);
}

freyja_status fj_segment_prepare(fj_segment *segment, uint64_t size, freyja_error *error) {
  assert(!segment->sealed);
  assert(fj_segment_fits(segment, size));
  uint64_t end = segment->tail + size;
  if (end > segment->reserved) {
    freyja_status status = reserve(segment, end, error);
    if (status != FREYJA_OK) return status;
  }
  if (end > segment->staged) segment->staged = end;
  if (!segment->mapped_writes) return FREYJA_OK;
  assert(end <= segment->reserved);                     /* S2 */
  if (size > FILL_MAX) segment->filled = round_up(end); /* its copy is cheap by itself */
  else if (end > segment->filled) prefill(segment, end);
  return FREYJA_OK;
}

freyja_status fj_segment_stage(fj_segment *segment, const fj_draft *draft, uint64_t size,
                               freyja_error *error) {
  freyja_status status = fj_segment_prepare(segment, size, error);
  if (status == FREYJA_OK && segment->mapped_writes)
    fj_record_encode_body(segment->map + segment->tail, draft);
  return status;
}

freyja_status fj_segment_append(fj_segment *segment, const fj_draft *draft, bool *poison,
                                freyja_error *error) {
  if (!segment->mapped_writes) return append_by_write(segment, draft, poison, error);
  memcpy(segment->map + segment->tail, draft->header, FJ_RECORD_HEADER);
  return FREYJA_OK;
}

freyja_status fj_segment_put_ahead(fj_segment *segment, const fj_draft *draft, uint64_t offset,
                                   freyja_error *error) {
  assert(offset >= segment->tail && offset + fj_draft_size(draft) <= segment->staged);
  if (segment->mapped_writes) {
    fj_record_encode_body(segment->map + offset, draft);
    memcpy(segment->map + offset, draft->header, FJ_RECORD_HEADER);
    return FREYJA_OK;
  }
  int code = write_record(segment, draft, offset);
  return code == 0 ? FREYJA_OK : fail(segment, code, "write to the data file", error);
}

bool fj_segment_withdraw(fj_segment *segment) {
  const fj_os *os = segment->os;
  segment->reserved = segment->filled = segment->tail;
  int code = os->truncate(os->context, segment->file, segment->tail);
  return code == 0 && fj_sync(os, segment->file) == 0;
}

void fj_segment_count(fj_segment *segment, uint8_t kind, uint64_t timestamp, uint64_t expiry) {
  if (kind == FJ_KIND_PUT) segment->keys++;
  else segment->tombstones++;
  if (segment->oldest == 0 || timestamp < segment->oldest) segment->oldest = timestamp;
  if (timestamp > segment->newest) segment->newest = timestamp;
  if (expiry != 0 && (segment->expires == 0 || expiry < segment->expires))
    segment->expires = expiry;
}

/* The disk gets whole pages early, so that a sync, above all that of sealing,
 * finds little left to wait for. */
static void write_back(fj_segment *segment) {
  const fj_os *os = segment->os;
  uint64_t end = segment->tail & ~(uint64_t)(PAGE - 1);
  os->write_back(os->context, segment->file, segment->written_back,
                 end - segment->written_back);
  segment->written_back = end;
}

void fj_segment_publish(fj_segment *segment, const fj_draft *draft, uint64_t size) {
  fj_publish(&segment->tail, segment->tail + size);
  fj_segment_count(segment, draft->kind, draft->timestamp, draft->expiry);
}

void fj_segment_relieve(fj_segment *segment) {
  if (segment->tail - segment->written_back >= WRITE_BACK_STEP) write_back(segment);
}

freyja_status fj_segment_append_block(fj_segment *segment, const uint8_t *records, size_t size,
                                      freyja_error *error) {
  freyja_slice part = {records, size};
  assert(!segment->sealed);
  assert(fj_segment_fits(segment, size));
  /* Nothing is reserved for that: a write makes room for itself, at less cost. */
  int code = fj_write(segment->os, segment->file, &part, 1, segment->tail);
  if (code != 0) return fail(segment, code, "write to the data file", error);
  segment->tail += size;
  if (segment->reserved < segment->tail) segment->reserved = segment->tail;
  fj_segment_relieve(segment);
  return FREYJA_OK;
}

/* ---- syncing ------------------------------------------------------------ */

/* Returns 0 or -errno. */
static int write_mark(fj_segment *segment, uint64_t offset) {
  uint8_t mark[FJ_MARK_SIZE];
  unsigned slot = segment->mark_slot;
  uint64_t where = FJ_MARK_OFFSET + (uint64_t)slot * sizeof mark;
  fj_segment_encode_mark(mark, offset, segment->seed, slot);
  if (segment->mapped_writes) {
    memcpy(segment->map + where, mark, sizeof mark);
  } else {
    freyja_slice part = {mark, sizeof mark};
    int code = fj_write(segment->os, segment->file, &part, 1, where);
    if (code != 0) return code;
  }
  segment->mark = offset;
  segment->mark_slot = (uint8_t)(1 - slot);
  return 0;
}

freyja_status fj_segment_sync(fj_segment *segment, uint64_t end, freyja_error *error) {
  int code = fj_sync(segment->os, segment->file);
  if (code != 0) return fail(segment, code, "sync", error);
  segment->marked = segment->mark;
  /* A mark that cannot be written is no fault: an older one says less, but is true (S4). */
  if (end > segment->mark && segment->kind == FJ_SEGMENT_LOG) /* S5 */
    (void)write_mark(segment, end);
  return FREYJA_OK;
}

freyja_status fj_segment_rewrite(fj_segment *segment, const freyja_slice *part,
                                 uint64_t offset, freyja_error *error) {
  int code = fj_write(segment->os, segment->file, part, 1, offset);
  return code == 0 ? FREYJA_OK : fail(segment, code, "write to the data file", error);
}

freyja_status fj_segment_rewrite_mark(fj_segment *segment, freyja_error *error) {
  uint8_t mark[FJ_MARK_SIZE];
  unsigned slot = 1u - segment->mark_slot;
  if (segment->unmarked || segment->mark == FJ_SEGMENT_HEADER) return FREYJA_OK;
  fj_segment_encode_mark(mark, segment->mark, segment->seed, slot);
  freyja_slice part = {mark, sizeof mark};
  return fj_segment_rewrite(segment, &part, FJ_MARK_OFFSET + (uint64_t)slot * sizeof mark,
                            error);
}

freyja_status fj_segment_set_tail(fj_segment *segment, uint64_t tail, bool cut,
                                  freyja_error *error) {
  const fj_os *os = segment->os;
  if (cut) {
    int code = os->truncate(os->context, segment->file, tail);
    if (code != 0) return fail(segment, code, "cut the torn end of the data file", error);
  }
  /* What looks like the reserve of a process that was killed may be a hole, in a file that was
   * copied without its zeros: the first append asks for it again (S2). */
  segment->surplus = !cut && segment->reserved > tail;
  segment->reserved = segment->tail = tail;
  segment->written_back = tail & ~(uint64_t)(PAGE - 1);
  return FREYJA_OK;
}

freyja_status fj_segment_trim(fj_segment *segment, bool *poison, freyja_error *error) {
  const fj_os *os = segment->os;
  *poison = false;
  /* Even where there is no reserve: one that failed may have been made all the same. Likewise
   * this may cut and fail: nothing counts on the reserve any more (S2). */
  segment->reserved = segment->filled = segment->tail;
  int code = os->truncate(os->context, segment->file, segment->tail);
  if (code != 0) return fail(segment, code, "cut the reserve of the data file", error);
  segment->surplus = false;
  freyja_status status = fj_segment_sync(segment, segment->tail, error);
  *poison = status != FREYJA_OK;
  return status;
}

void fj_segment_seal(fj_segment *segment) {
  const fj_os *os = segment->os;
  if (segment->map != NULL) (void)os->protect(os->context, segment->map, segment->map_size);
  if (segment->file >= 0) fj_segment_sign(segment, segment->file);
  if (segment->file >= 0) (void)os->close(os->context, segment->file);
  segment->file = -1;
  segment->limit = segment->tail;
  segment->mapped_writes = false;
  segment->sealed = true;
}

freyja_status fj_segment_confirm(fj_segment *segment, bool *poison, freyja_error *error) {
  *poison = false;
  if (segment->mark < segment->tail) {
    int code = write_mark(segment, segment->tail);
    if (code != 0) return fail(segment, code, "mark the end of the data file", error);
  }
  if (segment->marked == segment->mark) return FREYJA_OK;
  freyja_status status = fj_segment_sync(segment, segment->tail, error);
  *poison = status != FREYJA_OK;
  return status;
}

freyja_status fj_segment_finish(fj_segment *segment, freyja_error *error) {
  bool poison = false;
  bool has_reserve = segment->reserved > segment->tail || segment->surplus;
  if (segment->unsettled && !has_reserve) return FREYJA_OK; /* nothing was written */
  freyja_status status = FREYJA_OK;
  if (segment->mark < segment->tail || has_reserve)
    status = fj_segment_trim(segment, &poison, error);
  if (status != FREYJA_OK || segment->marked == segment->mark) return status;
  return fj_segment_sync(segment, segment->tail, error); /* the mark itself */
}
