/* store.c - the checks, syncing and rotation that all writing goes through, and
 * closing. See store.h. */
#include "store.h"
#include "leftovers.h"

#include <assert.h>
#include <string.h>

freyja_status fj_store_check_owner(const fj_store *db, freyja_error *error) {
  if (fj_store_is_owner(db)) return FREYJA_OK;
  return fj_fail(error, FREYJA_FORKED, db->dir.path,
                 "the store was opened before a fork, by the parent process; open it again");
}

freyja_status fj_store_check_process(const fj_store *db, freyja_error *error) {
  if (fj_store_is_process(db)) return FREYJA_OK;
  freyja_status status = fj_store_check_owner(db, error);
  if (status != FREYJA_OK) return status;
  if (error != NULL) *error = db->stale;
  (void)fj_fail(error, db->stale.status, db->stale.path,
                "a refresh has failed, and another may help: %s", db->stale.message);
  return db->stale.status;
}

void fj_store_set_stale(fj_store *db, const freyja_error *fault) {
  static const volatile uint32_t closed = 0;
  memset(&db->stale, 0, sizeof db->stale);
  if (fault != NULL) db->stale = *fault;
  db->gate = fault != NULL ? &closed : db->fork_guard;
}

freyja_status fj_store_check_write(fj_store *db, freyja_error *error) {
  if (!fj_store_is_process(db)) return fj_store_check_process(db, error);
  if (db->options.readonly)
    return fj_fail(error, FREYJA_READONLY, db->dir.path, "the store was opened read-only");
  if (db->poisoned || db->active == NULL)
    return fj_fail(error, FREYJA_POISONED, db->dir.path,
                   "an earlier sync failed: what is on the disk is not known until the store "
                   "is opened again");
  return FREYJA_OK;
}

freyja_status fj_store_check_put(fj_store *db, freyja_error *error) {
  freyja_status status = fj_store_check_write(db, error);
  if (status != FREYJA_OK || db->load == NULL) return status;
  return fj_fail(error, FREYJA_CONFLICT, db->dir.path,
                 "a bulk load is under way: nothing else is written until it has ended");
}

freyja_status fj_store_sync(fj_store *db, freyja_error *error) {
  fj_segment *active = db->active;
  if (active->mark == active->tail && !active->unsettled) return FREYJA_OK;
  db->syncs++;
  freyja_status status = fj_segment_sync(active, active->tail, error);
  if (status == FREYJA_OK) active->unsettled = false;
  else db->poisoned = true;
  return status;
}

freyja_status fj_store_flush(fj_store *db, freyja_error *error) {
  freyja_status status = fj_store_check_write(db, error);
  if (status == FREYJA_READONLY) return FREYJA_OK; /* nothing was written */
  return status == FREYJA_OK ? fj_store_sync(db, error) : status;
}

freyja_status fj_store_write_manifest(fj_store *db, fj_manifest *manifest, bool *replaced,
                                      freyja_error *error) {
  freyja_status status = fj_manifest_write(&db->dir, manifest, replaced, error);
  if (status != FREYJA_OK) return status;
  db->is_named = true;
  fj_leftovers_forget(&db->dir, manifest);
  return FREYJA_OK;
}

void fj_store_claim(fj_store *db) {
  bool poison = false;
  if (!db->is_named || db->poisoned) return;
  (void)fj_index_claim(&db->index, &poison, NULL);
  if (poison) db->poisoned = true;
}

bool fj_store_reap(fj_store *db, bool all) {
  bool poison = false;
  bool more = fj_index_reap(&db->index, all, &poison);
  if (poison) db->poisoned = true;
  return more;
}

/* ---- rotation ------------------------------------------------------------- */

/* Puts `next` behind the last segment in the MANIFEST, which seals that one. */
static freyja_status commit_segment(fj_store *db, const fj_segment *next,
                                    freyja_error *error) {
  fj_manifest *manifest = &db->manifest;
  fj_manifest_entry *last =
      manifest->count == 0 ? NULL : &manifest->entries[manifest->count - 1];
  uint64_t last_size = last == NULL ? 0 : last->size;
  if (last != NULL && last->size == 0) {
    const fj_segment *sealed = db->index.ranks[db->index.count - 1];
    /* A damaged one may be shorter than it once was: that must not be forgotten. */
    last->size = sealed->tail > sealed->mark ? sealed->tail : sealed->mark;
  }
  manifest->entries[manifest->count].id = next->id;
  manifest->entries[manifest->count].size = 0;
  manifest->count++;
  bool replaced = false;
  freyja_status status = fj_store_write_manifest(db, manifest, &replaced, error);
  if (status == FREYJA_OK) return status;
  if (replaced) db->poisoned = true; /* either of the two may be there after a crash */
  manifest->count--;
  if (last != NULL) last->size = last_size;
  return status;
}

