/* also.c - what a loss of power has left is opened by others than a writer, too: by a reader,
 * and by a repair, with the MANIFEST and without it. */
#include <errno.h>
#include <string.h>

#include "repair.h"
#include "run.h"

/* Read-only the same is shown. */
static bool check_reader(const mode *m, sim_disk *disk, const wit_state *found) {
  wit_state shown;
  freyja *db = NULL;
  freyja_error error;
  freyja_options options = options_for(m, disk);
  options.readonly = true;
  if (freyja_open("db", &options, &db, &error) != FREYJA_OK)
    return error.os_code == ENOENT ||
           wit_wrong("read-only: %s (%s)", error.message, error.path);
  bool right = wit_examine(db, &shown);
  if (right && !wit_same(&shown, found))
    right = wit_wrong("read-only there is%s, not%s", wit_text(&shown), wit_text(found));
  return close_on(disk, db) && right;
}

static bool is_empty(const wit_state *state) {
  for (int key = 0; key < WIT_KEYS; key++)
    if (state->of[key] >= 0) return false;
  return true;
}

/* Whether that is the state, or, where `revives`, one with older values of keys that it has
 * not. */
static bool is_saved(const wit_state *shown, const wit_state *state, bool revives) {
  for (int key = 0; key < WIT_KEYS; key++)
    if (shown->of[key] != state->of[key] && !(revives && state->of[key] < 0)) return false;
  return true;
}

/* What was repaired is one of the states. There may be nothing of a store yet. Without a
 * MANIFEST nobody knows that a merge has replaced a file of which there is no copy: until it
 * is gone for certain, what was deleted may come back from it. */
static bool check_repaired(const mode *m, sim_disk *disk, const wit_state *states, int count,
                           const char *how, bool revives) {
  wit_state shown;
  freyja *db = NULL;
  freyja_error error;
  freyja_report report;
  freyja_status status = fj_repair(&disk->os, "db", "fixed", NULL, NULL, &report, &error);
  bool nothing = status == FREYJA_CORRUPT || (status == FREYJA_IO && error.os_code == ENOENT);
  if (nothing && is_empty(&states[0])) return true;
  if (status != FREYJA_OK) return wit_wrong("repair: %s (%s)", error.message, error.path);
  freyja_options options = options_for(m, disk);
  if (freyja_open("fixed", &options, &db, &error) != FREYJA_OK)
    return wit_wrong("repaired: %s (%s)", error.message, error.path);
  bool right = wit_examine(db, &shown), any = false;
  for (int i = 0; i < count; i++) any = any || is_saved(&shown, &states[i], revives);
  if (right && !any)
    right = wit_wrong("repaired %s there is%s, not%s", how, wit_text(&shown),
                      wit_text(&states[count - 1]));
  return close_on(disk, db) && right;
}

bool check_others(const run *r, sim_disk *image, const wit_state *found,
                  const wit_state *states, int count, long number) {
  const mode *m = r->mode;
  bool merges = strpbrk(r->workload, "mM57") != NULL;
  bool reads = number % READ_EVERY == 0, repairs = number % REPAIR_EVERY == 0;
  bool bare = number % REPAIR_EVERY == REPAIR_EVERY / 2;
  if (!reads && !repairs && !bare) return true;
  sim_disk *disk = sim_disk_copy(image);
  bool right = !reads || check_reader(m, disk, found);
  sim_disk_destroy(disk);
  disk = sim_disk_copy(image);
  disk->unchecked = true;
  if (bare) sim_disk_remove(disk, "db/MANIFEST");
  if (right && repairs) right = check_repaired(m, disk, found, 1, "with its MANIFEST", false);
  if (right && bare)
    right = check_repaired(m, disk, states, count, "without a MANIFEST", merges);
  sim_disk_destroy(disk);
  return right;
}
