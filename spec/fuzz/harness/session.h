/* session.h - what every target does with a directory: opens it in several ways, compares
 * what they show, works with it and opens it again. */
#ifndef FUZZ_SESSION_H
#define FUZZ_SESSION_H

#include "disk.h"
#include "input.h"

/* Bits of the byte that begins an input. */
enum {
  FUZZ_LOOK = 1,       /* opened read-only before it is opened to write, */
  FUZZ_BOTH = 2,       /* in both I/O modes */
  FUZZ_SYSCALL = 4,    /* opened to write in that mode */
  FUZZ_SYNC_SHIFT = 3, /* two bits: a freyja_sync_mode; 3 is as 0, and repaired before */
  FUZZ_LARGER = 32,    /* segments of 16 KiB, not of 4 */
  FUZZ_NO_RESERVE = 64 /* a file system that cannot */
};

/* Uses the directory "db" of the disk, of which the files have `bytes` bytes; `input` says
 * what is written. Destroys the disk. */
void fuzz_session(sim_disk *disk, uint64_t bytes, uint8_t options, fuzz_input *input);

#endif
