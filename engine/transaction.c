/* transaction.c - see the transactions in freyja.h.
 *
 * X1  Of a serializable transaction every key that it has read from the store is in `reads`,
 *     with the timestamp of the record that it found, or in one of the ranges, of which the
 *     store's writes tell (fj_store_tell_watches). */
#include <inttypes.h>
#include <string.h>

#include "transaction.h"

#include "child.h"
#include "commit.h"
#include "rewrite.h"

/* A prefix of keys that were iterated. */
typedef struct fj_range {
  struct fj_range *next;
  size_t size;
  uint8_t bytes[];
} fj_range;

struct freyja_transaction {
  fj_child child;
  fj_store *db; /* NULL once it has ended, or the store is closed */
  const fj_os *os;
  freyja_transaction *next, *previous; /* in the store's list */
  fj_local *local;
  fj_local *reads; /* X1; NULL unless it is serializable */
  fj_range *ranges;
  bool has_ended;
  bool is_broken;       /* what it has read is no longer so */
  uint64_t alterations; /* the store's, when it began */
};

/* ---- life ----------------------------------------------------------------- */

/* Gives up everything but the object itself. */
static void let_go(freyja_transaction *tx) {
  fj_store *db = tx->db;
  if (db == NULL) return;
  if (tx->previous != NULL) tx->previous->next = tx->next;
  else db->transactions = tx->next;
  if (tx->next != NULL) tx->next->previous = tx->previous;
  while (tx->ranges != NULL) {
    fj_range *next = tx->ranges->next;
    tx->os->release(tx->os->context, tx->ranges);
    tx->ranges = next;
    db->watches--;
  }
  fj_local_release(tx->local);
  fj_local_release(tx->reads);
  tx->local = tx->reads = NULL;
  tx->db = NULL;
}

static void end(fj_child *child) { let_go((freyja_transaction *)child); }

void fj_transaction_close(freyja_transaction *transaction) {
  if (transaction == NULL) return;
  let_go(transaction);
  transaction->os->release(transaction->os->context, transaction);
}

freyja_status fj_transaction_begin(fj_store *db, const freyja_transaction_options *options,
                                   freyja_transaction **out, freyja_error *error) {
  const fj_os *os = db->dir.os;
  bool serializable = options != NULL && options->serializable;
  *out = NULL;
  freyja_status status = fj_store_check_process(db, error);
  /* Until a rewrite that changes values is through, what is read may be the old or the new. */
  if (status == FREYJA_OK && serializable && fj_rewrite_is_altering(db))
    status = fj_store_settle(db, error);
  if (status != FREYJA_OK) return status;
  freyja_transaction *tx = os->allocate(os->context, sizeof *tx);
  if (tx == NULL) return fj_fail_memory(error, "begin a transaction");
  memset(tx, 0, sizeof *tx);
  tx->child.end = end;
  tx->os = os;
  tx->db = db;
  tx->alterations = db->alterations;
  tx->next = db->transactions;
  if (tx->next != NULL) tx->next->previous = tx;
  db->transactions = tx;
  status = fj_local_create(os, &tx->local, error);
  if (status == FREYJA_OK && serializable) status = fj_local_create(os, &tx->reads, error);
  if (status != FREYJA_OK) fj_transaction_close(tx);
  else *out = tx;
  return status;
}

/* OK, or why the transaction cannot go on. */
static freyja_status check(const freyja_transaction *tx, freyja_error *error) {
  if (tx->has_ended)
    return fj_fail(error, FREYJA_CLOSED, NULL, "the transaction has been committed");
  if (tx->db == NULL)
    return fj_fail(error, FREYJA_CLOSED, NULL, "the transaction's store is closed");
  return fj_store_check_process(tx->db, error);
}

/* ---- reading -------------------------------------------------------------- */

