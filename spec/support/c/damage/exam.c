/* exam.c - see exam.h. */
#include "exam.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

#define VALUE_MAX 8192u /* bytes */
#define NEW_MAX 32u     /* bytes of a value that the examination writes */

/* An open costs at most: */
#define CALLS_BASE 48            /* calls of the disk, */
#define CALLS_SEGMENT 12         /* for each segment, */
#define CALLS_COLLISION 8        /* for each record, where all keys collide, */
#define BYTES_CALL 2048u         /* and one for so many bytes; */
#define MEMORY_BASE (208u << 10) /* bytes of memory for the index and small blocks, */
#define MEMORY_FILES 1u          /* and so many times the files' size. */
#define CALLS_USE 8 /* All that is done with it: so many times the calls of an open */

typedef enum since { AS_IT_WAS, WRITTEN, DELETED } since;

typedef struct exam {
  const exam_case *c;
  const image *img;
  verdict v;
  sim_disk *disk;
  freyja *db;
  since since[IMG_KEYS_MAX]; /* the examination's own writes */
  uint64_t changes;          /* calls that changed the disk */
  bool blocked;              /* the open failed behind recovery, by a folder in the way */
  bool again;                /* it is the second open */
} exam;

static char why[700];
static long calls_max;
static uint64_t memory_max;

const char *exam_why(void) { return why; }
long exam_calls_max(void) { return calls_max; }
uint64_t exam_memory_max(void) { return memory_max; }

static bool wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));
static bool wrong(const char *format, ...) {
  va_list arguments;
  if (why[0] != '\0') return false; /* the first says most */
  va_start(arguments, format);
  (void)vsnprintf(why, sizeof why, format, arguments);
  va_end(arguments);
  return false;
}

/* ---- keys in words ---------------------------------------------------- */

static const char *text_of(const exam *x, uint32_t key) {
  static char text[64];
  const img_key *k = &x->img->keys[key];
  int at = snprintf(text, sizeof text, "key %u (%u bytes:", key, k->size);
  for (uint32_t i = 0; i < k->size && i < 8; i++)
    at += snprintf(text + at, sizeof text - (size_t)at, " %02x", k->bytes[i]);
  (void)snprintf(text + at, sizeof text - (size_t)at, ")");
  return text;
}

static size_t new_value(uint32_t key, char out[NEW_MAX]) {
  return (size_t)snprintf(out, NEW_MAX, "new value of key %u", key);
}

/* ---- what may be said ------------------------------------------------- */

/* Whether the message names that offset. */
static bool names_offset(const char *message, uint64_t offset) {
  char text[40];
  int size = snprintf(text, sizeof text, "offset %llu", (unsigned long long)offset);
  for (const char *at = message; (at = strstr(at, text)) != NULL; at++)
    if (at[size] < '0' || at[size] > '9') return true;
  return false;
}

static bool names_record(const exam *x, const freyja_error *error, const img_record *at) {
  const img_file *file = &x->img->files[x->img->segments[at->segment].file];
  return strcmp(error->path, file->path) == 0 && names_offset(error->message, at->offset);
}

/* Whether the message names some offset, or is about the file as a whole. */
static bool names_place(const char *message) {
  return strstr(message, "offset ") != NULL || strstr(message, "the file") != NULL ||
         strstr(message, "not a regular file") != NULL;
}

/* Whether a fault of damage names a damaged data file and a place in it. */
static bool names_damage(const exam *x, const freyja_error *error) {
  if (!names_place(error->message)) return false;
  for (uint32_t i = 1; i < x->img->file_count; i++)
    if (strcmp(error->path, x->img->files[i].path) == 0 &&
        strstr(error->path, ".data") != NULL)
      return x->v.changed[i] || x->v.changed[0];
  return false;
}

/* Whether it is a fault that damage may be told by. */
static bool is_damage(const exam *x, const freyja_error *error) {
  return error->status == FREYJA_CORRUPT || (x->v.unreadable && fj_is_unreadable(error));
}

