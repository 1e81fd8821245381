/* entries.h - hashes of many keys and where their records lie, put aside by the shards of the
 * keydir in which their slots will be, and given back shard by shard in the keydir's order: so
 * that what is needed of its memory is needed in order. */
#ifndef FJ_ENTRIES_H
#define FJ_ENTRIES_H

#include "keydir.h"

typedef struct fj_entries_chunk fj_entries_chunk;
typedef struct fj_entries_slab fj_entries_slab;

/* Where the next entry of a shard goes, in its last chunk. Apart from the chunks, as these
 * lie so that their beginnings would be in each other's way in the processor's caches. */
typedef struct fj_entries_shard {
  fj_slot *next, *end; /* NULL: it has none */
} fj_entries_shard;

typedef struct fj_entries {
  const fj_os *os;
  fj_entries_shard shards[FJ_SHARDS];
  fj_entries_chunk *first[FJ_SHARDS], *last[FJ_SHARDS];
  uint64_t count;         /* of all */
  fj_entries_slab *slabs; /* what the chunks are parts of, the newest first */
} fj_entries;

/* None. No allocation. */
void fj_entries_create(fj_entries *entries, const fj_os *os);
void fj_entries_destroy(fj_entries *entries);

/* Adds one; its hash is that of a slot. Takes 16 bytes of memory, and some KiB for each shard.
 * Faults: MEMORY. */
freyja_status fj_entries_add(fj_entries *entries, uint64_t hash, uint64_t word,
                             freyja_error *error);

/* *out gets the entries of a shard, sorted by hash, those of one hash as they were added; the
 * caller releases it. *count gets their number. Time in proportion to their number where
 * hashes are random. Faults: MEMORY. */
freyja_status fj_entries_sort(const fj_entries *entries, uint32_t shard, fj_slot **out,
                              uint64_t *count, freyja_error *error);

#endif
