/* plans.c - merge plans, all of them: three keys, to each of which something or nothing is
 * done in each of some segments; any of the segments are merged. The store is compared with
 * what was done to it: after the merge, opened again by hints, by some of them, by reading the
 * data files; and once more after a merge of what that has made.
 *
 *   plans         a share of them, always the same
 *   plans --all   of three segments, all that can be done to the keys; of four to six, all
 *                 that can be done to one of them, with something for the others
 *   plans PATTERN CHOSEN BITS DUE SALT
 *                 that one, as a failure prints it: "p.d,.x.,p.p 101 64 m 7" */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plans/try.h"

#define HISTORIES_MAX 4096u
#define SHARE 79u /* every so-manieth pattern in the share */

static const char actions[] = {NOTHING, PUT, DELETE, EXPIRE};

/* What can be done to a key in that many segments, one after the other. */
typedef struct histories {
  unsigned segments, count;
  moment due;
  char does[HISTORIES_MAX][SEGMENTS_MAX];
} histories;

/* How far a run has come. */
typedef struct tally {
  uint64_t share; /* every so-manieth pattern is tried, */
  uint64_t day;   /* from this one on */
  uint64_t patterns, stores, plans;
} tally;

/* ---- patterns ------------------------------------------------------------------- */

/* Deleting what is not there writes nothing, and is left out. */
static bool is_possible(const char *does, unsigned segments, moment due) {
  bool there = false;
  for (unsigned i = 0; i < segments; i++) {
    if (does[i] == DELETE && !there) return false;
    if (does[i] == DELETE) there = false;
    if (does[i] == PUT || does[i] == EXPIRE) there = does[i] == PUT || due != DUE_SOON;
  }
  return true;
}

static void list_histories(histories *h, unsigned segments, moment due) {
  h->segments = segments;
  h->due = due;
  h->count = 0;
  for (unsigned number = 0; number < 1u << 2 * segments; number++) {
    char *does = h->does[h->count];
    for (unsigned i = 0; i < segments; i++) does[i] = actions[number >> 2 * i & 3];
    h->count += is_possible(does, segments, due);
  }
}

static void set_history(pattern *p, unsigned key, const char *does) {
  for (unsigned i = 0; i < p->segments; i++) p->does[i][key] = does[i];
}

/* A segment to which nothing is written is none. */
static bool has_gap(const pattern *p) {
  static const char nothing[KEYS] = {NOTHING, NOTHING, NOTHING};
  for (unsigned i = 0; i < p->segments; i++)
    if (memcmp(p->does[i], nothing, KEYS) == 0) return true;
  return false;
}

/* ---- plans ---------------------------------------------------------------------- */

static void print_plan(const pattern *p, unsigned chosen) {
  printf("not ok plans: %s\n# again: build/debug/plans ", why);
  for (unsigned i = 0; i < p->segments; i++) printf("%s%.3s", i == 0 ? "" : ",", p->does[i]);
  printf(" ");
  for (unsigned i = 0; i < p->segments; i++) printf("%u", chosen >> i & 1);
  printf(" %u %c %llu\n", p->hash_bits, (char)p->due, (unsigned long long)p->salt);
}

/* Tries the plans `from` to `to`, of which each bit stands for a segment. */
static bool try_plans(const pattern *p, unsigned from, unsigned to) {
  base b;
  unsigned chosen = from;
  bool right = base_make(&b, p);
  while (right && chosen <= to) right = base_merge(&b, chosen++);
  base_drop(&b);
  if (!right) print_plan(p, chosen - 1);
  return right;
}

/* All plans of a pattern, if it has its turn. */
static bool try_pattern(tally *t, pattern *p) {
  static const unsigned bits[] = {64, 2, 1};
  unsigned most = (1u << p->segments) - 1;
  if (has_gap(p)) return true;
  p->salt = t->patterns++;
  p->hash_bits = bits[p->salt % 3];
  if ((p->salt + t->day) % t->share != 0) return true;
  t->stores++;
  t->plans += most;
  return try_plans(p, 1, most);
}

