/* batch.c - see batch.h. */
#include "batch.h"

#include <string.h>

#include "estimate.h"

#define CAPACITY_MIN 64u
#define ORDERED_MIN 8192u /* fewer entries are applied as they came */
#define AHEAD 16u /* entries: how far ahead of its use the keydir's memory is asked for */

/* Bytes of the arena, at first: each time that it is full all of the keydir is gone through,
 * so that it is in proportion to that. But all that the log may hold is no more than so many.
 */
#define ARENA_MIN ((size_t)8 << 20)
#define ARENA_MAX ((size_t)128 << 20)
#define ARENA_WIDE ((size_t)64 << 20) /* more of them at once is no faster */
#define ARENA_KEY sizeof(fj_entry)    /* for each key */

/* Entries that a thread takes at a time; the arena begins with room for those of all. */
#define TAKEN 1024u
#define TAKEN_SIZE ((size_t)FJ_PARTS * TAKEN * sizeof(fj_entry))

void fj_batch_create(fj_batch *batch, fj_index *index, uint64_t left) {
  memset(batch, 0, sizeof *batch);
  batch->index = index;
  batch->left = left;
}

void fj_batch_destroy(fj_batch *batch) {
  const fj_os *os = batch->index->dir->os;
  os->release(os->context, batch->entries);
  fj_arena_close(&batch->arena);
  fj_arena_close(&batch->scratch);
  fj_batch_create(batch, batch->index, 0);
}

/* ---- putting aside ---------------------------------------------------------------- */

/* What the estimate asks of the runs: entries of the first ranges. */
static void sample(const fj_batch *batch, fj_estimate *estimate) {
  const uint32_t end = (uint32_t)(estimate->bound >> (64 - FJ_RANGE_BITS)) + 1;
  for (const fj_run *r = batch->first; r != NULL; r = r->next)
    for (const fj_entry *e = r->entries; e < r->entries + r->starts[end]; e++)
      fj_estimate_note(estimate, e->hash, fj_entry_is_gone(e));
}

/* Keys of the runs that the keydir has not got, about; 0 if it has room for all of them, or
 * there is no memory for the estimate. */
static uint64_t count_new(const fj_batch *batch) {
  fj_estimate estimate;
  if (!fj_estimate_open(&estimate, &batch->index->keydir, batch->in_runs)) return 0;
  sample(batch, &estimate);
  return fj_estimate_close(&estimate);
}

/* Whether there is room for a run of the newest entries, whatever their number: so it is where
 * there are runs. An arena that is full of new keys is widened to twice as many: the keydir
 * will grow for them, so that it may as well do so at once. Where fewer of its entries are new
 * they are better applied first. */
static bool has_room(fj_batch *batch) {
  const size_t run = fj_run_size(FJ_RUN_MAX);
  fj_arena *arena = &batch->arena;
  if (arena->size - arena->used >= run) return true;
  size_t most = arena->mapped < ARENA_WIDE ? arena->mapped : ARENA_WIDE;
  if (arena->size >= most) return false;
  uint64_t wanted = count_new(batch) * ARENA_KEY * 2;
  if (wanted < arena->size / 2 * 3) return false;
  arena->size = wanted < most ? (size_t)wanted : most;
  return arena->size - arena->used >= run;
}

/* The largest arena that the batch will want, as far as is known. */
static bool open_arena(fj_batch *batch) {
  const uint64_t log = batch->bytes + batch->left;
  const uint64_t by_log = log / FJ_RECORD_HEADER * sizeof(fj_entry);
  size_t least = TAKEN_SIZE + fj_run_size(batch->count);
  size_t size = by_log < ARENA_MAX ? (size_t)by_log : ARENA_MAX;
  if (size < least) size = least;
  if (batch->arena.mapped >= least && batch->arena.mapped >= size / 2) return true;
  fj_arena_close(&batch->arena);
  while (!fj_arena_open(&batch->arena, batch->index->dir->os, size)) {
    if (size / 2 < least) return false;
    size /= 2;
  }
  return true;
}

/* Sees to it that a batch without runs has an arena for what was added. */
static void fit_arena(fj_batch *batch) {
  if (!open_arena(batch)) return;
  uint64_t wanted = batch->index->keydir.count * ARENA_KEY;
  if (wanted < ARENA_MIN) wanted = ARENA_MIN;
  fj_arena *arena = &batch->arena;
  arena->size = wanted < arena->mapped ? (size_t)wanted : arena->mapped;
  arena->used = TAKEN_SIZE;
}

