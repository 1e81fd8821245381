/* verify.c - checking an open store against its files (freyja_verify): the MANIFEST, each data
 * file by an inspection, its hint file by what it must be, the index by an audit.
 *
 * Timestamps are checked as far as a merge will leave them: of two records of a key the one
 * that comes later in the log is the newer one, and none is newer than the store's newest.
 * Within a segment they need not increase. */
#include "verify.h"

#include <inttypes.h>
#include <string.h>

#include "audit.h"
#include "follow.h"
#include "hintcheck.h"
#include "inspect.h"
#include "torn.h"

typedef struct fj_verification {
  fj_store *db;
  fj_findings findings;
  fj_audit audit;
} fj_verification;

/* ---- the MANIFEST ----------------------------------------------------------- */

static bool is_same_store(const fj_manifest *disk, const fj_manifest *memory) {
  return memcmp(disk->identity.id, memory->identity.id, FJ_STORE_ID) == 0 &&
         disk->identity.hash_seed == memory->identity.hash_seed &&
         disk->hash_bits == memory->hash_bits && disk->created == memory->created &&
         disk->next_id <= memory->next_id; /* a try that failed, too, raises the latter */
}

static bool is_same_manifest(const fj_manifest *disk, const fj_manifest *memory) {
  if (!is_same_store(disk, memory) || disk->generation != memory->generation ||
      disk->count != memory->count)
    return false;
  for (uint32_t i = 0; i < disk->count; i++)
    if (disk->entries[i].id != memory->entries[i].id ||
        disk->entries[i].size != memory->entries[i].size)
      return false;
  return true;
}

/* Whether it is what a rotation left that could not sync the directory, for which the
 * store is poisoned: the same with one segment more, which the store does not know of. */
static bool is_failed_rotation(const fj_store *db, const fj_manifest *disk) {
  const fj_manifest *memory = &db->manifest;
  if (!db->poisoned || !is_same_store(disk, memory) ||
      disk->generation != memory->generation + 1 || disk->count != memory->count + 1)
    return false;
  for (uint32_t i = 0; i < memory->count; i++) {
    const fj_manifest_entry *entry = &disk->entries[i];
    uint64_t size = memory->entries[i].size;
    if (size == 0) size = db->index.ranks[i]->tail;
    if (entry->id != memory->entries[i].id || entry->size != size) return false;
  }
  return disk->entries[memory->count].size == 0;
}

static bool has_segments_of_manifest(const fj_store *db) {
  if (db->manifest.count != db->index.count) return false;
  for (uint32_t i = 0; i < db->index.count; i++)
    if (db->manifest.entries[i].id != db->index.ranks[i]->id) return false;
  return true;
}

static freyja_status verify_manifest(fj_verification *v, freyja_error *error) {
  static const fj_extent extent = {"MANIFEST", 0, 0};
  fj_manifest manifest;
  freyja_error fault;
  bool found = false;
  freyja_status status = fj_manifest_read(&v->db->dir, &manifest, &found, &fault);
  if (status == FREYJA_MEMORY) {
    if (error != NULL) *error = fault;
    return status;
  }
  if (status != FREYJA_OK) fj_findings_add(&v->findings, extent, "%s", fault.message);
  else if (!found) fj_findings_add(&v->findings, extent, "the file is missing");
  else if (!is_same_manifest(&manifest, &v->db->manifest) &&
           !is_failed_rotation(v->db, &manifest))
    fj_findings_add(&v->findings, extent, "it is not the one that the open store has");
  if (!has_segments_of_manifest(v->db))
    fj_findings_add(&v->findings, extent, "the open store has other segments than it names");
  fj_manifest_clear(&v->db->dir, &manifest);
  return FREYJA_OK;
}

/* ---- one file ---------------------------------------------------------------- */

