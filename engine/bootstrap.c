/* bootstrap.c - opening: the directory, the lock, the MANIFEST, recovery. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "folder.h"
#include "follow.h"
#include "leftovers.h"
#include "lock.h"
#include "recovery.h"
#include "store.h"

void freyja_options_init(freyja_options *options) {
  memset(options, 0, sizeof *options);
  options->create = true;
  options->sync_mode = FREYJA_SYNC_DEFAULT;
  options->sync_ms = FREYJA_SYNC_MS_DEFAULT;
  options->io = FREYJA_IO_DEFAULT;
  options->hash_bits = 64;
}

static freyja_status check_options(const freyja_options *o, freyja_error *error) {
  if (o->segment_size < FREYJA_SEGMENT_SIZE_MIN || o->segment_size > FREYJA_SEGMENT_SIZE_MAX)
    return fj_fail(error, FREYJA_LIMIT, NULL,
                   "segment_size is %" PRIu32 " bytes; it may be %u to %" PRIu32,
                   o->segment_size, FREYJA_SEGMENT_SIZE_MIN, FREYJA_SEGMENT_SIZE_MAX);
  if ((unsigned)o->sync_mode > FREYJA_SYNC_ALWAYS)
    return fj_fail(error, FREYJA_LIMIT, NULL, "sync_mode is %u; it may be 0 to %u",
                   (unsigned)o->sync_mode, (unsigned)FREYJA_SYNC_ALWAYS);
  if ((unsigned)o->io > FREYJA_IO_SYSCALL)
    return fj_fail(error, FREYJA_LIMIT, NULL, "io is %u; it may be 0 to %u", (unsigned)o->io,
                   (unsigned)FREYJA_IO_SYSCALL);
  if (o->sync_mode == FREYJA_SYNC_INTERVAL &&
      (o->sync_ms < 1 || o->sync_ms > FREYJA_SYNC_MS_MAX))
    return fj_fail(error, FREYJA_LIMIT, NULL,
                   "sync is %" PRIu32 " milliseconds; it may be 1 to %u", o->sync_ms,
                   FREYJA_SYNC_MS_MAX);
  if (o->hash_bits < 1 || o->hash_bits > 64)
    return fj_fail(error, FREYJA_LIMIT, NULL, "hash_bits is %" PRIu32 "; it may be 1 to 64",
                   o->hash_bits);
  return FREYJA_OK;
}

/* ---- the directory -------------------------------------------------------- */

static freyja_status open_directory(fj_store *db, bool *made, freyja_error *error) {
  const fj_os *os = db->dir.os;
  int code = os->open_dir(os->context, -1, db->dir.path, &db->dir.fd);
  if (code == -ENOENT && db->options.create && !db->options.readonly) {
    code = os->make_dir(os->context, -1, db->dir.path);
    if (code != 0 && code != -EEXIST)
      return fj_fail_os(error, code, &db->dir, NULL, "create the store's folder");
    *made = code == 0;
    code = os->open_dir(os->context, -1, db->dir.path, &db->dir.fd);
  }
  if (code != 0) {
    db->dir.fd = -1;
    return fj_fail_os(error, code, &db->dir, NULL, "open the store's folder");
  }
  return FREYJA_OK;
}

/* ---- the MANIFEST --------------------------------------------------------- */

/* Whether the folder, which has no MANIFEST, may become a store. */
static freyja_status check_creation(fj_store *db, freyja_error *error) {
  bool has_data = false;
  freyja_status status = fj_leftovers_has_data(&db->dir, &has_data, error);
  if (status != FREYJA_OK) return status;
  if (has_data)
    return fj_fail_at(error, FREYJA_CORRUPT, &db->dir, "MANIFEST",
                      "there are data files but no MANIFEST; nothing was changed");
  if (db->options.readonly || !db->options.create)
    return fj_fail_os(error, -ENOENT, &db->dir, NULL, "find a store in this folder");
  return FREYJA_OK;
}

