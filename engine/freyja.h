/* freyja.h - the public C API of freyja, an embedded log-structured key-value
 * store. The only header that an embedder includes.
 *
 * Every fallible function returns a freyja_status and takes, last, an optional
 * freyja_error that it fills when the status is a fault (freyja_is_fault).
 * Keys and values are bytes with a length: any byte, not NUL-terminated; a
 * pointer may be NULL when its length is 0, and otherwise only where that is said. A handle is
 * used by one thread at a time, and by the process that opened it only: after fork() the
 * child's calls return FREYJA_FORKED. What works there shows the store as it was at the fork:
 * freyja_iterator_next of iterators opened before, views, freyja_get_stats,
 * freyja_get_segments; and freyja_close, which then touches no file. (Of a store that had more
 * than one handle not even these: they are FREYJA_FORKED, and statistics all 0.) As long as a
 * child has the handle, and has not called exec, the store stays locked, even when the parent
 * has closed it. */
#ifndef FREYJA_H
#define FREYJA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FREYJA_VERSION "0.1.0" /* of the library; the format's is in FORMAT.md */

#define FREYJA_KEY_SIZE_MAX 65535u                     /* bytes */
#define FREYJA_SEGMENT_SIZE_DEFAULT (256u << 20)       /* bytes */
#define FREYJA_SEGMENT_SIZE_MIN 4096u                  /* bytes */
#define FREYJA_SEGMENT_SIZE_MAX (UINT32_C(2048) << 20) /* bytes: 2 GiB */
#define FREYJA_SYNC_MS_DEFAULT 1000                    /* milliseconds */
#define FREYJA_SYNC_MS_MAX 86400000u                   /* milliseconds: a day */

#if defined(__GNUC__)
#define FREYJA_API __attribute__((visibility("default")))
#else
#define FREYJA_API
#endif

/* Outcomes. The first group answers a question, the second are faults. */
typedef enum freyja_status {
  FREYJA_OK = 0,
  FREYJA_NOTFOUND = 1, /* the key is proven absent */
  FREYJA_EXISTS = 2,   /* insert: the key is there; nothing was written */
  FREYJA_MISMATCH = 3, /* cas: the value is not the expected one; nothing was written */
  FREYJA_END = 4,      /* an iterator has no more entries */

  FREYJA_IO = 16,  /* the operating system refused; error.os_code is its errno */
  FREYJA_CORRUPT,  /* bytes on disk fail verification; error.path is the file, and the message
                      names the offset where it is not about the file as a whole */
  FREYJA_FULL,     /* no space, quota or file size left; nothing was written */
  FREYJA_LOCKED,   /* another process has the store open for writing */
  FREYJA_READONLY, /* a write to a store opened read-only */
  FREYJA_POISONED, /* an earlier sync failed: no more writes until all handles of the store in
                    * this process are closed, and it is opened again */
  FREYJA_FORKED,   /* the handle belongs to the parent process */
  FREYJA_CLOSED,   /* the handle, or the store of an iterator, is closed */
  FREYJA_CONFLICT, /* a rewrite is under way, or a bulk load; what a serializable transaction
                    * has read was changed; this process has the store open with other options
                    */
  FREYJA_LIMIT,    /* a key, value or setting is outside its limits; nothing was written */
  FREYJA_MEMORY,   /* no memory; nothing was written */
  FREYJA_FORMAT    /* the store's format is not one that this library reads */
} freyja_status;

/* What went wrong. `message` and `path` are always NUL-terminated. */
typedef struct freyja_error {
  freyja_status status;
  int os_code;       /* errno of the system call that failed, or 0 */
  char message[224]; /* one sentence, without the path */
  char path[288];    /* the file or directory it is about; may be empty; a long
                        one keeps its end, after "..." */
} freyja_error;

/* Borrowed bytes. */
typedef struct freyja_slice {
  const void *data; /* may be NULL iff size is 0 */
  size_t size;      /* bytes */
} freyja_slice;

/* The stable lower-case name of a status: "ok", "corrupt", "locked"... */
FREYJA_API const char *freyja_status_name(freyja_status status);

/* True for the statuses that are faults, and fill a freyja_error. */
FREYJA_API bool freyja_is_fault(freyja_status status);

/* ---- opening ---------------------------------------------------------- */

/* What a thread has of an open store. A handle, and what was opened by it, are for one thread
 * at a time; other threads open the store once more, and share it. */
typedef struct freyja freyja;

typedef enum freyja_io {
  FREYJA_IO_MMAP = 0, /* reads and appends through mapped files: fastest. A failing disk, or a
                         file that somebody else shortens, is a signal (SIGBUS). Takes
                         addresses: a segment_size for the file being written */
  FREYJA_IO_SYSCALL = 1, /* pread and pwrite: the same is an error */
  FREYJA_IO_DEFAULT = 2, /* as the store is open in this process already, or else mapped */
} freyja_io;

