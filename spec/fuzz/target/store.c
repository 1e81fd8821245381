/* store.c - any files under any names in a store's directory, and anything done to it. */
#include "image.h"
#include "session.h"
#include "target.h"

const char *const fuzz_target = "store";

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  fuzz_image image;
  uint64_t taken = 0;
  fuzz_image_read(&image, bytes, size);
  sim_disk *disk = fuzz_image_disk(&image, &taken);
  fuzz_session(disk, taken, image.options, &image.rest);
  return 0;
}
