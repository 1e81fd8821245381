/* plain.c - hints that several threads load give the index that one thread makes of them: also
 * where there is no room for all that they add, so that they stop in the middle.
 *
 *   plain [SEED] */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "freyja.h"

#include "os.h"

#define KEYS 200000u
#ifdef __SANITIZE_THREAD__ /* it is slow */
#define WRITES 280000u
#define HINTS_MIN 64u
#else
#define WRITES 600000u
#define HINTS_MIN 128u
#endif
#define SEGMENT                                                                               \
  (UINT64_C(192) << 10) /* bytes: more than 128 hints, which are three groups                 \
                         */
#define VALUE_MAX 40u
#define SAMPLE_BITS (128u << 10) /* bytes: what the guess of how many keys there are takes */

static int failures;
static char path[64];
static uint64_t state;
static uint32_t written[KEYS]; /* by which write a key got its value; 0: it has none */
static bool refuses;           /* memory for that guess, where a store is opened */
static bool opens;
static fj_os sharing, alone;

static void ok(bool condition, const char *name) {
  printf("%s plain: %s\n", condition ? "ok" : "not ok", name);
  failures += !condition;
}

static void demand(bool condition, const char *what, const freyja_error *error) {
  if (condition) return;
  printf("not ok plain: %s: %s\n", what, error == NULL ? "it failed" : error->message);
  exit(1);
}

static uint32_t next_below(uint32_t bound) {
  state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return (uint32_t)((state >> 32) * bound >> 32);
}

static void *allocate(void *context, size_t size) {
  if (refuses && opens && size == SAMPLE_BITS) return NULL;
  return fj_os_real()->allocate(context, size);
}

/* ---- the store ---------------------------------------------------------------------- */

static freyja *open_by(const fj_os *os, bool readonly) {
  freyja_options options;
  freyja_error error;
  freyja *db = NULL;
  freyja_options_init(&options);
  options.os = os;
  options.segment_size = SEGMENT;
  options.sync_mode = FREYJA_SYNC_NONE;
  options.readonly = readonly;
  opens = true;
  demand(freyja_open(path, &options, &db, &error) == FREYJA_OK, "a store opens", &error);
  opens = false;
  return db;
}

/* Without a KEYDIR. */
static void close_store(freyja *db) {
  char name[80];
  freyja_error error;
  demand(freyja_close(db, &error) == FREYJA_OK, "a store closes", &error);
  (void)snprintf(name, sizeof name, "%s/KEYDIR", path);
  (void)unlink(name);
}

static size_t value_of(uint32_t number, uint8_t value[VALUE_MAX]) {
  size_t size = number % VALUE_MAX;
  memset(value, (int)(number % 251), VALUE_MAX);
  memcpy(value, &number, size < sizeof number ? size : sizeof number);
  return size;
}

/* Keys come and go; the later ones are new to the first groups of hints. */
static void write_all(freyja *db) {
  freyja_error error;
  uint8_t value[VALUE_MAX];
  for (uint32_t i = 1; i <= WRITES; i++) {
    uint32_t key = next_below(KEYS / 4 + KEYS / 4 * 3 / (WRITES / 1000) * (i / 1000));
    bool goes = next_below(8) == 0;
    size_t size = value_of(i, value);
    uint64_t ttl = next_below(50) == 0 ? UINT64_C(1000000000000) : 0;
    freyja_status status =
        goes ? freyja_delete(db, &key, sizeof key, &error)
             : freyja_put_ttl(db, &key, sizeof key, value, size, ttl, &error);
    demand(status == FREYJA_OK || (goes && status == FREYJA_NOTFOUND), "a write", &error);
    written[key] = goes ? 0 : i;
  }
}

static size_t write_hints(freyja *db) {
  freyja_error error;
  size_t count = freyja_get_segments(db, NULL, 0), hints = 0;
  freyja_segment *segments = calloc(count, sizeof *segments);
  demand(segments != NULL, "memory", NULL);
  (void)freyja_get_segments(db, segments, count);
  for (size_t i = 0; i < count; i++) {
    if (!segments[i].sealed) continue;
    demand(freyja_hint(db, segments[i].id, &error) == FREYJA_OK, "a hint", &error);
    hints++;
  }
  free(segments);
  return hints;
}

