/* apply.c - see apply.h. */
#include "apply.h"

#include <inttypes.h>

_Static_assert((uint64_t)FREYJA_SEGMENT_SIZE_MAX / 8 >> 24 < 512, "exponents are below 24");

/* Whether the record that was found is the one of which the entry was made. */
static bool is_own(const fj_index *index, const fj_entry *entry, const fj_found *own) {
  const fj_record *record = &own->record;
  uint64_t word = fj_word_make(own->segment->slot, own->offset, record->size, record->flags);
  if (fj_index_hash(index, record->key, record->key_size) != entry->hash) return false;
  if (!fj_entry_is_gone(entry)) return record->kind == FJ_KIND_PUT && word == entry->word;
  bool may_be_gone =
      record->kind == FJ_KIND_TOMBSTONE || (record->flags & FJ_FLAG_EXPIRES) != 0;
  return may_be_gone && (word | FJ_WORD_GONE) == entry->word;
}

/* The entry's own record, for its key. */
static freyja_status fetch_own(fj_index *index, const fj_entry *entry, fj_found *own,
                               freyja_error *error) {
  freyja_status status = fj_index_look(index, entry->word, own, error);
  if (status != FREYJA_OK || is_own(index, entry, own)) return status;
  char name[FJ_NAME_MAX];
  fj_segment_name(name, own->segment->id);
  return fj_fail_at(error, FREYJA_CORRUPT, index->dir, name,
                    "the record at offset %" PRIu64 " is another than was expected",
                    own->offset);
}

/* Looks for the slot of the entry's key among those of its hash, the first of which is at
 * *place, by their records. *same: it is at *place now. */
static freyja_status find_slot(fj_index *index, const fj_entry *entry, fj_place *place,
                               bool *same, uint64_t *cost, freyja_error *error) {
  fj_found own, found;
  bool more = true;
  freyja_status status = fetch_own(index, entry, &own, error);
  while (status == FREYJA_OK && more && !*same) {
    found.block = NULL;
    found.os = own.os;
    found.place = *place;
    *cost += FJ_COMPARISON + (uint64_t)own.record.key_size;
    status = fj_index_same_key(index, &found, &own.record, same, error);
    fj_found_release(&found);
    if (status == FREYJA_OK && !*same) more = fj_keydir_next(place);
  }
  fj_found_release(&own);
  return status;
}

freyja_status fj_apply(fj_index *index, const fj_entry *entry, bool by_hint, uint64_t *cost,
                       freyja_error *error) {
  fj_keydir *keydir = &index->keydir;
  uint64_t hash = entry->hash & keydir->hash_mask;
  fj_place place;
  *cost = 0;
  freyja_status status = fj_keydir_ready(keydir, hash, error);
  if (status != FREYJA_OK) return status;
  bool there = fj_keydir_find(keydir, hash, &place);
  bool may_be_sure = !by_hint || keydir->hash_mask == UINT64_MAX;
  bool same = there && may_be_sure && fj_index_is_sure(place.slot, fj_entry_flags(entry));
  *cost = fj_index_passed(&place, hash);
  if (there && !same) status = find_slot(index, entry, &place, &same, cost, error);
  if (status != FREYJA_OK) return status;
  if (fj_entry_is_gone(entry)) {
    if (same) fj_index_delete(index, place);
    return FREYJA_OK;
  }
  if (same) {
    fj_index_replace(index, place, entry->word);
    return FREYJA_OK;
  }
  status = fj_keydir_reserve(keydir, hash, &place, error);
  if (status != FREYJA_OK) return status;
  *cost += (uint64_t)(place.gap - place.slot);
  fj_index_insert(index, place, hash, entry->word);
  return FREYJA_OK;
}
