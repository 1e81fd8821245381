/* os_wrap.h - the operating system as the engine sees it in this program: the real one,
 * with what it hands out counted, and with memory that can fail. The linker puts it
 * in the place of fj_os_real (--wrap), so that the binding needs no door for tests. */
#ifndef OS_WRAP_H
#define OS_WRAP_H

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

#endif
