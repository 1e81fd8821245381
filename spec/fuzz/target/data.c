/* data.c - any bytes in data files that a MANIFEST names: up to three files of the image,
 * under the names 1.data, 2.data and 3.data. They are read by freyja_log too. */
#include "image.h"
#include "log.h"
#include "recipe.h"
#include "session.h"
#include "target.h"

#define FILES_MAX 3u
#define LAST_IS_SEALED 128u /* of an image's options */

const char *const fuzz_target = "data";

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static const uint8_t active[] = {0, 0, 1, 0, 2, 0, 3, 0};
  static const uint8_t sealed[] = {0, 8, 1, 0, 2, 0, 3, 0};
  fuzz_image image;
  uint64_t taken = 0;
  fuzz_image_read(&image, bytes, size);
  if (image.count == 0) return 0;
  if (image.count > FILES_MAX) image.count = FILES_MAX;
  for (uint8_t i = 0; i < image.count; i++)
    image.files[i].name = fuzz_name_of_data((uint8_t)(i + 1));
  fuzz_file manifest = {FUZZ_RECIPE, FUZZ_MANIFEST, active, 2 + 2 * image.count};
  if (image.options & LAST_IS_SEALED) manifest.at = sealed;
  image.files[image.count++] = manifest;
  sim_disk *disk = fuzz_image_disk(&image, &taken);
  fuzz_read_log(disk, "db/1.data", 1);
  fuzz_session(disk, taken, image.options, &image.rest);
  return 0;
}
