/* salvage.c - see salvage.h. */
#include "salvage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "folder.h"
#include "leftovers.h"
#include "lock.h"

/* ---- the directory ---------------------------------------------------------- */

static freyja_status open_folder(fj_salvage *salvage, const fj_os *os, const char *path,
                                 freyja_error *error) {
  memset(salvage, 0, sizeof *salvage);
  salvage->lock_file = -1;
  freyja_status status = fj_dir_name(&salvage->dir, os, path, "repair a store", error);
  if (status != FREYJA_OK) return status;
  int code = os->open_dir(os->context, -1, path, &salvage->dir.fd);
  if (code == 0) return FREYJA_OK;
  salvage->dir.fd = -1;
  return fj_fail_os(error, code, &salvage->dir, NULL, "open the store's folder");
}

/* A fault that ends the search: the rest are findings. */
static bool is_final(freyja_status status) {
  return status == FREYJA_MEMORY || status == FREYJA_LOCKED || status == FREYJA_FORMAT;
}

static freyja_status take_lock(fj_salvage *salvage, const fj_findings *findings,
                               freyja_error *error) {
  static const fj_extent extent = {"LOCK", 0, 0};
  const fj_os *os = salvage->dir.os;
  freyja_error fault;
  freyja_status status = fj_lock_take(&salvage->dir, false, os->process(os->context),
                                      &salvage->lock_file, &fault);
  if (is_final(status)) {
    if (error != NULL) *error = fault;
    return status;
  }
  if (status != FREYJA_OK)
    fj_findings_add(findings, extent, "%s; a writer may be at work", fault.message);
  return FREYJA_OK;
}

static freyja_status read_manifest(fj_salvage *salvage, const fj_findings *findings,
                                   freyja_error *error) {
  static const fj_extent extent = {"MANIFEST", 0, 0};
  freyja_error fault;
  freyja_status status =
      fj_manifest_read(&salvage->dir, &salvage->manifest, &salvage->has_manifest, &fault);
  if (is_final(status)) {
    if (error != NULL) *error = fault;
    return status;
  }
  if (status != FREYJA_OK) fj_findings_add(findings, extent, "%s", fault.message);
  else if (!salvage->has_manifest) fj_findings_add(findings, extent, "the file is missing");
  return FREYJA_OK;
}

/* ---- headers ------------------------------------------------------------------ */

typedef struct fj_header {
  uint8_t bytes[FJ_SEGMENT_HEADER];
  size_t size; /* bytes that there are */
  uint64_t file_size;
  freyja_error why; /* why there is none; status OK otherwise */
} fj_header;

/* Reads what is at the place of a header. */
static void read_header(const fj_dir *dir, uint64_t id, fj_header *header) {
  const fj_os *os = dir->os;
  fj_os_stat st;
  int file = -1;
  char name[FJ_NAME_MAX];
  fj_segment_name(name, id);
  memset(header, 0, sizeof *header);
  int code = os->open(os->context, dir->fd, name, 0, &file);
  if (code != 0) {
    (void)fj_fail_os(&header->why, code, dir, name, "open");
    return;
  }
  code = os->stat(os->context, file, &st);
  if (code != 0) {
    (void)fj_fail_os(&header->why, code, dir, name, "examine");
  } else if (!st.regular) {
    (void)fj_fail_at(&header->why, FREYJA_CORRUPT, dir, name, "this is not a regular file");
  } else {
    int64_t count = fj_read(os, file, header->bytes, sizeof header->bytes, 0);
    header->file_size = st.size;
    header->size = count > 0 ? (size_t)count : 0;
  }
  (void)os->close(os->context, file);
}

static bool is_same(const fj_identity *a, const fj_identity *b) {
  return memcmp(a->id, b->id, FJ_STORE_ID) == 0 && a->hash_seed == b->hash_seed;
}

/* ---- which files -------------------------------------------------------------- */

static int add_file(fj_salvage *salvage, uint64_t id) {
  const fj_os *os = salvage->dir.os;
  if (salvage->count == FJ_SEGMENTS_MAX) return -E2BIG;
  if (salvage->count == salvage->room) {
    uint32_t room = salvage->room == 0 ? 16 : salvage->room * 2;
    fj_salvage_file *files = os->allocate(os->context, room * sizeof *files);
    if (files == NULL) return -ENOMEM;
    if (salvage->count > 0) memcpy(files, salvage->files, salvage->count * sizeof *files);
    os->release(os->context, salvage->files);
    salvage->files = files;
    salvage->room = room;
  }
  fj_salvage_file file = {.id = id, .written_as = id};
  salvage->files[salvage->count++] = file;
  return 0;
}

