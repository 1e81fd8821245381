/* files.c - the simulated disk's calls about files, but for mapping them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "calls.h"

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
  uint32_t index = sim_directory_of(disk, dir);
  int failure = sim_fails(disk, "open", index, name);
  *file = -1;
  if (sim_effect_of(disk, failure) != SIM_WHOLE) return -failure;
  uint32_t node = dir < 0 ? sim_disk_find(disk, name) /* a path */
                          : sim_entries_find(&disk->nodes[index].entries, name);
  if (node != UINT32_MAX) {
    int code = open_there(&disk->nodes[node], flags);
    if (failure != 0) return -failure;
    return code != 0 ? code : sim_handle_new(disk, node, flags, file);
  }
  if ((flags & FJ_OPEN_CREATE) == 0) return -ENOENT;
  node = sim_node_new(disk, SIM_FILE);
  int code = failure != 0 ? 0 : sim_handle_new(disk, node, flags, file);
  if (code != 0) return code;
  sim_add_entry(disk, SIM_ADD, index, name, "", node);
  sim_record(disk, "create");
  return -failure;
}

static int s_close(void *context, int file) {
  sim_disk *disk = context;
  sim_handle *handle = sim_handle_of(disk, file);
  int code = sim_fails(disk, "close", handle->node, NULL);
  sim_drop_locks(disk, handle);
  handle->used = false;
  disk->handles_held--;
  return -code; /* the descriptor is gone all the same, as on Linux */
}

/* Names that lead to the node. */
static uint64_t count_links(const sim_disk *disk, uint32_t number) {
  uint64_t links = 0;
  for (uint32_t i = 0; i < disk->node_count; i++)
    for (uint32_t k = 0; k < disk->nodes[i].entries.count; k++)
      links += disk->nodes[i].entries.items[k].node == number;
  return links;
}

static void describe(sim_disk *disk, uint32_t number, fj_os_stat *out) {
  sim_node *node = &disk->nodes[number];
  if (disk->changes == SIM_ALWAYS) node->changed++;
  out->device = 1;
  out->number = number;
  out->size = node->now.size;
  out->regular = node->type == SIM_FILE;
  out->links = count_links(disk, number);
  out->changed = 1 + node->changed;
}

static int s_stat(void *context, int file, fj_os_stat *out) {
  sim_disk *disk = context;
  int code = sim_fails(disk, "stat", sim_handle_of(disk, file)->node, NULL);
  if (code != 0) return -code;
  describe(disk, sim_handle_of(disk, file)->node, out);
  return 0;
}

static int s_examine(void *context, int dir, const char *name, fj_os_stat *out) {
  sim_disk *disk = context;
  uint32_t index = sim_directory_of(disk, dir);
  int code = sim_fails(disk, "examine", index, name);
  if (code != 0) return -code;
  uint32_t node = sim_entries_find(&disk->nodes[index].entries, name);
  if (node == UINT32_MAX) return -ENOENT;
  describe(disk, node, out);
  return 0;
}

