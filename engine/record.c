/* record.c - see record.h. */
#include "record.h"

#include <assert.h>
#include <string.h>

void fj_record_encode_header(uint8_t out[FJ_RECORD_HEADER], const fj_draft *draft) {
  assert(draft->key.size <= FREYJA_KEY_SIZE_MAX);
  assert(draft->value.size <= UINT32_MAX);
  assert(draft->kind == FJ_KIND_PUT || draft->value.size == 0);
  fj_put32(out + 4, draft->value_sum);
  fj_put32(out + 8, (uint32_t)draft->value.size);
  fj_put16(out + 12, (uint16_t)draft->key.size);
  out[14] = draft->kind;
  out[15] = draft->flags;
  fj_put64(out + 16, draft->timestamp);
  fj_put32(out, fj_record_header_sum(out, draft->seed, draft->key_hash));
}

void fj_record_encode_body(uint8_t *out, const fj_draft *draft) {
  uint8_t *p = out + FJ_RECORD_HEADER;
  if (draft->key.size > 0) memcpy(p, draft->key.data, draft->key.size);
  p += draft->key.size;
  if (draft->value.size > 0) memcpy(p, draft->value.data, draft->value.size);
  p += draft->value.size;
  memset(p, 0, (size_t)-(uintptr_t)(p - out) % FJ_RECORD_ALIGN);
}
