/* view.h - what a store holds, as a sorted list: taken from the store by iterating it, or
 * kept by a test as what it should be. */
#ifndef FUZZ_VIEW_H
#define FUZZ_VIEW_H

#include "freyja.h"

/* A key, and what its value is. */
typedef struct fuzz_item {
  size_t key; /* offset in the view's bytes */
  uint32_t key_size;
  uint32_t value_size;
  uint64_t value_sum;
  uint64_t timestamp; /* 0: not known */
  uint64_t expiry;    /* 0: never */
} fuzz_item;

typedef struct fuzz_view {
  fuzz_item *items;
  size_t count, room;
  uint8_t *bytes; /* the keys */
  size_t used, bytes_room;
} fuzz_view;

void fuzz_view_clear(fuzz_view *view); /* keeps the memory */
void fuzz_view_copy(fuzz_view *to, const fuzz_view *from);

/* Adds an item, at the end. */
void fuzz_view_add(fuzz_view *view, const void *key, size_t key_size, const void *value,
                   size_t value_size, uint64_t timestamp, uint64_t expiry);

/* Sorts by key. */
void fuzz_view_sort(fuzz_view *view);

/* The key of an item. */
static inline freyja_slice fuzz_view_key(const fuzz_view *view, const fuzz_item *item) {
  freyja_slice key = {view->bytes + item->key, item->key_size};
  return key;
}

/* Whether the item has that value. */
bool fuzz_item_is(const fuzz_item *item, const void *value, size_t size);

/* The item with that key in a sorted view, or NULL. */
fuzz_item *fuzz_view_find(const fuzz_view *view, const void *key, size_t size);

/* The same, unless it has expired at that time. */
fuzz_item *fuzz_view_see(const fuzz_view *view, const void *key, size_t size, uint64_t now);

/* Copies the items that have not expired at that time. */
void fuzz_view_copy_live(fuzz_view *to, const fuzz_view *from, uint64_t now);

/* Changes a sorted view. */
void fuzz_view_set(fuzz_view *view, const void *key, size_t key_size, const void *value,
                   size_t value_size, uint64_t expiry);
void fuzz_view_remove(fuzz_view *view, const void *key, size_t size);

/* Removes the keys that a sorted other one does not have. */
void fuzz_view_keep(fuzz_view *view, const fuzz_view *other);

/* Takes over the timestamps of the items that a sorted other one has, too. */
void fuzz_view_learn(fuzz_view *view, const fuzz_view *other);

/* Fails unless two sorted views hold the same; `what` says when. */
void fuzz_view_expect(const fuzz_view *view, const fuzz_view *expected, const char *what);

#endif
