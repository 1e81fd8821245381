/* faults.c - each call that the engine makes to its disk fails in turn, and each allocation,
 * once and from then on, in every scenario of sim/scenarios.c.
 *
 *   faults
 *
 * every scenario, in seconds: EIO at every call, others at some
 *
 *   faults --all [SHARE [TURN]]
 *
 * every errno at every call, more losses of power, more second faults; with a SHARE one of so
 * many scenarios in each I/O mode, which ones goes by TURN
 *
 *   faults SCENARIO
 *
 * one of them, and more still
 *
 *   faults SCENARIO IO WHAT HOW AT WAY ENDING SECOND
 *
 * one fault, as a failure names it
 *
 * What must hold is in sim/trial.h. Of the faults some are followed by every disk that a loss
 * of power may leave then, and some by a second fault: each call of the session that opens
 * the store again fails in turn. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "scenarios.h"

#define SPACE_STEP 64u /* bytes */

/* How much is tried of each scenario. */
typedef struct effort {
  long step; /* of so many calls one fails by each errno but EIO, and more than one in a row */
  long every;        /* of so many calls one fails by EIO, of so many allocations one */
  long seeds;        /* of random faults */
  long power_every;  /* of so many faults one is followed by all losses of power */
  long second_every; /* likewise by second faults: */
  long second_step;  /* of so many calls one fails */
} effort;

#ifdef FREYJA_COVERAGE /* what it goes through, not what follows */
static const effort quick = {16, 5, 2, 64000, 12000, 53};
#elif defined NDEBUG
static const effort quick = {16, 1, 4, 4000, 1500, 13};
#elif defined __SANITIZE_ADDRESS__ /* a slow build, for what its own checks find */
static const effort quick = {64, 47, 1, 32000, 12000, 53};
#else
static const effort quick = {16, 5, 4, 4000, 1500, 13};
#endif
static const effort full = {1, 1, 60, 600, 300, 7};
static const effort thorough = {1, 1, 1000, 15, 7, 1};

/* What fails: a call by some errno or by being short, an allocation, some of both, where
 * the number is a seed, or what needs more space than that number of SPACE_STEP bytes. */
typedef struct what {
  const char *name;
  int code;
  enum { CALL, MEMORY, RANDOM, SPACE } of;
} what;

static const what whats[] = {
    {"EIO", EIO, CALL},       {"ENOSPC", ENOSPC, CALL}, {"EDQUOT", EDQUOT, CALL},
    {"EMFILE", EMFILE, CALL}, {"EROFS", EROFS, CALL},   {"ENOMEM", ENOMEM, CALL},
    {"EINTR", EINTR, CALL},   {"short", 0, CALL},       {"memory", 0, MEMORY},
    {"random", 0, RANDOM},    {"space", 0, SPACE},
};
#define WHATS (sizeof whats / sizeof *whats)

/* What the call did all the same, and what became of the pages. */
typedef struct way {
  const char *name;
  sim_effect effect;
  sim_loss loss;
} way;

static const way ways[] = {{"plain", SIM_NOTHING, SIM_KEEP_DIRTY},
                           {"half", SIM_HALF, SIM_MARK_CLEAN},
                           {"whole", SIM_WHOLE, SIM_DROP}};
#define WAYS 3u

static const char *const endings[] = {"heal", "close", "kill"};
#define ENDINGS 3u

typedef struct point {
  const what *what;
  bool on;
  long at;
  unsigned way;
  trial_ending ending;
} point;

static const char *io_name(freyja_io io) { return io == FREYJA_IO_MMAP ? "mmap" : "syscall"; }

/* ---- one fault -------------------------------------------------------- */

static void tell(const scenario *s, const point *p, const trial *t) {
  const char *io = io_name(t->options.io);
  const sim_failure *first = &t->first_failure;
  printf("not ok faults, %s, %s: %s; what failed: %s %s\n", s->name, io, t->why,
         first->call == NULL ? "nothing" : first->call, first->path);
  printf("# again: build/debug/faults %s %s %s %s %ld %s %s %ld\n", s->name, io, p->what->name,
         p->on ? "on" : "once", p->at, ways[p->way].name, endings[p->ending.how],
         p->ending.second);
}

/* Runs the scenario with one fault. Its trial, ended, is *t. */
static bool run_point(const scenario *s, const trial *base, const point *p, trial *t) {
  trial_copy(t, base);
  t->fault.code = p->what->code;
  t->fault.effect = ways[p->way].effect;
  t->fault.loss = ways[p->way].loss;
  switch (p->what->of) {
  case CALL:
    t->fault.at = p->at;
    t->fault.on = p->on;
    break;
  case MEMORY:
    t->fault.memory_at = p->at;
    t->fault.memory_on = p->on;
    break;
  case RANDOM:
    t->fault.random = (uint64_t)p->at;
    break;
  case SPACE:
    t->space = (uint64_t)p->at * SPACE_STEP;
    break;
  }
  s->run(t);
  trial_finish(t, &p->ending);
  trial_destroy(t);
  if (t->why[0] != '\0') tell(s, p, t);
  return t->why[0] == '\0';
}

