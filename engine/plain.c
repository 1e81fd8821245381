/* plain.c - see plain.h. */
#include "plain.h"

#include <string.h>

#include "thread.h"

#define SEARCH_MOST (UINT64_C(64) << 20) /* slots passed; a thread that passes more stops */

/* What has become live in a segment, and no longer is: differences, modulo 2^64. */
typedef struct fj_live {
  uint64_t keys, bytes;
} fj_live;

/* What a thread does. */
typedef struct fj_part {
  const fj_hinted *group;
  fj_range *range;
  fj_live *live;  /* by the segments' numbers */
  uint64_t room;  /* slots that may be added */
  uint64_t added; /* those that were, less those that went; modulo 2^64 */
  uint64_t passed;
  pthread_t thread;
  bool begun;
} fj_part;

/* ---- a part ----------------------------------------------------------------------- */

static void count_in(fj_part *part, uint64_t word) {
  fj_live *live = &part->live[fj_word_segment(word)];
  live->keys++;
  live->bytes += fj_word_size(word);
}

static void count_out(fj_part *part, uint64_t word) {
  fj_live *live = &part->live[fj_word_segment(word)];
  live->keys--;
  live->bytes -= fj_word_size(word);
}

static void delete_slot(fj_part *part, fj_place place) {
  count_out(part, place.slot->word);
  fj_shard_delete(place);
  part->added--;
  part->room++;
}

/* Adds the slot of a key that has none; false if the keydir has to grow for it. */
static bool insert_slot(fj_part *part, fj_place place, uint64_t hash, uint64_t word) {
  if (part->room == 0 || !fj_shard_find_gap(&place)) return false;
  count_in(part, word);
  part->passed += (uint64_t)(place.gap - place.slot);
  fj_shard_insert(place, hash, word);
  part->added++;
  part->room--;
  return true;
}

/* False, and nothing has changed: that is for fj_apply (P2). */
static bool apply(fj_part *part, const fj_load *load, const fj_hint_entry *entry) {
  fj_place place;
  uint8_t flags = fj_hint_flags(entry->word);
  bool there = fj_keydir_find(&part->group->index->keydir, entry->hash, &place);
  if (there && !fj_index_is_sure(place.slot, flags)) return false;
  part->passed += fj_index_passed(&place, entry->hash);
  if ((entry->word & FJ_HINT_TOMBSTONE) != 0) {
    if (there) delete_slot(part, place);
    return true;
  }
  uint64_t word = fj_word_make(load->segment->slot, fj_hint_offset(entry->word),
                               fj_hint_size(entry->word), flags);
  if (!there) return insert_slot(part, place, entry->hash, word);
  count_out(part, place.slot->word);
  count_in(part, word);
  fj_keydir_replace(place, word);
  return true;
}

/* Applies the entries of a hint that are next, up to the bound; false if it stops. What is in
 * the file may change at any time, and is read once. */
static bool apply_below(fj_part *part, uint32_t number) {
  const fj_load *load = &part->group->loads[number];
  fj_range *range = part->range;
  fj_keydir *keydir = &part->group->index->keydir;
  uint64_t *next = &range->next[number], entries = load->hint.counts.entries;
  if (*next == entries) return true; /* without any it is not mapped */
  const uint8_t *first = load->hint.map + FJ_HINT_HEADER;
  for (; *next < entries; ++*next) {
    const uint8_t *p = first + *next * FJ_HINT_ENTRY;
    fj_hint_entry entry = fj_hint_decode_entry(p);
    if (entry.hash > range->bound) return true;
    if (entry.hash < range->low) return false; /* P1 */
    if (!fj_hint_is_possible(entry.word, load->hint.covered)) return false;
    if (entries - *next > FJ_HINT_AHEAD)
      fj_keydir_prefetch(keydir, fj_get64(p + FJ_HINT_AHEAD * FJ_HINT_ENTRY));
    if (part->passed > SEARCH_MOST || !apply(part, load, &entry)) return false;
  }
  return true;
}

