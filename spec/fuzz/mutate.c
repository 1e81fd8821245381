/* mutate.c - how libFuzzer changes an input that is an image: mostly within one part of it,
 * so that the rest of it keeps its meaning. Only in builds by clang. */
#include <stdlib.h>
#include <string.h>

#include "image.h"
#include "record.h"
#include "target.h"

/* libFuzzer's interface. */
size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t size_max);
size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t size_max, unsigned seed);
const char *__asan_default_options(void);

/* A small quarantine keeps the process below 256 MiB. */
const char *__asan_default_options(void) {
  return "quarantine_size_mb=8:thread_local_quarantine_size_kb=64:malloc_context_size=2:"
         "max_malloc_fill_size=0";
}

#define PART_MAX 65535u /* bytes of a file */

static uint64_t state;

static unsigned pick(size_t below) {
  state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return below == 0 ? 0 : (unsigned)((state >> 33) % below);
}

/* ---- the bytes of one file ------------------------------------------------- */

/* Copies, removes or repeats whole multiples of 8: records stay records. */
static size_t move_blocks(uint8_t *bytes, size_t size, size_t room) {
  size_t blocks = size / 8;
  if (blocks < 2) return size;
  size_t from = pick(blocks) * 8;
  size_t length = (1 + pick(blocks - from / 8 < 16 ? blocks - from / 8 : 16)) * 8;
  if (length > size - from) length = size - from;
  size_t to = pick(blocks) * 8;
  switch (pick(3)) {
  case 0: /* over what is there */
    if (length > size - to) length = size - to;
    memmove(bytes + to, bytes + from, length);
    return size;
  case 1: /* inserted */
    if (size + length > room) return size;
    memmove(bytes + from + length, bytes + from, size - from);
    return size + length;
  default:
    memmove(bytes + from, bytes + from + length, size - from - length);
    return size - length;
  }
}

/* Gives a field of what may be a record another value. */
static size_t change_record(uint8_t *bytes, size_t size) {
  static const uint32_t sizes[] = {0, 1, 7, 8, 9, 255, 4095, 65535, 1u << 20, UINT32_MAX};
  if (size < FJ_RECORD_HEADER) return size;
  uint8_t *p = bytes + pick((size - FJ_RECORD_HEADER) / 8 + 1) * 8;
  uint32_t value = sizes[pick(sizeof sizes / sizeof *sizes)];
  switch (pick(7)) {
  case 0:
    fj_put32(p, 0); /* a sum that stays wrong */
    break;
  case 1:
    fj_put32(p + 4, 0);
    break;
  case 2:
    fj_put32(p + 8, pick(2) == 0 ? value : fj_get32(p + 8) + pick(33) - 16);
    break;
  case 3:
    fj_put16(p + 12, (uint16_t)(pick(2) == 0 ? value : fj_get16(p + 12) + pick(33) - 16));
    break;
  case 4:
    p[14] = (uint8_t)(1 + pick(2));
    break;
  case 5:
    p[15] ^= pick(2) == 0 ? FJ_FLAG_COLLIDES : FJ_FLAG_EXPIRES;
    break;
  default:
    fj_put64(p + 16, (uint64_t)0 - (pick(2) == 0 ? value : 1));
  }
  return size;
}

static size_t mutate_part(uint8_t *bytes, size_t size, size_t room, fuzz_form form) {
  if (size > 0 && form != FUZZ_RECIPE && pick(3) == 0) return change_record(bytes, size);
  if (form != FUZZ_RECIPE && pick(3) == 0) return move_blocks(bytes, size, room);
  if (room == 0) return size;
  return LLVMFuzzerMutate(bytes, size, room);
}

/* ---- an image ----------------------------------------------------------------- */

/* Adds a file, or a copy of one under another name, or takes one away, or changes what it is.
 */
static void change_files(fuzz_image *image) {
  size_t at = pick(image->count);
  fuzz_file *file = &image->files[at];
  switch (pick(4)) {
  case 0:
    if (image->count == FUZZ_FILES_MAX) return;
    file = &image->files[image->count];
    *file = image->files[at];
    if (image->count++ == 0) file->form = FUZZ_RAW;
    file->name = pick(2) == 0 ? (uint8_t)pick(FUZZ_NAMES_SPECIAL)
                              : fuzz_name_of_data((uint8_t)(1 + pick(5)));
    break;
  case 1:
    if (image->count == 0) return;
    image->files[at] = image->files[--image->count];
    break;
  case 2:
    file->form = (fuzz_form)(1 + pick(FUZZ_FORMS - 1));
    break;
  default:
    file->name = pick(2) == 0 ? (uint8_t)pick(FUZZ_NAMES_SPECIAL)
                              : fuzz_name_of_data((uint8_t)(1 + pick(5)));
  }
}

size_t LLVMFuzzerCustomMutator(uint8_t *bytes, size_t size, size_t size_max, unsigned seed) {
  static uint8_t part[PART_MAX], whole[4 * PART_MAX];
  fuzz_image image;
  state = seed;
  bool is_image = strcmp(fuzz_target, "hint") != 0 && strcmp(fuzz_target, "keydir") != 0;
  if (!is_image || pick(8) == 0) return LLVMFuzzerMutate(bytes, size, size_max);
  fuzz_image_read(&image, bytes, size);
  unsigned what = pick(10);
  size_t room = size < size_max ? size_max - size : 0;
  if (what == 0) {
    image.options ^= (uint8_t)(1u << pick(8));
  } else if (what == 1) {
    change_files(&image);
  } else if (what < 5 || image.count == 0) {
    size_t left = image.rest.left < sizeof part ? image.rest.left : sizeof part;
    size_t most = left + room < sizeof part ? left + room : sizeof part;
    if (left > 0) memcpy(part, image.rest.at, left);
    if (most > 0) image.rest.left = LLVMFuzzerMutate(part, left, most);
    image.rest.at = part;
  } else {
    fuzz_file *file = &image.files[pick(image.count)];
    size_t most = file->size + room < sizeof part ? file->size + room : sizeof part;
    if (file->size > 0) memcpy(part, file->at, file->size);
    file->size = mutate_part(part, file->size, most, file->form);
    file->at = part;
  }
  size_t made =
      fuzz_image_write(&image, whole, size_max < sizeof whole ? size_max : sizeof whole);
  if (made == 0) return LLVMFuzzerMutate(bytes, size, size_max);
  memcpy(bytes, whole, made);
  return made;
}
