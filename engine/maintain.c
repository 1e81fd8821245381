/* maintain.c - what maintenance asks for of a store: hint files. */
#include <inttypes.h>

#include "hintwriter.h"
#include "store.h"

/* Where damage of the segment begins that the open has met: 0 if it is the header, or
 * was one of too many to be remembered. */
static uint64_t find_damage(const fj_index *index, uint64_t id) {
  if (index->damage == NULL) return 0;
  for (uint64_t i = 0; i < index->damage_count && i < FJ_DAMAGE_MAX; i++)
    if (index->damage[i].id == id) return index->damage[i].offset;
  return 0;
}

/* A hint file would hide damage from the next open, which knows of it by reading. */
static freyja_status fail_damaged(const freyja *db, const fj_segment *segment,
                                  freyja_error *error) {
  char name[FJ_NAME_MAX];
  fj_segment_name(name, segment->id);
  return fj_fail_at(error, FREYJA_CORRUPT, &db->dir, name,
                    "a damaged data file gets no hint file: the bytes at offset %" PRIu64
                    " fail verification, or are missing",
                    find_damage(&db->index, segment->id));
}

freyja_status freyja_hint(freyja *db, uint64_t id, freyja_error *error) {
  fj_hint_writer writer;
  bool done = false;
  freyja_status status = fj_store_check_write(db, error);
  if (status != FREYJA_OK) return status;
  fj_segment *segment = fj_index_segment(&db->index, id);
  if (segment == NULL)
    return fj_fail(error, FREYJA_LIMIT, db->dir.path, "there is no segment %" PRIu64, id);
  if (segment->damaged) return fail_damaged(db, segment, error);
  status = fj_hint_writer_open(&writer, segment, FJ_GATHER_ENTRIES, error);
  while (status == FREYJA_OK && !done)
    status = fj_hint_writer_step(&writer, UINT64_MAX, &done, error);
  if (status == FREYJA_OK) status = fj_hint_writer_finish(&writer, error);
  fj_hint_writer_close(&writer);
  return status;
}