static int visit_name(void *argument, const char *name) {
  uint64_t id = 0;
  return fj_segment_parse_name(name, &id) ? add_file(argument, id) : 0;
}

static int compare_entries(const void *a, const void *b) {
  const fj_manifest_entry *x = a;
  const fj_manifest_entry *y = b;
  return (x->id > y->id) - (x->id < y->id);
}

static int compare_ids(const void *a, const void *b) {
  const fj_salvage_file *x = a;
  const fj_salvage_file *y = b;
  return (x->id > y->id) - (x->id < y->id);
}

/* What was made as a whole comes first, the newest of that at once. */
static int compare_files(const void *a, const void *b) {
  const fj_salvage_file *x = a;
  const fj_salvage_file *y = b;
  if (x->whole != y->whole) return x->whole ? -1 : 1;
  return x->whole ? compare_ids(b, a) : compare_ids(a, b);
}

/* Prepares for looking up what the MANIFEST says of a segment. */
static freyja_status sort_entries(fj_salvage *salvage, freyja_error *error) {
  const fj_os *os = salvage->dir.os;
  const fj_manifest *manifest = &salvage->manifest;
  size_t size = manifest->count * sizeof *manifest->entries;
  salvage->entries = os->allocate(os->context, size);
  if (salvage->entries == NULL) return fj_fail_memory(error, "repair a store");
  if (size > 0) memcpy(salvage->entries, manifest->entries, size);
  qsort(salvage->entries, manifest->count, sizeof *manifest->entries, compare_entries);
  return FREYJA_OK;
}

static const fj_manifest_entry *find_entry(const fj_salvage *salvage, uint64_t id) {
  fj_manifest_entry wanted = {.id = id};
  return bsearch(&wanted, salvage->entries, salvage->manifest.count, sizeof wanted,
                 compare_entries);
}

/* A whole MANIFEST which an open would refuse is an older one: the files tell more without it.
 */
static freyja_status judge_manifest(fj_salvage *salvage, const fj_findings *findings,
                                    freyja_error *error) {
  static const fj_extent extent = {"MANIFEST", 0, 0};
  fj_witness witness;
  if (!salvage->has_manifest) return FREYJA_OK;
  freyja_error fault;
  freyja_status status =
      fj_leftovers_find(&salvage->dir, &salvage->manifest, &witness, &fault);
  if (is_final(status)) {
    if (error != NULL) *error = fault;
    return status;
  }
  if (status != FREYJA_OK) fj_findings_add(findings, extent, "%s", fault.message);
  if (witness.id == 0 && witness.missing == 0) return sort_entries(salvage, error);
  if (witness.missing > 0)
    fj_findings_add(findings, extent,
                    "it names %" PRIu32 " data files more than the %" PRIu32
                    " that are there, and is not used",
                    witness.missing, witness.there);
  else
    fj_findings_add(
        findings, extent,
        "it is not the one that belongs to the data, but perhaps an older one, and not "
        "used: it %s %" PRIu64 ".data, which may hold records%s",
        witness.end == 0 ? "does not name" : "ends", witness.id,
        witness.end == 0 ? "" : " behind that");
  fj_manifest_clear(&salvage->dir, &salvage->manifest);
  salvage->has_manifest = false;
  return FREYJA_OK;
}

/* Those that the MANIFEST names, or all that there are. */
static freyja_status list_files(fj_salvage *salvage, freyja_error *error) {
  const fj_os *os = salvage->dir.os;
  int code = 0;
  const fj_manifest *manifest = &salvage->manifest;
  if (!salvage->has_manifest)
    code = os->list(os->context, salvage->dir.fd, visit_name, salvage);
  for (uint32_t i = 0; i < manifest->count && code == 0; i++)
    code = add_file(salvage, manifest->entries[i].id);
  if (code == -E2BIG)
    return fj_fail(error, FREYJA_LIMIT, salvage->dir.path, "a store has at most %u segments",
                   FJ_SEGMENTS_MAX);
  if (code != 0) return fj_fail_os(error, code, &salvage->dir, NULL, "list");
  if (!salvage->has_manifest && salvage->count > 1)
    qsort(salvage->files, salvage->count, sizeof *salvage->files, compare_ids);
  return FREYJA_OK;
}

