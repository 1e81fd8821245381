/* directories.c - the simulated disk's calls about directories and names. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "calls.h"

uint32_t sim_directory_of(sim_disk *disk, int dir) {
  return dir < 0 ? SIM_ROOT : sim_handle_of(disk, dir)->node;
}

void sim_add_entry(sim_disk *disk, sim_kind kind, uint32_t dir, const char *name,
                   const char *to, uint32_t target) {
  sim_unit unit = {.kind = kind, .node = dir, .target = target};
  strncpy(unit.name, name, SIM_NAME_MAX - 1);
  strncpy(unit.to, to, SIM_NAME_MAX - 1);
  sim_unit_add(disk, &unit, NULL);
  sim_entries_apply(&disk->nodes[dir].entries, &unit);
}

static int s_make_dir(void *context, int dir, const char *path) {
  sim_disk *disk = context;
  uint32_t parent = sim_directory_of(disk, dir);
  int code = sim_fails(disk, "make_dir", parent, path);
  if (sim_effect_of(disk, code) != SIM_WHOLE) return -code;
  if (sim_entries_find(&disk->nodes[parent].entries, path) != UINT32_MAX) return -EEXIST;
  uint32_t node = sim_node_new(disk, SIM_DIRECTORY);
  disk->nodes[node].parent = parent;
  sim_add_entry(disk, SIM_ADD, parent, path, "", node);
  sim_record(disk, "make_dir");
  return -code;
}

static int s_open_dir(void *context, int dir, const char *path, int *out) {
  sim_disk *disk = context;
  uint32_t parent = sim_directory_of(disk, dir);
  int code = sim_fails(disk, "open_dir", parent, path);
  if (code != 0) return -code;
  uint32_t node = UINT32_MAX;
  if (strcmp(path, "..") == 0) node = disk->nodes[parent].parent;
  else if (strcmp(path, ".") == 0) node = parent;
  else node = sim_entries_find(&disk->nodes[parent].entries, path);
  if (node == UINT32_MAX) return -ENOENT;
  if (disk->nodes[node].type == SIM_LINK) return dir < 0 ? -ENOENT : -ELOOP;
  if (disk->nodes[node].type != SIM_DIRECTORY) return -ENOTDIR;
  return sim_handle_new(disk, node, 0, out);
}

static int s_list(void *context, int dir, fj_os_visit visit, void *argument) {
  sim_disk *disk = context;
  uint32_t index = sim_directory_of(disk, dir);
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
  uint32_t index = sim_directory_of(disk, dir);
  int code = sim_fails(disk, "sync_dir", index, NULL);
  if (code != 0) return -code; /* the entries stay pending */
  if (disk->fault.sync_dir > 0 && --disk->fault.sync_dir == 0) {
    sim_settle(disk, index, true);
    return sim_failed(disk, "sync_dir", EIO, index, NULL);
  }
  sim_settle(disk, index, false);
  sim_record(disk, "sync_dir");
  return 0;
}

static int s_rename(void *context, int dir, const char *from, const char *to) {
  sim_disk *disk = context;
  uint32_t index = sim_directory_of(disk, dir);
  int code = sim_fails(disk, "rename", index, to);
  if (sim_effect_of(disk, code) != SIM_WHOLE) return -code;
  uint32_t node = sim_entries_find(&disk->nodes[index].entries, from);
  if (node == UINT32_MAX) return -ENOENT;
  uint32_t there = sim_entries_find(&disk->nodes[index].entries, to);
  if (there != UINT32_MAX && disk->nodes[there].type == SIM_DIRECTORY) return -EISDIR;
  sim_add_entry(disk, SIM_MOVE, index, from, to, node);
  sim_record(disk, "rename");
  return -code;
}

static int s_unlink(void *context, int dir, const char *name) {
  sim_disk *disk = context;
  uint32_t index = sim_directory_of(disk, dir);
  int code = sim_fails(disk, "unlink", index, name);
  if (sim_effect_of(disk, code) != SIM_WHOLE) return -code;
  uint32_t node = sim_entries_find(&disk->nodes[index].entries, name);
  if (node == UINT32_MAX) return -ENOENT;
  if (disk->nodes[node].type == SIM_DIRECTORY) return -EISDIR;
  sim_add_entry(disk, SIM_REMOVE, index, name, "", node);
  sim_record(disk, "unlink");
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
  sim_add_entry(disk, SIM_REMOVE, SIM_ROOT, path, "", node);
  sim_record(disk, "remove_dir");
  return -code;
}

static int s_link(void *context, int from, const char *name, int to) {
  sim_disk *disk = context;
  uint32_t node = sim_entries_find(&disk->nodes[sim_directory_of(disk, from)].entries, name);
  uint32_t target = sim_directory_of(disk, to);
  int code = sim_fails(disk, "link", target, name);
  if (sim_effect_of(disk, code) != SIM_WHOLE) return -code;
  if (disk->no_link) return -EPERM;
  if (node == UINT32_MAX) return -ENOENT;
  if (disk->nodes[node].type == SIM_DIRECTORY) return -EPERM;
  if (sim_entries_find(&disk->nodes[target].entries, name) != UINT32_MAX) return -EEXIST;
  sim_add_entry(disk, SIM_ADD, target, name, "", node);
  sim_record(disk, "link");
  return -code;
}

void sim_directories_fill(fj_os *os) {
  os->make_dir = s_make_dir;
  os->open_dir = s_open_dir;
  os->list = s_list;
  os->sync_dir = s_sync_dir;
  os->rename = s_rename;
  os->unlink = s_unlink;
  os->remove_dir = s_remove_dir;
  os->link = s_link;
}
