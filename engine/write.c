/* write.c - put, insert, cas, delete: all are one record, written by commit(). */
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "store.h"

/* ---- checks --------------------------------------------------------------- */

static freyja_status check_key(const freyja *db, size_t size, freyja_error *error) {
  if (size <= FREYJA_KEY_SIZE_MAX) return FREYJA_OK;
  return fj_fail(error, FREYJA_LIMIT, db->dir.path, "the key has %zu bytes; at most %u are allowed",
                 size, FREYJA_KEY_SIZE_MAX);
}

static freyja_status check_sizes(const freyja *db, size_t key_size, size_t value_size,
                                 freyja_error *error) {
  freyja_status status = check_key(db, key_size, error);
  if (status != FREYJA_OK) return status;
  uint64_t room = db->options.segment_size - FJ_SEGMENT_HEADER;
  room &= ~(uint64_t)(FJ_RECORD_ALIGN - 1);
  if (value_size <= room && fj_record_size(key_size, value_size) <= room) return FREYJA_OK;
  return fj_fail(error, FREYJA_LIMIT, db->dir.path,
                 "the value has %zu bytes; with this key at most %" PRIu64
                 " fit a segment of %" PRIu32,
                 value_size, room - FJ_RECORD_HEADER - key_size, db->options.segment_size);
}

/* ---- one record ------------------------------------------------------------ */

/* The time, made larger than that of every record before. */
static freyja_status next_timestamp(freyja *db, uint64_t *timestamp, freyja_error *error) {
  uint64_t last = db->index.last_timestamp;
  uint64_t now = db->dir.os->now(db->dir.os->context);
  if (last == UINT64_MAX)
    return fj_fail(error, FREYJA_LIMIT, db->dir.path, "there are no more timestamps");
  *timestamp = now > last ? now : last + 1;
  return FREYJA_OK;
}

/* Under sync = milliseconds: syncs what is due before anything is written, so
 * that a failure leaves the write undone. */
static freyja_status sync_if_due(freyja *db, freyja_error *error) {
  if (db->options.sync_mode != FREYJA_SYNC_INTERVAL) return FREYJA_OK;
  uint64_t now = db->dir.os->monotonic(db->dir.os->context);
  bool clean = db->active->mark == db->active->tail;
  if (clean) db->last_sync = now; /* the time runs from the first write on */
  if (clean || now - db->last_sync < (uint64_t)db->options.sync_ms * 1000) return FREYJA_OK;
  db->last_sync = now;
  return fj_store_sync(db, error);
}

/* Everything that may fail before the record is written: a segment with room, room in
 * the keydir and in the iterators. */
static freyja_status prepare(freyja *db, uint64_t hash, uint64_t size, bool is_new,
                             freyja_error *error) {
  freyja_status status = sync_if_due(db, error);
  if (status == FREYJA_OK && !fj_segment_fits(db->active, size))
    status = fj_store_rotate(db, error);
  if (status == FREYJA_OK && is_new)
    status = fj_keydir_reserve(&db->index.keydir, hash & db->index.keydir.hash_mask, error);
  if (status == FREYJA_OK && !is_new && db->iterators.first != NULL)
    status = fj_iterators_reserve(&db->iterators, error);
  return status;
}

/* Points the keydir at the record that was just appended at `offset`. */
static void publish(freyja *db, const fj_draft *draft, const fj_found *old, uint64_t offset,
                    uint64_t size) {
  fj_segment *active = db->active;
  fj_segment_publish(active, draft, size); /* D1 */
  db->index.last_timestamp = draft->timestamp;
  if (old != NULL && db->iterators.first != NULL)
    fj_iterators_note(&db->iterators, old->segment, old->offset);
  if (draft->kind == FJ_KIND_TOMBSTONE) {
    db->deletes++;
    fj_index_delete(&db->index, old->place);
    return;
  }
  db->puts++;
  uint64_t word = fj_word_make(active->slot, offset, size, draft->flags & FJ_FLAG_COLLIDES);
  if (old != NULL) fj_index_replace(&db->index, old->place, word);
  else fj_index_insert(&db->index, draft->key_hash, word);
}

/* Writes the draft, of which the timestamp is still missing, and points the
 * keydir at it. `old` is the key's record, NULL if there is none. */
static freyja_status commit(freyja *db, fj_draft *draft, const fj_found *old,
                            freyja_error *error) {
  uint64_t size = fj_record_size(draft->key.size, draft->value.size);
  bool poison = false;
  freyja_status status = prepare(db, draft->key_hash, size, old == NULL, error);
  if (status == FREYJA_OK) status = next_timestamp(db, &draft->timestamp, error);
  if (status != FREYJA_OK) return status;
  fj_segment *active = db->active;
  uint64_t offset = active->tail;
  status = fj_segment_append(active, draft, size, &poison, error);
  if (poison) db->poisoned = true;
  if (status != FREYJA_OK) return status;
  if (db->options.sync_mode == FREYJA_SYNC_ALWAYS) {
    db->syncs++;
    status = fj_segment_sync(active, offset + size, error);
    if (status != FREYJA_OK) {
      db->poisoned = true;
      return status;
    }
  }
  publish(db, draft, old, offset, size);
  return FREYJA_OK;
}

static fj_draft make_draft(const void *key, size_t key_size, uint64_t hash, uint8_t kind) {
  fj_draft draft = {.key = {key, key_size}, .key_hash = hash, .kind = kind};
  return draft;
}

