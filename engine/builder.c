/* builder.c - see builder.h. */
#include "builder.h"

#include <string.h>

freyja_status fj_builder_open(fj_builder *builder, const fj_os *os, const char *path,
                              int source, freyja_error *error) {
  memset(builder, 0, sizeof *builder);
  fj_keydir_create(&builder->keys, os, 64);
  freyja_status status = fj_folder_open(&builder->folder, os, path, source, error);
  if (status != FREYJA_OK) return status;
  builder->opened = true;
  fj_manifest *manifest = &builder->manifest;
  int code = os->random(os->context, manifest->identity.id, FJ_STORE_ID);
  if (code == 0)
    code = os->random(os->context, &manifest->identity.hash_seed,
                      sizeof manifest->identity.hash_seed);
  if (code != 0)
    return fj_fail_os(error, code, &builder->folder.dir, NULL,
                      "get random bytes for the store");
  manifest->hash_bits = 64;
  manifest->next_id = 1;
  manifest->created = os->now(os->context);
  builder->pool.dir = &builder->folder.dir;
  builder->pool.identity = manifest->identity;
  builder->pool.io = FREYJA_IO_SYSCALL;
  return FREYJA_OK;
}

void fj_builder_set_hash_bits(fj_builder *builder, uint32_t hash_bits) {
  fj_keydir_create(&builder->keys, builder->keys.os, hash_bits);
  builder->manifest.hash_bits = hash_bits;
}

/* Makes the active segment durable and gives it up. */
static freyja_status end_segment(fj_builder *builder, freyja_error *error) {
  fj_manifest *manifest = &builder->manifest;
  if (builder->active == NULL) return FREYJA_OK;
  freyja_status status = fj_segment_finish(builder->active, error);
  if (status == FREYJA_OK) manifest->entries[manifest->count - 1].size = builder->active->tail;
  fj_segment_release(builder->active);
  builder->active = NULL;
  return status;
}

/* Begins a segment with room for a record of that size, whatever segments it comes from. */
static freyja_status begin_segment(fj_builder *builder, uint64_t size, freyja_error *error) {
  fj_manifest *manifest = &builder->manifest;
  uint64_t limit = FREYJA_SEGMENT_SIZE_DEFAULT;
  if (size > limit - FJ_SEGMENT_HEADER) limit = FJ_SEGMENT_HEADER + size;
  freyja_status status = end_segment(builder, error);
  if (status == FREYJA_OK) status = fj_manifest_grow(&builder->folder.dir, manifest, 1, error);
  if (status != FREYJA_OK) return status;
  status = fj_segment_create(&builder->pool, FJ_SEGMENT_LOG, 0, &manifest->next_id, limit,
                             &builder->active, error);
  if (status != FREYJA_OK) return status;
  manifest->entries[manifest->count].id = builder->active->id;
  manifest->entries[manifest->count].size = 0;
  manifest->count++;
  return FREYJA_OK;
}

/* Makes room for the hash in the keydir, and finds out whether another key has it. */
static freyja_status find_place(fj_builder *builder, uint64_t hash, fj_place *place,
                                bool *collides, freyja_error *error) {
  bool more = fj_keydir_find(&builder->keys, hash, place);
  *collides = more;
  while (more) more = fj_keydir_next(place);
  return fj_keydir_reserve(&builder->keys, hash, place, error);
}

freyja_status fj_builder_put(fj_builder *builder, freyja_slice key, freyja_slice value,
                             uint64_t timestamp, uint64_t expiry, freyja_error *error) {
  freyja_status status = FREYJA_OK;
  bool collides = false, poison = false;
  fj_place place;
  fj_draft draft = {.key = key,
                    .value = value,
                    .timestamp = timestamp,
                    .expiry = expiry,
                    .kind = FJ_KIND_PUT,
                    .flags = expiry == 0 ? 0 : FJ_FLAG_EXPIRES};
  uint64_t size = fj_draft_size(&draft);
  draft.key_hash = fj_hash(key.data, key.size, builder->manifest.identity.hash_seed);
  uint64_t hash = draft.key_hash & builder->keys.hash_mask;
  if (builder->active == NULL || !fj_segment_fits(builder->active, size))
    status = begin_segment(builder, size, error);
  if (status == FREYJA_OK) status = find_place(builder, hash, &place, &collides, error);
  if (status != FREYJA_OK) return status;
  fj_segment *active = builder->active;
  if (collides) draft.flags |= FJ_FLAG_COLLIDES;
  fj_record_seal(&draft, fj_record_seed(active->seed, active->tail));
  status = fj_segment_stage(active, &draft, size, error);
  if (status == FREYJA_OK) status = fj_segment_append(active, &draft, &poison, error);
  if (status != FREYJA_OK) return status;
  fj_keydir_insert(&builder->keys, place, hash, fj_word_make(0, active->tail, size, collides));
  fj_segment_publish(active, &draft, size);
  fj_segment_relieve(active);
  return FREYJA_OK;
}

freyja_status fj_builder_finish(fj_builder *builder, freyja_error *error) {
  fj_manifest *manifest = &builder->manifest;
  freyja_status status = end_segment(builder, error);
  if (status != FREYJA_OK) return status;
  if (manifest->count > 0) manifest->entries[manifest->count - 1].size = 0; /* goes on there */
  status = fj_folder_finish(&builder->folder, manifest, error);
  builder->finished = status == FREYJA_OK;
  return status;
}

void fj_builder_destroy(fj_builder *builder) {
  fj_segment_release(builder->active);
  fj_keydir_destroy(&builder->keys);
  if (builder->opened && !builder->finished)
    fj_folder_abandon(&builder->folder, &builder->manifest);
  if (builder->manifest.entries != NULL)
    fj_manifest_clear(&builder->folder.dir, &builder->manifest);
  fj_folder_close(&builder->folder);
}
