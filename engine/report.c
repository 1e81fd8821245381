/* report.c - statistics. */
#include <string.h>

#include "rewrite.h"

/* A rounded live size may pass the bytes that there are by a little. */
static uint64_t less(uint64_t a, uint64_t b) { return a > b ? a - b : 0; }

static void fill_segment(fj_segment *segment, freyja_segment *out) {
  uint64_t records = segment->missing ? 0 : segment->tail - FJ_SEGMENT_HEADER;
  memset(out, 0, sizeof *out);
  out->id = segment->id;
  out->rank = segment->rank;
  out->bytes = segment->tail;
  out->live_bytes = segment->live_bytes < records ? segment->live_bytes : records;
  out->dead_bytes = less(records, out->live_bytes);
  out->keys = segment->keys;
  out->live_keys = segment->live_keys;
  out->tombstones = segment->tombstones;
  out->oldest = segment->oldest;
  out->newest = segment->newest;
  out->expires = segment->expires;
  out->began = fj_segment_began(segment);
  out->sealed = segment->sealed;
  out->damaged = segment->damaged;
  out->merged = segment->kind == FJ_SEGMENT_MERGED;
  out->has_hint = fj_hint_is_there(segment);
}

size_t fj_store_get_segments(fj_store *db, freyja_segment *out, size_t capacity) {
  (void)fj_store_expire(db);
  return fj_store_peek_segments(db, out, capacity);
}

size_t fj_store_peek_segments(fj_store *db, freyja_segment *out, size_t capacity) {
  for (size_t i = 0; i < db->index.count && i < capacity; i++)
    fill_segment(db->index.ranks[i], &out[i]);
  return db->index.count;
}

static void add_segments(const fj_store *db, freyja_stats *out) {
  for (uint32_t i = 0; i < db->index.count; i++) {
    freyja_segment segment;
    fill_segment(db->index.ranks[i], &segment);
    out->bytes += segment.bytes;
    out->live_bytes += segment.live_bytes;
    out->dead_bytes += segment.dead_bytes;
  }
  for (uint32_t i = 0; i < db->index.slot_count && db->index.retired > 0; i++) {
    const fj_segment *segment = db->index.slots[i];
    if (segment == NULL || !segment->retired) continue;
    out->live_bytes += segment->live_bytes;
    out->pending_bytes += segment->tail;
  }
}

void fj_store_get_stats(fj_store *db, freyja_stats *out) {
  static const char digits[] = "0123456789abcdef";
  memset(out, 0, sizeof *out);
  uint64_t expired = fj_store_expire(db);
  out->keys = db->index.keydir.count - expired;
  out->segments = db->index.count;
  add_segments(db, out);
  out->index_bytes = fj_keydir_bytes(&db->index.keydir);
  out->generation = db->manifest.generation;
  out->puts = db->puts;
  out->deletes = db->deletes;
  out->syncs = db->syncs;
  out->iterators = db->iterators.count;
  out->poisoned = db->poisoned;
  out->readonly = db->options.readonly;
  out->io = db->options.io;
  out->sync_mode = db->options.sync_mode;
  out->sync_ms = db->options.sync_ms;
  out->segment_size = db->options.segment_size;
  for (size_t i = 0; i < FJ_STORE_ID; i++) {
    out->store_id[2 * i] = digits[db->manifest.identity.id[i] >> 4];
    out->store_id[2 * i + 1] = digits[db->manifest.identity.id[i] & 15];
  }
  out->recovery = db->recovery;
  out->recovery.checkpoint = db->index.checkpoint_fault;
}

void fj_store_get_pulse(fj_store *db, freyja_pulse *out) {
  fj_index *index = &db->index;
  memset(out, 0, sizeof *out);
  for (uint32_t i = 0; i < index->slot_count; i++) {
    const fj_segment *segment = index->slots[i];
    if (segment == NULL) continue;
    out->bytes += segment->tail;
    out->live_bytes += segment->live_bytes;
  }
  if (db->rewrite != NULL) {
    freyja_progress progress;
    fj_rewrite_progress(db->rewrite, &progress);
    if (!fj_rewrite_is_committed(db->rewrite))
      out->bytes += progress.written + progress.outputs * FJ_SEGMENT_HEADER;
  }
  out->segments = index->count;
  out->keys = index->keydir.count;
  out->generation = db->manifest.generation;
  out->due = index->soonest != UINT64_MAX && fj_store_is_process(db) &&
             fj_clock_now(&index->clock) >= index->soonest;
}
