/* gather.c - see gather.h. */
#include "gather.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#define DIGITS 8u /* bytes of a hash */
#define DIGIT_VALUES 256u
#define LOOK_COST 128u /* bytes that a comparison of two keys counts as */
/* How many comparisons there may be: so many, and for each record so many. */
#define LOOKED_FREE 65536u
#define LOOKED_SHARE 16u
/* What a pass keeps when there is no room for all: a part of what there is, this much at least
 * and at most; so that it comes to its end with so much of its room filled. */
#define KEEP_MIN 0.125
#define KEEP_MAX 0.5
#define FILLED 0.9
#define WIDER_MAX 8.0 /* the next range is at most so many times as wide as the last */

/* ---- life ----------------------------------------------------------------- */

static void begin_pass(fj_gather *g, uint64_t low, uint64_t high) {
  fj_scan_close(&g->scan);
  fj_scan_open(&g->scan, g->segment, FJ_SEGMENT_HEADER, g->segment->tail);
  g->low = low;
  g->high = high;
  g->count = g->sorted = 0;
  g->phase = FJ_GATHER_READ;
}

freyja_status fj_gather_open(fj_gather *g, fj_segment *segment, uint64_t capacity,
                             freyja_error *error) {
  const fj_os *os = segment->os;
  uint64_t most = (segment->tail - FJ_SEGMENT_HEADER) / FJ_RECORD_HEADER;
  memset(g, 0, sizeof *g);
  fj_segment_retain(segment);
  g->segment = segment;
  g->capacity = most < capacity ? most + 1 : capacity; /* of no records, too, one */
  g->block = os->allocate(os->context, 2 * (size_t)g->capacity * sizeof *g->block);
  if (g->block == NULL) return fj_fail_memory(error, "read the keys of a segment");
  g->entries = g->block;
  g->spare = g->block + g->capacity;
  g->first = true;
  fj_scan_open(&g->scan, segment, FJ_SEGMENT_HEADER, segment->tail);
  begin_pass(g, 0, UINT64_MAX);
  return FREYJA_OK;
}

void fj_gather_close(fj_gather *g) {
  if (g->segment == NULL) return;
  const fj_os *os = g->segment->os;
  if (g->scan.segment != NULL) fj_scan_close(&g->scan);
  os->release(os->context, g->block);
  os->release(os->context, g->keys[0].block);
  os->release(os->context, g->keys[1].block);
  fj_segment_release(g->segment);
  memset(g, 0, sizeof *g);
}

static freyja_status fail_damaged(const fj_gather *g, uint64_t offset, const char *what,
                                  freyja_error *error) {
  char name[FJ_NAME_MAX];
  fj_segment_name(name, g->segment->id);
  return fj_fail_at(error, FREYJA_CORRUPT, g->segment->pool->dir, name,
                    "%s at offset %" PRIu64 " fails verification", what, offset);
}

/* ---- reading -------------------------------------------------------------- */

/* What the first pass does with a record beside taking it. As fj_segment_count. */
static freyja_status count_record(fj_gather *g, fj_record *record, freyja_error *error) {
  fj_hint_counts *counts = &g->counts;
  bool valid = false;
  freyja_status status = fj_scan_value(&g->scan, record, &valid, error);
  if (status != FREYJA_OK) return status;
  if (!valid) return fail_damaged(g, g->scan.offset, "a value", error);
  if (record->kind == FJ_KIND_PUT) counts->keys++;
  else counts->tombstones++;
  if (counts->oldest == 0 || record->timestamp < counts->oldest)
    counts->oldest = record->timestamp;
  if (record->timestamp > counts->newest) counts->newest = record->timestamp;
  uint64_t expiry = fj_record_expiry(record);
  if (expiry != 0 && (counts->expires == 0 || expiry < counts->expires))
    counts->expires = expiry;
  counts->last = record->check;
  return FREYJA_OK;
}

