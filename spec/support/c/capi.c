/* capi.c - tests of the C API that Lua does not reach: buffers, views, iterators
 * and logs without their store, fork, the fields of errors, FORMAT.md's example. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "freyja.h"
#include "index.h"

static int failures;
static char folder[64];
static char path[96];

static void ok(bool condition, const char *name) {
  printf("%s %s\n", condition ? "ok" : "not ok", name);
  failures += !condition;
}

static freyja *open_store(freyja_io io) {
  freyja_options options;
  freyja *db = NULL;
  freyja_error error;
  freyja_options_init(&options);
  options.io = io;
  options.segment_size = 64u << 10;
  if (freyja_open(path, &options, &db, &error) != FREYJA_OK) {
    printf("not ok open: %s (%s)\n", error.message, error.path);
    exit(1);
  }
  return db;
}

static freyja_status put(freyja *db, const char *key, const char *value) {
  return freyja_put(db, key, strlen(key), value, strlen(value), NULL);
}

static void test_get(freyja *db) {
  char buffer[8] = "zzzzzzz";
  size_t size = 0;
  (void)put(db, "k", "value");
  ok(freyja_get(db, "k", 1, buffer, 3, &size, NULL) == FREYJA_OK && size == 5 &&
         strcmp(buffer, "zzzzzzz") == 0,
     "get into a buffer that is too small copies nothing and tells the size");
  ok(freyja_get(db, "k", 1, buffer, 5, &size, NULL) == FREYJA_OK &&
         memcmp(buffer, "valuezz", 7) == 0,
     "get fills a buffer that is just large enough");
  ok(freyja_get(db, "x", 1, buffer, 5, &size, NULL) == FREYJA_NOTFOUND,
     "get tells what is absent");
  ok(freyja_put(db, NULL, 0, NULL, 0, NULL) == FREYJA_OK &&
         freyja_get(db, NULL, 0, NULL, 0, &size, NULL) == FREYJA_OK && size == 0,
     "NULL stands for no bytes");
}

#define MANY 1000u

/* Keys "0" to "1999", of which those of even numbers are there with values of so many bytes;
 * one twice, one that cannot be. */
static void test_get_many(freyja *db) {
  static char keys[MANY][8], values[MANY], buffer[MANY * MANY],
      too_long[FREYJA_KEY_SIZE_MAX + 1];
  static freyja_item items[MANY + 1];
  size_t expected = 0, needed = 0, none = 1;
  bool right = true;
  for (unsigned i = 0; i < MANY; i++) {
    size_t size = (size_t)snprintf(keys[i], sizeof keys[i], "%u", i);
    memset(values, (int)i, i);
    if (i % 2 == 0)
      right = right && freyja_put(db, keys[i], size, values, i, NULL) == FREYJA_OK;
    items[i] = (freyja_item){.key = keys[i], .key_size = size};
    if (i % 2 == 0) expected += i;
  }
  items[1] = items[2]; /* twice */
  expected += 2;
  items[MANY] = (freyja_item){.key = too_long, .key_size = sizeof too_long};
  right = right && freyja_get_many(db, items, MANY + 1, buffer, 0, &needed, NULL) == FREYJA_OK;
  ok(right && needed == expected, "get_many tells what it needs");
  right = freyja_get_many(db, items, MANY + 1, buffer, needed, &needed, NULL) == FREYJA_OK;
  for (unsigned i = 0; i < MANY; i++) {
    unsigned number = i == 1 ? 2 : i;
    memset(values, (int)number, number);
    right = right && items[i].found == (number % 2 == 0) &&
            (!items[i].found || (items[i].size == number &&
                                 memcmp(buffer + items[i].offset, values, number) == 0));
  }
  ok(right && needed == expected && !items[MANY].found,
     "get_many gives what a get for each gives");
  ok(freyja_get_many(db, NULL, 0, NULL, 0, &none, NULL) == FREYJA_OK && none == 0,
     "get_many of no keys");
  for (unsigned i = 0; i < MANY; i++)
    if (i % 2 == 0) (void)freyja_delete(db, keys[i], strlen(keys[i]), NULL);
}

