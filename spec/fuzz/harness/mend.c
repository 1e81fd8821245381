/* mend.c - see mend.h. */
#include "mend.h"

#include "check.h"
#include "input.h"
#include "repair.h"

static void check_new_store(sim_disk *disk, const char *to, const freyja_report *report,
                            fuzz_view *view) {
  freyja_error error;
  fuzz_mode mode = {.path = to,
                    .io = FREYJA_IO_SYSCALL,
                    .readonly = true,
                    .segment_size = FREYJA_SEGMENT_SIZE_MIN};
  freyja *db = fuzz_open(disk, &mode, &error);
  if (db == NULL) fuzz_fail("a repaired store cannot be opened: %s", error.message);
  if (!fuzz_examine(db, view)) fuzz_fail("a repaired store cannot be read to the end");
  if (fuzz_verify(db, view->count, true) > 0) fuzz_fail("a repaired store is damaged");
  if (report->keys != view->count)
    fuzz_fail("repair counts %llu keys, and there are %zu", (unsigned long long)report->keys,
              view->count);
  fuzz_close(db);
}

bool fuzz_mend(sim_disk *disk, const char *to, fuzz_view *view) {
  freyja_report report;
  freyja_error error;
  uint64_t told = 0;
  uint32_t nodes = disk->node_count - 1; /* without the root, which gets an entry */
  uint64_t before = fuzz_nodes_sum(disk, 1, nodes);
  freyja_status status =
      fj_repair(&disk->os, "db", to, fuzz_check_problem, &told, &report, &error);
  fuzz_check_error(status, &error);
  fuzz_check_held(disk, "after a repair");
  if (fuzz_nodes_sum(disk, 1, nodes) != before) fuzz_fail("repair changed the damaged store");
  if (told != report.problems)
    fuzz_fail("repair told of %llu problems and counts %llu", (unsigned long long)told,
              (unsigned long long)report.problems);
  if (status == FREYJA_OK) check_new_store(disk, to, &report, view);
  else if (sim_disk_find(disk, to) != UINT32_MAX)
    fuzz_fail("a repair failed and left a store");
  return status == FREYJA_OK;
}
