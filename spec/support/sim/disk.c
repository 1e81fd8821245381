/* disk.c - see disk.h: nodes, entries, stores to mapped files, what a test does from
 * outside. The table's functions are in calls.c, directories.c, files.c and memory.c. */
#include "disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "calls.h"

#define RUN_GAP 24u /* unchanged bytes that part two runs of changed ones */

/* A test without memory is no test. */
void *sim_allocate(size_t size) {
  void *block = calloc(1, size == 0 ? 1 : size);
  if (block == NULL) abort();
  return block;
}

static void *grow(void *old, size_t used, size_t size) {
  void *block = sim_allocate(size);
  if (used > 0) memcpy(block, old, used);
  free(old);
  return block;
}

/* ---- bytes and entries ------------------------------------------------ */

static uint64_t room_for(uint64_t size, uint64_t room) {
  if (room == 0) room = 256;
  while (room < size) room *= 2;
  return room;
}

void sim_bytes_resize(sim_bytes *bytes, uint64_t size) {
  if (size > bytes->room) {
    uint64_t room = room_for(size, bytes->room);
    bytes->at = grow(bytes->at, bytes->size, room);
    bytes->room = room;
  }
  if (size < bytes->size) memset(bytes->at + size, 0, bytes->size - size);
  bytes->size = size;
}

static void bytes_copy(sim_bytes *to, const sim_bytes *from) {
  if (from->size > to->room) {
    free(to->at);
    to->room = room_for(from->size, to->room);
    to->at = malloc(to->room);
    if (to->at == NULL) abort();
    to->size = to->room; /* none of it is known to be zero */
  }
  if (from->size > 0) memcpy(to->at, from->at, from->size);
  if (from->size < to->size) memset(to->at + from->size, 0, to->size - from->size);
  to->size = from->size;
}

uint32_t sim_entries_find(const sim_entries *entries, const char *name) {
  for (uint32_t i = 0; i < entries->count; i++)
    if (strcmp(entries->items[i].name, name) == 0) return entries->items[i].node;
  return UINT32_MAX;
}

void sim_entries_set(sim_entries *entries, const char *name, uint32_t node) {
  sim_entries_remove(entries, name);
  if (entries->count == entries->room) {
    entries->room = entries->room == 0 ? 8 : entries->room * 2;
    entries->items = grow(entries->items, entries->count * sizeof *entries->items,
                          entries->room * sizeof *entries->items);
  }
  sim_entry *entry = &entries->items[entries->count++];
  memset(entry, 0, sizeof *entry);
  (void)snprintf(entry->name, sizeof entry->name, "%s", name);
  entry->node = node;
}

void sim_entries_remove(sim_entries *entries, const char *name) {
  for (uint32_t i = 0; i < entries->count; i++) {
    if (strcmp(entries->items[i].name, name) != 0) continue;
    entries->items[i] = entries->items[--entries->count];
    return;
  }
}

static void entries_copy(sim_entries *to, const sim_entries *from) {
  to->count = 0;
  for (uint32_t i = 0; i < from->count; i++)
    sim_entries_set(to, from->items[i].name, from->items[i].node);
}

uint32_t sim_node_new(sim_disk *disk, sim_type type) {
  if (disk->node_count == disk->node_room) {
    disk->node_room = disk->node_room == 0 ? 16 : disk->node_room * 2;
    disk->nodes = grow(disk->nodes, disk->node_count * sizeof *disk->nodes,
                       disk->node_room * sizeof *disk->nodes);
  }
  sim_node *node = &disk->nodes[disk->node_count];
  memset(node, 0, sizeof *node);
  node->type = type;
  return disk->node_count++;
}

/* ---- life ------------------------------------------------------------- */

/* Millions of disks are made and dropped: their memory need not go back to the system. */
static void keep_memory(void) {
#ifdef __GLIBC__
  static bool done;
  if (!done) (void)mallopt(M_MMAP_THRESHOLD, 1 << 28);
  if (!done) (void)mallopt(M_TRIM_THRESHOLD, 1 << 28);
  done = true;
#endif
}

sim_disk *sim_disk_create(uint64_t seed) {
  keep_memory();
  sim_disk *disk = sim_allocate(sizeof *disk);
  sim_calls_fill(&disk->os, disk);
  disk->seed = seed;
  disk->clock = UINT64_C(1700000000000000);
  (void)sim_node_new(disk, SIM_DIRECTORY);
  return disk;
}

static void unit_free(sim_unit *unit) { free(unit->data); }

