/* log.c - reading a data file without its store: freyja_log_*. The files are made by a
 * store and then spoiled byte by byte. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "freyja.h"
#include "segment.h"

#define RECORDS 6
#define LARGE (300u << 10) /* bytes: more than is read at once */

static int failures;
static char folder[300], path[320], file[340];

static void ok(bool condition, const char *name) {
  printf("%s log: %s\n", condition ? "ok" : "not ok", name);
  failures += !condition;
}

/* ---- files ---------------------------------------------------------------- */

static freyja *open_store(uint32_t hash_bits) {
  freyja_options options;
  freyja_error error;
  freyja *db = NULL;
  freyja_options_init(&options);
  options.sync_mode = FREYJA_SYNC_NONE;
  options.hash_bits = hash_bits;
  if (freyja_open(path, &options, &db, &error) == FREYJA_OK) return db;
  printf("not ok log: open: %s (%s)\n", error.message, error.path);
  exit(1);
}

/* Six records, the third of which has a large value and the last of which is a tombstone;
 * with hashes of one bit, so that some are flagged. */
static freyja *make_store(void) {
  static char large[LARGE];
  memset(large, 'L', sizeof large);
  freyja *db = open_store(1);
  (void)freyja_put(db, "first", 5, "1", 1, NULL);
  (void)freyja_put(db, "second", 6, "22222222", 8, NULL);
  (void)freyja_put(db, "large", 5, large, sizeof large, NULL);
  (void)freyja_put(db, "fourth", 6, NULL, 0, NULL);
  (void)freyja_put(db, "second", 6, "again", 5, NULL);
  (void)freyja_delete(db, "first", 5, NULL);
  return db;
}

static void spoil(uint64_t offset, const void *bytes, size_t size) {
  FILE *stream = fopen(file, "r+b");
  if (stream == NULL || fseek(stream, (long)offset, SEEK_SET) != 0 ||
      fwrite(bytes, 1, size, stream) != size || fclose(stream) != 0)
    exit(1);
}

static void fetch(uint64_t offset, void *bytes, size_t size) {
  FILE *stream = fopen(file, "rb");
  if (stream == NULL || fseek(stream, (long)offset, SEEK_SET) != 0 ||
      fread(bytes, 1, size, stream) != size || fclose(stream) != 0)
    exit(1);
}

static void flip(uint64_t offset) {
  uint8_t byte = 0;
  fetch(offset, &byte, 1);
  byte ^= 0x10;
  spoil(offset, &byte, 1);
}

