-- Goal: a store of many segments needs few file descriptors.
-- Method: 500 segments, opened, read and iterated by a child process under `ulimit -n 32`; hint files, under 16.
local freyja = require "freyja"
local lfs = require "lfs"
local tmp = require "spec.support.tmp"

local function open_files()
  local count = 0
  for _ in lfs.dir "/proc/self/fd" do count = count + 1 end
  return count
end

describe("a store of 500 segments", function()
  require("spec.support.leaks").watch(before_each, after_each)

  it("opens, reads and iterates with 32 file descriptors", function()
    local dir <close> = tmp.dir()
    do
      local options = { segment_size = 4096, sync = "none", maintenance = "manual" }
      local db <close> = assert(freyja.open(dir.path .. "/db", options))
      for i = 1, 500 do db:put("key" .. i, ("v"):rep(3900)) end
      assert.equal(500, #db:segments())
    end
    tmp.write(dir.path .. "/child.lua", [[
      local path, mode = ...
      local options = { io = mode, segment_size = 4096, maintenance = "manual" }
      local db <close> = assert(require "freyja".open(path, options))
      local count = 0
      for i = 1, 500 do assert(#db:get("key" .. i) == 3900) end
      for i = 500, 1, -7 do assert(#db:get("key" .. i) == 3900) end
      for _ in db:each() do count = count + 1 end
      for _ in db:each { order = "key" } do count = count + 1 end
      db:put("new", ("v"):rep(3900))
      print(count, #db:segments())
    ]])
    local keys = 500
    for _, mode in ipairs { "mmap", "syscall" } do
      local pipe <close> = assert(io.popen(("ulimit -n 32; exec lua5.4 '%s/child.lua' '%s/db' %s 2>&1"):format(
        dir.path, dir.path, mode)))
      assert.equal(("%d\t%d\n"):format(2 * keys, keys + 1), pipe:read "a", mode)
      keys = keys + 1
    end
  end)

  it("opens by its hint files with 16 file descriptors", function()
    local dir <close> = tmp.dir()
    do
      local options = { segment_size = 4096, sync = "none", maintenance = "manual" }
      local db <close> = assert(freyja.open(dir.path .. "/db", options))
      for i = 1, 60 do db:put("key" .. i, ("v"):rep(3900)) end
      for _, segment in ipairs(db:segments()) do
        if segment.sealed then db:hint(segment.id) end
      end
    end
    tmp.write(dir.path .. "/child.lua", [[
      local path, mode = ...
      local db <close> = assert(require "freyja".open(path, { io = mode, readonly = true }))
      local recovery = db:stats().recovery
      print(#db, recovery.hints_used, recovery.hints_ignored, recovery.hint)
    ]])
    for _, mode in ipairs { "mmap", "syscall" } do
      local pipe <close> = assert(io.popen(("ulimit -n 16; exec lua5.4 '%s/child.lua' '%s/db' %s 2>&1"):format(
        dir.path, dir.path, mode)))
      assert.equal("60\t59\t0\tnil\n", pipe:read "a", mode)
    end
  end)

  it("keeps few files open where there is no limit", function()
    local dir <close> = tmp.dir()
    local options = { segment_size = 4096, sync = "none", io = "syscall" }
    local before = open_files()
    local db <close> = assert(freyja.open(dir.path .. "/db", options))
    for i = 1, 100 do db:put("key" .. i, ("v"):rep(3900)) end
    for i = 1, 100 do
      assert.equal(3900, #db:get("key" .. i))
      assert.is_true(open_files() - before <= 16)
    end
  end)
end)
