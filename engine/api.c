/* api.c - the calls of freyja.h: each goes into the store, as share.h says, for one that
 * knows of no other thread. */
#include <string.h>

#include "backup.h"
#include "follow.h"
#include "group.h"
#include "load.h"
#include "rewrite.h"
#include "share.h"
#include "transaction.h"
#include "verify.h"

/* ---- one key ---------------------------------------------------------------- */

freyja_status freyja_put(freyja *db, const void *key, size_t key_size, const void *value,
                         size_t value_size, freyja_error *error) {
  return freyja_put_ttl(db, key, key_size, value, value_size, 0, error);
}

freyja_status freyja_put_ttl(freyja *db, const void *key, size_t key_size, const void *value,
                             size_t value_size, uint64_t ttl, freyja_error *error) {
  if (fj_group_is_worth_it(db)) {
    fj_request request = {.key = {key, key_size},
                          .value = {value, value_size},
                          .ttl = ttl,
                          .kind = FJ_KIND_PUT,
                          .error = error};
    return fj_group_write(db, &request);
  }
  fj_store *store = fj_enter(db);
  return fj_leave(db, fj_store_put(store, key, key_size, value, value_size, ttl, error));
}

freyja_status freyja_insert(freyja *db, const void *key, size_t key_size, const void *value,
                            size_t value_size, freyja_error *error) {
  fj_store *store = fj_enter(db);
  return fj_leave(db, fj_store_insert(store, key, key_size, value, value_size, 0, error));
}

freyja_status freyja_insert_ttl(freyja *db, const void *key, size_t key_size,
                                const void *value, size_t value_size, uint64_t ttl,
                                freyja_error *error) {
  fj_store *store = fj_enter(db);
  return fj_leave(db, fj_store_insert(store, key, key_size, value, value_size, ttl, error));
}

freyja_status freyja_cas(freyja *db, const void *key, size_t key_size,
                         const freyja_slice *expected, const freyja_slice *desired,
                         freyja_error *error) {
  fj_store *store = fj_enter(db);
  return fj_leave(db, fj_store_cas(store, key, key_size, expected, desired, 0, error));
}

freyja_status freyja_cas_ttl(freyja *db, const void *key, size_t key_size,
                             const freyja_slice *expected, const freyja_slice *desired,
                             uint64_t ttl, freyja_error *error) {
  fj_store *store = fj_enter(db);
  return fj_leave(db, fj_store_cas(store, key, key_size, expected, desired, ttl, error));
}

freyja_status freyja_delete(freyja *db, const void *key, size_t key_size,
                            freyja_error *error) {
  if (fj_group_is_worth_it(db)) {
    fj_request request = {.key = {key, key_size}, .kind = FJ_KIND_TOMBSTONE, .error = error};
    return fj_group_write(db, &request);
  }
  fj_store *store = fj_enter(db);
  return fj_leave(db, fj_store_delete(store, key, key_size, error));
}

freyja_status freyja_get_many(freyja *db, freyja_item *items, size_t count, void *buffer,
                              size_t capacity, size_t *needed, freyja_error *error) {
  fj_store *store = fj_enter(db);
  return fj_leave(db, fj_store_get_many(store, items, count, buffer, capacity, needed, error));
}

/* ---- the store as a whole ---------------------------------------------------- */

freyja_status freyja_refresh(freyja *db, bool *changed, freyja_error *error) {
  fj_store *store = fj_enter(db);
  return fj_leave(db, fj_store_refresh(store, changed, error));
}

freyja_status freyja_sync(freyja *db, freyja_error *error) {
  fj_store *store = fj_enter(db);
  return fj_leave(db, fj_store_flush(store, error));
}

freyja_status freyja_rotate(freyja *db, freyja_error *error) {
  fj_store *store = fj_enter(db);
  return fj_leave(db, fj_store_rotate(store, error));
}

freyja_status freyja_hint(freyja *db, uint64_t id, freyja_error *error) {
  fj_store *store = fj_enter(db);
  return fj_leave(db, fj_store_hint(store, id, error));
}

freyja_status freyja_hint_step(freyja *db, uint64_t id, uint64_t bytes, freyja_error *error) {
  fj_store *store = fj_enter(db);
  return fj_leave_to_others(db, fj_store_hint_step(store, id, bytes, error));
}

freyja_status freyja_checkpoint(freyja *db, freyja_error *error) {
  fj_store *store = fj_enter(db);
  return fj_leave(db, fj_store_checkpoint(store, error));
}

freyja_status freyja_expire(freyja *db, uint64_t slots, freyja_error *error) {
  fj_store *store = fj_enter(db);
  return fj_leave_to_others(db, fj_store_expire_some(store, slots, error));
}

freyja_status freyja_verify(freyja *db, freyja_visit_problem visit, void *argument,
                            freyja_report *out, freyja_error *error) {
  fj_store *store = fj_enter(db);
  return fj_leave(db, fj_store_verify(store, visit, argument, out, error));
}

