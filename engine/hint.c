/* hint.c - see hint.h. */
#include "hint.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Where so many entries have hashes that lie this much nearer to each other than random ones
 * do, which does not happen in 10^10 files, the hashes are not keys' but made up: the keydir
 * would take much more memory for them, and time. */
#define NEAR_ENTRIES 64u
#define NEAR_TIMES 4u

static const uint8_t magic[8] = {'f', 'r', 'e', 'y', 'j', 'a', 'H', 1};

/* ---- names ---------------------------------------------------------------- */

void fj_hint_name(char name[FJ_NAME_MAX], uint64_t id) {
  (void)snprintf(name, FJ_NAME_MAX, "%" PRIu64 ".hint", id);
}

void fj_hint_name_temporary(char name[FJ_NAME_MAX], uint64_t id) {
  (void)snprintf(name, FJ_NAME_MAX, "%" PRIu64 ".hint.tmp", id);
}

bool fj_hint_is_temporary(const char *name) {
  uint64_t id = 0;
  return strcmp(fj_segment_parse_id(name, &id), ".hint.tmp") == 0;
}

/* ---- the header ----------------------------------------------------------- */

void fj_hint_encode_header(uint8_t out[FJ_HINT_HEADER], const fj_segment *segment,
                           const fj_hint_counts *counts, uint64_t check) {
  const fj_identity *identity = &segment->pool->identity;
  memset(out, 0, FJ_HINT_HEADER);
  memcpy(out, magic, sizeof magic);
  fj_put32(out + 8, FJ_HINT_HEADER);
  fj_put32(out + 12, counts->last);
  memcpy(out + 16, identity->id, FJ_STORE_ID);
  fj_put64(out + 32, identity->hash_seed);
  fj_put64(out + 40, segment->id);
  fj_put64(out + 48, segment->created);
  fj_put64(out + 56, segment->tail);
  fj_put64(out + 64, counts->entries);
  fj_put64(out + 72, counts->keys);
  fj_put64(out + 80, counts->tombstones);
  fj_put64(out + 88, counts->oldest);
  fj_put64(out + 96, counts->newest);
  fj_put64(out + 104, counts->expires);
  fj_put64(out + 112, check);
  fj_put64(out + 120, fj_hash(out, 120, 0));
}

static freyja_status refuse(const fj_hint *hint, freyja_error *why, const char *what,
                            uint64_t offset) {
  char name[FJ_NAME_MAX];
  fj_hint_name(name, hint->id);
  return fj_fail_at(why, FREYJA_CORRUPT, hint->dir, name,
                    "the hint file is not used: %s (offset %" PRIu64 ")", what, offset);
}

static freyja_status fail_os(const fj_hint *hint, freyja_error *why, int code,
                             const char *doing) {
  char name[FJ_NAME_MAX];
  fj_hint_name(name, hint->id);
  return fj_fail_os(why, code, hint->dir, name, doing);
}

/* Whether as many records of each kind as it says can be in the data file, and its entries
 * among them. Each is compared with what there can be before they are added. */
static bool has_possible_counts(const fj_hint_counts *counts, uint64_t covered) {
  uint64_t most = (covered - FJ_SEGMENT_HEADER) / FJ_RECORD_HEADER;
  if (counts->keys > most || counts->tombstones > most - counts->keys) return false;
  uint64_t records = counts->keys + counts->tombstones;
  return counts->entries <= records && (counts->entries > 0 || records == 0) &&
         counts->oldest <= counts->newest && (records > 0 || counts->newest == 0);
}

/* Takes over what the header says, if it is that of a hint of this data file. `size`: bytes of
 * the hint file. */
