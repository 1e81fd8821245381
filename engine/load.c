/* load.c - bulk loading: see the loads in freyja.h.
 *
 * Records go to segments of their own, without a look at the index; the hash of each key is
 * put aside. In the end these are gone through in the keydir's order, and one MANIFEST puts
 * the segments behind all that there was: right below the active one, which is empty then.
 *
 * Z1  Until that MANIFEST is durable, nothing but slots that the load has added leads to its
 *     segments, and these go again if it fails; what it replaces keeps its slot.
 * Z2  Nothing else is written to the store meanwhile, so that timestamps rise along the log.
 */
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "load.h"

#include "child.h"
#include "entries.h"
#include "outputs.h"

#define CLOCK_EVERY 1024u /* records */

/* A record that is to lose its slot to one that was loaded. */
typedef struct fj_replaced {
  uint64_t hash;
  uint64_t old_word, new_word;
  uint64_t timestamp; /* of the old one */
} fj_replaced;

struct freyja_load {
  fj_child child;
  fj_store *db; /* NULL once it has ended, or the store is closed */
  const fj_os *os;
  fj_outputs out;
  fj_entries entries; /* words: the segment is the output's number, until place_all */
  uint64_t timestamp; /* of the last record */
  uint64_t soonest;   /* expiry; 0: none expires */
  fj_replaced *replaced;
  uint64_t replaced_count, replaced_room;
  bool has_ended, has_failed;
};

/* ---- life ----------------------------------------------------------------- */

/* Gives up everything but the object itself. */
static void let_go(freyja_load *load) {
  if (load->db == NULL) return;
  load->db->load = NULL;
  fj_outputs_release(&load->out);
  fj_outputs_close(&load->out);
  fj_entries_destroy(&load->entries);
  load->os->release(load->os->context, load->replaced);
  load->replaced = NULL;
  load->db = NULL;
}

/* What was not committed has not happened. */
static void abandon(freyja_load *load) {
  if (load->db == NULL) return;
  fj_outputs_remove(&load->out);
  let_go(load);
}

static void end(fj_child *child) { abandon((freyja_load *)child); }

void fj_load_close(freyja_load *load) {
  if (load == NULL) return;
  abandon(load);
  load->os->release(load->os->context, load);
}

freyja_status fj_load_open(fj_store *db, freyja_load **out, freyja_error *error) {
  const fj_os *os = db->dir.os;
  *out = NULL;
  freyja_status status = fj_store_check_put(db, error);
  if (status != FREYJA_OK) return status;
  freyja_load *load = os->allocate(os->context, sizeof *load);
  if (load == NULL) return fj_fail_memory(error, "load records");
  memset(load, 0, sizeof *load);
  load->child.end = end;
  load->db = db;
  load->os = os;
  fj_outputs_open(&load->out, db, "load records");
  load->timestamp = db->index.last_timestamp;
  fj_entries_create(&load->entries, os);
  db->load = load;
  *out = load;
  return FREYJA_OK;
}

/* OK, or why the load cannot go on. */
static freyja_status check(const freyja_load *load, freyja_error *error) {
  if (load->has_failed)
    return fj_fail(error, FREYJA_CLOSED, NULL, "the load has failed; nothing was changed");
  if (load->has_ended)
    return fj_fail(error, FREYJA_CLOSED, NULL, "the load has been committed");
  if (load->db == NULL)
    return fj_fail(error, FREYJA_CLOSED, NULL, "the load's store is closed");
  return fj_store_check_write(load->db, error);
}

/* Passes the status on; a fault ends the load. */
static freyja_status pass_fault(freyja_load *load, freyja_status status) {
  if (status == FREYJA_OK) return status;
  abandon(load);
  load->has_failed = true;
  return status;
}

/* ---- records ---------------------------------------------------------------- */

static freyja_status set_times(freyja_load *load, fj_draft *draft, uint64_t ttl,
                               freyja_error *error) {
  fj_clock *clock = &load->db->index.clock;
  bool asks = ttl != 0 || load->entries.count % CLOCK_EVERY == 0;
  /* Otherwise the time that was told last will do: nobody has seen a later one. */
  uint64_t now = asks ? fj_clock_now(clock) : fj_clock_told(clock);
  if (load->timestamp == UINT64_MAX)
    return fj_fail(error, FREYJA_LIMIT, load->db->dir.path, "there are no more timestamps");
  draft->timestamp = now > load->timestamp ? now : load->timestamp + 1;
  return fj_store_set_expiry(load->db, now, ttl, &draft->expiry, error);
}

