/* hinted.c - see hinted.h. */
#include "hinted.h"

#include <string.h>

#include "plain.h"

#define ROUND 64u /* entries of each hint, on average, before the next one's turn comes, */
#define ROUND_MIN 1024u /* and of all together at least */

/* How many keys there are is estimated by those with the lowest hashes: they set bits. */
#define SAMPLE (3u << 10) /* entries, of all hints; fewer than a block of one has */
#define SLACK 1.05        /* and so much more is expected than they say */
#define BITS (256u << 10)
#define FEW 4096u /* entries for which the keydir may as well grow while it is filled */

/* What finding the places of entries may cost, in bytes looked at: as for records (index.c).
 * In a store whose hashes are random it is a small part of this. */
#define SEARCH_FREE (UINT64_C(256) << 20)
#define SEARCH_SHARE 8u /* for each byte of an entry */

void fj_hinted_create(fj_hinted *group, fj_index *index) {
  memset(group, 0, sizeof *group);
  group->index = index;
}

static void close_all(fj_hinted *group) {
  while (group->count > 0) fj_hint_close(&group->loads[--group->count].hint);
}

void fj_hinted_destroy(fj_hinted *group) {
  const fj_os *os = group->index->dir->os;
  close_all(group);
  os->release(os->context, group->loads);
  group->loads = NULL;
  group->room = 0;
}

static freyja_status enlarge(fj_hinted *group, freyja_error *error) {
  const fj_os *os = group->index->dir->os;
  uint32_t room = group->room == 0 ? FJ_HINTED_MAX / 16 : group->room * 4;
  fj_load *loads = os->allocate(os->context, room * sizeof *loads);
  if (loads == NULL) return fj_fail_memory(error, "read hint files");
  if (group->count > 0) memcpy(loads, group->loads, group->count * sizeof *loads);
  os->release(os->context, group->loads);
  group->loads = loads;
  group->room = room;
  return FREYJA_OK;
}

freyja_status fj_hinted_take(fj_hinted *group, fj_segment *segment, bool *taken,
                             freyja_error *why, freyja_error *error) {
  fj_index *index = group->index;
  freyja_status status = FREYJA_OK;
  *taken = false;
  memset(why, 0, sizeof *why);
  if (group->count == group->room) status = enlarge(group, error);
  if (status != FREYJA_OK) return status;
  fj_load *load = &group->loads[group->count];
  uint64_t tail = segment->tail;
  segment->tail = segment->limit; /* where slots point to what lies before it */
  if (fj_hint_open(&load->hint, segment, why) != FREYJA_OK) {
    segment->tail = tail;
    return FREYJA_OK;
  }
  const fj_hint_counts *counts = &load->hint.counts;
  load->segment = segment;
  group->count++;
  segment->keys = counts->keys;
  segment->tombstones = counts->tombstones;
  segment->oldest = counts->oldest;
  segment->newest = counts->newest;
  segment->expires = counts->expires;
  segment->hinted = *taken = true;
  segment->hint_unknown = false;
  fj_index_expect(index, counts->expires);
  if (counts->newest > index->last_timestamp) index->last_timestamp = counts->newest;
  index->hint_applied += counts->entries * FJ_HINT_ENTRY;
  return FREYJA_OK;
}

/* ---- entries -------------------------------------------------------------- */

static freyja_status give_up(const fj_hinted *group, const fj_load *load, const char *what,
                             freyja_error *why) {
  char name[FJ_NAME_MAX];
  fj_hint_name(name, load->segment->id);
  return fj_fail_at(why, FREYJA_CORRUPT, group->index->dir, name,
                    "the hint file is not used: %s", what);
}

/* What the hint's entry at p says. */
static inline fj_entry entry_at(const fj_load *load, const uint8_t *p) {
  fj_hint_entry hint = fj_hint_decode_entry(p);
  uint64_t word = fj_word_make(load->segment->slot, fj_hint_offset(hint.word),
                               fj_hint_size(hint.word), fj_hint_flags(hint.word));
  if ((hint.word & FJ_HINT_TOMBSTONE) != 0) word |= FJ_WORD_GONE;
  return (fj_entry){hint.hash, word};
}

static freyja_status apply(const fj_hinted *group, const fj_load *load, const uint8_t *p,
                           freyja_error *why) {
  fj_index *index = group->index;
  uint64_t cost = 0;
  if (!fj_hint_is_possible(fj_get64(p + 8), load->hint.covered)) /* H2 */
    return give_up(group, load, "it has changed while it was read", why);
  fj_entry entry = entry_at(load, p);
  freyja_status status = fj_apply(index, &entry, true, &cost, why);
  if (status == FREYJA_CORRUPT)
    return give_up(group, load, "an entry is not that of a record", why);
  index->hint_searched += cost;
  if (status == FREYJA_OK &&
      index->hint_searched > SEARCH_FREE + SEARCH_SHARE * index->hint_applied)
    return give_up(group, load, "too many of its keys have nearly the same hash", why);
  return status;
}

