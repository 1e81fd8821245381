/* leftovers.c - see leftovers.h. */
#include "leftovers.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "checkpoint.h"
#include "hint.h"
#include "scan.h"

#define MISSING_MORE 1000u /* so many more data files are missing than there are: too many */

/* ---- one file -------------------------------------------------------------- */

/* Whether a record of segment `id` is anywhere in [from, size) of its file. */
static freyja_status find_record(const fj_dir *dir, const fj_identity *identity, uint64_t id,
                                 uint64_t from, uint64_t size, bool *found,
                                 freyja_error *error) {
  fj_pool pool = {
      .dir = dir, .identity = *identity, .io = FREYJA_IO_SYSCALL, .readonly = true};
  fj_segment *segment = NULL;
  fj_scan_found what = FJ_SCAN_BAD;
  fj_record record;
  uint64_t hash = 0;
  fj_scan scan;
  freyja_status status = fj_segment_assume(&pool, id, id, size, &segment, error);
  if (status != FREYJA_OK) return status;
  fj_scan_open(&scan, segment, from, size & ~(uint64_t)(FJ_RECORD_ALIGN - 1));
  while (status == FREYJA_OK && what == FJ_SCAN_BAD) {
    status = fj_scan_next(&scan, &what, &record, &hash, error);
    if (status == FREYJA_OK && what == FJ_SCAN_BAD)
      status = fj_scan_resume(&scan, scan.end, error);
  }
  fj_scan_close(&scan);
  fj_segment_release(segment);
  *found = status == FREYJA_OK && what == FJ_SCAN_RECORD;
  return status;
}

/* The bytes at the place of a header. False if it is no regular file, or cannot be read. */
static bool read_header(const fj_dir *dir, const char *name, uint8_t *header, int64_t *count,
                        uint64_t *size) {
  const fj_os *os = dir->os;
  fj_os_stat st = {.size = 0};
  int file = -1;
  if (os->open(os->context, dir->fd, name, 0, &file) != 0) return false;
  *count = -1;
  if (os->stat(os->context, file, &st) == 0 && st.regular)
    *count = fj_read(os, file, header, FJ_SEGMENT_HEADER, 0);
  *size = st.size;
  (void)os->close(os->context, file);
  return *count >= 0;
}

freyja_status fj_leftover_examine(const fj_dir *dir, const fj_identity *identity,
                                  const char *name, uint64_t id, fj_leftover *out,
                                  freyja_error *error) {
  uint8_t header[FJ_SEGMENT_HEADER] = {0};
  fj_identity of;
  uint64_t size = 0, written_as = 0;
  int64_t count = 0;
  bool found = false;
  *out = FJ_NOT_OURS;
  if (!read_header(dir, name, header, &count, &size)) return FREYJA_OK;
  *out = FJ_NOT_BEGUN;
  if (count < (int64_t)FJ_SEGMENT_HEADER) {
    if (!fj_segment_is_begun(header, (size_t)count)) *out = FJ_NOT_OURS;
    return FREYJA_OK;
  }
  bool ours =
      memcmp(header + 16, identity->id, FJ_STORE_ID) == 0 && fj_get64(header + 40) == id;
  bool whole = fj_segment_decode(header, sizeof header, &of, &written_as) == FREYJA_OK;
  if (ours && whole && fj_segment_is_unclaimed(header)) *out = FJ_UNCLAIMED;
  else if (ours) *out = size > FJ_SEGMENT_HEADER ? FJ_BEGUN : FJ_NOT_BEGUN;
  if (ours) return FREYJA_OK;
  *out = FJ_NOT_OURS;
  if (size > FREYJA_SEGMENT_SIZE_MAX || whole) return FREYJA_OK;
  freyja_status status =
      find_record(dir, identity, id, FJ_SEGMENT_HEADER, size, &found, error);
  if (found) *out = FJ_BEGUN;
  return status;
}

/* ---- a directory ------------------------------------------------------------ */

typedef struct fj_visit {
  const fj_manifest *manifest;
  const fj_dir *dir;
  fj_witness witness;
  freyja_status status;
  freyja_error *error;
} fj_visit;

/* Whether the name is that of a data file which the MANIFEST does not name; what it is. */
static bool is_leftover(fj_visit *visit, const char *name, uint64_t *id, fj_leftover *what) {
  if (!fj_segment_parse_name(name, id) || fj_manifest_names(visit->manifest, *id))
    return false;
  visit->status = fj_leftover_examine(visit->dir, &visit->manifest->identity, name, *id, what,
                                      visit->error);
  return visit->status == FREYJA_OK;
}

