/* states.c - see states.h. */
#include "states.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calls.h"
#include "hash.h"

#define BYTES_DENSE 160u /* bytes at either end of a unit at each of which it is cut */
#define BYTES_STEP 64u   /* between the two */
#define ENTRIES_MAX 4u   /* operations on entries that are tried in every order */
#define RANDOM_STATES 4u

typedef enum fate { LOST, KEPT, ZEROS, GARBAGE } fate;

/* A state that is being made. */
typedef struct plan {
  const sim_disk *disk;
  uint8_t *fates; /* a fate for each unit */
  uint32_t
      *entries; /* units that are operations on entries, in the order in which to do them */
  uint32_t entry_count;
  uint32_t part; /* the unit of which only [from, to) is kept; UINT32_MAX: none */
  uint64_t from, to;
  bool rest_garbage; /* and the rest of it is garbage */
  sim_visit visit;
  void *argument;
  sim_state state;
  uint64_t *seen; /* sums of the disks so far, a hash set */
  uint32_t seen_room, seen_count;
  bool stopped;
  uint64_t random;
  bool always;         /* what is tried now is, whatever the sample */
  bool counting;       /* nothing is made yet */
  uint64_t candidates; /* of which `sample` are to be chosen */
  uint64_t choice;     /* random */
} plan;

/* ---- a disk from a plan ----------------------------------------------- */

static uint64_t next_random(uint64_t *state) {
  *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
  return *state >> 32;
}

static void fill_garbage(uint8_t *bytes, uint64_t size, uint64_t seed) {
  for (uint64_t i = 0; i < size; i++) bytes[i] = (uint8_t)(next_random(&seed) | 1);
}

static void apply_data(plan *p, sim_bytes *bytes, uint32_t index) {
  const sim_unit *unit = &p->disk->units[index];
  uint8_t stack[SIM_PAGE];
  uint64_t size = unit->kind == SIM_DATA ? unit->size : 0;
  const uint8_t *data = unit->data;
  if (size > 0 && p->fates[index] == ZEROS) {
    memset(stack, 0, size);
    data = stack;
  } else if (size > 0 && p->fates[index] == GARBAGE) {
    fill_garbage(stack, size, unit->offset + index);
    data = stack;
  } else if (size > 0 && index == p->part) {
    /* What was there shows where the unit is not kept. */
    for (uint64_t i = 0; i < size; i++) {
      uint64_t at = unit->offset + i;
      stack[i] = at < bytes->size ? bytes->at[at] : 0;
    }
    if (p->rest_garbage) fill_garbage(stack, size, unit->offset);
    memcpy(stack + p->from, unit->data + p->from, p->to - p->from);
    data = stack;
    if (!p->rest_garbage && p->from == 0) size = p->to; /* nor is the file longer than that */
  }
  sim_bytes_apply(bytes, unit, data, size);
}

static sim_disk *make(plan *p) {
  const sim_disk *from = p->disk;
  sim_disk *image = sim_disk_create(from->seed);
  image->clock = from->clock;
  image->jumped = from->jumped;
  image->no_reserve = from->no_reserve;
  image->changes = from->changes;
  image->sample = from->sample;
  for (uint32_t i = 0; i < from->node_count; i++) {
    const sim_node *node = &from->nodes[i];
    if (i > 0) (void)sim_node_new(image, node->type);
    sim_node *to = &image->nodes[i];
    to->parent = node->parent;
    to->changed = node->changed;
    sim_bytes_resize(&to->now, node->disk.size);
    if (node->disk.size > 0) memcpy(to->now.at, node->disk.at, node->disk.size);
    for (uint32_t k = 0; k < node->durable.count; k++)
      sim_entries_set(&to->entries, node->durable.items[k].name, node->durable.items[k].node);
  }
  for (uint32_t i = 0; i < from->unit_count; i++) {
    const sim_unit *unit = &from->units[i];
    if (p->fates[i] != LOST && !sim_is_entry(unit))
      apply_data(p, &image->nodes[unit->node].now, i);
  }
  for (uint32_t i = 0; i < p->entry_count; i++) {
    const sim_unit *unit = &from->units[p->entries[i]];
    if (p->fates[p->entries[i]] != LOST)
      sim_entries_apply(&image->nodes[unit->node].entries, unit);
  }
  return image;
}

/* ---- each disk once --------------------------------------------------- */

/* A sum of what can be reached. */
static uint64_t sum_of(const sim_disk *image, uint32_t dir) {
  const sim_entries *entries = &image->nodes[dir].entries;
  uint64_t sum = 0;
  for (uint32_t i = 0; i < entries->count; i++) {
    const sim_entry *entry = &entries->items[i];
    const sim_node *node = &image->nodes[entry->node];
    uint64_t inner = node->type == SIM_DIRECTORY
                         ? sum_of(image, entry->node)
                         : fj_hash(node->now.at, node->now.size, node->now.size);
    sum += fj_hash(entry->name, strlen(entry->name), inner ^ (uint64_t)node->type << 60);
  }
  return sum;
}

