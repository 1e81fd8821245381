/* hintcheck.c - see hintcheck.h. */
#include "hintcheck.h"

#include <string.h>

#define STEP (UINT64_C(64) << 20) /* bytes */

typedef struct fj_comparison {
  fj_hint *hint;
  fj_gather *gather;
  uint64_t next;  /* entry of the hint */
  uint64_t wrong; /* offset in the hint file of the first difference; 0: none */
  bool unknown;   /* the data file cannot be read, or is damaged: told by who inspects it */
} fj_comparison;

/* Compares the entries that are ready with those of the hint. */
static freyja_status compare_entries(fj_comparison *c, freyja_error *error) {
  const fj_gather *gather = c->gather;
  for (uint64_t i = 0; i < gather->count; i++) {
    const uint8_t *p = NULL;
    uint64_t count = 0;
    c->wrong = FJ_HINT_HEADER + c->next * FJ_HINT_ENTRY;
    if (c->next == c->hint->counts.entries) return FREYJA_OK;
    freyja_status status = fj_hint_fetch(c->hint, c->next++, &p, &count, error);
    if (status != FREYJA_OK) return status;
    fj_hint_entry entry = fj_hint_decode_entry(p);
    if (entry.hash != gather->entries[i].hash || entry.word != gather->entries[i].word)
      return FREYJA_OK;
  }
  c->wrong = 0;
  return FREYJA_OK;
}

static bool has_counts(const fj_hint_counts *a, const fj_hint_counts *b) {
  return a->entries == b->entries && a->keys == b->keys && a->tombstones == b->tombstones &&
         a->oldest == b->oldest && a->newest == b->newest && a->expires == b->expires &&
         a->last == b->last;
}

/* Compares all there is, reading the data file. */
static freyja_status compare(fj_comparison *c, freyja_error *error) {
  freyja_status status = FREYJA_OK;
  while (status == FREYJA_OK && c->wrong == 0 && c->gather->phase != FJ_GATHER_DONE) {
    status = fj_gather_step(c->gather, STEP, error);
    c->unknown = status != FREYJA_OK && status != FREYJA_MEMORY;
    if (c->unknown) return FREYJA_OK;
    if (status != FREYJA_OK || c->gather->phase != FJ_GATHER_READY) continue;
    status = compare_entries(c, error);
    if (status == FREYJA_OK && c->wrong == 0) fj_gather_pass(c->gather);
  }
  if (status == FREYJA_OK && c->wrong == 0 &&
      !has_counts(&c->hint->counts, &c->gather->counts))
    c->wrong = 64; /* the first of the counts in the header */
  return status;
}

freyja_status fj_hint_compare(fj_segment *file, const fj_findings *findings,
                              freyja_error *error) {
  char name[FJ_NAME_MAX];
  fj_hint hint;
  fj_gather gather;
  freyja_error fault;
  fj_comparison c = {&hint, &gather, 0, 0, false};
  fj_extent extent = {name, 0, 0};
  fj_hint_name(name, file->id);
  freyja_status status = fj_hint_open(&hint, file, &fault);
  if (status == FREYJA_NOTFOUND) return FREYJA_OK;
  if (status == FREYJA_OK) {
    status = fj_gather_open(&gather, file, FJ_GATHER_ENTRIES, &fault);
    if (status == FREYJA_OK) status = compare(&c, &fault);
    fj_gather_close(&gather);
    fj_hint_close(&hint);
  }
  if (status == FREYJA_MEMORY) {
    if (error != NULL) *error = fault;
    return status;
  }
  if (status != FREYJA_OK) {
    fj_findings_add(findings, extent, "%s", fault.message);
  } else if (c.wrong != 0 && !c.unknown) {
    extent.offset = c.wrong;
    extent.size = FJ_HINT_ENTRY;
    fj_findings_add(findings, extent,
                    "the hint file does not say what the data file does; an open that uses it "
                    "misses keys or is slower; remove it");
  }
  return FREYJA_OK;
}
