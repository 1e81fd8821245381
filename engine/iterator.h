/* iterator.h - iterating a store as it was, while it is written.
 *
 * An iterator holds the segments that there were and where the log ended. A
 * record in there was live then if its key's slot still points to it, or did
 * until after the iterator was made: the store tells its iterators of every
 * record that loses its slot, and they remember those that they have not passed.
 * So iterating costs nothing up front, and memory only for what changes meanwhile.
 *
 * A merge moves slots to copies of records, and tells nobody: a record is known by its
 * timestamp, which no other of the store has, and which its copies keep.
 *
 * T1  An iterator that tracks knows every record before its end, not before its
 *     cursor, that lost its slot since it was made. */
#ifndef FJ_ITERATOR_H
#define FJ_ITERATOR_H

#include "index.h"

/* The open iterators of a store. */
typedef struct fj_iterators {
  freyja_iterator *first;
  uint64_t count;
} fj_iterators;

/* What a transaction lays over the store that it iterates: entries of its own, and which of
 * the store's they hide. */
typedef struct fj_overlay {
  void *self;
  /* Whether the store's live record is not hidden: then the iterator gives it. */
  bool (*shows)(void *self, const fj_record *record, uint64_t key_hash);
  /* Its own entry number *at or the first behind that, to whose number *at is set; false if
   * there is none. It stays valid, and its number, until the release. */
  bool (*entry)(void *self, uint32_t *at, freyja_entry *entry);
  void (*release)(void *self);
} fj_overlay;

/* Makes an iterator over the index as it is. It takes over the overlay, which may be NULL,
 * even if it fails. Faults: MEMORY, IO. */
freyja_status fj_iterator_create(fj_iterators *list, fj_index *index,
                                 const freyja_iterator_options *options,
                                 const fj_overlay *overlay, freyja_iterator **out,
                                 freyja_error *error);

freyja_status fj_iterator_next(freyja_iterator *iterator, freyja_entry *entry,
                               freyja_error *error);
void fj_iterator_close(freyja_iterator *iterator);

/* Makes sure that the next so many fj_iterators_note cannot fail. Faults: MEMORY. */
freyja_status fj_iterators_reserve(fj_iterators *list, uint64_t count, freyja_error *error);

/* The record at that place, with that timestamp, is about to lose its slot. */
void fj_iterators_note(fj_iterators *list, const fj_segment *segment, uint64_t offset,
                       uint64_t timestamp);

/* The store closes: every iterator gives up what it holds and turns inert. */
void fj_iterators_detach(fj_iterators *list);

#endif
