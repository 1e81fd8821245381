/* thread.c - see thread.h. */
#include "thread.h"

#include <signal.h>

#define STACK (256u << 10) /* bytes */

bool fj_thread_begin(pthread_t *thread, void *(*run)(void *argument), void *argument) {
  sigset_t all, before;
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return false;
  (void)pthread_attr_setstacksize(&attributes, STACK);
  (void)sigfillset(&all);
  /* Blocked, these would end the process where it may have a handler of its own. */
  (void)sigdelset(&all, SIGBUS);
  (void)sigdelset(&all, SIGSEGV);
  (void)sigdelset(&all, SIGFPE);
  (void)sigdelset(&all, SIGILL);
  (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* a thread begins with its maker's */
  bool begun = pthread_create(thread, &attributes, run, argument) == 0;
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  (void)pthread_attr_destroy(&attributes);
  return begun;
}

void fj_thread_share(void *(*run)(void *argument), void *arguments, size_t size,
                     bool together) {
  pthread_t threads[FJ_THREADS];
  bool begun[FJ_THREADS] = {false};
  uint8_t *first = arguments;
  for (uint32_t i = 1; i < FJ_THREADS && together; i++)
    begun[i] = fj_thread_begin(&threads[i], run, first + i * size);
  for (uint32_t i = 0; i < FJ_THREADS; i++)
    if (!begun[i]) (void)run(first + i * size);
  for (uint32_t i = 1; i < FJ_THREADS; i++)
    if (begun[i]) (void)pthread_join(threads[i], NULL);
}
