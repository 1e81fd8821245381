/* repair.c - writing all that is whole of a store to a new one (freyja_repair), in two
 * readings of its files. The first finds the newest record of each key, by the timestamps:
 * deletions and records whose value is damaged too, since they replace what is older. The
 * second verifies those values and writes them.
 *
 * Without a MANIFEST nothing tells which files a merge has replaced, that may still be there.
 * But one of which a merge's output has a copy was replaced, as merges copy all that counts:
 * what else is in it was dropped, unless the copy is in bytes that are damaged. Where another
 * file that the merge has made is gone without a trace that is a loss: so it is told. */
#include "repair.h"

#include <inttypes.h>
#include <string.h>

#include "builder.h"
#include "index.h"
#include "inspect.h"
#include "salvage.h"
#include "torn.h"

#define COLLISIONS_MAX (UINT64_C(1) << 20) /* pairs of keys with the same hash, about */

/* How far a file was read. */
typedef struct fj_progress {
  uint64_t end;  /* of what is to be read */
  uint64_t stop; /* where its log ends */
  bool replaced; /* a merge has copied of it what counted */
  uint64_t left; /* records that this merge did not copy, and that are not used */
} fj_progress;

typedef struct fj_repair_state {
  fj_findings findings;
  fj_salvage salvage;
  fj_index index; /* the newest record of each key, whatever kind it is */
  fj_builder builder;
  fj_progress *progress; /* of each file */
  uint32_t current;      /* file being read */
  uint64_t seen;         /* slots whose record was met in the second reading */
} fj_repair_state;

/* ---- the newest record of each key ----------------------------------------------- */

static bool has_key(const fj_record *record, const fj_record *other) {
  return record->key_size == other->key_size &&
         (record->key_size == 0 || memcmp(record->key, other->key, record->key_size) == 0);
}

/* Whether `found` is a copy of the record of that key, which is in the current file. */
static bool is_copy(const fj_repair_state *r, const fj_found *found, const fj_record *record) {
  const fj_salvage_file *files = r->salvage.files;
  const fj_salvage_file *file = &files[found->segment->rank];
  return !r->salvage.has_manifest && file->whole &&
         file->written_as > files[r->current].written_as &&
         found->record.timestamp == record->timestamp;
}

/* Whether the slot at found->place is of the record's key, and then, whether the record is
 * newer. One that can no longer be read is taken for an older one of the key. */
static freyja_status compare(fj_repair_state *r, fj_found *found, const fj_record *record,
                             bool *same, bool *newer, freyja_error *error) {
  fj_index *index = &r->index;
  bool possible = false;
  freyja_error fault;
  found->word = found->place.slot->word;
  freyja_status status =
      fj_index_fetch(index, found, record->key_size, false, &possible, &fault);
  if (status == FREYJA_MEMORY) {
    if (error != NULL) *error = fault;
    return status;
  }
  bool readable = status == FREYJA_OK && possible;
  *same = !readable || has_key(record, &found->record);
  *newer = !readable || record->timestamp > found->record.timestamp;
  if (readable && *same && is_copy(r, found, record)) r->progress[r->current].replaced = true;
  return FREYJA_OK;
}

static freyja_status choose(fj_inspection *in, const fj_record *record, uint64_t key_hash,
                            bool whole, freyja_error *error) {
  fj_repair_state *r = in->argument;
  fj_index *index = &r->index;
  fj_found found;
  bool same = false, newer = true;
  freyja_status status = FREYJA_OK;
  (void)whole;
  found.block = NULL;
  found.os = index->dir->os;
  fj_clock_raise(&index->clock, record->timestamp);
  bool more = fj_keydir_find(&index->keydir, key_hash, &found.place);
  uint64_t cost = fj_index_passed(&found.place, key_hash);
  index->applied += record->size;
  for (; more && !same && status == FREYJA_OK; cost += FJ_COMPARISON + record->key_size) {
    status = compare(r, &found, record, &same, &newer, error);
    if (!same) more = fj_keydir_next(&found.place);
  }
  fj_found_release(&found);
  if (status == FREYJA_OK) status = fj_index_charge(index, cost, error);
  if (status != FREYJA_OK || (same && !newer)) return status;
  uint64_t word = fj_word_make(in->segment->slot, in->scan.offset, record->size, 0);
  if (same) {
    fj_index_replace(index, found.place, word);
    return FREYJA_OK;
  }
  status = fj_keydir_reserve(&index->keydir, key_hash, &found.place, error);
  if (status == FREYJA_OK) fj_index_insert(index, found.place, key_hash, word);
  return status;
}