void sim_disk_jump(sim_disk *disk, int64_t by) {
  disk->clock += (uint64_t)by;
  disk->jumped += (uint64_t)by;
}

void sim_disk_destroy(sim_disk *disk) {
  if (disk == NULL) return;
  disk->hook = NULL;
  sim_disk_kill(disk);
  for (uint32_t i = 0; i < disk->node_count; i++) {
    sim_node *node = &disk->nodes[i];
    free(node->now.at);
    free(node->disk.at);
    free(node->seen);
    free(node->holes);
    free(node->entries.items);
    free(node->durable.items);
  }
  for (uint32_t i = 0; i < disk->unit_count; i++) unit_free(&disk->units[i]);
  free(disk->units);
  free(disk->handles);
  free(disk->nodes);
  free(disk->failures);
  free(disk);
}

/* A node's content and names, `disk` and `durable` being what is durable. */
static void node_copy(sim_node *to, const sim_node *from, const sim_bytes *disk,
                      const sim_entries *durable) {
  to->parent = from->parent;
  to->lossy = from->lossy;
  to->changed = from->changed;
  if (from->hole_pages > 0) to->holes = grow(NULL, 0, from->hole_pages);
  if (from->hole_pages > 0) memcpy(to->holes, from->holes, from->hole_pages);
  to->hole_pages = from->hole_pages;
  bytes_copy(&to->now, &from->now);
  bytes_copy(&to->disk, disk);
  entries_copy(&to->entries, &from->entries);
  entries_copy(&to->durable, durable);
}

static sim_disk *disk_new_like(const sim_disk *disk) {
  sim_disk *copy = sim_disk_create(disk->seed);
  copy->clock = disk->clock;
  copy->jumped = disk->jumped;
  copy->no_reserve = disk->no_reserve;
  copy->changes = disk->changes;
  copy->plain = disk->plain;
  copy->space = disk->space;
  copy->sample = disk->sample;
  for (uint32_t i = 1; i < disk->node_count; i++)
    (void)sim_node_new(copy, disk->nodes[i].type);
  return copy;
}

sim_disk *sim_disk_copy(sim_disk *disk) {
  sim_disk_look(disk);
  sim_disk *copy = disk_new_like(disk);
  for (uint32_t i = 0; i < disk->node_count; i++)
    node_copy(&copy->nodes[i], &disk->nodes[i], &disk->nodes[i].now, &disk->nodes[i].entries);
  return copy;
}

sim_disk *sim_disk_clone(const sim_disk *disk) {
  sim_disk *copy = disk_new_like(disk);
  for (uint32_t i = 0; i < disk->node_count; i++)
    node_copy(&copy->nodes[i], &disk->nodes[i], &disk->nodes[i].disk, &disk->nodes[i].durable);
  copy->unchecked = true; /* these changes were looked at when they were made */
  for (uint32_t i = 0; i < disk->unit_count; i++)
    sim_unit_add(copy, &disk->units[i], disk->units[i].data);
  copy->unchecked = disk->unchecked;
  return copy;
}

long sim_disk_held(const sim_disk *disk) {
  return disk->handles_held + disk->locks_held + disk->maps_held + disk->blocks_held +
         disk->pages_held;
}

bool sim_is_hole(const sim_node *node, uint64_t offset) {
  return offset / SIM_PAGE < node->hole_pages && node->holes[offset / SIM_PAGE] != 0;
}

void sim_disk_make_unreadable(sim_disk *disk, const char *path, uint64_t offset,
                              uint64_t size) {
  sim_node *node = &disk->nodes[sim_disk_find(disk, path)];
  node->bad_from = offset;
  node->bad_end = offset + size;
}

/* ---- pending changes -------------------------------------------------- */

void sim_unit_add(sim_disk *disk, const sim_unit *unit, const void *data) {
  if (disk->plain) return;
  if (disk->unit_count == disk->unit_room) {
    disk->unit_room = disk->unit_room == 0 ? 32 : disk->unit_room * 2;
    disk->units = grow(disk->units, disk->unit_count * sizeof *disk->units,
                       disk->unit_room * sizeof *disk->units);
  }
  if (!disk->unchecked) sim_order_unit(disk, unit);
  sim_unit *added = &disk->units[disk->unit_count++];
  *added = *unit;
  added->data = NULL;
  if (unit->kind != SIM_DATA) return;
  added->data = sim_allocate(unit->size);
  memcpy(added->data, data, unit->size);
}

