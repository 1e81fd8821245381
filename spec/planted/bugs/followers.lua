--- Bugs to plant in following a writer; see spec/planted/bugs.lua.

local in_file, bug = ...

in_file "engine/follow.c"

bug("a_follower_reads_behind_what_its_manifest_has", "follow",
  [[*settled = !is_replaced(db, &follow->manifest);]], [[*settled = true;]])

bug("an_open_reads_behind_what_its_manifest_has", "follow",
  [[*stands = !live || !is_replaced(db, manifest);]], [[*stands = true;]])

bug("a_follower_shows_half_of_a_transaction", "follow",
  [[if (!*whole || !first || scan->segment->sealed) return FREYJA_OK;]], [[return FREYJA_OK;]])

bug("an_old_copy_is_taken_for_new", "follow",
  [[if (record->timestamp <= follow->horizon)]], [[if (0)]])

bug("a_follower_does_not_move_to_copies", "follow",
  [[if (!is_there || found->record.timestamp != record->timestamp) return FREYJA_OK;]], [[return FREYJA_OK;]])

bug("any_copy_is_that_of_the_record", "follow",
  [[if (!is_there || found->record.timestamp != record->timestamp) return FREYJA_OK;]],
  [[if (!is_there) return FREYJA_OK;]])

bug("what_a_filter_drops_stays_with_a_follower", "follow",
  [[status = drop_slots(follow->db, error);]], [[(void)drop_slots;]])

bug("iterators_do_not_hear_of_a_refresh", "follow",
  [[fj_iterators_note(&db->iterators, found->segment, found->offset, found->record.timestamp);]], "")

bug("a_file_that_grows_is_not_measured", "follow",
  [[return active == NULL ? FREYJA_OK : fj_segment_measure(active, error);]], [[return FREYJA_OK;]])

bug("a_refresh_that_failed_is_forgotten", "follow",
  [[fj_store_set_stale(db, status == FREYJA_OK ? NULL : &fault);]], [[fj_store_set_stale(db, NULL);]])

bug("a_follower_that_failed_half_way_goes_on", "follow",
  [[if (done || (status != FREYJA_OK && !follow.touched && !follow.anew)) return status;]],
  [[if (done || status != FREYJA_OK) return status;]])

bug("another_store_is_not_noticed", "follow",
  [[if (memcmp(&now->identity, &db->manifest.identity, sizeof now->identity) != 0)]], [[if (0)]])

bug("a_follower_verifies_beside_a_writer", "follow",
  [[if (status != FREYJA_OK || !held) return status;]], [[if (!held || held) return status;]])

in_file "engine/segments.c"

bug("a_follower_gives_up_what_is_being_read", "follow",
  [[if (segment == NULL || !segment->retired || segment->pins > 0) continue;]],
  [[if (segment == NULL || !segment->retired) continue;]])

bug("a_follower_removes_files", "follow", [[if (index->pool.readonly) return false;]], "")

in_file "engine/scan.c"

bug("a_follower_reads_a_growing_file_by_its_mapping", "follow",
  [[scan->by_calls = segment->map == NULL || (segment->followed && end > segment->tail);]],
  [[scan->by_calls = segment->map == NULL;]])

in_file "engine/scan.h"

bug("what_was_read_ahead_is_believed", "follow",
  [[static inline void fj_scan_look_again(fj_scan *scan) { scan->filled = 0; }]],
  [[static inline void fj_scan_look_again(fj_scan *scan) { (void)scan; }]])

in_file "engine/segment.c"

bug("a_mark_that_came_later_is_believed", "follow",
  [[if (segment->followed) segment->mark = end_for(pool, segment->mark);]], "")
