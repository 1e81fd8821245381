/* stores.c - see stores.h. */
#include "stores.h"

#include <stdlib.h>
#include <string.h>

#include "checkpoint.h"

#define MANY 14u    /* segments: more than the engine keeps open */
#define SESSIONS 8u /* of TRIAL_WRITES large values: more than 1 MiB of log */

void sim_put_some(trial *t, unsigned from, unsigned count) {
  for (unsigned key = from; key < from + count; key++) trial_put(t, key);
}

void sim_make_store(trial *t) {
  trial_open(t);
  sim_put_some(t, 0, 8);
  trial_put_large(t, 2);
  trial_rotate(t);
  sim_put_some(t, 6, 4);
  trial_delete(t, 3);
  trial_put(t, 0);
  trial_rotate(t);
  sim_put_some(t, 10, 3);
  trial_put_large(t, 11);
  trial_delete(t, 6);
  trial_close(t);
}

void sim_make_many_segments(trial *t) {
  trial_open(t);
  for (unsigned key = 0; key < MANY; key++) {
    trial_put(t, key);
    trial_rotate(t);
  }
  trial_close(t);
}

/* Changes one byte of a file of the store. */
static void spoil(trial *t, const char *path, uint64_t offset) {
  uint64_t size = 0;
  const uint8_t *bytes = sim_disk_bytes(t->disk, path, &size);
  if (bytes == NULL || offset >= size) abort();
  uint8_t *copy = malloc(size);
  if (copy == NULL) abort();
  memcpy(copy, bytes, size);
  copy[offset] ^= 0x55;
  sim_disk_put(t->disk, path, copy, size);
  free(copy);
}

/* What recovery cuts must not come back when the next write, of the same size, takes the place
 * of the first. */
void sim_make_torn(trial *t) {
  trial_state sure;
  trial_open(t);
  sim_put_some(t, 0, 6);
  trial_close(t);
  trial_open(t);
  sure = *trial_now(t);
  uint64_t end = 0;
  freyja_segment segment;
  (void)freyja_get_segments(t->db, &segment, 1);
  end = segment.bytes;
  trial_put_probe(t, 1);
  trial_put_probe(t, 2);
  trial_put_probe(t, 7);
  sim_disk_kill(t->disk);
  t->db = NULL;
  spoil(t, "db/1.data", end + 30);
  t->states[0] = sure;
  t->acknowledged = t->promised = 0;
}

void sim_make_leftovers(trial *t) {
  static const uint8_t junk[300] = "junk";
  uint64_t size = 0;
  sim_make_store(t);
  const uint8_t *ours = sim_disk_bytes(t->disk, "db/1.data", &size);
  sim_disk_put(t->disk, "db/4.data", junk, 64);
  sim_disk_put(t->disk, "db/5.data", NULL, 0);
  sim_disk_put(t->disk, "db/6.data", ours, 128);
  sim_disk_put(t->disk, "db/7.data", junk, sizeof junk);
  sim_disk_put(t->disk, "db/MANIFEST.tmp", junk, 10);
  sim_disk_put(t->disk, "db/other.tmp", junk, 10);
  sim_disk_put(t->disk, "db/notes", junk, 10);
  sim_disk_put_type(t->disk, "db/8.data", SIM_DIRECTORY);
}

/* Remembers which keys damage makes unreadable. */
static void learn_damage(trial *t) {
  t->broken = true;
  trial_open(t);
  trial_state state = *trial_now(t);
  for (unsigned key = 0; key < TRIAL_KEYS && t->db != NULL; key++) {
    char name[TRIAL_KEY_SIZE], value[TRIAL_VALUE_MAX];
    size_t size = 0;
    trial_name(key, name);
    if (freyja_get(t->db, name, sizeof name, value, sizeof value, &size, NULL) ==
        FREYJA_CORRUPT)
      state.of[key] = TRIAL_CORRUPT;
  }
  trial_close(t);
  t->states[0] = state;
  t->acknowledged = t->promised = 0;
}

void sim_make_damaged_value(trial *t) {
  sim_make_store(t);
  spoil(t, "db/1.data", 128 + 24 + 5 + 3);
  learn_damage(t);
}

void sim_make_damaged_header(trial *t) {
  sim_make_store(t);
  spoil(t, "db/2.data", 128 + 1);
  learn_damage(t);
}

void sim_make_missing(trial *t) {
  sim_make_store(t);
  sim_disk_remove(t->disk, "db/2.data");
  t->disk->unchecked = true; /* which demands that it is there */
  learn_damage(t);
}

void sim_make_folder(trial *t) { sim_disk_put_type(t->disk, "db", SIM_DIRECTORY); }

void sim_make_readonly(trial *t) {
  sim_make_store(t);
  t->options.readonly = true;
}

void sim_make_killed(trial *t) {
  trial_open(t);
  sim_put_some(t, 0, 5);
  trial_rotate(t);
  sim_put_some(t, 4, 5);
  trial_delete(t, 1);
  sim_disk_kill(t->disk);
  t->db = NULL;
  t->promised = t->acknowledged;
}

void sim_make_sparse(trial *t) {
  t->options.segment_size = 5 * FREYJA_SEGMENT_SIZE_MIN;
  sim_make_killed(t);
  sim_disk_punch(t->disk, "db/2.data");
}

void sim_make_hinted(trial *t) {
  sim_make_store(t);
  trial_open(t);
  trial_hint(t);
  trial_close(t);
}

void sim_make_wrong_hint(trial *t) {
  sim_make_hinted(t);
  spoil(t, "db/2.hint", 100);
}

void sim_make_full_keydir(trial *t) {
  trial_open(t);
  sim_put_some(t, 0, SIM_FULL);
  trial_close(t);
}

/* ---- with a KEYDIR ---------------------------------------------------- */

void sim_make_checkpointed(trial *t) {
  sim_make_store(t);
  trial_open(t);
  trial_checkpoint(t);
  trial_close(t);
}

void sim_make_tail(trial *t) {
  sim_make_checkpointed(t);
  trial_open(t);
  trial_put(t, 1);
  trial_delete(t, 4);
  trial_rotate(t);
  trial_put(t, 20);
  trial_put_large(t, 0);
  sim_disk_kill(t->disk);
  t->db = NULL;
}

/* Changes one byte of each shard of the KEYDIR: whichever is needed first is damaged. */
static void spoil_shards(trial *t) {
  static const char path[] = "db/KEYDIR";
  uint64_t size = 0;
  const uint8_t *bytes = sim_disk_bytes(t->disk, path, &size);
  uint64_t start = fj_checkpoint_start(fj_get32(bytes + 48));
  for (uint64_t i = 0; i < FJ_SHARDS; i++)
    spoil(t, path, start + (size - start) / FJ_SHARDS * i + 5);
}

void sim_make_spoiled_checkpoint(trial *t) {
  sim_make_checkpointed(t);
  spoil_shards(t);
}

void sim_make_spoiled_tail(trial *t) {
  sim_make_tail(t);
  spoil_shards(t);
}

void sim_make_much(trial *t) {
  t->options.segment_size = 256u << 10;
  for (unsigned session = 0; session < SESSIONS; session++) {
    trial_open(t);
    for (unsigned i = 0; i < TRIAL_WRITES; i++) trial_put_large(t, i % 8);
    sim_disk_kill(t->disk);
    t->db = NULL;
  }
}
