/* seeds.c - writes first inputs for a corpus: stores as the engine leaves them, whole, killed,
 * torn and damaged, as images (image.h), and a few recipes.
 *
 *   fuzz_seeds FOLDER    writes to FOLDER/log, FOLDER/data, FOLDER/manifest and FOLDER/store,
 *                        which exist
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "freyja.h"
#include "image.h"
#include "recipe.h"
#include "sums.h"

#define INPUT_MAX 32768u

/* What to do to a new store: p put, o overwrite, e overwrite by a value that expires, w wait
 * until it has, x commit a transaction, d delete, l put a large value, r rotate, s sync, c
 * close and open again, k be killed and open again. What follows a colon is done to the files
 * then: K killed, not closed; T bytes behind the log's end; V a damaged value, H a damaged
 * header of a record, F one of a file, M a missing file, A a file without end. */
static const char *const workloads[] = {
    "",        "p",        "ppp",      "ppodp",       "pprpp",         "prprpr",
    "lll",     "pplppd",   "ppkpp",    "pcpcp",       "pp:K",          "pppr:K",
    "pplp:KT", "ppo:T",    "pppp:V",   "pppp:H",      "ppprppp:V",     "ppprppp:H",
    "ppp:F",   "prp:F",    "prprp:M",  "prp:A",       "psppp:KV",      "pspsppp:KH",
    "llll:V",  "pdpdpd",   "oooooodd", "ppprpppdrpo", "ppppppsdddd:K", "pepe",
    "poeweo",  "perewprp", "eeee:K",   "pee:V",       "peeewr:H",      "oeweoe:KT",
    "xpx",     "xx:K",     "pxx:KT",   "xrxpx",       "xsx:KV",        "xxc:H"};

/* What is done after opening (operations.h): all of the operations, some of them twice. */
static const uint8_t operations[] = {0,  1,   5,  2,  2,  3,  3,  9,  6, 0,   7, 2,   0,
                                     1,  200, 8,  4,  1,  0,  7,  5,  5, 1,   0, 2,   4,
                                     9,  6,   1,  12, 13, 0,  10, 5,  0, 192, 9, 2,   193,
                                     11, 14,  40, 10, 3,  13, 1,  10, 0, 8,   1, 250, 30};

/* Data files as recipes (recipe.h). */
static const uint8_t collisions[] = {3, 0, 1, 10, 8, 2, 20, 8, 3, 5, 12, 1, 8, 2, 30, 0, 4, 4};
static const uint8_t damages[] = {1, 0, 1, 10, 16, 2, 20, 32, 3, 5, 0,
                                  2, 9, 6, 3,  0,  7, 4,  7,  5, 3};
static const uint8_t expiring[] = {1, 0, 1, 10, 3, 1, 60, 3, 2, 70, 11, 3, 200, 3, 4, 0,
                                   3, 5, 1, 3,  6, 2, 67, 7, 9, 40, 3,  7, 65,  4, 2};
static const uint8_t chained[] = {1, 64, 1, 10, 64, 64, 2,  20, 64,
                                  0, 3,  5, 64, 4,  6,  64, 9,  64};
static const uint8_t longer[] = {0, 128, 1, 60, 0, 254, 3, 0, 200, 9, 64, 5, 2, 40, 4, 200};

static const char *folder;

static int fixed_identity(void *context, void *buffer, size_t size) {
  (void)context;
  if (size == FJ_STORE_ID) memcpy(buffer, fuzz_identity.id, size);
  else memcpy(buffer, &fuzz_identity.hash_seed, size);
  return 0;
}

/* ---- stores ------------------------------------------------------------------- */

static freyja *open_store(sim_disk *disk) {
  freyja *db = NULL;
  freyja_error error;
  freyja_options options;
  freyja_options_init(&options);
  options.segment_size = FREYJA_SEGMENT_SIZE_MIN;
  options.os = &disk->os;
  if (freyja_open("db", &options, &db, &error) == FREYJA_OK) return db;
  fuzz_fail("open: %s", error.message);
}

static void must(freyja_status status) {
  if (freyja_is_fault(status)) fuzz_fail("a write: %s", freyja_status_name(status));
}