/* Whether the keydir points to the record. */
static bool is_chosen(fj_repair_state *r, const fj_inspection *in, uint64_t key_hash) {
  uint64_t position = fj_word_position(fj_word_make(in->segment->slot, in->scan.offset, 0, 0));
  fj_place place;
  bool more = fj_keydir_find(&r->index.keydir, key_hash, &place);
  while (more) {
    if (fj_word_position(place.slot->word) == position) return true;
    more = fj_keydir_next(&place);
  }
  return false;
}

/* ---- the first reading ------------------------------------------------------------ */

static fj_inspection inspection_of(fj_repair_state *r, uint32_t i) {
  fj_inspection in;
  memset(&in, 0, sizeof in);
  in.segment = r->index.ranks[i];
  in.end = r->progress[i].end;
  in.trusted = UINT64_MAX;
  in.take = choose;
  in.argument = r;
  r->current = i;
  return in;
}

/* Bytes before `end` in the file may have held records of any keys. */
static void add_unknown(fj_repair_state *r, uint32_t i, uint64_t end) {
  fj_index_add_damage(&r->index, r->index.ranks[i], 0, end, true, NULL);
}

/* Where the file's records may end at most. Without its header and what that says of what is
 * torn, that is where the zeros begin which were reserved. */
static freyja_status find_end(fj_repair_state *r, uint32_t i, freyja_error *error) {
  const fj_salvage_file *file = &r->salvage.files[i];
  fj_segment *segment = r->index.ranks[i];
  uint64_t end = file->size, used = 0;
  freyja_error fault;
  if (!file->active && end > file->expected) end = file->expected;
  if (file->active && file->headless && end > FJ_SEGMENT_HEADER) {
    segment->tail = FJ_SEGMENT_HEADER;
    freyja_status status = fj_torn_size(segment, &used, &fault);
    if (status == FREYJA_MEMORY && error != NULL) *error = fault;
    if (status == FREYJA_MEMORY) return status;
    if (status == FREYJA_OK)
      end =
          (FJ_SEGMENT_HEADER + used + FJ_RECORD_ALIGN - 1) / FJ_RECORD_ALIGN * FJ_RECORD_ALIGN;
    if (end > file->size) end = file->size;
  }
  segment->tail = r->progress[i].end = end - end % FJ_RECORD_ALIGN;
  return FREYJA_OK;
}

/* Tells of bytes that should be there and are not. */
static void check_length(fj_repair_state *r, uint32_t i) {
  const fj_salvage_file *file = &r->salvage.files[i];
  uint64_t expected = file->expected > file->mark ? file->expected : file->mark;
  char name[FJ_NAME_MAX];
  fj_segment_name(name, file->id);
  if (file->size >= expected) return;
  fj_extent extent = {name, file->size, expected - file->size};
  add_unknown(r, i, expected);
  fj_findings_add(&r->findings, extent, "the file is shorter than it was");
}

static freyja_status choose_in_file(fj_repair_state *r, uint32_t i, freyja_error *error) {
  const fj_salvage_file *file = &r->salvage.files[i];
  fj_progress *progress = &r->progress[i];
  if (file->unfinished) return FREYJA_OK;
  if (file->size == 0) { /* nothing of it can be read */
    add_unknown(r, i, UINT64_MAX);
    return FREYJA_OK;
  }
  freyja_status status = find_end(r, i, error);
  if (status != FREYJA_OK) return status;
  fj_inspection in = inspection_of(r, i);
  if (file->active && !file->headless) in.trusted = file->mark;
  in.stop = in.end;
  if (in.end > FJ_SEGMENT_HEADER) status = fj_inspect(&in, FJ_SEGMENT_HEADER, error);
  progress->stop = in.stop;
  if (in.unknown > 0) add_unknown(r, i, in.last_end);
  check_length(r, i);
  return status;
}

/* The file that was written to, of a store without a MANIFEST: of those that were not made as
 * a whole the one with the highest number, of which there is more than a header. */
static uint32_t find_active(const fj_repair_state *r) {
  uint32_t active = r->salvage.count;
  for (uint32_t i = 0; i < r->salvage.count; i++) {
    const fj_salvage_file *file = &r->salvage.files[i];
    if (!file->whole && file->size > FJ_SEGMENT_HEADER) active = i;
  }
  return active;
}

/* Without a MANIFEST each file may be that one. What was taken for torn elsewhere is damage.
 */
static freyja_status settle_torn(fj_repair_state *r, freyja_error *error) {
  uint32_t active = find_active(r);
  for (uint32_t i = 0; i < r->salvage.count; i++) {
    fj_progress *progress = &r->progress[i];
    if (i == active || progress->stop >= progress->end) continue;
    fj_inspection in = inspection_of(r, i);
    freyja_status status = fj_inspect(&in, progress->stop, error);
    if (status != FREYJA_OK) return status;
    progress->stop = in.stop;
    if (in.unknown > 0) add_unknown(r, i, in.last_end);
  }
  return FREYJA_OK;
}

