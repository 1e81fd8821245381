/* follow.c - see follow.h. */
#include "follow.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "adopt.h"
#include "leftovers.h"
#include "lock.h"
#include "recovery.h"

#define TRIES_MAX 100u /* to read what a writer goes on changing */

/* ---- all of it ---------------------------------------------------------------- */

static freyja_status read_manifest(const fj_store *db, fj_manifest *out, freyja_error *error) {
  bool found = false;
  freyja_status status = fj_manifest_read(&db->dir, out, &found, error);
  if (status != FREYJA_OK || found) return status;
  return fj_fail_os(error, -ENOENT, &db->dir, NULL, "find a store in this folder");
}

/* Whether the MANIFEST is another by now than `of`; not where that cannot be told. */
static bool is_replaced(const fj_store *db, const fj_manifest *of) {
  fj_manifest manifest;
  if (read_manifest(db, &manifest, NULL) != FREYJA_OK) return false;
  bool replaced = manifest.generation != of->generation;
  fj_manifest_clear(&db->dir, &manifest);
  return replaced;
}

/* Where the whole records of a file that grows end, of transactions all: behind `from`, which
 * is the place of one, and its mark, before which all is complete, or damage. */
static freyja_status find_end(fj_segment *segment, uint64_t from, uint64_t *end,
                              freyja_error *error) {
  fj_scan scan;
  segment->pool->log_end = 0;
  freyja_status status = fj_segment_measure(segment, error);
  *end = from > segment->mark ? from : segment->mark;
  if (status != FREYJA_OK || segment->reserved <= *end) return status;
  fj_scan_open(&scan, segment, *end, segment->reserved & ~(uint64_t)(FJ_RECORD_ALIGN - 1));
  for (;;) {
    fj_scan_found found = FJ_SCAN_BAD;
    fj_record record;
    uint64_t hash = 0;
    bool whole = false;
    status = fj_scan_next(&scan, &found, &record, &hash, error);
    if (status != FREYJA_OK || found != FJ_SCAN_RECORD) break;
    status = fj_scan_value(&scan, &record, &whole, error);
    if (status != FREYJA_OK || !whole || !fj_record_is_padded(&record)) break;
    fj_scan_skip(&scan, &record);
    if ((record.flags & FJ_FLAG_MORE) == 0) *end = scan.offset;
  }
  fj_scan_close(&scan);
  return status;
}

/* Where the log of the manifest ends by now, in its last segment: `own`, if that is the one,
 * is known as far as its tail. 0: at that file's end, whatever that is. */
static freyja_status find_log_end(fj_store *db, const fj_manifest *manifest, fj_segment *own,
                                  uint64_t *end, freyja_error *error) {
  fj_pool pool = {.dir = &db->dir,
                  .identity = manifest->identity,
                  .io = FREYJA_IO_SYSCALL,
                  .readonly = true};
  fj_segment *segment = NULL;
  freyja_error why;
  *end = 0;
  const fj_manifest_entry *last =
      manifest->count == 0 ? NULL : &manifest->entries[manifest->count - 1];
  if (last == NULL || last->size != 0) return FREYJA_OK;
  if (own != NULL && own->id == last->id) return find_end(own, own->tail, end, error);
  freyja_status status =
      fj_segment_open(&pool, last->id, 0, db->options.segment_size, &segment, &why, error);
  if (status != FREYJA_OK) return status;
  if (!segment->damaged) status = find_end(segment, FJ_SEGMENT_HEADER, end, error);
  fj_segment_detach(segment);
  fj_segment_release(segment);
  return status;
}

static void make_empty(fj_store *db) {
  uint64_t time = fj_clock_told(&db->index.clock);
  fj_index_destroy(&db->index);
  fj_index_create(&db->index, &db->dir, &db->manifest.identity, db->options.io, true, 64);
  fj_clock_raise(&db->index.clock, time); /* what has expired stays so */
}

