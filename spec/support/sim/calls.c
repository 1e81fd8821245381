/* calls.c - the functions of the simulated disk's table. */
#include "calls.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#endif
#ifdef HAS_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

#define HANDLES_MAX 64u
#define FILL_MAX 512u       /* bytes of a block that a plain disk fills */
#define KEPT_MIN 32768u     /* bytes of a block that plain disks keep for the next one */
#define KEPT_MAX (1u << 20) /* larger ones go back to the system */
#define KEPT_BLOCKS 8u

/* ---- recording --------------------------------------------------------- */

static void record(sim_disk *disk, const char *call) {
  if (disk->hook != NULL) disk->hook(disk->argument, disk, call);
}

/* ---- handles ---------------------------------------------------------- */

static sim_handle *handle_of(sim_disk *disk, int file) {
  if (file < 1 || (uint32_t)file > disk->handle_count || !disk->handles[file - 1].used)
    abort(); /* the engine uses a descriptor that is not open */
  return &disk->handles[file - 1];
}

static sim_node *node_of(sim_disk *disk, int file) {
  return &disk->nodes[handle_of(disk, file)->node];
}

static int handle_new(sim_disk *disk, uint32_t node, unsigned flags, int *out) {
  uint32_t i = 0;
  *out = -1;
  if (disk->handles == NULL) disk->handles = sim_allocate(HANDLES_MAX * sizeof(sim_handle));
  while (i < disk->handle_count && disk->handles[i].used) i++;
  if (i == HANDLES_MAX) return -EMFILE;
  if (i == disk->handle_count) disk->handle_count++;
  sim_handle handle = {.used = true, .node = node, .flags = flags};
  disk->handles[i] = handle;
  disk->handles_held++;
  *out = (int)i + 1;
  return 0;
}

/* ---- directories ------------------------------------------------------ */

static uint32_t directory_of(sim_disk *disk, int dir) {
  return dir < 0 ? SIM_ROOT : handle_of(disk, dir)->node;
}

static void add_entry_unit(sim_disk *disk, sim_kind kind, uint32_t dir, const char *name,
                           const char *to, uint32_t target) {
  sim_unit unit = {.kind = kind, .node = dir, .target = target};
  strncpy(unit.name, name, SIM_NAME_MAX - 1);
  strncpy(unit.to, to, SIM_NAME_MAX - 1);
  sim_unit_add(disk, &unit, NULL);
  sim_entries_apply(&disk->nodes[dir].entries, &unit);
}

static int s_make_dir(void *context, int dir, const char *path) {
  sim_disk *disk = context;
  uint32_t parent = directory_of(disk, dir);
  int code = sim_fails(disk, "make_dir", parent, path);
  if (sim_effect_of(disk, code) != SIM_WHOLE) return -code;
  if (sim_entries_find(&disk->nodes[parent].entries, path) != UINT32_MAX) return -EEXIST;
  uint32_t node = sim_node_new(disk, SIM_DIRECTORY);
  disk->nodes[node].parent = parent;
  add_entry_unit(disk, SIM_ADD, parent, path, "", node);
  record(disk, "make_dir");
  return -code;
}

static int s_open_dir(void *context, int dir, const char *path, int *out) {
  sim_disk *disk = context;
  uint32_t parent = directory_of(disk, dir);
  int code = sim_fails(disk, "open_dir", parent, path);
  if (code != 0) return -code;
  uint32_t node = UINT32_MAX;
  if (strcmp(path, "..") == 0) node = disk->nodes[parent].parent;
  else if (strcmp(path, ".") == 0) node = parent;
  else node = sim_entries_find(&disk->nodes[parent].entries, path);
  if (node == UINT32_MAX) return -ENOENT;
  if (disk->nodes[node].type == SIM_LINK) return dir < 0 ? -ENOENT : -ELOOP;
  if (disk->nodes[node].type != SIM_DIRECTORY) return -ENOTDIR;
  return handle_new(disk, node, 0, out);
}

static int s_list(void *context, int dir, fj_os_visit visit, void *argument) {
  sim_disk *disk = context;
  uint32_t index = directory_of(disk, dir);
  int code = sim_fails(disk, "list", index, NULL);
  if (code != 0) return -code;
  /* A copy of the names: the visitor may remove some. */
  uint32_t count = disk->nodes[index].entries.count;
  sim_entry *items = sim_allocate(count * sizeof *items);
  if (count > 0) memcpy(items, disk->nodes[index].entries.items, count * sizeof *items);
  for (uint32_t i = 0; i < count && code == 0; i++) code = visit(argument, items[i].name);
  free(items);
  return code;
}

