/* keydir.c - the key directory against a plain sorted list: random hashes, hashes that
 * crowd together, growing, shrinking, memory that ends. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keydir.h"

static int failures;

static void ok(bool condition, const char *name) {
  printf("%s keydir: %s\n", condition ? "ok" : "not ok", name);
  failures += !condition;
}

/* ---- memory that ends ------------------------------------------------------ */

static size_t pages_max = SIZE_MAX; /* bytes that one range of pages may have */
static size_t discarded;

static void *limited_pages(void *context, size_t size) {
  return size > pages_max ? NULL : fj_os_real()->allocate_pages(context, size);
}

/* What was given back must not be needed any more. */
static void spoil_pages(void *context, void *pages, size_t size) {
  (void)context;
  memset(pages, 0xff, size);
  discarded += size;
}

static fj_os make_os(void) {
  fj_os os = *fj_os_real();
  os.allocate_pages = limited_pages;
  os.discard_pages = spoil_pages;
  return os;
}

/* ---- the model: entries that are there, at most MODEL_MAX ------------------- */

#define MODEL_MAX (1u << 20)

static fj_slot *model;
static size_t model_count;

static uint64_t state = 88172645463325252u;

static uint64_t next_random(void) { /* xorshift (G. Marsaglia) */
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

static bool find(fj_keydir *keydir, uint64_t hash, uint64_t word, fj_place *place) {
  bool more = fj_keydir_find(keydir, hash, place);
  while (more && place->slot->word != word) more = fj_keydir_next(place);
  return more;
}

static freyja_status insert(fj_keydir *keydir, uint64_t hash, uint64_t word) {
  fj_place place;
  freyja_error error;
  (void)find(keydir, hash, word, &place);
  freyja_status status = fj_keydir_reserve(keydir, hash, &place, &error);
  if (status == FREYJA_OK) fj_keydir_insert(keydir, place, hash, word);
  return status;
}

static bool add(fj_keydir *keydir, uint64_t hash) {
  static uint64_t serial;
  uint64_t word = ++serial;
  if (insert(keydir, hash, word) != FREYJA_OK) return false;
  model[model_count].hash = hash;
  model[model_count++].word = word;
  return true;
}

static bool remove_one(fj_keydir *keydir, size_t i) {
  fj_place place;
  if (!find(keydir, model[i].hash, model[i].word, &place)) return false;
  fj_keydir_delete(keydir, place);
  model[i] = model[--model_count];
  return true;
}

/* All that should be there is found, and nothing else is there: the counts are equal. */
static bool agrees(fj_keydir *keydir) {
  fj_place place;
  uint64_t used = 0;
  for (size_t i = 0; i < model_count; i++)
    if (!find(keydir, model[i].hash, model[i].word, &place)) return false;
  for (unsigned s = 0; s < FJ_SHARDS; s++) {
    const fj_shard *shard = &keydir->shards[s];
    uint64_t last = 0;
    for (uint32_t i = 0; i < shard->limit; i++) {
      if (shard->slots[i].word == 0) continue;
      if (shard->slots[i].hash < last) return false; /* K1 */
      last = shard->slots[i].hash;
      used++;
    }
  }
  return used == model_count && keydir->count == model_count;
}

static uint64_t spread_hash(void) { return next_random(); }

/* In one shard, and there at a few places. */
static uint64_t crowded_hash(void) {
  return UINT64_C(0x5a) << 56 | (next_random() & 7) << 40 | (next_random() & 3);
}

/* Puts `count` in, taking one in four out again meanwhile, then all but a few out. */
static void test_changes(const fj_os *os, const char *name, uint64_t (*hash)(void),
                         size_t count) {
  fj_keydir keydir;
  fj_keydir_create(&keydir, os, 64);
  model_count = 0;
  bool right = true;
  size_t checked = 1;
  while (right && model_count < count) {
    right = add(&keydir, hash());
    if (right && next_random() % 4 == 0)
      right = remove_one(&keydir, next_random() % model_count);
    if (right && model_count >= checked) {
      right = agrees(&keydir);
      checked = checked * 3 / 2 + 1;
    }
  }
  while (right && model_count > 10) {
    right = remove_one(&keydir, next_random() % model_count);
    if (right && model_count == count / 2) right = agrees(&keydir);
  }
  right = right && agrees(&keydir);
  fj_keydir_destroy(&keydir);
  ok(right, name);
}

/* More hashes at a shard's very end than it has room for behind it. */
static void test_end(const fj_os *os) {
  fj_keydir keydir;
  fj_keydir_create(&keydir, os, 64);
  model_count = 0;
  pages_max = 64u << 20;
  bool right = true;
  for (int i = 0; i < 60 && right; i++) right = add(&keydir, UINT64_C(0x00ffffffffffffff));
  ok(right && agrees(&keydir), "60 equal hashes at a shard's end have room");
  freyja_status status = FREYJA_OK;
  for (int i = 0; i < 60 && status == FREYJA_OK; i++)
    status = add(&keydir, UINT64_C(0x00ffffffffffffff)) ? FREYJA_OK : FREYJA_MEMORY;
  ok(status == FREYJA_MEMORY && agrees(&keydir), "120 need more memory than there is");
  ok(add(&keydir, UINT64_C(0x0100000000000000)) && agrees(&keydir),
     "another hash does not, then");
  pages_max = SIZE_MAX;
  fj_keydir_destroy(&keydir);
}

static void pass_slot(void *argument, const fj_slot *slot) {
  (void)argument;
  (void)slot;
}

/* Two slots that stand where each could, but not in the hashes' order: a search for the one
 * ends at the other. */
static void test_check(const fj_os *os) {
  fj_keydir keydir;
  fj_place place;
  fj_keydir_create(&keydir, os, 64);
  model_count = 0;
  if (!add(&keydir, 1) || !add(&keydir, 2) || !find(&keydir, 1, model[0].word, &place))
    exit(1);
  fj_slot *slot = place.slot;
  bool right = slot[1].hash == 2 && fj_keydir_check(&keydir, pass_slot, NULL) == NULL;
  fj_slot first = slot[0];
  slot[0] = slot[1];
  slot[1] = first;
  const char *wrong = fj_keydir_check(&keydir, pass_slot, NULL);
  ok(right && wrong != NULL && strstr(wrong, "(K1)") != NULL,
     "that neighbours are out of order is noticed");
  fj_keydir_destroy(&keydir);
}

static void test_memory(const fj_os *os) {
  fj_keydir keydir;
  fj_keydir_create(&keydir, os, 64);
  model_count = 0;
  pages_max = 1u << 20;
  bool full = false;
  while (!full && model_count < MODEL_MAX) full = !add(&keydir, next_random());
  ok(full && model_count > 10000 && agrees(&keydir), "without memory nothing changes");
  pages_max = SIZE_MAX;
  bool right = true;
  for (int i = 0; i < 10000 && right; i++) right = add(&keydir, next_random());
  ok(right && agrees(&keydir), "with memory it grows on");
  fj_keydir_destroy(&keydir);
}

/* The word of a slot keeps what it is made of. */
static void test_words(void) {
  bool right = true;
  for (uint64_t size = 24; size < UINT64_C(3) << 30; size = size * 9 / 8 / 8 * 8 + 8) {
    uint64_t word = fj_word_make(0xabcde, 0x7ffffff8, size, true);
    right = right && fj_word_segment(word) == 0xabcde && fj_word_offset(word) == 0x7ffffff8 &&
            fj_word_collides(word) && fj_word_size(word) >= size &&
            fj_word_size(word) <= size + size / 250 &&
            (size > 4096 || fj_word_size(word) == size);
    right = right && !fj_word_collides(fj_word_make(0, 128, size, false));
  }
  ok(right, "a word keeps place and flag, and the size to 0.4 %");
}

/* ---- searches that changes overtake (K7) ------------------------------------- */

/* The slots of a shard, in their order, of hashes that belong to the same place. */
static const uint64_t crowd[] = {UINT64_C(0x4200000000000001), UINT64_C(0x4200000000000002),
                                 UINT64_C(0x4200000000000003)};

static void make_crowd(fj_keydir *keydir, const fj_os *os) {
  fj_keydir_create(keydir, os, 64);
  for (uint64_t i = 0; i < 3; i++) (void)insert(keydir, crowd[i], i + 1);
}

static void delete_word(fj_keydir *keydir, uint64_t hash, uint64_t word) {
  fj_place place;
  if (find(keydir, hash, word, &place)) fj_keydir_delete(keydir, place);
}

static void test_searches(void) {
  fj_os os = make_os();
  fj_keydir keydir;
  fj_seek seek;
  make_crowd(&keydir, &os);
  ok(fj_seek_begin(&seek, &keydir, crowd[2]) && fj_seek_next(&seek) == 3 &&
         fj_seek_next(&seek) == 0 && fj_seek_is_sure(&seek),
     "a search finds what is there, and is sure of the rest");
  /* It has passed two slots when the last one moves to where it was. */
  (void)fj_seek_begin(&seek, &keydir, crowd[2]);
  seek.next += 2;
  delete_word(&keydir, crowd[0], 1);
  ok(fj_seek_next(&seek) == 0 && !fj_seek_is_sure(&seek),
     "a search that a deletion has overtaken is not sure");
  (void)fj_seek_begin(&seek, &keydir, crowd[2]);
  seek.next += 1;
  (void)insert(&keydir, crowd[0], 1);
  ok(fj_seek_next(&seek) == 3, "what an insert pushes comes to the search");
  (void)fj_seek_begin(&seek, &keydir, crowd[2]);
  delete_word(&keydir, crowd[2], 3);
  ok(fj_seek_next(&seek) == 0 && !fj_seek_is_sure(&seek),
     "nor is one sure from which the last slot was taken");
  (void)fj_seek_begin(&seek, &keydir, crowd[1]);
  for (uint64_t i = 1; i <= 4000; i++) (void)insert(&keydir, i << 52 | i, i + 10);
  ok(!fj_seek_is_sure(&seek), "nor one in a region that the keydir has left");
  fj_keydir_destroy(&keydir);
  ok(fj_seek_begin(&seek, &keydir, crowd[1]) && fj_seek_next(&seek) == 0 &&
         fj_seek_is_sure(&seek),
     "in an empty keydir nothing is found");
  fj_keydir_forget(&keydir);
  ok(!fj_seek_begin(&seek, &keydir, crowd[1]), "in one that is not there nothing is sought");
  fj_keydir_destroy(&keydir);
}

int main(void) {
  fj_os os = make_os();
  model = malloc(MODEL_MAX * sizeof *model);
  if (model == NULL) return 1;
  test_changes(&os, "random hashes", spread_hash, 600000);
  ok(discarded > 0, "a large one gives its old pages back as it grows");
  test_changes(&os, "hashes that crowd", crowded_hash, 400);
  test_end(&os);
  test_check(&os);
  test_memory(&os);
  test_words();
  test_searches();
  free(model);
  return failures == 0 ? 0 : 1;
}