/* What is shown must be there again after a loss of power, too: a process that was killed may
 * have put the MANIFEST in its place and not synced the directory. A writer answers for what
 * it does itself, and read-only media lose nothing. */
static freyja_status settle_directory(const fj_store *db, bool live, freyja_error *error) {
  int code = live ? 0 : fj_sync_dir(db->dir.os, db->dir.fd);
  if (code == 0 || code == -EROFS || code == -EINVAL) return FREYJA_OK;
  return fj_fail_os(error, code, &db->dir, NULL, "sync");
}

/* Reads the store as it is now, with a writer at work or not; nothing of it where the MANIFEST
 * does not stand even until the log's end is found. */
static freyja_status read_once(fj_store *db, bool live, bool *stands, freyja_error *error) {
  fj_index *index = &db->index;
  fj_manifest *manifest = &db->manifest;
  fj_segment *active = NULL;
  make_empty(db);
  fj_manifest_clear(&db->dir, manifest);
  memset(&db->recovery, 0, sizeof db->recovery);
  freyja_status status = read_manifest(db, manifest, error);
  if (status == FREYJA_OK) status = settle_directory(db, live, error);
  /* Beside a writer there may be files that no MANIFEST names yet. */
  bool litter = false; /* a writer's to remove */
  if (status == FREYJA_OK && !live)
    status = fj_leftovers_check(&db->dir, manifest, &litter, error);
  if (status != FREYJA_OK) return status;
  uint64_t end = 0;
  status = find_log_end(db, manifest, NULL, &end, error);
  *stands = !is_replaced(db, manifest);
  if (status != FREYJA_OK || !*stands) return status;
  fj_index_empty(index, manifest);
  index->pool.live = live;
  index->pool.log_end = end;
  status =
      fj_recover(index, manifest, db->options.segment_size, &active, &db->recovery, error);
  if (status == FREYJA_OK) fj_clock_raise(&index->clock, index->last_timestamp);
  return status;
}

static freyja_status fail_hasty(const fj_store *db, freyja_error *error) {
  return fj_fail_at(error, FREYJA_CONFLICT, &db->dir, "MANIFEST",
                    "a writer has replaced it %u times while it was read", TRIES_MAX);
}

/* Whether a file is not there as the MANIFEST has it: because it is another's turn by now, or
 * because it is damaged. */
static bool lacks_files(const fj_store *db) {
  const fj_index *index = &db->index;
  for (uint32_t i = 0; i < index->count && i < db->manifest.count; i++) {
    const fj_segment *segment = index->ranks[i];
    uint64_t size = db->manifest.entries[i].size;
    if (segment->missing || (size != 0 && segment->limit != size)) return true;
  }
  return false;
}

freyja_status fj_follow_read(fj_store *db, freyja_error *error) {
  freyja_status status = FREYJA_OK;
  bool live = false, settled = false;
  for (unsigned tries = 0; !settled && tries < TRIES_MAX; tries++) {
    bool before = live;
    status = fj_lock_is_held(&db->dir, &live, error);
    if (status != FREYJA_OK) break;
    bool stands = true;
    status = read_once(db, live || before, &stands, error);
    bool whole = status == FREYJA_OK && stands && !lacks_files(db);
    settled = whole || (stands && !is_replaced(db, &db->manifest));
  }
  if (status == FREYJA_OK && !settled) status = fail_hasty(db, error);
  db->last.id = 0;
  if (status != FREYJA_OK) make_empty(db);
  return status;
}

/* ---- what came since ------------------------------------------------------------ */

/* A refresh under way. */
typedef struct fj_follow {
  fj_store *db;
  fj_manifest manifest; /* as it is now */
  fj_segment **order;   /* its segments */
  bool *is_new;         /* of each: opened just now, and not of the index yet */
  uint32_t count;       /* of those that are there */
  uint32_t known;       /* of those the index had */
  uint64_t horizon;     /* F1 */
  uint64_t records;     /* that were read */
  uint64_t dropped;     /* slots, of records that a merge has dropped */
  bool touched;         /* the index is neither as it was nor as it is to be */
  bool anew;            /* this does not do: all is to be read */
} fj_follow;