static jdg_want want_of(const exam *x, uint32_t key) {
  bool absent = x->since[key] == DELETED && !x->v.unknown;
  jdg_want want = {.absent = absent, .corrupt = x->v.unknown};
  if (x->since[key] == AS_IT_WAS) return jdg_key(x->img, &x->v, key);
  if (x->since[key] == WRITTEN) want.corrupt = false;
  return want;
}

/* Whether the bytes are the value that the key must have. */
static bool is_value(const exam *x, uint32_t key, const jdg_want *want, const void *bytes,
                     size_t size) {
  char text[NEW_MAX];
  if (x->since[key] == WRITTEN)
    return new_value(key, text) == size && memcmp(text, bytes, size) == 0;
  if (want->value == NULL || want->value->value_size != size) return false;
  return size == 0 || memcmp(img_record_value(x->img, want->value), bytes, size) == 0;
}

static bool is_there(const exam *x, uint32_t key, const jdg_want *want) {
  return x->since[key] == WRITTEN || want->value != NULL;
}

/* Whether a call on the key may fail so. */
static bool may_fail(const exam *x, const jdg_want *want, freyja_status status,
                     const freyja_error *error) {
  if (!is_damage(x, error) || status != error->status || !want->corrupt) return false;
  return want->at != NULL ? names_record(x, error, want->at) : names_damage(x, error);
}

/* ---- reading ---------------------------------------------------------- */

static bool check_get(exam *x, uint32_t key) {
  static uint8_t value[VALUE_MAX];
  const img_key *k = &x->img->keys[key];
  jdg_want want = want_of(x, key);
  freyja_error error = {.status = FREYJA_OK};
  size_t size = 0;
  freyja_status status =
      freyja_get(x->db, k->bytes, k->size, value, sizeof value, &size, &error);
  if (status == FREYJA_OK && size <= sizeof value && is_value(x, key, &want, value, size))
    return true;
  if (status == FREYJA_NOTFOUND && want.absent) return true;
  if (may_fail(x, &want, status, &error)) return true;
  return wrong("get of %s: %s, %zu bytes; %s (%s)", text_of(x, key),
               freyja_status_name(status), size, error.message, error.path);
}

static bool check_has(exam *x, uint32_t key) {
  const img_key *k = &x->img->keys[key];
  jdg_want want = want_of(x, key);
  freyja_error error = {.status = FREYJA_OK};
  freyja_status status = freyja_has(x->db, k->bytes, k->size, &error);
  if (status == FREYJA_OK && (is_there(x, key, &want) || want.key_known)) return true;
  if (status == FREYJA_NOTFOUND && want.absent) return true;
  if (may_fail(x, &want, status, &error)) return true;
  return wrong("has of %s: %s; %s (%s)", text_of(x, key), freyja_status_name(status),
               error.message, error.path);
}

/* ---- iterating -------------------------------------------------------- */

typedef struct tour {
  freyja_iterator_options options;
  bool seen[IMG_KEYS_MAX];
  uint32_t last;      /* the key seen last, plus 1 */
  freyja_error error; /* the last fault */
} tour;

static int compare_keys(const img_key *a, const img_key *b) {
  uint32_t common = a->size < b->size ? a->size : b->size;
  int order = common == 0 ? 0 : memcmp(a->bytes, b->bytes, common);
  return order != 0 ? order : (a->size > b->size) - (a->size < b->size);
}

static bool take_entry(exam *x, tour *t, const freyja_entry *entry) {
  const image *img = x->img;
  uint32_t key = 0;
  while (key < img->key_count &&
         (img->keys[key].size != entry->key.size ||
          memcmp(img->keys[key].bytes, entry->key.data, entry->key.size) != 0))
    key++;
  if (key == img->key_count) return wrong("iterating: a key that was never written");
  if (t->seen[key]) return wrong("iterating: %s comes twice", text_of(x, key));
  if (t->options.order == FREYJA_ORDER_KEY && t->last > 0 &&
      compare_keys(&img->keys[t->last - 1], &img->keys[key]) >= 0)
    return wrong("iterating: %s out of order", text_of(x, key));
  t->seen[key] = true;
  t->last = key + 1;
  jdg_want want = want_of(x, key);
  if (t->options.keys_only)
    return is_there(x, key, &want) || want.key_known ||
           wrong("iterating: %s should not be there", text_of(x, key));
  return is_value(x, key, &want, entry->value.data, entry->value.size) ||
         wrong("iterating: %s with a wrong value", text_of(x, key));
}

