/* lower.c - see lower.h. */
#include "lower.h"

#include "rewrite.h"

/* The next segment below the outputs, from *rank on, that is not merged; NULL behind the last.
 * *next counts the inputs that were passed. */
static fj_segment *next_lower(const freyja_rewrite *rewrite, uint32_t *rank, uint32_t *next) {
  const fj_index *index = &rewrite->db->index;
  uint32_t last = rewrite->inputs[rewrite->input_count - 1]->rank;
  while (*rank < last) {
    fj_segment *segment = index->ranks[(*rank)++];
    if (segment != rewrite->inputs[*next]) return segment;
    ++*next;
  }
  return NULL;
}

/* Opens the segment's hint, if that is worth it; *bytes may still be read for that. */
static bool open_hint(freyja_rewrite *rewrite, fj_segment *segment, uint64_t *bytes) {
  fj_lower *lower = &rewrite->lower;
  uint64_t size = (segment->keys + segment->tombstones) * FJ_HINT_ENTRY;
  freyja_error why;
  if (!fj_hint_is_there(segment) || segment->damaged || size > *bytes || lower->hints == NULL)
    return false;
  if (rewrite->db->index.pool.io != FREYJA_IO_MMAP) return false; /* it would be many reads */
  *bytes -= size;
  if (fj_hint_open(&lower->hints[lower->count].hint, segment, &why) != FREYJA_OK) return false;
  lower->hints[lower->count++].began = fj_segment_began(segment);
  return true;
}

static void look(freyja_rewrite *rewrite) {
  fj_lower *lower = &rewrite->lower;
  const fj_os *os = rewrite->os;
  uint32_t rank = 0, next = 0, count = 0;
  uint64_t bytes = rewrite->bytes;
  lower->known = true;
  lower->before = UINT64_MAX;
  for (fj_segment *s; (s = next_lower(rewrite, &rank, &next)) != NULL;)
    count += fj_hint_is_there(s);
  if (count > 0) lower->hints = os->allocate(os->context, count * sizeof *lower->hints);
  rank = next = 0;
  for (fj_segment *s; (s = next_lower(rewrite, &rank, &next)) != NULL;)
    if (!open_hint(rewrite, s, &bytes) && lower->before > fj_segment_began(s))
      lower->before = fj_segment_began(s);
}

bool fj_lower_may_hold(freyja_rewrite *rewrite, uint64_t key_hash, uint64_t timestamp) {
  fj_lower *lower = &rewrite->lower;
  if (!lower->known) look(rewrite);
  bool may = timestamp > lower->before;
  for (uint32_t i = 0; i < lower->count && !may; i++)
    may =
        timestamp > lower->hints[i].began && fj_hint_may_hold(&lower->hints[i].hint, key_hash);
  return may;
}

void fj_lower_close(freyja_rewrite *rewrite) {
  fj_lower *lower = &rewrite->lower;
  for (uint32_t i = 0; i < lower->count; i++) fj_hint_close(&lower->hints[i].hint);
  rewrite->os->release(rewrite->os->context, lower->hints);
  lower->hints = NULL;
  lower->count = 0;
  lower->before = 0;
}
