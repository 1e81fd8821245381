/* audit.c - see audit.h. */
#include "audit.h"

#include <inttypes.h>
#include <string.h>

#define PENDING_MAX (1u << 20) /* keys that are remembered in a pass: 16 MiB */

/* ---- life ----------------------------------------------------------------- */

static void tally_slot(void *argument, const fj_slot *slot) {
  fj_audit *audit = argument;
  uint32_t number = fj_word_segment(slot->word);
  if (number >= audit->files.slot_count) {
    audit->sound = false;
    return;
  }
  audit->tallies[number].slots++;
  audit->tallies[number].bytes += fj_word_size(slot->word);
}

static void check_keydir(fj_audit *audit) {
  static const fj_extent whole = {NULL, 0, 0};
  audit->sound = true;
  const char *wrong = fj_keydir_check(&audit->index->keydir, tally_slot, audit);
  if (wrong == NULL && !audit->sound)
    wrong = "the index points to a segment that is not there";
  if (wrong == NULL) return;
  audit->sound = false;
  fj_findings_add(audit->findings, whole, "%s", wrong);
}

/* How many records of the segment a key may wait for, at most. */
static uint64_t count_ends(const fj_segment *segment) {
  if (segment->expires == 0) return segment->tombstones;
  return segment->tombstones + segment->keys - segment->live_keys;
}

freyja_status fj_audit_create(fj_audit *audit, const fj_index *index,
                              const fj_findings *findings, freyja_error *error) {
  const fj_os *os = index->dir->os;
  memset(audit, 0, sizeof *audit);
  audit->findings = findings;
  audit->index = index;
  fj_positions_create(&audit->pending, os);
  audit->files.dir = index->dir;
  audit->files.pool = index->pool;
  audit->files.pool.io = FREYJA_IO_SYSCALL;
  audit->files.pool.readonly = true;
  audit->files.pool.open_files = 0;
  audit->files.pool.newest = audit->files.pool.oldest = NULL;
  audit->files.keydir = index->keydir; /* only read: not to be destroyed */
  uint32_t count = index->slot_count;
  audit->files.slots = os->allocate(os->context, count * sizeof *audit->files.slots);
  audit->tallies = os->allocate(os->context, count * sizeof *audit->tallies);
  if (audit->files.slots == NULL || audit->tallies == NULL)
    return fj_fail_memory(error, "verify a store");
  audit->files.slot_count = count;
  for (uint32_t i = 0; i < count; i++) audit->files.slots[i] = NULL;
  if (count > 0) memset(audit->tallies, 0, count * sizeof *audit->tallies);
  for (uint32_t i = 0; i < index->count; i++) audit->ends += count_ends(index->ranks[i]);
  audit->passes = (uint32_t)(audit->ends / PENDING_MAX) + 1;
  audit->time = fj_clock_told(&index->clock);
  audit->hides = index->has_unknown;
  check_keydir(audit);
  return FREYJA_OK;
}

void fj_audit_add(fj_audit *audit, fj_segment *file, const fj_segment *segment, uint64_t end) {
  file->slot = segment->slot;
  file->rank = segment->rank;
  file->tail = end;
  audit->files.slots[segment->slot] = file;
}

void fj_audit_destroy(fj_audit *audit) {
  const fj_os *os = audit->index->dir->os;
  for (uint32_t i = 0; i < audit->files.slot_count; i++)
    fj_segment_release(audit->files.slots[i]);
  os->release(os->context, audit->files.slots);
  os->release(os->context, audit->tallies);
  fj_positions_destroy(&audit->pending);
}

/* ---- one record ------------------------------------------------------------ */

/* What the index says of a record's key. */
typedef struct fj_entries {
  uint32_t here;      /* slots that point to the record */
  uint64_t word;      /* of one of those */
  uint32_t elsewhere; /* slots of the key that point to other records */
  const fj_segment *segment;
  uint64_t offset, timestamp; /* of one of those */
} fj_entries;

