/* record.h - the bytes of one record (FORMAT.md, section 3): the only code that
 * knows its offsets. No I/O, no allocation, no state: safe from any thread.
 *
 * R1  A value's length is believed only after the header's check has passed.
 * R2  Both sums are seeded by the position, so that a record that is stale,
 *     moved or of another store does not verify.
 * R3  The header's check covers the key too (through its hash): a record whose
 *     value is damaged still names its key. */
#ifndef FJ_RECORD_H
#define FJ_RECORD_H

#include "hash.h"

#include "freyja.h"

/* On disk: never renumber. */
#define FJ_RECORD_HEADER 24u /* bytes */
#define FJ_RECORD_EXPIRY 8u  /* bytes; behind the header of a record that expires */
#define FJ_RECORD_PREFIX_MAX (FJ_RECORD_HEADER + FJ_RECORD_EXPIRY)
#define FJ_RECORD_ALIGN 8u /* bytes; a record begins and ends at a multiple */
#define FJ_KIND_PUT 1u
#define FJ_KIND_TOMBSTONE 2u
#define FJ_FLAG_COLLIDES 1u /* flags; the other bits are 0 */
#define FJ_FLAG_EXPIRES 2u  /* of a put: its expiry stands between header and key */
#define FJ_FLAG_MORE 4u     /* the next record is of the same transaction */

_Static_assert((int)FJ_KIND_PUT == (int)FREYJA_PUT, "kinds of the API are those on disk");
_Static_assert((int)FJ_KIND_TOMBSTONE == (int)FREYJA_TOMBSTONE, "as above");

/* A record as it lies at fj_record_start. */
typedef struct fj_record {
  uint32_t check;      /* as stored */
  uint32_t value_sum;  /* as stored */
  uint32_t value_size; /* bytes */
  uint16_t key_size;   /* bytes */
  uint8_t kind;        /* FJ_KIND_PUT or FJ_KIND_TOMBSTONE */
  uint8_t flags;
  uint64_t timestamp; /* microseconds since the epoch */
  const uint8_t *key;
  const uint8_t *value;
  uint64_t size; /* bytes in the file, padding included */
} fj_record;

/* The sums are short inputs with a constant length, or nearly: inlining all of the hash
 * makes them cheaper by half. */
#if defined(__GNUC__)
#define FJ_FLATTEN __attribute__((flatten))
#else
#define FJ_FLATTEN
#endif

/* Bytes before the key of a record with these flags. */
static inline uint32_t fj_record_prefix(uint8_t flags) {
  _Static_assert(FJ_RECORD_EXPIRY == FJ_FLAG_EXPIRES << 2, "so that no branch is needed");
  return FJ_RECORD_HEADER + ((uint32_t)(flags & FJ_FLAG_EXPIRES) << 2);
}

/* Bytes that a record of these flags and sizes takes in a file. */
static inline uint64_t fj_record_size(uint8_t flags, uint64_t key_size, uint64_t value_size) {
  return (fj_record_prefix(flags) + key_size + value_size + FJ_RECORD_ALIGN - 1) &
         ~(uint64_t)(FJ_RECORD_ALIGN - 1);
}

static inline const uint8_t *fj_record_start(const fj_record *record) {
  return record->key - fj_record_prefix(record->flags);
}

/* When the value expires, in microseconds since the epoch; 0: never. The bytes before the key
 * must be readable, and are to be believed after the header's check only. */
static inline uint64_t fj_record_expiry(const fj_record *record) {
  return (record->flags & FJ_FLAG_EXPIRES) == 0 ? 0 : fj_get64(record->key - FJ_RECORD_EXPIRY);
}

/* Whether the record has expired at that time: then its key is absent. */
static inline bool fj_record_is_due(const fj_record *record, uint64_t now) {
  return (record->flags & FJ_FLAG_EXPIRES) != 0 && fj_record_expiry(record) <= now;
}

/* The seed of a record's sums: its segment's seed and where it begins. */
static inline uint64_t fj_record_seed(uint64_t segment_seed, uint64_t offset) {
  return segment_seed + offset;
}