static freyja_status decode_header(fj_hint *hint, const fj_segment *segment,
                                   const uint8_t *header, uint64_t size, freyja_error *why) {
  fj_hint_counts *counts = &hint->counts;
  uint8_t right[FJ_HINT_HEADER];
  if (memcmp(header, magic, sizeof magic - 1) != 0)
    return refuse(hint, why, "it does not begin as hint files do", 0);
  if (fj_get64(header + 120) != fj_hash(header, 120, 0))
    return refuse(hint, why, "its header's check does not hold", 120);
  if (header[7] != magic[7]) {
    char name[FJ_NAME_MAX];
    fj_hint_name(name, hint->id);
    return fj_fail_at(why, FREYJA_FORMAT, hint->dir, name,
                      "format version %u is not one that this library reads", header[7]);
  }
  counts->last = fj_get32(header + 12);
  counts->entries = fj_get64(header + 64);
  counts->keys = fj_get64(header + 72);
  counts->tombstones = fj_get64(header + 80);
  counts->oldest = fj_get64(header + 88);
  counts->newest = fj_get64(header + 96);
  counts->expires = fj_get64(header + 104);
  fj_hint_encode_header(right, segment, counts, fj_get64(header + 112));
  for (unsigned i = 0; i < FJ_HINT_HEADER; i += 8)
    if (memcmp(header + i, right + i, 8) != 0)
      return refuse(hint, why, "it is not of this data file as it is", i);
  if (!has_possible_counts(counts, hint->covered))
    return refuse(hint, why, "its counts are impossible", 64);
  if (size != FJ_HINT_HEADER + counts->entries * FJ_HINT_ENTRY)
    return refuse(hint, why, "its size is wrong", size);
  return FREYJA_OK;
}

bool fj_hint_is_there(fj_segment *segment) {
  const fj_os *os = segment->os;
  fj_os_stat st;
  char name[FJ_NAME_MAX];
  if (!segment->hint_unknown) return segment->hinted;
  fj_hint_name(name, segment->id);
  segment->hinted =
      os->examine(os->context, segment->pool->dir->fd, name, &st) == 0 && st.regular;
  segment->hint_unknown = false;
  return segment->hinted;
}

/* ---- reading -------------------------------------------------------------- */

static freyja_status read_block(fj_hint *hint, uint64_t first, uint64_t count,
                                freyja_error *error) {
  uint64_t offset = FJ_HINT_HEADER + first * FJ_HINT_ENTRY;
  size_t size = (size_t)(count * FJ_HINT_ENTRY);
  hint->fetched = 0;
  int64_t done = fj_read(hint->os, hint->file, hint->block, size, offset);
  if (done < 0) return fail_os(hint, error, (int)done, "read");
  if ((uint64_t)done < size)
    return refuse(hint, error, "it became shorter", offset + (uint64_t)done);
  hint->first = first;
  hint->fetched = count;
  return FREYJA_OK;
}

freyja_status fj_hint_fetch(fj_hint *hint, uint64_t first, const uint8_t **out,
                            uint64_t *count, freyja_error *error) {
  uint64_t most = FJ_HINT_BLOCK / FJ_HINT_ENTRY;
  uint64_t start = first - first % most; /* of the block that the entry is in */
  uint64_t left = hint->counts.entries - start;
  if (left > most) left = most;
  *count = start + left - first;
  if (hint->map != NULL) {
    *out = hint->map + FJ_HINT_HEADER + first * FJ_HINT_ENTRY;
    return FREYJA_OK;
  }
  if (hint->fetched == 0 || hint->first != start) {
    freyja_status status = read_block(hint, start, left, error);
    if (status != FREYJA_OK) return status;
  }
  *out = hint->block + (first - start) * FJ_HINT_ENTRY;
  return FREYJA_OK;
}

/* ---- checking ------------------------------------------------------------- */

/* What checking the entries has come to. */
typedef struct fj_progress {
  fj_hint_entry last;
  uint64_t covered;  /* bytes of the data file */
  uint64_t distance; /* at least, of the hashes of entries that are NEAR_ENTRIES apart */
  uint64_t tombstones;
  uint64_t flags;       /* of all words */
  uint64_t last_offset; /* of the last record that an entry names, */
  uint64_t last_end;    /* and where that ends */
  uint64_t check;
} fj_progress;

/* Looks at the entries of a block; returns the number of the first that cannot be, or `count`.
 */