static uint64_t size_of_file(void) {
  struct stat st;
  return stat(file, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* ---- reading -------------------------------------------------------------- */

/* What reading the file gives: a letter for each call, up to its end. */
typedef struct reading {
  char said[32]; /* p put, t tombstone, c the same flagged: P T; x CORRUPT, e END, ? other */
  uint64_t offsets[32];
  char message[224];
} reading;

static reading read_from(uint64_t offset) {
  reading r = {{0}, {0}, {0}};
  freyja_log *log = NULL;
  freyja_record record;
  freyja_error error;
  if (freyja_log_open(file, offset, &log, &error) != FREYJA_OK) return r;
  for (size_t i = 0; i + 1 < sizeof r.said; i++) {
    freyja_status status = freyja_log_next(log, &record, &error);
    r.said[i] = '?';
    if (status == FREYJA_OK) {
      r.said[i] = record.kind == FREYJA_PUT ? 'p' : 't';
      if (record.collides) r.said[i] = (char)(r.said[i] - 'a' + 'A');
      r.offsets[i] = record.offset;
    } else if (status == FREYJA_CORRUPT && strcmp(error.path, file) == 0) {
      r.said[i] = 'x';
      memcpy(r.message, error.message, sizeof r.message);
    } else if (status == FREYJA_END) {
      r.said[i] = 'e';
      if (freyja_log_next(log, &record, &error) != FREYJA_END) r.said[i] = '?';
      break;
    }
  }
  freyja_log_close(log);
  return r;
}

/* As `want`, a star standing for any letter of a put. */
static bool is(const reading *r, const char *want) {
  if (strlen(r->said) != strlen(want)) return false;
  for (size_t i = 0; want[i] != '\0'; i++) {
    bool put = r->said[i] == 'p' || r->said[i] == 'P';
    bool tombstone = r->said[i] == 't' || r->said[i] == 'T';
    if (want[i] == '*' ? !put : want[i] == 't' ? !tombstone : r->said[i] != want[i])
      return false;
  }
  return true;
}

static void test_whole(reading *whole) {
  freyja *db = make_store();
  *whole = read_from(0);
  ok(is(whole, "*****te"), "while the store is open it ends where the reserve begins");
  (void)freyja_close(db, NULL);
  *whole = read_from(0);
  ok(is(whole, "*****te"), "closed, it ends where the file does");
  ok(strchr(whole->said, 'P') != NULL && whole->said[0] == 'p',
     "it tells which records are flagged");
  reading rest = read_from(whole->offsets[3]);
  ok(is(&rest, "**te") && rest.offsets[0] == whole->offsets[3], "it begins at any record");
  rest = read_from(size_of_file());
  ok(is(&rest, "e"), "at the file's end there is nothing");
}

static void test_damage(const reading *whole) {
  char text[64];
  flip(whole->offsets[1] + FJ_RECORD_HEADER + 6);
  reading r = read_from(0);
  ok(is(&r, "*x***te"), "a damaged value is one error, and reading goes on");
  flip(whole->offsets[1] + FJ_RECORD_HEADER + 6);
  flip(whole->offsets[2] + FJ_RECORD_HEADER + 5 + LARGE - 1);
  r = read_from(0);
  ok(is(&r, "**x**te"), "the last byte of a large value counts");
  flip(whole->offsets[2] + FJ_RECORD_HEADER + 5 + LARGE - 1);
  flip(whole->offsets[1] + 9);
  r = read_from(0);
  (void)snprintf(text, sizeof text, "%llu bytes at offset %llu",
                 (unsigned long long)(whole->offsets[2] - whole->offsets[1]),
                 (unsigned long long)whole->offsets[1]);
  ok(is(&r, "*x***te") && strncmp(r.message, text, strlen(text)) == 0,
     "a damaged header is one error that names the bytes");
  flip(whole->offsets[1] + 9);
  flip(whole->offsets[5] + 8);
  r = read_from(0);
  ok(is(&r, "*****xe"), "a damaged last record is an error, not the end");
  flip(whole->offsets[5] + 8);
}

static void test_tail(void) {
  uint64_t size = size_of_file();
  uint8_t bytes[20] = {0};
  spoil(size, bytes, sizeof bytes);
  reading r = read_from(0);
  ok(is(&r, "*****te"), "zeros behind the records are the end");
  bytes[17] = 1;
  spoil(size, bytes, sizeof bytes);
  r = read_from(0);
  ok(is(&r, "*****txe"), "other bytes are not");
  if (truncate(file, (off_t)size) != 0) exit(1);
}

static freyja_status open_status(uint64_t offset, freyja_error *error) {
  freyja_log *log = NULL;
  freyja_status status = freyja_log_open(file, offset, &log, error);
  freyja_log_close(log);
  return status;
}

static void test_header(void) {
  freyja_error error;
  uint8_t header[FJ_SEGMENT_HEADER], changed[FJ_SEGMENT_HEADER];
  fetch(0, header, sizeof header);
  flip(50);
  ok(open_status(0, &error) == FREYJA_CORRUPT && strcmp(error.path, file) == 0,
     "a damaged file header is told");
  memcpy(changed, header, sizeof header);
  changed[7] = 2;
  fj_put64(changed + 56, fj_hash(changed, 56, 0));
  spoil(0, changed, sizeof changed);
  ok(open_status(0, &error) == FREYJA_FORMAT, "another version of the format is told");
  freyja *db = NULL;
  ok(freyja_open(path, NULL, &db, &error) == FREYJA_FORMAT && db == NULL,
     "and refused by the store");
  memcpy(changed, header, sizeof header);
  changed[0] = 'g';
  spoil(0, changed, sizeof changed);
  ok(open_status(0, &error) == FREYJA_CORRUPT, "another kind of file is told");
  spoil(0, header, sizeof header);
  ok(open_status(136 + 4, &error) == FREYJA_LIMIT && open_status(64, &error) == FREYJA_LIMIT &&
         open_status(size_of_file() + 8, &error) == FREYJA_LIMIT,
     "no record begins elsewhere");
  if (truncate(file, 100) != 0) exit(1);
  ok(open_status(0, &error) == FREYJA_CORRUPT, "half a header is told");
}

static void test_no_file(void) {
  freyja_error error;
  (void)unlink(file);
  ok(open_status(0, &error) == FREYJA_IO && error.os_code == ENOENT &&
         strcmp(error.path, file) == 0,
     "a missing file is told");
  (void)snprintf(file, sizeof file, "%s", path);
  ok(open_status(0, &error) == FREYJA_IO, "a directory is told");
}

int main(void) {
  const char *base = getenv("TMPDIR");
  (void)snprintf(folder, sizeof folder, "%s/freyja-log-XXXXXX", base == NULL ? "/tmp" : base);
  if (mkdtemp(folder) == NULL) return 1;
  (void)snprintf(path, sizeof path, "%s/db", folder);
  (void)snprintf(file, sizeof file, "%s/1.data", path);
  reading whole;
  test_whole(&whole);
  if (strlen(whole.said) == RECORDS + 1) {
    test_damage(&whole);
    test_tail();
    test_header();
  }
  test_no_file();
  char command[340];
  (void)snprintf(command, sizeof command, "rm -r '%s'", folder);
  return system(command) == 0 && failures == 0 ? 0 : 1;
}
