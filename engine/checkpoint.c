/* checkpoint.c - see checkpoint.h. */
#include "checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define ALIGN 4096u /* bytes: slots begin at a page */

static const uint8_t magic[8] = {'f', 'r', 'e', 'y', 'j', 'a', 'K', 1};
const char fj_checkpoint_name[] = "KEYDIR", fj_checkpoint_temporary[] = "KEYDIR.tmp";

/* ---- encoding ------------------------------------------------------------- */

uint64_t fj_checkpoint_tables(uint32_t segments) {
  return (uint64_t)segments * FJ_CHECKPOINT_SEGMENT +
         (uint64_t)FJ_SHARDS * FJ_CHECKPOINT_SHARD;
}

uint64_t fj_checkpoint_start(uint32_t segments) {
  uint64_t end = FJ_CHECKPOINT_HEADER + fj_checkpoint_tables(segments);
  return (end + ALIGN - 1) / ALIGN * ALIGN;
}

static uint64_t shard_bytes(uint32_t capacity) {
  return (uint64_t)fj_keydir_limit(capacity) * sizeof(fj_slot);
}

static uint64_t file_size(const fj_checkpoint_head *head) {
  return fj_checkpoint_start(head->segments) + FJ_SHARDS * shard_bytes(head->capacity);
}

static void encode_header(uint8_t out[FJ_CHECKPOINT_HEADER], const fj_identity *identity,
                          const fj_checkpoint_head *head, uint64_t tables_check) {
  memset(out, 0, FJ_CHECKPOINT_HEADER);
  memcpy(out, magic, sizeof magic);
  fj_put32(out + 8, FJ_CHECKPOINT_HEADER);
  fj_put32(out + 12, head->hash_bits);
  memcpy(out + 16, identity->id, FJ_STORE_ID);
  fj_put64(out + 32, identity->hash_seed);
  fj_put64(out + 40, head->generation);
  fj_put32(out + 48, head->segments);
  fj_put32(out + 52, head->capacity);
  fj_put64(out + 56, head->keys);
  fj_put64(out + 64, head->newest);
  fj_put64(out + 72, head->soonest);
  fj_put64(out + 80, head->last);
  fj_put64(out + 88, tables_check);
  fj_put64(out + 96, file_size(head));
  fj_put64(out + 104, head->swept);
  fj_put64(out + 120, fj_hash(out, 120, 0));
}

static void encode_segment(uint8_t *p, const fj_checkpoint_segment *segment) {
  fj_put64(p, segment->id);
  fj_put64(p + 8, segment->file.created);
  fj_put64(p + 16, segment->file.size);
  fj_put32(p + 24, segment->slot);
  fj_put32(p + 28, (uint32_t)segment->file.kind);
  fj_put64(p + 32, segment->keys);
  fj_put64(p + 40, segment->tombstones);
  fj_put64(p + 48, segment->live_keys);
  fj_put64(p + 56, segment->live_bytes);
  fj_put64(p + 64, segment->oldest);
  fj_put64(p + 72, segment->newest);
  fj_put64(p + 80, segment->expires);
  fj_put64(p + 88, segment->file.sign.number);
  fj_put64(p + 96, segment->file.sign.changed);
}

void fj_checkpoint_encode(uint8_t *out, const fj_identity *identity,
                          const fj_checkpoint_head *head,
                          const fj_checkpoint_segment *segments,
                          const fj_checkpoint_shard shards[FJ_SHARDS]) {
  uint8_t *tables = out + FJ_CHECKPOINT_HEADER, *p = tables;
  memset(out, 0, fj_checkpoint_start(head->segments));
  for (uint32_t i = 0; i < head->segments; i++, p += FJ_CHECKPOINT_SEGMENT)
    encode_segment(p, &segments[i]);
  for (uint32_t i = 0; i < FJ_SHARDS; i++, p += FJ_CHECKPOINT_SHARD) {
    fj_put32(p, shards[i].count);
    fj_put64(p + 8, shards[i].check);
  }
  encode_header(out, identity, head, fj_hash(tables, (size_t)(p - tables), 0));
}

