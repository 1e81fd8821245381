/* seek.c - see seek.h. */
#include "seek.h"

#include <sched.h>
#include <string.h>

#define TRIES 64u  /* while the shard changes */
#define YIELDS 16u /* while a commit becomes visible */

/* Whether what the word leads to is a record of the key: FOUND, ABSENT if it has expired,
 * UNSURE; or *other: it is none. */
static fj_sought look_at(fj_index *index, uint64_t word, const void *key, size_t key_size,
                         uint64_t hash, bool whole, fj_record *record, fj_segment **out,
                         bool *other) {
  fj_segment *const *slots = fj_observe(&index->slots);
  fj_segment *segment = fj_observe(&slots[fj_word_segment(word)]);
  uint64_t offset = fj_word_offset(word);
  *other = false;
  const uint8_t *map = segment == NULL ? NULL : fj_observe(&segment->map);
  if (map == NULL) return FJ_SOUGHT_UNSURE;
  uint64_t tail = fj_observe(&segment->tail);
  *other = offset >= tail ? fj_observe(&index->placing) : fj_observe(&segment->hidden);
  if (offset >= tail || *other) return FJ_SOUGHT_UNSURE;
  uint64_t seed = fj_record_seed(segment->seed, offset);
  if (!fj_record_parse(map + offset, tail - offset, record)) return FJ_SOUGHT_UNSURE;
  if (record->key_size != key_size ||
      (key_size > 0 && memcmp(record->key, key, key_size) != 0)) {
    uint64_t its = fj_index_hash(index, record->key, record->key_size);
    *other = fj_record_check_header(record, seed, its);
    return FJ_SOUGHT_UNSURE;
  }
  if (!fj_record_check_header(record, seed, hash) || record->kind != FJ_KIND_PUT)
    return FJ_SOUGHT_UNSURE;
  if ((record->flags & FJ_FLAG_EXPIRES) != 0 &&
      fj_record_is_due(record, fj_clock_now(&index->clock)))
    return FJ_SOUGHT_ABSENT;
  *out = segment;
  return whole && !fj_record_check_value(record, seed) ? FJ_SOUGHT_UNSURE : FJ_SOUGHT_FOUND;
}

/* A commit that can be seen in part is through in a moment, unless its thread stands still. */
static bool is_barred(const fj_index *index) {
  uint32_t why = fj_observe(&index->barred);
  for (unsigned i = 0; i < YIELDS && why == FJ_BAR_COMMIT; i++) {
    (void)sched_yield();
    why = fj_observe(&index->barred);
  }
  return why != 0;
}

fj_sought fj_index_seek(fj_index *index, const void *key, size_t key_size, uint64_t hash,
                        bool whole, fj_record *record, fj_segment **segment) {
  uint64_t masked = hash & index->keydir.hash_mask;
  if (is_barred(index)) return FJ_SOUGHT_UNSURE;
  for (unsigned i = 0; i < TRIES; i++) {
    fj_seek seek;
    if (!fj_seek_begin(&seek, &index->keydir, masked)) continue;
    for (uint64_t word = 0; (word = fj_seek_next(&seek)) != 0;) {
      bool other = false;
      fj_sought sought =
          look_at(index, word, key, key_size, hash, whole, record, segment, &other);
      if (!other) return sought;
    }
    if (fj_seek_is_sure(&seek)) return FJ_SOUGHT_ABSENT;
  }
  return FJ_SOUGHT_UNSURE;
}
