/* segment.c - the life of a segment: create, open, read, release, and the
 * bound on open files. See segment.h. */
#include "segment.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define FILES_MAX 12u   /* open sealed files in syscall mode: well below `ulimit -n 32` */
#define MAPS_MAX 16384u /* mapped segments of a store: a process may have some 65,000 maps */
#define TAKEN_MAX (1u << 20) /* file names in use that are passed over */
#define FIELD_KIND 12u
#define FIELD_STORE_ID 16u
#define FIELDS_IDENTITY 32u /* bytes of store id, hash seed and file id */
#define FIELD_ZERO 96u      /* behind the marks */

static const uint8_t magic[8] = {'f', 'r', 'e', 'y', 'j', 'a', 'D', 1};

void fj_segment_name(char name[FJ_NAME_MAX], uint64_t id) {
  (void)snprintf(name, FJ_NAME_MAX, "%" PRIu64 ".data", id);
}

const char *fj_segment_parse_id(const char *name, uint64_t *id) {
  uint64_t value = 0;
  const char *p = name;
  if (*p < '1' || *p > '9') return "";
  for (; *p >= '0' && *p <= '9'; p++) {
    uint64_t digit = (uint64_t)(*p - '0');
    if (value > (UINT64_MAX - digit) / 10) return "";
    value = value * 10 + digit;
  }
  *id = value;
  return p;
}

bool fj_segment_parse_name(const char *name, uint64_t *id) {
  return strcmp(fj_segment_parse_id(name, id), ".data") == 0;
}

/* ---- header ------------------------------------------------------------- */

uint64_t fj_segment_seed(const fj_identity *identity, uint64_t id) {
  return fj_hash(identity->id, FJ_STORE_ID, id);
}

static void encode_header(uint8_t out[FJ_SEGMENT_HEADER], const fj_identity *identity,
                          fj_segment_kind kind, uint64_t id, uint64_t created) {
  memset(out, 0, FJ_SEGMENT_HEADER);
  memcpy(out, magic, sizeof magic);
  fj_put32(out + 8, FJ_SEGMENT_HEADER);
  fj_put32(out + FIELD_KIND, (uint32_t)kind);
  memcpy(out + 16, identity->id, FJ_STORE_ID);
  fj_put64(out + 32, identity->hash_seed);
  fj_put64(out + 40, id);
  fj_put64(out + 48, created);
  fj_put64(out + 56, fj_hash(out, 56, 0));
}

void fj_segment_encode_mark(uint8_t out[FJ_MARK_SIZE], uint64_t offset, uint64_t seed,
                            unsigned slot) {
  fj_put64(out, offset);
  fj_put64(out + 8, fj_hash(out, 8, seed + 1 + slot));
}

bool fj_segment_decode_mark(const uint8_t *header, uint64_t seed, unsigned slot,
                            uint64_t *offset) {
  const uint8_t *p = header + FJ_MARK_OFFSET + FJ_MARK_SIZE * slot;
  *offset = fj_get64(p);
  return fj_get64(p + 8) == fj_hash(p, 8, seed + 1 + slot);
}

/* The highest mark that verifies; the other slot takes the next. */
static void decode_marks(fj_segment *segment, const uint8_t *header) {
  segment->mark = FJ_SEGMENT_HEADER;
  segment->mark_slot = 0;
  for (unsigned slot = 0; slot < 2; slot++) {
    uint64_t offset = 0;
    if (!fj_segment_decode_mark(header, segment->seed, slot, &offset)) continue;
    if (offset < segment->mark || offset % FJ_RECORD_ALIGN != 0) continue;
    if (offset > FREYJA_SEGMENT_SIZE_MAX) continue;
    segment->mark = offset;
    segment->mark_slot = (uint8_t)(1 - slot);
  }
}

/* A field of the header whose value is known before it is read. */
typedef struct fj_field {
  uint32_t offset, size;
  const char *wrong; /* what is said of it when it has another value */
} fj_field;

static const fj_field fields[] = {
    {0, 8, "it does not begin as data files do"},
    {8, 4, "its size is wrong"},
    {FIELD_KIND, 4, "its kind is impossible"},
    {FIELD_STORE_ID, FJ_STORE_ID, "its store id is not that of the MANIFEST"},
    {32, 8, "its hash seed is not that of the MANIFEST"},
    {40, 8, "its file id is not that of the name"},
    {56, 8, "its check does not hold"},
    {FIELD_ZERO, 32, "bytes that must be zero are not"},
};

