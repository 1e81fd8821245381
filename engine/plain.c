/* plain.c - see plain.h. */
#include "plain.h"

/* What a thread does. */
typedef struct fj_errand {
  const fj_hinted *group;
  fj_range *range;
  fj_part *part;
} fj_errand;

/* Applies the entries of a hint that are next, up to the bound; false if it stops. What is in
 * the file may change at any time, and is read once. */
static bool apply_below(const fj_errand *errand, uint32_t number) {
  const fj_load *load = &errand->group->loads[number];
  fj_range *range = errand->range;
  fj_keydir *keydir = &errand->group->index->keydir;
  uint64_t *next = &range->next[number], entries = load->hint.counts.entries;
  if (*next == entries) return true; /* without any it is not mapped */
  const uint8_t *first = load->hint.map + FJ_HINT_HEADER;
  for (; *next < entries; ++*next) {
    const uint8_t *p = first + *next * FJ_HINT_ENTRY;
    fj_hint_entry hint = fj_hint_decode_entry(p);
    if (hint.hash > range->bound) return true;
    if (hint.hash < range->low) return false; /* P1 */
    if (!fj_hint_is_possible(hint.word, load->hint.covered)) return false;
    if (entries - *next > FJ_HINT_AHEAD)
      fj_keydir_prefetch(keydir, fj_get64(p + FJ_HINT_AHEAD * FJ_HINT_ENTRY));
    fj_entry entry = fj_hinted_entry(load, &hint);
    if (!fj_part_apply(errand->part, &entry)) return false;
  }
  return true;
}

static void *run(void *argument) {
  const fj_errand *errand = argument;
  do {
    for (uint32_t i = 0; i < errand->group->count; i++)
      if (!apply_below(errand, i)) return argument;
  } while (fj_range_go_on(errand->range));
  return argument;
}

/* The number of the hint's first entry whose hash is not less. */
static uint64_t first_from(const fj_hint *hint, uint64_t hash) {
  uint64_t low = 0, high = hint->counts.entries;
  while (low < high) {
    uint64_t middle = low + (high - low) / 2;
    if (fj_get64(hint->map + FJ_HINT_HEADER + middle * FJ_HINT_ENTRY) < hash) low = middle + 1;
    else high = middle;
  }
  return low;
}

static void set_range(const fj_hinted *group, uint32_t number, uint64_t step,
                      fj_range *range) {
  const uint64_t width = UINT64_MAX / FJ_PARTS + 1;
  range->low = number * width;
  range->high = range->low + (width - 1);
  range->step = step;
  range->bound = range->low;
  (void)fj_range_go_on(range);
  for (uint32_t i = 0; i < group->count; i++)
    range->next[i] = first_from(&group->loads[i].hint, range->low);
}

static bool are_mapped(const fj_hinted *group) {
  for (uint32_t i = 0; i < group->count; i++)
    if (group->loads[i].hint.map == NULL && group->loads[i].hint.counts.entries > 0)
      return false;
  return true;
}

bool fj_plain_load(const fj_hinted *group, uint64_t entries, uint64_t step,
                   uint64_t passed_most, fj_range ranges[FJ_PARTS]) {
  fj_parts parts;
  fj_errand errands[FJ_PARTS];
  fj_index *index = group->index;
  if (!are_mapped(group) || !fj_parts_open(&parts, index, entries, passed_most)) return false;
  for (uint32_t i = 0; i < FJ_PARTS; i++) {
    set_range(group, i, step, &ranges[i]);
    errands[i] = (fj_errand){group, &ranges[i], &parts.parts[i]};
  }
  fj_thread_share(run, errands, sizeof *errands, true);
  index->hint_searched += fj_parts_close(&parts);
  return true;
}