/* A folder that is no store and is not to become one gets no LOCK either. */
static freyja_status check_presence(fj_store *db, freyja_error *error) {
  if (!db->options.readonly && db->options.create) return FREYJA_OK;
  return fj_manifest_is_missing(&db->dir) ? check_creation(db, error) : FREYJA_OK;
}

/* A store without a segment; the first one comes by rotation. */
static freyja_status create_store(fj_store *db, bool made, freyja_error *error) {
  const fj_os *os = db->dir.os;
  fj_manifest *manifest = &db->manifest;
  freyja_status status = check_creation(db, error);
  if (status != FREYJA_OK) return status;
  int code = os->random(os->context, manifest->identity.id, FJ_STORE_ID);
  if (code == 0)
    code = os->random(os->context, &manifest->identity.hash_seed,
                      sizeof manifest->identity.hash_seed);
  if (code != 0)
    return fj_fail_os(error, code, &db->dir, NULL, "get random bytes for the store");
  manifest->hash_bits = db->options.hash_bits;
  manifest->next_id = 1;
  manifest->created = os->now(os->context);
  if ((status = fj_folder_sync_parent(&db->dir, made, error)) != FREYJA_OK) return status;
  bool replaced = false;
  return fj_manifest_write(&db->dir, manifest, &replaced, error);
}

static freyja_status load_manifest(fj_store *db, bool made, freyja_error *error) {
  bool found = false, litter = false;
  freyja_status status = fj_manifest_read(&db->dir, &db->manifest, &found, error);
  if (status == FREYJA_OK && !found) status = create_store(db, made, error);
  if (status == FREYJA_OK)
    status = fj_leftovers_check(&db->dir, &db->manifest, &litter, error);
  if (status != FREYJA_OK || !litter) return status;
  if (db->manifest.retired_count > 0) return FREYJA_OK; /* later */
  return fj_leftovers_clean(&db->dir, &db->manifest, error);
}

/* The marks that can be read may not be on the disk, of what came after the retired files: a
 * process that was killed may have written them and not synced the file. Files that are not
 * whole any more are not marked as if they were. Returns whether all that came after the
 * retired files is there, as far as their sizes and headers tell: otherwise those may have
 * what it lacks. */
static bool doubt_claims(fj_store *db) {
  bool whole = true;
  const fj_manifest *manifest = &db->manifest;
  uint64_t oldest = fj_manifest_oldest_retired(manifest);
  for (uint32_t i = 0; i < db->index.count; i++) {
    fj_segment *segment = db->index.ranks[i];
    bool damaged = segment->damaged || segment->limit < manifest->entries[i].size;
    if (damaged) segment->unclaimed = false;
    if (segment->id <= oldest) continue;
    if (damaged) whole = false;
    else if (segment->sealed && segment->kind == FJ_SEGMENT_MERGED) segment->unclaimed = true;
  }
  return whole;
}

/* With a MANIFEST that is durable for certain: claims what is not, and then removes what
 * load_manifest has left. */
static freyja_status finish_merges(fj_store *db, freyja_error *error) {
  bool poison = false;
  bool whole = doubt_claims(db);
  db->is_named = true;
  freyja_status status = fj_index_claim(&db->index, &poison, error);
  if (poison) return status;
  if (db->manifest.retired_count == 0 || !whole || status != FREYJA_OK) return FREYJA_OK;
  status = fj_leftovers_clean(&db->dir, &db->manifest, error);
  if (status != FREYJA_OK || db->manifest.retired_count > 0) return status;
  /* So that the next open has nothing to doubt. */
  bool replaced = false;
  status = fj_manifest_write(&db->dir, &db->manifest, &replaced, error);
  return status == FREYJA_FULL ? FREYJA_OK : status;
}

/* Puts the MANIFEST in its place once more, as the next generation: a process that was killed
 * may have renamed what can be read of it and not synced the directory. And a sync of the
 * directory that failed, in whatever process, may have left an entry that the system takes for
 * clean: then the next sync does not write it. But where the active segment has records, the
 * MANIFEST that names it was durable before them, and without retired files only one that
 * still names such may have come since. Otherwise they go only then. */