/* ---- comparing ---------------------------------------------------------------------- */

/* Whether each key has its last value, and there are no others. */
static bool is_whole(freyja *db) {
  freyja_stats stats;
  freyja_view view;
  uint8_t value[VALUE_MAX];
  uint64_t count = 0;
  for (uint32_t key = 0; key < KEYS; key++) {
    freyja_status status = freyja_get_view(db, &key, sizeof key, &view, NULL);
    if (written[key] == 0 && status == FREYJA_NOTFOUND) continue;
    size_t size = value_of(written[key], value);
    bool same = written[key] != 0 && status == FREYJA_OK && view.size == size &&
                memcmp(view.data, value, size) == 0;
    if (status == FREYJA_OK) freyja_view_release(&view);
    if (!same) return false;
    count++;
  }
  freyja_get_stats(db, &stats);
  return stats.keys == count;
}

/* Whether the figures of all segments are the same. */
static bool have_same_figures(freyja *one, freyja *other) {
  size_t count = freyja_get_segments(one, NULL, 0);
  freyja_segment *a = calloc(count, sizeof *a), *b = calloc(count, sizeof *b);
  demand(a != NULL && b != NULL, "memory", NULL);
  bool same = freyja_get_segments(other, b, count) == count;
  (void)freyja_get_segments(one, a, count);
  for (size_t i = 0; i < count && same; i++)
    same = a[i].id == b[i].id && a[i].live_keys == b[i].live_keys &&
           a[i].live_bytes == b[i].live_bytes && a[i].keys == b[i].keys;
  free(a);
  free(b);
  return same;
}

static bool used_hints(freyja *db, size_t hints) {
  freyja_stats stats;
  freyja_get_stats(db, &stats);
  return stats.recovery.hints_used == hints && stats.recovery.hints_ignored == 0;
}

static void note_problem(void *argument, const freyja_problem *problem) {
  printf("# %s: %s\n", problem->path, problem->message);
  *(bool *)argument = false;
}

static bool verifies(freyja *db) {
  bool good = true;
  freyja_error error;
  freyja_report report;
  freyja_status status = freyja_verify(db, note_problem, &good, &report, &error);
  return good && status == FREYJA_OK;
}

static void test_loading(size_t hints, const char *name) {
  freyja_error error;
  freyja *several = open_by(&sharing, false);
  bool good = used_hints(several, hints) && is_whole(several) && verifies(several);
  close_store(several);
  freyja *one = open_by(&alone, false);
  several = open_by(&sharing, true);
  good = good && used_hints(one, hints) && used_hints(several, hints) &&
         have_same_figures(one, several) && is_whole(several);
  demand(freyja_close(several, &error) == FREYJA_OK, "a reader closes", &error);
  close_store(one);
  ok(good, name);
}

int main(int count, char **arguments) {
  char command[100];
  uint64_t seed = count > 1 ? strtoull(arguments[1], NULL, 10) : (uint64_t)time(NULL);
  printf("# seed %" PRIu64 "\n", seed);
  state = seed;
  strcpy(path, "/dev/shm/freyja-plain-XXXXXX");
  if (mkdtemp(path) == NULL)
    demand(mkdtemp(strcpy(path, "plain-XXXXXX")) != NULL, "a folder", NULL);
  sharing = alone = *fj_os_real();
  sharing.allocate = alone.allocate = allocate;
  alone.shares = false;
  freyja *db = open_by(&alone, false);
  write_all(db);
  size_t hints = write_hints(db);
  printf("# %zu hints\n", hints);
  demand(hints > HINTS_MIN, "there are enough segments", NULL);
  close_store(db);
  test_loading(hints, "threads make the same index of hints");
  refuses = true;
  test_loading(hints, "also where the keydir has to grow meanwhile");
  (void)snprintf(command, sizeof command, "rm -rf '%s'", path);
  demand(system(command) == 0, "the folder is removed", NULL);
  return failures > 0;
}