typedef enum freyja_sync_mode {
  FREYJA_SYNC_INTERVAL = 0, /* when sync_ms have passed since the last sync: at a write, or, if
                               none comes, by a thread of the library */
  FREYJA_SYNC_NONE = 1,     /* at rotation, freyja_sync and freyja_close only */
  FREYJA_SYNC_ALWAYS = 2,   /* before each write returns */
  FREYJA_SYNC_DEFAULT = 3,  /* as the store is open in this process already, or else the first;
                               with another sync_ms than the default the first */
} freyja_sync_mode;

struct fj_os;

/* Set every field by freyja_options_init before changing any. */
typedef struct freyja_options {
  bool readonly; /* false. Writes nothing, whether a writer is at work or not: see
                    freyja_refresh. Where none is, syncs what it shows, but cannot mend what a
                    failed sync of a writer has left: pages that are read as written and are
                    not on the disk. A writer's open does */
  bool create;   /* true. Make the directory (the path's last level, mode 0700) and the store
                    (files: 0600) if missing. Any directory can become a store */
  freyja_sync_mode sync_mode; /* FREYJA_SYNC_DEFAULT */
  uint32_t sync_ms;           /* FREYJA_SYNC_MS_DEFAULT; 1 to FREYJA_SYNC_MS_MAX */
  uint32_t segment_size;      /* 0: as the store is open in this process already, or else
                                 FREYJA_SEGMENT_SIZE_DEFAULT. Bytes; a segment, its header
                                 included, grows no larger; MIN to MAX above. May differ at
                                 each open; holds for segments begun from then on */
  freyja_io io;               /* FREYJA_IO_DEFAULT */
  uint32_t hash_bits;         /* 64. Top bits of the index's hash in use, 1 to 64; kept by the
                                 store from its creation on. Fewer only to test collisions: an
                                 open that finds too many of them (thousands of keys for
                                 1 bit, hundreds of thousands for 12) is refused, LIMIT */
  const struct fj_os *os;     /* NULL: the operating system. For tests (engine/os.h) */
} freyja_options;

FREYJA_API void freyja_options_init(freyja_options *options);

/* Opens the store in directory `path`, recovering it from whatever a crash
 * left; options may be NULL for the defaults. On success *out is a handle for
 * freyja_close; on failure it is NULL and nothing is held. Faults: IO, CORRUPT
 * (the MANIFEST is damaged, missing, or not the data's: freyja_repair reads such a store),
 * LOCKED, FORMAT, LIMIT (an option), MEMORY, FULL (a torn tail needs room in lost/). Opening
 * read-only or without `create` what does not exist is IO (ENOENT). Damage within data files
 * does not prevent opening: see freyja_recovery and FREYJA_CORRUPT. Read-only also CONFLICT,
 * as freyja_refresh.
 *
 * A store that this process has open for writing is shared: the handles have one index and one
 * log, whatever their paths are called, and calls of several threads take turns. CONFLICT if
 * the options ask for another io, segment_size or sync than it has. What is opened read-only
 * is a store of its own: see freyja_refresh. */
FREYJA_API freyja_status freyja_open(const char *path, const freyja_options *options,
                                     freyja **out, freyja_error *error);

/* Opens the store of a handle that is open once more, for another thread, whatever has become
 * of its path. Faults: MEMORY, FORKED, READONLY. */
FREYJA_API freyja_status freyja_open_again(freyja *db, freyja **out, freyja_error *error);

/* Syncs, and releases everything with the last handle of a store, even when it returns a fault
 * (the first one met; POISONED if an earlier sync failed). What was opened by this handle
 * turns inert; views stay valid until released. NULL is allowed. In a forked child it releases
 * without touching the files. */
FREYJA_API freyja_status freyja_close(freyja *db, freyja_error *error);

/* ---- reading and writing ---------------------------------------------- */

/* A put that returned OK survives the death of the process, and power loss
 * under FREYJA_SYNC_ALWAYS. A fault has changed nothing that a reader sees.
 * Faults of the writing calls: LIMIT, FULL, IO, READONLY, POISONED, FORKED,
 * MEMORY, CORRUPT (damage makes it impossible to tell whether the key exists).
 * The key is 0 to FREYJA_KEY_SIZE_MAX bytes; the whole record (24 bytes, key,
 * value, rounded up to 8; see freyja_put_ttl) must fit a segment behind its 128-byte header.
 */
FREYJA_API freyja_status freyja_put(freyja *db, const void *key, size_t key_size,
                                    const void *value, size_t value_size, freyja_error *error);

/* As put, but EXISTS if the key is there. */
FREYJA_API freyja_status freyja_insert(freyja *db, const void *key, size_t key_size,
                                       const void *value, size_t value_size,
                                       freyja_error *error);

/* Replaces the value if it equals *expected (NULL: the key is absent) by
 * *desired (NULL: delete it); MISMATCH otherwise. */
FREYJA_API freyja_status freyja_cas(freyja *db, const void *key, size_t key_size,
                                    const freyja_slice *expected, const freyja_slice *desired,
                                    freyja_error *error);

/* OK if the key was there and is gone, NOTFOUND if it was not there. */
FREYJA_API freyja_status freyja_delete(freyja *db, const void *key, size_t key_size,
                                       freyja_error *error);

