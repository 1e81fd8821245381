/* damage.c - the files of stores are damaged in every way that has a name, and what the
 * store then says is held against what the damaged bytes allow.
 *
 *   damage                                  a fixed part of it, in seconds
 *   damage --all [SHARE [TURN]]             all of it; with a SHARE each damage to one of so
 *                                           many modes only, which ones goes by TURN
 *   damage STORE MODE CLASS NUMBER          one, as a failure names it
 *
 * Stores (damage/image.c) hold every kind of record, in sealed and active segments, closed
 * or left by a killed process. Damage (damage/spoil.c) is of bits, of blocks, of whole files,
 * or names that do not belong there. What must come of it (damage/judge.c):
 *
 * - Opening fails for a MANIFEST that is not as it was, and for a LOCK or a lost/ that
 *   cannot be what it is for: everything rests on the first, and the others belong to what an
 *   open has to do. Nothing else makes it fail.
 * - A record whose bytes are whole reads, unless a damage behind it in the log may have been
 *   a newer one of its key; then its key raises CORRUPT.
 * - A key whose last record is damaged raises CORRUPT; where its value alone is, with
 *   its file and offset, while other keys do not notice.
 * - A key that is absent is so; where damage may hide any key, it raises CORRUPT.
 * - Behind the mark of the active segment damage is a torn tail: the log ends there.
 * - Bytes that the disk cannot read (EIO) are damage likewise, but that where the log ends
 *   cannot be told without them: such an open fails.
 * - Damage is reported, with the place of the first. Writing goes on, and the next open,
 *   in the other I/O mode, shows what was written and all of the above again.
 * - Damage that comes while the store is open makes no other key than those whose records
 *   it touches raise, and nothing is taken for what it is not.
 * - A KEYDIR of which a bit is not as it was is not used, and told of, once all of it was
 *   asked for.
 * - An open costs calls and memory in proportion to the files (damage/exam.c).
 *
 * All of it is each bit of every file before a store is opened to write, in both I/O modes:
 * of hint files and KEYDIRs without exception, of keys and values of more than 3000 bytes the
 * middle here and there. Of stores that are opened to read, or that are open already, it is a
 * part, and of the KEYDIR's slots that are not used, which are nearly all, a smaller one. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "damage/exam.h"

typedef struct mode {
  const char *name;
  freyja_io io;
  bool readonly, live;
} mode;

static const mode modes[] = {
    {"mmap", FREYJA_IO_MMAP, false, false},
    {"syscall", FREYJA_IO_SYSCALL, false, false},
    {"mmap-readonly", FREYJA_IO_MMAP, true, false},
    {"syscall-readonly", FREYJA_IO_SYSCALL, true, false},
    {"mmap-live", FREYJA_IO_MMAP, false, true}, /* the store is open when it happens */
    {"syscall-live", FREYJA_IO_SYSCALL, false, true},
};
#define IMAGES_MAX 64u
#define MODES (sizeof modes / sizeof *modes)

/* Of each group every which damage is tried, and after which of those writes follow. */
typedef struct stride {
  const char *name;
  uint64_t few, few_readonly, all_rest, deep;
} stride;

static const stride strides[SPL_GROUPS] = {
    [SPL_BITS] = {"bits", 211, 1009, 13, 7},
    [SPL_BLOCKS] = {"blocks", 101, 503, 7, 3},
    [SPL_FILES] = {"files", 83, 401, 3, 3},
    [SPL_UNREADABLE] = {"unreadable", 1, 1, 1, 2},
    [SPL_LEFTOVERS] = {"leftovers", 73, 211, 3, 3},
};

#define SMALL 150u      /* of a class with fewer damages all are tried */
#define HANG_SECONDS 20 /* of the processor's time */
#define MANY 33u        /* of very many damages that are alike, every which is tried */

/* ---- a program that dies says of what --------------------------------- */

static char current[200];
static volatile long runs; /* how many were begun */

static void say_current(void) { (void)!write(STDOUT_FILENO, current, strlen(current)); }

/* One that takes so much of the processor's time, a thousand times what is usual, hangs. */
static void check_progress(int number) {
  static long before = -1;
  (void)number;
  if (runs == before) {
    say_current();
    _exit(1);
  }
  before = runs;
}

static void watch_time(void) {
  struct itimerval every = {{HANG_SECONDS, 0}, {HANG_SECONDS, 0}};
  (void)signal(SIGVTALRM, check_progress);
  (void)setitimer(ITIMER_VIRTUAL, &every, NULL);
}

#if defined(__SANITIZE_ADDRESS__)
void __sanitizer_set_death_callback(void (*callback)(void));

static void watch(void) {
  __sanitizer_set_death_callback(say_current);
  watch_time();
}
#else
static void die(int number) {
  say_current();
  (void)signal(number, SIG_DFL);
  (void)raise(number);
}

static void watch(void) {
  static const int numbers[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) (void)signal(numbers[i], die);
  watch_time();
}
#endif

/* ---- running ---------------------------------------------------------- */

