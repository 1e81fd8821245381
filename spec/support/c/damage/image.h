/* image.h - the stores that are damaged: what their files hold, read byte by byte without
 * the engine, and what else damage is made of (another store, the store as it once was). */
#ifndef DAMAGE_IMAGE_H
#define DAMAGE_IMAGE_H

#include "disk.h"

#define IMG_RECORDS_MAX 96u
#define IMG_KEYS_MAX 48u
#define IMG_SEGMENTS_MAX 8u
#define IMG_FILES_MAX (2u * IMG_SEGMENTS_MAX + 3u)
#define IMG_PATH_MAX 48u

typedef struct img_key {
  uint8_t *bytes; /* owned */
  uint32_t size;  /* bytes */
} img_key;

/* A file of the store, "db/MANIFEST" and so on, as it is before damage. */
typedef struct img_file {
  char path[IMG_PATH_MAX];
  const uint8_t *bytes; /* the pristine disk's */
  uint64_t size;
} img_file;

typedef struct img_segment {
  uint64_t id;
  uint64_t sealed_size; /* that the MANIFEST gives; 0: the active one */
  uint64_t seed;        /* of its records and marks */
  uint32_t file;        /* in files */
  uint32_t first, end;  /* its records */
} img_segment;

typedef struct img_record {
  uint32_t segment, key;
  uint64_t offset;
  uint64_t size;   /* padding included */
  uint32_t prefix; /* bytes before the key */
  uint32_t value_size;
  bool tombstone; /* or a put that has expired: the key is absent */
} img_record;

typedef struct image {
  const char *name;
  uint32_t segment_size, hash_bits;
  bool killed;     /* its process was; otherwise it was closed */
  sim_disk *disk;  /* pristine: to be copied, not used */
  sim_disk *other; /* another store, made in the same way */
  sim_disk *older; /* the store as it was some writes before */
  img_file files[IMG_FILES_MAX];
  uint32_t file_count;
  const img_file *damaged; /* of those the ones to be damaged: all, or the hint files and the
                              KEYDIR alone */
  uint32_t damaged_count;
  img_segment segments[IMG_SEGMENTS_MAX]; /* by rank */
  uint32_t segment_count;
  img_record records[IMG_RECORDS_MAX]; /* in the log's order */
  uint32_t record_count;
  img_key keys[IMG_KEYS_MAX]; /* those that were written, then some that never were */
  uint32_t key_count;
  uint64_t bytes; /* of the files to be damaged */
} image;

/* Makes the store number `number`; NULL if there is none. */
image *img_create(uint32_t number);
void img_destroy(image *img);

/* The name of store number `number`, NULL behind the last. */
const char *img_name(uint32_t number);

/* The record's parts in the pristine file. */
const uint8_t *img_record_bytes(const image *img, const img_record *record);
const uint8_t *img_record_value(const image *img, const img_record *record);

/* Options to open the store with on a disk. */
freyja_options img_options(const image *img, sim_disk *disk, freyja_io io, bool readonly);

/* Writes the header of a data file that says to be of this store, with that id. */
void img_make_header(const image *img, uint64_t id, uint8_t out[128]);

/* Bytes that differ from seed to seed. */
void img_garbage(uint8_t *out, uint64_t size, uint64_t seed);

#endif