/* Remembers that the key's record had that timestamp, or that it was not there: 0. */
static freyja_status note_read(freyja_transaction *tx, freyja_slice key, uint64_t hash,
                               uint64_t timestamp, freyja_error *error) {
  static const freyja_slice none = {NULL, 0};
  const fj_edit *known = fj_local_find(tx->reads, key.data, key.size, hash, tx->reads->count);
  if (known != NULL) {
    tx->is_broken = tx->is_broken || known->read != timestamp;
    return FREYJA_OK;
  }
  fj_edit head = {.hash = hash, .read = timestamp, .kind = FJ_KIND_PUT};
  return fj_local_set(tx->reads, &head, key, none, error);
}

static void note_expiry(fj_local *local, const fj_record *record) {
  uint64_t expiry = fj_record_expiry(record);
  if (expiry == 0) return;
  if (local->soonest == 0 || expiry < local->soonest) local->soonest = expiry;
}

/* What a key is to the transaction: one of its own edits, or else the store's record. */
typedef struct fj_seen {
  const fj_edit *edit; /* NULL: the store was asked */
  fj_found found;      /* then: release it in any case */
} fj_seen;

/* OK or NOTFOUND. `whole`: the value is read and verified. */
static freyja_status look(freyja_transaction *tx, freyja_slice key, bool whole, fj_seen *seen,
                          freyja_error *error) {
  seen->edit = NULL;
  seen->found.block = NULL;
  freyja_status status = check(tx, error);
  if (status != FREYJA_OK) return status;
  if (key.size > FREYJA_KEY_SIZE_MAX) return FREYJA_NOTFOUND;
  uint64_t hash = fj_index_hash(&tx->db->index, key.data, key.size);
  seen->edit = fj_local_find(tx->local, key.data, key.size, hash, tx->local->count);
  if (seen->edit != NULL) return seen->edit->kind == FJ_KIND_PUT ? FREYJA_OK : FREYJA_NOTFOUND;
  status = fj_store_find(tx->db, key.data, key.size, hash, whole, &seen->found, error);
  if (tx->reads == NULL || (status != FREYJA_OK && status != FREYJA_NOTFOUND)) return status;
  const fj_record *record = &seen->found.record;
  uint64_t timestamp = status == FREYJA_OK ? record->timestamp : 0;
  if (status == FREYJA_OK) note_expiry(tx->local, record);
  freyja_status noted = note_read(tx, key, hash, timestamp, error);
  return noted == FREYJA_OK ? status : noted;
}

freyja_status fj_transaction_get(freyja_transaction *transaction, const void *key,
                                 size_t key_size, void *buffer, size_t capacity,
                                 size_t *value_size, freyja_error *error) {
  fj_seen seen;
  freyja_slice slice = {key, key_size};
  freyja_status status = look(transaction, slice, true, &seen, error);
  if (status == FREYJA_OK) {
    freyja_slice value = {seen.found.record.value, seen.found.record.value_size};
    if (seen.edit != NULL) value = fj_edit_value(seen.edit);
    *value_size = value.size;
    if (value.size <= capacity && value.size > 0) memcpy(buffer, value.data, value.size);
  }
  fj_found_release(&seen.found);
  return status;
}

freyja_status fj_transaction_has(freyja_transaction *transaction, const void *key,
                                 size_t key_size, freyja_error *error) {
  fj_seen seen;
  freyja_slice slice = {key, key_size};
  freyja_status status = look(transaction, slice, false, &seen, error);
  fj_found_release(&seen.found);
  return status;
}

/* ---- iterating -------------------------------------------------------------- */

/* The local storage as it was when an iterator was made. */
typedef struct fj_snapshot {
  fj_local *local;
  uint32_t end; /* number of the first edit that came later */
} fj_snapshot;

static bool shows(void *self, const fj_record *record, uint64_t key_hash) {
  fj_snapshot *snapshot = self;
  bool hidden = fj_local_find(snapshot->local, record->key, record->key_size, key_hash,
                              snapshot->end) != NULL;
  if (!hidden) note_expiry(snapshot->local, record);
  return !hidden;
}

static bool own_entry(void *self, uint32_t *at, freyja_entry *entry) {
  fj_snapshot *snapshot = self;
  const fj_edit *edit = fj_local_next(snapshot->local, at, snapshot->end);
  while (edit != NULL && edit->kind != FJ_KIND_PUT) {
    (*at)++;
    edit = fj_local_next(snapshot->local, at, snapshot->end);
  }
  if (edit == NULL) return false;
  memset(entry, 0, sizeof *entry);
  entry->key = fj_edit_key(edit);
  entry->value = fj_edit_value(edit);
  return true;
}

