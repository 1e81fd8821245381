/* sums.c - see sums.h and engine/FORMAT.md. */
#include "sums.h"

#include <string.h>

const fj_identity fuzz_identity = {
    .id = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, .hash_seed = 1};

static uint64_t segment_seed(const fj_identity *identity, uint64_t id) {
  return fj_hash(identity->id, FJ_STORE_ID, id);
}

fj_identity fuzz_manifest_identity(const uint8_t *bytes, size_t size) {
  fj_identity identity = fuzz_identity;
  if (size < 40) return identity;
  memcpy(identity.id, bytes + 16, FJ_STORE_ID);
  identity.hash_seed = fj_get64(bytes + 32);
  return identity;
}

void fuzz_seal_manifest(uint8_t *bytes, size_t size) {
  if (size < 8 || fj_get64(bytes + size - 8) == 0) return;
  fj_put64(bytes + size - 8, fj_hash(bytes, size - 8, 0));
}

void fuzz_seal_mark(uint8_t *bytes, unsigned slot, const fj_identity *identity, uint64_t id) {
  uint8_t *mark = bytes + FJ_MARK_OFFSET + FJ_MARK_SIZE * slot;
  fj_segment_encode_mark(mark, fj_get64(mark), segment_seed(identity, id), slot);
}

void fuzz_seal_record(uint8_t *bytes, uint64_t offset, const fj_record *record,
                      const fj_identity *identity, uint64_t id) {
  uint8_t *p = bytes + offset;
  uint64_t seed = fj_record_seed(segment_seed(identity, id), offset);
  uint64_t hash = fj_hash(record->key, record->key_size, identity->hash_seed);
  if (record->value_sum != 0)
    fj_put32(p + 4,
             fj_record_value_sum(record->value, record->value_size, seed, record->timestamp));
  if (record->check != 0) fj_put32(p, fj_record_header_sum(p, seed, hash));
}

void fuzz_seal_data(uint8_t *bytes, size_t size, const fj_identity *identity, uint64_t id) {
  if (size < FJ_SEGMENT_HEADER) return;
  if (fj_get64(bytes + 56) != 0) fj_put64(bytes + 56, fj_hash(bytes, 56, 0));
  for (unsigned slot = 0; slot < 2; slot++)
    if (fj_get64(bytes + FJ_MARK_OFFSET + FJ_MARK_SIZE * slot + 8) != 0)
      fuzz_seal_mark(bytes, slot, identity, id);
  uint64_t offset = FJ_SEGMENT_HEADER;
  while (offset + FJ_RECORD_HEADER <= size) {
    fj_record record;
    bool possible = fj_record_parse(bytes + offset, size - offset, &record);
    if (possible) fuzz_seal_record(bytes, offset, &record, identity, id);
    offset += possible ? record.size : FJ_RECORD_ALIGN;
  }
}
