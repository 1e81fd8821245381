/* target.h - what a target is made of. */
#ifndef FUZZ_TARGET_H
#define FUZZ_TARGET_H

#include <stddef.h>
#include <stdint.h>

/* Its name, which is that of its folder of the corpus. */
extern const char *const fuzz_target;

/* Runs one input; returns 0, or aborts. The name is libFuzzer's. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#endif