/* The marks. `end`: of the log in the segment. */
static void verify_marks(fj_verification *v, fj_segment *file, const fj_segment *segment,
                         const char *name, uint64_t end) {
  uint8_t header[FJ_SEGMENT_HEADER];
  freyja_error fault;
  size_t count = 0;
  uint64_t highest = FJ_SEGMENT_HEADER;
  fj_extent all = {name, 0, FJ_SEGMENT_HEADER};
  if (file->damaged) return; /* told when it was opened */
  if (fj_segment_read(file, header, sizeof header, 0, &count, &fault) != FREYJA_OK) {
    fj_findings_add(&v->findings, all, "%s", fault.message);
    return;
  }
  for (unsigned slot = 0; slot < 2; slot++) {
    fj_extent extent = {name, FJ_MARK_OFFSET + FJ_MARK_SIZE * slot, FJ_MARK_SIZE};
    uint64_t mark = 0;
    if (!fj_segment_decode_mark(header, file->seed, slot, &mark)) continue;
    if (mark < FJ_SEGMENT_HEADER || mark % FJ_RECORD_ALIGN != 0 || mark > end)
      fj_findings_add(&v->findings, extent,
                      "the mark says that all before offset %" PRIu64
                      " was durable, but the log ends at %" PRIu64,
                      mark, end);
    else if (mark > highest) highest = mark;
  }
  if (!segment->sealed && !segment->damaged && highest < segment->mark)
    fj_findings_add(&v->findings, all, "the mark of what is durable was set back");
}

/* The size, and what lies behind the log's end. */
static freyja_status verify_end(fj_verification *v, fj_segment *file,
                                const fj_segment *segment, const char *name, uint64_t end,
                                freyja_error *error) {
  freyja_error fault;
  uint64_t size = 0;
  fj_extent extent = {name, file->reserved, 0};
  if (file->reserved < end) {
    extent.size = end - file->reserved;
    fj_findings_add(&v->findings, extent, "the file is shorter than it was");
    return FREYJA_OK;
  }
  extent.offset = end;
  extent.size = file->reserved - end;
  if (segment->sealed) {
    if (extent.size > 0)
      fj_findings_add(&v->findings, extent, "the file is longer than it was");
    return FREYJA_OK;
  }
  file->tail = segment->staged > end ? segment->staged : end;
  freyja_status status = fj_torn_size(file, &size, &fault);
  extent.offset = file->tail;
  file->tail = end;
  if (status == FREYJA_MEMORY && error != NULL) *error = fault;
  if (status == FREYJA_MEMORY) return status;
  if (status != FREYJA_OK) fj_findings_add(&v->findings, extent, "%s", fault.message);
  extent.size = size;
  v->findings.report->torn_bytes += size;
  if (size > 0 && !v->db->options.readonly)
    fj_findings_add(&v->findings, extent, "the bytes behind the log's end are not zero");
  return FREYJA_OK;
}

static freyja_status take_record(fj_inspection *in, const fj_record *record, uint64_t key_hash,
                                 bool whole, freyja_error *error) {
  fj_verification *v = in->argument;
  freyja_report *report = v->findings.report;
  if (v->audit.pass == 0) report->records += whole;
  if (!whole) {
    char name[FJ_NAME_MAX];
    fj_segment_name(name, in->segment->id);
    fj_extent extent = {name, in->scan.offset, record->size};
    freyja_slice key = {record->key, record->key_size};
    fj_findings_add_key(&v->findings, extent, key, false,
                        "the value fails verification, or cannot be read");
  }
  return fj_audit_record(&v->audit, in->segment, in->scan.offset, record, key_hash, error);
}

/* Reads the records of a file once more for each pass of the audit. */
static freyja_status verify_records(fj_verification *v, fj_segment *file, uint64_t *unknown,
                                    freyja_error *error) {
  fj_inspection in;
  memset(&in, 0, sizeof in);
  in.segment = file;
  in.end = file->tail < file->reserved ? file->tail : file->reserved;
  in.end -= in.end % FJ_RECORD_ALIGN;
  in.trusted = UINT64_MAX;
  in.values = v->audit.pass == 0;
  in.findings = v->audit.pass == 0 ? &v->findings : NULL;
  in.take = take_record;
  in.argument = v;
  freyja_status status = FREYJA_OK;
  if (in.end > FJ_SEGMENT_HEADER) status = fj_inspect(&in, FJ_SEGMENT_HEADER, error);
  *unknown = in.unknown + (file->tail - in.end);
  if (v->audit.pass == 0) v->findings.report->bytes += in.end;
  return status;
}

