/* audit.c - the index of an open store, spoilt in memory in every way that verify knows of:
 * each is found, and nothing is when it is put right again. Nor where a store is poisoned. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "freyja.h"
#include "share.h"

static int failures;
static char path[96];
static char said[300]; /* the last problem */

static void ok(bool condition, const char *name) {
  printf("%s %s\n", condition ? "ok" : "not ok", name);
  if (!condition) printf("# %s\n", said);
  failures += !condition;
}

static void note(void *argument, const freyja_problem *problem) {
  (void)argument;
  (void)snprintf(said, sizeof said, "%s, offset %llu: %s", problem->path,
                 (unsigned long long)problem->offset, problem->message);
}

/* Whether verify finds something and says so with this text in the last problem; NULL:
 * nothing. */
static bool finds(freyja *db, const char *text) {
  freyja_report report;
  said[0] = '\0';
  if (freyja_verify(db, note, NULL, &report, NULL) != FREYJA_OK) return false;
  if (text == NULL) return report.problems == 0;
  return report.problems > 0 && strstr(said, text) != NULL;
}

static freyja *fill(uint32_t hash_bits) {
  freyja_options options;
  freyja *db = NULL;
  char value[200];
  freyja_options_init(&options);
  options.segment_size = 4096;
  options.hash_bits = hash_bits;
  if (freyja_open(path, &options, &db, NULL) != FREYJA_OK) exit(1);
  memset(value, 'v', sizeof value);
  for (unsigned i = 0; i < 300; i++) {
    char key[16];
    size_t size = (size_t)snprintf(key, sizeof key, "key%u", i % 100);
    if (freyja_put(db, key, size, value, i % sizeof value, NULL) != FREYJA_OK) exit(1);
    if (i % 11 == 5 && freyja_delete(db, key, size, NULL) != FREYJA_OK) exit(1);
  }
  return db;
}

/* The key's slot. */
static fj_place place_of(freyja *db, const char *key) {
  fj_found found;
  uint64_t hash = fj_index_hash(&db->store->index, key, strlen(key));
  if (fj_index_find(&db->store->index, key, strlen(key), hash, false, &found, NULL) !=
      FREYJA_OK)
    exit(1);
  fj_found_release(&found);
  return found.place;
}

/* Changes a number, verifies, and changes it back. */
static void test_number(freyja *db, uint64_t *number, uint64_t value, const char *text,
                        const char *name) {
  uint64_t kept = *number;
  *number = value;
  bool found = finds(db, text);
  *number = kept;
  ok(found && finds(db, NULL), name);
}

static void test_counts(freyja *db) {
  fj_segment *segment = db->store->index.ranks[1];
  fj_keydir *keydir = &db->store->index.keydir;
  test_number(db, &segment->live_keys, segment->live_keys + 1, "(I3)", "live keys");
  test_number(db, &segment->live_bytes, segment->live_bytes - 8, "(I3)", "live bytes");
  test_number(db, &segment->keys, segment->keys + 1, "puts", "puts of a segment");
  test_number(db, &segment->tombstones, segment->tombstones + 1, "puts",
              "tombstones of a segment");
  test_number(db, &keydir->count, keydir->count + 1, "count", "the number of keys");
  test_number(db, &db->store->index.last_timestamp, db->store->index.last_timestamp - 1,
              "newest", "a record newer than the newest");
  test_number(db, &db->store->manifest.generation, 1, "not the one", "another MANIFEST");
  keydir->shards[7].count++;
  bool found = finds(db, "count");
  keydir->shards[7].count--;
  ok(found && finds(db, NULL), "the count of a shard");
}