static freyja_status renew_manifest(fj_store *db, freyja_error *error) {
  bool replaced = false;
  bool is_old = db->active->tail > FJ_SEGMENT_HEADER;
  if (is_old && db->manifest.retired_count == 0) return finish_merges(db, error);
  freyja_status status = fj_manifest_write(&db->dir, &db->manifest, &replaced, error);
  if (status == FREYJA_FULL && is_old) return FREYJA_OK; /* they stay, until there is room */
  return status == FREYJA_OK ? finish_merges(db, error) : status;
}

/* ---- opening -------------------------------------------------------------- */

static freyja_status follow(fj_store *db, freyja_error *error) {
  freyja_status status = fj_lock_follow(&db->dir, error);
  return status == FREYJA_OK ? fj_follow_read(db, error) : status;
}

/* The store is this handle's from now on. */
static freyja_status take_over(fj_store *db, bool made, freyja_error *error) {
  freyja_status status = fj_lock_take(&db->dir, true, db->process, &db->lock_file, error);
  if (status == FREYJA_OK) status = load_manifest(db, made, error);
  if (status != FREYJA_OK) return status;
  fj_index_destroy(&db->index);
  fj_index_create(&db->index, &db->dir, &db->manifest.identity, db->options.io, false,
                  db->manifest.hash_bits);
  status = fj_recover(&db->index, &db->manifest, db->options.segment_size, &db->active,
                      &db->recovery, error);
  fj_manifest_unsee(&db->dir, &db->manifest);
  if (status != FREYJA_OK) return status;
  fj_clock_raise(&db->index.clock, db->index.last_timestamp);
  if (db->active != NULL) return renew_manifest(db, error);
  status = fj_store_begin_segment(db, error);
  return status == FREYJA_OK ? finish_merges(db, error) : status;
}

freyja_status fj_store_start(fj_store *db, freyja_error *error) {
  const fj_os *os = db->dir.os;
  uint64_t start = os->timer(os->context);
  freyja_status status = check_presence(db, error);
  if (status == FREYJA_OK)
    status = db->options.readonly ? follow(db, error) : take_over(db, db->made, error);
  db->recovery.milliseconds = (double)(os->timer(os->context) - start) / 1000.0;
  return status;
}

static fj_store *store_new(const char *path, const freyja_options *options) {
  const fj_os *os = options->os;
  fj_store *db = os->allocate(os->context, sizeof *db);
  if (db == NULL) return NULL;
  memset(db, 0, sizeof *db);
  if (fj_dir_name(&db->dir, os, path, "open a store", NULL) != FREYJA_OK) {
    os->release(os->context, db);
    return NULL;
  }
  db->lock_file = -1;
  db->options = *options;
  db->process = os->process(os->context);
  db->fork_guard = db->gate = os->fork_guard(os->context);
  fj_index_create(&db->index, &db->dir, &db->manifest.identity, options->io, options->readonly,
                  64);
  return db;
}

freyja_status fj_store_create(const char *path, const freyja_options *options, fj_store **out,
                              freyja_error *error) {
  freyja_options chosen;
  freyja_options_init(&chosen);
  if (options != NULL) chosen = *options;
  if (chosen.os == NULL) chosen.os = fj_os_real();
  if (chosen.segment_size == 0) chosen.segment_size = FREYJA_SEGMENT_SIZE_DEFAULT;
  if (chosen.io == FREYJA_IO_DEFAULT) chosen.io = FREYJA_IO_MMAP;
  if (chosen.sync_mode == FREYJA_SYNC_DEFAULT) chosen.sync_mode = FREYJA_SYNC_INTERVAL;
  *out = NULL;
  freyja_status status = check_options(&chosen, error);
  if (status != FREYJA_OK) return status;
  fj_store *db = store_new(path, &chosen);
  if (db == NULL) return fj_fail_memory(error, "open a store");
  status = open_directory(db, &db->made, error);
  if (status == FREYJA_OK) *out = db;
  else fj_store_discard(db);
  return status;
}

void fj_store_discard(fj_store *db) {
  db->poisoned = true; /* closing must not write */
  (void)fj_store_close(db, NULL);
}
