--- Bugs to plant in opening, writing and reading a store; see spec/planted/bugs.lua.

local in_file, bug = ...

-- Opening --------------------------------------------------------------------------------------------

in_file "engine/bootstrap.c"

bug("what_a_merge_has_replaced_goes_too_early", "crash",
  [[if (is_old && db->manifest.retired_count == 0) return finish_merges(db, error);]],
  [[if (is_old) return fj_leftovers_clean(&db->dir, &db->manifest, error);]])

bug("marks_that_can_be_read_are_taken_for_durable", "crash",
  [[bool whole = doubt_claims(db);]], "bool whole = true; (void)doubt_claims;")

bug("what_a_merge_has_replaced_goes_before_its_copies_are_seen", "repair_bare",
  [[if (damaged) whole = false;]], [[if (false) whole = false;]])

bug("what_is_not_whole_is_claimed", "repair_bare", [[if (damaged) segment->unclaimed = false;]], "")

bug("each_open_doubts_claims", "marks",
  [[if (status != FREYJA_OK || db->manifest.retired_count > 0) return status;]],
  [[if (status != FREYJA_MEMORY) return status;]])

bug("the_store_s_folder_is_not_durable", "crash",
  [[if ((status = fj_folder_sync_parent(&db->dir, made, error)) != FREYJA_OK) return status;]], "")

bug("a_renamed_manifest_is_relied_on", "crash",
  [[if (is_old && db->manifest.retired_count == 0) return finish_merges(db, error);]],
  [[if (is_old || replaced == is_old) return finish_merges(db, error);]])

bug("a_lost_manifest_is_a_new_store", "damage", [[if (has_data)]], [[if (0)]])

bug("a_reader_makes_a_store", "open",
  [[if (db->options.readonly || !db->options.create)]], [[if (!db->options.create)]])

bug("a_folder_that_is_no_store_gets_a_lock", "open",
  [[freyja_status status = check_presence(db, error);]],
  [[freyja_status status = FREYJA_OK;
  (void)check_presence;]])

bug("the_hash_s_width_is_forgotten", "collision",
  [[fj_index_create(&db->index, &db->dir, &db->manifest.identity, db->options.io, false,
  db->manifest.hash_bits);]],
  [[fj_index_create(&db->index, &db->dir, &db->manifest.identity, db->options.io, false,
  db->options.hash_bits);]])

bug("a_failed_open_leaks", "faults", [[else fj_store_discard(db);]], [[else *out = NULL;]])

in_file "engine/lock.c"

bug("writers_share", "system",
  [[if (code == 0) code = os->lock(os->context, file, exclusive);]],
  [[if (code == 0) code = os->lock(os->context, file, false);]])

bug("readers_exclude_each_other", "open",
  [[if (code == 0) code = os->lock(os->context, file, exclusive);]],
  [[if (code == 0) code = os->lock(os->context, file, true);]])

bug("the_lock_keeps_what_was_there", "open",
  [[if (!written || there > size)]], [[if (!written)]])

bug("the_lock_can_be_lost", "open",
  [[freyja_status status = lock_dir(dir, exclusive, process, error);]],
  [[freyja_status status = FREYJA_OK;]])

-- The store --------------------------------------------------------------------------------------------

in_file "engine/store.c"

bug("a_rotation_claims_nothing", "marks", [[fj_store_claim(db); /* where it has failed after a commit */]], "")

bug("a_close_claims_nothing", "marks", [[fj_store_claim(db);]], "", "fj_store_close(")

bug("poison_is_ignored", "faults",
  [[if (db->poisoned || db->active == NULL)]], [[if (db->active == NULL)]])

bug("a_failed_sync_is_no_poison", "faults",
  [[else db->poisoned = true;]], "", "fj_store_sync(")

bug("what_an_open_has_left_is_not_synced", "checkpoint",
  [[if (active->mark == active->tail && !active->unsettled) return FREYJA_OK;]],
  [[if (active->mark == active->tail) return FREYJA_OK;]])

bug("a_failed_rotation_is_no_poison", "faults", [[if (poison) db->poisoned = true;]], "", "fj_store_begin_segment(")

bug("a_failed_claim_is_no_poison", "faults", [[if (poison) db->poisoned = true;]], "", "fj_store_claim(")

bug("a_directory_that_is_not_synced_is_no_poison", "crash",
  [[if (index->pool.unsure) db->poisoned = true;]], "")

bug("an_uncertain_manifest_is_no_poison", "faults",
  [[if (replaced) db->poisoned = true; /* either of the two may be there after a crash */]], "")

bug("a_failed_rotation_keeps_its_entry", "faults", [[manifest->count--;]], "")

bug("a_failed_rotation_keeps_its_size", "faults", [[if (last != NULL) last->size = last_size;]], "")

bug("a_sealed_segment_is_too_long", "model",
  [[last->size = sealed->tail > sealed->mark ? sealed->tail : sealed->mark;]],
  [[last->size = sealed->tail + 8;]])

bug("what_was_lost_is_forgotten", "damage",
  [[last->size = sealed->tail > sealed->mark ? sealed->tail : sealed->mark;]],
  [[last->size = sealed->tail;]])

bug("rotation_does_not_seal", "crash", [[status = fj_segment_trim(last, &poison, error);]], "")

bug("closing_does_not_sync", "crash",
  [[freyja_status status = fj_segment_finish(db->active, error);]],
  [[freyja_status status = FREYJA_OK;]])

bug("closing_keeps_the_lock", "open",
  [[if (db->lock_file >= 0) (void)os->close(os->context, db->lock_file);]], "")

bug("a_forked_child_closes_for_its_parent", "capi",
  [[if (db->active != NULL && fj_store_is_process(db))]], [[if (db->active != NULL)]])

