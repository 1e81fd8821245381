/* backup.c - a second store with the same content (freyja_backup): sealed files by hard links
 * where that can be (S3), else copied, and likewise their hint files, which are replaced but
 * never written to; of the active file what is published. The MANIFEST comes last (folder.h).
 */
#include "backup.h"

#include <errno.h>
#include <string.h>

#include "folder.h"
#include "follow.h"
#include "hint.h"

#define CHUNK (256u << 10) /* bytes copied at a time */

typedef struct fj_backup {
  fj_store *db;
  fj_folder folder;
  uint8_t *chunk;
  bool links;
} fj_backup;

/* ---- one file ------------------------------------------------------------- */

/* Makes sure of the space, where the file system can: a full disk is met at once, and so is a
 * limit on files' sizes, before it is a signal. */
static int reserve(const fj_os *os, int file, uint64_t size) {
  int code = 0;
  do {
    code = os->reserve(os->context, file, 0, size);
  } while (code == -EINTR);
  return code == -EOPNOTSUPP || code == -ENOSYS ? 0 : code;
}

/* Copies the first `size` bytes, or as many as there are. */
static freyja_status copy_bytes(const fj_backup *backup, const fj_segment *segment, int from,
                                int to, uint64_t size, const char *name, freyja_error *error) {
  const fj_os *os = segment->os;
  uint64_t done = 0;
  int code = size == 0 ? 0 : reserve(os, to, size);
  if (code != 0)
    return fj_fail_os(error, code, &backup->folder.dir, name,
                      "reserve space in the data file");
  while (done < size) {
    size_t want = size - done < CHUNK ? (size_t)(size - done) : CHUNK;
    int64_t count = fj_read(os, from, backup->chunk, want, done);
    if (count < 0) return fj_fail_os(error, (int)count, &backup->db->dir, name, "read");
    if (count == 0) break;
    freyja_slice part = {backup->chunk, (size_t)count};
    code = fj_write(os, to, &part, 1, done);
    if (code != 0) return fj_fail_os(error, code, &backup->folder.dir, name, "write");
    done += (uint64_t)count;
  }
  if (done < size) code = os->truncate(os->context, to, done);
  if (code == 0) code = fj_sync(os, to);
  return code == 0 ? FREYJA_OK : fj_fail_os(error, code, &backup->folder.dir, name, "sync");
}

/* Opens the file for reading if it is a regular one; *size is its size. */
static freyja_status open_regular(const fj_dir *dir, const char *name, int *file,
                                  uint64_t *size, freyja_error *error) {
  const fj_os *os = dir->os;
  fj_os_stat st;
  int code = os->open(os->context, dir->fd, name, 0, file);
  if (code != 0) {
    *file = -1;
    return fj_fail_os(error, code, dir, name, "open");
  }
  code = os->stat(os->context, *file, &st);
  if (code == 0) *size = st.size;
  if (code == 0 && st.regular) return FREYJA_OK;
  (void)os->close(os->context, *file);
  *file = -1;
  if (code != 0) return fj_fail_os(error, code, dir, name, "examine");
  return fj_fail_at(error, FREYJA_CORRUPT, dir, name, "this is not a regular file");
}

static freyja_status copy_file(const fj_backup *backup, const fj_segment *segment,
                               const char *name, uint64_t size, freyja_error *error) {
  const fj_os *os = segment->os;
  int folder = backup->folder.dir.fd;
  int from = -1, to = -1;
  uint64_t there = 0;
  freyja_status status = open_regular(&backup->db->dir, name, &from, &there, error);
  if (status != FREYJA_OK) return status;
  /* A file that is shorter than it was is damaged, and its copy likewise: that takes no space
   * for what is not there, whatever size the MANIFEST says. */
  if (size > there) size = there;
  int code = os->open(os->context, folder, name,
                      FJ_OPEN_WRITE | FJ_OPEN_CREATE | FJ_OPEN_EXCLUSIVE, &to);
  if (code != 0) status = fj_fail_os(error, code, &backup->folder.dir, name, "create");
  else status = copy_bytes(backup, segment, from, to, size, name, error);
  (void)os->close(os->context, from);
  if (code != 0) return status;
  (void)os->close(os->context, to);
  if (status != FREYJA_OK) (void)os->unlink(os->context, folder, name);
  return status;
}

