/* thread.h - how the engine begins a thread of its own. */
#ifndef FJ_THREAD_H
#define FJ_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/* Runs a function in a thread to which no signal comes. False: none can be had. Otherwise it
 * is to be joined. */
bool fj_thread_begin(pthread_t *thread, void *(*run)(void *argument), void *argument);

#endif
