--- Bugs to plant in hint files: writing, checking and loading them; see spec/planted/bugs.lua.

local in_file, bug = ...

-- Format and checks ------------------------------------------------------------------------------

in_file "engine/hint.c"

bug("hint_header_check_is_not_looked_at", "hint",
  [[if (fj_get64(header + 120) != fj_hash(header, 120, 0))]],
  [[if (fj_get64(header + 120) == 0)]])

bug("hint_entries_check_is_not_looked_at", "hint",
  [[if (progress.check != check)]], [[if (progress.check == 0 && check != 0)]])

bug("hint_of_another_file_is_used", "hint",
  [[for (unsigned i = 0; i < FJ_HINT_HEADER; i += 8)]],
  [[for (unsigned i = 0; i < 16; i += 8)]])

bug("hint_blocks_are_searched_wrongly", "hints",
  [[if (key_hash >= least) *low = key_hash > most ? end : hint->first;]],
  [[if (key_hash >= least) *low = end;]])

bug("near_hashes_are_taken", "hints",
  [[if (!later || near || !fj_hint_is_possible(entry.word, progress->covered)) return i;]],
  [[if (!later || !fj_hint_is_possible(entry.word, progress->covered)) return i;]])

in_file "engine/hint.h"

bug("hint_entries_reach_beyond_the_end", "hints",
  [[size >= fj_record_prefix(fj_hint_flags(word)) && offset + size <= covered;]],
  [[size >= fj_record_prefix(fj_hint_flags(word)) && offset <= covered;]])

-- What is gathered -------------------------------------------------------------------------------

in_file "engine/gather.c"

bug("keys_of_one_hash_are_one_key", "hints",
  [[*same = x->key.size == y->key.size && memcmp(x->key.data, y->key.data, x->key.size) == 0;]],
  [[*same = true;]])

bug("first_record_of_a_key_stays", "hint",
  [[memmove(&g->entries[i - 1], &g->entries[i], (g->kept - i) * sizeof entry);]],
  [[entry = g->entries[i - 1];]])

bug("upper_hashes_are_lost", "hints",
  [[if (g->high == UINT64_MAX) {]], [[if (g->high == UINT64_MAX || !g->first) {]])

bug("a_cut_leaves_out_an_entry", "hints",
  [[g->high = entries[keep].hash - 1;]], [[g->high = entries[keep].hash;]])

bug("damaged_value_gets_a_hint", "hint",
  [[if (!valid) return fail_damaged(g, g->scan.offset, "a value", error);]], "")

-- What is written --------------------------------------------------------------------------------

in_file "engine/hintwriter.c"

bug("hint_is_not_synced", "faults", [[int code = fj_sync(os, w->file);]], [[int code = 0;]])

bug("hint_temporary_is_left", "hints",
  [[(void)os->unlink(os->context, w->segment->pool->dir->fd, name);]], "")

-- What is loaded ---------------------------------------------------------------------------------

in_file "engine/apply.c"

bug("hint_slots_are_not_looked_at", "hints",
  [[bool may_be_sure = !by_hint || keydir->hash_mask == UINT64_MAX;]], [[bool may_be_sure = true; (void)by_hint;]])

bug("hint_deletes_nothing", "hint", [[if (same) fj_index_delete(index, place);]], "")

in_file "engine/hinted.c"

bug("newer_hints_come_first", "hint",
  [[status = apply_below(group, range, i, why);]],
  [[status = apply_below(group, range, group->count - 1 - i, why);]])

bug("the_last_entries_are_left_out", "hint",
  [[ranges[0] = (fj_range){.high = UINT64_MAX, .bound = step, .step = step};]],
  [[ranges[0] = (fj_range){.high = step / 2, .bound = step / 2, .step = step};]])

bug("hint_has_no_timestamps", "hint",
  [[if (counts->newest > index->last_timestamp) index->last_timestamp = counts->newest;]], "")

bug("what_threads_leave_is_forgotten", "plain",
  [[for (uint32_t i = 0; i < count && status == FREYJA_OK; i++)
    status = apply_range(group, &ranges[i], why);]],
  [[for (uint32_t i = 0; count == 1 && i < count && status == FREYJA_OK; i++)
    status = apply_range(group, &ranges[i], why);]])

in_file "engine/estimate.c"

bug("more_keys_are_expected_than_entries", "batch",
  [[return more < (double)estimate->entries ? (uint64_t)more : estimate->entries;]],
  [[return (uint64_t)more;]])

in_file "engine/part.c"

bug("a_thread_does_not_count_keys", "plain", [[index->keydir.count += part->added;]], "")

bug("what_threads_replace_stays_live", "plain",
  [[count_out(part, place.slot->word);
  count_in(part, entry->word);]], [[count_in(part, entry->word);]])

bug("threads_leave_what_was_deleted", "plain", [[if (there) delete_slot(part, place);]], "")

in_file "engine/plain.c"

bug("threads_load_hints_out_of_turn", "plain",
  [[if (!apply_below(errand, i)) return argument;]],
  [[if (!apply_below(errand, errand->group->count - 1 - i)) return argument;]])

in_file "engine/hint.c"

bug("hints_are_forgotten_by_a_keydir", "checkpoint",
  [[os->examine(os->context, segment->pool->dir->fd, name, &st) == 0 && st.regular;]],
  [[os->examine(os->context, segment->pool->dir->fd, name, &st) == 0 && !st.regular;]])

in_file "engine/recovery.c"

bug("a_late_hint_s_fault_stays", "hints",
  [[if (status != FREYJA_OK && sources.hint_fault.status != FREYJA_OK) {]], [[if (status == FREYJA_END) {]])

bug("hint_of_a_damaged_file_is_used", "hint",
  [[if (segment->sealed && !segment->damaged && segment->limit == entry->size)]],
  [[if (segment->sealed && !segment->missing)]])

in_file "engine/folder.c"

bug("a_backup_that_failed_leaves_hints", "hint",
  [[(void)os->unlink(os->context, folder->dir.fd, hint);]], "")

in_file "engine/index.c"

bug("what_comes_back_is_not_flagged", "hints",
  [[found->collides || fj_word_collides(found->word) || revives(&found->place);]],
  [[found->collides || fj_word_collides(found->word);]])

bug("tombstones_have_values", "hints", [[found->record.kind != FJ_KIND_PUT)]], [[false)]])
