/* order.c - the order checker: looks at each change before it happens and knows what is
 * durable. What it demands (engine/FORMAT.md, section 1):
 *
 * O1  No record is written to a segment before a MANIFEST that names it is durable and the
 *     records of all older segments are; but the outputs of a merge are written first and
 * named then. O2  No MANIFEST takes its place before it is durable itself, and with it each
 * file that it names: its entry, its header, and all of it if it is sealed. O3  No data file
 * is removed while the MANIFEST, as it is or as it is durable, names it. O4  No MANIFEST is
 * written to in place, or removed (but for one that never was durable: of a store that could
 * not be made). O5  A file that a MANIFEST seals, as it is or as it is durable, never changes
 * again, by whatever name it is reached; of the active one only bytes that are durable in
 * lost/ are cut (but for those of a write that failed). O6  A MANIFEST that takes the place of
 * another is of the same store, of the next generation, and goes on from it: what it names
 * comes in the same order, and what is sealed stays as it is. What is missing was sealed and
 * is retired. New ones are the last, or, where some are missing, stand in the place of the
 * last of those, or, where none is, right below the active one.
 * O7  No MANIFEST retires a segment before all records of the log are durable.
 * O8  No hint file takes its place before it is durable itself; in a store it is never written
 *     to there.
 * O9  No KEYDIR takes its place before it is durable itself, and with it the log that it
 *     covers: each data file as far as that, and of the last one, unless a durable MANIFEST
 *     seals it, a mark that says so. It is never written to there.
 * O10 A file that was made as a whole gets no mark before a durable MANIFEST names it; once it
 *     is sealed that is all that may change of it, and before a file goes that is retired the
 *     marks of all that the MANIFEST names are durable. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calls.h"
#include "checkpoint.h"
#include "hash.h"
#include "segment.h"

static const char manifest_name[] = "MANIFEST";

/* A MANIFEST's entries. */
typedef struct manifest {
  const uint8_t *head; /* NULL: there is none */
  const uint8_t *at;
  uint32_t count;
} manifest;

void sim_order_break(sim_disk *disk, const char *format, ...) {
  va_list arguments;
  if (disk->unchecked || disk->broken[0] != '\0') return;
  va_start(arguments, format);
  (void)vsnprintf(disk->broken, sizeof disk->broken, format, arguments);
  va_end(arguments);
}

static manifest read_manifest(const sim_bytes *bytes) {
  manifest m = {NULL, NULL, 0};
  if (bytes->size < 72) return m;
  uint32_t count = fj_get32(bytes->at + 8);
  if (bytes->size != 72 + (uint64_t)count * 16) return m;
  m.head = bytes->at;
  m.at = bytes->at + 64;
  m.count = count;
  return m;
}

#define RETIRED 1u /* in place of a size: no segment any more */

static uint64_t id_in(const manifest *m, uint32_t i) { return fj_get64(m->at + 16 * i); }
static uint64_t size_in(const manifest *m, uint32_t i) { return fj_get64(m->at + 16 * i + 8); }

/* The place of a segment in the MANIFEST; -1 if it is not named. */
static int64_t rank_in(const manifest *m, uint64_t id) {
  for (uint32_t i = 0; i < m->count; i++)
    if (id_in(m, i) == id && size_in(m, i) != RETIRED) return i;
  return -1;
}

static bool has_retired(const manifest *m, uint64_t id) {
  for (uint32_t i = 0; i < m->count; i++)
    if (id_in(m, i) == id && size_in(m, i) == RETIRED) return true;
  return false;
}

static manifest manifest_now(const sim_disk *disk, const sim_node *dir) {
  uint32_t node = sim_entries_find(&dir->entries, manifest_name);
  manifest none = {NULL, NULL, 0};
  return node == UINT32_MAX ? none : read_manifest(&disk->nodes[node].now);
}

static manifest manifest_durable(const sim_disk *disk, const sim_node *dir) {
  uint32_t node = sim_entries_find(&dir->durable, manifest_name);
  manifest none = {NULL, NULL, 0};
  return node == UINT32_MAX ? none : read_manifest(&disk->nodes[node].disk);
}

/* Whether changes of the file's bytes [from, to) are pending. */
static bool is_pending(const sim_disk *disk, uint32_t node, uint64_t from, uint64_t to) {
  for (uint32_t i = 0; i < disk->unit_count; i++) {
    const sim_unit *unit = &disk->units[i];
    if (unit->node != node || unit->kind != SIM_DATA) continue;
    if (unit->offset < to && unit->offset + unit->size > from) return true;
  }
  return false;
}