/* The file of a segment that no MANIFEST came to name. */
static void discard(fj_store *db, fj_segment *segment) {
  char name[FJ_NAME_MAX];
  const fj_os *os = db->dir.os;
  fj_segment_name(name, segment->id);
  if (!db->poisoned) (void)os->unlink(os->context, db->dir.fd, name);
  fj_segment_release(segment);
}

freyja_status fj_store_begin_segment(fj_store *db, freyja_error *error) {
  fj_index *index = &db->index;
  fj_segment *last = index->count == 0 ? NULL : index->ranks[index->count - 1];
  fj_segment *next = NULL;
  freyja_status status = fj_index_grow(index, 1, error);
  if (status == FREYJA_OK) status = fj_manifest_grow(&db->dir, &db->manifest, 1, error);
  if (status != FREYJA_OK) return status;
  status = fj_segment_create(&index->pool, FJ_SEGMENT_LOG, 0, &db->manifest.next_id,
                             db->options.segment_size, &next, error);
  if (index->pool.unsure) db->poisoned = true;
  if (status != FREYJA_OK) return status;
  if (last != NULL && !last->sealed) {
    bool poison = false;
    db->syncs++;
    status = fj_segment_trim(last, &poison, error);
    if (poison) db->poisoned = true;
  }
  if (status == FREYJA_OK) status = commit_segment(db, next, error);
  if (status != FREYJA_OK) {
    discard(db, next);
    return status;
  }
  if (last != NULL && !last->sealed) fj_segment_seal(last);
  fj_index_add(index, next);
  db->active = next;
  fj_store_claim(db); /* where it has failed after a commit */
  return FREYJA_OK;
}

freyja_status fj_store_rotate(fj_store *db, freyja_error *error) {
  freyja_status status = fj_store_check_write(db, error);
  if (status != FREYJA_OK || db->active->tail == FJ_SEGMENT_HEADER) return status;
  return fj_store_begin_segment(db, error);
}

/* ---- closing -------------------------------------------------------------- */

static freyja_status finish(fj_store *db, freyja_error *error) {
  freyja_status status = fj_segment_finish(db->active, error);
  if (status == FREYJA_OK && db->active->marked == db->active->tail) /* C2 */
    fj_store_leave_checkpoint(db);
  return status;
}

void fj_store_let_files_go(fj_store *db) {
  const fj_os *os = db->dir.os;
  if (db->lock_file >= 0) (void)os->close(os->context, db->lock_file);
  if (db->dir.fd >= 0) (void)os->close(os->context, db->dir.fd);
  db->lock_file = db->dir.fd = -1;
}

freyja_status fj_store_close(fj_store *db, freyja_error *error) {
  const fj_os *os = db->dir.os;
  freyja_status status = FREYJA_OK;
  assert(db->iterators.first == NULL && db->transactions == NULL && db->load == NULL);
  /* What is committed goes through, so that the files that it replaced go, and a KEYDIR can be
   * written. */
  if (!db->poisoned && fj_store_is_process(db)) (void)fj_store_settle(db, NULL);
  fj_store_end_rewrite(db);
  fj_store_end_hinting(db);
  if (db->active != NULL && fj_store_is_process(db)) {
    fj_store_claim(db);
    (void)fj_store_reap(db, true);
  }
  if (db->active != NULL && fj_store_is_process(db))
    status = db->poisoned ? fj_store_check_write(db, error) : finish(db, error);
  fj_index_destroy(&db->index);
  fj_manifest_clear(&db->dir, &db->manifest);
  if (db->fork_guard != NULL) os->release_fork_guard(os->context, db->fork_guard);
  fj_store_let_files_go(db);
  os->release(os->context, db->dir.path);
  os->release(os->context, db);
  return status;
}