/* A fault in place of an entry, or of the end. */
static bool take_fault(exam *x, tour *t, freyja_status status) {
  if (status != t->error.status || !is_damage(x, &t->error) || !names_damage(x, &t->error))
    return wrong("iterating: %s; %s (%s)", freyja_status_name(status), t->error.message,
                 t->error.path);
  for (uint32_t key = 0; key < x->img->key_count; key++) {
    jdg_want want = want_of(x, key);
    if (want.at != NULL && names_record(x, &t->error, want.at)) t->seen[key] = true;
  }
  return true;
}

/* What had to come has come: entries, or the faults that stand for them. */
static bool check_seen(exam *x, const tour *t, bool ended) {
  if (ended == x->v.unknown)
    return wrong("iterating ends %s though %s may be hidden", ended ? "well" : "badly",
                 x->v.unknown ? "entries" : "nothing");
  for (uint32_t key = 0; key < x->img->key_count; key++) {
    jdg_want want = want_of(x, key);
    bool must = is_there(x, key, &want) && !want.corrupt;
    if (want.at != NULL && (want.key_known || !x->v.open)) must = true;
    if (must && !t->seen[key]) return wrong("iterating: %s is missing", text_of(x, key));
  }
  return true;
}

/* Whether the fault is one that takes the place of the end. */
static bool is_end(const freyja_error *error) {
  return strstr(error->message, "entries ") != NULL;
}

static bool check_tour(exam *x, freyja_order order, bool keys_only) {
  tour t = {.options = {.order = order, .keys_only = keys_only}};
  freyja_iterator *iterator = NULL;
  freyja_entry entry;
  freyja_status status;
  bool right = true, hidden = false;
  if (freyja_iterator_open(x->db, &t.options, &iterator, &t.error) != FREYJA_OK)
    return wrong("iterating: %s (%s)", t.error.message, t.error.path);
  uint32_t left = 2 * x->img->record_count + IMG_KEYS_MAX; /* more than there can be */
  for (;;) {
    status = freyja_iterator_next(iterator, &entry, &t.error);
    if (status == FREYJA_END || !right || left-- == 0) break;
    if (hidden) right = wrong("iterating does not end behind its end");
    else if (status == FREYJA_OK) right = take_entry(x, &t, &entry);
    else right = take_fault(x, &t, status);
    hidden = status != FREYJA_OK && is_end(&t.error);
  }
  freyja_iterator_close(iterator);
  if (left == UINT32_MAX) return wrong("iterating does not end");
  return right && check_seen(x, &t, !hidden);
}

static bool check_all(exam *x) {
  for (uint32_t key = 0; key < x->img->key_count; key++)
    if (!check_get(x, key) || !check_has(x, key)) return false;
  return check_tour(x, FREYJA_ORDER_LOG, x->c->number % 4 == 3) &&
         check_tour(x, FREYJA_ORDER_KEY, x->c->number % 2 == 1);
}

/* ---- writing ---------------------------------------------------------- */

/* A folder in the place of the temporary file is an error, and named. */
static bool is_blocked(const exam *x, freyja_status status, const freyja_error *error) {
  uint32_t node = sim_disk_find(x->disk, "db/MANIFEST.tmp");
  return status == FREYJA_IO && strcmp(error->path, "db/MANIFEST.tmp") == 0 &&
         node != UINT32_MAX && x->disk->nodes[node].type == SIM_DIRECTORY;
}

typedef enum operation { KEEP, PUT, DELETE, INSERT, SWAP, MISMATCH, OPERATIONS } operation;

