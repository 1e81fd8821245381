/* part.c - see part.h. */
#include "part.h"

#include <string.h>

#define APART 16u /* figures that keep those of two parts out of one cache line */

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
static bool insert_slot(fj_part *part, fj_place place, const fj_entry *entry) {
  if (part->room == 0 || !fj_shard_find_gap(&place)) return false;
  count_in(part, entry->word);
  part->passed += (uint64_t)(place.gap - place.slot);
  fj_shard_insert(place, entry->hash, entry->word);
  part->added++;
  part->room--;
  return true;
}

bool fj_part_apply(fj_part *part, const fj_entry *entry) {
  fj_place place;
  if (part->passed > part->passed_most) return false;
  bool there = fj_keydir_find(&part->index->keydir, entry->hash, &place);
  if (there && !fj_index_is_sure(place.slot, fj_entry_flags(entry))) return false;
  part->passed += fj_index_passed(&place, entry->hash);
  if (fj_entry_is_gone(entry)) {
    if (there) delete_slot(part, place);
    return true;
  }
  if (!there) return insert_slot(part, place, entry);
  count_out(part, place.slot->word);
  count_in(part, entry->word);
  fj_keydir_replace(place, entry->word);
  return true;
}

/* ---- all of them ------------------------------------------------------------------ */

static bool is_worth_it(const fj_index *index, uint64_t entries) {
  const fj_keydir *keydir = &index->keydir;
  if (!index->dir->os->shares || entries < FJ_PARTS_MIN) return false;
  if (keydir->hash_mask != UINT64_MAX || keydir->absent > 0) return false;
  return keydir->region.slots != NULL && keydir->old.slots == NULL;
}

bool fj_parts_open(fj_parts *parts, fj_index *index, uint64_t entries, uint64_t passed_most) {
  _Static_assert(FJ_SHARDS % FJ_PARTS == 0, "a part is of whole shards");
  const fj_keydir *keydir = &index->keydir;
  const fj_os *os = index->dir->os;
  if (!is_worth_it(index, entries)) return false;
  size_t each = (size_t)index->slot_count + APART;
  size_t size = FJ_PARTS * each * sizeof(fj_live);
  parts->live = os->allocate(os->context, size);
  if (parts->live == NULL) return false;
  memset(parts->live, 0, size);
  uint64_t room = keydir->count < keydir->count_max ? keydir->count_max - keydir->count : 0;
  for (uint32_t i = 0; i < FJ_PARTS; i++)
    parts->parts[i] = (fj_part){.index = index,
                                .live = parts->live + i * each,
                                .room = room / FJ_PARTS,
                                .passed_most = passed_most / FJ_PARTS};
  return true;
}

uint64_t fj_parts_close(fj_parts *parts) {
  fj_index *index = parts->parts[0].index;
  uint64_t passed = 0;
  for (uint32_t i = 0; i < FJ_PARTS; i++) {
    const fj_part *part = &parts->parts[i];
    index->keydir.count += part->added;
    passed += part->passed;
    for (uint32_t n = 0; n < index->slot_count; n++) {
      if (index->slots[n] == NULL) continue;
      index->slots[n]->live_keys += part->live[n].keys;
      index->slots[n]->live_bytes += part->live[n].bytes;
    }
  }
  index->dir->os->release(index->dir->os->context, parts->live);
  return passed;
}