static freyja_status add_record(freyja_load *load, fj_draft *draft, freyja_error *error) {
  uint64_t offset = 0, size = fj_draft_size(draft);
  freyja_status status = fj_outputs_write(&load->out, draft, &offset, error);
  if (status != FREYJA_OK) return status;
  uint64_t hash = draft->key_hash & load->db->index.keydir.hash_mask;
  uint64_t word = fj_word_make(load->out.count - 1, offset, size, draft->flags);
  load->timestamp = draft->timestamp;
  if (draft->expiry != 0 && (load->soonest == 0 || draft->expiry < load->soonest))
    load->soonest = draft->expiry;
  return fj_entries_add(&load->entries, hash, word, error);
}

freyja_status fj_load_put(freyja_load *load, const void *key, size_t key_size,
                          const void *value, size_t value_size, uint64_t ttl,
                          freyja_error *error) {
  uint8_t flags = ttl == 0 ? 0 : FJ_FLAG_EXPIRES;
  freyja_status status = check(load, error);
  if (status == FREYJA_OK)
    status = fj_store_check_sizes(load->db, flags, key_size, value_size, error);
  if (status != FREYJA_OK) return status;
  fj_draft draft = {.key = {key, key_size},
                    .value = {value, value_size},
                    .key_hash = fj_index_hash(&load->db->index, key, key_size),
                    .kind = FJ_KIND_PUT,
                    .flags = flags};
  status = set_times(load, &draft, ttl, error);
  if (status != FREYJA_OK) return status;
  return pass_fault(load, add_record(load, &draft, error));
}

/* ---- into the keydir ----------------------------------------------------------- */

/* The entry's word with the number that its segment has by now. */
static uint64_t word_of(const freyja_load *load, uint64_t word) {
  return fj_word_move(word, load->out.list[fj_word_segment(word)]->slot);
}

static bool is_loaded(const freyja_load *load, uint64_t word) {
  const fj_segment *segment = load->db->index.slots[fj_word_segment(word)];
  for (uint32_t i = 0; i < load->out.count; i++)
    if (load->out.list[i] == segment) return true;
  return false;
}

/* The key has a record in the store, which `found` is: its slot moves in the end. Of several
 * records that were loaded of one key, which stand side by side, the last counts. */
static freyja_status replace_later(freyja_load *load, const fj_found *found, uint64_t hash,
                                   uint64_t word, freyja_error *error) {
  const fj_os *os = load->os;
  for (uint64_t i = load->replaced_count; i > 0 && load->replaced[i - 1].hash == hash; i--) {
    if (load->replaced[i - 1].old_word != found->word) continue;
    load->replaced[i - 1].new_word = word;
    return FREYJA_OK;
  }
  if (load->replaced_count == load->replaced_room) {
    uint64_t room = load->replaced_room == 0 ? 64 : load->replaced_room * 2;
    fj_replaced *replaced = os->allocate(os->context, (size_t)room * sizeof *replaced);
    if (replaced == NULL) return fj_fail_memory(error, "load records");
    if (load->replaced_count > 0)
      memcpy(replaced, load->replaced, (size_t)load->replaced_count * sizeof *replaced);
    os->release(os->context, load->replaced);
    load->replaced = replaced;
    load->replaced_room = room;
  }
  load->replaced[load->replaced_count++] =
      (fj_replaced){hash, found->word, word, found->record.timestamp};
  return FREYJA_OK;
}

/* Flags the record `own`, which was loaded: another live key has its hash, or the record that
 * it replaces is flagged. */
static freyja_status flag(freyja_load *load, const fj_found *own, uint64_t *word,
                          freyja_error *error) {
  uint8_t header[FJ_RECORD_PREFIX_MAX];
  const fj_record *record = &own->record;
  uint64_t hash = fj_index_hash(&load->db->index, record->key, record->key_size);
  memcpy(header, fj_record_start(record), fj_record_prefix(record->flags));
  header[15] |= FJ_FLAG_COLLIDES;
  uint64_t seed = fj_record_seed(own->segment->seed, own->offset);
  fj_put32(header, fj_record_header_sum(header, seed, hash));
  *word |= FJ_WORD_COLLIDES;
  freyja_slice part = {header, FJ_RECORD_HEADER};
  return fj_outputs_patch(&load->out, own->segment, &part, own->offset, error);
}