/* Reads records until the room is filled, the file ends or so many bytes were read. */
static freyja_status read_records(fj_gather *g, uint64_t bytes, uint64_t *spent,
                                  freyja_error *error) {
  uint64_t from = g->scan.offset;
  while (g->count < g->capacity && g->scan.offset - from < bytes) {
    fj_scan_found found;
    fj_record record;
    uint64_t hash = 0;
    freyja_status status = fj_scan_next(&g->scan, &found, &record, &hash, error);
    if (status == FREYJA_OK && found == FJ_SCAN_BAD)
      status = fail_damaged(g, g->scan.offset, "a record", error);
    if (status == FREYJA_OK && found == FJ_SCAN_RECORD && g->first)
      status = count_record(g, &record, error);
    if (status != FREYJA_OK) return status;
    if (found == FJ_SCAN_END) break;
    if (hash >= g->low && hash <= g->high) {
      fj_hint_entry entry = {hash, fj_hint_word(g->scan.offset, &record)};
      g->entries[g->count++] = entry;
    }
    fj_scan_skip(&g->scan, &record);
  }
  *spent += g->scan.offset - from;
  if (g->count < g->capacity && g->scan.offset < g->scan.end) return FREYJA_OK;
  g->phase = FJ_GATHER_SORT;
  g->digit = 0;
  return FREYJA_OK;
}

/* ---- sorting -------------------------------------------------------------- */

/* Sorts by one byte of the hash, leaving those that are equal in their order (G1). Not
 * compared: so the time is the same whatever the hashes are. */
static void sort_digit(fj_gather *g, uint64_t *spent) {
  uint64_t ends[DIGIT_VALUES] = {0};
  unsigned shift = 8 * g->digit;
  if (g->digit++ == DIGITS) {
    g->phase = FJ_GATHER_REDUCE;
    g->next = g->kept = 0;
    return;
  }
  *spent += g->count * sizeof *g->entries;
  for (uint64_t i = 0; i < g->count; i++) ends[g->entries[i].hash >> shift & 255]++;
  uint64_t sum = 0;
  for (unsigned value = 0; value < DIGIT_VALUES; value++) {
    if (ends[value] == g->count) return; /* all have this one */
    uint64_t start = sum;
    sum += ends[value];
    ends[value] = start;
  }
  for (uint64_t i = 0; i < g->count; i++)
    g->spare[ends[g->entries[i].hash >> shift & 255]++] = g->entries[i];
  fj_hint_entry *sorted = g->spare;
  g->spare = g->entries;
  g->entries = sorted;
}

/* ---- one entry a key ------------------------------------------------------ */

/* Makes the key of the record readable, unless it is still. */
static freyja_status read_key(fj_gather *g, uint64_t word, fj_gather_key *out,
                              freyja_error *error) {
  const fj_os *os = g->segment->os;
  uint64_t offset = fj_hint_offset(word), size = fj_hint_size(word);
  uint64_t left = g->segment->tail - offset;
  const uint8_t *p = fj_segment_at(g->segment, offset);
  size_t room = FJ_RECORD_PREFIX_MAX + FREYJA_KEY_SIZE_MAX,
         count = size < room ? (size_t)size : room;
  fj_record record;
  if (out->offset == offset) return FREYJA_OK;
  out->offset = 0;
  if (p == NULL) {
    if (out->block == NULL) out->block = os->allocate(os->context, room);
    if (out->block == NULL) return fj_fail_memory(error, "compare keys");
    freyja_status status =
        fj_segment_read(g->segment, out->block, count, offset, &count, error);
    if (status != FREYJA_OK) return status;
    p = out->block;
  }
  if (count < FJ_RECORD_HEADER || !fj_record_parse(p, left, &record) ||
      fj_record_prefix(record.flags) + (size_t)record.key_size > count)
    return fail_damaged(g, offset, "a record", error);
  out->offset = offset;
  out->key.data = record.key;
  out->key.size = record.key_size;
  return FREYJA_OK;
}

/* Whether two entries of the same hash are of the same key. */
static freyja_status compare(fj_gather *g, uint64_t a, uint64_t b, bool *same,
                             freyja_error *error) {
  fj_gather_key *x = &g->keys[g->next % 2], *y = &g->keys[(g->next + 1) % 2];
  if (++g->looked > LOOKED_FREE + LOOKED_SHARE * (g->counts.keys + g->counts.tombstones)) {
    char name[FJ_NAME_MAX];
    fj_segment_name(name, g->segment->id);
    return fj_fail_at(error, FREYJA_LIMIT, g->segment->pool->dir, name,
                      "too many keys have the same hash: the file was made up");
  }
  freyja_status status = read_key(g, a, x, error);
  if (status == FREYJA_OK) status = read_key(g, b, y, error);
  if (status != FREYJA_OK) return status;
  *same = x->key.size == y->key.size && memcmp(x->key.data, y->key.data, x->key.size) == 0;
  return FREYJA_OK;
}

