/* store.h - an open store: what the files of the top layer (store.c, bootstrap.c,
 * write.c, read.c, expire.c, report.c) share.
 *
 * D1  Bytes, then the published tail, then the slot: a reader that follows a
 *     slot finds a whole record.
 * D2  Whatever can fail (memory, space, a sync that was asked for) has happened
 *     before the slot changes: a write that fails changes nothing.
 * D3  Once poisoned, nothing is written any more. */
#ifndef FJ_STORE_H
#define FJ_STORE_H

#include "hintwriter.h"
#include "iterator.h"
#include "manifest.h"

/* Looking for slots of what has expired, and what is known of those that were looked at. */
typedef struct fj_sweep {
  bool open;      /* it goes on */
  uint32_t shard; /* the next */
  uint64_t now;
  uint64_t soonest; /* expiry of those that stay */
  uint64_t kept;    /* of those, how many have expired */
} fj_sweep;

/* The record that a store has read last which follows another's log. */
typedef struct fj_last {
  uint64_t id; /* of the segment; 0: there is none */
  uint64_t offset;
  uint8_t header[FJ_RECORD_HEADER];
} fj_last;

typedef struct fj_store {
  fj_dir dir;
  bool made;     /* the folder, by this open */
  int lock_file; /* -1: none (read-only) */
  freyja_options options;
  const volatile uint32_t *fork_guard; /* NULL: `process` tells */
  const volatile uint32_t *gate;       /* the same; while it is stale a word that is 0 */
  uint32_t process;
  fj_manifest manifest;
  fj_index index;
  fj_segment *active; /* of the index; NULL when read-only */
  fj_iterators iterators;
  freyja_transaction *transactions; /* those that are open; NULL: none is */
  uint64_t watches; /* prefixes of keys that open serializable transactions have iterated */
  uint64_t alterations; /* rewrites that were committed and changed values or dropped keys */
  freyja_rewrite *rewrite;  /* the one that is open; NULL: none */
  freyja_load *load;        /* the one that is open; NULL: none */
  fj_hint_writer *hinting;  /* the hint file that is being written by steps; NULL: none */
  uint32_t hints_displaced; /* that were, before another came, since one was finished */
  fj_sweep sweep;           /* the search for what has expired that goes on by steps */
  bool poisoned;
  bool is_named; /* a MANIFEST that is durable names the segments: they may be claimed (S5) */
  fj_last last;  /* read-only: see follow.c */
  freyja_error stale; /* why a refresh has left nothing that can be read; or OK */
  uint64_t last_sync; /* os->monotonic; of the last sync, or of the first write after it */
  bool dirty;         /* under sync = milliseconds: the flusher is to look, and alone says that
                         it has; atomic.h */
  void (*wake)(uint64_t microseconds); /* tells who syncs it when nobody writes; or NULL */
  uint64_t puts, deletes, syncs;
  freyja_recovery recovery;
} fj_store;

/* OK in the process that opened the store, else FORKED. */
freyja_status fj_store_check_owner(const fj_store *db, freyja_error *error);

/* OK if the store may be read: as above, and the fault by which a refresh has failed. */
freyja_status fj_store_check_process(const fj_store *db, freyja_error *error);

/* Nothing can be read from now on, because of that fault; or, without one, again. */
void fj_store_set_stale(fj_store *db, const freyja_error *fault);

/* OK if the store may be written: else FORKED, READONLY or POISONED. */
freyja_status fj_store_check_write(fj_store *db, freyja_error *error);

/* OK if records may be written: as above, and CONFLICT while a bulk load is under way. */
freyja_status fj_store_check_put(fj_store *db, freyja_error *error);

/* Makes what was written durable; a failure poisons. */
freyja_status fj_store_sync(fj_store *db, freyja_error *error);

/* Under sync = milliseconds: syncs what is due before anything is written, so that a failure
 * leaves the write undone. */
freyja_status fj_store_sync_if_due(fj_store *db, freyja_error *error);

/* When what is put now with that time to live (0: none) expires. Faults: LIMIT. */
freyja_status fj_store_set_expiry(const fj_store *db, uint64_t now, uint64_t ttl,
                                  uint64_t *expiry, freyja_error *error);

/* A key is written: tells the transactions that have iterated over such keys. */
void fj_store_tell_watches(fj_store *db, const void *key, size_t key_size);

/* Many keys are written: all transactions that have iterated take it that theirs are. */
void fj_store_break_watches(fj_store *db);

/* Finds the record of a key with that hash, if it has not expired: OK or NOTFOUND, both of
 * which are sure. `whole`: its value is read and verified, too. Release *found in any case.
 * Faults: those of freyja_get. */
freyja_status fj_store_find(fj_store *db, const void *key, size_t key_size, uint64_t hash,
                            bool whole, fj_found *found, freyja_error *error);

/* OK, or LIMIT if a record with such flags and sizes does not fit a segment. */
freyja_status fj_store_check_sizes(const fj_store *db, uint8_t flags, size_t key_size,
                                   size_t value_size, freyja_error *error);

/* fj_index_claim, once a MANIFEST is durable. A commit has succeeded whatever comes of this: a
 * sync that failed poisons, and what could not be written is tried again when a segment is
 * begun, and at backup and close. */
void fj_store_claim(fj_store *db);

/* fj_index_reap; a sync that failed poisons. */
bool fj_store_reap(fj_store *db, bool all);

