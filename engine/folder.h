/* folder.h - the directory of a store that is to be made whole, a backup or a repaired one:
 * it is new or empty, locked from then on, it is no store until its MANIFEST, which comes
 * last, is there, and when making it fails what was made goes away again. */
#ifndef FJ_FOLDER_H
#define FJ_FOLDER_H

#include "manifest.h"

typedef struct fj_folder {
  fj_dir dir;
  int lock_file; /* of its LOCK, held exclusively; -1: none */
  bool made;     /* the directory itself was made, not found empty */
  bool named;    /* a MANIFEST may be there */
} fj_folder;

/* Names a directory that is not open yet; `path` is copied. `what` is to be done there, for
 * the error. Faults: MEMORY. */
freyja_status fj_dir_name(fj_dir *dir, const fj_os *os, const char *path, const char *what,
                          freyja_error *error);

/* Makes the entry of a store's directory in the one above it durable. Before the store's first
 * MANIFEST, so that one that is there tells that this was done, whoever made the directory.
 * `made`: by this call; where it was there, a directory above that may not be read is none of
 * our business. Faults: IO. */
freyja_status fj_folder_sync_parent(const fj_dir *dir, bool made, freyja_error *error);

/* Makes the directory `path`, one level, or takes it if it is empty, and locks it: nobody
 * opens it as a store until fj_folder_close, which is due in any case. It must not lie within
 * the directory `source` (a descriptor), by whatever links the path leads there.
 * Faults: IO (ENOTEMPTY and others), LOCKED, LIMIT (within the source), MEMORY, FULL. */
freyja_status fj_folder_open(fj_folder *folder, const fj_os *os, const char *path, int source,
                             freyja_error *error);

/* Turns it into a store, durably: its files are synced already. The manifest's generation on
 * disk will be one more than what it has here. Faults: IO, FULL, MEMORY. */
freyja_status fj_folder_finish(fj_folder *folder, fj_manifest *manifest, freyja_error *error);

/* Removes the MANIFEST, the data files that the manifest here names, the LOCK, and the
 * directory if it was made, durably. What cannot be removed stays; all but the MANIFEST does
 * where that could come back if power failed: it then finds its files. */
void fj_folder_abandon(fj_folder *folder, const fj_manifest *manifest);

void fj_folder_close(fj_folder *folder);

#endif