/* Adds runs that follow each other. */
static void add_runs(fj_batch *batch, fj_run *first, fj_run *last) {
  if (batch->last == NULL) batch->first = first;
  else batch->last->next = first;
  batch->last = last;
  for (const fj_run *run = first; run != NULL; run = run->next) batch->in_runs += run->count;
}

/* Makes a run of the newest entries; false if there is no room for it. */
static bool put_aside(fj_batch *batch) {
  if (batch->first == NULL) fit_arena(batch);
  fj_run *run =
      fj_run_make(&batch->arena, batch->entries, batch->count, batch->index->keydir.hash_mask);
  if (run == NULL) return false;
  add_runs(batch, run, run);
  batch->count = 0;
  return true;
}

/* Makes room for one more. Where there is no memory for more than there are, these go. */
static freyja_status make_room(fj_batch *batch, freyja_error *error) {
  const fj_os *os = batch->index->dir->os;
  if (batch->capacity == FJ_RUN_MAX) {
    return put_aside(batch) && has_room(batch) ? FREYJA_OK : fj_batch_flush(batch, error);
  }
  uint32_t capacity = batch->capacity == 0 ? CAPACITY_MIN : batch->capacity * 4;
  if (capacity > FJ_RUN_MAX) capacity = FJ_RUN_MAX;
  fj_entry *entries = os->allocate(os->context, (size_t)capacity * sizeof *entries);
  if (entries == NULL && batch->capacity > 0) return fj_batch_flush(batch, error);
  if (entries == NULL) return fj_fail_memory(error, "read records");
  if (batch->count > 0) memcpy(entries, batch->entries, batch->count * sizeof *entries);
  os->release(os->context, batch->entries);
  batch->entries = entries;
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

/* ---- by pieces -------------------------------------------------------------------- */

/* Counts what a step has read, as reading it one by one does. */
static void take_step(fj_batch *batch, fj_segment *segment, const fj_pieces *pieces,
                      uint64_t from) {
  fj_index *index = batch->index;
  const fj_tally *tally = &pieces->tally;
  add_runs(batch, pieces->first, pieces->last);
  batch->bytes += pieces->from - from;
  if (pieces->from > segment->tail) segment->tail = pieces->from;
  segment->keys += tally->puts;
  segment->tombstones += tally->tombstones;
  if (segment->oldest == 0 || tally->oldest < segment->oldest) segment->oldest = tally->oldest;
  if (tally->newest > segment->newest) segment->newest = tally->newest;
  if (tally->expires != 0 && (segment->expires == 0 || tally->expires < segment->expires))
    segment->expires = tally->expires;
  if (tally->newest > index->last_timestamp) index->last_timestamp = tally->newest;
  if (tally->left_out > 0) index->swept = pieces->now;
  fj_index_expect(index, tally->soonest);
}

/* Has the batch ready for a step: what was added is in runs, and there is room for more. */
static freyja_status prepare(fj_batch *batch, bool *ready, freyja_error *error) {
  const size_t scratch = (size_t)FJ_THREADS * FJ_RUN_MAX * sizeof(fj_entry);
  freyja_status status = FREYJA_OK;
  bool aside = batch->count == 0 || put_aside(batch);
  if (!aside || !has_room(batch)) status = fj_batch_flush(batch, error);
  if (batch->first == NULL) fit_arena(batch);
  *ready = status == FREYJA_OK && has_room(batch) &&
           (batch->scratch.pages != NULL ||
            fj_arena_open(&batch->scratch, batch->index->dir->os, scratch));
  return status;
}

freyja_status fj_batch_read(fj_batch *batch, fj_segment *segment, uint64_t *from, uint64_t end,
                            uint64_t *records, freyja_error *error) {
  fj_pieces pieces;
  freyja_status status = FREYJA_OK;
  /* How long an active segment is nobody knew. */
  if (end > *from && batch->left < end - *from) batch->left = end - *from;
  fj_pieces_open(&pieces, batch->index, segment, *from, end);
  while (status == FREYJA_OK && !pieces.over) {
    bool ready = false;
    status = prepare(batch, &ready, error);
    if (!ready) break;
    fj_pieces_step(&pieces, &batch->arena, (fj_entry *)(void *)batch->scratch.pages);
    if (pieces.first != NULL) take_step(batch, segment, &pieces, *from);
    *records += pieces.tally.puts + pieces.tally.tombstones;
    *from = pieces.from;
  }
  if (status == FREYJA_OK && batch->first != NULL && !has_room(batch))
    status = fj_batch_flush(batch, error);
  return status;
}

/* ---- applying ------------------------------------------------------------- */

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

static fj_entry *taken_of(const fj_batch *batch, uint32_t part) {
  return (fj_entry *)(void *)batch->arena.pages + (size_t)part * TAKEN;
}

/* The entries of a course; of those that come next `skip` are applied already. */
static freyja_status apply_course(fj_batch *batch, fj_course course, uint32_t skip,
                                  freyja_error *error) {
  freyja_status status = FREYJA_OK;
  fj_entry *taken = taken_of(batch, 0);
  uint32_t count = 0;
  while (status == FREYJA_OK && (count = fj_course_take(&course, taken, TAKEN)) > 0) {
    status = apply_span(batch, taken + skip, taken + count, error);
    skip = 0;
  }
  return status;
}

/* Makes room in the keydir for the keys that are still to come: those of the batch, and of the
 * log's others, as many of them are likely to be new; but where these would make the keys more
 * than three times as many, no more than twice as many are believed in. */
static void expect(const fj_batch *batch) {
  fj_keydir *keydir = &batch->index->keydir;
  double here = (double)count_new(batch);
  double all = here * (1 + (double)batch->left / (double)batch->bytes);
  double known = (double)keydir->count + here;
  if (here + known * 2 < all) all = here + known;
  fj_keydir_expect(keydir, known <= (double)keydir->count_max ? 0 : (uint64_t)all);
}

/* What a thread does: its part of the entries, as far as it can. */
typedef struct fj_errand {
  fj_part *part;
  fj_course course; /* from those that come next on, */
  uint32_t done;    /* of which so many are applied */
  fj_entry *taken;  /* room for TAKEN */
} fj_errand;

/* Applies entries; returns how many: all, or those before the one that it stops at. */
static uint32_t apply_some(fj_part *part, const fj_entry *entries, uint32_t count) {
  fj_keydir *keydir = &part->index->keydir;
  for (uint32_t i = 0; i < count; i++) {
    if (i + AHEAD < count) fj_keydir_prefetch(keydir, entries[i + AHEAD].hash);
    if (!fj_part_apply(part, &entries[i])) return i;
  }
  return count;
}

static void *run(void *argument) {
  fj_errand *errand = argument;
  for (;;) {
    fj_course next = errand->course;
    uint32_t count = fj_course_take(&next, errand->taken, TAKEN);
    errand->done = apply_some(errand->part, errand->taken, count);
    if (errand->done < count || count == 0) return argument;
    errand->course = next;
    errand->done = 0;
  }
}

/* Applies the runs. */
static freyja_status apply_runs(fj_batch *batch, freyja_error *error) {
  fj_index *index = batch->index;
  fj_parts parts;
  fj_errand errands[FJ_PARTS];
  freyja_status status = FREYJA_OK;
  const uint32_t each = FJ_RANGES / FJ_PARTS;
  /* There will be some for each of the shards. */
  if (batch->in_runs >= FJ_PARTS_MIN) status = fj_keydir_bring_all(&index->keydir, error);
  if (status != FREYJA_OK) return status;
  expect(batch);
  for (uint32_t i = 0; i < FJ_PARTS; i++)
    errands[i] = (fj_errand){.course = fj_course_begin(batch->first, i * each, (i + 1) * each),
                             .taken = taken_of(batch, i)};
  if (fj_parts_open(&parts, index, batch->in_runs, fj_index_allowance(index))) {
    for (uint32_t i = 0; i < FJ_PARTS; i++) errands[i].part = &parts.parts[i];
    fj_thread_share(run, errands, sizeof *errands, true);
    status = fj_index_charge(index, fj_parts_close(&parts), error);
  }
  for (uint32_t i = 0; i < FJ_PARTS && status == FREYJA_OK; i++)
    status = apply_course(batch, errands[i].course, errands[i].done, error);
  return status;
}

freyja_status fj_batch_flush(fj_batch *batch, freyja_error *error) {
  freyja_status status = FREYJA_OK;
  if (batch->count == 0 && batch->first == NULL) return FREYJA_OK; /* nor memory for any */
  batch->index->applied += batch->bytes;
  fj_batch_pass(batch, batch->bytes);
  bool many = batch->first != NULL || batch->count >= ORDERED_MIN;
  bool aside = many && (batch->count == 0 || put_aside(batch));
  if (aside || batch->first != NULL) status = apply_runs(batch, error);
  if (status == FREYJA_OK && !aside)
    status = apply_span(batch, batch->entries, batch->entries + batch->count, error);
  batch->first = batch->last = NULL;
  batch->in_runs = batch->count = 0;
  batch->arena.used = batch->arena.pages == NULL ? 0 : TAKEN_SIZE;
  batch->bytes = 0;
  return status;
}
