/* sorted.c - see sorted.h. */
#include "sorted.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE (256u << 10) /* bytes; larger than any key */
#define ITEMS_MIN 256u

struct fj_chunk {
  fj_chunk *next;
  size_t used;
  uint8_t bytes[CHUNK_SIZE];
};

void fj_sorted_create(fj_sorted *sorted, const fj_os *os) {
  memset(sorted, 0, sizeof *sorted);
  sorted->os = os;
}

void fj_sorted_destroy(fj_sorted *sorted) {
  const fj_os *os = sorted->os;
  while (sorted->chunks != NULL) {
    fj_chunk *next = sorted->chunks->next;
    os->release(os->context, sorted->chunks);
    sorted->chunks = next;
  }
  os->release(os->context, sorted->items);
  os->release(os->context, sorted->block);
  fj_sorted_create(sorted, os);
}

/* ---- collecting ----------------------------------------------------------- */

static uint8_t *arena_copy(fj_sorted *sorted, freyja_slice key) {
  fj_chunk *chunk = sorted->chunks;
  if (chunk == NULL || CHUNK_SIZE - chunk->used < key.size) {
    chunk = sorted->os->allocate(sorted->os->context, sizeof *chunk);
    if (chunk == NULL) return NULL;
    chunk->next = sorted->chunks;
    chunk->used = 0;
    sorted->chunks = chunk;
  }
  uint8_t *copy = chunk->bytes + chunk->used;
  if (key.size > 0) memcpy(copy, key.data, key.size);
  chunk->used += key.size;
  return copy;
}

static bool grow_items(fj_sorted *sorted) {
  const fj_os *os = sorted->os;
  if (sorted->count < sorted->capacity) return true;
  size_t capacity = sorted->capacity == 0 ? ITEMS_MIN : sorted->capacity * 2;
  fj_sorted_item *items = os->allocate(os->context, capacity * sizeof *items);
  if (items == NULL) return false;
  if (sorted->count > 0) memcpy(items, sorted->items, sorted->count * sizeof *items);
  os->release(os->context, sorted->items);
  sorted->items = items;
  sorted->capacity = capacity;
  return true;
}

freyja_status fj_sorted_add(fj_sorted *sorted, freyja_slice key, fj_segment *segment,
                            uint64_t offset, uint64_t size, freyja_error *error) {
  const uint8_t *copy = arena_copy(sorted, key);
  if (copy == NULL || !grow_items(sorted)) return fj_fail_memory(error, "sort the keys");
  fj_sorted_item *item = &sorted->items[sorted->count++];
  item->key = copy;
  item->key_size = (uint32_t)key.size;
  item->segment = segment;
  item->offset = offset;
  item->size = size;
  return FREYJA_OK;
}

static int compare(const void *left, const void *right) {
  const fj_sorted_item *a = left;
  const fj_sorted_item *b = right;
  uint32_t common = a->key_size < b->key_size ? a->key_size : b->key_size;
  int order = memcmp(a->key, b->key, common);
  if (order != 0) return order;
  return (a->key_size > b->key_size) - (a->key_size < b->key_size);
}

void fj_sorted_sort(fj_sorted *sorted) {
  if (sorted->count > 1) qsort(sorted->items, sorted->count, sizeof *sorted->items, compare);
}

/* ---- reading -------------------------------------------------------------- */

const fj_sorted_item *fj_sorted_next(fj_sorted *sorted) {
  return sorted->next < sorted->count ? &sorted->items[sorted->next++] : NULL;
}

/* `size` bytes of the record, in the mapping or in the block. */
static freyja_status fetch(fj_sorted *sorted, const fj_sorted_item *item, uint64_t size,
                           const uint8_t **out, freyja_error *error) {
  const fj_os *os = sorted->os;
  *out = fj_segment_at(item->segment, item->offset);
  if (*out != NULL) return FREYJA_OK;
  if (sorted->block_size < size) {
    os->release(os->context, sorted->block);
    sorted->block_size = 0;
    sorted->block = os->allocate(os->context, (size_t)size);
    if (sorted->block == NULL) return fj_fail_memory(error, "read a record");
    sorted->block_size = size;
  }
  size_t count = 0;
  freyja_status status =
      fj_segment_read(item->segment, sorted->block, (size_t)size, item->offset, &count, error);
  if (status != FREYJA_OK) return status;
  *out = sorted->block;
  return count == size ? FREYJA_OK : FREYJA_CORRUPT;
}

freyja_status fj_sorted_read(fj_sorted *sorted, const fj_sorted_item *item, bool header_only,
                             fj_record *record, freyja_error *error) {
  const uint8_t *p = NULL;
  uint64_t size = FJ_RECORD_PREFIX_MAX + (uint64_t)item->key_size;
  if (!header_only || size > item->size) size = item->size;
  freyja_status status = fetch(sorted, item, size, &p, error);
  if (status != FREYJA_OK) return status;
  if (!fj_record_parse(p, item->size, record) || record->key_size != item->key_size)
    return FREYJA_CORRUPT;
  uint64_t seed = fj_record_seed(item->segment->seed, item->offset);
  uint64_t hash = fj_hash(item->key, item->key_size, item->segment->pool->identity.hash_seed);
  if (!fj_record_check_header(record, seed, hash)) return FREYJA_CORRUPT;
  if (!header_only && !fj_record_check_value(record, seed)) return FREYJA_CORRUPT;
  return FREYJA_OK;
}
