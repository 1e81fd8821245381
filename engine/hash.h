/* hash.h - XXH3-64 of the xxHash library (Y. Collet), used for the index and
 * for every checksum on disk; and little-endian integers. Header only, so that
 * the compiler can inline the short inputs. No state: safe from any thread. */
#ifndef FJ_HASH_H
#define FJ_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* data may be NULL iff size is 0. */
static inline uint64_t fj_hash(const void *data, size_t size, uint64_t seed) {
  return XXH3_64bits_withSeed(size == 0 ? (const void *)"" : data, size, seed);
}

/* Where the machine has its bytes in that order anyway: compilers do not always see that
 * bytes one behind the other are an integer. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__

static inline void fj_put16(uint8_t *p, uint16_t v) { memcpy(p, &v, sizeof v); }
static inline void fj_put32(uint8_t *p, uint32_t v) { memcpy(p, &v, sizeof v); }
static inline void fj_put64(uint8_t *p, uint64_t v) { memcpy(p, &v, sizeof v); }

#else

static inline void fj_put16(uint8_t *p, uint16_t v) {
  p[0] = (uint8_t)v;
  p[1] = (uint8_t)(v >> 8);
}

static inline void fj_put32(uint8_t *p, uint32_t v) {
  fj_put16(p, (uint16_t)v);
  fj_put16(p + 2, (uint16_t)(v >> 16));
}

static inline void fj_put64(uint8_t *p, uint64_t v) {
  fj_put32(p, (uint32_t)v);
  fj_put32(p + 4, (uint32_t)(v >> 32));
}

#endif

static inline uint16_t fj_get16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

static inline uint32_t fj_get32(const uint8_t *p) {
  return (uint32_t)fj_get16(p) | (uint32_t)fj_get16(p + 2) << 16;
}

static inline uint64_t fj_get64(const uint8_t *p) {
  return (uint64_t)fj_get32(p) | (uint64_t)fj_get32(p + 4) << 32;
}

#endif
