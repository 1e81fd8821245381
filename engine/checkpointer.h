/* checkpointer.h - writing the KEYDIR (checkpoint.h) from an index. */
#ifndef FJ_CHECKPOINTER_H
#define FJ_CHECKPOINTER_H

#include "index.h"

/* Replaces the store's KEYDIR by one of the index as it is; `generation` is that of the
 * MANIFEST. The log is durable, and its last mark with it (C2); there is no known damage; no
 * slot points to a segment that is retired. Time in proportion to the keys; memory for 64 KiB
 * and for 88 bytes a segment. After a fault what was there before is there.
 * Faults: IO, FULL, MEMORY, LIMIT (more numbers of segments are in use than the file may
 * have), those of fj_keydir_settle. */
freyja_status fj_checkpoint_write(fj_index *index, uint64_t generation, freyja_error *error);

#endif