static int s_sync_dir(void *context, int dir) {
  sim_disk *disk = context;
  uint32_t index = directory_of(disk, dir);
  int code = sim_fails(disk, "sync_dir", index, NULL);
  if (code != 0) return -code; /* the entries stay pending */
  if (disk->fault.sync_dir > 0 && --disk->fault.sync_dir == 0) {
    sim_settle(disk, index, true);
    return sim_failed(disk, "sync_dir", EIO, index, NULL);
  }
  sim_settle(disk, index, false);
  record(disk, "sync_dir");
  return 0;
}

static int s_rename(void *context, int dir, const char *from, const char *to) {
  sim_disk *disk = context;
  uint32_t index = directory_of(disk, dir);
  int code = sim_fails(disk, "rename", index, to);
  if (sim_effect_of(disk, code) != SIM_WHOLE) return -code;
  uint32_t node = sim_entries_find(&disk->nodes[index].entries, from);
  if (node == UINT32_MAX) return -ENOENT;
  uint32_t there = sim_entries_find(&disk->nodes[index].entries, to);
  if (there != UINT32_MAX && disk->nodes[there].type == SIM_DIRECTORY) return -EISDIR;
  add_entry_unit(disk, SIM_MOVE, index, from, to, node);
  record(disk, "rename");
  return -code;
}

static int s_unlink(void *context, int dir, const char *name) {
  sim_disk *disk = context;
  uint32_t index = directory_of(disk, dir);
  int code = sim_fails(disk, "unlink", index, name);
  if (sim_effect_of(disk, code) != SIM_WHOLE) return -code;
  uint32_t node = sim_entries_find(&disk->nodes[index].entries, name);
  if (node == UINT32_MAX) return -ENOENT;
  if (disk->nodes[node].type == SIM_DIRECTORY) return -EISDIR;
  add_entry_unit(disk, SIM_REMOVE, index, name, "", node);
  record(disk, "unlink");
  return -code;
}

/* Paths of the root only, which is all that the engine is given here. */
static int s_remove_dir(void *context, const char *path) {
  sim_disk *disk = context;
  int code = sim_fails(disk, "remove_dir", SIM_ROOT, path);
  if (sim_effect_of(disk, code) != SIM_WHOLE) return -code;
  uint32_t node = sim_entries_find(&disk->nodes[SIM_ROOT].entries, path);
  if (node == UINT32_MAX) return -ENOENT;
  if (disk->nodes[node].type != SIM_DIRECTORY) return -ENOTDIR;
  if (disk->nodes[node].entries.count > 0) return -ENOTEMPTY;
  add_entry_unit(disk, SIM_REMOVE, SIM_ROOT, path, "", node);
  record(disk, "remove_dir");
  return -code;
}

static int s_link(void *context, int from, const char *name, int to) {
  sim_disk *disk = context;
  uint32_t node = sim_entries_find(&disk->nodes[directory_of(disk, from)].entries, name);
  uint32_t target = directory_of(disk, to);
  int code = sim_fails(disk, "link", target, name);
  if (sim_effect_of(disk, code) != SIM_WHOLE) return -code;
  if (disk->no_link) return -EPERM;
  if (node == UINT32_MAX) return -ENOENT;
  if (disk->nodes[node].type == SIM_DIRECTORY) return -EPERM;
  if (sim_entries_find(&disk->nodes[target].entries, name) != UINT32_MAX) return -EEXIST;
  add_entry_unit(disk, SIM_ADD, target, name, "", node);
  record(disk, "link");
  return -code;
}

/* ---- files ------------------------------------------------------------ */

static int open_there(const sim_node *node, unsigned flags) {
  if ((flags & FJ_OPEN_EXCLUSIVE) != 0) return -EEXIST;
  if (node->type == SIM_LINK) return -ELOOP;
  if (node->type != SIM_DIRECTORY) return 0;
  return (flags & (FJ_OPEN_WRITE | FJ_OPEN_CREATE)) != 0 ? -EISDIR : 0;
}

