--- Bugs in what makes several writes one.

local in_file, bug = ...

in_file "engine/commit.c"

bug("a_transaction_does_not_say_that_there_is_more", "atomic",
  [[if (offset + size < end) draft.flags |= FJ_FLAG_MORE; /* M1 */]], [[(void)end;]])

bug("a_commit_is_not_synced", "atomic",
  [[status = fj_segment_sync(db->active, db->active->tail + group->bytes, error);]], "")

bug("slots_of_a_failed_commit_stay", "faults",
  [[if (status != FREYJA_OK) remove_slots(group); /* M2 */]], [[(void)remove_slots;]])

bug("what_a_failed_commit_wrote_stays", "faults",
  [[if (status != FREYJA_OK && !fj_segment_withdraw(active)) group->db->poisoned = true;]], "")

bug("what_is_not_there_is_deleted", "transaction",
  [[edit->is_skipped = edit->is_new || fj_index_is_due(index, &found);]],
  [[edit->is_skipped = false;]])

bug("iterators_do_not_hear_of_a_commit", "model",
  [[if (!edit->is_new && db->iterators.first != NULL)
  fj_iterators_note(&db->iterators, index->slots[fj_word_segment(edit->old_word)],
  fj_word_offset(edit->old_word), edit->old_stamp);]], "")

bug("timestamps_go_on_before_a_commit", "transaction",
  [[index->last_timestamp = edit->timestamp;]], "")

bug("new_keys_of_one_hash_are_not_flagged", "atomic",
  [[edit->flags |= FJ_FLAG_COLLIDES;
  edit->word |= FJ_WORD_COLLIDES;]], "", "place_slot(")

bug("what_a_reading_brings_back_is_not_seen", "revived",
  [[if (status == FREYJA_OK && readings != index->readings) {]], [[if (readings > index->readings) {]])

bug("a_transaction_needs_no_new_segment", "format",
  [[if (status == FREYJA_OK && !fj_segment_fits(db->active, group->bytes))
  status = fj_store_begin_segment(db, error);]], "", "find_room(")

bug("what_was_cut_comes_back_behind_a_transaction", "uncut",
  [[if (status == FREYJA_OK && db->active->unsettled) status = fj_store_sync(db, error);]], "")

in_file "engine/intake.c"

bug("half_a_transaction_is_taken", "atomic",
  [[if (!*ends && !damage) status = ends_within(intake, scan, record, ends, error);]],
  [[(void)ends_within;]])

bug("each_record_begins_a_transaction_for_the_reader", "atomic",
  [[bool first = (record->flags & FJ_FLAG_MORE) != 0 && scan->offset >= intake->whole_until;]],
  [[bool first = scan->offset == FJ_SEGMENT_HEADER;]])

in_file "engine/inspect.c"

bug("a_repair_takes_half_a_transaction", "transaction",
  [[freyja_status status = ends_within(in, record, ends, error);]], [[freyja_status status = FREYJA_OK;
  (void)ends_within;]])

in_file "engine/scan.c"

bug("values_of_a_transaction_are_not_looked_at", "atomic",
  [[if (*whole) status = fj_scan_value(&scan, &record, whole, error);]], "")

in_file "engine/rewrite.c"

bug("a_copy_says_that_there_is_more", "format",
  [[.kind = FJ_KIND_PUT,
  .flags = record->flags & (FJ_FLAG_COLLIDES | FJ_FLAG_EXPIRES)};]],
  [[.kind = FJ_KIND_PUT,
  .flags = record->flags};]])

in_file "engine/local.c"

bug("a_loop_sees_what_it_writes", "transaction",
  [[while (number != FJ_NO_EDIT && number >= end) number = local->edits[number]->earlier;]], [[(void)end;]])

bug("what_a_loop_has_replaced_is_given_twice", "transaction",
  [[if (edit->later == FJ_NO_EDIT || edit->later >= end) return edit;]], [[return edit;]])

bug("edits_are_not_counted", "transaction",
  [[local->bytes = fj_local_bytes_with(local, key, head->hash, fj_edit_size(edit));]], "")

in_file "engine/transaction.c"

bug("broken_reads_are_no_conflict", "transaction",
  [[if (tx->is_broken || expired || (any && tx->alterations != db->alterations))]],
  [[if (expired || (any && tx->alterations != db->alterations))]])

