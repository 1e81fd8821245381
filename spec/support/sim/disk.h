/* disk.h - a simulated disk: the engine's os table (engine/os.h) over memory,
 * which knows what of it would survive a loss of power.
 *
 * Every change is a unit: some bytes of one page, a file's size, an operation on a
 * directory's entries. A unit is pending until a sync of its file or of its directory has
 * returned; states.h makes from the pending units the disks that a crash may leave. Stores
 * to mapped files are found by comparing, at each call, with what was there at the one
 * before.
 *
 * The disk also is
 * - a recorder: a hook is called after each call that changes something;
 * - the order checker (order.c): it looks at every change and remembers the first that
 *   breaks the order of writes and syncs that a store promises;
 * - a source of faults (fault.c): a call, or an allocation, fails by number;
 * - an account of descriptors, locks, mappings, blocks and pages that are held, and of
 *   the memory that was asked for.
 *
 * A `plain` disk is a fast one for programs that never lose power: nothing is pending, and
 * mappings are exact, so that AddressSanitizer reports an access behind a file's end.
 *
 * Not for several threads. Time stands still unless `clock` is moved; sim_disk_jump sets the
 * clock without time passing. */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "os.h"

#define SIM_PAGE 4096u  /* bytes that are written back as one */
#define SIM_SECTOR 512u /* bytes that the medium writes as one */
#define SIM_NAME_MAX 64u
#define SIM_ROOT 0u /* the node in which paths begin */

/* What a file is, as far as opening it goes. */
typedef enum sim_type { SIM_FILE, SIM_DIRECTORY, SIM_FIFO, SIM_LINK } sim_type;

typedef struct sim_entry {
  char name[SIM_NAME_MAX];
  uint32_t node;
} sim_entry;

/* A directory's entries. */
typedef struct sim_entries {
  sim_entry *items;
  uint32_t count, room;
} sim_entries;

/* A file's bytes; those behind `size` are zero. */
typedef struct sim_bytes {
  uint8_t *at;
  uint64_t size, room;
} sim_bytes;

/* The two kinds of locks, which know nothing of each other: fj_os.lock and fj_os.lock_dir. */
enum { SIM_LOCK, SIM_LOCK_DIR, SIM_LOCKS };

typedef struct sim_locks {
  uint32_t readers; /* holders of a shared lock */
  bool owned;       /* held by an exclusive one */
} sim_locks;

typedef struct sim_node {
  sim_type type;
  uint32_t parent;     /* of a directory */
  sim_bytes now;       /* what programs see; mappings point into it */
  sim_bytes disk;      /* what is durable */
  uint8_t *seen;       /* now.at as of the last look; NULL if there never was a writable map */
  uint8_t *holes;      /* 1 for each page that has no block; NULL: none is a hole */
  uint64_t hole_pages; /* in `holes`; those behind have blocks */
  bool lossy;          /* a sync failed and its pages were taken for clean */
  uint64_t changed;    /* a number that grows: sim_changes */
  uint32_t maps;       /* mappings of it */
  uint32_t writers;    /* those that may be written to */
  sim_locks locks[SIM_LOCKS];
  uint64_t bad_from, bad_end; /* bytes that cannot be read (EIO), but by mappings */
  sim_entries entries, durable;
} sim_node;

typedef enum sim_kind {
  SIM_DATA,   /* bytes of one page */
  SIM_SIZE,   /* truncate */
  SIM_GROW,   /* reserve */
  SIM_ADD,    /* a directory entry appears */
  SIM_REMOVE, /* one goes */
  SIM_MOVE    /* one is renamed, replacing another */
} sim_kind;

/* A change that is not durable yet. */
typedef struct sim_unit {
  sim_kind kind;
  uint32_t node;   /* the file, or the directory */
  uint32_t target; /* of an entry: the node that it names */
  bool mapped;     /* data: came by a mapping, which never makes a file longer */
  uint64_t offset;
  uint64_t size; /* data: bytes; size and grow: the file's new size */
  uint8_t *data; /* owned */
  char name[SIM_NAME_MAX], to[SIM_NAME_MAX];
} sim_unit;

typedef struct sim_handle {
  bool used;
  uint32_t node;
  unsigned flags; /* of fj_os.open */
  enum { SIM_UNLOCKED, SIM_SHARED, SIM_EXCLUSIVE } locks[SIM_LOCKS];
} sim_handle;

