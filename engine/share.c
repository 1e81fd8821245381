/* share.c - opening and closing: see share.h. */
#include "share.h"

#include "flusher.h"

#include <assert.h>
#include <sched.h>
#include <string.h>

#define YIELDS 100u    /* before one naps while a call goes on, */
#define NAP 100u       /* microseconds */
#define COURTESY 1000u /* microseconds */

/* The stores that this process has open for writing, by which a second open finds them. */
static struct {
  pthread_once_t once;
  pthread_mutex_t lock;
  pthread_cond_t changed; /* one has been opened, or closed */
  fj_share *first;
} registry = {.once = PTHREAD_ONCE_INIT,
              .lock = PTHREAD_MUTEX_INITIALIZER,
              .changed = PTHREAD_COND_INITIALIZER};

/* The child of a fork has none open (Y2). */
static void forget_all(void) {
  pthread_mutex_t unlocked = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t quiet = PTHREAD_COND_INITIALIZER;
  registry.lock = unlocked;
  registry.changed = quiet;
  registry.first = NULL;
  fj_flusher_forget();
}

static void begin_registry(void) { (void)pthread_atfork(NULL, NULL, forget_all); }

static void lock_registry(void) {
  (void)pthread_once(&registry.once, begin_registry);
  (void)pthread_mutex_lock(&registry.lock);
}

static void unlock_registry(void) { (void)pthread_mutex_unlock(&registry.lock); }

/* Somebody who has kept a share from being given up does not any more. In the registry's
 * lock. */
static void unpin(fj_share *share) {
  if (--share->pins == 0) (void)pthread_cond_broadcast(&registry.changed);
}

/* ---- in and out ------------------------------------------------------------- */

void fj_enter_shared(freyja *db) {
  fj_share *share = db->share;
  fj_publish(&db->busy, 0);
  if (!fj_store_is_owner(db->store) || pthread_mutex_trylock(&share->lock) == 0) return;
  fj_add(&share->waiting, 1u);
  (void)pthread_mutex_lock(&share->lock);
  fj_add(&share->waiting, -1u);
  fj_add(&share->turns, 1u);
}

void fj_leave_shared(freyja *db) {
  if (fj_store_is_owner(db->store)) (void)pthread_mutex_unlock(&db->share->lock);
}

freyja_status fj_leave_to_others(freyja *db, freyja_status status) {
  fj_share *share = db->share;
  const fj_os *os = db->store->dir.os;
  uint32_t turns = fj_glance(&share->turns);
  bool waited_for = fj_glance(&share->waiting) > 0;
  (void)fj_leave(db, status);
  if (!waited_for || !fj_store_is_owner(db->store)) return status;
  uint64_t until = os->timer(os->context) + COURTESY;
  for (unsigned i = 0; fj_glance(&share->turns) == turns; i++) {
    if (fj_glance(&share->waiting) == 0 || os->timer(os->context) >= until) break;
    if (i < YIELDS) (void)sched_yield();
    else os->sleep(os->context, NAP);
  }
  return status;
}

/* From now on calls wait for the lock; true if none goes on that has not. With the door
 * locked, so that no handle comes or goes. */
static bool make_shared(fj_share *share) {
  const fj_os *os = share->store->dir.os;
  if (share->handles->next != NULL) return true; /* it is, and has been waited for */
  fj_publish(&share->is_shared, 1);
  fj_fence();
  if (!share->guard.fences) (void)os->barrier(os->context);
  return fj_observe(&share->handles->busy) == 0;
}

/* There is a second handle from now on. */
static void begin_sharing(fj_share *share) {
  const fj_os *os = share->store->dir.os;
  for (unsigned i = 0; !make_shared(share); i++) {
    if (i < YIELDS) (void)sched_yield();
    else os->sleep(os->context, NAP);
  }
}

#define IDLE 2000000u /* microseconds after which another takes its place */

bool fj_take_charge(const freyja *db) {
  fj_share *share = db->share;
  const fj_os *os = db->store->dir.os;
  uint64_t now = os->timer(os->context);
  bool other = share->in_charge != NULL && share->in_charge != db;
  if (other && now - share->asked < IDLE) return false;
  share->in_charge = db;
  share->asked = now;
  return true;
}

/* ---- syncing what nobody writes to ------------------------------------------------ */

#define AGAIN 10000u /* microseconds, where a call is under way */

/* Goes in, if no call is under way. */
static bool try_to_enter(fj_share *share) {
  return make_shared(share) && pthread_mutex_trylock(&share->lock) == 0;
}

/* Comes out. With one handle nothing is shared any more: it may wait for the lock right now,
 * and needs none the next time (Y1). */
static void leave_again(fj_share *share) {
  if (share->handles->next == NULL) fj_publish(&share->is_shared, 0);
  (void)pthread_mutex_unlock(&share->lock);
}

