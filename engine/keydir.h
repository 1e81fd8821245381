/* keydir.h - the key directory: an in-memory hash index from the 64-bit hash of
 * a key to where its latest record lies. It holds no keys: several slots may
 * have the same hash, and the caller tells them apart by the records.
 *
 * Open addressing in 256 shards (by the top 8 bits of the hash). In a shard a hash
 * belongs at (its next 32 bits) * capacity / 2^32, which never decreases with the
 * hash, and slots are kept sorted by hash from there on: Robin Hood hashing (P. Celis,
 * 1986) with an order-preserving hash. So a search for what is absent ends at
 * the first larger hash, a shard is copied to a larger table by one sequential
 * pass, and reading the shards in order gives the hashes sorted.
 *
 * All shards lie side by side in one region of memory, large enough for huge pages.
 * When the keydir is full, a region larger by a quarter is begun, and the shards
 * move over one at a time, one with each insert, while the old region's pages go
 * back to the system behind them: no insert waits for the whole table, and old and
 * new are never both in memory.
 *
 * K1  The used slots of a shard have non-decreasing hashes.
 * K2  No empty slot lies between the place where a hash belongs and its slot.
 * K3  A used slot's word is not 0 (an offset is never 0: the segment's header
 *     is there).
 * K4  The last slot of a shard is empty: searches end without a bound.
 * K5  Shards [0, moved) are in the new region; of the others, those are that had to
 *     move out of turn.
 *
 * A keydir may be taken over from where it was written (fj_keydir_adopt). Its shards are then
 * absent until they are needed: `slots` is NULL, and a source brings them.
 *
 * Other threads look for keys without a lock (fj_keydir_seek), while one changes the keydir:
 *
 * K7  Slots change one after the other, each by its hash first and then its word. What an
 *     insert pushes is at its new place before it goes from the old one, so that a search,
 *     which goes the same way, meets it. What a deletion pulls back it may miss, and what
 * moves to another region: then the shard's version has changed, for it does before each such
 *     step.
 *
 * K6  Before a shard is looked at, fj_keydir_ready or fj_keydir_bring_all has said OK; after
 *     the latter none is absent any more. Nothing grows while one is. */
#ifndef FJ_KEYDIR_H
#define FJ_KEYDIR_H

#include <assert.h>

#include "error.h"
#include "guard.h"
#include "record.h"

#define FJ_SHARD_BITS 8u
#define FJ_SHARDS (1u << FJ_SHARD_BITS)
#define FJ_RETIRED_MAX 16u                  /* regions that wait for their readers */
#define FJ_CAPACITY_MAX (UINT32_C(1) << 30) /* places of a shard */

/* A slot's word: flags, a coarse size and a position.
 *   bits 0..47   position: segment slot (20 bits), offset / 8 (28 bits)
 *   bits 48..61  size of the record in 8-byte units, as a small float: 5 bits of
 *                exponent, 9 of mantissa, rounded up; exact below 4 KiB
 *   bit 62       the record is flagged `collides`
 *   bit 63       the record is flagged `expires` */
#define FJ_WORD_COLLIDES (UINT64_C(1) << 62)
#define FJ_WORD_EXPIRES (UINT64_C(1) << 63)
#define FJ_POSITION_MASK ((UINT64_C(1) << 48) - 1)

typedef struct fj_slot {
  uint64_t hash;
  uint64_t word; /* 0: empty */
} fj_slot;

/* Where a shard is, for other threads. */
typedef struct fj_view_of_shard {
  const fj_slot *slots; /* NULL: who is in the store has to look */
  uint64_t capacity;
} fj_view_of_shard;

typedef struct fj_shard {
  fj_slot *slots;    /* limit of them; NULL while absent, or the keydir was never put into */
  uint32_t capacity; /* places that hashes belong to */
  uint32_t limit;    /* slots: capacity and room for what is pushed over the end */
  uint32_t count;    /* used slots */
  uint64_t version;  /* K7; odd or even says which of the two is so */
  fj_view_of_shard seen[2];
} fj_shard;

/* The memory of all shards: shard i begins at slot i * limit. */
typedef struct fj_region {
  fj_slot *slots;
  size_t bytes;
  size_t discarded;  /* bytes at its beginning that went back to the system */
  uint64_t retired;  /* the epoch since which nobody comes to it any more (guard.h) */
  uint32_t capacity; /* of each shard */
  uint32_t limit;
} fj_region;

