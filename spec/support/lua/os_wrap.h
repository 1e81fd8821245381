/* os_wrap.h - the operating system as the engine sees it in this program: the real one,
 * with what it hands out counted, with memory and syncs that can fail, and with clocks that
 * can be moved. Who writes behind a block of memory ends the program. The linker puts it in
 * the place of fj_os_real (--wrap), so that the binding needs no door for tests. */
#ifndef OS_WRAP_H
#define OS_WRAP_H

#include <stdbool.h>
#include <stdint.h>

#include "plan.h"

/* Allocations of the engine. */
extern plan os_plan;

/* What the engine has and has not given back. */
typedef struct os_held {
  long files; /* descriptors */
  long maps;
  long blocks; /* of memory, and ranges of pages */
} os_held;

extern os_held os_held_now;

/* The engine's clocks, while they are not the system's: they stand still unless they are
 * moved. */
typedef struct os_clock {
  bool moved_by_hand;
  uint64_t now;       /* microseconds since the epoch */
  uint64_t monotonic; /* microseconds */
  uint64_t step;      /* that both move by when the time is asked for */
} os_clock;

extern os_clock os_clock_now;

/* An errno that syncs of files fail with; 0: they do what they should. */
extern int os_sync_code;

#endif
