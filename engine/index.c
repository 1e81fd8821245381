/* index.c - see index.h. */
#include "index.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

/* What finding the places of the log's records may cost: bytes that are looked at, and a slot
 * counts as one. In a store whose
 * hashes are random it is a small part of this. */
#define SEARCH_FREE (UINT64_C(256) << 20) /* whatever the log's size, */
#define SEARCH_SHARE 4u                   /* and for each of its bytes */

void fj_index_create(fj_index *index, const fj_dir *dir, const fj_identity *identity,
                     freyja_io io, bool readonly, uint32_t hash_bits) {
  memset(index, 0, sizeof *index);
  index->dir = dir;
  index->pool.dir = dir;
  index->pool.identity = *identity;
  index->pool.io = io;
  index->pool.readonly = readonly;
  index->soonest = UINT64_MAX;
  index->forks = dir->os->forks(dir->os->context);
  fj_clock_start(&index->clock, dir->os);
  fj_keydir_create(&index->keydir, dir->os, hash_bits);
}

void fj_index_destroy(fj_index *index) {
  const fj_os *os = index->dir->os;
  fj_keydir_destroy(&index->keydir);
  for (uint32_t i = 0; i < index->slot_count; i++) {
    if (index->slots[i] == NULL) continue;
    fj_segment_detach(index->slots[i]);
    fj_segment_release(index->slots[i]);
  }
  fj_index_free_table(index);
  os->release(os->context, index->ranks);
  os->release(os->context, index->damage);
  if (index->checkpoint != NULL) fj_checkpoint_close(index->checkpoint);
  os->release(os->context, index->checkpoint);
  memset(index, 0, sizeof *index);
}

/* ---- damage -------------------------------------------------------------- */

/* Remembers the span itself, if there is memory for it: the count and the first
 * error are what nobody may miss. */
static void remember(fj_index *index, const fj_damage *damage) {
  const fj_os *os = index->dir->os;
  if (index->damage_count >= FJ_DAMAGE_MAX) return;
  if (index->damage == NULL)
    index->damage = os->allocate(os->context, FJ_DAMAGE_MAX * sizeof *index->damage);
  if (index->damage != NULL) index->damage[index->damage_count] = *damage;
}

static freyja_status fail_damaged(const fj_index *index, const fj_segment *segment,
                                  uint64_t offset, const char *what, freyja_error *error) {
  char name[FJ_NAME_MAX];
  fj_segment_name(name, segment->id);
  return fj_fail_at(error, FREYJA_CORRUPT, index->dir, name,
                    "%s at offset %" PRIu64 " fails verification", what, offset);
}

void fj_index_add_damage(fj_index *index, fj_segment *segment, uint64_t offset, uint64_t size,
                         bool unknown, const freyja_error *why) {
  fj_damage damage = {segment->id, offset, size, unknown};
  remember(index, &damage);
  segment->damaged = true;
  if (index->damage_count++ == 0) {
    if (why != NULL && why->status != FREYJA_OK) index->first_damage = *why;
    else
      (void)fail_damaged(index, segment, offset, unknown ? "a record" : "a value",
                         &index->first_damage);
  }
  if (!unknown) return;
  index->has_unknown = true;
  fj_index_bar(index, FJ_BAR_UNKNOWN);
  index->unknown_rank = segment->rank;
  index->unknown_end = offset + size;
}

freyja_status fj_index_prove(const fj_index *index, const fj_found *found,
                             freyja_error *error) {
  if (!index->has_unknown) return FREYJA_OK;
  if (found != NULL && found->segment->rank > index->unknown_rank) return FREYJA_OK;
  if (found != NULL && found->segment->rank == index->unknown_rank &&
      found->offset >= index->unknown_end)
    return FREYJA_OK;
  if (error != NULL) {
    *error = index->first_damage;
    (void)fj_fail(error, FREYJA_CORRUPT, index->first_damage.path, "%s%s",
                  found == NULL ? "whether the key is there cannot be told: "
                                : "a newer value of the key may be lost: ",
                  index->first_damage.message);
  }
  return FREYJA_CORRUPT;
}

/* ---- finding -------------------------------------------------------------- */

void fj_found_release(fj_found *found) {
  if (found->block != NULL) found->os->release(found->os->context, found->block);
  found->block = NULL;
}

/* Reads [offset, offset + size) of a segment that is not mapped. */
static freyja_status read_block(fj_found *found, size_t size, const uint8_t **out,
                                size_t *count, freyja_error *error) {
  uint8_t *target = found->small;
  if (size > sizeof found->small) {
    target = found->block = found->os->allocate(found->os->context, size);
    if (target == NULL) return fj_fail_memory(error, "read a value");
  }
  *out = target;
  return fj_segment_read(found->segment, target, size, found->offset, count, error);
}