/* Adds a slot at the place where a search for its hash ended in vain. */
static freyja_status place(freyja_load *load, uint64_t hash, uint64_t word, fj_place at,
                           freyja_error *error) {
  fj_index *index = &load->db->index;
  freyja_status status = fj_keydir_reserve(&index->keydir, hash, &at, error);
  if (status == FREYJA_OK) fj_index_insert(index, at, hash, word);
  return status;
}

/* An entry whose hash has a slot: whether that is its key's, the records tell. */
static freyja_status resolve(freyja_load *load, uint64_t hash, uint64_t word,
                             freyja_error *error) {
  fj_index *index = &load->db->index;
  fj_found own, found = {.block = NULL};
  freyja_status status = fj_index_look(index, word, &own, error);
  if (status == FREYJA_OK) {
    const fj_record *record = &own.record;
    uint64_t key_hash = fj_index_hash(index, record->key, record->key_size);
    status =
        fj_index_find(index, record->key, record->key_size, key_hash, false, &found, error);
    bool is_new = status == FREYJA_NOTFOUND;
    if (is_new) status = FREYJA_OK;
    if (status == FREYJA_OK && found.collides) status = flag(load, &own, &word, error);
    if (status == FREYJA_OK && is_new) status = place(load, hash, word, found.place, error);
    else if (status == FREYJA_OK && is_loaded(load, found.word))
      fj_index_replace(index, found.place, word);
    else if (status == FREYJA_OK) status = replace_later(load, &found, hash, word, error);
  }
  fj_found_release(&own);
  fj_found_release(&found);
  return status;
}

/* Places the entries of a shard, in its order. */
static freyja_status place_shard(freyja_load *load, uint32_t shard, freyja_error *error) {
  fj_keydir *keydir = &load->db->index.keydir;
  fj_slot *slots = NULL;
  uint64_t count = 0;
  freyja_status status = fj_entries_sort(&load->entries, shard, &slots, &count, error);
  for (uint64_t i = 0; i < count && status == FREYJA_OK; i++) {
    fj_place at;
    uint64_t hash = slots[i].hash, word = word_of(load, slots[i].word);
    if (fj_keydir_find(keydir, hash, &at)) status = resolve(load, hash, word, error);
    else status = place(load, hash, word, at, error);
  }
  load->os->release(load->os->context, slots);
  return status;
}

static freyja_status place_all(freyja_load *load, freyja_error *error) {
  fj_keydir *keydir = &load->db->index.keydir;
  freyja_status status = fj_keydir_bring_all(keydir, error); /* K6 */
  if (status != FREYJA_OK) return status;
  fj_keydir_expect(keydir, load->entries.count);
  for (uint32_t i = 0; i < FJ_SHARDS && status == FREYJA_OK; i++)
    if (load->entries.first[i] != NULL) status = place_shard(load, i, error);
  freyja_status patched =
      fj_outputs_end_patches(&load->out, status == FREYJA_OK ? error : NULL);
  return status == FREYJA_OK ? patched : status;
}

/* Takes all slots away again that lead to the load's segments (Z1). */
static void remove_slots(freyja_load *load) {
  fj_index *index = &load->db->index;
  for (uint32_t i = 0; i < FJ_SHARDS && index->keydir.absent == 0; i++) {
    fj_shard *shard = &index->keydir.shards[i];
    fj_slot *slot = shard->slots;
    while (slot != NULL && slot < shard->slots + shard->limit) {
      fj_place at = {.shard = shard, .slot = slot};
      /* What follows a slot that is removed moves up to its place. */
      if (slot->word != 0 && is_loaded(load, slot->word)) fj_index_delete(index, at);
      else slot++;
    }
  }
}

/* ---- the commit ------------------------------------------------------------------ */