static uint64_t check_entries(fj_progress *progress, const uint8_t *p, uint64_t count) {
  fj_hint_entry last = progress->last;
  const size_t behind = NEAR_ENTRIES * FJ_HINT_ENTRY;
  for (uint64_t i = 0; i < count; i++, p += FJ_HINT_ENTRY) {
    fj_hint_entry entry = fj_hint_decode_entry(p);
    bool later =
        entry.hash > last.hash ||
        (entry.hash == last.hash && fj_hint_offset(entry.word) > fj_hint_offset(last.word));
    bool near = i >= NEAR_ENTRIES && entry.hash - fj_get64(p - behind) < progress->distance;
    if (!later || near || !fj_hint_is_possible(entry.word, progress->covered)) return i;
    progress->tombstones += (entry.word & FJ_HINT_TOMBSTONE) != 0;
    progress->flags |= entry.word;
    uint64_t offset = fj_hint_offset(entry.word);
    if (offset > progress->last_offset) {
      progress->last_offset = offset;
      progress->last_end = offset + fj_hint_size(entry.word);
    }
    last = entry;
  }
  progress->last = last;
  return count;
}

/* Whether the data file ends with the record with which it ended when the hint was written:
 * one that was put back as it once was, and then went on otherwise, may have the same size. */
static freyja_status check_last(const fj_hint *hint, fj_segment *segment,
                                const fj_progress *progress, freyja_error *why) {
  uint8_t bytes[4];
  size_t count = sizeof bytes;
  if (hint->counts.entries == 0) return FREYJA_OK;
  if (progress->last_end != hint->covered)
    return refuse(hint, why, "no entry is of the data file's last record", FJ_HINT_HEADER);
  const uint8_t *p = fj_segment_at(segment, progress->last_offset);
  if (p == NULL) {
    freyja_status status =
        fj_segment_read(segment, bytes, sizeof bytes, progress->last_offset, &count, why);
    if (status != FREYJA_OK) return status;
    p = bytes;
  }
  if (count < sizeof bytes || fj_get32(p) != hint->counts.last)
    return refuse(hint, why, "the data file's last record is another", 12);
  return FREYJA_OK;
}

/* Looks at all entries. */
static freyja_status check_all(fj_hint *hint, fj_segment *segment, uint64_t check,
                               freyja_error *why) {
  const fj_hint_counts *counts = &hint->counts;
  fj_progress progress; /* an offset is never 0: the first entry is later */
  memset(&progress, 0, sizeof progress);
  progress.covered = hint->covered;
  if (counts->entries > NEAR_ENTRIES)
    progress.distance = UINT64_MAX / counts->entries * (NEAR_ENTRIES / NEAR_TIMES);
  for (uint64_t first = 0; first < counts->entries;) {
    const uint8_t *p = NULL;
    uint64_t count = 0;
    freyja_status status = fj_hint_fetch(hint, first, &p, &count, why);
    if (status != FREYJA_OK) return status;
    progress.check = fj_hint_check_block(progress.check, p, (size_t)count * FJ_HINT_ENTRY);
    uint64_t good = check_entries(&progress, p, count);
    if (good < count)
      return refuse(hint, why, "an entry is impossible",
                    FJ_HINT_HEADER + (first + good) * FJ_HINT_ENTRY);
    first += count;
  }
  if (progress.check != check)
    return refuse(hint, why, "the check of its entries does not hold", 112);
  if (progress.tombstones > counts->tombstones ||
      counts->entries - progress.tombstones > counts->keys ||
      ((progress.flags & FJ_HINT_EXPIRES) != 0 && counts->expires == 0))
    return refuse(hint, why, "its counts are not those of its entries", 64);
  return check_last(hint, segment, &progress, why);
}

/* ---- opening -------------------------------------------------------------- */

/* Opens the file; files that are only kept for reading make room if there are too many. */
static int open_file(fj_hint *hint, fj_pool *pool) {
  char name[FJ_NAME_MAX];
  fj_hint_name(name, hint->id);
  int code = hint->os->open(hint->os->context, hint->dir->fd, name, 0, &hint->file);
  if (code == -EMFILE || code == -ENFILE) {
    fj_pool_close_files(pool);
    code = hint->os->open(hint->os->context, hint->dir->fd, name, 0, &hint->file);
  }
  if (code != 0) hint->file = -1;
  return code;
}

