-- The tour that examples/run starts:
--
--   lua5.4 tour.lua STORE UNICODE_DATA WORD_LIST
--
-- Each step does something to the store and to a plain Lua table alike; the end
-- compares the two. Rates are per second of this process's CPU time.

local freyja = require "freyja"

local ACKNOWLEDGED_MIN = 20000 -- writes to wait for before the kill

local store, unicode_file, words_file, mode = ...
local expected = {} -- what the store must hold: key -> value

local function say(format, ...) print(format:format(...)) end

-- 1234567 as "1,234,567".
local function grouped(n)
  local backwards = ("%d"):format(n):reverse():gsub("%d%d%d", "%0,")
  return (backwards:reverse():gsub("^,", ""))
end

-- Runs fn, which returns how many things it did, and says so with the rate.
local function timed(what, fn)
  local start = os.clock()
  local n = fn()
  local seconds = math.max(os.clock() - start, 1e-6) -- the clock's step
  say("  %-46s %9s  in %.3f s, %s/s", what, grouped(n), seconds, grouped(n / seconds // 1))
end

-- Steps ------------------------------------------------------------------------

local function put(db, key, value)
  db:put(key, value)
  expected[key] = value
end

-- Lines are "0041;LATIN CAPITAL LETTER A;Lu;...".
local function load_unicode(db)
  local n = 0
  for line in io.lines(unicode_file) do
    local code, rest = line:match("^(%x+);(.*)$")
    put(db, "U+" .. code, rest)
    n = n + 1
  end
  return n
end

local function load_words(db)
  local n = 0
  for word in io.lines(words_file) do
    n = n + 1
    put(db, "word:" .. word, tostring(n))
  end
  return n
end

local function look_up_all(db)
  local n = 0
  for key, value in pairs(expected) do
    assert(db:get(key) == value, key)
    n = n + 1
  end
  return n
end

local function look_up_absent(db)
  for i = 1, 100000 do assert(db:get("absent:" .. i) == nil) end
  return 100000
end

local function show_a_few(db)
  for _, key in ipairs { "U+0041", "U+20AC", "U+1F98A", "word:zebra", "word:Freyja" } do
    local value = db:get(key)
    say("    %-12s %s", key, value and value:match("^[^;]*") or "(absent)")
  end
end

-- Words that begin with "un" get another value.
local function change(db)
  local n = 0
  for key, value in db:each("word:un") do
    put(db, key, value .. " (changed)")
    n = n + 1
  end
  return n
end

-- The possessives go.
local function delete(db)
  local n = 0
  for key in db:keys("word:") do
    if key:find("'s$") then
      assert(db:delete(key))
      expected[key] = nil
      n = n + 1
    end
  end
  return n
end

-- The killed writer --------------------------------------------------------------

-- What the writer does as its i-th write: nearly always a new key, at times a
-- change or a deletion of an older one. Returns a key and a value, or nil to delete.
local function nth_write(i)
  if i % 10 == 9 then return ("log:%08d"):format(i - 5), nil end
  if i % 10 == 7 then return ("log:%08d"):format(i - 5), "changed by write " .. i end
  return ("log:%08d"):format(i), "write " .. i .. " " .. ("."):rep(i % 90)
end

-- In the child: writes until it is killed, and reports each write that returned.
local function write_for_ever()
  local db <close> = assert(freyja.open(store))
  io.stdout:setvbuf("line")
  local i = 0
  while true do
    i = i + 1
    local key, value = nth_write(i)
    if value then db:put(key, value) else db:delete(key) end
    io.write(i, "\n")
  end
end

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- The number of writes that the child reported before it was killed.
local function kill_a_writer()
  local command = ("echo $$; exec lua5.4 %s %s '' '' writer"):format(quote(arg[0]), quote(store))
  local pipe = assert(io.popen(command))
  local pid = assert(math.tointeger(tonumber(pipe:read())), "the writer did not start")
  local acknowledged = 0
  for line in pipe:lines() do
    acknowledged = tonumber(line)
    if acknowledged == ACKNOWLEDGED_MIN then assert(os.execute("kill -9 " .. pid)) end
  end -- to the end: what it had reported before it died counts as well
  local _, how, signal = pipe:close() -- waits until it is dead and its lock is free
  assert(how == "signal" and signal == 9, "the writer ended by itself")
  assert(acknowledged >= ACKNOWLEDGED_MIN)
  return pid, acknowledged
end

local function expect_writes(first, last)
  for i = first, last do
    local key, value = nth_write(i)
    expected[key] = value
  end
end

-- Compares ---------------------------------------------------------------------

-- Whether the store holds exactly what is expected; if not, a key that differs.
local function same(db)
  local n = 0
  for key, value in db:each() do
    if expected[key] ~= value then return false, key end
    n = n + 1
  end
  for key in pairs(expected) do
    if not db:has(key) then return false, key end
  end
  return n == #db
end

-- One write may have been in the store but not yet reported when the kill came.
local function check_after_kill(db, acknowledged)
  expect_writes(1, acknowledged)
  local good, key = same(db)
  local extra = 0
  if not good then
    expect_writes(acknowledged + 1, acknowledged + 1)
    good, key = same(db)
    extra = 1
  end
  if not good then error("the store differs from what was acknowledged, at " .. tostring(key)) end
  return extra
end

local function show_size(db)
  local stats = db:stats()
  say("  %s keys, %s bytes in %d data file(s): %s live, %s dead; index in memory: %s bytes",
    grouped(stats.keys), grouped(stats.bytes), stats.segments, grouped(stats.live_bytes),
    grouped(stats.dead_bytes), grouped(stats.index_bytes))
end

local function fill()
  local db <close> = assert(freyja.open(store))
  assert(#db == 0, "there is a store with keys already: " .. store)
  say("1. Load")
  timed("characters of Unicode put", function() return load_unicode(db) end)
  timed("words put", function() return load_words(db) end)
  show_size(db)
  say("2. Look up")
  timed("keys got and compared", function() return look_up_all(db) end)
  timed("absent keys found absent", function() return look_up_absent(db) end)
  show_a_few(db)
  say("3. Change and delete")
  timed("words that begin with \"un\" changed", function() return change(db) end)
  timed("possessives deleted", function() return delete(db) end)
  show_size(db)
end

local function kill_and_recover()
  say("4. Kill -9 a process that is writing")
  local pid, acknowledged = kill_a_writer()
  say("  process %d was killed; %s writes had been acknowledged", pid, grouped(acknowledged))
  say("5. Reopen and compare")
  local db <close> = assert(freyja.open(store))
  local recovery = db:stats().recovery
  say("  recovery read %s records of %d file(s) in %.1f ms; %d torn bytes cut, %d damaged",
    grouped(recovery.records), recovery.files_scanned, recovery.milliseconds,
    recovery.bytes_cut, recovery.damaged)
  local extra = check_after_kill(db, acknowledged)
  say("  all %s keys compared: no acknowledged write lost, nothing deleted is back", grouped(#db))
  say("  writes that were in the store though not yet acknowledged: %d", extra)
  show_size(db)
end

if mode == "writer" then
  write_for_ever()
else
  say("The store is %s, freyja %s, %s", store, freyja.version, _VERSION)
  fill()
  kill_and_recover()
  say("Done.")
end
