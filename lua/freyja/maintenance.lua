--- Maintenance: merging data files, and policies that say which and when.
--
-- A policy is a module (or any table) with
--
--     plan(segments, options)  ->  a list of groups {ids = {...}, reason = "..."}; it changes nothing
--     merge(db, options)           the script that does it; if it is missing, each group of the plan is merged
--
-- `segments` is what `db:segments()` gives. Policies choose, the engine guarantees: whatever ids they ask for, that
-- costs time or space, or is an error, and never data.
-- @module freyja.maintenance

local core <const> = require "freyja.core"

local M = {}

local STEP <const> = 4 << 20 -- bytes that are read before progress is told

-- ---- arguments -----------------------------------------------------------------------------

--- Raises as Lua's own library does, about an argument of the function two levels up, also where that was called as a
-- method.
local function bad_argument(number, name, message)
  local as_method = debug.getinfo(3, "n").namewhat == "method"
  if as_method then number = number - 1 end
  local what = number == 0 and "calling '%s' on bad self (%s)" or "bad argument #" .. number .. " to '%s' (%s)"
  error(what:format(name, message), 4)
end

local function check_type(number, name, value, expected)
  if type(value) == expected then return end
  local found = value == nil and "no value" or math.type(value) and "number" or type(value)
  bad_argument(number, name, expected .. " expected, got " .. found)
end

local function check_store(db, name)
  if not core.is_store(db) then
    bad_argument(1, name, "freyja.db expected, got " .. (db == nil and "no value" or type(db)))
  end
  return #db -- raises if it is closed
end

local function check_ids(number, name, ids)
  for i = 1, #ids do
    if not math.tointeger(ids[i]) then bad_argument(number, name, "a list of segments' ids expected") end
  end
end

-- ---- merging -------------------------------------------------------------------------------

-- Options of merge, and what they must be. A policy's group may be given as options.
local MERGE_OPTIONS <const> = { progress = "function", step = "integer", ids = "table", reason = "string" }

local function check_options(options, kinds, number, name)
  for key, value in pairs(options) do
    local kind = kinds[key]
    if not kind then bad_argument(number, name, ("unknown option '%s'"):format(tostring(key))) end
    if kind == "integer" and not (math.type(value) == "integer" and value > 0) then
      bad_argument(number, name, ("option '%s' must be a positive integer"):format(key))
    elseif kind ~= "integer" and type(value) ~= kind then
      bad_argument(number, name, ("option '%s' must be a %s"):format(key, kind))
    end
  end
end

--- Rewrites segments: what is live of them is copied to new ones, and the old files go.
-- @param db a store
-- @tparam {integer,...} ids of sealed segments
-- @tparam[opt] table options progress: a function that gets the bytes that were read and those that there are, after
--   each `step` bytes (4 MiB); an error in it ends the merge, and nothing has happened
-- @treturn table bytes, done, written, outputs: see freyja.Progress
function M.merge(db, ids, options)
  check_store(db, "merge")
  check_type(2, "merge", ids, "table")
  check_ids(2, "merge", ids)
  if options ~= nil then
    check_type(3, "merge", options, "table")
    check_options(options, MERGE_OPTIONS, 3, "merge")
  end
  local step = options and options.step or STEP
  local progress = options and options.progress
  local rewrite <close> = db:rewrite(ids)
  while rewrite:step(step) do
    if progress then
      local now = rewrite:progress()
      progress(now.done, now.bytes)
    end
  end
  rewrite:commit()
  local made = rewrite:progress()
  while rewrite:step(step) do end
  if progress then progress(made.bytes, made.bytes) end
  return made
end

-- ---- policies ------------------------------------------------------------------------------

--- The policy that a value stands for: the name of a module (`dead_ratio` is `freyja.policy.dead_ratio`), a table, a
-- function that plans, or nil for the default. Raises a message if it is none.
-- @return the policy, and its name
function M.policy(value)
  local policy = value == nil and "dead_ratio" or value
  local name = "?"
  if type(policy) == "string" then
    name = policy
    local ok, loaded = pcall(require, policy:find(".", 1, true) and policy or "freyja.policy." .. policy)
    if not ok then error(loaded, 0) end -- without a position in here
    policy = loaded
  end
  if type(policy) == "function" then policy = { plan = policy } end
  if type(policy) ~= "table" or type(policy.plan or policy.merge) ~= "function" then
    error(("the policy '%s' is no table with a function plan or merge"):format(name), 0)
  end
  return policy, policy.name or name
end

--- What a policy would merge now, checked as far as it can be without doing it.
-- @treturn {table,...} groups, each with a list of ids
function M.plan(db, policy, settings)
  local groups = policy.plan(db:segments(), settings or {})
  if type(groups) ~= "table" then error("a policy's plan gave no list of groups", 0) end
  for _, group in ipairs(groups) do
    if type(group) ~= "table" or type(group.ids) ~= "table" then
      error("a policy's plan has a group without a list of ids", 0)
    end
  end
  return groups
end

local function check_policy(number, name, value)
  local ok, policy = pcall(M.policy, value)
  if ok then return policy end
  local why = tostring(policy)
  if why:find("not enough memory", 1, true) then error("not enough memory", 0) end
  bad_argument(number, name, (why:gsub("\n\tno [^\n]*", ""))) -- without all the places where there is none
end

--- Merges what a policy asks for, once.
-- @param db a store
-- @param[opt] policy see M.policy; the default is "dead_ratio"
-- @tparam[opt] table settings of the policy
-- @treturn table merges, read, written: how many, and how many bytes
function M.maintain(db, policy, settings)
  check_store(db, "maintain")
  if settings ~= nil then check_type(3, "maintain", settings, "table") end
  local chosen = check_policy(2, "maintain", policy)
  local report = { merges = 0, read = 0, written = 0 }
  local proxy = setmetatable({
    merge = function(_, ids, options)
      local made = M.merge(db, ids, options)
      report.merges = report.merges + 1
      report.read = report.read + made.bytes
      report.written = report.written + made.written
      return made
    end,
  }, {
    __index = function(_, name)
      return function(_, ...) return db[name](db, ...) end
    end,
    __len = function() return #db end,
  })
  if chosen.merge then
    chosen.merge(proxy, settings or {})
  else
    for _, group in ipairs(M.plan(db, chosen, settings)) do proxy:merge(group.ids) end
  end
  return report
end

return M
