/* swap.c - the end of a rewrite: its outputs take the place of its inputs, slots move, files
 * go. See rewrite.h. */
#include <assert.h>
#include <string.h>

#include "rewrite.h"

/* ---- the MANIFEST ------------------------------------------------------------- */

/* The list of segments with the outputs in it. Inputs stand in its order. */
static void put_entries(const freyja_rewrite *rewrite, fj_manifest *made) {
  const fj_manifest *old = &rewrite->db->manifest;
  uint32_t passed = 0; /* of the inputs */
  for (uint32_t i = 0; i < old->count; i++) {
    bool input =
        passed < rewrite->input_count && old->entries[i].id == rewrite->inputs[passed]->id;
    passed += input;
    if (!input) made->entries[made->count++] = old->entries[i];
    bool last = input && passed == rewrite->input_count;
    for (uint32_t k = 0; last && k < rewrite->out.count; k++)
      made->entries[made->count++] =
          (fj_manifest_entry){rewrite->out.list[k]->id, rewrite->out.list[k]->tail};
  }
  for (uint32_t i = 0; i < old->retired_count; i++)
    made->retired[made->retired_count++] = old->retired[i];
  for (uint32_t i = 0; i < rewrite->input_count; i++)
    made->retired[made->retired_count++] = rewrite->inputs[i]->id;
}

/* Writes the MANIFEST with the outputs in place of the inputs. */
static freyja_status write_manifest(freyja_rewrite *rewrite, freyja_error *error) {
  fj_store *db = rewrite->db;
  const fj_os *os = rewrite->os;
  const fj_manifest *old = &db->manifest;
  fj_manifest made = *old;
  made.count = made.retired_count = 0;
  uint64_t entries = (uint64_t)old->count + rewrite->out.count;
  uint64_t retired = (uint64_t)old->retired_count + rewrite->input_count;
  made.entries = os->allocate(os->context, (size_t)entries * sizeof *made.entries);
  made.retired = os->allocate(os->context, (size_t)retired * sizeof *made.retired);
  bool replaced = false;
  freyja_status status = FREYJA_OK;
  if (made.entries == NULL || made.retired == NULL)
    status = fj_fail_memory(error, "merge segments");
  else if (entries + retired > FJ_SEGMENTS_MAX)
    status = fj_fail_at(error, FREYJA_LIMIT, &db->dir, NULL, "a store has at most %u segments",
                        FJ_SEGMENTS_MAX);
  if (status == FREYJA_OK) {
    put_entries(rewrite, &made);
    status = fj_store_write_manifest(db, &made, &replaced, error);
  }
  if (status == FREYJA_OK) {
    fj_manifest_clear(&db->dir, &db->manifest);
    db->manifest = made;
    return FREYJA_OK;
  }
  os->release(os->context, made.entries);
  os->release(os->context, made.retired);
  /* Either of the two may be there after a crash: the files of both stay. */
  if (replaced) db->poisoned = true;
  return status;
}

/* A KEYDIR that covers one of the inputs is of no use any more. */
static void end_checkpoint(const freyja_rewrite *rewrite) {
  fj_index *index = &rewrite->db->index;
  const fj_segment *covered = fj_index_segment(index, index->covered_id);
  if (covered == NULL || rewrite->inputs[0]->rank > covered->rank) return;
  index->covered_id = 0;
  (void)rewrite->os->unlink(rewrite->os->context, rewrite->db->dir.fd, fj_checkpoint_name);
}

