/* local.c - see local.h. */
#include "local.h"

#include <assert.h>
#include <string.h>

#define ROOM_MIN 16u
#define EDITS_MAX (1u << 30) /* so that twice as many slots have a number */
#define CAPACITY_MIN 32u     /* slots; at most half of them are used */

/* ---- life ----------------------------------------------------------------- */

freyja_status fj_local_create(const fj_os *os, fj_local **out, freyja_error *error) {
  *out = os->allocate(os->context, sizeof **out);
  if (*out == NULL) return fj_fail_memory(error, "begin a transaction");
  memset(*out, 0, sizeof **out);
  (*out)->os = os;
  (*out)->references = 1;
  return FREYJA_OK;
}

void fj_local_release(fj_local *local) {
  if (local == NULL || --local->references > 0) return;
  const fj_os *os = local->os;
  for (uint32_t i = 0; i < local->count; i++) os->release(os->context, local->edits[i]);
  os->release(os->context, local->edits);
  os->release(os->context, local->slots);
  os->release(os->context, local);
}

/* ---- the table -------------------------------------------------------------- */

/* The slot of the key, or the empty one where it would go. The table is not empty. */
static uint32_t *seek(const fj_local *local, const void *key, size_t key_size, uint64_t hash) {
  uint32_t mask = local->capacity - 1;
  uint32_t i = (uint32_t)(hash >> 32) & mask;
  for (; local->slots[i] != 0; i = (i + 1) & mask) {
    const fj_edit *edit = local->edits[local->slots[i] - 1];
    if (edit->hash == hash && edit->key_size == key_size &&
        (key_size == 0 || memcmp(edit->bytes, key, key_size) == 0))
      break;
  }
  return &local->slots[i];
}

/* Puts the newest edits into the table, which is empty. */
static void fill(fj_local *local) {
  for (uint32_t i = 0; i < local->count; i++) {
    const fj_edit *edit = local->edits[i];
    if (edit->later == FJ_NO_EDIT)
      *seek(local, edit->bytes, edit->key_size, edit->hash) = i + 1;
  }
}

/* Makes room for one more edit, of a new key. */
static bool grow(fj_local *local) {
  const fj_os *os = local->os;
  if (local->count == local->room) {
    uint32_t room = local->room == 0 ? ROOM_MIN : local->room * 2;
    fj_edit **edits = os->allocate(os->context, room * sizeof *edits);
    if (edits == NULL) return false;
    if (local->count > 0) memcpy(edits, local->edits, local->count * sizeof *edits);
    os->release(os->context, local->edits);
    local->edits = edits;
    local->room = room;
  }
  if (local->count - local->replaced < local->capacity / 2) return true;
  uint32_t capacity = local->capacity == 0 ? CAPACITY_MIN : local->capacity * 2;
  uint32_t *slots = os->allocate(os->context, capacity * sizeof *slots);
  if (slots == NULL) return false;
  memset(slots, 0, capacity * sizeof *slots);
  os->release(os->context, local->slots);
  local->slots = slots;
  local->capacity = capacity;
  fill(local);
  return true;
}

/* ---- reading ---------------------------------------------------------------- */

/* The number of the key's newest edit, or FJ_NO_EDIT. */
static uint32_t newest(const fj_local *local, const void *key, size_t key_size,
                       uint64_t hash) {
  if (local->capacity == 0) return FJ_NO_EDIT;
  return *seek(local, key, key_size, hash) - 1; /* 0 - 1: FJ_NO_EDIT */
}

const fj_edit *fj_local_find(const fj_local *local, const void *key, size_t key_size,
                             uint64_t hash, uint32_t end) {
  uint32_t number = newest(local, key, key_size, hash);
  while (number != FJ_NO_EDIT && number >= end) number = local->edits[number]->earlier;
  return number == FJ_NO_EDIT ? NULL : local->edits[number];
}

fj_edit *fj_local_next(const fj_local *local, uint32_t *at, uint32_t end) {
  for (; *at < end; (*at)++) {
    fj_edit *edit = local->edits[*at];
    if (edit->later == FJ_NO_EDIT || edit->later >= end) return edit;
  }
  return NULL;
}

uint64_t fj_local_bytes_with(const fj_local *local, freyja_slice key, uint64_t hash,
                             uint64_t size) {
  uint32_t number = newest(local, key.data, key.size, hash);
  uint64_t old = number == FJ_NO_EDIT ? 0 : fj_edit_size(local->edits[number]);
  return local->bytes - old + size;
}

/* ---- writing ---------------------------------------------------------------- */

static fj_edit *copy(const fj_local *local, const fj_edit *head, freyja_slice key,
                     freyja_slice value) {
  const fj_os *os = local->os;
  fj_edit *edit = os->allocate(os->context, sizeof *edit + key.size + value.size);
  if (edit == NULL) return NULL;
  *edit = *head;
  edit->key_size = (uint16_t)key.size;
  edit->value_size = (uint32_t)value.size;
  edit->earlier = edit->later = FJ_NO_EDIT;
  if (key.size > 0) memcpy(edit->bytes, key.data, key.size);
  if (value.size > 0) memcpy(edit->bytes + key.size, value.data, value.size);
  return edit;
}

freyja_status fj_local_set(fj_local *local, const fj_edit *head, freyja_slice key,
                           freyja_slice value, freyja_error *error) {
  if (local->count >= EDITS_MAX)
    return fj_fail(error, FREYJA_LIMIT, NULL, "the transaction has too many writes");
  fj_edit *edit = copy(local, head, key, value);
  if (edit == NULL || !grow(local)) {
    local->os->release(local->os->context, edit);
    return fj_fail_memory(error, "write in a transaction");
  }
  local->bytes = fj_local_bytes_with(local, key, head->hash, fj_edit_size(edit));
  uint32_t *slot = seek(local, key.data, key.size, head->hash);
  uint32_t old = *slot - 1;
  if (old != FJ_NO_EDIT && local->holders == 0) {
    assert(local->edits[old]->earlier == FJ_NO_EDIT);
    local->os->release(local->os->context, local->edits[old]);
    local->edits[old] = edit;
    return FREYJA_OK;
  }
  if (old != FJ_NO_EDIT) {
    edit->earlier = old;
    local->edits[old]->later = local->count;
    local->replaced++;
  }
  local->edits[local->count++] = edit;
  *slot = local->count;
  return FREYJA_OK;
}

void fj_local_hold(fj_local *local) { local->holders++; }

/* Without the edits that another has taken the place of. */
static void compact(fj_local *local) {
  const fj_os *os = local->os;
  uint32_t kept = 0;
  for (uint32_t i = 0; i < local->count; i++) {
    fj_edit *edit = local->edits[i];
    edit->earlier = FJ_NO_EDIT;
    if (edit->later == FJ_NO_EDIT) local->edits[kept++] = edit;
    else os->release(os->context, edit);
  }
  local->count = kept;
  local->replaced = 0;
  memset(local->slots, 0, local->capacity * sizeof *local->slots);
  fill(local);
}

void fj_local_let_go(fj_local *local) {
  assert(local->holders > 0);
  if (--local->holders == 0 && local->replaced > 0) compact(local);
}
