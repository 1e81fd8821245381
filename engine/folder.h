/* folder.h - the directory of a store that is to be made whole, a backup or a repaired one:
 * it is new or empty, it is no store until its MANIFEST, which comes last, is there, and when
 * making it fails what was made goes away again. */
#ifndef FJ_FOLDER_H
#define FJ_FOLDER_H

#include "manifest.h"

typedef struct fj_folder {
  fj_dir dir;
  bool made; /* the directory itself was made, not found empty */
} fj_folder;

/* Makes the entry of a store's directory in the one above it durable. Before the store's first
 * MANIFEST, so that one that is there tells that this was done, whoever made the directory.
 * Faults: IO. */
freyja_status fj_folder_sync_parent(const fj_dir *dir, freyja_error *error);

/* Makes the directory `path`, one level, or takes it if it is empty. It must not lie within
 * the directory `source` (a descriptor). *folder is for fj_folder_close in any case.
 * Faults: IO (ENOTEMPTY and others), LIMIT (within the source), MEMORY, FULL. */
freyja_status fj_folder_open(fj_folder *folder, const fj_os *os, const char *path, int source,
                             freyja_error *error);

/* Turns it into a store, durably: its files are synced already. The manifest's generation on
 * disk will be one more than what it has here. Faults: IO, FULL, MEMORY. */
freyja_status fj_folder_finish(fj_folder *folder, fj_manifest *manifest, freyja_error *error);

/* Removes the MANIFEST, the data files that the manifest here names, and the directory if it
 * was made. What cannot be removed stays. */
void fj_folder_abandon(fj_folder *folder, const fj_manifest *manifest);

void fj_folder_close(fj_folder *folder);

#endif
