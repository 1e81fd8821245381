--- Bugs to plant in the KEYDIR: writing, checking and taking it over; see spec/planted/bugs.lua.

local in_file, bug = ...

-- Format and checks ------------------------------------------------------------------------------

in_file "engine/checkpoint.c"

bug("keydir_header_check_is_not_looked_at", "checkpoint",
  [[if (fj_get64(header + 120) != fj_hash(header, 120, 0))]],
  [[if (fj_get64(header + 120) == 0)]])

bug("keydir_of_another_store_is_used", "checkpoint",
  [[for (unsigned i = 0; i < FJ_CHECKPOINT_HEADER; i += 8)]],
  [[for (unsigned i = 0; i < 16; i += 8)]])

bug("keydir_tables_are_not_checked", "checkpoint",
  [[if (fj_hash(c->tables, size, 0) != fj_get64(header + 88))]],
  [[if (fj_get64(header + 88) == 0)]])

bug("keydir_shards_are_not_checked", "checkpoint",
  [[if (check == fj_checkpoint_get_shard(c, number).check) return FREYJA_OK;]],
  [[if (check != 0) return FREYJA_OK;]])

bug("keydir_shards_without_keys_are_not_checked", "damage",
  [[if (check == fj_checkpoint_get_shard(c, number).check) return FREYJA_OK;]],
  [[fj_checkpoint_shard shard = fj_checkpoint_get_shard(c, number);
    if (shard.count == 0 || check == shard.check) return FREYJA_OK;]])

bug("keydir_may_be_longer", "checkpoint",
  [[if (c->size != file_size(head))]], [[if (c->size < file_size(head))]])

-- Writing ------------------------------------------------------------------------------------------

in_file "engine/segment.c"

bug("keydir_is_ahead_of_its_slots", "checkpoint",
  [[fj_known known = {.size = segment->tail, .created = segment->created, .kind = segment->kind};]],
  [[fj_known known = {.size = segment->mark + 8, .created = segment->created, .kind = segment->kind};]])

in_file "engine/checkpointer.c"

bug("keydir_forgets_what_has_expired", "checkpoint",
  [[w->head.swept = index->swept;]], [[w->head.swept = 0;]])

bug("keydir_is_not_synced", "faults", [[code = fj_sync(os, w->file);]], [[code = 0;]])

in_file "engine/maintain.c"

bug("keydir_is_ahead_of_the_mark", "faults",
  [[status = confirm_mark(db, error);]], [[status = FREYJA_OK;]])

bug("keydir_hides_damage", "checkpoint",
  [[if (damaged != NULL)]], [[if (damaged != NULL && db->poisoned)]])

bug("closing_hides_damage", "checkpoint",
  [[if (find_damaged(index) != NULL || !has_moved(index)) return;]],
  [[if (!has_moved(index)) return;]])

bug("keydir_is_written_at_each_close", "checkpoint",
  [[if (uncovered < WORTH) return;]], [[if (uncovered == 0) return;]])

bug("keydir_is_not_renewed", "checkpoint",
  [[bool covered = count_uncovered(index) == 0 && !index->strangers;]],
  [[bool covered = index->covered_id != 0 && !index->strangers;]])

in_file "engine/swap.c"

bug("merges_leave_the_keydir", "checkpoint",
  [[if (covered == NULL || rewrite->inputs[0]->rank > covered->rank) return;]],
  [[if (covered == NULL || rewrite->inputs[0]->rank < UINT32_MAX) return;]])

-- Taking it over -----------------------------------------------------------------------------------

in_file "engine/adopt.c"

bug("keydir_of_other_segments_is_used", "checkpoint",
  [[if (!is_prefix(c, manifest))]], [[if (c->head.segments > manifest->count)]])

bug("keydir_ahead_of_the_log_is_used", "checkpoint",
  [[return covered->file.size <= segment->mark && covered->file.size <= segment->reserved;]],
  [[return covered->file.size <= segment->reserved;]])

bug("keydir_of_another_log_is_used", "checkpoint",
  [[if (status == FREYJA_OK && check != c->head.last)]],
  [[if (status == FREYJA_OK && check == 0)]])

bug("keydir_slots_are_not_bounded", "checkpoint",
  [[if (wrong == NULL && !words.possible) wrong = "a slot points to what cannot be a record";]],
  [[if (wrong == NULL && words.possible) wrong = NULL;]])

bug("expired_keys_are_missed", "checkpoint",
  [[fj_clock_raise(&index->clock, index->swept);]], [[(void)index->swept;]])

bug("damaged_shards_are_empty", "checkpoint",
  [[if (status != FREYJA_OK || index->keydir.absent == 0) close_checkpoint(index);]],
  [[if (index->keydir.absent == 0) close_checkpoint(index);
    if (status != FREYJA_OK && index->recovered) return FREYJA_OK;]])

in_file "engine/index.c"

bug("absent_shards_are_not_brought", "checkpoint",
  [[freyja_status status = fj_keydir_ready(&index->keydir, masked, error);]],
  [[freyja_status status = FREYJA_OK;]])

in_file "engine/recovery.c"

bug("the_log_behind_the_keydir_is_not_read", "checkpoint",
  [[if (segment->tail >= end) return FREYJA_OK;]], [[if (segment->tail > 0) return FREYJA_OK;]])

-- Recognizing data files ---------------------------------------------------------------------------

in_file "engine/segment.c"

bug("a_file_that_was_changed_is_recognized", "recognized",
  [[return a->number == b->number && a->changed == b->changed;]],
  [[return a->number == b->number;]])

bug("any_file_is_noted_as_the_stores_own", "recognized",
  [[if (st.regular && st.size == known.size && is_same(&sign, &segment->sign)) known.sign = sign;]],
  [[if (st.regular && st.size == known.size) known.sign = sign;]])

bug("a_file_is_not_looked_at_when_it_is_opened_late", "recognized",
  [[if (segment->unopened) status = check_met(segment, name, error);]],
  [[if (segment->unopened && segment->missing) status = check_met(segment, name, error);]])

bug("a_file_that_became_shorter_is_mapped", "recognized",
  [[if (st.number == segment->sign.number && st.size >= segment->limit) return FREYJA_OK;]],
  [[if (st.number == segment->sign.number) return FREYJA_OK;]])

bug("a_read_only_store_opens_files_late", "recognized",
  [[if (pool->readonly || known->sign.changed == 0 || !seen->regular) return FREYJA_OK;]],
  [[if (known->sign.changed == 0 || !seen->regular) return FREYJA_OK;]])

bug("the_sign_of_a_claimed_file_is_that_from_before", "recognized",
  [[if (pool == segment->pool) fj_segment_sign(segment, file);]], [[]])

in_file "engine/maintain.c"

bug("keydir_that_knows_no_files_stays", "recognized",
  [[bool covered = count_uncovered(index) == 0 && !index->strangers;]],
  [[bool covered = count_uncovered(index) == 0;]])

in_file "engine/adopt.c"

bug("headers_are_not_read_where_files_are_retired", "recognized",
  [[bool known = manifest->seen != NULL && covered.id < fj_manifest_oldest_retired(manifest);]],
  [[bool known = manifest->seen != NULL;]])
