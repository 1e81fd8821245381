/* flusher.h - a thread of the process that syncs stores which nobody writes to any more: under
 * FREYJA_SYNC_INTERVAL a write syncs what is due, and after the last one this does.
 *
 * It is there while a store is open that needs it, since the code that it runs may be unloaded
 * with the last one, and sleeps unless there is something to sync. */
#ifndef FJ_FLUSHER_H
#define FJ_FLUSHER_H

#include <stdbool.h>
#include <stdint.h>

/* One more store needs it, or one less; the last one waits until it has ended. Where no thread
 * can be had there is none. */
void fj_flusher_begin(void);
void fj_flusher_end(void);

/* In the child of a fork there is none. */
void fj_flusher_forget(void);

/* Something was written that is to be durable in so many microseconds. */
void fj_flusher_wake(uint64_t microseconds);

/* Called by the thread: syncs what is due, and returns the microseconds until something else
 * is; UINT64_MAX: nothing is. In share.c. */
uint64_t fj_share_flush_due(void);

#endif
