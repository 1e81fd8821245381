/* recovery.c - see recovery.h. */
#include "recovery.h"

#include <errno.h>
#include <string.h>

#include "adopt.h"
#include "intake.h"
#include "torn.h"

#define REWRITE_CHUNK (256u << 10) /* bytes */

/* The mark of an active segment of which nobody knows how far it reached. When the next is
 * begun, it becomes the size in the MANIFEST, so that this is not forgotten, and so that
 * a file that comes back is read. */
#define SIZE_UNKNOWN FREYJA_SEGMENT_SIZE_MAX

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
 * what does not verify, or cannot be read, is damage. Where only zeros are left, nobody knows
 * how much is lost. */
static freyja_status distrust_tail(fj_segment *segment, freyja_error *error) {
  uint64_t used = 0;
  freyja_status status = fj_torn_bound(segment, &used, error);
  if (status != FREYJA_OK) return status;
  uint64_t end = segment->tail + used + FJ_RECORD_ALIGN - 1;
  segment->mark = used == 0 ? SIZE_UNKNOWN : end & ~(uint64_t)(FJ_RECORD_ALIGN - 1);
  return FREYJA_OK;
}

/* Reads the last segment that a KEYDIR covers, from where it ends. */
static freyja_status read_on(fj_intake *intake, fj_segment *segment, freyja_error *error) {
  uint64_t end = segment->sealed ? segment->limit : segment->reserved;
  end &= ~(uint64_t)(FJ_RECORD_ALIGN - 1);
  if (segment->tail >= end) return FREYJA_OK;
  intake->result->files_scanned++;
  return fj_intake_scan(intake, segment, segment->tail, end, error);
}

static freyja_status recover_segment(fj_intake *intake, const fj_manifest_entry *entry,
                                     uint64_t limit, freyja_error *error) {
  fj_index *index = intake->index;
  fj_segment *segment = NULL;
  freyja_error why;
  freyja_status status = fj_index_grow(index, 1, error);
  if (status != FREYJA_OK) return status;
  status = fj_segment_open(&index->pool, entry->id, entry->size, limit, &segment, &why, error);
  if (status != FREYJA_OK) return status;
  fj_index_add(index, segment);
  bool taken = false;
  if (segment->sealed && !segment->damaged && segment->limit == entry->size)
    status = fj_intake_hint(intake, segment, &taken, error);
  if (status != FREYJA_OK || taken) return status;
  intake->result->files_scanned++;
  uint64_t size = entry->size == 0 ? FJ_SEGMENT_HEADER : entry->size;
  if (segment->missing) {
    segment->tail = segment->limit = FJ_SEGMENT_HEADER;
    if (entry->size == 0) segment->mark = SIZE_UNKNOWN;
    add_file_damage(index, segment, 0, size, &why);
    return FREYJA_OK;
  }
  uint64_t end = segment->sealed ? segment->limit : segment->reserved;
  end &= ~(uint64_t)(FJ_RECORD_ALIGN - 1);
  if (segment->damaged) { /* the header alone: the records have their own sums */
    fj_index_add_damage(index, segment, 0, FJ_SEGMENT_HEADER, false, &why);
    if (!segment->sealed && segment->unmarked) status = distrust_tail(segment, error);
    if (status != FREYJA_OK) return status;
  }
  status = fj_intake_scan(intake, segment, FJ_SEGMENT_HEADER, end, error);
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
  uint64_t done = segment->mark;
  uint64_t all = segment->tail - done;
  size_t room = all < REWRITE_CHUNK ? (size_t)all : REWRITE_CHUNK;
  uint8_t *chunk = os->allocate(os->context, room);
  if (chunk == NULL) return fj_fail_memory(error, "make records durable");
  while (done < segment->tail && status == FREYJA_OK) {
    uint64_t left = segment->tail - done;
    size_t count = 0;
    status = fj_segment_read(segment, chunk, left < room ? (size_t)left : room, done, &count,
                             error);
    if (status != FREYJA_OK || count == 0) break;
    freyja_slice part = {chunk, count};
    status = fj_segment_rewrite(segment, &part, done, error);
    done += count;
  }
  os->release(os->context, chunk);
  return status;
}

/* Whether all of the active segment is durable for certain: a KEYDIR is written only when what
 * it covers is (C2). */
static bool is_covered(const fj_index *index, const fj_segment *segment,
                       const freyja_recovery *result) {
  return result->checkpoint_used && index->covered_id == segment->id &&
         index->covered_end == segment->tail && segment->mark == segment->tail;
}

/* Makes the active segment, read up to its tail, ready to be appended to. One that ends
 * before its mark has lost more than a torn tail: it is left as it is and sealed. */
