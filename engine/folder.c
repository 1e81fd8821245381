/* folder.c - see folder.h. */
#include "folder.h"

#include <errno.h>
#include <string.h>

#include "hint.h"
#include "lock.h"

#define DEPTH_MAX 4096u /* directories above one another: a path of PATH_MAX has no more */

freyja_status fj_dir_name(fj_dir *dir, const fj_os *os, const char *path, const char *what,
                          freyja_error *error) {
  size_t size = strlen(path) + 1;
  *dir = (fj_dir){.os = os, .fd = -1, .path = os->allocate(os->context, size)};
  if (dir->path == NULL) return fj_fail_memory(error, what);
  memcpy(dir->path, path, size);
  return FREYJA_OK;
}

freyja_status fj_folder_sync_parent(const fj_dir *dir, bool made, freyja_error *error) {
  const fj_os *os = dir->os;
  int parent = -1;
  int code = os->open_dir(os->context, dir->fd, "..", &parent);
  if (code == 0) {
    code = fj_sync_dir(os, parent);
    (void)os->close(os->context, parent);
  }
  if (!made && (code == -EACCES || code == -EPERM)) return FREYJA_OK;
  return code == 0 ? FREYJA_OK : fj_fail_os(error, code, dir, NULL, "sync the folder above");
}

/* ---- where it lies -------------------------------------------------------- */

static bool is_same(const fj_os_stat *a, const fj_os_stat *b) {
  return a->device == b->device && a->number == b->number;
}

/* Whether the open directory `dir` is `source` or below it; closes `dir`. Where the way up
 * cannot be seen, what was seen of it counts. */
static bool is_within(const fj_os *os, int dir, const fj_os_stat *source) {
  fj_os_stat here, above;
  bool within = false;
  bool more = os->stat(os->context, dir, &here) == 0;
  for (unsigned depth = 0; more && depth < DEPTH_MAX; depth++) {
    int parent = -1;
    within = is_same(&here, source);
    if (within || os->open_dir(os->context, dir, "..", &parent) != 0) break;
    (void)os->close(os->context, dir);
    dir = parent;
    more = os->stat(os->context, dir, &above) == 0 && !is_same(&above, &here);
    here = above;
  }
  (void)os->close(os->context, dir);
  return within;
}

/* Opens the directory in which the path's last part lies. */
static int open_parent(const fj_dir *dir, int *out) {
  const fj_os *os = dir->os;
  size_t size = strlen(dir->path);
  while (size > 1 && dir->path[size - 1] == '/') size--;
  while (size > 0 && dir->path[size - 1] != '/') size--;
  if (size == 0) return os->open_dir(os->context, -1, ".", out);
  char *path = os->allocate(os->context, size + 1);
  if (path == NULL) return -ENOMEM;
  memcpy(path, dir->path, size);
  path[size] = '\0';
  int code = os->open_dir(os->context, -1, path, out);
  os->release(os->context, path);
  return code;
}

/* Of a directory that is there, itself counts: its path may end in a link. */
static freyja_status check_outside(const fj_dir *dir, int source, freyja_error *error) {
  const fj_os *os = dir->os;
  fj_os_stat st;
  int first = -1;
  int code = os->stat(os->context, source, &st);
  if (code == 0)
    code = dir->fd >= 0 ? os->open_dir(os->context, dir->fd, ".", &first)
                        : open_parent(dir, &first);
  if (code != 0) return fj_fail_os(error, code, dir, NULL, "find the folder above");
  if (!is_within(os, first, &st)) return FREYJA_OK;
  return fj_fail(error, FREYJA_LIMIT, dir->path, "a store cannot be made within another");
}

/* ---- life ----------------------------------------------------------------- */

/* `argument`: a bool, whether the LOCK may be there. */
static int visit_any(void *argument, const char *name) {
  const bool *locked = argument;
  return *locked && strcmp(name, fj_lock_name) == 0 ? 0 : 1;
}

static freyja_status check_empty(const fj_dir *dir, bool locked, freyja_error *error) {
  int code = dir->os->list(dir->os->context, dir->fd, visit_any, &locked);
  if (code > 0) code = -ENOTEMPTY;
  return code == 0 ? FREYJA_OK
                   : fj_fail_os(error, code, dir, NULL, "make a store in this folder");
}