/* Of a header with its flags, and the expiry behind it if there is one. */
static inline uint32_t fj_record_header_sum(const uint8_t *header, uint64_t seed,
                                            uint64_t key_hash) {
  if ((header[15] & FJ_FLAG_EXPIRES) != 0)
    return (uint32_t)fj_hash(header + 4, FJ_RECORD_PREFIX_MAX - 4, seed + key_hash);
  return (uint32_t)fj_hash(header + 4, FJ_RECORD_HEADER - 4, seed + key_hash);
}

/* The timestamp binds the value to its header (a record that was cut away and
 * written again at the same offset has another). */
static inline uint32_t fj_record_value_sum(const void *value, size_t size, uint64_t seed,
                                           uint64_t timestamp) {
  return (uint32_t)fj_hash(value, size, seed + timestamp);
}

/* Reads the header at p, where FJ_RECORD_HEADER bytes can be read. False if this cannot be
 * a record that ends within `available` bytes: the kind, a flag or a length is impossible.
 * Checks no sum. */
static inline bool fj_record_parse(const uint8_t *p, uint64_t available, fj_record *out) {
  out->check = fj_get32(p);
  out->value_sum = fj_get32(p + 4);
  out->value_size = fj_get32(p + 8);
  out->key_size = fj_get16(p + 12);
  out->kind = p[14];
  out->flags = p[15];
  out->timestamp = fj_get64(p + 16);
  out->key = p + fj_record_prefix(out->flags);
  out->value = out->key + out->key_size;
  out->size = fj_record_size(out->flags, out->key_size, out->value_size);
  uint8_t flags = FJ_FLAG_COLLIDES | FJ_FLAG_EXPIRES | FJ_FLAG_MORE;
  if (out->kind != FJ_KIND_PUT) {
    if (out->kind != FJ_KIND_TOMBSTONE || out->value_size != 0) return false;
    flags = FJ_FLAG_COLLIDES | FJ_FLAG_MORE;
  }
  return (out->flags & ~flags) == 0 && out->size <= available;
}

/* Whether header and key are as they were written; key_hash is that of the
 * record's key, with the store's hash seed. */
static inline bool fj_record_check_header(const fj_record *record, uint64_t seed,
                                          uint64_t key_hash) {
  if ((record->flags & FJ_FLAG_EXPIRES) != 0 && fj_record_expiry(record) == 0) return false;
  return record->check == fj_record_header_sum(fj_record_start(record), seed, key_hash);
}

/* Whether the value is as it was written. Only after the header's check (R1). */
static inline bool fj_record_check_value(const fj_record *record, uint64_t seed) {
  return record->value_sum ==
         fj_record_value_sum(record->value, record->value_size, seed, record->timestamp);
}

/* Whether the bytes behind a value that passes its check are zeros, as they were written. No
 * sum covers them: those of a record that was torn may be anything. */
static inline bool fj_record_is_padded(const fj_record *record) {
  const uint8_t *end = fj_record_start(record) + record->size;
  const uint8_t *p = record->value + record->value_size;
  while (p < end && *p == 0) p++;
  return p == end;
}

/* What is to be written. */
typedef struct fj_draft {
  freyja_slice key;   /* at most FREYJA_KEY_SIZE_MAX bytes */
  freyja_slice value; /* empty for a tombstone */
  uint64_t key_hash;  /* with the store's hash seed */
  uint64_t timestamp;
  uint64_t expiry; /* not 0 if the flags say that it expires, 0 otherwise */
  uint8_t kind;
  uint8_t flags;
  uint8_t header[FJ_RECORD_PREFIX_MAX]; /* and expiry: fj_record_seal */
} fj_draft;

/* Bytes that it will take in a file. */
static inline uint64_t fj_draft_size(const fj_draft *draft) {
  return fj_record_size(draft->flags, draft->key.size, draft->value.size);
}

/* Makes the header for a record with that seed, once timestamp and expiry are set. */
void fj_record_seal(fj_draft *draft, uint64_t seed);

/* Adds a flag to a sealed draft. */
void fj_record_add_flag(fj_draft *draft, uint8_t flag, uint64_t seed);

/* Writes what follows the FJ_RECORD_HEADER bytes of the header of the record that begins at
 * out, once that is made: expiry, key, value and padding. */
void fj_record_encode_body(uint8_t *out, const fj_draft *draft);

#endif
