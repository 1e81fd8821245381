/* hinted.c - see hinted.h. */
#include "hinted.h"

#include <string.h>

#include "estimate.h"
#include "plain.h"

#define ROUND 64u /* entries of each hint, on average, before the next one's turn comes, */
#define ROUND_MIN 1024u /* and of all together at least */

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

/* What finding the places of entries may still cost. */
static uint64_t allowance(const fj_index *index) {
  uint64_t most = SEARCH_FREE + SEARCH_SHARE * index->hint_applied;
  return index->hint_searched < most ? most - index->hint_searched : 0;
}

static freyja_status apply(const fj_hinted *group, const fj_load *load, const uint8_t *p,
                           freyja_error *why) {
  fj_index *index = group->index;
  uint64_t cost = 0;
  fj_hint_entry hint = fj_hint_decode_entry(p);
  if (!fj_hint_is_possible(hint.word, load->hint.covered)) /* H2 */
    return give_up(group, load, "it has changed while it was read", why);
  fj_entry entry = fj_hinted_entry(load, &hint);
  freyja_status status = fj_apply(index, &entry, true, &cost, why);
  if (status == FREYJA_CORRUPT)
    return give_up(group, load, "an entry is not that of a record", why);
  index->hint_searched += cost;
  if (status == FREYJA_OK && allowance(index) == 0)
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

/* What the estimate asks of a hint. */
static freyja_status sample(fj_load *load, fj_estimate *estimate, freyja_error *why) {
  const uint8_t *p = NULL;
  uint64_t count = 0;
  freyja_status status = FREYJA_OK;
  for (uint64_t next = 0; next < load->hint.counts.entries; next += count) {
    status = fj_hint_fetch(&load->hint, next, &p, &count, why);
    if (status != FREYJA_OK) return status;
    for (uint64_t i = 0; i < count; i++, p += FJ_HINT_ENTRY) {
      fj_hint_entry entry = fj_hint_decode_entry(p);
      if (entry.hash > estimate->bound) return FREYJA_OK;
      fj_estimate_note(estimate, entry.hash, (entry.word & FJ_HINT_TOMBSTONE) != 0);
    }
  }
  return FREYJA_OK;
}

/* Makes room in the keydir for the keys that it does not have yet. */
static freyja_status make_room(const fj_hinted *group, uint64_t entries, freyja_error *why) {
  fj_keydir *keydir = &group->index->keydir;
  fj_estimate estimate;
  freyja_status status = FREYJA_OK;
  if (!fj_estimate_open(&estimate, keydir, entries)) return FREYJA_OK;
  for (uint32_t i = 0; i < group->count && status == FREYJA_OK; i++)
    status = sample(&group->loads[i], &estimate, why);
  uint64_t more = fj_estimate_close(&estimate);
  if (status == FREYJA_OK) fj_keydir_expect(keydir, more);
  return status;
}

static freyja_status apply_all(fj_hinted *group, freyja_error *why) {
  fj_range ranges[FJ_PARTS];
  uint32_t count = FJ_PARTS;
  uint64_t entries = count_entries(group);
  uint64_t round = (uint64_t)ROUND * group->count;
  uint64_t rounds = entries / (round < ROUND_MIN ? ROUND_MIN : round) + 1;
  uint64_t step = UINT64_MAX / rounds;
  freyja_status status = make_room(group, entries, why);
  if (status != FREYJA_OK) return status;
  if (!fj_plain_load(group, entries, step, allowance(group->index), ranges)) {
    ranges[0] = (fj_range){.high = UINT64_MAX, .bound = step, .step = step};
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