/* Brings an absent shard, and others if it likes, by fj_keydir_admit or by making the whole
 * keydir anew. Faults are those of the operation that needs it. */
typedef freyja_status (*fj_bring_shard)(void *source, uint32_t number, freyja_error *error);

typedef struct fj_keydir {
  const fj_os *os;
  fj_guard *guard;                   /* of those who look without a lock; NULL: nobody does */
  uint64_t hash_mask;                /* bits of a key's hash that are in use */
  uint64_t count;                    /* used slots of all shards */
  uint64_t count_max;                /* count at which it grows */
  fj_region region;                  /* the newest */
  fj_region old;                     /* while shards move over; slots NULL otherwise */
  fj_region retired[FJ_RETIRED_MAX]; /* whose pages went back, and whose addresses have to */
  uint32_t moved;                    /* K5 */
  uint32_t absent;                   /* shards that are */
  fj_bring_shard bring;
  void *source; /* its first argument */
  fj_shard shards[FJ_SHARDS];
} fj_keydir;

/* A place in the keydir, valid until its next change. */
typedef struct fj_place {
  fj_shard *shard;
  fj_slot *slot; /* found, or where the hash would be inserted; NULL in an empty shard */
  fj_slot *gap;  /* after fj_keydir_reserve: the empty slot that takes up the push */
} fj_place;

/* An empty keydir that uses the top hash_bits (1 to 64) of hashes. No allocation. */
void fj_keydir_create(fj_keydir *keydir, const fj_os *os, uint32_t hash_bits);
void fj_keydir_destroy(fj_keydir *keydir);

/* The word of a record of that size in bytes, with those flags (record.h), of which `more` is
 * not kept. */
static inline uint64_t fj_word_make(uint32_t segment_slot, uint64_t offset, uint64_t size,
                                    uint8_t flags) {
  _Static_assert((FJ_WORD_COLLIDES | FJ_WORD_EXPIRES) >> 62 ==
                     (FJ_FLAG_COLLIDES | FJ_FLAG_EXPIRES),
                 "the flags of a word are those of its record");
  _Static_assert((uint64_t)FJ_FLAG_MORE << 62 == 0, "this one falls off the end");
  uint64_t units = size / 8;
  unsigned exponent = 0;
  while (units >= 512) {
    units = (units + 1) / 2;
    exponent++;
  }
  return (uint64_t)segment_slot << 28 | offset / 8 | units << 48 | (uint64_t)exponent << 57 |
         (uint64_t)flags << 62;
}

static inline uint64_t fj_word_position(uint64_t word) { return word & FJ_POSITION_MASK; }
static inline uint32_t fj_word_segment(uint64_t word) {
  return (uint32_t)((word & FJ_POSITION_MASK) >> 28);
}
static inline uint64_t fj_word_offset(uint64_t word) {
  return (word & ((UINT64_C(1) << 28) - 1)) * 8;
}
/* The same, in the segment with that number. */
static inline uint64_t fj_word_move(uint64_t word, uint32_t segment_slot) {
  return (word & ~(((UINT64_C(1) << 20) - 1) << 28)) | (uint64_t)segment_slot << 28;
}
static inline bool fj_word_collides(uint64_t word) { return (word & FJ_WORD_COLLIDES) != 0; }
static inline bool fj_word_expires(uint64_t word) { return (word & FJ_WORD_EXPIRES) != 0; }

/* Bytes before the key of the record. */
static inline uint32_t fj_word_prefix(uint64_t word) {
  return fj_record_prefix(fj_word_expires(word) ? FJ_FLAG_EXPIRES : 0);
}

/* Bytes of the record, rounded up; the same for the same size, wherever it lies. */
static inline uint64_t fj_word_size(uint64_t word) {
  return ((word >> 48 & 511) << (word >> 57 & 31)) * 8;
}

static inline fj_shard *fj_keydir_shard(fj_keydir *keydir, uint64_t hash) {
  return &keydir->shards[hash >> (64 - FJ_SHARD_BITS)];
}

/* Where a hash belongs in its shard. */
static inline fj_slot *fj_shard_home(const fj_shard *shard, uint64_t hash) {
  uint64_t fraction = hash << FJ_SHARD_BITS >> 32;
  return shard->slots + (fraction * shard->capacity >> 32);
}