static freyja_status choose_all(fj_repair_state *r, freyja_error *error) {
  freyja_status status = FREYJA_OK;
  for (uint32_t i = 0; i < r->salvage.count && status == FREYJA_OK; i++)
    status = choose_in_file(r, i, error);
  if (status == FREYJA_OK && !r->salvage.has_manifest) status = settle_torn(r, error);
  /* Where the order of the files is not known, anything may have been replaced by what
   * was in the damaged bytes. */
  if (!r->salvage.ordered) r->index.unknown_rank = UINT32_MAX;
  return status;
}

/* ---- the second reading ------------------------------------------------------------ */

static bool is_doubtful(fj_repair_state *r, const fj_inspection *in) {
  fj_found found;
  found.segment = in->segment;
  found.offset = in->scan.offset;
  return fj_index_prove(&r->index, &found, NULL) != FREYJA_OK;
}

static freyja_status write_record(fj_inspection *in, const fj_record *record,
                                  uint64_t key_hash, bool whole, freyja_error *error) {
  fj_repair_state *r = in->argument;
  freyja_report *report = r->findings.report;
  bool chosen = is_chosen(r, in, key_hash);
  bool dropped = r->progress[r->current].replaced && !r->index.has_unknown;
  /* One that has expired leaves nothing, as a deletion does. */
  bool put = record->kind == FJ_KIND_PUT && !dropped &&
             !fj_record_is_due(record, fj_clock_told(&r->index.clock));
  freyja_slice key = {record->key, record->key_size};
  freyja_slice value = {record->value, record->value_size};
  report->records += whole;
  r->seen += chosen;
  r->progress[r->current].left += chosen && dropped && record->kind == FJ_KIND_PUT;
  if (!whole) {
    char name[FJ_NAME_MAX];
    fj_segment_name(name, in->segment->id);
    fj_extent extent = {name, in->scan.offset, record->size};
    report->lost_keys += chosen && put;
    fj_findings_add_key(&r->findings, extent, key, chosen && put,
                        chosen && put
                            ? "the key is lost: its newest value fails verification, "
                              "or cannot be read"
                            : "a value that was replaced or has expired since fails "
                              "verification, or cannot be read");
    return FREYJA_OK;
  }
  if (!chosen || !put) return FREYJA_OK;
  report->keys++;
  report->doubtful_keys += r->progress[r->current].replaced || is_doubtful(r, in);
  return fj_builder_put(&r->builder, key, value, record->timestamp, fj_record_expiry(record),
                        error);
}

static freyja_status count_record(fj_inspection *in, const fj_record *record,
                                  uint64_t key_hash, bool whole, freyja_error *error) {
  fj_repair_state *r = in->argument;
  (void)record, (void)key_hash, (void)error;
  r->findings.report->torn_records += whole;
  return FREYJA_OK;
}

/* Counts what lies behind the log's end: a crash leaves it, and it is not used. */
static freyja_status count_torn(fj_repair_state *r, uint32_t i, freyja_error *error) {
  freyja_report *report = r->findings.report;
  const fj_salvage_file *file = &r->salvage.files[i];
  fj_segment *segment = r->index.ranks[i];
  uint64_t size = 0;
  freyja_error fault;
  char name[FJ_NAME_MAX];
  if (!file->active || file->headless) return FREYJA_OK;
  fj_segment_name(name, file->id);
  segment->tail = r->progress[i].stop;
  freyja_status status = fj_torn_size(segment, &size, &fault);
  segment->tail = r->progress[i].end;
  if (status == FREYJA_MEMORY && error != NULL) *error = fault;
  if (status == FREYJA_MEMORY) return status;
  fj_extent extent = {name, r->progress[i].stop, size};
  if (status != FREYJA_OK) fj_findings_add(&r->findings, extent, "%s", fault.message);
  if (size == 0) return FREYJA_OK;
  fj_inspection in = inspection_of(r, i);
  in.values = true;
  in.take = count_record;
  status = fj_inspect(&in, extent.offset, error);
  if (status != FREYJA_OK) return status;
  report->torn_bytes += size;
  return FREYJA_OK;
}

/* Nothing else would show that they were live, if the merge's other files are lost. */
static void tell_left(const fj_repair_state *r, uint32_t i) {
  char name[FJ_NAME_MAX];
  fj_segment_name(name, r->salvage.files[i].id);
  fj_extent extent = {name, 0, r->progress[i].end};
  fj_findings_add(&r->findings, extent,
                  "a merge has replaced the file; %" PRIu64
                  " keys that it did not copy are not in the new store",
                  r->progress[i].left);
}

