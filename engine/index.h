/* index.h - the segments of a store as one log, and the keydir that points into
 * it: finding a key's record, moving slots, the statistics that go with it, and
 * what is known of damage.
 *
 * I1  A slot points to the latest record of its key, a put.
 * I2  A hash match counts only after the record's own key was compared.
 * I3  A segment's live_keys and live_bytes are those of the slots that point to it. */
#ifndef FJ_INDEX_H
#define FJ_INDEX_H

#include "checkpoint.h"
#include "clock.h"
#include "keydir.h"
#include "scan.h"

#define FJ_SLOTS_MAX (1u << 20) /* segments that a position can tell apart */
#define FJ_COMPARISON                                                                         \
  64u /* what comparing two keys costs, in bytes looked at, beside these                      \
       */
#define FJ_DAMAGE_MAX 1000u /* spans that are remembered; more are counted */

/* Bytes that failed verification and were left where they are. */
typedef struct fj_damage {
  uint64_t id; /* of the segment */
  uint64_t offset, size;
  bool unknown; /* nobody can tell which keys it held */
} fj_damage;

/* Why nobody may read without a lock. */
typedef enum fj_bar {
  FJ_BAR_UNKNOWN = 1, /* whether a key is there depends on where damage is */
  FJ_BAR_COMMIT = 2,  /* of what is committed as one a part can be seen */
  FJ_BAR_ANEW = 4,    /* the keydir is made anew */
} fj_bar;

typedef struct fj_index {
  const fj_dir *dir;
  fj_pool pool;
  fj_guard *guard; /* of those who read without a lock; NULL: nobody does */
  uint32_t barred; /* fj_bar: why they must not, right now */
  bool placing;    /* slots may lead behind the log's end: those of a commit that goes on */
  fj_keydir keydir;
  /* The segments by their number, which slots of the keydir tell, one reference each: those of
   * the log, and those that merges have retired and that are still read. A number whose
   * segment is gone (NULL) is used again. */
  fj_segment **slots;
  uint32_t slot_count, slots_used;
  fj_segment **ranks; /* those of the log, oldest first */
  uint32_t count;
  uint32_t capacity;       /* of both */
  uint32_t retired;        /* of the segments */
  uint64_t swaps;          /* merges that changed the log's order */
  uint64_t last_timestamp; /* of the newest record */
  fj_clock clock;          /* the store's time */
  uint64_t moment;         /* the time, for what is read as of one moment; 0: it goes on */
  uint64_t soonest; /* no record that a slot points to expires before; UINT64_MAX: none does */
  uint64_t swept;   /* the time when a slot was last left out or removed for its expiry */
  uint64_t expected; /* likewise, of those that came since a search for expired ones began */
  uint64_t applied;  /* bytes of the records that were read in the log's order, */
  uint64_t searched; /* and what finding their places here has cost, in bytes looked at */
  uint64_t hint_applied, hint_searched; /* the same of the entries of hints (hinted.h) */

  fj_checkpoint *checkpoint; /* while shards are absent; NULL: none is, or it cannot be used */
  freyja_error checkpoint_fault; /* why one was not used, or not to its end */
  bool recovered;                /* the store has been opened */
  uint64_t readings; /* since then: how often the log was read again, and the keydir made anew
                      */
  /* Where in the log the KEYDIR on disk ends: the segment's id (0: there is none that can be
   * used), and the offset in it. */
  uint64_t covered_id, covered_end;
  bool strangers; /* it did not know all files that it covers by their signs (S6) */
  uint64_t forks; /* os->forks when it was made */

  fj_damage *damage; /* damage_count, at most FJ_DAMAGE_MAX of them */
  uint32_t damage_room;
  uint64_t damage_count;
  freyja_error first_damage;
  /* The newest unknown damage: an older record may have been replaced by what
   * was there, and an absent key may have been there. */
  bool has_unknown;
  uint32_t unknown_rank;
  uint64_t unknown_end;
} fj_index;

/* A key's record, as found. */
typedef struct fj_found {
  fj_place place;
  uint64_t word;
  fj_segment *segment;
  uint64_t offset;
  fj_record record; /* its pointers borrow from the mapping or from `block` */
  bool copied;      /* it is not the mapping that the record borrows from, but */
  uint8_t *block;   /* this, which is owned (fj_found_release), */
  const fj_os *os;
  bool collides;      /* another live key, or the record itself, makes the next flagged */
  uint8_t small[256]; /* or this: short records take no allocation */
} fj_found;

