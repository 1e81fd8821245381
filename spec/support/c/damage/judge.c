/* judge.c - see judge.h. */
#include "judge.h"

#include <string.h>

#include "segment.h"

/* A file on the damaged disk. */
typedef struct content {
  bool regular; /* there, and a file */
  bool exists;
  const uint8_t *bytes;
  uint64_t size;
  uint64_t bad_from, bad_end; /* what of it cannot be read */
} content;

static content look(sim_disk *disk, const char *path) {
  content c = {.size = 0};
  uint32_t node = sim_disk_find(disk, path);
  if (node == UINT32_MAX) return c;
  c.exists = true;
  c.regular = disk->nodes[node].type == SIM_FILE;
  if (c.regular) c.bytes = sim_disk_bytes(disk, path, &c.size);
  c.bad_from = disk->nodes[node].bad_from;
  c.bad_end = disk->nodes[node].bad_end;
  return c;
}

static bool is_readable(const content *c, uint64_t from, uint64_t end) {
  return from >= c->bad_end || end <= c->bad_from;
}

static bool same(const content *c, const uint8_t *bytes, uint64_t size) {
  return c->regular && c->size == size && is_readable(c, 0, size) &&
         (size == 0 || memcmp(c->bytes, bytes, size) == 0);
}

static bool same_part(const content *c, const uint8_t *bytes, uint64_t from, uint64_t size) {
  if (from + size > c->size || !is_readable(c, from, from + size)) return false;
  return size == 0 || memcmp(c->bytes + from, bytes + from, size) == 0;
}

/* ---- one file --------------------------------------------------------- */

typedef enum file_state { FILE_READ, FILE_HEADER, FILE_LOST } file_state;

static bool differs(const img_file *file, const content *c, uint64_t from, uint64_t end) {
  return memcmp(c->bytes + from, file->bytes + from, end - from) != 0;
}

static bool is_checked(const content *c) {
  return fj_get64(c->bytes + 56) == fj_hash(c->bytes, 56, 0);
}

/* Whether it is the field that says of which kind the file is, and says one that there is:
 * only the check tells that it is another. */
static bool is_kind(const content *c, uint64_t field) {
  return field == 12 && fj_get32(c->bytes + 12) <= 1;
}

/* The field of the header that is the first damaged one; 128 if none is. When the file was
 * made is known to nobody: that it is damaged shows in the check. */
static uint64_t field_of(const img_file *file, const content *c) {
  static const uint64_t fields[] = {0, 8, 12, 16, 32, 40, 48};
  if (!is_readable(c, 0, 128)) return 0;
  for (uint32_t i = 0; i + 1 < sizeof fields / sizeof *fields; i++)
    if (differs(file, c, fields[i], fields[i + 1]) && !is_kind(c, fields[i])) return fields[i];
  if (!is_checked(c)) return 56;
  return differs(file, c, 96, 128) ? 96 : 128;
}

/* A header that verifies and is another's makes the file another's: nothing of it counts. */
static file_state state_of(const img_file *file, const content *c) {
  if (!c->regular || c->size < 128) return FILE_LOST;
  if (field_of(file, c) >= 96) return FILE_READ;
  if (!is_readable(c, 0, 128)) return FILE_HEADER;
  bool valid = !differs(file, c, 0, 8) && is_checked(c);
  return valid && differs(file, c, 16, 48) ? FILE_LOST : FILE_HEADER;
}

/* What was durable: the highest mark that verifies. */
static uint64_t mark_of(const img_segment *s, const content *c) {
  uint64_t mark = 128;
  for (unsigned slot = 0; slot < 2; slot++) {
    const uint8_t *p = c->bytes + 64 + 16 * slot;
    uint64_t offset = fj_get64(p);
    if (fj_get64(p + 8) == fj_hash(p, 8, s->seed + 1 + slot) && offset > mark) mark = offset;
  }
  return mark;
}

static jdg_fate fate_of(const image *img, const img_record *record, const content *c) {
  const uint8_t *bytes = img->files[img->segments[record->segment].file].bytes;
  uint64_t head = record->prefix + (uint64_t)img->keys[record->key].size;
  if (record->offset + record->size > (c->size & ~UINT64_C(7))) return JDG_GONE;
  if (!same_part(c, bytes, record->offset, head)) return JDG_HEAD;
  if (!same_part(c, bytes, record->offset + head, record->value_size)) return JDG_VALUE;
  return JDG_WHOLE;
}