/* Reads of the found record what `whole` or the key's size asks for. A record may be shorter
 * than what its slot or the key lets one expect: where the disk cannot read so much, what lies
 * behind the record must not be in its way. */
static freyja_status read_found(fj_found *found, size_t key_size, bool whole, uint64_t left,
                                const uint8_t **out, size_t *count, freyja_error *error) {
  freyja_error fault;
  fj_record head;
  uint64_t want = whole ? fj_word_size(found->word) : fj_word_prefix(found->word) + key_size;
  if (want > left) want = left;
  freyja_status status = read_block(found, (size_t)want, out, count, &fault);
  if (status != FREYJA_OK && fj_is_unreadable(&fault) && want > FJ_RECORD_HEADER) {
    fj_found_release(found);
    freyja_status again = read_block(found, FJ_RECORD_HEADER, out, count, NULL);
    bool known =
        again == FREYJA_OK && *count == FJ_RECORD_HEADER && fj_record_parse(*out, left, &head);
    uint64_t size = FJ_RECORD_HEADER;
    if (known && whole) size = head.size;
    if (known && !whole && head.key_size == key_size)
      size = fj_record_prefix(head.flags) + key_size;
    if (known && size < want) status = read_block(found, (size_t)size, out, count, &fault);
  }
  if (status != FREYJA_OK && error != NULL) *error = fault;
  return status;
}

static freyja_status fail_lost(const fj_index *index, freyja_error *error) {
  return fj_fail_at(error, FREYJA_CORRUPT, index->dir, fj_checkpoint_name,
                    "a slot points to what is not there");
}

freyja_status fj_index_fetch(fj_index *index, fj_found *found, size_t key_size, bool whole,
                             bool *possible, freyja_error *error) {
  fj_segment *segment = index->slots[fj_word_segment(found->word)];
  found->segment = segment;
  found->offset = fj_word_offset(found->word);
  *possible = false;
  /* Only by a checkpoint that was made up: its segment has gone since. */
  if (segment == NULL || found->offset >= segment->tail) return fail_lost(index, error);
  uint64_t left = segment->tail - found->offset;
  const uint8_t *p = fj_segment_at(segment, found->offset);
  uint64_t readable = left;
  found->copied = p == NULL;
  if (p == NULL) {
    fj_found_release(found);
    size_t count = 0;
    freyja_status status = read_found(found, key_size, whole, left, &p, &count, error);
    if (status != FREYJA_OK) return status;
    readable = count;
  }
  if (readable < FJ_RECORD_HEADER || !fj_record_parse(p, left, &found->record))
    return FREYJA_OK;
  uint64_t needed =
      whole ? found->record.size
            : fj_record_prefix(found->record.flags) + (uint64_t)found->record.key_size;
  /* Another key than the one asked for may be longer than what was read: it is
   * told apart by its length. */
  *possible = needed <= readable || (!whole && found->record.key_size != key_size);
  return FREYJA_OK;
}

static bool has_key(const fj_record *record, const void *key, size_t size) {
  return record->key_size == size && (size == 0 || memcmp(record->key, key, size) == 0);
}

/* A slot has our hash and its record another key: that is a collision only if the
 * record is what was written; otherwise it may be our key, damaged. */
static bool is_whole(const fj_index *index, const fj_found *found) {
  const fj_record *record = &found->record;
  uint64_t hash = fj_index_hash(index, record->key, record->key_size);
  return fj_record_check_header(record, fj_record_seed(found->segment->seed, found->offset),
                                hash);
}

freyja_status fj_index_examine(fj_index *index, fj_found *found, size_t key_size,
                               freyja_error *error) {
  bool possible = false;
  freyja_status status = fj_index_fetch(index, found, key_size, false, &possible, error);
  if (status == FREYJA_OK && possible && found->record.key_size != key_size && found->copied)
    status = fj_index_fetch(index, found, found->record.key_size, false, &possible, error);
  if (status != FREYJA_OK) return status;
  if (possible && is_whole(index, found)) return FREYJA_OK;
  return fail_damaged(index, found->segment, found->offset, "a record", error);
}

/* Makes found->word's record readable as far as it matters to the key: where the disk cannot
 * read all of another key's record, its header and key will do. */
static freyja_status fetch_for(fj_index *index, fj_found *found, const void *key,
                               size_t key_size, bool whole, bool *possible,
                               freyja_error *error) {
  freyja_error fault;
  freyja_status status = fj_index_fetch(index, found, key_size, whole, possible, &fault);
  if (status == FREYJA_OK) return status;
  if (whole && fj_is_unreadable(&fault) &&
      fj_index_fetch(index, found, key_size, false, possible, NULL) == FREYJA_OK &&
      *possible && !has_key(&found->record, key, key_size))
    return FREYJA_OK;
  if (error != NULL) *error = fault;
  return status;
}