static int64_t s_read(void *context, int file, void *buffer, size_t size, uint64_t offset) {
  sim_disk *disk = context;
  int code = sim_fails(disk, "read", sim_handle_of(disk, file)->node, NULL);
  if (code != 0) return -code;
  const sim_node *node = sim_node_of(disk, file);
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

/* Makes the file's bytes up to `end` exist; mappings of it must not move. */
static void lengthen(sim_disk *disk, sim_node *node, uint64_t end) {
  if (end <= node->now.size) return;
  if (end > node->now.room) {
    if (node->maps > 0) abort(); /* map() made room for its size */
    sim_forget_seen(node);
  }
  sim_bytes_resize(&node->now, end);
  sim_fence(disk, node);
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
  uint32_t index = sim_handle_of(disk, file)->node;
  int code = sim_fails(disk, "write", index, NULL);
  size_t size = 0;
  for (size_t i = 0; i < count; i++) size += parts[i].size;
  uint8_t *bytes = sim_allocate(size);
  size_t done = 0;
  for (size_t i = 0; i < count; i++) {
    if (parts[i].size > 0) memcpy(bytes + done, parts[i].data, parts[i].size);
    done += parts[i].size;
  }
  if ((sim_handle_of(disk, file)->flags & FJ_OPEN_WRITE) == 0) abort();
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
  if (disk->changes == SIM_ALL) disk->nodes[index].changed++;
  if (done > 0) sim_record(disk, "write");
  if (code != 0) return -code;
  if (size > 0 && done == 0) return sim_failed(disk, "write", ENOSPC, index, NULL);
  return (int64_t)done;
}

static int s_sync(void *context, int file) {
  sim_disk *disk = context;
  uint32_t index = sim_handle_of(disk, file)->node;
  int code = sim_fails(disk, "sync", index, NULL);
  if (disk->fault.sync) code = disk->fault.code;
  disk->fault.sync = false;
  if (code != 0) {
    if (code != EINTR) sim_lose_pages(disk, index);
    return -code;
  }
  sim_settle(disk, index, false);
  sim_record(disk, "sync");
  return 0;
}

static int s_truncate(void *context, int file, uint64_t size) {
  sim_disk *disk = context;
  uint32_t index = sim_handle_of(disk, file)->node;
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
    sim_fence(disk, node);
  }
  sim_record(disk, "truncate");
  return -code;
}

static int s_reserve(void *context, int file, uint64_t offset, uint64_t size) {
  sim_disk *disk = context;
  uint32_t index = sim_handle_of(disk, file)->node;
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
  sim_record(disk, "reserve");
  return -code;
}

static void s_write_back(void *context, int file, uint64_t offset, uint64_t size) {
  (void)context, (void)file, (void)offset, (void)size; /* a hint promises nothing */
}

static int take_lock(sim_disk *disk, int file, bool exclusive, unsigned kind) {
  sim_handle *handle = sim_handle_of(disk, file);
  int code = sim_fails(disk, "lock", handle->node, NULL);
  if (code != 0) return -code;
  sim_locks *locks = &disk->nodes[handle->node].locks[kind];
  sim_drop_lock(disk, handle, kind);
  if (locks->owned || (exclusive && locks->readers > 0)) return -EAGAIN;
  if (exclusive) locks->owned = true;
  else locks->readers++;
  handle->locks[kind] = exclusive ? SIM_EXCLUSIVE : SIM_SHARED;
  disk->locks_held++;
  return 0;
}

static int s_lock(void *context, int file, bool exclusive) {
  return take_lock(context, file, exclusive, SIM_LOCK);
}

static int s_lock_dir(void *context, int dir, bool exclusive) {
  return take_lock(context, dir, exclusive, SIM_LOCK_DIR);
}

static int s_is_locked(void *context, int file, bool exclusive) {
  sim_disk *disk = context;
  sim_handle *handle = sim_handle_of(disk, file);
  int code = sim_fails(disk, "is_locked", handle->node, NULL);
  if (code != 0) return -code;
  const sim_locks *locks = &disk->nodes[handle->node].locks[SIM_LOCK];
  uint32_t own = handle->locks[SIM_LOCK] == SIM_SHARED;
  if (locks->owned) return handle->locks[SIM_LOCK] != SIM_EXCLUSIVE;
  return exclusive && locks->readers > own;
}

void sim_files_fill(fj_os *os) {
  os->open = s_open;
  os->close = s_close;
  os->stat = s_stat;
  os->examine = s_examine;
  os->read = s_read;
  os->write = s_write;
  os->sync = s_sync;
  os->truncate = s_truncate;
  os->reserve = s_reserve;
  os->write_back = s_write_back;
  os->lock = s_lock;
  os->lock_dir = s_lock_dir;
  os->is_locked = s_is_locked;
}
