/* checkpointer.c - see checkpointer.h. */
#include "checkpointer.h"

#include <errno.h>
#include <string.h>

#define ROOM (2 * FJ_CHECKPOINT_BLOCK) /* bytes that are gathered for a write */

typedef struct fj_checkpointer {
  fj_index *index;
  const fj_dir *dir;
  int file; /* -1: none */
  uint8_t *room;
  size_t filled;
  uint64_t offset; /* in the file, of what the room holds */
  fj_checkpoint_head head;
  fj_checkpoint_segment *segments;
  fj_checkpoint_shard shards[FJ_SHARDS];
} fj_checkpointer;

static freyja_status fail_os(const fj_checkpointer *w, int code, const char *doing,
                             freyja_error *error) {
  return fj_fail_os(error, code, w->dir, fj_checkpoint_temporary, doing);
}

/* ---- what it says ----------------------------------------------------------- */

static void describe_segment(const fj_segment *segment, fj_checkpoint_segment *out) {
  *out = (fj_checkpoint_segment){.id = segment->id,
                                 .file = fj_segment_note(segment),
                                 .slot = segment->slot,
                                 .keys = segment->keys,
                                 .tombstones = segment->tombstones,
                                 .live_keys = segment->live_keys,
                                 .live_bytes = segment->live_bytes,
                                 .oldest = segment->oldest,
                                 .newest = segment->newest,
                                 .expires = segment->expires};
}

static freyja_status describe(fj_checkpointer *w, uint64_t generation, freyja_error *error) {
  const fj_index *index = w->index;
  fj_segment *last = index->ranks[index->count - 1];
  w->head.hash_bits = 64;
  for (uint64_t mask = index->keydir.hash_mask; (mask & 1) == 0; mask >>= 1)
    w->head.hash_bits--;
  w->head.generation = generation;
  w->head.segments = index->count;
  w->head.capacity = index->keydir.region.capacity;
  w->head.keys = index->keydir.count;
  w->head.newest = index->last_timestamp;
  w->head.soonest = index->soonest == UINT64_MAX ? 0 : index->soonest;
  w->head.swept = index->swept;
  for (uint32_t i = 0; i < index->count; i++)
    describe_segment(index->ranks[i], &w->segments[i]);
  return fj_checkpoint_last_of(last, last->tail, &w->head.last, error);
}

/* ---- the slots -------------------------------------------------------------- */

static freyja_status flush(fj_checkpointer *w, freyja_error *error) {
  const fj_os *os = w->dir->os;
  freyja_slice part = {w->room, w->filled};
  if (w->filled == 0) return FREYJA_OK;
  int code = fj_write(os, w->file, &part, 1, w->offset);
  if (code != 0) return fail_os(w, code, "write", error);
  os->write_back(os->context, w->file, w->offset, w->filled); /* the sync finds little left */
  w->offset += w->filled;
  w->filled = 0;
  return FREYJA_OK;
}

static void encode_slots(uint8_t *out, const fj_slot *slots, size_t count) {
  for (size_t i = 0; i < count; i++, out += sizeof(fj_slot)) {
    fj_put64(out, slots[i].hash);
    fj_put64(out + 8, slots[i].word);
  }
}

static freyja_status write_shard(fj_checkpointer *w, uint32_t number, freyja_error *error) {
  const size_t most = FJ_CHECKPOINT_BLOCK / sizeof(fj_slot);
  const fj_shard *shard = &w->index->keydir.shards[number];
  uint64_t check = fj_checkpoint_seed(&w->index->pool.identity, number);
  freyja_status status = FREYJA_OK;
  for (size_t done = 0; done < shard->limit && status == FREYJA_OK;) {
    size_t count = shard->limit - done < most ? shard->limit - done : most;
    size_t size = count * sizeof(fj_slot);
    if (ROOM - w->filled < size) status = flush(w, error);
    if (status != FREYJA_OK) break;
    encode_slots(w->room + w->filled, shard->slots + done, count);
    check = fj_checkpoint_check(check, w->room + w->filled, size);
    w->filled += size;
    done += count;
  }
  w->shards[number] = (fj_checkpoint_shard){shard->count, check};
  return status;
}

