/* estimate.c - see estimate.h. */
#include "estimate.h"

#include <string.h>

#define SAMPLE (FJ_ESTIMATE_MIN * 3 / 4) /* entries that are asked for */
#define BITS (1u << 20)
#define SLACK 1.05

bool fj_estimate_open(fj_estimate *estimate, fj_keydir *keydir, uint64_t entries) {
  const fj_os *os = keydir->os;
  if (keydir->absent > 0 || entries <= FJ_ESTIMATE_MIN) return false;
  if (keydir->count + entries <= keydir->count_max) return false;
  uint64_t bound = UINT64_MAX / entries * SAMPLE;
  *estimate = (fj_estimate){
      .keydir = keydir, .entries = entries, .bound = bound, .step = bound / BITS + 1};
  estimate->bits = os->allocate(os->context, BITS / 8);
  if (estimate->bits == NULL) return false;
  memset(estimate->bits, 0, BITS / 8);
  return true;
}

uint64_t fj_estimate_close(fj_estimate *estimate) {
  const fj_os *os = estimate->keydir->os;
  double share = (double)estimate->bound / (double)UINT64_MAX;
  os->release(os->context, estimate->bits);
  if (estimate->absent <= 0) return 0;
  double more = (double)estimate->absent / share * SLACK;
  return more < (double)estimate->entries ? (uint64_t)more : estimate->entries;
}
