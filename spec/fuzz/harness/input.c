/* input.c - see input.h. */
#include "input.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

uint8_t fuzz_byte(fuzz_input *input) {
  if (input->left == 0) return 0;
  input->left--;
  return *input->at++;
}

uint16_t fuzz_short(fuzz_input *input) {
  unsigned low = fuzz_byte(input);
  return (uint16_t)(low | (unsigned)fuzz_byte(input) << 8);
}

const uint8_t *fuzz_bytes(fuzz_input *input, size_t want, size_t *size) {
  const uint8_t *at = input->at;
  *size = want < input->left ? want : input->left;
  input->at += *size;
  input->left -= *size;
  return at;
}

void *fuzz_allocate(size_t size) {
  void *block = calloc(1, size == 0 ? 1 : size);
  if (block == NULL) abort();
  return block;
}

void fuzz_fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  (void)fputs("property broken: ", stderr);
  (void)vfprintf(stderr, format, arguments);
  (void)fputc('\n', stderr);
  va_end(arguments);
  abort();
}
