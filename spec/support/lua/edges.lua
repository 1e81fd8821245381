--- What only shows where the engine's system calls and memory are watched: a close that fails, and
--- keys of every size side by side.

local freyja = require "freyja"
local machine = require "machine"

local EIO <const> = 5

local function expect(want, got, what)
  if want ~= got then error(("%s: %s, not %s"):format(what, tostring(got), tostring(want)), 2) end
end

--- A close whose sync fails says so, and closes all the same.
local function check_close(path, io)
  local db = assert(freyja.open(path, { io = io, sync = "none" }))
  db:put("k", "v")
  machine.fail_syncs(EIO)
  local ok, err = pcall(db.close, db)
  machine.fail_syncs(0)
  expect(false, ok, "a close that fails")
  expect("io", err.code, "its code")
  expect(path .. "/1.data", err.path, "its file")
  expect(EIO, err.errno, "its errno")
  db:close() -- a second one has nothing to say
  local again <close> = assert(freyja.open(path, { io = io }))
  expect("v", again:get "k", "the value")
end

--- Keys are collected in blocks of 256 KiB: the last that fits ends at every byte around such a
--- block's end. That none goes beyond it is seen when the blocks are given back.
local function check_keys(path, io)
  local LONG <const>, BLOCK <const> = 65535, 256 << 10
  for last = 0, 9 do
    local db <close> = assert(freyja.open(path .. last, { io = io, sync = "none" }))
    local keys = {}
    for i = 1, BLOCK // LONG do keys[i] = ("%d"):format(i):rep(LONG) end
    if last > 0 then keys[#keys + 1] = ("9"):rep(last) end
    keys[#keys + 1] = "99999999999"
    for _, key in ipairs(keys) do db:put(key, "") end
    table.sort(keys)
    local i = 0
    for key in db:keys { order = "key" } do
      i = i + 1
      expect(true, keys[i] == key, ("key %d, with one of %d bytes"):format(i, last))
    end
    expect(#keys, i, "the number of keys")
  end
end

local CHECKS <const> = {
  { name = "a close that fails", run = check_close },
  { name = "keys around a block's end", run = check_keys },
}

return function(run)
  for _, check in ipairs(CHECKS) do
    for _, io in ipairs { "mmap", "syscall" } do
      local title = ("%s, io = %s"):format(check.name, io)
      if run.wants(title) then
        local ok, why = xpcall(check.run, debug.traceback, run.path(), io)
        machine.fail_syncs(0)
        run.tell(title, "as it must be", not ok and why or nil)
      end
    end
  end
end
