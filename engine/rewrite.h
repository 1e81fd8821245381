/* rewrite.h - merging: sealed segments are read in the log's order, what is live of them is
 * copied to new segments, and one MANIFEST puts those in their place. Then the slots move, and
 * the old files go.
 *
 * Records only ever move up: the outputs stand where the highest of the inputs stood.
 *
 * W1  Until the MANIFEST names the outputs nothing points to them; from then on nothing but
 *     slots that have not moved yet, and iterators, needs the inputs.
 * W2  Before that MANIFEST is written, the active segment is durable: what made a record dead
 *     must not be lost when the record is.
 * W3  The records of the outputs are those of the inputs, in their order: each is a copy with
 *     the same timestamp, or a tombstone with it in place of a record that was dropped.
 * W4  A tombstone is left out only if its key is there again, or if no segment below the
 *     outputs may have an older record of the key (lower.h).
 * W5  A tombstone of which another key has the hash, when it is copied, is flagged: it may
 *     pass that key's record. A put needs no new flag: of two live keys with one hash, the one
 *     that was written later has it.
 * W6  No rewrite begins before all slots of the one before have moved: a copy to which none
 *     points looks dead.
 * W7  Slots move in two passes. The first reads the outputs: where nothing says that another
 *     key has the copy's hash, the slot of that hash is its key's, and if it points to an
 *     input, to the record that was copied: nothing is written there any more. The second is
 *     for the slots that then still point to inputs, if any: of keys that share a hash, of
 *     records that were dropped or have expired. It reads inputs and outputs side by side
 *     (W3). */
#ifndef FJ_REWRITE_H
#define FJ_REWRITE_H

#include "child.h"
#include "lower.h"
#include "outputs.h"

typedef enum fj_rewrite_state {
  FJ_REWRITE_COPYING,
  FJ_REWRITE_COPIED, /* all is read, and the outputs are durable */
  FJ_REWRITE_MOVING, /* committed: slots are moving */
  FJ_REWRITE_DONE,
  FJ_REWRITE_FAILED, /* nothing happened */
} fj_rewrite_state;

struct freyja_rewrite {
  fj_child child;
  fj_store *db; /* NULL once the store is closed */
  const fj_os *os;
  fj_rewrite_state state;
  bool closed;         /* by its owner; the store has it until its slots have moved (W6) */
  bool gives_way;      /* to another one */
  bool displaced;      /* by another one */
  bool alters;         /* a value was changed, or a record dropped */
  fj_segment **inputs; /* in the log's order; a reference and a pin each */
  uint32_t input_count;
  fj_outputs out;
  uint64_t bytes, done; /* of the inputs: to read, and read; of what moving slots reads */
  fj_lower lower;       /* while records are copied */

  /* Reading the inputs: to copy them, then to move their slots. */
  uint32_t current;
  fj_scan scan;
  bool scanning;
  uint64_t ahead; /* offset, as far as the keydir's memory was asked for */
  /* Reading the outputs: by themselves while `quick`, then beside the inputs (W7). */
  bool quick;
  uint32_t output;
  fj_scan copies;
  bool comparing;

  /* The record that freyja_rewrite_next has given and that waits to be kept or dropped. */
  bool waits;
  fj_record record;
  uint64_t key_hash;
};

static inline bool fj_rewrite_is_committed(const freyja_rewrite *rewrite) {
  return rewrite->state == FJ_REWRITE_MOVING || rewrite->state == FJ_REWRITE_DONE;
}

/* Whether slots are moving to what is not the record that they lead to now. */
static inline bool fj_rewrite_is_altering(const fj_store *db) {
  const freyja_rewrite *rewrite = db->rewrite;
  return rewrite != NULL && rewrite->alters && rewrite->state == FJ_REWRITE_MOVING;
}

/* The next record of the inputs at rewrite->scan: OK, or END behind the last. `check`: a live
 * put's value too. Faults: CORRUPT, IO, MEMORY. */
freyja_status fj_rewrite_read(freyja_rewrite *rewrite, fj_record *record, uint64_t *key_hash,
                              freyja_error *error);

/* Asks for the keydir's memory of the records that come next in the scan; rewrite->ahead, 0 in
 * a new segment, is how far that got. */
void fj_rewrite_look_ahead(freyja_rewrite *rewrite, const fj_scan *scan);

/* The slot that points to the record at rewrite->scan; false if none does. */
bool fj_rewrite_find(const freyja_rewrite *rewrite, uint64_t key_hash, fj_place *place);

/* Puts the copied outputs in the place of the inputs, durably. Faults: those of
 * freyja_rewrite_commit. */
freyja_status fj_rewrite_swap(freyja_rewrite *rewrite, freyja_error *error);

/* Moves slots until so many bytes of records are passed: OK, or END when all have moved.
 * Faults: IO, CORRUPT, MEMORY; it can be tried again. */
freyja_status fj_rewrite_move(freyja_rewrite *rewrite, uint64_t bytes, freyja_error *error);

/* Its handle closes: see child.h. What is committed goes through (W6). */
void fj_rewrite_end(fj_child *child);

/* Another takes its place, in whatever thread: as fj_store_end_rewrite, but the record that
 * the owner has been given stays until its next call. And that has come, or the close. */
void fj_rewrite_leave_lent(freyja_rewrite *rewrite);
void fj_rewrite_let_go(freyja_rewrite *rewrite);

/* Gives up all that the rewrite holds; the outputs' files go, unless it is committed. */
void fj_rewrite_abandon(freyja_rewrite *rewrite);

/* ---- the rewrites of freyja.h: the calls of that name ------------------------------- */

freyja_status fj_rewrite_open(fj_store *db, const uint64_t *ids, size_t count,
                              freyja_rewrite **out, freyja_error *error);
void fj_rewrite_give_way(freyja_rewrite *rewrite);
freyja_status fj_rewrite_step(freyja_rewrite *rewrite, uint64_t bytes, freyja_error *error);
freyja_status fj_rewrite_next(freyja_rewrite *rewrite, freyja_entry *entry,
                              freyja_error *error);
freyja_status fj_rewrite_keep(freyja_rewrite *rewrite, const freyja_slice *value,
                              freyja_error *error);
freyja_status fj_rewrite_drop(freyja_rewrite *rewrite, freyja_error *error);
freyja_status fj_rewrite_commit(freyja_rewrite *rewrite, freyja_error *error);
void fj_rewrite_close(freyja_rewrite *rewrite);
void fj_rewrite_progress(const freyja_rewrite *rewrite, freyja_progress *out);

#endif
