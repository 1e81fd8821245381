--- Bugs in maintenance that runs by itself.

local in_file, bug = ...

in_file "engine/lua/upkeep.c"

bug("a_policy_drives_itself", "maintenance",
  [[if (store->handle->driving || !lua_checkstack(L, 4)) return;]], [[if (!lua_checkstack(L, 4)) return;]])

bug("a_driver_never_comes_again", "maintenance",
  [[if (next > 0) store->handle->until_step = next;]], [[store->handle->until_step = LUA_MAXINTEGER;]])

bug("nothing_is_done_before_a_store_is_closed", "maintenance",
  [[call_driver(L, store, FJL_CLOSE);]], "")

in_file "engine/lua/change.c"

bug("puts_are_not_counted", "maintenance",
  [[if (status != FREYJA_OK) return fjl_raise(L, &error);
  fjl_wrote(L, store, FJL_RECORD_HEADER + key_size + value_size);]],
  [[if (status != FREYJA_OK) return fjl_raise(L, &error);]])

in_file "engine/rewrite.c"

bug("no_rewrite_gives_way", "maintenance",
  [[if (!rewrite->gives_way && !fj_rewrite_is_committed(rewrite)) return FREYJA_OK;]],
  [[if (rewrite != NULL) return FREYJA_OK;]])

bug("every_rewrite_gives_way", "rewrite",
  [[if (!rewrite->gives_way && !fj_rewrite_is_committed(rewrite)) return FREYJA_OK;]], "")

in_file "lua/freyja/driver.lua"

bug("a_wrong_policy_is_tried_all_the_time", "maintenance",
  [[state.wait = math.min(1 << math.min(count, 20), WAIT_MAX)]], [[state.wait = 0]])

bug("a_policy_may_loop_for_ever", "maintenance",
  [[core.watch(state.thread, not state.leaves) -- it may loop for ever]], "")

bug("work_has_no_end", "maintenance",
  [[state.share = state.share - bytes]], [[state.share = state.share + bytes]])

bug("the_space_is_not_looked_at_again", "maintenance",
  [[state.look = not state.idle]], [[state.look = false]])

bug("what_has_expired_is_not_forgotten", "maintenance",
  [[while core.expire(db, SLOTS) do spend(state, SLOTS * SLOT_BYTES) end]], "")

in_file "lua/freyja/maintenance.lua"

bug("a_hook_is_called_again_and_again", "maintenance",
  [[if segment.sealed and (seen[segment.id] or segment.has_hint) then]],
  [[if segment.sealed and segment.has_hint then]])

bug("a_filter_is_not_asked", "policy",
  [[if filter(record) then rewrite:keep(record) else rewrite:drop(record) end]],
  [[rewrite:keep(record)]])

in_file "lua/freyja/policy/dead_ratio.lua"

bug("tombstones_count_as_dead", "policy",
  [[local dead = math.max(0, segment.dead_bytes - kept)]],
  [[local dead = segment.dead_bytes]])
