/* leftovers.c - names that lie about in a store: what a crash, another version, a copying
 * program or a user left there; each alone and all pairs. See spoil.h. */
#include <stdio.h>
#include <string.h>

#include "segment.h"
#include "spoil.h"

#define GARBAGE 300u /* bytes: more than a data file's header */

static const char *const names[] = {
    "99.data",
    "100.data",
    "0.data",
    "01.data",
    "7.data.tmp",
    "18446744073709551613.data",
    "18446744073709551614.data",
    "18446744073709551615.data",
    "18446744073709551616.data",
    "MANIFEST.tmp",
    "x.tmp",
    "KEYDIR",
    "1.hint",
    "99.hint",
    "lost",
    "LOCK",
    "notes.txt",
};
#define NAMES (sizeof names / sizeof *names)

typedef enum kind {
  EMPTY,
  SHORT,   /* zeros, fewer than a header has */
  HEADER,  /* that of a data file of this store, with the name's id */
  RECORDS, /* and something behind it */
  OUTPUT,  /* likewise, of a merge that did not come to its end */
  CLAIMED, /* likewise, of one that did */
  FOREIGN, /* another store's */
  NOISE,   /* garbage */
  FOLDER,
  FIFO,
  LINK,
  KINDS
} kind;

#define SINGLES (NAMES * KINDS)

/* FORMAT.md, section 1: a data file without a header, or with this store's, and one that a
 * merge was writing and that is not claimed, goes if the MANIFEST does not name it. */
static bool is_removable(const char *name, kind k) {
  size_t size = strlen(name);
  if (strcmp(name, "MANIFEST.tmp") == 0) return k != FOLDER;
  if (strcmp(name, "LOCK") == 0 || strcmp(name, "KEYDIR") == 0) return true;
  if (size > 5 && strcmp(name + size - 5, ".hint") == 0) return true;
  return size > 5 && strcmp(name + size - 5, ".data") == 0 && (k <= HEADER || k == OUTPUT);
}

static bool has_records(kind k) { return k == RECORDS || k == OUTPUT || k == CLAIMED; }

static void make(const image *img, uint64_t number, uint8_t bytes[GARBAGE],
                 spl_leftover *out) {
  const char *name = names[number / KINDS];
  kind k = (kind)(number % KINDS);
  unsigned long long id = 0;
  uint64_t size = 0;
  (void)snprintf(out->path, sizeof out->path, "db/%s", name);
  out->type = k == FOLDER ? SIM_DIRECTORY
              : k == FIFO ? SIM_FIFO
              : k == LINK ? SIM_LINK
                          : SIM_FILE;
  out->bytes = bytes;
  out->size = k == EMPTY ? 0 : k == SHORT ? 64 : k == NOISE || has_records(k) ? GARBAGE : 128;
  out->removable = is_removable(name, k);
  memset(bytes, 0, GARBAGE);
  (void)sscanf(name, "%llu", &id);
  if (k == NOISE || has_records(k)) img_garbage(bytes, GARBAGE, number);
  if (k == HEADER || has_records(k)) img_make_header(img, id, bytes);
  if (k == OUTPUT || k == CLAIMED) {
    fj_put32(bytes + 12, FJ_SEGMENT_MERGED);
    fj_put64(bytes + 56, fj_hash(bytes, 56, 0));
  }
  if (k == CLAIMED) bytes[FJ_MARK_OFFSET] = 1;
  if (k == FOREIGN) {
    char path[IMG_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s", img->files[img->segments[0].file].path);
    memcpy(bytes, sim_disk_bytes(img->other, path, &size), 128);
  }
}

uint64_t spl_count_leftovers(const image *img, uint64_t size) {
  (void)img, (void)size;
  return SINGLES * (SINGLES + 1);
}

uint32_t spl_leftovers(const image *img, uint64_t number, spl_leftover out[2]) {
  static uint8_t bytes[2][GARBAGE];
  make(img, number % SINGLES, bytes[0], &out[0]);
  if (number < SINGLES) return 1;
  make(img, number / SINGLES - 1, bytes[1], &out[1]);
  return 2;
}

/* Damages the last record: behind the mark, that is a torn tail. */
static void tear(const image *img, sim_disk *disk) {
  const img_record *last = &img->records[img->record_count - 1];
  const char *path = img->files[img->segments[last->segment].file].path;
  uint32_t node = sim_disk_find(disk, path);
  disk->nodes[node].now.at[last->offset + 20] ^= 1;
  disk->nodes[node].disk.at[last->offset + 20] ^= 1;
}

bool spl_put_leftovers(const image *img, sim_disk *disk, uint64_t size, uint64_t number) {
  spl_leftover items[2];
  (void)size;
  uint32_t count = spl_leftovers(img, number, items);
  if (count == 2 && strcmp(items[0].path, items[1].path) >= 0)
    return false; /* each pair once */
  for (uint32_t i = 0; i < count; i++) {
    if (items[i].type == SIM_FILE)
      sim_disk_put(disk, items[i].path, items[i].bytes, items[i].size);
    else sim_disk_put_type(disk, items[i].path, items[i].type);
  }
  /* What is torn is kept in lost/, if it can be. */
  if (img->killed && img->record_count > 0) tear(img, disk);
  return true;
}
