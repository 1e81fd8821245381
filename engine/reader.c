/* reader.c - the public reader of one data file (freyja_log): the segment's
 * header tells it all that is needed. */
#include "reader.h"

#include <errno.h>
#include <string.h>

#include "scan.h"

struct freyja_log {
  fj_dir dir; /* only for messages: fd is -1 */
  fj_pool pool;
  fj_segment segment;
  fj_scan scan;
};

/* Where the log ends if nothing follows: the rest of the file is zeros. */
static freyja_status is_zero_from(freyja_log *log, uint64_t offset, bool *zero,
                                  freyja_error *error) {
  uint8_t bytes[4096];
  size_t count = 0;
  *zero = true;
  while (*zero) {
    freyja_status status =
        fj_segment_read(&log->segment, bytes, sizeof bytes, offset, &count, error);
    if (status != FREYJA_OK || count == 0) return status;
    for (size_t i = 0; i < count; i++) *zero = *zero && bytes[i] == 0;
    offset += count;
  }
  return FREYJA_OK;
}

static freyja_status open_segment(freyja_log *log, freyja_error *error) {
  const fj_os *os = log->dir.os;
  fj_os_stat st;
  uint8_t header[FJ_SEGMENT_HEADER];
  int code = os->open(os->context, -1, log->dir.path, 0, &log->segment.file);
  if (code != 0) {
    log->segment.file = -1;
    return fj_fail_os(error, code, &log->dir, NULL, "open");
  }
  if ((code = os->stat(os->context, log->segment.file, &st)) != 0)
    return fj_fail_os(error, code, &log->dir, NULL, "examine");
  if (!st.regular)
    return fj_fail_os(error, -EINVAL, &log->dir, NULL, "read what is not a regular file");
  int64_t count = fj_read(os, log->segment.file, header, sizeof header, 0);
  if (count < 0) return fj_fail_os(error, (int)count, &log->dir, NULL, "read");
  log->segment.limit = st.size & ~(uint64_t)(FJ_RECORD_ALIGN - 1);
  return fj_segment_adopt(&log->segment, header, (size_t)count, error);
}

freyja_status fj_log_open(const fj_os *os, const char *path, uint64_t offset, freyja_log **out,
                          freyja_error *error) {
  *out = NULL;
  freyja_log *log = os->allocate(os->context, sizeof *log);
  size_t size = strlen(path) + 1;
  char *copy = log == NULL ? NULL : os->allocate(os->context, size);
  if (copy == NULL) {
    os->release(os->context, log);
    return fj_fail_memory(error, "open a data file");
  }
  memset(log, 0, sizeof *log);
  memcpy(copy, path, size);
  log->dir.os = os;
  log->dir.fd = -1;
  log->dir.path = copy;
  log->pool.dir = &log->dir;
  log->pool.io = FREYJA_IO_SYSCALL;
  log->segment.os = os;
  log->segment.pool = &log->pool;
  log->segment.file = -1;
  if (offset == 0) offset = FJ_SEGMENT_HEADER;
  freyja_status status = open_segment(log, error);
  if (status == FREYJA_OK && (offset < FJ_SEGMENT_HEADER || offset % FJ_RECORD_ALIGN != 0 ||
                              offset > log->segment.limit))
    status = fj_fail(error, FREYJA_LIMIT, path, "no record can begin at offset %llu",
                     (unsigned long long)offset);
  fj_scan_open(&log->scan, &log->segment, status == FREYJA_OK ? offset : 0,
               log->segment.limit);
  if (status == FREYJA_OK) *out = log;
  else freyja_log_close(log);
  return status;
}

freyja_status freyja_log_open(const char *path, uint64_t offset, freyja_log **out,
                              freyja_error *error) {
  return fj_log_open(fj_os_real(), path, offset, out, error);
}

/* Passes over bytes that are no record: END if they are the file's zeros. */
static freyja_status pass_damage(freyja_log *log, freyja_error *error) {
  bool zero = false;
  uint64_t from = log->scan.offset;
  freyja_status status = is_zero_from(log, from, &zero, error);
  if (status != FREYJA_OK) return status;
  if (zero) return FREYJA_END;
  status = fj_scan_resume(&log->scan, log->scan.end, error);
  if (status != FREYJA_OK) return status;
  return fj_fail(error, FREYJA_CORRUPT, log->dir.path,
                 "%llu bytes at offset %llu are no record",
                 (unsigned long long)(log->scan.offset - from), (unsigned long long)from);
}

freyja_status freyja_log_next(freyja_log *log, freyja_record *record, freyja_error *error) {
  fj_scan_found found;
  fj_record inner;
  uint64_t key_hash = 0;
  bool valid = false;
  freyja_status status = fj_scan_next(&log->scan, &found, &inner, &key_hash, error);
  if (status != FREYJA_OK) return status;
  if (found == FJ_SCAN_END) return FREYJA_END;
  if (found == FJ_SCAN_BAD) return pass_damage(log, error);
  if ((status = fj_scan_value(&log->scan, &inner, &valid, error)) != FREYJA_OK) return status;
  record->offset = log->scan.offset;
  fj_scan_skip(&log->scan, &inner);
  if (!valid)
    return fj_fail(error, FREYJA_CORRUPT, log->dir.path,
                   "a value at offset %llu fails verification",
                   (unsigned long long)record->offset);
  record->size = (uint32_t)inner.size;
  record->kind = (freyja_kind)inner.kind;
  record->collides = (inner.flags & FJ_FLAG_COLLIDES) != 0;
  record->more = (inner.flags & FJ_FLAG_MORE) != 0;
  record->timestamp = inner.timestamp;
  record->expiry = fj_record_expiry(&inner);
  record->key.data = inner.key;
  record->key.size = inner.key_size;
  record->value.data = inner.value;
  record->value.size = inner.value_size;
  return FREYJA_OK;
}

void freyja_log_close(freyja_log *log) {
  if (log == NULL) return;
  const fj_os *os = log->dir.os;
  fj_scan_close(&log->scan);
  if (log->segment.file >= 0) (void)os->close(os->context, log->segment.file);
  os->release(os->context, log->dir.path);
  os->release(os->context, log);
}
