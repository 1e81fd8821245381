/* commit.c - see commit.h. */
#include "commit.h"

#include <assert.h>
#include <inttypes.h>

#define AHEAD                                                                                 \
  8u /* edits for whose keys' slots memory is asked for before they are looked up */

/* The records of a commit, as they will lie in the active segment. */
typedef struct fj_group {
  fj_store *db;
  fj_local *local;
  uint64_t records, bytes;
  uint64_t replaced; /* of the records, those whose keys have slots */
} fj_group;

/* The next edit, behind number *at, that gives a record; NULL if there is none. */
static fj_edit *next_edit(const fj_group *group, uint32_t *at) {
  const fj_local *local = group->local;
  fj_edit *edit = fj_local_next(local, at, local->count);
  while (edit != NULL && edit->is_skipped) {
    (*at)++;
    edit = fj_local_next(local, at, local->count);
  }
  (*at)++;
  return edit;
}

/* ---- what there is ---------------------------------------------------------- */

static void look_ahead(const fj_group *group, uint32_t number) {
  fj_keydir *keydir = &group->db->index.keydir;
  if (number < group->local->count)
    fj_keydir_prefetch(keydir, group->local->edits[number]->hash & keydir->hash_mask);
}

/* Finds the edit's key. What is to be deleted and is not there is skipped. */
static freyja_status look_up(fj_group *group, fj_edit *edit, freyja_error *error) {
  fj_index *index = &group->db->index;
  fj_found found;
  freyja_slice key = fj_edit_key(edit);
  freyja_status status =
      fj_index_find(index, key.data, key.size, edit->hash, false, &found, error);
  edit->is_new = status == FREYJA_NOTFOUND;
  edit->flags = edit->ttl == 0 ? 0 : FJ_FLAG_EXPIRES;
  if (edit->is_new) status = FREYJA_OK;
  if (status == FREYJA_OK && edit->kind == FJ_KIND_TOMBSTONE) {
    status = fj_index_prove(index, edit->is_new ? NULL : &found, error);
    edit->is_skipped = edit->is_new || fj_index_is_due(index, &found);
  }
  if (status == FREYJA_OK && found.collides) edit->flags |= FJ_FLAG_COLLIDES;
  if (status == FREYJA_OK && !edit->is_new) {
    edit->old_word = found.word;
    edit->old_stamp = found.record.timestamp;
    if (!edit->is_skipped) group->replaced++;
  }
  fj_found_release(&found);
  return status;
}

static freyja_status look_all_up(fj_group *group, freyja_error *error) {
  fj_local *local = group->local;
  freyja_status status = FREYJA_OK;
  group->records = group->bytes = group->replaced = 0;
  for (uint32_t i = 0; i < AHEAD; i++) look_ahead(group, i);
  for (uint32_t at = 0; status == FREYJA_OK; at++) {
    fj_edit *edit = fj_local_next(local, &at, local->count);
    if (edit == NULL) break;
    look_ahead(group, at + AHEAD);
    edit->is_skipped = edit->is_placed = false;
    status = look_up(group, edit, error);
    if (edit->is_skipped) continue;
    group->records++;
    group->bytes += fj_edit_size(edit);
  }
  return status;
}

/* ---- where it goes ------------------------------------------------------------ */

/* Timestamps, each larger than the one before, and expiries from now on. */
static freyja_status set_times(fj_group *group, freyja_error *error) {
  fj_store *db = group->db;
  uint64_t last = db->index.last_timestamp;
  uint64_t now = fj_clock_now(&db->index.clock);
  uint64_t stamp = now > last ? now - 1 : last; /* the one before the first */
  fj_edit *edit = NULL;
  if (group->records > UINT64_MAX - stamp)
    return fj_fail(error, FREYJA_LIMIT, db->dir.path, "there are no more timestamps");
  for (uint32_t at = 0; (edit = next_edit(group, &at)) != NULL;) {
    freyja_status status = fj_store_set_expiry(db, now, edit->ttl, &edit->expiry, error);
    if (status != FREYJA_OK) return status;
    edit->timestamp = ++stamp;
  }
  return FREYJA_OK;
}