static void test_words(freyja *db) {
  fj_slot *slot = place_of(db, "key99").slot;
  uint64_t word = slot->word;
  test_number(db, &slot->word, word + 1, "point to no record", "an offset");
  test_number(db, &slot->word, word ^ FJ_WORD_COLLIDES, "size or flag", "a flag");
  test_number(db, &slot->word, word | UINT64_C(0xfffff) << 28, "not there", "no such segment");
  test_number(db, &slot->word, word - (UINT64_C(1) << 28), "(I1)", "another segment");
  test_number(db, &slot->word, word ^ UINT64_C(1) << 48, "(I3)", "a size");
  test_number(db, &slot->hash, slot->hash ^ 1, "(I1)", "a hash");
  test_number(db, &slot->hash, slot->hash ^ UINT64_C(1) << 60, "cannot be", "another shard");
}

static void test_order(freyja *db) {
  const fj_shard *shard = NULL;
  for (uint32_t i = 0; shard == NULL && i < FJ_SHARDS; i++)
    if (db->store->index.keydir.shards[i].count >= 2)
      shard = &db->store->index.keydir.shards[i];
  if (shard == NULL) exit(1);
  fj_slot *first = shard->slots, *last = NULL;
  while (first->word == 0) first++;
  for (fj_slot *slot = first; slot < shard->slots + shard->limit; slot++)
    if (slot->word != 0) last = slot;
  fj_slot kept = *first;
  *first = *last;
  *last = kept;
  bool found = finds(db, "(K");
  *last = *first;
  *first = kept;
  ok(found && finds(db, NULL), "K1: two slots swapped");
  fj_slot *end = shard->slots + shard->limit - 1;
  kept = *last;
  memset(last, 0, sizeof *last);
  *end = kept;
  found = finds(db, "(K4)");
  memset(end, 0, sizeof *end);
  *last = kept;
  ok(found && finds(db, NULL), "K4: the last slot used");
  test_number(db, &first->word, 0, "count", "K3: a slot without a word");
}

/* The index as it would be if the newest record of a key had not been read. */
static void test_older(freyja *db) {
  uint64_t older = 0;
  freyja_log *log = NULL;
  freyja_record record;
  char file[128];
  (void)snprintf(file, sizeof file, "%s/1.data", path);
  if (freyja_log_open(file, 0, &log, NULL) != FREYJA_OK) exit(1);
  while (freyja_log_next(log, &record, NULL) == FREYJA_OK)
    if (record.key.size == 5 && memcmp(record.key.data, "key20", 5) == 0)
      older = fj_word_make(0, record.offset, record.size, 0);
  freyja_log_close(log);
  fj_place place = place_of(db, "key20");
  uint64_t newest = place.slot->word;
  fj_index_replace(&db->store->index, place, older);
  bool found = finds(db, "older record");
  fj_index_replace(&db->store->index, place, newest);
  ok(found && finds(db, NULL), "I1: an older record");
  uint64_t hash = place.slot->hash;
  fj_index_delete(&db->store->index, place);
  found = finds(db, "lacks 1 keys");
  fj_keydir *keydir = &db->store->index.keydir;
  bool more = fj_keydir_find(keydir, hash, &place);
  while (more) more = fj_keydir_next(&place);
  if (fj_keydir_reserve(keydir, hash, &place, NULL) != FREYJA_OK) exit(1);
  fj_index_insert(&db->store->index, place, hash, newest);
  ok(found && finds(db, NULL), "I1: a key missing");
}

