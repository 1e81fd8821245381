--- Maintenance: merging data files, and policies that say which and when.
--
-- A policy is a module (or any table) with
--
--     plan(segments, options)  ->  a list of groups {ids = {...}, reason = "..."}; it changes nothing
--     merge(db, options)           the script that does it; if it is missing, each group of the plan is merged
--     hint(db, event, segment)     what is done after an event; if it is missing, hint files are written
--
-- One with `defaults`, a table of its settings, and `optional`, the types of those without a default ("any": all), has
-- the names and types of settings checked.
--
-- A group may have a `filter`, as db:merge takes. That it is `divisible` says that a part of it is worth merging too,
-- its first segments; where maintenance runs by itself it then takes less space.
--
-- Events are "seal" and "merge", once for each segment that comes to be and has no hint file, and where maintenance
-- runs by itself "idle", when there was something to do and is nothing more, and "close", before the store is closed;
-- those two are about no segment.
--
-- `segments` is what `db:segments()` gives. Policies choose, the engine guarantees: whatever ids they ask for, that
-- costs time or space, or is an error, and never data.
-- @module freyja.maintenance

local arguments <const> = require "freyja.arguments"
local core <const> = require "freyja.core"

local M = {}

local bad_argument <const>, check_type <const> = arguments.bad, arguments.check_type
local check_store <const>, check_options <const> = arguments.check_store, arguments.check_options

local STEP <const> = 4 << 20      -- bytes that are read before progress is told
local RECORD_HEADER <const> = 24  -- bytes, beside key and value

M.POLICY = 3 -- what a driver is called with to tell its policy and settings

-- ---- arguments -----------------------------------------------------------------------------

local function check_ids(number, name, ids)
  for i = 1, #ids do
    if not math.tointeger(ids[i]) then bad_argument(number, name, "a list of segments' ids expected") end
  end
end

-- ---- merging -------------------------------------------------------------------------------

-- Options of merge and of hint, and what they must be. A policy's group may be given as options of merge.
local HINT_OPTIONS <const> = { progress = "function", step = "integer", rate = "number" }
local MERGE_OPTIONS <const> = {
  progress = "function", step = "integer", rate = "number", filter = "function", ids = "table", reason = "string",
}
local MAINTAIN_OPTIONS <const> = { rate = "number" }

--- What is called after each step with the bytes that it took and those that are left: tells of progress, and
-- sleeps so that no more than `rate` bytes a second are taken.
local function make_pause(db, options)
  local rate, progress = options.rate, options.progress
  local start, taken = rate and core.timer(db), 0
  return function(spent, left)
    taken = taken + spent
    if progress and left > 0 then progress(taken, taken + left) end
    if rate then core.sleep(db, math.floor(taken / rate * 1000000) - (core.timer(db) - start)) end
  end
end

--- One record after the other, as the filter says; a pause about every `step` bytes.
local function filter_records(rewrite, filter, step, pause)
  local passed, done = 0, 0
  for record in rewrite:records() do
    passed = passed + #record.key + #record.value + RECORD_HEADER
    if filter(record) then rewrite:keep(record) else rewrite:drop(record) end
    if passed >= step then
      local now = rewrite:progress()
      pause(now.done - done, now.bytes - now.done)
      passed, done = 0, now.done
    end
  end
  return done
end

--- Rewrites segments of a store, or of what stands for one, with the options `step` and `filter` of merge. `pause` is
-- called after each step with the bytes that were read and those that are left; it may raise.
function M.run_merge(db, ids, options, pause)
  local step = options.step or STEP
  local rewrite <close> = db:rewrite(ids)
  local done = options.filter and filter_records(rewrite, options.filter, step, pause) or 0
  while rewrite:step(step) do
    local now = rewrite:progress()
    pause(now.done - done, now.bytes - now.done)
    done = now.done
  end
  rewrite:commit()
  local made = rewrite:progress()
  pause(made.bytes - done, 0)
  while rewrite:step(step) do pause(0, 0) end
  return made
end

