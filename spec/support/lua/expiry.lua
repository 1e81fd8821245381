--- Values that expire, from Lua, with a clock that is moved by hand: what the methods give before
--- and after, to the microsecond, and a long random run beside a plain table.

local freyja = require "freyja"
local machine = require "machine"
local model = require "spec.support.model"

local RUNS = { quick = 300, normal = 4000, full = 15000 } -- operations

--- A clock that stands still unless it is moved; the engine's while `f` runs with it.
local function with_clock(f)
  local now, passed = 5000000000000000, 0 -- microseconds since the epoch: far from 1970
  local clock = {}
  local function set(step) machine.clock(now, passed, step) end
  function clock.now() return now, passed end
  function clock.wait(microseconds)
    now, passed = now + microseconds, passed + microseconds
    set()
  end
  function clock.jump(microseconds)
    now = now + microseconds
    set()
  end
  function clock.tick(step) set(step) end -- time moves whenever it is asked for
  set()
  local ok, why = xpcall(f, debug.traceback, clock)
  machine.clock()
  if not ok then return why end
end

local function expect(want, got, what)
  if want ~= got then error(("%s: %s, not %s"):format(what, tostring(got), tostring(want)), 2) end
end

local function check_methods(path, io, clock)
  local db <close> = assert(freyja.open(path, { io = io }))
  db:put("soon", "1", { ttl = 0.25 })
  db:put("later", "2", { ttl = 3 })
  db:put("never", "3")
  expect(0.25, db:ttl "soon", "ttl")
  expect(3.0, db:ttl "later", "ttl")
  expect(false, db:ttl "never", "ttl of what never expires")
  expect(nil, db:ttl "absent", "ttl of what is absent")
  local following, iterator <close> = db:each()
  clock.wait(249999)
  expect(1e-6, db:ttl "soon", "ttl at the last moment")
  expect("1", db:get "soon", "get at the last moment")
  expect(false, db:insert("soon", "x"), "insert at the last moment")
  clock.wait(1)
  expect(nil, db:get "soon", "get")
  expect(nil, db:ttl "soon", "ttl of what has expired")
  expect(false, db:has "soon", "has")
  expect(false, db:delete "soon", "delete")
  expect(false, db:cas("soon", "1", "x"), "cas")
  expect(nil, db:get_many { "soon", "later" }.soon, "get_many")
  expect(2, #db, "#db")
  expect(2, db:count(), "count")
  expect(0, db:count "soon", "count of a prefix")
  expect(2, db:stats().keys, "stats")
  for key in db:keys() do expect(true, key ~= "soon", "keys") end
  expect("soon", (following(iterator)), "an iterator begun before")
  expect(true, db:insert("soon", "4", { ttl = 1e-9 }), "insert")
  expect(1e-6, db:ttl "soon", "the least ttl")
  db:put("later", "5")
  expect(false, db:ttl "later", "a put without ttl")
  expect(true, db:cas("never", "3", "6", { ttl = 10 }), "cas")
  expect(10.0, db:ttl "never", "cas")
  clock.wait(10000000)
  expect(1, #db, "in the end")
  expect("5", db:get "later", "in the end")
end

--- All values of a call are of one moment, though time passes while they are read.
local function check_moment(path, io, clock)
  local db <close> = assert(freyja.open(path, { io = io }))
  local keys = {}
  for i = 1, 100 do keys[i] = ("key%d"):format(i) end
  for _, key in ipairs(keys) do db:put(key, key, { ttl = 1 }) end
  clock.wait(1000000 - 50)
  clock.tick(1)
  for _, want in ipairs { 100, 0 } do
    local count = 0
    for _ in pairs(db:get_many(keys)) do count = count + 1 end
    expect(want, count, "values of get_many")
    for _ = 1, 100 do db:has "key1" end
  end
  clock.tick(0)
end

return function(run)
  for _, io in ipairs { "mmap", "syscall" } do
    local name = "values expire, io = " .. io
    if run.wants(name) then
      local path = run.path()
      local wrong = with_clock(function(clock)
        check_methods(path, io, clock)
        check_moment(path .. ".2", io, clock)
      end)
      run.tell(name, "every method", wrong)
    end
  end
  for _, hash_bits in ipairs { 64, 4, 3, 2, 1 } do
    local name = ("a random run with a clock, hash_bits %d"):format(hash_bits)
    if run.wants(name) then
      local seed, path = os.time(), run.path()
      local wrong = with_clock(function(clock) model.run(path, seed, RUNS[run.size], hash_bits, clock) end)
      run.tell(name, ("seed %d"):format(seed), wrong)
    end
  end
end