static void release_snapshot(void *self) {
  fj_snapshot *snapshot = self;
  const fj_os *os = snapshot->local->os;
  fj_local_let_go(snapshot->local);
  fj_local_release(snapshot->local);
  os->release(os->context, snapshot);
}

/* Of a serializable transaction: from now on it hears of writes to keys that begin so (X1). */
static freyja_status watch(freyja_transaction *tx, freyja_slice prefix, freyja_error *error) {
  if (tx->reads == NULL) return FREYJA_OK;
  fj_range *range = tx->os->allocate(tx->os->context, sizeof *range + prefix.size);
  if (range == NULL) return fj_fail_memory(error, "iterate in a transaction");
  range->size = prefix.size;
  if (prefix.size > 0) memcpy(range->bytes, prefix.data, prefix.size);
  range->next = tx->ranges;
  tx->ranges = range;
  tx->db->watches++;
  return FREYJA_OK;
}

void fj_store_tell_watches(fj_store *db, const void *key, size_t key_size) {
  for (freyja_transaction *tx = db->transactions; tx != NULL; tx = tx->next)
    for (const fj_range *range = tx->ranges; range != NULL; range = range->next)
      if (key_size >= range->size &&
          (range->size == 0 || memcmp(key, range->bytes, range->size) == 0))
        tx->is_broken = true;
}

void fj_store_break_watches(fj_store *db) {
  for (freyja_transaction *tx = db->transactions; tx != NULL; tx = tx->next)
    if (tx->ranges != NULL) tx->is_broken = true;
}

freyja_status fj_transaction_iterate(freyja_transaction *transaction,
                                     const freyja_iterator_options *options,
                                     freyja_iterator **out, freyja_error *error) {
  static const freyja_slice all = {NULL, 0};
  freyja_transaction *tx = transaction;
  *out = NULL;
  freyja_status status = check(tx, error);
  if (status == FREYJA_OK) status = fj_keydir_bring_all(&tx->db->index.keydir, error); /* K6 */
  if (status == FREYJA_OK) status = watch(tx, options == NULL ? all : options->prefix, error);
  if (status != FREYJA_OK) return status;
  fj_snapshot *snapshot = tx->os->allocate(tx->os->context, sizeof *snapshot);
  if (snapshot == NULL) return fj_fail_memory(error, "iterate in a transaction");
  snapshot->local = tx->local;
  snapshot->end = tx->local->count;
  tx->local->references++;
  fj_local_hold(tx->local);
  fj_overlay overlay = {snapshot, shows, own_entry, release_snapshot};
  return fj_iterator_create(&tx->db->iterators, &tx->db->index, options, &overlay, out, error);
}

/* ---- writing ---------------------------------------------------------------- */

/* Adds an edit, if what would then be committed still fits a segment. */
static freyja_status add_edit(freyja_transaction *tx, const fj_edit *head, freyja_slice key,
                              freyja_slice value, freyja_error *error) {
  fj_store *db = tx->db;
  uint8_t flags = head->ttl == 0 ? 0 : FJ_FLAG_EXPIRES;
  freyja_status status = fj_store_check_sizes(db, flags, key.size, value.size, error);
  if (status != FREYJA_OK) return status;
  uint64_t room = db->options.segment_size - FJ_SEGMENT_HEADER;
  uint64_t size = fj_record_size(flags, key.size, value.size);
  uint64_t all = fj_local_bytes_with(tx->local, key, head->hash, size);
  if (all > room)
    return fj_fail(error, FREYJA_LIMIT, db->dir.path,
                   "the transaction would take %" PRIu64 " bytes; at most %" PRIu64
                   " fit a segment of %" PRIu32,
                   all, room, db->options.segment_size);
  return fj_local_set(tx->local, head, key, value, error);
}

static freyja_status check_write(const freyja_transaction *tx, freyja_error *error) {
  freyja_status status = check(tx, error);
  return status == FREYJA_OK ? fj_store_check_write(tx->db, error) : status;
}

