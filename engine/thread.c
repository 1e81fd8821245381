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
  (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* a thread begins with its maker's */
  bool begun = pthread_create(thread, &attributes, run, argument) == 0;
  (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  (void)pthread_attr_destroy(&attributes);
  return begun;
}