static bool has_key(const fj_record *record, const fj_record *other) {
  return record->key_size == other->key_size &&
         (record->key_size == 0 || memcmp(record->key, other->key, record->key_size) == 0);
}

/* Whether another slot of the same hash is of the same key. Where that cannot be read, the
 * inspection of that place tells of it. */
static freyja_status look_elsewhere(fj_audit *audit, fj_found *found, const fj_record *record,
                                    fj_entries *entries, freyja_error *error) {
  bool possible = false;
  freyja_error fault;
  freyja_status status = FREYJA_OK;
  const fj_segment *other = audit->files.slots[fj_word_segment(found->word)];
  if (other != NULL && fj_word_offset(found->word) < other->tail)
    status = fj_index_fetch(&audit->files, found, record->key_size, false, &possible, &fault);
  if (status == FREYJA_MEMORY) {
    if (error != NULL) *error = fault;
    return status;
  }
  if (status != FREYJA_OK || !possible) {
    audit->hides = true;
  } else if (has_key(record, &found->record)) {
    entries->elsewhere++;
    entries->segment = found->segment;
    entries->offset = found->offset;
    entries->timestamp = found->record.timestamp;
  }
  return FREYJA_OK;
}

static freyja_status look_up(fj_audit *audit, uint64_t position, const fj_record *record,
                             uint64_t key_hash, fj_entries *entries, freyja_error *error) {
  fj_keydir *keydir = &audit->files.keydir;
  fj_found found;
  found.block = NULL;
  found.os = audit->index->dir->os;
  memset(entries, 0, sizeof *entries);
  freyja_status status = FREYJA_OK;
  bool more = fj_keydir_find(keydir, key_hash & keydir->hash_mask, &found.place);
  while (more && status == FREYJA_OK) {
    found.word = found.place.slot->word;
    if (fj_word_position(found.word) == position) {
      entries->here++;
      entries->word = found.word;
    } else {
      status = look_elsewhere(audit, &found, record, entries, error);
    }
    more = fj_keydir_next(&found.place);
  }
  fj_found_release(&found);
  return status;
}

/* What is wrong with the slot that points to the record, NULL if nothing. */
static const char *check_here(const fj_record *record, uint32_t slot, uint64_t offset,
                              const fj_entries *entries) {
  uint64_t word = fj_word_make(slot, offset, record->size, record->flags);
  if (record->kind != FJ_KIND_PUT) return "the index points to a tombstone (I1)";
  if (entries->here + entries->elsewhere > 1) return "a key stands twice in the index";
  return entries->word == word ? NULL : "the index knows another size or flag of a record";
}

/* The same of a record whose key's slot points elsewhere: there must be a newer one. */
static const char *check_elsewhere(const fj_record *record, const fj_segment *file,
                                   uint64_t offset, const fj_entries *entries) {
  const fj_segment *other = entries->segment;
  bool later =
      other->rank > file->rank || (other->rank == file->rank && entries->offset > offset);
  if (!later) return "the index points to an older record of this key (I1)";
  return entries->timestamp > record->timestamp
             ? NULL
             : "a record is newer than one of its key that comes later in the log";
}

/* Remembers a put whose key is not in the index until its tombstone comes, or a put that has
 * expired. */
static freyja_status await_end(fj_audit *audit, const fj_record *record, uint64_t key_hash,
                               freyja_error *error) {
  if (key_hash % audit->passes != audit->pass) return FREYJA_OK;
  if (key_hash == 0) key_hash = 1; /* one number is no member */
  if (record->kind == FJ_KIND_TOMBSTONE || fj_record_is_due(record, audit->time)) {
    fj_positions_remove(&audit->pending, key_hash);
  } else if (audit->pending.count <= audit->ends) {
    if (!fj_positions_reserve(&audit->pending, 1))
      return fj_fail_memory(error, "verify a store");
    fj_positions_add(&audit->pending, key_hash);
  }
  return FREYJA_OK;
}

