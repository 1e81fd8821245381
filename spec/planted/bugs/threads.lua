--- Bugs to plant where threads share a store; see spec/planted/bugs.lua.

local in_file, bug = ...

in_file "engine/keydir.c"

bug("a_deletion_is_not_told_to_searches", "keydir",
  [[fj_publish(&shard->version, shard->version + 2);]], [[(void)shard;]])

bug("a_region_goes_that_is_searched", "threads",
  [[if (fj_guard_is_past(keydir->guard, region->retired)) {]], [[if (region->retired != 1) {]])

in_file "engine/seek.c"

bug("a_search_in_vain_is_believed", "threads",
  [[if (fj_seek_is_sure(&seek)) return FJ_SOUGHT_ABSENT;]], [[return FJ_SOUGHT_ABSENT;]])

bug("searches_do_not_wait_for_a_commit", "threads",
  [[if (is_barred(index)) return FJ_SOUGHT_UNSURE;]], [[(void)is_barred;]])

in_file "engine/look.c"

bug("a_reader_says_nothing", "threads", [[fj_guard_begin(&db->share->guard, &db->reader);]], "")

bug("a_reader_leaves_too_early", "threads",
  [[if (sought != FJ_SOUGHT_FOUND) fj_guard_end(&db->reader);]], [[fj_guard_end(&db->reader);]])

in_file "engine/segments.c"

bug("a_merged_segment_goes_that_is_read", "threads",
  [[return fj_guard_is_past(index->guard, segment->left);]], [[return segment->left > 0;]])

in_file "engine/commit.c"

bug("a_part_of_a_commit_is_seen", "threads",
  [[if (group->records > 1) fj_index_bar(&db->index, FJ_BAR_COMMIT);]], "")

in_file "engine/load.c"

bug("a_part_of_a_load_is_seen", "threads",
  [[for (uint32_t i = 0; i < load->out.count; i++) load->out.list[i]->hidden = true; /* Z1 */]], "")

in_file "engine/share.c"

bug("a_second_handle_does_not_wait", "threads",
  [[return fj_observe(&share->handles->busy) == 0;]], [[return true;]])

bug("an_idle_store_is_not_synced", "threads",
  [[if (due > 0) return due;]], [[if (due < UINT64_MAX) return due + AGAIN;]])

bug("a_handle_leaves_what_it_has_opened", "open", [[child->end(child);]], "")

bug("options_that_disagree_are_taken", "open",
  [[if (what == NULL) return FREYJA_OK;]], [[if (what != error->path) return FREYJA_OK;]])

in_file "engine/rewrite.c"

bug("a_rewrite_that_gives_way_takes_the_record_along", "capi",
  [[if (rewrite->waits) fj_rewrite_leave_lent(rewrite);]], [[if (rewrite->waits) fj_store_end_rewrite(db);]])

in_file "engine/group.c"

bug("a_group_ends_before_its_sync", "threads",
  [[if (status == FREYJA_OK) status = fj_commit(store, local, &fault);]],
  [[if (status == FREYJA_OK) (void)fj_commit(store, local, &fault);]])

bug("writes_wait_for_the_disk_one_by_one", "threads",
  [[if (end == first || end == first->next) {]], [[if (end != NULL || first != NULL) {]])

bug("a_deletion_in_a_group_is_always_told_as_done", "threads",
  [[return edit->is_skipped ? FREYJA_NOTFOUND : FREYJA_OK;]], [[return edit == NULL ? FREYJA_NOTFOUND : FREYJA_OK;]])

in_file "engine/swap.c"

bug("a_closed_handle_takes_its_merge_along", "open",
  [[if (goes_on && fj_store_settle(db, NULL) != FREYJA_OK) bequeath(rewrite);]],
  [[if (goes_on && rewrite->state > FJ_REWRITE_DONE) bequeath(rewrite);]])

bug("a_merge_that_another_goes_on_with_takes_a_timestamp", "behind",
  [[fj_outputs_forget(&rewrite->out);]], [[fj_outputs_open(&rewrite->out, db, rewrite->out.doing);]])

bug("a_merge_that_is_through_has_made_no_segments", "behind",
  [[out->outputs = rewrite->out.made;]], [[out->outputs = rewrite->out.count;]])

in_file "engine/behind.c"

bug("a_block_that_failed_counts_as_written", "behind",
  [[freyja_status status = behind->status;]], [[freyja_status status = FREYJA_OK;]])

bug("nobody_waits_for_a_block", "behind",
  [[while (behind->segment != NULL) (void)pthread_cond_wait(&behind->changed, &behind->lock);]], "")

in_file "engine/outputs.c"

bug("records_are_gathered_where_others_are_written", "behind",
  [[outputs->block = outputs->written_block;
  outputs->written_block = full;]], "")

bug("a_block_is_handed_over_before_the_last_is_written", "behind",
  [[freyja_status status = wait_for_block(outputs, error);]], [[freyja_status status = FREYJA_OK;]],
  "pass_block")

bug("a_block_is_kept_for_a_thread_that_there_is_not", "behind",
  [[os->release(os->context, outputs->written_block);
  outputs->written_block = NULL;]], "", "has_behind(")

bug("a_thread_stays_when_all_is_written", "behind",
  [[if (status == FREYJA_OK) end_blocks(outputs);]], "")