static freyja_status do_write(exam *x, uint32_t key, operation op, const jdg_want *want,
                              freyja_error *error) {
  const img_key *k = &x->img->keys[key];
  char text[NEW_MAX];
  freyja_slice desired = {text, new_value(key, text)};
  freyja_slice expected = {"none", 4};
  bool there = is_there(x, key, want) || want->key_known;
  if (op == SWAP && want->value != NULL) {
    expected.data = img_record_value(x->img, want->value);
    expected.size = want->value->value_size;
  }
  switch (op) {
  case PUT:
    return freyja_put(x->db, k->bytes, k->size, text, desired.size, error);
  case DELETE:
    return freyja_delete(x->db, k->bytes, k->size, error);
  case INSERT:
    return freyja_insert(x->db, k->bytes, k->size, text, desired.size, error);
  case SWAP:
    return freyja_cas(x->db, k->bytes, k->size, there ? &expected : NULL, &desired, error);
  default:
    return freyja_cas(x->db, k->bytes, k->size, &expected, &desired, error);
  }
}

/* Whether the operation may have ended so, when the key was as it is wanted. */
static bool is_outcome(const exam *x, uint32_t key, operation op, const jdg_want *want,
                       freyja_status status, const freyja_error *error) {
  bool there = is_there(x, key, want);
  bool known = there || want->key_known;
  if (is_blocked(x, status, error)) return true;
  if (op == PUT) return status == FREYJA_OK;
  if (may_fail(x, want, status, error)) return true;
  switch (status) {
  case FREYJA_OK:
    return op == DELETE   ? known
           : op == INSERT ? want->absent
                          : op == SWAP && (there || want->absent);
  case FREYJA_NOTFOUND:
    return op == DELETE && want->absent;
  case FREYJA_EXISTS:
    return op == INSERT && known;
  case FREYJA_MISMATCH:
    return op == MISMATCH && (there || want->absent);
  default:
    return false;
  }
}

static bool check_write(exam *x, uint32_t key, operation op) {
  static const char *const names[] = {"", "put", "delete", "insert", "cas", "cas of another"};
  jdg_want want = want_of(x, key);
  freyja_error error = {.status = FREYJA_OK};
  freyja_status status = do_write(x, key, op, &want, &error);
  if (!is_outcome(x, key, op, &want, status, &error))
    return wrong("%s of %s: %s; %s (%s)", names[op], text_of(x, key),
                 freyja_status_name(status), error.message, error.path);
  if (status == FREYJA_OK) x->since[key] = op == DELETE ? DELETED : WRITTEN;
  return check_get(x, key);
}

static bool write_all(exam *x) {
  freyja_error error = {.status = FREYJA_OK};
  freyja_status status = freyja_rotate(x->db, &error);
  if (status != FREYJA_OK && !is_blocked(x, status, &error))
    return wrong("rotate: %s; %s (%s)", freyja_status_name(status), error.message, error.path);
  for (uint32_t key = 0; key < x->img->key_count; key++) {
    operation op = (operation)((key + x->c->number) % OPERATIONS);
    if (op != KEEP && !check_write(x, key, op)) return false;
  }
  return true;
}

/* ---- opening ---------------------------------------------------------- */

static void count_change(void *argument, sim_disk *disk, const char *call) {
  (void)disk;
  if (strncmp(call, "sync", 4) != 0) ((exam *)argument)->changes++;
}

static uint64_t bytes_of(const sim_disk *disk) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < disk->node_count; i++) sum += disk->nodes[i].now.size;
  return sum;
}

/* Calls that an open may make, in proportion to the files, whatever is in them. */
static long calls_for(const exam *x, uint64_t bytes) {
  const image *img = x->img;
  long calls = CALLS_BASE + CALLS_SEGMENT * (long)(img->segment_count + 1);
  if (img->hash_bits == 1)
    calls += CALLS_COLLISION * (long)(img->record_count + img->key_count);
  if (x->v.unreadable) calls += (long)(bytes / SIM_SECTOR); /* what is next to it */
  return calls + (long)(bytes / BYTES_CALL);
}

static bool check_cost(exam *x, uint64_t bytes) {
  const sim_disk *disk = x->disk;
  if (disk->calls > calls_max) calls_max = disk->calls;
  if (disk->bytes_peak > memory_max) memory_max = disk->bytes_peak;
  if (disk->calls > calls_for(x, bytes))
    return wrong("open made %ld calls of the disk", disk->calls);
  return disk->bytes_peak <= MEMORY_BASE + MEMORY_FILES * bytes ||
         wrong("open took %llu bytes of memory", (unsigned long long)disk->bytes_peak);
}