static freyja_status read_anew(fj_follow *follow) {
  follow->anew = true;
  return FREYJA_OK;
}

/* Whether the slot of a key is to lead to another record, or to go; tells the iterators. */
static freyja_status lose(fj_store *db, const fj_found *found, freyja_error *error) {
  if (db->iterators.first == NULL) return FREYJA_OK;
  freyja_status status = fj_iterators_reserve(&db->iterators, 1, error);
  if (status == FREYJA_OK)
    fj_iterators_note(&db->iterators, found->segment, found->offset, found->record.timestamp);
  return status;
}

/* A record that is not later than the horizon (F2). */
static freyja_status apply_copy(fj_store *db, const fj_found *found, bool is_there,
                                const fj_record *record, uint64_t word, freyja_error *error) {
  if (!is_there || found->record.timestamp != record->timestamp) return FREYJA_OK;
  if (record->kind == FJ_KIND_PUT) {
    fj_index_replace(&db->index, found->place, word);
    return FREYJA_OK;
  }
  freyja_status status = lose(db, found, error); /* a filter has dropped it */
  if (status == FREYJA_OK) fj_index_delete(&db->index, found->place);
  return status;
}

static freyja_status apply_new(fj_store *db, fj_found *found, bool is_there,
                               const fj_record *record, uint64_t hash, uint64_t word,
                               freyja_error *error) {
  fj_index *index = &db->index;
  uint64_t masked = hash & index->keydir.hash_mask, expiry = fj_record_expiry(record);
  freyja_status status = FREYJA_OK;
  if (is_there) status = lose(db, found, error);
  else if (record->kind == FJ_KIND_PUT)
    status = fj_keydir_reserve(&index->keydir, masked, &found->place, error);
  if (status != FREYJA_OK) return status;
  if (record->timestamp > index->last_timestamp) index->last_timestamp = record->timestamp;
  if (db->watches > 0) fj_store_tell_watches(db, record->key, record->key_size);
  if (record->kind != FJ_KIND_PUT) {
    if (is_there) fj_index_delete(index, found->place);
    return FREYJA_OK;
  }
  fj_index_expect(index, expiry);
  if (is_there) fj_index_replace(index, found->place, word);
  else fj_index_insert(index, found->place, masked, word);
  return FREYJA_OK;
}

static freyja_status apply(fj_follow *follow, const fj_scan *scan, const fj_record *record,
                           uint64_t hash, freyja_error *error) {
  fj_store *db = follow->db;
  fj_found found;
  uint64_t readings = db->index.readings;
  uint64_t word = fj_word_make(scan->segment->slot, scan->offset, record->size, record->flags);
  freyja_status status =
      fj_index_find(&db->index, record->key, record->key_size, hash, false, &found, error);
  bool is_there = status == FREYJA_OK;
  if (is_there || status == FREYJA_NOTFOUND) {
    if (record->timestamp <= follow->horizon)
      status = apply_copy(db, &found, is_there, record, word, error);
    else status = apply_new(db, &found, is_there, record, hash, word, error);
  }
  /* A shard of the KEYDIR was damaged: the slot was set in what is no more. */
  if (readings != db->index.readings) follow->anew = true;
  fj_found_release(&found);
  return status;
}

/* Remembers the record, the last of a log that goes on. */
static void remember(fj_store *db, const fj_scan *scan, const fj_record *record) {
  db->last.id = scan->segment->id;
  db->last.offset = scan->offset;
  memcpy(db->last.header, fj_record_start(record), FJ_RECORD_HEADER);
}

