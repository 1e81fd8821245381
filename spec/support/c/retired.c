/* retired.c - files that a merge has replaced, while somebody still looks at them: a view that
 * is held, and a forked child with an iterator. They are large enough to be removed a piece at
 * a time. On a real file system, as it is its mappings that would break. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "freyja.h"

#define VALUE (1u << 20) /* bytes */
#define KEYS 40u

static int failures;
static uint8_t value[VALUE];

static void ok(bool condition, const char *name) {
  printf("%s retired: %s\n", condition ? "ok" : "not ok", name);
  failures += !condition;
}

static void demand(bool condition, const char *what) {
  if (condition) return;
  printf("not ok retired: %s\n", what);
  exit(1);
}

static freyja *open_store(const char *path) {
  freyja_options options;
  freyja *db = NULL;
  freyja_options_init(&options);
  options.segment_size = UINT64_C(64) << 20;
  options.sync_mode = FREYJA_SYNC_NONE;
  demand(freyja_open(path, &options, &db, NULL) == FREYJA_OK, "a store opens");
  return db;
}

static void fill(freyja *db) {
  for (uint8_t i = 0; i < KEYS; i++) {
    memset(value, i, sizeof value);
    demand(freyja_put(db, &i, 1, value, sizeof value, NULL) == FREYJA_OK, "a put");
  }
  demand(freyja_rotate(db, NULL) == FREYJA_OK, "a rotation");
}

/* Merges all that is sealed by steps, until the old files are gone. */
static void merge(freyja *db) {
  freyja_segment segments[16];
  uint64_t ids[16];
  size_t count = freyja_get_segments(db, segments, 16), chosen = 0;
  freyja_rewrite *rewrite = NULL;
  for (size_t i = 0; i < count; i++)
    if (segments[i].sealed) ids[chosen++] = segments[i].id;
  demand(freyja_rewrite_open(db, ids, chosen, &rewrite, NULL) == FREYJA_OK, "a rewrite");
  demand(freyja_rewrite_commit(rewrite, NULL) == FREYJA_OK, "a commit");
  freyja_status status = FREYJA_OK;
  while (status == FREYJA_OK) status = freyja_rewrite_step(rewrite, VALUE, NULL);
  demand(status == FREYJA_END, "the steps end");
  freyja_rewrite_close(rewrite);
}

static bool is_all(const void *bytes, uint8_t byte) {
  memset(value, byte, sizeof value);
  return memcmp(bytes, value, sizeof value) == 0;
}

static void test_view(freyja *db) {
  const uint8_t last = KEYS - 1; /* at the file's end, where cutting begins */
  freyja_view view;
  fill(db);
  demand(freyja_get_view(db, &last, 1, &view, NULL) == FREYJA_OK, "a view");
  merge(db);
  ok(view.size == VALUE && is_all(view.data, last), "a view outlives its file");
  freyja_view_release(&view);
}

/* What the child does: waits for the merge, then reads on. */
static int read_on(freyja_iterator *iterator, int from) {
  freyja_entry entry;
  uint8_t byte = 0;
  unsigned count = 0;
  if (read(from, &byte, 1) != 1) return 1;
  while (freyja_iterator_next(iterator, &entry, NULL) == FREYJA_OK)
    count += is_all(entry.value.data, *(const uint8_t *)entry.key.data);
  return count == KEYS ? 0 : 1;
}

static void test_child(freyja *db) {
  freyja_iterator *iterator = NULL;
  int ends[2], status = 0;
  fill(db);
  demand(freyja_iterator_open(db, NULL, &iterator, NULL) == FREYJA_OK, "an iterator");
  demand(pipe(ends) == 0, "a pipe");
  fflush(stdout);
  pid_t child = fork();
  demand(child >= 0, "a child");
  if (child == 0) _exit(read_on(iterator, ends[0]));
  freyja_iterator_close(iterator);
  merge(db);
  demand(write(ends[1], "x", 1) == 1 && waitpid(child, &status, 0) == child, "the child ends");
  ok(status == 0, "a forked child's iterator outlives the files");
  (void)close(ends[0]);
  (void)close(ends[1]);
}

int main(void) {
  char path[] = "/dev/shm/freyja-retired-XXXXXX", command[64];
  if (mkdtemp(path) == NULL)
    demand(mkdtemp(strcpy(path, "retired-XXXXXX")) != NULL, "a folder");
  freyja *db = open_store(path);
  test_view(db);
  test_child(db);
  demand(freyja_close(db, NULL) == FREYJA_OK, "a store closes");
  (void)snprintf(command, sizeof command, "rm -rf '%s'", path);
  demand(system(command) == 0, "the folder is removed");
  return failures > 0;
}