/* The slots first: the tables tell their checks. */
static freyja_status write_all(fj_checkpointer *w, freyja_error *error) {
  const fj_os *os = w->dir->os;
  uint64_t start = fj_checkpoint_start(w->head.segments);
  freyja_status status = FREYJA_OK;
  w->offset = start;
  for (uint32_t i = 0; i < FJ_SHARDS && status == FREYJA_OK; i++)
    status = write_shard(w, i, error);
  if (status == FREYJA_OK) status = flush(w, error);
  if (status != FREYJA_OK) return status;
  uint8_t *tables = os->allocate(os->context, (size_t)start);
  if (tables == NULL) return fj_fail_memory(error, "write a checkpoint");
  fj_checkpoint_encode(tables, &w->index->pool.identity, &w->head, w->segments, w->shards);
  freyja_slice part = {tables, (size_t)start};
  int code = fj_write(os, w->file, &part, 1, 0);
  os->release(os->context, tables);
  if (code != 0) return fail_os(w, code, "write", error);
  code = fj_sync(os, w->file);
  return code == 0 ? FREYJA_OK : fail_os(w, code, "sync", error);
}

/* ---- the file --------------------------------------------------------------- */

static freyja_status create_file(fj_checkpointer *w, freyja_error *error) {
  const fj_os *os = w->dir->os;
  fj_pool_close_files(&w->index->pool);
  /* What a failed try left may be anything, a link even: begin anew. */
  int code = os->unlink(os->context, w->dir->fd, fj_checkpoint_temporary);
  if (code != 0 && code != -ENOENT) return fail_os(w, code, "remove", error);
  code = os->open(os->context, w->dir->fd, fj_checkpoint_temporary,
                  FJ_OPEN_WRITE | FJ_OPEN_CREATE | FJ_OPEN_EXCLUSIVE, &w->file);
  if (code == 0) return FREYJA_OK;
  w->file = -1;
  return fail_os(w, code, "create", error);
}

static freyja_status write_file(fj_checkpointer *w, freyja_error *error) {
  const fj_os *os = w->dir->os;
  freyja_status status = create_file(w, error);
  if (status != FREYJA_OK) return status;
  status = write_all(w, error);
  (void)os->close(os->context, w->file);
  if (status == FREYJA_OK) {
    int code =
        os->rename(os->context, w->dir->fd, fj_checkpoint_temporary, fj_checkpoint_name);
    if (code == 0) return FREYJA_OK;
    status = fj_fail_os(error, code, w->dir, fj_checkpoint_name, "replace");
  }
  (void)os->unlink(os->context, w->dir->fd, fj_checkpoint_temporary);
  return status;
}

/* Whether an open will believe the numbers of the segments (adopt.c). */
static freyja_status check_numbers(const fj_index *index, freyja_error *error) {
  uint64_t slots = (uint64_t)index->keydir.region.limit * FJ_SHARDS;
  if (index->slot_count <= FJ_CHECKPOINT_NUMBERS + slots) return FREYJA_OK;
  return fj_fail_at(error, FREYJA_LIMIT, index->dir, fj_checkpoint_name,
                    "too many segments have been merged since the store was opened");
}

freyja_status fj_checkpoint_write(fj_index *index, uint64_t generation, freyja_error *error) {
  const fj_os *os = index->dir->os;
  freyja_status status = fj_keydir_settle(&index->keydir, error);
  if (status == FREYJA_OK) status = check_numbers(index, error);
  if (status != FREYJA_OK || index->count == 0 || index->keydir.region.slots == NULL)
    return status;
  fj_checkpointer *w = os->allocate(os->context, sizeof *w);
  if (w == NULL) return fj_fail_memory(error, "write a checkpoint");
  memset(w, 0, sizeof *w);
  w->index = index;
  w->dir = index->dir;
  w->room = os->allocate(os->context, ROOM);
  w->segments = os->allocate(os->context, index->count * sizeof *w->segments);
  if (w->room == NULL || w->segments == NULL)
    status = fj_fail_memory(error, "write a checkpoint");
  if (status == FREYJA_OK) status = describe(w, generation, error);
  if (status == FREYJA_OK) status = write_file(w, error);
  if (status == FREYJA_OK) {
    const fj_segment *last = index->ranks[index->count - 1];
    index->covered_id = last->id;
    index->covered_end = last->tail;
    index->strangers = false;
  }
  os->release(os->context, w->room);
  os->release(os->context, w->segments);
  os->release(os->context, w);
  return status;
}
