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

/* Makes an iterator over the index as it is. Faults: MEMORY, IO. */
freyja_status fj_iterator_create(fj_iterators *list, fj_index *index,
                                 const freyja_iterator_options *options, freyja_iterator **out,
                                 freyja_error *error);

/* Makes sure that the next fj_iterators_note cannot fail. Faults: MEMORY. */
freyja_status fj_iterators_reserve(fj_iterators *list, freyja_error *error);

/* The record at that place, with that timestamp, is about to lose its slot. */
void fj_iterators_note(fj_iterators *list, const fj_segment *segment, uint64_t offset,
                       uint64_t timestamp);

/* The store closes: every iterator gives up what it holds and turns inert. */
void fj_iterators_detach(fj_iterators *list);

#endif
