/* recovery.c - see recovery.h. */
#include "recovery.h"

#include <errno.h>
#include <string.h>

#include "torn.h"

#define REWRITE_CHUNK (256u << 10) /* bytes */

/* ---- one segment ---------------------------------------------------------- */

/* Whether an invalid record at `offset` is damage; otherwise it is the log's end. */
static bool is_damage(const fj_segment *segment, uint64_t offset) {
  return segment->sealed || offset < segment->mark;
}

/* Applies the record at scan->offset if its value is whole or its damage is no
 * torn tail; *ends tells that the log ends here instead. */
static freyja_status take_record(fj_index *index, fj_scan *scan, fj_record *record,
                                 uint64_t key_hash, bool *ends, freyja_recovery *result,
                                 freyja_error *error) {
  fj_segment *segment = scan->segment;
  bool valid = false;
  freyja_status status = fj_scan_value(scan, record, &valid, error);
  if (status != FREYJA_OK) return status;
  *ends = !valid && !is_damage(segment, scan->offset);
  if (*ends) return FREYJA_OK;
  if (!valid) fj_index_add_damage(index, segment, scan->offset, record->size, false, NULL);
  uint64_t offset = scan->offset;
  fj_scan_skip(scan, record);
  if (scan->offset > segment->tail) segment->tail = scan->offset;
  fj_segment_count(segment, record->kind, record->timestamp);
  result->records++;
  return fj_index_apply(index, segment, offset, record, key_hash, error);
}

/* Passes over bytes that are no record and remembers them. */
static freyja_status take_damage(fj_index *index, fj_scan *scan, freyja_error *error) {
  fj_segment *segment = scan->segment;
  uint64_t from = scan->offset;
  uint64_t limit = segment->sealed || segment->mark > scan->end ? scan->end : segment->mark;
  freyja_status status = fj_scan_resume(scan, limit, error);
  if (status != FREYJA_OK) return status;
  fj_index_add_damage(index, segment, from, scan->offset - from, true, NULL);
  return FREYJA_OK;
}

/* Reads the segment up to `end`, where its file ends; its tail is then where the
 * log ends in it. */
static freyja_status scan_segment(fj_index *index, fj_segment *segment, uint64_t end,
                                  freyja_recovery *result, freyja_error *error) {
  fj_scan scan;
  freyja_status status = FREYJA_OK;
  bool ends = false;
  fj_scan_open(&scan, segment, FJ_SEGMENT_HEADER, end);
  while (status == FREYJA_OK && !ends) {
    fj_scan_found found;
    fj_record record;
    uint64_t key_hash = 0;
    status = fj_scan_next(&scan, &found, &record, &key_hash, error);
    if (status != FREYJA_OK || found == FJ_SCAN_END) break;
    if (found == FJ_SCAN_RECORD)
      status = take_record(index, &scan, &record, key_hash, &ends, result, error);
    else if (is_damage(segment, scan.offset)) status = take_damage(index, &scan, error);
    else ends = true;
  }
  if (status == FREYJA_OK) segment->tail = scan.offset;
  fj_scan_close(&scan);
  return status;
}

/* ---- the log -------------------------------------------------------------- */

/* Damage that is the file's, not a record's: all that should be there and is not. */
static void add_file_damage(fj_index *index, fj_segment *segment, uint64_t from, uint64_t size,
                            freyja_error *why) {
  if (why->status == FREYJA_OK) {
    char name[FJ_NAME_MAX];
    fj_segment_name(name, segment->id);
    (void)fj_fail_at(why, FREYJA_CORRUPT, index->dir, name,
                     "the file is shorter than it was (it ends at offset %llu)",
                     (unsigned long long)from);
  }
  fj_index_add_damage(index, segment, from, size, true, why);
}

/* The active segment's header is damaged, and its mark with it: nobody knows from
 * where on its records may be torn. So none is: all up to the zeros is kept, and
 * what does not verify is damage. */
