/* seek.h - finding a key's record without a lock, beside one thread that changes the store.
 *
 * What a reader finds is a whole record of the key, and was its latest at some moment while it
 * looked: slots are published behind the records that they lead to (D1), and a record stays
 * where it is, and so does its segment, until every guard is left within which it was found. A
 * key that is not found was absent at some moment, for nothing of its shard has moved
 * meanwhile (K7). Whatever is not as it should be, damage above all, is for who is in the
 * store to tell. */
#ifndef FJ_SEEK_H
#define FJ_SEEK_H

#include "index.h"

typedef enum fj_sought {
  FJ_SOUGHT_FOUND,
  FJ_SOUGHT_ABSENT,
  FJ_SOUGHT_UNSURE, /* who is in the store has to look */
} fj_sought;

/* Looks for the record of a key with that hash, which must not have expired, within a guard of
 * the index; *record borrows from the mapping, and *segment, until that is left. `whole`: its
 * value passes its sum. */
fj_sought fj_index_seek(fj_index *index, const void *key, size_t key_size, uint64_t hash,
                        bool whole, fj_record *record, fj_segment **segment);

#endif
