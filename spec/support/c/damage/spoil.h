/* spoil.h - the ways in which a disk is damaged. Each class numbers its damages from 0, in
 * an order that does not change: a number names one. */
#ifndef DAMAGE_SPOIL_H
#define DAMAGE_SPOIL_H

#include "image.h"

typedef enum spl_group {
  SPL_BITS,
  SPL_BLOCKS,
  SPL_FILES,
  SPL_UNREADABLE, /* in syscall mode: by a mapping it is a signal */
  SPL_LEFTOVERS
} spl_group;
#define SPL_GROUPS 5

typedef struct spl_class {
  const char *name;
  spl_group group;
  uint64_t size;     /* of the blocks in question, bytes */
  bool moves;        /* the file's length may change */
  uint32_t per_byte; /* damages of each byte of the files, in their order; 0: not so */
  uint64_t (*count)(const image *img, uint64_t size);
  /* Damages the disk; false if that changes nothing. */
  bool (*apply)(const image *img, sim_disk *disk, uint64_t size, uint64_t number);
} spl_class;

extern const spl_class spl_classes[];
extern const uint32_t spl_class_count;

/* Whether the damage is of a byte in an unused slot of the KEYDIR. */
bool spl_is_unused(const image *img, const spl_class *spoil, uint64_t number);

/* Whether the damage is one of very many that are alike: so, or of a byte in the middle of a
 * long key or value. */
bool spl_is_one_of_many(const image *img, const spl_class *spoil, uint64_t number);

/* Whether the damage is of a bit of the KEYDIR that a check covers: all of it but the zeros
 * between the tables and the slots. */
bool spl_is_checked(const image *img, const spl_class *spoil, uint64_t number);

/* ---- the last group (leftovers.c) -------------------------------------- */

/* A name that a damage has put into the store. */
typedef struct spl_leftover {
  char path[IMG_PATH_MAX];
  sim_type type;
  const uint8_t *bytes; /* of a file; valid until the next call */
  uint64_t size;
  bool removable; /* a writer may remove or change it */
} spl_leftover;

uint64_t spl_count_leftovers(const image *img, uint64_t size);
bool spl_put_leftovers(const image *img, sim_disk *disk, uint64_t size, uint64_t number);

/* Tells what damage number `number` has put there: one or two. */
uint32_t spl_leftovers(const image *img, uint64_t number, spl_leftover out[2]);

#endif