/* What reading, writing or mapping says to what is no file. */
static int no_file(const sim_node *node, int code) {
  if (node->type == SIM_DIRECTORY) return -EISDIR;
  return node->type == SIM_FILE ? 0 : -code;
}

static int s_open(void *context, int dir, const char *name, unsigned flags, int *file) {
  sim_disk *disk = context;
  uint32_t index = directory_of(disk, dir);
  int failure = sim_fails(disk, "open", index, name);
  *file = -1;
  if (sim_effect_of(disk, failure) != SIM_WHOLE) return -failure;
  uint32_t node = dir < 0 ? sim_disk_find(disk, name) /* a path */
                          : sim_entries_find(&disk->nodes[index].entries, name);
  if (node != UINT32_MAX) {
    int code = open_there(&disk->nodes[node], flags);
    if (failure != 0) return -failure;
    return code != 0 ? code : handle_new(disk, node, flags, file);
  }
  if ((flags & FJ_OPEN_CREATE) == 0) return -ENOENT;
  node = sim_node_new(disk, SIM_FILE);
  int code = failure != 0 ? 0 : handle_new(disk, node, flags, file);
  if (code != 0) return code;
  add_entry_unit(disk, SIM_ADD, index, name, "", node);
  record(disk, "create");
  return -failure;
}

static void drop_lock(sim_disk *disk, sim_handle *handle) {
  sim_node *node = &disk->nodes[handle->node];
  if (handle->lock == SIM_SHARED) node->readers--;
  if (handle->lock == SIM_EXCLUSIVE) node->owned = false;
  if (handle->lock != SIM_UNLOCKED) disk->locks_held--;
  handle->lock = SIM_UNLOCKED;
}

static int s_close(void *context, int file) {
  sim_disk *disk = context;
  sim_handle *handle = handle_of(disk, file);
  int code = sim_fails(disk, "close", handle->node, NULL);
  drop_lock(disk, handle);
  handle->used = false;
  disk->handles_held--;
  return -code; /* the descriptor is gone all the same, as on Linux */
}

static int s_stat(void *context, int file, fj_os_stat *out) {
  sim_disk *disk = context;
  int code = sim_fails(disk, "stat", handle_of(disk, file)->node, NULL);
  if (code != 0) return -code;
  const sim_node *node = node_of(disk, file);
  out->device = 1;
  out->number = handle_of(disk, file)->node;
  out->size = node->now.size;
  out->regular = node->type == SIM_FILE;
  return 0;
}

static int64_t s_read(void *context, int file, void *buffer, size_t size, uint64_t offset) {
  sim_disk *disk = context;
  int code = sim_fails(disk, "read", handle_of(disk, file)->node, NULL);
  if (code != 0) return -code;
  const sim_node *node = node_of(disk, file);
  if ((code = no_file(node, ESPIPE)) != 0) return code;
  if (offset >= node->now.size) return 0;
  if (sim_is_short(disk) && size > 1) size /= 2;
  if (size > node->now.size - offset) size = (size_t)(node->now.size - offset);
  if (offset < node->bad_end && offset + size > node->bad_from) return -EIO;
  if (size > 0) memcpy(buffer, node->now.at + offset, size);
  return (int64_t)size;
}

/* Bytes of the holes in the file's [from, to). */
static uint64_t holes_in(const sim_node *node, uint64_t from, uint64_t to) {
  uint64_t sum = 0;
  uint64_t end = (to + SIM_PAGE - 1) / SIM_PAGE;
  if (end > node->hole_pages) end = node->hole_pages;
  for (uint64_t page = from / SIM_PAGE; page < end; page++)
    sum += node->holes[page] * (uint64_t)SIM_PAGE;
  return sum;
}

static void fill_holes(sim_node *node, uint64_t from, uint64_t to) {
  for (uint64_t page = from / SIM_PAGE; page < node->hole_pages && page * SIM_PAGE < to;
       page++)
    node->holes[page] = 0;
}

uint64_t sim_disk_taken(const sim_disk *disk) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < disk->node_count; i++) {
    const sim_entries *entries = &disk->nodes[i].entries;
    for (uint32_t k = 0; k < entries->count; k++) {
      const sim_node *node = &disk->nodes[entries->items[k].node];
      uint64_t holes = holes_in(node, 0, node->now.size);
      sum += node->now.size > holes ? node->now.size - holes : 0; /* the last may be a part */
    }
  }
  return sum;
}