/* A transaction: a new value of the first key, the key, and a deletion. */
static void transact(freyja *db, freyja_slice key, freyja_slice value) {
  size_t size = 0;
  freyja_transaction *tx = NULL;
  const uint8_t *first = fuzz_key(1, &size);
  must(freyja_begin(db, NULL, &tx, NULL));
  must(freyja_transaction_put(tx, first, size, value.data, value.size, 0, NULL));
  must(freyja_transaction_put(tx, key.data, key.size, value.data, 3, 1000, NULL));
  first = fuzz_key(2, &size);
  must(freyja_transaction_delete(tx, first, size, NULL));
  must(freyja_transaction_commit(tx, NULL));
  freyja_transaction_close(tx);
}

static freyja *step(sim_disk *disk, freyja *db, char what, uint8_t turn) {
  static const uint8_t value[1500] = "value";
  size_t size = 0;
  const uint8_t *key = fuzz_key(strchr("oed", what) != NULL ? 1 : (uint8_t)(turn % 5), &size);
  switch (what) {
  case 'p':
  case 'o':
    must(freyja_put(db, key, size, value, 5u + turn, NULL));
    break;
  case 'e':
    must(freyja_put_ttl(db, key, size, value, 3u + turn, 1000, NULL));
    break;
  case 'w':
    disk->clock += 1000;
    break;
  case 'l':
    must(freyja_put(db, key, size, value, sizeof value, NULL));
    break;
  case 'x':
    transact(db, (freyja_slice){key, size}, (freyja_slice){value, 5u + turn});
    break;
  case 'd':
    must(freyja_delete(db, key, size, NULL));
    break;
  case 'r':
    must(freyja_rotate(db, NULL));
    break;
  case 's':
    must(freyja_sync(db, NULL));
    break;
  case 'c':
    must(freyja_close(db, NULL));
    return open_store(disk);
  default:
    sim_disk_kill(disk);
    return open_store(disk);
  }
  return db;
}

/* Changes a byte of the file. */
static void flip(sim_disk *disk, const char *path, uint64_t offset) {
  uint8_t bytes[INPUT_MAX];
  uint64_t size = 0;
  const uint8_t *at = sim_disk_bytes(disk, path, &size);
  if (at == NULL || offset >= size || size > sizeof bytes) return;
  memcpy(bytes, at, size);
  bytes[offset] ^= 0x55;
  sim_disk_put(disk, path, bytes, size);
}

static void append(sim_disk *disk, const char *path) {
  uint8_t bytes[INPUT_MAX];
  uint64_t size = 0;
  const uint8_t *at = sim_disk_bytes(disk, path, &size);
  if (at == NULL || size + 20 > sizeof bytes) return;
  memcpy(bytes, at, size);
  memset(bytes + size, 0x33, 20);
  sim_disk_put(disk, path, bytes, size + 20);
}

static void damage(sim_disk *disk, char what) {
  switch (what) {
  case 'T':
    append(disk, "db/1.data");
    break;
  case 'V':
    flip(disk, "db/1.data", FJ_SEGMENT_HEADER + 26); /* the value of a short key */
    break;
  case 'H':
    flip(disk, "db/1.data", FJ_SEGMENT_HEADER + 16);
    break;
  case 'F':
    flip(disk, "db/1.data", 40);
    break;
  case 'M':
    sim_disk_remove(disk, "db/2.data");
    break;
  case 'A':
    sim_disk_put(disk, "db/1.data", sim_disk_bytes(disk, "db/2.data", &(uint64_t){0}), 130);
    break;
  default:
    break;
  }
}

static sim_disk *make_store(const char *workload) {
  sim_disk *disk = fuzz_disk_create();
  disk->os.random = fixed_identity;
  freyja *db = open_store(disk);
  uint8_t turn = 0;
  while (*workload != '\0' && *workload != ':') db = step(disk, db, *workload++, turn++);
  if (strchr(workload, 'K') != NULL) sim_disk_kill(disk);
  else must(freyja_close(db, NULL));
  while (*workload != '\0') damage(disk, *workload++);
  return disk;
}

/* ---- inputs ------------------------------------------------------------------- */

static void write_image(const char *target, const char *name, const fuzz_image *image) {
  uint8_t bytes[INPUT_MAX];
  char path[512];
  size_t size = fuzz_image_write(image, bytes, sizeof bytes);
  (void)snprintf(path, sizeof path, "%s/%s/%s", folder, target, name);
  FILE *file = fopen(path, "wb");
  if (size == 0 || file == NULL || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) {
    perror(path);
    exit(1);
  }
}

