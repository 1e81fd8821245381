/* os_wrap.c - see os_wrap.h. */
#include "os_wrap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "os.h"

plan os_plan;
os_held os_held_now;
os_clock os_clock_now;
int os_sync_code;

const fj_os *__real_fj_os_real(void);
const fj_os *__wrap_fj_os_real(void);

static const fj_os *real;

static int w_open_dir(void *c, int dir, const char *path, int *out) {
  int code = real->open_dir(c, dir, path, out);
  os_held_now.files += code == 0;
  return code;
}
static int w_open(void *c, int dir, const char *name, unsigned flags, int *file) {
  int code = real->open(c, dir, name, flags, file);
  os_held_now.files += code == 0;
  return code;
}
static int w_close(void *c, int file) {
  os_held_now.files--;
  return real->close(c, file);
}
static int w_map(void *c, int file, uint64_t size, bool writable, uint8_t **out) {
  int code = real->map(c, file, size, writable, out);
  os_held_now.maps += code == 0;
  return code;
}
static void w_unmap(void *c, uint8_t *map, uint64_t size) {
  os_held_now.maps--;
  real->unmap(c, map, size);
}
static int w_sync(void *c, int file) {
  return os_sync_code != 0 ? -os_sync_code : real->sync(c, file);
}
/* Before each block stands its size, so that it can be overwritten when it is given back: then
 * it shows if it is still read. Behind it stands what nobody may write to. */
#define HEADER 16u
static const uint8_t fence[16] = "behind a block";

static void *w_allocate(void *c, size_t size) {
  uint8_t *block =
      plan_fails(&os_plan) ? NULL : real->allocate(c, HEADER + size + sizeof fence);
  if (block == NULL) return NULL;
  os_held_now.blocks++;
  memcpy(block, &size, sizeof size);
  memcpy(block + HEADER + size, fence, sizeof fence);
  return block + HEADER;
}
static void w_release(void *c, void *block) {
  size_t size = 0;
  if (block == NULL) return;
  os_held_now.blocks--;
  memcpy(&size, (uint8_t *)block - HEADER, sizeof size);
  if (memcmp((uint8_t *)block + size, fence, sizeof fence) != 0) {
    printf("not ok luastate: written behind a block of %zu bytes\n", size);
    abort();
  }
  memset(block, 0xA5, size);
  real->release(c, (uint8_t *)block - HEADER);
}
static void *w_allocate_pages(void *c, size_t size) {
  void *pages = plan_fails(&os_plan) ? NULL : real->allocate_pages(c, size);
  os_held_now.blocks += pages != NULL;
  return pages;
}
static void w_release_pages(void *c, void *pages, size_t size) {
  os_held_now.blocks -= pages != NULL;
  real->release_pages(c, pages, size);
}
static uint64_t w_now(void *c) {
  if (!os_clock_now.moved_by_hand) return real->now(c);
  os_clock_now.now += os_clock_now.step;
  os_clock_now.monotonic += os_clock_now.step;
  return os_clock_now.now;
}
static uint64_t w_monotonic(void *c) {
  return os_clock_now.moved_by_hand ? os_clock_now.monotonic : real->monotonic(c);
}
static void w_sleep(void *c, uint64_t microseconds) {
  if (!os_clock_now.moved_by_hand) {
    real->sleep(c, microseconds);
    return;
  }
  os_clock_now.now += microseconds;
  os_clock_now.monotonic += microseconds;
}
static const volatile uint32_t *w_fork_guard(void *c) {
  const volatile uint32_t *guard = real->fork_guard(c);
  os_held_now.maps += guard != NULL;
  return guard;
}
static void w_release_fork_guard(void *c, const volatile uint32_t *guard) {
  os_held_now.maps -= guard != NULL;
  real->release_fork_guard(c, guard);
}

const fj_os *__wrap_fj_os_real(void) {
  static fj_os os;
  if (real != NULL) return &os;
  real = __real_fj_os_real();
  os = *real;
  os.open_dir = w_open_dir;
  os.open = w_open;
  os.close = w_close;
  os.sync = w_sync;
  os.map = w_map;
  os.unmap = w_unmap;
  os.allocate = w_allocate;
  os.release = w_release;
  os.allocate_pages = w_allocate_pages;
  os.release_pages = w_release_pages;
  os.now = w_now;
  os.monotonic = w_monotonic;
  os.sleep = w_sleep;
  os.fork_guard = w_fork_guard;
  os.release_fork_guard = w_release_fork_guard;
  return &os;
}