/* Takes the next entry in the place of an earlier one of its key. Keys that share all of a
 * hash are told apart in the log. */
static freyja_status reduce_entry(fj_gather *g, uint64_t *spent, freyja_error *error) {
  fj_hint_entry entry = g->entries[g->next];
  for (uint64_t i = g->kept; i > 0 && g->entries[i - 1].hash == entry.hash; i--) {
    bool same = false;
    *spent += LOOK_COST;
    freyja_status status = compare(g, entry.word, g->entries[i - 1].word, &same, error);
    if (status != FREYJA_OK) return status;
    if (!same) continue;
    memmove(&g->entries[i - 1], &g->entries[i], (g->kept - i) * sizeof entry);
    g->kept--;
    break;
  }
  g->entries[g->kept++] = entry;
  g->next++;
  *spent += sizeof entry;
  return FREYJA_OK;
}

/* Makes room for what is still to be read, by leaving the upper part of the range to a later
 * pass. */
static freyja_status cut_range(fj_gather *g, freyja_error *error) {
  if (g->count <= g->capacity / 2) return FREYJA_OK;
  double all = (double)(g->scan.end - FJ_SEGMENT_HEADER);
  double part = (double)(g->scan.offset - FJ_SEGMENT_HEADER) / all * FILLED;
  part = part < KEEP_MIN ? KEEP_MIN : part > KEEP_MAX ? KEEP_MAX : part;
  uint64_t keep = (uint64_t)((double)g->count * part);
  const fj_hint_entry *entries = g->entries;
  /* Those of one hash stay together. */
  while (keep > 0 && entries[keep - 1].hash == entries[keep].hash) keep--;
  if (keep == 0)
    while (keep < g->count && entries[keep].hash == entries[0].hash) keep++;
  if (keep == g->count) {
    char name[FJ_NAME_MAX];
    fj_segment_name(name, g->segment->id);
    return fj_fail_at(error, FREYJA_LIMIT, g->segment->pool->dir, name,
                      "too many keys have the same hash: the file was made up");
  }
  g->high = entries[keep].hash - 1;
  g->count = g->sorted = keep;
  return FREYJA_OK;
}

static freyja_status reduce(fj_gather *g, uint64_t bytes, uint64_t *spent,
                            freyja_error *error) {
  freyja_status status = FREYJA_OK;
  while (status == FREYJA_OK && g->next < g->count && *spent < bytes)
    status = reduce_entry(g, spent, error);
  if (status != FREYJA_OK || g->next < g->count) return status;
  g->count = g->sorted = g->kept;
  bool all = g->scan.offset >= g->scan.end;
  g->phase = all ? FJ_GATHER_READY : FJ_GATHER_READ;
  return all ? FREYJA_OK : cut_range(g, error);
}

/* ---- the whole ------------------------------------------------------------ */

freyja_status fj_gather_step(fj_gather *g, uint64_t bytes, freyja_error *error) {
  freyja_status status = FREYJA_OK;
  for (uint64_t spent = 0; status == FREYJA_OK && spent < bytes;) {
    if (g->phase == FJ_GATHER_READ) status = read_records(g, bytes - spent, &spent, error);
    else if (g->phase == FJ_GATHER_SORT) sort_digit(g, &spent);
    else if (g->phase == FJ_GATHER_REDUCE) status = reduce(g, bytes, &spent, error);
    else break;
  }
  return status;
}

void fj_gather_pass(fj_gather *g) {
  assert(g->phase == FJ_GATHER_READY);
  g->counts.entries += g->count;
  g->first = false;
  if (g->high == UINT64_MAX) {
    g->phase = FJ_GATHER_DONE;
    return;
  }
  /* As wide as fills the room, if the hashes there lie as those before did. */
  double wider = FILLED * (double)g->capacity / (double)(g->count == 0 ? 1 : g->count);
  wider = wider < 1 ? 1 : wider > WIDER_MAX ? WIDER_MAX : wider;
  double width = (double)(g->high - g->low) * wider;
  uint64_t low = g->high + 1, left = UINT64_MAX - low;
  begin_pass(g, low, width >= (double)left ? UINT64_MAX : low + (uint64_t)width);
}