/* As put, insert and cas, for a value that expires `ttl` microseconds from now, as if it were
 * deleted then; 0: never, and what is written without a ttl never expires. Its record is 8
 * bytes longer. LIMIT if the time of its end has no 64 bits. Where cas deletes, ttl counts for
 * nothing.
 *
 * A store's time is the system's clock, but while the store is open it never goes back, and
 * when it is opened it is not before the newest record's timestamp. */
FREYJA_API freyja_status freyja_put_ttl(freyja *db, const void *key, size_t key_size,
                                        const void *value, size_t value_size, uint64_t ttl,
                                        freyja_error *error);
FREYJA_API freyja_status freyja_insert_ttl(freyja *db, const void *key, size_t key_size,
                                           const void *value, size_t value_size, uint64_t ttl,
                                           freyja_error *error);
FREYJA_API freyja_status freyja_cas_ttl(freyja *db, const void *key, size_t key_size,
                                        const freyja_slice *expected,
                                        const freyja_slice *desired, uint64_t ttl,
                                        freyja_error *error);

/* OK, and in *ttl the microseconds until the key's value expires, 0 if it never does; NOTFOUND
 * and faults as freyja_has. */
FREYJA_API freyja_status freyja_ttl(freyja *db, const void *key, size_t key_size,
                                    uint64_t *ttl, freyja_error *error);

/* Copies the value into buffer if it fits `capacity` bytes. *value_size gets
 * the value's size in either case: when it is larger than capacity, nothing
 * was copied; call again with room. OK or NOTFOUND (for a key longer than any
 * may be, too); faults: CORRUPT, IO, FORKED, MEMORY. The bytes copied have passed their
 * checksum. */
FREYJA_API freyja_status freyja_get(freyja *db, const void *key, size_t key_size, void *buffer,
                                    size_t capacity, size_t *value_size, freyja_error *error);

/* A key whose value is asked for together with others', and what came of it. */
typedef struct freyja_item {
  const void *key; /* borrowed; may be NULL iff key_size is 0 */
  size_t key_size; /* bytes */
  bool found;
  size_t offset; /* where in the buffer the value lies, if it was found and fits */
  size_t size;   /* bytes of the value, if it was found */
} freyja_item;

/* Copies the values of several keys, all as of one moment, one behind the other into the
 * buffer, as far as each still fits `capacity` bytes. *needed gets the bytes that all of them
 * take: when that is more than capacity, call again with room. Much faster than freyja_get for
 * each where the keys are many, since their cache misses overlap. OK, or the first fault
 * met: those of freyja_get; what is in items and buffer is then undefined. */
FREYJA_API freyja_status freyja_get_many(freyja *db, freyja_item *items, size_t count,
                                         void *buffer, size_t capacity, size_t *needed,
                                         freyja_error *error);

/* OK if the key is there, NOTFOUND if not, as freyja_get; does not read the value. */
FREYJA_API freyja_status freyja_has(freyja *db, const void *key, size_t key_size,
                                    freyja_error *error);

/* A value that stays where it is: in the mapped file, or in a block of its own
 * under FREYJA_IO_SYSCALL. */
typedef struct freyja_view {
  const void *data; /* valid until freyja_view_release, whatever happens to the store */
  size_t size;      /* bytes */
  void *owner;      /* the library's */
} freyja_view;

/* As freyja_get, without the copy. On OK *view must be released; otherwise it
 * is all zeros. */
FREYJA_API freyja_status freyja_get_view(freyja *db, const void *key, size_t key_size,
                                         freyja_view *view, freyja_error *error);

/* Releases a view and zeroes it; a zero view is allowed. By any thread, before or after the
 * store is closed. */
FREYJA_API void freyja_view_release(freyja_view *view);

/* Of a store that is open read-only: shows what a writer, of this process or another, has
 * written since the open or the last refresh, all that it had committed at some moment; never
 * half of a transaction. *changed: there was something. Takes time in proportion to that; but
 * under FREYJA_IO_SYSCALL all is read anew when segments were merged, as it is where damage is
 * met. Then iterators end (CLOSED); otherwise they go on, and show what they did. Of a store
 * that is open for writing does nothing. Between a merge and the next refresh a get under
 * FREYJA_IO_SYSCALL may be IO (ENOENT). Faults: IO, MEMORY, LIMIT, CORRUPT, FORMAT, FORKED,
 * CONFLICT (a writer merges or rotates faster than that can be followed);
 * after some of them nothing can be read, by the same fault, until another refresh is OK. */
FREYJA_API freyja_status freyja_refresh(freyja *db, bool *changed, freyja_error *error);

/* Makes everything written so far durable. A failure poisons the store. */
FREYJA_API freyja_status freyja_sync(freyja *db, freyja_error *error);

/* Seals the active segment and begins a new one; does nothing if it is empty. */
FREYJA_API freyja_status freyja_rotate(freyja *db, freyja_error *error);

