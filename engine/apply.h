/* apply.h - does to the keydir what a record of the log says, of which only its key's hash and
 * its place are at hand: as records come that were put aside (batch.h), or from a hint file
 * (hinted.h). */
#ifndef FJ_APPLY_H
#define FJ_APPLY_H

#include "index.h"

/* What is to be done for a record: the hash of its key, all 64 bits, and the word that its
 * slot is to have. In the word of one that leaves no slot, as a tombstone, all bits of
 * FJ_WORD_GONE are set: no record is so large that they would be in the word of its size. */
typedef struct fj_entry {
  uint64_t hash;
  uint64_t word;
} fj_entry;

#define FJ_WORD_GONE (UINT64_C(24) << 57)

static inline bool fj_entry_is_gone(const fj_entry *entry) {
  return (entry->word & FJ_WORD_GONE) == FJ_WORD_GONE;
}

/* The flags of its record, but `more`. */
static inline uint32_t fj_entry_flags(const fj_entry *entry) {
  return (uint32_t)(entry->word >> 62);
}

/* Asks for the memory that applying the entry will need. */
__attribute__((always_inline)) static inline void fj_apply_prefetch(fj_index *index,
                                                                    const fj_entry *entry) {
  fj_keydir_prefetch(&index->keydir, entry->hash & index->keydir.hash_mask);
}

/* Applies an entry (FORMAT.md, section 3). Slots of its hash are compared with it by their
 * keys in the log, but where one is certainly of its key (fj_index_is_sure); of an entry that
 * comes `by_hint` only where all bits of hashes are in use. *cost is what finding its place
 * has cost, in bytes looked at. Faults: MEMORY, IO, LIMIT; CORRUPT if the entry's record is
 * not as the entry says. */
freyja_status fj_apply(fj_index *index, const fj_entry *entry, bool by_hint, uint64_t *cost,
                       freyja_error *error);

#endif
