/* run.c - see run.h. */
#include "run.h"

#include <string.h>

#define AHEAD 2u /* runs: so far ahead of being used entries are asked for, */
#define LINES 8u /* and so much of them, in lines of the processor's caches */
#define LINE 4u  /* entries */

bool fj_arena_open(fj_arena *arena, const fj_os *os, size_t size) {
  arena->os = os;
  arena->used = 0;
  arena->pages = os->allocate_pages(os->context, size);
  arena->size = arena->mapped = arena->pages == NULL ? 0 : size;
  return arena->pages != NULL;
}

void fj_arena_close(fj_arena *arena) {
  if (arena->pages != NULL)
    arena->os->release_pages(arena->os->context, arena->pages, arena->mapped);
  memset(arena, 0, sizeof *arena);
}

/* Bytes of it; NULL if there are not so many. */
static void *take(fj_arena *arena, size_t size) {
  size_t used = fj_glance(&arena->used);
  do
    if (size > arena->size - used) return NULL;
  while (!fj_exchange(&arena->used, &used, used + size));
  return arena->pages + used;
}

/* By the index hash, so that entries of one are in one range. */
static uint32_t range_of(const fj_entry *entry, uint64_t hash_mask) {
  return (uint32_t)((entry->hash & hash_mask) >> (64 - FJ_RANGE_BITS));
}

fj_run *fj_run_make(fj_arena *arena, const fj_entry *entries, uint32_t count,
                    uint64_t hash_mask) {
  uint32_t next[FJ_RANGES];
  fj_run *run = take(arena, fj_run_size(count));
  if (run == NULL) return NULL;
  run->next = NULL;
  run->count = count;
  memset(run->starts, 0, sizeof run->starts);
  for (uint32_t i = 0; i < count; i++) run->starts[range_of(&entries[i], hash_mask) + 1]++;
  for (uint32_t r = 0; r < FJ_RANGES; r++) run->starts[r + 1] += run->starts[r];
  memcpy(next, run->starts, sizeof next);
  for (uint32_t i = 0; i < count; i++)
    run->entries[next[range_of(&entries[i], hash_mask)]++] = entries[i];
  return run;
}

/* ---- going through them ------------------------------------------------------------ */

/* Where the range is at its end: to the next one; behind the last, run is NULL. */
static void go_on(fj_course *course) {
  course->at = 0;
  course->run = course->run->next;
  if (course->run == NULL && ++course->range < course->end) course->run = course->first;
}

/* Asks for the entries that come soon: each run has its own far from those of the others. */
static void look_ahead(const fj_course *course) {
  const fj_run *run = course->run->next;
  for (uint32_t i = 0; i < AHEAD && run != NULL; i++) run = run->next;
  if (run == NULL) return;
  const fj_entry *entry = run->entries + run->starts[course->range];
  const fj_entry *end = run->entries + run->starts[course->range + 1];
  for (uint32_t i = 0; i < LINES && entry < end; i++, entry += LINE) __builtin_prefetch(entry);
}

uint32_t fj_course_take(fj_course *course, fj_entry *out, uint32_t room) {
  uint32_t taken = 0;
  while (course->run != NULL && taken < room) {
    const fj_run *run = course->run;
    look_ahead(course);
    uint32_t from = run->starts[course->range] + course->at;
    uint32_t count = run->starts[course->range + 1] - from;
    if (count > room - taken) count = room - taken;
    memcpy(out + taken, run->entries + from, count * sizeof *out);
    taken += count;
    course->at += count;
    if (from + count < run->starts[course->range + 1]) break;
    go_on(course);
  }
  return taken;
}
