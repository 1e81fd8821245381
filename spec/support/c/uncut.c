/* uncut.c - recovery cuts a torn tail and is killed before that is durable. The next open
 * takes over a KEYDIR that ends where the log does then, and has no reason to sync; what it
 * writes first, by a put or by a transaction, must not bring back what was cut, on any disk
 * that a loss of power leaves. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "freyja.h"
#include "states.h"

#define VALUE 64u /* bytes: records of one size, so that an old one fits behind a new one */

static sim_disk *cut;         /* as the kill leaves it */
static uint64_t size_then;    /* of the data file, before */
static unsigned disks, wrong; /* that were looked at */

static void must(freyja_status status) {
  if (status != FREYJA_OK) exit(1);
}

static freyja *open_store(const sim_disk *disk) {
  freyja_options options;
  freyja *db = NULL;
  freyja_options_init(&options);
  options.os = &disk->os;
  options.sync_mode = FREYJA_SYNC_NONE;
  options.segment_size = FREYJA_SEGMENT_SIZE_MIN;
  must(freyja_open("db", &options, &db, NULL));
  return db;
}

static void put(freyja *db, const char *key, int byte) {
  char value[VALUE];
  memset(value, byte, sizeof value);
  must(freyja_put(db, key, 1, value, sizeof value, NULL));
}

static void put_at_once(freyja *db, const char *key, int byte) {
  char value[VALUE];
  freyja_transaction *tx = NULL;
  memset(value, byte, sizeof value);
  must(freyja_begin(db, NULL, &tx, NULL));
  must(freyja_transaction_put(tx, key, 1, value, sizeof value, 0, NULL));
  must(freyja_transaction_commit(tx, NULL));
  freyja_transaction_close(tx);
}

/* A store with a KEYDIR, and two records behind it, when its process is killed; of the first
 * one a byte has not come to the disk. */
static sim_disk *make_torn(void) {
  sim_disk *disk = sim_disk_create(1);
  freyja *db = open_store(disk);
  put(db, "a", '1');
  must(freyja_checkpoint(db, NULL));
  must(freyja_close(db, NULL));
  db = open_store(disk);
  put(db, "x", 'X');
  put(db, "y", 'Y');
  sim_disk_look(disk);
  sim_disk_kill(disk);
  sim_disk *torn = sim_disk_copy(disk);
  sim_disk_destroy(disk);
  const uint8_t *bytes = sim_disk_bytes(torn, "db/1.data", &size_then);
  uint8_t *copy = malloc(size_then);
  if (copy == NULL) exit(1);
  memcpy(copy, bytes, size_then);
  uint8_t *value = memmem(copy, size_then, "XXXX", 4);
  if (value == NULL) exit(1);
  value[0] = '?';
  sim_disk_put(torn, "db/1.data", copy, size_then);
  free(copy);
  return torn;
}

static void keep_cut(void *argument, sim_disk *disk, const char *call) {
  uint64_t size = 0;
  (void)argument;
  (void)sim_disk_bytes(disk, "db/1.data", &size);
  if (cut == NULL && strcmp(call, "truncate") == 0 && size < size_then)
    cut = sim_disk_clone(disk);
}

static bool visit(void *argument, sim_disk *image, const sim_state *state) {
  (void)argument;
  (void)state;
  freyja *db = open_store(image);
  disks++;
  wrong += freyja_has(db, "y", 1, NULL) != FREYJA_NOTFOUND;
  must(freyja_close(db, NULL));
  return true;
}

static void test(void (*write)(freyja *db, const char *key, int byte), const char *name) {
  cut = NULL;
  disks = wrong = 0;
  sim_disk *torn = make_torn();
  torn->hook = keep_cut;
  freyja *db = open_store(torn);
  torn->hook = NULL;
  must(freyja_close(db, NULL));
  sim_disk_destroy(torn);
  if (cut == NULL) exit(1);
  freyja_stats stats;
  db = open_store(cut);
  freyja_get_stats(db, &stats);
  write(db, "x", 'N');
  sim_disk_look(cut);
  (void)sim_states_each(cut, visit, NULL);
  must(freyja_close(db, NULL));
  sim_disk_destroy(cut);
  bool right = stats.recovery.checkpoint_used && disks > 0 && wrong == 0;
  printf("%s uncut: %s: %u disks\n", right ? "ok" : "not ok", name, disks);
  if (!right) exit(1);
}

int main(void) {
  test(put, "what was cut does not come back behind a put");
  test(put_at_once, "nor behind a transaction");
  return 0;
}
