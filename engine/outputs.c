/* outputs.c - see outputs.h. */
#include "outputs.h"

#include <assert.h>
#include <string.h>

void fj_outputs_open(fj_outputs *outputs, fj_store *db, const char *doing) {
  memset(outputs, 0, sizeof *outputs);
  outputs->db = db;
  outputs->os = db->dir.os;
  outputs->doing = doing;
  /* A timestamp of its own: it tells the outputs of one merge or load from those of others. */
  if (db->index.last_timestamp < UINT64_MAX) db->index.last_timestamp++;
  outputs->began = db->index.last_timestamp;
}

/* ---- blocks ----------------------------------------------------------------------- */

/* Waits for the block that is being written. */
static freyja_status wait_for_block(fj_outputs *outputs, freyja_error *error) {
  return outputs->behind == NULL ? FREYJA_OK : fj_behind_wait(outputs->behind, error);
}

/* Writes what is gathered. */
static freyja_status write_block(fj_outputs *outputs, freyja_error *error) {
  freyja_status status = wait_for_block(outputs, error);
  if (status != FREYJA_OK || outputs->block_size == 0) return status;
  status = fj_segment_append_block(fj_outputs_last(outputs), outputs->block,
                                   outputs->block_size, error);
  outputs->block_size = 0;
  return status;
}

/* There is a full block, and so maybe more to come: whether it can be written behind. */
static bool has_behind(fj_outputs *outputs) {
  const fj_os *os = outputs->os;
  if (outputs->behind != NULL) return true;
  if (outputs->no_behind || !os->shares) return false;
  outputs->written_block = os->allocate(os->context, FJ_OUTPUTS_BLOCK);
  if (outputs->written_block != NULL) outputs->behind = fj_behind_begin(os);
  if (outputs->behind != NULL) return true;
  outputs->no_behind = true;
  os->release(os->context, outputs->written_block);
  outputs->written_block = NULL;
  return false;
}

/* The block is full. */
static freyja_status pass_block(fj_outputs *outputs, freyja_error *error) {
  if (!has_behind(outputs)) return write_block(outputs, error);
  freyja_status status = wait_for_block(outputs, error);
  if (status != FREYJA_OK) return status;
  uint8_t *full = outputs->block;
  fj_behind_hand(outputs->behind, fj_outputs_last(outputs), full, outputs->block_size);
  outputs->block = outputs->written_block;
  outputs->written_block = full;
  outputs->block_size = 0;
  return FREYJA_OK;
}

/* No more records come: ends the thread, and gives up the blocks. */
static void end_blocks(fj_outputs *outputs) {
  const fj_os *os = outputs->os;
  fj_behind_end(outputs->behind, fj_store_is_owner(outputs->db)); /* J1 */
  os->release(os->context, outputs->block);
  os->release(os->context, outputs->written_block);
  outputs->behind = NULL;
  outputs->block = outputs->written_block = NULL;
}

/* ---- files ------------------------------------------------------------------------ */

/* Makes the last one durable and read-only. */
static freyja_status seal(fj_outputs *outputs, freyja_error *error) {
  fj_segment *output = fj_outputs_last(outputs);
  bool poison = false; /* it is only this file of which nobody knows what it holds */
  if (output == NULL || output->sealed) return FREYJA_OK;
  freyja_status status = write_block(outputs, error);
  if (status != FREYJA_OK) return status;
  status = fj_segment_trim(output, &poison, error);
  if (status == FREYJA_OK) fj_segment_seal(output);
  return status;
}

freyja_status fj_outputs_finish(fj_outputs *outputs, freyja_error *error) {
  freyja_status status = seal(outputs, error);
  if (status == FREYJA_OK) end_blocks(outputs);
  return status;
}

static freyja_status grow(fj_outputs *outputs, freyja_error *error) {
  const fj_os *os = outputs->os;
  if (outputs->count < outputs->room) return FREYJA_OK;
  uint32_t room = outputs->room == 0 ? 4 : outputs->room * 2;
  fj_segment **list = os->allocate(os->context, room * sizeof *list);
  if (list == NULL) return fj_fail_memory(error, outputs->doing);
  if (outputs->count > 0) memcpy(list, outputs->list, outputs->count * sizeof *list);
  os->release(os->context, outputs->list);
  outputs->list = list;
  outputs->room = room;
  return FREYJA_OK;
}

/* Makes sure of an output with room for a record of that size, which may come from a time with
 * larger segments. */
static freyja_status find_room(fj_outputs *outputs, uint64_t size, freyja_error *error) {
  fj_store *db = outputs->db;
  fj_segment *output = fj_outputs_last(outputs);
  uint64_t limit = db->options.segment_size;
  if (output != NULL && size <= output->limit - outputs->end) return FREYJA_OK;
  if (size > limit - FJ_SEGMENT_HEADER) limit = FJ_SEGMENT_HEADER + size;
  freyja_status status = seal(outputs, error);
  if (status == FREYJA_OK) status = grow(outputs, error);
  if (status != FREYJA_OK) return status;
  status = fj_segment_create(&db->index.pool, FJ_SEGMENT_MERGED, outputs->began,
                             &db->manifest.next_id, limit, &output, error);
  if (status != FREYJA_OK) {
    if (db->index.pool.unsure) db->poisoned = true;
    return status;
  }
  outputs->list[outputs->count++] = output;
  outputs->made++;
  outputs->end = output->tail;
  return FREYJA_OK;
}