/* An empty index; fj_index_destroy releases what it comes to own. */
void fj_index_create(fj_index *index, const fj_dir *dir, const fj_identity *identity,
                     freyja_io io, bool readonly, uint32_t hash_bits);

/* Releases all segments, of which views may keep some mapped. */
void fj_index_destroy(fj_index *index);

/* From now on who reads without a lock waits for the store; and no more. */
static inline void fj_index_bar(fj_index *index, fj_bar why) {
  fj_publish(&index->barred, index->barred | why);
}
static inline void fj_index_unbar(fj_index *index, fj_bar why) {
  fj_publish(&index->barred, index->barred & ~(uint32_t)why);
}

/* ---- segments (segments.c) ---- */

/* Frees the table of segments by their numbers. */
void fj_index_free_table(fj_index *index);

/* Makes room for so many more segments, so that adding them cannot fail. Faults: MEMORY,
 * LIMIT. */
freyja_status fj_index_grow(fj_index *index, uint32_t more, freyja_error *error);

/* Takes over a reference to the segment; it becomes the newest. */
void fj_index_add(fj_index *index, fj_segment *segment);

/* The same with that number, which is less than slot_count and free. */
void fj_index_add_at(fj_index *index, fj_segment *segment, uint32_t slot);

/* Gives segments numbers, so that slots can point to them, before they are of the log, after
 * fj_index_grow; and takes these back. */
void fj_index_number(fj_index *index, fj_segment *const *segments, uint32_t count);
void fj_index_unnumber(fj_index *index, fj_segment *const *segments, uint32_t count);

/* Takes over references to segments that have numbers: they come right below the newest one.
 */
void fj_index_add_below(fj_index *index, fj_segment *const *segments, uint32_t count);

/* The segment of the log with that file id, or NULL. */
fj_segment *fj_index_segment(const fj_index *index, uint64_t id);

/* Puts the outputs of a merge, of which it takes over references, in the place of the last of
 * its inputs; both are in the log's order. The inputs leave the log and are retired: slots may
 * go on pointing to them. After fj_index_grow. */
void fj_index_swap(fj_index *index, fj_segment *const *inputs, uint32_t input_count,
                   fj_segment *const *outputs, uint32_t output_count);

/* For who follows another's store (follow.h). `segment` is the same file as `old`, opened
 * again, and takes its place and number; its tail is where that of `old` was, which is
 * retired. After fj_index_grow. */
void fj_index_renew(fj_index *index, fj_segment *old, fj_segment *segment);

/* Likewise: the log is these segments from now on, oldest first. Those that are new it takes
 * over references of; those that it had otherwise are retired, and slots may go on pointing to
 * them. After fj_index_grow. */
void fj_index_arrange(fj_index *index, fj_segment *const *order, const bool *is_new,
                      uint32_t count);

/* Likewise: gives up retired segments to which no slot points any more, and which nobody is
 * reading. */
void fj_index_forget(fj_index *index);

/* Claims the segments that a merge or a load has made, where that is to be done yet (S5); the
 * MANIFEST that names them is durable. What could not be claimed is for the next time. Faults:
 * IO, FULL; *poison tells that a sync failed. */
freyja_status fj_index_claim(fj_index *index, bool *poison, freyja_error *error);

/* Removes the files of the retired segments to which no slot points any more, and which nobody
 * is reading, and gives them up; but not before what replaces them is claimed. As removing
 * large files takes long, not `all` of them but one, or a piece of it; true if there is more
 * to remove. One that cannot be removed waits for the next time. *poison as above. */
bool fj_index_reap(fj_index *index, bool all, bool *poison);

/* ---- keys ---- */

/* The hash of a key with this store's seed. */
static inline uint64_t fj_index_hash(const fj_index *index, const void *key, size_t size) {
  return fj_hash(key, size, index->pool.identity.hash_seed);
}

/* Finds the record of a key. OK, or NOTFOUND: then found->collides tells whether a live
 * key has its hash. `whole`: the value is readable (not yet checked), otherwise
 * perhaps only header and key. Faults: CORRUPT, IO, MEMORY. Release *found in
 * any case. */
freyja_status fj_index_find(fj_index *index, const void *key, size_t key_size, uint64_t hash,
                            bool whole, fj_found *found, freyja_error *error);

