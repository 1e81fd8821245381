--- What followers cost a writer: random keys are put, in turn with nobody else in the store, with a process that
--- follows it and refreshes a hundred times a second, and with one that refreshes without a pause. Beside each two
--- floors: that the other process follows a store to which nobody writes; and that it also reads 10,000 records of a
--- third store each time, about as many as are written meanwhile: what sharing the machine with it costs.
--- Printed are puts per second and ratios, medians of the turns.
---   lua5.4 spec/bench/following.lua [--dir FOLDER] [--keys N] [--puts N] [--turns N]

local freyja <const> = require "freyja"
local core <const> = require "freyja.core"

local options = { dir = os.getenv "TMPDIR" or ".", keys = 100000, puts = 1000000, turns = 9 }
for i = 1, #arg, 2 do
  local name = arg[i]:match "^%-%-(%a+)$"
  assert(name and options[name] and arg[i + 1],
    "usage: following.lua [--dir FOLDER] [--keys N] [--puts N] [--turns N]")
  options[name] = math.tointeger(tonumber(arg[i + 1])) or arg[i + 1]
end

local path <const> = options.dir .. "/freyja-following.db"
local still <const> = options.dir .. "/freyja-still.db"
local small <const> = options.dir .. "/freyja-small.db"
local stop <const> = options.dir .. "/freyja-following.stop"
local value <const> = ("v"):rep(100)

-- The process that follows a store, until there is the file that stops it.
local FOLLOWER <const> = [[
  local path, stop, pause, small = table.unpack(arg)
  local open = require "freyja".open
  local db = assert(open(path, { readonly = true }))
  local count = 0
  io.write "ready\n" io.flush()
  while not io.open(stop) do
    db:refresh()
    if small then assert(open(small, { readonly = true })):close() end
    count = count + 1
    if pause ~= "0" then require "luv".sleep(math.tointeger(pause)) end
  end
  io.write(count, "\n")
]]
local script <const> = options.dir .. "/freyja-follower.lua"

local function write(name, text)
  local file <close> = assert(io.open(name, "w"))
  assert(file:write(text))
end

local function remove(...) os.execute("rm -rf '" .. table.concat({ ... }, "' '") .. "'") end

local function open(name, keys)
  remove(name)
  local db = assert(freyja.open(name, { sync = "none", maintenance = "manual" }))
  for i = 1, keys or options.keys do db:put("key" .. i, value) end
  return db
end

--- Microseconds that the puts take, and how often somebody refreshed meanwhile who follows that store.
local function turn(followed, pause, reads)
  local db <close> = open(path)
  local follower
  if followed then
    remove(stop)
    follower = assert(io.popen(("lua5.4 '%s' '%s' '%s' %d %s"):format(script, followed, stop, pause,
      reads and "'" .. reads .. "'" or "")))
    assert(follower:read "l" == "ready")
  end
  local start = core.timer(db)
  for _ = 1, options.puts do db:put("key" .. math.random(options.keys), value) end
  local passed = core.timer(db) - start
  write(stop, "")
  local refreshes = follower and follower:read "n" or 0
  if follower then assert(follower:close()) end
  return passed, refreshes / passed * 1000000
end

local function median(values)
  table.sort(values)
  return values[#values // 2 + 1]
end

write(script, FOLLOWER)
local modes = {
  { name = "alone" },
  { name = "floor, every 10 ms", followed = still, pause = 10 },
  { name = "floor that reads as much", followed = still, pause = 10, reads = small },
  { name = "followed, every 10 ms", followed = path, pause = 10 },
  { name = "floor, without a pause", followed = still, pause = 0 },
  { name = "floor that reads", followed = still, pause = 0, reads = small },
  { name = "followed, without a pause", followed = path, pause = 0 },
}
for _, mode in ipairs(modes) do mode.times, mode.ratios, mode.refreshes = {}, {}, {} end
open(still):close()
open(small, 10000):close()
remove(small .. "/KEYDIR")
turn()
for i = 1, options.turns do
  for _, mode in ipairs(modes) do
    mode.times[i], mode.refreshes[i] = turn(mode.followed, mode.pause, mode.reads)
    mode.ratios[i] = modes[1].times[i] / mode.times[i]
  end
end
for _, mode in ipairs(modes) do
  print(("%-26s %9.0f puts a second, %.3f times as many; %.0f refreshes a second"):format(mode.name,
    options.puts / median(mode.times) * 1000000, median(mode.ratios), median(mode.refreshes)))
end
remove(path, still, small, stop, script)
