/* shared.c - see shared.h. */
#include "shared.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;

void ok(bool condition, const char *name, freyja_io io) {
  printf("%s expiry: %s, io = %s\n", condition ? "ok" : "not ok", name,
         io == FREYJA_IO_MMAP ? "mmap" : "syscall");
  failures += !condition;
}

bool all_good(void) { return failures == 0; }

static void open_it(shop *s) {
  freyja_error error;
  if (freyja_open("db", &s->options, &s->db, &error) == FREYJA_OK) return;
  printf("not ok expiry: open: %s (%s)\n", error.message, error.path);
  exit(1);
}

void shop_open(shop *s, freyja_io io, uint32_t hash_bits) {
  s->disk = sim_disk_create(1);
  s->disk->plain = true;
  s->disk->clock = 2 * CENTURY; /* after 1970 */
  freyja_options_init(&s->options);
  s->options.io = io;
  s->options.hash_bits = hash_bits;
  s->options.segment_size = FREYJA_SEGMENT_SIZE_MIN;
  s->options.os = &s->disk->os;
  open_it(s);
}

void shop_open_again(shop *s, freyja_io io) {
  s->options.io = io;
  open_it(s);
}

void shop_reopen(shop *s, freyja_io io) {
  if (freyja_close(s->db, NULL) != FREYJA_OK) exit(1);
  shop_open_again(s, io);
}

void shop_close(shop *s) {
  if (freyja_close(s->db, NULL) != FREYJA_OK || sim_disk_held(s->disk) != 0) {
    printf("not ok expiry: closing, or what is held after it\n");
    exit(1);
  }
  sim_disk_destroy(s->disk);
}

void shop_wait(shop *s, uint64_t microseconds) { s->disk->clock += microseconds; }

bool put(shop *s, const char *key, const char *value, uint64_t ttl) {
  return freyja_put_ttl(s->db, key, strlen(key), value, strlen(value), ttl, NULL) == FREYJA_OK;
}

static bool is_value(const void *bytes, size_t size, const char *value) {
  return size == strlen(value) && memcmp(bytes, value, size) == 0;
}

/* Whether an iterator gives the key with that value once, or not at all for NULL. */
static bool is_listed(shop *s, freyja_order order, const char *key, const char *value) {
  freyja_iterator_options options = {.order = order};
  freyja_iterator *iterator = NULL;
  freyja_entry entry;
  int times = 0;
  bool right = true;
  if (freyja_iterator_open(s->db, &options, &iterator, NULL) != FREYJA_OK) return false;
  while (freyja_iterator_next(iterator, &entry, NULL) == FREYJA_OK) {
    if (!is_value(entry.key.data, entry.key.size, key)) continue;
    times++;
    right = value != NULL && is_value(entry.value.data, entry.value.size, value);
  }
  freyja_iterator_close(iterator);
  return right && times == (value != NULL);
}

bool holds(shop *s, const char *key, const char *value) {
  char bytes[200];
  size_t size = 0, length = strlen(key);
  uint64_t ttl = 0;
  freyja_view view;
  freyja_status want = value == NULL ? FREYJA_NOTFOUND : FREYJA_OK;
  bool right = freyja_get(s->db, key, length, bytes, sizeof bytes, &size, NULL) == want &&
               freyja_has(s->db, key, length, NULL) == want &&
               freyja_ttl(s->db, key, length, &ttl, NULL) == want &&
               (value == NULL || is_value(bytes, size, value));
  right = freyja_get_view(s->db, key, length, &view, NULL) == want && right;
  right = right && (value == NULL || is_value(view.data, view.size, value));
  freyja_view_release(&view);
  return right && is_listed(s, FREYJA_ORDER_LOG, key, value) &&
         is_listed(s, FREYJA_ORDER_KEY, key, value);
}

uint64_t keys_of(shop *s) {
  freyja_stats stats;
  freyja_segment segments[64];
  uint64_t live = 0;
  freyja_get_stats(s->db, &stats);
  size_t count = freyja_get_segments(s->db, segments, 64);
  for (size_t i = 0; i < count && i < 64; i++) live += segments[i].live_keys;
  return count > 64 || live == stats.keys ? stats.keys : UINT64_MAX;
}

static void tell(void *argument, const freyja_problem *problem) {
  (void)argument;
  printf("# %s, offset %llu: %s\n", problem->path, (unsigned long long)problem->offset,
         problem->message);
}

bool is_sound(shop *s, uint64_t keys) {
  freyja_report report;
  return freyja_verify(s->db, tell, NULL, &report, NULL) == FREYJA_OK &&
         report.problems == 0 && report.keys == keys;
}