/* Others may have files in the folder that end in .tmp: a store is made in any. */
static bool is_temporary(const char *name) {
  return strcmp(name, "MANIFEST.tmp") == 0 || strcmp(name, fj_checkpoint_temporary) == 0 ||
         fj_hint_is_temporary(name);
}

static int visit_unnamed(void *argument, const char *name) {
  fj_visit *visit = argument;
  fj_leftover what = FJ_NOT_OURS;
  uint64_t id = 0;
  bool is_one = is_leftover(visit, name, &id, &what);
  if (is_one || is_temporary(name)) visit->witness.litter = true;
  if (is_one && what == FJ_BEGUN && !fj_manifest_has_retired(visit->manifest, id))
    visit->witness.id = id;
  return visit->witness.id != 0 || visit->status != FREYJA_OK; /* one is enough */
}

/* Whether the sealed file goes on behind its end with records of its own. *seen gets what it
 * is, zeros if there is none. */
static freyja_status check_end(const fj_dir *dir, const fj_identity *identity,
                               const fj_manifest_entry *entry, fj_os_stat *seen,
                               fj_witness *out, freyja_error *error) {
  char name[FJ_NAME_MAX];
  fj_os_stat st;
  bool found = false;
  fj_segment_name(name, entry->id);
  memset(seen, 0, sizeof *seen);
  if (entry->size == 0) return FREYJA_OK;
  if (dir->os->examine(dir->os->context, dir->fd, name, &st) != 0) return FREYJA_OK;
  *seen = st;
  if (!st.regular || st.size <= entry->size || st.size > FREYJA_SEGMENT_SIZE_MAX)
    return FREYJA_OK;
  freyja_status status =
      find_record(dir, identity, entry->id, entry->size, st.size, &found, error);
  if (found) *out = (fj_witness){.id = entry->id, .end = entry->size};
  return status;
}

static int count_data(void *argument, const char *name) {
  uint64_t id = 0;
  *(uint32_t *)argument += fj_segment_parse_name(name, &id);
  return 0;
}

/* Finds out whether too many are missing, at no other cost than a look at the directory. */
static freyja_status count_missing(const fj_dir *dir, const fj_manifest *manifest,
                                   fj_witness *out, freyja_error *error) {
  uint32_t there = 0;
  if (manifest->count < MISSING_MORE) return FREYJA_OK;
  int code = dir->os->list(dir->os->context, dir->fd, count_data, &there);
  if (code < 0) return fj_fail_os(error, code, dir, NULL, "list");
  if (manifest->count >= there && manifest->count - there >= (uint64_t)there + MISSING_MORE)
    *out = (fj_witness){.there = there, .missing = manifest->count - there};
  return FREYJA_OK;
}

/* Looks at all files that the MANIFEST names. */
static freyja_status check_ends(const fj_dir *dir, fj_manifest *manifest, fj_witness *out,
                                freyja_error *error) {
  const fj_os *os = dir->os;
  freyja_status status = FREYJA_OK;
  fj_manifest_unsee(dir, manifest);
  fj_os_stat *seen = os->allocate(os->context, (manifest->count + 1) * sizeof *seen);
  if (seen == NULL) return fj_fail_memory(error, "look at the data files");
  for (uint32_t i = 0; i < manifest->count && out->id == 0 && status == FREYJA_OK; i++)
    status = check_end(dir, &manifest->identity, &manifest->entries[i], &seen[i], out, error);
  manifest->seen = seen;
  if (status != FREYJA_OK || out->id != 0) fj_manifest_unsee(dir, manifest);
  return status;
}

freyja_status fj_leftovers_find(const fj_dir *dir, fj_manifest *manifest, fj_witness *out,
                                freyja_error *error) {
  memset(out, 0, sizeof *out);
  freyja_status status = count_missing(dir, manifest, out, error);
  if (status != FREYJA_OK || out->missing > 0) return status;
  fj_visit visit = {.manifest = manifest, .dir = dir, .error = error};
  int code = dir->os->list(dir->os->context, dir->fd, visit_unnamed, &visit);
  *out = visit.witness;
  if (code < 0) return fj_fail_os(error, code, dir, NULL, "list");
  if (visit.status != FREYJA_OK || out->id != 0) return visit.status;
  return check_ends(dir, manifest, out, error);
}

