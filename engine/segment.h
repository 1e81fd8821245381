/* segment.h - one data file (FORMAT.md, section 2): its header, its durable
 * mark, appending, reading. Knows nothing of keys.
 *
 * S1  Bytes [FJ_SEGMENT_HEADER, tail) are records that were published; bytes
 *     behind the tail are zero or belong to a write that failed.
 * S2  tail <= reserved <= the file's size while a segment is written with
 *     mapped appends: a store to the mapping never meets the file's end or a
 *     full disk.
 * S3  Only the newest segment of a store is written; the others are sealed:
 *     synced, cut to their tail, mapped read-only. A file that a MANIFEST names as sealed
 *     is never written, cut or given other rights again, by whatever opens the store, so
 *     that two stores (one and its backup) may have the same file by hard links, but for the
 *     marks of S5, of which that does not matter. What is still in the page cache of it then
 *     is a mark, which no longer counts.
 * S4  mark <= what is known to be on the disk; a failed sync never moves it.
 * S5  A file that was made as a whole (FJ_SEGMENT_MERGED) has no mark until a MANIFEST that
 *     names it is durable; then it is claimed by two. So one without a mark may be of what
 *     did not come to its end, and one with a mark that no MANIFEST names shows that this is
 *     an older one.
 * S6  A sealed file that is still as it was noted, by its number and the time of its last
 *     change, is recognized without being opened: its header says what was noted, and it is
 *     opened, and mapped, when something is first read of it. */
#ifndef FJ_SEGMENT_H
#define FJ_SEGMENT_H

#include "atomic.h"
#include "error.h"
#include "record.h"

#define FJ_SEGMENT_HEADER 128u /* bytes; on disk: never change */
#define FJ_MARK_OFFSET 64u     /* of the two marks in the header; on disk: never change */
#define FJ_MARK_SIZE 16u       /* bytes; on disk: never change */
#define FJ_STORE_ID 16u        /* bytes of a store's id; on disk: never change */

/* What a data file is; on disk: never renumber. */
typedef enum fj_segment_kind {
  FJ_SEGMENT_LOG = 0,    /* records in the order in which they were first written */
  FJ_SEGMENT_MERGED = 1, /* made as a whole, by a merge or a bulk load */
} fj_segment_kind;

/* By what a file is known again: where both are the same, it is the same file, and nobody has
 * changed it since. Zeros: it is not known. */
typedef struct fj_sign {
  uint64_t number, changed; /* as fj_os_stat has them */
} fj_sign;

/* What was noted of a sealed file. */
typedef struct fj_known {
  uint64_t size, created;
  fj_segment_kind kind;
  fj_sign sign;
} fj_known;

/* What every file of a store shares. */
typedef struct fj_identity {
  uint8_t id[FJ_STORE_ID];
  uint64_t hash_seed;
} fj_identity;

typedef struct fj_pool fj_pool;