/* ---- all of them ------------------------------------------------------ */

/* Whether a call that fails by EIO can do so in that way, other than plainly. */
static bool has_way(const point *p, const char *call) {
  static const char *const changing[] = {"make_dir", "rename",  "unlink", "open",      "write",
                                         "truncate", "reserve", "link",   "remove_dir"};
  if (p->what->code != EIO || call == NULL) return false;
  if (p->on || strcmp(call, "sync") == 0 || strcmp(call, "write") == 0) return true;
  for (size_t i = 0; i < sizeof changing / sizeof *changing; i++)
    if (strcmp(call, changing[i]) == 0) return ways[p->way].effect == SIM_WHOLE;
  return false;
}

/* A scenario while it is swept. */
typedef struct sweep {
  const scenario *scenario;
  trial base;                            /* what every run begins with */
  trial last;                            /* the last run's, ended */
  const char *first;                     /* call that failed in it, before second faults */
  long reached;                          /* calls, or allocations, that there were in it */
  long failed_calls, failed_allocations; /* in it */
  const effort *effort;
  bool power; /* the next runs are followed by all losses of power */
  long runs, calls, allocations, spaces, seconds, disks;
} sweep;

/* The same run again and again, with a call of the session after it failing, too. */
static bool run_seconds(sweep *w, const point *first) {
  point p = *first;
  long step = w->effort->second_step;
  for (p.ending.second = 1 + w->runs % step;; p.ending.second += step) {
    if (!run_point(w->scenario, &w->base, &p, &w->last)) return false;
    if (w->last.second_calls < p.ending.second) return true;
    w->seconds++;
  }
}

/* One run; some are followed by more. */
static bool run(sweep *w, point *p) {
  bool second = w->runs % w->effort->second_every == 0;
  p->ending.power = w->power || w->runs % w->effort->power_every == 0;
  if (!run_point(w->scenario, &w->base, p, &w->last)) return false;
  w->runs++;
  w->disks += w->last.disks;
  w->first = w->last.first_failure.call;
  w->reached = p->what->of == MEMORY ? w->last.allocations : w->last.calls;
  w->failed_calls = w->last.failed_calls;
  w->failed_allocations = w->last.failed_allocations;
  return !second || run_seconds(w, p);
}

/* Whether durability rests on the call. */
static bool is_settling(const char *call) {
  return strcmp(call, "sync") == 0 || strcmp(call, "sync_dir") == 0 ||
         strcmp(call, "rename") == 0 || strcmp(call, "truncate") == 0;
}

/* Each call in turn, in each way. */
static bool sweep_calls(sweep *w, point *p) {
  long number = p->what - whats + p->on;
  long step = p->what->code == EIO && !p->on ? w->effort->every : w->effort->step;
  for (p->at = 1 + number % step;; p->at += step) {
    const char *call = NULL;
    for (p->way = 0; p->way < WAYS; p->way++) {
      if (p->way > 0 && !has_way(p, call)) continue;
      if (p->way > 0 && !p->on && strcmp(call, "write") == 0) w->power = true;
      p->ending.how = (unsigned)(p->at + number) % ENDINGS;
      if (!run(w, p)) return false;
      if (p->way == 0 && w->reached < p->at) return true;
      w->calls++;
      if (p->way > 0 || w->first == NULL) continue;
      call = w->first;
      w->power = p->what->code == EIO && !p->on && is_settling(call);
      if (w->power && !run(w, p)) return false;
    }
    w->power = false;
  }
}

/* Each allocation in turn. */
static bool sweep_memory(sweep *w, point *p) {
  p->way = 0;
  for (p->at = 1;; p->at += w->effort->every) {
    for (unsigned how = 0; how < ENDINGS; how++) {
      if (w->effort->step > 1 && p->at % ENDINGS != how) continue;
      p->ending.how = how;
      if (!run(w, p)) return false;
      if (w->reached < p->at) return true;
      w->allocations++;
    }
  }
}

/* Calls and allocations at random, by many seeds. */
static bool sweep_random(sweep *w, point *p) {
  for (p->at = 1; p->at <= w->effort->seeds; p->at++) {
    p->way = (unsigned)p->at % WAYS;
    p->ending.how = (unsigned)p->at / WAYS % ENDINGS;
    if (!run(w, p)) return false;
    w->calls += w->failed_calls;
    w->allocations += w->failed_allocations;
  }
  return true;
}

/* Disks with little space, until it is enough. */
static bool sweep_space(sweep *w, point *p) {
  p->way = 0;
  for (p->at = 1;; p->at += w->effort->step) {
    p->ending.how = (unsigned)p->at % ENDINGS;
    if (!run(w, p)) return false;
    if (w->first == NULL) return true;
    w->spaces++;
  }
}

