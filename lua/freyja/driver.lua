--- Maintenance that runs by itself: the driver behind `maintenance = "auto"` and "background" of freyja.open.
--
-- The binding calls it after writes, each time that as many bytes were written as it asked for (a MiB, if nothing
-- presses). It then does a part of what is to be done, on the thread that writes: in a coroutine, which looks at the
-- store, does what the policy says, calls its hook, and yields whenever the step's share of bytes is spent. Nothing
-- that goes wrong there makes a write fail: `db:stats().maintenance` tells, and `on_error`, and the driver waits longer
-- each time.
--
-- In the background it is another thread that takes these steps (freyja.background), and who writes wakes it, and waits
-- for it where it cannot keep pace.
-- @module freyja.driver

local core <const> = require "freyja.core"
local maintenance <const> = require "freyja.maintenance"
local plain <const> = require "freyja.plain"

local M = {}

-- Why the binding calls: as fjl_occasion (engine/lua/binding.h).
local STEP <const>, REPORT <const>, CLOSE <const>, OPEN <const>, FAILED <const> = 0, 1, 2, 4, 5

local INTERVAL <const> = 1 << 20      -- bytes written between two steps, in a large store if nothing presses
local INTERVAL_MIN <const> = 4 << 10  -- and in a small one
local FACTOR_MAX <const> = 512         -- bytes of work for each byte written, if everything presses
local WORK_MIN <const> = 8 << 10      -- bytes of work in a step
local WORK_MAX <const> = 2 << 20      -- more would let a write wait too long
local CLOSE_MAX <const> = 16 << 20    -- bytes that are still read before a store is closed
local TOLD_MAX <const> = 8            -- calls of the hook between two looks, until one writes a hint file
local LOOKS_MAX <const> = 4           -- in a step
local SLOTS <const> = 16384           -- of the index that are looked at for what has expired, before a step may end
local SLOT_BYTES <const> = 32         -- what looking at one counts for, as bytes of work
local WAIT_MAX <const> = 1024         -- intervals, after many errors or merges in vain

-- In the background:
local PART <const> = 64 << 10         -- bytes of work, while which a write may have to wait
local LOOK <const> = 1000000          -- microseconds after which it looks by itself
local REST <const> = 50000            -- microseconds, where the other waits an interval
local LEAVE_MAX <const> = 50000       -- microseconds that it still works before the store is closed
local PATIENCE <const> = 10000        -- microseconds that a write waits for it

-- Times the live bytes, beside one segment: more than the files are to take. The pace is such that what is under way is
-- done before.
local SPACE <const> = 2.1

local EASY <const> = 1.5 -- and what they may take without any haste

local STEADY <const> = 0.9 -- of the speed with which room shrinks is believed for another step, while merges make room

local SHARE <const> = 0.2 -- of the live bytes, that a merge copies at once

-- ---- the pace ------------------------------------------------------------------------------