/* The first field that is not as the store's MANIFEST and the file's name say; NULL if none.
 */
static const fj_field *find_wrong(const uint8_t *header, const uint8_t *right) {
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
    if (memcmp(header + fields[i].offset, right + fields[i].offset, fields[i].size) != 0)
      return &fields[i];
  return NULL;
}

fj_segment_kind fj_segment_kind_of(const uint8_t *header) {
  return fj_get32(header + FIELD_KIND) == FJ_SEGMENT_MERGED ? FJ_SEGMENT_MERGED
                                                            : FJ_SEGMENT_LOG;
}

bool fj_segment_is_unclaimed(const uint8_t *header) {
  static const uint8_t none[2 * FJ_MARK_SIZE];
  return fj_segment_kind_of(header) == FJ_SEGMENT_MERGED &&
         memcmp(header + FJ_MARK_OFFSET, none, sizeof none) == 0;
}

/* Takes over what a whole header says. One that is not that of the segment makes it damaged,
 * and *why says so; one that is another's makes the file that, with all that is in it. */
static void compare_header(fj_segment *segment, const uint8_t *header, const char *name,
                           freyja_error *why) {
  uint8_t right[FJ_SEGMENT_HEADER];
  segment->kind = fj_segment_kind_of(header);
  segment->created = fj_get64(header + 48);
  encode_header(right, &segment->pool->identity, segment->kind, segment->id, segment->created);
  const fj_field *wrong = find_wrong(header, right);
  bool valid = memcmp(header, magic, sizeof magic) == 0 &&
               fj_get64(header + 56) == fj_hash(header, 56, 0);
  segment->damaged = wrong != NULL;
  segment->missing =
      valid && memcmp(header + FIELD_STORE_ID, right + FIELD_STORE_ID, FIELDS_IDENTITY) != 0;
  /* Not behind the check, where marks have their own and the rest has none to believe. */
  segment->unmarked = wrong != NULL && wrong->offset != FIELD_ZERO;
  if (!segment->unmarked) decode_marks(segment, header);
  segment->unclaimed = !segment->unmarked && fj_segment_is_unclaimed(header);
  if (wrong != NULL)
    (void)fj_fail_at(why, FREYJA_CORRUPT, segment->pool->dir, name, "%s: %s (offset %u)",
                     segment->missing ? "the file is of another store or segment"
                                      : "the file's header is damaged",
                     wrong->wrong, wrong->offset);
}

/* Whether `header` is that of `segment`. A header that is not is no fault but
 * for a newer format; *why then says what is wrong. */
static freyja_status check_header(fj_segment *segment, const uint8_t *header, size_t size,
                                  const char *name, freyja_error *why, freyja_error *error) {
  const fj_dir *dir = segment->pool->dir;
  if (size >= 64 && memcmp(header, magic, sizeof magic - 1) == 0 && header[7] != magic[7] &&
      fj_get64(header + 56) == fj_hash(header, 56, 0))
    return fj_fail_at(error, FREYJA_FORMAT, dir, name,
                      "format version %u is not one that this library reads", header[7]);
  if (size == FJ_SEGMENT_HEADER) {
    compare_header(segment, header, name, why);
    return FREYJA_OK;
  }
  segment->damaged = segment->missing = true;
  (void)fj_fail_at(why, FREYJA_CORRUPT, dir, name, "the file ends within its header");
  return FREYJA_OK;
}

freyja_status fj_segment_decode(const uint8_t *header, size_t size, fj_identity *identity,
                                uint64_t *id) {
  if (size < FJ_SEGMENT_HEADER || memcmp(header, magic, sizeof magic - 1) != 0 ||
      fj_get64(header + 56) != fj_hash(header, 56, 0))
    return FREYJA_CORRUPT;
  if (header[7] != magic[7]) return FREYJA_FORMAT;
  memcpy(identity->id, header + 16, FJ_STORE_ID);
  identity->hash_seed = fj_get64(header + 32);
  *id = fj_get64(header + 40);
  return FREYJA_OK;
}

