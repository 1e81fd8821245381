/* os.c - the operating system: Linux, and what of it is POSIX elsewhere. The
 * only file of the engine that makes system calls. No state but a bound that saves a call, the
 * count of forks, and whether there is a barrier for all threads. */
#include "os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h> /* renameat */
#include <stdlib.h>
#include <string.h>
#include <sys/file.h> /* flock */
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifdef SYS_membarrier
#include <linux/membarrier.h>
#endif

#define HUGE_PAGE ((size_t)2 << 20) /* bytes; a hint */
#define WRITE_PARTS_MAX 8u /* pieces of one write: header, key, value, padding and room */

static int result(int value) { return value < 0 ? -errno : 0; }

/* Sets `code` to the outcome of the call, which is made again while a signal interrupts it. */
#define UNINTERRUPTED(code, call)                                                             \
  do {                                                                                        \
    (code) = result(call);                                                                    \
  } while ((code) == -EINTR)

/* -- directories -- */

static int os_make_dir(void *context, int dir, const char *path) {
  (void)context;
  int code = 0;
  UNINTERRUPTED(code, mkdirat(dir < 0 ? AT_FDCWD : dir, path, 0700));
  return code;
}

static int os_open_dir(void *context, int dir, const char *path, int *out) {
  (void)context;
  int mode = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  /* The user's own path may be a link; a directory within a store may not. */
  if (dir >= 0) mode |= O_NOFOLLOW;
  int code = 0;
  UNINTERRUPTED(code, *out = openat(dir < 0 ? AT_FDCWD : dir, path, mode));
  return code;
}

static int os_list(void *context, int dir, fj_os_visit visit, void *argument) {
  /* An open file of its own, so that the position of `dir` is not shared. */
  int fd = -1;
  int code = os_open_dir(context, dir, ".", &fd);
  if (code != 0) return code;
  DIR *stream = fdopendir(fd);
  if (stream == NULL) {
    code = -errno;
    (void)close(fd);
    return code;
  }
  for (;;) {
    errno = 0;
    const struct dirent *entry = readdir(stream);
    if (entry == NULL) {
      code = -errno;
      break;
    }
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    if ((code = visit(argument, entry->d_name)) != 0) break;
  }
  (void)closedir(stream);
  return code;
}

static int os_sync_dir(void *context, int dir) {
  (void)context;
  return result(fsync(dir));
}

static int os_rename(void *context, int dir, const char *from, const char *to) {
  (void)context;
  int code = 0;
  UNINTERRUPTED(code, renameat(dir, from, dir, to));
  return code;
}

static int os_unlink(void *context, int dir, const char *name) {
  (void)context;
  int code = 0;
  UNINTERRUPTED(code, unlinkat(dir, name, 0));
  return code;
}

static int os_remove_dir(void *context, const char *path) {
  (void)context;
  int code = 0;
  UNINTERRUPTED(code, rmdir(path));
  return code;
}

static int os_link(void *context, int from, const char *name, int to) {
  (void)context;
  int code = 0;
  UNINTERRUPTED(code, linkat(from, name, to, name, 0));
  return code;
}

/* -- files -- */

#define ASKED_STEP 8192u /* bytes of a file that may be written without asking again */

/* The end of what may be written by small pieces: the limit was asked, and then no file was
 * opened. All threads may use one bound: it is but for speed, as asking takes half as long as
 * a small write does. */
static _Atomic uint64_t asked_to;

/* How far files may be written or grow. To do that beyond RLIMIT_FSIZE is not only an error,
 * even where the file has bytes already: the kernel sends SIGXFSZ, whose default is death, so
 * it is asked before. */
static uint64_t file_limit(void) {
  struct rlimit limit;
  bool none = getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY;
  return none ? UINT64_MAX : limit.rlim_cur;
}

static bool is_write_beyond_limit(uint64_t offset, uint64_t size) {
  uint64_t end = offset + size;
  if (size < ASKED_STEP && end <= atomic_load_explicit(&asked_to, memory_order_relaxed))
    return false;
  uint64_t limit = file_limit();
  uint64_t step = (end | (ASKED_STEP - 1)) + 1;
  atomic_store_explicit(&asked_to, step < limit ? step : limit, memory_order_relaxed);
  return end > limit;
}

