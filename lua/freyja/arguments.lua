--- Checks of arguments, for what of the store's methods is written in Lua: they raise as Lua's own library does, about
-- the function that calls them.
-- @module freyja.arguments

local core <const> = require "freyja.core"

local M = {}

--- Raises as Lua's own library does, about an argument of the function two levels up, also where that was called as a
-- method.
function M.bad(number, name, message)
  local as_method = debug.getinfo(3, "n").namewhat == "method"
  if as_method then number = number - 1 end
  local what = number == 0 and "calling '%s' on bad self (%s)" or "bad argument #" .. number .. " to '%s' (%s)"
  error(what:format(name, message), 4)
end

--- Raises unless the value is of that type.
function M.check_type(number, name, value, expected)
  if type(value) == expected then return end
  local found = value == nil and "no value" or math.type(value) and "number" or type(value)
  M.bad(number, name, expected .. " expected, got " .. found)
end

--- Raises unless it is an open store.
function M.check_store(db, name)
  if not core.is_store(db) then
    M.bad(1, name, "freyja.db expected, got " .. (db == nil and "no value" or type(db)))
  end
  core.check_open(db)
end

--- Whether it is a number without a fraction, of at least that.
local function is_whole(value, least)
  return type(value) == "number" and math.tointeger(value) ~= nil and value >= least
end

--- The options, or {}: a table or nil. `kinds` says of each option what it must be: a type, "integer" (of at least 1),
-- "count" (of at least 0) or "number" (greater than 0).
function M.check_options(options, kinds, number, name)
  if options == nil then return {} end
  if type(options) ~= "table" then
    M.bad(number, name, "table expected, got " .. (math.type(options) and "number" or type(options)))
  end
  for key, value in pairs(options) do
    local kind = kinds[key]
    if not kind then M.bad(number, name, ("unknown option '%s'"):format(tostring(key))) end
    if kind == "integer" and not is_whole(value, 1) then
      M.bad(number, name, ("option '%s' must be a positive integer"):format(key))
    elseif kind == "count" and not is_whole(value, 0) then
      M.bad(number, name, ("option '%s' must be an integer of at least 0"):format(key))
    elseif kind == "number" and not (type(value) == "number" and value > 0) then
      M.bad(number, name, ("option '%s' must be a number greater than 0"):format(key))
    elseif kind ~= "integer" and kind ~= "count" and type(value) ~= kind then
      M.bad(number, name, ("option '%s' must be a %s"):format(key, kind))
    end
  end
  return options
end

return M
