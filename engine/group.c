/* group.c - see group.h. */
#include "group.h"

#include <sched.h>

#include "commit.h"

#define PATIENCE 40u /* microseconds */

/* ---- one after the other ------------------------------------------------------- */

static void write_alone(fj_store *store, fj_request *r) {
  if (r->kind == FJ_KIND_PUT)
    r->status = fj_store_put(store, r->key.data, r->key.size, r->value.data, r->value.size,
                             r->ttl, r->error);
  else r->status = fj_store_delete(store, r->key.data, r->key.size, r->error);
}

/* ---- together -------------------------------------------------------------------- */

/* Whether it can be written with those that are in `local`: it is right by itself, its key is
 * none of theirs, and all of it fits a segment. */
static bool can_join(const fj_store *store, const fj_local *local, const fj_request *r) {
  uint8_t flags = r->ttl == 0 ? 0 : FJ_FLAG_EXPIRES;
  if (fj_store_check_sizes(store, flags, r->key.size, r->value.size, NULL) != FREYJA_OK)
    return false;
  uint64_t size = fj_record_size(flags, r->key.size, r->value.size);
  if (fj_local_find(local, r->key.data, r->key.size, r->hash, local->count) != NULL)
    return false;
  return fj_local_bytes_with(local, r->key, r->hash, size) <=
         store->options.segment_size - FJ_SEGMENT_HEADER - FJ_RECORD_ALIGN;
}

static freyja_status outcome(const fj_local *local, const fj_request *r) {
  const fj_edit *edit = fj_local_find(local, r->key.data, r->key.size, r->hash, local->count);
  return edit->is_skipped ? FREYJA_NOTFOUND : FREYJA_OK;
}

/* Commits requests, up to `end`, that have joined. Where that fails each is tried alone, as
 * the fault may be of one of them; but not where what is on the disk is not known. */
static void commit_all(fj_store *store, fj_local *local, fj_request *first,
                       const fj_request *end) {
  freyja_error fault;
  freyja_status status = fj_store_check_put(store, &fault);
  if (status == FREYJA_OK) status = fj_commit(store, local, &fault);
  for (fj_request *r = first; r != end; r = r->next) {
    if (status == FREYJA_OK) {
      r->status = outcome(local, r);
    } else if (store->poisoned) {
      r->status = status;
      if (r->error != NULL) *r->error = fault;
    } else {
      write_alone(store, r);
    }
  }
}

/* Writes some of the requests, the first at least; returns the first of the others. */
static fj_request *write_some(fj_store *store, fj_request *first) {
  fj_local *local = NULL;
  fj_request *end = first;
  if (first->next == NULL || fj_local_create(store->dir.os, &local, NULL) != FREYJA_OK) {
    write_alone(store, first);
    return first->next;
  }
  while (end != NULL && can_join(store, local, end)) {
    fj_edit head = {.hash = end->hash, .ttl = end->ttl, .kind = end->kind};
    if (fj_local_set(local, &head, end->key, end->value, NULL) != FREYJA_OK) break;
    end = end->next;
  }
  if (end == first || end == first->next) {
    write_alone(store, first);
    end = first->next;
  } else {
    commit_all(store, local, first, end);
  }
  fj_local_release(local);
  return end;
}

/* ---- the queue ------------------------------------------------------------------- */

/* Waits for its turn to lead, or for another to have written the request: false. */
static bool wait_for_turn(fj_share *share, fj_request *request) {
  (void)pthread_mutex_lock(&share->queue_lock);
  *share->queue_end = request;
  share->queue_end = &request->next;
  fj_note(&share->queue_count, share->queue_count + 1);
  while (!request->has_ended && share->is_led)
    (void)pthread_cond_wait(&share->queue_moved, &share->queue_lock);
  bool leads = !request->has_ended;
  if (leads) share->is_led = true;
  (void)pthread_mutex_unlock(&share->queue_lock);
  return leads;
}

/* Those who were written together last have just been told, and come again perhaps: a moment
 * for them, which is little beside a sync. */
static void let_others_come(const fj_share *share, const fj_os *os) {
  uint64_t start = os->timer(os->context);
  while (fj_glance(&share->queue_count) < share->last_count &&
         os->timer(os->context) - start < PATIENCE)
    (void)sched_yield();
}

static fj_request *take_queue(fj_share *share) {
  (void)pthread_mutex_lock(&share->queue_lock);
  fj_request *first = share->queue;
  share->last_count = share->queue_count;
  fj_note(&share->queue_count, 0);
  share->queue = NULL;
  share->queue_end = &share->queue;
  (void)pthread_mutex_unlock(&share->queue_lock);
  return first;
}

/* Their owners may go on, and with that the requests are gone. */
static void end_all(fj_share *share, fj_request *first) {
  (void)pthread_mutex_lock(&share->queue_lock);
  for (fj_request *r = first, *next = NULL; r != NULL; r = next) {
    next = r->next;
    r->has_ended = true;
  }
  share->is_led = false;
  (void)pthread_cond_broadcast(&share->queue_moved);
  (void)pthread_mutex_unlock(&share->queue_lock);
}

static freyja_status write_in_turn(freyja *db, fj_request *request) {
  fj_share *share = db->share;
  request->next = NULL;
  request->has_ended = false;
  request->hash = fj_index_hash(&db->store->index, request->key.data, request->key.size);
  if (!wait_for_turn(share, request)) return request->status;
  let_others_come(share, db->store->dir.os);
  fj_store *store = fj_enter(db);
  fj_request *first = take_queue(share);
  for (fj_request *r = first; r != NULL;) r = write_some(store, r);
  (void)fj_leave(db, FREYJA_OK);
  end_all(share, first);
  return request->status;
}

/* Others hold on to the request: the thread must not be ended while it waits. */
freyja_status fj_group_write(freyja *db, fj_request *request) {
  int before = 0;
  (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
  freyja_status status = write_in_turn(db, request);
  (void)pthread_setcancelstate(before, NULL);
  return status;
}