static int os_open(void *context, int dir, const char *name, unsigned flags, int *file) {
  (void)context;
  int mode = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  mode |= (flags & FJ_OPEN_WRITE) ? O_RDWR : O_RDONLY;
  if (flags & FJ_OPEN_CREATE) mode |= O_CREAT;
  if (flags & FJ_OPEN_EXCLUSIVE) mode |= O_EXCL;
  int code = 0;
  UNINTERRUPTED(code, *file = openat(dir < 0 ? AT_FDCWD : dir, name, mode, 0600));
  atomic_store_explicit(&asked_to, 0, memory_order_relaxed);
  return code;
}

static int os_close(void *context, int file) {
  (void)context;
  int code = result(close(file));
  return code == -EINTR ? 0 : code; /* the descriptor is gone: not to be closed again */
}

static void describe(const struct stat *st, fj_os_stat *out) {
  out->size = st->st_size > 0 ? (uint64_t)st->st_size : 0;
  out->regular = S_ISREG(st->st_mode);
  out->device = (uint64_t)st->st_dev;
  out->number = (uint64_t)st->st_ino;
  out->links = (uint64_t)st->st_nlink;
  out->changed = (uint64_t)st->st_ctim.tv_sec * 1000000000 + (uint64_t)st->st_ctim.tv_nsec;
}

static int os_stat(void *context, int file, fj_os_stat *out) {
  (void)context;
  struct stat st;
  if (fstat(file, &st) != 0) return -errno;
  describe(&st, out);
  return 0;
}

static int os_examine(void *context, int dir, const char *name, fj_os_stat *out) {
  (void)context;
  struct stat st;
  if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0) return -errno;
  describe(&st, out);
  return 0;
}

static int64_t os_read(void *context, int file, void *buffer, size_t size, uint64_t offset) {
  (void)context;
  ssize_t count = pread(file, buffer, size, (off_t)offset);
  return count < 0 ? -errno : count;
}

static int64_t os_write(void *context, int file, const freyja_slice *parts, size_t count,
                        uint64_t offset) {
  (void)context;
  struct iovec vector[WRITE_PARTS_MAX];
  uint64_t size = 0;
  if (count > WRITE_PARTS_MAX) return -EINVAL;
  for (size_t i = 0; i < count; i++) {
    vector[i].iov_base = (void *)(uintptr_t)parts[i].data; /* pwritev only reads it */
    vector[i].iov_len = parts[i].size;
    size += parts[i].size;
  }
  if (is_write_beyond_limit(offset, size)) return -EFBIG;
  ssize_t written = pwritev(file, vector, (int)count, (off_t)offset);
  return written < 0 ? -errno : written;
}

static int os_sync(void *context, int file) {
  (void)context;
  return result(fdatasync(file));
}

static int os_truncate(void *context, int file, uint64_t size) {
  (void)context;
  int code = 0;
  UNINTERRUPTED(code, ftruncate(file, (off_t)size));
  return code;
}

static int os_reserve(void *context, int file, uint64_t offset, uint64_t size) {
  (void)context;
  if (offset + size > file_limit()) return -EFBIG;
  /* Not posix_fallocate: where the file system cannot, that writes zeros byte by byte. */
  return result(fallocate(file, 0, (off_t)offset, (off_t)size));
}

static void os_write_back(void *context, int file, uint64_t offset, uint64_t size) {
  (void)context;
  (void)sync_file_range(file, (off_t)offset, (off_t)size, SYNC_FILE_RANGE_WRITE);
}

static struct flock lock_of_all(bool exclusive) {
  struct flock lock;
  memset(&lock, 0, sizeof lock);
  lock.l_type = exclusive ? F_WRLCK : F_RDLCK;
  lock.l_whence = SEEK_SET;
  return lock;
}

static int os_lock(void *context, int file, bool exclusive) {
  (void)context;
  struct flock lock = lock_of_all(exclusive);
  /* Of the open file, not of the process: another open in this process is refused
   * too, and closing an unrelated descriptor of the file does not drop it. */
  int code = 0;
  UNINTERRUPTED(code, fcntl(file, F_OFD_SETLK, &lock));
  return code == -EACCES ? -EAGAIN : code;
}

static int os_is_locked(void *context, int file, bool exclusive) {
  (void)context;
  struct flock lock = lock_of_all(exclusive);
  int code = 0;
  UNINTERRUPTED(code, fcntl(file, F_OFD_GETLK, &lock));
  return code == 0 ? lock.l_type != F_UNLCK : code;
}

