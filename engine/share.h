/* share.h - how threads get at a store. Each has a handle of its own; the handles of one
 * process share the store.
 *
 * A call goes in by fj_enter and comes out by fj_leave: in between no other thread is in
 * there. While there is one handle only, that costs no lock: it says that it is busy and looks
 * whether it is alone, and who opens a second one first says that it is not, has all threads
 * pass a barrier, and waits until it is not busy any more (biased locking, with the barrier on
 * the side of who comes rarely, as in hazard pointers and RCU: P. McKenney, M. Desnoyers,
 * L. Jiangshan, 2010).
 *
 * Y1  While a store is not shared, its only handle is the only thread's that uses it. It is
 *     shared from when there is a second one until its last is closed; and, with one, while
 *     the flusher is in there.
 *
 * Y2  A child of a process that has a store shared, made by a fork, neither waits for locks
 *     nor holds them: another thread, which it does not have, may have them for ever. */
#ifndef FJ_SHARE_H
#define FJ_SHARE_H

#include <pthread.h>

#include "atomic.h"
#include "child.h"
#include "store.h"

#define FJ_APART 64u /* bytes: a line of the caches */

/* A store that is open in this process. */
typedef struct fj_share {
  fj_store *store;      /* NULL while it is opened or closed */
  pthread_mutex_t door; /* handles come and go, and with the second one `is_shared` */
  uint32_t pins;        /* who waits for the door; in the registry's lock */
  pthread_mutex_t lock; /* once it is shared: who is in the store */
  uint32_t is_shared;   /* atomic.h */
  uint32_t waiting;     /* how many threads wait for the lock; atomic.h */
  uint32_t turns;       /* of those that had to wait, since the open; atomic.h */
  fj_guard guard;       /* of those who read without it */
  /* Writes that are made together: see group.h. */
  pthread_mutex_t queue_lock;
  pthread_cond_t queue_moved;
  struct fj_request *queue, **queue_end;
  uint32_t queue_count,
      last_count; /* of those that wait, and that were written together last */
  bool is_led;
  freyja *handles;         /* all that are open */
  const freyja *in_charge; /* of maintenance; NULL: nobody yet, or not any more */
  uint64_t asked;          /* os->timer: when it did last */
  bool flushes;            /* it has use for the flusher */
  bool listed;             /* others can find it by */
  uint64_t device, number; /* these, which tell its folder */
  struct fj_share *next;
} fj_share;

struct freyja {
  fj_store *store;
  fj_share *share;
  freyja *next, *previous; /* of the same store */
  fj_child *children;
  uint8_t apart[FJ_APART]; /* from what other threads write */
  uint32_t busy;           /* atomic.h; Y1 */
  fj_reader reader;
  uint8_t apart_too[FJ_APART];
};

void fj_enter_shared(freyja *db);
void fj_leave_shared(freyja *db);

/* Waits until no other thread is in the store. */
static inline fj_store *fj_enter(freyja *db) {
  fj_note(&db->busy, 1);
  if (db->share->guard.fences) fj_fence();
  else fj_light_fence();
  if (fj_observe(&db->share->is_shared)) fj_enter_shared(db);
  return db->store;
}

/* Passes the status on. */
static inline freyja_status fj_leave(freyja *db, freyja_status status) {
  if (db->busy != 0) fj_publish(&db->busy, 0);
  else fj_leave_shared(db);
  return status;
}

/* As fj_leave, for what comes again and again and takes long: those who wait go in first,
 * since a lock prefers who is running (at most a millisecond is given to them). */
freyja_status fj_leave_to_others(freyja *db, freyja_status status);

/* Whether the handle is of a process of which this one is a fork, where other threads had it
 * shared: then nothing of the store is touched, not even to free it (Y2). */
bool fj_is_stranded(const freyja *db);

/* freyja_take_charge, in there. */
bool fj_take_charge(const freyja *db);

/* What was just opened is the handle's. The `end` of child.h is the caller's to set. */
void fj_child_join(freyja *db, fj_child *child);
void fj_child_part(fj_child *child);

#endif
