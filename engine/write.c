/* write.c - put, insert, cas, delete: all are one record, written by commit(). */
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "store.h"

/* ---- checks --------------------------------------------------------------- */

static freyja_status check_key(const fj_store *db, size_t size, freyja_error *error) {
  if (size <= FREYJA_KEY_SIZE_MAX) return FREYJA_OK;
  return fj_fail(error, FREYJA_LIMIT, db->dir.path,
                 "the key has %zu bytes; at most %u are allowed", size, FREYJA_KEY_SIZE_MAX);
}

freyja_status fj_store_check_sizes(const fj_store *db, uint8_t flags, size_t key_size,
                                   size_t value_size, freyja_error *error) {
  freyja_status status = check_key(db, key_size, error);
  if (status != FREYJA_OK) return status;
  uint64_t room = db->options.segment_size - FJ_SEGMENT_HEADER;
  room &= ~(uint64_t)(FJ_RECORD_ALIGN - 1);
  uint64_t prefix = fj_record_prefix(flags);
  if (value_size <= room && fj_record_size(flags, key_size, value_size) <= room)
    return FREYJA_OK;
  if (prefix + key_size > room)
    return fj_fail(error, FREYJA_LIMIT, db->dir.path,
                   "the key has %zu bytes; at most %" PRIu64 " fit a segment of %" PRIu32,
                   key_size, room - prefix, db->options.segment_size);
  return fj_fail(error, FREYJA_LIMIT, db->dir.path,
                 "the value has %zu bytes; with this key at most %" PRIu64
                 " fit a segment of %" PRIu32,
                 value_size, room - prefix - key_size, db->options.segment_size);
}

/* ---- one record ------------------------------------------------------------ */

freyja_status fj_store_set_expiry(const fj_store *db, uint64_t now, uint64_t ttl,
                                  uint64_t *expiry, freyja_error *error) {
  if (ttl > UINT64_MAX - now)
    return fj_fail(error, FREYJA_LIMIT, db->dir.path,
                   "the time to live is too long: it ends after the last time that 64 bits "
                   "can tell");
  *expiry = ttl == 0 ? 0 : now + ttl;
  return FREYJA_OK;
}

/* Sets the timestamp: the time, made larger than that of every record before. And the expiry,
 * `ttl` microseconds (0: none) from now. */
static freyja_status set_times(fj_store *db, fj_draft *draft, uint64_t ttl,
                               freyja_error *error) {
  uint64_t last = db->index.last_timestamp;
  uint64_t now = fj_clock_now(&db->index.clock);
  if (last == UINT64_MAX)
    return fj_fail(error, FREYJA_LIMIT, db->dir.path, "there are no more timestamps");
  draft->timestamp = now > last ? now : last + 1;
  return fj_store_set_expiry(db, now, ttl, &draft->expiry, error);
}

/* The time runs from the first write on. */
static void begin_interval(fj_store *db, uint64_t now) {
  fj_note(&db->last_sync, now);
  if (db->dirty || db->wake == NULL) return;
  fj_publish(&db->dirty, true);
  db->wake((uint64_t)db->options.sync_ms * 1000);
}

freyja_status fj_store_sync_if_due(fj_store *db, freyja_error *error) {
  if (db->options.sync_mode != FREYJA_SYNC_INTERVAL) return FREYJA_OK;
  uint64_t now = db->dir.os->monotonic(db->dir.os->context);
  bool clean = db->active->mark == db->active->tail;
  if (!clean && now - db->last_sync < (uint64_t)db->options.sync_ms * 1000) return FREYJA_OK;
  fj_note(&db->last_sync, now);
  freyja_status status = clean ? FREYJA_OK : fj_store_sync(db, error);
  if (status == FREYJA_OK) begin_interval(db, now);
  return status;
}

/* Makes a segment with room for a record of `size` bytes the active one, and
 * makes the draft's header for its place there. Before the key is looked up, so that this work
 * and the wait for the keydir's memory overlap. */
static freyja_status place_draft(fj_store *db, fj_draft *draft, uint64_t ttl,
                                 freyja_error *error) {
  uint64_t size = fj_draft_size(draft);
  fj_keydir_prefetch(&db->index.keydir, draft->key_hash & db->index.keydir.hash_mask);
  freyja_status status = fj_store_sync_if_due(db, error);
  if (status == FREYJA_OK && !fj_segment_fits(db->active, size))
    status = fj_store_begin_segment(db, error);
  if (status == FREYJA_OK) status = set_times(db, draft, ttl, error);
  if (status != FREYJA_OK) return status;
  fj_record_seal(draft, fj_record_seed(db->active->seed, db->active->tail));
  return FREYJA_OK;
}

