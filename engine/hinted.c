/* hinted.c - see hinted.h. */
#include "hinted.h"

#include <string.h>

#define AHEAD 16u  /* entries: so far ahead of being used the keydir's memory is asked for */
#define SAMPLE 64u /* entries, and one of so many, tell how many keys are new */

/* What finding the places of entries may cost, in bytes looked at: as for records (index.c).
 * In a store whose hashes are random it is a small part of this. */
#define SEARCH_FREE (UINT64_C(256) << 20)
#define SEARCH_SHARE 8u   /* for each byte of an entry */
#define SEARCH_RECORD 64u /* a comparison of two keys, without these */

typedef struct fj_load {
  fj_index *index;
  fj_segment *segment;
  fj_hint *hint;
  freyja_error *why; /* set where the hint turns out not to be usable */
} fj_load;

static freyja_status give_up(const fj_load *load, const char *what) {
  char name[FJ_NAME_MAX];
  fj_hint_name(name, load->segment->id);
  return fj_fail_at(load->why, FREYJA_CORRUPT, load->index->dir, name,
                    "the hint file is not used: %s", what);
}

/* ---- one entry ------------------------------------------------------------ */

/* Counts what an entry has cost; CORRUPT, and *why, if that is out of proportion. */
static freyja_status charge(const fj_load *load, uint64_t cost) {
  fj_index *index = load->index;
  index->hint_searched += cost;
  if (index->hint_searched <= SEARCH_FREE + SEARCH_SHARE * index->hint_applied)
    return FREYJA_OK;
  return give_up(load, "too many of its keys have nearly the same hash");
}

/* Where the entry says that its record is. */
static uint64_t make_word(const fj_load *load, uint64_t word) {
  return fj_word_make(load->segment->slot, fj_hint_offset(word), fj_hint_size(word),
                      fj_hint_flags(word));
}

/* The entry's own record, for its key. CORRUPT, and *why, if it is not what the entry says. */
static freyja_status fetch_own(const fj_load *load, const fj_hint_entry *entry, fj_found *own,
                               freyja_error *error) {
  freyja_error fault;
  freyja_status status = fj_index_look(load->index, make_word(load, entry->word), own, &fault);
  if (status == FREYJA_MEMORY) {
    if (error != NULL) *error = fault;
    return status;
  }
  const fj_record *record = &own->record;
  if (status == FREYJA_OK && fj_hint_word(own->offset, record) == entry->word &&
      fj_index_hash(load->index, record->key, record->key_size) == entry->hash)
    return FREYJA_OK;
  return give_up(load, "an entry is not that of a record");
}

/* Looks for the slot of the entry's key among those of its hash, the first of which is at
 * *place, by their records. *same: it is at *place now. */
static freyja_status find_slot(const fj_load *load, const fj_hint_entry *entry,
                               fj_place *place, bool *same, freyja_error *error) {
  fj_found own, found;
  bool more = true;
  freyja_status status = fetch_own(load, entry, &own, error);
  while (status == FREYJA_OK && more && !*same) {
    found.block = NULL;
    found.os = own.os;
    found.place = *place;
    status = charge(load, SEARCH_RECORD + (uint64_t)own.record.key_size);
    if (status == FREYJA_OK)
      status = fj_index_same_key(load->index, &found, &own.record, same, error);
    fj_found_release(&found);
    if (status == FREYJA_OK && !*same) more = fj_keydir_next(place);
  }
  fj_found_release(&own);
  return status;
}

/* Whether the slot, the first of its hash, may be taken for the entry's without a look. */
static inline bool needs_no_look(const fj_index *index, const fj_slot *slot,
                                 const fj_hint_entry *entry) {
  bool alone = slot[1].word == 0 || slot[1].hash != slot->hash; /* there is one more: K4 */
  return alone && index->keydir.hash_mask == UINT64_MAX && !fj_word_collides(slot->word) &&
         (entry->word & FJ_HINT_COLLIDES) == 0;
}