static void *run(void *argument) {
  fj_part *part = argument;
  do {
    for (uint32_t i = 0; i < part->group->count; i++)
      if (!apply_below(part, i)) return argument;
  } while (fj_range_go_on(part->range));
  return argument;
}

/* ---- all of them ------------------------------------------------------------------ */

static bool is_worth_it(const fj_hinted *group, uint64_t entries) {
  const fj_index *index = group->index;
  const fj_keydir *keydir = &index->keydir;
  if (!index->dir->os->shares || entries < FJ_PLAIN_LEAST) return false;
  if (keydir->hash_mask != UINT64_MAX || keydir->absent > 0) return false;
  if (keydir->region.slots == NULL || keydir->old.slots != NULL) return false;
  for (uint32_t i = 0; i < group->count; i++)
    if (group->loads[i].hint.map == NULL && group->loads[i].hint.counts.entries > 0)
      return false;
  return true;
}

/* The number of the hint's first entry whose hash is not less. */
static uint64_t first_from(const fj_hint *hint, uint64_t hash) {
  uint64_t low = 0, high = hint->counts.entries;
  while (low < high) {
    uint64_t middle = low + (high - low) / 2;
    if (fj_get64(hint->map + FJ_HINT_HEADER + middle * FJ_HINT_ENTRY) < hash) low = middle + 1;
    else high = middle;
  }
  return low;
}

static void set_range(const fj_hinted *group, uint32_t number, uint64_t step,
                      fj_range *range) {
  const uint64_t width = UINT64_MAX / FJ_PLAIN_RANGES + 1;
  range->low = number * width;
  range->high = range->low + (width - 1);
  range->step = step;
  range->bound = range->low;
  (void)fj_range_go_on(range);
  for (uint32_t i = 0; i < group->count; i++)
    range->next[i] = first_from(&group->loads[i].hint, range->low);
}

/* What a part has changed beside slots. */
static void add_up(const fj_part *part) {
  fj_index *index = part->group->index;
  index->keydir.count += part->added;
  index->hint_searched += part->passed;
  for (uint32_t i = 0; i < index->slot_count; i++) {
    if (index->slots[i] == NULL) continue;
    index->slots[i]->live_keys += part->live[i].keys;
    index->slots[i]->live_bytes += part->live[i].bytes;
  }
}

uint32_t fj_plain_load(const fj_hinted *group, uint64_t entries, uint64_t step,
                       fj_range ranges[FJ_PLAIN_RANGES]) {
  _Static_assert(FJ_SHARDS % FJ_PLAIN_RANGES == 0, "a range is of whole shards");
  fj_part parts[FJ_PLAIN_RANGES];
  const fj_index *index = group->index;
  const fj_keydir *keydir = &index->keydir;
  const fj_os *os = index->dir->os;
  if (!is_worth_it(group, entries)) return 0;
  size_t size = (size_t)index->slot_count * sizeof(fj_live);
  fj_live *live = os->allocate(os->context, FJ_PLAIN_RANGES * size);
  if (live == NULL) return 0;
  memset(live, 0, FJ_PLAIN_RANGES * size);
  uint64_t room = keydir->count < keydir->count_max ? keydir->count_max - keydir->count : 0;
  for (uint32_t i = 0; i < FJ_PLAIN_RANGES; i++) {
    set_range(group, i, step, &ranges[i]);
    parts[i] = (fj_part){.group = group,
                         .range = &ranges[i],
                         .live = live + (size_t)i * index->slot_count,
                         .room = room / FJ_PLAIN_RANGES};
  }
  for (uint32_t i = 1; i < FJ_PLAIN_RANGES; i++)
    parts[i].begun = fj_thread_begin(&parts[i].thread, run, &parts[i]);
  for (uint32_t i = 0; i < FJ_PLAIN_RANGES; i++)
    if (!parts[i].begun) (void)run(&parts[i]);
  for (uint32_t i = 0; i < FJ_PLAIN_RANGES; i++) {
    if (parts[i].begun) (void)pthread_join(parts[i].thread, NULL);
    add_up(&parts[i]);
  }
  os->release(os->context, live);
  return FJ_PLAIN_RANGES;
}
