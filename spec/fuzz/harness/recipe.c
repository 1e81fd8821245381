/* recipe.c - see recipe.h. */
#include "recipe.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "sums.h"

#define KEY_MAX 4000u /* bytes */
#define VALUE_STEP 16u
#define FILLER_STEP 4u

enum { EXPIRING = 3, TOMBSTONE = 4, ZEROS = 5, GARBAGE = 6, STALE = 7 }; /* less: a put */
enum { COLLIDES = 8, BAD_VALUE = 16, BAD_HEADER = 32, JUMP = 64, LONGER = 128 };

const uint8_t *fuzz_key(uint8_t number, size_t *size) {
  static uint8_t keys[256][8];
  static uint8_t longer[KEY_MAX];
  if (number == 255) {
    *size = 0;
    return longer;
  }
  if (number < 128) {
    *size = (size_t)snprintf((char *)keys[number], sizeof keys[number], "k%u", number);
    return keys[number];
  }
  memset(longer, 'l', sizeof longer);
  *size = number == 254 ? KEY_MAX : (size_t)(number - 127) * 5;
  return longer;
}

/* ---- data files --------------------------------------------------------- */

typedef struct making {
  uint8_t *bytes;
  uint64_t end;
  uint64_t id;
  uint64_t *clock;
} making;

static void make_header(making *m, uint8_t flags) {
  uint8_t *p = m->bytes;
  memset(p, 0, FJ_SEGMENT_HEADER);
  memcpy(p, "freyjaD", 7);
  p[7] = flags & 64 ? 2 : 1;
  fj_put32(p + 8, FJ_SEGMENT_HEADER);
  memcpy(p + 16, fuzz_identity.id, FJ_STORE_ID);
  if (flags & 16) p[31] ^= 1;
  fj_put64(p + 32, fuzz_identity.hash_seed);
  fj_put64(p + 40, flags & 32 ? m->id + 1 : m->id);
  fj_put64(p + 48, 1);
  fj_put64(p + 56, fj_hash(p, 56, 0));
  if (flags & 8) p[56] ^= 1;
  m->end = FJ_SEGMENT_HEADER;
}

/* When the record with that value expires: near the disk's time, or at the end of time, or at
 * its beginning, where none can (0). */
static uint64_t expiry_of(size_t value_size) {
  uint64_t code = value_size & 255;
  if (code < 3) return code == 2 ? UINT64_MAX : code;
  return FUZZ_CLOCK + (code << 16) - (UINT64_C(64) << 16);
}

static void make_record(making *m, uint8_t what, fuzz_input *recipe) {
  uint8_t kind = (what & 7) == TOMBSTONE ? FJ_KIND_TOMBSTONE : FJ_KIND_PUT;
  size_t key_size = 0;
  const uint8_t *key = fuzz_key(fuzz_byte(recipe), &key_size);
  size_t value_size = kind == FJ_KIND_PUT ? fuzz_byte(recipe) : 0;
  if (what & LONGER) value_size *= VALUE_STEP;
  uint64_t timestamp = ++*m->clock;
  uint8_t jump = what & JUMP ? fuzz_byte(recipe) : 0;
  timestamp += (UINT64_C(1) << (jump & 63)) - 1;
  uint8_t flags = what & COLLIDES ? FJ_FLAG_COLLIDES : 0;
  if (jump & 64) flags |= FJ_FLAG_MORE;
  if ((what & 7) == EXPIRING) flags |= FJ_FLAG_EXPIRES;
  uint32_t prefix = fj_record_prefix(flags);
  uint64_t size = fj_record_size(flags, key_size, value_size);
  if (size > FUZZ_MADE_MAX - m->end) return;
  uint8_t *p = m->bytes + m->end;
  memset(p, 0, size);
  fj_put32(p, 1); /* not zero: to be made right */
  fj_put32(p + 4, 1);
  fj_put32(p + 8, (uint32_t)value_size);
  fj_put16(p + 12, (uint16_t)key_size);
  p[14] = kind;
  p[15] = flags;
  fj_put64(p + 16, timestamp);
  if ((flags & FJ_FLAG_EXPIRES) != 0) fj_put64(p + FJ_RECORD_HEADER, expiry_of(value_size));
  if (key_size > 0) memcpy(p + prefix, key, key_size);
  memset(p + prefix + key_size, (int)(*m->clock & 255), value_size);
  fj_record record;
  (void)fj_record_parse(p, size, &record);
  uint64_t id = (what & 7) == STALE ? m->id + 1 : m->id; /* as if of another segment */
  fuzz_seal_record(m->bytes, m->end, &record, &fuzz_identity, id);
  if (what & BAD_HEADER) p[0] ^= 1;
  if (what & BAD_VALUE) p[4] ^= 1;
  m->end += size;
}

