/* adopt.h - begins an index with the store's KEYDIR (checkpoint.h) instead of reading what it
 * covers. Its shards are read when they are needed; should one turn out to be damaged, all of
 * the log is read after all. */
#ifndef FJ_ADOPT_H
#define FJ_ADOPT_H

#include "checkpoint.h"
#include "index.h"
#include "manifest.h"

/* Fills the index, which is empty, with the first *covered segments of the manifest, if the
 * store has a KEYDIR that fits: the tail of the last of them is where the log goes on, and
 * what is behind that is to be applied. None of them is damaged. Otherwise *covered is 0, the
 * index is empty, and if there is a KEYDIR, *why says what is wrong with it (else it is
 * empty). `limit` as for fj_recover. Faults: MEMORY, IO. */
freyja_status fj_adopt(fj_index *index, const fj_manifest *manifest, uint64_t limit,
                       uint32_t *covered, freyja_error *why, freyja_error *error);

/* Makes it an empty index again, as fj_index_create did, of the manifest's store. */
void fj_index_empty(fj_index *index, const fj_manifest *manifest);

#endif
