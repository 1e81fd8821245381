--- How much space stores take that maintain themselves: five loads, each writing 2 GiB to a store with segments of
--- 16 MiB, and of each the worst that was seen, looked at every 256 KiB: all data files, with those that a merge reads
--- and writes at that moment, less one segment, over the live bytes. And what that cost: bytes that merges read and
--- wrote for each byte written.
---   lua5.4 spec/bench/space.lua [--dir FOLDER] [--mib 2048] [--segment MIB] [--only NAME] [--mode auto|background]
--- Sizes count, not times: a folder in memory will do. Exits with 1 if a load is above 2.2.

local core <const> = require "freyja.core"
local freyja <const> = require "freyja"

local options = { dir = os.getenv "TMPDIR" or "/dev/shm", mib = 2048, segment = 16, mode = "auto" }
for i = 1, #arg, 2 do
  local name = arg[i]:match "^%-%-(%a+)$"
  assert(name and arg[i + 1], "usage: space.lua [--dir FOLDER] [--mib N] [--segment N] [--only NAME] [--mode MODE]")
  options[name] = math.tointeger(tonumber(arg[i + 1])) or arg[i + 1]
end

local LIMIT <const> = 2.2
local STEP <const> = 256 << 10
local SEGMENT <const> = options.segment << 20
local TOTAL <const> = options.mib << 20
local random <const> = math.random
local text <const> = ("v"):rep(4096)

--- Each load is a function that does one operation and returns the bytes that it wrote; i counts them, `part` is how
--- much of the load is done.
local loads = {}

local function put(db, key, size, ttl)
  db:put(key, text:sub(1, size), ttl and { ttl = ttl } or nil)
  return 24 + #key + size
end

local function delete(db, key) return db:delete(key) and 24 + #key or 0 end

loads[1] = { "uniform", function(db) return put(db, "key" .. random(400000), random(200, 800)) end }

loads[2] = { "skewed", function(db)
  local u = random()
  return put(db, "key" .. (400000 * u * u * u * u // 1 | 0), random(200, 800))
end }

loads[3] = { "deletes", function(db)
  local key = "key" .. random(400000)
  if random(2) == 1 then return delete(db, key) end
  return put(db, key, random(50, 350))
end }

loads[4] = { "expiry", function(db, i)
  return put(db, "key" .. i, random(200, 800), 0.2 + random())
end }

loads[5] = { "waves", function(db, i, part) -- twice it grows, and is deleted but for a tenth
  local wave = part * 2 % 1
  if wave < 0.8 then return put(db, "key" .. random(800000), random(200, 800)) end
  local base = i % 800000
  return base % 10 == 0 and put(db, "key" .. base, 300) or delete(db, "key" .. base)
end }

local function run(load)
  local path = options.dir .. "/freyja-space.db"
  os.execute(("rm -rf '%s'"):format(path))
  local db <close> = assert(freyja.open(path, { segment_size = SEGMENT, sync = "none", maintenance = options.mode }))
  local written, due, i, worst, at = 0, STEP, 0, 0, 0
  math.randomseed(1)
  local start = os.clock()
  while written < TOTAL do
    i = i + 1
    written = written + load(db, i, written / TOTAL)
    if written >= due then
      due = written + STEP
      local bytes, live = core.pulse(db)
      local ratio = (bytes - SEGMENT) / live
      if ratio > worst then worst, at = ratio, written end
    end
  end
  local took = os.clock() - start
  local report, stats = db:stats().maintenance, db:stats()
  local problem = report.error and "  " .. tostring(report.error) or ""
  print(("%-8s %6.2f at %4d MiB %8.2f %8.2f %6d %8.1f s %8d MiB%s"):format(load[1] or "", worst, at >> 20,
    report.read / written, report.written / written, report.merges, took, stats.live_bytes >> 20, problem))
  os.execute(("rm -rf '%s'"):format(path))
  return worst
end

print "load      worst               read  written merges     time      live"
local good = true
for _, load in ipairs(loads) do
  if not options.only or options.only == load[1] then
    io.write(("%-9s"):format(load[1]))
    local worst = run(setmetatable({ "" }, { __call = function(_, ...) return load[2](...) end }))
    good = good and worst <= LIMIT
  end
end
os.exit(good)
