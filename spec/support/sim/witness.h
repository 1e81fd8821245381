/* witness.h - a small store's content, told in a few bytes: for tests that compare what a
 * store holds with what it may hold, millions of times.
 *
 * There are WIT_KEYS keys. Writes are numbered from 1, and the number is in the value: so
 * a state says of which write each key's value is. What is found wrong is kept as text, the
 * first of it only, until wit_clear. */
#ifndef SIM_WITNESS_H
#define SIM_WITNESS_H

#include "freyja.h"

#define WIT_KEYS 7
#define WIT_LARGE 5                /* the key with large values */
#define WIT_SPARE 6                /* a key for tests to use */
#define WIT_VALUE_MAX (512u << 10) /* bytes; more than any value has */
#define WIT_REDONE 50 /* added to a write's number: another value of the same size */

typedef struct wit_state {
  int8_t of[WIT_KEYS]; /* -1: absent */
} wit_state;

extern const char *const wit_keys[WIT_KEYS];
extern size_t wit_large; /* bytes of a large value; 1,500 unless changed */

/* Writes the value that write number `write` gives to a key; returns its size. */
size_t wit_value(char *value, int write, int key);

/* Tells what the store holds; false if a call fails, a value is none that was ever written,
 * damage was reported, or iterating, counting and getting disagree. */
bool wit_examine(freyja *db, wit_state *out);

/* Whether freyja_verify finds nothing. */
bool wit_verify(freyja *db);

bool wit_same(const wit_state *a, const wit_state *b);

/* In words; valid until the call after the next. */
const char *wit_text(const wit_state *state);

/* Keeps what is wrong, unless something is already; returns false. */
bool wit_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Adds to it, for instance where that was. */
void wit_explain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What is wrong; empty if nothing is. */
const char *wit_why(void);
void wit_clear(void);

#endif