/* Writes the hint file of the sealed segment `id` (freyja_segment), anew if there is one:
 * where the latest record of each of its keys is, so that the next open need not read the data
 * file. Reads all of that, and puts 16 bytes a key into the file `id`.hint; takes at most 16
 * MiB of memory, and under FREYJA_IO_SYSCALL the largest record of the segment. A hint says
 * nothing that the data file does not: without it, or where it does not fit, an open is
 * slower. Faults: CORRUPT (bytes of the data file fail verification; it has no hint then, so
 * that each open tells of them), LIMIT (there is no such segment, or it is not sealed), IO,
 * FULL, READONLY, POISONED, FORKED, MEMORY; none of them changes anything. */
FREYJA_API freyja_status freyja_hint(freyja *db, uint64_t id, freyja_error *error);

/* As freyja_hint, a part at a time: goes on by about `bytes`, read or written. OK if there is
 * more to do, END when the file is in its place. A hint file that was begun of another segment
 * is given up (but when that was so several times in turn, this one is written in one go); so
 * is this one by freyja_hint, by a fault, or when its segment is merged: then it begins anew.
 */
FREYJA_API freyja_status freyja_hint_step(freyja *db, uint64_t id, uint64_t bytes,
                                          freyja_error *error);

/* Syncs, and writes the key directory to the file KEYDIR: the next open then takes it over,
 * whatever the number of keys, and reads only what was written behind it. Time in proportion
 * to the keys, and 20 to 25 bytes of disk for each; nothing is done if nothing was written
 * since the last one, or if there never was a key. It counts until a merge takes in segments
 * that it covers. freyja_close writes one by itself when much of the log would have to be read
 * otherwise. A KEYDIR says nothing that the data files do not: without it, or where it does
 * not fit, an open is slower. Faults: CORRUPT (a data file is damaged; there is none then, so
 * that each open tells of it), LIMIT (more than 4096 segments, and one for each slot of the
 * key directory, were there at the same time since the open), IO, FULL, READONLY, POISONED,
 * FORKED, MEMORY; none of them changes anything but what freyja_sync does. */
FREYJA_API freyja_status freyja_checkpoint(freyja *db, freyja_error *error);

/* ---- iterating -------------------------------------------------------- */

typedef struct freyja_iterator freyja_iterator;

typedef enum freyja_order {
  FREYJA_ORDER_LOG = 0, /* as the records lie in the log: sequential reads */
  FREYJA_ORDER_KEY = 1, /* by key, bytewise; sorts first: memory for all keys that match */
} freyja_order;

typedef struct freyja_iterator_options {
  freyja_slice prefix; /* only keys that begin so; empty: all */
  freyja_order order;  /* FREYJA_ORDER_LOG */
  bool keys_only;      /* false. Values are neither read nor verified; entry.value is empty */
} freyja_iterator_options;

typedef struct freyja_entry {
  freyja_slice key;   /* both valid until the next call on the iterator, and */
  freyja_slice value; /* one behind the other in memory, as in the record */
  uint64_t timestamp; /* microseconds since the epoch; increases with every write */
  uint64_t expiry;    /* likewise; 0: it does not expire */
} freyja_entry;

/* Iterates the store as it is now, whatever is written, and expires, meanwhile. options may
 * be NULL. *out is for freyja_iterator_close. Faults: MEMORY, FORKED, IO. */
FREYJA_API freyja_status freyja_iterator_open(freyja *db,
                                              const freyja_iterator_options *options,
                                              freyja_iterator **out, freyja_error *error);

/* OK and the next entry, or END. After a fault the next call goes on behind what it was
 * about, so a loop that goes on after every fault ends: CORRUPT, an entry that fails its
 * checksum, and, once, in place of END, that damage may hide entries; IO or MEMORY, an entry
 * or a part of a data file that could not be read; CLOSED, once: the store has been closed.
 */
FREYJA_API freyja_status freyja_iterator_next(freyja_iterator *iterator, freyja_entry *entry,
                                              freyja_error *error);

/* Releases it; before or after its store is closed; NULL is allowed. */
FREYJA_API void freyja_iterator_close(freyja_iterator *iterator);

/* ---- transactions ------------------------------------------------------- */

/* Puts and deletions that take place together: when they are committed, all of them are there
 * for every reader, and after every crash, or none is. Until then nobody else sees them. Any
 * number of transactions may be open at a time; none of them makes others wait. */
typedef struct freyja_transaction freyja_transaction;

typedef struct freyja_transaction_options {
  bool serializable; /* false: read-committed. The commit fails with CONFLICT if a key that the
                        transaction has read, or that begins as those that it has iterated, has
                        been written or has expired since: what is committed could then as well
                        have run all at once, one after the other. */
} freyja_transaction_options;

/* Begins one; options may be NULL for the defaults. *out is for freyja_transaction_close.
 * Faults: MEMORY, FORKED; serializable, while the keys of a rewrite that has changed values
 * are being moved, also those of freyja_rewrite_step. */
FREYJA_API freyja_status freyja_begin(freyja *db, const freyja_transaction_options *options,
                                      freyja_transaction **out, freyja_error *error);

/* As freyja_get and freyja_has, but the transaction's own writes come first; what it has not
 * written is as the store has it now. Further faults: CLOSED (it is committed, or its store is
 * closed). */
