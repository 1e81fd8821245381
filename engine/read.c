/* read.c - get, has, views; opening iterators. */
#include <string.h>

#include "store.h"

/* A block that a view owns, in syscall mode. */
typedef struct fj_block {
  const fj_os *os;
  uint8_t bytes[];
} fj_block;

/* Views tell their owner's kind by the lowest bit: 1 for a block. */
#define OWNER_IS_BLOCK 1u

freyja_status fj_store_find(fj_store *db, const void *key, size_t key_size, uint64_t hash,
                            bool whole, fj_found *found, freyja_error *error) {
  freyja_status status = fj_index_find(&db->index, key, key_size, hash, whole, found, error);
  if (status == FREYJA_NOTFOUND && !db->index.has_unknown) return status;
  if (status != FREYJA_OK && status != FREYJA_NOTFOUND) return status;
  freyja_status proof = fj_index_prove(&db->index, status == FREYJA_OK ? found : NULL, error);
  if (proof != FREYJA_OK) return proof;
  if (status == FREYJA_OK && fj_index_is_due(&db->index, found)) return FREYJA_NOTFOUND;
  if (status == FREYJA_OK && whole) status = fj_index_check_value(&db->index, found, error);
  return status;
}

static freyja_status find(fj_store *db, const void *key, size_t key_size, bool whole,
                          fj_found *found, freyja_error *error) {
  found->block = NULL;
  if (!fj_store_is_process(db)) return fj_store_check_process(db, error);
  if (key_size > FREYJA_KEY_SIZE_MAX) return FREYJA_NOTFOUND;
  uint64_t hash = fj_index_hash(&db->index, key, key_size);
  return fj_store_find(db, key, key_size, hash, whole, found, error);
}

freyja_status fj_store_get(fj_store *db, const void *key, size_t key_size, void *buffer,
                           size_t capacity, size_t *value_size, freyja_error *error) {
  fj_found found;
  freyja_status status = find(db, key, key_size, true, &found, error);
  if (status == FREYJA_OK) {
    size_t size = found.record.value_size;
    *value_size = size;
    if (size <= capacity && size > 0) memcpy(buffer, found.record.value, size);
  }
  fj_found_release(&found);
  return status;
}

freyja_status fj_store_has(fj_store *db, const void *key, size_t key_size,
                           freyja_error *error) {
  fj_found found;
  freyja_status status = find(db, key, key_size, false, &found, error);
  fj_found_release(&found);
  return status;
}

freyja_status fj_store_get_ttl(fj_store *db, const void *key, size_t key_size, uint64_t *ttl,
                               freyja_error *error) {
  fj_found found;
  *ttl = 0;
  freyja_status status = find(db, key, key_size, false, &found, error);
  if (status == FREYJA_OK) {
    uint64_t expiry = fj_record_expiry(&found.record);
    uint64_t now = fj_clock_told(&db->index.clock); /* as find() has seen it */
    /* Another thread's time may be later by now. */
    if (expiry != 0) *ttl = expiry > now ? expiry - now : 1;
  }
  fj_found_release(&found);
  return status;
}

/* ---- many ----------------------------------------------------------------- */

#define WINDOW                                                                                \
  32u            /* keys whose cache misses overlap: as many lines as are fetched at a time */
#define LINE 64u /* bytes */
#define LINES                                                                                 \
  8u /* of a record that are asked for; more come by themselves, one after the other */

/* Asks for the beginning of the record that the hash's first slot points to. */
static void ask_for_record(fj_store *db, uint64_t hash) {
  fj_index *index = &db->index;
  fj_place place;
  if (!fj_keydir_find(&index->keydir, hash, &place)) return;
  uint64_t word = place.slot->word, size = fj_word_size(word);
  const fj_segment *segment = index->slots[fj_word_segment(word)];
  if (segment == NULL || segment->map == NULL) return;
  const uint8_t *p = segment->map + fj_word_offset(word);
  for (uint64_t at = 0; at < size && at < LINES * LINE; at += LINE) __builtin_prefetch(p + at);
}

/* Asks for what finding the keys will read: the slots of all, and when these have come, the
 * records. */