static uint32_t node_of_segment(const sim_entries *entries, uint64_t id) {
  char name[FJ_NAME_MAX];
  fj_segment_name(name, id);
  return sim_entries_find(entries, name);
}

/* Whether it has a whole header, which says that it was made as a whole. */
static bool is_whole_kind(const sim_bytes *file) {
  fj_identity identity;
  uint64_t id = 0;
  return file->size >= FJ_SEGMENT_HEADER &&
         fj_segment_decode(file->at, FJ_SEGMENT_HEADER, &identity, &id) == FREYJA_OK &&
         fj_segment_kind_of(file->at) == FJ_SEGMENT_MERGED;
}

/* ---- O1, O5, O10 ----------------------------------------------------------- */

static bool is_sealed(const manifest *m, uint64_t id) {
  int64_t rank = rank_in(m, id);
  return rank >= 0 && size_in(m, (uint32_t)rank) > 0;
}

/* O10: whether the bytes that change are the marks of a file that has none. */
static bool is_claim(const sim_disk *disk, const sim_unit *unit, const sim_node *dir,
                     uint64_t id) {
  const sim_node *node = &disk->nodes[unit->node];
  manifest durable = manifest_durable(disk, dir);
  return unit->kind == SIM_DATA && unit->offset >= FJ_MARK_OFFSET &&
         unit->offset + unit->size <= FJ_MARK_OFFSET + 2 * FJ_MARK_SIZE &&
         is_sealed(&durable, id) && is_whole_kind(&node->disk);
}

static void check_mark(sim_disk *disk, const sim_unit *unit, const sim_node *dir,
                       uint64_t id) {
  const sim_bytes *file = &disk->nodes[unit->node].now;
  manifest durable = manifest_durable(disk, dir);
  bool marks = unit->kind == SIM_DATA && unit->offset >= FJ_MARK_OFFSET &&
               unit->offset < FJ_SEGMENT_HEADER;
  if (marks && is_whole_kind(file) && !is_sealed(&durable, id))
    sim_order_break(disk, "O10: %" PRIu64 ".data is marked before a durable MANIFEST names it",
                    id);
}

/* A retired file goes. */
static void check_claimed(sim_disk *disk, const sim_node *dir, const manifest *durable) {
  for (uint32_t i = 0; i < durable->count; i++) {
    uint32_t index = node_of_segment(&dir->durable, id_in(durable, i));
    if (size_in(durable, i) == RETIRED || index == UINT32_MAX) continue;
    const sim_bytes *file = &disk->nodes[index].disk;
    if (is_whole_kind(file) && fj_segment_is_unclaimed(file->at))
      sim_order_break(disk, "O10: a file goes before %" PRIu64 ".data is claimed",
                      id_in(durable, i));
  }
}

static void check_sealed(sim_disk *disk, const sim_unit *unit, const sim_node *dir,
                         uint64_t id) {
  manifest now = manifest_now(disk, dir);
  manifest durable = manifest_durable(disk, dir);
  if (!is_sealed(&now, id) && !is_sealed(&durable, id)) return;
  if (is_claim(disk, unit, dir, id)) return;
  sim_order_break(disk, "O5: %" PRIu64 ".data is sealed and %s changes at %" PRIu64, id,
                  unit->kind == SIM_DATA ? "what it holds" : "its size",
                  unit->kind == SIM_DATA ? unit->offset : unit->size);
}

static void check_record(sim_disk *disk, const sim_node *dir, uint64_t id) {
  manifest now = manifest_now(disk, dir);
  manifest durable = manifest_durable(disk, dir);
  if (now.at == NULL && durable.at == NULL) return; /* a directory that is being made */
  int64_t rank = rank_in(&durable, id);
  uint32_t index = node_of_segment(&dir->entries, id);
  if (rank < 0 && rank_in(&now, id) < 0 && index != UINT32_MAX &&
      fj_segment_kind_of(disk->nodes[index].now.at) == FJ_SEGMENT_MERGED)
    return;
  if (rank < 0)
    sim_order_break(
        disk, "O1: %" PRIu64 ".data gets records before a durable MANIFEST names it", id);
  for (int64_t i = 0; i < rank; i++) {
    if (size_in(&durable, (uint32_t)i) == RETIRED) continue;
    uint32_t older = node_of_segment(&dir->entries, id_in(&durable, (uint32_t)i));
    if (older != UINT32_MAX && is_pending(disk, older, FJ_SEGMENT_HEADER, UINT64_MAX))
      sim_order_break(disk,
                      "O1: %" PRIu64 ".data gets records before %" PRIu64 ".data is synced",
                      id, id_in(&durable, (uint32_t)i));
  }
}

