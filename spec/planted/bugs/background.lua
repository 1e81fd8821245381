--- Bugs to plant where a thread maintains a store; see spec/planted/bugs.lua.

local in_file, bug = ...

in_file "engine/lua/watch.c"

bug("an_error_ends_what_catches_it", "background", [[lua_sethook(L, look, LUA_MASKCOUNT, 1);]], "")

bug("a_store_is_closed_and_its_policy_goes_on", "background",
  [[bool ends = watch->heeds && watch->ends != NULL && fj_observe(watch->ends);]], [[bool ends = false;]])

in_file "engine/lua/background.c"

bug("nobody_is_told", "background", [[fj_publish(&background->has_failed, 1);]], "", "fjl_tell")

bug("what_wakes_is_not_seen", "background",
  [[while (!background->is_woken && !background->ends)]], [[while (!background->ends)]])

in_file "engine/lua/db.c"

bug("a_thread_outlives_its_store", "background",
  [[if (object->handle != NULL) fjl_background_stop(L, object->handle);]],
  [[if (object->handle != NULL) object->handle->background = NULL;]])

in_file "lua/freyja/driver.lua"

bug("a_thread_sleeps_until_it_is_woken", "background",
  [[if not begin(state, core.pulse(db)) then return LOOK end]],
  [[if not begin(state, core.pulse(db)) then return 1 << 40 end]])

bug("an_error_is_a_table_like_others", "background",
  [[local function read_error(err) return type(err) == "table" and core.as_error(err) or err end]],
  [[local function read_error(err) return err end]])

bug("segments_of_the_default_size_are_not_known", "background",
  [[options.segment_size = options.segment_size or db:stats().segment_size]], "")

bug("who_was_overtaken_complains", "background",
  [[if code == "limit" then return get_generation(db) ~= state.known end -- there is no such segment any more]], "")

in_file "engine/maintain.c"

bug("hint_files_are_begun_for_ever", "hint", [[bytes = UINT64_MAX;]], "(void)bytes;", "fj_store_hint_step")

in_file "lua/freyja/plain.lua"

bug("a_function_is_left_out", "background",
  [[error(("a %s is no plain value"):format(kind), 0)]], [[out[#out + 1] = "nil"]])

in_file "engine/lua/change.c"

bug("what_is_done_raises", "background",
  [[fjl_find_object(L, fjl_store_kind); /* it is done: nothing raises */]],
  [[fjl_check_object(L, fjl_store_kind);]])