/* Does what the entry says. */
static freyja_status apply(const fj_load *load, const fj_hint_entry *entry,
                           freyja_error *error) {
  fj_index *index = load->index;
  fj_keydir *keydir = &index->keydir;
  uint64_t hash = entry->hash & keydir->hash_mask;
  fj_place place;
  freyja_status status = fj_keydir_ready(keydir, hash, error);
  if (status != FREYJA_OK) return status;
  bool there = fj_keydir_find(keydir, hash, &place);
  bool same = there && needs_no_look(index, place.slot, entry);
  uint64_t cost = fj_index_passed(&place, hash);
  if (there && !same) status = find_slot(load, entry, &place, &same, error);
  if (status != FREYJA_OK) return status;
  if ((entry->word & FJ_HINT_TOMBSTONE) != 0) {
    if (same) fj_index_delete(index, place);
    return charge(load, cost);
  }
  uint64_t word = make_word(load, entry->word);
  if (same) {
    fj_index_replace(index, place, word);
    return charge(load, cost);
  }
  status = fj_keydir_reserve(keydir, hash, &place, error);
  if (status != FREYJA_OK) return status;
  cost += (uint64_t)(place.gap - place.slot);
  fj_index_insert(index, place, hash, word);
  return charge(load, cost);
}

/* ---- all of them ---------------------------------------------------------- */

/* Makes room in the keydir for the keys that it does not have yet. The first entries, which
 * have the lowest hashes, are as good as any to tell how many those are. */
static freyja_status make_room(const fj_load *load) {
  fj_keydir *keydir = &load->index->keydir;
  uint64_t entries = load->hint->counts.entries, count = 0, absent = 0;
  const uint8_t *p = NULL;
  if (keydir->absent > 0 || keydir->count + entries <= keydir->count_max) return FREYJA_OK;
  freyja_status status = fj_hint_fetch(load->hint, 0, &p, &count, load->why);
  if (status != FREYJA_OK) return status;
  if (count > entries / SAMPLE + SAMPLE) count = entries / SAMPLE + SAMPLE;
  for (uint64_t i = 0; i < count; i++) {
    fj_hint_entry entry = fj_hint_decode_entry(p + i * FJ_HINT_ENTRY);
    fj_place place;
    absent += (entry.word & FJ_HINT_TOMBSTONE) == 0 &&
              !fj_keydir_find(keydir, entry.hash & keydir->hash_mask, &place);
  }
  fj_keydir_expect(keydir, (uint64_t)((double)absent / (double)count * (double)entries));
  return FREYJA_OK;
}

/* Applies `count` entries. */
static freyja_status apply_block(const fj_load *load, const uint8_t *p, uint64_t count,
                                 freyja_error *error) {
  fj_keydir *keydir = &load->index->keydir;
  const uint8_t *end = p + count * FJ_HINT_ENTRY;
  freyja_status status = FREYJA_OK;
  load->index->hint_applied += count * FJ_HINT_ENTRY;
  for (; p < end && status == FREYJA_OK; p += FJ_HINT_ENTRY) {
    if ((size_t)(end - p) > AHEAD * FJ_HINT_ENTRY)
      fj_keydir_prefetch(keydir, fj_get64(p + AHEAD * FJ_HINT_ENTRY) & keydir->hash_mask);
    fj_hint_entry entry = fj_hint_decode_entry(p);
    if (!fj_hint_is_possible(entry.word, load->hint->covered)) /* H2 */
      return give_up(load, "it has changed while it was read");
    status = apply(load, &entry, error);
  }
  return status;
}

static freyja_status apply_all(const fj_load *load, freyja_error *error) {
  freyja_status status = make_room(load);
  for (uint64_t first = 0; first < load->hint->counts.entries && status == FREYJA_OK;) {
    const uint8_t *p = NULL;
    uint64_t count = 0;
    status = fj_hint_fetch(load->hint, first, &p, &count, load->why);
    if (status != FREYJA_OK) return status;
    status = apply_block(load, p, count, error);
    first += count;
  }
  return status;
}

freyja_status fj_hinted_load(fj_index *index, fj_segment *segment, bool *loaded,
                             freyja_error *why, freyja_error *error) {
  fj_hint hint;
  fj_load load = {index, segment, &hint, why};
  uint64_t tail = segment->tail;
  *loaded = false;
  memset(why, 0, sizeof *why);
  segment->tail = segment->limit; /* where slots point to what lies before it */
  freyja_status status = fj_hint_open(&hint, segment, why);
  if (status != FREYJA_OK) {
    segment->tail = tail;
    return FREYJA_OK;
  }
  const fj_hint_counts *counts = &hint.counts;
  fj_index_expect(index, counts->expires);
  status = apply_all(&load, error);
  if (status == FREYJA_OK) {
    segment->keys = counts->keys;
    segment->tombstones = counts->tombstones;
    segment->oldest = counts->oldest;
    segment->newest = counts->newest;
    segment->expires = counts->expires;
    segment->hinted = *loaded = true;
    if (counts->newest > index->last_timestamp) index->last_timestamp = counts->newest;
  }
  fj_hint_close(&hint);
  return why->status == FREYJA_OK ? status : FREYJA_OK;
}