--- Bytes to be written between two steps, in a store of so many.
local function interval_for(bytes) return math.max(INTERVAL_MIN, math.min(INTERVAL, bytes // 64)) end

--- Bytes of work for this step and bytes to be written until the next one: as much as has to be read before anything is
-- freed, by what is under way or by what will follow it, while there is room for what is written meanwhile. Room may
-- shrink by more than is written: what is small may delete what is large. Where nothing presses, twice what was
-- written.
local function pace(state, bytes, live)
  local interval = interval_for(bytes)
  local spare = SPACE * live - bytes - state.to_write -- so that copies that are made change nothing
  local speed = math.max(1, ((state.spare or spare) - spare) / state.interval, state.speed * STEADY)
  local room = spare + state.segment_size
  state.spare, state.speed, interval = spare, speed, math.max(INTERVAL_MIN, interval // speed)
  local ahead = math.max(state.to_read, 0) + math.max(2 * (bytes - EASY * live), interval)
  local factor = math.max(2, speed * ahead / math.max(room, INTERVAL_MIN))
  local share = factor * interval
  if share <= WORK_MAX then return math.max(WORK_MIN, share), interval end
  return WORK_MAX, WORK_MAX / math.min(factor, FACTOR_MAX) // 1 | 0
end

--- What the rate leaves of so many bytes of work.
local function slow_down(state, db, work)
  if not state.rate then return work end
  local now = core.timer(db)
  local passed = (now - (state.time or now)) / 1000000
  state.time = now
  state.saved = math.min(state.saved + passed * state.rate, math.max(state.rate, WORK_MIN))
  return math.min(work, state.saved)
end

-- ---- in the coroutine ----------------------------------------------------------------------

--- So much of the step's share is spent; yields if nothing is left of it. Where the policy runs in a coroutine of its
-- own, or is called through C, it cannot, and the step takes longer.
local function spend(state, bytes)
  core.did()
  state.share = state.share - bytes
  if state.share <= 0 and coroutine.running() == state.thread and coroutine.isyieldable() then coroutine.yield() end
end

local function get_generation(db) return (select(3, core.pulse(db))) end

--- A merge is through: what it has freed.
local function count_merge(state, made)
  local report = state.report
  report.merges = report.merges + 1
  report.read, report.written = report.read + made.bytes, report.written + made.written
  state.merged = state.merged + made.bytes
  state.freed = state.freed + made.bytes - made.written
end

--- How many bytes of these segments are live, at most.
local function live_bytes_of(db, ids)
  local wanted, live = {}, 0
  for _, id in ipairs(ids) do wanted[id] = true end
  for _, segment in ipairs(core.peek(db)) do
    if wanted[segment.id] then live = live + segment.live_bytes end
  end
  return live
end

--- An open rewrite, as policies get it: it yields, and gives way to one of the program's.
local function slow_rewrite(state, db, ids)
  local rewrite = db:rewrite(ids)
  rewrite:give_way()
  local live, told, passed, committed = live_bytes_of(db, ids), 0, 0, false
  state.to_write, state.spare = live, nil -- what is to be written all of a sudden is no shrinking
  local methods = {}

  --- What was copied is read once more, to make the keys point to it.
  local function tell()
    local now = rewrite:progress()
    local spent = now.done - told
    told, passed = now.done, 0
    state.to_read, state.to_write = now.bytes - now.done + live, math.max(0, live - now.written)
    spend(state, spent)
  end

  function methods.step(_, bytes)
    local share = math.max(1, math.min(bytes or WORK_MAX, state.share) // 1 | 0)
    local more = rewrite:step(share)
    if committed then
      state.to_read = state.to_read - share
      spend(state, share)
    else
      tell()
    end
    return more
  end

  function methods.commit()
    while not committed and methods.step() do end
    rewrite:commit()
    if committed then return end
    committed, state.known = true, get_generation(db)
    local made = rewrite:progress()
    count_merge(state, made)
    state.to_read, state.to_write = made.written, 0
    spend(state, WORK_MAX) -- it has waited for the disk
  end

  function methods.records()
    local following, object = rewrite:records()
    return function()
      local record = following(object)
      passed = passed + (record and #record.key + #record.value + 64 or 0)
      if passed >= WORK_MIN // 16 then tell() end
      return record
    end
  end

  function methods.close() rewrite:close() end

  return setmetatable(methods, {
    __index = function(_, name)
      return rewrite[name] and function(_, ...) return rewrite[name](rewrite, ...) end
    end,
    __close = function() rewrite:close() end,
  })
end

--- The store as the policy gets it: what takes long yields, and segments are as they were counted.
local function make_proxy(state, db)
  local proxy
  local function merge(_, ids, options)
    local progress = options and options.progress
    local done = 0
    return maintenance.run_merge(proxy, ids, options or {}, function(spent, left)
      done = done + spent
      if progress then progress(done, done + left) end
    end)
  end
  local function hint(_, id)
    local more
    state.hinted = true
    repeat
      local share = math.max(1, math.min(state.share, WORK_MAX) // 1 | 0)
      more = core.hint_step(db, id, share)
      spend(state, share)
    until not more
  end
  proxy = maintenance.proxy(db, {
    merge = merge, hint = hint,
    rewrite = function(_, ids) return slow_rewrite(state, db, ids) end,
    segments = function() return core.peek(db) end,
  })
  return proxy
end

--- The segments of a group that are merged now: of one that is divisible the first, as their copies take space.
local function choose(db, group)
  if not group.divisible then return group.ids end
  local live_of, live, chosen = {}, 0, {}
  for _, segment in ipairs(core.peek(db)) do
    live_of[segment.id] = segment.live_bytes
    live = live + segment.live_bytes
  end
  local room = live * SHARE
  for i, id in ipairs(group.ids) do
    room = room - (live_of[id] or 0)
    if i > 1 and room < 0 then break end
    chosen[i] = id
  end
  return chosen
end

--- One look at the store, and what follows from it: one merge of a plan, or the policy's whole script; then, unless
-- space presses, calls of the hook until a hint file is written: others can wait.
local function work(state, db)
  local policy, proxy = state.policy, make_proxy(state, db)
  state.merged, state.freed, state.known = 0, 0, get_generation(db)
  while core.expire(db, SLOTS) do spend(state, SLOTS * SLOT_BYTES) end
  if policy.merge then
    policy.merge(proxy, state.settings)
  else
    local group = maintenance.plan(proxy, policy, state.settings)[1]
    if group then proxy:merge(choose(db, group), { filter = group.filter }) end
    local bytes, live = core.pulse(db)
    if group and state.freed > state.merged // 100 and bytes - state.segment_size > EASY * live then
      state.idle = false
      return
    end
  end
  state.hinted = false
  local function enough(told) return state.hinted or told == TOLD_MAX end
  local seen, told = maintenance.tell(proxy, policy, state.seen, core.peek(db), enough)
  state.seen = seen
  local idle = state.merged == 0 and told == 0
  if idle and not state.idle then maintenance.hook(policy)(proxy, "idle") end
  state.idle = idle
end

-- ---- from outside --------------------------------------------------------------------------

--- What went wrong, or was in vain: after it the next look waits, each time longer.
local function hold_off(state, count)
  state.failures = count
  state.wait = math.min(1 << math.min(count, 20), WAIT_MAX)
end

--- Gives up what it was doing, by what it has declared to be closed.
local function close_thread(thread)
  core.watch(thread, false)
  coroutine.close(thread)
  core.is_over()
end

--- Something went wrong.
local function fail(state, err)
  state.report.error, state.untold = err, err
  hold_off(state, state.failures + 1)
end

--- Whether something else has come first: a rewrite of the program's, or another thread's, that has taken what the
-- policy has chosen. Then it is to look again.
local function is_overtaken(state, db, err)
  local code = type(err) == "table" and err.code
  if code == "limit" then return get_generation(db) ~= state.known end -- there is no such segment any more
  return code == "conflict" or code == "closed"
end

--- The coroutine has ended, well or not.
local function finish(state, db, ok, err)
  local thread = state.thread
  state.thread, state.to_read, state.to_write = nil, 0, 0
  state.look = not state.idle
  if ok then
    local in_vain = state.merged > 0 and state.freed <= state.merged // 100
    if in_vain then hold_off(state, state.failures + 1)
    elseif state.merged > 0 then state.failures, state.report.error = 0, nil end
    return
  end
  close_thread(thread)
  if is_overtaken(state, db, err) then
    state.look, state.wait = true, 1
    return
  end
  state.look = true
  fail(state, err)
end

--- Goes on with what is under way.
local function go_on(state, db)
  core.watch(state.thread, not state.leaves) -- it may loop for ever
  local ok, err = coroutine.resume(state.thread, state, db)
  if core.is_over() then ok, err = false, "the policy runs for too long without doing anything" end
  if not ok or coroutine.status(state.thread) == "dead" then finish(state, db, ok, err) end
end

--- Whether a look at the segments may find something. It takes time in proportion to their number, so it waits for as
-- many intervals.
local function is_worth_looking(state, bytes, live, generation, segments, keys, due)
  state.steps = state.steps + 1
  if state.mode ~= "background" and state.steps <= segments // 64 then return false end
  local dead = bytes - live
  if due and state.steps * state.interval > keys * SLOT_BYTES // 8 then state.look = true end
  if generation ~= state.generation or dead - state.dead > bytes // 64 then state.look = true end
  if not state.look then return false end
  state.look, state.steps, state.generation, state.dead = false, 0, generation, dead
  return true
end

--- Begins what is to be done, if anything is.
local function begin(state, bytes, live, generation, segments, keys, due)
  if not state.thread and is_worth_looking(state, bytes, live, generation, segments, keys, due) then
    state.thread = coroutine.create(work)
  end
  return state.thread
end

--- One step. Returns the bytes to be written until the next.
local function step(state, db)
  if state.wait > 0 then
    state.wait, state.spare = state.wait - 1, nil
    return state.interval
  end
  if not core.take_charge(db) then -- another Lua state has the store open, too
    state.spare = nil
    return state.interval
  end
  state.segment_size = state.segment_size or db:stats().segment_size
  local bytes, live = core.pulse(db)
  local share, interval = pace(state, bytes, live)
  state.interval = interval
  if not begin(state, core.pulse(db)) then return interval end
  share = slow_down(state, db, share)
  if share <= 0 then return interval end
  state.share = share
  for _ = 1, LOOKS_MAX do
    go_on(state, db)
    if state.share <= 0 or state.wait > 0 or not begin(state, core.pulse(db)) then break end
  end
  state.saved = state.saved - (share - state.share)
  return interval
end

--- What stats().maintenance is.
local function make_report(state)
  local report = state.report
  return {
    mode = state.mode, policy = state.name, running = state.thread ~= nil, merges = report.merges, read = report.read,
    written = report.written, pending_bytes = math.max(0, state.to_read) // 1 | 0, failures = state.failures,
    error = report.error,
  }
end

--- Before the store is closed: the hook, and what is under way if there is not much left of it, so that a program gets
-- somewhere that opens a small store for a moment, again and again.
local function leave(state, db)
  if state.mode == "manual" then return end
  local left, start = CLOSE_MAX, core.timer(db)
  state.leaves = true
  while state.thread and state.to_read <= left and left > 0 do
    if state.mode == "background" and core.timer(db) - start > LEAVE_MAX then break end
    state.share = WORK_MAX
    left = left - WORK_MAX
    go_on(state, db)
  end
  local hook = coroutine.create(maintenance.hook(state.policy))
  core.watch(hook, false)
  coroutine.resume(hook, maintenance.proxy(db, {}), "close")
  core.is_over()
  if coroutine.status(hook) == "suspended" then close_thread(hook) end
end

-- ---- in the background -----------------------------------------------------------------------

--- A part of what is to be done, by the thread. Returns the microseconds that it may pause then.
local function work_on(state, db)
  local now = core.timer(db)
  if state.wait > 0 then state.rests, state.wait = now + state.wait * REST, 0 end
  if now < state.rests then return state.rests - now end
  if not core.take_charge(db) then return LOOK end -- another Lua state has the store open, too
  local share = slow_down(state, db, PART)
  if share <= 0 then return math.min(math.ceil((WORK_MIN - state.saved) / state.rate * 1000000), LOOK) end
  if not begin(state, core.pulse(db)) then return LOOK end
  state.share = share
  go_on(state, db)
  state.saved = state.saved - (share - state.share)
  return 0
end

--- Waits while there is more than there should be and the thread is at it. Returns the bytes to be written until the
-- next time.
local function catch_up(state, db)
  state.segment_size = state.segment_size or db:stats().segment_size
  local start = core.timer(db)
  while true do
    local bytes, live = core.pulse(db)
    local left = PATIENCE - (core.timer(db) - start)
    if bytes <= SPACE * live + state.segment_size or not core.await(db, left) then return interval_for(bytes) end
  end
end

--- An error as the thread has told it.
local function read_error(err) return type(err) == "table" and core.as_error(err) or err end

--- What the thread has told of itself.
local function read_report(db)
  local text, failure = core.report(db)
  local report = text == "" and {} or plain.read(text)
  report.error = read_error(report.error)
  if failure then report.running, report.error = false, failure end
  return report
end

--- Tells the program what has failed, if it wants to know.
local function tell_program(on_error, err)
  if on_error and err ~= nil then on_error(err) end
end

--- What the thread wants the program to be told.
local function take_failure(db)
  local text, failure = core.take_failure(db)
  return failure or text ~= "" and read_error(plain.read(text)) or nil
end

-- ---- making one ----------------------------------------------------------------------------

local MODES <const> = { auto = true, manual = true, background = true }

local function check(name, good, what)
  if not good then error(("option '%s' must be %s"):format(name, what), 0) end
end

--- What is to be maintained how, and what is known of it, by the options of freyja.open, which are checked: raises a
-- message about them.
local function make_state(options)
  local mode = options.maintenance
  if mode == nil then mode = "auto" end
  check("maintenance", MODES[mode], '"auto", "background" or "manual"')
  check("policy_settings", options.policy_settings == nil or type(options.policy_settings) == "table", "a table")
  check("rate", options.rate == nil or type(options.rate) == "number" and options.rate > 0,
    "a number (bytes a second) greater than 0")
  check("on_error", options.on_error == nil or type(options.on_error) == "function", "a function")
  check("policy", mode ~= "background" or options.policy == nil or type(options.policy) == "string",
    "a module's name, where maintenance is in the background")
  local policy, name = maintenance.check_policy(options.policy)
  local known, why = pcall(maintenance.check_settings, policy, options.policy_settings or {})
  if why == "not enough memory" then error(why, 0) end
  if not known then error("option 'policy_settings': " .. tostring(why), 0) end
  return {
    mode = mode, policy = policy, name = name, settings = options.policy_settings or {}, rate = options.rate,
    segment_size = options.segment_size,
    seen = {}, idle = true, look = true, steps = 1 << 30, dead = 0, generation = 0, -- when to look
    wait = 0, failures = 0, interval = INTERVAL, speed = 1, share = 0, saved = 0, to_read = 0, to_write = 0, -- the pace
    rests = 0, -- in the background, until then
    merged = 0, freed = 0, hinted = false, known = 0, -- since the last look; the generation then
    untold = nil, -- the error of which nobody was told
    leaves = false, -- the store is about to be closed
    report = { merges = 0, read = 0, written = 0 },
  }
end

--- The driver of a store that is maintained by the thread that writes, or not at all by itself.
local function make_own(state, on_error)
  return function(db, occasion)
    if occasion == REPORT then return make_report(state) end
    if occasion == CLOSE then return leave(state, db) end
    if occasion == maintenance.POLICY then return state.policy, state.settings end
    if occasion == FAILED then
      local err = state.untold
      state.untold = nil
      return tell_program(on_error, err)
    end
    assert(occasion == STEP)
    local ok, interval = pcall(step, state, db)
    if not ok then fail(state, interval) end
    if state.untold ~= nil and on_error then core.fail(db) end
    return ok and interval
  end
end

--- The driver of a store that another thread maintains. `text` is what that is started with.
local function make_owner(state, on_error, text)
  return function(db, occasion)
    if occasion == OPEN then return core.start(db, text) end
    if occasion == REPORT then return read_report(db) end
    if occasion == maintenance.POLICY then return state.policy, state.settings end
    if occasion == FAILED then return tell_program(on_error, take_failure(db)) end
    if occasion == CLOSE then return end -- the binding has the thread end
    assert(occasion == STEP)
    core.wake(db)
    return catch_up(state, db)
  end
end

--- A driver for the options of freyja.open, which are checked: raises a message about them.
-- @tparam table options maintenance, policy, policy_settings, rate, on_error
-- @treturn function for the binding
-- @treturn boolean whether writes call it
-- @treturn boolean whether open does
function M.make(options)
  options = options or {}
  local state = make_state(options)
  if state.mode ~= "background" then return make_own(state, options.on_error), state.mode == "auto", false end
  local plainly, text = pcall(plain.write, {
    maintenance = state.mode, policy = options.policy, policy_settings = options.policy_settings, rate = options.rate,
    segment_size = options.segment_size,
  })
  if not plainly then
    if text == "not enough memory" then error(text, 0) end
    error(("option 'policy_settings': %s, where maintenance is in the background"):format(text), 0)
  end
  return make_owner(state, options.on_error, text), true, true
end

--- What the thread does that maintains a store, with the options that M.make has written for it.
-- @treturn table step() -> microseconds to pause then, nil if there is no more to do ever; report() -> table, and the
--   error that is to be told, if there is one; leave(), before it ends
function M.make_worker(options, db)
  options.segment_size = options.segment_size or db:stats().segment_size
  local state = make_state(options)
  return {
    step = function()
      local ok, pause = pcall(work_on, state, db)
      if ok then return pause // 1 | 0 end
      fail(state, pause)
      if type(pause) == "table" and pause.code == "closed" then return nil end -- by the policy
      return REST
    end,
    report = function()
      local untold = state.untold
      state.untold = nil
      return make_report(state), untold
    end,
    leave = function()
      pcall(leave, state, db)
      if state.thread then close_thread(state.thread) end
    end,
  }
end

return M
