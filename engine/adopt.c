/* adopt.c - see adopt.h. */
#include "adopt.h"

#include <string.h>

#include "recovery.h"

void fj_index_empty(fj_index *index, const fj_manifest *manifest) {
  const fj_dir *dir = index->dir;
  freyja_io io = index->pool.io;
  bool readonly = index->pool.readonly, live = index->pool.live;
  uint64_t log_end = index->pool.log_end;
  uint64_t time = fj_clock_told(&index->clock);
  fj_index_destroy(index);
  fj_index_create(index, dir, &manifest->identity, io, readonly, manifest->hash_bits);
  index->pool.live = live;
  index->pool.log_end = log_end;
  fj_clock_raise(&index->clock, time); /* what has expired stays so */
}

/* ---- a shard ---------------------------------------------------------------- */

/* Whether the words of the slots are those of records that there can be. */
typedef struct fj_words {
  const fj_index *index;
  bool possible;
} fj_words;

static void check_word(void *argument, const fj_slot *slot) {
  fj_words *words = argument;
  const fj_index *index = words->index;
  uint32_t number = fj_word_segment(slot->word);
  uint64_t offset = fj_word_offset(slot->word);
  const fj_segment *segment = number < index->slot_count ? index->slots[number] : NULL;
  if (segment == NULL || offset < FJ_SEGMENT_HEADER || segment->tail < FJ_RECORD_HEADER ||
      offset > segment->tail - FJ_RECORD_HEADER)
    words->possible = false;
}

static void close_checkpoint(fj_index *index) {
  const fj_os *os = index->dir->os;
  fj_checkpoint_close(index->checkpoint);
  os->release(os->context, index->checkpoint);
  index->checkpoint = NULL;
}

static freyja_status take_shard(fj_index *index, uint32_t number, freyja_error *fault) {
  fj_words words = {index, true};
  freyja_status status = fj_checkpoint_read(index->checkpoint, number,
                                            fj_keydir_room(&index->keydir, number), fault);
  if (status != FREYJA_OK) return status;
  const char *wrong = fj_keydir_admit(&index->keydir, number, check_word, &words);
  if (wrong == NULL && !words.possible) wrong = "a slot points to what cannot be a record";
  if (wrong != NULL) return fj_checkpoint_refuse(index->dir, fault, wrong, 0);
  fj_keydir_show(&index->keydir, number);
  return FREYJA_OK;
}

/* Brings a shard. When it cannot be had, reading the log brings all; while the store is being
 * opened that is for fj_recover to do. */
static freyja_status bring(void *source, uint32_t number, freyja_error *error) {
  fj_index *index = source;
  if (index->checkpoint != NULL) {
    freyja_error fault;
    freyja_status status = take_shard(index, number, &fault);
    if (status != FREYJA_OK || index->keydir.absent == 0) close_checkpoint(index);
    if (status == FREYJA_OK) return status;
    index->checkpoint_fault = fault;
    fj_keydir_forget(&index->keydir);
    index->covered_id = 0;
  }
  if (!index->recovered) { /* it is opened: nobody reads it yet */
    if (error != NULL) *error = index->checkpoint_fault;
    return index->checkpoint_fault.status;
  }
  fj_index_bar(index, FJ_BAR_ANEW);
  fj_guard_wait(index->guard);
  freyja_status status = fj_recover_again(index, error);
  if (status != FREYJA_OK) fj_keydir_forget(&index->keydir);
  fj_index_unbar(index, FJ_BAR_ANEW);
  return status;
}

/* ---- all of it -------------------------------------------------------------- */

/* Whether a data file of that size can have such figures. Those that verify or a merge goes by
 * must not cost more than the file is worth. */
static bool is_possible(const fj_checkpoint_segment *s) {
  uint64_t most = (s->file.size - FJ_SEGMENT_HEADER) / FJ_RECORD_HEADER;
  return s->keys <= most && s->tombstones <= most - s->keys && s->live_keys <= s->keys &&
         s->live_bytes <= s->file.size + s->file.size / 64 && s->oldest <= s->newest &&
         s->file.kind <= FJ_SEGMENT_MERGED;
}

