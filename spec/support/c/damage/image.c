/* image.c - see image.h.
 *
 * A store is made by a script: words of an operation, a key's letter and a size.
 *   pK9  put a value of 9 bytes       nK9  one that ends in zeros
 *   lK9  one that expires late        xK   an empty one that has expired
 *   dK   delete                       r    rotate
 *   s    sync                         c    close and open again
 *   z    remember how the files are now (`older`)
 *   H    write the hint files of all sealed segments
 *   m    merge all sealed segments but the first
 *   K    write the KEYDIR
 *   BKL  load a record for each of these keys at once
 * Key 0 is the empty one, L and M are long; the others' lengths differ. */
#include "image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"

#define VALUE_MAX 8192u /* bytes */
#define MEDIUM_KEY 1000u
#define LATE UINT64_C(3600000000) /* microseconds */
#define NEVER 5u                  /* keys that no script writes */

typedef struct plan {
  const char *name, *script;
  uint32_t segment_size, hash_bits;
  bool killed;
  bool spare; /* only its hint files and its KEYDIR are damaged */
} plan;

static const plan plans[] = {
    {"closed",
     "pa40 pb8 p012 pc0 pM100 pd300 pe3000 pa50 pb0 db pf20 pt70 r pg700 ph900 pi1100 da pj30 "
     "z pu90 r pk2000 ph20 pe1500 dk pl33 p024 r pm500 dm pm10 s pa60 s po64 s do pc1 pq200 "
     "dt nr64",
     4096, 64, false, false},
    {"killed",
     "pa40 pb80 pc0 p010 pd1300 pe20 r pa41 db pf900 pg30 r pb16 pc24 z pd50 s dg ph700 s "
     "pi100 "
     "pj0 da pb30 dj pk300 p00 pe8 nl40",
     4096, 64, true, false},
    {"colliding",
     "pa20 pb21 pc22 pd23 pe24 db pb25 pf26 da r pa27 pc28 dd pg29 z ph30 p031 r pe32 df pi33 "
     "dh ph34 da pj35 dj",
     4096, 1, false, false},
    {"crowded",
     "pa20 pb21 pc22 db pd23 pa24 r dc pe25 pb26 da z pf27 s pc28 pa29 db dd pd30 dc", 4096, 1,
     true, false},
    {"long", "pa30 pL200 pb50 pe5000 r pc20 z pa31 db pd40", 131072, 64, false, false},
    {"expiring",
     "pa20 lb21 lc22 xb ld3 xa r le40 lf0 xf pa7 z lb700 xd pc9 l08 r lg33 xg pi5 xi lh1 s xa "
     "lj16 pe20",
     4096, 64, false, false},
    {"expiring-colliding", "pa20 lb21 xa lc22 xb r pd23 xd la24 z lb25 xc pd9 xe", 4096, 1,
     true, false},
    {"one", "pa12 z", 4096, 64, true, false},
    {"none", "z", 4096, 64, false, false},
    {"hinted",
     "pa40 pb80 pc0 p010 pd1300 pe20 r pa41 db lf900 pg30 xc r H z pb16 pc24 pd50 dg r H "
     "lh700 "
     "da pb30 x0",
     4096, 64, false, true},
    {"hinted-colliding",
     "pa20 pb21 pc22 db r la24 pb25 xe dc r H z pc26 da pd27 dd r H pa28 db", 4096, 1, true,
     true},
    {"merged",
     "pa40 pb80 pc0 p010 pd1300 pe20 ph900 r pa41 db lf900 pg1200 xc pi33 ph901 pj800 r "
     "pk1500 ps60 z r m pb16 pc24 "
     "pd50 dg r lh700 da pb30 x0",
     4096, 64, false, false},
    {"merged-colliding",
     "pf9 r pa20 pb21 pc22 pd23 db dc r la24 pb25 xe df r pc26 da dd r m z pc27 pa28 pe29 r "
     "pd30 db",
     4096, 1, true, false},
    {"loaded",
     "pa40 pb80 p010 pe20 r pa41 db lf900 Bbghe0 pi33 dg r pk150 r z Bkalm pb16 da r xm m Bf",
     4096, 64, false, false},
    {"loaded-colliding", "pa20 pb21 pc22 db r la24 z Bbac pe25 dc Bec pd30 db", 4096, 1, true,
     false},
    {"checkpointed",
     "pa40 pb80 pc0 p010 pd1300 pe20 r pa41 db lf900 pg30 xc r K pb16 z pc24 pd50 dg r K "
     "lh700 "
     "da pb30 r pi40 x0",
     4096, 64, true, true},
    {"checkpointed-colliding",
     "pa20 pb21 pc22 db r la24 pb25 xe dc r pc26 z da pd27 dd K pa28 db", 4096, 1, true, true},
    {"checkpointed-whole", "pa40 pb80 pc0 r pd30 db K z pe20 K", 4096, 64, false, true},
};
#define PLANS (sizeof plans / sizeof *plans)

