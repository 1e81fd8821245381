/* torn.c - see torn.h. */
#include "torn.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CHUNK (64u << 10) /* bytes read at a time */
#define COPIES_MAX 9999u  /* of the same segment and offset that are kept */
#define NAME_MAX_LOST 64u /* bytes of a name in lost/ */

static const char lost[] = "lost";

static size_t last_nonzero(const uint8_t *bytes, size_t size) {
  while (size > 0 && bytes[size - 1] == 0) size--;
  return size;
}

/* Reads what lies behind the tail. What cannot be read is a fault or, where `bound` is asked
 * for, taken for bytes that are not zero. */
static freyja_status measure(fj_segment *segment, bool bound, uint64_t *size, uint8_t *chunk,
                             freyja_error *error) {
  uint64_t offset = segment->tail;
  size_t want = CHUNK;
  for (;;) {
    size_t count = 0;
    freyja_error fault;
    if (bound && offset >= segment->reserved) return FREYJA_OK; /* where the file ends */
    freyja_status status = fj_segment_read(segment, chunk, want, offset, &count, &fault);
    size_t used = last_nonzero(chunk, count);
    if (status != FREYJA_OK) {
      bool whole = want > FJ_SECTOR; /* not just the one sector */
      want = FJ_SECTOR - (size_t)(offset % FJ_SECTOR);
      if (bound && fj_is_unreadable(&fault) && whole) continue;
      if (!bound || !fj_is_unreadable(&fault)) {
        if (error != NULL) *error = fault;
        return status;
      }
      count = used = want;
    }
    if (count == 0) return FREYJA_OK;
    if (used > 0) *size = offset + used - segment->tail;
    offset += count;
    want = offset % CHUNK == 0 || want == CHUNK ? CHUNK : FJ_SECTOR;
  }
}

static freyja_status look(fj_segment *segment, bool bound, uint64_t *size,
                          freyja_error *error) {
  const fj_os *os = segment->os;
  *size = 0;
  uint8_t *chunk = os->allocate(os->context, CHUNK);
  if (chunk == NULL) return fj_fail_memory(error, "look for a torn tail");
  freyja_status status = measure(segment, bound, size, chunk, error);
  os->release(os->context, chunk);
  return status;
}

freyja_status fj_torn_size(fj_segment *segment, uint64_t *size, freyja_error *error) {
  return look(segment, false, size, error);
}

freyja_status fj_torn_bound(fj_segment *segment, uint64_t *size, freyja_error *error) {
  freyja_status status = look(segment, true, size, error);
  uint64_t behind = segment->reserved - segment->tail;
  if (*size > behind) *size = behind; /* the file's last sector is none that is whole */
  return status;
}

/* Copies the bytes to an open file and syncs it. */
static freyja_status copy(fj_segment *segment, uint64_t size, int file, const char *name,
                          const fj_dir *dir, uint8_t *chunk, freyja_error *error) {
  for (uint64_t done = 0; done < size;) {
    size_t want = size - done < CHUNK ? (size_t)(size - done) : CHUNK;
    size_t count = 0;
    freyja_status status =
        fj_segment_read(segment, chunk, want, segment->tail + done, &count, error);
    if (status != FREYJA_OK) return status;
    if (count == 0) break; /* the file shrank meanwhile */
    freyja_slice part = {chunk, count};
    int code = fj_write(segment->os, file, &part, 1, done);
    if (code != 0) return fj_fail_os(error, code, dir, name, "write to a file in the folder");
    done += count;
  }
  int code = fj_sync(segment->os, file);
  return code == 0 ? FREYJA_OK
                   : fj_fail_os(error, code, dir, name, "sync a file in the folder");
}

/* Whether the file has just these bytes: an open that was interrupted has kept them already.
 */
