/* maintain.c - what maintenance asks for of a store: hint files and checkpoints. */
#include <inttypes.h>

#include "checkpointer.h"
#include "store.h"

/* Where damage of the segment begins that the open has met: 0 if it is the header, or
 * was one of too many to be remembered. */
static uint64_t find_damage(const fj_index *index, uint64_t id) {
  if (index->damage == NULL) return 0;
  for (uint64_t i = 0; i < index->damage_count && i < FJ_DAMAGE_MAX; i++)
    if (index->damage[i].id == id) return index->damage[i].offset;
  return 0;
}

/* A hint file, or a KEYDIR, would hide damage from the next open, which knows of it by
 * reading. */
static freyja_status fail_damaged(const fj_store *db, const fj_segment *segment,
                                  const char *what, freyja_error *error) {
  char name[FJ_NAME_MAX];
  fj_segment_name(name, segment->id);
  return fj_fail_at(error, FREYJA_CORRUPT, &db->dir, name,
                    "%s: the bytes at offset %" PRIu64 " fail verification, or are missing",
                    what, find_damage(&db->index, segment->id));
}

/* So many hint files that others have not let be finished, before one is in one go. */
#define FIGHTS 3u

/* Begins a hint file by steps, in place of what was begun before. */
static freyja_status begin_hinting(fj_store *db, fj_segment *segment, freyja_error *error) {
  const fj_os *os = db->dir.os;
  fj_store_end_hinting(db);
  if (segment->damaged)
    return fail_damaged(db, segment, "a damaged data file gets no hint file", error);
  db->hinting = os->allocate(os->context, sizeof *db->hinting);
  if (db->hinting == NULL) return fj_fail_memory(error, "write a hint file");
  return fj_hint_writer_open(db->hinting, segment, FJ_GATHER_ENTRIES, error);
}

void fj_store_end_hinting(fj_store *db) {
  const fj_os *os = db->dir.os;
  if (db->hinting == NULL) return;
  if (!fj_store_is_process(db) && db->hinting->file >= 0) { /* the parent's, which goes on */
    (void)os->close(os->context, db->hinting->file);
    db->hinting->file = -1;
  }
  fj_hint_writer_close(db->hinting);
  os->release(os->context, db->hinting);
  db->hinting = NULL;
}

freyja_status fj_store_hint_step(fj_store *db, uint64_t id, uint64_t bytes,
                                 freyja_error *error) {
  bool done = false;
  freyja_status status = fj_store_check_write(db, error);
  if (status != FREYJA_OK) return status;
  fj_segment *segment = fj_index_segment(&db->index, id);
  if (segment == NULL)
    return fj_fail(error, FREYJA_LIMIT, db->dir.path, "there is no segment %" PRIu64, id);
  /* Two threads that write hint files step by step would begin anew for ever. */
  if (db->hinting != NULL && db->hinting->segment != segment && ++db->hints_displaced > FIGHTS)
    bytes = UINT64_MAX;
  if (db->hinting == NULL || db->hinting->segment != segment)
    status = begin_hinting(db, segment, error);
  bool whole = bytes == UINT64_MAX;
  if (status == FREYJA_OK) status = fj_hint_writer_step(db->hinting, bytes, &done, error);
  while (status == FREYJA_OK && whole && !done)
    status = fj_hint_writer_step(db->hinting, bytes, &done, error);
  if (status == FREYJA_OK && !done) return FREYJA_OK;
  if (status == FREYJA_OK) status = fj_hint_writer_finish(db->hinting, error);
  fj_store_end_hinting(db);
  if (status == FREYJA_OK) db->hints_displaced = 0;
  return status == FREYJA_OK ? FREYJA_END : status;
}

freyja_status fj_store_hint(fj_store *db, uint64_t id, freyja_error *error) {
  if (fj_store_is_process(db)) fj_store_end_hinting(db);
  freyja_status status = fj_store_hint_step(db, id, UINT64_MAX, error);
  return status == FREYJA_END ? FREYJA_OK : status;
}

/* ---- the KEYDIR -------------------------------------------------------------- */

/* An open that reads so many bytes of the log is as fast as one with a KEYDIR. */
#define WORTH (UINT64_C(1) << 20)

/* So many times what was written since, a KEYDIR may have bytes: then writing one costs in
 * proportion to that, and opening reads no more than a part of what is in memory. */
#define GROWTH 8u

/* Bytes of the log that are not covered by the KEYDIR on disk. */
static uint64_t count_uncovered(const fj_index *index) {
  uint64_t sum = 0;
  for (uint32_t i = index->count; i-- > 0;) {
    const fj_segment *segment = index->ranks[i];
    if (segment->id == index->covered_id) return sum + segment->tail - index->covered_end;
    sum += segment->tail - FJ_SEGMENT_HEADER;
  }
  return sum;
}

/* The first segment of the log that a KEYDIR would hide damage of; NULL if none is damaged. */
static const fj_segment *find_damaged(const fj_index *index) {
  for (uint32_t i = 0; i < index->count; i++)
    if (index->ranks[i]->damaged) return index->ranks[i];
  return NULL;
}

/* Whether no slot points to a segment that a merge has retired. */
static bool has_moved(const fj_index *index) {
  for (uint32_t i = 0; i < index->slot_count && index->retired > 0; i++) {
    const fj_segment *segment = index->slots[i];
    if (segment != NULL && segment->retired && segment->live_keys > 0) return false;
  }
  return true;
}

/* C2: the mark of the log, which is synced. */
static freyja_status confirm_mark(fj_store *db, freyja_error *error) {
  bool poison = false;
  db->syncs++;
  freyja_status status = fj_segment_confirm(db->active, &poison, error);
  if (poison) db->poisoned = true;
  return status;
}

freyja_status fj_store_checkpoint(fj_store *db, freyja_error *error) {
  fj_index *index = &db->index;
  freyja_status status = fj_store_check_write(db, error);
  if (status != FREYJA_OK) return status;
  const fj_segment *damaged = find_damaged(index);
  if (damaged != NULL)
    return fail_damaged(db, damaged, "a damaged store gets no checkpoint", error);
  status = fj_store_settle(db, error);
  if (status == FREYJA_OK) status = fj_store_sync(db, error); /* C2 */
  bool covered = count_uncovered(index) == 0 && !index->strangers;
  if (status != FREYJA_OK || covered) return status;
  status = confirm_mark(db, error);
  if (status != FREYJA_OK) return status;
  return fj_checkpoint_write(index, db->manifest.generation, error);
}

void fj_store_leave_checkpoint(fj_store *db) {
  fj_index *index = &db->index;
  uint64_t uncovered = count_uncovered(index);
  if (uncovered < WORTH) return;
  if (index->covered_id != 0 && uncovered < fj_keydir_bytes(&index->keydir) / GROWTH) return;
  if (find_damaged(index) != NULL || !has_moved(index)) return;
  (void)fj_checkpoint_write(index, db->manifest.generation, NULL);
}
