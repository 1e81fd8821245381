-- Takes the lines of a large text into a store, and follows that from another process.
--
--   lua5.4 examples/import.lua load STORE FILE [LINES]    LINES (default: 50000) at a time, as bulk loads
--   lua5.4 examples/import.lua follow STORE COUNT         says how many lines are there, until there are so many
--
-- Each bulk load takes place as a whole: who follows sees all of its lines, or none. An import that was killed is gone
-- on with behind the last load that it has made.

local freyja = require "freyja"
local luv = require "luv"

local function key_of(number) return ("line:%010d"):format(number) end

-- The next lines of the file as an iterator for a load; how many they were is in `counted`.
local function some_lines(file, from, most, counted)
  local number = from
  return function()
    if number - from == most then return nil end
    local line = file:read "l"
    if not line then return nil end
    number = number + 1
    counted.lines = number - from
    return key_of(number), line
  end
end

local function import(path, name, most)
  local file <close>, why = io.open(name)
  if not file then return why end
  local db <close>, problem = freyja.open(path, { maintenance = "manual" })
  if not db then return tostring(problem) end
  local lines = db:count "line:"
  for _ = 1, lines do file:read "l" end
  local before, counted = lines, {}
  repeat
    counted.lines = 0
    db:load(some_lines(file, lines, most, counted))
    lines = lines + counted.lines
  until counted.lines < most
  print(("%d lines more, %d in all"):format(lines - before, lines))
end

local function follow(path, count)
  local db <close>, problem = freyja.open(path, { readonly = true })
  if not db then return tostring(problem) end
  local lines = 0
  repeat
    if #db ~= lines then
      lines = #db
      print(("%d lines, the last one %s"):format(lines, db:get(key_of(lines))))
    end
    luv.sleep(10)
    db:refresh()
  until #db >= count and #db == lines
end

local function main(command, path, argument, most)
  if command == "load" and argument then return import(path, argument, tonumber(most or 50000)) end
  if command == "follow" and argument then return follow(path, tonumber(argument)) end
  return "load STORE FILE [LINES] | follow STORE COUNT"
end

local problem = main(table.unpack(arg))
if problem then
  io.stderr:write("import: ", problem, "\n")
  os.exit(false)
end
