/* heap.c - see heap.h. */
#include "heap.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_MAX_HERE ((size_t)1 << 30) /* bytes */

static void discard(heap *h, void *block, size_t size) {
  if (block == NULL) return;
  memset(block, 0xA5, size);
  free(block);
  h->blocks--;
}

void *heap_allocate(void *context, void *block, size_t old_size, size_t new_size) {
  heap *h = context;
  if (block == NULL) old_size = 0; /* it says what the block is for */
  if (new_size == 0) {
    discard(h, block, old_size);
    return NULL;
  }
  if (new_size > SIZE_MAX_HERE) return NULL;
  /* Lua relies on blocks that shrink. */
  if (new_size > old_size && plan_fails(&h->plan)) return NULL;
  void *moved = malloc(new_size);
  if (moved == NULL) abort();
  if (block != NULL) memcpy(moved, block, old_size < new_size ? old_size : new_size);
  h->blocks++;
  discard(h, block, old_size);
  return moved;
}