FREYJA_API freyja_status freyja_transaction_get(freyja_transaction *transaction,
                                                const void *key, size_t key_size, void *buffer,
                                                size_t capacity, size_t *value_size,
                                                freyja_error *error);
FREYJA_API freyja_status freyja_transaction_has(freyja_transaction *transaction,
                                                const void *key, size_t key_size,
                                                freyja_error *error);

/* As freyja_iterator_open, with the transaction's own writes of now. Of those, in the log's
 * order the last, an entry's timestamp and expiry are 0. It goes on when the transaction is
 * committed or closed. Further faults: CLOSED. */
FREYJA_API freyja_status freyja_transaction_iterate(freyja_transaction *transaction,
                                                    const freyja_iterator_options *options,
                                                    freyja_iterator **out,
                                                    freyja_error *error);

/* As freyja_put_ttl; the time to live (microseconds, 0: for ever) begins with the commit.
 * LIMIT also if the records of all that may be to commit would not fit one segment, deletions
 * of what is not there included. Takes memory for key and value, and some 120 bytes. Further
 * faults: CLOSED. */
FREYJA_API freyja_status freyja_transaction_put(freyja_transaction *transaction,
                                                const void *key, size_t key_size,
                                                const void *value, size_t value_size,
                                                uint64_t ttl, freyja_error *error);

/* OK if the key was there, for the transaction, and is gone; NOTFOUND if it was not there. As
 * freyja_transaction_put. */
FREYJA_API freyja_status freyja_transaction_delete(freyja_transaction *transaction,
                                                   const void *key, size_t key_size,
                                                   freyja_error *error);

/* Makes all of it visible, as one, and under FREYJA_SYNC_ALWAYS durable. Then the transaction
 * has ended. On a fault nothing has changed that a reader sees, and it is still open:
 * CONFLICT, which cannot become better, CLOSED, and those of freyja_put. */
FREYJA_API freyja_status freyja_transaction_commit(freyja_transaction *transaction,
                                                   freyja_error *error);

/* Releases it, before or after its store is closed; what is not committed has not happened.
 * NULL is allowed. */
FREYJA_API void freyja_transaction_close(freyja_transaction *transaction);

/* ---- bulk loading -------------------------------------------------------- */

/* Puts many records at once, faster than one by one, all of which become visible
 * when it is committed. Until then, and if it never is, nothing has happened. */
typedef struct freyja_load freyja_load;

/* Begins one; one at a time. Until it ends other writes are refused: CONFLICT. *out is for
 * freyja_load_close. Faults: those of freyja_put, and CONFLICT. */
FREYJA_API freyja_status freyja_load_open(freyja *db, freyja_load **out, freyja_error *error);

/* Adds a record, as freyja_put_ttl; of several of one key the last counts. Takes 16 bytes of
 * memory until the end, and 40 more then if the key is there. Faults: LIMIT (of this record:
 * the load goes on); all others end the load, and nothing has happened: FULL, IO, MEMORY,
 * POISONED, FORKED, CLOSED. */
FREYJA_API freyja_status freyja_load_put(freyja_load *load, const void *key, size_t key_size,
                                         const void *value, size_t value_size, uint64_t ttl,
                                         freyja_error *error);

/* Makes all of it visible, and durable whatever the sync mode. Begins a new data file, unless
 * the one being written is empty. Then the load has ended, also by a fault: as above, and
 * CORRUPT.
 */
FREYJA_API freyja_status freyja_load_commit(freyja_load *load, freyja_error *error);

/* Releases it, before or after its store is closed; what is not committed has not happened.
 * NULL is allowed. */
FREYJA_API void freyja_load_close(freyja_load *load);

/* ---- merging ------------------------------------------------------------ */

/* Copies what is live of some sealed segments to new ones, which take their place: the space
 * of what is dead comes back. Until it is committed nothing has happened. */
typedef struct freyja_rewrite freyja_rewrite;

/* Begins to rewrite the segments with these ids, in any order; one rewrite at a time. The
 * store may be read and written meanwhile. Takes less than 1 MiB of memory, with io =
 * FREYJA_IO_SYSCALL also twice the largest record. *out is for freyja_rewrite_close. Faults:
 * LIMIT (an id that is unknown, stands twice, or is that of the segment being written),
 * CONFLICT (another rewrite is open; one that is committed is brought to its end instead),
 * CORRUPT (one of them, or one above them, is damaged: what is damaged is not thrown away),
 * READONLY, POISONED, FORKED, MEMORY. */
FREYJA_API freyja_status freyja_rewrite_open(freyja *db, const uint64_t *ids, size_t count,
                                             freyja_rewrite **out, freyja_error *error);

/* From now on another freyja_rewrite_open does not fail because this one is open, but takes
 * its place: if it was committed, what was left is done first; if not, nothing has happened,
 * and its further calls are CLOSED. For work that somebody else's must not wait for. */
FREYJA_API void freyja_rewrite_give_way(freyja_rewrite *rewrite);