/* Microseconds until the store is to be synced, which may be right now. */
static uint64_t find_due(const fj_store *store) {
  const fj_os *os = store->dir.os;
  uint64_t interval = (uint64_t)store->options.sync_ms * 1000;
  if (!fj_observe(&store->dirty)) return UINT64_MAX;
  uint64_t passed = os->monotonic(os->context) - fj_glance(&store->last_sync);
  return passed < interval ? interval - passed : 0;
}

/* Syncs it, if no call is under way; returns when to look again. */
static uint64_t flush_now(fj_share *share) {
  uint64_t next = AGAIN;
  if (pthread_mutex_trylock(&share->door) != 0) return AGAIN;
  if (share->handles == NULL) {
    next = UINT64_MAX; /* it is being closed */
  } else if (try_to_enter(share)) {
    /* A fault poisons: whoever writes next is told. */
    if (!share->store->poisoned) (void)fj_store_sync(share->store, NULL);
    fj_note(&share->store->dirty, false);
    leave_again(share);
    next = UINT64_MAX;
  }
  (void)pthread_mutex_unlock(&share->door);
  return next;
}

/* With the registry locked, which it is not while the disk is waited for. */
static uint64_t flush_if_due(fj_share *share) {
  uint64_t due = find_due(share->store);
  if (due > 0) return due;
  share->pins++;
  unlock_registry();
  due = flush_now(share);
  lock_registry();
  unpin(share);
  return due;
}

uint64_t fj_share_flush_due(void) {
  uint64_t next = UINT64_MAX;
  lock_registry();
  for (fj_share *share = registry.first; share != NULL; share = share->next) {
    uint64_t due = share->flushes && share->store != NULL ? flush_if_due(share) : UINT64_MAX;
    if (due < next) next = due;
  }
  unlock_registry();
  return next;
}

/* ---- children --------------------------------------------------------------- */

void fj_child_join(freyja *db, fj_child *child) {
  child->handle = db;
  child->previous = NULL;
  child->next = db->children;
  if (child->next != NULL) child->next->previous = child;
  db->children = child;
}

void fj_child_part(fj_child *child) {
  if (child->handle == NULL) return;
  if (child->previous != NULL) child->previous->next = child->next;
  else child->handle->children = child->next;
  if (child->next != NULL) child->next->previous = child->previous;
  child->handle = NULL;
}

/* ---- opening ---------------------------------------------------------------- */

static void add_handle(fj_share *share, freyja *made) {
  memset(made, 0, sizeof *made);
  made->store = share->store;
  made->share = share;
  made->next = share->handles;
  if (made->next != NULL) made->next->previous = made;
  share->handles = made;
  fj_guard_add(&share->guard, &made->reader);
}

/* The store with that folder; waits while it is being opened or closed. NULL: there is none.
 * With the registry locked. */
static fj_share *find_share(const fj_os *os, const fj_os_stat *folder) {
  fj_share *share = registry.first;
  while (share != NULL) {
    bool same = share->guard.os == os && share->device == folder->device &&
                share->number == folder->number;
    if (same && share->store != NULL) return share;
    if (same) (void)pthread_cond_wait(&registry.changed, &registry.lock);
    share = same ? registry.first : share->next;
  }
  return NULL;
}

static void list_share(fj_share *share, const fj_os_stat *folder) {
  share->listed = true;
  share->device = folder->device;
  share->number = folder->number;
  share->next = registry.first;
  registry.first = share;
}

/* When nobody holds on to it any more. */
static void unlist_share(fj_share *share) {
  while (share->pins > 0) (void)pthread_cond_wait(&registry.changed, &registry.lock);
  fj_share **link = &registry.first;
  while (*link != NULL && *link != share) link = &(*link)->next;
  if (*link == share) *link = share->next; /* not there in the child of a fork */
  share->listed = false;
  (void)pthread_cond_broadcast(&registry.changed);
}

static bool is_other_sync(const freyja_options *has, const freyja_options *asked) {
  bool by_mode = asked->sync_mode != FREYJA_SYNC_DEFAULT;
  if (!by_mode && asked->sync_ms == FREYJA_SYNC_MS_DEFAULT) return false;
  freyja_sync_mode mode = by_mode ? asked->sync_mode : FREYJA_SYNC_INTERVAL;
  return mode != has->sync_mode ||
         (mode == FREYJA_SYNC_INTERVAL && asked->sync_ms != has->sync_ms);
}

