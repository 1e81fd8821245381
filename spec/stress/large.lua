--- A store of 5 GiB in 500 segments, written, opened, read and iterated with few descriptors:
---   (ulimit -n 32; lua5.4 spec/stress/large.lua [FOLDER])
local freyja = require "freyja"

local SEGMENTS <const> = 500
local SEGMENT_SIZE <const> = 11 << 20
local VALUE_SIZE <const> = 100000
local TOTAL <const> = 5 << 30

local path = (arg[1] or ".") .. "/freyja-large.db"
os.execute("rm -rf '" .. path .. "'")

--- The value of a number: different at its beginning and end.
local body = ("0123456789abcdef"):rep(VALUE_SIZE // 16)
local function value_of(i) return ("%d<"):format(i) .. body .. (">%d"):format(i) end

local function timed(what, f)
  local start = os.time()
  f()
  print(("%s: %d s"):format(what, os.time() - start))
end

local count = 0
timed("write", function()
  local db <close> = assert(freyja.open(path, { segment_size = SEGMENT_SIZE, sync = "none" }))
  while db:stats().bytes < TOTAL or #db:segments() < SEGMENTS do
    count = count + 1
    db:put("key" .. count, value_of(count))
  end
end)

for _, mode in ipairs { "mmap", "syscall" } do
  local db
  timed("open, io = " .. mode, function() db = assert(freyja.open(path, { io = mode })) end)
  local stats = db:stats()
  assert(#db == count and stats.recovery.damaged == 0 and stats.recovery.bytes_cut == 0)
  timed("read every key in a scattered order", function()
    for i = 1, count do
      local n = i * 7919 % count + 1
      assert(db:get("key" .. n) == value_of(n))
    end
  end)
  for _, order in ipairs { "log", "key" } do
    timed("iterate, order = " .. order, function()
      local seen = 0
      for k, v in db:each { order = order } do
        assert(v == value_of(math.tointeger(tonumber(k:sub(4)))))
        seen = seen + 1
      end
      assert(seen == count)
    end)
  end
  print(("io = %s: %d keys, %d segments, %.2f GiB"):format(mode, #db, stats.segments, stats.bytes / 2 ^ 30))
  db:close()
end
os.execute("rm -rf '" .. path .. "'")