/* Goes on until about `bytes` more of the segments are read, or a record more: OK if there is
 * more to do, END if not. Before the commit it copies records; after it, it makes the keys
 * point to the copies, and removes the old files that nobody reads, a piece of one a step.
 * Faults before the commit end the rewrite: CORRUPT, IO, FULL, MEMORY, CLOSED and those of
 * freyja_put. After it they change nothing: the old files go on being read. */
FREYJA_API freyja_status freyja_rewrite_step(freyja_rewrite *rewrite, uint64_t bytes,
                                             freyja_error *error);

/* Record by record in place of freyja_rewrite_step: the next live one, OK or END: always a
 * put, since tombstones are what keeps the dead dead. One that is neither kept nor dropped
 * before the next call is kept. Key and value are valid until the next call on the rewrite. */
FREYJA_API freyja_status freyja_rewrite_next(freyja_rewrite *rewrite, freyja_entry *entry,
                                             freyja_error *error);

/* Copies the record that freyja_rewrite_next gave; with *value in place of its value, if that
 * is not NULL: timestamp and expiry stay. Readers see it when the keys point to the copies,
 * each key's at its own moment; iterators that were begun before see the value as it was.
 * LIMIT if it does not fit a segment, unless the value was as long before: the record can
 * still be kept or dropped. */
FREYJA_API freyja_status freyja_rewrite_keep(freyja_rewrite *rewrite,
                                             const freyja_slice *value, freyja_error *error);

/* Deletes its key, if it is not written again before the rewrite is through. */
FREYJA_API freyja_status freyja_rewrite_drop(freyja_rewrite *rewrite, freyja_error *error);

/* Copies what is left and puts the new segments in the place of the old ones, durably, the
 * store's log included. freyja_rewrite_step or freyja_rewrite_close does the rest. Faults: as
 * freyja_rewrite_step; the store is poisoned if it is not known whether it happened. */
FREYJA_API freyja_status freyja_rewrite_commit(freyja_rewrite *rewrite, freyja_error *error);

/* Releases it, before or after its store is closed; what is not committed has not happened.
 * Keys that cannot be made to point to their copies now, because of a fault, are by the next
 * freyja_rewrite_open, freyja_verify or freyja_backup, which fails if they still cannot.
 * NULL is allowed. */
FREYJA_API void freyja_rewrite_close(freyja_rewrite *rewrite);

typedef struct freyja_progress {
  uint64_t bytes;   /* of records in the segments that are rewritten */
  uint64_t done;    /* of those, how many were read */
  uint64_t written; /* bytes of the copies */
  uint64_t outputs; /* segments that they are in */
} freyja_progress;

FREYJA_API void freyja_rewrite_progress(const freyja_rewrite *rewrite, freyja_progress *out);

/* ---- looking inside ---------------------------------------------------- */

/* What the last open found and did. */
typedef struct freyja_recovery {
  uint64_t records;       /* valid records read in data files, tombstones included */
  uint64_t bytes_cut;     /* torn bytes at the log's end, moved to lost/; read-only: found */
  uint64_t files_scanned; /* data files; of the others the hint files were read */
  uint64_t hints_used;    /* hint files */
  uint64_t hints_ignored; /* hint files that are there and do not fit, or are damaged: their
                             data files were scanned; after one of which that showed only while
                             it was loaded, all are */
  uint64_t damaged;       /* spans of bytes that fail verification, or that the disk could not
                             read, and were left in place; not what was damaged since */
  double milliseconds;    /* time that the open took */
  freyja_error damage;    /* the first damage, with file and offset: CORRUPT, or IO if it could
                             not be read; status OK if none */
  freyja_error hint;    /* the first hint file that was ignored, and why; status OK if none */
  bool checkpoint_used; /* the KEYDIR: what it covers was not read */
  freyja_error checkpoint; /* why it was ignored, or found to be damaged since; status OK if it
                              was not, or if there is none */
} freyja_recovery;

typedef struct freyja_stats {
  uint64_t keys;          /* live keys */
  uint64_t segments;      /* data files */
  uint64_t bytes;         /* of all segments: headers and records, not the reserve */
  uint64_t live_bytes;    /* of the records that keys point to; see freyja_segment */
  uint64_t dead_bytes;    /* of the others */
  uint64_t pending_bytes; /* of files that merges have replaced and that are still read */
  uint64_t index_bytes;   /* memory of the key directory */
  uint64_t generation;    /* of the MANIFEST: grows with every rotation */
  uint64_t puts;          /* since the open: records written */
  uint64_t deletes;       /* since the open: tombstones written */
  uint64_t syncs;         /* since the open: syncs of the log */
  uint64_t iterators;     /* open now */
  bool poisoned;          /* writes are refused until it is reopened */
  bool readonly;
  freyja_io io;
  freyja_sync_mode sync_mode;
  uint32_t sync_ms;
  uint32_t segment_size; /* bytes */
  char store_id[33];     /* 32 hex digits */
  freyja_recovery recovery;
} freyja_stats;

/* One segment. The bytes of a record of more than 4 KiB count as live rounded
 * up by at most 0.4 %. */
