/* sorted.h - the keys of an iteration in key order: copied into an arena,
 * sorted, and read one by one from where their records lie. */
#ifndef FJ_SORTED_H
#define FJ_SORTED_H

#include "index.h"

typedef struct fj_sorted_item {
  const uint8_t *key;  /* in the arena */
  fj_segment *segment; /* pinned by the iterator; NULL: one that is not of the store */
  uint64_t offset;     /* or whatever tells it from the others that are not */
  uint64_t size;       /* of the record */
  uint32_t key_size;
} fj_sorted_item;

typedef struct fj_chunk fj_chunk;

typedef struct fj_sorted {
  const fj_os *os;
  fj_sorted_item *items;
  size_t count, capacity;
  size_t next;      /* the item that fj_sorted_next returns */
  fj_chunk *chunks; /* the arena */
  uint8_t *block;   /* syscall mode: the record read last */
  uint64_t block_size;
} fj_sorted;

void fj_sorted_create(fj_sorted *sorted, const fj_os *os);
void fj_sorted_destroy(fj_sorted *sorted);

/* Adds a key (copied) and where its record lies; one that is not of the store cannot be read
 * by fj_sorted_read. Faults: MEMORY. */
freyja_status fj_sorted_add(fj_sorted *sorted, freyja_slice key, fj_segment *segment,
                            uint64_t offset, uint64_t size, freyja_error *error);

/* Sorts the items bytewise by key, a prefix before what it begins. */
void fj_sorted_sort(fj_sorted *sorted);

/* The next item, or NULL. */
const fj_sorted_item *fj_sorted_next(fj_sorted *sorted);

/* Reads the item's record; `header_only`: the value is neither read nor checked.
 * The record borrows from *sorted until the next read. CORRUPT (without a
 * message) if it is not the record that was added; faults: IO, MEMORY. */
freyja_status fj_sorted_read(fj_sorted *sorted, const fj_sorted_item *item, bool header_only,
                             fj_record *record, freyja_error *error);

#endif
