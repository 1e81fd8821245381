/* session.c - see session.h. */
#include "session.h"

#include "check.h"
#include "mend.h"
#include "operations.h"

/* What a read-only opening said of the directory. */
typedef struct found {
  bool opened, whole;
  freyja_error error;
} found;

static found look_first(sim_disk *disk, uint8_t options, fuzz_view *view) {
  static fuzz_view second;
  found f = {.whole = false};
  bool by_calls = (options & FUZZ_SYSCALL) != 0;
  f.opened = fuzz_look(disk, "db", by_calls ? FREYJA_IO_MMAP : FREYJA_IO_SYSCALL, view,
                       &f.whole, &f.error);
  if ((options & FUZZ_BOTH) == 0) return f;
  found other = {.whole = false};
  other.opened = fuzz_look(disk, "db", by_calls ? FREYJA_IO_SYSCALL : FREYJA_IO_MMAP, &second,
                           &other.whole, &other.error);
  if (f.error.status != other.error.status)
    fuzz_fail("by mapping and by calls: %s; %s", f.error.message, other.error.message);
  if (!f.opened) return f;
  if (f.whole != other.whole) fuzz_fail("by mapping and by calls: not the same damage");
  fuzz_view_expect(&second, view, "by mapping and by calls");
  return f;
}

/* Whether an opening to write may have this outcome after the read-only one. */
static bool may_follow(freyja_status readonly, freyja_status status) {
  if (status == readonly) return true;
  /* What is in the way of writing only; no number is left for another file. */
  if (readonly == FREYJA_OK) return status == FREYJA_IO || status == FREYJA_LIMIT;
  /* A reader is told that data files have no MANIFEST before it looks at LOCK. */
  if (readonly == FREYJA_CORRUPT) return status == FREYJA_IO;
  return readonly == FREYJA_IO; /* there is no store yet, say */
}

/* Repairs before anything else if the input says so. What opens can be repaired. */
static bool mend_first(fuzz_store *store, uint8_t options) {
  static fuzz_view view;
  if ((options >> FUZZ_SYNC_SHIFT & 3) < 3) return true;
  store->steps += 4;
  return fuzz_mend(store->disk, "db-mended", &view);
}

/* What is in there now, after a look that has met damage. The writer may have more: where
 * somebody made up a mark that lies within a record, a reader takes that for damage, as what
 * lies behind a mark may still change. */
static bool examine_again(fuzz_store *store) {
  static fuzz_view looked;
  fuzz_view_copy(&looked, &store->model);
  bool whole = fuzz_examine(store->db, &store->model);
  for (size_t i = 0; i < looked.count; i++) {
    const fuzz_item *item = &looked.items[i];
    freyja_slice key = fuzz_view_key(&looked, item);
    const fuzz_item *now = fuzz_view_find(&store->model, key.data, key.size);
    if (now == NULL || now->value_sum != item->value_sum)
      fuzz_fail("a value that a reader has shown of a damaged store is not the writer's");
  }
  return whole;
}

/* Opens to write, after a look or without one. */
static void begin(fuzz_store *store, uint8_t options) {
  freyja_error error;
  found before;
  bool mended = mend_first(store, options);
  bool looks = (options & FUZZ_LOOK) != 0;
  if (looks) before = look_first(store->disk, options, &store->model);
  store->db = fuzz_open(store->disk, &store->mode, &error);
  if (looks && !may_follow(before.error.status, error.status))
    fuzz_fail("read-only: %s; to write: %s", before.error.message, error.message);
  if (store->db == NULL) return;
  if (!mended && looks && before.opened) fuzz_fail("it can be opened and not be repaired");
  if (looks && before.opened && before.whole) store->whole = true;
  else if (looks && before.opened) store->whole = examine_again(store);
  else store->whole = fuzz_examine(store->db, &store->model);
}

void fuzz_session(sim_disk *disk, uint64_t bytes, uint8_t options, fuzz_input *input) {
  static fuzz_store store;
  static fuzz_view again;
  disk->no_reserve = (options & FUZZ_NO_RESERVE) != 0;
  store.disk = disk;
  store.bytes = bytes;
  store.steps = 8; /* the openings */
  store.is_sound = store.has_copy = false;
  store.copies = 0;
  store.mode.path = "db";
  store.mode.io = options & FUZZ_SYSCALL ? FREYJA_IO_SYSCALL : FREYJA_IO_MMAP;
  store.mode.readonly = false;
  store.mode.sync_mode = (freyja_sync_mode)((options >> FUZZ_SYNC_SHIFT & 3) % 3);
  store.mode.segment_size = options & FUZZ_LARGER ? 16384 : FREYJA_SEGMENT_SIZE_MIN;
  begin(&store, options);
  if (store.db != NULL) {
    freyja_error error;
    bool whole = false;
    fuzz_operate(&store, input);
    if (!fuzz_look(disk, "db", store.mode.io, &again, &whole, &error))
      fuzz_fail("it cannot be read again: %s (%s)", error.message, error.path);
    fuzz_expect_again(&store, &again);
  }
  fuzz_check_costs(disk, store.bytes, store.steps);
  sim_disk_destroy(disk);
}