typedef struct fj_segment {
  const fj_os *os;     /* outlives the pool: the last reference may be a view's */
  fj_pool *pool;       /* what the segments of a store share; NULL once it is closed */
  uint64_t id;         /* of the file */
  uint64_t seed;       /* of the sums in it */
  uint64_t created;    /* microseconds since the epoch, as its header says; of the output of a
                          merge: a timestamp later than all records' when that began */
  uint32_t slot;       /* in the store's segment table: part of positions */
  uint32_t rank;       /* 0 is the oldest */
  uint32_t references; /* the table's, and those of views, iterators and rewrites; atomic.h */
  uint32_t pins; /* iterators, rewrites, hints being written: they may have to open the file
                    again */
  int file;      /* -1 when not open */
  fj_sign sign;  /* of a sealed one, as it was when this store opened or changed it last */
  uint8_t *map;  /* NULL when there is no mapping (syscall mode, no room for it, or S6); who
                    reads without a lock may meet either: atomic.h */
  uint64_t map_size;
  uint64_t tail;         /* S1 */
  uint64_t reserved;     /* S2; end of the blocks that the file is known to have */
  uint64_t limit;        /* bytes it may grow to; equals tail once sealed */
  uint64_t mark;         /* S4 */
  uint64_t marked;       /* a mark that is known to be on the disk; <= mark */
  uint64_t filled;       /* end of the zeros written ahead; may be less than the tail */
  uint64_t written_back; /* end of what the disk was asked to take */
  uint64_t staged;       /* end of what writes, failed ones too, have put behind the tail */
  fj_segment_kind kind;
  bool sealed;
  bool linked;    /* a backup got it by a hard link */
  bool unsettled; /* it is synced before the first append: see recovery.c */
  bool retired;   /* a merge has replaced it: no MANIFEST names it any more */
  uint64_t left;  /* epoch (guard.h) since which no slot leads to it; 0: not yet, or ever */
  bool hidden;    /* who reads without a lock is not to see what is in it yet */
  bool mapped_writes; /* appends go through the mapping */
  bool followed;      /* not sealed, and another may write it: F4 in follow.h */
  bool can_reserve;   /* false once the file system has said that it cannot */
  bool surplus;       /* zeros are behind what is reserved: closing cuts them off */
  bool damaged;       /* some of its bytes fail verification */
  bool missing;       /* the file is not there or not ours: nothing to read */
  bool unopened;      /* S6: it was recognized, and nothing was read of it since */
  bool unmarked;      /* its header is damaged, so that its mark is not believed */
  bool unclaimed;     /* S5: its marks are to be written yet */
  bool hinted;        /* it has a hint file that fits it, */
  bool hint_unknown;  /* or that is to be found out: fj_hint_is_there */
  bool hinting;       /* its hint file is being written */
  uint8_t mark_slot;  /* where the next mark goes: 0 or 1 */

  /* Statistics; live_* are the store's to change. */
  uint64_t keys, tombstones, live_keys, live_bytes;
  uint64_t oldest, newest;
  uint64_t expires; /* the soonest expiry of its puts, whether they are live or not; 0: none */

  struct fj_segment *newer, *older; /* in the pool's list of open files */
} fj_segment;

/* What all segments of a store have in common, and the bound on open files:
 * in syscall mode sealed segments are opened when read and closed again, the
 * longest unused first. */
struct fj_pool {
  const fj_dir *dir;
  fj_identity identity;
  freyja_io io;
  bool readonly;
  bool live;        /* read-only, and a writer may be at work */
  bool unsure;      /* a sync of the directory has failed: entries that can be seen may not be
                       on the disk, and never come there */
  uint64_t log_end; /* read-only: no more of the active segment is read; 0: all */
  uint32_t open_files;
  uint32_t maps;               /* of segments: bounded */
  fj_segment *newest, *oldest; /* open sealed files, by last use */
};

/* When the merge began whose output the segment is: later than all records then. 0 if it is
 * none, or if its header, which says so, is not believed. */
static inline uint64_t fj_segment_began(const fj_segment *segment) {
  bool merged = segment->kind == FJ_SEGMENT_MERGED && !segment->damaged && !segment->missing;
  return merged ? segment->created : 0;
}

/* Closes the files that are only kept open for reading: descriptors may be few, and what comes
 * now needs some. */
void fj_pool_close_files(fj_pool *pool);

/* Writes the name of segment `id` into name. */
void fj_segment_name(char name[FJ_NAME_MAX], uint64_t id);

/* Whether these bytes, fewer than a header has, may be how the header of a data file begins
 * that a crash has cut off: our magic number, or zeros in its place. */
bool fj_segment_is_begun(const uint8_t *bytes, size_t size);

/* The decimal number that the name begins with, and what follows that; "" if there is none, or
 * one that no name of ours has. */
const char *fj_segment_parse_id(const char *name, uint64_t *id);

/* What `code` of opening a data file says: that there is none (no fault). */
bool fj_segment_is_no_file(int code);

/* The number in a name that fj_segment_name makes; false for other names. */
bool fj_segment_parse_name(const char *name, uint64_t *id);

/* Makes a segment's file of that kind, its header synced, ready for appends. It is
 * `created_at` (0: now). Its id is *next_id, or the first one behind that whose name no other
 * file has; *next_id is set behind it. *out has one reference. Faults: FULL, IO, MEMORY,
 * LIMIT; then no file is left. Where the directory could not be synced, the pool is unsure. */
freyja_status fj_segment_create(fj_pool *pool, fj_segment_kind kind, uint64_t created_at,
                                uint64_t *next_id, uint64_t limit, fj_segment **out,
                                freyja_error *error);

/* Opens an existing one, checking its header. `sealed_size` is the size that
 * the MANIFEST gives, 0 for the active one, which gets `limit` or its own size
 * as its limit, whichever is larger; its tail is at the header's end until
 * fj_segment_set_tail. A file that is missing, shorter than its size, no
 * regular file or of another store is no fault: the segment is `damaged`, and
 * *why says what is wrong with it (empty otherwise). Faults: IO, MEMORY, FORMAT. */
