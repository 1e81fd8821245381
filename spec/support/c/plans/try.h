/* try.h - carrying out a merge plan: a store whose segments are written by a pattern, a merge
 * of some of them, and what is read then and after each way to open it again. */
#ifndef PLANS_TRY_H
#define PLANS_TRY_H

#include "disk.h"
#include "freyja.h"

#define KEYS 3u
#define SEGMENTS_MAX 6u

/* What is done to a key in a segment. */
#define NOTHING '.'
#define PUT 'p'
#define DELETE 'd'
#define EXPIRE 'x' /* a put with a time to live */

/* When values with a time to live expire. */
typedef enum moment {
  DUE_SOON = 's',  /* before the next segment is written */
  DUE_MERGE = 'm', /* before the merge */
  DUE_AFTER = 'a', /* after it */
} moment;

/* The store that plans begin with. */
typedef struct pattern {
  unsigned segments;
  char does[SEGMENTS_MAX][KEYS];
  unsigned hash_bits;
  moment due;
  uint64_t
      salt; /* decides the rest: the hash's seed, the io mode, the order of the keys, which
               hints there are and which are lost, the size of steps, the second merge */
} pattern;

/* What a key's value is. */
typedef struct version {
  unsigned segment; /* in which it was put, from 1; 0: absent */
  uint64_t expiry;  /* 0: never */
} version;

typedef struct base {
  pattern pattern;
  sim_disk *disk; /* closed; it stays as it is */
  version now[KEYS];
} base;

/* Writes the pattern's store; base_drop gives it up. False where something went wrong. */
bool base_make(base *b, const pattern *p);
void base_drop(base *b);

/* Merges the segments of a copy whose bits are set in `chosen`, from 1 on, and compares; false
 * where something differs. */
bool base_merge(const base *b, unsigned chosen);

/* What was wrong. */
extern char why[256];

#endif