/* When fj_os_stat.changed tells of another time. */
typedef enum sim_changes {
  SIM_FROM_OUTSIDE, /* of what comes from outside alone: an engine that takes its own changes
                       for none is to notice no difference */
  SIM_ALL,          /* of what programs write, too, but not by mappings */
  SIM_ALWAYS        /* at each look */
} sim_changes;

/* What becomes of the pages when a sync fails. */
typedef enum sim_loss {
  SIM_KEEP_DIRTY, /* they stay as they are: a later sync may succeed */
  SIM_MARK_CLEAN, /* they can be read but are never written */
  SIM_DROP        /* they read as what is durable */
} sim_loss;

/* What a call that fails has done all the same. */
typedef enum sim_effect {
  SIM_NOTHING,
  SIM_HALF, /* a write: the first half; other calls: nothing */
  SIM_WHOLE /* all that it was asked for */
} sim_effect;

/* Which calls fail, and how. Calls that can fail are counted from 1. */
typedef struct sim_fault {
  long at;           /* the number of the call; 0: none */
  bool on;           /* and all after it */
  int code;          /* an errno; EINTR: the calls that may be interrupted (os.h); 0: a read
                        or write is short (other calls do not fail) */
  sim_loss loss;     /* when a sync fails */
  bool sync;         /* the next sync of a file fails by `code`, whatever its number */
  long sync_dir;     /* the so-manieth sync of a directory from now on fails by EIO, and the
                        entries are taken for clean; 0: none */
  sim_effect effect; /* when a call fails by EIO; of those in a row the first */
  long memory_at;    /* likewise for allocations */
  bool memory_on;
  uint64_t random; /* not 0: a seed; one call of each 16 fails, by some errno, and one
                      allocation of each 8 */
} sim_fault;

/* Memory that was asked for, in bytes. */
typedef struct sim_account {
  uint64_t largest; /* at once */
  uint64_t total;   /* whether given back or not */
} sim_account;

/* A call that failed. */
typedef struct sim_failure {
  const char *call; /* its name in the table; "memory" for the allocations */
  int code;         /* an errno */
  char path[96];    /* what it was about ("db/1.data"); empty if that has no name */
} sim_failure;

#define SIM_FAILURES 512u /* are remembered */

typedef struct sim_disk sim_disk;
typedef struct sim_block sim_block;

struct sim_disk {
  fj_os os; /* give its address to freyja_options */
  sim_node *nodes;
  uint32_t node_count, node_room;
  sim_handle *handles;
  uint32_t handle_count;
  sim_unit *units; /* pending, oldest first */
  uint32_t unit_count, unit_room;

  /* Called after each change, with the name of the call that made it, "store" for stores
   * to mapped files. It may not use the disk but for states.h. */
  void (*hook)(void *argument, sim_disk *disk, const char *call);
  void *argument;

  sim_fault fault;
  long calls;       /* that could fail: all but allocations, clocks and unmap */
  long allocations; /* likewise */
  long failed_calls, failed_allocations; /* since sim_disk_fail */
  sim_failure *failures;  /* the first of those since sim_disk_forget, SIM_FAILURES at most */
  uint32_t failure_count; /* all of them */
  sim_failure first_failure; /* since sim_disk_fail; its call is NULL: none */
  bool faulty;     /* some call failed since a test last said false: what a write left behind
                      the log's end may be cut off (O5) */
  bool lost;       /* a sync that failed left pages that will not reach the disk, likewise */
  bool dropped;    /* and dropped them */
  bool no_reserve; /* reserve says that the file system cannot */
  bool no_link;    /* link says so */
  bool plain;      /* see above; set it on an empty disk */
  sim_changes changes;
  uint64_t space;  /* bytes that all files together may take; 0: no limit */
  uint64_t clock;  /* microseconds since the epoch */
  uint64_t jumped; /* how far it was set, and not moved by time */
  uint64_t seed;   /* of random() and of garbage */
  uint32_t sample; /* states.h: of the disks that a loss of power may leave about so many are
                      made, by the seed, besides the few that stand for all; 0: each */

