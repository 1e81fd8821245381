/* expire.c - forgetting keys whose values have expired: their slots stay until somebody
 * counts. Reading them finds out by itself (fj_index_is_due). */
#include "store.h"

/* What is known of the slots that were looked at. */
typedef struct fj_sweep {
  uint64_t now;
  uint64_t soonest; /* expiry of those that stay */
  uint64_t kept;    /* of those, how many have expired */
} fj_sweep;

static void expect(fj_sweep *sweep, uint64_t expiry) {
  if (expiry < sweep->soonest) sweep->soonest = expiry;
}

/* Whether the slot, of a record that expires, is to go: it has expired, and the iterators have
 * been told. */
static bool is_to_go(freyja *db, fj_sweep *sweep, const fj_slot *slot) {
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
  if (fj_iterators_reserve(&db->iterators, NULL) != FREYJA_OK) {
    expect(sweep, expiry);
    sweep->kept++;
    return false;
  }
  fj_iterators_note(&db->iterators, found.segment, found.offset, found.record.timestamp);
  return true;
}

static void sweep_shard(freyja *db, fj_sweep *sweep, fj_shard *shard) {
  if (shard->slots == NULL) return;
  fj_slot *slot = shard->slots;
  while (slot < shard->slots + shard->limit) {
    fj_place place = {.shard = shard, .slot = slot};
    if (fj_word_expires(slot->word) && is_to_go(db, sweep, slot))
      fj_index_delete(&db->index, place); /* the next one may have moved here */
    else slot++;
  }
}

uint64_t fj_store_expire(freyja *db) {
  fj_index *index = &db->index;
  if (index->soonest == UINT64_MAX || !fj_store_is_process(db)) return 0;
  fj_sweep sweep = {.now = fj_clock_now(&index->clock), .soonest = UINT64_MAX};
  if (sweep.now < index->soonest) return 0;
  if (fj_keydir_bring_all(&index->keydir, NULL) != FREYJA_OK) return 0; /* another time */
  for (uint32_t i = 0; i < FJ_SHARDS; i++) sweep_shard(db, &sweep, &index->keydir.shards[i]);
  index->soonest = sweep.soonest;
  index->swept = sweep.now;
  return sweep.kept;
}