/* Whether what a cut removes is durable in lost/. */
static bool is_kept(const sim_disk *disk, const sim_node *dir, const sim_node *node,
                    uint64_t id, uint64_t size) {
  char name[SIM_NAME_MAX];
  uint64_t end = node->now.size;
  while (end > size && node->now.at[end - 1] == 0) end--;
  if (end == size) return true;
  int length = snprintf(name, sizeof name, "%" PRIu64 ".%" PRIu64 ".cut", id, size);
  uint32_t lost = sim_entries_find(&dir->durable, "lost");
  if (lost == UINT32_MAX) return false;
  const sim_entries *entries = &disk->nodes[lost].durable;
  for (uint32_t i = 0; i < entries->count; i++) { /* .cut, .cut.2... */
    if (strncmp(entries->items[i].name, name, (size_t)length) != 0) continue;
    const sim_bytes *bytes = &disk->nodes[entries->items[i].node].disk;
    if (bytes->size >= end - size && memcmp(bytes->at, node->now.at + size, end - size) == 0)
      return true;
  }
  return false;
}

static void check_cut(sim_disk *disk, const sim_unit *unit, const sim_node *dir, uint64_t id) {
  const sim_node *node = &disk->nodes[unit->node];
  if (!disk->faulty && unit->size < node->now.size &&
      !is_kept(disk, dir, node, id, unit->size))
    sim_order_break(disk, "O5: bytes of %" PRIu64 ".data are cut that are not in lost/", id);
}

/* ---- O2, O3, O4, O6 ------------------------------------------------------- */

static void check_named(sim_disk *disk, const sim_node *dir, const manifest *before,
                        uint64_t id, uint64_t size) {
  uint32_t index = node_of_segment(&dir->durable, id);
  /* One that is missing and was named before is damage: that is not forgotten. */
  bool missing = node_of_segment(&dir->entries, id) == UINT32_MAX;
  if (index == UINT32_MAX && missing && rank_in(before, id) >= 0) return;
  if (index == UINT32_MAX) {
    sim_order_break(disk, "O2: a MANIFEST names %" PRIu64 ".data, whose entry is not durable",
                    id);
    return;
  }
  const sim_node *node = &disk->nodes[index];
  bool is_whole = size == 0 ? node->disk.size >= FJ_SEGMENT_HEADER : node->disk.size == size;
  if (!is_whole || is_pending(disk, index, 0, 64))
    sim_order_break(disk, "O2: a MANIFEST names %" PRIu64 ".data before it is durable", id);
  if (size > 0 && is_pending(disk, index, FJ_SEGMENT_HEADER, size))
    sim_order_break(disk, "O2: a MANIFEST seals %" PRIu64 ".data before it is synced", id);
}

/* The segments of a MANIFEST, without what is retired. */
static manifest without_retired(const manifest *m, uint8_t *room) {
  manifest out = {m->head, room, 0};
  for (uint32_t i = 0; i < m->count; i++)
    if (size_in(m, i) != RETIRED) memcpy(room + 16 * out.count++, m->at + 16 * i, 16);
  return out;
}

/* Whether the segments of `m` are those of `before`, each as it was or sealed now, or retired
 * if it was sealed, and with new ones where they may be. */
static bool has_successors(const manifest *before, const manifest *m, const manifest *all) {
  uint32_t k = 0, merged = 0; /* of m: the next to come; how many new ones came before it */
  bool gap = false;           /* what was there before the new ones is missing */
  for (uint32_t i = 0; i < before->count; i++) {
    uint64_t id = id_in(before, i), size = size_in(before, i);
    if (rank_in(m, id) < 0) {
      if (size == 0 || !has_retired(all, id)) return false;
      gap = true;
      continue;
    }
    /* What is loaded comes right below the active one, which stays that. */
    bool loaded = !gap && size == 0 && id_in(m, m->count - 1) == id;
    for (; k < m->count && id_in(m, k) != id; k++, merged++)
      if (!(gap || loaded) || rank_in(before, id_in(m, k)) >= 0) return false;
    if (k == m->count || (size != 0 && size_in(m, k) != size)) return false;
    /* What is merged ends with a segment that is missing. */
    if (merged > 0 && !loaded && rank_in(m, id_in(before, i - 1)) >= 0) return false;
    if (merged > 0) gap = false;
    merged = 0;
    k++;
  }
  return k >= m->count || !gap;
}

