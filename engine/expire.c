/* expire.c - forgetting keys whose values have expired: their slots stay until somebody
 * counts. Reading them finds out by itself (fj_index_is_due). */
#include "store.h"

static void expect(fj_sweep *sweep, uint64_t expiry) {
  if (expiry < sweep->soonest) sweep->soonest = expiry;
}

/* Whether the slot, of a record that expires, is to go: it has expired, and the iterators have
 * been told. */
static bool is_to_go(fj_store *db, fj_sweep *sweep, const fj_slot *slot) {
  fj_found found;
  uint64_t expiry = 0;
  freyja_status status = fj_index_look(&db->index, slot->word, &found, NULL);
  if (status == FREYJA_OK) expiry = fj_record_expiry(&found.record);
  fj_found_release(&found);
  /* What is damaged stays so; what could not be read just now is looked at again. */
  if (status != FREYJA_OK && status != FREYJA_CORRUPT) expect(sweep, sweep->now);
  if (status != FREYJA_OK) return false;
  if (expiry > sweep->now) {
    expect(sweep, expiry);
    return false;
  }
  if (fj_iterators_reserve(&db->iterators, 1, NULL) != FREYJA_OK) {
    expect(sweep, expiry);
    sweep->kept++;
    return false;
  }
  fj_iterators_note(&db->iterators, found.segment, found.offset, found.record.timestamp);
  return true;
}

static void sweep_shard(fj_store *db, fj_sweep *sweep, fj_shard *shard) {
  if (shard->slots == NULL) return;
  fj_slot *slot = shard->slots;
  while (slot < shard->slots + shard->limit) {
    fj_place place = {.shard = shard, .slot = slot};
    if (fj_word_expires(slot->word) && is_to_go(db, sweep, slot))
      fj_index_delete(&db->index, place); /* the next one may have moved here */
    else slot++;
  }
}

static void begin_sweep(fj_store *db, fj_sweep *sweep) {
  *sweep = (fj_sweep){.now = fj_clock_now(&db->index.clock), .soonest = UINT64_MAX};
  db->index.expected = UINT64_MAX;
}

uint64_t fj_store_expire(fj_store *db) {
  fj_index *index = &db->index;
  fj_sweep sweep;
  if (index->soonest == UINT64_MAX || !fj_store_is_process(db)) return 0;
  if (fj_clock_now(&index->clock) < index->soonest) return 0;
  if (fj_keydir_bring_all(&index->keydir, NULL) != FREYJA_OK) return 0; /* another time */
  begin_sweep(db, &sweep);
  for (uint32_t i = 0; i < FJ_SHARDS; i++) sweep_shard(db, &sweep, &index->keydir.shards[i]);
  index->soonest = sweep.soonest;
  index->swept = sweep.now;
  db->sweep.open = false; /* one that goes on by steps has nothing left to find */
  return sweep.kept;
}

/* What came since the search began, into shards that it had passed perhaps, counts too. */
static void end_sweep(fj_store *db) {
  fj_index *index = &db->index;
  fj_sweep *sweep = &db->sweep;
  sweep->open = false;
  index->soonest = sweep->soonest < index->expected ? sweep->soonest : index->expected;
}

/* Has shards brought that are absent, so that nobody has to wait for all of them. */
static freyja_status bring_some(fj_keydir *keydir, uint64_t slots, uint64_t *looked,
                                freyja_error *error) {
  freyja_status status = FREYJA_OK;
  for (uint32_t i = 0; i < FJ_SHARDS && keydir->absent > 0 && status == FREYJA_OK; i++) {
    if (*looked >= slots) break;
    if (keydir->shards[i].slots != NULL) continue;
    status = fj_keydir_bring(keydir, i, error);
    *looked += 1 + keydir->shards[i].limit;
  }
  return status;
}

freyja_status fj_store_expire_some(fj_store *db, uint64_t slots, freyja_error *error) {
  fj_index *index = &db->index;
  fj_sweep *sweep = &db->sweep;
  uint64_t looked = 0;
  freyja_status status = fj_store_check_process(db, error);
  if (status == FREYJA_OK) status = bring_some(&index->keydir, slots, &looked, error);
  if (status != FREYJA_OK) return status;
  if (looked >= slots) return FREYJA_OK;
  if (!sweep->open) {
    if (fj_clock_now(&index->clock) < index->soonest) return FREYJA_END;
    begin_sweep(db, sweep);
    sweep->open = true;
  }
  while (looked < slots && sweep->shard < FJ_SHARDS) {
    fj_shard *shard = &index->keydir.shards[sweep->shard++];
    sweep_shard(db, sweep, shard);
    looked += 1 + (shard->slots == NULL ? 0 : shard->limit);
  }
  index->swept = sweep->now;
  if (sweep->shard < FJ_SHARDS) return FREYJA_OK;
  end_sweep(db);
  return FREYJA_END;
}