freyja_status fj_segment_adopt(fj_segment *segment, const uint8_t *header, size_t size,
                               freyja_error *error) {
  const char *path = segment->pool->dir->path;
  fj_identity *identity = &segment->pool->identity;
  freyja_status status = fj_segment_decode(header, size, identity, &segment->id);
  if (status == FREYJA_FORMAT)
    return fj_fail(error, status, path, "format version %u is not one that this library reads",
                   header[7]);
  if (status != FREYJA_OK && (size < FJ_SEGMENT_HEADER || memcmp(header, magic, 7) != 0))
    return fj_fail(error, status, path, "this is not a data file");
  if (status != FREYJA_OK) return fj_fail(error, status, path, "the file's header is damaged");
  segment->seed = fj_segment_seed(identity, segment->id);
  decode_marks(segment, header);
  return FREYJA_OK;
}

/* ---- open files of sealed segments (syscall mode) ------------------------ */

static void close_file(fj_segment *segment) {
  if (segment->file >= 0) (void)segment->os->close(segment->os->context, segment->file);
  segment->file = -1;
}

static void pool_unlink(fj_segment *segment) {
  fj_pool *pool = segment->pool;
  *(segment->newer != NULL ? &segment->newer->older : &pool->newest) = segment->older;
  *(segment->older != NULL ? &segment->older->newer : &pool->oldest) = segment->newer;
  segment->newer = segment->older = NULL;
  pool->open_files--;
}

static void pool_link(fj_segment *segment) {
  fj_pool *pool = segment->pool;
  segment->older = pool->newest;
  segment->newer = NULL;
  *(pool->newest != NULL ? &pool->newest->newer : &pool->oldest) = segment;
  pool->newest = segment;
  pool->open_files++;
}

static bool is_pooled(const fj_segment *segment) {
  return segment->sealed && segment->file >= 0 && segment->pool != NULL;
}

static bool close_oldest(fj_pool *pool) {
  fj_segment *oldest = pool->oldest;
  if (oldest == NULL) return false;
  pool_unlink(oldest);
  close_file(oldest);
  return true;
}

void fj_pool_close_files(fj_pool *pool) {
  while (close_oldest(pool)) continue;
}

/* Opens the file `name`, giving up files that are only kept for reading if there are
 * too many. */
static int open_in(fj_pool *pool, const char *name, unsigned flags, int *file) {
  const fj_os *os = pool->dir->os;
  int code = 0;
  do {
    code = os->open(os->context, pool->dir->fd, name, flags, file);
  } while ((code == -EMFILE || code == -ENFILE) && close_oldest(pool));
  if (code != 0) *file = -1;
  return code;
}

/* ---- life --------------------------------------------------------------- */

static freyja_status segment_new(fj_pool *pool, uint64_t id, uint64_t limit, fj_segment **out,
                                 freyja_error *error) {
  const fj_os *os = pool->dir->os;
  fj_segment *segment = os->allocate(os->context, sizeof *segment);
  if (segment == NULL) return fj_fail_memory(error, "open a segment");
  memset(segment, 0, sizeof *segment);
  segment->os = os;
  segment->pool = pool;
  segment->id = id;
  segment->seed = fj_segment_seed(&pool->identity, id);
  segment->references = 1;
  segment->file = -1;
  segment->tail = segment->mark = segment->marked = FJ_SEGMENT_HEADER;
  segment->limit = limit;
  segment->can_reserve = true;
  *out = segment;
  return FREYJA_OK;
}

freyja_status fj_segment_assume(fj_pool *pool, uint64_t id, uint64_t written_as, uint64_t size,
                                fj_segment **out, freyja_error *error) {
  freyja_status status = segment_new(pool, id, size, out, error);
  if (status != FREYJA_OK) return status;
  (*out)->seed = fj_segment_seed(&pool->identity, written_as);
  (*out)->tail = (*out)->reserved = size;
  (*out)->sealed = true;
  return FREYJA_OK;
}

/* Maps `size` bytes of the file; in syscall mode does nothing. Where there is no room for one
 * more mapping, the segment is used as in that mode; and room must be left for others, as
 * without any not even memory can be had. */
