/* heap.h - the memory of the Lua state under test. */
#ifndef HEAP_H
#define HEAP_H

#include <stddef.h>

#include "plan.h"

typedef struct heap {
  plan plan;
  long blocks; /* not yet freed */
} heap;

/* A lua_Alloc; `context` is a heap. Every block moves whenever its size changes, and what
 * is freed is overwritten, so that a pointer kept for too long shows. */
void *heap_allocate(void *context, void *block, size_t old_size, size_t new_size);

#endif
