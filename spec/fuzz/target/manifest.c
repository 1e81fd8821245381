/* manifest.c - any MANIFEST over three data files: the first file of the image, under the
 * name MANIFEST. */
#include "image.h"
#include "operations.h"
#include "recipe.h"
#include "session.h"
#include "target.h"

#define FILES 3u

const char *const fuzz_target = "manifest";

/* Two sealed segments and the one that is written, made once. */
static void add_data(fuzz_image *image) {
  static const uint8_t recipe[] = {1, 0, 1, 9, 0, 2, 30, 4, 1, 0, 3, 0};
  static uint8_t made[FILES][FUZZ_MADE_MAX];
  static size_t sizes[FILES];
  uint64_t clock = 1000;
  for (uint8_t i = 0; i < FILES; i++) {
    fuzz_input input = {recipe, sizeof recipe};
    if (sizes[i] == 0) sizes[i] = fuzz_make_data(&input, i + 1u, &clock, made[i]);
    fuzz_file file = {FUZZ_RAW, fuzz_name_of_data((uint8_t)(i + 1)), made[i], sizes[i]};
    image->files[image->count++] = file;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static const uint8_t verify[] = {FUZZ_VERIFY};
  fuzz_image image;
  uint64_t taken = 0;
  fuzz_image_read(&image, bytes, size);
  if (image.count == 0) return 0;
  image.count = 1;
  image.files[0].name = FUZZ_MANIFEST;
  /* Fast rather than thorough: the target "store" writes. */
  image.rest.at = verify;
  image.rest.left = sizeof verify;
  add_data(&image);
  sim_disk *disk = fuzz_image_disk(&image, &taken);
  fuzz_session(disk, taken, image.options, &image.rest);
  return 0;
}