freyja_status fj_segment_open(fj_pool *pool, uint64_t id, uint64_t sealed_size, uint64_t limit,
                              fj_segment **out, freyja_error *why, freyja_error *error);

/* Gives in *out the sealed segment `id` without opening its file, which is what was `seen`, if
 * that is as it was noted (S6); NULL if it is not, or if a file may go that has not been
 * opened: in a read-only store. Should it be replaced before it is opened, reading it is
 * CORRUPT. Faults: MEMORY. */
freyja_status fj_segment_recognize(fj_pool *pool, uint64_t id, const fj_known *known,
                                   const fj_os_stat *seen, fj_segment **out,
                                   freyja_error *error);

/* Notes what file the segment's is, and how this store leaves it. */
void fj_segment_sign(fj_segment *segment, int file);

/* What is to be noted of the segment. Its sign is zeros if it is not sealed, or not claimed,
 * or if its file is not as this store has left it. */
fj_known fj_segment_note(const fj_segment *segment);

/* For a file of which nothing is believed: a sealed segment of `size` bytes, for reading by
 * system calls. Its name is that of segment `id`, its records are those of segment
 * `written_as`. Looks at nothing. Faults: MEMORY. */
freyja_status fj_segment_assume(fj_pool *pool, uint64_t id, uint64_t written_as, uint64_t size,
                                fj_segment **out, freyja_error *error);

/* For a file read without its store: takes identity, id and seed from the
 * header into the segment and its pool. Faults: CORRUPT, FORMAT. */
freyja_status fj_segment_adopt(fj_segment *segment, const uint8_t *header, size_t size,
                               freyja_error *error);

/* Finds out how far the file of a followed segment reaches by now, `reserved`, and its mark;
 * neither is behind where its pool says that it ends. Faults: IO. */
freyja_status fj_segment_measure(fj_segment *segment, freyja_error *error);

/* Takes the segment from its pool and closes its file; what still refers to it
 * can go on using its mapping. */
void fj_segment_detach(fj_segment *segment);

/* One more reference, for who has one, or is in a guard within which it was found. */
static inline void fj_segment_retain(fj_segment *segment) {
  (void)__atomic_fetch_add(&segment->references, 1, __ATOMIC_RELAXED);
}

/* Gives up a reference; the last one unmaps and closes. NULL is allowed. */
void fj_segment_release(fj_segment *segment);

/* Opens and maps the file of a segment that was recognized; where that fails, reading it will
 * say so. */
void fj_segment_meet(fj_segment *segment);

/* The bytes [offset, offset + size) as a pointer into the mapping, or NULL where there is
 * none. The range must lie within the tail or what is being recovered. Only for who is in the
 * store alone. */
static inline const uint8_t *fj_segment_at(fj_segment *segment, uint64_t offset) {
  if (segment->unopened) fj_segment_meet(segment);
  return segment->map == NULL ? NULL : segment->map + offset;
}

/* Reads up to `size` bytes; *count is short only at the file's end. */
freyja_status fj_segment_read(fj_segment *segment, void *buffer, size_t size, uint64_t offset,
                              size_t *count, freyja_error *error);

/* The seed of the sums in segment `id`. */
uint64_t fj_segment_seed(const fj_identity *identity, uint64_t id);

/* Encodes the mark `offset` for `slot` (0 or 1) of a segment with that seed. */
void fj_segment_encode_mark(uint8_t out[FJ_MARK_SIZE], uint64_t offset, uint64_t seed,
                            unsigned slot);

/* The mark in `slot` of a header; false if its check does not hold. */
bool fj_segment_decode_mark(const uint8_t *header, uint64_t seed, unsigned slot,
                            uint64_t *offset);

/* Whether these are the bytes of a data file's header, of any store: *identity and *id get
 * what it says. CORRUPT (without a message) if not, FORMAT for one of another version. */
freyja_status fj_segment_decode(const uint8_t *header, size_t size, fj_identity *identity,
                                uint64_t *id);

/* The kind that a header says, of which fj_segment_decode said OK. */
fj_segment_kind fj_segment_kind_of(const uint8_t *header);

/* Whether such a header is of a file that was made as a whole and not claimed (S5). */
bool fj_segment_is_unclaimed(const uint8_t *header);

