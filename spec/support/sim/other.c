/* other.c - the steps of a trial (trial.h) that read the store's files as a whole: verify, and
 * backup and repair, which make a second store from them. */
#include <string.h>

#include "repair.h"
#include "trial.h"

/* ---- verify ----------------------------------------------------------- */

/* The first problem, for the message. */
static void keep_problem(void *argument, const freyja_problem *problem) {
  trial *t = argument;
  if (t->disk->failure_count > 0 || t->broken || t->disk->dropped) return;
  trial_wrong(t, "verify: %s (%s, offset %d)", problem->message, problem->path,
              (int)problem->offset);
}

void trial_verify(trial *t) {
  freyja_report report;
  if (!trial_runs(t)) return;
  trial_begin(t);
  freyja_status status = freyja_verify(t->db, keep_problem, t, &report, &t->error);
  trial_judge(t, TRIAL_READS, "verify", status);
  if (status != FREYJA_OK) return;
  bool any = report.problems > 0;
  if (!any && t->broken) trial_wrong(t, "verify does not find the damage");
  if (!any && report.records == 0 && trial_now(t)->of[0] >= 0)
    trial_wrong(t, "verify reads nothing and finds nothing wrong");
}

/* ---- a second store --------------------------------------------------- */

/* What is left of a store that could not be made; a folder alone may be. */
static bool is_left(const sim_disk *disk, const char *path) {
  uint32_t node = sim_disk_find(disk, path);
  return node != UINT32_MAX && disk->nodes[node].entries.count > 0;
}

static void begin(trial *t, const char *path) {
  trial_begin(t);
  t->other.path = path;
  t->other.made = false;
  t->other.holds = *trial_now(t);
}

/* If one call failed, and did nothing, what was made of it is gone. */
static void end(trial *t, const char *call, freyja_status status) {
  trial_judge(t, TRIAL_COPIES, call, status);
  t->other.made = status == FREYJA_OK;
  bool plain = t->disk->failure_count == 1 && t->fault.effect == SIM_NOTHING;
  if (!t->other.made && plain && is_left(t->disk, t->other.path))
    trial_wrong(t, "a %s that failed leaves files", call);
}

void trial_backup(trial *t, bool copy) {
  freyja_backup_options options = {.copy = copy};
  if (!trial_runs(t)) return;
  begin(t, "backup");
  end(t, "backup", freyja_backup(t->db, t->other.path, &options, &t->error));
}

void trial_repair(trial *t) {
  freyja_report report;
  if (t->why[0] != '\0') return;
  begin(t, "mended");
  t->other.mended = true;
  freyja_status status =
      fj_repair(&t->disk->os, "db", t->other.path, NULL, NULL, &report, &t->error);
  end(t, "repair", status);
  if (status != FREYJA_OK) return;
  t->other.loose = report.problems > 0;
  if (report.problems > 0 && t->disk->failure_count == 0 && !t->broken)
    trial_wrong(t, "repair finds problems where there are none");
}

/* ---- what became of it ------------------------------------------------ */

/* Whether the key may hold that. What could not be read may have been newer. */
static bool may_hold(const trial *t, unsigned key, int found) {
  int holds = t->other.holds.of[key];
  if (found == holds || t->other.loose) return true;
  return holds == TRIAL_CORRUPT;
}

static void compare(trial *t, freyja *db) {
  trial_state found;
  freyja_report report;
  if (!trial_examine(t, db, &found)) return;
  for (unsigned key = 0; key < TRIAL_KEYS; key++)
    if (!may_hold(t, key, found.of[key]))
      trial_wrong(t, "key %u of the second store is of %d, not %d", key, found.of[key],
                  t->other.holds.of[key]);
  freyja_status status = freyja_verify(db, NULL, NULL, &report, &t->error);
  if (status != FREYJA_OK || (report.problems > 0) != (t->broken && !t->other.mended))
    trial_wrong(t, "verify finds %d problems in the second store", (int)report.problems);
}

void trial_check_other(trial *t, sim_disk *disk) {
  freyja *db = NULL;
  if (t->other.path == NULL || t->why[0] != '\0') return;
  freyja_options options = t->options;
  options.os = &disk->os;
  options.create = false;
  options.readonly = false;
  long held = sim_disk_held(disk);
  freyja_status status = freyja_open(t->other.path, &options, &db, &t->error);
  if (status == FREYJA_OK) compare(t, db);
  else if (t->other.made)
    trial_wrong(t, "the second store does not open: %s (%s)", t->error.message, t->error.path);
  if (freyja_close(db, &t->error) != FREYJA_OK)
    trial_wrong(t, "closing the second store: %s", t->error.message);
  if (sim_disk_held(disk) != held) trial_wrong(t, "the second store keeps things");
}
