/* intruder.c - while a store is being backed up, or repaired, somebody opens the folder that
 * it goes to as a store of their own, before each call in turn. Either they are told that it
 * is locked, or the backup fails and what they wrote stays: never is one of the two lost, and
 * never do they become one store. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "freyja.h"
#include "repair.h"

typedef struct trial {
  sim_disk *disk;
  fj_os os;               /* the disk's, with the intruder in it */
  long calls, at;         /* before which of them the intruder comes */
  freyja_status intruded; /* how that went */
} trial;

static trial now;
static int failures;

static void fail(const char *what, const char *said) {
  printf("not ok intruder: before call %ld: %s: %s\n", now.at, what, said);
  failures++;
}

static freyja_status open_at(const char *path, const fj_os *os, freyja **db) {
  freyja_options options;
  freyja_options_init(&options);
  options.io = FREYJA_IO_SYSCALL;
  options.segment_size = FREYJA_SEGMENT_SIZE_MIN;
  options.os = os;
  return freyja_open(path, &options, db, NULL);
}

static void intrude(void) {
  freyja *db = NULL;
  if (++now.calls != now.at) return;
  now.intruded = open_at("to", &now.disk->os, &db);
  if (now.intruded == FREYJA_OK) now.intruded = freyja_put(db, "theirs", 6, "1", 1, NULL);
  if (db != NULL && freyja_close(db, NULL) != FREYJA_OK) fail("close", "failed");
}

/* ---- the calls ------------------------------------------------------------ */

static int my_make_dir(void *context, int dir, const char *path) {
  intrude();
  return now.disk->os.make_dir(context, dir, path);
}

static int my_open_dir(void *context, int dir, const char *path, int *out) {
  intrude();
  return now.disk->os.open_dir(context, dir, path, out);
}

static int my_list(void *context, int dir, fj_os_visit visit, void *argument) {
  intrude();
  return now.disk->os.list(context, dir, visit, argument);
}

static int my_sync_dir(void *context, int dir) {
  intrude();
  return now.disk->os.sync_dir(context, dir);
}

static int my_rename(void *context, int dir, const char *from, const char *to) {
  intrude();
  return now.disk->os.rename(context, dir, from, to);
}

static int my_unlink(void *context, int dir, const char *name) {
  intrude();
  return now.disk->os.unlink(context, dir, name);
}

static int my_link(void *context, int from, const char *name, int to) {
  intrude();
  return now.disk->os.link(context, from, name, to);
}

static int my_open(void *context, int dir, const char *name, unsigned flags, int *file) {
  intrude();
  return now.disk->os.open(context, dir, name, flags, file);
}

static int my_lock(void *context, int file, bool exclusive) {
  intrude();
  return now.disk->os.lock(context, file, exclusive);
}

static int my_sync(void *context, int file) {
  intrude();
  return now.disk->os.sync(context, file);
}

static void begin(long at) {
  sim_disk *disk = sim_disk_create(1);
  disk->plain = true;
  memset(&now, 0, sizeof now);
  now.disk = disk;
  now.at = at;
  now.os = disk->os;
  now.os.make_dir = my_make_dir;
  now.os.open_dir = my_open_dir;
  now.os.list = my_list;
  now.os.sync_dir = my_sync_dir;
  now.os.rename = my_rename;
  now.os.unlink = my_unlink;
  now.os.link = my_link;
  now.os.open = my_open;
  now.os.lock = my_lock;
  now.os.sync = my_sync;
  now.intruded = FREYJA_CLOSED; /* not yet */
}

/* ---- the trials ------------------------------------------------------------ */

static bool has(const char *path, const char *key) {
  freyja *db = NULL;
  char value[8];
  size_t size = 0;
  if (open_at(path, &now.disk->os, &db) != FREYJA_OK) return false;
  bool found = freyja_get(db, key, strlen(key), value, sizeof value, &size, NULL) == FREYJA_OK;
  (void)freyja_close(db, NULL);
  return found;
}

static freyja *make_store(void) {
  freyja *db = NULL;
  if (open_at("db", &now.os, &db) != FREYJA_OK) exit(1);
  if (freyja_put(db, "ours", 4, "1", 1, NULL) != FREYJA_OK || freyja_rotate(db, NULL) != 0 ||
      freyja_put(db, "too", 3, "2", 1, NULL) != FREYJA_OK)
    exit(1);
  return db;
}

/* Backs up, by links or copies, or repairs; false when the intruder did not come any more. */
static bool run(long at, const char *how) {
  freyja_backup_options options = {.copy = strcmp(how, "copies") == 0};
  freyja_error error = {.status = FREYJA_OK};
  freyja_report report;
  freyja_status status = FREYJA_OK;
  begin(0);
  freyja *db = make_store();
  now.calls = 0;
  now.at = at;
  if (strcmp(how, "repair") == 0) {
    (void)freyja_close(db, NULL);
    db = NULL;
    now.calls = 0;
    status = fj_repair(&now.os, "db", "to", NULL, NULL, &report, &error);
  } else {
    status = freyja_backup(db, "to", &options, &error);
  }
  now.at = 0; /* what comes now comes after it */
  (void)freyja_close(db, NULL);
  now.at = at;
  bool came = now.intruded != FREYJA_CLOSED;
  if (now.intruded != FREYJA_OK && came && now.intruded != FREYJA_LOCKED)
    fail(how, freyja_status_name(now.intruded));
  if (status == FREYJA_OK && (!has("to", "ours") || !has("to", "too")))
    fail(how, "a key is missing in what was made");
  if (now.intruded == FREYJA_OK && !has("to", "theirs")) fail(how, "what they wrote is gone");
  if (has("to", "ours") && has("to", "theirs")) fail(how, "both are in one store");
  if (now.intruded != FREYJA_OK && status != FREYJA_OK) fail(how, error.message);
  if (status != FREYJA_OK && status != FREYJA_IO && status != FREYJA_LOCKED)
    fail(how, error.message);
  if (sim_disk_held(now.disk) != 0) fail(how, "something is held");
  sim_disk_destroy(now.disk);
  return came;
}

int main(void) {
  static const char *const ways[] = {"links", "copies", "repair"};
  for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
    long at = 1;
    int before = failures;
    while (run(at, ways[i]) && failures < 10) at++;
    if (failures == before) printf("ok intruder: %s: at %ld moments\n", ways[i], at - 1);
  }
  return failures > 0;
}