static freyja_status make_folder(fj_folder *folder, freyja_error *error) {
  const fj_os *os = folder->dir.os;
  int code = os->make_dir(os->context, -1, folder->dir.path);
  if (code != 0) return fj_fail_os(error, code, &folder->dir, NULL, "create");
  folder->made = true;
  code = os->open_dir(os->context, -1, folder->dir.path, &folder->dir.fd);
  if (code == 0) return FREYJA_OK;
  folder->dir.fd = -1;
  return fj_fail_os(error, code, &folder->dir, NULL, "open");
}

/* The directory was empty; now it is ours, unless somebody made a store of it meanwhile. */
static freyja_status lock_folder(fj_folder *folder, freyja_error *error) {
  const fj_os *os = folder->dir.os;
  freyja_status status =
      fj_lock_take(&folder->dir, true, os->process(os->context), &folder->lock_file, error);
  if (status == FREYJA_LOCKED) return status; /* it is somebody else's */
  if (status == FREYJA_OK) status = check_empty(&folder->dir, true, error);
  if (status != FREYJA_OK && folder->made)
    (void)os->unlink(os->context, folder->dir.fd, fj_lock_name);
  return status;
}

freyja_status fj_folder_open(fj_folder *folder, const fj_os *os, const char *path, int source,
                             freyja_error *error) {
  memset(folder, 0, sizeof *folder);
  folder->lock_file = -1;
  freyja_status status = fj_dir_name(&folder->dir, os, path, "make a store", error);
  if (status != FREYJA_OK) return status;
  int code = os->open_dir(os->context, -1, path, &folder->dir.fd);
  if (code != 0) folder->dir.fd = -1;
  if (code != 0 && code != -ENOENT)
    return fj_fail_os(error, code, &folder->dir, NULL, "make a store in this folder");
  status = code == 0 ? check_empty(&folder->dir, false, error) : FREYJA_OK;
  if (status == FREYJA_OK) status = check_outside(&folder->dir, source, error);
  if (status == FREYJA_OK && code != 0) status = make_folder(folder, error);
  if (status == FREYJA_OK) status = lock_folder(folder, error);
  if (status != FREYJA_OK && folder->made) (void)os->remove_dir(os->context, path);
  return status;
}

freyja_status fj_folder_finish(fj_folder *folder, fj_manifest *manifest, freyja_error *error) {
  const fj_os *os = folder->dir.os;
  /* The files first: a MANIFEST whose files' entries a crash took would be damage. */
  int code = fj_sync_dir(os, folder->dir.fd);
  if (code != 0) return fj_fail_os(error, code, &folder->dir, NULL, "sync");
  freyja_status status = fj_folder_sync_parent(&folder->dir, folder->made, error);
  if (status != FREYJA_OK) return status;
  return fj_manifest_write(&folder->dir, manifest, &folder->named, error);
}

void fj_folder_abandon(fj_folder *folder, const fj_manifest *manifest) {
  const fj_os *os = folder->dir.os;
  bool removed = fj_manifest_remove(&folder->dir);
  if (folder->named && (!removed || fj_sync_dir(os, folder->dir.fd) != 0)) return;
  for (uint32_t i = 0; i < manifest->count; i++) {
    char name[FJ_NAME_MAX], hint[FJ_NAME_MAX];
    fj_segment_name(name, manifest->entries[i].id);
    fj_hint_name(hint, manifest->entries[i].id);
    (void)os->unlink(os->context, folder->dir.fd, name);
    (void)os->unlink(os->context, folder->dir.fd, hint);
  }
  (void)os->unlink(os->context, folder->dir.fd, fj_lock_name);
  (void)fj_sync_dir(os, folder->dir.fd);
  if (folder->made) (void)os->remove_dir(os->context, folder->dir.path);
}

void fj_folder_close(fj_folder *folder) {
  const fj_os *os = folder->dir.os;
  if (folder->lock_file >= 0) (void)os->close(os->context, folder->lock_file);
  if (folder->dir.fd >= 0) (void)os->close(os->context, folder->dir.fd);
  os->release(os->context, folder->dir.path);
  folder->dir.fd = folder->lock_file = -1;
  folder->dir.path = NULL;
}