--- Rewrites segments: what is live of them is copied to new ones, and the old files go.
-- @param db a store
-- @tparam {integer,...} ids of sealed segments
-- @tparam[opt] table options progress: a function that gets the bytes that were read and those that there are, after
--   each `step` bytes (4 MiB); an error in it ends the merge, and nothing has happened. rate: bytes a second, at most.
--   filter: a function that gets each record {key, value, timestamp} and says whether it is kept, with the value that
--   it then has
-- @treturn table bytes, done, written, outputs: see freyja.Progress
function M.merge(db, ids, options)
  check_store(db, "merge")
  check_type(2, "merge", ids, "table")
  check_ids(2, "merge", ids)
  options = check_options(options, MERGE_OPTIONS, 3, "merge")
  local made = M.run_merge(db, ids, options, make_pause(db, options))
  if options.progress then options.progress(made.bytes, made.bytes) end
  return made
end

local function check_id(number, name, id)
  local found = id == nil and "no value" or math.type(id) and "number" or type(id)
  if found ~= "number" then bad_argument(number, name, "number expected, got " .. found) end
  if not math.tointeger(id) then bad_argument(number, name, "number has no integer representation") end
  return math.tointeger(id)
end

--- Writes the hint file of a sealed segment. Options: progress, step, rate as those of merge.
function M.hint(db, id, options)
  check_store(db, "hint")
  id = check_id(2, "hint", id)
  options = check_options(options, HINT_OPTIONS, 3, "hint")
  local step, pause = options.step or STEP, make_pause(db, options)
  while core.hint_step(db, id, step) do pause(step, 0) end
end

-- ---- policies ------------------------------------------------------------------------------

--- What `require` says, without all the places where there is none.
local function shorten(why)
  return type(why) == "string" and why:gsub("\n\tno [^\n]*", ""):gsub(":$", "") or why
end

--- The policy that a value stands for: the name of a module (`dead_ratio` is `freyja.policy.dead_ratio`), a table, a
-- function that plans, or nil for the default. Raises a message if it is none.
-- @return the policy, and its name
function M.policy(value)
  local policy = value == nil and "dead_ratio" or value
  local name = "?"
  if type(policy) == "string" then
    name = policy
    local ok, loaded = pcall(require, policy:find(".", 1, true) and policy or "freyja.policy." .. policy)
    if not ok then error(shorten(loaded), 0) end -- without a position in here
    policy = loaded
  end
  if type(policy) == "function" then policy = { plan = policy } end
  if type(policy) ~= "table" or type(policy.plan or policy.merge) ~= "function" then
    error(("the policy '%s' is no table with a function plan or merge"):format(name), 0)
  end
  return policy, policy.name or name
end

--- Raises a message if the settings have a name that the policy does not know, or a value of another type.
function M.check_settings(policy, settings)
  if type(policy.defaults) ~= "table" then return end
  local optional, of = policy.optional or {}, policy.name or "?"
  for name, value in pairs(settings) do
    local default = policy.defaults[name]
    local kind = optional[name] or default ~= nil and type(default)
    if not kind then error(("the policy '%s' has no setting '%s'"):format(of, tostring(name)), 0) end
    if kind ~= "any" and type(value) ~= kind then
      error(("the setting '%s' of the policy '%s' must be a %s"):format(name, of, kind), 0)
    end
  end
  if optional.policy then M.check_settings(M.policy(settings.policy), settings.settings or {}) end
end

local GROUP <const> = { ids = "table", reason = "string", divisible = "boolean", filter = "function" }

local function check_group(group)
  if type(group) ~= "table" or type(group.ids) ~= "table" then
    error("a policy's plan has a group without a list of ids", 0)
  end
  for name, value in pairs(group) do
    if GROUP[name] ~= type(value) then
      error(("a policy's plan has a group with a field '%s' that is none, or wrong"):format(tostring(name)), 0)
    end
  end
end

--- What a policy would merge now, checked as far as it can be without doing it; `db` is a store or a proxy.
-- @treturn {table,...} groups, each with a list of ids
function M.plan(db, policy, settings)
  local groups = policy.plan(db:segments(), settings or {})
  if type(groups) ~= "table" or groups.ids ~= nil then error("a policy's plan gave no list of groups", 0) end
  for _, group in ipairs(groups) do check_group(group) end
  return groups
end