/* Whether the key's record, in the first slot of its hash, may have expired and stand before
 * another key's. Of two live keys of one hash one is flagged; but the other one may have been
 * written when this one was forgotten already, and a hint file may have brought its slot back
 * since. If it is to live again it must be flagged. */
static bool revives(const fj_place *place) {
  const fj_slot *slot = place->slot; /* there is one more: K4 */
  return fj_word_expires(slot->word) && slot[1].word != 0 && slot[1].hash == slot->hash;
}

freyja_status fj_index_find(fj_index *index, const void *key, size_t key_size, uint64_t hash,
                            bool whole, fj_found *found, freyja_error *error) {
  found->block = NULL;
  found->os = index->dir->os;
  found->collides = false;
  uint64_t masked = hash & index->keydir.hash_mask;
  freyja_status status = fj_keydir_ready(&index->keydir, masked, error);
  if (status != FREYJA_OK) return status;
  if (!fj_keydir_find(&index->keydir, masked, &found->place)) return FREYJA_NOTFOUND;
  do {
    bool possible = false;
    found->word = found->place.slot->word;
    status = fetch_for(index, found, key, key_size, whole, &possible, error);
    if (status != FREYJA_OK) return status;
    if (!possible)
      return fail_damaged(index, found->segment, found->offset, "a record", error);
    if (has_key(&found->record, key, key_size)) {
      uint64_t seed = fj_record_seed(found->segment->seed, found->offset);
      /* A tombstone (I1) only by a hint file that was made up. */
      if (!fj_record_check_header(&found->record, seed, hash) ||
          found->record.kind != FJ_KIND_PUT)
        return fail_damaged(index, found->segment, found->offset, "a record", error);
      found->collides =
          found->collides || fj_word_collides(found->word) || revives(&found->place);
      return FREYJA_OK;
    }
    /* Another key has our hash, unless it is ours, damaged. */
    status = fj_index_examine(index, found, found->record.key_size, error);
    if (status != FREYJA_OK) return status;
    found->collides = true;
  } while (fj_keydir_next(&found->place));
  return FREYJA_NOTFOUND;
}

freyja_status fj_index_check_value(const fj_index *index, const fj_found *found,
                                   freyja_error *error) {
  uint64_t seed = fj_record_seed(found->segment->seed, found->offset);
  if (fj_record_check_value(&found->record, seed)) return FREYJA_OK;
  return fail_damaged(index, found->segment, found->offset, "a value", error);
}

freyja_status fj_index_look(fj_index *index, uint64_t word, fj_found *found,
                            freyja_error *error) {
  found->block = NULL;
  found->os = index->dir->os;
  found->word = word;
  return fj_index_examine(index, found, 0, error);
}

/* ---- moving slots --------------------------------------------------------- */

static void add_live(fj_index *index, uint64_t word) {
  fj_segment *segment = index->slots[fj_word_segment(word)];
  segment->live_keys++;
  segment->live_bytes += fj_word_size(word);
}

static void remove_live(fj_index *index, uint64_t word) {
  fj_segment *segment = index->slots[fj_word_segment(word)];
  segment->live_keys--;
  segment->live_bytes -= fj_word_size(word);
}

void fj_index_count_in(fj_index *index, uint64_t word) { add_live(index, word); }

void fj_index_replace(fj_index *index, fj_place place, uint64_t word) {
  remove_live(index, place.slot->word);
  add_live(index, word);
  fj_keydir_replace(place, word);
}

void fj_index_insert(fj_index *index, fj_place place, uint64_t hash, uint64_t word) {
  add_live(index, word);
  fj_keydir_insert(&index->keydir, place, hash & index->keydir.hash_mask, word);
}

void fj_index_delete(fj_index *index, fj_place place) {
  remove_live(index, place.slot->word);
  fj_keydir_delete(&index->keydir, place);
}

/* ---- what apply.c needs ---------------------------------------------------- */

freyja_status fj_index_same_key(fj_index *index, fj_found *found, const fj_record *record,
                                bool *same, freyja_error *error) {
  bool possible = false;
  found->word = found->place.slot->word;
  *same = false;
  freyja_status status =
      fj_index_fetch(index, found, record->key_size, false, &possible, error);
  if (status == FREYJA_OK && possible)
    *same = has_key(&found->record, record->key, record->key_size);
  return status;
}

uint64_t fj_index_allowance(const fj_index *index) {
  uint64_t most = SEARCH_FREE + SEARCH_SHARE * index->applied;
  return index->searched < most ? most - index->searched : 0;
}

freyja_status fj_index_charge(fj_index *index, uint64_t cost, freyja_error *error) {
  index->searched += cost;
  if (index->searched <= SEARCH_FREE + SEARCH_SHARE * index->applied) return FREYJA_OK;
  return fj_fail_at(
      error, FREYJA_LIMIT, index->dir, NULL,
      "too many keys have nearly the same hash: hash_bits is too small for them, "
      "or the files were made up");
}
