--- Values that one Lua state hands to another: nil, booleans, numbers, strings, and tables of those.
-- @module freyja.plain

local M = {}

local DEPTH_MAX <const> = 32 -- of tables in tables

local function put(out, value, depth)
  local kind = type(value)
  if kind == "table" then
    if depth == 0 then error("tables are nested too deeply", 0) end
    if getmetatable(value) ~= nil then error("a table with a metatable is no plain value", 0) end
    out[#out + 1] = "{"
    for key, field in next, value do
      out[#out + 1] = "["
      put(out, key, depth - 1)
      out[#out + 1] = "]="
      put(out, field, depth - 1)
      out[#out + 1] = ","
    end
    out[#out + 1] = "}"
  elseif kind == "nil" or kind == "boolean" or kind == "number" or kind == "string" then
    out[#out + 1] = ("%q"):format(value)
  else
    error(("a %s is no plain value"):format(kind), 0)
  end
end

--- A text that stands for the value; raises a message if it is none of those.
function M.write(value)
  local out = {}
  put(out, value, DEPTH_MAX)
  return table.concat(out)
end

--- The value that a text of M.write stands for.
function M.read(text) return assert(load("return " .. text, "=plain", "t", {}))() end

return M