/* Points the keydir at the record that was just appended at `offset`. */
static void publish(fj_store *db, const fj_draft *draft, const fj_found *found, bool is_new,
                    uint64_t offset, uint64_t size) {
  fj_segment *active = db->active;
  fj_segment_publish(active, draft, size); /* D1 */
  db->index.last_timestamp = draft->timestamp;
  if (db->watches > 0) fj_store_tell_watches(db, draft->key.data, draft->key.size);
  if (!is_new && db->iterators.first != NULL)
    fj_iterators_note(&db->iterators, found->segment, found->offset, found->record.timestamp);
  if (draft->kind == FJ_KIND_TOMBSTONE) {
    db->deletes++;
    fj_index_delete(&db->index, found->place);
    return;
  }
  db->puts++;
  uint64_t word = fj_word_make(active->slot, offset, size, draft->flags);
  fj_index_expect(&db->index, draft->expiry);
  if (is_new) fj_index_insert(&db->index, found->place, draft->key_hash, word);
  else fj_index_replace(&db->index, found->place, word);
}

/* Makes sure that the draft's new key can get a slot. Where that makes all of the log be read
 * again, what had expired may have a slot again, so that the key is looked up once more. */
static freyja_status reserve_slot(fj_store *db, const fj_draft *draft, fj_found *found,
                                  bool *is_new, freyja_error *error) {
  fj_index *index = &db->index;
  uint64_t readings = index->readings;
  uint64_t hash = draft->key_hash & index->keydir.hash_mask;
  freyja_status status = fj_keydir_reserve(&index->keydir, hash, &found->place, error);
  if (status != FREYJA_OK || readings == index->readings) return status;
  fj_found_release(found);
  status = fj_index_find(index, draft->key.data, draft->key.size, draft->key_hash, false,
                         found, error);
  *is_new = status == FREYJA_NOTFOUND;
  return *is_new ? fj_keydir_reserve(&index->keydir, hash, &found->place, error) : status;
}

/* Writes the draft, which is staged, and points the keydir at it. *found is the
 * key's record, or where a search for it ended (is_new). */
static freyja_status commit_staged(fj_store *db, fj_draft *draft, fj_found *found, bool is_new,
                                   freyja_error *error) {
  uint64_t size = fj_draft_size(draft);
  fj_segment *active = db->active;
  uint64_t offset = active->tail;
  bool poison = false;
  freyja_status status = FREYJA_OK;
  if (is_new) status = reserve_slot(db, draft, found, &is_new, error);
  if (status == FREYJA_OK && !is_new && db->iterators.first != NULL)
    status = fj_iterators_reserve(&db->iterators, 1, error);
  if (found->collides)
    fj_record_add_flag(draft, FJ_FLAG_COLLIDES, fj_record_seed(active->seed, offset));
  if (status == FREYJA_OK) status = fj_segment_append(active, draft, &poison, error);
  if (status == FREYJA_OK && db->options.sync_mode == FREYJA_SYNC_ALWAYS) {
    db->syncs++;
    status = fj_segment_sync(active, offset + size, error);
    poison = status != FREYJA_OK;
  }
  if (poison) db->poisoned = true;
  if (status == FREYJA_OK) publish(db, draft, found, is_new, offset, size); /* D2 */
  if (status == FREYJA_OK) fj_segment_relieve(active);
  return status;
}

static freyja_status stage(fj_store *db, const fj_draft *draft, freyja_error *error) {
  /* What an open that had nothing to make durable has left: see settle_active in recovery.c.
   */
  if (db->active->unsettled) {
    freyja_status status = fj_store_sync(db, error);
    if (status != FREYJA_OK) return status;
  }
  return fj_segment_stage(db->active, draft, fj_draft_size(draft), error);
}

static freyja_status commit(fj_store *db, fj_draft *draft, fj_found *found, bool is_new,
                            freyja_error *error) {
  freyja_status status = stage(db, draft, error);
  return status == FREYJA_OK ? commit_staged(db, draft, found, is_new, error) : status;
}

static uint8_t flags_for(uint64_t ttl) { return ttl == 0 ? 0 : FJ_FLAG_EXPIRES; }

/* Inlined, for it is more stores than work. */
static inline fj_draft make_draft(const fj_store *db, uint8_t kind, uint8_t flags,
                                  const void *key, size_t key_size, const void *value,
                                  size_t value_size) {
  fj_draft draft = {.key = {key, key_size},
                    .value = {value, value_size},
                    .key_hash = fj_index_hash(&db->index, key, key_size),
                    .kind = kind,
                    .flags = flags};
  return draft;
}

/* Finds the draft's key; NOTFOUND and OK are sure, or else CORRUPT. */
static freyja_status find_surely(fj_store *db, const fj_draft *draft, bool whole,
                                 fj_found *found, freyja_error *error) {
  freyja_status status = fj_index_find(&db->index, draft->key.data, draft->key.size,
                                       draft->key_hash, whole, found, error);
  if (status != FREYJA_OK && status != FREYJA_NOTFOUND) return status;
  freyja_status proof = fj_index_prove(&db->index, status == FREYJA_OK ? found : NULL, error);
  return proof == FREYJA_OK ? status : proof;
}

/* ---- the interface --------------------------------------------------------- */