/* ---- which store ----------------------------------------------------------------- */

static int compare_identities(const void *a, const void *b) {
  const fj_identity *x = a;
  const fj_identity *y = b;
  int order = memcmp(x->id, y->id, FJ_STORE_ID);
  if (order != 0) return order;
  return (x->hash_seed > y->hash_seed) - (x->hash_seed < y->hash_seed);
}

/* Of equal ones side by side, those that are most. */
static fj_identity find_majority(const fj_identity *sorted, uint32_t count) {
  uint32_t best = 0, best_count = 0, first = 0;
  for (uint32_t i = 0; i < count; i++) {
    if (!is_same(&sorted[i], &sorted[first])) first = i;
    if (i - first + 1 <= best_count) continue;
    best = first;
    best_count = i - first + 1;
  }
  return sorted[best];
}

/* Without a MANIFEST the headers tell which store this is. */
static freyja_status find_identity(fj_salvage *salvage, freyja_error *error) {
  const fj_os *os = salvage->dir.os;
  uint32_t known = 0;
  if (salvage->has_manifest) {
    salvage->identity = salvage->manifest.identity;
    return FREYJA_OK;
  }
  fj_identity *identities = os->allocate(os->context, salvage->count * sizeof *identities);
  if (identities == NULL) return fj_fail_memory(error, "repair a store");
  for (uint32_t i = 0; i < salvage->count; i++) {
    fj_header header;
    uint64_t id = 0;
    read_header(&salvage->dir, salvage->files[i].id, &header);
    if (fj_segment_decode(header.bytes, header.size, &identities[known], &id) == FREYJA_OK)
      known++;
  }
  if (known > 1) qsort(identities, known, sizeof *identities, compare_identities);
  if (known > 0) salvage->identity = find_majority(identities, known);
  os->release(os->context, identities);
  if (known > 0) return FREYJA_OK;
  return fj_fail(error, FREYJA_CORRUPT, salvage->dir.path,
                 "there is no whole MANIFEST and no data file with a whole header: nothing "
                 "tells how to check a record");
}

/* Takes the file for segment `id`. False if the MANIFEST does not name that: then it may have
 * what was deleted since. */
static bool take_as(fj_salvage *salvage, fj_salvage_file *file, uint64_t id) {
  file->written_as = id;
  file->active = true;
  if (!salvage->has_manifest) return true;
  const fj_manifest_entry *entry = find_entry(salvage, id);
  if (entry == NULL) return false;
  file->expected = entry->size;
  file->active = entry->size == 0;
  return true;
}

static void decode_marks(const fj_salvage *salvage, fj_salvage_file *file,
                         const fj_header *header) {
  uint64_t seed = fj_segment_seed(&salvage->identity, file->written_as);
  for (unsigned slot = 0; slot < 2; slot++) {
    uint64_t mark = 0;
    if (!fj_segment_decode_mark(header->bytes, seed, slot, &mark)) continue;
    if (mark % FJ_RECORD_ALIGN == 0 && mark > file->mark) file->mark = mark;
  }
}

/* Finds out about one file; a finding tells if it is of no use, or not as it should be. */
static void examine(fj_salvage *salvage, fj_salvage_file *file, const fj_findings *findings) {
  char name[FJ_NAME_MAX];
  fj_header header;
  fj_identity identity;
  uint64_t id = 0;
  fj_segment_name(name, file->id);
  fj_extent extent = {name, 0, 0};
  file->mark = FJ_SEGMENT_HEADER;
  (void)take_as(salvage, file, file->id);
  read_header(&salvage->dir, file->id, &header);
  if (header.why.status != FREYJA_OK) {
    fj_findings_add(findings, extent, "%s", header.why.message);
    return;
  }
  extent.size = FJ_SEGMENT_HEADER;
  freyja_status status = fj_segment_decode(header.bytes, header.size, &identity, &id);
  bool useful =
      header.file_size >= FJ_SEGMENT_HEADER && header.file_size <= FREYJA_SEGMENT_SIZE_MAX;
  if (!useful) {
    extent.size = 0;
    fj_findings_add(findings, extent, "the file has %" PRIu64 " bytes: it is no data file",
                    header.file_size);
  } else if (status == FREYJA_FORMAT) {
    useful = false;
    fj_findings_add(findings, extent, "format version %u is not one that this library reads",
                    header.bytes[7]);
  } else if (status != FREYJA_OK) {
    file->headless = true;
    fj_findings_add(findings, extent, "the file's header is damaged");
  } else if (!is_same(&identity, &salvage->identity)) {
    useful = false;
    fj_findings_add(findings, extent, "the file is of another store");
  } else {
    if (id != file->id) {
      useful = take_as(salvage, file, id);
      salvage->ordered = false;
      fj_findings_add(findings, extent, "the file is segment %" PRIu64 " under another name",
                      id);
    }
    decode_marks(salvage, file, &header);
    file->whole = fj_segment_kind_of(header.bytes) == FJ_SEGMENT_MERGED;
    file->began = fj_get64(header.bytes + 48);
    file->unfinished =
        useful && !salvage->has_manifest && fj_segment_is_unclaimed(header.bytes);
  }
  if (file->whole && !salvage->has_manifest) {
    file->active = false;
    file->expected = file->mark > FJ_SEGMENT_HEADER ? file->mark : header.file_size;
  }
  file->size = useful ? header.file_size : 0;
}

