/* image.h - a store's directory as a fuzzer's input.
 *
 *   options   1 byte: see fuzz_options_of
 *   files     each: form (1 byte, a fuzz_form; END, or the input's end, ends the list), name
 *             (1 byte: fuzz_name), size (2 bytes, low first), that many bytes
 *   the rest  what is done after opening (operations.h)
 *
 * The bytes of a file are given as they are, or as they are with the sums made right, or as a
 * recipe (recipe.h) from which a file with the right sums is made. */
#ifndef FUZZ_IMAGE_H
#define FUZZ_IMAGE_H

#include "disk.h"
#include "input.h"

typedef enum fuzz_form {
  FUZZ_END,
  FUZZ_RAW,
  FUZZ_SEALED, /* sums are made right */
  FUZZ_RECIPE, /* a MANIFEST or a data file from a recipe; other names: as FUZZ_RAW */
  FUZZ_FIFO,
  FUZZ_DIRECTORY,
  FUZZ_LINK,
  FUZZ_FORMS
} fuzz_form;

#define FUZZ_FILES_MAX 12u
#define FUZZ_MANIFEST 0u       /* number of that name */
#define FUZZ_NAMES_SPECIAL 20u /* numbers from here on are those of data files */

/* A file of an input. */
typedef struct fuzz_file {
  fuzz_form form;
  uint8_t name;
  const uint8_t *at;
  size_t size;
} fuzz_file;

/* An input taken apart; borrows from it. */
typedef struct fuzz_image {
  uint8_t options;
  fuzz_file files[FUZZ_FILES_MAX];
  size_t count;
  fuzz_input rest;
} fuzz_image;

/* The name of a file with that number. */
void fuzz_name(char name[SIM_NAME_MAX], uint8_t number);

/* The number of the name of a data file. */
static inline uint8_t fuzz_name_of_data(uint8_t id) {
  return (uint8_t)(FUZZ_NAMES_SPECIAL + id);
}

/* Takes an input apart. Never fails. */
void fuzz_image_read(fuzz_image *image, const uint8_t *bytes, size_t size);

/* Puts it together; returns the size, or 0 if it would be more than `room`. */
size_t fuzz_image_write(const fuzz_image *image, uint8_t *bytes, size_t room);

/* A disk on which "db" is that directory; *size is the bytes of its files. */
sim_disk *fuzz_image_disk(const fuzz_image *image, uint64_t *size);

/* An empty disk as the targets use it. */
sim_disk *fuzz_disk_create(void);

#endif