/* Makes sure of a segment with room for all, and of the room. */
static freyja_status find_room(fj_group *group, freyja_error *error) {
  fj_store *db = group->db;
  freyja_status status = fj_store_sync_if_due(db, error);
  if (status == FREYJA_OK && !fj_segment_fits(db->active, group->bytes))
    status = fj_store_begin_segment(db, error);
  if (status == FREYJA_OK && db->active->unsettled) status = fj_store_sync(db, error);
  if (status != FREYJA_OK) return status;
  assert(fj_segment_fits(db->active, group->bytes));
  return fj_segment_prepare(db->active, group->bytes, error);
}

/* ---- slots -------------------------------------------------------------------- */

/* The slot that leads where the word does; false if there is none. */
static bool find_slot(fj_keydir *keydir, uint64_t hash, uint64_t word, fj_place *place) {
  bool more = fj_keydir_find(keydir, hash & keydir->hash_mask, place);
  while (more && fj_word_position(place->slot->word) != fj_word_position(word))
    more = fj_keydir_next(place);
  return more;
}

/* Gives a new key a slot that leads to where its record will be. */
static freyja_status place_slot(fj_group *group, fj_edit *edit, freyja_error *error) {
  fj_index *index = &group->db->index;
  uint64_t hash = edit->hash & index->keydir.hash_mask;
  fj_place place;
  bool shared = fj_keydir_find(&index->keydir, hash, &place);
  for (bool more = shared; more;) more = fj_keydir_next(&place);
  if (shared && !fj_word_collides(edit->word)) {
    edit->flags |= FJ_FLAG_COLLIDES;
    edit->word |= FJ_WORD_COLLIDES;
  }
  freyja_status status = fj_keydir_reserve(&index->keydir, hash, &place, error);
  if (status != FREYJA_OK) return status;
  fj_keydir_insert(&index->keydir, place, hash, edit->word);
  edit->is_placed = true;
  return FREYJA_OK;
}

/* Gives each new key one. */
static freyja_status place_slots(fj_group *group, freyja_error *error) {
  const fj_segment *active = group->db->active;
  uint64_t offset = active->tail;
  fj_edit *edit = NULL;
  freyja_status status = fj_keydir_make_ready(&group->db->index.keydir, group->records, error);
  for (uint32_t at = 0; status == FREYJA_OK && (edit = next_edit(group, &at)) != NULL;) {
    uint64_t size = fj_edit_size(edit);
    edit->word = fj_word_make(active->slot, offset, size, edit->flags);
    offset += size;
    if (edit->is_new) status = place_slot(group, edit, error);
  }
  return status;
}

/* Takes the new slots away again. */
static void remove_slots(fj_group *group) {
  fj_keydir *keydir = &group->db->index.keydir;
  fj_edit *edit = NULL;
  fj_place place;
  for (uint32_t at = 0; (edit = next_edit(group, &at)) != NULL;) {
    if (!edit->is_placed) continue;
    if (find_slot(keydir, edit->hash, edit->word, &place)) fj_keydir_delete(keydir, place);
    else if (keydir->absent > 0) keydir->count--; /* all that is left of it */
    edit->is_placed = false;
  }
}

/* ---- the records ---------------------------------------------------------------- */

static fj_draft make_draft(const fj_edit *edit) {
  return (fj_draft){.key = fj_edit_key(edit),
                    .value = fj_edit_value(edit),
                    .key_hash = edit->hash,
                    .timestamp = edit->timestamp,
                    .expiry = edit->expiry,
                    .kind = edit->kind,
                    .flags = edit->flags};
}

/* Puts the records behind the log's end. */
static freyja_status write_records(fj_group *group, freyja_error *error) {
  fj_segment *active = group->db->active;
  uint64_t offset = active->tail, end = offset + group->bytes;
  freyja_status status = FREYJA_OK;
  fj_edit *edit = NULL;
  for (uint32_t at = 0; status == FREYJA_OK && (edit = next_edit(group, &at)) != NULL;) {
    fj_draft draft = make_draft(edit);
    uint64_t size = fj_draft_size(&draft);
    if (offset + size < end) draft.flags |= FJ_FLAG_MORE; /* M1 */
    fj_record_seal(&draft, fj_record_seed(active->seed, offset));
    status = fj_segment_put_ahead(active, &draft, offset, error);
    offset += size;
  }
  if (status != FREYJA_OK && !fj_segment_withdraw(active)) group->db->poisoned = true;
  return status;
}

