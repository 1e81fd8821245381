/* lock.c - see lock.h. */
#include "lock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

const char fj_lock_name[] = "LOCK";

/* The file names the last writer. Where a shared lock can be had the holders are readers, who
 * do not sign. */
static freyja_status fail_locked(const fj_dir *dir, int file, bool exclusive, uint32_t process,
                                 freyja_error *error) {
  char text[24];
  if (exclusive && dir->os->lock(dir->os->context, file, false) == 0)
    return fj_fail(error, FREYJA_LOCKED, dir->path, "the store is open for reading");
  int64_t count = fj_read(dir->os, file, text, sizeof text - 1, 0);
  uint64_t holder = 0;
  for (int64_t i = 0; i < count && text[i] >= '0' && text[i] <= '9'; i++)
    holder = holder * 10 + (uint64_t)(text[i] - '0');
  if (holder == process)
    return fj_fail(error, FREYJA_LOCKED, dir->path,
                   "the store is open already in this process (process %" PRIu64 ")", holder);
  if (holder != 0)
    return fj_fail(error, FREYJA_LOCKED, dir->path, "the store is open in process %" PRIu64,
                   holder);
  return fj_fail(error, FREYJA_LOCKED, dir->path, "the store is open in another process");
}

/* Leaves the process id in the file, for others' messages: no promise rests on it. */
static void sign(const fj_dir *dir, int file, uint32_t process) {
  char text[24];
  int size = snprintf(text, sizeof text, "%" PRIu32 "\n", process);
  freyja_slice part = {text, (size_t)size};
  if (dir->os->truncate(dir->os->context, file, 0) == 0)
    (void)fj_write(dir->os, file, &part, 1, 0);
}

/* Locks the open file. */
static freyja_status take(const fj_dir *dir, int file, bool exclusive, uint32_t process,
                          freyja_error *error) {
  const fj_os *os = dir->os;
  fj_os_stat st;
  int code = os->stat(os->context, file, &st);
  if (code == 0 && !st.regular)
    return fj_fail_at(error, FREYJA_IO, dir, fj_lock_name, "this is not a regular file");
  if (code == 0) code = os->lock(os->context, file, exclusive);
  if (code == -EAGAIN) return fail_locked(dir, file, exclusive, process, error);
  if (code != 0) return fj_fail_os(error, code, dir, fj_lock_name, "lock");
  if (exclusive) sign(dir, file, process);
  return FREYJA_OK;
}

freyja_status fj_lock_take(const fj_dir *dir, bool exclusive, bool make, uint32_t process,
                           int *file, freyja_error *error) {
  const fj_os *os = dir->os;
  unsigned flags = exclusive ? FJ_OPEN_WRITE : 0;
  int code = os->open(os->context, dir->fd, fj_lock_name, flags, file);
  if (code == -ENOENT && make) {
    code = os->open(os->context, dir->fd, fj_lock_name, flags | FJ_OPEN_CREATE, file);
    bool permitted = code != -EROFS && code != -EACCES && code != -EPERM;
    if (!permitted && !exclusive) code = -ENOENT;
  }
  if (code != 0) *file = -1;
  if (code == -ENOENT && !exclusive) return FREYJA_OK;
  if (code != 0) return fj_fail_os(error, code, dir, fj_lock_name, "open");
  freyja_status status = take(dir, *file, exclusive, process, error);
  if (status == FREYJA_OK) return status;
  (void)os->close(os->context, *file);
  *file = -1;
  return status;
}