void sim_add_data(sim_disk *disk, uint32_t node, bool mapped, uint64_t offset, uint64_t size,
                  const uint8_t *data) {
  while (size > 0) {
    uint64_t piece = SIM_PAGE - offset % SIM_PAGE;
    if (piece > size) piece = size;
    sim_unit unit = {
        .kind = SIM_DATA, .node = node, .mapped = mapped, .offset = offset, .size = piece};
    sim_unit_add(disk, &unit, data);
    offset += piece;
    data += piece;
    size -= piece;
  }
}

bool sim_is_entry(const sim_unit *unit) { return unit->kind >= SIM_ADD; }

void sim_bytes_apply(sim_bytes *bytes, const sim_unit *unit, const uint8_t *data,
                     uint64_t size) {
  if (unit->kind == SIM_SIZE) {
    sim_bytes_resize(bytes, unit->size);
  } else if (unit->kind == SIM_GROW) {
    if (unit->size > bytes->size) sim_bytes_resize(bytes, unit->size);
  } else if (size > 0) {
    uint64_t end = unit->offset + size;
    if (end > bytes->size && !unit->mapped) sim_bytes_resize(bytes, end);
    if (end > bytes->size) end = bytes->size; /* no block is there to take the rest */
    if (end > unit->offset) memcpy(bytes->at + unit->offset, data, end - unit->offset);
  }
}

void sim_entries_apply(sim_entries *entries, const sim_unit *unit) {
  if (unit->kind != SIM_ADD) sim_entries_remove(entries, unit->name);
  if (unit->kind != SIM_REMOVE)
    sim_entries_set(entries, unit->kind == SIM_MOVE ? unit->to : unit->name, unit->target);
}

void sim_settle(sim_disk *disk, uint32_t node, bool lose) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < disk->unit_count; i++) {
    sim_unit *unit = &disk->units[i];
    if (unit->node != node) {
      disk->units[kept++] = *unit;
      continue;
    }
    sim_node *of = &disk->nodes[node];
    if (!lose && sim_is_entry(unit)) sim_entries_apply(&of->durable, unit);
    else if (!lose) sim_bytes_apply(&of->disk, unit, unit->data, unit->size);
    unit_free(unit);
  }
  disk->unit_count = kept;
}

/* ---- stores to mapped files ------------------------------------------- */

/* One unit for each run of changed bytes of a page. The bytes between two runs are none of
 * the change: garbage in its place does not touch them. */
static void look_at_page(sim_disk *disk, uint32_t index, uint64_t from, uint64_t to) {
  sim_node *node = &disk->nodes[index];
  while (from < to) {
    while (from < to && node->now.at[from] == node->seen[from]) from++;
    if (from == to) return;
    uint64_t end = from;
    uint64_t last = from;
    while (end < to && end - last < RUN_GAP) {
      if (node->now.at[end] != node->seen[end]) last = end;
      end++;
    }
    uint64_t size = last + 1 - from;
    if (from + size > node->now.size)
      sim_order_break(disk, "a store behind the end of a mapped file (offset %llu)",
                      (unsigned long long)from);
    if (node->writers == 0)
      sim_order_break(disk, "a store to a file that is not mapped for writing");
    if (sim_is_hole(node, from))
      sim_order_break(disk, "a store to a mapped page without a block (offset %llu)",
                      (unsigned long long)from);
    sim_add_data(disk, index, true, from, size, node->now.at + from);
    memcpy(node->seen + from, node->now.at + from, size);
    from = last + 1;
  }
}

static bool look_at(sim_disk *disk, uint32_t index) {
  sim_node *node = &disk->nodes[index];
  uint32_t before = disk->unit_count;
  if (node->seen == NULL || memcmp(node->now.at, node->seen, node->now.room) == 0)
    return false;
  for (uint64_t page = 0; page < node->now.room; page += SIM_PAGE) {
    uint64_t end = page + SIM_PAGE < node->now.room ? page + SIM_PAGE : node->now.room;
    look_at_page(disk, index, page, end);
  }
  return disk->unit_count > before;
}

void sim_disk_look(sim_disk *disk) {
  bool found = false;
  if (disk->plain || disk->maps_held == 0) return;
  for (uint32_t i = 0; i < disk->node_count; i++) found = look_at(disk, i) || found;
  if (found && disk->hook != NULL) disk->hook(disk->argument, disk, "store");
}

/* ---- from outside ----------------------------------------------------- */