static int os_lock_dir(void *context, int dir, bool exclusive) {
  (void)context;
  int code = 0;
  UNINTERRUPTED(code, flock(dir, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB));
  return code; /* EWOULDBLOCK is EAGAIN */
}

/* -- mapped files -- */

static int os_map(void *context, int file, uint64_t size, bool writable, uint8_t **out) {
  (void)context;
  int protection = PROT_READ | (writable ? PROT_WRITE : 0);
  void *map = mmap(NULL, (size_t)size, protection, MAP_SHARED, file, 0);
  if (map == MAP_FAILED) return -errno;
  *out = map;
  return 0;
}

static void os_unmap(void *context, uint8_t *map, uint64_t size) {
  (void)context;
  (void)munmap(map, (size_t)size);
}

static int os_protect(void *context, uint8_t *map, uint64_t size) {
  (void)context;
  return result(mprotect(map, (size_t)size, PROT_READ));
}

/* -- memory -- */

static void *os_allocate(void *context, size_t size) {
  (void)context;
  return malloc(size == 0 ? 1 : size);
}

static void os_release(void *context, void *block) {
  (void)context;
  free(block);
}

/* Aligned to huge pages if it takes more than one: then the system may use them. */
static void *os_allocate_pages(void *context, size_t size) {
  (void)context;
  size_t slack = size > HUGE_PAGE ? HUGE_PAGE : 0;
  uint8_t *start = mmap(NULL, size + slack, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (start == MAP_FAILED) return NULL;
  if (slack == 0) return start;
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  size_t head = (size_t) - (uintptr_t)start & (HUGE_PAGE - 1);
  size_t used = (size + page - 1) / page * page;
  if (head > 0) (void)munmap(start, head);
  if (size + slack > head + used)
    (void)munmap(start + head + used, size + slack - head - used);
#ifdef MADV_HUGEPAGE
  (void)madvise(start + head, size, MADV_HUGEPAGE);
#endif
  return start + head;
}

static void os_discard_pages(void *context, void *pages, size_t size) {
  (void)context;
  (void)madvise(pages, size, MADV_DONTNEED);
}

static void os_release_pages(void *context, void *pages, size_t size) {
  (void)context;
  if (pages != NULL) (void)munmap(pages, size);
}

/* -- the rest -- */

static uint64_t microseconds(clockid_t clock) {
  struct timespec ts;
  if (clock_gettime(clock, &ts) != 0 || ts.tv_sec < 0) return 0;
  return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000u;
}

#ifdef CLOCK_MONOTONIC_COARSE
#define CLOCK_EPOCH CLOCK_REALTIME_COARSE
#define CLOCK_STEADY CLOCK_MONOTONIC_COARSE
#else
#define CLOCK_EPOCH CLOCK_REALTIME
#define CLOCK_STEADY CLOCK_MONOTONIC
#endif

static uint64_t os_now(void *context) {
  (void)context;
  return microseconds(CLOCK_EPOCH);
}

static uint64_t os_monotonic(void *context) {
  (void)context;
  return microseconds(CLOCK_STEADY);
}

static uint64_t os_timer(void *context) {
  (void)context;
  return microseconds(CLOCK_MONOTONIC);
}

static void os_sleep(void *context, uint64_t micro) {
  (void)context;
  uint64_t seconds = micro / 1000000u;
  struct timespec left = {.tv_sec = (time_t)(seconds < INT32_MAX ? seconds : INT32_MAX),
                          .tv_nsec = (long)(micro % 1000000u) * 1000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) continue;
}

static int os_random(void *context, void *buffer, size_t size) {
  (void)context;
  uint8_t *bytes = buffer;
  while (size > 0) {
    ssize_t count = getrandom(bytes, size, 0);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -errno;
    bytes += count;
    size -= (size_t)count;
  }
  return 0;
}

static uint32_t os_process(void *context) {
  (void)context;
  return (uint32_t)getpid();
}

#ifdef SYS_membarrier
static bool barrier_is_there;

static void register_barrier(void) {
  barrier_is_there =
      syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

static int os_barrier(void *context) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  (void)context;
  (void)pthread_once(&once, register_barrier);
  if (!barrier_is_there) return -ENOSYS;
  return result((int)syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
}
#else
static int os_barrier(void *context) {
  (void)context;
  return -ENOSYS;
}
#endif

static const volatile uint32_t *os_fork_guard(void *context) {
#ifdef MADV_WIPEONFORK
  size_t size = (size_t)sysconf(_SC_PAGESIZE);
  void *page = os_allocate_pages(context, size);
  if (page == NULL) return NULL;
  if (madvise(page, size, MADV_WIPEONFORK) == 0) {
    *(uint32_t *)page = 1;
    return page;
  }
  os_release_pages(context, page, size);
#else
  (void)context;
#endif
  return NULL;
}

static atomic_uint_fast64_t fork_count;
static bool forks_are_counted;

static void count_fork(void) { atomic_fetch_add(&fork_count, 1); }

static void begin_counting(void) {
  forks_are_counted = pthread_atfork(NULL, count_fork, NULL) == 0;
}

static uint64_t os_forks(void *context) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  (void)context;
  (void)pthread_once(&once, begin_counting);
  if (!forks_are_counted) count_fork(); /* nobody knows: there may always have been one */
  return atomic_load(&fork_count);
}

static void os_release_fork_guard(void *context, const volatile uint32_t *guard) {
  os_release_pages(context, (void *)(uintptr_t)guard, (size_t)sysconf(_SC_PAGESIZE));
}

static const fj_os real_os = {
    .context = NULL,
    .shares = true,
    .make_dir = os_make_dir,
    .open_dir = os_open_dir,
    .list = os_list,
    .sync_dir = os_sync_dir,
    .rename = os_rename,
    .unlink = os_unlink,
    .remove_dir = os_remove_dir,
    .link = os_link,
    .open = os_open,
    .close = os_close,
    .stat = os_stat,
    .examine = os_examine,
    .read = os_read,
    .write = os_write,
    .sync = os_sync,
    .truncate = os_truncate,
    .reserve = os_reserve,
    .write_back = os_write_back,
    .lock = os_lock,
    .is_locked = os_is_locked,
    .lock_dir = os_lock_dir,
    .map = os_map,
    .unmap = os_unmap,
    .protect = os_protect,
    .allocate = os_allocate,
    .release = os_release,
    .allocate_pages = os_allocate_pages,
    .discard_pages = os_discard_pages,
    .release_pages = os_release_pages,
    .now = os_now,
    .monotonic = os_monotonic,
    .timer = os_timer,
    .sleep = os_sleep,
    .random = os_random,
    .process = os_process,
    .barrier = os_barrier,
    .fork_guard = os_fork_guard,
    .release_fork_guard = os_release_fork_guard,
    .forks = os_forks,
};

const fj_os *fj_os_real(void) { return &real_os; }

/* ---- loops over the table ---------------------------------------------- */

int64_t fj_read(const fj_os *os, int file, void *buffer, size_t size, uint64_t offset) {
  size_t done = 0;
  while (done < size) {
    int64_t count =
        os->read(os->context, file, (uint8_t *)buffer + done, size - done, offset + done);
    if (count == -EINTR) continue;
    if (count < 0) return count;
    if (count == 0) break; /* the file's end */
    done += (size_t)count;
  }
  return (int64_t)done;
}

int fj_write(const fj_os *os, int file, const freyja_slice *parts, size_t count,
             uint64_t offset) {
  freyja_slice rest[WRITE_PARTS_MAX];
  if (count > WRITE_PARTS_MAX) return -EINVAL;
  memcpy(rest, parts, count * sizeof *rest);
  size_t first = 0;
  for (;;) {
    while (first < count && rest[first].size == 0) first++;
    if (first == count) return 0;
    int64_t written = os->write(os->context, file, rest + first, count - first, offset);
    if (written == -EINTR) continue;
    if (written < 0) return (int)written;
    if (written == 0) return -EIO; /* no progress and no reason: do not spin */
    offset += (uint64_t)written;
    size_t left = (size_t)written;
    while (left > 0) {
      size_t step = left < rest[first].size ? left : rest[first].size;
      if (step > 0) rest[first].data = (const uint8_t *)rest[first].data + step;
      rest[first].size -= step;
      left -= step;
      if (rest[first].size == 0) first++;
    }
  }
}

int fj_sync(const fj_os *os, int file) {
  int code = 0;
  do {
    code = os->sync(os->context, file);
  } while (code == -EINTR);
  return code;
}

int fj_sync_dir(const fj_os *os, int dir) {
  int code = 0;
  do {
    code = os->sync_dir(os->context, dir);
  } while (code == -EINTR);
  return code;
}
