/* error.h - the error type: filling it in one line, naming it, mapping errno. */
#ifndef FJ_ERROR_H
#define FJ_ERROR_H

#include "os.h"

#if defined(__GNUC__)
#define FJ_PRINTF(text, first) __attribute__((format(printf, text, first)))
#define FJ_COLD __attribute__((cold))
#else
#define FJ_PRINTF(text, first)
#define FJ_COLD
#endif

/* Makes *error one that says nothing, without touching all of it. */
static inline void fj_error_clear(freyja_error *error) {
  error->status = FREYJA_OK;
  error->os_code = 0;
  error->message[0] = error->path[0] = '\0';
}

/* Fills *error (NULL is allowed) and returns `status`. `path` may be NULL. */
freyja_status fj_fail(freyja_error *error, freyja_status status, const char *path,
                      const char *format, ...) FJ_PRINTF(4, 5) FJ_COLD;

/* As fj_fail about the file `name` in `dir`. */
freyja_status fj_fail_at(freyja_error *error, freyja_status status, const fj_dir *dir,
                         const char *name, const char *format, ...) FJ_PRINTF(5, 6) FJ_COLD;

/* For a negative errno of the os table: the status it stands for (FULL, MEMORY
 * or IO), with the system's text. `doing` reads as in "cannot open". `name` may
 * be NULL: the directory itself. */
freyja_status fj_fail_os(freyja_error *error, int code, const fj_dir *dir, const char *name,
                         const char *doing) FJ_COLD;

/* Whether the fault says that the disk cannot give the bytes asked for (EIO): one of the
 * place, not of the system, so that others may be read. */
bool fj_is_unreadable(const freyja_error *error);

/* Out of memory while `doing`. */
freyja_status fj_fail_memory(freyja_error *error, const char *doing) FJ_COLD;

#endif