freyja_status freyja_backup(freyja *db, const char *path, const freyja_backup_options *options,
                            freyja_error *error) {
  fj_store *store = fj_enter(db);
  return fj_leave(db, fj_store_backup(store, path, options, error));
}

void freyja_get_stats(freyja *db, freyja_stats *out) {
  memset(out, 0, sizeof *out);
  if (fj_is_stranded(db)) return;
  fj_store_get_stats(fj_enter(db), out);
  (void)fj_leave(db, FREYJA_OK);
}

void freyja_get_pulse(freyja *db, freyja_pulse *out) {
  memset(out, 0, sizeof *out);
  if (fj_is_stranded(db)) return;
  fj_store_get_pulse(fj_enter(db), out);
  (void)fj_leave(db, FREYJA_OK);
}

size_t freyja_get_segments(freyja *db, freyja_segment *out, size_t capacity) {
  if (fj_is_stranded(db)) return 0;
  size_t count = fj_store_get_segments(fj_enter(db), out, capacity);
  (void)fj_leave(db, FREYJA_OK);
  return count;
}

size_t freyja_peek_segments(freyja *db, freyja_segment *out, size_t capacity) {
  if (fj_is_stranded(db)) return 0;
  size_t count = fj_store_peek_segments(fj_enter(db), out, capacity);
  (void)fj_leave(db, FREYJA_OK);
  return count;
}

/* Those that need nothing of the store. */
uint64_t freyja_timer(freyja *db) {
  const fj_os *os = db->store->dir.os;
  return os->timer(os->context);
}

void freyja_sleep(freyja *db, uint64_t microseconds) {
  const fj_os *os = db->store->dir.os;
  os->sleep(os->context, microseconds);
}

bool freyja_take_charge(freyja *db) {
  (void)fj_enter(db);
  bool taken = fj_take_charge(db);
  (void)fj_leave(db, FREYJA_OK);
  return taken;
}

/* ---- what was opened ---------------------------------------------------------- */

/* Goes in for a child, unless its handle is closed. */
static freyja *enter_for(fj_child *child) {
  if (child->handle != NULL) (void)fj_enter(child->handle);
  return child->handle;
}

static freyja_status leave_for(fj_child *child, freyja_status status) {
  return child->handle == NULL ? status : fj_leave(child->handle, status);
}

/* What was opened, if that went well, is the handle's. */
static freyja_status leave_with(freyja *db, fj_child *opened, freyja_status status) {
  if (opened != NULL) fj_child_join(db, opened);
  return fj_leave(db, status);
}

/* Goes in to close a child; false if nothing is to be done. */
static bool enter_to_close(fj_child *child, freyja **handle) {
  if (child == NULL || fj_is_stranded(child->handle)) return false;
  *handle = enter_for(child);
  fj_child_part(child);
  return true;
}

static void leave_closed(freyja *handle) {
  if (handle != NULL) (void)fj_leave(handle, FREYJA_OK);
}

freyja_status freyja_iterator_open(freyja *db, const freyja_iterator_options *options,
                                   freyja_iterator **out, freyja_error *error) {
  freyja_status status = fj_store_iterate(fj_enter(db), options, out, error);
  return leave_with(db, (fj_child *)*out, status);
}

freyja_status freyja_begin(freyja *db, const freyja_transaction_options *options,
                           freyja_transaction **out, freyja_error *error) {
  freyja_status status = fj_transaction_begin(fj_enter(db), options, out, error);
  return leave_with(db, (fj_child *)*out, status);
}

freyja_status freyja_load_open(freyja *db, freyja_load **out, freyja_error *error) {
  freyja_status status = fj_load_open(fj_enter(db), out, error);
  return leave_with(db, (fj_child *)*out, status);
}

freyja_status freyja_rewrite_open(freyja *db, const uint64_t *ids, size_t count,
                                  freyja_rewrite **out, freyja_error *error) {
  freyja_status status = fj_rewrite_open(fj_enter(db), ids, count, out, error);
  return leave_with(db, (fj_child *)*out, status);
}

freyja_status freyja_transaction_iterate(freyja_transaction *transaction,
                                         const freyja_iterator_options *options,
                                         freyja_iterator **out, freyja_error *error) {
  freyja *db = enter_for((fj_child *)transaction);
  freyja_status status = fj_transaction_iterate(transaction, options, out, error);
  return db == NULL ? status : leave_with(db, (fj_child *)*out, status);
}

freyja_status freyja_iterator_next(freyja_iterator *iterator, freyja_entry *entry,
                                   freyja_error *error) {
  const freyja *db = ((fj_child *)iterator)->handle;
  if (fj_is_stranded(db)) return fj_store_check_owner(db->store, error);
  (void)enter_for((fj_child *)iterator);
  return leave_for((fj_child *)iterator, fj_iterator_next(iterator, entry, error));
}

freyja_status freyja_transaction_get(freyja_transaction *transaction, const void *key,
                                     size_t key_size, void *buffer, size_t capacity,
                                     size_t *value_size, freyja_error *error) {
  (void)enter_for((fj_child *)transaction);
  return leave_for(
      (fj_child *)transaction,
      fj_transaction_get(transaction, key, key_size, buffer, capacity, value_size, error));
}

