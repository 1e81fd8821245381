/* brought.c - a store whose files were brought to where they are by a program that syncs
 * nothing, as cp: nobody knows whether they would survive a loss of power. A backup of it
 * does, also where it has the same files by links. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "freyja.h"

static int failures;

static void ok(bool condition, const char *name) {
  printf("%s brought: %s\n", condition ? "ok" : "not ok", name);
  failures += !condition;
}

static freyja *open_store(const sim_disk *disk, const char *path) {
  freyja_options options;
  freyja *db = NULL;
  freyja_options_init(&options);
  options.io = FREYJA_IO_SYSCALL;
  options.os = &disk->os;
  if (freyja_open(path, &options, &db, NULL) != FREYJA_OK) exit(1);
  return db;
}

/* Two sealed segments and an active one. */
static void make_store(const sim_disk *disk) {
  freyja *db = open_store(disk, "db");
  for (char key = 'a'; key < 'd'; key++) {
    if (key > 'a' && freyja_rotate(db, NULL) != FREYJA_OK) exit(1);
    if (freyja_put(db, &key, 1, "value", 5, NULL) != FREYJA_OK) exit(1);
  }
  if (freyja_close(db, NULL) != FREYJA_OK) exit(1);
}

static void bring_file(sim_disk *disk, int folder, const char *name) {
  char path[32];
  int file = -1;
  uint64_t size = 0;
  (void)snprintf(path, sizeof path, "db/%s", name);
  const uint8_t *bytes = sim_disk_bytes(disk, path, &size);
  freyja_slice part = {bytes, (size_t)size};
  if (bytes == NULL ||
      disk->os.open(disk, folder, name, FJ_OPEN_WRITE | FJ_OPEN_CREATE, &file) != 0 ||
      fj_write(&disk->os, file, &part, 1, 0) != 0)
    exit(1);
  (void)disk->os.close(disk, file);
}

/* What cp -r does. */
static void bring_store(sim_disk *disk) {
  static const char *const names[] = {"MANIFEST", "1.data", "2.data", "3.data"};
  int folder = -1;
  disk->unchecked = true; /* it writes to files as no store would */
  if (disk->os.make_dir(disk, -1, "brought") != 0 ||
      disk->os.open_dir(disk, -1, "brought", &folder) != 0)
    exit(1);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) bring_file(disk, folder, names[i]);
  (void)disk->os.close(disk, folder);
}

/* Whether all bytes of the file would survive. */
static bool is_durable(const sim_disk *disk, const char *path) {
  const sim_node *node = &disk->nodes[sim_disk_find(disk, path)];
  return node->disk.size == node->now.size &&
         memcmp(node->disk.at, node->now.at, node->now.size) == 0;
}

static void test_backup(bool copy, const char *name) {
  freyja_backup_options options = {.copy = copy};
  sim_disk *disk = sim_disk_create(1);
  make_store(disk);
  bring_store(disk);
  freyja *db = open_store(disk, "brought");
  bool right = !is_durable(disk, "brought/1.data");
  if (freyja_backup(db, "copy", &options, NULL) != FREYJA_OK) exit(1);
  (void)freyja_close(db, NULL);
  right = right && is_durable(disk, "copy/1.data") && is_durable(disk, "copy/2.data") &&
          is_durable(disk, "copy/3.data") && is_durable(disk, "copy/MANIFEST");
  ok(right && sim_disk_held(disk) == 0, name);
  sim_disk_destroy(disk);
}

int main(void) {
  test_backup(false, "a backup by links is durable");
  test_backup(true, "and so is one by copies");
  return failures > 0;
}