/* An image of the files of the disk that have numbers, in the given form; only data files or
 * only the MANIFEST if it is to be so. */
static fuzz_image image_of(const sim_disk *disk, fuzz_form form, bool data, bool manifest) {
  fuzz_image image = {.options = 2, .rest = {operations, sizeof operations}};
  for (unsigned number = 0; number < 30; number++) {
    char name[SIM_NAME_MAX], path[SIM_NAME_MAX + 4];
    uint64_t size = 0;
    if (number == FUZZ_MANIFEST ? !manifest : !data) continue;
    if (number > FUZZ_MANIFEST && number < FUZZ_NAMES_SPECIAL && !manifest) continue;
    fuzz_name(name, (uint8_t)number);
    (void)snprintf(path, sizeof path, "db/%s", name);
    const uint8_t *at = sim_disk_bytes(disk, path, &size);
    if (at == NULL) continue;
    fuzz_file file = {form, (uint8_t)number, at, size};
    image.files[image.count++] = file;
  }
  return image;
}

static void write_store(size_t index) {
  static const char *const targets[] = {"store", "data", "log", "manifest"};
  sim_disk *disk = make_store(workloads[index]);
  for (int target = 0; target < 4; target++) {
    for (int sealed = 0; sealed < 2; sealed++) {
      char name[32];
      fuzz_image image = image_of(disk, sealed ? FUZZ_SEALED : FUZZ_RAW, target < 3,
                                  target == 0 || target == 3);
      image.options = (uint8_t)(index * 37 + 2);
      if (target == 2 && image.count > 0) image.count = image.rest.left = 1;
      (void)snprintf(name, sizeof name, "%zu%s", index, sealed ? "s" : "");
      write_image(targets[target], name, &image);
    }
  }
  sim_disk_destroy(disk);
}

/* What expires, among the others. */
static void write_expiring(const fuzz_file *files) {
  fuzz_image image = {.options = 2, .count = 4, .rest = {operations, sizeof operations}};
  memcpy(image.files, files, 4 * sizeof *files);
  image.files[0].at = expiring;
  image.files[0].size = sizeof expiring;
  write_image("store", "e1", &image);
  image.count = 3;
  write_image("data", "e1", &image);
  write_image("log", "e1", &image);
}

static void write_recipes(void) {
  static const uint8_t manifest[] = {0, 0, 1, 0, 2, 0, 3, 0};
  static const uint8_t narrow[] = {1, 0, 1, 0, 2, 0, 3, 0};
  fuzz_file files[] = {
      {FUZZ_RECIPE, fuzz_name_of_data(1), collisions, sizeof collisions},
      {FUZZ_RECIPE, fuzz_name_of_data(2), damages, sizeof damages},
      {FUZZ_RECIPE, fuzz_name_of_data(3), longer, sizeof longer},
      {FUZZ_RECIPE, FUZZ_MANIFEST, manifest, sizeof manifest},
      {FUZZ_DIRECTORY, 3, NULL, 0}, /* lost */
      {FUZZ_FIFO, 2, NULL, 0},      /* MANIFEST.tmp */
  };
  fuzz_image image = {.options = 2, .count = 4, .rest = {operations, sizeof operations}};
  memcpy(image.files, files, sizeof files);
  write_image("store", "r1", &image);
  image.count = 3;
  write_image("data", "r1", &image);
  write_image("log", "r1", &image);
  image.files[2].at = chained;
  image.files[2].size = sizeof chained;
  write_image("data", "r3", &image);
  image.count = 4;
  write_image("store", "r3", &image);
  image.files[2] = files[2];
  image.count = 6;
  image.files[3].at = narrow;
  write_image("store", "r2", &image);
  image.files[0] = files[3];
  image.count = 1;
  write_image("manifest", "r1", &image);
  image.files[0].at = narrow;
  write_image("manifest", "r2", &image);
  write_expiring(files);
}

int main(int count, char **arguments) {
  if (count != 2) {
    fprintf(stderr, "use: fuzz_seeds FOLDER\n");
    return 2;
  }
  folder = arguments[1];
  for (size_t i = 0; i < sizeof workloads / sizeof *workloads; i++) write_store(i);
  write_recipes();
  return 0;
}