static freyja_status verify_segment(fj_verification *v, const fj_segment *segment,
                                    freyja_error *error) {
  fj_segment *file = v->audit.files.slots[segment->slot];
  freyja_status status = FREYJA_OK;
  char name[FJ_NAME_MAX];
  uint64_t unknown = 1;
  fj_segment_name(name, segment->id);
  if (file != NULL) status = verify_records(v, file, &unknown, error);
  if (status != FREYJA_OK || v->audit.pass > 0) return status;
  fj_audit_segment(&v->audit, segment, unknown == 0);
  if (file == NULL) return FREYJA_OK;
  v->findings.report->files++;
  verify_marks(v, file, segment, name, file->tail);
  status = verify_end(v, file, segment, name, file->tail, error);
  if (status != FREYJA_OK || !segment->sealed || unknown > 0 || file->damaged) return status;
  return fj_hint_compare(file, &v->findings, error);
}

/* ---- the whole ---------------------------------------------------------------- */

/* Opens all files: the audit of one looks at records of others. */
static freyja_status open_files(fj_verification *v, freyja_error *error) {
  const fj_store *db = v->db;
  for (uint32_t i = 0; i < db->index.count; i++) {
    const fj_segment *segment = db->index.ranks[i];
    fj_segment *file = NULL;
    uint64_t size = i < db->manifest.count ? db->manifest.entries[i].size : 0;
    freyja_status status =
        fj_inspect_open(&v->audit.files.pool, segment->id, size, &v->findings, &file, error);
    if (status != FREYJA_OK) return status;
    /* What was durable and is not there is missed, though the store knows of no record there.
     */
    uint64_t end = segment->tail > segment->mark ? segment->tail : segment->mark;
    if (file != NULL) fj_audit_add(&v->audit, file, segment, size == 0 ? end : size);
  }
  return FREYJA_OK;
}

static freyja_status verify_store(fj_verification *v, freyja_error *error) {
  const fj_store *db = v->db;
  freyja_status status = verify_manifest(v, error);
  if (status == FREYJA_OK)
    status = fj_checkpoint_verify(&db->dir, &db->manifest.identity, db->manifest.hash_bits,
                                  &v->findings, error);
  if (status == FREYJA_OK) status = open_files(v, error);
  for (uint32_t pass = 0; pass < v->audit.passes && status == FREYJA_OK; pass++) {
    for (uint32_t i = 0; i < db->index.count && status == FREYJA_OK; i++)
      status = verify_segment(v, db->index.ranks[i], error);
    if (status == FREYJA_OK) fj_audit_pass(&v->audit);
  }
  return status;
}

freyja_status fj_store_verify(fj_store *db, freyja_visit_problem visit, void *argument,
                              freyja_report *out, freyja_error *error) {
  memset(out, 0, sizeof *out);
  freyja_status status = fj_store_check_process(db, error);
  bool changed = false;
  if (status == FREYJA_OK) status = fj_follow_check_alone(db, error);
  if (status == FREYJA_OK) status = fj_store_refresh(db, &changed, error);
  if (status == FREYJA_OK) status = fj_store_settle(db, error);
  if (status == FREYJA_OK) status = fj_keydir_bring_all(&db->index.keydir, error); /* K6 */
  if (status != FREYJA_OK) return status;
  fj_verification v = {
      .db = db,
      .findings = {.dir = &db->dir, .visit = visit, .argument = argument, .report = out}};
  uint64_t expired = fj_store_expire(db);
  fj_pool_close_files(&db->index.pool);
  if (status == FREYJA_OK) status = fj_audit_create(&v.audit, &db->index, &v.findings, error);
  if (status == FREYJA_OK) status = verify_store(&v, error);
  fj_audit_destroy(&v.audit);
  out->keys = db->index.keydir.count - expired;
  return status;
}