uint64_t fj_checkpoint_seed(const fj_identity *identity, uint32_t shard) {
  return fj_hash(identity->id, FJ_STORE_ID, shard);
}

freyja_status fj_checkpoint_last_of(fj_segment *segment, uint64_t end, uint64_t *out,
                                    freyja_error *error) {
  const fj_os *os = segment->os;
  uint64_t size = end - FJ_SEGMENT_HEADER;
  if (size > FJ_CHECKPOINT_LAST) size = FJ_CHECKPOINT_LAST;
  uint8_t *bytes = os->allocate(os->context, FJ_CHECKPOINT_LAST);
  if (bytes == NULL) return fj_fail_memory(error, "read the end of the log");
  size_t count = 0;
  freyja_status status =
      fj_segment_read(segment, bytes, (size_t)size, end - size, &count, error);
  *out = fj_hash(bytes, count, end);
  os->release(os->context, bytes);
  if (status != FREYJA_OK || count == size) return status;
  char name[FJ_NAME_MAX];
  fj_segment_name(name, segment->id);
  return fj_fail_at(error, FREYJA_CORRUPT, segment->pool->dir, name,
                    "the file became shorter");
}

/* ---- opening -------------------------------------------------------------- */

freyja_status fj_checkpoint_refuse(const fj_dir *dir, freyja_error *why, const char *what,
                                   uint64_t offset) {
  return fj_fail_at(why, FREYJA_CORRUPT, dir, fj_checkpoint_name,
                    "the checkpoint is not used: %s (offset %" PRIu64 ")", what, offset);
}

static freyja_status decode_header(fj_checkpoint *c, const uint8_t *header, uint32_t hash_bits,
                                   freyja_error *why) {
  fj_checkpoint_head *head = &c->head;
  uint8_t right[FJ_CHECKPOINT_HEADER];
  if (memcmp(header, magic, sizeof magic - 1) != 0)
    return fj_checkpoint_refuse(c->dir, why, "it does not begin as checkpoints do", 0);
  if (fj_get64(header + 120) != fj_hash(header, 120, 0))
    return fj_checkpoint_refuse(c->dir, why, "its header's check does not hold", 120);
  if (header[7] != magic[7])
    return fj_fail_at(why, FREYJA_FORMAT, c->dir, fj_checkpoint_name,
                      "format version %u is not one that this library reads", header[7]);
  head->hash_bits = hash_bits;
  head->generation = fj_get64(header + 40);
  head->segments = fj_get32(header + 48);
  head->capacity = fj_get32(header + 52);
  head->keys = fj_get64(header + 56);
  head->newest = fj_get64(header + 64);
  head->soonest = fj_get64(header + 72);
  head->last = fj_get64(header + 80);
  head->swept = fj_get64(header + 104);
  if (head->segments == 0 || head->capacity == 0 || head->capacity > FJ_CAPACITY_MAX)
    return fj_checkpoint_refuse(c->dir, why, "its counts are impossible", 48);
  encode_header(right, &c->identity, head, fj_get64(header + 88));
  for (unsigned i = 0; i < FJ_CHECKPOINT_HEADER; i += 8)
    if (memcmp(header + i, right + i, 8) != 0)
      return fj_checkpoint_refuse(c->dir, why, "it is not of this store as it is", i);
  if (c->size != file_size(head))
    return fj_checkpoint_refuse(c->dir, why, "its size is wrong", c->size);
  return FREYJA_OK;
}

/* Whether the shards' counts are those of shards, and of so many keys in all. */
static bool has_possible_counts(const fj_checkpoint *c) {
  uint32_t limit = fj_keydir_limit(c->head.capacity);
  uint64_t keys = 0;
  for (uint32_t i = 0; i < FJ_SHARDS; i++) {
    uint32_t count = fj_checkpoint_get_shard(c, i).count;
    if (count >= limit) return false;
    keys += count;
  }
  return keys == c->head.keys;
}

