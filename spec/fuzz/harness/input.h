/* input.h - a fuzzer's bytes, read from the front, and what a target says when a property
 * does not hold. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>

/* What is left of the input. */
typedef struct fuzz_input {
  const uint8_t *at;
  size_t left; /* bytes */
} fuzz_input;

/* The next byte, or 0 if there is none. */
uint8_t fuzz_byte(fuzz_input *input);

/* The next two, the low one first. */
uint16_t fuzz_short(fuzz_input *input);

/* The next `want` bytes; *size is how many of them there are. */
const uint8_t *fuzz_bytes(fuzz_input *input, size_t want, size_t *size);

/* Zeroed; ends the program if there is none. */
void *fuzz_allocate(size_t size);

/* A property does not hold: says so and aborts. */
_Noreturn void fuzz_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