/* Claims the sealed segment's file in the pool's directory, or a copy of it in another's,
 * where a durable MANIFEST names it: its marks are durable then. One that has them and that
 * may not be written to is only synced. After a fault they may be there or not; it can be
 * tried again. Faults: IO, FULL; *poison tells that a sync failed. */
freyja_status fj_segment_claim(fj_segment *segment, fj_pool *pool, bool *poison,
                               freyja_error *error);

/* ---- appending: only to the active segment (append.c) ------------------ */

/* Whether a record of `size` bytes fits below the limit. */
static inline bool fj_segment_fits(const fj_segment *segment, uint64_t size) {
  return size <= segment->limit - segment->tail;
}

/* Makes room for the record behind the tail, where it must fit below the limit, and puts
 * what of it needs no header there already. Nothing can be seen of it. Faults: FULL, IO. */
freyja_status fj_segment_stage(fj_segment *segment, const fj_draft *draft, uint64_t size,
                               freyja_error *error);

/* Writes the staged record behind the tail, which stays where it is.
 * On a fault nothing can be seen of it, now or after a crash; *poison tells
 * that this could not be made sure. */
freyja_status fj_segment_append(fj_segment *segment, const fj_draft *draft, bool *poison,
                                freyja_error *error);

/* Makes room for records of `size` bytes behind the tail, where they must fit below the limit.
 * Faults: FULL, IO. */
freyja_status fj_segment_prepare(fj_segment *segment, uint64_t size, freyja_error *error);

/* Writes a record for `offset`, in the room that was made behind the tail. A reader cannot see
 * it, but it may be there after a crash. Faults, never where appends are mapped: FULL, IO. */
freyja_status fj_segment_put_ahead(fj_segment *segment, const fj_draft *draft, uint64_t offset,
                                   freyja_error *error);

/* After a fault of that: nothing is behind the tail any more, durably. False if that failed
 * too: then nothing must be written any more. */
bool fj_segment_withdraw(fj_segment *segment);

/* Moves the tail behind the record just appended and counts it. */
void fj_segment_publish(fj_segment *segment, const fj_draft *draft, uint64_t size);

/* After that: asks the disk to begin writing, if enough has gathered. */
void fj_segment_relieve(fj_segment *segment);

/* Writes whole records, made for just behind the tail and counted, at once and moves the tail
 * behind them. They must fit below the limit. After a fault, some of them may be there: only
 * for a file that is then given up. Faults: FULL, IO. */
freyja_status fj_segment_append_block(fj_segment *segment, const uint8_t *records, size_t size,
                                      freyja_error *error);

/* Counts a record in the statistics; expiry 0: it does not expire. */
void fj_segment_count(fj_segment *segment, uint8_t kind, uint64_t timestamp, uint64_t expiry);

/* Makes [0, end) durable, then moves the mark there. After a fault nothing is
 * known of what was written since the last sync. */
freyja_status fj_segment_sync(fj_segment *segment, uint64_t end, freyja_error *error);

/* Writes bytes that are there already once more at `offset`: pages that a failed sync left
 * clean become dirty. Faults: IO, FULL. */
freyja_status fj_segment_rewrite(fj_segment *segment, const freyja_slice *part,
                                 uint64_t offset, freyja_error *error);

/* Likewise the mark that was found when the segment was opened: only a sync that follows makes
 * it durable for certain. */
freyja_status fj_segment_rewrite_mark(fj_segment *segment, freyja_error *error);

/* Sets the tail of the active segment that is being recovered. `cut`: what lies
 * behind is not all zeros and is removed; the next sync makes that durable. Then appends
 * go on. */
freyja_status fj_segment_set_tail(fj_segment *segment, uint64_t tail, bool cut,
                                  freyja_error *error);

/* Gives back what is reserved behind the tail and makes everything durable;
 * appends can go on. Faults: IO; *poison tells that a sync failed. */
freyja_status fj_segment_trim(fj_segment *segment, bool *poison, freyja_error *error);

/* No more appends, after fj_segment_trim: read-only from here on. */
void fj_segment_seal(fj_segment *segment);

/* After a sync up to the tail: the mark says so, and is durable too. Faults: IO, FULL; *poison
 * tells that a sync failed. */
freyja_status fj_segment_confirm(fj_segment *segment, bool *poison, freyja_error *error);

/* Before closing: as trim, and the mark is durable too, if it could be written. */
freyja_status fj_segment_finish(fj_segment *segment, freyja_error *error);

#endif