const char *img_name(uint32_t number) { return number < PLANS ? plans[number].name : NULL; }

static void *allocate(size_t size) {
  void *block = calloc(1, size == 0 ? 1 : size);
  if (block == NULL) abort();
  return block;
}

void img_garbage(uint8_t *out, uint64_t size, uint64_t seed) {
  uint64_t state = seed * 2 + 1;
  for (uint64_t i = 0; i < size; i++) {
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    out[i] = (uint8_t)(state >> 56);
  }
}

/* ---- keys and values -------------------------------------------------- */

static img_key make_key(char letter) {
  static const uint32_t sizes[] = {1, 5, 16, 41};
  img_key key = {.size = sizes[(uint8_t)letter % 4]};
  if (letter == '0') key.size = 0;
  if (letter == 'L') key.size = FREYJA_KEY_SIZE_MAX;
  if (letter == 'M') key.size = MEDIUM_KEY;
  key.bytes = allocate(key.size);
  img_garbage(key.bytes, key.size, (uint8_t)letter);
  if (key.size > 0) key.bytes[key.size - 1] = (uint8_t)letter;
  return key;
}

/* Keys that were never written; one is another key, cut. */
static img_key make_absent(uint32_t number) {
  static const char *const texts[NEVER] = {"never", "b", "\377", "", "key"};
  img_key key;
  if (number == 3) {
    key = make_key('c');
    key.size--;
    return key;
  }
  key.size = (uint32_t)strlen(texts[number]);
  key.bytes = allocate(key.size);
  memcpy(key.bytes, texts[number], key.size);
  return key;
}

static bool same_key(const img_key *key, const uint8_t *bytes, uint32_t size) {
  return key->size == size && (size == 0 || memcmp(key->bytes, bytes, size) == 0);
}

/* ---- the script ------------------------------------------------------- */

static void demand(bool condition, const plan *p, const char *what) {
  if (condition) return;
  printf("not ok damage: making the store %s: %s\n", p->name, what);
  exit(1);
}

/* The files of the store as they are now, the same files, on a disk of their own. */
static sim_disk *extract(sim_disk *disk) {
  sim_disk *copy = sim_disk_copy(disk);
  copy->clock = disk->clock + 1000000;
  copy->unchecked = true;
  return copy;
}

static freyja *open_store(const plan *p, sim_disk *disk) {
  freyja_options options;
  freyja *db = NULL;
  freyja_options_init(&options);
  options.segment_size = p->segment_size;
  options.hash_bits = p->hash_bits;
  options.sync_mode = FREYJA_SYNC_NONE;
  options.os = &disk->os;
  demand(freyja_open("db", &options, &db, NULL) == FREYJA_OK, p, "open");
  return db;
}

static freyja_status do_write(freyja *db, const char *word, int number) {
  static uint8_t value[VALUE_MAX];
  img_key key = make_key(word[1]);
  freyja_status status;
  if (word[0] == 'd') {
    status = freyja_delete(db, key.bytes, key.size, NULL);
  } else {
    size_t size = (size_t)atoi(word + 2);
    img_garbage(value, size, 1000 + (uint64_t)number);
    if (word[0] == 'n' && size > 1) memset(value + 1, 0, size - 1);
    uint64_t ttl = word[0] == 'l' ? LATE : word[0] == 'x' ? 1 : 0;
    status = freyja_put_ttl(db, key.bytes, key.size, value, size, ttl, NULL);
  }
  free(key.bytes);
  return status;
}

static freyja_status write_hints(freyja *db) {
  freyja_segment segments[IMG_SEGMENTS_MAX];
  freyja_status status = FREYJA_OK;
  size_t count = freyja_get_segments(db, segments, IMG_SEGMENTS_MAX);
  for (size_t i = 0; i < count && status == FREYJA_OK; i++)
    if (segments[i].sealed) status = freyja_hint(db, segments[i].id, NULL);
  return status;
}

