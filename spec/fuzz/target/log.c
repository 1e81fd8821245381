/* log.c - any bytes in one data file, read by freyja_log: the first file of the image. The
 * rest of the input is the number of the record from which it is read again. */
#include "log.h"

#include "check.h"
#include "image.h"
#include "target.h"

const char *const fuzz_target = "log";

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  fuzz_image image;
  uint64_t taken = 0;
  fuzz_image_read(&image, bytes, size);
  if (image.count == 0) return 0;
  image.count = 1;
  image.files[0].name = fuzz_name_of_data(1);
  sim_disk *disk = fuzz_image_disk(&image, &taken);
  fuzz_read_log(disk, "db/1.data", fuzz_byte(&image.rest));
  fuzz_check_costs(disk, taken, 2);
  sim_disk_destroy(disk);
  return 0;
}
