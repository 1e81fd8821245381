/* entries.c - see entries.h. */
#include "entries.h"

#include <string.h>

#define CHUNK 127u      /* entries: a chunk is half a page */
#define SLAB (4u << 20) /* bytes: for huge pages */

struct fj_entries_chunk {
  fj_entries_chunk *next;
  uint64_t unused;
  fj_slot slots[CHUNK];
};

struct fj_entries_slab {
  fj_entries_slab *next;
  size_t used; /* bytes */
};

void fj_entries_create(fj_entries *entries, const fj_os *os) {
  memset(entries, 0, sizeof *entries);
  entries->os = os;
}

void fj_entries_destroy(fj_entries *entries) {
  const fj_os *os = entries->os;
  while (entries->slabs != NULL) {
    fj_entries_slab *next = entries->slabs->next;
    os->release_pages(os->context, entries->slabs, SLAB);
    entries->slabs = next;
  }
  fj_entries_create(entries, os);
}

static fj_entries_chunk *make_chunk(fj_entries *entries) {
  _Static_assert(sizeof(fj_entries_slab) <= sizeof(fj_entries_chunk),
                 "in the first one's place");
  const fj_os *os = entries->os;
  fj_entries_slab *slab = entries->slabs;
  if (slab == NULL || slab->used + sizeof(fj_entries_chunk) > SLAB) {
    slab = os->allocate_pages(os->context, SLAB);
    if (slab == NULL) return NULL;
    slab->next = entries->slabs;
    slab->used = sizeof(fj_entries_chunk);
    entries->slabs = slab;
  }
  fj_entries_chunk *chunk = (fj_entries_chunk *)((uint8_t *)slab + slab->used);
  slab->used += sizeof *chunk;
  chunk->next = NULL;
  return chunk;
}

/* Makes room for entries of the shard. */
static freyja_status begin_chunk(fj_entries *entries, uint32_t shard, freyja_error *error) {
  fj_entries_shard *s = &entries->shards[shard];
  fj_entries_chunk *chunk = make_chunk(entries);
  if (chunk == NULL) return fj_fail_memory(error, "load records");
  if (s->next == NULL) entries->first[shard] = chunk;
  else entries->last[shard]->next = chunk;
  entries->last[shard] = chunk;
  s->next = chunk->slots;
  s->end = chunk->slots + CHUNK;
  return FREYJA_OK;
}

freyja_status fj_entries_add(fj_entries *entries, uint64_t hash, uint64_t word,
                             freyja_error *error) {
  uint32_t shard = (uint32_t)(hash >> (64 - FJ_SHARD_BITS));
  fj_entries_shard *s = &entries->shards[shard];
  if (s->next == s->end) {
    freyja_status status = begin_chunk(entries, shard, error);
    if (status != FREYJA_OK) return status;
  }
  *s->next++ = (fj_slot){hash, word};
  entries->count++;
  return FREYJA_OK;
}

/* How many a chunk of the shard has. */
static uint64_t count_of(const fj_entries *entries, uint32_t shard,
                         const fj_entries_chunk *chunk) {
  bool last = chunk->next == NULL;
  return last ? (uint64_t)(entries->shards[shard].next - chunk->slots) : CHUNK;
}

/* How many the shard has. */
static uint64_t count_all(const fj_entries *entries, uint32_t shard) {
  uint64_t count = 0;
  const fj_entries_chunk *chunk = entries->first[shard];
  for (; chunk != NULL; chunk = chunk->next) count += count_of(entries, shard, chunk);
  return count;
}

/* ---- sorting ---------------------------------------------------------------- */

/* The number of the bucket of a hash, of 2^bits: bits behind those of the shard. */
static uint64_t bucket_of(uint64_t hash, unsigned bits) {
  return bits == 0 ? 0 : hash << FJ_SHARD_BITS >> (64 - bits);
}

/* Moves each entry to where it belongs; within a bucket few are out of place. */
static void sort_by_insertion(fj_slot *slots, uint64_t count) {
  for (uint64_t i = 1; i < count; i++) {
    fj_slot slot = slots[i];
    uint64_t at = i;
    for (; at > 0 && slots[at - 1].hash > slot.hash; at--) slots[at] = slots[at - 1];
    slots[at] = slot;
  }
}

/* Where each of the buckets begins, given how many each has. */
static void add_up(uint64_t *buckets, uint64_t count) {
  uint64_t sum = 0;
  for (uint64_t i = 0; i < count; i++) {
    uint64_t here = buckets[i];
    buckets[i] = sum;
    sum += here;
  }
}

freyja_status fj_entries_sort(const fj_entries *entries, uint32_t shard, fj_slot **out,
                              uint64_t *out_count, freyja_error *error) {
  const fj_os *os = entries->os;
  uint64_t count = count_all(entries, shard);
  unsigned bits = 0;
  while (UINT64_C(1) << bits < count && bits < 32) bits++;
  size_t room = ((size_t)1 << bits) * sizeof(uint64_t);
  uint64_t *buckets = os->allocate(os->context, room);
  *out = os->allocate(os->context, (size_t)(count + 1) * sizeof **out);
  if (buckets == NULL || *out == NULL) {
    os->release(os->context, buckets);
    os->release(os->context, *out);
    *out = NULL;
    return fj_fail_memory(error, "load records");
  }
  memset(buckets, 0, room);
  const fj_entries_chunk *chunk = entries->first[shard];
  for (; chunk != NULL; chunk = chunk->next)
    for (uint64_t i = 0, n = count_of(entries, shard, chunk); i < n; i++)
      buckets[bucket_of(chunk->slots[i].hash, bits)]++;
  add_up(buckets, UINT64_C(1) << bits);
  for (chunk = entries->first[shard]; chunk != NULL; chunk = chunk->next)
    for (uint64_t i = 0, n = count_of(entries, shard, chunk); i < n; i++)
      (*out)[buckets[bucket_of(chunk->slots[i].hash, bits)]++] = chunk->slots[i];
  sort_by_insertion(*out, count);
  *out_count = count;
  os->release(os->context, buckets);
  return FREYJA_OK;
}
