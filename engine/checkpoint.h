/* checkpoint.h - the file KEYDIR (FORMAT.md, section 6): the key directory as it was at a
 * place of the log, so that only what follows there has to be read. Encoding, decoding, and
 * reading one that is there, a shard at a time.
 *
 * It says nothing that the data files do not: one that does not fit is not used.
 *
 * C1  A KEYDIR fits a MANIFEST whose first segments are those that it covers, in their order
 *     and with their sizes, but for the last, which may have grown since: merges of later
 *     segments and rotations leave it as it is, and a merge of an earlier one ends it.
 * C2  Before it takes its place the log that it covers is durable, and so is the mark that
 *     says so: no crash makes the log shorter than it knows.
 * C3  Header and tables are checked when it is opened, each shard when it is read. */
#ifndef FJ_CHECKPOINT_H
#define FJ_CHECKPOINT_H

#include "findings.h"
#include "keydir.h"
#include "segment.h"

/* On disk: never change. */
#define FJ_CHECKPOINT_HEADER 128u  /* bytes */
#define FJ_CHECKPOINT_SEGMENT 104u /* bytes of a segment's entry */
#define FJ_CHECKPOINT_SHARD 16u    /* bytes of a shard's */
#define FJ_CHECKPOINT_BLOCK 65536u /* bytes of slots that go into a check at a time */
#define FJ_CHECKPOINT_LAST 4096u   /* bytes of the log, at most, by whose check it is known */
/* Numbers that segments may have in positions, beside one for each slot: an index has memory
 * for all numbers up to the highest. */
#define FJ_CHECKPOINT_NUMBERS 4096u

extern const char fj_checkpoint_name[], fj_checkpoint_temporary[];

/* What it says beside the slots. */
typedef struct fj_checkpoint_head {
  uint32_t hash_bits;
  uint64_t generation; /* of the MANIFEST at that time */
  uint32_t segments;
  uint32_t capacity; /* of each shard */
  uint64_t keys;
  uint64_t newest;  /* timestamp */
  uint64_t soonest; /* no key's record expires before; 0: none expires */
  uint64_t swept;   /* when keys were forgotten last because they had expired; 0: never */
  uint64_t last;    /* fj_checkpoint_last_of the last segment */
} fj_checkpoint_head;

/* What it says of a segment. */
typedef struct fj_checkpoint_segment {
  uint64_t id;
  fj_known file; /* its size is that of what is covered */
  uint32_t slot; /* its number in positions */
  uint64_t keys, tombstones, live_keys, live_bytes, oldest, newest, expires;
} fj_checkpoint_segment;

typedef struct fj_checkpoint_shard {
  uint32_t count; /* of its keys */
  uint64_t check; /* of its slots */
} fj_checkpoint_shard;

/* Bytes of the tables behind the header, and where the slots begin. */
uint64_t fj_checkpoint_tables(uint32_t segments);
uint64_t fj_checkpoint_start(uint32_t segments);

/* Encodes header and tables, fj_checkpoint_start bytes of them. */
void fj_checkpoint_encode(uint8_t *out, const fj_identity *identity,
                          const fj_checkpoint_head *head,
                          const fj_checkpoint_segment *segments,
                          const fj_checkpoint_shard shards[FJ_SHARDS]);

/* What a shard's check begins as, and what it becomes by a block of its slots as they lie in
 * the file: FJ_CHECKPOINT_BLOCK bytes, or what is left. */
uint64_t fj_checkpoint_seed(const fj_identity *identity, uint32_t shard);
static inline uint64_t fj_checkpoint_check(uint64_t check, const uint8_t *block, size_t size) {
  return fj_hash(block, size, check);
}

/* The check of the last bytes of the segment's log before `end`: FJ_CHECKPOINT_LAST of them,
 * or all behind the header. Faults: IO, CORRUPT (the file is shorter), MEMORY. */
freyja_status fj_checkpoint_last_of(fj_segment *segment, uint64_t end, uint64_t *out,
                                    freyja_error *error);

/* ---- reading one ---------------------------------------------------------- */

typedef struct fj_checkpoint {
  const fj_dir *dir;
  fj_identity identity;
  int file;
  fj_checkpoint_head head;
  uint8_t *tables; /* owned */
  uint64_t start;  /* of the slots */
  uint64_t size;   /* of the file */
} fj_checkpoint;

/* Opens the store's KEYDIR and checks header and tables, but not against the MANIFEST. OK: to
 * be closed. NOTFOUND: there is none. Anything else: it cannot be used, and *why says so:
 * CORRUPT, FORMAT, IO, MEMORY. */
freyja_status fj_checkpoint_open(fj_checkpoint *checkpoint, const fj_dir *dir,
                                 const fj_identity *identity, uint32_t hash_bits,
                                 freyja_error *why);

void fj_checkpoint_close(fj_checkpoint *checkpoint);

/* The segment number i, which is less than head.segments; and a shard. */
fj_checkpoint_segment fj_checkpoint_get(const fj_checkpoint *checkpoint, uint32_t i);
fj_checkpoint_shard fj_checkpoint_get_shard(const fj_checkpoint *checkpoint, uint32_t shard);

/* Reads the slots of a shard and checks them. Faults: CORRUPT, IO. */
freyja_status fj_checkpoint_read(const fj_checkpoint *checkpoint, uint32_t shard,
                                 fj_slot *slots, freyja_error *error);

/* Tells of a KEYDIR of which header, tables or shards fail their checks. One that does not fit
 * the MANIFEST, or none, is no problem. Memory for a shard. Faults: MEMORY. */
freyja_status fj_checkpoint_verify(const fj_dir *dir, const fj_identity *identity,
                                   uint32_t hash_bits, const fj_findings *findings,
                                   freyja_error *error);

/* CORRUPT about KEYDIR: it is not used, for that reason. */
freyja_status fj_checkpoint_refuse(const fj_dir *dir, freyja_error *why, const char *what,
                                   uint64_t offset);

#endif