/* How far the bytes from `from` on may be written or reserved, at most to `end`. */
static uint64_t space_for(const sim_disk *disk, const sim_node *node, uint64_t from,
                          uint64_t end) {
  uint64_t holes = holes_in(node, from, end);
  if (disk->space == 0 || (end <= node->now.size && holes == 0)) return end;
  uint64_t taken = sim_disk_taken(disk);
  uint64_t left = taken < disk->space ? disk->space - taken : 0;
  uint64_t more = end > node->now.size ? end - node->now.size : 0;
  if (holes > 0) return holes + more <= left ? end : from; /* all or nothing will do */
  return end - node->now.size <= left ? end : node->now.size + left;
}

/* Nobody can store to it but by calls. */
static void forget_seen(sim_node *node) {
  free(node->seen);
  node->seen = NULL;
}

/* A plain disk's mappings may be used up to the file's end. */
static void fence(const sim_disk *disk, const sim_node *node) {
  if (!disk->plain || node->now.room == 0) return;
  uint64_t end = node->maps > 0 ? node->now.size : node->now.room;
  ASAN_UNPOISON_MEMORY_REGION(node->now.at, end);
  ASAN_POISON_MEMORY_REGION(node->now.at + end, node->now.room - end);
}

/* Makes the file's bytes up to `end` exist; mappings of it must not move. */
static void lengthen(sim_disk *disk, sim_node *node, uint64_t end) {
  if (end <= node->now.size) return;
  if (end > node->now.room) {
    if (node->maps > 0) abort(); /* map() made room for its size */
    forget_seen(node);
  }
  sim_bytes_resize(&node->now, end);
  fence(disk, node);
}

/* Leaves of the write what changes something: no byte of the rest needs a unit, since neither
 * the programs nor the disk can tell. What was lost, as far as programs still see it, is
 * changed by writing the same again: that makes it dirty. */
static freyja_slice changing(const sim_node *node, uint64_t *offset, const uint8_t *bytes,
                             size_t size) {
  const sim_bytes *now = &node->now, *disk = &node->disk;
  size_t first = 0, last = size;
  if (*offset + size > now->size || memcmp(now->at + *offset, bytes, size) != 0)
    return (freyja_slice){bytes, size};
  if (!node->lossy) return (freyja_slice){bytes, 0};
#define IS_DURABLE(i) (*offset + (i) < disk->size && disk->at[*offset + (i)] == bytes[i])
  while (first < last && IS_DURABLE(first)) first++;
  while (first < last && IS_DURABLE(last - 1)) last--;
#undef IS_DURABLE
  *offset += first;
  return (freyja_slice){bytes + first, last - first};
}

static void write_bytes(sim_disk *disk, uint32_t index, uint64_t offset, const uint8_t *bytes,
                        size_t size) {
  sim_node *node = &disk->nodes[index];
  if (size == 0) return;
  freyja_slice part = changing(node, &offset, bytes, size);
  if (part.size == 0) return;
  sim_add_data(disk, index, false, offset, part.size, part.data);
  lengthen(disk, node, offset + part.size);
  memcpy(node->now.at + offset, part.data, part.size);
  if (node->seen != NULL) memcpy(node->seen + offset, part.data, part.size);
}

static int64_t s_write(void *context, int file, const freyja_slice *parts, size_t count,
                       uint64_t offset) {
  sim_disk *disk = context;
  uint32_t index = handle_of(disk, file)->node;
  int code = sim_fails(disk, "write", index, NULL);
  size_t size = 0;
  for (size_t i = 0; i < count; i++) size += parts[i].size;
  uint8_t *bytes = sim_allocate(size);
  size_t done = 0;
  for (size_t i = 0; i < count; i++) {
    if (parts[i].size > 0) memcpy(bytes + done, parts[i].data, parts[i].size);
    done += parts[i].size;
  }
  if ((handle_of(disk, file)->flags & FJ_OPEN_WRITE) == 0) abort();
  if (code == 0) code = -no_file(&disk->nodes[index], ESPIPE);
  if (disk->nodes[index].type != SIM_FILE) done = 0;
  if (sim_is_short(disk) && done > 1) done /= 2;
  sim_effect effect = sim_effect_of(disk, code);
  if (effect != SIM_WHOLE) done = effect == SIM_HALF ? done / 2 : 0;
  uint64_t end = space_for(disk, &disk->nodes[index], offset, offset + done);
  done = end > offset ? (size_t)(end - offset) : 0;
  fill_holes(&disk->nodes[index], offset, offset + done);
  write_bytes(disk, index, offset, bytes, done);
  free(bytes);
  if (done > 0) record(disk, "write");
  if (code != 0) return -code;
  if (size > 0 && done == 0) return sim_failed(disk, "write", ENOSPC, index, NULL);
  return (int64_t)done;
}