/* Applies what is behind the segment's tail, which moves: all is whole (F3), or damage. */
static freyja_status read_on(fj_follow *follow, fj_segment *segment, freyja_error *error) {
  uint64_t end = (segment->sealed ? segment->limit : segment->reserved) &
                 ~(uint64_t)(FJ_RECORD_ALIGN - 1);
  freyja_status status = FREYJA_OK;
  fj_scan scan;
  fj_scan_open(&scan, segment, segment->tail, end);
  for (;;) {
    fj_scan_found found = FJ_SCAN_BAD;
    fj_record record;
    uint64_t hash = 0;
    bool whole = false;
    status = fj_scan_next(&scan, &found, &record, &hash, error);
    if (status != FREYJA_OK || found != FJ_SCAN_RECORD) break;
    status = fj_scan_value(&scan, &record, &whole, error);
    if (status != FREYJA_OK || !whole) break;
    segment->tail = scan.offset + record.size; /* before the slot: D1 */
    status = apply(follow, &scan, &record, hash, error);
    if (status != FREYJA_OK) segment->tail = scan.offset;
    if (status != FREYJA_OK || follow->anew) break;
    fj_segment_count(segment, record.kind, record.timestamp, fj_record_expiry(&record));
    if (!segment->sealed) remember(follow->db, &scan, &record);
    fj_scan_skip(&scan, &record);
    follow->records++;
  }
  fj_scan_close(&scan);
  if (status != FREYJA_OK || follow->anew) return status;
  return segment->tail == end && end >= segment->mark ? FREYJA_OK : read_anew(follow);
}

/* ---- the segments ----------------------------------------------------------------- */

/* Opens a segment of the new MANIFEST. *gone: its file is not there any more. */
static freyja_status open_segment(fj_follow *follow, const fj_manifest_entry *entry,
                                  fj_segment **out, bool *gone, freyja_error *error) {
  fj_store *db = follow->db;
  freyja_error why;
  freyja_status status = fj_segment_open(&db->index.pool, entry->id, entry->size,
                                         db->options.segment_size, out, &why, error);
  if (status != FREYJA_OK) return status;
  *gone = (*out)->missing;
  bool is_short = (*out)->sealed && (*out)->limit != entry->size;
  if ((*out)->damaged || is_short) follow->anew = true;
  return FREYJA_OK;
}

/* Whether the segment that the index has can go on as it is. */
static bool is_kept(const fj_segment *segment, const fj_manifest_entry *entry) {
  if (segment->sealed) return entry->size == segment->limit;
  return entry->size == 0 && segment->reserved <= segment->limit;
}

/* Whether the file that was opened again is the one that was read so far, and goes on. */
static bool continues(const fj_segment *known, const fj_segment *again) {
  uint64_t end = again->sealed ? again->limit : again->reserved;
  return again->missing || (known->tail <= end && known->created == again->created);
}

/* The segments of the new MANIFEST: those of the index, which stand in the same order, and
 * others, which are opened. */
static freyja_status gather(fj_follow *follow, bool *gone, freyja_error *error) {
  fj_index *index = &follow->db->index;
  uint32_t passed = 0; /* segments of the index */
  freyja_status status = FREYJA_OK;
  while (follow->count < follow->manifest.count && status == FREYJA_OK && !*gone) {
    const fj_manifest_entry *entry = &follow->manifest.entries[follow->count];
    uint32_t at = passed;
    while (at < index->count && index->ranks[at]->id != entry->id) at++;
    fj_segment *known = at < index->count ? index->ranks[at] : NULL;
    fj_segment **place = &follow->order[follow->count];
    if (known != NULL) passed = at + 1, follow->known++;
    if (known != NULL && known->sealed && !is_kept(known, entry)) return read_anew(follow);
    *place = known;
    follow->is_new[follow->count] = known == NULL || !is_kept(known, entry);
    if (follow->is_new[follow->count])
      status = open_segment(follow, entry, place, gone, error);
    if (status == FREYJA_OK && known != NULL && !continues(known, *place)) follow->anew = true;
    if (status == FREYJA_OK) follow->count++;
    if (follow->anew) break;
  }
  return status;
}

