/* flusher.c - see flusher.h. */
#include "flusher.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "os.h"
#include "thread.h"

static struct {
  pthread_mutex_t lock;
  pthread_cond_t woken;
  pthread_t thread;
  uint32_t users;
  bool runs, ends;
  uint64_t time; /* of fj_os.timer, to wake up at; UINT64_MAX: not by itself */
} flusher = {.lock = PTHREAD_MUTEX_INITIALIZER, .time = UINT64_MAX};

static pthread_mutex_t lives = PTHREAD_MUTEX_INITIALIZER; /* who begins or ends it */

/* ---- when ------------------------------------------------------------------------- */

/* A time of fj_os.timer, which is the clock that the condition goes by. */
static struct timespec as_timespec(uint64_t microseconds) {
  return (struct timespec){.tv_sec = (time_t)(microseconds / 1000000),
                           .tv_nsec = (long)(microseconds % 1000000) * 1000};
}

void fj_flusher_wake(uint64_t microseconds) {
  const fj_os *os = fj_os_real();
  uint64_t time = os->timer(os->context) + microseconds;
  (void)pthread_mutex_lock(&flusher.lock);
  if (time < flusher.time) {
    flusher.time = time;
    if (flusher.runs) (void)pthread_cond_signal(&flusher.woken);
  }
  (void)pthread_mutex_unlock(&flusher.lock);
}

/* ---- the thread ------------------------------------------------------------------- */

/* Sleeps until something is due; false if the thread is to end. */
static bool wait_for_work(void) {
  (void)pthread_mutex_lock(&flusher.lock);
  int code = 0;
  while (!flusher.ends && code != ETIMEDOUT) {
    struct timespec time = as_timespec(flusher.time);
    if (flusher.time == UINT64_MAX) code = pthread_cond_wait(&flusher.woken, &flusher.lock);
    else code = pthread_cond_timedwait(&flusher.woken, &flusher.lock, &time);
  }
  flusher.time = UINT64_MAX;
  bool goes_on = !flusher.ends;
  (void)pthread_mutex_unlock(&flusher.lock);
  return goes_on;
}

static void *run(void *argument) {
  while (wait_for_work()) {
    uint64_t next = fj_share_flush_due();
    if (next != UINT64_MAX) fj_flusher_wake(next);
  }
  return argument;
}

static void start(void) {
  pthread_condattr_t attributes;
  if (pthread_condattr_init(&attributes) != 0) return;
  (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  (void)pthread_mutex_lock(&flusher.lock);
  flusher.ends = false;
  flusher.time = UINT64_MAX;
  if (pthread_cond_init(&flusher.woken, &attributes) == 0)
    flusher.runs = fj_thread_begin(&flusher.thread, run, NULL);
  (void)pthread_mutex_unlock(&flusher.lock);
  (void)pthread_condattr_destroy(&attributes);
}

static void stop(void) {
  if (!flusher.runs) return;
  (void)pthread_mutex_lock(&flusher.lock);
  flusher.ends = true;
  flusher.runs = false;
  (void)pthread_cond_signal(&flusher.woken);
  (void)pthread_mutex_unlock(&flusher.lock);
  (void)pthread_join(flusher.thread, NULL);
  (void)pthread_cond_destroy(&flusher.woken);
}

void fj_flusher_begin(void) {
  (void)pthread_mutex_lock(&lives);
  if (flusher.users++ == 0) start();
  (void)pthread_mutex_unlock(&lives);
}

void fj_flusher_end(void) {
  (void)pthread_mutex_lock(&lives);
  if (flusher.users > 0 && --flusher.users == 0) stop();
  (void)pthread_mutex_unlock(&lives);
}

void fj_flusher_forget(void) {
  static const pthread_mutex_t unlocked = PTHREAD_MUTEX_INITIALIZER;
  lives = flusher.lock = unlocked;
  flusher.users = 0;
  flusher.runs = false;
}
