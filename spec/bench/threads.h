/* threads.h - threads that share a store: how readers add up, what a writer costs them, and
 * durable puts of many. */
#ifndef THREADS_H
#define THREADS_H

#include <stdint.h>

/* With so many keys, that many times. */
void print_threads(const char *folder, uint64_t keys, unsigned runs);

#endif
