/* extremes.h - memory per key, and the slowest put, while a store grows to 10 million keys. */
#ifndef EXTREMES_H
#define EXTREMES_H

void print_extremes(const char *folder);

#endif