static bool is_copy(fj_segment *segment, uint64_t size, int file, uint8_t *chunk) {
  const fj_os *os = segment->os;
  uint8_t *other = chunk + CHUNK / 2;
  fj_os_stat st;
  if (os->stat(os->context, file, &st) != 0 || !st.regular || st.size != size) return false;
  for (uint64_t done = 0; done < size;) {
    size_t want = size - done < CHUNK / 2 ? (size_t)(size - done) : CHUNK / 2;
    size_t count = 0;
    if (fj_segment_read(segment, chunk, want, segment->tail + done, &count, NULL) !=
            FREYJA_OK ||
        count != want || fj_read(os, file, other, want, done) != (int64_t)want ||
        memcmp(chunk, other, want) != 0)
      return false;
    done += want;
  }
  return true;
}

/* Opens the file that the bytes go to: the first of `N.OFFSET.cut`, `N.OFFSET.cut.2` and so on
 * that is not there yet, or that has them (*kept). */
static int choose_file(fj_segment *segment, uint64_t size, int folder, uint8_t *chunk,
                       char name[NAME_MAX_LOST], bool *kept, int *file) {
  const fj_os *os = segment->os;
  int end =
      snprintf(name, NAME_MAX_LOST, "%" PRIu64 ".%" PRIu64 ".cut", segment->id, segment->tail);
  int code = -EEXIST;
  *kept = false;
  for (uint32_t number = 2; code == -EEXIST && number <= COPIES_MAX; number++) {
    code = os->open(os->context, folder, name,
                    FJ_OPEN_WRITE | FJ_OPEN_CREATE | FJ_OPEN_EXCLUSIVE, file);
    if (code != -EEXIST) break;
    if (os->open(os->context, folder, name, 0, file) == 0) {
      *kept = is_copy(segment, size, *file, chunk);
      if (*kept) return 0;
      (void)os->close(os->context, *file);
    }
    (void)snprintf(name + end, NAME_MAX_LOST - (size_t)end, ".%" PRIu32, number);
  }
  return code;
}

static freyja_status save_in(const fj_dir *dir, int folder, fj_segment *segment, uint64_t size,
                             uint8_t *chunk, freyja_error *error) {
  const fj_os *os = segment->os;
  char name[NAME_MAX_LOST];
  bool kept = false;
  int file = -1;
  int code = choose_file(segment, size, folder, chunk, name, &kept, &file);
  if (code != 0) return fj_fail_os(error, code, dir, lost, "create a file in the folder");
  freyja_status status = FREYJA_OK;
  if (!kept) status = copy(segment, size, file, lost, dir, chunk, error);
  else if ((code = fj_sync(os, file)) != 0)
    status = fj_fail_os(error, code, dir, lost, "sync a file in the folder");
  (void)os->close(os->context, file);
  if (status != FREYJA_OK) {
    if (!kept) (void)os->unlink(os->context, folder, name);
    return status;
  }
  code = fj_sync_dir(os, folder);
  return code == 0 ? FREYJA_OK : fj_fail_os(error, code, dir, lost, "sync");
}

freyja_status fj_torn_save(fj_segment *segment, uint64_t size, freyja_error *error) {
  const fj_dir *dir = segment->pool->dir;
  const fj_os *os = segment->os;
  int code = os->make_dir(os->context, dir->fd, lost);
  if (code != 0 && code != -EEXIST) return fj_fail_os(error, code, dir, lost, "create");
  /* One that is there may be of an open that was interrupted before it was durable. */
  if ((code = fj_sync_dir(os, dir->fd)) != 0)
    return fj_fail_os(error, code, dir, NULL, "sync");
  int folder = -1;
  code = os->open_dir(os->context, dir->fd, lost, &folder);
  if (code != 0) return fj_fail_os(error, code, dir, lost, "open");
  freyja_status status = FREYJA_OK;
  uint8_t *chunk = os->allocate(os->context, CHUNK);
  if (chunk == NULL) status = fj_fail_memory(error, "keep a torn tail");
  else status = save_in(dir, folder, segment, size, chunk, error);
  os->release(os->context, chunk);
  (void)os->close(os->context, folder);
  return status;
}
