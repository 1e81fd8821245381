/* salvage.h - what a directory holds of a store, if its files are believed as little as can
 * be: which data files belong to it, and what is needed to check their records. Writes
 * nothing. */
#ifndef FJ_SALVAGE_H
#define FJ_SALVAGE_H

#include "findings.h"
#include "manifest.h"

/* A data file, or the place of one that is missing. */
typedef struct fj_salvage_file {
  uint64_t id;         /* of its name */
  uint64_t written_as; /* the segment whose records it has: as its header says, or its name */
  uint64_t size;       /* bytes of the file; 0: there is none that can be used */
  uint64_t expected;   /* bytes that a sealed one must have by the MANIFEST; 0: not known */
  uint64_t mark;       /* of the header; FJ_SEGMENT_HEADER if that is damaged */
  bool active;         /* may be the one that was written to: behind its mark it may be torn */
  bool headless;       /* the header is damaged */
  bool whole;          /* the header says: made as a whole, by a merge or a load */
  uint64_t began;      /* ..., which all files of one of these have in common */
  bool
      unfinished; /* ..., and none of them was claimed: without a MANIFEST they are not used */
} fj_salvage_file;

typedef struct fj_salvage {
  fj_dir dir;
  int lock_file; /* -1: none */
  fj_manifest manifest;
  bool has_manifest;
  fj_identity identity;
  fj_salvage_file *files; /* in the MANIFEST's order; without one what was made as a whole, the
                             newest first, and then the others by their ids: so what a merge
                             has made comes before its inputs */
  uint32_t count, room;
  bool ordered;               /* their order is that of the log */
  fj_manifest_entry *entries; /* the MANIFEST's, by id; NULL without one */
} fj_salvage;

/* Opens the directory, takes its lock (shared) if there is one, and finds all that; what is
 * not as it should be goes to the findings, whose directory becomes this one. *salvage is
 * for fj_salvage_close in any case. Without a whole MANIFEST the store is the one that most of
 * the whole headers name. Faults: IO (no directory, or nothing of a store), LOCKED, FORMAT,
 * CORRUPT (nothing tells how to check a record), MEMORY, LIMIT. */
freyja_status fj_salvage_open(fj_salvage *salvage, const fj_os *os, const char *path,
                              fj_findings *findings, freyja_error *error);

void fj_salvage_close(fj_salvage *salvage);

#endif