/* ---- without a lock ---------------------------------------------------------- */

/* A search by another thread, within a guard. */
typedef struct fj_seek {
  const fj_shard *shard;
  const fj_slot *next;
  uint64_t hash, version;
} fj_seek;

/* Begins at the first place where the hash may be; false if the shard is changing right now,
 * or who is in the store has to look. */
static inline bool fj_seek_begin(fj_seek *seek, const fj_keydir *keydir, uint64_t hash) {
  seek->shard = &keydir->shards[hash >> (64 - FJ_SHARD_BITS)];
  seek->hash = hash;
  seek->version = fj_observe(&seek->shard->version);
  const fj_view_of_shard *seen = &seek->shard->seen[seek->version & 1];
  const fj_slot *slots = fj_observe(&seen->slots);
  uint64_t capacity = fj_observe(&seen->capacity);
  if (slots == NULL || fj_glance(&seek->shard->version) != seek->version) return false;
  seek->next = slots + ((hash << FJ_SHARD_BITS >> 32) * capacity >> 32);
  return true;
}

/* The word of the next slot with that hash; 0 if there is none. */
static inline uint64_t fj_seek_next(fj_seek *seek) {
  for (;; seek->next++) {
    uint64_t word = fj_observe(&seek->next->word);
    if (word == 0) return 0;
    uint64_t hash = fj_observe(&seek->next->hash);
    if (hash > seek->hash) return 0;
    if (hash < seek->hash) continue;
    seek->next++;
    return word;
  }
}

/* Whether a search in vain has not missed anything (K7). */
static inline bool fj_seek_is_sure(const fj_seek *seek) {
  return fj_glance(&seek->shard->version) == seek->version;
}

/* Asks for the memory that finding the hash will read. As a function GCC takes it for one
 * without effect, of which it leaves out the calls. */
__attribute__((always_inline)) static inline void fj_keydir_prefetch(fj_keydir *keydir,
                                                                     uint64_t hash) {
  const fj_shard *shard = fj_keydir_shard(keydir, hash);
  if (shard->slots == NULL) return;
  const fj_slot *home = fj_shard_home(shard, hash);
  __builtin_prefetch(home);
  __builtin_prefetch(home + 4); /* searches often end in the next line, */
  __builtin_prefetch(home + 8); /* pushes in the one after */
}

/* The first slot with that hash. False if there is none. */
static inline bool fj_keydir_find(fj_keydir *keydir, uint64_t hash, fj_place *place) {
  fj_shard *shard = fj_keydir_shard(keydir, hash);
  place->shard = shard;
  place->slot = NULL;
  if (shard->slots == NULL) return false;
  fj_slot *slot = fj_shard_home(shard, hash);
  while (slot->word != 0 && slot->hash < hash) slot++;
  place->slot = slot;
  return slot->word != 0 && slot->hash == hash;
}

/* The next slot with the same hash; false if that was the last. */
static inline bool fj_keydir_next(fj_place *place) {
  uint64_t hash = place->slot->hash;
  place->slot++;
  return place->slot->word != 0 && place->slot->hash == hash;
}

/* ---- absent shards -------------------------------------------------------- */

/* Slots that a shard of that capacity has memory for. */
uint32_t fj_keydir_limit(uint32_t capacity);

/* Makes an empty keydir one with shards of that capacity (at least 1) and so many keys in each
 * (less than its limit), all of which are absent. Faults: MEMORY, LIMIT. */
freyja_status fj_keydir_adopt(fj_keydir *keydir, uint32_t capacity,
                              const uint32_t counts[FJ_SHARDS], fj_bring_shard bring,
                              void *source, freyja_error *error);

/* Where the slots of an absent shard are to be put. */
fj_slot *fj_keydir_room(fj_keydir *keydir, uint32_t number);

/* Called with all slots of a shard that are used. */
typedef void (*fj_visit_slot)(void *argument, const fj_slot *slot);

/* Takes what was put there for the shard: NULL; or, and it stays absent, what is wrong with
 * it: K1 to K4, or its count. `visit` as in fj_keydir_check. */
const char *fj_keydir_admit(fj_keydir *keydir, uint32_t number, fj_visit_slot visit,
                            void *argument);