static freyja_status distrust_tail(fj_segment *segment, uint64_t *end, freyja_error *error) {
  uint64_t used = 0;
  freyja_status status = fj_torn_size(segment, &used, error);
  if (status != FREYJA_OK) return status;
  uint64_t last =
      (segment->tail + used + FJ_RECORD_ALIGN - 1) & ~(uint64_t)(FJ_RECORD_ALIGN - 1);
  if (last < *end) *end = last;
  segment->mark = *end;
  return FREYJA_OK;
}

static freyja_status recover_segment(fj_index *index, const fj_manifest_entry *entry,
                                     uint64_t limit, freyja_recovery *result,
                                     freyja_error *error) {
  fj_segment *segment = NULL;
  freyja_error why;
  freyja_status status = fj_index_grow(index, error);
  if (status != FREYJA_OK) return status;
  status = fj_segment_open(&index->pool, entry->id, entry->size, limit, &segment, &why, error);
  if (status != FREYJA_OK) return status;
  fj_index_add(index, segment);
  result->files_scanned++;
  uint64_t size = entry->size == 0 ? FJ_SEGMENT_HEADER : entry->size;
  if (segment->missing) {
    segment->tail = segment->limit = size;
    add_file_damage(index, segment, 0, size, &why);
    return FREYJA_OK;
  }
  uint64_t end = segment->sealed ? segment->limit : segment->reserved;
  end &= ~(uint64_t)(FJ_RECORD_ALIGN - 1);
  if (segment->damaged) { /* the header alone: the records have their own sums */
    fj_index_add_damage(index, segment, 0, FJ_SEGMENT_HEADER, false, &why);
    if (!segment->sealed) status = distrust_tail(segment, &end, error);
    if (status != FREYJA_OK) return status;
  }
  status = scan_segment(index, segment, end, result, error);
  if (status != FREYJA_OK) return status;
  memset(&why, 0, sizeof why);
  uint64_t expected = segment->sealed ? size : segment->mark;
  if (end < expected) add_file_damage(index, segment, end, expected - end, &why);
  return FREYJA_OK;
}

/* Writes what lies behind the mark once more, as it is. A sync that failed, in whatever
 * process, may have left pages that can be read, that are not on the disk, and that the system
 * takes for clean: the next sync would succeed without writing them. */
static freyja_status rewrite_unsynced(fj_segment *segment, freyja_error *error) {
  const fj_os *os = segment->os;
  freyja_status status = FREYJA_OK;
  uint8_t *chunk = os->allocate(os->context, REWRITE_CHUNK);
  if (chunk == NULL) return fj_fail_memory(error, "make records durable");
  uint64_t done = segment->mark;
  while (done < segment->tail && status == FREYJA_OK) {
    uint64_t left = segment->tail - done;
    size_t count = 0;
    status =
        fj_segment_read(segment, chunk, left < REWRITE_CHUNK ? (size_t)left : REWRITE_CHUNK,
                        done, &count, error);
    if (status != FREYJA_OK || count == 0) break;
    freyja_slice part = {chunk, count};
    status = fj_segment_rewrite(segment, &part, done, error);
    done += count;
  }
  os->release(os->context, chunk);
  return status;
}

/* Makes the active segment, read up to its tail, ready to be appended to. */
static freyja_status settle_active(fj_index *index, fj_segment *segment,
                                   freyja_recovery *result, freyja_error *error) {
  uint64_t torn = 0;
  freyja_status status = fj_torn_size(segment, &torn, error);
  if (status != FREYJA_OK) return status;
  result->bytes_cut = torn;
  if (index->pool.readonly) {
    /* What is shown now must be there again after a loss of power, too. */
    int code = fj_sync(segment->os, segment->file);
    if (code == 0 || code == -EROFS || code == -EINVAL) return FREYJA_OK; /* read-only media */
    char name[FJ_NAME_MAX];
    fj_segment_name(name, segment->id);
    return fj_fail_os(error, code, index->dir, name, "sync");
  }
  if (torn > 0 && (status = fj_torn_save(segment, torn, error)) != FREYJA_OK) return status;
  status = fj_segment_set_tail(segment, segment->tail, torn > 0, error);
  if (status != FREYJA_OK || segment->mark >= segment->tail) return status;
  status = rewrite_unsynced(segment, error);
  return status == FREYJA_OK ? fj_segment_sync(segment, segment->tail, error) : status;
}

