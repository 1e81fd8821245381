--- Bugs in what merges segments.

local in_file, bug = ...

in_file "engine/rewrite.c"

bug("a_moved_tombstone_is_not_flagged", "plans",
  [[if (collides) draft.flags |= FJ_FLAG_COLLIDES;]], [[(void)collides;]])

bug("a_copy_loses_its_flag", "merge",
  [[.kind = FJ_KIND_PUT,
  .flags = record->flags & (FJ_FLAG_COLLIDES | FJ_FLAG_EXPIRES)};]],
  [[.kind = FJ_KIND_PUT};]])

bug("a_copy_gets_a_new_timestamp", "merge",
  [[.timestamp = record->timestamp,
  .expiry = fj_record_expiry(record),]],
  [[.timestamp = record->timestamp + 1,
  .expiry = fj_record_expiry(record),]])

bug("expired_values_are_merged_away", "merge",
  [[if (record->kind == FJ_KIND_TOMBSTONE || fj_record_is_due(record, now)) {]],
  [[(void)now;
  if (record->kind == FJ_KIND_TOMBSTONE) {]])

bug("tombstones_are_never_needed", "merge",
  [[if (!fj_lower_may_hold(rewrite, key_hash, record->timestamp)) return FREYJA_OK; /* W4 */]],
  [[if (!draft.key_hash || draft.kind) return FREYJA_OK; /* W4 */]])

bug("tombstones_are_always_needed", "rewrite",
  [[if (!fj_lower_may_hold(rewrite, key_hash, record->timestamp)) return FREYJA_OK; /* W4 */]],
  [[if (rewrite->state == FJ_REWRITE_DONE) return FREYJA_OK; /* W4 */]])

bug("a_tombstone_of_what_is_back_is_kept", "merge",
  [[if (status == FREYJA_OK && !back)]], [[if (status == FREYJA_OK)]])

bug("merges_copy_values_unseen", "rewrite",
  [[if (status == FREYJA_OK && !rewrite->waits)
  status = fail_record(rewrite, "a value", error);]],
  [[rewrite->waits = true;]])

bug("damaged_segments_are_merged", "rewrite",
  [[if (!segment->damaged && !(index->has_unknown && index->unknown_rank >= segment->rank))]],
  [[if (!(index->has_unknown && index->unknown_rank > segment->rank))]])

bug("segments_below_damage_are_merged", "rewrite",
  [[if (!segment->damaged && !(index->has_unknown && index->unknown_rank >= segment->rank))]],
  [[if (!segment->damaged)]])

bug("an_id_may_stand_twice", "rewrite",
  [[if (sorted[i] == sorted[i - 1])]], [[if (i > count)]])

bug("two_rewrites_at_once", "rewrite", [[if (db->rewrite != NULL)]], [[if (false)]])

bug("a_long_record_cannot_be_kept", "rewrite",
  [[if (value != NULL && value->size > record->value_size) { /* what is no longer fits */]],
  [[if (value != NULL) {]])

bug("a_changed_value_never_expires", "rewrite",
  [[status = keep_record(rewrite, record, rewrite->key_hash, kept, error);]],
  [[fj_record plain = *record;
  if (value != NULL) plain.flags = record->flags & FJ_FLAG_COLLIDES;
  status = keep_record(rewrite, &plain, rewrite->key_hash, kept, error);]])

bug("merges_keep_what_they_have_read", "bounded",
  [[fj_scan_close(&rewrite->scan);
  rewrite->scanning = false;
  rewrite->current++;]],
  [[rewrite->scanning = false;
  rewrite->current++;]])

in_file "engine/swap.c"

bug("slots_that_did_not_move_are_forgotten", "faults",
  [[rewrite->closed = true;]], [[fj_store_end_rewrite(db); destroy(rewrite);]])

bug("the_log_is_not_synced_before_a_merge_counts", "crash",
  [[if (status == FREYJA_OK) status = fj_store_sync(db, error); /* W2 */]], "")

bug("merged_files_are_not_retired", "crash",
  [[made->retired[made->retired_count++] = rewrite->inputs[i]->id;]], [[(void)made;]])

bug("a_merge_forgets_older_retired_files", "rewrite",
  [[made->retired[made->retired_count++] = old->retired[i];]], [[(void)made;]])

bug("what_was_written_since_moves_back", "merge",
  [[if (segment == NULL || !segment->retired) return false;]], [[if (segment == NULL) return false;]])

bug("slots_of_expired_keys_move_to_copies_of_others", "rewrite",
  [[if (index->keydir.hash_mask != UINT64_MAX && fj_word_expires(slot->word)) return false;]], "")

bug("slots_move_to_copies_of_other_keys", "merge",
  [[return fj_index_is_sure(slot, copy->flags);]], [[return copy->size > 0;]])

bug("no_slot_is_left_for_the_second_pass", "merge",
  [[left = left || rewrite->inputs[i]->live_keys > 0;]], [[left = false;]])

bug("dropped_records_stay", "merge",
  [[else status = delete_slot(rewrite, &record, place, error);]],
  [[else if (record.size == 0) status = delete_slot(rewrite, &record, place, error);]])

bug("iterators_are_not_told_of_dropped_records", "merge",
  [[fj_iterators_note(&db->iterators, rewrite->scan.segment, rewrite->scan.offset,
  record->timestamp);]], [[(void)record;]])

in_file "engine/segments.c"

bug("files_go_that_iterators_read", "merge",
  [[if (!segment->retired || segment->pins > 0 || segment->live_keys > 0) return false;]],
  [[if (!segment->retired || segment->live_keys > 0) return false;]])

bug("files_shrink_under_a_view", "retired",
  [[if (fj_observe(&segment->references) > 1 || segment->linked) return false;]],
  [[if (segment->linked) return false;]])

bug("files_shrink_under_a_child", "retired",
  [[if (os->forks(os->context) != index->forks) return false;]], "")

bug("large_files_go_at_once", "rewrite",
  [[if (!all && shorten(index, segment, name)) return true;]], [[(void)shorten;]])

bug("an_earlier_backup_is_cut", "rewrite",
  [[bool large = os->stat(os->context, file, &st) == 0 && st.regular && st.links == 1 &&]],
  [[bool large = os->stat(os->context, file, &st) == 0 && st.regular &&]])

bug("what_others_read_is_cut", "rewrite",
  [[if (os->is_locked(os->context, index->dir->fd, true) != 0) return false;]], "", "shorten")

bug("outputs_come_first", "merge", [[if (!index->ranks[i]->retired) index->ranks[kept++] = index->ranks[i];]],
  [[if (!index->ranks[i]->retired && i > last) index->ranks[kept++] = index->ranks[i];]])

in_file "engine/iterator.c"

bug("iterators_lose_what_was_moved", "merge",
  [[if (!*live && moved) status = is_record(it, place.slot, record, live, error);]],
  [[if (!*live && moved && it->list == NULL) status = is_record(it, place.slot, record, live, error);]])

bug("iterators_trust_ranks_after_a_merge", "merge",
  [[if (it->moves || it->swaps != it->index->swaps) return true;]], "")

bug("an_iterator_made_while_slots_move", "merge",
  [[it->moves = index->retired > 0;]], [[it->moves = false;]])

in_file "engine/leftovers.c"

bug("outputs_of_an_interrupted_merge_stay", "rewrite",
  [[goes = what == FJ_NOT_BEGUN || what == FJ_UNCLAIMED ||]], [[goes = what == FJ_NOT_BEGUN ||]])

bug("what_is_not_claimed_counts", "repair_bare",
  [[if (ours && whole && fj_segment_is_unclaimed(header)) *out = FJ_UNCLAIMED;]], [[if (0) *out = FJ_UNCLAIMED;]])

bug("a_removal_that_was_not_synced_is_relied_on", "crash",
  [[bool removed = remove_again(dir, manifest);]], [[bool removed = true;
  (void)remove_again;]])

bug("retired_files_stay", "rewrite",
  [[(what == FJ_BEGUN && fj_manifest_has_retired(visit->manifest, id));]], [[false;]])

in_file "engine/lua/rewriting.c"

bug("records_do_not_say_that_they_expire", "rewrite",
  [[if (expiry != 0) set_integer(L, "expires", expiry);]], [[(void)expiry;]])

in_file "engine/lower.c"

bug("one_hint_answers_for_all_below", "merge",
  [[if (!open_hint(rewrite, s, &bytes) && lower->before > fj_segment_began(s))]],
  [[if (!open_hint(rewrite, s, &bytes) && lower->count == 0)]])

bug("hints_below_are_not_asked", "rewrite",
  [[timestamp > lower->hints[i].began && fj_hint_may_hold(&lower->hints[i].hint, key_hash);]],
  [[timestamp > lower->hints[i].began && key_hash == 0;]])

bug("no_tombstone_is_left_out", "rewrite",
  [[bool may = timestamp > lower->before;]], [[bool may = timestamp > lower->before || lower->count > 0;]])

in_file "engine/segment.h"

bug("all_files_count_as_merged", "merge",
  [[return merged ? segment->created : 0;]], [[return merged ? segment->created : segment->created;]])

bug("merges_below_do_not_count", "rewrite",
  [[return merged ? segment->created : 0;]], [[return merged ? 0 : 0;]])

in_file "engine/segments.c"

bug("time_before_a_merge_comes_again", "expiry",
  [[if (began > index->last_timestamp) index->last_timestamp = began;]], [[(void)began;]])

in_file "engine/outputs.c"

bug("outputs_are_not_synced", "crash",
  [[status = fj_segment_trim(output, &poison, error);]], [[(void)poison;]])

bug("the_last_block_is_not_written", "rewrite",
  [[freyja_status status = write_block(outputs, error);
  if (status != FREYJA_OK) return status;
  status = fj_segment_trim(output, &poison, error);]],
  [[freyja_status status = fj_segment_trim(output, &poison, error);]])

bug("copies_are_sealed_for_another_place", "rewrite",
  [[fj_record_seal(draft, fj_record_seed(output->seed, place));]],
  [[fj_record_seal(draft, fj_record_seed(output->seed, output->tail));]])

bug("outputs_stay_when_they_are_given_up", "merge",
  [[(void)outputs->os->unlink(outputs->os->context, db->dir.fd, name);]],
  [[(void)name;]])

bug("merges_began_later", "merge",
  [[outputs->began = db->index.last_timestamp;]], [[outputs->began = UINT64_MAX;]])

bug("two_merges_begin_at_one_time", "repair_bare",
  [[if (db->index.last_timestamp < UINT64_MAX) db->index.last_timestamp++;]], "")
