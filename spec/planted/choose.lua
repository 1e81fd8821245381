--- Prints the names of the planted bugs that spec/planted/run's arguments choose, one a line.

local bugs = dofile "spec/planted/bugs.lua"

local function fail(...)
  io.stderr:write("spec/planted/run: ", string.format(...), "\n")
  os.exit(2)
end

local by_name = {}
for number, bug in ipairs(bugs) do
  if by_name[bug.name] then fail("two bugs are called %s", bug.name) end
  by_name[bug.name], by_name[tostring(number)] = bug, bug
end

--- `count` of the list, from a place that moves by as many each day: all have their turn. They
--- lie apart, so that they are of different files.
local function rotate(count)
  local day = math.tointeger(tonumber(os.getenv "FREYJA_DAY" or os.time() // 86400))
  if not day or not count or count < 1 then fail("--rotate takes a number") end
  local chosen = {}
  local step = (#bugs + count - 1) // count
  for i = 0, count - 1 do
    local number = day % step + i * step + 1
    if bugs[number] then chosen[#chosen + 1] = bugs[number] end
  end
  local names = {}
  for i, bug in ipairs(chosen) do names[i] = bug.name end
  io.stderr:write(("day %d: %s\n"):format(day, table.concat(names, " ")))
  return chosen
end

local chosen = {}
if #arg == 0 or arg[1] == "all" then
  chosen = bugs
elseif arg[1] == "--rotate" then
  chosen = rotate(math.tointeger(tonumber(arg[2])))
else
  for i, name in ipairs(arg) do
    chosen[i] = by_name[name] or fail("there is no planted bug %s", name)
  end
end
for _, bug in ipairs(chosen) do print(bug.name) end
