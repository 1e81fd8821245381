--- How long single calls wait where maintenance runs by itself, against a store where nothing does: random keys are
--- overwritten and read in turn, and of each kind of call the percentiles and the longest are printed, in microseconds,
--- with their ratio. Puts that seal a segment wait for the disk in either store: they are counted apart.
---   lua5.4 spec/bench/latency.lua [--dir FOLDER] [--keys N] [--calls N] [--value BYTES] [--segment MIB]
---     [--mode auto|background]
--- The two stores take turns, 1,000 calls each, so that a busy machine hits both.

local core <const> = require "freyja.core"
local freyja <const> = require "freyja"

local options = { dir = os.getenv "TMPDIR" or ".", keys = 500000, calls = 4000000, value = 100, segment = 64,
  mode = "auto" }
for i = 1, #arg, 2 do
  local name = arg[i]:match "^%-%-(%a+)$"
  assert(name and arg[i + 1],
    "usage: latency.lua [--dir FOLDER] [--keys N] [--calls N] [--value N] [--segment MIB] [--mode MODE]")
  options[name] = math.tointeger(tonumber(arg[i + 1])) or arg[i + 1]
end

local TURN <const> = 1000
local SLOW <const> = 1000 -- microseconds: no put that seals a segment takes less
local value <const> = ("v"):rep(options.value)
local timer <const>, random <const> = core.timer, math.random

local function open(mode)
  local path = ("%s/freyja-latency-%s.db"):format(options.dir, mode)
  os.execute(("rm -rf '%s'"):format(path))
  local db = assert(freyja.open(path, { segment_size = options.segment << 20, sync = "none", maintenance = mode }))
  for i = 1, options.keys do db:put("key" .. i, value) end
  return { db = db, path = path, put = {}, get = {}, seal = {} }
end

--- Counts of calls by their microseconds.
local function count(times, passed) times[passed] = (times[passed] or 0) + 1 end

--- Whether another segment is written to than the last time.
local function has_sealed(store)
  local segments = core.peek(store.db)
  local before = store.active
  store.active = segments[#segments].id
  return before ~= store.active
end

local function turn(store)
  local db, put, get, seal = store.db, store.put, store.get, store.seal
  has_sealed(store)
  for _ = 1, TURN // 2 do
    local key = "key" .. random(options.keys)
    local start = timer(db)
    db:put(key, value)
    local between = timer(db)
    db:get(key)
    count(get, timer(db) - between)
    local passed = between - start
    count(passed > SLOW and has_sealed(store) and seal or put, passed)
  end
end

local function percentiles(times)
  local sorted, total = {}, 0
  for passed, n in pairs(times) do
    sorted[#sorted + 1] = passed
    total = total + n
  end
  table.sort(sorted)
  local found, below, wanted = {}, 0, { 0.5, 0.99, 0.999, 1 }
  for _, passed in ipairs(sorted) do
    below = below + times[passed]
    while wanted[1] and below >= wanted[1] * total do
      found[#found + 1] = passed
      table.remove(wanted, 1)
    end
  end
  return found
end

local idle, busy = open "manual", open(options.mode)
for _ = 1, options.calls // TURN do
  turn(idle)
  turn(busy)
end
print "             p50     p99   p99.9     max"
for _, call in ipairs { "put", "get", "seal" } do
  local a, b = percentiles(idle[call]), percentiles(busy[call])
  print(("%-4s idle %7d %7d %7d %7d"):format(call, table.unpack(a)))
  print(("%-4s busy %7d %7d %7d %7d"):format(call, table.unpack(b)))
  for i = 1, 4 do a[i] = math.max(b[i], 1) / math.max(a[i], 1) end
  print(("  ratio  %7.1f %7.1f %7.1f %7.1f"):format(table.unpack(a)))
end
local report = busy.db:stats().maintenance
print(("%d merges, %d MiB read, %d MiB written"):format(report.merges, report.read >> 20, report.written >> 20))
for _, store in ipairs { idle, busy } do
  store.db:close()
  os.execute(("rm -rf '%s'"):format(store.path))
end