/* Whether the zeros behind the record's value are as they were: behind the mark others are
 * those of a torn one. */
static bool is_padded(const image *img, const img_record *record, const content *c) {
  const uint8_t *bytes = img->files[img->segments[record->segment].file].bytes;
  uint64_t head = record->prefix + (uint64_t)img->keys[record->key].size;
  uint64_t used = head + record->value_size;
  return same_part(c, bytes, record->offset + used, record->size - used);
}

/* Bytes from `offset` to the last one that is not zero. */
static uint64_t used_behind(const content *c, uint64_t offset) {
  uint64_t end = c->size;
  while (end > offset && c->bytes[end - 1] == 0 && is_readable(c, end - 1, end)) end--;
  return end > offset ? end - offset : 0;
}

static void note(verdict *v, uint32_t file, uint64_t offset) {
  if (!v->damaged) {
    v->first_file = file;
    v->first_offset = offset;
  }
  v->damaged = true;
}

/* Damage of unknown keys up to before record number `end`. */
static void doubt(verdict *v, uint32_t end) {
  v->unknown = true;
  if (end > v->doubt) v->doubt = end;
}

/* The records of a file, of which `mark` says how far they were durable. Returns where
 * the log ends in it. */
static uint64_t judge_records(const image *img, const img_segment *s, const content *c,
                              uint64_t mark, verdict *v) {
  uint64_t tail = 128;
  for (uint32_t i = s->first; i < s->end; i++) {
    const img_record *record = &img->records[i];
    v->fates[i] = fate_of(img, record, c);
    bool durable = s->sealed_size != 0 || record->offset < mark;
    if (!durable && (v->fates[i] != JDG_WHOLE || !is_padded(img, record, c))) {
      v->kept = i;
      break;
    }
    tail = record->offset + record->size;
    if (v->fates[i] != JDG_WHOLE) note(v, s->file, record->offset);
    if (v->fates[i] == JDG_HEAD || v->fates[i] == JDG_GONE) doubt(v, i + 1);
  }
  return tail;
}

static void refuse(verdict *v, freyja_status status, const char *path) {
  if (v->fails) return;
  v->fails = true;
  v->status = status;
  v->path = path;
}

static void judge_segment(const image *img, const img_segment *s, const content *c,
                          verdict *v) {
  bool active = s->sealed_size == 0;
  const img_file *file = &img->files[s->file];
  file_state state = state_of(file, c);
  v->kept = s->end;
  if (state == FILE_LOST) {
    for (uint32_t i = s->first; i < s->end; i++) v->fates[i] = JDG_GONE;
    note(v, s->file, UINT64_MAX);
    doubt(v, s->end);
    return;
  }
  uint64_t field = field_of(file, c);
  if (field < 128) note(v, s->file, field);
  uint64_t mark = state == FILE_READ ? mark_of(s, c) : UINT64_MAX;
  if (active && mark < c->size && !is_readable(c, mark, c->size))
    refuse(v, FREYJA_IO, file->path); /* where the log ends cannot be told */
  uint64_t tail = judge_records(img, s, c, mark, v);
  uint64_t used = active ? used_behind(c, tail) : 0;
  if (state == FILE_READ) v->cut = used;
  /* Without its mark nobody knows that it was torn, nor of records that are zeros now. */
  else if (used > 0 || (active && s->first == s->end)) doubt(v, s->end);
}

/* ---- the store -------------------------------------------------------- */

static bool is_from(sim_disk *disk, const content *c) {
  content source = look(disk, "db/MANIFEST");
  return same(c, source.bytes, source.size);
}

/* The records of another store's MANIFEST, or of one that is older, are none of ours. */
static void judge_manifest(const image *img, sim_disk *disk, verdict *v) {
  content c = look(disk, "db/MANIFEST");
  if (same(&c, img->files[0].bytes, img->files[0].size)) return;
  if (!c.regular || !is_from(img->other, &c)) refuse(v, FREYJA_CORRUPT, "db/MANIFEST");
  v->kept = img->record_count;
  doubt(v, img->record_count);
  note(v, img->segments[0].file, UINT64_MAX);
  for (uint32_t i = 0; i < img->record_count; i++) v->fates[i] = JDG_GONE;
}