static int map_file(fj_segment *segment, uint64_t size, bool writable) {
  fj_pool *pool = segment->pool;
  if (pool->io != FREYJA_IO_MMAP || pool->maps >= MAPS_MAX) return 0;
  const fj_os *os = segment->os;
  uint8_t *map = NULL;
  int code = os->map(os->context, segment->file, size, writable, &map);
  if (code != 0) return code == -ENOMEM ? 0 : code;
  segment->map_size = size;
  fj_publish(&segment->map, map);
  pool->maps++;
  return 0;
}

/* Creates the file of the first id from *next_id on whose name is free. */
static int create_file(fj_segment *segment, uint64_t *next_id, char name[FJ_NAME_MAX]) {
  int code = -EEXIST;
  for (uint32_t i = 0; code == -EEXIST && i < TAKEN_MAX && *next_id < UINT64_MAX; i++) {
    segment->id = (*next_id)++;
    fj_segment_name(name, segment->id);
    code = open_in(segment->pool, name, FJ_OPEN_WRITE | FJ_OPEN_CREATE | FJ_OPEN_EXCLUSIVE,
                   &segment->file);
  }
  segment->seed = fj_segment_seed(&segment->pool->identity, segment->id);
  return code;
}

freyja_status fj_segment_create(fj_pool *pool, fj_segment_kind kind, uint64_t created_at,
                                uint64_t *next_id, uint64_t limit, fj_segment **out,
                                freyja_error *error) {
  const fj_os *os = pool->dir->os;
  fj_segment *segment = NULL;
  char name[FJ_NAME_MAX];
  uint8_t header[FJ_SEGMENT_HEADER];
  bool created = false;
  const char *doing = "create";

  *out = NULL;
  if (*next_id == UINT64_MAX) /* an id must be less than the next one */
    return fj_fail(error, FREYJA_LIMIT, pool->dir->path, "there are no more file ids");
  freyja_status status = segment_new(pool, *next_id, limit, &segment, error);
  if (status != FREYJA_OK) return status;
  /* A rotation opens this file and the MANIFEST: what is kept for reading makes room. */
  fj_pool_close_files(pool);
  int code = create_file(segment, next_id, name);
  if (code != 0) goto fail;
  created = true;
  segment->kind = kind;
  segment->unclaimed = kind == FJ_SEGMENT_MERGED;
  segment->created = created_at != 0 ? created_at : os->now(os->context);
  encode_header(header, &pool->identity, kind, segment->id, segment->created);
  freyja_slice part = {header, sizeof header};
  doing = "write";
  if ((code = fj_write(os, segment->file, &part, 1, 0)) != 0) goto fail;
  segment->reserved = FJ_SEGMENT_HEADER;
  doing = "sync";
  if ((code = fj_sync(os, segment->file)) != 0) goto fail;
  if ((code = fj_sync_dir(os, pool->dir->fd)) != 0) {
    pool->unsure = true;
    goto fail;
  }
  doing = "map the data file";
  if ((code = map_file(segment, limit, true)) != 0) goto fail;
  segment->mapped_writes = segment->map != NULL;
  *out = segment;
  return FREYJA_OK;

fail:
  status = fj_fail_os(error, code, pool->dir, name, doing);
  if (created) (void)os->unlink(os->context, pool->dir->fd, name);
  fj_segment_release(segment);
  return status;
}

bool fj_segment_is_begun(const uint8_t *bytes, size_t size) {
  size_t count = size < sizeof magic ? size : sizeof magic;
  if (count == 0 || memcmp(bytes, magic, count) == 0) return true;
  while (size > 0 && bytes[size - 1] == 0) size--;
  return size == 0;
}

bool fj_segment_is_no_file(int code) {
  return code == -ENOENT || code == -ELOOP || code == -EISDIR || code == -ENXIO ||
         code == -ENODEV || code == -EMLINK;
}

static freyja_status mark_missing(fj_segment *segment, const char *name, freyja_error *why,
                                  const char *what) {
  segment->damaged = segment->missing = true;
  (void)fj_fail_at(why, FREYJA_CORRUPT, segment->pool->dir, name, "%s", what);
  return FREYJA_OK;
}

static freyja_status fail_read(const fj_segment *segment, int code, uint64_t offset,
                               freyja_error *error) {
  char name[FJ_NAME_MAX], doing[48];
  fj_segment_name(name, segment->id);
  (void)snprintf(doing, sizeof doing, "read at offset %" PRIu64, offset);
  return fj_fail_os(error, code, segment->pool->dir, name, doing);
}