static freyja_status settle_active(fj_index *index, fj_segment *segment,
                                   freyja_recovery *result, freyja_error *error) {
  uint64_t torn = 0;
  freyja_status status = FREYJA_OK;
  bool shorter = segment->tail < segment->mark;
  /* What is behind the last record may be one that is being written; and what a writer has not
   * made durable yet, it answers for. */
  if (index->pool.live) return FREYJA_OK;
  if (!shorter) status = fj_torn_size(segment, &torn, error);
  if (status != FREYJA_OK) return status;
  result->bytes_cut = torn;
  bool durable = torn == 0 && is_covered(index, segment, result);
  if (index->pool.readonly && durable) return FREYJA_OK;
  if (index->pool.readonly) {
    /* What is shown now must be there again after a loss of power, too. */
    int code = fj_sync(segment->os, segment->file);
    if (code == 0 || code == -EROFS || code == -EINVAL) return FREYJA_OK; /* read-only media */
    char name[FJ_NAME_MAX];
    fj_segment_name(name, segment->id);
    return fj_fail_os(error, code, index->dir, name, "sync");
  }
  if (shorter) {
    status = fj_segment_sync(segment, segment->tail, error);
    if (status == FREYJA_OK) fj_segment_seal(segment);
    return status;
  }
  if (torn > 0 && (status = fj_torn_save(segment, torn, error)) != FREYJA_OK) return status;
  status = fj_segment_set_tail(segment, segment->tail, torn > 0, error);
  if (status == FREYJA_OK && segment->mark < segment->tail)
    status = rewrite_unsynced(segment, error);
  /* Even where all is marked: an open that did not come to its end may have cut a torn tail,
   * which must not come back behind what is written next. */
  segment->unsettled = durable;
  if (status != FREYJA_OK || durable) return status;
  status = fj_segment_rewrite_mark(segment, error); /* likewise */
  return status == FREYJA_OK ? fj_segment_sync(segment, segment->tail, error) : status;
}

/* Bytes of the segments behind the first `covered`. */
static uint64_t bytes_behind(const fj_manifest *manifest, uint32_t covered) {
  uint64_t bytes = 0;
  for (uint32_t i = covered; i < manifest->count; i++) bytes += manifest->entries[i].size;
  return bytes;
}

/* What an index may be filled from beside data files, and what turned out to be wrong. */
typedef struct fj_sources {
  bool keydir, hints;
  freyja_error hint_fault;
} fj_sources;

/* Fills the index, which is empty: from a KEYDIR, if there is one that can be used, and what
 * is behind that. */
static freyja_status fill(fj_index *index, const fj_manifest *manifest, uint64_t limit,
                          fj_sources *sources, freyja_recovery *result, freyja_error *error) {
  uint32_t covered = 0;
  freyja_status status = FREYJA_OK;
  fj_intake intake;
  if (sources->keydir) {
    freyja_error why;
    status = fj_adopt(index, manifest, limit, &covered, &why, error);
    if (why.status != FREYJA_OK) index->checkpoint_fault = why;
  }
  result->checkpoint_used = covered > 0;
  fj_intake_open(&intake, index, sources->hints, bytes_behind(manifest, covered), result);
  if (status == FREYJA_OK && covered > 0)
    status = read_on(&intake, index->ranks[covered - 1], error);
  for (uint32_t i = covered; i < manifest->count && status == FREYJA_OK; i++)
    status = recover_segment(&intake, &manifest->entries[i], limit, error);
  if (status == FREYJA_OK) status = fj_intake_finish(&intake, error);
  if (status == FREYJA_OK) fj_keydir_fit(&index->keydir);
  sources->hint_fault = intake.hint_fault;
  fj_intake_close(&intake);
  return status;
}

/* Fills it, without what looked well and turns out to be damaged: then all is read. */
static freyja_status fill_anyhow(fj_index *index, const fj_manifest *manifest, uint64_t limit,
                                 freyja_recovery *result, freyja_error *error) {
  fj_sources sources = {.keydir = true, .hints = true};
  freyja_status status = fill(index, manifest, limit, &sources, result, error);
  while (status != FREYJA_OK) {
    freyja_error fault = index->checkpoint_fault, hint = result->hint;
    uint64_t ignored = result->hints_ignored;
    bool by_keydir = result->checkpoint_used && fault.status != FREYJA_OK;
    bool by_hint = !by_keydir && sources.hint_fault.status != FREYJA_OK;
    if (by_keydir) sources.keydir = false;
    else if (by_hint) sources.hints = false;
    else break;
    fj_index_empty(index, manifest);
    memset(result, 0, sizeof *result);
    index->checkpoint_fault = fault;
    result->hints_ignored = by_hint ? ignored + 1 : 0;
    if (by_hint) result->hint = ignored > 0 ? hint : sources.hint_fault;
    status = fill(index, manifest, limit, &sources, result, error);
  }
  return status;
}

freyja_status fj_recover(fj_index *index, const fj_manifest *manifest, uint64_t limit,
                         fj_segment **active, freyja_recovery *result, freyja_error *error) {
  *active = NULL;
  freyja_status status = fill_anyhow(index, manifest, limit, result, error);
  if (status == FREYJA_OK && index->count > 0) {
    fj_segment *last = index->ranks[index->count - 1];
    if (!last->sealed) status = settle_active(index, last, result, error);
    if (!last->sealed && !last->damaged) *active = last;
  }
  result->damaged = index->damage_count;
  result->damage = index->first_damage;
  index->recovered = true;
  return status;
}