typedef struct freyja_segment {
  uint64_t id;    /* of the file `id`.data; never reused */
  uint64_t rank;  /* 0 is the oldest; records of a higher rank win */
  uint64_t bytes; /* header and records */
  uint64_t live_bytes;
  uint64_t dead_bytes;
  uint64_t keys;       /* put records */
  uint64_t live_keys;  /* put records that a key points to */
  uint64_t tombstones; /* tombstone records */
  uint64_t oldest;     /* timestamps of its records, 0 if it has none */
  uint64_t newest;
  uint64_t expires; /* when the first of its put records expires, or has; 0: none does */
  uint64_t began; /* when the merge or the load began that has made it, a timestamp later than
                     those of all records then; or 0 */
  bool sealed;    /* false for the one being written */
  bool damaged;   /* some of its bytes fail verification */
  bool merged;    /* made as a whole, by a merge or a bulk load */
  bool has_hint;  /* a hint file that the open has used, or that was written since */
} freyja_segment;

/* Cheap: no input or output, but when values have expired since they were counted last:
 * then the headers of those that expire are read. A forked child counts them as they were. */
FREYJA_API void freyja_get_stats(freyja *db, freyja_stats *out);

/* Fills out[0..min(capacity, n)-1] in rank order and returns n, the number of
 * segments. out may be NULL if capacity is 0. */
FREYJA_API size_t freyja_get_segments(freyja *db, freyja_segment *out, size_t capacity);

/* As freyja_get_segments, but what has expired since it was counted last still counts as live:
 * whatever expires, it takes no time. */
FREYJA_API size_t freyja_peek_segments(freyja *db, freyja_segment *out, size_t capacity);

/* Forgets what has expired, looking at about `slots` places of the key directory: OK if there
 * is more to look at, END if all is counted as it is. What of the KEYDIR no call needed so far
 * is taken over first, which beginning a rewrite would do at once. Faults: FORKED, and those
 * of opening. */
FREYJA_API freyja_status freyja_expire(freyja *db, uint64_t slots, freyja_error *error);

/* What tells whether there may be something to do, in a time that only depends on the number
 * of segments, and not much. */
typedef struct freyja_pulse {
  uint64_t segments;
  uint64_t bytes;      /* of all segments, and those replaced ones that are still there, and
                          what an open rewrite has copied: headers and records */
  uint64_t live_bytes; /* of the records that keys point to; see freyja_peek_segments */
  uint64_t keys;       /* what has expired may still be among them */
  uint64_t generation; /* changes when a segment is sealed, and when some are merged */
  bool due;            /* something has expired that is counted as live */
} freyja_pulse;

FREYJA_API void freyja_get_pulse(freyja *db, freyja_pulse *out);

/* Whether it is this handle that is to maintain the store by itself, from now on: of those
 * that ask, again and again, it is one. Another takes its place when it asks no more. */
FREYJA_API bool freyja_take_charge(freyja *db);

/* Microseconds from some moment on; never goes back. */
FREYJA_API uint64_t freyja_timer(freyja *db);

/* Does nothing for so many microseconds: for work that is not to take all of a disk. */
FREYJA_API void freyja_sleep(freyja *db, uint64_t microseconds);

/* ---- when something is damaged ------------------------------------------ */

/* Something that is not as it should be. Valid during the call that tells of it. */
typedef struct freyja_problem {
  const char *path;    /* the file, or the store's folder; a long one keeps its end */
  uint64_t offset;     /* of the first byte that it is about */
  uint64_t size;       /* bytes; 0: the file or the folder as a whole */
  const char *message; /* one sentence */
  bool has_key;        /* whose record it is, where that is known */
  bool lost;           /* repair: the key has no value in the new store because of it */
  freyja_slice key;
} freyja_problem;

/* Called for each problem, in between the work: it must not use the store. */
typedef void (*freyja_visit_problem)(void *argument, const freyja_problem *problem);

/* What freyja_verify and freyja_repair found. */
typedef struct freyja_report {
  uint64_t files;        /* data files that were read */
  uint64_t records;      /* whole ones in them, tombstones included */
  uint64_t bytes;        /* that were read of them: headers and records */
  uint64_t problems;     /* 0: all is as it should be */
  uint64_t keys;         /* verify: keys of the store; repair: keys of the new one */
  uint64_t torn_bytes;   /* behind the log's end, up to the last that is not zero: what a crash
                            leaves, no problem in itself */
  uint64_t torn_records; /* repair: whole records among them, which are not used */
  uint64_t lost_keys;    /* repair: keys whose newest value is damaged: not written */
  uint64_t doubtful_keys; /* repair: keys written of which damaged bytes may have held a newer
                             value, or the deletion */
} freyja_report;