freyja_status fj_rewrite_swap(freyja_rewrite *rewrite, freyja_error *error) {
  fj_store *db = rewrite->db;
  freyja_status status = fj_store_check_write(db, error);
  if (status == FREYJA_OK) status = fj_index_grow(&db->index, rewrite->out.count, error);
  if (status == FREYJA_OK) status = fj_store_sync(db, error); /* W2 */
  if (status == FREYJA_OK) status = write_manifest(rewrite, error);
  if (status != FREYJA_OK) return status;
  end_checkpoint(rewrite);
  fj_store_end_hinting(db); /* it may be of an input */
  fj_index_swap(&db->index, rewrite->inputs, rewrite->input_count, rewrite->out.list,
                rewrite->out.count);
  for (uint32_t i = 0; i < rewrite->out.count; i++) {
    fj_segment_retain(rewrite->out.list[i]); /* one is the index's now */
    rewrite->out.list[i]->pins++;
  }
  rewrite->state = FJ_REWRITE_MOVING;
  if (rewrite->alters) db->alterations++;
  rewrite->current = rewrite->output = 0;
  rewrite->done = 0;
  rewrite->quick = true;
  fj_store_claim(db);
  return FREYJA_OK;
}

/* ---- moving slots ------------------------------------------------------------- */

/* The copy that comes next in the outputs: OK, or END behind the last. */
static freyja_status read_copy(freyja_rewrite *rewrite, fj_record *copy, uint64_t *key_hash,
                               freyja_error *error) {
  while (rewrite->output < rewrite->out.count) {
    fj_segment *segment = rewrite->out.list[rewrite->output];
    if (!rewrite->comparing) {
      fj_scan_open(&rewrite->copies, segment, FJ_SEGMENT_HEADER, segment->tail);
      if (rewrite->quick) rewrite->ahead = 0;
    }
    rewrite->comparing = true;
    if (rewrite->quick) fj_rewrite_look_ahead(rewrite, &rewrite->copies);
    fj_scan_found found = FJ_SCAN_BAD;
    freyja_status status = fj_scan_next(&rewrite->copies, &found, copy, key_hash, error);
    if (status != FREYJA_OK || found == FJ_SCAN_RECORD) return status;
    if (found == FJ_SCAN_BAD) {
      char name[FJ_NAME_MAX];
      fj_segment_name(name, segment->id);
      return fj_fail_at(error, FREYJA_CORRUPT, &rewrite->db->dir, name,
                        "a record at offset %llu fails verification",
                        (unsigned long long)rewrite->copies.offset);
    }
    fj_scan_close(&rewrite->copies);
    rewrite->comparing = false;
    rewrite->output++;
  }
  return FREYJA_END;
}

/* The slot's word for the copy. */
static uint64_t word_of(const freyja_rewrite *rewrite, const fj_record *copy) {
  return fj_word_make(rewrite->copies.segment->slot, rewrite->copies.offset, copy->size,
                      copy->flags);
}

/* Whether the slot, the first of the copy's hash, leads to the record of which that is the
 * copy: it leads to an input, and is certainly of the copy's key (W7). Where hashes are short,
 * a key that has expired and was forgotten may have come back by a hint file, so that neither
 * of two tells of the other (hinted.h): then it may be that one's. */
static bool is_original(const fj_index *index, const fj_slot *slot, const fj_record *copy) {
  const fj_segment *segment = index->slots[fj_word_segment(slot->word)];
  if (segment == NULL || !segment->retired) return false;
  if (index->keydir.hash_mask != UINT64_MAX && fj_word_expires(slot->word)) return false;
  return fj_index_is_sure(slot, copy->flags);
}

/* Moves the slot of the next copy, if that is certain. */
static freyja_status move_copy(freyja_rewrite *rewrite, freyja_error *error) {
  fj_index *index = &rewrite->db->index;
  fj_record copy;
  fj_place place;
  uint64_t hash = 0;
  freyja_status status = read_copy(rewrite, &copy, &hash, error);
  if (status != FREYJA_OK) return status;
  if (copy.kind == FJ_KIND_PUT &&
      fj_keydir_find(&index->keydir, hash & index->keydir.hash_mask, &place) &&
      is_original(index, place.slot, &copy))
    fj_index_replace(index, place, word_of(rewrite, &copy));
  rewrite->done += copy.size;
  fj_scan_skip(&rewrite->copies, &copy);
  return FREYJA_OK;
}