static bool sweep_all(sweep *w) {
  bool right = true;
  for (size_t i = 0; right && i < WHATS; i++) {
    point p = {.what = &whats[i]};
    if (p.what->of == CALL) right = sweep_calls(w, &p);
    if (p.what->of == MEMORY) right = sweep_memory(w, &p);
    if (p.what->of == RANDOM) right = sweep_random(w, &p);
    if (p.what->of == SPACE) right = sweep_space(w, &p);
    if (p.what->code == EINTR) continue; /* for ever is no interruption */
    p.on = true;
    if (right && p.what->of == CALL) right = sweep_calls(w, &p);
    if (right && p.what->of == MEMORY) right = sweep_memory(w, &p);
  }
  return right;
}

/* Adds what failed to the sums. */
static bool run_scenario(const scenario *s, freyja_io io, const effort *e, long *calls,
                         long *allocations) {
  static sweep w; /* large */
  memset(&w, 0, sizeof w);
  w.scenario = s;
  w.effort = e;
  sim_scenario_prepare(s, io, &w.base);
  bool right = w.base.why[0] == '\0';
  if (!right)
    printf("not ok faults, %s, %s: without any: %s\n", s->name, io_name(io), w.base.why);
  right = right && sweep_all(&w);
  if (right)
    printf("ok faults, %s, %s: %ld calls and %ld allocations failed, %ld disks were full; "
           "%ld second faults, %ld disks after losses of power\n",
           s->name, io_name(io), w.calls, w.allocations, w.spaces, w.seconds, w.disks);
  trial_destroy(&w.base);
  *calls += w.calls + w.seconds;
  *allocations += w.allocations;
  return right;
}

/* ---- the command line ------------------------------------------------- */

/* The place of a name in a table whose rows begin with one; `count` if it is not there. */
static size_t find(const char *name, const void *table, size_t row, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const char *const *own = (const void *)((const char *)table + i * row);
    if (strcmp(*own, name) == 0) return i;
  }
  return count;
}

/* SCENARIO IO WHAT HOW AT WAY ENDING SECOND */
static int repeat(char **arguments) {
  static trial base, t;
  point p = {.at = strtol(arguments[4], NULL, 10)};
  size_t s = find(arguments[0], sim_scenarios, sizeof *sim_scenarios, sim_scenario_count);
  size_t i = find(arguments[2], whats, sizeof *whats, WHATS);
  size_t w = find(arguments[5], ways, sizeof *ways, WAYS);
  size_t e = find(arguments[6], endings, sizeof *endings, ENDINGS);
  if (s == sim_scenario_count || i == WHATS || w == WAYS || e == ENDINGS) return 2;
  p.what = &whats[i];
  p.on = strcmp(arguments[3], "on") == 0;
  p.way = (unsigned)w;
  p.ending.how = (unsigned)e;
  p.ending.power = true;
  p.ending.second = strtol(arguments[7], NULL, 10);
  freyja_io io = strcmp(arguments[1], "mmap") == 0 ? FREYJA_IO_MMAP : FREYJA_IO_SYSCALL;
  sim_scenario_prepare(&sim_scenarios[s], io, &base);
  bool right = run_point(&sim_scenarios[s], &base, &p, &t);
  trial_destroy(&base);
  if (right)
    printf("ok faults: %s fails\n",
           t.first_failure.call == NULL ? "nothing" : t.first_failure.call);
  return right ? 0 : 1;
}

int main(int count, char **arguments) {
  bool all = count > 1 && strcmp(arguments[1], "--all") == 0;
  uint64_t share = all && count > 2 ? strtoull(arguments[2], NULL, 10) : 1;
  uint64_t turn = all && count > 3 ? strtoull(arguments[3], NULL, 10) : 0;
  bool right = true;
  long calls = 0, allocations = 0;
  const char *only = count == 2 && !all ? arguments[1] : NULL;
  const effort *e = all ? &full : only != NULL ? &thorough : &quick;
  (void)setvbuf(stdout, NULL, _IOLBF, 0);
  if (count == 9) return repeat(arguments + 1);
  if (share < 1) return 2;
  for (size_t i = 0; i < sim_scenario_count; i++) {
    if (only != NULL && strcmp(only, sim_scenarios[i].name) != 0) continue;
    for (int io = FREYJA_IO_MMAP; io <= FREYJA_IO_SYSCALL; io++)
      if ((i + (uint64_t)io + turn) % share == 0 &&
          (io == FREYJA_IO_MMAP || (sim_scenarios[i].flags & SIM_MAPPED_ONLY) == 0))
        right =
            run_scenario(&sim_scenarios[i], (freyja_io)io, e, &calls, &allocations) && right;
  }
  printf("# %ld injected call faults, %ld allocation failures\n", calls, allocations);
  return right ? 0 : 1;
}