/* A key that stands in the index twice, and one whose slot points to its tombstone. */
static void test_twice(freyja *db) {
  fj_place place = place_of(db, "key20");
  fj_keydir *keydir = &db->store->index.keydir;
  uint64_t hash = place.slot->hash, word = place.slot->word;
  bool more = true;
  while (more) more = fj_keydir_next(&place);
  if (fj_keydir_reserve(keydir, hash, &place, NULL) != FREYJA_OK) exit(1);
  fj_index_insert(&db->store->index, place, hash, word);
  bool found = finds(db, "point to no record") || strstr(said, "twice") != NULL;
  (void)fj_keydir_find(keydir, hash, &place);
  while (place.slot->word != word) (void)fj_keydir_next(&place);
  fj_index_delete(&db->store->index, place);
  ok(found && finds(db, NULL), "a key twice");
  if (freyja_put(db, "gone", 4, "", 0, NULL) != FREYJA_OK) exit(1);
  fj_slot gone = *place_of(db, "gone").slot;
  uint64_t offset = db->store->active->tail;
  if (freyja_delete(db, "gone", 4, NULL) != FREYJA_OK) exit(1);
  (void)fj_keydir_find(keydir, gone.hash, &place);
  more = place.slot->word != 0 && place.slot->hash == gone.hash;
  while (more) more = fj_keydir_next(&place);
  if (fj_keydir_reserve(keydir, gone.hash, &place, NULL) != FREYJA_OK) exit(1);
  word = fj_word_make(db->store->active->slot, offset, fj_record_size(0, 4, 0), 0);
  fj_index_insert(&db->store->index, place, gone.hash, word);
  found = finds(db, "tombstone");
  (void)fj_keydir_find(keydir, gone.hash, &place);
  while (place.slot->word != word) (void)fj_keydir_next(&place);
  fj_index_delete(&db->store->index, place);
  ok(found && finds(db, NULL), "I1: a tombstone");
}

static int syncs_left; /* of directories, that do not fail */

static int limited_sync_dir(void *context, int dir) {
  return syncs_left-- > 0 ? fj_os_real()->sync_dir(context, dir) : -EIO;
}

/* A rotation whose MANIFEST is in place and cannot be made durable poisons the store; that
 * the MANIFEST is ahead of the store is no damage. Another's MANIFEST then is. */
static void test_poisoned(void) {
  fj_os os = *fj_os_real();
  freyja_options options;
  freyja *db = NULL;
  os.sync_dir = limited_sync_dir;
  freyja_options_init(&options);
  options.os = &os;
  syncs_left = 100;
  (void)snprintf(said, sizeof said, "no rotation fails");
  if (freyja_open(path, &options, &db, NULL) != FREYJA_OK) exit(1);
  bool poisoned = freyja_put(db, "k", 1, "v", 1, NULL) == FREYJA_OK;
  syncs_left = 1; /* for the new segment's name */
  poisoned = poisoned && freyja_rotate(db, NULL) == FREYJA_IO &&
             freyja_put(db, "k", 1, "w", 1, NULL) == FREYJA_POISONED;
  syncs_left = 100;
  ok(poisoned && finds(db, NULL), "a poisoned store is not damaged");
  db->store->manifest.created++;
  ok(finds(db, "not the one"), "another MANIFEST of a poisoned store");
  db->store->manifest.created--;
  (void)freyja_close(db, NULL);
  db = NULL;
  bool again = freyja_open(path, &options, &db, NULL) == FREYJA_OK;
  ok(again && finds(db, NULL) && freyja_has(db, "k", 1, NULL) == FREYJA_OK,
     "a store that was poisoned opens again");
  (void)freyja_close(db, NULL);
}

int main(void) {
  char folder[] = "/tmp/freyja-audit-XXXXXX";
  if (mkdtemp(folder) == NULL) return 1;
  static const uint32_t bits[] = {64, 9};
  for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
    (void)snprintf(path, sizeof path, "%s/db%zu", folder, i);
    freyja *db = fill(bits[i]);
    ok(finds(db, NULL), "a whole store");
    test_counts(db);
    if (bits[i] == 64) test_words(db);
    if (bits[i] == 64) test_order(db);
    test_older(db);
    test_twice(db);
    if (freyja_close(db, NULL) != FREYJA_OK) failures++;
  }
  (void)snprintf(path, sizeof path, "%s/poisoned", folder);
  test_poisoned();
  char command[128];
  (void)snprintf(command, sizeof command, "rm -r '%s'", folder);
  return system(command) == 0 && failures == 0 ? 0 : 1;
}