/* ---- once more ------------------------------------------------------------- */

/* What there is to know of a segment that is read again, all of it but its damage, which is
 * known. What is invalid in it is damage: the log's end was found long ago. */
static freyja_status read_again(fj_intake *intake, fj_segment *segment, freyja_error *error) {
  fj_index *index = intake->index;
  bool taken = false, was_damaged = segment->damaged;
  uint64_t damage = index->damage_count, mark = segment->mark, tail = segment->tail;
  segment->keys = segment->tombstones = segment->oldest = segment->newest = 0;
  segment->expires = 0;
  if (segment->missing) return FREYJA_OK;
  freyja_status status = FREYJA_OK;
  if (segment->sealed && !was_damaged && fj_hint_is_there(segment))
    status = fj_intake_hint(intake, segment, &taken, error);
  if (status == FREYJA_OK && !taken) {
    segment->mark = tail;
    status = fj_intake_scan(intake, segment, FJ_SEGMENT_HEADER, tail, error);
    segment->mark = mark;
    segment->tail = tail;
  }
  if (was_damaged) index->damage_count = damage;
  return status;
}

/* What is known of a segment beside its damage. */
typedef struct fj_figures {
  uint64_t keys, tombstones, live_keys, live_bytes, oldest, newest, expires;
} fj_figures;

static void save_figures(const fj_index *index, fj_figures *out) {
  for (uint32_t i = 0; i < index->slot_count; i++) {
    const fj_segment *s = index->slots[i];
    if (s != NULL)
      out[i] = (fj_figures){s->keys,   s->tombstones, s->live_keys, s->live_bytes,
                            s->oldest, s->newest,     s->expires};
  }
}

static void restore_figures(fj_index *index, const fj_figures *saved) {
  for (uint32_t i = 0; i < index->slot_count; i++) {
    fj_segment *s = index->slots[i];
    if (s == NULL) continue;
    s->keys = saved[i].keys;
    s->tombstones = saved[i].tombstones;
    s->live_keys = saved[i].live_keys;
    s->live_bytes = saved[i].live_bytes;
    s->oldest = saved[i].oldest;
    s->newest = saved[i].newest;
    s->expires = saved[i].expires;
  }
}

/* Reads all segments again; what was known of damage before stays so. */
static freyja_status read_all_again(fj_index *index, fj_sources *sources,
                                    freyja_error *error) {
  freyja_status status = FREYJA_OK;
  freyja_recovery result = {.records = 0};
  fj_intake intake;
  bool unknown = index->has_unknown;
  uint32_t rank = index->unknown_rank;
  uint64_t end = index->unknown_end, bytes = 0;
  for (uint32_t i = 0; i < index->count; i++) bytes += index->ranks[i]->tail;
  fj_keydir_destroy(&index->keydir);
  for (uint32_t i = 0; i < index->slot_count; i++)
    if (index->slots[i] != NULL) index->slots[i]->live_keys = index->slots[i]->live_bytes = 0;
  index->soonest = UINT64_MAX;
  fj_intake_open(&intake, index, sources->hints, bytes, &result);
  for (uint32_t i = 0; i < index->count && status == FREYJA_OK; i++)
    status = read_again(&intake, index->ranks[i], error);
  if (status == FREYJA_OK) status = fj_intake_finish(&intake, error);
  if (status == FREYJA_OK) fj_keydir_fit(&index->keydir);
  sources->hint_fault = intake.hint_fault;
  fj_intake_close(&intake);
  bool later = !index->has_unknown || rank > index->unknown_rank ||
               (rank == index->unknown_rank && end > index->unknown_end);
  if (unknown && later) {
    index->has_unknown = true;
    fj_index_bar(index, FJ_BAR_UNKNOWN);
    index->unknown_rank = rank;
    index->unknown_end = end;
  }
  return status;
}

freyja_status fj_recover_again(fj_index *index, freyja_error *error) {
  const fj_os *os = index->dir->os;
  uint64_t count = index->keydir.count, soonest = index->soonest;
  index->readings++;
  /* Where it fails the keys are not there, but how many there are is known as before. */
  fj_figures *saved = os->allocate(os->context, index->slot_count * sizeof *saved);
  if (saved == NULL) return fj_fail_memory(error, "read the log again");
  save_figures(index, saved);
  fj_sources sources = {.hints = true};
  freyja_status status = read_all_again(index, &sources, error);
  if (status != FREYJA_OK && sources.hint_fault.status != FREYJA_OK) {
    sources.hints = false;
    status = read_all_again(index, &sources, error);
  }
  if (status != FREYJA_OK) {
    restore_figures(index, saved);
    index->soonest = soonest;
    fj_keydir_destroy(&index->keydir);
    index->keydir.count = count;
  }
  os->release(os->context, saved);
  return status;
}
