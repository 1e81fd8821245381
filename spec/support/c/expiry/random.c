/* random.c - random writes with and without a time to live, while time passes, the clock jumps
 * a hundred years either way, and the store is closed and opened again in the other mode,
 * beside a model with a clock of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared.h"

#define KEYS 12u
#define STEPS 1500u

typedef struct model {
  shop shop;
  uint64_t random;
  uint64_t time, wall, steady; /* the store's time, and what the disk's clocks said then */
  uint64_t expiry[KEYS];       /* 0: never */
  int value[KEYS];             /* -1: absent */
  freyja_iterator *iterator;
  freyja_order order;
  int expected[KEYS]; /* what the iterator is still to give; -1: nothing */
  char wrong[100];
} model;

static uint64_t pick(model *m, uint64_t below) {
  m->random ^= m->random << 13;
  m->random ^= m->random >> 7;
  m->random ^= m->random << 17;
  return m->random % below;
}

static void fail(model *m, const char *what, unsigned key) {
  if (m->wrong[0] == '\0') (void)snprintf(m->wrong, sizeof m->wrong, "%s, key %u", what, key);
}

static uint64_t steady_of(const model *m) {
  return m->shop.disk->clock - m->shop.disk->jumped;
}

static void look_at_clock(model *m) {
  m->time += steady_of(m) - m->steady;
  m->wall = m->shop.disk->clock;
  m->steady = steady_of(m);
  if (m->wall > m->time) m->time = m->wall;
}

static bool is_there(const model *m, unsigned key) {
  return m->value[key] >= 0 && (m->expiry[key] == 0 || m->expiry[key] > m->time);
}

static void name_key(unsigned key, char name[8]) { (void)snprintf(name, 8, "key%u", key); }

static void write_key(model *m, int serial) {
  char name[8], value[16], old[16];
  unsigned key = (unsigned)pick(m, KEYS);
  uint64_t ttl = pick(m, 2) == 0 ? 0 : (pick(m, 20) + 1) * 1000 + 500;
  name_key(key, name);
  (void)snprintf(value, sizeof value, "value %d", serial);
  (void)snprintf(old, sizeof old, "value %d", m->value[key]);
  freyja_slice desired = {value, strlen(value)}, expected = {old, strlen(old)};
  size_t size = strlen(name);
  look_at_clock(m);
  bool there = is_there(m, key), written = true;
  freyja_status status = FREYJA_OK, want = FREYJA_OK;
  switch (pick(m, 6)) {
  case 0:
    status = freyja_delete(m->shop.db, name, size, NULL);
    want = there ? FREYJA_OK : FREYJA_NOTFOUND;
    if (there) m->value[key] = -1;
    written = false;
    break;
  case 1:
    status = freyja_insert_ttl(m->shop.db, name, size, value, desired.size, ttl, NULL);
    want = there ? FREYJA_EXISTS : FREYJA_OK;
    break;
  case 2:
    status = freyja_cas_ttl(m->shop.db, name, size, &expected, &desired, ttl, NULL);
    want = there ? FREYJA_OK : FREYJA_MISMATCH;
    break;
  case 3:
    status = freyja_cas_ttl(m->shop.db, name, size, NULL, &desired, ttl, NULL);
    want = there ? FREYJA_MISMATCH : FREYJA_OK;
    break;
  default:
    status = freyja_put_ttl(m->shop.db, name, size, value, desired.size, ttl, NULL);
  }
  if (status != want) fail(m, "a write answers something else", key);
  if (!written || status != FREYJA_OK) return;
  m->value[key] = serial;
  m->expiry[key] = ttl == 0 ? 0 : m->time + ttl;
}

static void check_all(model *m) {
  uint64_t count = 0;
  look_at_clock(m);
  for (unsigned key = 0; key < KEYS; key++) {
    char name[8], value[16], found[16];
    size_t size = 0;
    uint64_t ttl = 0;
    name_key(key, name);
    (void)snprintf(value, sizeof value, "value %d", m->value[key]);
    freyja_status status =
        freyja_get(m->shop.db, name, strlen(name), found, sizeof found, &size, NULL);
    if (status != (is_there(m, key) ? FREYJA_OK : FREYJA_NOTFOUND))
      fail(m, is_there(m, key) ? "a value is gone" : "a value is there", key);
    if (!is_there(m, key)) continue;
    count++;
    if (size != strlen(value) || memcmp(value, found, size) != 0) fail(m, "a value", key);
    if (freyja_ttl(m->shop.db, name, strlen(name), &ttl, NULL) != FREYJA_OK ||
        ttl != (m->expiry[key] == 0 ? 0 : m->expiry[key] - m->time))
      fail(m, "a time to live", key);
  }
  if (pick(m, 2) == 0 && keys_of(&m->shop) != count) fail(m, "the count", (unsigned)count);
}

/* ---- iterators -------------------------------------------------------------- */

static void end_iterator(model *m) {
  freyja_iterator_close(m->iterator);
  m->iterator = NULL;
}