/* Merges all sealed segments but the first, which keeps tombstones needed. */
static freyja_status merge(freyja *db) {
  freyja_segment segments[IMG_SEGMENTS_MAX];
  uint64_t ids[IMG_SEGMENTS_MAX];
  size_t merged = 0, count = freyja_get_segments(db, segments, IMG_SEGMENTS_MAX);
  freyja_rewrite *rewrite = NULL;
  for (size_t i = 0; i < count; i++)
    if (segments[i].sealed && i > 0) ids[merged++] = segments[i].id;
  freyja_status status = freyja_rewrite_open(db, ids, merged, &rewrite, NULL);
  if (status == FREYJA_OK) status = freyja_rewrite_commit(rewrite, NULL);
  freyja_rewrite_close(rewrite);
  return status;
}

static freyja_status load(freyja *db, const char *letters) {
  static uint8_t value[VALUE_MAX];
  freyja_load *bulk = NULL;
  freyja_status status = freyja_load_open(db, &bulk, NULL);
  for (size_t i = 0; letters[i] != '\0' && status == FREYJA_OK; i++) {
    img_key key = make_key(letters[i]);
    size_t size = 20 + 7 * i;
    img_garbage(value, size, 2000 + i);
    status = freyja_load_put(bulk, key.bytes, key.size, value, size, 0, NULL);
    free(key.bytes);
  }
  if (status == FREYJA_OK) status = freyja_load_commit(bulk, NULL);
  freyja_load_close(bulk);
  return status;
}

/* Runs the script on a new disk; *older, unless NULL, gets the files at its `z`. */
static sim_disk *play(const plan *p, uint64_t seed, sim_disk **older) {
  sim_disk *disk = sim_disk_create(seed);
  freyja *db = open_store(p, disk);
  char word[16];
  int number = 0, used = 0;
  for (const char *at = p->script; sscanf(at, "%15s%n", word, &used) == 1; at += used) {
    freyja_status status = FREYJA_OK;
    disk->clock += 1000;
    if (word[0] == 'r') status = freyja_rotate(db, NULL);
    else if (word[0] == 's') status = freyja_sync(db, NULL);
    else if (word[0] == 'H') status = write_hints(db);
    else if (word[0] == 'm') status = merge(db);
    else if (word[0] == 'B') status = load(db, word + 1);
    else if (word[0] == 'K') status = freyja_checkpoint(db, NULL);
    else if (word[0] != 'z') status = do_write(db, word, ++number);
    else if (older != NULL) *older = extract(disk);
    demand(status == FREYJA_OK, p, word);
  }
  if (p->killed) sim_disk_kill(disk);
  else demand(freyja_close(db, NULL) == FREYJA_OK, p, "close");
  demand(disk->broken[0] == '\0', p, disk->broken);
  sim_disk *files = extract(disk);
  sim_disk_destroy(disk);
  return files;
}

/* ---- reading the files ------------------------------------------------ */

static uint32_t add_file(image *img, const char *name) {
  img_file *file = &img->files[img->file_count];
  (void)snprintf(file->path, sizeof file->path, "db/%s", name);
  file->bytes = sim_disk_bytes(img->disk, file->path, &file->size);
  return img->file_count++;
}

static uint32_t find_key(image *img, const uint8_t *bytes, uint32_t size) {
  for (uint32_t i = 0; i < img->key_count; i++)
    if (same_key(&img->keys[i], bytes, size)) return i;
  img_key *key = &img->keys[img->key_count];
  key->size = size;
  key->bytes = allocate(size);
  if (size > 0) memcpy(key->bytes, bytes, size);
  return img->key_count++;
}

/* The records, one behind the other up to where a header is all zeros (FORMAT.md, 3). */
static void read_records(image *img, uint32_t segment) {
  static const uint8_t zeros[24];
  img_segment *s = &img->segments[segment];
  const img_file *file = &img->files[s->file];
  uint64_t offset = 128;
  s->first = img->record_count;
  while (offset + 24 <= file->size && memcmp(file->bytes + offset, zeros, 24) != 0) {
    const uint8_t *p = file->bytes + offset;
    if (img->record_count == IMG_RECORDS_MAX || img->key_count > IMG_KEYS_MAX - NEVER - 1)
      abort(); /* the script is too long */
    img_record *record = &img->records[img->record_count++];
    uint32_t key_size = fj_get16(p + 12);
    record->segment = segment;
    record->offset = offset;
    record->value_size = fj_get32(p + 8);
    record->prefix = p[15] & 2 ? 32 : 24;
    bool expired = record->prefix == 32 && fj_get64(p + 24) < img->disk->clock;
    record->tombstone = p[14] == 2 || expired;
    record->key = find_key(img, p + record->prefix, key_size);
    record->size = (record->prefix + (uint64_t)key_size + record->value_size + 7) / 8 * 8;
    offset += record->size;
  }
  s->end = img->record_count;
}