/* Takes the files that were opened again for those that the index has. */
static void renew(fj_follow *follow) {
  fj_index *index = &follow->db->index;
  for (uint32_t i = 0; i < follow->count; i++) {
    if (!follow->is_new[i]) continue;
    fj_segment *old = fj_index_segment(index, follow->order[i]->id);
    if (old == NULL) continue;
    fj_index_renew(index, old, follow->order[i]);
    follow->is_new[i] = false;
  }
}

/* Slots that lead to retired segments still, when all copies have theirs, are of records that
 * a merge has dropped, as a filter asked for or because they had expired. */
static freyja_status drop_slots(fj_follow *follow, freyja_error *error) {
  fj_store *db = follow->db;
  fj_index *index = &db->index;
  uint64_t left = 0;
  for (uint32_t i = 0; i < index->slot_count; i++)
    if (index->slots[i] != NULL && index->slots[i]->retired)
      left += index->slots[i]->live_keys;
  for (uint32_t i = 0; i < FJ_SHARDS && left > 0; i++) {
    fj_shard *shard = &index->keydir.shards[i];
    fj_slot *slot = shard->slots;
    while (slot != NULL && slot < shard->slots + shard->limit) {
      fj_place place = {.shard = shard, .slot = slot};
      fj_found found;
      bool goes = slot->word != 0 && index->slots[fj_word_segment(slot->word)]->retired;
      slot += !goes; /* what follows one that is removed moves up to its place */
      if (!goes) continue;
      freyja_status status = fj_index_look(index, place.slot->word, &found, error);
      if (status == FREYJA_OK) status = lose(db, &found, error);
      fj_found_release(&found);
      if (status != FREYJA_OK) return status;
      fj_index_delete(index, place);
      follow->dropped++;
    }
  }
  return FREYJA_OK;
}

/* Applies what the segments have that is new, and lets go of those that are not of the log any
 * more. */
static freyja_status apply_all(fj_follow *follow, freyja_error *error) {
  fj_index *index = &follow->db->index;
  freyja_status status = FREYJA_OK;
  renew(follow);
  fj_index_arrange(index, follow->order, follow->is_new, follow->count);
  memset(follow->is_new, 0, follow->count * sizeof *follow->is_new); /* the index's now */
  for (uint32_t i = 0; i < follow->count && status == FREYJA_OK && !follow->anew; i++) {
    fj_segment *segment = follow->order[i];
    if (!segment->sealed || segment->tail < segment->limit)
      status = read_on(follow, segment, error);
  }
  if (status == FREYJA_OK && !follow->anew && index->retired > 0)
    status = drop_slots(follow, error);
  return status;
}

/* Goes on with another MANIFEST. *gone: a file that it names was removed meanwhile, and
 * nothing has changed. */
static freyja_status reconcile(fj_follow *follow, bool *gone, freyja_error *error) {
  fj_store *db = follow->db;
  fj_index *index = &db->index;
  const fj_os *os = db->dir.os;
  uint32_t count = follow->manifest.count;
  freyja_status status = fj_index_grow(index, count, error);
  follow->order = os->allocate(os->context, count * sizeof *follow->order);
  follow->is_new = os->allocate(os->context, count * sizeof *follow->is_new);
  if (status == FREYJA_OK && (follow->order == NULL || follow->is_new == NULL))
    status = fj_fail_memory(error, "refresh a store");
  if (status == FREYJA_OK) status = gather(follow, gone, error);
  bool goes_on = status == FREYJA_OK && !*gone && !follow->anew;
  bool merged = goes_on && follow->known < index->count;
  /* To tell a copy the record must be read that it is of, and that file may be gone. */
  if (merged && index->pool.io != FREYJA_IO_MMAP) follow->anew = true;
  if (merged && !follow->anew) status = fj_keydir_bring_all(&index->keydir, error); /* K6 */
  if (merged) db->alterations++; /* a filter may have changed what was read */
  bool applies = goes_on && status == FREYJA_OK && !follow->anew;
  follow->touched = applies;
  if (applies) status = apply_all(follow, error);
  for (uint32_t i = 0; i < follow->count && !applies; i++) {
    if (!follow->is_new[i]) continue;
    fj_segment_detach(follow->order[i]);
    fj_segment_release(follow->order[i]);
  }
  os->release(os->context, follow->order);
  os->release(os->context, follow->is_new);
  return status;
}

