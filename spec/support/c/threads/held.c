/* held.c - a thread that is held while it copies a value, into the store or out of it: its own
 * memory cannot be accessed, and the handler of the signal for that waits. What it works on is
 * left alone meanwhile. */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "os.h"
#include "shared.h"

#define SIZE 8192u /* bytes of the value, whole pages */
#define ROUNDS 3u
#define NUMBERS 100u

static uint8_t *memory; /* SIZE bytes */
static uint32_t held, go_on, naps, opened;
static struct sigaction before;

static uint32_t load32(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
static void store32(uint32_t *p, uint32_t v) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }

static void wait_here(int signal_number, siginfo_t *info, void *context) {
  (void)signal_number, (void)context;
  uintptr_t offset = (uintptr_t)info->si_addr - (uintptr_t)memory;
  if (offset >= SIZE || load32(&go_on) != 0) { /* it is something else that is not there */
    (void)sigaction(SIGSEGV, &before, NULL);
    return;
  }
  store32(&held, 1);
  while (load32(&go_on) == 0) (void)sched_yield();
  (void)mprotect(memory, SIZE, PROT_READ | PROT_WRITE);
}

/* From now on who accesses the memory is held. */
static void hold(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = wait_here;
  action.sa_flags = SA_SIGINFO;
  store32(&held, 0);
  store32(&go_on, 0);
  threads_demand(sigaction(SIGSEGV, &action, &before) == 0, "a handler", NULL);
  threads_demand(mprotect(memory, SIZE, PROT_NONE) == 0, "mprotect", NULL);
}

static void begin(pthread_t *thread, void *(*work)(void *argument), void *argument) {
  threads_demand(pthread_create(thread, NULL, work, argument) == 0, "a thread", NULL);
}

static void wait_until_held(void) {
  while (load32(&held) == 0) (void)sched_yield();
}

static void release(void) { store32(&go_on, 1); }

static bool is_all(uint8_t byte) {
  for (size_t i = 0; i < SIZE; i++)
    if (memory[i] != byte) return false;
  return true;
}

/* ---- out of it --------------------------------------------------------------------- */

static void *get_value(void *argument) {
  freyja *db = argument;
  freyja_error error;
  size_t size = 0;
  freyja_status status = freyja_get(db, "key", 3, memory, SIZE, &size, &error);
  threads_demand(status == FREYJA_OK && size == SIZE, "a get", &error);
  return NULL;
}

static void put_value(freyja *db, uint8_t byte) {
  freyja_error error;
  uint8_t value[SIZE];
  memset(value, byte, SIZE);
  threads_demand(freyja_put(db, "key", 3, value, SIZE, &error) == FREYJA_OK &&
                     freyja_rotate(db, &error) == FREYJA_OK,
                 "a put", &error);
}

static void test_reader(void) {
  freyja_error error;
  pthread_t thread;
  freyja_options options = threads_options();
  freyja *db = threads_open_new(&options), *reader = threads_open();
  put_value(db, 'a');
  hold();
  begin(&thread, get_value, reader);
  wait_until_held();
  for (unsigned i = 0; i < ROUNDS; i++) {
    put_value(db, 'b');
    threads_merge(db);
  }
  release();
  (void)pthread_join(thread, NULL);
  threads_ok(is_all('a'), "what a reader copies from stays until it has");
  threads_demand(freyja_close(reader, &error) == FREYJA_OK, "close", &error);
  threads_demand(freyja_close(db, &error) == FREYJA_OK, "close", &error);
}

/* ---- into it ----------------------------------------------------------------------- */

static void *put_memory(void *argument) {
  freyja *db = argument;
  freyja_error error;
  threads_demand(freyja_put(db, "key", 3, memory, SIZE, &error) == FREYJA_OK, "a put", &error);
  return NULL;
}

static void *open_and_put(void *argument) {
  const freyja_options *options = argument;
  freyja_error error;
  freyja *db = threads_open_with(options);
  store32(&opened, 1);
  for (uint32_t i = 0; i < NUMBERS; i++)
    threads_demand(freyja_put(db, &i, sizeof i, "value", 5, &error) == FREYJA_OK, "a put",
                   &error);
  threads_demand(freyja_close(db, &error) == FREYJA_OK, "close", &error);
  return NULL;
}

static void nap(void *context, uint64_t microseconds) {
  __atomic_add_fetch(&naps, 1, __ATOMIC_SEQ_CST);
  fj_os_real()->sleep(context, microseconds);
}

static void test_writer(void) {
  static fj_os napping;
  freyja_error error;
  freyja_stats stats;
  freyja_report report;
  pthread_t first, second;
  freyja_options options = threads_options();
  napping = *fj_os_real();
  napping.sleep = nap;
  options.os = &napping;
  freyja *db = threads_open_new(&options);
  memset(memory, 'c', SIZE);
  hold();
  begin(&first, put_memory, db);
  wait_until_held();
  begin(&second, open_and_put, &options);
  while (load32(&naps) == 0 && load32(&opened) == 0) (void)sched_yield();
  bool waits = load32(&opened) == 0;
  release();
  (void)pthread_join(first, NULL);
  (void)pthread_join(second, NULL);
  freyja_get_stats(db, &stats);
  threads_ok(waits && stats.keys == NUMBERS + 1 &&
                 freyja_verify(db, NULL, NULL, &report, &error) == FREYJA_OK &&
                 report.problems == 0,
             "a second handle waits for the call that goes on");
  threads_demand(freyja_close(db, &error) == FREYJA_OK, "close", &error);
}

void threads_test_held(void) {
  memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  threads_demand(memory != MAP_FAILED, "mmap", NULL);
  test_reader();
  (void)sigaction(SIGSEGV, &before, NULL);
  test_writer();
  (void)sigaction(SIGSEGV, &before, NULL);
  (void)munmap(memory, SIZE);
}