/* Writes the MANIFEST with the load's segments below the active one, which is empty. */
static freyja_status write_manifest(freyja_load *load, freyja_error *error) {
  fj_store *db = load->db;
  fj_manifest *manifest = &db->manifest;
  uint32_t count = load->out.count, last = manifest->count - 1;
  fj_manifest_entry active = manifest->entries[last];
  for (uint32_t i = 0; i < count; i++)
    manifest->entries[last + i] =
        (fj_manifest_entry){load->out.list[i]->id, load->out.list[i]->tail};
  manifest->entries[last + count] = active;
  manifest->count += count;
  bool replaced = false;
  freyja_status status = fj_store_write_manifest(db, manifest, &replaced, error);
  if (status == FREYJA_OK) return status;
  if (replaced) db->poisoned = true; /* either of the two may be there after a crash */
  manifest->count -= count;
  manifest->entries[last] = active;
  return status;
}

/* Moves the slots of what was replaced; cannot fail. */
static void publish(freyja_load *load) {
  fj_store *db = load->db;
  fj_index *index = &db->index;
  for (uint64_t i = 0; i < load->replaced_count; i++) {
    const fj_replaced *r = &load->replaced[i];
    fj_place at;
    bool more = fj_keydir_find(&index->keydir, r->hash, &at);
    while (more && at.slot->word != r->old_word) more = fj_keydir_next(&at);
    assert(more);
    if (db->iterators.first != NULL)
      fj_iterators_note(&db->iterators, index->slots[fj_word_segment(r->old_word)],
                        fj_word_offset(r->old_word), r->timestamp);
    fj_index_replace(index, at, r->new_word);
  }
  index->last_timestamp = load->timestamp;
  fj_index_expect(index, load->soonest);
  db->puts += load->entries.count;
  if (db->watches > 0) fj_store_break_watches(db);
}

/* Makes the active segment one without records, and room for the load's segments. */
static freyja_status prepare(freyja_load *load, freyja_error *error) {
  fj_store *db = load->db;
  freyja_status status = fj_outputs_finish(&load->out, error);
  if (status == FREYJA_OK && db->active->tail > FJ_SEGMENT_HEADER)
    status = fj_store_begin_segment(db, error);
  if (status == FREYJA_OK) status = fj_index_grow(&db->index, load->out.count, error);
  if (status == FREYJA_OK)
    status = fj_manifest_grow(&db->dir, &db->manifest, load->out.count, error);
  return status;
}

/* A KEYDIR that covers the active segment, without a record, has no place for what comes below
 * it. */
static void end_checkpoint(const freyja_load *load) {
  fj_index *index = &load->db->index;
  if (index->covered_id != load->db->active->id) return;
  index->covered_id = 0;
  (void)load->os->unlink(load->os->context, load->db->dir.fd, fj_checkpoint_name);
}

static freyja_status commit(freyja_load *load, freyja_error *error) {
  fj_store *db = load->db;
  freyja_status status = prepare(load, error);
  if (status != FREYJA_OK) return status;
  for (uint32_t i = 0; i < load->out.count; i++) load->out.list[i]->hidden = true; /* Z1 */
  fj_index_number(&db->index, load->out.list, load->out.count);
  status = place_all(load, error);
  if (status == FREYJA_OK && db->iterators.first != NULL)
    status = fj_iterators_reserve(&db->iterators, load->replaced_count, error);
  if (status == FREYJA_OK) status = write_manifest(load, error);
  if (status != FREYJA_OK) {
    remove_slots(load);
    fj_keydir_fit(&db->index.keydir);
    fj_guard_wait(db->index.guard);
    fj_index_unnumber(&db->index, load->out.list, load->out.count);
    return status;
  }
  end_checkpoint(load);
  fj_index_add_below(&db->index, load->out.list, load->out.count);
  fj_index_bar(&db->index, FJ_BAR_COMMIT);
  for (uint32_t i = 0; i < load->out.count; i++) fj_publish(&load->out.list[i]->hidden, false);
  publish(load);
  fj_index_unbar(&db->index, FJ_BAR_COMMIT);
  fj_keydir_fit(&db->index.keydir); /* there may be fewer keys than records */
  load->out.count = 0;              /* the references are the index's now */
  fj_store_claim(db);
  return FREYJA_OK;
}

freyja_status fj_load_commit(freyja_load *load, freyja_error *error) {
  freyja_status status = check(load, error);
  if (status != FREYJA_OK) return status;
  if (load->entries.count > 0) status = pass_fault(load, commit(load, error));
  if (status != FREYJA_OK) return status;
  let_go(load);
  load->has_ended = true;
  return FREYJA_OK;
}
