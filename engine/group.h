/* group.h - durable writes of several threads at once. Under FREYJA_SYNC_ALWAYS a put waits
 * for the disk; those of other threads that come meanwhile wait in a queue, and whoever is
 * next writes all of them by one commit, with one sync (group commit: D. DeWitt et al.,
 * Implementation techniques for main memory database systems, 1984).
 *
 * Q1  A write has returned OK only if a sync behind its record has; one that failed has
 * changed nothing, whatever became of the others that were written with it. */
#ifndef FJ_GROUP_H
#define FJ_GROUP_H

#include "share.h"

/* A put, or a deletion, of a thread that waits for its outcome. */
typedef struct fj_request {
  freyja_slice key, value;
  uint64_t hash, ttl;
  uint8_t kind; /* FJ_KIND_PUT or FJ_KIND_TOMBSTONE */
  freyja_status status;
  freyja_error *error; /* may be NULL */
  bool has_ended;
  struct fj_request *next;
} fj_request;

/* Whether writes by this handle are better made so. */
static inline bool fj_group_is_worth_it(const freyja *db) {
  return db->store->options.sync_mode == FREYJA_SYNC_ALWAYS &&
         fj_observe(&db->share->is_shared) && fj_store_is_owner(db->store);
}

/* As freyja_put_ttl, and with the kind of a tombstone as freyja_delete. */
freyja_status fj_group_write(freyja *db, fj_request *request);

#endif