static void tally_record(fj_tally *tally, const fj_record *record) {
  uint64_t expiry = fj_record_expiry(record);
  if (record->kind == FJ_KIND_PUT) tally->keys++;
  else tally->tombstones++;
  if (expiry != 0 && (tally->expires == 0 || expiry < tally->expires)) tally->expires = expiry;
}

freyja_status fj_audit_record(fj_audit *audit, const fj_segment *file, uint64_t offset,
                              const fj_record *record, uint64_t key_hash,
                              freyja_error *error) {
  fj_tally *tally = &audit->tallies[file->slot];
  if (audit->pass == 0) tally_record(tally, record);
  if (!audit->sound) return FREYJA_OK;
  fj_entries entries;
  uint64_t position = fj_word_position(fj_word_make(file->slot, offset, 0, 0));
  freyja_status status = look_up(audit, position, record, key_hash, &entries, error);
  if (status != FREYJA_OK) return status;
  if (entries.here == 0 && entries.elsewhere == 0)
    return await_end(audit, record, key_hash, error);
  if (audit->pass > 0) return FREYJA_OK;
  tally->found += entries.here;
  const char *wrong = entries.here > 0 ? check_here(record, file->slot, offset, &entries)
                                       : check_elsewhere(record, file, offset, &entries);
  if (wrong == NULL && record->timestamp > audit->index->last_timestamp)
    wrong = "a record is newer than the newest of the store";
  if (wrong == NULL) return FREYJA_OK;
  char name[FJ_NAME_MAX];
  fj_segment_name(name, file->id);
  fj_extent extent = {name, offset, record->size};
  freyja_slice key = {record->key, record->key_size};
  fj_findings_add_key(audit->findings, extent, key, false, wrong);
  return FREYJA_OK;
}

/* ---- statistics -------------------------------------------------------------- */

void fj_audit_segment(fj_audit *audit, const fj_segment *segment, bool whole) {
  const fj_tally *tally = &audit->tallies[segment->slot];
  char name[FJ_NAME_MAX];
  fj_segment_name(name, segment->id);
  fj_extent extent = {name, 0, 0};
  if (!whole) audit->hides = true;
  if (audit->sound &&
      (segment->live_keys != tally->slots || segment->live_bytes != tally->bytes))
    fj_findings_add(audit->findings, extent,
                    "the segment counts %" PRIu64 " live keys in %" PRIu64
                    " bytes, the index %" PRIu64 " in %" PRIu64 " (I3)",
                    segment->live_keys, segment->live_bytes, tally->slots, tally->bytes);
  if (!whole || segment->damaged) return;
  if (segment->keys != tally->keys || segment->tombstones != tally->tombstones)
    fj_findings_add(audit->findings, extent,
                    "the segment counts %" PRIu64 " puts and %" PRIu64
                    " tombstones, the file has %" PRIu64 " and %" PRIu64,
                    segment->keys, segment->tombstones, tally->keys, tally->tombstones);
  if (segment->expires != tally->expires)
    fj_findings_add(audit->findings, extent,
                    "the segment says that its first value expires at %" PRIu64
                    ", the file at %" PRIu64,
                    segment->expires, tally->expires);
  if (audit->sound && tally->found != tally->slots)
    fj_findings_add(audit->findings, extent,
                    "%" PRIu64 " keys of the index point to no record of theirs (I1)",
                    tally->slots - tally->found);
}

void fj_audit_pass(fj_audit *audit) {
  static const fj_extent whole = {NULL, 0, 0};
  if (audit->pending.count > 0 && !audit->hides)
    fj_findings_add(audit->findings, whole,
                    "the index lacks %zu keys whose last record is a put (I1)",
                    audit->pending.count);
  fj_positions_destroy(&audit->pending);
  audit->pass++;
}