/* Makes sure that the file just linked is one, and durable: sealing synced it, but what was
 * brought here by other means perhaps nobody did. */
static freyja_status sync_link(const fj_backup *backup, const char *name,
                               freyja_error *error) {
  const fj_dir *dir = &backup->folder.dir;
  const fj_os *os = dir->os;
  int file = -1;
  uint64_t size = 0;
  freyja_status status = open_regular(dir, name, &file, &size, error);
  if (status == FREYJA_OK) {
    int code = fj_sync(os, file);
    if (code != 0) status = fj_fail_os(error, code, dir, name, "sync");
    (void)os->close(os->context, file);
  }
  if (status != FREYJA_OK) (void)os->unlink(os->context, dir->fd, name);
  return status;
}

/* Links or copies the hint file of a sealed segment. One that is gone is not missed. */
static freyja_status take_hint(const fj_backup *backup, fj_segment *segment,
                               freyja_error *error) {
  const fj_os *os = segment->os;
  freyja_error fault;
  char name[FJ_NAME_MAX];
  fj_hint_name(name, segment->id);
  if (!fj_hint_is_there(segment)) return FREYJA_OK;
  if (backup->links) {
    if (os->link(os->context, backup->db->dir.fd, name, backup->folder.dir.fd) == 0)
      return sync_link(backup, name, error);
    (void)os->unlink(os->context, backup->folder.dir.fd, name);
  }
  freyja_status status = copy_file(backup, segment, name, UINT64_MAX, &fault);
  if (status == FREYJA_OK || fault.os_code == ENOENT) return FREYJA_OK;
  if (error != NULL) *error = fault;
  return status;
}

/* `size`: that of the file in the backup's MANIFEST. */
static freyja_status take_file(const fj_backup *backup, fj_segment *segment, uint64_t size,
                               freyja_error *error) {
  const fj_os *os = segment->os;
  char name[FJ_NAME_MAX];
  fj_segment_name(name, segment->id);
  if (segment->missing) return FREYJA_OK; /* as it is: missing there too */
  if (!segment->sealed) return copy_file(backup, segment, name, segment->tail, error);
  /* One that is to be claimed yet is the backup's own: it may come to be claimed there alone.
   */
  if (backup->links && !segment->unclaimed) {
    segment->linked = true;
    if (os->link(os->context, backup->db->dir.fd, name, backup->folder.dir.fd) == 0)
      return sync_link(backup, name, error);
    /* One that fails may have made the link all the same. */
    (void)os->unlink(os->context, backup->folder.dir.fd, name);
  }
  return copy_file(backup, segment, name, size, error);
}

/* ---- the whole ------------------------------------------------------------ */

/* A MANIFEST of the store as it is, with room for its entries, none of which it has yet. The
 * backup and the store go different ways from here: no file of the one must be taken for one
 * of the other, so that each gets ids and generations of its own, by steps that are random. */
static freyja_status branch(const fj_backup *backup, fj_manifest *made, freyja_error *error) {
  const fj_store *db = backup->db;
  const fj_os *os = db->dir.os;
  uint32_t steps[2];
  *made = db->manifest;
  made->count = made->retired_count = 0;
  made->retired = NULL;
  made->entries = os->allocate(os->context, db->manifest.count * sizeof *made->entries);
  if (made->entries == NULL) return fj_fail_memory(error, "copy a store");
  int code = os->random(os->context, steps, sizeof steps);
  if (code != 0) return fj_fail_os(error, code, &db->dir, NULL, "get random bytes for");
  if (made->next_id > UINT64_MAX - UINT32_MAX || made->generation > UINT64_MAX - UINT32_MAX)
    return fj_fail(error, FREYJA_LIMIT, db->dir.path, "there are no more file ids");
  made->next_id += steps[0];
  made->generation += steps[1];
  return FREYJA_OK;
}

