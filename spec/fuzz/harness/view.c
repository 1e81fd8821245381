/* view.c - see view.h. */
#include "view.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "input.h"

static void *grow(void *old, size_t used, size_t size) {
  void *block = fuzz_allocate(size);
  if (used > 0) memcpy(block, old, used);
  free(old);
  return block;
}

void fuzz_view_clear(fuzz_view *view) { view->count = view->used = 0; }

static void make_room(fuzz_view *view, size_t items, size_t bytes) {
  if (view->count + items > view->room) {
    view->room = (view->count + items) * 2 + 64;
    view->items =
        grow(view->items, view->count * sizeof *view->items, view->room * sizeof *view->items);
  }
  if (view->used + bytes > view->bytes_room) {
    view->bytes_room = (view->used + bytes) * 2 + 1024;
    view->bytes = grow(view->bytes, view->used, view->bytes_room);
  }
}

void fuzz_view_copy(fuzz_view *to, const fuzz_view *from) {
  fuzz_view_clear(to);
  make_room(to, from->count, from->used);
  if (from->count > 0) memcpy(to->items, from->items, from->count * sizeof *to->items);
  if (from->used > 0) memcpy(to->bytes, from->bytes, from->used);
  to->count = from->count;
  to->used = from->used;
}

static void set_value(fuzz_item *item, const void *value, size_t size) {
  item->value_size = (uint32_t)size;
  item->value_sum = fj_hash(value, size, 0);
}

void fuzz_view_add(fuzz_view *view, const void *key, size_t key_size, const void *value,
                   size_t value_size, uint64_t timestamp, uint64_t expiry) {
  make_room(view, 1, key_size);
  fuzz_item *item = &view->items[view->count++];
  item->key = view->used;
  item->key_size = (uint32_t)key_size;
  item->timestamp = timestamp;
  item->expiry = expiry;
  set_value(item, value, value_size);
  if (key_size > 0) memcpy(view->bytes + view->used, key, key_size);
  view->used += key_size;
}

/* ---- order ---------------------------------------------------------------- */

static int compare(const void *a, size_t a_size, const void *b, size_t b_size) {
  size_t common = a_size < b_size ? a_size : b_size;
  int order = common == 0 ? 0 : memcmp(a, b, common);
  return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

static const uint8_t *sorted_bytes; /* qsort passes no argument on */

static int compare_items(const void *left, const void *right) {
  const fuzz_item *a = left;
  const fuzz_item *b = right;
  return compare(sorted_bytes + a->key, a->key_size, sorted_bytes + b->key, b->key_size);
}

void fuzz_view_sort(fuzz_view *view) {
  sorted_bytes = view->bytes;
  if (view->count > 1) qsort(view->items, view->count, sizeof *view->items, compare_items);
}

/* The index of the first item whose key is not less. */
static size_t position(const fuzz_view *view, const void *key, size_t size, bool *found) {
  size_t from = 0, to = view->count;
  *found = false;
  while (from < to) {
    size_t middle = from + (to - from) / 2;
    const fuzz_item *item = &view->items[middle];
    int order = compare(view->bytes + item->key, item->key_size, key, size);
    if (order == 0) *found = true;
    if (order < 0) from = middle + 1;
    else to = middle;
  }
  return from;
}

fuzz_item *fuzz_view_find(const fuzz_view *view, const void *key, size_t size) {
  bool found = false;
  size_t index = position(view, key, size, &found);
  return found ? &view->items[index] : NULL;
}

static bool is_live(const fuzz_item *item, uint64_t now) {
  return item->expiry == 0 || item->expiry > now;
}

fuzz_item *fuzz_view_see(const fuzz_view *view, const void *key, size_t size, uint64_t now) {
  fuzz_item *item = fuzz_view_find(view, key, size);
  return item != NULL && is_live(item, now) ? item : NULL;
}

void fuzz_view_copy_live(fuzz_view *to, const fuzz_view *from, uint64_t now) {
  size_t kept = 0;
  fuzz_view_copy(to, from);
  for (size_t i = 0; i < to->count; i++)
    if (is_live(&to->items[i], now)) to->items[kept++] = to->items[i];
  to->count = kept;
}

void fuzz_view_learn(fuzz_view *view, const fuzz_view *other) {
  for (size_t i = 0; i < other->count; i++) {
    freyja_slice key = fuzz_view_key(other, &other->items[i]);
    fuzz_item *item = fuzz_view_find(view, key.data, key.size);
    if (item != NULL) item->timestamp = other->items[i].timestamp;
  }
}

bool fuzz_item_is(const fuzz_item *item, const void *value, size_t size) {
  return item->value_size == size && item->value_sum == fj_hash(value, size, 0);
}

void fuzz_view_set(fuzz_view *view, const void *key, size_t key_size, const void *value,
                   size_t value_size, uint64_t expiry) {
  bool found = false;
  size_t index = position(view, key, key_size, &found);
  if (!found) {
    fuzz_view_add(view, key, key_size, value, value_size, 0, 0);
    fuzz_item added = view->items[view->count - 1];
    memmove(view->items + index + 1, view->items + index,
            (view->count - 1 - index) * sizeof *view->items);
    view->items[index] = added;
  }
  set_value(&view->items[index], value, value_size);
  view->items[index].timestamp = 0;
  view->items[index].expiry = expiry;
}

void fuzz_view_remove(fuzz_view *view, const void *key, size_t size) {
  bool found = false;
  size_t index = position(view, key, size, &found);
  if (!found) return;
  view->count--;
  memmove(view->items + index, view->items + index + 1,
          (view->count - index) * sizeof *view->items);
}

void fuzz_view_keep(fuzz_view *view, const fuzz_view *other) {
  size_t kept = 0;
  for (size_t i = 0; i < view->count; i++) {
    freyja_slice key = fuzz_view_key(view, &view->items[i]);
    if (fuzz_view_find(other, key.data, key.size) != NULL)
      view->items[kept++] = view->items[i];
  }
  view->count = kept;
}

/* ---- comparing ------------------------------------------------------------ */

void fuzz_view_expect(const fuzz_view *view, const fuzz_view *expected, const char *what) {
  for (size_t i = 0; i < view->count || i < expected->count; i++) {
    if (i >= view->count || i >= expected->count)
      fuzz_fail("%s: %zu entries, not %zu", what, view->count, expected->count);
    const fuzz_item *a = &view->items[i];
    const fuzz_item *b = &expected->items[i];
    freyja_slice x = fuzz_view_key(view, a);
    freyja_slice y = fuzz_view_key(expected, b);
    if (compare(x.data, x.size, y.data, y.size) != 0)
      fuzz_fail("%s: entry %zu has another key", what, i);
    if (a->value_size != b->value_size || a->value_sum != b->value_sum)
      fuzz_fail("%s: entry %zu has another value", what, i);
    if (a->timestamp != b->timestamp && a->timestamp != 0 && b->timestamp != 0)
      fuzz_fail("%s: entry %zu has another timestamp", what, i);
    if (a->expiry != b->expiry) fuzz_fail("%s: entry %zu has another expiry", what, i);
  }
}