/* ---- records ---------------------------------------------------------------------- */

/* A record that is as long as a block, or there is no memory for one. */
static freyja_status write_alone(fj_outputs *outputs, fj_draft *draft, uint64_t size,
                                 freyja_error *error) {
  fj_segment *output = fj_outputs_last(outputs);
  bool poison = false;
  freyja_status status = write_block(outputs, error);
  if (status == FREYJA_OK) status = fj_segment_stage(output, draft, size, error);
  if (status == FREYJA_OK) status = fj_segment_append(output, draft, &poison, error);
  if (status == FREYJA_OK) fj_segment_publish(output, draft, size);
  if (status == FREYJA_OK) fj_segment_relieve(output);
  return status;
}

static freyja_status gather(fj_outputs *outputs, const fj_draft *draft, size_t size,
                            freyja_error *error) {
  freyja_status status = FREYJA_OK;
  if (outputs->block_size + size > FJ_OUTPUTS_BLOCK) status = pass_block(outputs, error);
  if (status != FREYJA_OK) return status;
  uint8_t *to = outputs->block + outputs->block_size;
  memcpy(to, draft->header, FJ_RECORD_HEADER);
  fj_record_encode_body(to, draft);
  outputs->block_size += size;
  fj_segment_count(fj_outputs_last(outputs), draft->kind, draft->timestamp, draft->expiry);
  return FREYJA_OK;
}

freyja_status fj_outputs_write(fj_outputs *outputs, fj_draft *draft, uint64_t *offset,
                               freyja_error *error) {
  const fj_os *os = outputs->os;
  uint64_t size = fj_draft_size(draft);
  freyja_status status = find_room(outputs, size, error);
  if (status != FREYJA_OK) return status;
  const fj_segment *output = fj_outputs_last(outputs);
  uint64_t place = outputs->end;
  fj_record_seal(draft, fj_record_seed(output->seed, place));
  if (offset != NULL) *offset = place;
  if (outputs->block == NULL) outputs->block = os->allocate(os->context, FJ_OUTPUTS_BLOCK);
  bool alone = size >= FJ_OUTPUTS_BLOCK || outputs->block == NULL;
  status = alone ? write_alone(outputs, draft, size, error)
                 : gather(outputs, draft, (size_t)size, error);
  if (status != FREYJA_OK) return status;
  outputs->end += size;
  outputs->written += size;
  return FREYJA_OK;
}

/* ---- afterwards ------------------------------------------------------------------- */

freyja_status fj_outputs_end_patches(fj_outputs *outputs, freyja_error *error) {
  const fj_os *os = outputs->os;
  if (outputs->patched == NULL) return FREYJA_OK;
  char name[FJ_NAME_MAX];
  fj_segment_name(name, outputs->patched->id);
  int code = fj_sync(os, outputs->patched_file);
  (void)os->close(os->context, outputs->patched_file);
  outputs->patched = NULL;
  return code == 0 ? FREYJA_OK : fj_fail_os(error, code, &outputs->db->dir, name, "sync");
}

freyja_status fj_outputs_patch(fj_outputs *outputs, const fj_segment *output,
                               const freyja_slice *part, uint64_t offset,
                               freyja_error *error) {
  const fj_os *os = outputs->os;
  const fj_dir *dir = &outputs->db->dir;
  char name[FJ_NAME_MAX];
  fj_segment_name(name, output->id);
  if (outputs->patched != output) {
    freyja_status status = fj_outputs_end_patches(outputs, error);
    if (status != FREYJA_OK) return status;
    int code = os->open(os->context, dir->fd, name, FJ_OPEN_WRITE, &outputs->patched_file);
    if (code != 0) return fj_fail_os(error, code, dir, name, "open");
    outputs->patched = output;
  }
  int code = fj_write(os, outputs->patched_file, part, 1, offset);
  return code == 0 ? FREYJA_OK : fj_fail_os(error, code, dir, name, "write to the data file");
}

void fj_outputs_remove(fj_outputs *outputs) {
  const fj_store *db = outputs->db;
  for (uint32_t i = 0; i < outputs->count; i++) {
    char name[FJ_NAME_MAX];
    fj_segment_name(name, outputs->list[i]->id);
    if (!db->poisoned && fj_store_is_process(db))
      (void)outputs->os->unlink(outputs->os->context, db->dir.fd, name);
  }
}

void fj_outputs_release(fj_outputs *outputs) {
  end_blocks(outputs);
  for (uint32_t i = 0; i < outputs->count; i++) fj_segment_release(outputs->list[i]);
  outputs->count = 0;
}

void fj_outputs_forget(fj_outputs *outputs) {
  assert(outputs->behind == NULL && outputs->block == NULL); /* they are finished */
  outputs->list = NULL;
  outputs->count = outputs->room = 0;
}

void fj_outputs_close(fj_outputs *outputs) {
  const fj_os *os = outputs->os;
  os->release(os->context, outputs->list);
  outputs->list = NULL;
}
