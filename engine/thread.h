/* thread.h - how the engine begins a thread of its own. */
#ifndef FJ_THREAD_H
#define FJ_THREAD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FJ_THREADS 4u /* that share a piece of work, the caller's included */

/* Runs a function in a thread to which no signal comes but those of its own faults. False:
 * none can be had. Otherwise it is to be joined. */
bool fj_thread_begin(pthread_t *thread, void *(*run)(void *argument), void *argument);

/* Calls a function with each of FJ_THREADS arguments, which lie `size` bytes apart, and
 * returns when all calls have returned: `together` in threads of their own, as far as these
 * can be had, or one after the other. */
void fj_thread_share(void *(*run)(void *argument), void *arguments, size_t size,
                     bool together);

#endif