static freyja_status read_bytes(const fj_checkpoint *c, void *out, size_t size,
                                uint64_t offset, freyja_error *error) {
  int64_t count = fj_read(c->dir->os, c->file, out, size, offset);
  if (count < 0) return fj_fail_os(error, (int)count, c->dir, fj_checkpoint_name, "read");
  if ((uint64_t)count == size) return FREYJA_OK;
  return fj_checkpoint_refuse(c->dir, error, "it is too short", offset + (uint64_t)count);
}

static freyja_status read_tables(fj_checkpoint *c, const uint8_t *header, freyja_error *why) {
  const fj_os *os = c->dir->os;
  size_t size = (size_t)fj_checkpoint_tables(c->head.segments);
  c->start = fj_checkpoint_start(c->head.segments);
  c->tables = os->allocate(os->context, size);
  if (c->tables == NULL) return fj_fail_memory(why, "read a checkpoint");
  freyja_status status = read_bytes(c, c->tables, size, FJ_CHECKPOINT_HEADER, why);
  if (status != FREYJA_OK) return status;
  if (fj_hash(c->tables, size, 0) != fj_get64(header + 88))
    return fj_checkpoint_refuse(c->dir, why, "its tables' check does not hold",
                                FJ_CHECKPOINT_HEADER);
  if (!has_possible_counts(c))
    return fj_checkpoint_refuse(c->dir, why, "its counts are impossible",
                                FJ_CHECKPOINT_HEADER);
  return FREYJA_OK;
}

static freyja_status open_file(fj_checkpoint *c, uint32_t hash_bits, freyja_error *why) {
  const fj_os *os = c->dir->os;
  uint8_t header[FJ_CHECKPOINT_HEADER];
  fj_os_stat st;
  int code = os->stat(os->context, c->file, &st);
  if (code != 0) return fj_fail_os(why, code, c->dir, fj_checkpoint_name, "examine");
  if (!st.regular) return fj_checkpoint_refuse(c->dir, why, "it is not a regular file", 0);
  c->size = st.size;
  freyja_status status = read_bytes(c, header, sizeof header, 0, why);
  if (status == FREYJA_OK) status = decode_header(c, header, hash_bits, why);
  return status == FREYJA_OK ? read_tables(c, header, why) : status;
}

freyja_status fj_checkpoint_open(fj_checkpoint *c, const fj_dir *dir,
                                 const fj_identity *identity, uint32_t hash_bits,
                                 freyja_error *why) {
  const fj_os *os = dir->os;
  memset(c, 0, sizeof *c);
  c->dir = dir;
  c->identity = *identity;
  int code = os->open(os->context, dir->fd, fj_checkpoint_name, 0, &c->file);
  if (code == -ENOENT) return FREYJA_NOTFOUND;
  if (code == -ELOOP) return fj_checkpoint_refuse(dir, why, "it is a symbolic link", 0);
  if (code != 0) return fj_fail_os(why, code, dir, fj_checkpoint_name, "open");
  freyja_status status = open_file(c, hash_bits, why);
  if (status != FREYJA_OK) fj_checkpoint_close(c);
  return status;
}

void fj_checkpoint_close(fj_checkpoint *c) {
  const fj_os *os = c->dir->os;
  (void)os->close(os->context, c->file);
  os->release(os->context, c->tables);
  c->tables = NULL;
  c->file = -1;
}

/* ---- what it says ---------------------------------------------------------- */

fj_checkpoint_segment fj_checkpoint_get(const fj_checkpoint *c, uint32_t i) {
  const uint8_t *p = c->tables + (size_t)i * FJ_CHECKPOINT_SEGMENT;
  fj_checkpoint_segment segment = {
      .id = fj_get64(p),
      .file = {.size = fj_get64(p + 16),
               .created = fj_get64(p + 8),
               .kind = (fj_segment_kind)fj_get32(p + 28),
               .sign = {fj_get64(p + 88), fj_get64(p + 96)}},
      .slot = fj_get32(p + 24),
      .keys = fj_get64(p + 32),
      .tombstones = fj_get64(p + 40),
      .live_keys = fj_get64(p + 48),
      .live_bytes = fj_get64(p + 56),
      .oldest = fj_get64(p + 64),
      .newest = fj_get64(p + 72),
      .expires = fj_get64(p + 80),
  };
  return segment;
}