/* As fj_manifest_write; then forgets retired files that are gone for good. */
freyja_status fj_store_write_manifest(fj_store *db, fj_manifest *manifest, bool *replaced,
                                      freyja_error *error);

/* Makes the rewrite that is open, if any, inert: what is not committed has not happened. */
void fj_store_end_rewrite(fj_store *db);

/* Gives up the hint file that is being written by steps, if one is. */
void fj_store_end_hinting(fj_store *db);

/* Moves what slots a committed rewrite has not moved yet (swap.c), and ends it if its owner
 * has closed it. Faults: IO, CORRUPT, MEMORY. */
freyja_status fj_store_settle(fj_store *db, freyja_error *error);

/* Seals the last segment, if there is one, and begins another. */
freyja_status fj_store_begin_segment(fj_store *db, freyja_error *error);

/* Before closing, when the log is durable: writes a KEYDIR if that is worth it: if opening
 * without it had much to read, and much in comparison with the KEYDIR. A fault is none of the
 * store's. */
void fj_store_leave_checkpoint(fj_store *db);

/* Removes the slots of records that have expired, if there are any, so that what is counted is
 * what can be read. Returns how many remain, for want of memory to tell the iterators of them.
 * Where a header cannot be read its slot stays. Time in proportion to the keys that expire. */
uint64_t fj_store_expire(fj_store *db);

/* ---- opening (bootstrap.c) ---------------------------------------------------------- */

/* A store in that folder, which is open, or made, and nothing else. The options may be NULL.
 * Then either fj_store_start or fj_store_discard. Faults: LIMIT (an option), IO, MEMORY. */
freyja_status fj_store_create(const char *path, const freyja_options *options, fj_store **out,
                              freyja_error *error);

/* Locks and recovers it. Faults: those of freyja_open. After one it is to be discarded. */
freyja_status fj_store_start(fj_store *db, freyja_error *error);

/* Gives the store up without a write. */
void fj_store_discard(fj_store *db);

/* ---- what the calls of freyja.h do, on behalf of any handle (api.c) --------------- */

/* Each is the call of that name in freyja.h; the two with a time to live in microseconds (0:
 * none) are those of the calls that end in _ttl. */
freyja_status fj_store_close(fj_store *db, freyja_error *error);

/* In the child of a fork, which touches nothing else of the store: closes the descriptors by
 * which the parent's lock would be held on. */
void fj_store_let_files_go(fj_store *db);

freyja_status fj_store_put(fj_store *db, const void *key, size_t key_size, const void *value,
                           size_t value_size, uint64_t ttl, freyja_error *error);
freyja_status fj_store_insert(fj_store *db, const void *key, size_t key_size,
                              const void *value, size_t value_size, uint64_t ttl,
                              freyja_error *error);
freyja_status fj_store_cas(fj_store *db, const void *key, size_t key_size,
                           const freyja_slice *expected, const freyja_slice *desired,
                           uint64_t ttl, freyja_error *error);
freyja_status fj_store_delete(fj_store *db, const void *key, size_t key_size,
                              freyja_error *error);

freyja_status fj_store_get(fj_store *db, const void *key, size_t key_size, void *buffer,
                           size_t capacity, size_t *value_size, freyja_error *error);
freyja_status fj_store_get_ttl(fj_store *db, const void *key, size_t key_size, uint64_t *ttl,
                               freyja_error *error);
freyja_status fj_store_get_many(fj_store *db, freyja_item *items, size_t count, void *buffer,
                                size_t capacity, size_t *needed, freyja_error *error);
freyja_status fj_store_has(fj_store *db, const void *key, size_t key_size,
                           freyja_error *error);
freyja_status fj_store_get_view(fj_store *db, const void *key, size_t key_size,
                                freyja_view *view, freyja_error *error);
freyja_status fj_store_iterate(fj_store *db, const freyja_iterator_options *options,
                               freyja_iterator **out, freyja_error *error);

/* freyja_sync, of a read-only store too. */
freyja_status fj_store_flush(fj_store *db, freyja_error *error);
freyja_status fj_store_rotate(fj_store *db, freyja_error *error);
freyja_status fj_store_hint(fj_store *db, uint64_t id, freyja_error *error);
freyja_status fj_store_hint_step(fj_store *db, uint64_t id, uint64_t bytes,
                                 freyja_error *error);
freyja_status fj_store_checkpoint(fj_store *db, freyja_error *error);
/* freyja_expire */
freyja_status fj_store_expire_some(fj_store *db, uint64_t slots, freyja_error *error);

void fj_store_get_stats(fj_store *db, freyja_stats *out);
size_t fj_store_get_segments(fj_store *db, freyja_segment *out, size_t capacity);
size_t fj_store_peek_segments(fj_store *db, freyja_segment *out, size_t capacity);
void fj_store_get_pulse(fj_store *db, freyja_pulse *out);

/* Whether this is the process that opened the store, not one that was forked from it. */
static inline bool fj_store_is_owner(const fj_store *db) {
  if (db->fork_guard != NULL) return *db->fork_guard == 1;
  return db->dir.os->process(db->dir.os->context) == db->process;
}

/* The same; and that it can be read. */
static inline bool fj_store_is_process(const fj_store *db) {
  if (db->gate != NULL) return *db->gate == 1;
  return db->dir.os->process(db->dir.os->context) == db->process;
}

#endif
