/* segments.c - the segments of an index: by number, which positions tell, and by rank, which
 * is the log's order. See index.h. */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "hint.h"
#include "index.h"

#define REAP_PIECE (UINT64_C(16) << 20) /* bytes */

/* An array of segments by number. A reader may look at one that is too small by now: it stays,
 * and all of those together are no larger than the one there is. */
typedef struct fj_table {
  struct fj_table *smaller;
  fj_segment *slots[];
} fj_table;

static fj_table *table_of(fj_segment **slots) {
  return slots == NULL ? NULL
                       : (fj_table *)((uint8_t *)(void *)slots - offsetof(fj_table, slots));
}

void fj_index_free_table(fj_index *index) {
  const fj_os *os = index->dir->os;
  for (fj_table *table = table_of(index->slots); table != NULL;) {
    fj_table *smaller = table->smaller;
    os->release(os->context, table);
    table = smaller;
  }
  index->slots = NULL;
}

freyja_status fj_index_grow(fj_index *index, uint32_t more, freyja_error *error) {
  uint64_t needed = (uint64_t)index->slot_count + more;
  if (needed <= index->capacity) return FREYJA_OK;
  if (needed > FJ_SLOTS_MAX)
    return fj_fail_at(error, FREYJA_LIMIT, index->dir, NULL, "a store has at most %u segments",
                      FJ_SLOTS_MAX);
  const fj_os *os = index->dir->os;
  uint32_t capacity = index->capacity == 0 ? 16 : index->capacity * 2;
  if (capacity < needed) capacity = (uint32_t)needed;
  fj_table *table = os->allocate(os->context, sizeof *table + capacity * sizeof *table->slots);
  fj_segment **ranks = os->allocate(os->context, capacity * sizeof *ranks);
  if (table == NULL || ranks == NULL) {
    os->release(os->context, table);
    os->release(os->context, ranks);
    return fj_fail_memory(error, "add a segment");
  }
  table->smaller = table_of(index->slots);
  memset(table->slots, 0, capacity * sizeof *table->slots);
  if (index->slot_count > 0)
    memcpy(table->slots, index->slots, index->slot_count * sizeof *table->slots);
  if (index->count > 0) memcpy(ranks, index->ranks, index->count * sizeof *ranks);
  os->release(os->context, index->ranks);
  fj_publish(&index->slots, table->slots);
  index->ranks = ranks;
  index->capacity = capacity;
  return FREYJA_OK;
}

/* Gives the segment the lowest number that is free. */
static void number(fj_index *index, fj_segment *segment) {
  uint32_t slot = 0;
  if (index->slot_count == index->slots_used) slot = index->slot_count;
  while (slot < index->slot_count && index->slots[slot] != NULL) slot++;
  assert(slot < index->capacity);
  if (slot == index->slot_count) index->slot_count++;
  index->slots_used++;
  segment->slot = slot;
  fj_publish(&index->slots[slot], segment);
}

static void append(fj_index *index, fj_segment *segment) {
  /* The record that was the newest when a merge began may be gone since: what is written from
   * now on is later all the same (L1 in lower.h rests on that). */
  uint64_t began = fj_segment_began(segment);
  if (began > index->last_timestamp) index->last_timestamp = began;
  segment->rank = index->count;
  index->ranks[index->count++] = segment;
}

void fj_index_add(fj_index *index, fj_segment *segment) {
  number(index, segment);
  append(index, segment);
}

void fj_index_add_at(fj_index *index, fj_segment *segment, uint32_t slot) {
  assert(slot < index->slot_count && index->slots[slot] == NULL);
  segment->slot = slot;
  fj_publish(&index->slots[slot], segment);
  index->slots_used++;
  append(index, segment);
}

void fj_index_number(fj_index *index, fj_segment *const *segments, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) number(index, segments[i]);
}

void fj_index_unnumber(fj_index *index, fj_segment *const *segments, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    fj_publish(&index->slots[segments[i]->slot], NULL);
    index->slots_used--;
  }
}

void fj_index_add_below(fj_index *index, fj_segment *const *segments, uint32_t count) {
  fj_segment *newest = index->ranks[--index->count];
  for (uint32_t i = 0; i < count; i++) append(index, segments[i]);
  append(index, newest);
}

fj_segment *fj_index_segment(const fj_index *index, uint64_t id) {
  for (uint32_t i = 0; i < index->count; i++)
    if (index->ranks[i]->id == id) return index->ranks[i];
  return NULL;
}

void fj_index_swap(fj_index *index, fj_segment *const *inputs, uint32_t input_count,
                   fj_segment *const *outputs, uint32_t output_count) {
  assert(input_count > 0);
  assert(index->slot_count + output_count <= index->capacity);
  uint32_t last = inputs[input_count - 1]->rank;
  uint32_t kept = 0;
  for (uint32_t i = 0; i < input_count; i++) inputs[i]->retired = true;
  /* Those before the place of the last input move down, those behind it to behind the outputs.
   */
  for (uint32_t i = 0; i <= last; i++)
    if (!index->ranks[i]->retired) index->ranks[kept++] = index->ranks[i];
  uint32_t behind = index->count - last - 1;
  memmove(index->ranks + kept + output_count, index->ranks + last + 1,
          behind * sizeof *index->ranks);
  for (uint32_t i = 0; i < output_count; i++) {
    number(index, outputs[i]);
    index->ranks[kept + i] = outputs[i];
  }
  index->count = kept + output_count + behind;
  for (uint32_t i = 0; i < index->count; i++) index->ranks[i]->rank = i;
  for (uint32_t i = 0; i < input_count; i++) inputs[i]->rank = kept;
  index->retired += input_count;
  index->swaps++;
}

