--- Bugs to plant: each takes the place of lines that must stand in a file once (or once in the
--- function `within`), and is to be caught by the named test. Where the sources change, the list
--- changes with them: a bug that finds no place counts as one that was not caught.
--- Run by spec/planted/run.

local bugs, file = {}, nil

local function in_file(path) file = path end

--- The lines `find` (without regard to space around them) become `replace`.
local function bug(name, test, find, replace, within)
  bugs[#bugs + 1] = {
    name = name, file = file, test = test, find = find, replace = replace, within = within,
  }
end

-- A data file's life ----------------------------------------------------------------------------

in_file "engine/segment.c"

bug("a_new_file_is_not_synced", "crash",
  [[if ((code = fj_sync(os, segment->file)) != 0) goto fail;]], "")

bug("a_new_file_has_no_durable_name", "crash",
  [[if ((code = fj_sync_dir(os, pool->dir->fd)) != 0) goto fail;]], "")

bug("a_file_that_failed_is_left", "real_limits",
  [[if (created) (void)os->unlink(os->context, pool->dir->fd, name);]], "", "fj_segment_create(")

bug("a_mark_is_not_checked", "damage",
  [[return fj_get64(p + 8) == fj_hash(p, 8, seed + 1 + slot);]], [[return true;]])

bug("the_lower_mark_counts", "damage",
  [[if (offset < segment->mark || offset % FJ_RECORD_ALIGN != 0) continue;]],
  [[if (offset % FJ_RECORD_ALIGN != 0) continue;]])

bug("marks_go_to_the_same_slot", "format",
  [[segment->mark_slot = (uint8_t)(1 - slot);]], "", "decode_marks(")

bug("a_damaged_file_header_is_believed", "damage",
  [[} else if (memcmp(header, magic, sizeof magic) != 0 ||
             fj_get64(header + 56) != fj_hash(header, 56, 0)) {]],
  [[} else if (memcmp(header, magic, sizeof magic) != 0) {]])

bug("another_file_of_the_store_is_believed", "damage",
  [[fj_get64(header + 40) != segment->id) {]], [[0) {]])

bug("a_shorter_file_is_mapped_whole", "damage",
  [[segment->limit = sealed_size < st.size ? sealed_size : st.size;]],
  [[segment->limit = sealed_size;]])

bug("a_fifo_is_read", "open",
  [[if (!st.regular) return mark_missing(segment, name, why, "this is not a regular file");]],
  "", "open_file(")

bug("a_link_is_a_fault", "open",
  [[return code == -ENOENT || code == -ELOOP || code == -EISDIR || code == -ENXIO ||]],
  [[return code == -ENOENT || code == -EISDIR || code == -ENXIO ||]])

