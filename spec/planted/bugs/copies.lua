--- Bugs to plant in backups, verify and the binding; see spec/planted/bugs.lua.

local in_file, bug = ...

-- Backup and verify -----------------------------------------------------------------------------------------

in_file "engine/folder.c"

bug("a_backup_s_files_have_no_durable_name", "crash",
  [[int code = fj_sync_dir(os, folder->dir.fd);]], [[int code = 0;]])

bug("a_backup_s_folder_is_not_durable", "crash",
  [[freyja_status status = fj_folder_sync_parent(&folder->dir, folder->made, error);]],
  [[freyja_status status = FREYJA_OK;]])

bug("a_backup_goes_where_something_is", "backup",
  [[if (code > 0) code = -ENOTEMPTY;]], [[if (code > 0) code = 0;]])

bug("a_backup_goes_into_its_store", "backup",
  [[if (!is_within(os, first, &st)) return FREYJA_OK;]], [[return FREYJA_OK;]])

bug("a_link_leads_a_backup_into_its_store", "backup",
  [[code = dir->fd >= 0 ? os->open_dir(os->context, dir->fd, ".", &first)
                        : open_parent(dir, &first);]],
  [[code = open_parent(dir, &first);]])

bug("a_backup_s_folder_is_not_locked", "intruder",
  [[if (status == FREYJA_OK) status = lock_folder(folder, error);]], "")

bug("a_backup_goes_to_a_store_made_meanwhile", "intruder",
  [[if (status == FREYJA_OK) status = check_empty(&folder->dir, true, error);]], "")

bug("a_backup_that_failed_leaves_files", "faults",
  [[(void)os->unlink(os->context, folder->dir.fd, name);]], "", "void fj_folder_abandon(")

bug("a_backup_that_failed_leaves_its_folder", "faults",
  [[if (folder->made) (void)os->remove_dir(os->context, folder->dir.path);]], "")

in_file "engine/backup.c"

bug("a_backup_takes_space_for_what_is_not_there", "fuzz_data",
  [[if (size > there) size = there;]], "")

bug("only_a_file_s_first_piece_is_backed_up", "crash",
  [[done += (uint64_t)count;]], [[done = size;]])

bug("the_second_piece_of_a_backup_goes_elsewhere", "crash",
  [[code = fj_write(os, to, &part, 1, done);]], [[code = fj_write(os, to, &part, 1, done / 2);]])

bug("a_backup_s_copy_is_not_synced", "crash", [[if (code == 0) code = fj_sync(os, to);]], "")

bug("a_backup_s_link_is_not_synced", "brought", [[int code = fj_sync(os, file);]], [[int code = 0;]])

bug("a_backup_goes_on_with_the_store_s_ids", "backup", [[made->next_id += steps[0];]], "")

bug("a_backup_goes_on_in_a_copied_file", "backup",
  [[entry.size = sealed_size(&db->manifest.entries[i], segment);]],
  [[entry.size = db->manifest.entries[i].size;]])

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
  [[else if (!is_same_manifest(&manifest, &v->db->manifest) &&
           !is_failed_rotation(v->db, &manifest))]], [[else if (0)]])