  sim_block *blocks; /* what was allocated and not released */
  long handles_held, locks_held, maps_held, blocks_held, pages_held;
  sim_account memory, pages; /* blocks, and pages that may never be touched */
  uint64_t bytes_held;       /* of both, now, */
  uint64_t bytes_peak;       /* and the most that there ever were at once */
  uint64_t page_limit;       /* bytes of pages that can be had at once; 0: no limit */
  bool unchecked;            /* the order checker is off */
  char broken[200];          /* what the order checker found; empty: nothing */
};

/* An empty disk with a root directory, the given seed and a clock that is not 0. */
sim_disk *sim_disk_create(uint64_t seed);
void sim_disk_destroy(sim_disk *disk);

/* A durable copy of what programs see now, without handles. */
sim_disk *sim_disk_copy(sim_disk *disk);

/* A copy with what is pending, without handles: what a killed process leaves. */
sim_disk *sim_disk_clone(const sim_disk *disk);

/* Finds stores to mapped files since the last call, as any call does. */
void sim_disk_look(sim_disk *disk);

/* The clock is set forward by so many microseconds, or back. */
void sim_disk_jump(sim_disk *disk, int64_t by);

/* The process dies: everything that it held is gone, what it wrote is there and pending.
 * No pointer that the engine gave may be used any more. */
void sim_disk_kill(sim_disk *disk);

/* The writers die, and nobody else: the exclusive locks are gone. What else they held is given
 * back with the disk; they must not be used any more. */
void sim_disk_orphan(sim_disk *disk);

/* The sum of what is held: 0 when everything was given back. */
long sim_disk_held(const sim_disk *disk);

/* Sets the fault and counts calls and allocations anew. */
void sim_disk_fail(sim_disk *disk, const sim_fault *fault);

/* Forgets the failures. */
void sim_disk_forget(sim_disk *disk);

/* ---- from outside: durable at once, unknown to the checker and the recorder  */

/* The node of `path` ("db/1.data"); UINT32_MAX if there is none. */
uint32_t sim_disk_find(const sim_disk *disk, const char *path);

/* The node of the directory that a node is in, and its name there; UINT32_MAX if it has none.
 */
uint32_t sim_disk_name(const sim_disk *disk, uint32_t node, const char **name);

/* Makes `path` a file with these bytes, or changes it to that. */
void sim_disk_put(sim_disk *disk, const char *path, const void *bytes, uint64_t size);

/* Puts these bytes over those of the file `path`, which has them, and durably so. */
void sim_disk_put_part(sim_disk *disk, const char *path, uint64_t offset, const void *bytes,
                       uint64_t size);

/* Bytes of all files that have a name, but for holes: the space that is taken. */
uint64_t sim_disk_taken(const sim_disk *disk);

/* Makes holes of all pages of the file `path` that are zeros, as a copy does that leaves them
 * out. They take no space until they are written or reserved; a store to one by a mapping
 * breaks the order: on a full disk it would be the process's end. */
void sim_disk_punch(sim_disk *disk, const char *path);

/* Makes `path` something of that type without content. */
void sim_disk_put_type(sim_disk *disk, const char *path, sim_type type);

/* From now on reading any of those bytes of the file fails. */
void sim_disk_make_unreadable(sim_disk *disk, const char *path, uint64_t offset,
                              uint64_t size);

/* Removes `path` if it is there. */
void sim_disk_remove(sim_disk *disk, const char *path);

/* The bytes of the file `path`: valid until it changes; NULL if there is no such file. */
const uint8_t *sim_disk_bytes(const sim_disk *disk, const char *path, uint64_t *size);

/* ---- for the other files of this folder ------------------------------- */

uint32_t sim_node_new(sim_disk *disk, sim_type type);
void sim_bytes_resize(sim_bytes *bytes, uint64_t size); /* what is new is zero */
uint32_t sim_entries_find(const sim_entries *entries,
                          const char *name); /* node or UINT32_MAX */
void sim_entries_set(sim_entries *entries, const char *name, uint32_t node);
void sim_entries_remove(sim_entries *entries, const char *name);

bool sim_is_hole(const sim_node *node, uint64_t offset);

/* order.c: looks at a change before it happens. */
void sim_order_unit(sim_disk *disk, const sim_unit *unit);
void sim_order_break(sim_disk *disk, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