freyja_status fj_recover(fj_index *index, const fj_manifest *manifest, uint64_t limit,
                         fj_segment **active, freyja_recovery *result, freyja_error *error) {
  freyja_status status = FREYJA_OK;
  *active = NULL;
  for (uint32_t i = 0; i < manifest->count && status == FREYJA_OK; i++)
    status = recover_segment(index, &manifest->entries[i], limit, result, error);
  if (status == FREYJA_OK && index->count > 0) {
    fj_segment *last = index->ranks[index->count - 1];
    if (!last->sealed) status = settle_active(index, last, result, error);
    if (!last->sealed && !last->damaged) *active = last;
  }
  result->damaged = index->damage_count;
  result->damage = index->first_damage;
  return status;
}

/* ---- leftovers ------------------------------------------------------------- */

typedef struct fj_visit {
  fj_manifest *manifest;
  const fj_dir *dir;
} fj_visit;

static bool is_temporary(const char *name) {
  size_t size = strlen(name);
  return size > 4 && size < FJ_NAME_MAX && strcmp(name + size - 4, ".tmp") == 0;
}

static bool is_named(const fj_manifest *manifest, uint64_t id) {
  for (uint32_t i = 0; i < manifest->count; i++)
    if (manifest->entries[i].id == id) return true;
  return false;
}

/* Whether the data file is one that a rotation left: ours, or not begun. */
static bool is_ours(const fj_dir *dir, const fj_manifest *manifest, const char *name,
                    uint64_t id) {
  const fj_os *os = dir->os;
  uint8_t header[FJ_SEGMENT_HEADER];
  fj_os_stat st;
  int file = -1;
  if (os->open(os->context, dir->fd, name, 0, &file) != 0) return false;
  bool ours = false;
  if (os->stat(os->context, file, &st) == 0 && st.regular) {
    int64_t count = fj_read(os, file, header, sizeof header, 0);
    ours = count >= 0 && (count < (int64_t)sizeof header ||
                          (memcmp(header + 16, manifest->identity.id, FJ_STORE_ID) == 0 &&
                           fj_get64(header + 40) == id));
  }
  (void)os->close(os->context, file);
  return ours;
}

static int visit_leftover(void *argument, const char *name) {
  fj_visit *visit = argument;
  uint64_t id = 0;
  if (is_temporary(name)) {
    (void)visit->dir->os->unlink(visit->dir->os->context, visit->dir->fd, name);
    return 0;
  }
  if (!fj_segment_parse_name(name, &id)) return 0;
  if (id >= visit->manifest->next_id && id < UINT64_MAX) visit->manifest->next_id = id + 1;
  if (!is_named(visit->manifest, id) && is_ours(visit->dir, visit->manifest, name, id))
    (void)visit->dir->os->unlink(visit->dir->os->context, visit->dir->fd, name);
  return 0;
}

freyja_status fj_recovery_clean(const fj_dir *dir, fj_manifest *manifest,
                                freyja_error *error) {
  fj_visit visit = {.manifest = manifest, .dir = dir};
  int code = dir->os->list(dir->os->context, dir->fd, visit_leftover, &visit);
  return code == 0 ? FREYJA_OK : fj_fail_os(error, code, dir, NULL, "list");
}

static int visit_data(void *argument, const char *name) {
  uint64_t id = 0;
  if (!fj_segment_parse_name(name, &id)) return 0;
  *(bool *)argument = true;
  return 1; /* one is enough */
}

freyja_status fj_recovery_has_data(const fj_dir *dir, bool *has_data, freyja_error *error) {
  *has_data = false;
  int code = dir->os->list(dir->os->context, dir->fd, visit_data, has_data);
  return code >= 0 ? FREYJA_OK : fj_fail_os(error, code, dir, NULL, "list");
}
