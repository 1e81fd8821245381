/* os.h - everything the engine asks of the operating system, as a table of
 * functions, so that tests can put a simulated disk, clock and allocator in its
 * place. os.c holds the real one and is the only file that makes system calls.
 *
 * Functions return 0 (or a count) on success and a negative errno otherwise.
 * read and write may be short, and they, sync, sync_dir and reserve may fail with -EINTR;
 * fj_read and the others below loop. What else a signal interrupts is done again by the
 * function itself. No function keeps a pointer that it was given. */
#ifndef FJ_OS_H
#define FJ_OS_H

#include "freyja.h"

#define FJ_NAME_MAX 40u /* bytes of a file name in a store, NUL included */

/* Flags of fj_os.open. Files are created with mode 0600, never followed if
 * they are symbolic links, never waited for if they are FIFOs. */
enum { FJ_OPEN_WRITE = 1, FJ_OPEN_CREATE = 2, FJ_OPEN_EXCLUSIVE = 4 };

typedef struct fj_os_stat {
  uint64_t size;   /* bytes */
  bool regular;    /* a regular file */
  uint64_t device; /* with `number`: what tells files and directories apart */
  uint64_t number;
  uint64_t links;   /* names that the file has */
  uint64_t changed; /* when its bytes or what else is known of it changed last: a number that
                       nobody can set */
} fj_os_stat;

typedef struct fj_os fj_os;

/* Called by fj_os.list for each name; a non-zero result ends the listing. */
typedef int (*fj_os_visit)(void *argument, const char *name);

struct fj_os {
  void *context; /* first argument of every function */
  /* Several threads may call its functions at once: a store that is open by it is shared by
   * who opens it so again (share.h), and blocks are written behind (behind.h). */
  bool shares;

  /* -- directories: `dir` is a descriptor from open_dir -- */
  int (*make_dir)(void *context, int dir, const char *path); /* dir -1: path as it is */
  int (*open_dir)(void *context, int dir, const char *path, int *out); /* dir -1: as above */
  int (*list)(void *context, int dir, fj_os_visit visit, void *argument);
  int (*sync_dir)(void *context, int dir);
  /* Locks the directory for this open one, shared or exclusive; -EAGAIN if held. */
  int (*lock_dir)(void *context, int dir, bool exclusive);
  int (*rename)(void *context, int dir, const char *from, const char *to);
  int (*unlink)(void *context, int dir, const char *name);
  int (*remove_dir)(void *context, const char *path); /* an empty one */
  /* Gives the file `name` of the directory `from` the same name in the directory `to` too: one
   * file in two places. A link is not followed. */
  int (*link)(void *context, int from, const char *name, int to);

  /* -- files -- */
  int (*open)(void *context, int dir, const char *name, unsigned flags, int *file);
  /* What a name in `dir` is, without opening it; of a symbolic link, that. */
  int (*examine)(void *context, int dir, const char *name, fj_os_stat *out);
  int (*close)(void *context, int file);                 /* also for directories */
  int (*stat)(void *context, int file, fj_os_stat *out); /* also for directories */
  int64_t (*read)(void *context, int file, void *buffer, size_t size, uint64_t offset);
  /* -EFBIG, and nothing written, if the process may not write so far; no signal comes. */
  int64_t (*write)(void *context, int file, const freyja_slice *parts, size_t count,
                   uint64_t offset);
  int (*sync)(void *context, int file); /* data, and what is needed to find it (fdatasync) */
  int (*truncate)(void *context, int file, uint64_t size);
  /* Gives blocks to the range and grows the file to its end; -EOPNOTSUPP if it cannot. */
  int (*reserve)(void *context, int file, uint64_t offset, uint64_t size);
  /* Starts writing a range to the disk without waiting for it: a hint. */
  void (*write_back)(void *context, int file, uint64_t offset, uint64_t size);
  /* Locks the whole file for this open file, shared or exclusive; -EAGAIN if held. */
  int (*lock)(void *context, int file, bool exclusive);
  /* Whether a lock of another open file is in the way of such a one: 1 or 0, or a negative
   * errno. For `lock` directories are files, too; lock_dir is another lock. */
  int (*is_locked)(void *context, int file, bool exclusive);

  /* -- mapped files: a mapping may reach beyond the file's end -- */
  int (*map)(void *context, int file, uint64_t size, bool writable, uint8_t **out);
  void (*unmap)(void *context, uint8_t *map, uint64_t size);
  int (*protect)(void *context, uint8_t *map, uint64_t size); /* no more writes to it */

  /* -- memory -- */
  void *(*allocate)(void *context, size_t size); /* NULL if there is none; not zeroed */
  void (*release)(void *context, void *block);   /* NULL is allowed */
  /* Zeroed pages, huge ones where the system has them, for `size` bytes; NULL if there are
   * none. */
  void *(*allocate_pages)(void *context, size_t size);
  /* Gives a part of them back; it may still be read (anything) until it is released. */
  void (*discard_pages)(void *context, void *pages, size_t size);
  void (*release_pages)(void *context, void *pages, size_t size);

  /* -- the rest -- */
  /* Microseconds since the epoch, which may jump, and from some moment on, which never
   * go back. Both are asked at every write: cheap counts more than exact, and they may
   * stand still for a few milliseconds. */
  uint64_t (*now)(void *context);
  uint64_t (*monotonic)(void *context);
  uint64_t (*timer)(void *context); /* as monotonic, but exact: for what is reported */
  void (*sleep)(void *context, uint64_t microseconds); /* returns when they have passed */
  int (*random)(void *context, void *buffer, size_t size);
  uint32_t (*process)(void *context); /* the process's id */
  /* All threads of this process have passed a memory barrier when it returns; -ENOSYS or
   * another if that cannot be had. */
  int (*barrier)(void *context);
  /* A word that is 1 in this process and 0 in its forked children; NULL if that
   * cannot be had, and then process() tells. */
  const volatile uint32_t *(*fork_guard)(void *context);
  void (*release_fork_guard)(void *context, const volatile uint32_t *guard);
  /* A number that changes when this process forks, from the first call on. */
  uint64_t (*forks)(void *context);
};

/* The operating system; never NULL. */
const fj_os *fj_os_real(void);

#define FJ_SECTOR 512u /* bytes; the least that a disk can or cannot read */

/* A store's directory. */
typedef struct fj_dir {
  const fj_os *os;
  int fd;     /* -1 when closed */
  char *path; /* as the user gave it, for messages; owned */
} fj_dir;

/* Reads up to `size` bytes at `offset` until the file ends. Returns the count, or -errno. */
int64_t fj_read(const fj_os *os, int file, void *buffer, size_t size, uint64_t offset);

/* Writes all of the parts at `offset`. Returns 0, or -errno: then any of it may be there. */
int fj_write(const fj_os *os, int file, const freyja_slice *parts, size_t count,
             uint64_t offset);

/* sync and sync_dir, again when interrupted. */
int fj_sync(const fj_os *os, int file);
int fj_sync_dir(const fj_os *os, int dir);

#endif