static int s_sync(void *context, int file) {
  sim_disk *disk = context;
  uint32_t index = handle_of(disk, file)->node;
  int code = sim_fails(disk, "sync", index, NULL);
  if (disk->fault.sync) code = disk->fault.code;
  disk->fault.sync = false;
  if (code != 0) {
    if (code != EINTR) sim_lose_pages(disk, index);
    return -code;
  }
  sim_settle(disk, index, false);
  record(disk, "sync");
  return 0;
}

static int s_truncate(void *context, int file, uint64_t size) {
  sim_disk *disk = context;
  uint32_t index = handle_of(disk, file)->node;
  int code = sim_fails(disk, "truncate", index, NULL);
  if (sim_effect_of(disk, code) != SIM_WHOLE) return -code;
  sim_node *node = &disk->nodes[index];
  int no = no_file(node, EINVAL);
  if (no != 0) return no;
  if (size == node->now.size) return -code;
  sim_unit unit = {.kind = SIM_SIZE, .node = index, .size = size};
  sim_unit_add(disk, &unit, NULL);
  if (size > node->now.size) {
    lengthen(disk, node, size);
  } else {
    memset(node->now.at + size, 0, node->now.size - size);
    fill_holes(node, (size + SIM_PAGE - 1) / SIM_PAGE * SIM_PAGE, UINT64_MAX); /* gone */
    if (node->seen != NULL) memset(node->seen + size, 0, node->now.size - size);
    node->now.size = size;
    fence(disk, node);
  }
  record(disk, "truncate");
  return -code;
}

static int s_reserve(void *context, int file, uint64_t offset, uint64_t size) {
  sim_disk *disk = context;
  uint32_t index = handle_of(disk, file)->node;
  int code = sim_fails(disk, "reserve", index, NULL);
  if (sim_effect_of(disk, code) != SIM_WHOLE) return -code;
  if (disk->no_reserve) return -EOPNOTSUPP;
  sim_node *node = &disk->nodes[index];
  uint64_t end = offset + size;
  int no = no_file(node, ESPIPE);
  if (no != 0) return no;
  if (space_for(disk, node, offset, end) < end)
    return code != 0 ? -code : sim_failed(disk, "reserve", ENOSPC, index, NULL);
  fill_holes(node, offset, end);
  if (end <= node->now.size) return -code;
  sim_unit unit = {.kind = SIM_GROW, .node = index, .size = end};
  sim_unit_add(disk, &unit, NULL);
  lengthen(disk, node, end);
  record(disk, "reserve");
  return -code;
}

static void s_write_back(void *context, int file, uint64_t offset, uint64_t size) {
  (void)context, (void)file, (void)offset, (void)size; /* a hint promises nothing */
}

static int s_lock(void *context, int file, bool exclusive) {
  sim_disk *disk = context;
  sim_handle *handle = handle_of(disk, file);
  int code = sim_fails(disk, "lock", handle->node, NULL);
  if (code != 0) return -code;
  sim_node *node = &disk->nodes[handle->node];
  drop_lock(disk, handle);
  if (node->owned || (exclusive && node->readers > 0)) return -EAGAIN;
  if (exclusive) node->owned = true;
  else node->readers++;
  handle->lock = exclusive ? SIM_EXCLUSIVE : SIM_SHARED;
  disk->locks_held++;
  return 0;
}

/* ---- mapped files ----------------------------------------------------- */