static void begin_iterator(model *m) {
  end_iterator(m);
  look_at_clock(m);
  m->order = pick(m, 2) == 0 ? FREYJA_ORDER_LOG : FREYJA_ORDER_KEY;
  freyja_iterator_options options = {.order = m->order};
  if (freyja_iterator_open(m->shop.db, &options, &m->iterator, NULL) != FREYJA_OK) exit(1);
  for (unsigned key = 0; key < KEYS; key++)
    m->expected[key] = is_there(m, key) ? m->value[key] : -1;
}

static void step_iterator(model *m) {
  freyja_entry entry;
  if (m->iterator == NULL) return;
  freyja_status status = freyja_iterator_next(m->iterator, &entry, NULL);
  if (status == FREYJA_OK) {
    char name[8] = "", value[16] = "";
    memcpy(name, entry.key.data, entry.key.size);
    memcpy(value, entry.value.data, entry.value.size);
    unsigned key = (unsigned)atoi(name + 3);
    if (m->expected[key] < 0 || m->expected[key] != atoi(value + 6))
      fail(m, "an iterator gives what was not there", key);
    m->expected[key] = -1;
    return;
  }
  for (unsigned key = 0; key < KEYS; key++)
    if (m->expected[key] >= 0) fail(m, "an iterator lacks an entry", key);
  end_iterator(m);
}

/* ---- the run ------------------------------------------------------------------ */

static void reopen(model *m) {
  uint64_t newest = 0, count = 0;
  freyja_segment segments[64];
  end_iterator(m);
  size_t number = freyja_get_segments(m->shop.db, segments, 64);
  for (size_t i = 0; i < number && i < 64; i++)
    if (segments[i].newest > newest) newest = segments[i].newest;
  look_at_clock(m);
  /* A KEYDIR does not know any more what had expired when the clock was ahead: what follows is
   * for stores without. */
  bool back = m->shop.disk->clock < m->time;
  if (freyja_close(m->shop.db, NULL) != FREYJA_OK) exit(1);
  if (back && sim_disk_find(m->shop.disk, "db/KEYDIR") != UINT32_MAX)
    sim_disk_remove(m->shop.disk, "db/KEYDIR");
  shop_open_again(&m->shop, pick(m, 2) == 0 ? FREYJA_IO_MMAP : FREYJA_IO_SYSCALL);
  m->wall = m->shop.disk->clock;
  m->steady = steady_of(m);
  m->time = m->wall > newest ? m->wall : newest;
  check_all(m);
  for (unsigned key = 0; key < KEYS; key++) count += is_there(m, key);
  if (!is_sound(&m->shop, count)) fail(m, "verify", (unsigned)count);
}

/* Sets the clock right, as the store sees it, or a century before or behind that. */
static void jump(model *m) {
  look_at_clock(m);
  int64_t to = (int64_t)m->time + ((int64_t)pick(m, 3) - 1) * CENTURY;
  sim_disk_jump(m->shop.disk, to - (int64_t)m->shop.disk->clock);
}

static void step(model *m, int serial) {
  switch (pick(m, 40)) {
  case 0:
    jump(m);
    write_key(m, serial); /* which looks at the clock in any case */
    break;
  case 1:
  case 2:
    begin_iterator(m);
    break;
  case 3:
    reopen(m);
    break;
  case 5:
    if (freyja_checkpoint(m->shop.db, NULL) != FREYJA_OK) exit(1);
    break;
  case 4:
    if (freyja_rotate(m->shop.db, NULL) != FREYJA_OK) exit(1);
    break;
  case 6:
  case 7:
  case 8:
    check_all(m);
    break;
  case 9:
  case 10:
  case 11:
  case 12:
    shop_wait(&m->shop, pick(m, 10) * 1000);
    break;
  case 13:
  case 14:
  case 15:
  case 16:
  case 17:
    step_iterator(m);
    break;
  default:
    write_key(m, serial);
  }
}

void test_random(uint64_t seed, uint32_t hash_bits) {
  model m = {.random = seed};
  for (unsigned key = 0; key < KEYS; key++) m.value[key] = -1;
  shop_open(&m.shop, pick(&m, 2) == 0 ? FREYJA_IO_MMAP : FREYJA_IO_SYSCALL, hash_bits);
  m.time = m.wall = m.shop.disk->clock;
  m.steady = steady_of(&m);
  unsigned i = 0;
  while (i < STEPS && m.wrong[0] == '\0') step(&m, (int)i++);
  if (m.wrong[0] == '\0') reopen(&m);
  end_iterator(&m);
  char name[200];
  (void)snprintf(name, sizeof name, "a random run, hash_bits %u, seed %llu%s%s", hash_bits,
                 (unsigned long long)seed, m.wrong[0] == '\0' ? "" : ": ", m.wrong);
  ok(m.wrong[0] == '\0', name, m.shop.options.io);
  shop_close(&m.shop);
}