/* The record at the scan, to which `place` points, was dropped. */
static freyja_status delete_slot(freyja_rewrite *rewrite, const fj_record *record,
                                 fj_place place, freyja_error *error) {
  fj_store *db = rewrite->db;
  if (db->iterators.first != NULL) {
    freyja_status status = fj_iterators_reserve(&db->iterators, 1, error);
    if (status != FREYJA_OK) return status;
    fj_iterators_note(&db->iterators, rewrite->scan.segment, rewrite->scan.offset,
                      record->timestamp);
  }
  fj_index_delete(&db->index, place);
  return FREYJA_OK;
}

/* Moves the slot of the next record of the inputs, if one points to it (W3). */
static freyja_status move_next(freyja_rewrite *rewrite, freyja_error *error) {
  fj_record record, copy;
  uint64_t hash = 0, copy_hash = 0;
  freyja_status status = fj_rewrite_read(rewrite, &record, &hash, error);
  if (status != FREYJA_OK) return status;
  freyja_status other = read_copy(rewrite, &copy, &copy_hash, error);
  if (other != FREYJA_OK && other != FREYJA_END) return other;
  bool copied = other == FREYJA_OK && copy.timestamp == record.timestamp && copy_hash == hash;
  fj_place place;
  if (record.kind == FJ_KIND_PUT && fj_rewrite_find(rewrite, hash, &place)) {
    if (copied && copy.kind == FJ_KIND_PUT)
      fj_index_replace(&rewrite->db->index, place, word_of(rewrite, &copy));
    else status = delete_slot(rewrite, &record, place, error);
  }
  if (status != FREYJA_OK) return status;
  if (copied) fj_scan_skip(&rewrite->copies, &copy);
  rewrite->done += record.size;
  fj_scan_skip(&rewrite->scan, &record);
  return FREYJA_OK;
}

/* Gives up what is open of the inputs and outputs. */
static void stop_reading(freyja_rewrite *rewrite) {
  if (rewrite->scanning) fj_scan_close(&rewrite->scan);
  if (rewrite->comparing) fj_scan_close(&rewrite->copies);
  rewrite->scanning = rewrite->comparing = false;
}

static void release_inputs(freyja_rewrite *rewrite) {
  for (uint32_t i = 0; i < rewrite->input_count; i++) {
    rewrite->inputs[i]->pins--;
    fj_segment_release(rewrite->inputs[i]);
  }
  rewrite->input_count = 0;
}

static void release_outputs(freyja_rewrite *rewrite) {
  bool pinned = rewrite->state >= FJ_REWRITE_MOVING;
  for (uint32_t i = 0; pinned && i < rewrite->out.count; i++) rewrite->out.list[i]->pins--;
  fj_outputs_release(&rewrite->out);
}

/* The first pass is over: whether there is something for the second (W7). */
static bool begin_second(freyja_rewrite *rewrite) {
  bool left = false;
  stop_reading(rewrite);
  rewrite->quick = false;
  rewrite->current = rewrite->output = 0;
  for (uint32_t i = 0; i < rewrite->input_count; i++)
    left = left || rewrite->inputs[i]->live_keys > 0;
  return left;
}

freyja_status fj_rewrite_move(freyja_rewrite *rewrite, uint64_t bytes, freyja_error *error) {
  uint64_t until = bytes > UINT64_MAX - rewrite->done ? UINT64_MAX : rewrite->done + bytes;
  freyja_status status = FREYJA_OK;
  while (status == FREYJA_OK && rewrite->done < until) {
    status = rewrite->quick ? move_copy(rewrite, error) : move_next(rewrite, error);
    if (status == FREYJA_END && rewrite->quick && begin_second(rewrite)) status = FREYJA_OK;
  }
  if (status != FREYJA_END) return status;
  stop_reading(rewrite);
  release_inputs(rewrite);
  release_outputs(rewrite);
  rewrite->state = FJ_REWRITE_DONE;
  /* To remove large files takes long: that is for the steps to come. */
  if (bytes != UINT64_MAX) return FREYJA_OK;
  (void)fj_store_reap(rewrite->db, true);
  return FREYJA_END;
}

/* ---- giving up ---------------------------------------------------------------- */