/* The disk cannot read the header: it is damaged like one whose bytes are wrong. Not where the
 * file is to be mapped, since the records next to it could not be read but by a signal. */
static void mark_unreadable(fj_segment *segment, freyja_error *why) {
  segment->damaged = segment->unmarked = true;
  (void)fail_read(segment, -EIO, 0, why);
}

static uint64_t end_for(const fj_pool *pool, uint64_t size) {
  return pool->log_end != 0 && pool->log_end < size ? pool->log_end : size;
}

/* Opens, checks and maps the file; damage is told in *why. */
static freyja_status open_file(fj_segment *segment, const char *name, uint64_t sealed_size,
                               freyja_error *why, freyja_error *error) {
  fj_pool *pool = segment->pool;
  const fj_os *os = segment->os;
  bool writable = sealed_size == 0 && !pool->readonly;
  int code = open_in(pool, name, writable ? FJ_OPEN_WRITE : 0, &segment->file);
  if (code != 0) {
    if (code == -ENOENT) return mark_missing(segment, name, why, "the file is missing");
    if (fj_segment_is_no_file(code))
      return mark_missing(segment, name, why, "this is not a regular file");
    return fj_fail_os(error, code, pool->dir, name, "open");
  }
  fj_os_stat st;
  if ((code = os->stat(os->context, segment->file, &st)) != 0)
    return fj_fail_os(error, code, pool->dir, name, "examine");
  if (!st.regular) return mark_missing(segment, name, why, "this is not a regular file");
  uint8_t header[FJ_SEGMENT_HEADER];
  int64_t count = fj_read(os, segment->file, header, sizeof header, 0);
  bool unreadable = count == -EIO && pool->io == FREYJA_IO_SYSCALL;
  if (unreadable) count = fj_read(os, segment->file, header, sizeof header, 0);
  unreadable = unreadable && count == -EIO; /* the second time, too */
  if (count < 0 && !unreadable) return fail_read(segment, (int)count, 0, error);
  freyja_status status = FREYJA_OK;
  if (unreadable) mark_unreadable(segment, why);
  else status = check_header(segment, header, (size_t)count, name, why, error);
  if (status != FREYJA_OK || segment->missing) return status;

  if (st.size > FREYJA_SEGMENT_SIZE_MAX && sealed_size == 0)
    return mark_missing(segment, name, why, "the file is larger than a segment can be");
  segment->sign = (fj_sign){st.number, st.changed};
  segment->sealed = sealed_size != 0;
  if (!segment->sealed) segment->unclaimed = false; /* a MANIFEST that no store has written */
  segment->reserved = segment->sealed ? st.size : end_for(pool, st.size);
  if (segment->sealed) {
    segment->limit = sealed_size < st.size ? sealed_size : st.size;
  } else if (st.size > segment->limit) {
    segment->limit = st.size;
  }
  segment->followed = !segment->sealed && !writable;
  /* What is behind that was written later, and is none of what is read. */
  if (segment->followed) segment->mark = end_for(pool, segment->mark);
  if ((code = map_file(segment, segment->limit, writable)) != 0)
    return fj_fail_os(error, code, pool->dir, name, "map the data file");
  segment->mapped_writes = writable && segment->map != NULL;
  return FREYJA_OK;
}

freyja_status fj_segment_open(fj_pool *pool, uint64_t id, uint64_t sealed_size, uint64_t limit,
                              fj_segment **out, freyja_error *why, freyja_error *error) {
  fj_segment *segment = NULL;
  char name[FJ_NAME_MAX];
  *out = NULL;
  memset(why, 0, sizeof *why);
  fj_segment_name(name, id);
  freyja_status status = segment_new(pool, id, limit, &segment, error);
  if (status != FREYJA_OK) return status;
  status = open_file(segment, name, sealed_size, why, error);
  if (status != FREYJA_OK) {
    fj_segment_release(segment);
    return status;
  }
  if (segment->missing) segment->sealed = true;
  if (segment->sealed) close_file(segment);
  *out = segment;
  return FREYJA_OK;
}