static void test_views(freyja *db) {
  freyja_view first, second, none;
  char large[2000];
  memset(large, 'L', sizeof large);
  (void)put(db, "k", "value");
  (void)freyja_put(db, "large", 5, large, sizeof large, NULL);
  bool got = freyja_get_view(db, "k", 1, &first, NULL) == FREYJA_OK &&
             freyja_get_view(db, "large", 5, &second, NULL) == FREYJA_OK;
  ok(got && freyja_get_view(db, "x", 1, &none, NULL) == FREYJA_NOTFOUND && none.data == NULL,
     "a view of what is absent is empty");
  (void)put(db, "k", "other");
  (void)freyja_rotate(db, NULL);
  ok(freyja_close(db, NULL) == FREYJA_OK && first.size == 5 &&
         memcmp(first.data, "value", 5) == 0 && memcmp(second.data, large, 2000) == 0,
     "views outlive overwriting, rotation and the store");
  freyja_view_release(&first);
  freyja_view_release(&second);
  freyja_view_release(&none);
  ok(first.data == NULL && second.owner == NULL, "a released view is empty");
}

static void test_iterator(freyja_io io) {
  freyja *db = open_store(io);
  freyja_iterator *iterator = NULL;
  freyja_entry entry;
  freyja_error error;
  ok(freyja_iterator_open(db, NULL, &iterator, NULL) == FREYJA_OK &&
         freyja_iterator_next(iterator, &entry, NULL) == FREYJA_OK,
     "an iterator gives an entry");
  (void)freyja_close(db, NULL);
  ok(freyja_iterator_next(iterator, &entry, &error) == FREYJA_CLOSED &&
         error.status == FREYJA_CLOSED &&
         freyja_iterator_next(iterator, &entry, &error) == FREYJA_END,
     "an iterator of a closed store says so, once");
  freyja_iterator_close(iterator);
  freyja_iterator_close(NULL);
}

static bool reading_fails;
static int reading_code;    /* an errno */
static uint64_t bad_sector; /* where 512 bytes of each file cannot be read; 0: none */

static int64_t read_or_fail(void *context, int file, void *buffer, size_t size,
                            uint64_t offset) {
  if (bad_sector > 0 && offset < bad_sector + 512 && offset + size > bad_sector) return -EIO;
  return reading_fails ? -reading_code
                       : fj_os_real()->read(context, file, buffer, size, offset);
}

/* Iterates; from the second call on reading fails, until there were so many faults. Returns
 * the number of entries, 0 if there were other faults or no end. */
static unsigned iterate_over_faults(freyja *db, unsigned faults_max) {
  freyja_iterator *iterator = NULL;
  freyja_entry entry;
  unsigned faults = 0, entries = 0;
  bool right = true;
  freyja_status status = freyja_iterator_open(db, NULL, &iterator, NULL);
  for (unsigned calls = 0; calls < 100 && status != FREYJA_END; calls++) {
    status = freyja_iterator_next(iterator, &entry, NULL);
    if (status == FREYJA_OK) entries++;
    if (freyja_is_fault(status)) faults++;
    right = right && (status == FREYJA_IO || !freyja_is_fault(status));
    reading_fails = faults < faults_max;
  }
  freyja_iterator_close(iterator);
  return right && status == FREYJA_END && faults == faults_max ? entries : 0;
}