void fj_rewrite_abandon(freyja_rewrite *rewrite) {
  stop_reading(rewrite);
  fj_lower_close(rewrite);
  if (rewrite->state < FJ_REWRITE_MOVING) fj_outputs_remove(&rewrite->out);
  release_inputs(rewrite);
  release_outputs(rewrite);
}

static void destroy(freyja_rewrite *rewrite) {
  const fj_os *os = rewrite->os;
  os->release(os->context, rewrite->inputs);
  fj_outputs_close(&rewrite->out);
  os->release(os->context, rewrite);
}

void fj_store_end_rewrite(fj_store *db) {
  freyja_rewrite *rewrite = db->rewrite;
  if (rewrite == NULL) return;
  fj_rewrite_abandon(rewrite);
  rewrite->db = NULL;
  db->rewrite = NULL;
  if (rewrite->closed) destroy(rewrite);
}

freyja_status fj_store_settle(fj_store *db, freyja_error *error) {
  freyja_rewrite *rewrite = db->rewrite;
  if (rewrite == NULL || rewrite->state != FJ_REWRITE_MOVING) return FREYJA_OK;
  freyja_status status = fj_rewrite_move(rewrite, UINT64_MAX, error);
  if (status != FREYJA_END) return status;
  if (rewrite->closed) fj_store_end_rewrite(db);
  return FREYJA_OK;
}

void fj_rewrite_leave_lent(freyja_rewrite *rewrite) {
  fj_lower_close(rewrite);
  fj_outputs_remove(&rewrite->out);
  release_outputs(rewrite);
  rewrite->db->rewrite = NULL;
  rewrite->db = NULL;
}

void fj_rewrite_let_go(freyja_rewrite *rewrite) {
  stop_reading(rewrite);
  release_inputs(rewrite);
}

/* What could not be moved stays with the store, though the caller has the object: the store
 * gets another. */
static void bequeath(freyja_rewrite *rewrite) {
  fj_store *db = rewrite->db;
  stop_reading(rewrite);
  freyja_rewrite *heir = rewrite->os->allocate(rewrite->os->context, sizeof *heir);
  if (heir == NULL) {
    db->poisoned = true; /* nothing may be merged again before the next open (W6) */
    fj_store_end_rewrite(db);
    return;
  }
  *heir = *rewrite;
  heir->closed = true;
  db->rewrite = heir;
  rewrite->db = NULL;
  rewrite->inputs = NULL;
  rewrite->input_count = 0;
  fj_outputs_forget(&rewrite->out);
}

void fj_rewrite_end(fj_child *child) {
  freyja_rewrite *rewrite = (freyja_rewrite *)child;
  fj_store *db = rewrite->db;
  if (db == NULL) {
    fj_rewrite_let_go(rewrite);
    return;
  }
  bool goes_on = fj_store_is_process(db) && !db->poisoned;
  if (goes_on && fj_store_settle(db, NULL) != FREYJA_OK) bequeath(rewrite);
  else fj_store_end_rewrite(db);
}

/* A copy to which no slot has moved looks dead, so that the next merge would lose it: what
 * could not be moved now stays with the store, and is moved before that. */
void fj_rewrite_close(freyja_rewrite *rewrite) {
  if (rewrite == NULL) return;
  fj_store *db = rewrite->db;
  if (db != NULL && fj_store_is_process(db) && fj_store_settle(db, NULL) != FREYJA_OK) {
    rewrite->closed = true;
    return;
  }
  if (db != NULL && fj_store_is_process(db) && rewrite->state == FJ_REWRITE_DONE)
    (void)fj_store_reap(db, true);
  if (db != NULL) fj_store_end_rewrite(db);
  else fj_rewrite_let_go(rewrite);
  destroy(rewrite);
}

void fj_rewrite_progress(const freyja_rewrite *rewrite, freyja_progress *out) {
  memset(out, 0, sizeof *out);
  out->bytes = rewrite->bytes;
  bool copying = rewrite->state < FJ_REWRITE_COPIED;
  out->done = copying ? rewrite->done : rewrite->bytes;
  out->written = rewrite->out.written;
  out->outputs = rewrite->out.made;
}