/* A file of this store that the MANIFEST does not name, and that is longer than a header: the
 * MANIFEST is older than it, if it is not what a merge was writing, which has no marks. */
static void judge_names(const image *img, sim_disk *disk, verdict *v) {
  const uint8_t *manifest = img->files[0].bytes;
  const sim_entries *entries = &disk->nodes[sim_disk_find(disk, "db")].entries;
  for (uint32_t i = 0; i < entries->count; i++) {
    const sim_node *node = &disk->nodes[entries->items[i].node];
    uint64_t id = 0;
    bool named = !fj_segment_parse_name(entries->items[i].name, &id);
    for (uint32_t k = 0; k < img->segment_count; k++)
      named = named || img->segments[k].id == id;
    if (!named && node->type == SIM_FILE && node->now.size > 128 &&
        memcmp(node->now.at + 16, manifest + 16, 16) == 0 &&
        fj_get64(node->now.at + 40) == id && !fj_segment_is_unclaimed(node->now.at))
      refuse(v, FREYJA_CORRUPT, "db/MANIFEST");
  }
}

static void find_changes(const image *img, sim_disk *disk, verdict *v) {
  memset(v, 0, sizeof *v);
  for (uint32_t i = 0; i < img->file_count; i++) {
    content c = look(disk, img->files[i].path);
    v->changed[i] = !same(&c, img->files[i].bytes, img->files[i].size);
    v->unreadable = v->unreadable || c.bad_end > 0;
  }
}

void jdg_disk(const image *img, sim_disk *disk, bool readonly, verdict *v) {
  find_changes(img, disk, v);
  content lock = look(disk, "db/LOCK");
  content lost = look(disk, "db/lost");
  if (lock.exists && !lock.regular) refuse(v, FREYJA_IO, "db/LOCK");
  if (v->changed[0]) {
    judge_manifest(img, disk, v);
    return;
  }
  for (uint32_t i = 0; i < img->segment_count; i++) {
    content c = look(disk, img->files[img->segments[i].file].path);
    judge_segment(img, &img->segments[i], &c, v);
  }
  judge_names(img, disk, v);
  uint32_t node = sim_disk_find(disk, "db/lost");
  bool folder = lost.exists && disk->nodes[node].type == SIM_DIRECTORY;
  if (v->cut > 0 && !readonly && lost.exists && !folder) refuse(v, FREYJA_IO, "db/lost");
}

void jdg_open_disk(const image *img, sim_disk *disk, verdict *v) {
  find_changes(img, disk, v);
  v->open = true;
  v->kept = img->record_count;
  for (uint32_t i = 0; i < img->record_count; i++) {
    content c = look(disk, img->files[img->segments[img->records[i].segment].file].path);
    v->fates[i] = fate_of(img, &img->records[i], &c);
    if (v->fates[i] > JDG_VALUE) v->unknown = true;
  }
}

/* ---- keys ------------------------------------------------------------- */

static jdg_want judge_open_key(const image *img, const verdict *v, const img_record *last,
                               jdg_fate fate) {
  jdg_want want = {.absent = last == NULL || last->tombstone};
  want.corrupt = img->hash_bits == 1 && v->unknown;
  if (want.absent) return want;
  if (fate == JDG_WHOLE) want.value = last;
  else want.corrupt = true;
  want.key_known = fate == JDG_VALUE;
  if (fate != JDG_WHOLE && img->hash_bits != 1) want.at = last;
  return want;
}

jdg_want jdg_key(const image *img, const verdict *v, uint32_t key) {
  uint32_t end = v->kept;
  while (end > 0 && img->records[end - 1].key != key) end--;
  uint32_t i = end - 1;
  const img_record *last = end == 0 ? NULL : &img->records[i];
  jdg_fate fate = end == 0 ? JDG_WHOLE : v->fates[i];
  if (v->open) return judge_open_key(img, v, last, fate);
  jdg_want want = {.corrupt = v->unknown};
  bool known = end > 0 && i >= v->doubt;
  if (fate != JDG_WHOLE) {
    want.corrupt = true;
    want.key_known = fate == JDG_VALUE;
    if (known && fate == JDG_VALUE) want.at = last;
  } else if (end == 0 || last->tombstone) {
    want.absent =
        !v->unknown; /* that it is gone is not remembered: it may be what is unknown */
  } else if (known) {
    want.value = last;
    want.corrupt = false;
  }
  return want;
}