static freyja_status write_file(fj_repair_state *r, uint32_t i, freyja_error *error) {
  freyja_report *report = r->findings.report;
  freyja_status status = FREYJA_OK;
  if (r->salvage.files[i].size == 0) return FREYJA_OK;
  fj_inspection in = inspection_of(r, i);
  in.end = r->progress[i].stop;
  in.values = true;
  in.findings = &r->findings;
  in.take = write_record;
  if (in.end > FJ_SEGMENT_HEADER) status = fj_inspect(&in, FJ_SEGMENT_HEADER, error);
  if (status != FREYJA_OK) return status;
  report->files++;
  report->bytes += in.end;
  if (r->progress[i].left > 0) tell_left(r, i);
  return count_torn(r, i, error);
}

static freyja_status write_all(fj_repair_state *r, freyja_error *error) {
  static const fj_extent whole = {NULL, 0, 0};
  freyja_status status = FREYJA_OK;
  for (uint32_t i = 0; i < r->salvage.count && status == FREYJA_OK; i++)
    status = write_file(r, i, error);
  if (status != FREYJA_OK) return status;
  uint64_t unseen = r->index.keydir.count - r->seen;
  if (unseen > 0)
    fj_findings_add(&r->findings, whole,
                    "%" PRIu64 " records could be read once, but not a second time", unseen);
  r->findings.report->lost_keys += unseen;
  return fj_builder_finish(&r->builder, error);
}

/* ---- the whole ---------------------------------------------------------------------- */

/* A segment of the index for each file, in their order. */
static freyja_status open_files(fj_repair_state *r, freyja_error *error) {
  const fj_salvage *salvage = &r->salvage;
  const fj_os *os = salvage->dir.os;
  r->progress = os->allocate(os->context, salvage->count * sizeof *r->progress);
  if (r->progress == NULL) return fj_fail_memory(error, "repair a store");
  if (salvage->count > 0) memset(r->progress, 0, salvage->count * sizeof *r->progress);
  for (uint32_t i = 0; i < salvage->count; i++) {
    const fj_salvage_file *file = &salvage->files[i];
    fj_segment *segment = NULL;
    freyja_status status = fj_index_grow(&r->index, 1, error);
    if (status == FREYJA_OK)
      status = fj_segment_assume(&r->index.pool, file->id, file->written_as, file->size,
                                 &segment, error);
    if (status != FREYJA_OK) return status;
    fj_index_add(&r->index, segment);
  }
  return FREYJA_OK;
}

/* Those of the store, unless its keys are so many that they would collide too often, as in one
 * whose MANIFEST was made up: an open would refuse it (fj_index_charge). */
static uint32_t hash_bits_for(const fj_repair_state *r) {
  uint64_t keys = r->index.keydir.count;
  uint32_t bits = r->salvage.has_manifest ? r->salvage.manifest.hash_bits : 64;
  return bits < 64 && keys * (keys >> bits) > COLLISIONS_MAX ? 64 : bits;
}

static freyja_status repair(fj_repair_state *r, const char *to, freyja_error *error) {
  const fj_salvage *salvage = &r->salvage;
  fj_index_create(&r->index, &salvage->dir, &salvage->identity, FREYJA_IO_SYSCALL, true, 64);
  freyja_status status =
      fj_builder_open(&r->builder, salvage->dir.os, to, salvage->dir.fd, error);
  if (status == FREYJA_OK) status = open_files(r, error);
  if (status == FREYJA_OK) status = choose_all(r, error);
  if (status == FREYJA_OK) {
    fj_builder_set_hash_bits(&r->builder, hash_bits_for(r));
    status = write_all(r, error);
  }
  fj_builder_destroy(&r->builder);
  fj_index_destroy(&r->index);
  salvage->dir.os->release(salvage->dir.os->context, r->progress);
  return status;
}

freyja_status fj_repair(const fj_os *os, const char *path, const char *to,
                        freyja_visit_problem visit, void *argument, freyja_report *report,
                        freyja_error *error) {
  fj_repair_state r;
  memset(&r, 0, sizeof r);
  memset(report, 0, sizeof *report);
  r.findings.visit = visit;
  r.findings.argument = argument;
  r.findings.report = report;
  freyja_status status = fj_salvage_open(&r.salvage, os, path, &r.findings, error);
  if (status == FREYJA_OK) status = repair(&r, to, error);
  fj_salvage_close(&r.salvage);
  return status;
}

freyja_status freyja_repair(const char *path, const char *to, freyja_visit_problem visit,
                            void *argument, freyja_report *report, freyja_error *error) {
  return fj_repair(fj_os_real(), path, to, visit, argument, report, error);
}
