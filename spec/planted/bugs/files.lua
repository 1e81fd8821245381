--- Bugs to plant in data files, records, recovery and the list of segments; see spec/planted/bugs.lua.

local in_file, bug = ...

-- A data file's life ----------------------------------------------------------------------------

in_file "engine/segment.c"

bug("a_new_file_is_not_synced", "crash",
  [[if ((code = fj_sync(os, segment->file)) != 0) goto fail;]], "")

bug("a_new_file_has_no_durable_name", "crash",
  [[if ((code = fj_sync_dir(os, pool->dir->fd)) != 0) {]], [[if (0) {]])

bug("what_is_claimed_looks_unclaimed", "damage",
  [[memcmp(header + FJ_MARK_OFFSET, none, sizeof none) == 0;]], [[none[0] == 0;]])

bug("a_claim_is_not_durable", "crash", [[*poison = (code = fj_sync(os, file)) != 0;]], "")

bug("a_file_that_failed_is_left", "real_limits",
  [[if (created) (void)os->unlink(os->context, pool->dir->fd, name);]], "", "fj_segment_create(")

bug("a_mark_is_not_checked", "damage",
  [[return fj_get64(p + 8) == fj_hash(p, 8, seed + 1 + slot);]], [[return true;]])

bug("the_lower_mark_counts", "torn_tail",
  [[if (offset < segment->mark || offset % FJ_RECORD_ALIGN != 0) continue;]],
  [[if (offset % FJ_RECORD_ALIGN != 0) continue;]])

bug("marks_go_to_the_same_slot", "format",
  [[segment->mark_slot = (uint8_t)(1 - slot);]], "", "decode_marks(")

bug("a_damaged_file_header_is_believed", "damage",
  [[segment->damaged = wrong != NULL;]], [[segment->damaged = false;]])

bug("the_zeros_of_a_file_header_are_not_looked_at", "damage",
  [[{FIELD_ZERO, 32, "bytes that must be zero are not"},]], "")

bug("a_hash_seed_is_not_looked_at", "damage",
  [[{32, 8, "its hash seed is not that of the MANIFEST"},]], "")

bug("a_damaged_header_s_mark_is_believed", "damage",
  [[segment->unmarked = wrong != NULL && wrong->offset != FIELD_ZERO;]], "")

bug("taken_names_stop_a_rotation", "recovery",
  [[#define TAKEN_MAX (1u << 20) /* file names in use that are passed over */]], [[#define TAKEN_MAX 1u]])

bug("another_file_of_the_store_is_believed", "damage",
  [[valid && memcmp(header + FIELD_STORE_ID, right + FIELD_STORE_ID, FIELDS_IDENTITY) != 0;]], [[false;]])

bug("a_shorter_file_is_mapped_whole", "damage",
  [[segment->limit = sealed_size < st.size ? sealed_size : st.size;]],
  [[segment->limit = sealed_size;]])

bug("a_fifo_is_read", "open",
  [[if (!st.regular) return mark_missing(segment, name, why, "this is not a regular file");]],
  "", "open_file(")

bug("a_link_is_a_fault", "open",
  [[return code == -ENOENT || code == -ELOOP || code == -EISDIR || code == -ENXIO ||]],
  [[return code == -ENOENT || code == -EISDIR || code == -ENXIO ||]])

bug("no_room_for_a_mapping_is_a_fault", "system",
  [[if (code != 0) return code == -ENOMEM ? 0 : code;]], [[if (code != 0) return code;]])

bug("files_stay_open", "descriptors",
  [[#define FILES_MAX 12u   /* open sealed files in syscall mode: well below `ulimit -n 32` */]],
  [[#define FILES_MAX 1200u]])

bug("a_pooled_file_is_leaked", "descriptors", [[close_file(oldest);]], "")

bug("no_file_is_given_up_for_another", "real_limits",
  [[} while ((code == -EMFILE || code == -ENFILE) && close_oldest(pool));]], [[} while (0);]])

bug("a_mapping_is_leaked", "faults",
  [[if (segment->map != NULL) os->unmap(os->context, segment->map, segment->map_size);]], "")

bug("a_segment_is_leaked", "faults",
  [[os->release(os->context, segment);]], "", "fj_segment_release(")

bug("a_closed_store_keeps_its_file", "system", [[close_file(segment);]], "", "fj_segment_detach(")

-- Appending and syncing ---------------------------------------------------------------------------

in_file "engine/append.c"

bug("the_reserve_ends_a_page_later", "model",
  [[if (end > segment->reserved) {]], [[if (end > segment->reserved + PAGE) {]])

bug("a_nearly_full_disk_is_full", "real_limits",
  [[if (code != 0 && ahead > needed) code = reserve_to(segment, needed); /* a nearly full disk */]],
  "")

bug("without_reserve_it_fails", "system",
  [[if (code == -EOPNOTSUPP || code == -ENOSYS) {]], [[if (code == -ENOSYS) {]])

bug("without_reserve_it_maps", "system",
  [[segment->can_reserve = segment->mapped_writes = false;]], [[segment->can_reserve = false;]])

bug("the_filler_goes_over_records", "model",
  [[uint64_t from = round_up(segment->tail);]], [[uint64_t from = round_up(segment->tail) - PAGE;]])

bug("a_failed_write_stays", "faults",
  [[*poison = undo(segment, code != -ENOSPC && code != -EDQUOT && code != -EFBIG) != 0;]],
  [[*poison = false && undo(segment, false);]])

bug("a_failed_undo_is_no_poison", "faults",
  [[*poison = undo(segment, code != -ENOSPC && code != -EDQUOT && code != -EFBIG) != 0;]],
  [[*poison = undo(segment, code != -ENOSPC && code != -EDQUOT && code != -EFBIG) > 0;]])

bug("the_undo_does_nothing", "faults",
  [[code = fj_write(os, segment->file, &part, 1, segment->tail);]], [[code = part.size == 0;]])

bug("the_undo_is_not_durable", "faults",
  [[return code == 0 && whole ? fj_sync(os, segment->file) : code;]], [[return code + 0 * whole;]])

bug("a_limit_below_the_reserve_poisons", "real_limits",
  [[if (code == -EFBIG) { /* also where a limit on files is now below what is reserved */]],
  [[if (!segment->can_reserve) {]])

bug("the_undo_cuts_nothing", "faults",
  [[code = os->truncate(os->context, segment->file, segment->tail);]], [[code = 0;]], "static int undo(")

bug("a_trim_that_failed_counts_on_its_reserve", "faults",
  [[segment->reserved = segment->filled = segment->tail;]], "", "fj_segment_trim(")

bug("the_padding_is_short", "crash",
  [[uint64_t padding = fj_draft_size(draft) - prefix - draft->key.size - draft->value.size;]],
  [[uint64_t padding = 0;]])

bug("a_sync_does_nothing", "crash",
  [[int code = fj_sync(segment->os, segment->file);]], [[int code = 0;]], "fj_segment_sync(")

bug("the_mark_comes_before_the_sync", "crash",
  [[int code = fj_sync(segment->os, segment->file);
  if (code != 0) return fail(segment, code, "sync", error);
  segment->marked = segment->mark;]],
  [[if (end > segment->mark) (void)write_mark(segment, end);
  int code = fj_sync(segment->os, segment->file);
  if (code != 0) return fail(segment, code, "sync", error);
  segment->marked = segment->mark;]])

bug("the_mark_lags", "damage",
  [[if (end > segment->mark && segment->kind == FJ_SEGMENT_LOG) /* S5 */]], [[if (0)]])

bug("what_is_sealed_is_claimed", "crash",
  [[if (end > segment->mark && segment->kind == FJ_SEGMENT_LOG) /* S5 */]], [[if (end > segment->mark)]])

bug("a_torn_tail_is_not_cut", "crash",
  [[int code = os->truncate(os->context, segment->file, tail);]], [[int code = 0;]])

bug("after_a_cut_the_reserve_is_believed", "crash",
  [[segment->reserved = segment->tail = tail;]], [[segment->tail = tail;]])

bug("a_hole_counts_as_reserved", "faults",
  [[segment->reserved = segment->tail = tail;]],
  [[segment->tail = tail; if (cut) segment->reserved = tail;]])

bug("a_hole_counts_as_reserved_on_a_real_disk", "real_limits",
  [[segment->reserved = segment->tail = tail;]],
  [[segment->tail = tail; if (cut) segment->reserved = tail;]])

bug("zeros_behind_the_tail_stay_for_ever", "open",
  [[segment->surplus = !cut && segment->reserved > tail;]], "")

bug("the_reserve_is_not_given_back", "recovery",
  [[int code = os->truncate(os->context, segment->file, segment->tail);]],
  [[int code = 0;]], "fj_segment_trim(")

bug("a_sealed_file_is_not_synced", "crash",
  [[freyja_status status = fj_segment_sync(segment, segment->tail, error);]],
  [[freyja_status status = FREYJA_OK;]], "fj_segment_trim(")

bug("a_failed_trim_is_no_poison", "faults",
  [[*poison = status != FREYJA_OK;]], "", "fj_segment_trim(")

bug("a_sealed_file_is_leaked", "descriptors",
  [[if (segment->file >= 0) (void)os->close(os->context, segment->file);]], "", "fj_segment_seal(")

bug("the_last_mark_is_not_synced", "marks",
  [[return fj_segment_sync(segment, segment->tail, error); /* the mark itself */]],
  [[return FREYJA_OK;]])

bug("newest_is_not_counted", "api", [[if (timestamp > segment->newest) segment->newest = timestamp;]], "")

-- Errors -----------------------------------------------------------------------------------------

in_file "engine/error.c"

bug("no_space_is_io", "system",
  [[if (code == -ENOSPC || code == -EDQUOT || code == -EFBIG) status = FREYJA_FULL;]],
  [[if (code == -EDQUOT || code == -EFBIG) status = FREYJA_FULL;]])

bug("no_quota_is_io", "system",
  [[if (code == -ENOSPC || code == -EDQUOT || code == -EFBIG) status = FREYJA_FULL;]],
  [[if (code == -ENOSPC || code == -EFBIG) status = FREYJA_FULL;]])

bug("too_large_is_io", "system",
  [[if (code == -ENOSPC || code == -EDQUOT || code == -EFBIG) status = FREYJA_FULL;]],
  [[if (code == -ENOSPC || code == -EDQUOT) status = FREYJA_FULL;]])

bug("no_memory_is_io", "system", [[if (code == -ENOMEM) status = FREYJA_MEMORY;]], "")

bug("the_errno_is_lost", "capi", [[if (error != NULL) error->os_code = -code;]], "")

-- The operating system ----------------------------------------------------------------------------

in_file "engine/os.c"

bug("the_size_limit_kills", "real_limits",
  [[if (offset + size > file_limit()) return -EFBIG;]], "")

bug("a_write_beyond_the_size_limit_kills", "real_limits",
  [[if (is_write_beyond_limit(offset, size)) return -EFBIG;]], "")

bug("a_lower_size_limit_is_not_noticed", "system",
  [[atomic_store_explicit(&asked_to, 0, memory_order_relaxed);]], "", "os_open(")

bug("large_writes_do_not_ask_for_the_size_limit", "system",
  [[if (size < ASKED_STEP && end <= atomic_load_explicit(&asked_to, memory_order_relaxed))]],
  [[if (end <= atomic_load_explicit(&asked_to, memory_order_relaxed))]])

bug("an_interrupted_read_is_an_error", "system",
  [[if (count == -EINTR) continue;]], "", "int64_t fj_read(")

bug("an_interrupted_write_is_an_error", "system", [[if (written == -EINTR) continue;]], "")

bug("a_short_write_is_a_whole_one", "system", [[offset += (uint64_t)written;]], [[return 0;]])

bug("a_short_write_goes_on_at_the_same_place", "system", [[offset += (uint64_t)written;]], "")

bug("the_lock_is_the_process_s", "system",
  [[UNINTERRUPTED(code, fcntl(file, F_OFD_SETLK, &lock));]],
  [[UNINTERRUPTED(code, fcntl(file, F_SETLK, &lock));]])

bug("an_interrupted_open_is_an_error", "interrupted",
  [[UNINTERRUPTED(code, *file = openat(dir < 0 ? AT_FDCWD : dir, name, mode, 0600));]],
  [[code = result(*file = openat(dir < 0 ? AT_FDCWD : dir, name, mode, 0600));]])

bug("an_interrupted_close_is_an_error", "interrupted",
  [[return code == -EINTR ? 0 : code; /* the descriptor is gone: not to be closed again */]],
  [[return code;]])

bug("a_listing_is_leaked", "open", [[(void)closedir(stream);]], "")

bug("everybody_may_read_files", "open",
  [[UNINTERRUPTED(code, *file = openat(dir < 0 ? AT_FDCWD : dir, name, mode, 0600));]],
  [[UNINTERRUPTED(code, *file = openat(dir < 0 ? AT_FDCWD : dir, name, mode, 0644));]])

-- The bytes of a record ----------------------------------------------------------------------------

in_file "engine/record.h"

bug("a_header_is_not_checked", "damage",
  [[return record->check == fj_record_header_sum(fj_record_start(record), seed, key_hash);]],
  [[return true;]])

bug("a_value_is_not_checked", "damage",
  [[return record->value_sum ==
         fj_record_value_sum(record->value, record->value_size, seed, record->timestamp);]],
  [[return true;]])

bug("sums_do_not_know_their_place", "capi",
  [[return segment_seed + offset;]], [[return segment_seed;]])

bug("a_value_s_sum_does_not_know_its_header", "capi",
  [[return (uint32_t)fj_hash(value, size, seed + timestamp);]],
  [[return (uint32_t)fj_hash(value, size, seed);]])

bug("a_record_may_pass_the_end", "capi",
  [[return (out->flags & ~flags) == 0 && out->size <= available;]],
  [[return (out->flags & ~flags) == 0 && out->size <= available + 8;]])

bug("unknown_flags_are_ignored", "forged",
  [[return (out->flags & ~flags) == 0 && out->size <= available;]],
  [[return out->size <= available;]])

bug("a_tombstone_may_have_a_value", "forged",
  [[if (out->kind != FJ_KIND_TOMBSTONE || out->value_size != 0) return false;]],
  [[if (out->kind != FJ_KIND_TOMBSTONE) return false;]])

in_file "engine/record.c"

bug("a_flag_does_not_reach_the_header", "collision", [[draft->header[15] = draft->flags;]], "")

-- Reading a segment in order ------------------------------------------------------------------------

in_file "engine/scan.c"

bug("a_header_may_pass_the_end", "torn_tail",
  [[if (*found == FJ_SCAN_END || left < FJ_RECORD_HEADER) return FREYJA_OK;]],
  [[if (*found == FJ_SCAN_END) return FREYJA_OK;]])

bug("the_search_skips_places", "damage",
  [[scan->offset += FJ_RECORD_ALIGN;]], [[scan->offset += 2 * FJ_RECORD_ALIGN;]])

bug("the_search_has_no_bound", "forged",
  [[if (scan->offset >= limit || scan->hashed > hashed_max) break;]],
  [[if (scan->offset >= limit) break;]])

bug("the_scan_s_buffer_is_leaked", "faults",
  [[scan->segment->os->release(scan->segment->os->context, scan->buffer);]], ";")

-- Recovery -----------------------------------------------------------------------------------------

in_file "engine/recovery.c"

bug("what_a_failed_sync_left_is_not_written_again", "crash",
  [[status = rewrite_unsynced(segment, error);]], "")

bug("only_the_first_piece_is_written_again", "crash",
  [[done += count;]], [[done = segment->tail;]], "static freyja_status rewrite_unsynced(")

bug("the_second_piece_is_written_again_elsewhere", "crash",
  [[status = fj_segment_rewrite(segment, &part, done, error);]],
  [[status = fj_segment_rewrite(segment, &part, segment->mark, error);]])

in_file "engine/intake.c"

bug("damage_is_a_torn_tail", "damage", [[return segment->sealed || offset < segment->mark;]],
  [[return segment->sealed;]])

bug("a_torn_tail_at_the_mark_is_damage", "torn_tail",
  [[return segment->sealed || offset < segment->mark;]],
  [[return segment->sealed || offset <= segment->mark;]])

bug("a_damaged_value_ends_the_log", "damage",
  [[*ends = !damage && !(valid && fj_record_is_padded(record));]], [[*ends = !valid;]])

bug("what_cannot_be_read_keeps_a_store_shut", "damage",
  [[is_damage(scan->segment, scan->offset))]], [[index->recovered)]])

bug("what_cannot_be_read_is_forgotten", "damage",
  [[fj_index_add_damage(index, segment, from, scan->offset - from, true, why);]], "")

in_file "engine/detour.c"

bug("a_value_that_cannot_be_read_takes_its_key_along", "damage",
  [[if (status == FREYJA_OK) return found == FJ_SCAN_RECORD ? FREYJA_OK : FREYJA_IO;]],
  [[if (status == FREYJA_OK) return FREYJA_IO;]])

bug("all_behind_what_cannot_be_read_is_passed_over", "damage",
  [[} while (offset < limit && !is_readable(scan, offset, 1));]], [[} while (offset < limit);]])

in_file "engine/index.c"

bug("what_lies_behind_a_record_must_be_readable", "capi",
  [[if (status != FREYJA_OK && fj_is_unreadable(&fault) && want > FJ_RECORD_HEADER) {]],
  [[if (0) {]])

bug("another_key_s_value_must_be_readable", "damage",
  [[if (whole && fj_is_unreadable(&fault) &&]], [[if (0 && whole && fj_is_unreadable(&fault) &&]])

in_file "engine/recovery.c"

bug("a_mark_that_is_found_is_taken_for_durable", "marks",
  [[status = fj_segment_rewrite_mark(segment, error); /* likewise */]], "")

bug("torn_bytes_are_thrown_away", "torn_tail",
  [[if (torn > 0 && (status = fj_torn_save(segment, torn, error)) != FREYJA_OK) return status;]],
  "")

bug("a_missing_end_is_no_damage", "damage",
  [[if (end < expected) add_file_damage(index, segment, end, expected - end, &why);]], "")

bug("a_missing_file_is_no_damage", "damage",
  [[add_file_damage(index, segment, 0, size, &why);]], "", "recover_segment(")

bug("without_its_mark_a_tail_is_trusted", "damage",
  [[if (!segment->sealed && segment->unmarked) status = distrust_tail(segment, error);]], "")

in_file "engine/leftovers.c"

bug("any_number_of_files_may_be_missing", "forged",
  [[if (status != FREYJA_OK || out->missing > 0) return status;]],
  [[if (status != FREYJA_OK) return status; out->missing = 0;]])

bug("temporaries_stay", "open",
  [[return strcmp(name, "MANIFEST.tmp") == 0 || strcmp(name, fj_checkpoint_temporary) == 0 ||]],
  [[return]])

bug("hints_temporaries_stay", "hint",
  [[fj_hint_is_temporary(name);]], [[false;]])

bug("temporaries_are_not_looked_for", "open",
  [[if (is_one || is_temporary(name)) visit->witness.litter = true;]],
  [[if (is_one) visit->witness.litter = true;]])

bug("leftovers_are_not_looked_for", "damage",
  [[if (is_one || is_temporary(name)) visit->witness.litter = true;]],
  [[if (is_temporary(name)) visit->witness.litter = true;]])

bug("others_files_are_removed", "recovery", [[if (ours) return FREYJA_OK;]],
  [[if (!ours) *out = FJ_NOT_BEGUN;
  return FREYJA_OK;]])

bug("data_that_no_manifest_names_goes", "damage",
  [[else if (ours) *out = size > FJ_SEGMENT_HEADER ? FJ_BEGUN : FJ_NOT_BEGUN;]],
  [[else if (ours) *out = FJ_NOT_BEGUN;]])

bug("records_behind_a_sealed_end_are_nothing", "damage",
  [[if (found) *out = (fj_witness){.id = entry->id, .end = entry->size};]], "")

bug("data_without_a_header_is_nothing", "repair", [[if (found) *out = FJ_BEGUN;]], "")

bug("segments_are_removed", "recovery",
  [[if (!fj_segment_parse_name(name, id) || fj_manifest_names(visit->manifest, *id))
    return false;]],
  [[if (!fj_segment_parse_name(name, id)) return false;]])

in_file "engine/torn.c"

bug("a_tail_that_cannot_be_read_has_no_end", "faults",
  [[if (bound && offset >= segment->reserved) return FREYJA_OK; /* where the file ends */]], "")

bug("torn_bytes_are_not_synced", "crash",
  [[int code = fj_sync(segment->os, file);]], [[int code = 0;]])

bug("only_the_first_torn_piece_is_kept", "crash",
  [[done += count;]], [[done = size;]], "static freyja_status copy(")

bug("the_second_torn_piece_is_kept_elsewhere", "crash",
  [[int code = fj_write(segment->os, file, &part, 1, done);]],
  [[int code = fj_write(segment->os, file, &part, 1, done / 2);]])

bug("torn_bytes_have_no_durable_name", "crash", [[code = fj_sync_dir(os, folder);]], "")

bug("the_folder_lost_has_no_durable_name", "crash",
  [[if ((code = fj_sync_dir(os, dir->fd)) != 0)]], [[if (0)]])

bug("one_torn_byte_less", "torn_tail",
  [[if (used > 0) *size = offset + used - segment->tail;]],
  [[if (used > 0) *size = offset + used - segment->tail - 1;]])

bug("torn_bytes_repeat", "torn_tail",
  [[fj_segment_read(segment, chunk, want, segment->tail + done, &count, error);]],
  [[fj_segment_read(segment, chunk, want, segment->tail, &count, error);]])

-- The list of segments -------------------------------------------------------------------------------

in_file "engine/manifest.c"

bug("a_generation_is_used_twice", "crash", [[manifest->generation++;]], "")

bug("generations_begin_anew", "fuzz_manifest",
  [[if (manifest->generation == UINT64_MAX)]], [[if (false)]])

bug("the_manifest_is_not_synced", "crash", [[code = fj_sync(os, file);]], [[code = 0;]])

bug("the_manifest_has_no_durable_name", "crash",
  [[if ((code = fj_sync_dir(os, dir->fd)) != 0)]], [[if (0)]])

bug("the_manifest_goes_before_the_new_one_comes", "crash",
  [[int code = os->rename(os->context, dir->fd, temporary, name);]],
  [[(void)os->unlink(os->context, dir->fd, name);
  int code = os->rename(os->context, dir->fd, temporary, name);]])

bug("the_manifest_is_not_checked", "damage",
  [[if (fj_hash(bytes, size - CHECK, 0) != fj_get64(bytes + size - CHECK))]], [[if (0)]])

bug("a_file_may_be_listed_twice", "forged",
  [[return check_unique(dir, m, error);]], [[return FREYJA_OK;]])

bug("impossible_ids_are_believed", "forged",
  [[if (entry->id == 0 || entry->id >= m->next_id)]], [[if (0)]])

bug("impossible_sizes_are_believed", "forged",
  [[if (!sealed && !(last && entry->size == 0))]], [[if (0)]])

bug("a_manifest_s_length_is_believed", "forged",
  [[if (count > FJ_SEGMENTS_MAX || encoded_size(count) != size)]], [[if (count > FJ_SEGMENTS_MAX)]])

bug("the_generation_stands_still", "follow", [[manifest->generation++;]], "")

bug("a_replaced_manifest_is_not_told", "faults",
  [[*replaced = code == 0 || !is_without_effect(code);]],
  [[*replaced = code != 0 && !is_without_effect(code);]])

bug("a_rename_that_failed_has_done_nothing", "faults",
  [[*replaced = code == 0 || !is_without_effect(code);]],
  [[*replaced = code == 0 && !is_without_effect(code);]])

bug("the_manifest_s_bytes_are_leaked", "faults",
  [[os->release(os->context, bytes);]], "", "read_file(")

bug("the_manifest_s_file_is_leaked", "faults",
  [[(void)os->close(os->context, file);]], "", "write_temporary(")