bug("an_empty_segment_is_rotated", "api",
  [[if (status != FREYJA_OK || db->active->tail == FJ_SEGMENT_HEADER) return status;]],
  [[if (status != FREYJA_OK) return status;]])

in_file "engine/store.h"

bug("a_fork_is_not_noticed", "capi",
  [[if (db->gate != NULL) return *db->gate == 1;]], [[return true;]])

-- Writing ------------------------------------------------------------------------------------------------

in_file "engine/write.c"

bug("a_key_may_be_longer", "limits",
  [[if (size <= FREYJA_KEY_SIZE_MAX) return FREYJA_OK;]],
  [[if (size <= FREYJA_KEY_SIZE_MAX + 1) return FREYJA_OK;]])

bug("a_tombstone_may_be_too_long", "limits",
  [[if (status == FREYJA_OK) status = fj_store_check_sizes(db, 0, key_size, 0, error);]],
  [[if (status == FREYJA_OK) status = check_key(db, key_size, error);]])

bug("a_record_may_be_longer", "limits",
  [[if (value_size <= room && fj_record_size(flags, key_size, value_size) <= room)]],
  [[if (value_size <= room && fj_record_size(flags, key_size, value_size) <= room + 8)]])

bug("a_record_must_be_shorter", "limits",
  [[if (value_size <= room && fj_record_size(flags, key_size, value_size) <= room)]],
  [[if (value_size <= room && fj_record_size(flags, key_size, value_size) < room)]])

bug("timestamps_stand_still", "system",
  [[draft->timestamp = now > last ? now : last + 1;]], [[draft->timestamp = now;]])

bug("the_interval_never_ends", "system",
  [[if (!clean && now - db->last_sync < (uint64_t)db->options.sync_ms * 1000) return FREYJA_OK;]],
  [[if (!clean) return FREYJA_OK;]])

bug("the_interval_is_in_seconds", "system",
  [[if (!clean && now - db->last_sync < (uint64_t)db->options.sync_ms * 1000) return FREYJA_OK;]],
  [[if (!clean && now - db->last_sync < (uint64_t)db->options.sync_ms * 1000000) return FREYJA_OK;]])

bug("always_is_never", "crash",
  [[if (status == FREYJA_OK && db->options.sync_mode == FREYJA_SYNC_ALWAYS) {]], [[if (0) {]])

bug("it_syncs_before_it_appends", "crash",
  [[if (status == FREYJA_OK) status = fj_segment_append(active, draft, &poison, error);
  if (status == FREYJA_OK && db->options.sync_mode == FREYJA_SYNC_ALWAYS) {
    db->syncs++;
    status = fj_segment_sync(active, offset + size, error);
    poison = status != FREYJA_OK;
  }]],
  [[if (status == FREYJA_OK && db->options.sync_mode == FREYJA_SYNC_ALWAYS) {
    db->syncs++;
    status = fj_segment_sync(active, offset + size, error);
    poison = status != FREYJA_OK;
  }
  if (status == FREYJA_OK) status = fj_segment_append(active, draft, &poison, error);]])

bug("it_publishes_what_it_could_not_sync", "faults",
  [[if (status == FREYJA_OK) publish(db, draft, found, is_new, offset, size); /* D2 */]],
  [[if (status == FREYJA_OK || poison) publish(db, draft, found, is_new, offset, size);]])

bug("a_write_that_failed_is_no_poison", "faults", [[if (poison) db->poisoned = true;]], "")

bug("iterators_are_not_told", "model", [[if (!is_new && db->iterators.first != NULL)]], [[if (0)]])

bug("iterators_have_no_room", "model",
  [[if (status == FREYJA_OK && !is_new && db->iterators.first != NULL)
  status = fj_iterators_reserve(&db->iterators, 1, error);]],
  "")

bug("a_deleted_key_stays", "model", [[fj_index_delete(&db->index, found->place);]], "")

bug("collisions_are_not_flagged", "collision", [[if (found->collides)]], [[if (0)]])

bug("insert_overwrites", "api",
  [[if (is_new || (status == FREYJA_OK && fj_index_is_due(&db->index, &found)))]],
  [[if (!freyja_is_fault(status))]])

bug("cas_compares_a_prefix", "api",
  [[bool equal = found->record.value_size == expected->size &&]],
  [[bool equal = found->record.value_size >= expected->size &&]])

bug("cas_deletes_what_is_absent", "api",
  [[bool writes = desired != NULL || !absent; /* what is absent needs no tombstone */]],
  [[bool writes = true;]])

bug("cas_does_not_check_the_value", "damage",
  [[freyja_status status = fj_index_check_value(&db->index, found, error);]],
  [[freyja_status status = FREYJA_OK;]])

bug("doubt_does_not_stop_an_insert", "damage",
  [[return proof == FREYJA_OK ? status : proof;]], [[return status;]])

-- Reading ------------------------------------------------------------------------------------------------

in_file "engine/read.c"

bug("a_get_does_not_check_the_value", "damage",
  [[if (status == FREYJA_OK && whole) status = fj_index_check_value(&db->index, found, error);]],
  "")

bug("a_get_is_never_in_doubt", "damage", [[if (proof != FREYJA_OK) return proof;]], "")

bug("a_get_fills_more_than_there_is", "capi",
  [[if (size <= capacity && size > 0) memcpy(buffer, found.record.value, size);]],
  [[if (size > 0) memcpy(buffer, found.record.value, size);]])


bug("a_view_s_block_is_leaked", "faults", [[block->os->release(block->os->context, block);]], "")

in_file "engine/look.c"

bug("a_view_holds_nothing", "capi", [[fj_segment_retain(segment);]], "")
