/* lower.c - see lower.h. */
#include "lower.h"

#include "rewrite.h"

/* The segments below where the outputs will stand: how many are not merged, and how many bytes
 * their hints have at most. False if one has none. */
static bool count_lower(const freyja_rewrite *rewrite, uint32_t *count, uint64_t *bytes) {
  const fj_index *index = &rewrite->db->index;
  uint32_t last = rewrite->inputs[rewrite->input_count - 1]->rank;
  uint32_t next = 0; /* of the inputs */
  *count = 0;
  *bytes = 0;
  for (uint32_t rank = 0; rank < last; rank++) {
    const fj_segment *segment = index->ranks[rank];
    bool merged = segment == rewrite->inputs[next];
    next += merged;
    if (merged) continue;
    if (!segment->hinted || segment->damaged) return false;
    *bytes += (segment->keys + segment->tombstones) * FJ_HINT_ENTRY;
    ++*count;
  }
  return true;
}

/* Opens the hints of those segments; false if one cannot be used. */
static bool open_hints(freyja_rewrite *rewrite) {
  const fj_index *index = &rewrite->db->index;
  fj_lower *lower = &rewrite->lower;
  uint32_t last = rewrite->inputs[rewrite->input_count - 1]->rank;
  uint32_t next = 0;
  for (uint32_t rank = 0; rank < last; rank++) {
    fj_segment *segment = index->ranks[rank];
    bool merged = segment == rewrite->inputs[next];
    next += merged;
    if (merged) continue;
    freyja_error why;
    if (fj_hint_open(&lower->hints[lower->count], segment, &why) != FREYJA_OK) return false;
    lower->count++;
  }
  return true;
}

static void look(freyja_rewrite *rewrite) {
  fj_lower *lower = &rewrite->lower;
  const fj_os *os = rewrite->os;
  uint32_t count = 0;
  uint64_t bytes = 0;
  lower->known = true;
  if (!count_lower(rewrite, &count, &bytes)) return;
  lower->certain = count == 0;
  if (count == 0 || bytes > rewrite->bytes) return;
  if (rewrite->db->index.pool.io != FREYJA_IO_MMAP) return; /* a search would be many reads */
  lower->hints = os->allocate(os->context, count * sizeof *lower->hints);
  lower->certain = lower->hints != NULL && open_hints(rewrite);
}

bool fj_lower_may_hold(freyja_rewrite *rewrite, uint64_t key_hash) {
  fj_lower *lower = &rewrite->lower;
  if (!lower->known) look(rewrite);
  bool may = !lower->certain;
  for (uint32_t i = 0; i < lower->count && !may; i++)
    may = fj_hint_may_hold(&lower->hints[i], key_hash);
  return may;
}

void fj_lower_close(freyja_rewrite *rewrite) {
  fj_lower *lower = &rewrite->lower;
  for (uint32_t i = 0; i < lower->count; i++) fj_hint_close(&lower->hints[i]);
  rewrite->os->release(rewrite->os->context, lower->hints);
  lower->hints = NULL;
  lower->count = 0;
  lower->certain = false;
}