static int compare_numbers(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* Of a merge or a load one file that was claimed shows that a MANIFEST had named them all.
 * Where there is none, nobody knows whether it came to its end. */
static freyja_status leave_unfinished(fj_salvage *salvage, const fj_findings *findings,
                                      freyja_error *error) {
  const fj_os *os = salvage->dir.os;
  size_t claimed = 0;
  uint64_t *ends = os->allocate(os->context, (salvage->count + 1) * sizeof *ends);
  if (ends == NULL) return fj_fail_memory(error, "repair a store");
  for (uint32_t i = 0; i < salvage->count; i++) {
    const fj_salvage_file *file = &salvage->files[i];
    if (file->whole && file->size > 0 && !file->unfinished) ends[claimed++] = file->began;
  }
  if (claimed > 1) qsort(ends, claimed, sizeof *ends, compare_numbers);
  for (uint32_t i = 0; i < salvage->count; i++) {
    fj_salvage_file *file = &salvage->files[i];
    if (!file->unfinished) continue;
    file->unfinished =
        bsearch(&file->began, ends, claimed, sizeof *ends, compare_numbers) == NULL;
    if (!file->unfinished) continue;
    char name[FJ_NAME_MAX];
    fj_segment_name(name, file->id);
    fj_extent extent = {name, 0, file->size};
    file->size = 0;
    fj_findings_add(
        findings, extent,
        "the file is of a merge or a bulk load of which nothing tells that it came "
        "to its end, and not used");
  }
  os->release(os->context, ends);
  return FREYJA_OK;
}

/* ---- the whole ------------------------------------------------------------------ */

freyja_status fj_salvage_open(fj_salvage *salvage, const fj_os *os, const char *path,
                              fj_findings *findings, freyja_error *error) {
  freyja_status status = open_folder(salvage, os, path, error);
  findings->dir = &salvage->dir;
  if (status == FREYJA_OK) status = take_lock(salvage, findings, error);
  if (status == FREYJA_OK) status = read_manifest(salvage, findings, error);
  if (status == FREYJA_OK) status = judge_manifest(salvage, findings, error);
  if (status == FREYJA_OK) status = list_files(salvage, error);
  if (status != FREYJA_OK) return status;
  if (!salvage->has_manifest && salvage->count == 0)
    return fj_fail_os(error, -ENOENT, &salvage->dir, NULL, "find a store in this folder");
  status = find_identity(salvage, error);
  salvage->ordered = salvage->has_manifest;
  for (uint32_t i = 0; i < salvage->count && status == FREYJA_OK; i++)
    examine(salvage, &salvage->files[i], findings);
  if (status == FREYJA_OK && !salvage->has_manifest)
    status = leave_unfinished(salvage, findings, error);
  if (!salvage->has_manifest && salvage->count > 1)
    qsort(salvage->files, salvage->count, sizeof *salvage->files, compare_files);
  return status;
}

void fj_salvage_close(fj_salvage *salvage) {
  const fj_os *os = salvage->dir.os;
  if (salvage->manifest.entries != NULL) fj_manifest_clear(&salvage->dir, &salvage->manifest);
  if (salvage->lock_file >= 0) (void)os->close(os->context, salvage->lock_file);
  if (salvage->dir.fd >= 0) (void)os->close(os->context, salvage->dir.fd);
  os->release(os->context, salvage->files);
  os->release(os->context, salvage->entries);
  os->release(os->context, salvage->dir.path);
}
