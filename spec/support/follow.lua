--- A writer whose every operation depends on its number alone, in a process of its own, and a follower that
--- knows from the number what all of the store must hold. The writer is killed and begun again; it goes on where it
--- was.
---
---   lua5.4 spec/support/follow.lua PATH SEED IO SYNC SEGMENT_SIZE   the writer

local freyja = require "freyja"

local M = {}

local KEYS = 200
local NUMBER = "number" -- the key that says how many operations there were

--- What operation `n` does: calls put(key, value), a value of nil for a deletion.
local function operate(seed, n, put)
  math.randomseed(seed, n)
  put(NUMBER, tostring(n))
  for _ = 1, n % 50 == 0 and 100 or math.random(0, 8) do
    local value = math.random(4) > 1 and (n .. ":"):rep(math.random(60)) or nil
    put("key" .. math.random(KEYS), value)
  end
end

--- Operation `n` as one transaction or, without the deletions that it would have, as one load.
local function write(db, seed, n)
  if n % 50 ~= 0 then
    return db:transaction(function(tx)
      operate(seed, n, function(key, value)
        if value then tx:put(key, value) else tx:delete(key) end
      end)
    end)
  end
  local list = {}
  operate(seed, n, function(key, value) list[#list + 1] = value and { key, value } end)
  local i = 0
  db:load(function()
    i = i + 1
    if list[i] then return list[i][1], list[i][2] end
  end)
end

--- Goes on for ever: writes, rotates, merges, writes hint files and a KEYDIR.
local function work(path, seed, io_mode, sync, segment_size)
  local options = { io = io_mode, sync = tonumber(sync) or sync, segment_size = segment_size, policy = "size_tiered" }
  local db, err
  repeat db, err = freyja.open(path, options) until db or err.code ~= "locked" -- the last one may still be dying
  assert(db, err)
  local n = tonumber(db:get(NUMBER) or 0)
  while true do
    n = n + 1
    write(db, seed, n)
    if n % 97 == 0 then db:rotate() end
    if n % 211 == 0 then
      local ids = {}
      for _, segment in ipairs(db:segments()) do
        if segment.sealed and math.random(2) == 1 then ids[#ids + 1] = segment.id end
      end
      if #ids > 0 then db:merge(ids) end
    end
    if n % 503 == 0 then db:checkpoint() end
  end
end

--- What the store holds after so many operations, made on the way from `known` (number, table).
local function advance(known, seed, n)
  for i = known.n + 1, n do
    local loads = i % 50 == 0
    operate(seed, i, function(key, value)
      if value or not loads then known.of[key] = value end
    end)
  end
  known.n = n
end

local function compare(db, known, seed)
  local n = tonumber(db:get(NUMBER) or 0)
  assert(n >= known.n, "what is shown goes back")
  advance(known, seed, n)
  local count = 0
  for key, value in db:each() do
    count = count + 1
    if known.of[key] ~= value then error(("after %d operations '%s' is another"):format(n, key)) end
  end
  local expected = 0
  for _ in pairs(known.of) do expected = expected + 1 end
  assert(count == expected and #db == expected, ("after %d operations there are other keys"):format(n))
end

--- Checks what a follower shows that was just refreshed. Where files are not mapped, one may be merged and gone
--- before it is read.
local function check(db, known, seed, io_mode)
  local ok, err
  repeat
    ok, err = pcall(compare, db, known, seed)
    local gone = not ok and io_mode == "syscall" and type(err) == "table" and err.errno == 2
    if gone then db:refresh() end
  until not gone
  if not ok then error(err, 0) end
end

--- Starts a writer; returns its process id.
local function start(path, seed, mode)
  local command = ("lua5.4 spec/support/follow.lua '%s' %d %s %s %d >'%s.said' 2>&1 & echo $!"):format(
    path, seed, mode.writer, mode.sync, mode.segment_size, path)
  local pipe <close> = assert(io.popen(command))
  return assert(math.tointeger(tonumber(pipe:read "l")))
end

local function said(path)
  local file <close> = assert(io.open(path .. ".said"))
  return file:read "a"
end

M.MODES = {
  { writer = "mmap", sync = "none", segment_size = 1 << 18, follower = "mmap" },
  { writer = "mmap", sync = "none", segment_size = 1 << 16, follower = "syscall" },
  { writer = "syscall", sync = "always", segment_size = 1 << 17, follower = "mmap" },
  { writer = "mmap", sync = 10, segment_size = 1 << 16, follower = "mmap" },
}

--- Follows writers, one after the other, until `enough(figures)`, each killed when it is `operations` further; in a
--- store at `path`, which is made. Returns {operations, refreshes, changes, writers}. Raises what is wrong.
function M.run(path, seed, mode, operations, enough)
  assert(freyja.open(path, { io = mode.writer, segment_size = mode.segment_size })):close()
  local reading = { readonly = true, io = mode.follower }
  local steady <close> = assert(freyja.open(path, reading)) -- one that stays, whatever becomes of writers
  local known, figures = { n = 0, of = {} }, { operations = 0, refreshes = 0, changes = 0, writers = 0 }
  while not enough(figures) do
    local pid <const>, from = start(path, seed, mode), known.n
    figures.writers = figures.writers + 1
    local ok, err = pcall(function()
      while known.n < from + operations and not enough(figures) do
        assert(os.execute("kill -0 " .. pid .. " 2>&-"), "the writer has ended")
        for _ = 1, 20 do
          figures.refreshes = figures.refreshes + 1
          if steady:refresh() then
            figures.changes = figures.changes + 1
            check(steady, known, seed, mode.follower)
          end
        end
        local passing <close> = assert(freyja.open(path, reading))
        assert(tonumber(passing:get(NUMBER) or 0) >= known.n, "an open shows less than a refresh did")
      end
    end)
    os.execute("kill -9 " .. pid .. " 2>&-")
    if not ok then error(("seed %d: %s; the writer: %s"):format(seed, tostring(err), said(path)), 0) end
    steady:refresh()
    check(steady, known, seed, mode.follower)
  end
  figures.operations = known.n
  return figures
end

if arg and arg[0] and arg[0]:find "support/follow.lua$" then
  work(arg[1], math.tointeger(tonumber(arg[2])), arg[3], arg[4], math.tointeger(tonumber(arg[5])))
end

return M
