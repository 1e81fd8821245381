/* batch.c - see batch.h. */
#include "batch.h"

#include <string.h>

#define CAPACITY_MIN 64u
#define ORDERED_MIN 8192u /* fewer entries are applied as they came */
#define CAPACITY_MAX (512u << 10)
#define RANGE_BITS 11u /* of a hash: those of one range are applied one after the other */
#define RANGES (1u << RANGE_BITS)
#define STRIDE (RANGES / FJ_SHARDS) /* ranges of a shard */
#define AHEAD 16u /* entries: how far ahead of its use the keydir's memory is asked for */

void fj_batch_create(fj_batch *batch, fj_index *index, uint64_t left) {
  memset(batch, 0, sizeof *batch);
  batch->index = index;
  batch->left = left;
}

void fj_batch_destroy(fj_batch *batch) {
  const fj_os *os = batch->index->dir->os;
  os->release(os->context, batch->entries);
  batch->entries = batch->ordered = NULL;
  batch->count = batch->capacity = 0;
}

/* ---- adding --------------------------------------------------------------- */

/* Makes room for one more. Where there is no memory for more than there are, these go. */
static freyja_status make_room(fj_batch *batch, freyja_error *error) {
  const fj_os *os = batch->index->dir->os;
  if (batch->capacity == CAPACITY_MAX) return fj_batch_flush(batch, error);
  uint32_t capacity = batch->capacity == 0 ? CAPACITY_MIN : batch->capacity * 4;
  if (capacity > CAPACITY_MAX) capacity = CAPACITY_MAX;
  fj_entry *entries = os->allocate(os->context, (size_t)capacity * 2 * sizeof *entries);
  if (entries == NULL && batch->capacity > 0) return fj_batch_flush(batch, error);
  if (entries == NULL) return fj_fail_memory(error, "read records");
  if (batch->count > 0) memcpy(entries, batch->entries, batch->count * sizeof *entries);
  os->release(os->context, batch->entries);
  batch->entries = entries;
  batch->ordered = entries + capacity;
  batch->capacity = capacity;
  return FREYJA_OK;
}

/* Whether the record, read from the log, has expired. The time at which the store will have
 * been opened is not before that of the newest record. */
static bool is_over(fj_index *index, const fj_record *record) {
  if (fj_record_is_due(record, index->last_timestamp)) return true;
  bool due = fj_record_is_due(record, fj_clock_told(&index->clock));
  if (due) index->swept = fj_clock_told(&index->clock);
  return due;
}

freyja_status fj_batch_add(fj_batch *batch, fj_segment *segment, uint64_t offset,
                           const fj_record *record, uint64_t key_hash, freyja_error *error) {
  fj_index *index = batch->index;
  freyja_status status = FREYJA_OK;
  if (batch->count == batch->capacity) status = make_room(batch, error);
  if (status != FREYJA_OK) return status;
  if (record->timestamp > index->last_timestamp) index->last_timestamp = record->timestamp;
  bool gone = record->kind == FJ_KIND_TOMBSTONE || is_over(index, record);
  uint64_t word = fj_word_make(segment->slot, offset, record->size, record->flags);
  if (!gone) fj_index_expect(index, fj_record_expiry(record));
  batch->entries[batch->count++] = (fj_entry){key_hash, gone ? word | FJ_WORD_GONE : word};
  batch->bytes += record->size;
  return FREYJA_OK;
}

/* ---- applying ------------------------------------------------------------- */

/* By the index hash, so that records of one are in one range. */
static uint32_t range_of(const fj_batch *batch, const fj_entry *entry) {
  return (uint32_t)((entry->hash & batch->index->keydir.hash_mask) >> (64 - RANGE_BITS));
}

/* Puts the entries in the order of their ranges, and within one in that in which they came
 * (B1). Where range r begins is at starts[r] then, and where it ends at starts[r + 1]. */
static void put_in_order(const fj_batch *batch, uint32_t starts[RANGES + 1]) {
  uint32_t next[RANGES];
  memset(starts, 0, (RANGES + 1) * sizeof *starts);
  for (uint32_t i = 0; i < batch->count; i++)
    starts[range_of(batch, &batch->entries[i]) + 1]++;
  for (uint32_t r = 0; r < RANGES; r++) starts[r + 1] += starts[r];
  memcpy(next, starts, sizeof next);
  for (uint32_t i = 0; i < batch->count; i++)
    batch->ordered[next[range_of(batch, &batch->entries[i])]++] = batch->entries[i];
}

static freyja_status apply_span(fj_batch *batch, const fj_entry *entry, const fj_entry *end,
                                freyja_error *error) {
  fj_index *index = batch->index;
  freyja_status status = FREYJA_OK;
  for (const fj_entry *e = entry; e < end && e < entry + AHEAD; e++)
    fj_apply_prefetch(index, e);
  for (; entry < end && status == FREYJA_OK; entry++) {
    uint64_t cost = 0;
    if (entry + AHEAD < end) fj_apply_prefetch(index, entry + AHEAD);
    status = fj_apply(index, entry, false, &cost, error);
    if (status == FREYJA_OK) status = fj_index_charge(index, cost, error);
  }
  return status;
}

/* Makes room in the keydir for the keys that are still to come. `new_keys` of `applied`
 * entries were new, so as many of the batch's others are likely to be, and of the log's: but
 * no more than twice the keys are believed in at once. */
static void expect(const fj_batch *batch, uint64_t new_keys, uint64_t applied) {
  fj_keydir *keydir = &batch->index->keydir;
  double rate = (double)new_keys / (double)applied; /* keys of an entry */
  double here = rate * (double)(batch->count - applied);
  double all = here + rate * batch->count * ((double)batch->left / (double)batch->bytes);
  double most = (double)keydir->count + 2 * here;
  if ((double)keydir->count + here > (double)keydir->count_max)
    fj_keydir_expect(keydir, (uint64_t)(all < most ? all : most));
}

/* Applies the entries of a batch that is large: first one range of each shard, which are as
 * good as any to tell how many of the keys are new. */
static freyja_status apply_ranges(fj_batch *batch, freyja_error *error) {
  uint32_t starts[RANGES + 1];
  freyja_status status = FREYJA_OK;
  uint64_t count = batch->index->keydir.count, applied = 0;
  put_in_order(batch, starts);
  for (uint32_t r = 0; r < RANGES && status == FREYJA_OK; r += STRIDE) {
    status =
        apply_span(batch, batch->ordered + starts[r], batch->ordered + starts[r + 1], error);
    applied += starts[r + 1] - starts[r];
  }
  if (status != FREYJA_OK) return status;
  uint64_t after = batch->index->keydir.count;
  if (after > count && applied > 0) expect(batch, after - count, applied);
  for (uint32_t r = 0; r < RANGES && status == FREYJA_OK; r += STRIDE)
    status = apply_span(batch, batch->ordered + starts[r + 1],
                        batch->ordered + starts[r + STRIDE], error);
  return status;
}

freyja_status fj_batch_flush(fj_batch *batch, freyja_error *error) {
  freyja_status status = FREYJA_OK;
  if (batch->count == 0) return FREYJA_OK; /* there may be no memory for any */
  batch->index->applied += batch->bytes;
  fj_batch_pass(batch, batch->bytes);
  if (batch->count >= ORDERED_MIN) status = apply_ranges(batch, error);
  else status = apply_span(batch, batch->entries, batch->entries + batch->count, error);
  batch->count = 0;
  batch->bytes = 0;
  return status;
}
