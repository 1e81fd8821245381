/* extremes.c - see extremes.h. Each store grows in a process of its own, so that
 * the memory counted is its own. */
#include "extremes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "freyja.h"

#define GROWN 10000000u /* keys */
#define FROM 1000000u   /* keys from which on memory is sampled, */
#define EVERY 100000u   /* each time that many are added */

/* Bytes of anonymous memory that are in use by the process. */
static double anonymous(void) {
  char line[256];
  long kib = 0;
  FILE *file = fopen("/proc/self/status", "r");
  if (file == NULL) exit(1);
  while (fgets(line, sizeof line, file) != NULL)
    if (sscanf(line, "RssAnon: %ld", &kib) == 1) break;
  (void)fclose(file);
  return (double)kib * 1024;
}

typedef struct figures {
  double sum, most; /* bytes per key */
  unsigned samples;
  double slowest, sealing; /* nanoseconds */
} figures;

static void sample(figures *f, double base, uint64_t keys) {
  double bytes = (anonymous() - base) / (double)keys;
  f->sum += bytes;
  f->samples++;
  if (bytes > f->most) f->most = bytes;
}

/* Puts the keys one by one, timing each; a put that made the MANIFEST's generation
 * grow has sealed a segment. */
static void grow(freyja *db, size_t key_size, size_t value_size, double base, figures *f) {
  uint8_t key[256] = {0}, value[256] = {0};
  freyja_stats stats;
  freyja_get_stats(db, &stats);
  uint64_t generation = stats.generation;
  for (uint64_t i = 0; i < GROWN; i++) {
    make_key(key, i);
    double start = now();
    if (freyja_put(db, key, key_size, value, value_size, NULL) != FREYJA_OK) exit(1);
    double time = now() - start;
    double *worst = &f->slowest;
    if (time > 1e6) { /* only then a look at the statistics */
      freyja_get_stats(db, &stats);
      if (stats.generation != generation) worst = &f->sealing;
      generation = stats.generation;
    }
    if (time > *worst) *worst = time;
    if (i + 1 >= FROM && (i + 1) % EVERY == 0) sample(f, base, i + 1);
  }
}

static void measure(const char *folder, size_t key_size, size_t value_size) {
  char path[512], command[600];
  figures f = {0};
  freyja *db = NULL;
  (void)snprintf(path, sizeof path, "%s/grown", folder);
  double base = anonymous();
  if (freyja_open(path, NULL, &db, NULL) != FREYJA_OK) exit(1);
  grow(db, key_size, value_size, base, &f);
  (void)freyja_close(db, NULL);
  printf("keys of %3zu bytes, values of %3zu, 1 to 10 million keys: anonymous memory a key "
         "%.2f bytes on average, %.2f at most; slowest put %.2f ms, that sealed a segment "
         "%.2f ms\n",
         key_size, value_size, f.sum / f.samples, f.most, f.slowest / 1e6, f.sealing / 1e6);
  (void)fflush(stdout);
  (void)snprintf(command, sizeof command, "rm -rf '%s'", path);
  if (system(command) != 0) exit(1);
}

void print_extremes(const char *folder) {
  static const size_t sizes[][2] = {{16, 100}, {16, 1}, {200, 1}};
  (void)fflush(stdout);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    pid_t child = fork();
    if (child == 0) {
      measure(folder, sizes[i][0], sizes[i][1]);
      _exit(0);
    }
    int status = 0;
    (void)waitpid(child, &status, 0);
    if (status != 0) printf("a process that measured ended with status %d\n", status);
  }
}
