/* shared.h - stores that are opened again and again: by one thread that reads record by record
 * (by system calls), by one that reads in pieces, by several that do. */
#ifndef PIECES_SHARED_H
#define PIECES_SHARED_H

#include "freyja.h"

#include "os.h"

/* What a store shows. */
typedef struct pieces_look {
  freyja_status opened;
  freyja_recovery recovery;
  uint64_t entries,
      digest;       /* of the entries in the log's order, and what is wrong with them */
  uint64_t found;   /* of the keys, by get */
  uint64_t counted; /* keys, when what expires soon is forgotten */
  size_t count;     /* of segments */
  freyja_segment segments[64];
} pieces_look;

extern char pieces_path[64];
extern uint64_t pieces_jump;  /* microseconds by which the clock is ahead */
extern bool pieces_no_thread; /* none can be begun */
extern int pieces_pages;      /* so many pieces of memory are had; negative: all */

void pieces_ok(bool condition, const char *name);
void pieces_demand(bool condition, const char *what, const freyja_error *error);
bool pieces_all_good(void);

void pieces_seed(uint64_t seed);
uint32_t pieces_below(uint32_t bound);

/* Makes `to` a copy of a folder. */
void pieces_copy(const char *from, const char *to);

/* Makes a copy of the folder of the store, or brings that back. */
void pieces_keep(bool back);

/* Removes the folder and what was made beside it. */
void pieces_remove(void);

/* Empties the folder, and opens a store there for writing. */
freyja *pieces_make(uint32_t segment_size);
/* Opens it again, for writing. */
freyja *pieces_again(void);

void pieces_put(freyja *db, const void *key, size_t key_size, const void *value, size_t size,
                uint64_t ttl);

/* Closes it; its log is left, and hints. What it showed is remembered. */
void pieces_close(freyja *db);

/* What it shows when it is opened, read-only, by several threads or not, in one piece or not.
 */
void pieces_look_at(pieces_look *look, freyja_io io, bool several);

/* Whether all ways show the same; and that is what the store showed that was closed last,
 * where it is `whole`: then the segments' figures are the same, too. */
bool pieces_are_same(bool whole);

#endif
