/* bounded.c - the memory that a merge takes, as the engine asks for it: no more than it needs
 * for the blocks that it reads and writes, however much data there is. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "freyja.h"

#define SEGMENT (1u << 20) /* bytes */
#define SEGMENTS_MAX 128u
#define LARGE (300u << 10) /* bytes of a value that is longer than a block */
#define STEP 100000u       /* bytes of a merge's step */
#define MOST (2u << 20)    /* bytes that a merge may take */
#define MORE (64u << 10)   /* and with eight times the data so many more: lists of files */

static freyja_error error;

static void check(freyja_status status) {
  if (!freyja_is_fault(status)) return;
  printf("not ok bounded: %s (%s)\n", error.message, error.path);
  exit(1);
}

static void put(freyja *db, unsigned key, unsigned size) {
  static char value[LARGE];
  char name[16];
  int length = snprintf(name, sizeof name, "key%u", key);
  check(freyja_put(db, name, (size_t)length, value, size, &error));
}

/* Half of what is written is dead. */
static void fill(freyja *db, unsigned mib) {
  unsigned writes = mib * 2000;
  put(db, writes, LARGE);
  for (unsigned i = 0; i < writes; i++) put(db, i % 2 == 0 ? i : i % 100, 480);
  check(freyja_rotate(db, &error));
}

static void merge(freyja *db, bool changes) {
  freyja_segment segments[SEGMENTS_MAX];
  uint64_t ids[SEGMENTS_MAX];
  size_t count = freyja_get_segments(db, segments, SEGMENTS_MAX), chosen = 0;
  freyja_rewrite *rewrite = NULL;
  freyja_entry entry;
  freyja_status status = FREYJA_OK;
  if (count > SEGMENTS_MAX) exit(1);
  for (size_t i = 0; i < count; i++)
    if (segments[i].sealed) ids[chosen++] = segments[i].id;
  check(freyja_rewrite_open(db, ids, chosen, &rewrite, &error));
  while (changes && (status = freyja_rewrite_next(rewrite, &entry, &error)) == FREYJA_OK) {
    freyja_slice shorter = {entry.value.data, entry.value.size / 2};
    check(entry.key.size % 2 == 0 ? freyja_rewrite_drop(rewrite, &error)
                                  : freyja_rewrite_keep(rewrite, &shorter, &error));
  }
  check(status);
  while ((status = freyja_rewrite_step(rewrite, STEP, &error)) == FREYJA_OK) continue;
  check(status);
  check(freyja_rewrite_commit(rewrite, &error));
  while ((status = freyja_rewrite_step(rewrite, STEP, &error)) == FREYJA_OK) continue;
  check(status);
  freyja_rewrite_close(rewrite);
}

/* Bytes that merging a store of so many MiB takes at most, at once. */
static uint64_t measure(freyja_io io, unsigned mib, bool changes) {
  sim_disk *disk = sim_disk_create(1);
  freyja_options options;
  freyja *db = NULL;
  disk->plain = true;
  freyja_options_init(&options);
  options.io = io;
  options.segment_size = SEGMENT;
  options.os = &disk->os;
  check(freyja_open("db", &options, &db, &error));
  fill(db, mib);
  uint64_t before = disk->bytes_held;
  disk->bytes_peak = before;
  merge(db, changes);
  uint64_t taken = disk->bytes_peak - before;
  check(freyja_close(db, &error));
  sim_disk_destroy(disk);
  return taken;
}

int main(void) {
  bool good = true;
  for (unsigned way = 0; way < 4; way++) {
    freyja_io io = way < 2 ? FREYJA_IO_MMAP : FREYJA_IO_SYSCALL;
    const char *name = way < 2 ? "mmap" : "syscall";
    const char *how = way % 2 == 0 ? "a merge" : "a rewrite that changes values";
    uint64_t few = measure(io, 4, way % 2 == 1), many = measure(io, 32, way % 2 == 1);
    bool right = many <= MOST && many <= few + MORE;
    printf("%s bounded, %s: %s of 4 MiB takes %u KiB of memory, of 32 MiB %u KiB\n",
           right ? "ok" : "not ok", name, how, (unsigned)(few >> 10), (unsigned)(many >> 10));
    good = good && right;
  }
  return good ? 0 : 1;
}
