/* local.h - the local storage of a transaction: what it has put and deleted and nobody else
 * sees yet, as a hash table of the newest edit of each key, and in the order in which the keys
 * were first written. The keys that a serializable one has read are kept in such a table, too.
 *
 * While an iterator looks at it (fj_local_hold), an edit that another takes the place of stays
 * for it; otherwise it is freed.
 *
 * O1  Of the edits of a key one, the newest, has no later one; only that is in the table. */
#ifndef FJ_LOCAL_H
#define FJ_LOCAL_H

#include "error.h"
#include "record.h"

#define FJ_NO_EDIT UINT32_MAX /* a number that no edit has */

typedef struct fj_edit {
  uint64_t hash; /* of the key, with the store's seed */
  uint64_t ttl;  /* of a put, microseconds; 0: it does not expire */
  uint64_t read; /* of a key that was read: the timestamp of its record; 0: it was not there */
  uint32_t value_size;
  uint16_t key_size;
  uint8_t kind;            /* FJ_KIND_PUT or FJ_KIND_TOMBSTONE */
  uint32_t earlier, later; /* the same key's edits before and after it, or FJ_NO_EDIT */

  /* While it is committed (commit.c). */
  uint8_t flags;      /* of its record */
  bool is_skipped;    /* nothing to do: what it deletes is not there */
  bool is_new;        /* the key has no slot, */
  bool is_placed;     /* or one that leads behind the log's end */
  uint64_t old_word;  /* of the slot otherwise, */
  uint64_t old_stamp; /* and the timestamp of the record that it points to */
  uint64_t word;      /* what the slot is to become */
  uint64_t timestamp, expiry;

  uint8_t bytes[]; /* key, then value */
} fj_edit;

typedef struct fj_local {
  const fj_os *os;
  uint32_t references;
  uint32_t holders; /* iterators that look at it */
  fj_edit **edits;  /* by their numbers */
  uint32_t count, room;
  uint32_t replaced; /* of them, how many have a later one */
  uint32_t *slots;   /* open addressing: number + 1, or 0 */
  uint32_t capacity; /* a power of two, or 0 */
  uint64_t bytes;    /* that the records of the newest edits take */
  uint64_t soonest;  /* expiry of what was read of the store beside; 0: none expires */
} fj_local;

/* An empty one with one reference. Faults: MEMORY. */
freyja_status fj_local_create(const fj_os *os, fj_local **out, freyja_error *error);

/* Gives up a reference; the last one frees it. NULL is allowed. */
void fj_local_release(fj_local *local);

/* The newest edit of the key among those with numbers below `end`, or NULL. */
const fj_edit *fj_local_find(const fj_local *local, const void *key, size_t key_size,
                             uint64_t hash, uint32_t end);

/* The edit at number *at or behind that is the newest of its key among those below `end`, and
 * moves *at to its number; or NULL. */
fj_edit *fj_local_next(const fj_local *local, uint32_t *at, uint32_t end);

/* Bytes that the edits' records would take if this one was added. */
uint64_t fj_local_bytes_with(const fj_local *local, freyja_slice key, uint64_t hash,
                             uint64_t size);

/* Adds a copy of the edit `head`, whose key and value are given; it takes the place of the
 * key's newest. Faults: MEMORY, LIMIT (2^30 of them); then nothing has changed. */
freyja_status fj_local_set(fj_local *local, const fj_edit *head, freyja_slice key,
                           freyja_slice value, freyja_error *error);

/* From now on the edits below local->count stay as they are for whoever holds it. */
void fj_local_hold(fj_local *local);
void fj_local_let_go(fj_local *local);

static inline freyja_slice fj_edit_key(const fj_edit *edit) {
  return (freyja_slice){edit->bytes, edit->key_size};
}

static inline freyja_slice fj_edit_value(const fj_edit *edit) {
  return (freyja_slice){edit->bytes + edit->key_size, edit->value_size};
}

/* Bytes that its record takes. */
static inline uint64_t fj_edit_size(const fj_edit *edit) {
  uint8_t flags = edit->ttl == 0 ? 0 : FJ_FLAG_EXPIRES;
  return fj_record_size(flags, edit->key_size, edit->value_size);
}

#endif
