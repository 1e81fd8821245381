/* outputs.h - records in new segments that no MANIFEST names yet: the copies of a merge, or
 * what is loaded. They are gathered and written many at a time; a crash leaves files of which
 * the next open knows that they never counted. */
#ifndef FJ_OUTPUTS_H
#define FJ_OUTPUTS_H

#include "behind.h"
#include "store.h"

/* Bytes of records that are written at once. So many that to wake the thread that writes them,
 * and to wait for it, cost nothing. */
#define FJ_OUTPUTS_BLOCK (1u << 20)

typedef struct fj_outputs {
  fj_store *db;
  const fj_os *os;
  const char *doing; /* for faults: "merge segments" */
  fj_segment **list; /* a reference each, until an index takes it over */
  uint32_t count, room;
  uint32_t made;             /* how many there have been; for reports, as `written` */
  uint64_t end;              /* of all records that the last one has, or is to have */
  uint8_t *block;            /* the last records before that; NULL: no room; owned */
  size_t block_size;         /* bytes of them */
  uint8_t *written_block;    /* what is being written, once there is `behind`; owned */
  fj_behind *behind;         /* NULL: none yet, or none is to be had; owned */
  bool no_behind;            /* none is to be had */
  uint64_t began;            /* later than all records then (L1), and no other's */
  uint64_t written;          /* bytes of records */
  const fj_segment *patched; /* of which bytes are written anew; NULL: none */
  int patched_file;
} fj_outputs;

/* None yet; `doing` stays the caller's. Takes one of the store's timestamps. No allocation.
 */
void fj_outputs_open(fj_outputs *outputs, fj_store *db, const char *doing);

/* Writes a record behind the others; the draft gets its header. *offset, which may be NULL,
 * gets its place in the last of the list. Faults: FULL, IO, MEMORY, LIMIT; then all are to be
 * given up. */
freyja_status fj_outputs_write(fj_outputs *outputs, fj_draft *draft, uint64_t *offset,
                               freyja_error *error);

/* No more records come: makes the last one durable and read-only, and gives up what writing
 * them has taken, which may be long before the rest. Faults: FULL, IO. */
freyja_status fj_outputs_finish(fj_outputs *outputs, freyja_error *error);

/* Writes bytes of a sealed one of them anew, at `offset`. Durable when fj_outputs_end_patches
 * has returned OK; that is to be called in any case. Faults: FULL, IO. */
freyja_status fj_outputs_patch(fj_outputs *outputs, const fj_segment *output,
                               const freyja_slice *part, uint64_t offset, freyja_error *error);
freyja_status fj_outputs_end_patches(fj_outputs *outputs, freyja_error *error);

/* Removes the files, if nothing else can have come to name them. */
void fj_outputs_remove(fj_outputs *outputs);

/* Gives up the references that are left, and what writing has taken. */
void fj_outputs_release(fj_outputs *outputs);

/* They are another's now, to which all of it was copied: forgets them, but for what is told in
 * reports. */
void fj_outputs_forget(fj_outputs *outputs);

/* Gives up the memory, after that. */
void fj_outputs_close(fj_outputs *outputs);

static inline fj_segment *fj_outputs_last(const fj_outputs *outputs) {
  return outputs->count == 0 ? NULL : outputs->list[outputs->count - 1];
}

#endif
