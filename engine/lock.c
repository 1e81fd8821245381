/* lock.c - see lock.h. */
#include "lock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

const char fj_lock_name[] = "LOCK";

/* The process that the LOCK names, the last writer; 0: none. */
static uint64_t read_holder(const fj_dir *dir) {
  const fj_os *os = dir->os;
  uint64_t holder = 0;
  char text[24];
  int file = -1;
  if (os->open(os->context, dir->fd, fj_lock_name, 0, &file) != 0) return 0;
  int64_t count = fj_read(os, file, text, sizeof text - 1, 0);
  for (int64_t i = 0; i < count && text[i] >= '0' && text[i] <= '9'; i++)
    holder = holder * 10 + (uint64_t)(text[i] - '0');
  (void)os->close(os->context, file);
  return holder;
}

/* `shared`: a shared lock can be had, so that the holders are readers, who do not sign. */
static freyja_status fail_locked(const fj_dir *dir, bool shared, uint32_t process,
                                 freyja_error *error) {
  if (shared) return fj_fail(error, FREYJA_LOCKED, dir->path, "a repair reads the store");
  uint64_t holder = read_holder(dir);
  if (holder == process)
    return fj_fail(error, FREYJA_LOCKED, dir->path,
                   "the store is open already in this process (process %" PRIu64 ")", holder);
  if (holder != 0)
    return fj_fail(error, FREYJA_LOCKED, dir->path, "the store is open in process %" PRIu64,
                   holder);
  return fj_fail(error, FREYJA_LOCKED, dir->path, "the store is open in another process");
}

/* Leaves the process id in the file, for others' messages: no promise rests on it. It is cut
 * only where it is longer: of a file that was cut to nothing and written a file system may
 * write the bytes to the disk then and there, for which no open should wait. */
static void sign(const fj_dir *dir, int file, uint64_t there, uint32_t process) {
  char text[24];
  uint64_t size = (uint64_t)snprintf(text, sizeof text, "%" PRIu32 "\n", process);
  freyja_slice part = {text, (size_t)size};
  bool written = fj_write(dir->os, file, &part, 1, 0) == 0;
  if (!written || there > size)
    (void)dir->os->truncate(dir->os->context, file, written ? size : 0);
}

/* Whatever becomes of the LOCK meanwhile, who has this lock is alone. Where directories cannot
 * be locked, the LOCK has to do. */
static freyja_status lock_dir(const fj_dir *dir, bool exclusive, uint32_t process,
                              freyja_error *error) {
  const fj_os *os = dir->os;
  int code = os->lock_dir(os->context, dir->fd, exclusive);
  if (code == -EAGAIN) {
    bool shared = exclusive && os->lock_dir(os->context, dir->fd, false) == 0;
    return fail_locked(dir, shared, process, error);
  }
  if (code == -EOPNOTSUPP || code == -ENOSYS || code == -EBADF || code == -EINVAL) code = 0;
  return code == 0 ? FREYJA_OK : fj_fail_os(error, code, dir, NULL, "lock");
}

/* A writer signs it. */
static freyja_status lock_file(const fj_dir *dir, int file, bool exclusive, uint32_t process,
                               freyja_error *error) {
  const fj_os *os = dir->os;
  fj_os_stat st;
  int code = os->stat(os->context, file, &st);
  if (code == 0 && !st.regular)
    return fj_fail_at(error, FREYJA_IO, dir, fj_lock_name, "this is not a regular file");
  if (code == 0) code = os->lock(os->context, file, exclusive);
  if (code == -EAGAIN) {
    bool shared = exclusive && os->lock(os->context, file, false) == 0;
    return fail_locked(dir, shared, process, error);
  }
  if (code == 0 && exclusive) sign(dir, file, st.size, process);
  return code == 0 ? FREYJA_OK : fj_fail_os(error, code, dir, fj_lock_name, "lock");
}

freyja_status fj_lock_take(const fj_dir *dir, bool exclusive, uint32_t process, int *file,
                           freyja_error *error) {
  const fj_os *os = dir->os;
  unsigned flags = exclusive ? FJ_OPEN_WRITE | FJ_OPEN_CREATE : 0;
  *file = -1;
  freyja_status status = lock_dir(dir, exclusive, process, error);
  if (status != FREYJA_OK) return status;
  int code = os->open(os->context, dir->fd, fj_lock_name, flags, file);
  if (code != 0) *file = -1;
  if (code == -ENOENT && !exclusive) return FREYJA_OK;
  if (code != 0) return fj_fail_os(error, code, dir, fj_lock_name, "open");
  status = lock_file(dir, *file, exclusive, process, error);
  if (status == FREYJA_OK) return FREYJA_OK;
  (void)os->close(os->context, *file);
  *file = -1;
  return status;
}

/* ---- beside a writer --------------------------------------------------------- */

/* Whether there are no locks, of files or of directories, where the store is. */
static bool is_without_locks(int code) {
  return code == -EOPNOTSUPP || code == -ENOSYS || code == -EBADF || code == -EINVAL ||
         code == -ENOLCK;
}

freyja_status fj_lock_follow(const fj_dir *dir, freyja_error *error) {
  int code = dir->os->lock(dir->os->context, dir->fd, false);
  if (code == 0 || is_without_locks(code)) return FREYJA_OK;
  return fj_fail_os(error, code, dir, NULL, "lock");
}

freyja_status fj_lock_is_held(const fj_dir *dir, bool *held, freyja_error *error) {
  const fj_os *os = dir->os;
  int file = -1;
  *held = false;
  int code = os->open(os->context, dir->fd, fj_lock_name, 0, &file);
  if (code == -ENOENT) return FREYJA_OK;
  if (code != 0) return fj_fail_os(error, code, dir, fj_lock_name, "open");
  fj_os_stat st;
  code = os->stat(os->context, file, &st);
  bool regular = code != 0 || st.regular;
  if (code == 0 && regular) code = os->is_locked(os->context, file, false);
  (void)os->close(os->context, file);
  if (!regular)
    return fj_fail_at(error, FREYJA_IO, dir, fj_lock_name, "this is not a regular file");
  *held = code > 0;
  if (code >= 0 || is_without_locks(code)) return FREYJA_OK;
  return fj_fail_os(error, code, dir, fj_lock_name, "examine");
}
