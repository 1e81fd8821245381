/* rewrite.c - copying what is live of some segments to new ones. See rewrite.h. */
#include "rewrite.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define AHEAD 2048u /* bytes of records: what is asked for comes while so much is copied */

/* ---- which segments ---------------------------------------------------------- */

static int compare_ids(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a;
  uint64_t y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static freyja_status fail_id(const fj_store *db, uint64_t id, const char *why,
                             freyja_error *error) {
  return fj_fail(error, FREYJA_LIMIT, db->dir.path, "segment %" PRIu64 " %s", id, why);
}

/* Damage below the inputs is left there; in them it would be lost with the file; above them
 * there may be what makes a record dead that looks live. */
static freyja_status check_input(const fj_store *db, const fj_segment *segment,
                                 freyja_error *error) {
  const fj_index *index = &db->index;
  if (!segment->sealed)
    return fail_id(db, segment->id, "is being written; rotate first", error);
  if (!segment->damaged && !(index->has_unknown && index->unknown_rank >= segment->rank))
    return FREYJA_OK;
  if (error != NULL) {
    *error = index->first_damage;
    (void)fj_fail(error, FREYJA_CORRUPT, index->first_damage.path,
                  "segment %" PRIu64 " cannot be merged, as damage would be lost with it: %s",
                  segment->id, index->first_damage.message);
  }
  return FREYJA_CORRUPT;
}

/* `sorted` has the ids asked for. */
static freyja_status collect_inputs(freyja_rewrite *rewrite, const uint64_t *sorted,
                                    size_t count, freyja_error *error) {
  const fj_store *db = rewrite->db;
  for (size_t i = 1; i < count; i++)
    if (sorted[i] == sorted[i - 1])
      return fail_id(db, sorted[i], "stands twice among those to merge", error);
  for (uint32_t i = 0; i < db->index.count; i++) {
    fj_segment *segment = db->index.ranks[i];
    if (bsearch(&segment->id, sorted, count, sizeof *sorted, compare_ids) == NULL) continue;
    freyja_status status = check_input(db, segment, error);
    if (status != FREYJA_OK) return status;
    fj_segment_retain(segment);
    segment->pins++;
    rewrite->inputs[rewrite->input_count++] = segment;
    rewrite->bytes += segment->tail - FJ_SEGMENT_HEADER;
  }
  if (rewrite->input_count == count) return FREYJA_OK;
  size_t i = 0;
  while (fj_index_segment(&db->index, sorted[i]) != NULL) i++;
  return fail_id(db, sorted[i], "is not one of the store", error);
}

static freyja_status choose_inputs(freyja_rewrite *rewrite, const uint64_t *ids, size_t count,
                                   freyja_error *error) {
  const fj_os *os = rewrite->os;
  const fj_store *db = rewrite->db;
  if (count == 0) return fj_fail(error, FREYJA_LIMIT, db->dir.path, "no segments to merge");
  if (count > db->index.count)
    return fj_fail(error, FREYJA_LIMIT, db->dir.path,
                   "%zu segments to merge; the store has %" PRIu32, count, db->index.count);
  rewrite->inputs = os->allocate(os->context, count * sizeof *rewrite->inputs);
  uint64_t *sorted = os->allocate(os->context, count * sizeof *sorted);
  freyja_status status = FREYJA_OK;
  if (rewrite->inputs == NULL || sorted == NULL) {
    status = fj_fail_memory(error, "merge segments");
  } else {
    memcpy(sorted, ids, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_ids);
    status = collect_inputs(rewrite, sorted, count, error);
  }
  os->release(os->context, sorted);
  return status;
}

/* ---- reading the inputs ------------------------------------------------------- */

static freyja_status fail_record(const freyja_rewrite *rewrite, const char *what,
                                 freyja_error *error) {
  char name[FJ_NAME_MAX];
  fj_segment_name(name, rewrite->scan.segment->id);
  return fj_fail_at(error, FREYJA_CORRUPT, &rewrite->db->dir, name,
                    "%s at offset %" PRIu64 " fails verification: the segment is not merged",
                    what, rewrite->scan.offset);
}

/* Each record's slot is somewhere else in the keydir: it is asked for some records before. */
void fj_rewrite_look_ahead(freyja_rewrite *rewrite, const fj_scan *scan) {
  fj_keydir *keydir = &rewrite->db->index.keydir;
  uint64_t hash = 0;
  if (rewrite->ahead < scan->offset) rewrite->ahead = scan->offset;
  while (rewrite->ahead < scan->offset + AHEAD && fj_scan_peek(scan, &rewrite->ahead, &hash))
    fj_keydir_prefetch(keydir, hash & keydir->hash_mask);
}

freyja_status fj_rewrite_read(freyja_rewrite *rewrite, fj_record *record, uint64_t *key_hash,
                              freyja_error *error) {
  while (rewrite->current < rewrite->input_count) {
    fj_segment *segment = rewrite->inputs[rewrite->current];
    if (!rewrite->scanning) {
      fj_scan_open(&rewrite->scan, segment, FJ_SEGMENT_HEADER, segment->tail);
      rewrite->ahead = 0;
    }
    rewrite->scanning = true;
    fj_rewrite_look_ahead(rewrite, &rewrite->scan);
    fj_scan_found found = FJ_SCAN_BAD;
    freyja_status status = fj_scan_next(&rewrite->scan, &found, record, key_hash, error);
    if (status != FREYJA_OK || found == FJ_SCAN_RECORD) return status;
    if (found == FJ_SCAN_BAD) return fail_record(rewrite, "a record", error);
    fj_scan_close(&rewrite->scan);
    rewrite->scanning = false;
    rewrite->current++;
  }
  return FREYJA_END;
}

/* The position of the record at the scan. */
static uint64_t position_of(const freyja_rewrite *rewrite) {
  const fj_scan *scan = &rewrite->scan;
  return fj_word_position(fj_word_make(scan->segment->slot, scan->offset, 0, 0));
}

bool fj_rewrite_find(const freyja_rewrite *rewrite, uint64_t key_hash, fj_place *place) {
  fj_keydir *keydir = &rewrite->db->index.keydir;
  uint64_t position = position_of(rewrite);
  bool more = fj_keydir_find(keydir, key_hash & keydir->hash_mask, place);
  while (more && fj_word_position(place->slot->word) != position) more = fj_keydir_next(place);
  return more;
}

static void pass(freyja_rewrite *rewrite, const fj_record *record) {
  rewrite->done += record->size;
  fj_scan_skip(&rewrite->scan, record);
}

/* ---- what is to be copied ----------------------------------------------------- */

/* Whether the key of the record at the scan, a tombstone or a put that has expired, is there
 * again; *collides tells that another key has its hash. */
static freyja_status is_back(freyja_rewrite *rewrite, const fj_record *record,
                             uint64_t key_hash, bool *back, bool *collides,
                             freyja_error *error) {
  fj_index *index = &rewrite->db->index;
  freyja_status status = FREYJA_OK;
  fj_found found = {.os = rewrite->os};
  bool more = fj_keydir_find(&index->keydir, key_hash & index->keydir.hash_mask, &found.place);
  *back = false;
  *collides = false;
  for (; more && !*back && status == FREYJA_OK; more = fj_keydir_next(&found.place)) {
    found.word = found.place.slot->word;
    if (fj_word_position(found.word) == position_of(rewrite)) continue; /* not forgotten yet */
    status = fj_index_examine(index, &found, record->key_size, error);
    if (status == FREYJA_OK)
      *back = found.record.key_size == record->key_size &&
              memcmp(found.record.key, record->key, record->key_size) == 0;
    *collides = true;
  }
  fj_found_release(&found);
  return status;
}

/* ---- writing the outputs ------------------------------------------------------ */

static freyja_status write_tombstone(freyja_rewrite *rewrite, const fj_record *record,
                                     uint64_t key_hash, bool collides, freyja_error *error) {
  fj_draft draft = {.key = {record->key, record->key_size},
                    .key_hash = key_hash,
                    .timestamp = record->timestamp,
                    .kind = FJ_KIND_TOMBSTONE,
                    .flags = record->flags & FJ_FLAG_COLLIDES};
  if (collides) draft.flags |= FJ_FLAG_COLLIDES;
  if (!fj_lower_may_hold(rewrite, key_hash, record->timestamp)) return FREYJA_OK; /* W4 */
  return fj_outputs_write(&rewrite->out, &draft, NULL, error);
}

static freyja_status keep_record(freyja_rewrite *rewrite, const fj_record *record,
                                 uint64_t key_hash, freyja_slice value, freyja_error *error) {
  fj_draft draft = {.key = {record->key, record->key_size},
                    .value = value,
                    .key_hash = key_hash,
                    .timestamp = record->timestamp,
                    .expiry = fj_record_expiry(record),
                    .kind = FJ_KIND_PUT,
                    .flags = record->flags & (FJ_FLAG_COLLIDES | FJ_FLAG_EXPIRES)};
  return fj_outputs_write(&rewrite->out, &draft, NULL, error);
}

static freyja_status drop_record(freyja_rewrite *rewrite, const fj_record *record,
                                 uint64_t key_hash, freyja_error *error) {
  fj_place place;
  fj_keydir *keydir = &rewrite->db->index.keydir;
  uint64_t hash = key_hash & keydir->hash_mask;
  bool own = fj_rewrite_find(rewrite, key_hash, &place);
  uint32_t same = 0; /* slots of its hash */
  for (bool more = fj_keydir_find(keydir, hash, &place); more; more = fj_keydir_next(&place))
    same++;
  return write_tombstone(rewrite, record, key_hash, same > own, error);
}

/* ---- going through the records ------------------------------------------------ */

/* Comes to the next put that is live, its value whole; tombstones on the way are copied where
 * they are needed. OK with rewrite->waits where it has found one before `until` bytes were
 * passed, or END. */
static freyja_status find_live(freyja_rewrite *rewrite, uint64_t until, freyja_error *error) {
  fj_place place;
  while (!rewrite->waits && rewrite->done < until) {
    fj_record *record = &rewrite->record;
    freyja_status status = fj_rewrite_read(rewrite, record, &rewrite->key_hash, error);
    if (status != FREYJA_OK) return status;
    /* A value that has expired hides older ones as a tombstone does, also when its slot is
     * gone, as it may be from the moment on at which it is due. */
    uint64_t now = fj_clock_now(&rewrite->db->index.clock);
    if (record->kind == FJ_KIND_TOMBSTONE || fj_record_is_due(record, now)) {
      bool back = false, collides = false;
      status = is_back(rewrite, record, rewrite->key_hash, &back, &collides, error);
      if (status == FREYJA_OK && !back)
        status = write_tombstone(rewrite, record, rewrite->key_hash, collides, error);
    } else if (fj_rewrite_find(rewrite, rewrite->key_hash, &place)) {
      status = fj_scan_value(&rewrite->scan, record, &rewrite->waits, error);
      if (status == FREYJA_OK && !rewrite->waits)
        status = fail_record(rewrite, "a value", error);
      if (status == FREYJA_OK) return FREYJA_OK;
    }
    if (status != FREYJA_OK) return status;
    pass(rewrite, record);
  }
  return FREYJA_OK;
}

/* All that is live is copied. */
static freyja_status finish_copying(freyja_rewrite *rewrite, freyja_error *error) {
  freyja_status status = fj_outputs_finish(&rewrite->out, error);
  if (status != FREYJA_OK) return status;
  fj_lower_close(rewrite);
  rewrite->state = FJ_REWRITE_COPIED;
  return FREYJA_END;
}

/* The record that waits was kept or dropped. */
static freyja_status settle_record(freyja_rewrite *rewrite, freyja_status status) {
  if (status != FREYJA_OK) return status;
  pass(rewrite, &rewrite->record);
  rewrite->waits = false;
  return FREYJA_OK;
}

static freyja_slice value_of(const fj_record *record) {
  return (freyja_slice){record->value, record->value_size};
}

static freyja_status copy(freyja_rewrite *rewrite, uint64_t until, freyja_error *error) {
  freyja_status status = FREYJA_OK;
  while (status == FREYJA_OK && rewrite->done < until) {
    status = find_live(rewrite, until, error);
    if (status == FREYJA_OK && rewrite->waits)
      status = settle_record(rewrite, keep_record(rewrite, &rewrite->record, rewrite->key_hash,
                                                  value_of(&rewrite->record), error));
  }
  if (status == FREYJA_OK && rewrite->done >= rewrite->bytes)
    status = find_live(rewrite, UINT64_MAX, error); /* END */
  return status == FREYJA_END ? finish_copying(rewrite, error) : status;
}

/* ---- the interface ------------------------------------------------------------ */

/* OK, or why the rewrite cannot go on. */
static freyja_status check(freyja_rewrite *rewrite, freyja_error *error) {
  if (rewrite->displaced) fj_rewrite_let_go(rewrite);
  if (rewrite->displaced)
    return fj_fail(error, FREYJA_CLOSED, NULL, "another rewrite has taken its place");
  if (rewrite->db == NULL)
    return fj_fail(error, FREYJA_CLOSED, NULL, "the rewrite's store is closed");
  if (rewrite->state == FJ_REWRITE_FAILED)
    return fj_fail(error, FREYJA_CLOSED, rewrite->db->dir.path,
                   "the rewrite has failed; nothing was changed");
  return fj_store_check_process(rewrite->db, error);
}

/* Whether it was committed, and another one has seen to the rest. */
static bool is_over(const freyja_rewrite *rewrite) {
  return rewrite->displaced && rewrite->state == FJ_REWRITE_DONE;
}

/* Passes the status on; a fault ends a rewrite that is not committed. */
static freyja_status pass_fault(freyja_rewrite *rewrite, freyja_status status) {
  if (freyja_is_fault(status) && rewrite->state < FJ_REWRITE_MOVING) {
    fj_rewrite_abandon(rewrite);
    rewrite->state = FJ_REWRITE_FAILED;
  }
  return status;
}

static uint64_t add_up(uint64_t a, uint64_t b) {
  return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* Ends the rewrite that is open, if it is committed, or gives way: what is committed goes
 * through. */
static freyja_status displace(fj_store *db, freyja_error *error) {
  freyja_rewrite *rewrite = db->rewrite;
  if (rewrite == NULL) return FREYJA_OK;
  if (rewrite->closed) return fj_store_settle(db, error); /* W6 */
  if (!rewrite->gives_way && !fj_rewrite_is_committed(rewrite)) return FREYJA_OK;
  freyja_status status = fj_store_settle(db, error);
  if (status != FREYJA_OK) return status;
  (void)fj_store_reap(db, true);
  rewrite->displaced = true;
  if (rewrite->waits) fj_rewrite_leave_lent(rewrite);
  else fj_store_end_rewrite(db);
  return FREYJA_OK;
}

void fj_rewrite_give_way(freyja_rewrite *rewrite) { rewrite->gives_way = true; }

freyja_status fj_rewrite_open(fj_store *db, const uint64_t *ids, size_t count,
                              freyja_rewrite **out, freyja_error *error) {
  const fj_os *os = db->dir.os;
  *out = NULL;
  freyja_status status = fj_store_check_write(db, error);
  if (status == FREYJA_OK) status = displace(db, error);
  if (status != FREYJA_OK) return status;
  if (db->rewrite != NULL)
    return fj_fail(error, FREYJA_CONFLICT, db->dir.path,
                   "another rewrite of the store is under way");
  status = fj_keydir_bring_all(&db->index.keydir, error); /* K6 */
  if (status != FREYJA_OK) return status;
  freyja_rewrite *rewrite = os->allocate(os->context, sizeof *rewrite);
  if (rewrite == NULL) return fj_fail_memory(error, "merge segments");
  memset(rewrite, 0, sizeof *rewrite);
  rewrite->child.end = fj_rewrite_end;
  rewrite->db = db;
  rewrite->os = os;
  fj_outputs_open(&rewrite->out, db, "merge segments");
  db->rewrite = rewrite;
  status = choose_inputs(rewrite, ids, count, error);
  if (status == FREYJA_OK) *out = rewrite;
  else fj_rewrite_close(rewrite);
  return status;
}

freyja_status fj_rewrite_step(freyja_rewrite *rewrite, uint64_t bytes, freyja_error *error) {
  if (is_over(rewrite)) return FREYJA_END;
  freyja_status status = check(rewrite, error);
  if (status != FREYJA_OK) return status;
  if (rewrite->state == FJ_REWRITE_MOVING) return fj_rewrite_move(rewrite, bytes, error);
  if (rewrite->state == FJ_REWRITE_DONE && fj_store_reap(rewrite->db, false)) return FREYJA_OK;
  if (rewrite->state != FJ_REWRITE_COPYING) return FREYJA_END;
  status = fj_store_check_write(rewrite->db, error);
  if (status == FREYJA_OK) status = copy(rewrite, add_up(rewrite->done, bytes), error);
  return pass_fault(rewrite, status);
}

freyja_status fj_rewrite_next(freyja_rewrite *rewrite, freyja_entry *entry,
                              freyja_error *error) {
  if (is_over(rewrite)) return FREYJA_END;
  freyja_status status = check(rewrite, error);
  if (status != FREYJA_OK) return status;
  if (rewrite->state != FJ_REWRITE_COPYING) return FREYJA_END;
  status = fj_store_check_write(rewrite->db, error);
  if (status == FREYJA_OK && rewrite->waits) status = fj_rewrite_keep(rewrite, NULL, error);
  if (status == FREYJA_OK) status = find_live(rewrite, UINT64_MAX, error);
  if (status == FREYJA_END) status = finish_copying(rewrite, error);
  if (status == FREYJA_OK) {
    memset(entry, 0, sizeof *entry);
    entry->key = (freyja_slice){rewrite->record.key, rewrite->record.key_size};
    entry->value = value_of(&rewrite->record);
    entry->timestamp = rewrite->record.timestamp;
    entry->expiry = fj_record_expiry(&rewrite->record);
  }
  return pass_fault(rewrite, status);
}

static freyja_status check_waits(freyja_rewrite *rewrite, freyja_error *error) {
  freyja_status status = check(rewrite, error);
  if (status == FREYJA_OK) status = fj_store_check_write(rewrite->db, error);
  if (status != FREYJA_OK || rewrite->waits) return status;
  return fj_fail(error, FREYJA_LIMIT, rewrite->db->dir.path,
                 "there is no record to keep or drop: the rewrite's next has given none");
}

freyja_status fj_rewrite_keep(freyja_rewrite *rewrite, const freyja_slice *value,
                              freyja_error *error) {
  freyja_status status = check_waits(rewrite, error);
  if (status != FREYJA_OK) return status;
  const fj_record *record = &rewrite->record;
  if (value != NULL && value->size > record->value_size) { /* what is no longer fits */
    status =
        fj_store_check_sizes(rewrite->db, record->flags, record->key_size, value->size, error);
    if (status != FREYJA_OK) return status;
  }
  freyja_slice kept = value != NULL ? *value : value_of(record);
  bool same = kept.size == record->value_size &&
              (kept.size == 0 || memcmp(kept.data, record->value, kept.size) == 0);
  rewrite->alters = rewrite->alters || !same;
  status = keep_record(rewrite, record, rewrite->key_hash, kept, error);
  return pass_fault(rewrite, settle_record(rewrite, status));
}

freyja_status fj_rewrite_drop(freyja_rewrite *rewrite, freyja_error *error) {
  freyja_status status = check_waits(rewrite, error);
  if (status != FREYJA_OK) return status;
  rewrite->alters = true;
  status = drop_record(rewrite, &rewrite->record, rewrite->key_hash, error);
  return pass_fault(rewrite, settle_record(rewrite, status));
}

freyja_status fj_rewrite_commit(freyja_rewrite *rewrite, freyja_error *error) {
  if (is_over(rewrite)) return FREYJA_OK;
  freyja_status status = check(rewrite, error);
  if (status != FREYJA_OK || rewrite->state >= FJ_REWRITE_MOVING) return status;
  status = fj_rewrite_step(rewrite, UINT64_MAX, error);
  if (status != FREYJA_END) return status;
  return pass_fault(rewrite, fj_rewrite_swap(rewrite, error));
}