static bool is_new(plan *p, uint64_t sum) {
  if (p->seen_count * 2 >= p->seen_room) {
    uint32_t room = p->seen_room == 0 ? 256 : p->seen_room * 2;
    uint64_t *seen = sim_allocate(room * sizeof *seen);
    for (uint32_t i = 0; i < p->seen_room; i++) {
      if (p->seen[i] == 0) continue;
      uint32_t at = (uint32_t)p->seen[i] & (room - 1);
      while (seen[at] != 0) at = (at + 1) & (room - 1);
      seen[at] = p->seen[i];
    }
    free(p->seen);
    p->seen = seen;
    p->seen_room = room;
  }
  if (sum == 0) sum = 1;
  uint32_t at = (uint32_t)sum & (p->seen_room - 1);
  while (p->seen[at] != 0) {
    if (p->seen[at] == sum) return false;
    at = (at + 1) & (p->seen_room - 1);
  }
  p->seen[at] = sum;
  p->seen_count++;
  return true;
}

/* Every file durable and what programs see the same. */
static void settle(sim_disk *image) {
  for (uint32_t i = 0; i < image->node_count; i++) {
    sim_node *node = &image->nodes[i];
    sim_bytes_resize(&node->disk, node->now.size);
    if (node->now.size > 0) memcpy(node->disk.at, node->now.at, node->now.size);
    for (uint32_t k = 0; k < node->entries.count; k++)
      sim_entries_set(&node->durable, node->entries.items[k].name,
                      node->entries.items[k].node);
  }
}

/* Whether a state is one of the sample. */
static bool is_chosen(plan *p) {
  uint32_t sample = p->disk->sample;
  if (p->counting) p->candidates += !p->always;
  if (p->counting) return false;
  return sample == 0 || p->always || next_random(&p->choice) % p->candidates < sample;
}

static void try(plan *p, const char *what, uint32_t unit, uint64_t detail) {
  if (p->stopped || !is_chosen(p)) return;
  sim_disk *image = make(p);
  if (is_new(p, sum_of(image, SIM_ROOT))) {
    settle(image);
    (void)snprintf(p->state.what, sizeof p->state.what, "%s (unit %u, %llu)", what, unit,
                   (unsigned long long)detail);
    if (!p->visit(p->argument, image, &p->state)) p->stopped = true;
    p->state.number++;
  }
  sim_disk_destroy(image);
}

/* ---- the plans -------------------------------------------------------- */

static void set_all(plan *p, fate f) { memset(p->fates, (int)f, p->disk->unit_count); }

static void try_whole(plan *p) {
  uint32_t count = p->disk->unit_count;
  p->always = true;
  set_all(p, KEPT);
  p->state.all_kept = true;
  try(p, "all kept", 0, count);
  p->state.all_kept = false;
  set_all(p, LOST);
  try(p, "all lost", 0, count);
  p->always = false;
  for (uint32_t i = 0; i < count; i++) {
    set_all(p, KEPT);
    p->fates[i] = LOST;
    try(p, "one lost", i, 0);
    set_all(p, LOST);
    p->fates[i] = KEPT;
    try(p, "one kept", i, 0);
  }
}

static void try_kinds(plan *p) {
  const sim_disk *disk = p->disk;
  p->always = true;
  for (int entries = 0; entries < 2; entries++) {
    for (uint32_t i = 0; i < disk->unit_count; i++)
      p->fates[i] = sim_is_entry(&disk->units[i]) == entries ? KEPT : LOST;
    try(p, entries ? "only entries kept" : "only data kept", 0, 0);
  }
  for (uint32_t node = 0; node < disk->node_count; node++) {
    for (int keep = 0; keep < 2; keep++) {
      for (uint32_t i = 0; i < disk->unit_count; i++)
        p->fates[i] = (disk->units[i].node == node) == keep ? KEPT : LOST;
      try(p, keep ? "one file kept" : "one file lost", node, 0);
    }
  }
  p->always = false;
}

/* Everything before the unit is kept, of it [0, cut), nothing behind. */
static void try_cut(plan *p, uint32_t unit, uint64_t cut, bool garbage) {
  set_all(p, LOST);
  for (uint32_t i = 0; i <= unit; i++) p->fates[i] = KEPT;
  for (uint32_t i = 0; i < p->disk->unit_count; i++)
    if (sim_is_entry(&p->disk->units[i])) p->fates[i] = KEPT;
  p->part = unit;
  p->from = 0;
  p->to = cut;
  p->rest_garbage = garbage;
  try(p, garbage ? "cut, then garbage" : "cut", unit, cut);
  p->rest_garbage = false;
  p->part = UINT32_MAX;
}