/* Checks all that the formats and the index allow to check, and goes on behind each problem:
 * the MANIFEST, read again, against the one in memory; of each data file its header, its
 * size, the two sums and the padding of each record, what lies behind the log's end; each hint
 * file against its data file, if that is whole; of the
 * index that it is well-formed and says of each key what the log says, with the segments'
 * statistics. Not covered: LOCK, lost/, names that a store does not know, leftovers that the
 * next open removes, and a mark whose own check does not hold, since a kill may leave one.
 *
 * Reads the files by system calls whatever options.io is, but through the page cache: what
 * it holds may be better than the disk. Writes nothing; works on read-only handles, and on
 * poisoned ones. A file that cannot be read is a problem found. visit may be NULL. Takes
 * memory for the largest record, 16 bytes for each of a million tombstones at most, and where
 * there are hint files 16 MiB; more tombstones cost a further reading each million. OK when
 * the check was made, whatever it found; faults: MEMORY, FORKED; of a read-only store, which
 * is refreshed first, those of freyja_refresh, and beside a writer, which has to be asked
 * instead, CONFLICT. */
FREYJA_API freyja_status freyja_verify(freyja *db, freyja_visit_problem visit, void *argument,
                                       freyja_report *out, freyja_error *error);

/* Zeros are the defaults. */
typedef struct freyja_backup_options {
  bool copy; /* false. Copy every byte; otherwise sealed data files become hard links where
                the file system can: quick, but a bad block of the disk is in both stores */
} freyja_backup_options;

/* Makes the directory `path`, which must not exist (its parent must) or be empty and not lie
 * within the store, a store of the same id that holds exactly what this one holds now,
 * durable when it returns. Afterwards nothing that is done to the one by this library changes
 * the other; files that are hard links have their owner, mode and blocks in common. Works
 * on read-only handles. A damaged store is copied as it is, its damage included; but bytes
 * that cannot be read are a fault. Until its MANIFEST is written, last, the copy does not
 * open; on a fault what was made is removed. The directory is locked meanwhile. What a crash
 * interrupts is no store: remove it. options may be NULL. Faults: IO, FULL, LOCKED,
 * LIMIT (within the store), CORRUPT, MEMORY, FORKED, POISONED (what is on the disk is not
 * known), CONFLICT (as freyja_verify). */
FREYJA_API freyja_status freyja_backup(freyja *db, const char *path,
                                       const freyja_backup_options *options,
                                       freyja_error *error);

/* Writes all that is whole of the store in directory `path` to a new store in the directory
 * `to`, which must not exist (its parent must) or be empty and not lie within `path`; in
 * `path` nothing is changed. Keeps writers out meanwhile. Reads
 * whatever is there: without a whole MANIFEST it goes by the headers of the data files (if
 * they are of several stores, by most of them), without a file's header by what the others
 * say; what a merge or a load has made counts if it came to its end. Where a file that a merge
 * had replaced was not removed yet, what was deleted may then come back from it.
 *
 * Of a key's records that with the highest timestamp counts: a deletion leaves nothing, nor
 * does a value that has expired, and where its value is damaged the key is lost: an older
 * value is not written. Records keep their timestamps. Where a record is so damaged that its
 * key is not known, the keys that it may have been of cannot be told: those whose value is
 * older are written and counted as doubtful_keys. A torn tail is not used, as an open would
 * not.
 *
 * What is not whole is told to the visitor, which may be NULL, and is no fault. On OK the new
 * store is durable, has a new id, and passes freyja_verify. On a fault what was made of it is
 * removed; until it is complete it does not open. Memory as for opening both stores. Faults:
 * IO (there is nothing of a store, `to` cannot be used...), CORRUPT (no whole MANIFEST and no
 * whole header: nothing tells how to check a record), FORMAT (another version's MANIFEST),
 * LOCKED (a writer has it), FULL, LIMIT (`to` lies within), MEMORY. */
FREYJA_API freyja_status freyja_repair(const char *path, const char *to,
                                       freyja_visit_problem visit, void *argument,
                                       freyja_report *report, freyja_error *error);

/* ---- reading one data file --------------------------------------------- */

/* Reads the records of a data file in order, without its store: for tools. */
typedef struct freyja_log freyja_log;

typedef enum freyja_kind { FREYJA_PUT = 1, FREYJA_TOMBSTONE = 2 } freyja_kind;

typedef struct freyja_record {
  uint64_t offset; /* of its first byte in the file; a multiple of 8 */
  uint32_t size;   /* bytes in the file, padding included */
  freyja_kind kind;
  bool collides;      /* another live key had the same hash (FORMAT.md) */
  bool more;          /* the next record is of the same transaction */
  uint64_t timestamp; /* microseconds since the epoch */
  uint64_t expiry;    /* likewise; 0: it does not expire */
  freyja_slice key;   /* both valid until the next call */
  freyja_slice value;
} freyja_record;

/* Opens the data file `path`; reading starts at `offset`: 0 or that of a
 * record. Faults: IO, FORMAT, CORRUPT (its header), LIMIT (offset), MEMORY. */
FREYJA_API freyja_status freyja_log_open(const char *path, uint64_t offset, freyja_log **out,
                                         freyja_error *error);

/* OK and the next record; END at the log's end (nothing or only zeros follow);
 * CORRUPT once for each span that fails verification, going on behind it. */
FREYJA_API freyja_status freyja_log_next(freyja_log *log, freyja_record *record,
                                         freyja_error *error);

FREYJA_API void freyja_log_close(freyja_log *log);

#ifdef __cplusplus
}
#endif
#endif
