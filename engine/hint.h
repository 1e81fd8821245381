/* hint.h - the hint file of a sealed segment (FORMAT.md, section 5): of each of its keys the
 * latest record, sorted by the key's hash. Encoding, decoding, and reading one that is there.
 * What cannot be believed is not used: a hint says nothing that the data file does not.
 *
 * H1  Of a hint that was opened, header and entries have passed their checks, and it is of
 *     this data file as it is now.
 * H2  An entry is used only after its own bounds were looked at, whatever the checks said:
 *     it names bytes of the data file, behind the header and before the end. */
#ifndef FJ_HINT_H
#define FJ_HINT_H

#include "segment.h"

/* On disk: never change. */
#define FJ_HINT_HEADER 128u  /* bytes */
#define FJ_HINT_ENTRY 16u    /* bytes */
#define FJ_HINT_BLOCK 65536u /* bytes of entries that go into their check at a time */

/* An entry's word.
 *   bits 0..27   offset of the record in the data file, in 8-byte units
 *   bits 28..55  size of the record, in 8-byte units
 *   bit 56       the record is a tombstone
 *   bits 57, 58  its flags: `collides`, `expires`
 *   the others   zero */
#define FJ_HINT_TOMBSTONE (UINT64_C(1) << 56)
#define FJ_HINT_COLLIDES (UINT64_C(1) << 57)
#define FJ_HINT_EXPIRES (UINT64_C(1) << 58)
#define FJ_HINT_FLAGS 57u /* the bit that flags begin at */

_Static_assert(FJ_HINT_COLLIDES >> FJ_HINT_FLAGS == FJ_FLAG_COLLIDES, "flags are a record's");
_Static_assert(FJ_HINT_EXPIRES >> FJ_HINT_FLAGS == FJ_FLAG_EXPIRES, "as above");

typedef struct fj_hint_entry {
  uint64_t hash; /* of the key, all 64 bits */
  uint64_t word;
} fj_hint_entry;

/* What a hint's header says beside what it is of. */
typedef struct fj_hint_counts {
  uint64_t entries;
  uint64_t keys, tombstones; /* records of each kind in the data file */
  uint64_t oldest, newest;   /* timestamps */
  uint64_t expires;          /* the soonest expiry of its puts; 0: none expires */
  uint32_t last;             /* the check, as it is stored, of the last record; 0: none */
} fj_hint_counts;

static inline uint64_t fj_hint_offset(uint64_t word) {
  return (word & ((UINT64_C(1) << 28) - 1)) * FJ_RECORD_ALIGN;
}

static inline uint64_t fj_hint_size(uint64_t word) {
  return (word >> 28 & ((UINT64_C(1) << 28) - 1)) * FJ_RECORD_ALIGN;
}

/* The word of a record at `offset`; kind, flags and size are read. */
static inline uint64_t fj_hint_word(uint64_t offset, const fj_record *record) {
  return offset / FJ_RECORD_ALIGN | record->size / FJ_RECORD_ALIGN << 28 |
         (record->kind == FJ_KIND_TOMBSTONE ? FJ_HINT_TOMBSTONE : 0) |
         (uint64_t)(record->flags & (FJ_FLAG_COLLIDES | FJ_FLAG_EXPIRES)) << FJ_HINT_FLAGS;
}

/* The record's flags. */
static inline uint8_t fj_hint_flags(uint64_t word) {
  return (uint8_t)(word >> FJ_HINT_FLAGS & (FJ_FLAG_COLLIDES | FJ_FLAG_EXPIRES));
}

/* H2: whether the word can be that of a record of a data file of `covered` bytes. */
static inline bool fj_hint_is_possible(uint64_t word, uint64_t covered) {
  uint64_t offset = fj_hint_offset(word), size = fj_hint_size(word);
  uint64_t both = FJ_HINT_TOMBSTONE | FJ_HINT_EXPIRES;
  return word >> 59 == 0 && (word & both) != both && offset >= FJ_SEGMENT_HEADER &&
         size >= fj_record_prefix(fj_hint_flags(word)) && offset + size <= covered;
}

static inline fj_hint_entry fj_hint_decode_entry(const uint8_t *p) {
  fj_hint_entry entry = {fj_get64(p), fj_get64(p + 8)};
  return entry;
}

static inline void fj_hint_encode_entry(uint8_t *p, const fj_hint_entry *entry) {
  fj_put64(p, entry->hash);
  fj_put64(p + 8, entry->word);
}

/* What the entries' check becomes by the next block of them: FJ_HINT_BLOCK bytes, or what is
 * left. It begins as 0. */
static inline uint64_t fj_hint_check_block(uint64_t check, const uint8_t *block, size_t size) {
  return fj_hash(block, size, check);
}

/* The header of a hint of that segment, which is sealed and undamaged. */
void fj_hint_encode_header(uint8_t out[FJ_HINT_HEADER], const fj_segment *segment,
                           const fj_hint_counts *counts, uint64_t check);

/* Writes the name of segment `id`'s hint into name, or that under which it is written. */
void fj_hint_name(char name[FJ_NAME_MAX], uint64_t id);
void fj_hint_name_temporary(char name[FJ_NAME_MAX], uint64_t id);

/* Whether it is a name that fj_hint_name_temporary makes. */
bool fj_hint_is_temporary(const char *name);

/* Whether the segment, of an open store, has a hint file, as far as its name tells where
 * nobody has looked into it. */
bool fj_hint_is_there(fj_segment *segment);

/* ---- reading one ---------------------------------------------------------- */

typedef struct fj_hint {
  const fj_os *os;
  const fj_dir *dir;
  uint64_t id;             /* of the segment */
  uint64_t covered;        /* bytes of the data file */
  fj_hint_counts counts;   /* of what is there */
  int file;                /* -1 where it is mapped */
  uint8_t *map;            /* NULL where it is read by system calls */
  uint64_t map_size;       /* bytes */
  uint8_t *block;          /* not mapped: room for FJ_HINT_BLOCK bytes, */
  uint64_t first, fetched; /* with the entries from `first` on: a block, or nothing */
} fj_hint;

/* Opens the hint of a sealed segment that is not damaged, and reads all of it to see that it
 * can be used. It is mapped if the segment's pool maps files. OK: to be closed, before the
 * segment's pool. NOTFOUND: there is none. Anything else: it cannot be used, and *why says so:
 * CORRUPT, FORMAT, IO, MEMORY. */
freyja_status fj_hint_open(fj_hint *hint, fj_segment *segment, freyja_error *why);

void fj_hint_close(fj_hint *hint);

/* The entries from number `first` (less than their count) to the end of its block, as they lie
 * in the file: *count of them at *out, which is valid until the next call.
 * Faults: IO, CORRUPT (the file has become shorter). */
freyja_status fj_hint_fetch(fj_hint *hint, uint64_t first, const uint8_t **out,
                            uint64_t *count, freyja_error *error);

/* Whether the segment may hold a record of a key with that hash: true where that cannot be
 * told, so that false is certain. */
bool fj_hint_may_hold(fj_hint *hint, uint64_t key_hash);

#endif