static int s_map(void *context, int file, uint64_t size, bool writable, uint8_t **out) {
  sim_disk *disk = context;
  int code = sim_fails(disk, "map", handle_of(disk, file)->node, NULL);
  if (code != 0) return -code;
  if (size == 0) return -EINVAL;
  sim_node *node = node_of(disk, file);
  if (node->type != SIM_FILE) return -ENODEV;
  if (size > node->now.room) {
    if (node->maps > 0) abort(); /* map larger first, in the tests */
    uint64_t had = node->now.size;
    sim_bytes_resize(&node->now, size);
    sim_bytes_resize(&node->now, had);
    forget_seen(node);
  }
  if (writable && node->seen == NULL && !disk->plain) {
    node->seen = sim_allocate(node->now.room);
    memcpy(node->seen, node->now.at, node->now.room);
  }
  node->maps++;
  node->writers += writable;
  disk->maps_held++;
  fence(disk, node);
  *out = node->now.at;
  return 0;
}

static sim_node *node_of_map(sim_disk *disk, const uint8_t *map) {
  for (uint32_t i = 0; i < disk->node_count; i++)
    if (disk->nodes[i].maps > 0 && disk->nodes[i].now.at == map) return &disk->nodes[i];
  abort(); /* the engine unmaps what is not mapped */
}

static void s_unmap(void *context, uint8_t *map, uint64_t size) {
  sim_disk *disk = context;
  (void)size;
  sim_disk_look(disk);
  sim_node *node = node_of_map(disk, map);
  /* Which of the mappings it was matters only if all could still be written to. */
  if (node->writers == node->maps) node->writers--;
  node->maps--;
  disk->maps_held--;
  if (node->maps > 0) return;
  forget_seen(node);
  fence(disk, node);
}

static int s_protect(void *context, uint8_t *map, uint64_t size) {
  sim_disk *disk = context;
  (void)size;
  sim_node *node = node_of_map(disk, map);
  int code = sim_fails(disk, "protect", (uint32_t)(node - disk->nodes), NULL);
  if (code != 0) return -code;
  if (node->writers > 0) node->writers--;
  return 0;
}

/* ---- memory ------------------------------------------------ */

/* Blocks and pages are in a list, so that a killed process gives them back. */
struct sim_block {
  sim_block *next, *previous;
  size_t size; /* bytes */
  max_align_t bytes[];
};

/* Large blocks that were given back to a plain disk: the system takes long to give them.
 * AddressSanitizer reports whoever still uses one. */
static sim_block *kept[KEPT_BLOCKS];

static bool is_kept(const sim_disk *disk, size_t size) {
  return disk->plain && size >= KEPT_MIN && size <= KEPT_MAX;
}

static sim_block *take_kept(size_t size) {
  for (size_t i = 0; i < KEPT_BLOCKS; i++) {
    sim_block *block = kept[i];
    if (block == NULL || block->size != size) continue;
    kept[i] = NULL;
    ASAN_UNPOISON_MEMORY_REGION(block->bytes, size);
    return block;
  }
  return NULL;
}

static bool keep(sim_block *block) {
  for (size_t i = 0; i < KEPT_BLOCKS; i++) {
    if (kept[i] != NULL) continue;
    kept[i] = block;
    ASAN_POISON_MEMORY_REGION(block->bytes, block->size);
    return true;
  }
  return false;
}

static void *block_new(sim_disk *disk, size_t size, bool zeroed) {
  sim_block *block = is_kept(disk, size) ? take_kept(size) : NULL;
  if (block != NULL && zeroed) memset(block->bytes, 0, size);
  else if (block == NULL && zeroed) block = sim_allocate(sizeof *block + size);
  else if (block == NULL) block = malloc(sizeof *block + size);
  if (block == NULL) abort();
  block->size = size;
  block->previous = NULL;
  block->next = disk->blocks;
  if (disk->blocks != NULL) disk->blocks->previous = block;
  disk->blocks = block;
  disk->bytes_held += size;
  if (disk->bytes_held > disk->bytes_peak) disk->bytes_peak = disk->bytes_held;
  return block->bytes;
}

static void block_free(sim_disk *disk, void *bytes) {
  sim_block *block = (sim_block *)(void *)((uint8_t *)bytes - offsetof(sim_block, bytes));
  disk->bytes_held -= block->size;
  if (block->previous != NULL) block->previous->next = block->next;
  else disk->blocks = block->next;
  if (block->next != NULL) block->next->previous = block->previous;
  if (!is_kept(disk, block->size) || !keep(block)) free(block);
}

