/* manifest.c - see manifest.h. */
#include "manifest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HEADER 64u
#define ENTRY 16u
#define CHECK 8u
#define RETIRED 1u /* in place of a size: the file is no segment any more */

static const char name[] = "MANIFEST";
static const char temporary[] = "MANIFEST.tmp";
static const uint8_t magic[8] = {'f', 'r', 'e', 'y', 'j', 'a', 'M', 1};

static size_t encoded_size(uint32_t count) { return HEADER + (size_t)count * ENTRY + CHECK; }

void fj_manifest_unsee(const fj_dir *dir, fj_manifest *manifest) {
  dir->os->release(dir->os->context, manifest->seen);
  manifest->seen = NULL;
}

void fj_manifest_clear(const fj_dir *dir, fj_manifest *manifest) {
  dir->os->release(dir->os->context, manifest->entries);
  dir->os->release(dir->os->context, manifest->retired);
  fj_manifest_unsee(dir, manifest);
  memset(manifest, 0, sizeof *manifest);
}

freyja_status fj_manifest_grow(const fj_dir *dir, fj_manifest *manifest, uint32_t more,
                               freyja_error *error) {
  const fj_os *os = dir->os;
  if ((uint64_t)manifest->count + manifest->retired_count + more > FJ_SEGMENTS_MAX)
    return fj_fail_at(error, FREYJA_LIMIT, dir, NULL, "a store has at most %u segments",
                      FJ_SEGMENTS_MAX);
  size_t size = manifest->count * sizeof *manifest->entries;
  fj_manifest_entry *entries = os->allocate(os->context, size + more * sizeof *entries);
  if (entries == NULL) return fj_fail_memory(error, "add a segment");
  if (size > 0) memcpy(entries, manifest->entries, size);
  os->release(os->context, manifest->entries);
  manifest->entries = entries;
  return FREYJA_OK;
}

bool fj_manifest_names(const fj_manifest *manifest, uint64_t id) {
  for (uint32_t i = 0; i < manifest->count; i++)
    if (manifest->entries[i].id == id) return true;
  return false;
}

bool fj_manifest_has_retired(const fj_manifest *manifest, uint64_t id) {
  for (uint32_t i = 0; i < manifest->retired_count; i++)
    if (manifest->retired[i] == id) return true;
  return false;
}

uint64_t fj_manifest_oldest_retired(const fj_manifest *manifest) {
  uint64_t oldest = UINT64_MAX;
  for (uint32_t i = 0; i < manifest->retired_count; i++)
    if (manifest->retired[i] < oldest) oldest = manifest->retired[i];
  return oldest;
}

void fj_manifest_forget(fj_manifest *manifest, uint64_t id) {
  uint32_t kept = 0;
  for (uint32_t i = 0; i < manifest->retired_count; i++)
    if (manifest->retired[i] != id) manifest->retired[kept++] = manifest->retired[i];
  manifest->retired_count = kept;
}

/* ---- reading ------------------------------------------------------------- */

static freyja_status damaged(const fj_dir *dir, freyja_error *error, const char *what) {
  return fj_fail_at(error, FREYJA_CORRUPT, dir, name,
                    "the list of segments is damaged: %s; nothing was changed", what);
}