/* Whether the manifest begins with the segments that the checkpoint covers (C1). */
static bool is_prefix(const fj_checkpoint *c, const fj_manifest *manifest) {
  uint64_t live = 0;
  if (c->head.generation > manifest->generation || c->head.segments > manifest->count)
    return false;
  for (uint32_t i = 0; i < c->head.segments; i++) {
    fj_checkpoint_segment covered = fj_checkpoint_get(c, i);
    const fj_manifest_entry *entry = &manifest->entries[i];
    bool last = i + 1 == c->head.segments;
    if (covered.id != entry->id || (!last && covered.file.size != entry->size)) return false;
    if (entry->size != 0 && covered.file.size > entry->size) return false;
    if (covered.file.size < FJ_SEGMENT_HEADER || covered.file.size % FJ_RECORD_ALIGN != 0)
      return false;
    if (!is_possible(&covered)) return false;
    live += covered.live_keys;
  }
  return live == c->head.keys;
}

/* The numbers that its segments need; 0 if there are too many for a file of its size. */
static uint32_t count_numbers(const fj_checkpoint *c) {
  uint64_t numbers = 0;
  for (uint32_t i = 0; i < c->head.segments; i++) {
    uint64_t slot = fj_checkpoint_get(c, i).slot;
    if (numbers <= slot) numbers = slot + 1;
  }
  bool few =
      numbers <= FJ_CHECKPOINT_NUMBERS + c->size / sizeof(fj_slot) && numbers <= FJ_SLOTS_MAX;
  return few ? (uint32_t)numbers : 0;
}

/* Whether the segment's file is there as far as the checkpoint covers it, durably. */
static bool is_there(const fj_segment *segment, const fj_checkpoint_segment *covered,
                     const fj_manifest_entry *entry) {
  if (segment->damaged || segment->missing || segment->created != covered->file.created)
    return false;
  if (segment->sealed) return segment->limit == entry->size;
  return covered->file.size <= segment->mark && covered->file.size <= segment->reserved;
}

/* Opens the segment, but for a file that is as it was: with many files each look counts. */
static freyja_status open_segment(fj_index *index, const fj_checkpoint_segment *covered,
                                  const fj_manifest_entry *entry, const fj_os_stat *seen,
                                  uint64_t limit, fj_segment **out, freyja_error *why,
                                  freyja_error *error) {
  freyja_status status = FREYJA_OK;
  *out = NULL;
  if (seen != NULL && entry->size == covered->file.size)
    status = fj_segment_recognize(&index->pool, entry->id, &covered->file, seen, out, error);
  if (status != FREYJA_OK || *out != NULL) return status;
  return fj_segment_open(&index->pool, entry->id, entry->size, limit, out, why, error);
}

static freyja_status adopt_segment(fj_index *index, const fj_checkpoint_segment *covered,
                                   const fj_manifest_entry *entry, const fj_os_stat *seen,
                                   uint64_t limit, freyja_error *why, freyja_error *error) {
  fj_segment *segment = NULL;
  if (index->slots[covered->slot] != NULL)
    return fj_checkpoint_refuse(index->dir, why, "two segments have the same number", 0);
  freyja_status status =
      open_segment(index, covered, entry, seen, limit, &segment, why, error);
  if (status != FREYJA_OK) return status;
  if (!is_there(segment, covered, entry)) {
    fj_segment_detach(segment);
    fj_segment_release(segment);
    return fj_checkpoint_refuse(index->dir, why, "a data file is not as it was", 0);
  }
  fj_index_add_at(index, segment, covered->slot);
  segment->tail = covered->file.size;
  segment->keys = covered->keys;
  segment->tombstones = covered->tombstones;
  segment->live_keys = covered->live_keys;
  segment->live_bytes = covered->live_bytes;
  segment->oldest = covered->oldest;
  segment->newest = covered->newest;
  segment->expires = covered->expires;
  segment->hint_unknown = segment->sealed;
  if (segment->sealed && !segment->unopened) index->strangers = true;
  return FREYJA_OK;
}