freyja_status fj_store_put(fj_store *db, const void *key, size_t key_size, const void *value,
                           size_t value_size, uint64_t ttl, freyja_error *error) {
  uint8_t flags = flags_for(ttl);
  freyja_status status = fj_store_check_put(db, error);
  if (status == FREYJA_OK)
    status = fj_store_check_sizes(db, flags, key_size, value_size, error);
  if (status != FREYJA_OK) return status;
  fj_draft draft = make_draft(db, FJ_KIND_PUT, flags, key, key_size, value, value_size);
  status = place_draft(db, &draft, ttl, error);
  /* A put is written whatever the lookup says: its bytes are copied while the
   * memory of the keydir is on its way. */
  if (status == FREYJA_OK) status = stage(db, &draft, error);
  if (status != FREYJA_OK) return status;
  fj_found found;
  status = fj_index_find(&db->index, key, key_size, draft.key_hash, false, &found, error);
  if (status == FREYJA_OK || status == FREYJA_NOTFOUND)
    status = commit_staged(db, &draft, &found, status == FREYJA_NOTFOUND, error);
  fj_found_release(&found);
  return status;
}

freyja_status fj_store_insert(fj_store *db, const void *key, size_t key_size,
                              const void *value, size_t value_size, uint64_t ttl,
                              freyja_error *error) {
  uint8_t flags = flags_for(ttl);
  freyja_status status = fj_store_check_put(db, error);
  if (status == FREYJA_OK)
    status = fj_store_check_sizes(db, flags, key_size, value_size, error);
  if (status != FREYJA_OK) return status;
  fj_draft draft = make_draft(db, FJ_KIND_PUT, flags, key, key_size, value, value_size);
  if ((status = place_draft(db, &draft, ttl, error)) != FREYJA_OK) return status;
  fj_found found;
  status = find_surely(db, &draft, false, &found, error);
  bool is_new = status == FREYJA_NOTFOUND;
  if (is_new || (status == FREYJA_OK && fj_index_is_due(&db->index, &found)))
    status = commit(db, &draft, &found, is_new, error);
  else if (status == FREYJA_OK) status = FREYJA_EXISTS;
  fj_found_release(&found);
  return status;
}

freyja_status fj_store_delete(fj_store *db, const void *key, size_t key_size,
                              freyja_error *error) {
  freyja_status status = fj_store_check_put(db, error);
  /* A key that came into a larger segment may have no room for its tombstone in those of now.
   */
  if (status == FREYJA_OK) status = fj_store_check_sizes(db, 0, key_size, 0, error);
  if (status != FREYJA_OK) return status;
  fj_draft draft = make_draft(db, FJ_KIND_TOMBSTONE, 0, key, key_size, NULL, 0);
  if ((status = place_draft(db, &draft, 0, error)) != FREYJA_OK) return status;
  fj_found found;
  status = find_surely(db, &draft, false, &found, error);
  if (status == FREYJA_OK && fj_index_is_due(&db->index, &found)) status = FREYJA_NOTFOUND;
  if (status == FREYJA_OK) status = commit(db, &draft, &found, false, error);
  fj_found_release(&found);
  return status;
}

/* OK if what was found is as expected, MISMATCH if not. `absent`: there is no value. */
static freyja_status compare(const fj_store *db, bool absent, const fj_found *found,
                             const freyja_slice *expected, freyja_error *error) {
  if (absent || expected == NULL)
    return absent && expected == NULL ? FREYJA_OK : FREYJA_MISMATCH;
  freyja_status status = fj_index_check_value(&db->index, found, error);
  if (status != FREYJA_OK) return status;
  bool equal = found->record.value_size == expected->size &&
               (expected->size == 0 ||
                memcmp(found->record.value, expected->data, expected->size) == 0);
  return equal ? FREYJA_OK : FREYJA_MISMATCH;
}

freyja_status fj_store_cas(fj_store *db, const void *key, size_t key_size,
                           const freyja_slice *expected, const freyja_slice *desired,
                           uint64_t ttl, freyja_error *error) {
  freyja_slice value = desired == NULL ? (freyja_slice){NULL, 0} : *desired;
  uint8_t kind = desired == NULL ? FJ_KIND_TOMBSTONE : FJ_KIND_PUT;
  if (desired == NULL) ttl = 0;
  freyja_status status = fj_store_check_put(db, error);
  if (status == FREYJA_OK)
    status = fj_store_check_sizes(db, flags_for(ttl), key_size, value.size, error);
  if (status != FREYJA_OK) return status;
  fj_draft draft = make_draft(db, kind, flags_for(ttl), key, key_size, value.data, value.size);
  if ((status = place_draft(db, &draft, ttl, error)) != FREYJA_OK) return status;
  fj_found found;
  status = find_surely(db, &draft, true, &found, error);
  bool is_new = status == FREYJA_NOTFOUND;
  if (is_new || status == FREYJA_OK) {
    bool absent = is_new || fj_index_is_due(&db->index, &found);
    status = compare(db, absent, &found, expected, error);
    bool writes = desired != NULL || !absent; /* what is absent needs no tombstone */
    if (status == FREYJA_OK && writes) status = commit(db, &draft, &found, is_new, error);
  }
  fj_found_release(&found);
  return status;
}
