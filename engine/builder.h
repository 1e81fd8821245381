/* builder.h - writing a new store from its first record to its MANIFEST, which comes last
 * (folder.h). Each key once, with the timestamp that it has. */
#ifndef FJ_BUILDER_H
#define FJ_BUILDER_H

#include "folder.h"
#include "keydir.h"

typedef struct fj_builder {
  fj_folder folder;
  bool opened;          /* the folder is ours */
  bool finished;        /* it is a store */
  fj_manifest manifest; /* of what is there */
  fj_pool pool;
  fj_segment *active; /* NULL: none yet */
  fj_keydir keys;     /* the hashes that were written, to flag those that collide */
} fj_builder;

/* Begins in the directory `path`, as fj_folder_open, with a new id and hash seed, and with all
 * of its 64 bits. *builder is
 * for fj_builder_destroy in any case. Faults: those of fj_folder_open. */
freyja_status fj_builder_open(fj_builder *builder, const fj_os *os, const char *path,
                              int source, freyja_error *error);

/* Makes it a store with a hash of so many bits, 1 to 64. Before the first record. */
void fj_builder_set_hash_bits(fj_builder *builder, uint32_t hash_bits);

/* Writes a record, whose expiry is 0 if it has none. The key must not have been written
 * before; record sizes are those that a store may have. Faults: FULL, IO, MEMORY, LIMIT. */
freyja_status fj_builder_put(fj_builder *builder, freyja_slice key, freyja_slice value,
                             uint64_t timestamp, uint64_t expiry, freyja_error *error);

/* Makes all of it durable and a store. Faults: FULL, IO, MEMORY. */
freyja_status fj_builder_finish(fj_builder *builder, freyja_error *error);

/* Releases everything, and removes what was made unless it is finished. */
void fj_builder_destroy(fj_builder *builder);

#endif