bug("verify_takes_a_failed_rotation_for_damage", "audit",
  [[if (!db->poisoned || !is_same_store(disk, memory) ||]], [[if (!is_same_store(disk, memory) || 1 ||]])

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

bug("an_index_without_order_passes", "keydir",
  [[else if (slot->hash < last) wrong = "the index is out of order (K1)";]], "")

-- Repair ---------------------------------------------------------------------------------------------------

in_file "engine/repair.c"

bug("a_repaired_store_cannot_be_opened", "collision",
  [[return bits < 64 && keys * (keys >> bits) > COLLISIONS_MAX ? 64 : bits;]], [[return bits;]])

bug("any_file_may_be_torn", "repair_bare", [[if (!file->whole && file->size > FJ_SEGMENT_HEADER) active = i;]],
  [[if (i == 0 || file->written_as > r->salvage.files[active].written_as) active = i;]])

bug("a_repair_brings_back_what_a_filter_dropped", "repair_bare",
  [[if (readable && *same && is_copy(r, found, record)) r->progress[r->current].replaced = true;]],
  "(void)is_copy;")

bug("a_repair_loses_what_a_copy_has_lost", "repair_bare",
  [[bool dropped = r->progress[r->current].replaced && !r->index.has_unknown;]],
  [[bool dropped = r->progress[r->current].replaced;]])

in_file "engine/salvage.c"

bug("repair_takes_what_was_not_committed", "repair_bare",
  [[useful && !salvage->has_manifest && fj_segment_is_unclaimed(header.bytes);]], [[false;]])

bug("repair_takes_half_a_load", "repair_bare",
  [[bsearch(&file->began, ends, claimed, sizeof *ends, compare_numbers) == NULL;]], [[true; (void)claimed;]])

in_file "engine/repair.c"

bug("repair_drops_in_silence", "repair_bare", [[if (r->progress[i].left > 0) tell_left(r, i);]], [[(void)tell_left;]])

in_file "engine/backup.c"

bug("a_backup_shares_what_is_not_claimed", "repair_bare",
  [[if (backup->links && !segment->unclaimed) {]], [[if (backup->links) {]])

bug("a_backup_is_not_claimed", "repair_bare",
  [[if (status == FREYJA_OK) status = claim_copies(backup, made, error);]], [[(void)claim_copies;]])

in_file "engine/salvage.c"

bug("repair_believes_an_older_manifest", "repair",
  [[if (witness.id == 0 && witness.missing == 0) return sort_entries(salvage, error);]],
  [[return sort_entries(salvage, error);]])

-- The binding ------------------------------------------------------------------------------------------------

in_file "engine/lua/db.c"

bug("closing_says_nothing", "luastate",
  [[if (close_store(L, &error) != FREYJA_OK) return fjl_raise(L, &error);]],
  [[(void)close_store(L, &error);]])

bug("a_collected_store_is_not_closed", "api", [[(void)close_store(L, NULL);]], "")

bug("a_store_closed_meanwhile_is_read", "luastate",
  [[freyja *db = fjl_open_store(L, store);]], [[freyja *db = store->handle->db;]], "get_from_store(")

bug("a_large_value_is_short", "api",
  [[luaL_pushresultsize(&buffer, size <= capacity ? size : 0);]],
  [[luaL_pushresultsize(&buffer, capacity < 2048 ? capacity : capacity - 1);]])

in_file "engine/lua/change.c"

bug("cas_takes_no_argument_for_nil", "api", [[luaL_checkany(L, index);]], "")

in_file "engine/lua/each.c"

bug("a_break_releases_nothing", "api", [[{"__close", iterator_close},]], "")

bug("an_iterator_does_not_keep_its_store", "api",
  [[(void)lua_setiuservalue(L, -2, 1);]], [[lua_pop(L, 1);]])

bug("an_ended_iterator_is_not_released", "api", [[(void)iterator_close(L);]], "")

in_file "engine/lua/handle.c"

bug("a_store_is_closed_twice", "api", [[object->handle = NULL;]], "", "void fjl_release(")

bug("lost_stores_stay_open", "luastate", [[if (handle->has_object) continue;]], [[continue;]])

bug("the_end_of_a_state_closes_nothing", "luastate", [[(void)close_lost(L, handles);]], "")

in_file "engine/lua/core.c"

bug("unknown_options_are_taken", "api",
  [[(void)luaL_argerror(L, 2, lua_pushfstring(L, "unknown option '%s'", name));]], ";")

bug("a_path_ends_at_a_zero", "api",
  [[luaL_argcheck(L, strlen(path) == size, 1, "the path contains a zero byte");]], "")

bug("an_option_wraps", "limits",
  [[if (value >= 0 && value <= (lua_Integer)UINT32_MAX) return (uint32_t)value;]],
  [[return (uint32_t)value;]])

bug("an_option_is_told_as_another", "limits",
  [[(LUAI_UACINT)value, range->unit, range->least, range->most);]],
  [[(LUAI_UACINT)0, range->unit, range->least, range->most);]])

in_file "engine/lua/raise.c"

bug("errors_have_no_text", "open", [[lua_setfield(L, -2, "__tostring");]], [[lua_pop(L, 1);]])
