--- Bugs to plant in following a writer; see spec/planted/bugs.lua.

local in_file, bug = ...

in_file "engine/follow.c"

bug("a_follower_does_not_move_to_copies", "follow",
  [[if (!is_there || found->record.timestamp != record->timestamp) return FREYJA_OK;]],
  [[if (!is_there || found->record.timestamp == record->timestamp) return FREYJA_OK;]])

bug("what_a_filter_drops_stays_with_a_follower", "follow",
  [[status = drop_slots(follow, error);]], [[(void)drop_slots;]])

bug("iterators_do_not_hear_of_a_refresh", "follow",
  [[if (db->iterators.first == NULL) return FREYJA_OK;]], [[if (found != NULL) return FREYJA_OK;]], "lose(")

bug("a_refresh_that_failed_is_forgotten", "follow",
  [[fj_store_set_stale(db, status == FREYJA_OK ? NULL : &fault);]], [[fj_store_set_stale(db, NULL);]])

bug("a_follower_that_failed_half_way_goes_on", "follow",
  [[if (done || (status != FREYJA_OK && !follow.touched && !follow.anew)) return status;]],
  [[if (done || status != FREYJA_OK) return status;]])

bug("another_store_is_not_noticed", "follow",
  [[if (memcmp(&now->identity, &db->manifest.identity, sizeof now->identity) != 0)]], [[if (0)]])

bug("a_follower_verifies_beside_a_writer", "follow",
  [[if (status != FREYJA_OK || !held) return status;]], [[if (!held || held) return status;]])

bug("a_reader_shows_what_is_not_durable", "crash",
  [[if (status == FREYJA_OK) status = settle_directory(db, live, error);]], "(void)settle_directory;")

bug("a_refresh_shows_what_is_not_durable", "crash",
  [[if (status == FREYJA_OK && !live) status = settle_log(follow, active, end, error);]], "(void)settle_log;")

in_file "engine/segments.c"

bug("a_follower_gives_up_what_is_being_read", "follow",
  [[if (!segment->retired || segment->pins > 0 || segment->live_keys > 0) return false;]],
  [[if (!segment->retired || segment->live_keys > 0) return false;]])

bug("a_follower_removes_files", "follow",
  [[if (index->retired == 0 || index->pool.readonly) return false;]], [[if (index->retired == 0) return false;]])
