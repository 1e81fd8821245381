/* states.h - the disks that a loss of power may leave.
 *
 * What was synced is there. Of the changes that are pending any may have reached the
 * medium, in any order, and of the last ones to go some bytes only. From each moment these
 * disks are made, in a fixed order (so that a number names one):
 *
 *   all kept; all lost; each lost alone; each kept alone; data kept and entries lost, and
 *   the reverse; all changes of one file lost, or kept alone;
 *   the log cut off within each unit at every sector, within the last one at every byte
 *   (the long middle of a large one at every 64th);
 *   each sector of each unit lost alone and kept alone;
 *   zeros and garbage in place of each unit, of all data, and behind the cut of the last;
 *   operations on entries in every order, each number of them (up to four; of more, the
 *   reverse order);
 *   some random ones.
 *
 * Where files are large those are too many: a disk's `sample` bounds how many of them are
 * made. All kept, all lost, data or entries alone, and files alone are made all the same. */
#ifndef SIM_STATES_H
#define SIM_STATES_H

#include "disk.h"

typedef struct sim_state {
  uint32_t number; /* from 0, at this moment */
  char what[96];   /* in words */
  bool all_kept;   /* what a killed process leaves */
} sim_state;

/* Gets a disk, durable, without handles, which it may use and change; false ends. */
typedef bool (*sim_visit)(void *argument, sim_disk *image, const sim_state *state);

/* Calls visit with each of the disks that differ. Returns how many, or -1 if a visit
 * returned false. The disk is not changed. */
long sim_states_each(const sim_disk *disk, sim_visit visit, void *argument);

#endif