static bool check_refusal(exam *x, freyja_status status, const freyja_error *error) {
  return (status == x->v.status && strcmp(error->path, x->v.path) == 0) ||
         wrong("open: %s, not %s about %s; %s (%s)", freyja_status_name(status),
               freyja_status_name(x->v.status), x->v.path, error->message, error->path);
}

/* Recovery tells of damage where there is some, and of the first where it is. */
static bool check_recovery(exam *x) {
  freyja_stats stats;
  freyja_get_stats(x->db, &stats);
  const freyja_recovery *r = &stats.recovery;
  const verdict *v = &x->v;
  uint64_t keys = 0;
  if ((r->damaged > 0) != v->damaged || is_damage(x, &r->damage) != v->damaged)
    return wrong("%s damage was reported: %s (%s)", v->damaged ? "no" : "undone",
                 r->damage.message, r->damage.path);
  bool any = v->first_offset == UINT64_MAX;
  if (v->damaged && (strcmp(r->damage.path, x->img->files[v->first_file].path) != 0 ||
                     (any ? !names_place(r->damage.message)
                          : !names_offset(r->damage.message, v->first_offset))))
    return wrong("the damage that was reported is not at %llu of %s: %s (%s)",
                 (unsigned long long)v->first_offset, x->img->files[v->first_file].path,
                 r->damage.message, r->damage.path);
  if (r->bytes_cut != (x->again ? 0 : v->cut))
    return wrong("%llu bytes were cut, not %llu", (unsigned long long)r->bytes_cut,
                 (unsigned long long)v->cut);
  for (uint32_t key = 0; key < x->img->key_count; key++) {
    jdg_want want = want_of(x, key);
    keys += is_there(x, key, &want) || want.key_known;
  }
  return v->unknown || stats.keys == keys ||
         wrong("%d keys are counted, not %d", (int)stats.keys, (int)keys);
}

/* After all of the KEYDIR was asked for: what is wrong with it was noticed. */
static bool check_keydir(exam *x) {
  freyja_stats stats;
  const exam_case *c = x->c;
  if (!spl_is_checked(c->img, c->spoil, c->number)) return true;
  freyja_get_stats(x->db, &stats);
  return stats.recovery.checkpoint.status != FREYJA_OK ||
         wrong("a damaged KEYDIR is taken for a whole one");
}

/* Opens; *refused: as it must be. */
static bool open_it(exam *x, freyja_io io, bool *refused) {
  freyja_options options = img_options(x->img, x->disk, io, x->c->readonly);
  freyja_error error = {.status = FREYJA_OK};
  uint64_t bytes = bytes_of(x->disk);
  x->disk->calls = 0;
  x->disk->bytes_peak = 0;
  freyja_status status = freyja_open("db", &options, &x->db, &error);
  *refused = x->v.fails;
  if (x->v.fails && x->db == NULL) return check_refusal(x, status, &error);
  /* An open renews the MANIFEST if the active file has no records. */
  x->blocked = x->db == NULL && is_blocked(x, status, &error);
  if (x->blocked) return *refused = true;
  if (x->db == NULL)
    return wrong("open: %s; %s (%s)", freyja_status_name(status), error.message, error.path);
  if (x->v.fails) return wrong("open should refuse %s", x->v.path);
  return check_cost(x, bytes) && check_recovery(x);
}

static bool close_it(exam *x) {
  freyja_error error = {.status = FREYJA_OK};
  freyja_status status = freyja_close(x->db, &error);
  x->db = NULL;
  if (status != FREYJA_OK) return wrong("close: %s (%s)", error.message, error.path);
  long held = sim_disk_held(x->disk);
  if (x->disk->calls > CALLS_USE * calls_for(x, bytes_of(x->disk)))
    return wrong("%ld calls of the disk were made", x->disk->calls);
  return held == 0 || wrong("%ld things are not given back", held);
}

/* ---- the whole -------------------------------------------------------- */

