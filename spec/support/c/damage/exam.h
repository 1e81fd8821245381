/* exam.h - a damaged disk is opened, read, written to and opened again, and all that the
 * store says is held against the verdict. */
#ifndef DAMAGE_EXAM_H
#define DAMAGE_EXAM_H

#include "judge.h"
#include "spoil.h"

typedef struct exam_case {
  const image *img;
  const spl_class *spoil;
  uint64_t number; /* of the damage */
  freyja_io io;
  bool readonly;
  bool live; /* the store is open already when the damage comes */
  bool deep; /* writes follow, and a second open */
} exam_case;

typedef enum exam_result { EXAM_SAME, EXAM_RIGHT, EXAM_WRONG } exam_result;

/* Makes the disk and examines it: SAME if the damage changes nothing. */
exam_result exam_run(const exam_case *c);

/* What was found wrong. */
const char *exam_why(void);

/* The most that any open took so far. */
long exam_calls_max(void);
uint64_t exam_memory_max(void);

#endif