/* Makes one of the records visible. */
static void publish(fj_store *db, fj_edit *edit) {
  fj_index *index = &db->index;
  fj_draft draft = make_draft(edit);
  fj_place place;
  uint64_t there = edit->is_new ? edit->word : edit->old_word;
  bool found = find_slot(&index->keydir, edit->hash, there, &place);
  assert(found);
  (void)found;
  fj_segment_publish(db->active, &draft, fj_draft_size(&draft)); /* D1 */
  if (!edit->is_new && db->iterators.first != NULL)
    fj_iterators_note(&db->iterators, index->slots[fj_word_segment(edit->old_word)],
                      fj_word_offset(edit->old_word), edit->old_stamp);
  index->last_timestamp = edit->timestamp;
  fj_index_expect(index, edit->expiry);
  if (edit->kind == FJ_KIND_TOMBSTONE) {
    db->deletes++;
    fj_index_delete(index, place);
    return;
  }
  db->puts++;
  if (edit->is_new) fj_index_count_in(index, edit->word);
  else fj_index_replace(index, place, edit->word);
}

/* ---- the whole ------------------------------------------------------------------ */

/* Finds out what is to be written, and where, and gives new keys slots. */
static freyja_status plan(fj_group *group, freyja_error *error) {
  freyja_status status = look_all_up(group, error);
  if (status != FREYJA_OK || group->records == 0) return status;
  status = find_room(group, error);
  if (status == FREYJA_OK) status = set_times(group, error);
  if (status == FREYJA_OK) status = place_slots(group, error);
  return status;
}

/* Where a damaged KEYDIR makes all of the log be read again meanwhile, slots that were placed
 * are gone, some that there were may be, and what had expired may have some again: then what
 * was found out is not so. It cannot happen twice. */
static freyja_status plan_surely(fj_group *group, freyja_error *error) {
  const fj_index *index = &group->db->index;
  uint64_t readings = index->readings;
  freyja_status status = plan(group, error);
  if (status == FREYJA_OK && readings != index->readings) {
    remove_slots(group);
    status = plan(group, error);
  }
  if (status != FREYJA_OK) remove_slots(group);
  return status;
}

static freyja_status write_all(fj_group *group, freyja_error *error) {
  fj_store *db = group->db;
  freyja_status status = FREYJA_OK;
  if (db->iterators.first != NULL)
    status = fj_iterators_reserve(&db->iterators, group->replaced, error);
  if (status == FREYJA_OK) status = write_records(group, error);
  if (status == FREYJA_OK && db->options.sync_mode == FREYJA_SYNC_ALWAYS) {
    db->syncs++;
    status = fj_segment_sync(db->active, db->active->tail + group->bytes, error);
    if (status != FREYJA_OK) db->poisoned = true;
  }
  if (status != FREYJA_OK) remove_slots(group); /* M2 */
  return status;
}

static void publish_all(const fj_group *group) {
  fj_store *db = group->db;
  fj_edit *edit = NULL;
  if (group->records > 1) fj_index_bar(&db->index, FJ_BAR_COMMIT);
  for (uint32_t at = 0; (edit = next_edit(group, &at)) != NULL;) {
    freyja_slice key = fj_edit_key(edit);
    publish(db, edit);
    if (db->watches > 0) fj_store_tell_watches(db, key.data, key.size);
  }
  fj_index_unbar(&db->index, FJ_BAR_COMMIT);
  fj_segment_relieve(db->active);
}

freyja_status fj_commit(fj_store *db, fj_local *local, freyja_error *error) {
  fj_group group = {.db = db, .local = local};
  fj_note(&db->index.placing, true);
  freyja_status status = plan_surely(&group, error);
  if (status == FREYJA_OK && group.records > 0) {
    status = write_all(&group, error);
    if (status == FREYJA_OK) publish_all(&group);
  }
  fj_publish(&db->index.placing, false);
  return status;
}