/* Three files of 10 records, 1 and 4. The first four come in one read. */
static void test_iterator_faults(void) {
  fj_os os = *fj_os_real();
  freyja_options options;
  freyja *db = NULL;
  static char large[60000];
  os.read = read_or_fail;
  (void)snprintf(path, sizeof path, "%s/faults", folder);
  freyja_options_init(&options);
  options.io = FREYJA_IO_SYSCALL;
  options.os = &os;
  memset(large, 'L', sizeof large);
  if (freyja_open(path, &options, &db, NULL) != FREYJA_OK) exit(1);
  for (char key = 'a'; key < 'p'; key++) {
    (void)freyja_put(db, &key, 1, large, sizeof large, NULL);
    if (key == 'j' || key == 'k') (void)freyja_rotate(db, NULL);
  }
  /* Whether it is the place that cannot be read, or the system refuses. */
  static const int codes[] = {EIO, EACCES};
  for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
    reading_code = codes[i];
    ok(iterate_over_faults(db, 1) == 14, "an iterator goes on behind a value it cannot read");
    ok(iterate_over_faults(db, 2) == 9, "and behind a file that it cannot read on");
  }
  (void)freyja_close(db, NULL);
  (void)snprintf(path, sizeof path, "%s/db", folder);
}

/* A slot holds the size of a large record nearly: reading it may take a few bytes of what lies
 * behind, and these may be in a sector that the disk cannot read. */
static void test_bad_sector(void) {
  enum { END = 4608, SECOND = 128 + 24 + 1 + 15, SIZE = END - SECOND - 24 - 1 };
  fj_os os = *fj_os_real();
  freyja_options options;
  freyja *db = NULL;
  static char value[SIZE], found[SIZE];
  size_t size = 0;
  os.read = read_or_fail;
  (void)snprintf(path, sizeof path, "%s/sector", folder);
  freyja_options_init(&options);
  options.io = FREYJA_IO_SYSCALL;
  options.os = &os;
  memset(value, 'v', sizeof value);
  if (freyja_open(path, &options, &db, NULL) != FREYJA_OK) exit(1);
  bool right = freyja_put(db, "a", 1, value, 15, NULL) == FREYJA_OK &&
               freyja_put(db, "b", 1, value, SIZE, NULL) == FREYJA_OK &&
               freyja_put(db, "c", 1, value, 1000, NULL) == FREYJA_OK;
  bad_sector = END;
  ok(right && freyja_get(db, "b", 1, found, SIZE, &size, NULL) == FREYJA_OK && size == SIZE &&
         memcmp(found, value, SIZE) == 0,
     "a value can be read though the disk cannot read what lies behind it");
  ok(freyja_get(db, "c", 1, found, SIZE, &size, NULL) == FREYJA_IO,
     "which itself is an error");
  bad_sector = 0;
  (void)freyja_close(db, NULL);
  (void)snprintf(path, sizeof path, "%s/db", folder);
}

/* What goes on in a forked child: what was there at the fork can be looked at. */
static bool goes_on(freyja *db, freyja_iterator *iterator, freyja_view *view) {
  freyja_entry entry;
  freyja_stats stats;
  uint64_t seen = 0;
  freyja_status status;
  while ((status = freyja_iterator_next(iterator, &entry, NULL)) == FREYJA_OK) seen++;
  freyja_get_stats(db, &stats);
  bool right = status == FREYJA_END && seen == stats.keys && seen > 0 &&
               freyja_get_segments(db, NULL, 0) == stats.segments && view->size == 5 &&
               memcmp(view->data, "value", 5) == 0;
  freyja_view_release(view);
  freyja_iterator_close(iterator);
  return right;
}