static void try_cuts(plan *p) {
  uint32_t last = UINT32_MAX;
  for (uint32_t i = 0; i < p->disk->unit_count; i++) {
    const sim_unit *unit = &p->disk->units[i];
    if (unit->kind != SIM_DATA) continue;
    last = i;
    for (uint64_t cut = SIM_SECTOR - unit->offset % SIM_SECTOR; cut < unit->size;
         cut += SIM_SECTOR)
      try_cut(p, i, cut, false);
  }
  if (last == UINT32_MAX) return;
  uint64_t size = p->disk->units[last].size;
  for (uint64_t cut = 1; cut < size; cut++) {
    if (cut > BYTES_DENSE && cut + BYTES_DENSE < size && cut % BYTES_STEP != 0) continue;
    try_cut(p, last, cut, false);
    if (cut % 8 == 0) try_cut(p, last, cut, true);
  }
}

static void try_sectors(plan *p) {
  for (uint32_t i = 0; i < p->disk->unit_count; i++) {
    const sim_unit *unit = &p->disk->units[i];
    if (unit->kind != SIM_DATA) continue;
    uint64_t from = 0;
    while (from < unit->size) {
      uint64_t to = from + SIM_SECTOR - (unit->offset + from) % SIM_SECTOR;
      if (to > unit->size) to = unit->size;
      if (from == 0 && to == unit->size) break; /* all of it: tried */
      set_all(p, KEPT);
      p->part = i;
      p->from = from;
      p->to = to;
      try(p, "one sector kept", i, from);
      from = to;
    }
    p->part = UINT32_MAX;
  }
}

static void try_replaced(plan *p) {
  static const fate fates[] = {ZEROS, GARBAGE};
  for (size_t f = 0; f < 2; f++) {
    const char *what = fates[f] == ZEROS ? "zeros" : "garbage";
    set_all(p, fates[f]);
    try(p, what, UINT32_MAX, 0);
    for (uint32_t i = 0; i < p->disk->unit_count; i++) {
      if (p->disk->units[i].kind != SIM_DATA) continue;
      set_all(p, KEPT);
      p->fates[i] = (uint8_t)fates[f];
      try(p, what, i, 0);
    }
  }
}

/* Every choice of entry operations behind the first `done`, in every order. */
static void try_orders(plan *p, uint32_t done, uint32_t count) {
  p->entry_count = done;
  try(p, "entries in another order", done, 0);
  for (uint32_t i = done; i < count; i++) {
    uint32_t chosen = p->entries[i];
    p->entries[i] = p->entries[done];
    p->entries[done] = chosen;
    try_orders(p, done + 1, count);
    p->entries[done] = p->entries[i];
    p->entries[i] = chosen;
  }
}

static void try_entries(plan *p) {
  uint32_t count = p->entry_count;
  set_all(p, KEPT);
  if (count <= ENTRIES_MAX) {
    try_orders(p, 0, count);
  } else {
    for (uint32_t i = 0; i < count / 2; i++) {
      uint32_t other = p->entries[i];
      p->entries[i] = p->entries[count - 1 - i];
      p->entries[count - 1 - i] = other;
    }
    try(p, "entries in reverse", 0, 0);
  }
  p->entry_count = count;
}

static void try_random(plan *p) {
  for (uint32_t n = 0; n < RANDOM_STATES; n++) {
    for (uint32_t i = 0; i < p->disk->unit_count; i++)
      p->fates[i] = next_random(&p->random) % 2 == 0 ? LOST : KEPT;
    try(p, "at random", n, 0);
  }
}

static void try_all(plan *p) {
  try_whole(p);
  if (p->disk->unit_count == 0) return;
  try_kinds(p);
  try_cuts(p);
  try_sectors(p);
  try_replaced(p);
  try_random(p);
  try_entries(p);
}

long sim_states_each(const sim_disk *disk, sim_visit visit, void *argument) {
  plan p = {.disk = disk, .part = UINT32_MAX, .visit = visit, .argument = argument};
  p.random = disk->seed;
  p.fates = sim_allocate(disk->unit_count);
  p.entries = sim_allocate(disk->unit_count * sizeof *p.entries);
  for (uint32_t i = 0; i < disk->unit_count; i++)
    if (sim_is_entry(&disk->units[i])) p.entries[p.entry_count++] = i;
  p.choice = disk->seed + disk->unit_count;
  p.counting = disk->sample > 0;
  if (p.counting) try_all(&p);
  p.counting = false;
  try_all(&p);
  free(p.fates);
  free(p.entries);
  free(p.seen);
  return p.stopped ? -1 : (long)p.state.number;
}
