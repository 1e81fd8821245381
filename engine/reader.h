/* reader.h - the public reader of one data file, on any table of the operating system. */
#ifndef FJ_READER_H
#define FJ_READER_H

#include "os.h"

/* freyja_log_open through `os`, which must outlive *out. */
freyja_status fj_log_open(const fj_os *os, const char *path, uint64_t offset, freyja_log **out,
                          freyja_error *error);

#endif