/* Whether another process is refused the store. */
static bool is_locked_to_others(void) {
  freyja *second = NULL;
  int status = -1;
  pid_t child = fork();
  if (child == 0) _exit(freyja_open(path, NULL, &second, NULL) == FREYJA_LOCKED ? 0 : 1);
  (void)waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Options by which a second handle is refused, or not. */
static void test_sync_of_sharers(freyja_io io) {
  freyja_options options;
  freyja_error error;
  freyja_stats stats;
  freyja *db = NULL, *other = NULL;
  freyja_options_init(&options);
  options.io = io;
  options.sync_ms = 17;
  ok(freyja_open(path, &options, &db, &error) == FREYJA_OK, "milliseconds need no mode");
  freyja_get_stats(db, &stats);
  ok(stats.sync_mode == FREYJA_SYNC_INTERVAL && stats.sync_ms == 17, "and are as asked for");
  options.sync_ms = 18;
  ok(freyja_open(path, &options, &other, &error) == FREYJA_CONFLICT && other == NULL,
     "others are refused to a second handle");
  options.sync_ms = FREYJA_SYNC_MS_DEFAULT;
  ok(freyja_open(path, &options, &other, &error) == FREYJA_OK, "but what is not asked for");
  ok(freyja_close(other, &error) == FREYJA_OK, "and closes");
  char elsewhere[sizeof path + 8];
  (void)snprintf(elsewhere, sizeof elsewhere, "%s-away", path);
  bool moved = rename(path, elsewhere) == 0;
  freyja_status again = freyja_open_again(db, &other, &error);
  moved = rename(elsewhere, path) == 0 && moved;
  ok(moved && again == FREYJA_OK &&
         freyja_put(other, "again", 5, "v", 1, &error) == FREYJA_OK &&
         freyja_has(db, "again", 5, &error) == FREYJA_OK,
     "an open store opens again, wherever it is by now");
  freyja *reader = NULL, *none = NULL;
  options.readonly = true;
  ok(freyja_open(path, &options, &reader, &error) == FREYJA_OK &&
         freyja_open_again(reader, &none, &error) == FREYJA_READONLY && none == NULL &&
         freyja_close(reader, &error) == FREYJA_OK,
     "but not one that is read-only");
  ok(freyja_close(db, &error) == FREYJA_OK && freyja_close(other, &error) == FREYJA_OK,
     "both of these handles close");
}

/* A rewrite that gives way, by a thread that has just been given a record, and another's. */
static void test_displaced(freyja_io io) {
  freyja *db = open_store(io), *other = NULL;
  freyja_rewrite *first = NULL, *second = NULL;
  freyja_segment segments[64];
  freyja_entry entry;
  freyja_error error;
  bool good = freyja_open(path, NULL, &other, &error) == FREYJA_OK &&
              freyja_rotate(db, &error) == FREYJA_OK && put(db, "k", "value") == FREYJA_OK &&
              freyja_rotate(db, &error) == FREYJA_OK;
  size_t count = freyja_get_segments(db, segments, 64);
  const uint64_t *id = &segments[count - 2].id; /* the one that was just sealed */
  good = good && freyja_rewrite_open(db, id, 1, &first, &error) == FREYJA_OK;
  if (good) freyja_rewrite_give_way(first);
  good = good && freyja_rewrite_next(first, &entry, &error) == FREYJA_OK &&
         freyja_rewrite_open(other, id, 1, &second, &error) == FREYJA_OK &&
         freyja_rewrite_commit(second, &error) == FREYJA_OK;
  freyja_rewrite_close(second); /* its files go, but for what the first one was given */
  ok(good && entry.key.size == 1 && memcmp(entry.key.data, "k", 1) == 0 &&
         entry.value.size == 5 && memcmp(entry.value.data, "value", 5) == 0,
     "a rewrite that gives way leaves the record that it has given");
  ok(good && freyja_rewrite_next(first, &entry, &error) == FREYJA_CLOSED,
     "and is closed then");
  freyja_rewrite_close(first);
  ok(freyja_close(db, &error) == FREYJA_OK && freyja_close(other, &error) == FREYJA_OK,
     "both handles close");
}

/* With two handles in the process: the child touches nothing of what threads may share. */
static void test_fork_of_sharers(freyja_io io) {
  freyja *db = open_store(io), *other = NULL;
  freyja_iterator *iterator = NULL;
  freyja_error error;
  ok(freyja_open(path, NULL, &other, &error) == FREYJA_OK && put(other, "k", "v") == FREYJA_OK,
     "a store is opened once more");
  (void)freyja_iterator_open(db, NULL, &iterator, NULL);
  pid_t child = fork();
  if (child == 0) {
    size_t size = 0;
    bool refused = put(db, "child", "v") == FREYJA_FORKED &&
                   freyja_get(other, "k", 1, NULL, 0, &size, &error) == FREYJA_FORKED;
    freyja_iterator_close(iterator);
    refused = refused && freyja_close(db, NULL) == FREYJA_OK &&
              freyja_close(other, NULL) == FREYJA_OK;
    _exit(refused ? 0 : 1);
  }
  int status = -1;
  (void)waitpid(child, &status, 0);
  freyja_iterator_close(iterator);
  ok(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a child of sharers is refused");
  ok(freyja_close(db, &error) == FREYJA_OK && put(other, "k2", "v") == FREYJA_OK &&
         is_locked_to_others() && freyja_close(other, &error) == FREYJA_OK,
     "the parent's handles go on");
}

static void test_fork(freyja_io io) {
  freyja *db = open_store(io);
  freyja_iterator *before = NULL;
  freyja_view view;
  (void)put(db, "k", "value");
  (void)freyja_iterator_open(db, NULL, &before, NULL);
  (void)freyja_get_view(db, "k", 1, &view, NULL);
  pid_t child = fork();
  if (child == 0) {
    freyja_report report;
    size_t size = 0;
    freyja_iterator *iterator = NULL;
    freyja_error error;
    bool refused = put(db, "child", "v") == FREYJA_FORKED &&
                   freyja_delete(db, "k", 1, NULL) == FREYJA_FORKED &&
                   freyja_get(db, "k", 1, NULL, 0, &size, &error) == FREYJA_FORKED &&
                   error.status == FREYJA_FORKED && freyja_sync(db, NULL) == FREYJA_FORKED &&
                   freyja_rotate(db, NULL) == FREYJA_FORKED &&
                   freyja_iterator_open(db, NULL, &iterator, NULL) == FREYJA_FORKED &&
                   freyja_verify(db, NULL, NULL, &report, NULL) == FREYJA_FORKED &&
                   freyja_backup(db, "no", NULL, NULL) == FREYJA_FORKED;
    refused = refused && goes_on(db, before, &view);
    _exit(refused && freyja_close(db, NULL) == FREYJA_OK ? 0 : 1);
  }
  int status = -1;
  (void)waitpid(child, &status, 0);
  freyja_view_release(&view);
  freyja_iterator_close(before);
  ok(WIFEXITED(status) && WEXITSTATUS(status) == 0,
     "a forked child is refused, but sees what there was");
  ok(put(db, "parent", "v") == FREYJA_OK && is_locked_to_others(),
     "the parent goes on, and keeps its lock when the child closes");
  (void)freyja_close(db, NULL);
}

static void test_log(void) {
  char file[128];
  freyja_log *log = NULL;
  freyja_record record;
  freyja_error error;
  (void)snprintf(file, sizeof file, "%s/1.data", path);
  unsigned records = 0;
  uint64_t offset = 0, second = 0, last = 0;
  bool increasing = true;
  ok(freyja_log_open(file, 0, &log, &error) == FREYJA_OK,
     "a data file opens without its store");
  while (freyja_log_next(log, &record, &error) == FREYJA_OK) {
    if (++records == 2) second = record.offset;
    increasing = increasing && record.offset > offset && record.timestamp > last;
    offset = record.offset;
    last = record.timestamp;
  }
  freyja_log_close(log);
  ok(records > 3 && increasing, "its records come in order");
  unsigned rest = 0;
  (void)freyja_log_open(file, second, &log, &error);
  while (freyja_log_next(log, &record, &error) == FREYJA_OK) rest++;
  ok(rest == records - 1, "reading begins at a record's offset");
  freyja_log_close(log);
  ok(freyja_log_open(file, 129, &log, &error) == FREYJA_LIMIT && log == NULL &&
         freyja_log_open(file, 1u << 30, &log, &error) == FREYJA_LIMIT,
     "reading begins at no other offset");
  (void)snprintf(file, sizeof file, "%s/MANIFEST", path);
  ok(freyja_log_open(file, 0, &log, &error) == FREYJA_CORRUPT && strcmp(error.path, file) == 0,
     "what is no data file is refused");
}

static void test_errors(void) {
  freyja *db = NULL;
  freyja_error error;
  char name[400];
  memset(name, 'n', sizeof name - 1);
  name[sizeof name - 1] = '\0';
  memcpy(name, "/no/", 4);
  ok(freyja_open(name, NULL, &db, &error) == FREYJA_IO && db == NULL &&
         error.os_code == ENOENT && strncmp(error.path, "...", 3) == 0 &&
         strlen(error.path) < sizeof error.path,
     "an error keeps the end of a path that is too long for it");
  ok(strcmp(freyja_status_name(FREYJA_CORRUPT), "corrupt") == 0 &&
         strcmp(freyja_status_name((freyja_status)999), "unknown") == 0 &&
         !freyja_is_fault(FREYJA_NOTFOUND) && freyja_is_fault(FREYJA_IO),
     "statuses have names, and faults are told from answers");
}

/* Whether the draft becomes those bytes, and they become a record again, only there. */
static bool is_example(fj_draft draft, const uint8_t *want, size_t size) {
  uint8_t id[FJ_STORE_ID], bytes[64];
  for (uint8_t i = 0; i < sizeof id; i++) id[i] = i;
  uint64_t seed = fj_record_seed(fj_hash(id, sizeof id, 1), 128);
  fj_record_seal(&draft, seed);
  fj_record_encode_body(bytes, &draft);
  memcpy(bytes, draft.header, FJ_RECORD_HEADER);
  fj_record record;
  return fj_draft_size(&draft) == size && memcmp(bytes, want, size) == 0 &&
         fj_record_parse(bytes, size, &record) &&
         fj_record_check_header(&record, seed, draft.key_hash) &&
         fj_record_check_value(&record, seed) && fj_record_expiry(&record) == draft.expiry &&
         !fj_record_parse(bytes, size - 1, &record) &&
         !fj_record_check_header(&record, seed + 8, draft.key_hash);
}

/* FORMAT.md, section 8. */
static void test_example(void) {
  static const uint8_t want[32] = {0x96, 0xe7, 0xaa, 0x07, 0xec, 0xd9, 0xa0, 0xa2,
                                   0x01, 0x00, 0x00, 0x00, 0x01, 0x00, 0x01, 0x00,
                                   0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                   0x6b, 0x76, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};
  static const uint8_t expiring[40] = {
      0xb5, 0x37, 0x39, 0x5a, 0xec, 0xd9, 0xa0, 0xa2, 0x01, 0x00, 0x00, 0x00, 0x01, 0x00,
      0x01, 0x02, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x01, 0x00, 0x00,
      0x00, 0x00, 0x00, 0x00, 0x6b, 0x76, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};
  fj_draft draft = {.key = {"k", 1},
                    .value = {"v", 1},
                    .key_hash = fj_hash("k", 1, 1),
                    .timestamp = 1,
                    .kind = FJ_KIND_PUT};
  ok(is_example(draft, want, sizeof want),
     "the format's example is what is written and read, only there");
  draft.expiry = 258;
  draft.flags = FJ_FLAG_EXPIRES;
  ok(is_example(draft, expiring, sizeof expiring), "and so is that of a record that expires");
}

int main(void) {
  (void)snprintf(folder, sizeof folder, "/tmp/freyja-capi-XXXXXX");
  if (mkdtemp(folder) == NULL) return 1;
  (void)snprintf(path, sizeof path, "%s/db", folder);
  for (int io = FREYJA_IO_MMAP; io <= FREYJA_IO_SYSCALL; io++) {
    freyja *db = open_store((freyja_io)io);
    test_get(db);
    test_get_many(db);
    test_views(db);
    test_iterator((freyja_io)io);
    test_fork((freyja_io)io);
    test_fork_of_sharers((freyja_io)io);
    test_displaced((freyja_io)io);
    test_sync_of_sharers((freyja_io)io);
  }
  test_iterator_faults();
  test_bad_sector();
  test_log();
  test_errors();
  test_example();
  char command[128];
  (void)snprintf(command, sizeof command, "rm -r '%s'", folder);
  return system(command) == 0 && failures == 0 ? 0 : 1;
}
