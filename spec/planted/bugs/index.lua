--- Bugs to plant in the index, iterators and tools; see spec/planted/bugs.lua.

local in_file, bug = ...

-- The index ------------------------------------------------------------------------------------------------

in_file "engine/index.c"

bug("keys_of_a_size_are_equal", "collision",
  [[return record->key_size == size && (size == 0 || memcmp(record->key, key, size) == 0);]],
  [[return record->key_size == size;]])

bug("a_collision_is_not_noticed", "collision", [[found->collides = true;]], "")

bug("a_flag_is_not_kept", "collision",
  [[found->collides || fj_word_collides(found->word) || revives(&found->place);]],
  [[found->collides || revives(&found->place);]])

in_file "engine/index.h"

bug("flagged_records_are_taken_for_one", "collision",
  [[return alone && (flags & FJ_FLAG_COLLIDES) == 0 && !fj_word_collides(slot->word);]],
  [[return alone && flags <= 255;]])

bug("a_key_gets_two_slots", "forged",
  [[return alone && (flags & FJ_FLAG_COLLIDES) == 0 && !fj_word_collides(slot->word);]],
  [[return (alone || flags == 0) && (flags & FJ_FLAG_COLLIDES) == 0 && !fj_word_collides(slot->word);]])

in_file "engine/apply.c"

bug("equal_hashes_cost_nothing", "collision",
  [[*cost += FJ_COMPARISON + (uint64_t)own.record.key_size;]], "")

bug("passing_slots_costs_nothing", "batch", [[*cost = fj_index_passed(&place, hash);]], "")

bug("pushing_slots_costs_nothing", "batch",
  [[*cost += (uint64_t)(place.gap - place.slot);]], "")

bug("tombstones_are_forgotten", "recovery", [[if (same) fj_index_delete(index, place);]], "")

in_file "engine/batch.c"

bug("the_last_timestamp_is_forgotten", "system",
  [[if (record->timestamp > index->last_timestamp) index->last_timestamp = record->timestamp;]], "")

bug("what_pieces_hold_is_not_counted", "pieces", [[segment->keys += tally->puts;]], "")

bug("pieces_have_no_timestamps", "pieces",
  [[if (segment->oldest == 0 || tally->oldest < segment->oldest) segment->oldest = tally->oldest;]],
  "")

bug("runs_change_places", "pieces",
  [[else batch->last->next = first;
  batch->last = last;]],
  [[else {
    last->next = batch->first;
    batch->first = first;
    return;
  }
  batch->last = last;]])

bug("what_a_thread_leaves_is_not_applied", "pieces",
  [[status = apply_course(batch, errands[i].course, errands[i].done, error);]],
  [[if (errands[i].part == NULL) status = apply_course(batch, errands[i].course, errands[i].done, error);]])

bug("new_keys_are_applied_in_small_lots", "batch", [[if (arena->size >= most) return false;]],
  [[return false;]])

bug("old_keys_are_taken_for_new", "batch",
  [[uint64_t wanted = count_new(batch) * ARENA_KEY * 2;]],
  [[uint64_t wanted = batch->in_runs * ARENA_KEY * 2;]])

in_file "engine/pieces.c"

bug("a_piece_begins_anywhere", "pieces",
  [[if (piece->first != pieces->from || piece->run == NULL) return false;]],
  [[if (piece->run == NULL) return false;]])

bug("pieces_believe_values", "pieces",
  [[return fj_record_check_header(record, seed, *key_hash) &&
         fj_record_check_value(record, seed);]],
  [[return fj_record_check_header(record, seed, *key_hash);]])

bug("tombstones_in_pieces_are_puts", "pieces",
  [[bool gone = !put || (expiry != 0 && is_over(source, expiry, tally));]],
  [[bool gone = expiry != 0 && is_over(source, expiry, tally);]])