/* What the store's MANIFEST says of the segment, or will once it is sealed: of a damaged one,
 * which may be shorter than it once was, that must not be forgotten. */
static uint64_t sealed_size(const fj_manifest_entry *entry, const fj_segment *segment) {
  if (entry->size != 0) return entry->size;
  return segment->tail > segment->mark ? segment->tail : segment->mark;
}

/* `made` is the MANIFEST of what is in the folder already. All its files are sealed: the
 * backup, when it is opened, begins one of its own. */
static freyja_status fill(const fj_backup *backup, fj_manifest *made, freyja_error *error) {
  const fj_store *db = backup->db;
  freyja_status status = FREYJA_OK;
  for (uint32_t i = 0; i < db->manifest.count && status == FREYJA_OK; i++) {
    fj_segment *segment = db->index.ranks[i];
    fj_manifest_entry entry = {db->manifest.entries[i].id, 0};
    entry.size = sealed_size(&db->manifest.entries[i], segment);
    if (entry.size == FJ_SEGMENT_HEADER && !segment->sealed && !segment->damaged) continue;
    status = take_file(backup, segment, entry.size, error);
    if (status == FREYJA_OK) made->entries[made->count++] = entry;
    if (status == FREYJA_OK && segment->sealed) status = take_hint(backup, segment, error);
  }
  return status;
}

/* Claims the copies of files that are not claimed themselves (S5): nobody may ever open the
 * backup for writing. */
static freyja_status claim_copies(const fj_backup *backup, const fj_manifest *made,
                                  freyja_error *error) {
  const fj_store *db = backup->db;
  freyja_status status = FREYJA_OK;
  fj_pool pool = {.dir = &backup->folder.dir};
  for (uint32_t i = 0, n = 0; n < made->count && status == FREYJA_OK; i++) {
    fj_segment *segment = db->index.ranks[i];
    bool poison = false;
    if (segment->id != made->entries[n].id) continue;
    uint64_t size = made->entries[n++].size;
    if (segment->unclaimed && !segment->damaged && segment->limit == size)
      status = fj_segment_claim(segment, &pool, &poison, error);
  }
  return status;
}

static freyja_status back_up(fj_backup *backup, fj_manifest *made, const char *path,
                             freyja_error *error) {
  const fj_os *os = backup->db->dir.os;
  freyja_status status = branch(backup, made, error);
  if (status != FREYJA_OK) return status;
  status = fj_folder_open(&backup->folder, os, path, backup->db->dir.fd, error);
  if (status == FREYJA_OK) {
    status = fill(backup, made, error);
    if (status == FREYJA_OK) status = fj_folder_finish(&backup->folder, made, error);
    if (status == FREYJA_OK) status = claim_copies(backup, made, error);
    if (status != FREYJA_OK) fj_folder_abandon(&backup->folder, made);
  }
  fj_folder_close(&backup->folder);
  return status;
}

freyja_status fj_store_backup(fj_store *db, const char *path,
                              const freyja_backup_options *options, freyja_error *error) {
  const fj_os *os = db->dir.os;
  fj_manifest made;
  freyja_status status = fj_store_check_process(db, error);
  bool changed = false;
  if (status == FREYJA_OK) status = fj_follow_check_alone(db, error);
  if (status == FREYJA_OK) status = fj_store_refresh(db, &changed, error);
  if (status != FREYJA_OK) return status;
  if (db->poisoned) return fj_store_check_write(db, error);
  status = fj_store_settle(db, error); /* the files say already what slots are to say */
  if (status != FREYJA_OK) return status;
  if (db->active != NULL) fj_store_claim(db);
  fj_backup backup = {.db = db, .links = options == NULL || !options->copy};
  memset(&made, 0, sizeof made);
  fj_pool_close_files(&db->index.pool);
  backup.chunk = os->allocate(os->context, CHUNK);
  status = backup.chunk == NULL ? fj_fail_memory(error, "copy a store")
                                : back_up(&backup, &made, path, error);
  os->release(os->context, backup.chunk);
  fj_manifest_clear(&db->dir, &made);
  return status;
}