/* Whether `m` goes on from `before`. */
static bool is_successor(const manifest *before, const manifest *m) {
  /* hash bits, store id and hash seed, then the generation */
  if (memcmp(m->head + 12, before->head + 12, 28) != 0) return false;
  if (fj_get64(m->head + 40) != fj_get64(before->head + 40) + 1) return false;
  uint8_t *room = malloc(16 * ((size_t)before->count + m->count) + 1);
  if (room == NULL) abort();
  manifest old = without_retired(before, room);
  manifest new = without_retired(m, room + 16 * old.count);
  bool right = has_successors(&old, &new, m);
  free(room);
  return right;
}

/* O7 */
static void check_retired(sim_disk *disk, const sim_node *dir, const manifest *before,
                          const manifest *m) {
  bool any = false;
  for (uint32_t i = 0; i < m->count; i++)
    any = any || (size_in(m, i) == RETIRED && rank_in(before, id_in(m, i)) >= 0);
  for (uint32_t i = 0; any && i < before->count; i++) {
    uint32_t node = node_of_segment(&dir->entries, id_in(before, i));
    if (node != UINT32_MAX && is_pending(disk, node, FJ_SEGMENT_HEADER, UINT64_MAX))
      sim_order_break(disk, "O7: segments are retired before %" PRIu64 ".data is synced",
                      id_in(before, i));
  }
}

static void check_manifest(sim_disk *disk, const sim_unit *unit) {
  const sim_node *dir = &disk->nodes[unit->node];
  const sim_node *node = &disk->nodes[unit->target];
  manifest m = read_manifest(&node->now);
  if (m.at == NULL || is_pending(disk, unit->target, 0, UINT64_MAX) ||
      node->disk.size != node->now.size)
    sim_order_break(disk, "O2: a MANIFEST takes its place before it is durable");
  if (m.at == NULL) return;
  manifest before = manifest_now(disk, dir);
  for (uint32_t i = 0; i < m.count; i++)
    if (size_in(&m, i) != RETIRED)
      check_named(disk, dir, &before, id_in(&m, i), size_in(&m, i));
  if (before.at != NULL && !is_successor(&before, &m))
    sim_order_break(disk, "O6: a MANIFEST does not go on from the one before");
  if (before.at != NULL) check_retired(disk, dir, &before, &m);
}

static bool is_hint(const char *name) {
  uint64_t id = 0;
  return strcmp(fj_segment_parse_id(name, &id), ".hint") == 0;
}

/* Whether all of a file is on the disk. */
static bool is_durable(const sim_disk *disk, uint32_t index) {
  const sim_node *node = &disk->nodes[index];
  return !is_pending(disk, index, 0, UINT64_MAX) && node->disk.size == node->now.size;
}

/* A hint file takes its place. */
static void check_hint(sim_disk *disk, const sim_unit *unit) {
  if (!is_durable(disk, unit->target))
    sim_order_break(disk, "O8: %s takes its place before it is durable", unit->to);
}

/* ---- O9 --------------------------------------------------------------- */

/* The highest mark of a data file on the disk. */
static uint64_t durable_mark(const sim_bytes *file, const fj_identity *identity, uint64_t id) {
  uint64_t highest = FJ_SEGMENT_HEADER, seed = fj_segment_seed(identity, id);
  for (unsigned slot = 0; slot < 2; slot++) {
    uint64_t mark = 0;
    if (file->size >= FJ_SEGMENT_HEADER &&
        fj_segment_decode_mark(file->at, seed, slot, &mark) && mark > highest)
      highest = mark;
  }
  return highest;
}

