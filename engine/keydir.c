/* keydir.c - see keydir.h. */
#include "keydir.h"

#include <assert.h>
#include <string.h>

#include "thread.h"

#define CAPACITY_MIN 12u                /* slots of a shard in the first region */
#define DISCARD_STEP ((size_t)2 << 20)  /* bytes: a huge page */
#define THREADS_MIN (UINT64_C(1) << 18) /* keys that are worth several threads */

/* A region is filled to 13/16 and then grows by a quarter: 16 bytes a slot make
 * 20 to 25 bytes a key, 22 on average. Sorted slots keep the searches short at
 * such a load. */
static uint64_t fill(uint32_t capacity) {
  uint64_t slots = (uint64_t)capacity * FJ_SHARDS;
  return slots - slots / 16 * 3;
}

/* Room behind the last place for what is pushed over the end. At a load of 7/8
 * fewer than 1 shard in 10^7 needs more than 64; then the region grows early. */
static uint32_t overflow(uint32_t capacity) { return capacity < 512 ? 8 + capacity / 8 : 72; }

uint32_t fj_keydir_limit(uint32_t capacity) { return capacity + overflow(capacity); }

/* The shard is there from now on: the one place that says so (K7). */
static void set_shard(fj_shard *shard, fj_shard to) {
  static const fj_slot empty; /* what other threads see of a shard that was never put into */
  uint64_t version = shard->version + 1;
  fj_view_of_shard *seen = &shard->seen[version & 1];
  shard->slots = to.slots;
  shard->capacity = to.capacity;
  shard->limit = to.limit;
  shard->count = to.count;
  fj_publish(&seen->slots, to.capacity == 0 ? &empty : to.slots);
  fj_publish(&seen->capacity, (uint64_t)to.capacity);
  fj_publish(&shard->version, version);
}

static void clear_shards(fj_keydir *keydir) {
  static const fj_shard none;
  for (uint32_t i = 0; i < FJ_SHARDS; i++) set_shard(&keydir->shards[i], none);
}

void fj_keydir_create(fj_keydir *keydir, const fj_os *os, uint32_t hash_bits) {
  assert(hash_bits >= 1 && hash_bits <= 64);
  memset(keydir, 0, sizeof *keydir);
  clear_shards(keydir);
  keydir->os = os;
  keydir->hash_mask = hash_bits == 64 ? UINT64_MAX : ~(UINT64_MAX >> hash_bits);
}

static void region_destroy(const fj_os *os, fj_region *region) {
  if (region->slots != NULL) os->release_pages(os->context, region->slots, region->bytes);
  memset(region, 0, sizeof *region);
}

/* Gives the addresses of retired regions back, where no reader is left in them. */
static void reap(fj_keydir *keydir) {
  for (uint32_t i = 0; i < FJ_RETIRED_MAX; i++)
    if (keydir->retired[i].slots != NULL &&
        fj_guard_is_past(keydir->guard, keydir->retired[i].retired))
      region_destroy(keydir->os, &keydir->retired[i]);
}

/* The region, in which no shard is any more, goes: its pages at once, its addresses when
 * nobody can be looking there. */
static void retire(fj_keydir *keydir, fj_region *region) {
  if (region->slots == NULL) return;
  region->retired = fj_guard_advance(keydir->guard);
  reap(keydir);
  if (fj_guard_is_past(keydir->guard, region->retired)) {
    region_destroy(keydir->os, region);
    return;
  }
  uint32_t i = 0;
  while (i < FJ_RETIRED_MAX && keydir->retired[i].slots != NULL) i++;
  if (i == FJ_RETIRED_MAX) { /* a reader has slept while the keydir grew by so many steps */
    fj_guard_wait(keydir->guard);
    reap(keydir);
    i = 0;
  }
  keydir->os->discard_pages(keydir->os->context, region->slots, region->bytes);
  keydir->retired[i] = *region;
  memset(region, 0, sizeof *region);
}

void fj_keydir_destroy(fj_keydir *keydir) {
  clear_shards(keydir);
  retire(keydir, &keydir->region);
  retire(keydir, &keydir->old);
  reap(keydir);
  keydir->count = keydir->count_max = 0;
  keydir->absent = 0;
}

static fj_shard shard_in(const fj_region *region, uint32_t number, uint32_t count) {
  fj_shard shard = {.slots = region->slots + (size_t)number * region->limit,
                    .capacity = region->capacity,
                    .limit = region->limit,
                    .count = count};
  return shard;
}

