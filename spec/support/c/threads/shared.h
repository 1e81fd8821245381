/* shared.h - what the tests of threads share. */
#ifndef THREADS_SHARED_H
#define THREADS_SHARED_H

#include <stdbool.h>
#include <stdint.h>

#include "freyja.h"

/* Prints a result, and counts it. */
void threads_ok(bool condition, const char *name);

/* Ends the program, unless the condition holds. */
void threads_demand(bool condition, const char *what, const freyja_error *error);

/* The next of a sequence of numbers; each thread has one of its own. */
uint64_t threads_next(uint64_t *state);

/* A store in an empty folder of its own. */
freyja *threads_open_new(const freyja_options *options);

/* One more handle of it. */
freyja *threads_open(void);

freyja *threads_open_with(const freyja_options *options);

/* Small segments, so that much happens. */
freyja_options threads_options(void);

/* Merges the sealed segments, to the end. */
void threads_merge(freyja *db);

/* Histories of calls by several threads, each of one key: whether they can have taken place
 * one after the other. */
void threads_test_histories(uint64_t seed, long rounds);

/* A writer that is stopped anywhere keeps no reader waiting. */
void threads_test_stops(uint64_t seed, long stops);

/* Durable writes share syncs. */
void threads_test_together(void);

/* What is not synced by writes is synced by the library's thread. */
void threads_test_flushes(void);

/* What is committed as one is seen as one. */
void threads_test_wholes(uint64_t seed, long times);

/* A second handle is opened while the first one writes. */
void threads_test_second(uint64_t seed, long times);

/* A reader and a writer that are held while they copy. */
void threads_test_held(void);

/* Files that nobody has opened yet are read by several threads at once. */
void threads_test_met(void);

/* All calls at once, for so many operations. */
void threads_test_all(uint64_t seed, long operations);

#endif
