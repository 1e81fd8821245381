/* load.h - very many records at once: the loads of freyja.h, the calls of that name. */
#ifndef FJ_LOAD_H
#define FJ_LOAD_H

#include "store.h"

freyja_status fj_load_open(fj_store *db, freyja_load **out, freyja_error *error);
freyja_status fj_load_put(freyja_load *load, const void *key, size_t key_size,
                          const void *value, size_t value_size, uint64_t ttl,
                          freyja_error *error);
freyja_status fj_load_commit(freyja_load *load, freyja_error *error);
void fj_load_close(freyja_load *load);

#endif
