/* threads.c - several threads share a store.
 *
 *   threads                        a part of all, a few seconds
 *   threads ROUNDS STOPS CALLS     so many rounds of 64 histories, stops of a writer, and
 * calls threads ROUNDS STOPS CALLS SEED
 *
 * What is tested is what each thread sees, and that nothing that a writer does, wherever it is
 * stopped, keeps readers waiting. Run it under ThreadSanitizer, too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "threads/shared.h"

#define HANG 240u /* seconds */

static int failures;
static char folder[200], path[240];

void threads_ok(bool condition, const char *name) {
  printf("%s threads: %s\n", condition ? "ok" : "not ok", name);
  (void)fflush(stdout);
  failures += !condition;
}

void threads_demand(bool condition, const char *what, const freyja_error *error) {
  if (condition) return;
  printf("not ok threads: %s: %s\n", what, error == NULL ? "it failed" : error->message);
  (void)fflush(stdout);
  _exit(1);
}

uint64_t threads_next(uint64_t *state) {
  *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  uint64_t x = *state;
  x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
  return x ^ x >> 32;
}

freyja_options threads_options(void) {
  freyja_options options;
  freyja_options_init(&options);
  options.sync_mode = FREYJA_SYNC_NONE;
  options.segment_size = 64 << 10;
  return options;
}

freyja *threads_open_new(const freyja_options *options) {
  static int count;
  freyja_error error;
  freyja *db = NULL;
  (void)snprintf(path, sizeof path, "%s/%d", folder, count++);
  threads_demand(freyja_open(path, options, &db, &error) == FREYJA_OK, "open", &error);
  return db;
}

freyja *threads_open_with(const freyja_options *options) {
  freyja_error error;
  freyja *db = NULL;
  threads_demand(freyja_open(path, options, &db, &error) == FREYJA_OK, "open again", &error);
  return db;
}

freyja *threads_open(void) { return threads_open_with(NULL); }

/* A removed folder of tests: nothing but data files, and what belongs to them. */
static void clean_up(void) {
  char command[260];
  (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
  if (system(command) != 0) printf("# %s stays\n", folder);
}

int main(int count, char **arguments) {
#ifdef __SANITIZE_THREAD__ /* it is slow */
  long rounds = 3, stops = 50, calls = 15000;
#else
  long rounds = 10, stops = 150, calls = 40000;
#endif
  uint64_t seed = (uint64_t)time(NULL);
  if (count >= 4) {
    rounds = strtol(arguments[1], NULL, 10);
    stops = strtol(arguments[2], NULL, 10);
    calls = strtol(arguments[3], NULL, 10);
  }
  if (count >= 5) seed = strtoull(arguments[4], NULL, 10);
  printf("# threads %ld %ld %ld %llu\n", rounds, stops, calls, (unsigned long long)seed);
  (void)alarm(count > 1 ? 0 : HANG); /* what waits for ever is a failure like another */
  const char *place = getenv("TMPDIR");
  (void)snprintf(folder, sizeof folder, "%s/freyja-threads-XXXXXX", place ? place : "/tmp");
  threads_demand(mkdtemp(folder) != NULL, "a folder", NULL);
  threads_test_together();
  threads_test_flushes();
  threads_test_held();
  threads_test_met();
  if (rounds > 0) threads_test_histories(seed, rounds);
  if (stops > 0) threads_test_second(seed, stops);
  if (stops > 0) threads_test_wholes(seed, stops);
  if (stops > 0) threads_test_stops(seed, stops);
  if (calls > 0) threads_test_all(seed, calls);
  clean_up();
  return failures == 0 ? 0 : 1;
}
