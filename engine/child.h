/* child.h - what a caller opens of a store and then uses by itself: an iterator, a
 * transaction, a rewrite, a bulk load. It is the first member of each, by which share.c
 * knows them. */
#ifndef FJ_CHILD_H
#define FJ_CHILD_H

#include "freyja.h"

typedef struct fj_child {
  freyja *handle; /* by which it was opened; NULL once that is closed: then it is inert */
  struct fj_child *next, *previous; /* of the same handle */
  /* The handle closes: gives up everything but the object itself. */
  void (*end)(struct fj_child *child);
} fj_child;

#endif