/* Whether a handle with these options, or NULL, may join the others. */
static freyja_status check_same(const fj_store *store, const freyja_options *asked,
                                freyja_error *error) {
  const freyja_options *has = &store->options;
  const char *what = NULL;
  if (asked == NULL) return FREYJA_OK;
  if (asked->io != has->io && asked->io != FREYJA_IO_DEFAULT) what = "io";
  if (asked->segment_size != has->segment_size && asked->segment_size != 0)
    what = "segment_size";
  if (is_other_sync(has, asked)) what = "sync";
  if (what == NULL) return FREYJA_OK;
  return fj_fail(error, FREYJA_CONFLICT, store->dir.path,
                 "the store is open in this process with another %s", what);
}

/* Opens the store, which no handle has yet, as the one of `share`. After a fault it is given
 * up, before others, who have waited, try. */
static freyja_status open_alone(fj_share *share, fj_store *store, freyja *made,
                                freyja_error *error) {
  freyja_status status = fj_store_start(store, error);
  if (status != FREYJA_OK) fj_store_discard(store);
  if (status == FREYJA_OK && share->listed)
    share->flushes = store->options.sync_mode == FREYJA_SYNC_INTERVAL;
  if (share->flushes) {
    fj_flusher_begin();
    store->wake = fj_flusher_wake;
  }
  if (share->listed) lock_registry();
  if (status == FREYJA_OK) {
    share->store = store;
    store->index.guard = store->index.keydir.guard = &share->guard;
    add_handle(share, made);
  }
  if (share->listed) {
    if (status == FREYJA_OK) (void)pthread_cond_broadcast(&registry.changed);
    else unlist_share(share);
    unlock_registry();
  }
  return status;
}

/* Adds the handle to those that there are. With the door locked. */
static void add_another(fj_share *share, freyja *made) {
  begin_sharing(share);
  (void)pthread_mutex_lock(&share->lock);
  add_handle(share, made);
  (void)pthread_mutex_unlock(&share->lock);
}

/* Adds the handle to those of a store that is open, if it is still; *joined tells. */
static freyja_status enter_by_door(fj_share *other, const freyja_options *asked, freyja *made,
                                   bool *joined, freyja_error *error) {
  freyja_status status = FREYJA_OK;
  (void)pthread_mutex_lock(&other->door);
  if (other->handles != NULL) {
    status = check_same(other->store, asked, error);
    *joined = status == FREYJA_OK;
  }
  if (*joined) add_another(other, made);
  (void)pthread_mutex_unlock(&other->door);
  return status;
}

/* Joins those who have the store open already, if somebody has; *joined tells. `share` is
 * listed otherwise, so that others wait for it. */
static freyja_status join(fj_share *share, const fj_store *store, const freyja_options *asked,
                          freyja *made, bool *joined, freyja_error *error) {
  const fj_dir *dir = &store->dir;
  fj_os_stat folder;
  *joined = false;
  int code = dir->os->stat(dir->os->context, dir->fd, &folder);
  if (code != 0) return fj_fail_os(error, code, dir, NULL, "examine");
  freyja_status status = FREYJA_OK;
  lock_registry();
  for (fj_share *other = NULL; status == FREYJA_OK && !*joined && !share->listed;) {
    other = find_share(dir->os, &folder);
    if (other == NULL) {
      list_share(share, &folder);
      continue;
    }
    other->pins++;
    unlock_registry();
    status = enter_by_door(other, asked, made, joined, error);
    lock_registry();
    unpin(other);
  }
  unlock_registry();
  return status;
}

static fj_share *create_share(const fj_os *os, freyja_error *error) {
  fj_share *share = os->allocate(os->context, sizeof *share);
  if (share == NULL) {
    (void)fj_fail_memory(error, "open a store");
    return NULL;
  }
  memset(share, 0, sizeof *share);
  fj_guard_create(&share->guard, os, false);
  share->queue_end = &share->queue;
  /* As glibc has them, neither can fail. */
  (void)pthread_mutex_init(&share->door, NULL);
  (void)pthread_mutex_init(&share->lock, NULL);
  (void)pthread_mutex_init(&share->queue_lock, NULL);
  (void)pthread_cond_init(&share->queue_moved, NULL);
  return share;
}

static void destroy_share(const fj_os *os, fj_share *share) {
  (void)pthread_mutex_destroy(&share->door);
  (void)pthread_mutex_destroy(&share->lock);
  (void)pthread_mutex_destroy(&share->queue_lock);
  (void)pthread_cond_destroy(&share->queue_moved);
  os->release(os->context, share);
}

/* The store is taken over, or given up. *joined: what was opened is another one, and `share`
 * is of no use. */
static freyja_status open_or_join(fj_share *share, fj_store *store,
                                  const freyja_options *asked, freyja *made, bool *joined,
                                  freyja_error *error) {
  const fj_os *os = store->dir.os;
  freyja_status status = FREYJA_OK;
  *joined = false;
  if (!store->options.readonly)
    fj_guard_create(&share->guard, os, os->barrier(os->context) != 0);
  if (!store->options.readonly && os->shares)
    status = join(share, store, asked, made, joined, error);
  if (status == FREYJA_OK && !*joined) return open_alone(share, store, made, error);
  fj_store_discard(store);
  return status;
}

