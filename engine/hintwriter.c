/* hintwriter.c - see hintwriter.h. */
#include "hintwriter.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

static freyja_status fail_os(const fj_hint_writer *w, int code, const char *doing,
                             freyja_error *error) {
  char name[FJ_NAME_MAX];
  fj_hint_name_temporary(name, w->segment->id);
  return fj_fail_os(error, code, w->segment->pool->dir, name, doing);
}

static freyja_status check_segment(const fj_segment *segment, freyja_error *error) {
  const fj_dir *dir = segment->pool->dir;
  char name[FJ_NAME_MAX];
  fj_segment_name(name, segment->id);
  if (!segment->sealed)
    return fj_fail_at(error, FREYJA_LIMIT, dir, name,
                      "a data file that is being written has no hint file");
  if (segment->hinting)
    return fj_fail_at(error, FREYJA_LIMIT, dir, name,
                      "its hint file is being written already");
  return FREYJA_OK;
}

/* ---- life ----------------------------------------------------------------- */

static freyja_status create_file(fj_hint_writer *w, freyja_error *error) {
  const fj_dir *dir = w->segment->pool->dir;
  const fj_os *os = dir->os;
  char name[FJ_NAME_MAX];
  fj_hint_name_temporary(name, w->segment->id);
  fj_pool_close_files(w->segment->pool);
  /* What a failed try left may be anything, a link even: begin anew. */
  int code = os->unlink(os->context, dir->fd, name);
  if (code != 0 && code != -ENOENT) return fail_os(w, code, "remove", error);
  code = os->open(os->context, dir->fd, name,
                  FJ_OPEN_WRITE | FJ_OPEN_CREATE | FJ_OPEN_EXCLUSIVE, &w->file);
  if (code == 0) return FREYJA_OK;
  w->file = -1;
  return fail_os(w, code, "create", error);
}

freyja_status fj_hint_writer_open(fj_hint_writer *w, fj_segment *segment, uint64_t capacity,
                                  freyja_error *error) {
  const fj_os *os = segment->os;
  memset(w, 0, sizeof *w);
  w->file = -1;
  freyja_status status = check_segment(segment, error);
  if (status != FREYJA_OK) return status;
  status = fj_gather_open(&w->gather, segment, capacity, error);
  w->segment = segment; /* the reference is the gathering's */
  segment->hinting = true;
  segment->pins++;
  if (status == FREYJA_OK) {
    w->block = os->allocate(os->context, FJ_HINT_BLOCK);
    if (w->block == NULL) status = fj_fail_memory(error, "write a hint file");
  }
  return status == FREYJA_OK ? create_file(w, error) : status;
}

void fj_hint_writer_close(fj_hint_writer *w) {
  if (w->segment == NULL) return;
  const fj_os *os = w->segment->os;
  if (w->file >= 0) {
    char name[FJ_NAME_MAX];
    fj_hint_name_temporary(name, w->segment->id);
    (void)os->close(os->context, w->file);
    (void)os->unlink(os->context, w->segment->pool->dir->fd, name);
  }
  os->release(os->context, w->block);
  w->segment->hinting = false;
  w->segment->pins--;
  fj_gather_close(&w->gather);
  memset(w, 0, sizeof *w);
  w->file = -1;
}

/* ---- writing -------------------------------------------------------------- */

static freyja_status write_part(fj_hint_writer *w, const uint8_t *bytes, size_t size,
                                uint64_t offset, freyja_error *error) {
  freyja_slice part = {bytes, size};
  int code = fj_write(w->segment->os, w->file, &part, 1, offset);
  return code == 0 ? FREYJA_OK : fail_os(w, code, "write", error);
}

static freyja_status write_block(fj_hint_writer *w, freyja_error *error) {
  const fj_os *os = w->segment->os;
  uint64_t offset = FJ_HINT_HEADER + w->written;
  if (w->filled == 0) return FREYJA_OK;
  freyja_status status = write_part(w, w->block, w->filled, offset, error);
  if (status != FREYJA_OK) return status;
  w->check = fj_hint_check_block(w->check, w->block, w->filled);
  /* The sync will find little left. */
  os->write_back(os->context, w->file, offset, w->filled);
  w->written += w->filled;
  w->filled = 0;
  return FREYJA_OK;
}

/* Takes entries that are ready, about so many bytes of them. */
static freyja_status take_entries(fj_hint_writer *w, uint64_t bytes, uint64_t *spent,
                                  freyja_error *error) {
  fj_gather *gather = &w->gather;
  freyja_status status = FREYJA_OK;
  while (w->taken < gather->count && *spent < bytes && status == FREYJA_OK) {
    fj_hint_encode_entry(w->block + w->filled, &gather->entries[w->taken++]);
    w->filled += FJ_HINT_ENTRY;
    *spent += FJ_HINT_ENTRY;
    if (w->filled == FJ_HINT_BLOCK) status = write_block(w, error);
  }
  if (status != FREYJA_OK || w->taken < gather->count) return status;
  w->taken = 0;
  fj_gather_pass(gather);
  return FREYJA_OK;
}

freyja_status fj_hint_writer_step(fj_hint_writer *w, uint64_t bytes, bool *done,
                                  freyja_error *error) {
  freyja_status status = FREYJA_OK;
  uint64_t spent = 0;
  while (status == FREYJA_OK && w->gather.phase == FJ_GATHER_READY && spent < bytes)
    status = take_entries(w, bytes, &spent, error);
  if (status == FREYJA_OK && spent < bytes)
    status = fj_gather_step(&w->gather, bytes - spent, error);
  *done = w->gather.phase == FJ_GATHER_DONE;
  return status;
}

freyja_status fj_hint_writer_finish(fj_hint_writer *w, freyja_error *error) {
  const fj_dir *dir = w->segment->pool->dir;
  const fj_os *os = dir->os;
  uint8_t header[FJ_HINT_HEADER];
  char name[FJ_NAME_MAX], temporary[FJ_NAME_MAX];
  assert(w->gather.phase == FJ_GATHER_DONE);
  freyja_status status = write_block(w, error);
  if (status != FREYJA_OK) return status;
  fj_hint_encode_header(header, w->segment, &w->gather.counts, w->check);
  status = write_part(w, header, sizeof header, 0, error);
  if (status != FREYJA_OK) return status;
  int code = fj_sync(os, w->file);
  if (code != 0) return fail_os(w, code, "sync", error);
  fj_hint_name(name, w->segment->id);
  fj_hint_name_temporary(temporary, w->segment->id);
  code = os->rename(os->context, dir->fd, temporary, name);
  if (code != 0) return fj_fail_os(error, code, dir, name, "replace");
  (void)os->close(os->context, w->file);
  w->file = -1; /* in its place: not to be removed */
  w->segment->hinted = true;
  w->segment->hint_unknown = false;
  return FREYJA_OK;
}