freyja_status freyja_transaction_has(freyja_transaction *transaction, const void *key,
                                     size_t key_size, freyja_error *error) {
  (void)enter_for((fj_child *)transaction);
  return leave_for((fj_child *)transaction,
                   fj_transaction_has(transaction, key, key_size, error));
}

freyja_status freyja_transaction_put(freyja_transaction *transaction, const void *key,
                                     size_t key_size, const void *value, size_t value_size,
                                     uint64_t ttl, freyja_error *error) {
  (void)enter_for((fj_child *)transaction);
  return leave_for((fj_child *)transaction, fj_transaction_put(transaction, key, key_size,
                                                               value, value_size, ttl, error));
}

freyja_status freyja_transaction_delete(freyja_transaction *transaction, const void *key,
                                        size_t key_size, freyja_error *error) {
  (void)enter_for((fj_child *)transaction);
  return leave_for((fj_child *)transaction,
                   fj_transaction_delete(transaction, key, key_size, error));
}

freyja_status freyja_transaction_commit(freyja_transaction *transaction, freyja_error *error) {
  (void)enter_for((fj_child *)transaction);
  return leave_for((fj_child *)transaction, fj_transaction_commit(transaction, error));
}

freyja_status freyja_load_put(freyja_load *load, const void *key, size_t key_size,
                              const void *value, size_t value_size, uint64_t ttl,
                              freyja_error *error) {
  (void)enter_for((fj_child *)load);
  return leave_for((fj_child *)load,
                   fj_load_put(load, key, key_size, value, value_size, ttl, error));
}

freyja_status freyja_load_commit(freyja_load *load, freyja_error *error) {
  (void)enter_for((fj_child *)load);
  return leave_for((fj_child *)load, fj_load_commit(load, error));
}

freyja_status freyja_rewrite_step(freyja_rewrite *rewrite, uint64_t bytes,
                                  freyja_error *error) {
  freyja *db = enter_for((fj_child *)rewrite);
  freyja_status status = fj_rewrite_step(rewrite, bytes, error);
  return db == NULL ? status : fj_leave_to_others(db, status);
}

freyja_status freyja_rewrite_next(freyja_rewrite *rewrite, freyja_entry *entry,
                                  freyja_error *error) {
  freyja *db = enter_for((fj_child *)rewrite);
  freyja_status status = fj_rewrite_next(rewrite, entry, error);
  return db == NULL ? status : fj_leave_to_others(db, status);
}

freyja_status freyja_rewrite_keep(freyja_rewrite *rewrite, const freyja_slice *value,
                                  freyja_error *error) {
  (void)enter_for((fj_child *)rewrite);
  return leave_for((fj_child *)rewrite, fj_rewrite_keep(rewrite, value, error));
}

freyja_status freyja_rewrite_drop(freyja_rewrite *rewrite, freyja_error *error) {
  (void)enter_for((fj_child *)rewrite);
  return leave_for((fj_child *)rewrite, fj_rewrite_drop(rewrite, error));
}

freyja_status freyja_rewrite_commit(freyja_rewrite *rewrite, freyja_error *error) {
  (void)enter_for((fj_child *)rewrite);
  return leave_for((fj_child *)rewrite, fj_rewrite_commit(rewrite, error));
}

void freyja_iterator_close(freyja_iterator *iterator) {
  freyja *db = NULL;
  if (!enter_to_close((fj_child *)iterator, &db)) return;
  fj_iterator_close(iterator);
  /* What only it has kept goes; in the child of a fork the files are the parent's. */
  if (db != NULL && db->store->index.retired > 0 && fj_store_is_owner(db->store))
    (void)fj_store_reap(db->store, true);
  leave_closed(db);
}

void freyja_transaction_close(freyja_transaction *transaction) {
  freyja *db = NULL;
  if (!enter_to_close((fj_child *)transaction, &db)) return;
  fj_transaction_close(transaction);
  leave_closed(db);
}

void freyja_load_close(freyja_load *load) {
  freyja *db = NULL;
  if (!enter_to_close((fj_child *)load, &db)) return;
  fj_load_close(load);
  leave_closed(db);
}

void freyja_rewrite_close(freyja_rewrite *rewrite) {
  freyja *db = NULL;
  if (!enter_to_close((fj_child *)rewrite, &db)) return;
  fj_rewrite_close(rewrite);
  leave_closed(db);
}

void freyja_rewrite_give_way(freyja_rewrite *rewrite) {
  (void)enter_for((fj_child *)rewrite);
  fj_rewrite_give_way(rewrite);
  (void)leave_for((fj_child *)rewrite, FREYJA_OK);
}

void freyja_rewrite_progress(const freyja_rewrite *rewrite, freyja_progress *out) {
  fj_child *child = (fj_child *)(uintptr_t)rewrite;
  memset(out, 0, sizeof *out);
  if (fj_is_stranded(child->handle)) return;
  (void)enter_for(child);
  fj_rewrite_progress(rewrite, out);
  (void)leave_for(child, FREYJA_OK);
}