static void drop(fj_index *index, fj_segment *segment) {
  fj_publish(&index->slots[segment->slot], NULL);
  index->slots_used--;
  index->retired--;
  fj_segment_detach(segment);
  fj_segment_release(segment);
}

/* Whether nothing leads to the segment any more, and nobody who reads without a lock can still
 * be there. */
static bool is_left(const fj_index *index, fj_segment *segment) {
  if (!segment->retired || segment->pins > 0 || segment->live_keys > 0) return false;
  if (segment->left == 0) segment->left = fj_guard_advance(index->guard);
  return fj_guard_is_past(index->guard, segment->left);
}

/* Cuts a piece off the end of a file that is to go: its blocks are what takes long to give
 * back. Not where somebody may still look at them: a view that a caller holds, a child of this
 * process, a store that follows (lock.h), a backup that shares the file. */
static bool shorten(const fj_index *index, fj_segment *segment, const char *name) {
  const fj_os *os = index->dir->os;
  fj_os_stat st;
  int file = -1;
  if (fj_observe(&segment->references) > 1 || segment->linked) return false;
  if (os->is_locked(os->context, index->dir->fd, true) != 0) return false;
  if (os->forks(os->context) != index->forks) return false;
  if (os->open(os->context, index->dir->fd, name, FJ_OPEN_WRITE, &file) != 0) return false;
  bool large = os->stat(os->context, file, &st) == 0 && st.regular && st.links == 1 &&
               st.size > REAP_PIECE;
  bool done = large && os->truncate(os->context, file, st.size - REAP_PIECE) == 0;
  (void)os->close(os->context, file);
  if (done && segment->tail > st.size - REAP_PIECE) segment->tail = st.size - REAP_PIECE;
  return done;
}

void fj_index_renew(fj_index *index, fj_segment *old, fj_segment *segment) {
  segment->slot = old->slot;
  segment->rank = old->rank;
  segment->tail = old->tail;
  segment->keys = old->keys;
  segment->tombstones = old->tombstones;
  segment->live_keys = old->live_keys;
  segment->live_bytes = old->live_bytes;
  segment->oldest = old->oldest;
  segment->newest = old->newest;
  segment->expires = old->expires;
  index->slots[old->slot] = index->ranks[old->rank] = segment;
  index->swaps++;
  old->live_keys = old->live_bytes = 0;
  old->retired = true;
  index->retired++;
  number(index, old);
}

void fj_index_arrange(fj_index *index, fj_segment *const *order, const bool *is_new,
                      uint32_t count) {
  for (uint32_t i = 0; i < index->count; i++) index->ranks[i]->retired = true;
  for (uint32_t i = 0; i < count; i++) order[i]->retired = false;
  for (uint32_t i = 0; i < index->count; i++) index->retired += index->ranks[i]->retired;
  index->count = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (is_new[i]) number(index, order[i]);
    append(index, order[i]);
  }
  index->swaps++;
}

void fj_index_forget(fj_index *index) {
  for (uint32_t i = 0; i < index->slot_count && index->retired > 0; i++) {
    fj_segment *segment = index->slots[i];
    if (segment != NULL && is_left(index, segment)) drop(index, segment);
  }
}

freyja_status fj_index_claim(fj_index *index, bool *poison, freyja_error *error) {
  freyja_status result = FREYJA_OK;
  *poison = false;
  for (uint32_t i = 0; i < index->count && !*poison; i++) {
    if (!index->ranks[i]->unclaimed) continue;
    freyja_status status = fj_segment_claim(index->ranks[i], &index->pool, poison, error);
    if (status == FREYJA_OK) index->ranks[i]->unclaimed = false;
    else result = status;
  }
  return result;
}

bool fj_index_reap(fj_index *index, bool all, bool *poison) {
  const fj_os *os = index->dir->os;
  bool removed = false;
  *poison = false;
  if (index->retired == 0 || index->pool.readonly) return false;
  if (fj_index_claim(index, poison, NULL) != FREYJA_OK) return false;
  for (uint32_t i = 0; i < index->slot_count && index->retired > 0; i++) {
    fj_segment *segment = index->slots[i];
    if (segment == NULL || !is_left(index, segment)) continue;
    if (removed && !all) return true;
    char name[FJ_NAME_MAX], hint[FJ_NAME_MAX];
    fj_segment_name(name, segment->id);
    fj_hint_name(hint, segment->id);
    (void)os->unlink(os->context, index->dir->fd, hint); /* first: it is nothing by itself */
    if (!all && shorten(index, segment, name)) return true;
    int code = os->unlink(os->context, index->dir->fd, name);
    if (code != 0 && code != -ENOENT) continue;
    drop(index, segment);
    removed = true;
  }
  return false;
}