/* The index gets the segments. What is wrong with the checkpoint: CORRUPT, and *why. */
static freyja_status adopt_segments(fj_index *index, const fj_checkpoint *c,
                                    const fj_manifest *manifest, uint64_t limit,
                                    freyja_error *why, freyja_error *error) {
  uint32_t numbers = count_numbers(c);
  if (!is_prefix(c, manifest))
    return fj_checkpoint_refuse(index->dir, why, "the store has other segments", 0);
  if (numbers == 0)
    return fj_checkpoint_refuse(index->dir, why, "its segments' numbers are impossible", 0);
  freyja_status status = fj_index_grow(index, numbers, error);
  if (status != FREYJA_OK) return status;
  memset(index->slots, 0, numbers * sizeof *index->slots);
  index->slot_count = numbers;
  for (uint32_t i = 0; i < c->head.segments && status == FREYJA_OK; i++) {
    fj_checkpoint_segment covered = fj_checkpoint_get(c, i);
    /* What stands for retired files has to be whole: bootstrap.c looks at the headers. */
    bool known = manifest->seen != NULL && covered.id < fj_manifest_oldest_retired(manifest);
    status = adopt_segment(index, &covered, &manifest->entries[i],
                           known ? &manifest->seen[i] : NULL, limit, why, error);
  }
  if (status != FREYJA_OK) return status;
  fj_segment *last = index->ranks[index->count - 1];
  uint64_t check = 0;
  status = fj_checkpoint_last_of(last, last->tail, &check, why);
  if (status == FREYJA_OK && check != c->head.last)
    status = fj_checkpoint_refuse(index->dir, why, "the log has other records", 0);
  return status;
}

static freyja_status adopt_keys(fj_index *index, fj_checkpoint *c, freyja_error *error) {
  uint32_t counts[FJ_SHARDS];
  for (uint32_t i = 0; i < FJ_SHARDS; i++) counts[i] = fj_checkpoint_get_shard(c, i).count;
  freyja_status status =
      fj_keydir_adopt(&index->keydir, c->head.capacity, counts, bring, index, error);
  if (status != FREYJA_OK) return status;
  const fj_segment *last = index->ranks[index->count - 1];
  if (c->head.newest > index->last_timestamp) index->last_timestamp = c->head.newest;
  fj_index_expect(index, c->head.soonest);
  /* Keys that it has forgotten must not be missed. */
  index->swept = c->head.swept;
  fj_clock_raise(&index->clock, index->swept);
  index->covered_id = last->id;
  index->covered_end = last->tail;
  index->checkpoint = c;
  return FREYJA_OK;
}

/* Takes over an opened checkpoint. */
static freyja_status adopt(fj_index *index, fj_checkpoint *c, const fj_manifest *manifest,
                           uint64_t limit, freyja_error *why, freyja_error *error) {
  freyja_status status = adopt_segments(index, c, manifest, limit, why, error);
  if (status == FREYJA_OK) memset(why, 0, sizeof *why);
  if (status == FREYJA_OK) status = adopt_keys(index, c, error);
  if (status != FREYJA_OK) fj_checkpoint_close(c);
  return status;
}

freyja_status fj_adopt(fj_index *index, const fj_manifest *manifest, uint64_t limit,
                       uint32_t *covered, freyja_error *why, freyja_error *error) {
  const fj_os *os = index->dir->os;
  *covered = 0;
  memset(why, 0, sizeof *why);
  fj_checkpoint *c = os->allocate(os->context, sizeof *c);
  if (c == NULL) return fj_fail_memory(error, "open a store");
  freyja_status status =
      fj_checkpoint_open(c, index->dir, &manifest->identity, manifest->hash_bits, why);
  if (status == FREYJA_OK) {
    status = adopt(index, c, manifest, limit, why, error);
    if (status == FREYJA_OK) {
      *covered = c->head.segments;
      return FREYJA_OK;
    }
    fj_index_empty(index, manifest);
  }
  os->release(os->context, c);
  bool ignored = status == FREYJA_NOTFOUND || why->status != FREYJA_OK;
  if (why->status == FREYJA_MEMORY && error != NULL) *error = *why;
  return ignored && why->status != FREYJA_MEMORY ? FREYJA_OK : status;
}
