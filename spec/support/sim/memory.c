/* memory.c - the simulated disk's calls about mapped files and memory, the clocks, and what is
 * left. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "calls.h"

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

#define FILL_MAX 16384u     /* bytes of a block that are filled, */
#define FILL_PLAIN 512u     /* and by a plain disk */
#define KEPT_MIN 32768u     /* bytes of a block that plain disks keep for the next one */
#define KEPT_MAX (1u << 20) /* larger ones go back to the system */
#define KEPT_BLOCKS 8u

/* ---- mapped files ----------------------------------------------------- */

void sim_forget_seen(sim_node *node) {
  free(node->seen);
  node->seen = NULL;
}

void sim_fence(const sim_disk *disk, const sim_node *node) {
  if (!disk->plain || node->now.room == 0) return;
  uint64_t end = node->maps > 0 ? node->now.size : node->now.room;
  ASAN_UNPOISON_MEMORY_REGION(node->now.at, end);
  ASAN_POISON_MEMORY_REGION(node->now.at + end, node->now.room - end);
}

static int s_map(void *context, int file, uint64_t size, bool writable, uint8_t **out) {
  sim_disk *disk = context;
  int code = sim_fails(disk, "map", sim_handle_of(disk, file)->node, NULL);
  if (code != 0) return -code;
  if (size == 0) return -EINVAL;
  sim_node *node = sim_node_of(disk, file);
  if (node->type != SIM_FILE) return -ENODEV;
  if (size > node->now.room) {
    if (node->maps > 0) abort(); /* map larger first, in the tests */
    uint64_t had = node->now.size;
    sim_bytes_resize(&node->now, size);
    sim_bytes_resize(&node->now, had);
    sim_forget_seen(node);
  }
  if (writable && node->seen == NULL && !disk->plain) {
    node->seen = sim_allocate(node->now.room);
    memcpy(node->seen, node->now.at, node->now.room);
  }
  node->maps++;
  node->writers += writable;
  disk->maps_held++;
  sim_fence(disk, node);
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
  sim_forget_seen(node);
  sim_fence(disk, node);
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
  size_t most = disk->plain ? FILL_PLAIN : FILL_MAX;
  memset(block, 0xA5, size < most ? size : most);
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

void sim_memory_drop(sim_disk *disk) {
  while (disk->blocks != NULL) block_free(disk, disk->blocks->bytes);
}

/* ---- the rest ------------------------------------------------ */

static uint64_t s_clock(void *context) { return ((sim_disk *)context)->clock; }

static uint64_t s_monotonic(void *context) {
  const sim_disk *disk = context;
  return disk->clock - disk->jumped;
}

static void s_sleep(void *context, uint64_t microseconds) {
  ((sim_disk *)context)->clock += microseconds;
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

static int s_barrier(void *context) {
  (void)context;
  return 0;
}

static const volatile uint32_t *s_fork_guard(void *context) {
  (void)context;
  return NULL;
}

static void s_release_fork_guard(void *context, const volatile uint32_t *guard) {
  (void)context, (void)guard;
}

static uint64_t s_forks(void *context) {
  (void)context;
  return 0;
}

void sim_memory_fill(fj_os *os) {
  os->map = s_map;
  os->unmap = s_unmap;
  os->protect = s_protect;
  os->allocate = s_allocate;
  os->release = s_release;
  os->allocate_pages = s_allocate_pages;
  os->discard_pages = s_discard_pages;
  os->release_pages = s_release_pages;
  os->now = s_clock;
  os->monotonic = s_monotonic;
  os->timer = s_monotonic;
  os->sleep = s_sleep;
  os->random = s_random;
  os->process = s_process;
  os->barrier = s_barrier;
  os->fork_guard = s_fork_guard;
  os->release_fork_guard = s_release_fork_guard;
  os->forks = s_forks;
}