--- As M.policy, but what it raises is a message in one line about an option, or Lua's own of no memory.
function M.check_policy(value)
  local found = table.pack(pcall(M.policy, value))
  if found[1] then return found[2], found[3] end
  local why = tostring(found[2])
  if why:find("not enough memory", 1, true) then error("not enough memory", 0) end
  error("option 'policy': " .. why, 0)
end

local function check_policy(number, name, value)
  local ok, policy = pcall(M.check_policy, value)
  if ok then return policy end
  if policy == "not enough memory" then error(policy, 0) end
  bad_argument(number, name, (policy:gsub("^option 'policy': ", "")))
end

local function check_settings(number, name, policy, settings)
  local ok, why = pcall(M.check_settings, policy, settings)
  if ok then return end
  if why == "not enough memory" then error(why, 0) end
  bad_argument(number, name, tostring(why))
end

--- The store as a policy sees it: `methods` in place of its own.
function M.proxy(db, methods)
  return setmetatable(methods, {
    __index = function(_, name)
      local method = db[name]
      return method and function(_, ...) return method(db, ...) end
    end,
    __len = function() return #db end,
  })
end

--- What a policy does after an event if it has no function `hint` of its own: writes the hint file that is missing, if
-- it is worth it. What is mostly dead will not be there for long.
function M.write_hint(db, _, segment)
  if not segment or segment.has_hint or segment.damaged or segment.dead_bytes > segment.bytes // 2 then return end
  db:hint(segment.id)
end

--- The hook of a policy: a function; it does nothing if the policy's `hint` is false.
function M.hook(policy)
  if policy.hint == nil then return M.write_hint end
  return policy.hint or function() end
end

--- Calls the hook for sealed segments without a hint file that are not in `seen`, until `enough`, which gets how many
-- were told of, says so.
-- @treturn table which segments are there and were told of, to be given the next time
-- @treturn integer for how many it was called
function M.tell(db, policy, seen, segments, enough)
  local hook, now, told = M.hook(policy), {}, 0
  for _, segment in ipairs(segments) do
    if segment.sealed and (seen[segment.id] or segment.has_hint) then
      now[segment.id] = true
    elseif segment.sealed and not enough(told) then
      told = told + 1
      now[segment.id], seen[segment.id] = true, true -- also if the hook raises
      hook(db, segment.merged and "merge" or "seal", segment)
    end
  end
  return now, told
end

--- The options of a merge or hint, with that rate if they give none.
local function slowed(options, rate)
  if not rate or options ~= nil and type(options) ~= "table" then return options end
  local copy = { rate = rate }
  for key, value in pairs(options or {}) do copy[key] = value end
  return copy
end

--- Merges what a policy asks for, once, and calls its hook for the segments that have no hint file.
-- @param db a store
-- @param[opt] policy see M.policy; the default is that of freyja.open
-- @tparam[opt] table settings of the policy
-- @tparam[opt] table options rate: bytes a second, at most
-- @treturn table merges, read, written: how many, and how many bytes
function M.maintain(db, policy, settings, options)
  check_store(db, "maintain")
  if settings ~= nil then check_type(3, "maintain", settings, "table") end
  options = check_options(options, MAINTAIN_OPTIONS, 4, "maintain")
  local driver = core.driver(db)
  local chosen
  if policy ~= nil or not driver then chosen = check_policy(2, "maintain", policy)
  else
    local own
    chosen, own = driver(db, M.POLICY)
    settings = settings or own
  end
  check_settings(3, "maintain", chosen, settings or {})
  local report = { merges = 0, read = 0, written = 0 }
  local function merge(_, ids, how)
    local made = M.merge(db, ids, slowed(how, options.rate))
    report.merges = report.merges + 1
    report.read = report.read + made.bytes
    report.written = report.written + made.written
    return made
  end
  local function hint(_, id, how) return M.hint(db, id, slowed(how, options.rate)) end
  local proxy = M.proxy(db, { merge = merge, hint = hint })
  if chosen.merge then
    chosen.merge(proxy, settings or {})
  else
    for _, group in ipairs(M.plan(proxy, chosen, settings)) do proxy:merge(group.ids, { filter = group.filter }) end
  end
  M.tell(proxy, chosen, {}, db:segments(), function() return false end)
  return report
end

return M
