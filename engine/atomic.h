/* atomic.h - what threads read while another one writes it. The fields are plain ones, since
 * only one thread at a time changes them: it reads them as it likes, and writes them by these;
 * whoever else reads them does that by these, too. The orders are those of C11. */
#ifndef FJ_ATOMIC_H
#define FJ_ATOMIC_H

/* Sees all that came before the fj_publish of the value that it gives. */
#define fj_observe(field) __atomic_load_n(field, __ATOMIC_ACQUIRE)
#define fj_publish(field, value) __atomic_store_n(field, value, __ATOMIC_RELEASE)

/* The same of a value that nothing else hangs on. */
#define fj_glance(field) __atomic_load_n(field, __ATOMIC_RELAXED)
#define fj_note(field, value) __atomic_store_n(field, value, __ATOMIC_RELAXED)

/* For a number that several threads change. */
#define fj_add(field, value) (void)__atomic_fetch_add(field, value, __ATOMIC_RELAXED)
#define fj_take_number(field) __atomic_fetch_add(field, 1, __ATOMIC_RELAXED)

/* Whether it was *expected and is `value` now; otherwise *expected becomes what it is. */
#define fj_exchange(field, expected, value)                                                   \
  __atomic_compare_exchange_n(field, expected, value, false, __ATOMIC_RELAXED,                \
                              __ATOMIC_RELAXED)

/* What comes before it in the program has taken place, for all threads, before what follows.
 * (ThreadSanitizer knows no fences; an exchange is one where it runs.) */
static inline void fj_fence(void) {
#ifdef __SANITIZE_THREAD__
  int here = 0;
  (void)__atomic_exchange_n(&here, 1, __ATOMIC_SEQ_CST);
#else
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* The same if another thread sees to it by fj_os.barrier: only the compiler has to know. */
static inline void fj_light_fence(void) { __atomic_signal_fence(__ATOMIC_SEQ_CST); }

#endif