static int compare_ids(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a;
  uint64_t y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

/* Sorted, not compared pair by pair: a made-up MANIFEST may have a million entries. */
static freyja_status check_unique(const fj_dir *dir, const fj_manifest *m,
                                  freyja_error *error) {
  const fj_os *os = dir->os;
  freyja_status status = FREYJA_OK;
  size_t count = (size_t)m->count + m->retired_count;
  if (count < 2) return FREYJA_OK;
  uint64_t *ids = os->allocate(os->context, count * sizeof *ids);
  if (ids == NULL) return fj_fail_memory(error, "read the list of segments");
  for (uint32_t i = 0; i < m->count; i++) ids[i] = m->entries[i].id;
  for (uint32_t i = 0; i < m->retired_count; i++) ids[m->count + i] = m->retired[i];
  qsort(ids, count, sizeof *ids, compare_ids);
  for (size_t i = 1; i < count && status == FREYJA_OK; i++)
    if (ids[i] == ids[i - 1]) status = damaged(dir, error, "a file id stands twice");
  os->release(os->context, ids);
  return status;
}

static freyja_status check_entries(const fj_dir *dir, const fj_manifest *m,
                                   freyja_error *error) {
  for (uint32_t i = 0; i < m->count; i++) {
    const fj_manifest_entry *entry = &m->entries[i];
    if (entry->id == 0 || entry->id >= m->next_id)
      return damaged(dir, error, "a file id is impossible");
    bool last = i + 1 == m->count;
    bool sealed = entry->size >= FJ_SEGMENT_HEADER && entry->size <= FREYJA_SEGMENT_SIZE_MAX &&
                  entry->size % FJ_RECORD_ALIGN == 0;
    if (!sealed && !(last && entry->size == 0))
      return damaged(dir, error, "a segment's size is impossible");
  }
  for (uint32_t i = 0; i < m->retired_count; i++)
    if (m->retired[i] == 0 || m->retired[i] >= m->next_id)
      return damaged(dir, error, "a file id is impossible");
  return check_unique(dir, m, error);
}

/* Tells segments from files that were retired. */
static freyja_status decode_entries(const fj_dir *dir, const uint8_t *p, uint32_t count,
                                    fj_manifest *out, freyja_error *error) {
  const fj_os *os = dir->os;
  uint32_t retired = 0;
  for (uint32_t i = 0; i < count; i++) retired += fj_get64(p + i * ENTRY + 8) == RETIRED;
  out->entries = os->allocate(os->context, (count - retired) * sizeof *out->entries);
  out->retired = os->allocate(os->context, retired * sizeof *out->retired);
  if (out->entries == NULL || out->retired == NULL)
    return fj_fail_memory(error, "read the list of segments");
  for (uint32_t i = 0; i < count; i++, p += ENTRY) {
    fj_manifest_entry entry = {fj_get64(p), fj_get64(p + 8)};
    if (entry.size == RETIRED) out->retired[out->retired_count++] = entry.id;
    else out->entries[out->count++] = entry;
  }
  return FREYJA_OK;
}

static freyja_status decode(const fj_dir *dir, const uint8_t *bytes, size_t size,
                            fj_manifest *out, freyja_error *error) {
  if (size < HEADER + CHECK) return damaged(dir, error, "it is too short");
  if (fj_hash(bytes, size - CHECK, 0) != fj_get64(bytes + size - CHECK))
    return damaged(dir, error, "its checksum is wrong");
  if (memcmp(bytes, magic, sizeof magic - 1) != 0)
    return damaged(dir, error, "it is no MANIFEST");
  if (bytes[7] != magic[7])
    return fj_fail_at(error, FREYJA_FORMAT, dir, name,
                      "format version %u is not one that this library reads", bytes[7]);
  uint32_t count = fj_get32(bytes + 8);
  out->hash_bits = fj_get32(bytes + 12);
  memcpy(out->identity.id, bytes + 16, FJ_STORE_ID);
  out->identity.hash_seed = fj_get64(bytes + 32);
  out->generation = fj_get64(bytes + 40);
  out->next_id = fj_get64(bytes + 48);
  out->created = fj_get64(bytes + 56);
  if (count > FJ_SEGMENTS_MAX || encoded_size(count) != size)
    return damaged(dir, error, "its size is wrong");
  if (out->hash_bits < 1 || out->hash_bits > 64 || out->generation == 0 || out->next_id == 0)
    return damaged(dir, error, "a field is impossible");
  freyja_status status = decode_entries(dir, bytes + HEADER, count, out, error);
  return status != FREYJA_OK ? status : check_entries(dir, out, error);
}

static freyja_status read_file(const fj_dir *dir, int file, fj_manifest *out,
                               freyja_error *error) {
  const fj_os *os = dir->os;
  fj_os_stat st;
  int code = os->stat(os->context, file, &st);
  if (code != 0) return fj_fail_os(error, code, dir, name, "examine");
  if (!st.regular) return damaged(dir, error, "it is not a regular file");
  if (st.size > encoded_size(FJ_SEGMENTS_MAX)) return damaged(dir, error, "it is too long");
  size_t size = (size_t)st.size;
  uint8_t *bytes = os->allocate(os->context, size);
  if (bytes == NULL) return fj_fail_memory(error, "read the list of segments");
  freyja_status status = FREYJA_OK;
  int64_t count = fj_read(os, file, bytes, size, 0);
  if (count < 0) status = fj_fail_os(error, (int)count, dir, name, "read");
  else status = decode(dir, bytes, (size_t)count, out, error);
  os->release(os->context, bytes);
  return status;
}

bool fj_manifest_is_missing(const fj_dir *dir) {
  int file = -1;
  int code = dir->os->open(dir->os->context, dir->fd, name, 0, &file);
  if (code == 0) (void)dir->os->close(dir->os->context, file);
  return code == -ENOENT;
}

freyja_status fj_manifest_read(const fj_dir *dir, fj_manifest *out, bool *found,
                               freyja_error *error) {
  const fj_os *os = dir->os;
  memset(out, 0, sizeof *out);
  *found = false;
  int file = -1;
  int code = os->open(os->context, dir->fd, name, 0, &file);
  if (code == -ENOENT) return FREYJA_OK;
  if (code == -ELOOP) return damaged(dir, error, "it is a symbolic link");
  if (code != 0) return fj_fail_os(error, code, dir, name, "open");
  freyja_status status = read_file(dir, file, out, error);
  (void)os->close(os->context, file);
  if (status != FREYJA_OK) fj_manifest_clear(dir, out);
  else *found = true;
  return status;
}

/* ---- writing ------------------------------------------------------------- */

static void encode(const fj_manifest *m, uint64_t generation, uint8_t *out) {
  memcpy(out, magic, sizeof magic);
  fj_put32(out + 8, m->count + m->retired_count);
  fj_put32(out + 12, m->hash_bits);
  memcpy(out + 16, m->identity.id, FJ_STORE_ID);
  fj_put64(out + 32, m->identity.hash_seed);
  fj_put64(out + 40, generation);
  fj_put64(out + 48, m->next_id);
  fj_put64(out + 56, m->created);
  uint8_t *p = out + HEADER;
  for (uint32_t i = 0; i < m->retired_count; i++, p += ENTRY) {
    fj_put64(p, m->retired[i]);
    fj_put64(p + 8, RETIRED);
  }
  for (uint32_t i = 0; i < m->count; i++, p += ENTRY) {
    fj_put64(p, m->entries[i].id);
    fj_put64(p + 8, m->entries[i].size);
  }
  fj_put64(p, fj_hash(out, (size_t)(p - out), 0));
}

/* Writes and syncs the temporary file. */
static freyja_status write_temporary(const fj_dir *dir, const uint8_t *bytes, size_t size,
                                     freyja_error *error) {
  const fj_os *os = dir->os;
  int file = -1;
  /* What a crash or a failed try left may be anything, a link even: begin anew. */
  int code = os->unlink(os->context, dir->fd, temporary);
  if (code != 0 && code != -ENOENT) return fj_fail_os(error, code, dir, temporary, "remove");
  code = os->open(os->context, dir->fd, temporary,
                  FJ_OPEN_WRITE | FJ_OPEN_CREATE | FJ_OPEN_EXCLUSIVE, &file);
  if (code != 0) return fj_fail_os(error, code, dir, temporary, "create");
  freyja_slice part = {bytes, size};
  const char *doing = "write";
  code = fj_write(os, file, &part, 1, 0);
  if (code == 0) {
    doing = "sync";
    code = fj_sync(os, file);
  }
  (void)os->close(os->context, file);
  if (code == 0) return FREYJA_OK;
  (void)os->unlink(os->context, dir->fd, temporary);
  return fj_fail_os(error, code, dir, temporary, doing);
}

/* Whether a rename that failed so has surely done nothing. Others may have: a server that did
 * what was asked and whose answer was lost, a journal that was aborted behind it. */
static bool is_without_effect(int code) {
  return code == -ENOSPC || code == -EDQUOT || code == -ENOMEM || code == -EROFS ||
         code == -EACCES || code == -EPERM;
}

freyja_status fj_manifest_write(const fj_dir *dir, fj_manifest *manifest, bool *replaced,
                                freyja_error *error) {
  const fj_os *os = dir->os;
  *replaced = false;
  if (manifest->generation == UINT64_MAX)
    return fj_fail_at(error, FREYJA_LIMIT, dir, name, "there are no more generations");
  size_t size = encoded_size(manifest->count + manifest->retired_count);
  uint8_t *bytes = os->allocate(os->context, size);
  if (bytes == NULL) return fj_fail_memory(error, "write the list of segments");
  encode(manifest, manifest->generation + 1, bytes);
  freyja_status status = write_temporary(dir, bytes, size, error);
  os->release(os->context, bytes);
  if (status != FREYJA_OK) return status;
  int code = os->rename(os->context, dir->fd, temporary, name);
  *replaced = code == 0 || !is_without_effect(code);
  if (code != 0) {
    if (!*replaced) (void)os->unlink(os->context, dir->fd, temporary);
    return fj_fail_os(error, code, dir, name, "replace");
  }
  if ((code = fj_sync_dir(os, dir->fd)) != 0)
    return fj_fail_os(error, code, dir, NULL, "sync");
  manifest->generation++;
  return FREYJA_OK;
}

bool fj_manifest_remove(const fj_dir *dir) {
  (void)dir->os->unlink(dir->os->context, dir->fd, temporary);
  int code = dir->os->unlink(dir->os->context, dir->fd, name);
  return code == 0 || code == -ENOENT;
}