/* Whether the record that was the last is there still: one that a writer could not write to
 * its end, and took back, may have been seen before. */
static freyja_status check_last(const fj_store *db, fj_segment *active, bool *same,
                                freyja_error *error) {
  uint8_t header[FJ_RECORD_HEADER];
  size_t count = 0;
  *same = true;
  if (db->last.id != active->id) return FREYJA_OK;
  freyja_status status =
      fj_segment_read(active, header, sizeof header, db->last.offset, &count, error);
  *same = count == sizeof header && memcmp(header, db->last.header, sizeof header) == 0;
  return status;
}

/* The segment that was the last and not sealed, or NULL. */
static fj_segment *active_of(const fj_index *index) {
  fj_segment *last = index->count == 0 ? NULL : index->ranks[index->count - 1];
  return last == NULL || last->sealed ? NULL : last;
}

/* As settle_directory for the records that came, up to `end`: all but those of the last file
 * were durable before that had a name. */
static freyja_status settle_log(const fj_follow *follow, const fj_segment *active,
                                uint64_t end, freyja_error *error) {
  const fj_store *db = follow->db;
  const fj_os *os = db->dir.os;
  const fj_manifest *now = &follow->manifest;
  uint64_t last = now->count == 0 ? 0 : now->entries[now->count - 1].id;
  char name[FJ_NAME_MAX];
  int file = -1;
  bool known = now->generation == db->manifest.generation && active != NULL &&
               active->id == last && active->tail >= end;
  if (known) return FREYJA_OK;
  freyja_status status = settle_directory(db, false, error);
  if (status != FREYJA_OK || last == 0) return status;
  fj_segment_name(name, last);
  int code = os->open(os->context, db->dir.fd, name, 0, &file);
  if (fj_segment_is_no_file(code)) return FREYJA_OK; /* what is missing is told elsewhere */
  if (code != 0) return fj_fail_os(error, code, &db->dir, name, "open");
  code = fj_sync(os, file);
  (void)os->close(os->context, file);
  if (code == 0 || code == -EROFS || code == -EINVAL) return FREYJA_OK;
  return fj_fail_os(error, code, &db->dir, name, "sync");
}

/* Reads the MANIFEST, and finds out where its log ends (F3). *settled: it still is the one. */
static freyja_status look(fj_follow *follow, bool *settled, freyja_error *error) {
  fj_store *db = follow->db;
  fj_segment *active = active_of(&db->index);
  uint64_t end = 0;
  bool same = true, live = false;
  fj_manifest_clear(&db->dir, &follow->manifest);
  freyja_status status = fj_lock_is_held(&db->dir, &live, error);
  if (status == FREYJA_OK) status = read_manifest(db, &follow->manifest, error);
  if (status == FREYJA_OK && active != NULL) status = check_last(db, active, &same, error);
  if (status == FREYJA_OK) status = find_log_end(db, &follow->manifest, active, &end, error);
  if (status == FREYJA_OK && !live) status = settle_log(follow, active, end, error);
  if (status != FREYJA_OK) return status;
  db->index.pool.log_end = end;
  *settled = !is_replaced(db, &follow->manifest);
  if (!same) return read_anew(follow);
  return active == NULL ? FREYJA_OK : fj_segment_measure(active, error);
}