uint32_t sim_disk_find(const sim_disk *disk, const char *path) {
  uint32_t node = SIM_ROOT;
  while (*path != '\0' && node != UINT32_MAX) {
    char name[SIM_NAME_MAX];
    size_t size = strcspn(path, "/");
    (void)snprintf(name, sizeof name, "%.*s", (int)size, path);
    node = sim_entries_find(&disk->nodes[node].entries, name);
    path += size + (path[size] == '/');
  }
  return node;
}

uint32_t sim_disk_name(const sim_disk *disk, uint32_t node, const char **name) {
  for (uint32_t i = 0; i < disk->node_count; i++) {
    const sim_entries *entries = &disk->nodes[i].entries;
    for (uint32_t k = 0; k < entries->count; k++) {
      if (entries->items[k].node != node) continue;
      *name = entries->items[k].name;
      return i;
    }
  }
  return UINT32_MAX;
}

/* Splits a path into the node of its directory and its name. */
static uint32_t find_parent(const sim_disk *disk, const char *path, const char **name) {
  char parent[256];
  const char *slash = strrchr(path, '/');
  *name = slash == NULL ? path : slash + 1;
  if (slash == NULL) return SIM_ROOT;
  (void)snprintf(parent, sizeof parent, "%.*s", (int)(slash - path), path);
  return sim_disk_find(disk, parent);
}

static uint32_t place(sim_disk *disk, const char *path, sim_type type) {
  const char *name = NULL;
  uint32_t parent = find_parent(disk, path, &name);
  if (parent == UINT32_MAX) abort(); /* the test is wrong */
  uint32_t node = sim_node_new(disk, type);
  disk->nodes[node].parent = parent;
  sim_entries_set(&disk->nodes[parent].entries, name, node);
  sim_entries_set(&disk->nodes[parent].durable, name, node);
  return node;
}

void sim_disk_put(sim_disk *disk, const char *path, const void *bytes, uint64_t size) {
  uint32_t index = sim_disk_find(disk, path);
  if (index == UINT32_MAX || disk->nodes[index].type != SIM_FILE)
    index = place(disk, path, SIM_FILE);
  sim_node *node = &disk->nodes[index];
  node->changed++;
  sim_bytes_resize(&node->now, size);
  if (size > 0) memcpy(node->now.at, bytes, size);
  if (node->seen != NULL) node->seen = grow(node->seen, 0, node->now.room);
  if (node->seen != NULL) memcpy(node->seen, node->now.at, node->now.room);
  if (!disk->plain) bytes_copy(&node->disk, &node->now);
}

void sim_disk_put_part(sim_disk *disk, const char *path, uint64_t offset, const void *bytes,
                       uint64_t size) {
  sim_node *node = &disk->nodes[sim_disk_find(disk, path)];
  if (offset + size > node->now.size || (!disk->plain && offset + size > node->disk.size))
    abort(); /* the test is wrong */
  memcpy(node->now.at + offset, bytes, size);
  if (node->seen != NULL) memcpy(node->seen + offset, bytes, size);
  if (!disk->plain) memcpy(node->disk.at + offset, bytes, size);
}

void sim_disk_punch(sim_disk *disk, const char *path) {
  uint32_t index = sim_disk_find(disk, path);
  if (index == UINT32_MAX || disk->nodes[index].maps > 0) abort(); /* the test is wrong */
  sim_node *node = &disk->nodes[index];
  free(node->holes);
  node->hole_pages = (node->now.size + SIM_PAGE - 1) / SIM_PAGE;
  node->holes = sim_allocate(node->hole_pages);
  memset(node->holes, 1, node->hole_pages);
  for (uint64_t i = 0; i < node->now.size; i++)
    if (node->now.at[i] != 0) node->holes[i / SIM_PAGE] = 0;
}

void sim_disk_put_type(sim_disk *disk, const char *path, sim_type type) {
  (void)place(disk, path, type);
}

void sim_disk_remove(sim_disk *disk, const char *path) {
  const char *name = NULL;
  uint32_t parent = find_parent(disk, path, &name);
  if (parent == UINT32_MAX) return;
  sim_entries_remove(&disk->nodes[parent].entries, name);
  sim_entries_remove(&disk->nodes[parent].durable, name);
}

const uint8_t *sim_disk_bytes(const sim_disk *disk, const char *path, uint64_t *size) {
  uint32_t node = sim_disk_find(disk, path);
  if (node == UINT32_MAX || disk->nodes[node].type != SIM_FILE) return NULL;
  *size = disk->nodes[node].now.size;
  return disk->nodes[node].now.at;
}
