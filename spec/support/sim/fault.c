/* fault.c - which calls of the simulated disk fail, what they have done all the same, and
 * what they were about. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "calls.h"
#include "hash.h"

#define CALLS_EACH 16u      /* of so many one fails at random */
#define ALLOCATIONS_EACH 8u /* likewise */

/* ---- what failed ------------------------------------------------------ */

/* Writes the path of a node, and of `name` in it. */
static void path_of(const sim_disk *disk, uint32_t node, const char *name, char *path,
                    size_t room) {
  char before[96];
  (void)snprintf(path, room, "%s", name == NULL ? "" : name);
  while (node != SIM_ROOT) {
    const char *own = NULL;
    node = sim_disk_name(disk, node, &own);
    if (node == UINT32_MAX) return;
    (void)snprintf(before, sizeof before, "%s", path);
    (void)snprintf(path, room, "%s%s%.60s", own, *before != '\0' ? "/" : "", before);
  }
}

void sim_disk_forget(sim_disk *disk) { disk->failure_count = 0; }

int sim_failed(sim_disk *disk, const char *call, int code, uint32_t node, const char *name) {
  sim_failure failure = {.call = call, .code = code};
  disk->faulty = true;
  if (disk->failure_count < SIM_FAILURES || disk->first_failure.call == NULL)
    path_of(disk, node, name, failure.path, sizeof failure.path);
  if (disk->failures == NULL)
    disk->failures = sim_allocate(SIM_FAILURES * sizeof *disk->failures);
  if (disk->failure_count < SIM_FAILURES) disk->failures[disk->failure_count] = failure;
  if (disk->first_failure.call == NULL) disk->first_failure = failure;
  disk->failure_count++;
  return -code;
}

/* ---- what is to fail -------------------------------------------------- */

/* A number that the seed gives to a call; `salt` makes it another one. */
static uint64_t random_of(const sim_fault *f, long number, uint64_t salt) {
  uint64_t bits = f->random * UINT64_C(0x9E3779B97F4A7C15) + (uint64_t)number;
  return fj_hash(&bits, sizeof bits, salt) >> 8;
}

/* Whether call or allocation `number` is to fail. */
static bool is_due(const sim_fault *f, long number, long at, bool on, uint64_t one_in) {
  if (f->random != 0) return random_of(f, number, one_in) % one_in == 0;
  return at != 0 && (number == at || (on && number > at));
}

static int code_of(const sim_fault *f, long number) {
  static const int codes[] = {EIO, EIO, ENOSPC, EDQUOT, EMFILE, EROFS};
  if (f->random == 0) return f->code;
  return codes[random_of(f, number, 1) % (sizeof codes / sizeof *codes)];
}

void sim_disk_fail(sim_disk *disk, const sim_fault *fault) {
  disk->fault = *fault;
  disk->calls = disk->allocations = 0;
  disk->failed_calls = disk->failed_allocations = 0;
  disk->first_failure.call = NULL;
}

static bool may_be_interrupted(const char *call) {
  static const char *const calls[] = {"read", "write", "sync", "sync_dir", "reserve"};
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
    if (strcmp(call, calls[i]) == 0) return true;
  return false;
}

int sim_fails(sim_disk *disk, const char *call, uint32_t node, const char *name) {
  const sim_fault *f = &disk->fault;
  sim_disk_look(disk);
  disk->calls++;
  int code = code_of(f, disk->calls);
  if (code == 0 || !is_due(f, disk->calls, f->at, f->on, CALLS_EACH)) return 0;
  if (code == EINTR && !may_be_interrupted(call)) return 0;
  disk->failed_calls++;
  if (code == EINTR) return code; /* no failure: it is made again */
  (void)sim_failed(disk, call, code, node, name);
  return code;
}

sim_effect sim_effect_of(const sim_disk *disk, int code) {
  if (code == 0) return SIM_WHOLE;
  bool first = disk->fault.random != 0 || disk->calls == disk->fault.at;
  return code == EIO && first ? disk->fault.effect : SIM_NOTHING;
}

bool sim_is_short(const sim_disk *disk) {
  const sim_fault *f = &disk->fault;
  return f->code == 0 && f->random == 0 && is_due(f, disk->calls, f->at, f->on, CALLS_EACH);
}

bool sim_memory_fails(sim_disk *disk) {
  const sim_fault *f = &disk->fault;
  disk->allocations++;
  if (!is_due(f, disk->allocations, f->memory_at, f->memory_on, ALLOCATIONS_EACH))
    return false;
  disk->failed_allocations++;
  (void)sim_failed(disk, "memory", ENOMEM, SIM_ROOT, NULL);
  return true;
}

void sim_lose_pages(sim_disk *disk, uint32_t index) {
  sim_node *node = &disk->nodes[index];
  if (disk->fault.loss == SIM_KEEP_DIRTY) return;
  sim_settle(disk, index, true);
  disk->lost = node->lossy = true;
  uint64_t size = node->now.size;
  if (disk->fault.loss == SIM_DROP && node->now.room > 0) {
    uint64_t known = node->disk.size < size ? node->disk.size : size;
    memset(node->now.at, 0, size);
    if (known > 0) memcpy(node->now.at, node->disk.at, known);
    if (node->seen != NULL) memcpy(node->seen, node->now.at, node->now.room);
    disk->dropped = true;
  }
  /* The size is kept by the file system's own structures; the pages are gone. */
  sim_unit unit = {.kind = SIM_SIZE, .node = index, .size = size};
  if (node->disk.size < size) unit.kind = SIM_GROW;
  if (node->disk.size != size) sim_unit_add(disk, &unit, NULL);
}