bug("files_stay_open", "descriptors",
  [[#define FILES_MAX 12u /* open sealed files in syscall mode: well below `ulimit -n 32` */]],
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

bug("a_failed_write_stays", "faults", [[*poison = undo(segment) != 0;]], [[*poison = false;]])

bug("a_failed_undo_is_no_poison", "faults",
  [[*poison = undo(segment) != 0;]], [[(void)undo(segment);]])

bug("the_undo_does_nothing", "faults",
  [[return fj_write(os, segment->file, &part, 1, segment->tail);]], [[return 0;]])

bug("the_undo_cuts_too_little", "crash",
  [[int code = os->truncate(os->context, segment->file, segment->tail);
    return code;]],
  [[return 0;]])

bug("the_padding_is_short", "crash",
  [[uint64_t padding = size - FJ_RECORD_HEADER - draft->key.size - draft->value.size;]],
  [[uint64_t padding = 0;]])

bug("a_sync_does_nothing", "crash",
  [[int code = fj_sync(segment->os, segment->file);]], [[int code = 0;]], "fj_segment_sync(")

bug("the_mark_comes_before_the_sync", "crash",
  [[int code = fj_sync(segment->os, segment->file);
  if (code != 0) return fail(segment, code, "sync", error);
  if (end > segment->mark) write_mark(segment, end);]],
  [[if (end > segment->mark) write_mark(segment, end);
  int code = fj_sync(segment->os, segment->file);
  if (code != 0) return fail(segment, code, "sync", error);]])

bug("the_mark_lags", "damage", [[if (end > segment->mark) write_mark(segment, end);]], "")

bug("a_torn_tail_is_not_cut", "crash",
  [[int code = os->truncate(os->context, segment->file, tail);]], [[int code = 0;]])

bug("a_cut_is_not_synced", "crash",
  [[if ((code = fj_sync(os, segment->file)) != 0) return fail(segment, code, "sync", error);]], "")

bug("after_a_cut_the_reserve_is_believed", "crash", [[segment->reserved = tail;]], "")

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

bug("the_last_mark_is_not_synced", "crash",
  [[return fj_segment_sync(segment, segment->tail, error); /* the mark itself */]],
  [[return FREYJA_OK;]])

bug("newest_is_not_counted", "api", [[segment->newest = timestamp;]], "")

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
  [[if (is_beyond_limit(offset + size)) return -EFBIG;]], "")

bug("an_interrupted_read_is_an_error", "system",
  [[if (count == -EINTR) continue;]], "", "int64_t fj_read(")

bug("an_interrupted_write_is_an_error", "system", [[if (written == -EINTR) continue;]], "")

bug("a_short_write_is_a_whole_one", "system", [[offset += (uint64_t)written;]], [[return 0;]])

bug("a_short_write_goes_on_at_the_same_place", "system", [[offset += (uint64_t)written;]], "")

bug("the_lock_is_the_process_s", "open",
  [[if (fcntl(file, F_OFD_SETLK, &lock) == 0) return 0;]],
  [[if (fcntl(file, F_SETLK, &lock) == 0) return 0;]])

bug("a_listing_is_leaked", "open", [[(void)closedir(stream);]], "")

bug("everybody_may_read_files", "open",
  [[*file = openat(dir < 0 ? AT_FDCWD : dir, name, mode, 0600);]],
  [[*file = openat(dir < 0 ? AT_FDCWD : dir, name, mode, 0644);]])

-- The bytes of a record ----------------------------------------------------------------------------

in_file "engine/record.h"

bug("a_header_is_not_checked", "damage",
  [[return record->check == fj_record_header_sum(record->key - FJ_RECORD_HEADER, seed, key_hash);]],
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
  [[return (out->flags & ~FJ_FLAG_COLLIDES) == 0 && out->size <= available;]],
  [[return (out->flags & ~FJ_FLAG_COLLIDES) == 0 && out->size <= available + 8;]])

bug("unknown_flags_are_ignored", "capi",
  [[return (out->flags & ~FJ_FLAG_COLLIDES) == 0 && out->size <= available;]],
  [[return out->size <= available;]])

bug("a_tombstone_may_have_a_value", "capi",
  [[if (out->kind != FJ_KIND_PUT && (out->kind != FJ_KIND_TOMBSTONE || out->value_size != 0))]],
  [[if (out->kind != FJ_KIND_PUT && out->kind != FJ_KIND_TOMBSTONE)]])

in_file "engine/record.c"

bug("a_flag_does_not_reach_the_header", "collision", [[draft->header[15] = draft->flags;]], "")

-- Reading a segment in order ------------------------------------------------------------------------

in_file "engine/scan.c"

bug("a_header_may_pass_the_end", "torn_tail",
  [[if (*found == FJ_SCAN_END || left < FJ_RECORD_HEADER) return FREYJA_OK;]],
  [[if (*found == FJ_SCAN_END) return FREYJA_OK;]])

bug("the_search_skips_places", "damage",
  [[scan->offset += FJ_RECORD_ALIGN;]], [[scan->offset += 2 * FJ_RECORD_ALIGN;]])

bug("the_search_has_no_bound", "damage",
  [[if (scan->offset >= limit || scan->hashed > hashed_max) break;]],
  [[if (scan->offset >= limit) break;]])

bug("the_scan_s_buffer_is_leaked", "faults",
  [[scan->segment->os->release(scan->segment->os->context, scan->buffer);]], ";")

-- Recovery -----------------------------------------------------------------------------------------

in_file "engine/recovery.c"

bug("damage_is_a_torn_tail", "damage", [[return segment->sealed || offset < segment->mark;]],
  [[return segment->sealed;]])

bug("a_torn_tail_at_the_mark_is_damage", "torn_tail",
  [[return segment->sealed || offset < segment->mark;]],
  [[return segment->sealed || offset <= segment->mark;]])

bug("a_damaged_value_ends_the_log", "damage",
  [[*ends = !valid && !is_damage(segment, scan->offset);]], [[*ends = !valid;]])

bug("torn_bytes_are_thrown_away", "torn_tail",
  [[if (torn > 0 && (status = fj_torn_save(segment, torn, error)) != FREYJA_OK) return status;]],
  "")

bug("a_missing_end_is_no_damage", "damage",
  [[if (end < expected) add_file_damage(index, segment, end, expected - end, &why);]], "")

bug("a_missing_file_is_no_damage", "damage",
  [[add_file_damage(index, segment, 0, size, &why);]], "", "recover_segment(")

bug("without_its_mark_a_tail_is_trusted", "damage",
  [[if (!segment->sealed) status = distrust_tail(segment, &end, error);]], "")

bug("temporaries_stay", "recovery", [[if (is_temporary(name)) {]], [[if (0) {]])

bug("ids_are_used_twice", "recovery",
  [[if (id >= visit->manifest->next_id && id < UINT64_MAX) visit->manifest->next_id = id + 1;]], "")

bug("others_files_are_removed", "recovery",
  [[if (!is_named(visit->manifest, id) && is_ours(visit->dir, visit->manifest, name, id))]],
  [[if (!is_named(visit->manifest, id))]])

bug("segments_are_removed", "model",
  [[if (!is_named(visit->manifest, id) && is_ours(visit->dir, visit->manifest, name, id))]],
  [[if (is_ours(visit->dir, visit->manifest, name, id))]])

in_file "engine/torn.c"

bug("torn_bytes_are_not_synced", "crash",
  [[int code = fj_sync(segment->os, file);]], [[int code = 0;]])

bug("torn_bytes_have_no_durable_name", "crash", [[code = fj_sync_dir(os, folder);]], "")

bug("the_folder_lost_has_no_durable_name", "crash",
  [[if (code == 0 && (code = fj_sync_dir(os, dir->fd)) != 0)]], [[if (0)]])

bug("one_torn_byte_less", "torn_tail",
  [[if (used > 0) *size = offset + used - segment->tail;]],
  [[if (used > 0) *size = offset + used - segment->tail - 1;]])

bug("torn_bytes_repeat", "torn_tail",
  [[fj_segment_read(segment, chunk, want, segment->tail + done, &count, error);]],
  [[fj_segment_read(segment, chunk, want, segment->tail, &count, error);]])

-- The list of segments -------------------------------------------------------------------------------

in_file "engine/manifest.c"

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

bug("a_file_may_be_listed_twice", "damage",
  [[return check_unique(dir, m, error);]], [[return FREYJA_OK;]])

bug("impossible_ids_are_believed", "damage",
  [[if (entry->id == 0 || entry->id >= m->next_id)]], [[if (0)]])

bug("impossible_sizes_are_believed", "damage",
  [[if (!sealed && !(last && entry->size == 0))]], [[if (0)]])

bug("a_manifest_s_length_is_believed", "damage",
  [[if (count > FJ_SEGMENTS_MAX || encoded_size(count) != size)]], [[if (count > FJ_SEGMENTS_MAX)]])

bug("the_generation_stands_still", "format", [[manifest->generation++;]], "")

bug("a_replaced_manifest_is_not_told", "faults", [[*replaced = true;]], "")

bug("the_manifest_s_bytes_are_leaked", "faults",
  [[os->release(os->context, bytes);]], "", "read_file(")

bug("the_manifest_s_file_is_leaked", "faults",
  [[(void)os->close(os->context, file);]], "", "write_temporary(")

-- Opening --------------------------------------------------------------------------------------------

in_file "engine/bootstrap.c"

bug("the_store_s_folder_is_not_durable", "crash",
  [[if ((status = fj_folder_sync_parent(&db->dir, error)) != FREYJA_OK) return status;]], "")

bug("a_renamed_manifest_is_relied_on", "crash",
  [[int code = fj_sync_dir(db->dir.os, db->dir.fd);]], [[int code = 0;]])

bug("a_lost_manifest_is_a_new_store", "damage", [[if (has_data)]], [[if (0)]])

bug("a_reader_makes_a_store", "open",
  [[if (db->options.readonly || !db->options.create)]], [[if (!db->options.create)]])

bug("the_hash_s_width_is_forgotten", "collision",
  [[db->options.readonly, db->manifest.hash_bits);]],
  [[db->options.readonly, db->options.hash_bits);]])

bug("a_failed_open_leaks", "faults", [[(void)freyja_close(db, NULL);]], "")

in_file "engine/lock.c"

bug("writers_share", "open",
  [[if (code == 0) code = os->lock(os->context, file, exclusive);]],
  [[if (code == 0) code = os->lock(os->context, file, false);]])

bug("readers_exclude_each_other", "open",
  [[if (code == 0) code = os->lock(os->context, file, exclusive);]],
  [[if (code == 0) code = os->lock(os->context, file, true);]])

-- The store --------------------------------------------------------------------------------------------

in_file "engine/store.c"

bug("file_ids_begin_anew", "fuzz_manifest",
  [[if (db->manifest.next_id == UINT64_MAX) /* an id must be less than the next one */]],
  [[if (false)]])

bug("poison_is_ignored", "faults",
  [[if (db->poisoned || db->active == NULL)]], [[if (db->active == NULL)]])

bug("a_failed_sync_is_no_poison", "faults",
  [[if (status != FREYJA_OK) db->poisoned = true;]], "", "fj_store_sync(")

bug("a_failed_rotation_is_no_poison", "faults", [[if (poison) db->poisoned = true;]], "")

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
  [[db->poisoned ? fj_store_check_write(db, error) : fj_segment_finish(db->active, error);]],
  [[db->poisoned ? fj_store_check_write(db, error) : FREYJA_OK;]])

bug("closing_keeps_the_lock", "open",
  [[if (db->lock_file >= 0) (void)os->close(os->context, db->lock_file);]], "")

bug("a_forked_child_closes_for_its_parent", "capi",
  [[if (db->active != NULL && fj_store_is_process(db))]], [[if (db->active != NULL)]])

bug("an_empty_segment_is_rotated", "api",
  [[if (status != FREYJA_OK || db->active->tail == FJ_SEGMENT_HEADER) return status;]],
  [[if (status != FREYJA_OK) return status;]])

in_file "engine/store.h"

bug("a_fork_is_not_noticed", "capi",
  [[if (db->fork_guard != NULL) return *db->fork_guard == 1;]], [[return true;]])

-- Writing ------------------------------------------------------------------------------------------------

in_file "engine/write.c"

bug("a_key_may_be_longer", "limits",
  [[if (size <= FREYJA_KEY_SIZE_MAX) return FREYJA_OK;]],
  [[if (size <= FREYJA_KEY_SIZE_MAX + 1) return FREYJA_OK;]])

bug("a_tombstone_may_be_too_long", "limits",
  [[if (status == FREYJA_OK) status = check_sizes(db, key_size, 0, error);]],
  [[if (status == FREYJA_OK) status = check_key(db, key_size, error);]])

bug("a_record_may_be_longer", "limits",
  [[if (value_size <= room && fj_record_size(key_size, value_size) <= room) return FREYJA_OK;]],
  [[if (value_size <= room && fj_record_size(key_size, value_size) <= room + 8) return FREYJA_OK;]])

bug("a_record_must_be_shorter", "limits",
  [[if (value_size <= room && fj_record_size(key_size, value_size) <= room) return FREYJA_OK;]],
  [[if (value_size <= room && fj_record_size(key_size, value_size) < room) return FREYJA_OK;]])

bug("timestamps_stand_still", "system",
  [[*timestamp = now > last ? now : last + 1;]], [[*timestamp = now;]])

bug("the_interval_never_ends", "crash",
  [[if (clean || now - db->last_sync < (uint64_t)db->options.sync_ms * 1000) return FREYJA_OK;]],
  [[return FREYJA_OK;]])

bug("the_interval_is_in_seconds", "crash",
  [[if (clean || now - db->last_sync < (uint64_t)db->options.sync_ms * 1000) return FREYJA_OK;]],
  [[if (clean || now - db->last_sync < (uint64_t)db->options.sync_ms * 1000000) return FREYJA_OK;]])

bug("always_is_never", "crash",
  [[if (status == FREYJA_OK && db->options.sync_mode == FREYJA_SYNC_ALWAYS) {]], [[if (0) {]])

bug("it_syncs_before_it_appends", "crash",
  [[if (status == FREYJA_OK) status = fj_segment_append(active, draft, size, &poison, error);
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
  if (status == FREYJA_OK) status = fj_segment_append(active, draft, size, &poison, error);]])

bug("it_publishes_what_it_could_not_sync", "faults",
  [[if (status == FREYJA_OK) publish(db, draft, found, is_new, offset, size); /* D2 */]],
  [[if (status == FREYJA_OK || poison) publish(db, draft, found, is_new, offset, size);]])

bug("a_write_that_failed_is_no_poison", "faults", [[if (poison) db->poisoned = true;]], "")

bug("iterators_are_not_told", "model", [[if (!is_new && db->iterators.first != NULL)]], [[if (0)]])

bug("iterators_have_no_room", "model",
  [[else if (db->iterators.first != NULL) status = fj_iterators_reserve(&db->iterators, error);]],
  "")

bug("a_deleted_key_stays", "model", [[fj_index_delete(&db->index, found->place);]], "")

bug("collisions_are_not_flagged", "collision", [[if (found->collides)]], [[if (0)]])

bug("insert_overwrites", "api",
  [[if (status == FREYJA_NOTFOUND) status = commit(db, &draft, &found, true, error);]],
  [[if (!freyja_is_fault(status)) status = commit(db, &draft, &found, status != FREYJA_OK, error);]])

bug("cas_compares_a_prefix", "api",
  [[bool equal = found->record.value_size == expected->size &&]],
  [[bool equal = found->record.value_size >= expected->size &&]])

bug("cas_deletes_what_is_absent", "api",
  [[bool writes = desired != NULL || !is_new; /* what is absent needs no tombstone */]],
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

bug("a_view_holds_nothing", "capi", [[found.segment->references++;]], "")

bug("a_view_s_block_is_leaked", "faults", [[block->os->release(block->os->context, block);]], "")

-- The index ------------------------------------------------------------------------------------------------

in_file "engine/index.c"

bug("keys_of_a_size_are_equal", "collision",
  [[return record->key_size == size && (size == 0 || memcmp(record->key, key, size) == 0);]],
  [[return record->key_size == size;]])

bug("a_collision_is_not_noticed", "collision", [[found->collides = true;]], "")

bug("a_flag_is_not_kept", "collision",
  [[found->collides = found->collides || fj_word_collides(found->word);]], "")

bug("flagged_records_are_taken_for_one", "collision",
  [[return alone && (record->flags & FJ_FLAG_COLLIDES) == 0 && !fj_word_collides(slot->word);]],
  [[return alone;]])

bug("a_hostile_file_gives_a_key_two_slots", "fuzz_store",
  [[return alone && (record->flags & FJ_FLAG_COLLIDES) == 0 && !fj_word_collides(slot->word);]],
  [[return (record->flags & FJ_FLAG_COLLIDES) == 0 && !fj_word_collides(slot->word);]])

bug("ranks_are_compared_the_wrong_way", "damage",
  [[if (found != NULL && found->segment->rank > index->unknown_rank) return FREYJA_OK;]],
  [[if (found != NULL && found->segment->rank < index->unknown_rank) return FREYJA_OK;]])

bug("equal_ranks_are_in_no_doubt", "damage",
  [[if (found != NULL && found->segment->rank > index->unknown_rank) return FREYJA_OK;]],
  [[if (found != NULL && found->segment->rank >= index->unknown_rank) return FREYJA_OK;]])

bug("what_follows_damage_is_in_doubt", "damage",
  [[found->offset >= index->unknown_end)]], [[found->offset > index->unknown_end)]])

bug("live_bytes_only_grow", "model", [[segment->live_bytes -= fj_word_size(word);]], "")

bug("tombstones_are_forgotten", "recovery", [[if (same) fj_index_delete(index, found.place);]], "")

bug("the_last_timestamp_is_forgotten", "system",
  [[if (record->timestamp > index->last_timestamp) index->last_timestamp = record->timestamp;]], "")

bug("a_found_block_is_leaked", "faults",
  [[if (found->block != NULL) found->os->release(found->os->context, found->block);]], "")

in_file "engine/keydir.h"

bug("sizes_are_rounded_down", "keydir", [[units = (units + 1) / 2;]], [[units = units / 2;]])

in_file "engine/keydir.c"

bug("a_stale_slot_is_kept", "keydir",
  [[end[-1].hash = 0;
  end[-1].word = 0;]],
  "")

bug("slots_move_before_their_home", "keydir",
  [[while (end->word != 0 && fj_shard_home(place.shard, end->hash) != end) end++;]],
  [[while (end->word != 0) end++;]])

bug("an_insert_overwrites_a_slot", "keydir",
  [[memmove(slot + 1, slot, (size_t)(place.gap - slot) * sizeof *slot); /* K1 */]], "")

bug("a_shard_has_no_end", "keydir",
  [[if (gap + 1 < place->shard->slots + place->shard->limit) break; /* K4 */]], [[break;]])

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
  [[return fj_positions_has(&it->changed, position);]], [[return false;]])

bug("an_iterator_ends_over_damage", "damage",
  [[if (!it->hides) return FREYJA_END;]], [[return FREYJA_END;]])

bug("an_iterator_gives_what_is_in_doubt", "damage",
  [[if (!it->index->has_unknown) return false;]], [[return false;]])

bug("an_iterator_holds_no_segment", "capi", [[segment->references++;]], "")

bug("an_iterator_s_segments_are_leaked", "api",
  [[for (uint32_t i = 0; i < it->pin_count; i++) fj_segment_release(it->pins[i].segment);]], "")

bug("the_first_iterator_is_lost", "model",
  [[if (list->first != NULL) list->first->previous = it;]], "")

in_file "engine/sorted.c"

bug("a_prefix_sorts_anywhere", "api",
  [[return (a->key_size > b->key_size) - (a->key_size < b->key_size);]], [[return 0;]])

bug("in_key_order_values_are_not_checked", "damage",
  [[if (!header_only && !fj_record_check_value(record, seed)) return FREYJA_CORRUPT;]], "")

bug("keys_run_over_their_chunk", "api",
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

-- Backup and verify -----------------------------------------------------------------------------------------

in_file "engine/folder.c"

bug("a_backup_s_files_have_no_durable_name", "crash",
  [[int code = fj_sync_dir(os, folder->dir.fd);]], [[int code = 0;]])

bug("a_backup_s_folder_is_not_durable", "crash",
  [[freyja_status status = fj_folder_sync_parent(&folder->dir, error);]],
  [[freyja_status status = FREYJA_OK;]])

bug("a_backup_goes_where_something_is", "backup",
  [[if (code > 0) code = -ENOTEMPTY;]], [[if (code > 0) code = 0;]])

bug("a_backup_goes_into_its_store", "backup",
  [[if (!is_within(os, parent, &st)) return FREYJA_OK;]], [[return FREYJA_OK;]])

bug("a_backup_that_failed_leaves_files", "faults",
  [[(void)os->unlink(os->context, folder->dir.fd, name);]], "", "void fj_folder_abandon(")

bug("a_backup_that_failed_leaves_its_folder", "faults",
  [[if (folder->made) (void)os->remove_dir(os->context, folder->dir.path);]], "")

in_file "engine/backup.c"

bug("a_backup_s_copy_is_not_synced", "crash", [[if (code == 0) code = fj_sync(os, to);]], "")

bug("a_backup_s_link_is_not_synced", "crash", [[int code = fj_sync(os, file);]], [[int code = 0;]])

bug("a_backup_has_an_old_mark", "backup",
  [[if (done == 0 && count >= (int64_t)FJ_SEGMENT_HEADER) renew_mark(segment, backup->chunk);]], "")

bug("a_poisoned_store_is_copied", "faults",
  [[if (db->poisoned) return fj_store_check_write(db, error);]], "")

bug("a_copy_is_a_link", "backup",
  [[fj_backup backup = {.db = db, .links = options == NULL || !options->copy};]],
  [[fj_backup backup = {.db = db, .links = true};]])

in_file "engine/verify.c"

bug("verify_believes_values", "verify", [[in.values = v->audit.pass == 0;]], [[in.values = false;]])

bug("verify_believes_marks", "verify",
  [[if (mark < FJ_SEGMENT_HEADER || mark % FJ_RECORD_ALIGN != 0 || mark > end)]], [[if (0)]])

bug("verify_does_not_look_behind_the_end", "verify",
  [[if (size > 0 && !v->db->options.readonly)]], [[if (0)]])

bug("verify_takes_another_manifest", "verify",
  [[else if (!is_same_manifest(&manifest, &v->db->manifest))]], [[else if (0)]])

bug("verify_does_not_miss_a_file_s_end", "verify", [[if (file->reserved < end) {]], [[if (0) {]])

in_file "engine/inspect.c"

bug("verify_does_not_look_at_padding", "verify",
  [[if (whole && in->values && in->findings != NULL) check_padding(in, record);]], "")

in_file "engine/audit.c"

bug("the_index_s_order_is_not_checked", "audit", [[check_keydir(audit);]], "", "fj_audit_create(")

bug("an_older_record_in_the_index_is_passed_over", "audit",
  [[if (!later) return "the index points to an older record of this key (I1)";]], "")

bug("a_key_that_the_index_lacks_is_not_missed", "audit",
  [[if (audit->pending.count > 0 && !audit->hides)]], [[if (0)]])

bug("tombstones_explain_nothing", "verify",
  [[fj_positions_remove(&audit->pending, key_hash);]], ";")

in_file "engine/positions.c"

bug("a_removed_position_cuts_others_off", "verify",
  [[if (((i - home(set, set->slots[i])) & mask) < ((i - gap) & mask)) continue;]],
  [[continue;]])

in_file "engine/keydir.c"

bug("an_index_without_order_passes", "audit",
  [[else if (slot->hash < last) wrong = "the index is out of order (K1)";]], "")

-- The binding ------------------------------------------------------------------------------------------------

in_file "engine/lua/db.c"

bug("closing_says_nothing", "api",
  [[if (close_store(L, &error) != FREYJA_OK) return fjl_raise(L, &error);]],
  [[(void)close_store(L, &error);]])

bug("a_collected_store_is_not_closed", "api", [[(void)close_store(L, NULL);]], "")

bug("a_store_closed_meanwhile_is_read", "luastate",
  [[freyja *db = fjl_open_store(L, store);]], [[freyja *db = store->handle->db;]], "push_large(")

bug("a_large_value_is_short", "api",
  [[luaL_pushresultsize(&buffer, size <= capacity ? size : 0);]],
  [[luaL_pushresultsize(&buffer, capacity < 2048 ? capacity : capacity - 1);]])

bug("cas_takes_no_argument_for_nil", "api", [[luaL_checkany(L, index);]], "")

in_file "engine/lua/each.c"

bug("a_break_releases_nothing", "api", [[{"__close", iterator_close},]], "")

bug("an_iterator_does_not_keep_its_store", "luastate",
  [[(void)lua_setiuservalue(L, -2, 1);]], [[lua_pop(L, 1);]])

bug("an_ended_iterator_is_not_released", "api", [[(void)iterator_close(L);]], "")

in_file "engine/lua/handle.c"

bug("a_store_is_closed_twice", "api", [[object->handle = NULL;]], "", "void fjl_release(")

bug("lost_stores_stay_open", "luastate", [[if (handle->has_object) continue;]], [[continue;]])

bug("the_end_of_a_state_closes_nothing", "luastate", [[(void)close_lost(L, handles);]], "")

in_file "engine/lua/core.c"

bug("unknown_options_are_taken", "api",
  [[else (void)luaL_argerror(L, 2, lua_pushfstring(L, "unknown option '%s'", name));]], "")

bug("a_path_ends_at_a_zero", "api",
  [[luaL_argcheck(L, strlen(path) == size, 1, "the path contains a zero byte");]], "")

bug("an_option_wraps", "limits",
  [[return value < 0 || value > (lua_Integer)UINT32_MAX ? 0 : (uint32_t)value;]],
  [[return (uint32_t)value;]])

in_file "engine/lua/raise.c"

bug("errors_have_no_text", "open", [[lua_setfield(L, -2, "__tostring");]], [[lua_pop(L, 1);]])

return bugs