freyja_status fj_segment_measure(fj_segment *segment, freyja_error *error) {
  fj_os_stat st;
  uint8_t header[FJ_SEGMENT_HEADER];
  size_t count = 0;
  char name[FJ_NAME_MAX];
  freyja_status status = fj_segment_read(segment, header, sizeof header, 0, &count, error);
  if (status != FREYJA_OK) return status;
  int code = segment->os->stat(segment->os->context, segment->file, &st);
  fj_segment_name(name, segment->id);
  if (code != 0) return fj_fail_os(error, code, segment->pool->dir, name, "examine");
  uint64_t mark = segment->mark;
  if (count == sizeof header && !segment->unmarked) decode_marks(segment, header);
  if (segment->mark < mark) segment->mark = mark;
  segment->mark = end_for(segment->pool, segment->mark);
  segment->reserved = end_for(segment->pool, st.size);
  return FREYJA_OK;
}

/* ---- recognizing ----------------------------------------------------------- */

void fj_segment_sign(fj_segment *segment, int file) {
  fj_os_stat st = {.size = 0};
  if (segment->os->stat(segment->os->context, file, &st) != 0) memset(&st, 0, sizeof st);
  segment->sign = (fj_sign){st.number, st.changed};
}

static bool is_same(const fj_sign *a, const fj_sign *b) {
  return a->number == b->number && a->changed == b->changed;
}

freyja_status fj_segment_recognize(fj_pool *pool, uint64_t id, const fj_known *known,
                                   const fj_os_stat *seen, fj_segment **out,
                                   freyja_error *error) {
  fj_sign sign = {seen->number, seen->changed};
  *out = NULL;
  if (pool->readonly || known->sign.changed == 0 || !seen->regular) return FREYJA_OK;
  if (!is_same(&sign, &known->sign) || seen->size != known->size) return FREYJA_OK;
  freyja_status status = segment_new(pool, id, known->size, out, error);
  if (status != FREYJA_OK) return status;
  fj_segment *segment = *out;
  segment->sign = sign;
  segment->kind = known->kind;
  segment->created = known->created;
  segment->reserved = seen->size;
  segment->sealed = segment->unopened = true;
  return FREYJA_OK;
}

fj_known fj_segment_note(const fj_segment *segment) {
  const fj_os *os = segment->os;
  char name[FJ_NAME_MAX];
  fj_os_stat st;
  fj_known known = {.size = segment->tail, .created = segment->created, .kind = segment->kind};
  if (!segment->sealed || segment->unclaimed || segment->damaged) return known;
  fj_segment_name(name, segment->id);
  if (os->examine(os->context, segment->pool->dir->fd, name, &st) != 0) return known;
  fj_sign sign = {st.number, st.changed};
  if (st.regular && st.size == known.size && is_same(&sign, &segment->sign)) known.sign = sign;
  return known;
}

/* Whether the file that was opened is the one that was recognized. */
static freyja_status check_met(const fj_segment *segment, const char *name,
                               freyja_error *error) {
  const fj_os *os = segment->os;
  fj_os_stat st;
  int code = os->stat(os->context, segment->file, &st);
  if (code != 0) return fj_fail_os(error, code, segment->pool->dir, name, "examine");
  if (st.number == segment->sign.number && st.size >= segment->limit) return FREYJA_OK;
  return fj_fail_at(error, FREYJA_CORRUPT, segment->pool->dir, name,
                    "the file was replaced while the store was open");
}

/* Makes segment->file usable. */
static freyja_status use_file(fj_segment *segment, freyja_error *error) {
  if (segment->file >= 0 && !segment->sealed) return FREYJA_OK;
  fj_pool *pool = segment->pool;
  if (segment->file >= 0) {
    if (pool->newest != segment) {
      pool_unlink(segment);
      pool_link(segment);
    }
    return FREYJA_OK;
  }
  char name[FJ_NAME_MAX];
  fj_segment_name(name, segment->id);
  while (pool->open_files >= FILES_MAX) (void)close_oldest(pool);
  int code = open_in(pool, name, 0, &segment->file);
  if (code != 0) return fj_fail_os(error, code, pool->dir, name, "open");
  freyja_status status = FREYJA_OK;
  if (segment->unopened) status = check_met(segment, name, error);
  if (status == FREYJA_OK) pool_link(segment);
  else close_file(segment);
  return status;
}