/* ---- growing ------------------------------------------------------------- */

/* Copies the slots of `from` in order to where they belong in `to`, which is
 * empty; false if they would be pushed over its end. */
static bool spread(const fj_shard *from, const fj_shard *to) {
  fj_slot *next = to->slots;                       /* behind those already placed */
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

static bool has_moved(const fj_keydir *keydir, uint32_t number) {
  return keydir->shards[number].slots == shard_in(&keydir->region, number, 0).slots;
}

/* Moves a shard to the new region; false if it does not fit there. */
static bool move_shard(fj_keydir *keydir, uint32_t number) {
  fj_shard *shard = &keydir->shards[number];
  fj_shard target = shard_in(&keydir->region, number, shard->count);
  if (shard->count > 0 && !spread(shard, &target)) {
    memset(target.slots, 0, target.limit * sizeof *target.slots);
    return false;
  }
  set_shard(shard, target);
  return true;
}

/* Gives the pages that the shards before `moved` had back to the system. */
static void discard_behind(fj_keydir *keydir) {
  fj_region *old = &keydir->old;
  size_t passed = (size_t)keydir->moved * old->limit * sizeof(fj_slot);
  size_t step = (passed - old->discarded) / DISCARD_STEP * DISCARD_STEP;
  if (step == 0) return;
  keydir->os->discard_pages(keydir->os->context, (uint8_t *)old->slots + old->discarded, step);
  old->discarded += step;
}

/* Moves the next shard that has not moved. False if it does not fit. */
static bool move_next(fj_keydir *keydir) {
  while (keydir->moved < FJ_SHARDS && has_moved(keydir, keydir->moved)) keydir->moved++;
  if (keydir->moved < FJ_SHARDS && !move_shard(keydir, keydir->moved)) return false;
  if (keydir->moved < FJ_SHARDS) keydir->moved++;
  discard_behind(keydir);
  if (keydir->moved == FJ_SHARDS) retire(keydir, &keydir->old);
  return true;
}

static freyja_status region_create(const fj_os *os, uint64_t capacity, fj_region *out,
                                   freyja_error *error) {
  if (capacity > FJ_CAPACITY_MAX)
    return fj_fail(error, FREYJA_LIMIT, NULL, "too many keys with nearly the same hash");
  memset(out, 0, sizeof *out);
  out->capacity = (uint32_t)capacity;
  out->limit = fj_keydir_limit(out->capacity);
  out->bytes = (size_t)out->limit * FJ_SHARDS * sizeof(fj_slot);
  out->slots = os->allocate_pages(os->context, out->bytes);
  return out->slots == NULL ? fj_fail_memory(error, "grow the key directory") : FREYJA_OK;
}

/* Begins a region with shards of that capacity; the shards are to move there. */
static freyja_status begin_region(fj_keydir *keydir, uint64_t capacity, freyja_error *error) {
  fj_region grown;
  assert(keydir->old.slots == NULL);
  freyja_status status = region_create(keydir->os, capacity, &grown, error);
  if (status != FREYJA_OK) return status;
  keydir->old = keydir->region;
  keydir->region = grown;
  keydir->count_max = fill(grown.capacity);
  keydir->moved = 0;
  return FREYJA_OK;
}

static uint64_t next_capacity(uint32_t capacity) {
  return capacity == 0 ? CAPACITY_MIN : (uint64_t)capacity + (capacity + 3) / 4;
}

/* A shard does not fit the region, whatever the load: everything moves to one that is
 * large enough, at once. Only hashes that are hardly random come to this. */
static freyja_status rebuild(fj_keydir *keydir, uint64_t capacity, freyja_error *error) {
  fj_region grown;
  for (;; capacity *= 2) {
    freyja_status status = region_create(keydir->os, capacity, &grown, error);
    if (status != FREYJA_OK) return status;
    fj_shard shards[FJ_SHARDS];
    bool fits = true;
    for (uint32_t i = 0; i < FJ_SHARDS && fits; i++) {
      shards[i] = shard_in(&grown, i, keydir->shards[i].count);
      /* One more than there are, and K4, for the insert to come. */
      fits = keydir->shards[i].count + 2 <= grown.limit &&
             (keydir->shards[i].count == 0 || spread(&keydir->shards[i], &shards[i]));
    }
    if (fits) {
      for (uint32_t i = 0; i < FJ_SHARDS; i++) set_shard(&keydir->shards[i], shards[i]);
      break;
    }
    region_destroy(keydir->os, &grown);
  }
  retire(keydir, &keydir->old);
  retire(keydir, &keydir->region);
  keydir->region = grown;
  keydir->count_max = fill(grown.capacity);
  return FREYJA_OK;
}

/* The end of a search for the hash in vain. */
static void seek(fj_keydir *keydir, uint64_t hash, fj_place *place) {
  bool more = fj_keydir_find(keydir, hash, place);
  while (more) more = fj_keydir_next(place);
}

/* Does what growing there is to do before an insert: begins it, or moves one shard. */
static freyja_status grow(fj_keydir *keydir, uint32_t number, freyja_error *error) {
  if (keydir->old.slots == NULL && keydir->count >= keydir->count_max) {
    bool first = keydir->region.slots == NULL;
    freyja_status status = begin_region(keydir, next_capacity(keydir->region.capacity), error);
    if (status != FREYJA_OK) return status;
    for (uint32_t i = 0; first && i < FJ_SHARDS; i++)
      set_shard(&keydir->shards[i], shard_in(&keydir->region, i, 0));
  }
  if (keydir->old.slots == NULL) return FREYJA_OK;
  /* The shard of the insert needs the room first; then one in turn. */
  if ((has_moved(keydir, number) || move_shard(keydir, number)) && move_next(keydir))
    return FREYJA_OK;
  return rebuild(keydir, next_capacity(keydir->region.capacity), error);
}

freyja_status fj_keydir_reserve(fj_keydir *keydir, uint64_t hash, fj_place *place,
                                freyja_error *error) {
  freyja_status status = FREYJA_OK;
  uint32_t number = (uint32_t)(hash >> (64 - FJ_SHARD_BITS));
  if (keydir->old.slots != NULL || keydir->count >= keydir->count_max) {
    status = fj_keydir_bring_all(keydir, error); /* K6 */
    if (status == FREYJA_OK) status = grow(keydir, number, error);
    if (status == FREYJA_OK) seek(keydir, hash, place);
  }
  while (status == FREYJA_OK) {
    if (fj_shard_find_gap(place)) break;
    if (keydir->absent > 0) status = fj_keydir_bring_all(keydir, error);
    else status = rebuild(keydir, next_capacity(keydir->region.capacity), error);
    if (status == FREYJA_OK) seek(keydir, hash, place);
  }
  return status;
}

freyja_status fj_keydir_make_ready(fj_keydir *keydir, uint64_t more, freyja_error *error) {
  bool grows = keydir->count_max - keydir->count <= more || keydir->count >= keydir->count_max;
  return keydir->absent > 0 && grows ? fj_keydir_bring_all(keydir, error) : FREYJA_OK;
}

/* What a thread moves: shards [from, end). */
typedef struct fj_errand {
  fj_keydir *keydir;
  uint32_t from, end;
  bool fits;
} fj_errand;

static void *move_some(void *argument) {
  fj_errand *errand = argument;
  fj_keydir *keydir = errand->keydir;
  const fj_region *old = &keydir->old;
  size_t shard = (size_t)old->limit * sizeof(fj_slot);
  size_t done = (errand->from * shard + DISCARD_STEP - 1) / DISCARD_STEP * DISCARD_STEP;
  for (uint32_t i = errand->from; i < errand->end; i++) {
    errand->fits = move_shard(keydir, i) && errand->fits;
    size_t end = (i + 1) * shard / DISCARD_STEP * DISCARD_STEP;
    if (!errand->fits || end <= done) continue;
    keydir->os->discard_pages(keydir->os->context, (uint8_t *)old->slots + done, end - done);
    done = end;
  }
  return argument;
}

/* Moves all shards to a region that was just begun; some stay where they do not fit. */
static void move_all(fj_keydir *keydir) {
  fj_errand errands[FJ_THREADS];
  const uint32_t each = FJ_SHARDS / FJ_THREADS;
  if (keydir->old.slots == NULL) return;
  for (uint32_t i = 0; i < FJ_THREADS; i++)
    errands[i] = (fj_errand){keydir, i * each, (i + 1) * each, true};
  fj_thread_share(move_some, errands, sizeof *errands,
                  keydir->os->shares && keydir->count >= THREADS_MIN);
  bool fits = true;
  for (uint32_t i = 0; i < FJ_THREADS; i++) fits = fits && errands[i].fits;
  if (!fits) return;
  keydir->moved = FJ_SHARDS;
  retire(keydir, &keydir->old);
}

void fj_keydir_expect(fj_keydir *keydir, uint64_t more) {
  if (keydir->absent > 0 || more > (uint64_t)FJ_CAPACITY_MAX * FJ_SHARDS - keydir->count)
    return;
  while (keydir->old.slots != NULL)
    if (!move_next(keydir)) return; /* only hashes that are hardly random */
  if (keydir->count + more <= keydir->count_max) return;
  bool first = keydir->region.slots == NULL;
  uint64_t capacity = next_capacity(keydir->region.capacity);
  uint64_t needed = (keydir->count + more) / FJ_SHARDS;
  if (capacity < needed) capacity = needed;
  if (capacity > FJ_CAPACITY_MAX) return;
  while (fill((uint32_t)capacity) < keydir->count + more) capacity += capacity / 64 + 1;
  if (begin_region(keydir, capacity, NULL) != FREYJA_OK) return;
  for (uint32_t i = 0; first && i < FJ_SHARDS; i++)
    set_shard(&keydir->shards[i], shard_in(&keydir->region, i, 0));
  move_all(keydir);
}

void fj_keydir_fit(fj_keydir *keydir) {
  uint64_t capacity = keydir->count / FJ_SHARDS + CAPACITY_MIN;
  if (keydir->absent > 0 || keydir->old.slots != NULL) return;
  while (fill((uint32_t)capacity) < keydir->count) capacity += capacity / 64 + 1;
  if (next_capacity((uint32_t)capacity) >= keydir->region.capacity) return;
  if (begin_region(keydir, capacity, NULL) == FREYJA_OK) move_all(keydir);
}

/* ---- changing ------------------------------------------------------------ */

void fj_keydir_insert(fj_keydir *keydir, fj_place place, uint64_t hash, uint64_t word) {
  fj_shard_insert(place, hash, word);
  keydir->count++;
}

/* Something goes to where a search may have passed already. */
static void change_version(fj_shard *shard) {
  fj_publish(&shard->version, shard->version + 2);
}

void fj_shard_delete(fj_place place) {
  fj_slot *slot = place.slot;
  assert(slot->word != 0);
  /* Pull back what was pushed, up to the first slot that is where it belongs (K2). */
  while (slot[1].word != 0 && fj_shard_home(place.shard, slot[1].hash) != slot + 1) {
    change_version(place.shard);
    fj_slot_set(slot, slot[1].hash, slot[1].word);
    slot++;
  }
  change_version(place.shard);
  fj_publish(&slot->word, 0);
  fj_publish(&slot->hash, 0);
  place.shard->count--;
}

void fj_keydir_delete(fj_keydir *keydir, fj_place place) {
  fj_shard_delete(place);
  keydir->count--;
}

/* ---- checking ------------------------------------------------------------- */

static const char *check_shard(const fj_keydir *keydir, uint32_t number, fj_visit_slot visit,
                               void *argument) {
  const fj_shard *shard = &keydir->shards[number];
  const fj_slot *free_slots = shard->slots; /* behind the last empty slot so far */
  const char *wrong = NULL;
  uint64_t last = 0;
  uint32_t count = 0;
  if (shard->slots == NULL)
    return shard->count == 0 ? NULL : "a shard of the index has keys but no memory";
  for (const fj_slot *slot = shard->slots; slot < shard->slots + shard->limit; slot++) {
    if (slot->word == 0) {
      free_slots = slot + 1;
      continue;
    }
    count++;
    visit(argument, slot);
    const fj_slot *home = fj_shard_home(shard, slot->hash);
    if (wrong != NULL) continue;
    if (slot->hash >> (64 - FJ_SHARD_BITS) != number || (slot->hash & ~keydir->hash_mask) != 0)
      wrong = "a hash of the index is where it cannot be";
    else if (slot->hash < last) wrong = "the index is out of order (K1)";
    else if (home > slot || home < free_slots)
      wrong = "a key of the index cannot be found (K2)";
    last = slot->hash;
  }
  if (shard->slots[shard->limit - 1].word != 0) wrong = "a shard of the index is full (K4)";
  if (count != shard->count) wrong = "a shard of the index has a wrong count";
  return wrong;
}

const char *fj_keydir_check(const fj_keydir *keydir, fj_visit_slot visit, void *argument) {
  const char *wrong = NULL;
  uint64_t count = 0;
  for (uint32_t i = 0; i < FJ_SHARDS; i++) {
    const char *here = check_shard(keydir, i, visit, argument);
    if (wrong == NULL) wrong = here;
    count += keydir->shards[i].count;
    if (keydir->old.slots != NULL && i < keydir->moved && !has_moved(keydir, i))
      wrong = "a shard of the index has not moved (K5)";
  }
  return wrong == NULL && count != keydir->count ? "the index has a wrong count" : wrong;
}

/* ---- absent shards --------------------------------------------------------- */

freyja_status fj_keydir_adopt(fj_keydir *keydir, uint32_t capacity,
                              const uint32_t counts[FJ_SHARDS], fj_bring_shard bring,
                              void *source, freyja_error *error) {
  assert(keydir->region.slots == NULL && capacity > 0);
  freyja_status status = region_create(keydir->os, capacity, &keydir->region, error);
  if (status != FREYJA_OK) return status;
  keydir->count_max = fill(capacity);
  keydir->bring = bring;
  keydir->source = source;
  for (uint32_t i = 0; i < FJ_SHARDS; i++) {
    fj_shard absent = shard_in(&keydir->region, i, counts[i]);
    absent.slots = NULL;
    set_shard(&keydir->shards[i], absent);
    keydir->count += counts[i];
  }
  keydir->absent = FJ_SHARDS;
  return FREYJA_OK;
}

fj_slot *fj_keydir_room(fj_keydir *keydir, uint32_t number) {
  return shard_in(&keydir->region, number, 0).slots;
}

const char *fj_keydir_admit(fj_keydir *keydir, uint32_t number, fj_visit_slot visit,
                            void *argument) {
  fj_shard *shard = &keydir->shards[number];
  assert(shard->slots == NULL && keydir->absent > 0);
  shard->slots = fj_keydir_room(keydir, number);
  const char *wrong = check_shard(keydir, number, visit, argument);
  if (wrong != NULL) {
    shard->slots = NULL;
    return wrong;
  }
  keydir->absent--;
  return NULL;
}

void fj_keydir_show(fj_keydir *keydir, uint32_t number) {
  set_shard(&keydir->shards[number], keydir->shards[number]);
}

void fj_keydir_forget(fj_keydir *keydir) {
  static const fj_shard unknown = {.capacity = 1}; /* nobody is to take it for empty */
  for (uint32_t i = 0; i < FJ_SHARDS; i++) set_shard(&keydir->shards[i], unknown);
  retire(keydir, &keydir->region);
  retire(keydir, &keydir->old);
  reap(keydir);
  keydir->count_max = 0;
  keydir->absent = FJ_SHARDS;
}

/* The next shard that is absent, behind `number`. */
static uint32_t next_absent(const fj_keydir *keydir, uint32_t number) {
  do number = (number + 1) % FJ_SHARDS;
  while (keydir->shards[number].slots != NULL);
  return number;
}

freyja_status fj_keydir_bring(fj_keydir *keydir, uint32_t number, freyja_error *error) {
  freyja_status status = FREYJA_OK;
  if (keydir->shards[number].slots == NULL)
    status = keydir->bring(keydir->source, number, error);
  /* Soon it has to grow, and needs all for that (K6): one more with each key, so that no put
   * waits for many. */
  bool soon = keydir->count + keydir->absent + 2 >= keydir->count_max;
  if (status != FREYJA_OK || keydir->absent == 0 || !soon) return status;
  return keydir->bring(keydir->source, next_absent(keydir, number), error);
}

freyja_status fj_keydir_bring_all(fj_keydir *keydir, freyja_error *error) {
  freyja_status status = FREYJA_OK;
  while (status == FREYJA_OK && keydir->absent > 0)
    status = keydir->bring(keydir->source, next_absent(keydir, FJ_SHARDS - 1), error);
  return status;
}

freyja_status fj_keydir_settle(fj_keydir *keydir, freyja_error *error) {
  freyja_status status = fj_keydir_bring_all(keydir, error);
  if (status != FREYJA_OK) return status;
  while (keydir->old.slots != NULL)
    if (!move_next(keydir))
      return rebuild(keydir, next_capacity(keydir->region.capacity), error);
  return FREYJA_OK;
}