bug("pieces_show_what_has_expired", "pieces",
  [[if (tally->soonest == 0 || expiry < tally->soonest) tally->soonest = expiry;]], "")

in_file "engine/intake.c"

bug("what_may_be_torn_is_read_in_pieces", "pieces",
  [[uint64_t whole = segment->sealed || segment->mark > end ? end : segment->mark;]],
  [[uint64_t whole = end;]])

bug("what_was_read_waits_for_hints", "pieces",
  [[return fj_batch_flush(&intake->batch, error); /* N1 */]], [[return FREYJA_OK;]])

in_file "engine/run.c"

bug("records_of_a_hash_change_places", "batch",
  [[for (uint32_t i = 0; i < count; i++)
    run->entries[next[range_of(&entries[i], hash_mask)]++] = entries[i];]],
  [[for (uint32_t i = count; i-- > 0;)
    run->entries[next[range_of(&entries[i], hash_mask)]++] = entries[i];]])

bug("ranges_go_by_the_whole_hash", "collision",
  [[return (uint32_t)((entry->hash & hash_mask) >> (64 - FJ_RANGE_BITS));]],
  [[(void)hash_mask;
  return (uint32_t)(entry->hash >> (64 - FJ_RANGE_BITS));]])

bug("the_last_range_is_not_applied", "batch",
  [[if (course->run == NULL && ++course->range < course->end) course->run = course->first;]],
  [[if (course->run == NULL && ++course->range + 1 < course->end) course->run = course->first;]])

in_file "engine/index.c"

bug("ranks_are_compared_the_wrong_way", "damage",
  [[if (found != NULL && found->segment->rank > index->unknown_rank) return FREYJA_OK;]],
  [[if (found != NULL && found->segment->rank < index->unknown_rank) return FREYJA_OK;]])

bug("equal_ranks_are_in_no_doubt", "damage",
  [[if (found != NULL && found->segment->rank > index->unknown_rank) return FREYJA_OK;]],
  [[if (found != NULL && found->segment->rank >= index->unknown_rank) return FREYJA_OK;]])

bug("what_follows_damage_is_in_doubt", "damage",
  [[found->offset >= index->unknown_end)]], [[found->offset > index->unknown_end)]])

bug("live_bytes_only_grow", "model", [[segment->live_bytes -= fj_word_size(word);]], "")

bug("a_found_block_is_leaked", "faults",
  [[if (found->block != NULL) found->os->release(found->os->context, found->block);]], "")

in_file "engine/keydir.h"

bug("sizes_are_rounded_down", "keydir", [[units = (units + 1) / 2;]], [[units = units / 2;]])

bug("an_insert_overwrites_a_slot", "keydir",
  [[fj_slot_set(slot, slot[-1].hash, slot[-1].word);]], [[(void)slot;]])

in_file "engine/keydir.c"

bug("a_stale_slot_is_kept", "keydir",
  [[fj_publish(&slot->word, 0);
  fj_publish(&slot->hash, 0);]],
  "")

bug("what_was_expected_in_vain_is_kept", "batch",
  [[if (next_capacity((uint32_t)capacity) >= keydir->region.capacity) return;]], [[return;]])