/* What was admitted is for other threads, too, from now on. */
void fj_keydir_show(fj_keydir *keydir, uint32_t number);

/* Forgets all but how many keys there are; all is absent, and the source knows what there
 * was. */
void fj_keydir_forget(fj_keydir *keydir);

/* Has the shard, or all of them, brought. Faults: those of the source. */
freyja_status fj_keydir_bring(fj_keydir *keydir, uint32_t number, freyja_error *error);
freyja_status fj_keydir_bring_all(fj_keydir *keydir, freyja_error *error);

/* K6, of the shard in which the hash is. */
static inline freyja_status fj_keydir_ready(fj_keydir *keydir, uint64_t hash,
                                            freyja_error *error) {
  if (keydir->absent == 0) return FREYJA_OK;
  return fj_keydir_bring(keydir, (uint32_t)(hash >> (64 - FJ_SHARD_BITS)), error);
}

/* Brings all and ends growing, so that all shards are in one region. Faults: MEMORY, LIMIT,
 * those of the source. */
freyja_status fj_keydir_settle(fj_keydir *keydir, freyja_error *error);

/* ---- changing ------------------------------------------------------------- */

/* Bytes of memory in use. */
static inline uint64_t fj_keydir_bytes(const fj_keydir *keydir) {
  return keydir->region.bytes + keydir->old.bytes - keydir->old.discarded;
}

/* Makes sure that inserting the hash at *place, where a search for it ended in
 * vain, cannot fail; may move *place. Faults: MEMORY, LIMIT (2^30 keys in a shard), those of
 * the source. */
freyja_status fj_keydir_reserve(fj_keydir *keydir, uint64_t hash, fj_place *place,
                                freyja_error *error);

/* Brings all absent shards if inserting so many more might need it. Faults: those of the
 * source.
 */
freyja_status fj_keydir_make_ready(fj_keydir *keydir, uint64_t more, freyja_error *error);

/* Grows at once, if it has to, so that `more` slots find room: for a load of many. Without the
 * memory for that, or while shards are absent, nothing changes. Places are no longer valid. */
void fj_keydir_expect(fj_keydir *keydir, uint64_t more);

/* Gives memory back that fj_keydir_expect took in vain: then there is no more than growing
 * key by key would have come to. Places are no longer valid. */
void fj_keydir_fit(fj_keydir *keydir);

/* Adds a slot at the place that fj_keydir_reserve returned. */
void fj_keydir_insert(fj_keydir *keydir, fj_place place, uint64_t hash, uint64_t word);

/* Finds the gap for a place where a search ended in vain; false if only fj_keydir_reserve can
 * make one. That the keydir is not full is for the caller to see. */
static inline bool fj_shard_find_gap(fj_place *place) {
  fj_slot *gap = place->slot;
  while (gap->word != 0) gap++;
  place->gap = gap;
  return gap + 1 < place->shard->slots + place->shard->limit; /* K4 */
}

/* K7 */
static inline void fj_slot_set(fj_slot *slot, uint64_t hash, uint64_t word) {
  fj_publish(&slot->hash, hash);
  fj_publish(&slot->word, word);
}

/* fj_keydir_insert and fj_keydir_delete without counting for the keydir: for several threads
 * at once, each in shards of its own, and then somebody adds up. (Called instead of inlined,
 * the place would go through memory for every key of a load.) */
static inline void fj_shard_insert(fj_place place, uint64_t hash, uint64_t word) {
  assert(word != 0);            /* K3 */
  assert(place.gap->word == 0); /* reserved, and nothing changed since */
  for (fj_slot *slot = place.gap; slot != place.slot; slot--) /* K1 */
    fj_slot_set(slot, slot[-1].hash, slot[-1].word);
  fj_slot_set(place.slot, hash, word);
  place.shard->count++;
}

void fj_shard_delete(fj_place place);

/* Points the slot at another record. */
static inline void fj_keydir_replace(fj_place place, uint64_t word) {
  fj_publish(&place.slot->word, word);
}

void fj_keydir_delete(fj_keydir *keydir, fj_place place);

/* Looks at all there is: NULL if K1 to K5 and the counts hold, else what does not. Calls
 * `visit` for each used slot in any case. */
const char *fj_keydir_check(const fj_keydir *keydir, fj_visit_slot visit, void *argument);

#endif
