/* derived.c - see derived.h. */
#include "derived.h"

#include "check.h"
#include "input.h"

#define PROBE 200u /* serial number of what is put to see whether it is there */

freyja *fuzz_derived_open(sim_disk *disk, freyja_io io) {
  freyja_error error;
  fuzz_mode mode = {.path = "db",
                    .io = io,
                    .sync_mode = FREYJA_SYNC_NONE,
                    .segment_size = FREYJA_SEGMENT_SIZE_MIN};
  freyja *db = fuzz_open(disk, &mode, &error);
  if (db == NULL) fuzz_fail("the store does not open: %s", error.message);
  return db;
}

static freyja_status put(freyja *db, uint8_t key, uint8_t serial) {
  uint8_t value[2] = {key, serial};
  return freyja_put(db, &key, 1, value, sizeof value, NULL);
}

void fuzz_derived_write(freyja *db, uint8_t from, uint8_t to,
                        uint8_t latest[FUZZ_DERIVED_KEYS]) {
  for (uint8_t i = from; i < to; i++) {
    uint8_t key = (uint8_t)(i * 7 % FUZZ_DERIVED_KEYS);
    bool deletes = i % 5 == 4;
    freyja_status status = deletes ? freyja_delete(db, &key, 1, NULL) : put(db, key, i);
    if (freyja_is_fault(status)) fuzz_fail("a write: %s", freyja_status_name(status));
    if (latest != NULL) latest[key] = deletes ? 0 : i;
    if (i % 25 == 24 && freyja_rotate(db, NULL) != FREYJA_OK) fuzz_fail("a rotation");
  }
}

/* ---- with another file ------------------------------------------------------- */

/* Gets a key's value, which is its own; it may be damaged where the file may lead elsewhere.
 * *serial is its serial number, 0 if there is none. */
static freyja_status get(freyja *db, uint8_t key, const fuzz_derived *file, uint8_t *serial) {
  uint8_t value[8];
  size_t size = 0;
  freyja_status status = freyja_get(db, &key, 1, value, sizeof value, &size, NULL);
  bool may_be = status == FREYJA_OK || status == FREYJA_NOTFOUND ||
                (status == FREYJA_CORRUPT && file->latest == NULL);
  if (!may_be) fuzz_fail("%s: a get: %s", file->path, freyja_status_name(status));
  if (status == FREYJA_OK && (size != 2 || value[0] != key))
    fuzz_fail("%s: another key's value", file->path);
  *serial = status == FREYJA_OK ? value[1] : 0;
  return status;
}

static void use(freyja *db, const fuzz_derived *file) {
  for (uint8_t key = 0; key < FUZZ_DERIVED_KEYS; key++) {
    uint8_t serial = 0;
    (void)get(db, key, file, &serial);
    if (file->latest != NULL && serial != file->latest[key])
      fuzz_fail("%s: not the latest value", file->path);
    if (key % 4 != 0 || put(db, key, PROBE) != FREYJA_OK) continue;
    freyja_status status = get(db, key, file, &serial);
    if (status != FREYJA_CORRUPT && serial != PROBE)
      fuzz_fail("%s: what was put is not there", file->path);
  }
}

void fuzz_derived_try(sim_disk *made, const fuzz_derived *file) {
  for (int io = 0; io < 2; io++) {
    freyja_report report;
    sim_disk *disk = sim_disk_copy(made);
    disk->plain = true;
    sim_disk_put(disk, file->path, file->bytes, file->size);
    freyja *db = fuzz_derived_open(disk, io == 0 ? FREYJA_IO_MMAP : FREYJA_IO_SYSCALL);
    if (disk->bytes_peak >= (1u << 20) + file->memory)
      fuzz_fail("%s: memory out of proportion", file->path);
    use(db, file);
    if (freyja_verify(db, NULL, NULL, &report, NULL) != FREYJA_OK)
      fuzz_fail("%s: verify", file->path);
    fuzz_close(db);
    fuzz_check_held(disk, "at the end");
    sim_disk_destroy(disk);
  }
}
