/* error.c - see error.h. */
#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = {
    [FREYJA_OK] = "ok",
    [FREYJA_NOTFOUND] = "notfound",
    [FREYJA_EXISTS] = "exists",
    [FREYJA_MISMATCH] = "mismatch",
    [FREYJA_END] = "end",
    [FREYJA_IO] = "io",
    [FREYJA_CORRUPT] = "corrupt",
    [FREYJA_FULL] = "full",
    [FREYJA_LOCKED] = "locked",
    [FREYJA_READONLY] = "readonly",
    [FREYJA_POISONED] = "poisoned",
    [FREYJA_FORKED] = "forked",
    [FREYJA_CLOSED] = "closed",
    [FREYJA_CONFLICT] = "conflict",
    [FREYJA_LIMIT] = "limit",
    [FREYJA_MEMORY] = "memory",
    [FREYJA_FORMAT] = "format",
};

const char *freyja_status_name(freyja_status status) {
  size_t index = (size_t)status;
  if (index >= sizeof names / sizeof *names || names[index] == NULL) return "unknown";
  return names[index];
}

bool freyja_is_fault(freyja_status status) { return status >= FREYJA_IO; }

/* Copies dir/name, or the end of it that fits behind "...". */
static void set_path(freyja_error *error, const char *dir, const char *name) {
  static const char cut[] = "...";
  size_t room = sizeof error->path - 1;
  size_t dir_size = dir == NULL ? 0 : strlen(dir);
  size_t name_size = name == NULL ? 0 : strlen(name) + (dir_size > 0);
  error->path[0] = '\0';
  if (name_size > room) return;
  const char *head = dir_size + name_size > room ? cut : "";
  if (*head != '\0') {
    size_t kept = room - name_size - strlen(cut);
    dir += dir_size - kept;
  }
  (void)snprintf(error->path, sizeof error->path, "%s%s%s%s", head, dir == NULL ? "" : dir,
                 dir_size > 0 && name != NULL ? "/" : "", name == NULL ? "" : name);
}

static void set_message(freyja_error *error, const char *format, va_list arguments) {
  (void)vsnprintf(error->message, sizeof error->message, format, arguments);
}

freyja_status fj_fail(freyja_error *error, freyja_status status, const char *path,
                      const char *format, ...) {
  if (error == NULL) return status;
  error->status = status;
  error->os_code = 0;
  set_path(error, path, NULL);
  va_list arguments;
  va_start(arguments, format);
  set_message(error, format, arguments);
  va_end(arguments);
  return status;
}

freyja_status fj_fail_at(freyja_error *error, freyja_status status, const fj_dir *dir,
                         const char *name, const char *format, ...) {
  if (error == NULL) return status;
  error->status = status;
  error->os_code = 0;
  set_path(error, dir->path, name);
  va_list arguments;
  va_start(arguments, format);
  set_message(error, format, arguments);
  va_end(arguments);
  return status;
}

freyja_status fj_fail_os(freyja_error *error, int code, const fj_dir *dir, const char *name,
                         const char *doing) {
  freyja_status status = FREYJA_IO;
  if (code == -ENOSPC || code == -EDQUOT || code == -EFBIG) status = FREYJA_FULL;
  if (code == -ENOMEM) status = FREYJA_MEMORY;
  char text[96];
  /* The GNU strerror_r: returns its text, thread-safe. */
  const char *reason = strerror_r(-code, text, sizeof text);
  if (code == -ENOENT && name == NULL && *dir->path == '\0') reason = "the path is empty";
  (void)fj_fail_at(error, status, dir, name, "cannot %s: %s", doing, reason);
  if (error != NULL) error->os_code = -code;
  return status;
}

bool fj_is_unreadable(const freyja_error *error) {
  return error->status == FREYJA_IO && error->os_code == EIO;
}

freyja_status fj_fail_memory(freyja_error *error, const char *doing) {
  return fj_fail(error, FREYJA_MEMORY, NULL, "not enough memory to %s", doing);
}
