/* spoil.c - see spoil.h: bits, blocks and files. leftovers.c has the last group. */
#include "spoil.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"

#define SHIFTS 6u
#define LENGTHS 8u
#define DOUBLES 12000u
#define MIDDLE 1500u /* bytes from either end of a key or value */

/* ---- places ----------------------------------------------------------- */

static uint64_t less(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* The file that byte number *byte of all files is in; *byte becomes its offset there. */
static const img_file *find_byte(const image *img, uint64_t *byte) {
  const img_file *file = img->damaged;
  while (*byte >= file->size) *byte -= file++->size;
  return file;
}

/* A block of a file. */
typedef struct block {
  const img_file *file;
  uint64_t offset, size; /* the last of a file may be short */
} block;

static uint64_t count_blocks(const image *img, uint64_t size) {
  uint64_t count = 0;
  for (uint32_t i = 0; i < img->damaged_count; i++)
    count += (img->damaged[i].size + size - 1) / size;
  return count;
}

static block find_block(const image *img, uint64_t size, uint64_t number) {
  block b = {.file = img->damaged};
  while (number >= (b.file->size + size - 1) / size)
    number -= (b.file++->size + size - 1) / size;
  b.offset = number * size;
  b.size = less(size, b.file->size - b.offset);
  return b;
}

/* A copy of a file to change; owned. */
static uint8_t *copy_file(const img_file *file, uint64_t room) {
  uint8_t *bytes = calloc(1, file->size + room + 1);
  if (bytes == NULL) abort();
  if (file->size > 0) memcpy(bytes, file->bytes, file->size);
  return bytes;
}

/* Puts the bytes into the file's place and frees them; false if it has them already. */
static bool put(sim_disk *disk, const img_file *file, uint8_t *bytes, uint64_t size) {
  bool differs = size != file->size || (size > 0 && memcmp(bytes, file->bytes, size) != 0);
  if (differs) sim_disk_put(disk, file->path, bytes, size);
  free(bytes);
  return differs;
}

/* Puts `size` bytes over those at `offset`. */
static bool put_part(sim_disk *disk, const img_file *file, uint64_t offset,
                     const uint8_t *bytes, uint64_t size) {
  if (size == 0 || memcmp(file->bytes + offset, bytes, size) == 0) return false;
  uint64_t there = 0;
  const uint8_t *now = sim_disk_bytes(disk, file->path, &there);
  if (now != NULL && there == file->size && memcmp(now, file->bytes, there) == 0) {
    sim_disk_put_part(disk, file->path, offset, bytes, size);
    return true;
  }
  uint8_t *copy = copy_file(file, 0);
  memcpy(copy + offset, bytes, size);
  return put(disk, file, copy, file->size);
}

/* ---- bits and bytes --------------------------------------------------- */

static uint64_t count_bits(const image *img, uint64_t size) {
  (void)size;
  return img->bytes * 8;
}

static bool flip_bit(const image *img, sim_disk *disk, uint64_t size, uint64_t number) {
  (void)size;
  uint64_t offset = number / 8;
  const img_file *file = find_byte(img, &offset);
  uint8_t byte = (uint8_t)(file->bytes[offset] ^ 1u << number % 8);
  return put_part(disk, file, offset, &byte, 1);
}

static uint64_t count_doubles(const image *img, uint64_t size) {
  (void)size;
  return img->bytes < DOUBLES ? img->bytes : DOUBLES;
}

/* Two bits that have nothing to do with each other, but often one file. */
static bool flip_two(const image *img, sim_disk *disk, uint64_t size, uint64_t number) {
  uint64_t at[2];
  (void)size;
  img_garbage((uint8_t *)at, sizeof at, number);
  uint64_t offset = at[0] % img->bytes;
  const img_file *file = find_byte(img, &offset);
  if (at[1] % 4 == 0) (void)flip_bit(img, disk, 0, at[1] / 4 % (img->bytes * 8));
  uint64_t now = 0;
  uint8_t *bytes = copy_file(file, 0);
  const uint8_t *there = sim_disk_bytes(disk, file->path, &now);
  memcpy(bytes, there, now);
  bytes[offset] ^= (uint8_t)(1u << (at[0] >> 60 & 7));
  if (at[1] % 4 != 0) bytes[at[1] / 8 % file->size] ^= (uint8_t)(1u << (at[1] >> 60 & 7));
  return put(disk, file, bytes, file->size);
}

static uint64_t count_bytes(const image *img, uint64_t size) {
  (void)size;
  return img->bytes * 2;
}

static bool set_byte(const image *img, sim_disk *disk, uint64_t size, uint64_t number) {
  (void)size;
  uint64_t offset = number / 2;
  const img_file *file = find_byte(img, &offset);
  uint8_t byte = number % 2 == 0 ? 0 : 0xFF;
  return put_part(disk, file, offset, &byte, 1);
}

/* ---- blocks ----------------------------------------------------------- */

/* Zeros, 0xFF, garbage of two kinds. */
static bool fill_block(const image *img, sim_disk *disk, uint64_t size, uint64_t number) {
  uint8_t bytes[4096];
  block b = find_block(img, size, number / 4);
  memset(bytes, number % 4 == 1 ? 0xFF : 0, sizeof bytes);
  if (number % 4 > 1) img_garbage(bytes, sizeof bytes, number);
  return put_part(disk, b.file, b.offset, bytes, b.size);
}

/* What is at one place goes to another. */
static bool copy_block(const image *img, sim_disk *disk, uint64_t size, uint64_t number) {
  uint64_t count = count_blocks(img, size);
  block from = find_block(img, size, number / count);
  block to = find_block(img, size, number % count);
  return put_part(disk, to.file, to.offset, from.file->bytes + from.offset,
                  less(from.size, to.size));
}

static bool swap_blocks(const image *img, sim_disk *disk, uint64_t size, uint64_t number) {
  uint64_t count = count_blocks(img, size);
  if (number / count >= number % count) return false;
  block a = find_block(img, size, number / count);
  block b = find_block(img, size, number % count);
  uint64_t both = less(a.size, b.size);
  if (a.file != b.file) {
    bool changed = put_part(disk, a.file, a.offset, b.file->bytes + b.offset, both);
    return put_part(disk, b.file, b.offset, a.file->bytes + a.offset, both) || changed;
  }
  uint8_t *copy = copy_file(a.file, 0);
  memcpy(copy + a.offset, a.file->bytes + b.offset, both);
  memcpy(copy + b.offset, a.file->bytes + a.offset, both);
  return put(disk, a.file, copy, a.file->size);
}

/* The block's bytes lie some places further on, or back. */
static bool shift_block(const image *img, sim_disk *disk, uint64_t size, uint64_t number) {
  static const uint64_t steps[SHIFTS / 2] = {1, 8, 40};
  uint8_t bytes[4096];
  block b = find_block(img, size, number / SHIFTS);
  uint64_t step = steps[number % SHIFTS / 2];
  if (step >= b.size) return false;
  const uint8_t *old = b.file->bytes + b.offset;
  uint64_t by = number % 2 == 0 ? step : b.size - step;
  memcpy(bytes + by, old, b.size - by);
  memcpy(bytes, old + b.size - by, by);
  return put_part(disk, b.file, b.offset, bytes, b.size);
}

/* The block is missing, and what follows has moved up; or it is there twice. */
static bool move_rest(const image *img, sim_disk *disk, uint64_t size, uint64_t number) {
  block b = find_block(img, size, number / 2);
  uint8_t *copy = copy_file(b.file, b.size);
  const uint8_t *old = b.file->bytes;
  uint64_t end = b.offset + b.size;
  if (number % 2 == 0) {
    memmove(copy + b.offset, old + end, b.file->size - end);
    return put(disk, b.file, copy, b.file->size - b.size);
  }
  memmove(copy + end, old + b.offset, b.file->size - b.offset);
  return put(disk, b.file, copy, b.file->size + b.size);
}

static uint64_t count_fills(const image *img, uint64_t size) {
  return count_blocks(img, size) * 4;
}

static uint64_t count_pairs(const image *img, uint64_t size) {
  return count_blocks(img, size) * count_blocks(img, size);
}

static uint64_t count_shifts(const image *img, uint64_t size) {
  return count_blocks(img, size) * SHIFTS;
}

static uint64_t count_moves(const image *img, uint64_t size) {
  return count_blocks(img, size) * 2;
}

/* The disk cannot read a block of a data file. */
static bool make_unreadable(const image *img, sim_disk *disk, uint64_t size, uint64_t number) {
  block b = find_block(img, size, number);
  if (strstr(b.file->path, ".data") == NULL) return false;
  sim_disk_make_unreadable(disk, b.file->path, b.offset, b.size);
  return true;
}

/* ---- files ------------------------------------------------------------ */

static uint64_t count_lengths(const image *img, uint64_t size) {
  (void)size;
  return img->bytes;
}

static bool cut_file(const image *img, sim_disk *disk, uint64_t size, uint64_t number) {
  (void)size;
  const img_file *file = find_byte(img, &number);
  sim_disk_put(disk, file->path, file->bytes, number);
  return true;
}

static uint64_t count_longer(const image *img, uint64_t size) {
  (void)size;
  return img->damaged_count * LENGTHS * 2;
}

static bool lengthen_file(const image *img, sim_disk *disk, uint64_t size, uint64_t number) {
  (void)size;
  static const uint64_t lengths[LENGTHS] = {1, 7, 8, 24, 128, 512, 4096, 65536};
  const img_file *file = &img->damaged[number / (LENGTHS * 2)];
  uint64_t more = lengths[number / 2 % LENGTHS];
  uint8_t *copy = copy_file(file, more);
  if (number % 2 == 1) img_garbage(copy + file->size, more, number);
  return put(disk, file, copy, file->size + more);
}

static uint64_t count_types(const image *img, uint64_t size) {
  (void)size;
  return img->damaged_count * 4;
}

/* It is gone, or something else than a file. */
static bool change_type(const image *img, sim_disk *disk, uint64_t size, uint64_t number) {
  (void)size;
  static const sim_type types[] = {SIM_FIFO, SIM_DIRECTORY, SIM_LINK};
  const img_file *file = &img->damaged[number / 4];
  if (number % 4 == 3) sim_disk_remove(disk, file->path);
  else sim_disk_put_type(disk, file->path, types[number % 4]);
  return true;
}

static uint64_t count_versions(const image *img, uint64_t size) {
  (void)size;
  return img->damaged_count * 2;
}

/* Another store's file of that name, or what the file once was. */
static bool put_version(const image *img, sim_disk *disk, uint64_t size, uint64_t number) {
  const img_file *file = &img->damaged[number / 2];
  const sim_disk *source = number % 2 == 0 ? img->other : img->older;
  const uint8_t *bytes = sim_disk_bytes(source, file->path, &size);
  if (bytes == NULL) return false;
  uint8_t *copy = calloc(1, size + 1);
  if (copy == NULL) abort();
  if (size > 0) memcpy(copy, bytes, size);
  return put(disk, file, copy, size);
}

#define FIELDS 7u

static uint64_t count_headers(const image *img, uint64_t size) {
  (void)size;
  return img->damaged == img->files ? img->segment_count * FIELDS * 8 : 0;
}

/* A data file's header says something else, and its check holds. */
static bool forge_header(const image *img, sim_disk *disk, uint64_t size, uint64_t number) {
  (void)size;
  static const uint64_t fields[FIELDS] = {8, 12, 16, 32, 40, 48, 96};
  const img_file *file = &img->files[img->segments[number / 8 / FIELDS].file];
  /* One kind of data file reads like the other. */
  if (fields[number / 8 % FIELDS] == 12 && number % 8 == 0) return false;
  uint8_t *copy = copy_file(file, 0);
  copy[fields[number / 8 % FIELDS]] ^= (uint8_t)(1u << number % 8);
  fj_put64(copy + 56, fj_hash(copy, 56, 0));
  return put(disk, file, copy, file->size);
}

static uint64_t count_mixes(const image *img, uint64_t size) {
  (void)size;
  return img->damaged_count * img->damaged_count * 2;
}

/* One file in the place of another, or both in the other's place. */
static bool mix_files(const image *img, sim_disk *disk, uint64_t size, uint64_t number) {
  (void)size;
  const img_file *a = &img->damaged[number / 2 / img->damaged_count];
  const img_file *b = &img->damaged[number / 2 % img->damaged_count];
  if (a == b) return false;
  sim_disk_put(disk, a->path, b->bytes, b->size);
  if (number % 2 == 1) sim_disk_put(disk, b->path, a->bytes, a->size);
  return true;
}

/* ---- the table -------------------------------------------------------- */

const spl_class spl_classes[] = {
    {"bit", SPL_BITS, 0, false, 8, count_bits, flip_bit},
    {"two-bits", SPL_BITS, 0, false, 0, count_doubles, flip_two},
    {"byte", SPL_BLOCKS, 0, false, 2, count_bytes, set_byte},
    {"fill-512", SPL_BLOCKS, 512, false, 0, count_fills, fill_block},
    {"fill-4096", SPL_BLOCKS, 4096, false, 0, count_fills, fill_block},
    {"copy-512", SPL_BLOCKS, 512, false, 0, count_pairs, copy_block},
    {"copy-4096", SPL_BLOCKS, 4096, false, 0, count_pairs, copy_block},
    {"swap-512", SPL_BLOCKS, 512, false, 0, count_pairs, swap_blocks},
    {"swap-4096", SPL_BLOCKS, 4096, false, 0, count_pairs, swap_blocks},
    {"shift-512", SPL_BLOCKS, 512, false, 0, count_shifts, shift_block},
    {"shift-4096", SPL_BLOCKS, 4096, false, 0, count_shifts, shift_block},
    {"move-512", SPL_BLOCKS, 512, true, 0, count_moves, move_rest},
    {"move-4096", SPL_BLOCKS, 4096, true, 0, count_moves, move_rest},
    {"cut", SPL_FILES, 0, true, 1, count_lengths, cut_file},
    {"longer", SPL_FILES, 0, true, 0, count_longer, lengthen_file},
    {"type", SPL_FILES, 0, true, 0, count_types, change_type},
    {"version", SPL_FILES, 0, true, 0, count_versions, put_version},
    {"header", SPL_FILES, 0, false, 0, count_headers, forge_header},
    {"mix", SPL_FILES, 0, true, 0, count_mixes, mix_files},
    {"unreadable-512", SPL_UNREADABLE, 512, false, 0, count_blocks, make_unreadable},
    {"unreadable-4096", SPL_UNREADABLE, 4096, false, 0, count_blocks, make_unreadable},
    {"leftover", SPL_LEFTOVERS, 0, true, 0, spl_count_leftovers, spl_put_leftovers},
};
const uint32_t spl_class_count = sizeof spl_classes / sizeof *spl_classes;

static bool is_keydir(const img_file *file) { return strcmp(file->path, "db/KEYDIR") == 0; }

/* There are thousands of such slots. */
bool spl_is_unused(const image *img, const spl_class *spoil, uint64_t number) {
  static const uint8_t zeros[16];
  if (spoil->per_byte == 0) return false;
  uint64_t offset = number / spoil->per_byte;
  const img_file *file = find_byte(img, &offset);
  uint64_t slot = offset / sizeof zeros * sizeof zeros;
  return is_keydir(file) && slot + sizeof zeros <= file->size &&
         memcmp(file->bytes + slot, zeros, sizeof zeros) == 0;
}

bool spl_is_one_of_many(const image *img, const spl_class *spoil, uint64_t number) {
  if (spoil->per_byte == 0) return false;
  if (spl_is_unused(img, spoil, number)) return true;
  uint64_t offset = number / spoil->per_byte;
  const img_file *file = find_byte(img, &offset);
  for (uint32_t i = 0; i < img->record_count; i++) {
    const img_record *record = &img->records[i];
    uint64_t key = record->offset + record->prefix;
    uint64_t value = key + img->keys[record->key].size;
    if (&img->files[img->segments[record->segment].file] != file) continue;
    if (offset >= key + MIDDLE && offset + MIDDLE < value) return true;
    if (offset >= value + MIDDLE && offset + MIDDLE < value + record->value_size) return true;
  }
  return false;
}

bool spl_is_checked(const image *img, const spl_class *spoil, uint64_t number) {
  if (spoil->apply != flip_bit) return false;
  uint64_t offset = number / spoil->per_byte;
  const img_file *file = find_byte(img, &offset);
  if (!is_keydir(file)) return false;
  uint64_t tables = 128 + 88 * (uint64_t)fj_get32(file->bytes + 48) + 16 * 256; /* their end */
  return offset < tables || offset >= (tables + 4095) / 4096 * 4096;
}
