/* leftovers.h - what data files say of the MANIFEST beside them, and those that it does not
 * name: what an interrupted rotation left, what it should name, what is not ours (FORMAT.md,
 * section 1). */
#ifndef FJ_LEFTOVERS_H
#define FJ_LEFTOVERS_H

#include "manifest.h"

/* What a data file is that the MANIFEST does not name. */
typedef enum fj_leftover {
  FJ_NOT_OURS,  /* of another store, or nothing that holds records */
  FJ_NOT_BEGUN, /* ours, or the beginning of a header; nothing is behind that */
  FJ_UNCLAIMED, /* ours, of a merge or a load, and not claimed (S5), whatever is behind that */
  FJ_BEGUN      /* ours otherwise, with something behind its header, or with one of our records
                   behind a header that is damaged */
} fj_leftover;

/* Finds out about the file of that name, which is that of segment `id`. One that cannot be
 * opened is not ours. Faults: IO, MEMORY. */
freyja_status fj_leftover_examine(const fj_dir *dir, const fj_identity *identity,
                                  const char *name, uint64_t id, fj_leftover *out,
                                  freyja_error *error);

/* A data file that shows that a MANIFEST is not the one that belongs to the data. */
typedef struct fj_witness {
  uint64_t id;      /* 0: there is none */
  uint64_t end;     /* where the MANIFEST ends it, though it goes on; 0: it does not name it */
  uint32_t there;   /* or, where `missing` is not 0: there are so many data files, */
  uint32_t missing; /* and so many more that it names */
  bool litter;      /* there is something that fj_leftovers_clean may remove */
} fj_witness;

/* Looks for one, or for data files that are missing in such a number that the MANIFEST's
 * entries must not take memory and time, as they do where some are: it may have been made up.
 * Then: a file that is begun and neither named nor retired; or one that is sealed at a place
 * behind which there are records of it. What is sealed is cut there before that is said. What
 * goes on from such a MANIFEST, an older one or a backup's, would lose records. Where there is
 * none, manifest->seen has what was seen. Faults: IO, MEMORY. */
freyja_status fj_leftovers_find(const fj_dir *dir, fj_manifest *manifest, fj_witness *out,
                                freyja_error *error);

/* CORRUPT if there is one, or too many are missing. Faults: IO, MEMORY, too. *litter tells
 * whether fj_leftovers_clean may find something to remove: each look at a folder counts. */
freyja_status fj_leftovers_check(const fj_dir *dir, fj_manifest *manifest, bool *litter,
                                 freyja_error *error);

/* After fj_leftovers_check has said OK: removes the temporary MANIFEST, temporary hints and
 * the data files that are not begun, not claimed, or retired; those
 * of the latter that are gone for good are taken from the manifest. Files that cannot be
 * removed stay. Faults: IO, MEMORY. */
freyja_status fj_leftovers_clean(const fj_dir *dir, fj_manifest *manifest,
                                 freyja_error *error);

/* Takes the retired files that are gone from the manifest. After a sync of the directory that
 * came after their removal. */
void fj_leftovers_forget(const fj_dir *dir, fj_manifest *manifest);

/* Whether the directory holds any data file. Faults: IO. */
freyja_status fj_leftovers_has_data(const fj_dir *dir, bool *has_data, freyja_error *error);

#endif
