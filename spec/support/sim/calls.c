/* calls.c - the simulated disk's table: handles and recording, which its functions share.
 * Those are in directories.c, files.c and memory.c. */
#include "calls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HANDLES_MAX 64u

/* ---- recording --------------------------------------------------------- */

void sim_record(sim_disk *disk, const char *call) {
  if (disk->hook != NULL) disk->hook(disk->argument, disk, call);
}

/* ---- handles ---------------------------------------------------------- */

sim_handle *sim_handle_of(sim_disk *disk, int file) {
  if (file < 1 || (uint32_t)file > disk->handle_count || !disk->handles[file - 1].used)
    abort(); /* the engine uses a descriptor that is not open */
  return &disk->handles[file - 1];
}

sim_node *sim_node_of(sim_disk *disk, int file) {
  return &disk->nodes[sim_handle_of(disk, file)->node];
}

int sim_handle_new(sim_disk *disk, uint32_t node, unsigned flags, int *out) {
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

void sim_drop_lock(sim_disk *disk, sim_handle *handle, unsigned kind) {
  sim_locks *locks = &disk->nodes[handle->node].locks[kind];
  if (handle->locks[kind] == SIM_SHARED) locks->readers--;
  if (handle->locks[kind] == SIM_EXCLUSIVE) locks->owned = false;
  if (handle->locks[kind] != SIM_UNLOCKED) disk->locks_held--;
  handle->locks[kind] = SIM_UNLOCKED;
}

void sim_drop_locks(sim_disk *disk, sim_handle *handle) {
  for (unsigned kind = 0; kind < SIM_LOCKS; kind++) sim_drop_lock(disk, handle, kind);
}

void sim_disk_orphan(sim_disk *disk) {
  sim_disk_look(disk);
  for (uint32_t i = 0; i < disk->handle_count; i++)
    for (unsigned kind = 0; kind < SIM_LOCKS; kind++)
      if (disk->handles[i].used && disk->handles[i].locks[kind] == SIM_EXCLUSIVE)
        sim_drop_lock(disk, &disk->handles[i], kind);
}

/* ---- the table ------------------------------------------------------- */

void sim_disk_kill(sim_disk *disk) {
  sim_disk_look(disk);
  for (uint32_t i = 0; i < disk->handle_count; i++) {
    if (disk->handles[i].used) sim_drop_locks(disk, &disk->handles[i]);
    disk->handles[i].used = false;
  }
  for (uint32_t i = 0; i < disk->node_count; i++) {
    disk->nodes[i].maps = disk->nodes[i].writers = 0;
    sim_forget_seen(&disk->nodes[i]);
    sim_fence(disk, &disk->nodes[i]);
  }
  sim_memory_drop(disk);
  disk->handles_held = disk->maps_held = disk->blocks_held = disk->pages_held = 0;
}

void sim_calls_fill(fj_os *os, sim_disk *disk) {
  memset(os, 0, sizeof *os);
  os->context = disk;
  sim_directories_fill(os);
  sim_files_fill(os);
  sim_memory_fill(os);
}