freyja_status fj_leftovers_check(const fj_dir *dir, fj_manifest *manifest, bool *litter,
                                 freyja_error *error) {
  fj_witness witness;
  freyja_status status = fj_leftovers_find(dir, manifest, &witness, error);
  *litter = witness.litter;
  if (status != FREYJA_OK) return status;
  if (witness.missing > 0)
    return fj_fail_at(error, FREYJA_CORRUPT, dir, "MANIFEST",
                      "the list of segments names %" PRIu32
                      " data files more than the %" PRIu32
                      " that are there; nothing was changed",
                      witness.missing, witness.there);
  if (witness.id == 0) return FREYJA_OK;
  return fj_fail_at(error, FREYJA_CORRUPT, dir, "MANIFEST",
                    "the list of segments is not the one that belongs to the data, but "
                    "perhaps an older one: it %s %" PRIu64
                    ".data, which may hold records%s; nothing was changed",
                    witness.end == 0 ? "does not name" : "ends", witness.id,
                    witness.end == 0 ? "" : " behind that");
}

static int visit_leftover(void *argument, const char *name) {
  fj_visit *visit = argument;
  const fj_os *os = visit->dir->os;
  fj_leftover what = FJ_NOT_OURS;
  uint64_t id = 0;
  bool goes = is_temporary(name);
  if (!goes && is_leftover(visit, name, &id, &what)) {
    char hint[FJ_NAME_MAX];
    fj_hint_name(hint, id);
    goes = what == FJ_NOT_BEGUN || what == FJ_UNCLAIMED ||
           (what == FJ_BEGUN && fj_manifest_has_retired(visit->manifest, id));
    if (goes) (void)os->unlink(os->context, visit->dir->fd, hint);
  }
  if (goes) (void)os->unlink(os->context, visit->dir->fd, name);
  return visit->status != FREYJA_OK;
}

void fj_leftovers_forget(const fj_dir *dir, fj_manifest *manifest) {
  const fj_os *os = dir->os;
  for (uint32_t i = manifest->retired_count; i > 0; i--) {
    char name[FJ_NAME_MAX];
    fj_os_stat st;
    fj_segment_name(name, manifest->retired[i - 1]);
    if (os->examine(os->context, dir->fd, name, &st) == -ENOENT)
      fj_manifest_forget(manifest, manifest->retired[i - 1]);
  }
}

/* Removes the retired files that are gone once more, each by way of an empty one: of a removal
 * before a sync of the directory that failed the system may think that it is on the disk, and
 * never write it. False if that cannot be done now. */
static bool remove_again(const fj_dir *dir, const fj_manifest *manifest) {
  const fj_os *os = dir->os;
  bool done = true;
  for (uint32_t i = 0; i < manifest->retired_count && done; i++) {
    char name[FJ_NAME_MAX];
    int file = -1;
    fj_segment_name(name, manifest->retired[i]);
    int code = os->open(os->context, dir->fd, name,
                        FJ_OPEN_WRITE | FJ_OPEN_CREATE | FJ_OPEN_EXCLUSIVE, &file);
    if (code == 0) (void)os->close(os->context, file);
    if (code == 0) code = os->unlink(os->context, dir->fd, name);
    done = code == 0 || code == -EEXIST;
  }
  return done;
}

freyja_status fj_leftovers_clean(const fj_dir *dir, fj_manifest *manifest,
                                 freyja_error *error) {
  fj_visit visit = {.manifest = manifest, .dir = dir, .error = error};
  int code = dir->os->list(dir->os->context, dir->fd, visit_leftover, &visit);
  if (code < 0) return fj_fail_os(error, code, dir, NULL, "list");
  if (visit.status != FREYJA_OK || manifest->retired_count == 0) return visit.status;
  bool removed = remove_again(dir, manifest);
  code = fj_sync_dir(dir->os, dir->fd);
  if (code != 0) return fj_fail_os(error, code, dir, NULL, "sync");
  if (removed) fj_leftovers_forget(dir, manifest);
  return FREYJA_OK;
}

static int visit_data(void *argument, const char *name) {
  uint64_t id = 0;
  if (!fj_segment_parse_name(name, &id)) return 0;
  *(bool *)argument = true;
  return 1; /* one is enough */
}

freyja_status fj_leftovers_has_data(const fj_dir *dir, bool *has_data, freyja_error *error) {
  *has_data = false;
  int code = dir->os->list(dir->os->context, dir->fd, visit_data, has_data);
  return code >= 0 ? FREYJA_OK : fj_fail_os(error, code, dir, NULL, "list");
}