freyja_status freyja_open(const char *path, const freyja_options *options, freyja **out,
                          freyja_error *error) {
  fj_store *store = NULL;
  bool joined = false;
  *out = NULL;
  freyja_status status = fj_store_create(path, options, &store, error);
  if (status != FREYJA_OK) return status;
  const fj_os *os = store->dir.os;
  fj_share *share = create_share(os, error);
  freyja *made = share == NULL ? NULL : os->allocate(os->context, sizeof *made);
  if (made != NULL) {
    status = open_or_join(share, store, options, made, &joined, error);
  } else {
    status = fj_fail_memory(error, "open a store");
    fj_store_discard(store);
  }
  if ((status != FREYJA_OK || joined) && share != NULL) destroy_share(os, share);
  if (status == FREYJA_OK) *out = made;
  else os->release(os->context, made);
  return status;
}

freyja_status freyja_open_again(freyja *db, freyja **out, freyja_error *error) {
  fj_store *store = db->store;
  fj_share *share = db->share;
  const fj_os *os = store->dir.os;
  *out = NULL;
  freyja_status status = fj_store_check_owner(store, error);
  if (status != FREYJA_OK) return status;
  if (store->options.readonly)
    return fj_fail(error, FREYJA_READONLY, store->dir.path, "the store was opened read-only");
  freyja *made = os->allocate(os->context, sizeof *made);
  if (made == NULL) return fj_fail_memory(error, "open a store");
  (void)pthread_mutex_lock(&share->door);
  add_another(share, made);
  (void)pthread_mutex_unlock(&share->door);
  *out = made;
  return FREYJA_OK;
}

/* ---- closing ---------------------------------------------------------------- */

bool fj_is_stranded(const freyja *db) {
  return db != NULL && fj_observe(&db->share->is_shared) && !fj_store_is_owner(db->store);
}

/* Takes the handle from its store. *last: it was the last one, so that nobody can find the
 * store any more. False, and nothing is done, if it is not, and has not been flushed. In the
 * child of a fork there is nobody else, and the door may have been locked. */
static bool remove_handle(freyja *db, bool owned, bool flushed, bool *last) {
  fj_share *share = db->share;
  if (owned) (void)pthread_mutex_lock(&share->door);
  *last = db->next == NULL && db->previous == NULL;
  bool goes = *last || flushed;
  if (goes) {
    (void)fj_enter(db);
    if (db->previous != NULL) db->previous->next = db->next;
    else share->handles = db->next;
    if (db->next != NULL) db->next->previous = db->previous;
    fj_guard_remove(&share->guard, &db->reader);
    (void)fj_leave(db, FREYJA_OK);
  }
  if (goes && *last && share->listed) {
    lock_registry();
    share->store = NULL; /* who opens the folder now waits */
    unlock_registry();
  }
  if (owned) (void)pthread_mutex_unlock(&share->door);
  return goes;
}

/* Ends what the handle has opened. */
static void end_children(freyja *db) {
  (void)fj_enter(db);
  while (db->children != NULL) {
    fj_child *child = db->children;
    child->end(child);
    fj_child_part(child);
  }
  if (db->share->in_charge == db) db->share->in_charge = NULL;
  (void)fj_leave(db, FREYJA_OK);
}

/* What was written is durable then, as when a store is closed. */
static freyja_status flush(freyja *db, freyja_error *error) {
  fj_store *store = fj_enter(db);
  return fj_leave(db, fj_store_flush(store, error));
}

freyja_status freyja_close(freyja *db, freyja_error *error) {
  if (db == NULL) return FREYJA_OK;
  fj_store *store = db->store;
  fj_share *share = db->share;
  const fj_os *os = store->dir.os;
  freyja_status status = FREYJA_OK;
  if (fj_is_stranded(db)) { /* the handle stays, for its children to know */
    fj_store_let_files_go(store);
    return FREYJA_OK;
  }
  bool flushed = false, last = false;
  bool owned = fj_store_is_owner(store);
  end_children(db);
  while (!remove_handle(db, owned, flushed, &last)) {
    status = flush(db, error);
    flushed = true;
  }
  if (last) {
    freyja_status closed = fj_store_close(store, status == FREYJA_OK ? error : NULL);
    if (status == FREYJA_OK) status = closed;
    if (share->listed) {
      lock_registry();
      unlist_share(share);
      unlock_registry();
    }
    if (share->flushes && owned) fj_flusher_end();
    destroy_share(os, share);
  }
  os->release(os->context, db);
  return status;
}