/* Applies the entries of a hint that are next, those whose hashes are not above the bound. */
static freyja_status apply_below(const fj_hinted *group, fj_range *range, uint32_t number,
                                 freyja_error *why) {
  fj_keydir *keydir = &group->index->keydir;
  fj_load *load = &group->loads[number];
  uint64_t *next = &range->next[number];
  freyja_status status = FREYJA_OK;
  while (status == FREYJA_OK && *next < load->hint.counts.entries) {
    const uint8_t *p = NULL;
    uint64_t count = 0;
    status = fj_hint_fetch(&load->hint, *next, &p, &count, why);
    if (status != FREYJA_OK) return status;
    const uint8_t *end = p + count * FJ_HINT_ENTRY;
    for (; p < end && status == FREYJA_OK; p += FJ_HINT_ENTRY, ++*next) {
      if (fj_get64(p) > range->bound) return FREYJA_OK;
      if ((size_t)(end - p) > FJ_HINT_AHEAD * FJ_HINT_ENTRY)
        fj_keydir_prefetch(keydir,
                           fj_get64(p + FJ_HINT_AHEAD * FJ_HINT_ENTRY) & keydir->hash_mask);
      status = apply(group, load, p, why);
    }
  }
  return status;
}

/* Applies what is left of a range. */
static freyja_status apply_range(const fj_hinted *group, fj_range *range, freyja_error *why) {
  freyja_status status = FREYJA_OK;
  do
    for (uint32_t i = 0; i < group->count && status == FREYJA_OK; i++)
      status = apply_below(group, range, i, why);
  while (status == FREYJA_OK && fj_range_go_on(range));
  return status;
}

/* ---- all of them ---------------------------------------------------------- */

/* The number of entries of the group. */
static uint64_t count_entries(const fj_hinted *group) {
  uint64_t entries = 0;
  for (uint32_t i = 0; i < group->count; i++) entries += group->loads[i].hint.counts.entries;
  return entries;
}

/* Keys of the hint's lowest hashes, up to the bound, that the keydir does not have are noted:
 * *absent counts them, and bit (hash / step) is that they were. */
static freyja_status sample(const fj_hinted *group, fj_load *load, uint64_t bound,
                            uint64_t bits[BITS / 64], int64_t *absent, freyja_error *why) {
  fj_keydir *keydir = &group->index->keydir;
  uint64_t step = bound / BITS + 1, count = 0;
  const uint8_t *p = NULL;
  if (load->hint.counts.entries == 0) return FREYJA_OK;
  freyja_status status = fj_hint_fetch(&load->hint, 0, &p, &count, why);
  for (uint64_t i = 0; status == FREYJA_OK && i < count; i++, p += FJ_HINT_ENTRY) {
    fj_hint_entry entry = fj_hint_decode_entry(p);
    fj_place place;
    if (entry.hash > bound) break;
    uint64_t number = entry.hash / step, bit = UINT64_C(1) << number % 64;
    bool was = (bits[number / 64] & bit) != 0;
    bool is = (entry.word & FJ_HINT_TOMBSTONE) == 0;
    if (was == is || fj_keydir_find(keydir, entry.hash & keydir->hash_mask, &place)) continue;
    bits[number / 64] ^= bit;
    *absent += is ? 1 : -1;
  }
  return status;
}

/* Makes room in the keydir for the keys that it does not have yet. Hashes are random: the
 * lowest are as good as any to tell how many those are. */
static freyja_status make_room(const fj_hinted *group, uint64_t entries, freyja_error *why) {
  fj_keydir *keydir = &group->index->keydir;
  const fj_os *os = group->index->dir->os;
  int64_t absent = 0;
  freyja_status status = FREYJA_OK;
  if (keydir->absent > 0 || entries <= FEW) return FREYJA_OK;
  if (keydir->count + entries <= keydir->count_max) return FREYJA_OK;
  uint64_t bound = UINT64_MAX / entries * SAMPLE;
  uint64_t *bits = os->allocate(os->context, BITS / 8);
  if (bits == NULL) return FREYJA_OK; /* it grows as it fills */
  memset(bits, 0, BITS / 8);
  for (uint32_t i = 0; i < group->count && status == FREYJA_OK; i++)
    status = sample(group, &group->loads[i], bound, bits, &absent, why);
  os->release(os->context, bits);
  double share = (double)bound / (double)UINT64_MAX;
  double more = (double)absent / share * SLACK;
  if (status == FREYJA_OK && absent > 0 && more < (double)entries)
    fj_keydir_expect(keydir, (uint64_t)more);
  else if (status == FREYJA_OK && absent > 0) fj_keydir_expect(keydir, entries);
  return status;
}

static freyja_status apply_all(fj_hinted *group, freyja_error *why) {
  fj_range ranges[FJ_PLAIN_RANGES];
  uint64_t entries = count_entries(group);
  uint64_t round = (uint64_t)ROUND * group->count;
  uint64_t rounds = entries / (round < ROUND_MIN ? ROUND_MIN : round) + 1;
  freyja_status status = make_room(group, entries, why);
  if (status != FREYJA_OK) return status;
  uint32_t count = fj_plain_load(group, entries, UINT64_MAX / rounds, ranges);
  if (count == 0) {
    ranges[0] = (fj_range){.high = UINT64_MAX, .step = UINT64_MAX / rounds};
    ranges[0].bound = ranges[0].step;
    count = 1;
  }
  for (uint32_t i = 0; i < count && status == FREYJA_OK; i++)
    status = apply_range(group, &ranges[i], why);
  return status;
}

freyja_status fj_hinted_load(fj_hinted *group, freyja_error *why, freyja_error *error) {
  freyja_error fault = {.status = FREYJA_OK};
  memset(why, 0, sizeof *why);
  freyja_status status = group->count > 0 ? apply_all(group, &fault) : FREYJA_OK;
  close_all(group);
  if (status == FREYJA_CORRUPT || status == FREYJA_IO) *why = fault;
  if (status != FREYJA_OK && error != NULL) *error = fault;
  return status;
}
