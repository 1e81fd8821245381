/* hintwriter.h - writing the hint file of a sealed segment, step by step. Under a temporary
 * name, then synced, then renamed: under its own name a hint is whole. It may be lost in a
 * crash like any file whose directory was not synced; nothing relies on it. */
#ifndef FJ_HINTWRITER_H
#define FJ_HINTWRITER_H

#include "gather.h"

typedef struct fj_hint_writer {
  fj_gather gather;
  fj_segment *segment;
  int file;       /* the temporary one; -1: none */
  uint8_t *block; /* entries that are not written yet, `filled` bytes */
  size_t filled;
  uint64_t written; /* bytes of entries */
  uint64_t taken;   /* entries of those that are ready */
  uint64_t check;   /* of what is written */
} fj_hint_writer;

/* Begins; `capacity` as for fj_gather_open. *writer is for fj_hint_writer_close, before the
 * segment's pool goes, and in any case. One at a time for a segment. Faults: CORRUPT (the
 * segment is known to be damaged), LIMIT (it is being written, or its hint is), IO, FULL,
 * MEMORY. */
freyja_status fj_hint_writer_open(fj_hint_writer *writer, fj_segment *segment,
                                  uint64_t capacity, freyja_error *error);

/* Goes on with about so many bytes, read or written; *done: all is written. Faults: those of
 * fj_gather_step, FULL. */
freyja_status fj_hint_writer_step(fj_hint_writer *writer, uint64_t bytes, bool *done,
                                  freyja_error *error);

/* When all is written: makes the file durable and puts it in its place. After a fault the old
 * one is there, if there was one. Faults: IO, FULL. */
freyja_status fj_hint_writer_finish(fj_hint_writer *writer, freyja_error *error);

/* Releases everything, the temporary file included if it was not put in its place. */
void fj_hint_writer_close(fj_hint_writer *writer);

#endif