bug("slots_move_before_their_home", "keydir",
  [[while (slot[1].word != 0 && fj_shard_home(place.shard, slot[1].hash) != slot + 1) {]],
  [[while (slot[1].word != 0) {]])

bug("a_shard_has_no_end", "keydir",
  [[if (fj_shard_find_gap(place)) break;]], [[(void)fj_shard_find_gap(place); break;]])

bug("a_larger_shard_is_packed", "keydir", [[if (next < home) next = home;]], "")

bug("a_region_is_leaked", "faults",
  [[if (region->slots != NULL) os->release_pages(os->context, region->slots, region->bytes);]], "")

bug("a_shard_is_given_back_too_early", "keydir",
  [[size_t passed = (size_t)keydir->moved * old->limit * sizeof(fj_slot);]],
  [[size_t passed = ((size_t)keydir->moved + 48) * old->limit * sizeof(fj_slot);]])

-- Iterating ------------------------------------------------------------------------------------------------

in_file "engine/iterator.c"

bug("an_iterator_sees_what_comes_later", "model",
  [[it->pins[it->pin_count++].end = segment->tail;]],
  [[it->pins[it->pin_count++].end = segment->sealed ? segment->tail : segment->reserved;]])

bug("an_iterator_forgets_the_record_before_it", "model",
  [[if (segment == it->scan.segment) return offset >= it->scan.offset;]],
  [[if (segment == it->scan.segment) return offset > it->scan.offset;]])

bug("an_iterator_forgets_what_was_replaced", "model",
  [[if (!*live) *live = fj_positions_has(&it->changed, version_of(record->timestamp));]], "")

bug("an_iterator_ends_over_damage", "damage",
  [[if (!it->hides) return FREYJA_END;]], [[return FREYJA_END;]])

bug("an_iterator_never_ends_over_damage", "damage", [[it->hides = false;]], "")

bug("an_iterator_stays_at_what_it_cannot_read", "capi",
  [[fj_scan_skip(&it->scan, &record); /* even if that failed: the next call goes on behind it */
  if (status != FREYJA_OK) return status;]],
  [[if (status != FREYJA_OK) return status;
  fj_scan_skip(&it->scan, &record);]])

bug("an_iterator_stays_in_a_file_it_cannot_read", "capi",
  [[if (status != FREYJA_OK && !fj_scan_is_unreadable(&it->scan, &why)) {
      pass_pin(it);]],
  [[if (status != FREYJA_OK && !fj_scan_is_unreadable(&it->scan, &why)) {]])

bug("an_iterator_gives_what_is_in_doubt", "damage",
  [[if (!it->index->has_unknown) return false;]], [[return false;]])

bug("an_iterator_holds_no_segment", "capi", [[fj_segment_retain(segment);]], "")

bug("an_iterator_s_segments_are_leaked", "api",
  [[fj_segment_release(it->pins[i].segment);]], "")

bug("the_first_iterator_is_lost", "model",
  [[if (list->first != NULL) list->first->previous = it;]], "")

in_file "engine/sorted.c"

bug("a_prefix_sorts_anywhere", "api",
  [[return (a->key_size > b->key_size) - (a->key_size < b->key_size);]], [[return 0;]])

bug("in_key_order_values_are_not_checked", "damage",
  [[if (!header_only && !fj_record_check_value(record, seed)) return FREYJA_CORRUPT;]], "")

bug("keys_run_over_their_chunk", "luastate",
  [[if (chunk == NULL || CHUNK_SIZE - chunk->used < key.size) {]],
  [[if (chunk == NULL || CHUNK_SIZE - chunk->used < key.size / 2) {]])

in_file "engine/positions.c"

bug("a_larger_set_starts_empty", "model",
  [[if (set->slots[i] != 0) place(&grown, set->slots[i]);]], ";")

-- Tools ------------------------------------------------------------------------------------------------------

in_file "engine/reader.c"

bug("a_log_begins_anywhere", "log",
  [[if (status == FREYJA_OK && (offset < FJ_SEGMENT_HEADER || offset % FJ_RECORD_ALIGN != 0 ||]],
  [[if (status == FREYJA_OK && (offset < FJ_SEGMENT_HEADER ||]])

bug("a_log_gives_damaged_values", "log", [[if (!valid)]], [[if (0)]])

in_file "engine/report.c"

bug("everything_is_sealed", "api", [[out->sealed = segment->sealed;]], [[out->sealed = true;]])

bug("the_header_counts_as_dead", "api",
  [[uint64_t records = segment->missing ? 0 : segment->tail - FJ_SEGMENT_HEADER;]],
  [[uint64_t records = segment->missing ? 0 : segment->tail;]])