/* Makes the entries readable, by a mapping where that is wanted and there is room for one. */
static freyja_status prepare(fj_hint *hint, bool mapped, uint64_t size, freyja_error *why) {
  const fj_os *os = hint->os;
  if (hint->counts.entries == 0) return FREYJA_OK;
  if (mapped && os->map(os->context, hint->file, size, false, &hint->map) == 0) {
    hint->map_size = size;
    return FREYJA_OK;
  }
  hint->map = NULL;
  uint64_t entries = size - FJ_HINT_HEADER;
  size_t room = entries < FJ_HINT_BLOCK ? (size_t)entries : FJ_HINT_BLOCK;
  hint->block = os->allocate(os->context, room);
  return hint->block == NULL ? fj_fail_memory(why, "read a hint file") : FREYJA_OK;
}

static freyja_status read_hint(fj_hint *hint, fj_segment *segment, freyja_error *why) {
  const fj_os *os = hint->os;
  uint8_t header[FJ_HINT_HEADER];
  fj_os_stat st;
  int code = open_file(hint, segment->pool);
  if (code == -ENOENT) return FREYJA_NOTFOUND;
  if (code != 0) return fail_os(hint, why, code, "open");
  if ((code = os->stat(os->context, hint->file, &st)) != 0)
    return fail_os(hint, why, code, "examine");
  if (!st.regular) return refuse(hint, why, "it is not a regular file", 0);
  int64_t count = fj_read(os, hint->file, header, sizeof header, 0);
  if (count < 0) return fail_os(hint, why, (int)count, "read");
  if (count < (int64_t)sizeof header)
    return refuse(hint, why, "it ends within its header", (uint64_t)count);
  freyja_status status = decode_header(hint, segment, header, st.size, why);
  if (status != FREYJA_OK) return status;
  status = prepare(hint, segment->pool->io == FREYJA_IO_MMAP, st.size, why);
  return status == FREYJA_OK ? check_all(hint, segment, fj_get64(header + 112), why) : status;
}

freyja_status fj_hint_open(fj_hint *hint, fj_segment *segment, freyja_error *why) {
  memset(hint, 0, sizeof *hint);
  hint->os = segment->os;
  hint->dir = segment->pool->dir;
  hint->id = segment->id;
  hint->covered = segment->tail;
  hint->file = -1;
  freyja_status status = read_hint(hint, segment, why);
  bool read_later = hint->map == NULL && hint->counts.entries > 0;
  if (status != FREYJA_OK || !read_later) {
    if (hint->file >= 0) (void)hint->os->close(hint->os->context, hint->file);
    hint->file = -1;
  }
  if (status != FREYJA_OK) fj_hint_close(hint);
  return status;
}

void fj_hint_close(fj_hint *hint) {
  const fj_os *os = hint->os;
  if (hint->file >= 0) (void)os->close(os->context, hint->file);
  if (hint->map != NULL) os->unmap(os->context, hint->map, hint->map_size);
  os->release(os->context, hint->block);
  hint->file = -1;
  hint->map = hint->block = NULL;
}

/* ---- searching ------------------------------------------------------------ */

/* The block that was read last tells where to go on, or has the hash itself. */
static void narrow(const fj_hint *hint, uint64_t key_hash, uint64_t *low, uint64_t *high) {
  if (hint->fetched == 0) return;
  uint64_t end = hint->first + hint->fetched;
  uint64_t least = fj_get64(hint->block);
  uint64_t most = fj_get64(hint->block + (hint->fetched - 1) * FJ_HINT_ENTRY);
  if (key_hash >= least) *low = key_hash > most ? end : hint->first;
  if (key_hash <= most) *high = key_hash < least ? hint->first : end;
}

bool fj_hint_may_hold(fj_hint *hint, uint64_t key_hash) {
  uint64_t low = 0, high = hint->counts.entries; /* less before low, more from high on */
  narrow(hint, key_hash, &low, &high);
  while (low < high) {
    const uint8_t *p = NULL;
    uint64_t count = 0, middle = low + (high - low) / 2;
    if (fj_hint_fetch(hint, middle, &p, &count, NULL) != FREYJA_OK) return true;
    uint64_t hash = fj_get64(p);
    if (hash == key_hash) return true;
    if (hash < key_hash) low = middle + 1;
    else high = middle;
  }
  return false;
}