void fj_segment_meet(fj_segment *segment) {
  if (segment->pool == NULL || use_file(segment, NULL) != FREYJA_OK) return;
  (void)map_file(segment, segment->limit, false); /* without it, it is read by calls */
  segment->unopened = false;
  if (segment->map == NULL) return;
  pool_unlink(segment);
  close_file(segment);
}

void fj_segment_detach(fj_segment *segment) {
  if (is_pooled(segment)) pool_unlink(segment);
  close_file(segment);
  if (segment->map != NULL && segment->pool != NULL) segment->pool->maps--;
  segment->pool = NULL;
}

void fj_segment_release(fj_segment *segment) {
  if (segment == NULL) return;
  assert(fj_glance(&segment->references) > 0);
  if (__atomic_sub_fetch(&segment->references, 1, __ATOMIC_ACQ_REL) > 0) return;
  const fj_os *os = segment->os;
  if (is_pooled(segment) &&
      (segment->newer != NULL || segment->older != NULL || segment->pool->newest == segment))
    pool_unlink(segment);
  close_file(segment);
  if (segment->map != NULL && segment->pool != NULL) segment->pool->maps--;
  if (segment->map != NULL) os->unmap(os->context, segment->map, segment->map_size);
  os->release(os->context, segment);
}

/* ---- claiming ------------------------------------------------------------ */

/* Writes both marks. Returns 0 or -errno. */
static int write_marks(const fj_segment *segment, int file) {
  uint8_t marks[2 * FJ_MARK_SIZE];
  fj_os_stat st;
  const fj_os *os = segment->os;
  for (unsigned slot = 0; slot < 2; slot++)
    fj_segment_encode_mark(marks + (size_t)FJ_MARK_SIZE * slot, segment->limit, segment->seed,
                           slot);
  freyja_slice part = {marks, sizeof marks};
  int code = os->stat(os->context, file, &st);
  if (code == 0 && (!st.regular || st.size < FJ_SEGMENT_HEADER)) code = -EIO;
  return code == 0 ? fj_write(os, file, &part, 1, FJ_MARK_OFFSET) : code;
}

/* Opens the file to write its marks. Where that is not permitted and they are there, only to
 * sync it: *file is for reading then, and *marked is set. Returns 0 or -errno. */
static int open_to_claim(fj_pool *pool, const char *name, int *file, bool *marked) {
  const fj_os *os = pool->dir->os;
  uint8_t header[FJ_SEGMENT_HEADER];
  *marked = false;
  int code = open_in(pool, name, FJ_OPEN_WRITE, file);
  if (code != -EACCES && code != -EPERM && code != -EROFS) return code;
  if (open_in(pool, name, 0, file) != 0) return code;
  *marked = fj_read(os, *file, header, sizeof header, 0) == (int64_t)sizeof header &&
            !fj_segment_is_unclaimed(header);
  if (*marked) return 0;
  (void)os->close(os->context, *file);
  return code;
}

freyja_status fj_segment_claim(fj_segment *segment, fj_pool *pool, bool *poison,
                               freyja_error *error) {
  const fj_os *os = segment->os;
  char name[FJ_NAME_MAX];
  const char *doing = "open";
  bool marked = false;
  int file = -1;
  assert(segment->sealed);
  fj_segment_name(name, segment->id);
  int code = open_to_claim(pool, name, &file, &marked);
  if (code == 0) {
    doing = "mark the data file";
    if (!marked) code = write_marks(segment, file);
    if (code == 0) {
      doing = "sync";
      *poison = (code = fj_sync(os, file)) != 0;
    }
    if (pool == segment->pool) fj_segment_sign(segment, file);
    (void)os->close(os->context, file);
  }
  return code == 0 ? FREYJA_OK : fj_fail_os(error, code, pool->dir, name, doing);
}

/* ---- reading ------------------------------------------------------------- */

freyja_status fj_segment_read(fj_segment *segment, void *buffer, size_t size, uint64_t offset,
                              size_t *count, freyja_error *error) {
  freyja_status status = use_file(segment, error);
  if (status != FREYJA_OK) return status;
  int64_t done = fj_read(segment->os, segment->file, buffer, size, offset);
  if (done < 0) return fail_read(segment, (int)done, offset, error);
  *count = (size_t)done;
  return FREYJA_OK;
}