static bool run_one(const image *img, const mode *m, const spl_class *spoil, uint64_t number,
                    bool deep, long *count) {
  exam_case c = {img, spoil, number, m->io, m->readonly, m->live, deep};
  runs++;
  (void)snprintf(current, sizeof current,
                 "not ok damage: it died or hung\n# again: build/debug/damage %s %s %s %llu\n",
                 img->name, m->name, spoil->name, (unsigned long long)number);
  exam_result result = exam_run(&c);
  *count += result != EXAM_SAME;
  if (result != EXAM_WRONG) return true;
  printf("not ok damage: %s\n%s", exam_why(), strchr(current, '\n') + 1);
  return false;
}

static uint64_t share = 1, share_turn; /* of what --all tries */

/* Whether the damage is one of very many that are alike and has to be tried all the same: each
 * bit of a KEYDIR is, in one way. */
static bool is_needed(const image *img, const mode *m, const spl_class *spoil, uint64_t number,
                      bool all) {
  bool each = all && spoil->group == SPL_BITS && !m->readonly && !m->live;
  return each && spl_is_unused(img, spoil, number);
}

/* Of the few: a build that is slow is there for what its checks find. */
#ifdef __SANITIZE_ADDRESS__
#define THIN 3u
#else
#define THIN 1u
#endif

/* All damages of a class to a store, or some. */
static bool run_class(const image *img, const mode *m, const spl_class *spoil, bool all,
                      long *count) {
  const stride *s = &strides[spoil->group];
  uint64_t step = all ? 1 : s->few;
  if (all) step = m->readonly || m->live ? s->all_rest : share;
  if (!all && m->readonly) step = s->few_readonly;
  if (!all) step *= THIN;
  uint64_t end = spoil->count(img, spoil->size);
  if (end < SMALL) step = 1;
  uint64_t turn = 0, first = step / 2;
  if (all && step == share) first = (share_turn + (uint64_t)(m - modes)) % share;
  for (uint64_t number = first; number < end; number += step, turn++)
    if ((turn % MANY == 0 || !spl_is_one_of_many(img, spoil, number) ||
         is_needed(img, m, spoil, number, all)) &&
        !run_one(img, m, spoil, number, turn % s->deep == 0, count))
      return false;
  return true;
}

static bool run_group(image *const *images, const mode *m, spl_group group, bool all) {
  long count = 0;
  if (m->live && group > SPL_BLOCKS) return true;
  if (m->io == FREYJA_IO_MMAP && group == SPL_UNREADABLE) return true;
  for (uint32_t i = 0; images[i] != NULL; i++)
    for (uint32_t k = 0; k < spl_class_count; k++)
      if (spl_classes[k].group == group && !(m->live && spl_classes[k].moves) &&
          !run_class(images[i], m, &spl_classes[k], all, &count))
        return false;
  printf("ok damage, %s, %s: %ld disks\n", strides[group].name, m->name, count);
  (void)fflush(stdout);
  return true;
}

static int replay(image *const *images, char **arguments) {
  long count = 0;
  for (uint32_t i = 0; images[i] != NULL; i++)
    for (size_t m = 0; m < MODES; m++)
      for (uint32_t k = 0; k < spl_class_count; k++)
        if (strcmp(images[i]->name, arguments[1]) == 0 &&
            strcmp(modes[m].name, arguments[2]) == 0 &&
            strcmp(spl_classes[k].name, arguments[3]) == 0) {
          uint64_t number = strtoull(arguments[4], NULL, 10);
          uint64_t end = spl_classes[k].count(images[i], spl_classes[k].size);
          if (number >= end) {
            printf("not ok damage: there are %llu of them\n", (unsigned long long)end);
            return 2;
          }
          if (!run_one(images[i], &modes[m], &spl_classes[k], number, true, &count)) return 1;
          printf("ok damage: %s\n", count == 0 ? "that changes nothing" : "as it must be");
          return 0;
        }
  printf("no such store, mode or class\n");
  return 2;
}

static int run_all(image *const *images, bool all) {
  bool right = true;
  for (spl_group group = SPL_BITS; group <= SPL_LEFTOVERS; group++)
    for (size_t m = 0; m < MODES; m++)
      right = run_group(images, &modes[m], group, all) && right;
  printf("# at most %ld calls and %llu KiB of memory for an open\n", exam_calls_max(),
         (unsigned long long)exam_memory_max() >> 10);
  return right ? 0 : 1;
}

int main(int count, char **arguments) {
  image *images[IMAGES_MAX + 1] = {NULL};
  bool all = count > 1 && strcmp(arguments[1], "--all") == 0;
  if (all && count > 2) share = strtoull(arguments[2], NULL, 10);
  if (all && count > 3) share_turn = strtoull(arguments[3], NULL, 10);
  if (share < 1) return 2;
  watch();
  for (uint32_t i = 0; img_name(i) != NULL; i++) {
    if (i == IMAGES_MAX) abort();
    images[i] = img_create(i);
  }
  int result = count == 5 ? replay(images, arguments) : run_all(images, all);
  for (uint32_t i = 0; images[i] != NULL; i++) img_destroy(images[i]);
  return result;
}