/* Takes over what the MANIFEST that was read says. */
static freyja_status take_over(fj_follow *follow, bool *gone, freyja_error *error) {
  fj_store *db = follow->db;
  const fj_manifest *now = &follow->manifest;
  fj_segment *active = active_of(&db->index);
  if (memcmp(&now->identity, &db->manifest.identity, sizeof now->identity) != 0)
    return fj_fail_at(error, FREYJA_CORRUPT, &db->dir, "MANIFEST",
                      "this is another store than the one that was opened");
  bool same = now->generation == db->manifest.generation;
  if (same && (active == NULL || active->reserved <= active->limit)) {
    freyja_status status = active == NULL ? FREYJA_OK : read_on(follow, active, error);
    follow->touched = follow->records > 0;
    return status == FREYJA_CORRUPT ? read_anew(follow) : status;
  }
  if (db->index.damage_count > 0 || now->generation < db->manifest.generation)
    return read_anew(follow);
  return reconcile(follow, gone, error);
}

static freyja_status go_on(fj_follow *follow, freyja_error *error) {
  freyja_status status = FREYJA_OK;
  bool settled = false;
  for (unsigned tries = 0; !settled && tries < TRIES_MAX; tries++) {
    bool gone = false;
    status = look(follow, &settled, error);
    if (status != FREYJA_OK || follow->anew) return status;
    if (settled) status = take_over(follow, &gone, error);
    if (status != FREYJA_OK || follow->anew) return status;
    if (gone && settled && !is_replaced(follow->db, &follow->manifest))
      return read_anew(follow); /* nobody has taken it away: it is damaged */
    settled = settled && !gone;
    if (!settled) follow->count = follow->known = 0;
  }
  return settled ? FREYJA_OK : fail_hasty(follow->db, error);
}

/* All is read anew, if that has to be; iterators do not outlive it. */
static freyja_status read_all(fj_store *db, freyja_error *error) {
  fj_iterators_detach(&db->iterators);
  if (db->watches > 0) fj_store_break_watches(db);
  db->alterations++;
  db->sweep.open = false;
  freyja_error fault;
  uint64_t count = db->index.keydir.count;
  freyja_status status = fj_follow_read(db, &fault);
  /* The keys are not there, but how many there are is known as before. */
  if (status != FREYJA_OK) db->index.keydir.count = count;
  fj_store_set_stale(db, status == FREYJA_OK ? NULL : &fault);
  if (status != FREYJA_OK && error != NULL) *error = fault;
  return status;
}

freyja_status fj_store_refresh(fj_store *db, bool *changed, freyja_error *error) {
  *changed = false;
  freyja_status status = fj_store_check_owner(db, error);
  if (status != FREYJA_OK || !db->options.readonly) return status;
  if (db->stale.status != FREYJA_OK) {
    *changed = true;
    return read_all(db, error);
  }
  fj_follow follow = {.db = db, .horizon = db->index.last_timestamp};
  status = go_on(&follow, error);
  bool done = status == FREYJA_OK && !follow.anew;
  if (done) {
    fj_manifest_clear(&db->dir, &db->manifest);
    db->manifest = follow.manifest;
    fj_clock_raise(&db->index.clock, db->index.last_timestamp);
    fj_index_forget(&db->index);
  } else {
    fj_manifest_clear(&db->dir, &follow.manifest);
  }
  *changed = follow.records > 0 || follow.dropped > 0 || follow.anew;
  if (done || (status != FREYJA_OK && !follow.touched && !follow.anew)) return status;
  return read_all(db, error);
}

freyja_status fj_follow_check_alone(const fj_store *db, freyja_error *error) {
  bool held = false;
  if (!db->options.readonly) return FREYJA_OK;
  freyja_status status = fj_lock_is_held(&db->dir, &held, error);
  if (status != FREYJA_OK || !held) return status;
  return fj_fail(error, FREYJA_CONFLICT, db->dir.path,
                 "a writer is at work and changes the files: ask it to do this");
}
