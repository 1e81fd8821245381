/* run.h - a run of crash.c: a workload on a simulated disk, in a mode, and how far it has
 * come. */
#ifndef CRASH_RUN_H
#define CRASH_RUN_H

#include "freyja.h"
#include "states.h"
#include "witness.h"

#define OPERATIONS_MAX 16

typedef struct mode {
  const char *name;
  freyja_io io;
  freyja_sync_mode sync;
  bool no_reserve;
  uint32_t hash_bits;
  uint32_t segment_size; /* bytes */
  size_t large;          /* bytes of a large value */
  uint32_t sample;       /* of sim_disk; not 0: files that are worked on in many pieces */
} mode;

typedef struct run {
  const mode *mode;
  const char *workload;
  uint64_t seed;
  sim_disk *disk;
  freyja *db;
  wit_state states[OPERATIONS_MAX + 2]; /* after 0, 1, 2... writes */
  int keys[OPERATIONS_MAX + 2];         /* that each write is of */
  int acknowledged, promised;
  bool in_flight; /* states[acknowledged + 1] is what a write is about to make */
  bool lossy; /* a sync failed: what was acknowledged is there as long as the process lives */
  bool armed;
  int backups;      /* begun */
  bool backed_up;   /* the last of them has returned */
  wit_state backup; /* what it holds */
  long point;       /* changes so far */
  uint64_t syncs, segments;
} run;

/* What was seen, in all runs. */
typedef struct tally {
  long moments, disks;        /* at which power failed, and what that left */
  long torn;                  /* of the disks, those with a torn tail */
  long nested, nested_points; /* likewise, in recovery */
} tally;

extern tally seen;
extern long kill_share;   /* kills are tried at every so-manieth moment */
extern long nested_share; /* recovery from disks is interrupted so many times less often */

/* ---- also.c ---------------------------------------------------------------- */

#define READ_EVERY 61    /* of the disks that a loss of power leaves are read */
#define REPAIR_EVERY 240 /* of them are repaired, and as many without a MANIFEST */

/* Looks at disk `number` in these ways, if it is its turn. A writer has found `found` on it,
 * which is one of the states that may be there. */
bool check_others(const run *r, sim_disk *image, const wit_state *found,
                  const wit_state *states, int count, long number);

/* ---- power.c ------------------------------------------------------------- */

freyja_options options_for(const mode *m, sim_disk *disk);

/* Opens the store on a disk. */
bool open_on(const mode *m, sim_disk *disk, bool readonly, freyja **db);

/* Closes it, and sees that all was given back. */
bool close_on(sim_disk *disk, freyja *db);

/* A moment at which power may fail: `argument` is the run. For the disk's hook. */
void first_point(void *argument, sim_disk *disk, const char *call);

/* The name of a run's backup. */
void name_backup(char name[16], int number);

/* ---- operations.c ---------------------------------------------------------- */

/* Runs a workload; power fails during operations number `from` and after (0 is the
 * first open). Shorter workloads have seen to the moments before. */
bool run_workload(const mode *m, const char *workload, size_t from, uint64_t seed);

#endif
