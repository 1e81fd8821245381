/* image.c - see image.h. */
#include "image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recipe.h"
#include "sums.h"

#define SPACE (16u << 20) /* bytes: much more than any input needs. To fill it is a fault. */

static const char *const special[FUZZ_NAMES_SPECIAL] = {
    "MANIFEST",
    "LOCK",
    "MANIFEST.tmp",
    "lost",
    "lost/1.128.cut",
    "KEYDIR",
    "1.hint",
    "2.hint",
    "x.tmp",
    ".tmp",
    "a-name-of-more-than-forty-bytes-that-ends-in.tmp",
    "0.data",
    "01.data",
    ".data",
    "18446744073709551614.data",
    "18446744073709551615.data",
    "18446744073709551616.data",
    "KEYDIR.tmp",
    "1.data.tmp",
    "other",
};

void fuzz_name(char name[SIM_NAME_MAX], uint8_t number) {
  if (number < FUZZ_NAMES_SPECIAL) (void)snprintf(name, SIM_NAME_MAX, "%s", special[number]);
  else (void)snprintf(name, SIM_NAME_MAX, "%u.data", number - FUZZ_NAMES_SPECIAL);
}

/* ---- taking apart and putting together ----------------------------------- */

void fuzz_image_read(fuzz_image *image, const uint8_t *bytes, size_t size) {
  fuzz_input input = {bytes, size};
  memset(image, 0, sizeof *image);
  image->options = fuzz_byte(&input);
  while (image->count < FUZZ_FILES_MAX) {
    fuzz_file *file = &image->files[image->count];
    file->form = (fuzz_form)(fuzz_byte(&input) % FUZZ_FORMS);
    if (file->form == FUZZ_END) break;
    file->name = fuzz_byte(&input);
    file->at = fuzz_bytes(&input, fuzz_short(&input), &file->size);
    image->count++;
  }
  image->rest = input;
}

size_t fuzz_image_write(const fuzz_image *image, uint8_t *bytes, size_t room) {
  size_t size = 2 + image->rest.left;
  for (size_t i = 0; i < image->count; i++) size += 4 + image->files[i].size;
  if (image->count == FUZZ_FILES_MAX) size--; /* there can be no more: nothing ends them */
  if (size > room) return 0;
  uint8_t *p = bytes;
  *p++ = image->options;
  for (size_t i = 0; i < image->count; i++) {
    const fuzz_file *file = &image->files[i];
    *p++ = (uint8_t)file->form;
    *p++ = file->name;
    *p++ = (uint8_t)file->size;
    *p++ = (uint8_t)(file->size >> 8);
    if (file->size > 0) memcpy(p, file->at, file->size);
    p += file->size;
  }
  if (image->count < FUZZ_FILES_MAX) *p++ = FUZZ_END;
  if (image->rest.left > 0) memcpy(p, image->rest.at, image->rest.left);
  return size;
}

/* ---- a disk --------------------------------------------------------------- */

sim_disk *fuzz_disk_create(void) {
  sim_disk *disk = sim_disk_create(1);
  disk->plain = disk->unchecked = true;
  disk->space = SPACE;
  sim_disk_put_type(disk, "db", SIM_DIRECTORY);
  return disk;
}

/* What the files of an image are made with. */
typedef struct making {
  sim_disk *disk;
  fj_identity identity; /* for sums */
  uint64_t clock;
} making;

static void make_file(making *m, const char *path, const fuzz_file *file) {
  static uint8_t made[65536]; /* the size has 16 bits */
  const uint8_t *at = file->at;
  size_t size = file->size;
  bool is_data = file->name > FUZZ_NAMES_SPECIAL;
  uint64_t id = is_data ? (uint64_t)file->name - FUZZ_NAMES_SPECIAL : 0;
  _Static_assert(sizeof made >= FUZZ_MADE_MAX, "a recipe's file must fit");
  if (file->form == FUZZ_SEALED && (is_data || file->name == FUZZ_MANIFEST)) {
    if (size > 0) memcpy(made, at, size);
    if (is_data) fuzz_seal_data(made, size, &m->identity, id);
    else fuzz_seal_manifest(made, size);
    at = made;
  } else if (file->form == FUZZ_RECIPE && (is_data || file->name == FUZZ_MANIFEST)) {
    fuzz_input recipe = {at, size};
    size = is_data ? fuzz_make_data(&recipe, id, &m->clock, made)
                   : fuzz_make_manifest(&recipe, m->disk, made);
    at = made;
  }
  sim_disk_put(m->disk, path, at, size);
}

static void make(making *m, const fuzz_file *file) {
  char name[SIM_NAME_MAX], path[SIM_NAME_MAX + 4];
  fuzz_name(name, file->name);
  (void)snprintf(path, sizeof path, "db/%s", name);
  if (sim_disk_find(m->disk, path) != UINT32_MAX) return; /* the first one counts */
  if (strncmp(name, "lost/", 5) == 0) {
    uint32_t lost = sim_disk_find(m->disk, "db/lost");
    if (lost == UINT32_MAX || m->disk->nodes[lost].type != SIM_DIRECTORY) return;
  }
  if (file->form == FUZZ_FIFO) sim_disk_put_type(m->disk, path, SIM_FIFO);
  else if (file->form == FUZZ_DIRECTORY) sim_disk_put_type(m->disk, path, SIM_DIRECTORY);
  else if (file->form == FUZZ_LINK) sim_disk_put_type(m->disk, path, SIM_LINK);
  else make_file(m, path, file);
}

sim_disk *fuzz_image_disk(const fuzz_image *image, uint64_t *size) {
  making m = {.disk = fuzz_disk_create(), .identity = fuzz_identity, .clock = 1000};
  for (size_t i = 0; i < image->count; i++)
    if (image->files[i].name == FUZZ_MANIFEST && image->files[i].form != FUZZ_RECIPE)
      m.identity = fuzz_manifest_identity(image->files[i].at, image->files[i].size);
  /* A MANIFEST that is made asks for the sizes of the others. */
  for (size_t i = 0; i < image->count; i++)
    if (image->files[i].name != FUZZ_MANIFEST) make(&m, &image->files[i]);
  for (size_t i = 0; i < image->count; i++)
    if (image->files[i].name == FUZZ_MANIFEST) make(&m, &image->files[i]);
  *size = 0;
  for (uint32_t i = 0; i < m.disk->node_count; i++) *size += m.disk->nodes[i].now.size;
  return m.disk;
}