/* Each history of each key with each of the others, whichever has which. */
static bool try_all_keys(tally *t, const histories *h) {
  pattern p = {.segments = h->segments, .due = h->due};
  bool right = true;
  for (unsigned i = 0; i < h->count; i++)
    for (unsigned j = i; j < h->count; j++)
      for (unsigned k = j; right && k < h->count; k++) {
        set_history(&p, (i + j + k) % KEYS, h->does[i]);
        set_history(&p, (i + j + k + 1) % KEYS, h->does[j]);
        set_history(&p, (i + j + k + 2) % KEYS, h->does[k]);
        right = try_pattern(t, &p);
      }
  return right;
}

/* Each history of a key, some for the others. */
static bool try_one_key(tally *t, const histories *h) {
  pattern p = {.segments = h->segments, .due = h->due};
  bool right = true;
  for (unsigned i = 0; right && i < h->count; i++) {
    set_history(&p, i % KEYS, h->does[i]);
    set_history(&p, (i + 1) % KEYS, h->does[(i * UINT64_C(7919) + 11) % h->count]);
    set_history(&p, (i + 2) % KEYS, h->does[(i * UINT64_C(104729) + 5) % h->count]);
    right = try_pattern(t, &p);
  }
  return right;
}

static bool try_all(tally *t) {
  static const moment dues[] = {DUE_SOON, DUE_MERGE, DUE_AFTER};
  static histories h;
  bool right = true;
  for (unsigned i = 0; right && i < 3; i++) {
    list_histories(&h, 3, dues[i]);
    right = try_all_keys(t, &h);
    for (unsigned segments = 4; right && segments <= SEGMENTS_MAX; segments++) {
      list_histories(&h, segments, dues[i]);
      right = try_one_key(t, &h);
    }
  }
  return right;
}

/* ---- one of them ---------------------------------------------------------------- */

static bool read_pattern(const char *text, pattern *p) {
  size_t size = strlen(text);
  if (size % (KEYS + 1) != KEYS || size > SEGMENTS_MAX * (KEYS + 1)) return false;
  p->segments = (unsigned)(size + 1) / (KEYS + 1);
  for (unsigned i = 0; i < p->segments; i++) memcpy(p->does[i], text + i * (KEYS + 1), KEYS);
  return true;
}

/* One plan, by its words: 0 where all is well. */
static int try_again(const char *const *words) {
  pattern p = {.segments = 0};
  unsigned chosen = 0;
  if (!read_pattern(words[0], &p)) return 2;
  for (unsigned i = 0; i < p.segments && words[1][i] != '\0'; i++)
    chosen |= (unsigned)(words[1][i] == '1') << i;
  p.hash_bits = (unsigned)strtoul(words[2], NULL, 10);
  p.due = (moment)words[3][0];
  p.salt = strtoull(words[4], NULL, 10);
  if (!try_plans(&p, chosen, chosen)) return 1;
  printf("ok plans: %s %s\n", words[0], words[1]);
  return 0;
}

/* Those by which alone, of the share, some bug shows. */
static bool try_rare(void) {
  /* A tombstone passes a key that has its hash and was not there when it was written. */
  static const char *const rare[][5] = {{"p..,d..,.p.,..p", "0101", "1", "a", "3"}};
  for (size_t i = 0; i < sizeof rare / sizeof *rare; i++)
    if (try_again(rare[i]) != 0) return false;
  return true;
}

int main(int count, char **words) {
  bool all = count > 1 && count <= 4 && strcmp(words[1], "--all") == 0;
  tally t = {.share = all ? 1 : SHARE};
  if (all && count > 2) t.share = strtoull(words[2], NULL, 10);
  if (all && count > 3) t.day = strtoull(words[3], NULL, 10);
  if (t.share == 0) return 2;
  if (count == 6) return try_again((const char *const *)words + 1);
  if (!try_rare() || !try_all(&t)) return 1;
  printf("ok plans: %llu plans of %llu stores\n", (unsigned long long)t.plans,
         (unsigned long long)t.stores);
  return 0;
}
