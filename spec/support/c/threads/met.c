/* met.c - data files that nobody has opened since the store was (S6 in segment.h): several
 * threads come to each at once, and one of them opens it while the others look. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"
#include "shared.h"

#define READERS 4u
#define SEGMENTS 24u
#define EACH 8u /* keys of a segment */

static uint32_t arrived[SEGMENTS]; /* readers that are about to read of it, */
static uint32_t opened[SEGMENTS];  /* and how often its file was opened */
static bool reading;               /* there are readers */
static pthread_barrier_t together; /* before each segment: who waits is not in the store */

/* Opening a file takes until all readers have come to it. */
static int slow_open(void *context, int dir, const char *name, unsigned flags, int *file) {
  char *end = NULL;
  unsigned long number = strtoul(name, &end, 10) - 1;
  if (number < SEGMENTS && strcmp(end, ".data") == 0 && (flags & FJ_OPEN_WRITE) == 0) {
    while (reading && __atomic_load_n(&arrived[number], __ATOMIC_SEQ_CST) < READERS)
      (void)sched_yield();
    (void)__atomic_fetch_add(&opened[number], 1, __ATOMIC_SEQ_CST);
  }
  return fj_os_real()->open(context, dir, name, flags, file);
}

typedef struct reader {
  pthread_t thread;
  freyja *db;
  bool by_view, right;
} reader;

/* Whether the key has its value, which is the key itself. */
static bool is_right(const reader *r, uint32_t key) {
  uint32_t bytes = 0;
  size_t size = 0;
  freyja_view view;
  if (!r->by_view)
    return freyja_get(r->db, &key, 4, &bytes, 4, &size, NULL) == FREYJA_OK && size == 4 &&
           bytes == key;
  if (freyja_get_view(r->db, &key, 4, &view, NULL) != FREYJA_OK) return false;
  bool right = view.size == 4 && memcmp(view.data, &key, 4) == 0;
  freyja_view_release(&view);
  return right;
}

static void *read_all(void *argument) {
  reader *r = argument;
  r->right = true;
  for (uint32_t number = 0; number < SEGMENTS; number++) {
    (void)pthread_barrier_wait(&together);
    (void)__atomic_fetch_add(&arrived[number], 1, __ATOMIC_SEQ_CST);
    for (uint32_t i = 0; i < EACH; i++) r->right &= is_right(r, number * EACH + i);
  }
  return NULL;
}

static unsigned count_opened(void) {
  unsigned count = 0;
  for (unsigned i = 0; i < SEGMENTS; i++) count += opened[i];
  return count;
}

static void write_segments(const freyja_options *options) {
  freyja_error error;
  freyja *db = threads_open_new(options);
  for (uint32_t key = 0; key < SEGMENTS * EACH; key++) {
    threads_demand(freyja_put(db, &key, 4, &key, 4, &error) == FREYJA_OK, "a put", &error);
    if (key % EACH == EACH - 1)
      threads_demand(freyja_rotate(db, &error) == FREYJA_OK, "a rotation", &error);
  }
  threads_demand(freyja_checkpoint(db, &error) == FREYJA_OK, "a KEYDIR", &error);
  threads_demand(freyja_close(db, &error) == FREYJA_OK, "close", &error);
}

void threads_test_met(void) {
  static fj_os slow;
  static reader readers[READERS];
  freyja_options options = threads_options();
  bool right = true;
  threads_demand(pthread_barrier_init(&together, NULL, READERS) == 0, "a barrier", NULL);
  write_segments(&options);
  slow = *fj_os_real();
  slow.open = slow_open;
  options.os = &slow;
  for (unsigned i = 0; i < READERS; i++)
    readers[i] = (reader){.db = threads_open_with(&options), .by_view = i % 2 != 0};
  reading = true;
  threads_ok(count_opened() == 0, "files that the KEYDIR knows are not opened");
  for (unsigned i = 0; i < READERS; i++)
    threads_demand(pthread_create(&readers[i].thread, NULL, read_all, &readers[i]) == 0,
                   "a thread", NULL);
  for (unsigned i = 0; i < READERS; i++) {
    (void)pthread_join(readers[i].thread, NULL);
    right = right && readers[i].right;
    threads_demand(freyja_close(readers[i].db, NULL) == FREYJA_OK, "close", NULL);
  }
  (void)pthread_barrier_destroy(&together);
  threads_ok(right && count_opened() == SEGMENTS,
             "each is opened once, whoever comes to it meanwhile");
}
