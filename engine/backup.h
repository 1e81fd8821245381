/* backup.h - a second store, as this one is: freyja_backup of freyja.h. */
#ifndef FJ_BACKUP_H
#define FJ_BACKUP_H

#include "store.h"

freyja_status fj_store_backup(fj_store *db, const char *path,
                              const freyja_backup_options *options, freyja_error *error);

#endif