/* Zeros or other bytes that are no record, a multiple of 8 of them. */
static void make_filler(making *m, uint8_t what, fuzz_input *recipe) {
  size_t size = (size_t)fuzz_byte(recipe) * 8;
  if (what & LONGER) size *= FILLER_STEP;
  if (size > FUZZ_MADE_MAX - m->end) return;
  memset(m->bytes + m->end, (what & 7) == ZEROS ? 0 : what, size);
  m->end += size;
}

static void make_marks(making *m, uint8_t flags, uint64_t middle) {
  if (flags & 5) {
    fj_put64(m->bytes + 64, flags & 4 ? m->end + 4096 : m->end);
    fuzz_seal_mark(m->bytes, 0, &fuzz_identity, m->id);
  }
  if (flags & 2) {
    fj_put64(m->bytes + 80, middle);
    fuzz_seal_mark(m->bytes, 1, &fuzz_identity, m->id);
  }
}

size_t fuzz_make_data(fuzz_input *recipe, uint64_t id, uint64_t *clock,
                      uint8_t bytes[FUZZ_MADE_MAX]) {
  making m = {.bytes = bytes, .id = id, .clock = clock};
  uint64_t middle = FJ_SEGMENT_HEADER;
  size_t all = recipe->left;
  uint8_t flags = fuzz_byte(recipe);
  make_header(&m, flags);
  while (recipe->left > 0) {
    uint8_t what = fuzz_byte(recipe);
    bool filler = (what & 7) == ZEROS || (what & 7) == GARBAGE;
    if (filler) make_filler(&m, what, recipe);
    else make_record(&m, what, recipe);
    if (recipe->left > all / 2) middle = m.end;
  }
  make_marks(&m, flags, middle);
  if (flags & 128 && m.end < FUZZ_MADE_MAX) bytes[m.end++] = 1;
  return m.end;
}

/* ---- MANIFEST ----------------------------------------------------------- */

/* The size of a data file as a MANIFEST would give it. */
static uint64_t size_of(const sim_disk *disk, uint8_t id, uint8_t steps) {
  char path[SIM_NAME_MAX];
  uint64_t size = FJ_SEGMENT_HEADER;
  (void)snprintf(path, sizeof path, "db/%u.data", id);
  (void)sim_disk_bytes(disk, path, &size);
  return (size & ~(uint64_t)7) + (uint64_t)((int64_t)(int8_t)steps * 8);
}

size_t fuzz_make_manifest(fuzz_input *recipe, const sim_disk *disk,
                          uint8_t bytes[FUZZ_MADE_MAX]) {
  uint8_t bits = fuzz_byte(recipe);
  uint8_t flags = fuzz_byte(recipe);
  uint32_t count = 0;
  uint8_t *p = bytes + 64;
  memset(bytes, 0, 64);
  memcpy(bytes, "freyjaM\1", 8);
  while (recipe->left > 0 && p + 32 < bytes + FUZZ_MADE_MAX) {
    uint8_t id = fuzz_byte(recipe);
    uint8_t steps = fuzz_byte(recipe);
    bool active = recipe->left == 0 && (flags & 8) == 0;
    fj_put64(p, id);
    fj_put64(p + 8, active ? 0 : size_of(disk, id, steps));
    p += 16;
    count++;
  }
  fj_put32(bytes + 8, count);
  fj_put32(bytes + 12, bits == 0 ? 64 : bits);
  memcpy(bytes + 16, fuzz_identity.id, FJ_STORE_ID);
  fj_put64(bytes + 32, fuzz_identity.hash_seed);
  fj_put64(bytes + 40, flags & 4 ? UINT64_MAX : 1);
  fj_put64(bytes + 48, flags & 3 ? UINT64_MAX - (flags & 1 ? 0 : 1) : 256);
  fj_put64(bytes + 56, 1);
  fj_put64(p, fj_hash(bytes, (size_t)(p - bytes), 0));
  return (size_t)(p + 8 - bytes);
}