/* A segment that a KEYDIR covers up to `size`; `entry` is what the KEYDIR says of it. */
static void check_covered(sim_disk *disk, const sim_node *dir, const fj_identity *identity,
                          const uint8_t *entry, bool last) {
  uint64_t id = fj_get64(entry), size = fj_get64(entry + 16);
  manifest durable = manifest_durable(disk, dir);
  uint32_t index = node_of_segment(&dir->durable, id);
  const sim_node *node = index == UINT32_MAX ? NULL : &disk->nodes[index];
  if (node == NULL || node->disk.size < size ||
      is_pending(disk, index, FJ_SEGMENT_HEADER, size)) {
    sim_order_break(disk, "O9: a KEYDIR covers %" PRIu64 ".data before it is durable", id);
    return;
  }
  if (is_sealed(&durable, id)) return;
  if (!last)
    sim_order_break(disk, "O9: a KEYDIR covers %" PRIu64 ".data before it is sealed", id);
  else if (durable_mark(&node->disk, identity, id) < size)
    sim_order_break(disk, "O9: a KEYDIR covers %" PRIu64 ".data before its mark is durable",
                    id);
}

static void check_keydir(sim_disk *disk, const sim_unit *unit) {
  const sim_node *dir = &disk->nodes[unit->node];
  const sim_bytes *file = &disk->nodes[unit->target].now;
  fj_identity identity;
  uint32_t count = file->size < FJ_CHECKPOINT_HEADER ? 0 : fj_get32(file->at + 48);
  if (count == 0 || !is_durable(disk, unit->target) ||
      file->size < fj_checkpoint_start(count)) {
    sim_order_break(disk, "O9: a KEYDIR takes its place before it is durable");
    return;
  }
  memcpy(identity.id, file->at + 16, FJ_STORE_ID);
  identity.hash_seed = fj_get64(file->at + 32);
  const uint8_t *entries = file->at + FJ_CHECKPOINT_HEADER;
  for (uint32_t i = 0; i < count; i++)
    check_covered(disk, dir, &identity, entries + (size_t)i * FJ_CHECKPOINT_SEGMENT,
                  i + 1 == count);
}

static void check_removal(sim_disk *disk, const sim_unit *unit) {
  const sim_node *dir = &disk->nodes[unit->node];
  uint64_t id = 0;
  if (strcmp(unit->name, manifest_name) == 0 &&
      sim_entries_find(&dir->durable, manifest_name) != UINT32_MAX)
    sim_order_break(disk, "O4: a MANIFEST is removed");
  if (!fj_segment_parse_name(unit->name, &id)) return;
  manifest now = manifest_now(disk, dir);
  manifest durable = manifest_durable(disk, dir);
  if (rank_in(&now, id) >= 0 || rank_in(&durable, id) >= 0)
    sim_order_break(disk, "O3: %s is removed while a MANIFEST names it", unit->name);
  if (has_retired(&durable, id)) check_claimed(disk, dir, &durable);
}

/* A change of a file that has that name there. */
static void check_change(sim_disk *disk, const sim_unit *unit, const sim_node *dir,
                         const char *name) {
  uint64_t id = 0;
  if (strcmp(name, manifest_name) == 0)
    sim_order_break(disk, "O4: a MANIFEST is written in place");
  if (is_hint(name) && manifest_now(disk, dir).head != NULL)
    sim_order_break(disk, "O8: %s is written in place", name);
  if (strcmp(name, fj_checkpoint_name) == 0)
    sim_order_break(disk, "O9: a KEYDIR is written in place");
  if (!fj_segment_parse_name(name, &id)) return;
  check_sealed(disk, unit, dir, id);
  check_mark(disk, unit, dir, id);
  if (unit->kind == SIM_SIZE) check_cut(disk, unit, dir, id);
  else if (unit->kind == SIM_DATA && unit->offset + unit->size > FJ_SEGMENT_HEADER)
    check_record(disk, dir, id);
}

void sim_order_unit(sim_disk *disk, const sim_unit *unit) {
  if (unit->kind == SIM_MOVE && strcmp(unit->to, manifest_name) == 0)
    check_manifest(disk, unit);
  if (unit->kind == SIM_MOVE && is_hint(unit->to)) check_hint(disk, unit);
  if (unit->kind == SIM_MOVE && strcmp(unit->to, fj_checkpoint_name) == 0)
    check_keydir(disk, unit);
  if (unit->kind == SIM_REMOVE) check_removal(disk, unit);
  if (sim_is_entry(unit)) return;
  for (uint32_t i = 0; i < disk->node_count; i++) {
    const sim_entries *entries = &disk->nodes[i].entries;
    for (uint32_t k = 0; k < entries->count; k++)
      if (entries->items[k].node == unit->node)
        check_change(disk, unit, &disk->nodes[i], entries->items[k].name);
  }
}
