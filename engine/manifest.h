/* manifest.h - the MANIFEST (FORMAT.md, section 4): which segments a store has,
 * oldest first. Read whole, replaced whole. */
#ifndef FJ_MANIFEST_H
#define FJ_MANIFEST_H

#include "segment.h"

#define FJ_SEGMENTS_MAX (1u << 20) /* what a position of 48 bits can tell apart */

typedef struct fj_manifest_entry {
  uint64_t id;
  uint64_t size; /* bytes if sealed, 0 for the active one, which is the last */
} fj_manifest_entry;

typedef struct fj_manifest {
  fj_identity identity;
  uint32_t hash_bits;  /* 1 to 64 */
  uint64_t generation; /* 0: not on disk yet */
  uint64_t next_id;    /* larger than every file id ever used */
  uint64_t created;    /* microseconds since the epoch */
  uint32_t count;
  fj_manifest_entry *entries; /* owned: fj_manifest_clear */
  uint32_t retired_count;
  uint64_t *retired; /* files that a merge has replaced and that may still be there; owned */
  fj_os_stat *seen;  /* what there is by the names of the entries' files, zeros where there is
                        nothing; owned; NULL: nobody has looked */
} fj_manifest;

/* Reads it. *found is false, and *out empty, if there is none. *out is empty
 * after a fault. Faults: CORRUPT, FORMAT, IO, MEMORY. */
freyja_status fj_manifest_read(const fj_dir *dir, fj_manifest *out, bool *found,
                               freyja_error *error);

/* Whether there is none; false where that cannot be told. */
bool fj_manifest_is_missing(const fj_dir *dir);

/* Replaces the one on disk by this one with the generation after its own,
 * durably, and then sets that in it. After a fault the old one or the new one
 * is on disk; *replaced tells if it may be the new one. Faults: FULL, IO, MEMORY, LIMIT. */
freyja_status fj_manifest_write(const fj_dir *dir, fj_manifest *manifest, bool *replaced,
                                freyja_error *error);

/* Makes room for so many more entries. Faults: MEMORY, LIMIT. */
freyja_status fj_manifest_grow(const fj_dir *dir, fj_manifest *manifest, uint32_t more,
                               freyja_error *error);

/* Whether it names segment `id`, or has retired it. */
bool fj_manifest_names(const fj_manifest *manifest, uint64_t id);
bool fj_manifest_has_retired(const fj_manifest *manifest, uint64_t id);

/* The lowest id of those; UINT64_MAX if there is none. */
uint64_t fj_manifest_oldest_retired(const fj_manifest *manifest);

/* Takes the id from those that were retired: its file is gone for good, which a sync of the
 * directory has made sure of. */
void fj_manifest_forget(fj_manifest *manifest, uint64_t id);

/* Removes it from the directory, and what an interrupted write left of one: for a store that
 * was not made to its end. False if it may still be there. */
bool fj_manifest_remove(const fj_dir *dir);

/* What was seen of the files is no longer so. */
void fj_manifest_unsee(const fj_dir *dir, fj_manifest *manifest);

void fj_manifest_clear(const fj_dir *dir, fj_manifest *manifest);

#endif