/* The segments, oldest first (FORMAT.md, 4). */
static void read_manifest(image *img) {
  const uint8_t *bytes = img->files[add_file(img, "MANIFEST")].bytes;
  for (uint32_t i = 0; i < fj_get32(bytes + 8); i++) {
    char name[IMG_PATH_MAX / 2];
    img_segment *s = &img->segments[img->segment_count];
    s->id = fj_get64(bytes + 64 + 16 * i);
    s->sealed_size = fj_get64(bytes + 72 + 16 * i);
    if (s->sealed_size == 1) continue; /* retired */
    if (img->segment_count == IMG_SEGMENTS_MAX - 1) abort();
    s->seed = fj_hash(bytes + 16, 16, s->id);
    (void)snprintf(name, sizeof name, "%llu.data", (unsigned long long)s->id);
    s->file = add_file(img, name);
    read_records(img, img->segment_count++);
  }
}

/* The files that may be lost: hint files and the KEYDIR. */
static void add_others(image *img, const sim_disk *disk) {
  for (unsigned id = 0; id < 100; id++) {
    char name[IMG_PATH_MAX / 2] = "KEYDIR", path[IMG_PATH_MAX];
    if (id > 0) (void)snprintf(name, sizeof name, "%u.hint", id);
    (void)snprintf(path, sizeof path, "db/%s", name);
    if (sim_disk_find(disk, path) != UINT32_MAX) (void)add_file(img, name);
  }
}

image *img_create(uint32_t number) {
  if (number >= PLANS) return NULL;
  const plan *p = &plans[number];
  image *img = allocate(sizeof *img);
  img->name = p->name;
  img->segment_size = p->segment_size;
  img->hash_bits = p->hash_bits;
  img->killed = p->killed;
  img->disk = play(p, 1 + number, &img->older);
  img->other = play(p, 1001 + number, NULL);
  read_manifest(img);
  (void)add_file(img, "LOCK");
  uint32_t others = img->file_count;
  add_others(img, img->disk);
  img->damaged = p->spare ? &img->files[others] : img->files;
  img->damaged_count = img->file_count - (p->spare ? others : 0);
  for (uint32_t i = 0; i < img->damaged_count; i++) img->bytes += img->damaged[i].size;
  for (uint32_t i = 0; i < NEVER; i++) {
    img_key key = make_absent(i);
    bool there = false;
    for (uint32_t k = 0; k < img->key_count; k++)
      there = there || same_key(&img->keys[k], key.bytes, key.size);
    if (there) free(key.bytes);
    else img->keys[img->key_count++] = key;
  }
  return img;
}

void img_destroy(image *img) {
  if (img == NULL) return;
  for (uint32_t i = 0; i < img->key_count; i++) free(img->keys[i].bytes);
  sim_disk_destroy(img->disk);
  sim_disk_destroy(img->other);
  sim_disk_destroy(img->older);
  free(img);
}

const uint8_t *img_record_bytes(const image *img, const img_record *record) {
  return img->files[img->segments[record->segment].file].bytes + record->offset;
}

const uint8_t *img_record_value(const image *img, const img_record *record) {
  return img_record_bytes(img, record) + record->prefix + img->keys[record->key].size;
}

freyja_options img_options(const image *img, sim_disk *disk, freyja_io io, bool readonly) {
  freyja_options options;
  freyja_options_init(&options);
  options.segment_size = img->segment_size;
  options.hash_bits = img->hash_bits;
  options.sync_mode = FREYJA_SYNC_NONE;
  options.io = io;
  options.readonly = readonly;
  options.os = &disk->os;
  return options;
}

void img_make_header(const image *img, uint64_t id, uint8_t out[128]) {
  memset(out, 0, 128);
  memcpy(out, img->files[img->segments[0].file].bytes, 64);
  fj_put64(out + 40, id);
  fj_put64(out + 56, fj_hash(out, 56, 0));
}