bug("an_expired_read_is_no_conflict", "luastate",
  [[if (tx->is_broken || expired || (any && tx->alterations != db->alterations))]],
  [[(void)expired;
  if (tx->is_broken || (any && tx->alterations != db->alterations))]])

bug("a_changed_value_is_no_conflict", "transaction",
  [[if (tx->is_broken || expired || (any && tx->alterations != db->alterations))]],
  [[(void)any;
  if (tx->is_broken || expired)]])

bug("reads_are_not_validated", "transaction",
  [[return timestamp == read->read ? FREYJA_OK : fail_conflict(db, error);]],
  [[return timestamp == read->read || read->hash ? FREYJA_OK : fail_conflict(db, error);]])

bug("what_was_absent_is_not_read", "transaction",
  [[uint64_t timestamp = status == FREYJA_OK ? record->timestamp : 0;]],
  [[uint64_t timestamp = status == FREYJA_OK ? record->timestamp : 0;
  if (status == FREYJA_NOTFOUND) return status;]], "look(")

bug("each_write_breaks_each_loop", "transaction",
  [[if (key_size >= range->size &&
  (range->size == 0 || memcmp(key, range->bytes, range->size) == 0))]],
  [[if (key_size + 1 > 0 || key != NULL)]])

bug("a_transaction_shows_what_it_has_deleted", "transaction",
  [[if (seen->edit != NULL) return seen->edit->kind == FJ_KIND_PUT ? FREYJA_OK : FREYJA_NOTFOUND;]],
  [[if (seen->edit != NULL) return FREYJA_OK;]])

bug("a_transaction_outgrows_its_segment", "transaction", [[if (all > room)]], [[if (all > 2 * room)]])

in_file "engine/iterator.c"

bug("a_loop_does_not_know_the_overlay", "transaction",
  [[if (*wanted && it->overlay.self != NULL)
  *wanted = it->overlay.shows(it->overlay.self, record, key_hash);]], "")

in_file "lua/freyja/transaction.lua"

bug("a_conflict_is_retried_once_too_often", "transaction",
  [[for left = options.retries or 0, 0, -1 do]], [[for left = (options.retries or 0) + 1, 0, -1 do]])

-- Bulk loads ------------------------------------------------------------------------------------------------

in_file "engine/load.c"

bug("a_load_is_not_sealed", "atomic",
  [[freyja_status status = fj_outputs_finish(&load->out, error);
  if (status == FREYJA_OK && db->active->tail > FJ_SEGMENT_HEADER)]],
  [[freyja_status status = FREYJA_OK;
  if (status == FREYJA_OK && db->active->tail > FJ_SEGMENT_HEADER)]])

bug("a_load_comes_below_what_was_written_before", "load",
  [[if (status == FREYJA_OK && db->active->tail > FJ_SEGMENT_HEADER)
  status = fj_store_begin_segment(db, error);]], "")

bug("slots_of_a_failed_load_stay", "faults", [[remove_slots(load);]], [[(void)remove_slots;]])

bug("the_first_of_several_values_counts", "load",
  [[load->replaced[i - 1].new_word = word;]], "")

bug("loaded_keys_of_one_hash_are_not_flagged", "load",
  [[if (status == FREYJA_OK && found.collides) status = flag(load, &own, &word, error);]], [[(void)flag;]])

bug("iterators_do_not_hear_of_a_load", "load",
  [[fj_iterators_note(&db->iterators, index->slots[fj_word_segment(r->old_word)],
  fj_word_offset(r->old_word), r->timestamp);]], "")

bug("time_does_not_go_on_behind_a_load", "load", [[index->last_timestamp = load->timestamp;]], "")

bug("loops_of_transactions_do_not_hear_of_a_load", "load",
  [[if (db->watches > 0) fj_store_break_watches(db);]], "")

in_file "engine/entries.c"

bug("entries_are_not_sorted", "load", [[sort_by_insertion(*out, count);]], [[(void)sort_by_insertion;]])

in_file "engine/store.c"

bug("writes_beside_a_load_are_taken", "load",
  [[if (status != FREYJA_OK || db->load == NULL) return status;]], [[return status;]])
