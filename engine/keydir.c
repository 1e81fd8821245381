/* keydir.c - see keydir.h. */
#include "keydir.h"

#include <assert.h>
#include <string.h>

#define CAPACITY_MIN 12u /* slots of a new shard */
#define LIMIT_MAX (UINT32_C(1) << 31)

/* Tables from this size on come as pages, which go back to the system when the
 * shard has outgrown them; the allocator would keep them in holes. */
#define PAGES_MIN (64u << 10) /* bytes */

/* A shard is filled to 7/8 and then grows by a quarter: 16 bytes a slot make 18
 * to 23 bytes a key. Sorted slots keep the searches short at such a load. */
static uint32_t fill(uint32_t capacity) { return capacity - capacity / 8; }

/* Room behind the last place for what is pushed over the end. Displacements at
 * a load of 7/8 rarely pass 100; where they do, the shard grows early. */
static uint32_t overflow(uint32_t capacity) { return 8 + (capacity < 1024 ? capacity / 8 : 128); }

void fj_keydir_create(fj_keydir *keydir, const fj_os *os, uint32_t hash_bits) {
  assert(hash_bits >= 1 && hash_bits <= 64);
  memset(keydir, 0, sizeof *keydir);
  keydir->os = os;
  keydir->hash_mask = hash_bits == 64 ? UINT64_MAX : ~(UINT64_MAX >> hash_bits);
}

/* ---- memory -------------------------------------------------------------- */

static size_t table_bytes(uint32_t limit) {
  size_t bytes = (size_t)limit * sizeof(fj_slot);
  return bytes < PAGES_MIN ? bytes : (bytes + 4095) & ~(size_t)4095;
}

static fj_slot *table_create(fj_keydir *keydir, uint32_t limit) {
  const fj_os *os = keydir->os;
  size_t bytes = table_bytes(limit);
  fj_slot *slots = NULL;
  if (bytes >= PAGES_MIN) {
    slots = os->allocate_pages(os->context, bytes);
  } else {
    slots = os->allocate(os->context, bytes);
    if (slots != NULL) memset(slots, 0, bytes);
  }
  if (slots != NULL) keydir->bytes += bytes;
  return slots;
}

static void table_destroy(fj_keydir *keydir, fj_slot *slots, uint32_t limit) {
  if (slots == NULL) return;
  const fj_os *os = keydir->os;
  size_t bytes = table_bytes(limit);
  if (bytes >= PAGES_MIN) os->release_pages(os->context, slots, bytes);
  else os->release(os->context, slots);
  keydir->bytes -= bytes;
}

void fj_keydir_destroy(fj_keydir *keydir) {
  for (uint32_t i = 0; i < FJ_SHARDS; i++) {
    fj_shard *shard = &keydir->shards[i];
    table_destroy(keydir, shard->slots, shard->limit);
    memset(shard, 0, sizeof *shard);
  }
  keydir->count = 0;
}

/* ---- growing ------------------------------------------------------------- */

/* Copies the slots of `from` in order to where they belong in `to`; false if
 * they would be pushed over its end. */
static bool spread(const fj_shard *from, fj_shard *to) {
  fj_slot *next = to->slots; /* the first slot behind those already placed */
  const fj_slot *last = to->slots + to->limit - 1; /* K4 */
  const fj_slot *end = from->slots + from->limit;
  for (const fj_slot *slot = from->slots; slot != end; slot++) {
    if (slot->word == 0) continue;
    fj_slot *home = fj_shard_home(to, slot->hash);
    if (next < home) next = home;
    if (next >= last) return false;
    *next++ = *slot;
  }
  return true;
}

/* Gives the shard a table of at least `capacity` places. */
static freyja_status grow(fj_keydir *keydir, fj_shard *shard, uint64_t capacity,
                          freyja_error *error) {
  for (;; capacity *= 2) {
    if (capacity > LIMIT_MAX / 2)
      return fj_fail(error, FREYJA_LIMIT, NULL, "too many keys with nearly the same hash");
    fj_shard grown = {.capacity = (uint32_t)capacity, .count = shard->count};
    grown.limit = grown.capacity + overflow(grown.capacity);
    grown.count_max = fill(grown.capacity);
    /* Keys that share one hash need room behind their place, whatever it is. */
    if (grown.limit < shard->count + 2) continue;
    grown.slots = table_create(keydir, grown.limit);
    if (grown.slots == NULL) return fj_fail_memory(error, "grow the key directory");
    if (shard->slots == NULL || spread(shard, &grown)) {
      table_destroy(keydir, shard->slots, shard->limit);
      *shard = grown;
      return FREYJA_OK;
    }
    table_destroy(keydir, grown.slots, grown.limit);
  }
}

/* Where a new slot of that hash goes, and the empty slot that takes up the push. */
static fj_slot *find_gap(const fj_shard *shard, uint64_t hash, fj_slot **empty) {
  fj_slot *slot = fj_shard_home(shard, hash);
  while (slot->word != 0 && slot->hash <= hash) slot++;
  fj_slot *gap = slot;
  while (gap->word != 0) gap++;
  *empty = gap;
  return slot;
}

freyja_status fj_keydir_reserve(fj_keydir *keydir, uint64_t hash, freyja_error *error) {
  fj_shard *shard = fj_keydir_shard(keydir, hash);
  freyja_status status = FREYJA_OK;
  if (shard->count >= shard->count_max) {
    uint64_t capacity = shard->slots == NULL
                            ? CAPACITY_MIN
                            : (uint64_t)shard->capacity + (shard->capacity + 3) / 4;
    status = grow(keydir, shard, capacity, error);
  }
  while (status == FREYJA_OK) {
    fj_slot *empty = NULL;
    (void)find_gap(shard, hash, &empty);
    if (empty + 1 < shard->slots + shard->limit) break; /* K4 */
    status = grow(keydir, shard, (uint64_t)shard->capacity + (shard->capacity + 3) / 4, error);
  }
  return status;
}

/* ---- changing ------------------------------------------------------------ */

void fj_keydir_insert(fj_keydir *keydir, uint64_t hash, uint64_t word) {
  assert(word != 0); /* K3 */
  fj_shard *shard = fj_keydir_shard(keydir, hash);
  fj_slot *empty = NULL;
  fj_slot *slot = find_gap(shard, hash, &empty);
  assert(empty + 1 < shard->slots + shard->limit); /* K4 */
  memmove(slot + 1, slot, (size_t)(empty - slot) * sizeof *slot); /* K1 */
  slot->hash = hash;
  slot->word = word;
  shard->count++;
  keydir->count++;
}

void fj_keydir_delete(fj_keydir *keydir, fj_place place) {
  fj_slot *slot = place.slot;
  assert(slot->word != 0);
  /* Pull back what was pushed, up to the first slot that is where it belongs (K2). */
  fj_slot *end = slot + 1;
  while (end->word != 0 && fj_shard_home(place.shard, end->hash) != end) end++;
  memmove(slot, slot + 1, (size_t)(end - slot - 1) * sizeof *slot);
  end[-1].hash = 0;
  end[-1].word = 0;
  place.shard->count--;
  keydir->count--;
}