static void account(sim_account *of, size_t size) {
  if (size > of->largest) of->largest = size;
  of->total += size;
}

static void *s_allocate(void *context, size_t size) {
  sim_disk *disk = context;
  if (sim_memory_fails(disk)) return NULL;
  account(&disk->memory, size);
  void *block = block_new(disk, size, false);
  /* What relies on zeros shows. */
  memset(block, 0xA5, disk->plain && size > FILL_MAX ? FILL_MAX : size);
  disk->blocks_held++;
  return block;
}

static void s_release(void *context, void *block) {
  sim_disk *disk = context;
  if (block == NULL) return;
  disk->blocks_held--;
  block_free(disk, block);
}

static void *s_allocate_pages(void *context, size_t size) {
  sim_disk *disk = context;
  if (sim_memory_fails(disk)) return NULL;
  if (disk->page_limit != 0 && size > disk->page_limit) return NULL;
  account(&disk->pages, size);
  disk->pages_held++;
  return block_new(disk, size, true);
}

static void s_discard_pages(void *context, void *pages, size_t size) {
  (void)context;
  memset(pages, 0xA5, size);
}

static void s_release_pages(void *context, void *pages, size_t size) {
  sim_disk *disk = context;
  (void)size;
  if (pages == NULL) return;
  disk->pages_held--;
  block_free(disk, pages);
}

void sim_disk_kill(sim_disk *disk) {
  sim_disk_look(disk);
  for (uint32_t i = 0; i < disk->handle_count; i++) {
    if (disk->handles[i].used) drop_lock(disk, &disk->handles[i]);
    disk->handles[i].used = false;
  }
  for (uint32_t i = 0; i < disk->node_count; i++) {
    disk->nodes[i].maps = disk->nodes[i].writers = 0;
    forget_seen(&disk->nodes[i]);
    fence(disk, &disk->nodes[i]);
  }
  while (disk->blocks != NULL) block_free(disk, disk->blocks->bytes);
  disk->handles_held = disk->maps_held = disk->blocks_held = disk->pages_held = 0;
}

/* ---- the rest ------------------------------------------------ */

static uint64_t s_clock(void *context) { return ((sim_disk *)context)->clock; }

static uint64_t s_monotonic(void *context) {
  const sim_disk *disk = context;
  return disk->clock - disk->jumped;
}

static int s_random(void *context, void *buffer, size_t size) {
  sim_disk *disk = context;
  int code = sim_fails(disk, "random", SIM_ROOT, NULL);
  if (code != 0) return -code;
  uint8_t *bytes = buffer;
  for (size_t i = 0; i < size; i++) {
    disk->seed = disk->seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    bytes[i] = (uint8_t)(disk->seed >> 56);
  }
  return 0;
}

static uint32_t s_process(void *context) {
  (void)context;
  return 4711;
}

static const volatile uint32_t *s_fork_guard(void *context) {
  (void)context;
  return NULL;
}

static void s_release_fork_guard(void *context, const volatile uint32_t *guard) {
  (void)context, (void)guard;
}

void sim_calls_fill(fj_os *os, sim_disk *disk) {
  fj_os table = {
      .context = disk,
      .make_dir = s_make_dir,
      .open_dir = s_open_dir,
      .list = s_list,
      .sync_dir = s_sync_dir,
      .rename = s_rename,
      .unlink = s_unlink,
      .remove_dir = s_remove_dir,
      .link = s_link,
      .open = s_open,
      .close = s_close,
      .stat = s_stat,
      .read = s_read,
      .write = s_write,
      .sync = s_sync,
      .truncate = s_truncate,
      .reserve = s_reserve,
      .write_back = s_write_back,
      .lock = s_lock,
      .lock_dir = s_lock,
      .map = s_map,
      .unmap = s_unmap,
      .protect = s_protect,
      .allocate = s_allocate,
      .release = s_release,
      .allocate_pages = s_allocate_pages,
      .discard_pages = s_discard_pages,
      .release_pages = s_release_pages,
      .now = s_clock,
      .monotonic = s_monotonic,
      .timer = s_monotonic,
      .random = s_random,
      .process = s_process,
      .fork_guard = s_fork_guard,
      .release_fork_guard = s_release_fork_guard,
  };
  *os = table;
}
