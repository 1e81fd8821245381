/* look.c - reading one key: without a lock where that can be (seek.h), or else as all calls.
 */
#include <string.h>

#include "seek.h"
#include "share.h"

/* Looks for the key; if it is FOUND the guard is to be left by fj_guard_end. */
static fj_sought look(freyja *db, const void *key, size_t key_size, bool whole,
                      fj_record *record, fj_segment **segment) {
  fj_store *store = db->store;
  if (!fj_store_is_process(store)) return FJ_SOUGHT_UNSURE;
  if (key_size > FREYJA_KEY_SIZE_MAX) return FJ_SOUGHT_ABSENT;
  uint64_t hash = fj_index_hash(&store->index, key, key_size);
  fj_guard_begin(&db->share->guard, &db->reader);
  fj_sought sought = fj_index_seek(&store->index, key, key_size, hash, whole, record, segment);
  if (sought != FJ_SOUGHT_FOUND) fj_guard_end(&db->reader);
  return sought;
}

freyja_status freyja_get(freyja *db, const void *key, size_t key_size, void *buffer,
                         size_t capacity, size_t *value_size, freyja_error *error) {
  fj_record record;
  fj_segment *segment = NULL;
  fj_sought sought = look(db, key, key_size, true, &record, &segment);
  if (sought == FJ_SOUGHT_ABSENT) return FREYJA_NOTFOUND;
  if (sought == FJ_SOUGHT_UNSURE) {
    fj_store *store = fj_enter(db);
    return fj_leave(db,
                    fj_store_get(store, key, key_size, buffer, capacity, value_size, error));
  }
  *value_size = record.value_size;
  if (record.value_size <= capacity && record.value_size > 0)
    memcpy(buffer, record.value, record.value_size);
  fj_guard_end(&db->reader);
  return FREYJA_OK;
}

freyja_status freyja_has(freyja *db, const void *key, size_t key_size, freyja_error *error) {
  fj_record record;
  fj_segment *segment = NULL;
  fj_sought sought = look(db, key, key_size, false, &record, &segment);
  if (sought == FJ_SOUGHT_ABSENT) return FREYJA_NOTFOUND;
  if (sought == FJ_SOUGHT_UNSURE) {
    fj_store *store = fj_enter(db);
    return fj_leave(db, fj_store_has(store, key, key_size, error));
  }
  fj_guard_end(&db->reader);
  return FREYJA_OK;
}

freyja_status freyja_ttl(freyja *db, const void *key, size_t key_size, uint64_t *ttl,
                         freyja_error *error) {
  fj_record record;
  fj_segment *segment = NULL;
  fj_sought sought = look(db, key, key_size, false, &record, &segment);
  *ttl = 0;
  if (sought == FJ_SOUGHT_ABSENT) return FREYJA_NOTFOUND;
  if (sought == FJ_SOUGHT_UNSURE) {
    fj_store *store = fj_enter(db);
    return fj_leave(db, fj_store_get_ttl(store, key, key_size, ttl, error));
  }
  uint64_t expiry = fj_record_expiry(&record);
  uint64_t now = fj_clock_told(&db->store->index.clock);
  if (expiry != 0) *ttl = expiry > now ? expiry - now : 1; /* another thread's time is later */
  fj_guard_end(&db->reader);
  return FREYJA_OK;
}

freyja_status freyja_get_view(freyja *db, const void *key, size_t key_size, freyja_view *view,
                              freyja_error *error) {
  fj_record record;
  fj_segment *segment = NULL;
  fj_sought sought = look(db, key, key_size, true, &record, &segment);
  memset(view, 0, sizeof *view);
  if (sought == FJ_SOUGHT_ABSENT) return FREYJA_NOTFOUND;
  if (sought == FJ_SOUGHT_UNSURE) {
    fj_store *store = fj_enter(db);
    return fj_leave(db, fj_store_get_view(store, key, key_size, view, error));
  }
  view->data = record.value;
  view->size = record.value_size;
  view->owner = segment;
  fj_segment_retain(segment);
  fj_guard_end(&db->reader);
  return FREYJA_OK;
}