static freyja_status write_value(freyja *db, fj_draft *draft, freyja_status found_status,
                                 const fj_found *found, freyja_error *error) {
  if (found->collides) draft->flags |= FJ_FLAG_COLLIDES;
  return commit(db, draft, found_status == FREYJA_OK ? found : NULL, error);
}

/* Finds the key; NOTFOUND and OK are sure, or else CORRUPT. */
static freyja_status find_surely(freyja *db, const void *key, size_t key_size, uint64_t hash,
                                 bool whole, fj_found *found, freyja_error *error) {
  freyja_status status = fj_index_find(&db->index, key, key_size, hash, whole, found, error);
  if (status != FREYJA_OK && status != FREYJA_NOTFOUND) return status;
  freyja_status proof =
      fj_index_prove(&db->index, status == FREYJA_OK ? found : NULL, error);
  return proof == FREYJA_OK ? status : proof;
}

/* ---- the interface --------------------------------------------------------- */

freyja_status freyja_put(freyja *db, const void *key, size_t key_size, const void *value,
                         size_t value_size, freyja_error *error) {
  freyja_status status = fj_store_check_write(db, error);
  if (status == FREYJA_OK) status = check_sizes(db, key_size, value_size, error);
  if (status != FREYJA_OK) return status;
  uint64_t hash = fj_index_hash(&db->index, key, key_size);
  fj_draft draft = make_draft(key, key_size, hash, FJ_KIND_PUT);
  draft.value.data = value;
  draft.value.size = value_size;
  fj_found found;
  status = fj_index_find(&db->index, key, key_size, hash, false, &found, error);
  if (status == FREYJA_OK || status == FREYJA_NOTFOUND)
    status = write_value(db, &draft, status, &found, error);
  fj_found_release(&found);
  return status;
}

freyja_status freyja_insert(freyja *db, const void *key, size_t key_size, const void *value,
                            size_t value_size, freyja_error *error) {
  freyja_status status = fj_store_check_write(db, error);
  if (status == FREYJA_OK) status = check_sizes(db, key_size, value_size, error);
  if (status != FREYJA_OK) return status;
  uint64_t hash = fj_index_hash(&db->index, key, key_size);
  fj_draft draft = make_draft(key, key_size, hash, FJ_KIND_PUT);
  draft.value.data = value;
  draft.value.size = value_size;
  fj_found found;
  status = find_surely(db, key, key_size, hash, false, &found, error);
  if (status == FREYJA_NOTFOUND) status = write_value(db, &draft, status, &found, error);
  else if (status == FREYJA_OK) status = FREYJA_EXISTS;
  fj_found_release(&found);
  return status;
}

static freyja_status erase(freyja *db, const void *key, size_t key_size, uint64_t hash,
                           const fj_found *found, freyja_error *error) {
  fj_draft draft = make_draft(key, key_size, hash, FJ_KIND_TOMBSTONE);
  return write_value(db, &draft, FREYJA_OK, found, error);
}

freyja_status freyja_delete(freyja *db, const void *key, size_t key_size, freyja_error *error) {
  freyja_status status = fj_store_check_write(db, error);
  if (status == FREYJA_OK) status = check_key(db, key_size, error);
  if (status != FREYJA_OK) return status;
  uint64_t hash = fj_index_hash(&db->index, key, key_size);
  fj_found found;
  status = find_surely(db, key, key_size, hash, false, &found, error);
  if (status == FREYJA_OK) status = erase(db, key, key_size, hash, &found, error);
  fj_found_release(&found);
  return status;
}

/* OK if what was found is as expected, MISMATCH if not. */
static freyja_status compare(const freyja *db, freyja_status found_status,
                             const fj_found *found, const freyja_slice *expected,
                             freyja_error *error) {
  if (found_status == FREYJA_NOTFOUND) return expected == NULL ? FREYJA_OK : FREYJA_MISMATCH;
  if (expected == NULL) return FREYJA_MISMATCH;
  freyja_status status = fj_index_check_value(&db->index, found, error);
  if (status != FREYJA_OK) return status;
  bool equal = found->record.value_size == expected->size &&
               (expected->size == 0 ||
                memcmp(found->record.value, expected->data, expected->size) == 0);
  return equal ? FREYJA_OK : FREYJA_MISMATCH;
}

freyja_status freyja_cas(freyja *db, const void *key, size_t key_size,
                         const freyja_slice *expected, const freyja_slice *desired,
                         freyja_error *error) {
  freyja_status status = fj_store_check_write(db, error);
  if (status == FREYJA_OK)
    status = check_sizes(db, key_size, desired == NULL ? 0 : desired->size, error);
  if (status != FREYJA_OK) return status;
  uint64_t hash = fj_index_hash(&db->index, key, key_size);
  fj_found found;
  freyja_status presence = find_surely(db, key, key_size, hash, true, &found, error);
  status = presence;
  if (presence == FREYJA_OK || presence == FREYJA_NOTFOUND)
    status = compare(db, presence, &found, expected, error);
  if (status == FREYJA_OK && desired != NULL) {
    fj_draft draft = make_draft(key, key_size, hash, FJ_KIND_PUT);
    draft.value = *desired;
    status = write_value(db, &draft, presence, &found, error);
  } else if (status == FREYJA_OK && presence == FREYJA_OK) {
    status = erase(db, key, key_size, hash, &found, error);
  }
  fj_found_release(&found);
  return status;
}