fj_checkpoint_shard fj_checkpoint_get_shard(const fj_checkpoint *c, uint32_t number) {
  const uint8_t *p = c->tables + (size_t)c->head.segments * FJ_CHECKPOINT_SEGMENT +
                     (size_t)number * FJ_CHECKPOINT_SHARD;
  fj_checkpoint_shard shard = {fj_get32(p), fj_get64(p + 8)};
  return shard;
}

/* Slots as they lie in the file, in their place, become what they are in memory. */
static void decode_slots(uint8_t *bytes, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const uint8_t *p = bytes + i * sizeof(fj_slot);
    fj_slot slot = {fj_get64(p), fj_get64(p + 8)};
    memcpy(bytes + i * sizeof slot, &slot, sizeof slot);
  }
}

freyja_status fj_checkpoint_read(const fj_checkpoint *c, uint32_t number, fj_slot *slots,
                                 freyja_error *error) {
  uint64_t size = shard_bytes(c->head.capacity);
  uint64_t offset = c->start + number * size;
  uint8_t *bytes = (uint8_t *)slots;
  uint64_t check = fj_checkpoint_seed(&c->identity, number);
  for (uint64_t done = 0; done < size;) {
    uint64_t left = size - done;
    size_t part = left < FJ_CHECKPOINT_BLOCK ? (size_t)left : FJ_CHECKPOINT_BLOCK;
    freyja_status status = read_bytes(c, bytes + done, part, offset + done, error);
    if (status != FREYJA_OK) return status;
    check = fj_checkpoint_check(check, bytes + done, part);
    decode_slots(bytes + done, part / sizeof(fj_slot));
    done += part;
  }
  if (check == fj_checkpoint_get_shard(c, number).check) return FREYJA_OK;
  return fj_checkpoint_refuse(c->dir, error, "a shard's check does not hold", offset);
}

/* ---- verifying -------------------------------------------------------------- */

static void tell(const fj_findings *findings, fj_extent extent, const freyja_error *why) {
  fj_findings_add(findings, extent, "%s", why->message);
}

static freyja_status verify_shards(const fj_checkpoint *c, const fj_findings *findings,
                                   freyja_error *error) {
  const fj_os *os = c->dir->os;
  uint64_t size = shard_bytes(c->head.capacity);
  fj_slot *slots = os->allocate(os->context, (size_t)size);
  if (slots == NULL) return fj_fail_memory(error, "verify a checkpoint");
  freyja_status status = FREYJA_OK;
  for (uint32_t i = 0; i < FJ_SHARDS && status != FREYJA_MEMORY; i++) {
    fj_extent extent = {fj_checkpoint_name, c->start + i * size, size};
    freyja_error why;
    status = fj_checkpoint_read(c, i, slots, &why);
    if (status == FREYJA_MEMORY && error != NULL) *error = why;
    else if (status != FREYJA_OK && status != FREYJA_MEMORY) tell(findings, extent, &why);
  }
  os->release(os->context, slots);
  return status == FREYJA_MEMORY ? status : FREYJA_OK;
}

freyja_status fj_checkpoint_verify(const fj_dir *dir, const fj_identity *identity,
                                   uint32_t hash_bits, const fj_findings *findings,
                                   freyja_error *error) {
  static const fj_extent header = {fj_checkpoint_name, 0, FJ_CHECKPOINT_HEADER};
  fj_checkpoint c;
  freyja_error why;
  freyja_status status = fj_checkpoint_open(&c, dir, identity, hash_bits, &why);
  if (status == FREYJA_NOTFOUND) return FREYJA_OK;
  if (status == FREYJA_MEMORY) {
    if (error != NULL) *error = why;
    return status;
  }
  if (status != FREYJA_OK) {
    tell(findings, header, &why);
    return FREYJA_OK;
  }
  status = verify_shards(&c, findings, error);
  fj_checkpoint_close(&c);
  return status;
}