freyja_status fj_transaction_put(freyja_transaction *transaction, const void *key,
                                 size_t key_size, const void *value, size_t value_size,
                                 uint64_t ttl, freyja_error *error) {
  uint64_t expiry = 0;
  freyja_status status = check_write(transaction, error);
  if (status != FREYJA_OK) return status;
  fj_store *db = transaction->db;
  status = fj_store_set_expiry(db, fj_clock_now(&db->index.clock), ttl, &expiry, error);
  if (status != FREYJA_OK) return status;
  fj_edit head = {
      .hash = fj_index_hash(&db->index, key, key_size), .ttl = ttl, .kind = FJ_KIND_PUT};
  return add_edit(transaction, &head, (freyja_slice){key, key_size},
                  (freyja_slice){value, value_size}, error);
}

freyja_status fj_transaction_delete(freyja_transaction *transaction, const void *key,
                                    size_t key_size, freyja_error *error) {
  fj_seen seen;
  freyja_slice slice = {key, key_size};
  freyja_status status = check_write(transaction, error);
  if (status == FREYJA_OK)
    status = fj_store_check_sizes(transaction->db, 0, key_size, 0, error);
  if (status != FREYJA_OK) return status;
  status = look(transaction, slice, false, &seen, error);
  fj_found_release(&seen.found);
  if (status != FREYJA_OK) return status;
  fj_edit head = {.hash = fj_index_hash(&transaction->db->index, key, key_size),
                  .kind = FJ_KIND_TOMBSTONE};
  return add_edit(transaction, &head, slice, (freyja_slice){NULL, 0}, error);
}

/* ---- committing ------------------------------------------------------------- */

static freyja_status fail_conflict(const fj_store *db, freyja_error *error) {
  return fj_fail(error, FREYJA_CONFLICT, db->dir.path,
                 "something that the transaction has read was changed since");
}

/* OK if the key's record is the one that was read, or still not there; else CONFLICT. */
static freyja_status check_read(fj_store *db, const fj_edit *read, freyja_error *error) {
  fj_found found;
  freyja_slice key = fj_edit_key(read);
  found.block = NULL;
  freyja_status status =
      fj_store_find(db, key.data, key.size, read->hash, false, &found, error);
  uint64_t timestamp = status == FREYJA_OK ? found.record.timestamp : 0;
  fj_found_release(&found);
  if (status != FREYJA_OK && status != FREYJA_NOTFOUND) return status;
  return timestamp == read->read ? FREYJA_OK : fail_conflict(db, error);
}

/* OK if all that was read is still so, so that the transaction may as well have run now; else
 * CONFLICT. Backward validation: H. T. Kung, J. T. Robinson, On optimistic methods for
 * concurrency control, 1981. */
static freyja_status validate(const freyja_transaction *tx, freyja_error *error) {
  fj_store *db = tx->db;
  freyja_status status = FREYJA_OK;
  if (tx->reads == NULL) return FREYJA_OK;
  bool any = tx->reads->count > 0 || tx->ranges != NULL;
  uint64_t soonest = tx->local->soonest;
  bool expired = soonest != 0 && soonest <= fj_clock_now(&db->index.clock);
  if (tx->is_broken || expired || (any && tx->alterations != db->alterations))
    return fail_conflict(db, error);
  for (uint32_t i = 0; i < tx->reads->count && status == FREYJA_OK; i++)
    status = check_read(db, tx->reads->edits[i], error);
  return status;
}

freyja_status fj_transaction_commit(freyja_transaction *transaction, freyja_error *error) {
  freyja_transaction *tx = transaction;
  freyja_status status = check(tx, error);
  bool writes = status == FREYJA_OK && tx->local->count > 0;
  if (writes) status = fj_store_check_put(tx->db, error);
  if (status == FREYJA_OK) status = validate(tx, error);
  if (status == FREYJA_OK && writes) status = fj_commit(tx->db, tx->local, error);
  if (status != FREYJA_OK) return status;
  let_go(tx);
  tx->has_ended = true;
  return FREYJA_OK;
}