/* Makes the record that found->word points to readable: at least its header and
 * `key_size` bytes more, or all of it if `whole`. *possible is false, without a fault, if what
 * is there cannot be a record, or is cut off; a key of another length than key_size may not be
 * there whole. Nothing is checked. found->block must be NULL or from a fetch; found->os set.
 * Faults: IO, MEMORY. */
freyja_status fj_index_fetch(fj_index *index, fj_found *found, size_t key_size, bool whole,
                             bool *possible, freyja_error *error);

/* Makes header and key of the record that found->word points to readable and checks them;
 * `key_size` is how long the key is thought to be. found->block must be NULL or from a fetch;
 * found->os set. Faults: CORRUPT, IO, MEMORY. */
freyja_status fj_index_examine(fj_index *index, fj_found *found, size_t key_size,
                               freyja_error *error);

void fj_found_release(fj_found *found);

/* Whether the record that was found has expired: then its key is absent. Only a record that
 * can expire has the time looked at. */
static inline bool fj_index_is_due(fj_index *index, const fj_found *found) {
  return (found->record.flags & FJ_FLAG_EXPIRES) != 0 &&
         fj_record_is_due(&found->record,
                          index->moment != 0 ? index->moment : fj_clock_now(&index->clock));
}

/* OK, or CORRUPT if damage makes it unsure that a key that was found at
 * found->offset, or not found (found NULL), really is so. */
freyja_status fj_index_prove(const fj_index *index, const fj_found *found,
                             freyja_error *error);

/* Whether the value of a record that was found passes its sum: OK or CORRUPT. */
freyja_status fj_index_check_value(const fj_index *index, const fj_found *found,
                                   freyja_error *error);

/* Reads header and key, at least, of the record that the word of a slot points to. Release
 * *found in any case. Faults: CORRUPT if they do not pass their check, IO, MEMORY. */
freyja_status fj_index_look(fj_index *index, uint64_t word, fj_found *found,
                            freyja_error *error);

/* A slot is to point to a record with that expiry (0: none). */
static inline void fj_index_expect(fj_index *index, uint64_t expiry) {
  if (expiry == 0) return;
  if (expiry < index->soonest) index->soonest = expiry;
  if (expiry < index->expected) index->expected = expiry;
}

/* Whether a slot, the first of its hash, is of the key that a record with that hash and those
 * flags has: neither says that there is another key. Where a store wrote the log the slot is
 * then the only one; if somebody else did, a key could come to have two. */
static inline bool fj_index_is_sure(const fj_slot *slot, uint32_t flags) {
  bool alone = slot[1].word == 0 || slot[1].hash != slot->hash; /* there is one more: K4 */
  return alone && (flags & FJ_FLAG_COLLIDES) == 0 && !fj_word_collides(slot->word);
}

/* Moves the slot of a key that was found to another record, adds a slot (at a
 * place that fj_keydir_reserve returned for the masked hash), or removes one. */
void fj_index_replace(fj_index *index, fj_place place, uint64_t word);
void fj_index_insert(fj_index *index, fj_place place, uint64_t hash, uint64_t word);
void fj_index_delete(fj_index *index, fj_place place);

/* A slot that the keydir got for a record that is about to be written counts from now on. */
void fj_index_count_in(fj_index *index, uint64_t word);

/* Counts what finding the place of a record has cost, in bytes that were looked at: records of
 * its hash, their keys, and slots that were passed (one each). LIMIT if that is out of
 * proportion to the bytes of the records applied, as in a file that was made to be slow, or
 * where a store with few hash_bits got many keys. */
freyja_status fj_index_charge(fj_index *index, uint64_t cost, freyja_error *error);

/* What finding places may still cost before that is LIMIT. */
uint64_t fj_index_allowance(const fj_index *index);

/* The slots that searching for the hash has passed, up to where it ended. */
static inline uint64_t fj_index_passed(const fj_place *place, uint64_t hash) {
  if (place->slot == NULL) return 0;
  return (uint64_t)(place->slot - fj_shard_home(place->shard, hash));
}

/* Whether the slot at found->place, of the same hash, is of the record's key, by looking at
 * its record. fj_found_release in any case. Faults: MEMORY, IO. */
freyja_status fj_index_same_key(fj_index *index, fj_found *found, const fj_record *record,
                                bool *same, freyja_error *error);

/* Remembers damage. `why` may be NULL: then a text is made. */
void fj_index_add_damage(fj_index *index, fj_segment *segment, uint64_t offset, uint64_t size,
                         bool unknown, const freyja_error *why);

#endif