/* A refused store is left as it is, and so is one that was opened read-only. */
static bool check_untouched(exam *x) {
  sim_disk *fresh = sim_disk_copy(x->img->disk);
  (void)x->c->spoil->apply(x->img, fresh, x->c->spoil->size, x->c->number);
  bool right =
      !x->c->readonly || x->changes == 0 || wrong("a read-only open changes the disk");
  for (uint32_t i = 0; i < x->img->file_count && right; i++) {
    const char *path = x->img->files[i].path;
    uint64_t size = 0, now = 0;
    if (strcmp(path, "db/LOCK") == 0) continue;
    const uint8_t *want = sim_disk_bytes(fresh, path, &size);
    const uint8_t *bytes = sim_disk_bytes(x->disk, path, &now);
    right = (want == NULL) == (bytes == NULL) && now == size &&
            (want == NULL || memcmp(want, bytes, size) == 0);
    if (!right) (void)wrong("%s was changed", path);
  }
  sim_disk_destroy(fresh);
  return right;
}

/* What is not the store's is still there. */
static bool check_leftovers(exam *x) {
  spl_leftover items[2];
  if (x->c->spoil->group != SPL_LEFTOVERS) return true;
  uint32_t count = spl_leftovers(x->img, x->c->number, items);
  for (uint32_t i = 0; i < count; i++) {
    const char *path = items[i].path;
    uint64_t size = 0;
    uint32_t node = sim_disk_find(x->disk, path);
    if (items[i].removable || (strcmp(path, "db/lost") == 0 && x->v.cut > 0)) continue;
    if (node == UINT32_MAX || x->disk->nodes[node].type != items[i].type)
      return wrong("%s is gone", path);
    const uint8_t *bytes = sim_disk_bytes(x->disk, path, &size);
    if (bytes != NULL && (size != items[i].size || memcmp(bytes, items[i].bytes, size) != 0))
      return wrong("%s was changed", path);
  }
  return true;
}

static bool examine(exam *x) {
  bool refused = false;
  freyja_io other = x->c->io == FREYJA_IO_MMAP ? FREYJA_IO_SYSCALL : FREYJA_IO_MMAP;
  if (x->v.unreadable) other = x->c->io;
  if (!open_it(x, x->c->io, &refused)) return false;
  if (refused) return x->blocked || check_untouched(x);
  bool writes = x->c->deep && !x->c->readonly;
  bool right = check_all(x) && check_keydir(x) && (!writes || write_all(x));
  if (!right || !close_it(x)) return false;
  if (x->c->readonly && x->c->deep && !check_untouched(x)) return false;
  if (!writes) return check_leftovers(x);
  x->again = true;
  return open_it(x, other, &refused) && check_all(x) && close_it(x) && check_leftovers(x);
}

static exam_result run(exam *x) {
  const exam_case *c = x->c;
  if (!c->spoil->apply(c->img, x->disk, c->spoil->size, c->number)) return EXAM_SAME;
  jdg_disk(c->img, x->disk, c->readonly, &x->v);
  return examine(x) ? EXAM_RIGHT : EXAM_WRONG;
}

/* The damage comes to a store that is open: what it knows it knows, but no bytes are taken
 * for what they are not. */
static exam_result run_live(exam *x) {
  const exam_case *c = x->c;
  bool refused = false;
  jdg_disk(c->img, x->disk, c->readonly, &x->v);
  if (!open_it(x, c->io, &refused)) return EXAM_WRONG;
  if (!c->spoil->apply(c->img, x->disk, c->spoil->size, c->number)) return EXAM_SAME;
  jdg_open_disk(c->img, x->disk, &x->v);
  return check_all(x) && close_it(x) ? EXAM_RIGHT : EXAM_WRONG;
}

exam_result exam_run(const exam_case *c) {
  exam x = {.c = c, .img = c->img};
  why[0] = '\0';
  x.disk = sim_disk_copy(c->img->disk);
  x.disk->unchecked = true;
  if (c->number % 4 == 3) x.disk->changes = SIM_ALWAYS;
  x.disk->hook = count_change;
  x.disk->argument = &x;
  exam_result result = c->live ? run_live(&x) : run(&x);
  sim_disk_destroy(x.disk); /* as if the process were killed, where the store is open */
  return result;
}
