/* record.c - see record.h. */
#include "record.h"

#include <assert.h>
#include <string.h>

FJ_FLATTEN void fj_record_seal(fj_draft *draft, uint64_t seed) {
  assert(draft->key.size <= FREYJA_KEY_SIZE_MAX);
  assert(draft->value.size <= UINT32_MAX);
  assert(draft->kind == FJ_KIND_PUT || draft->value.size == 0);
  assert(draft->kind == FJ_KIND_PUT || draft->expiry == 0);
  assert((draft->expiry != 0) == ((draft->flags & FJ_FLAG_EXPIRES) != 0));
  uint8_t *p = draft->header;
  fj_put32(p + 4,
           fj_record_value_sum(draft->value.data, draft->value.size, seed, draft->timestamp));
  fj_put32(p + 8, (uint32_t)draft->value.size);
  fj_put16(p + 12, (uint16_t)draft->key.size);
  p[14] = draft->kind;
  p[15] = draft->flags;
  fj_put64(p + 16, draft->timestamp);
  if (draft->expiry != 0) fj_put64(p + FJ_RECORD_HEADER, draft->expiry);
  fj_put32(p, fj_record_header_sum(p, seed, draft->key_hash));
}

void fj_record_add_flag(fj_draft *draft, uint8_t flag, uint64_t seed) {
  draft->flags |= flag;
  draft->header[15] = draft->flags;
  fj_put32(draft->header, fj_record_header_sum(draft->header, seed, draft->key_hash));
}

void fj_record_encode_body(uint8_t *out, const fj_draft *draft) {
  uint8_t *p = out + fj_record_prefix(draft->flags);
  if (draft->expiry != 0)
    memcpy(out + FJ_RECORD_HEADER, draft->header + FJ_RECORD_HEADER, FJ_RECORD_EXPIRY);
  if (draft->key.size > 0) memcpy(p, draft->key.data, draft->key.size);
  p += draft->key.size;
  if (draft->value.size > 0) memcpy(p, draft->value.data, draft->value.size);
  p += draft->value.size;
  memset(p, 0, (size_t) - (uintptr_t)(p - out) % FJ_RECORD_ALIGN);
}