static void ask_for(fj_store *db, const freyja_item *items, size_t count, uint64_t *hashes) {
  fj_index *index = &db->index;
  for (size_t i = 0; i < count; i++) {
    bool possible = items[i].key_size <= FREYJA_KEY_SIZE_MAX;
    hashes[i] = possible ? fj_index_hash(index, items[i].key, items[i].key_size) : 0;
    fj_keydir_prefetch(&index->keydir, hashes[i] & index->keydir.hash_mask);
  }
  for (size_t i = 0; i < count; i++) ask_for_record(db, hashes[i] & index->keydir.hash_mask);
}

/* Copies the item's value behind the others, if it is there and fits. */
static freyja_status get_item(fj_store *db, freyja_item *item, uint64_t hash, uint8_t *buffer,
                              size_t capacity, size_t *needed, freyja_error *error) {
  fj_found found;
  freyja_status status = FREYJA_NOTFOUND;
  found.block = NULL;
  if (item->key_size <= FREYJA_KEY_SIZE_MAX)
    status = fj_store_find(db, item->key, item->key_size, hash, true, &found, error);
  item->found = status == FREYJA_OK;
  if (item->found) {
    item->offset = *needed;
    item->size = found.record.value_size;
    if (item->size > 0 && *needed <= capacity && item->size <= capacity - *needed)
      memcpy(buffer + *needed, found.record.value, item->size);
    *needed += item->size;
  }
  fj_found_release(&found);
  return status == FREYJA_NOTFOUND ? FREYJA_OK : status;
}

freyja_status fj_store_get_many(fj_store *db, freyja_item *items, size_t count, void *buffer,
                                size_t capacity, size_t *needed, freyja_error *error) {
  uint64_t hashes[WINDOW];
  *needed = 0;
  freyja_status status = fj_store_check_process(db, error);
  if (status != FREYJA_OK) return status;
  /* What is read is of one moment, also as to what expires. */
  db->index.moment = fj_clock_now(&db->index.clock);
  for (size_t done = 0; done < count && status == FREYJA_OK;) {
    size_t part = count - done < WINDOW ? count - done : WINDOW;
    ask_for(db, items + done, part, hashes);
    for (size_t i = 0; i < part && status == FREYJA_OK; i++)
      status = get_item(db, &items[done + i], hashes[i], buffer, capacity, needed, error);
    done += part;
  }
  db->index.moment = 0;
  return status;
}

/* ---- views ---------------------------------------------------------------- */

static freyja_status copy_to_block(const fj_found *found, freyja_view *view,
                                   freyja_error *error) {
  const fj_os *os = found->os;
  fj_block *block = os->allocate(os->context, sizeof *block + found->record.value_size);
  if (block == NULL) return fj_fail_memory(error, "read a value");
  block->os = os;
  memcpy(block->bytes, found->record.value, found->record.value_size);
  view->data = block->bytes;
  view->size = found->record.value_size;
  view->owner = (void *)((uintptr_t)block | OWNER_IS_BLOCK);
  return FREYJA_OK;
}

freyja_status fj_store_get_view(fj_store *db, const void *key, size_t key_size,
                                freyja_view *view, freyja_error *error) {
  fj_found found;
  memset(view, 0, sizeof *view);
  freyja_status status = find(db, key, key_size, true, &found, error);
  if (status == FREYJA_OK && found.copied) {
    status = copy_to_block(&found, view, error);
  } else if (status == FREYJA_OK) {
    view->data = found.record.value;
    view->size = found.record.value_size;
    view->owner = found.segment;
    fj_segment_retain(found.segment);
  }
  fj_found_release(&found);
  return status;
}

void freyja_view_release(freyja_view *view) {
  uintptr_t owner = (uintptr_t)view->owner;
  if ((owner & OWNER_IS_BLOCK) != 0) {
    fj_block *block = (fj_block *)(owner & ~(uintptr_t)OWNER_IS_BLOCK);
    block->os->release(block->os->context, block);
  } else {
    fj_segment_release(view->owner);
  }
  memset(view, 0, sizeof *view);
}

/* ---- iterators ------------------------------------------------------------ */

freyja_status fj_store_iterate(fj_store *db, const freyja_iterator_options *options,
                               freyja_iterator **out, freyja_error *error) {
  *out = NULL;
  freyja_status status = fj_store_check_process(db, error);
  if (status == FREYJA_OK) status = fj_keydir_bring_all(&db->index.keydir, error); /* K6 */
  if (status != FREYJA_OK) return status;
  return fj_iterator_create(&db->iterators, &db->index, options, NULL, out, error);
}
