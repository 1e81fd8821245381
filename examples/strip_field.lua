-- Takes a field out of all JSON objects in a store, while it is merged: nothing is written but the copies.
--
--   lua5.4 examples/strip_field.lua STORE FIELD [PREFIX]      only of keys that begin with PREFIX
--
-- A value that is no JSON object stays as it is; so does one that lua-cjson, which this needs, would not write as it
-- was: it knows 14 digits of a number, and takes an empty array for an empty object.

local cjson = require "cjson.safe"
local freyja = require "freyja"

local DIGITS <const> = 14

local function survives(text)
  for number in text:gmatch "[%d.]+" do
    if select(2, number:gsub("%d", "")) > DIGITS then return false end
  end
  return not text:find "%[%s*%]"
end

-- The value without the field; nil if it has none; false if it should not be touched.
local function strip(value, field)
  local object = cjson.decode(value)
  if type(object) ~= "table" or object[field] == nil then return nil end
  if not survives(value) then return false end
  object[field] = nil
  return cjson.encode(object) or false
end

local function sealed(db)
  local ids = {}
  for _, segment in ipairs(db:segments()) do
    if segment.sealed then ids[#ids + 1] = segment.id end
  end
  return ids
end

-- Nothing has happened until the commit, so that an error, or a kill, in the middle leaves all as it was.
local function strip_all(db, field, prefix)
  local counts = { done = 0, without = 0, left = 0 }
  db:rotate() -- the data file that is being written can be rewritten, too
  local rewrite <close> = db:rewrite(sealed(db))
  for record in rewrite:records() do
    local value = nil
    if record.key:sub(1, #prefix) == prefix then value = strip(record.value, field) end
    local outcome = value and "done" or value == nil and "without" or "left"
    counts[outcome] = counts[outcome] + 1
    if value then record.value = value end
    rewrite:keep(record)
  end
  rewrite:commit()
  return counts
end

local function main(path, field, prefix)
  if not field then return nil, "STORE FIELD [PREFIX]" end
  local db <close>, problem = freyja.open(path, { create = false })
  if not db then return nil, tostring(problem) end
  if #db == 0 then return nil, "the store is empty" end
  local before = db:stats().bytes
  local counts = strip_all(db, field, prefix or "")
  print(("%d values without '%s' now, %d had none, %d stay as they are; %d bytes, were %d"):format(counts.done, field,
    counts.without, counts.left, db:stats().bytes, before))
  return true
end

local ok, status, message = xpcall(main, tostring, ...)
if not ok then status, message = nil, status end
if not status then
  io.stderr:write("strip_field: ", message, "\n")
  os.exit(1, true)
end
