-- Goal: at whatever byte the log ends after a crash, and whatever lies behind that, opening
-- gives the whole records before it, keeps the torn bytes in lost/, and writing goes on.
-- Method: write records without a sync, copy the files as they are, cut and spoil the copy's
-- data file at every byte, open each copy. The records need no padding, which no sum covers.
local freyja = require "freyja"
local lfs = require "lfs"
local tmp = require "spec.support.tmp"

local HEADER <const> = 128

local function size_of(key, value) return (24 + #key + #value + 7) // 8 * 8 end

--- A store of five records that was never synced, copied while open; returns the copy's data
--- file's bytes up to the log's end, and the end of each record.
local function written(dir)
  local path = dir.path .. "/db"
  local db <close> = assert(freyja.open(path, { sync = "none" }))
  local ends, offset = {}, HEADER
  for i = 1, 5 do
    local key, value = "key" .. i, ("v"):rep(i * 8 - 4)
    db:put(key, value)
    offset = offset + size_of(key, value)
    ends[i] = offset
  end
  tmp.copy_dir(path, dir.path .. "/copy")
  return tmp.read(path .. "/1.data"):sub(1, offset), ends
end

--- The bytes of a store's only record, "key" and a value of 8 bytes, with something in its padding.
local function spoil_padding(path)
  local bytes = tmp.read(path .. "/1.data"):sub(1, HEADER + 40)
  tmp.write(path .. "/1.data", bytes:sub(1, -2) .. "x")
end

local function check(path, ends, cut, torn)
  local label = ("cut at byte %d, %d torn bytes"):format(cut, torn)
  do
    local db <close> = assert(freyja.open(path))
    for i = 1, 5 do
      local want = ends[i] <= cut and ("v"):rep(i * 8 - 4) or nil
      assert.equal(want, db:get("key" .. i), label .. ", key " .. i)
    end
    assert.equal(torn, db:stats().recovery.bytes_cut, label)
    assert.equal(0, db:stats().recovery.damaged, label)
    db:put("after", "the crash")
  end
  local db <close> = assert(freyja.open(path))
  assert.equal("the crash", db:get "after", label)
  assert.equal(0, db:stats().recovery.bytes_cut, label .. ", opened again")
end

describe("a log that a crash cut off", function()
  require("spec.support.leaks").watch(before_each, after_each)

  local behind = {
    ["nothing"] = "",
    ["zeros"] = ("\0"):rep(100),
    ["bytes 0xFF"] = ("\xFF"):rep(100),
    ["garbage"] = ("\x01\x9c\x00\xe7kf"):rep(40),
  }
  it("takes a record for torn whose padding is not what was written", function()
    local dir <close> = tmp.dir()
    local path, copy = dir.path .. "/db", dir.path .. "/copy"
    do
      local db <close> = assert(freyja.open(path, { sync = "none" }))
      db:put("key", "12345678")
      tmp.copy_dir(path, copy)
    end
    for _, io in ipairs { "mmap", "syscall" } do
      local torn = dir.path .. "/" .. io
      tmp.copy_dir(copy, torn)
      spoil_padding(torn)
      local report = freyja.repair(torn, { to = dir.path .. "/new" .. io })
      assert.same({ 0, 40 }, { report.keys, report.torn_bytes })
      local db <close> = assert(freyja.open(torn, { io = io }))
      assert.equal(40, db:stats().recovery.bytes_cut)
      assert.is_nil(db:get "key")
      assert.is_true(db:verify().ok)
    end
    spoil_padding(path) -- it was synced: the record counts, and verify tells of the padding
    local db <close> = assert(freyja.open(path))
    assert.equal("12345678", db:get "key")
    assert.is_false(db:verify().ok)
  end)

  for name, bytes in pairs(behind) do
    it("keeps the whole records, wherever it ends and with " .. name .. " behind", function()
      local dir <close> = tmp.dir()
      local log, ends = written(dir)
      for cut = HEADER, #log do
        local path = dir.path .. "/cut"
        tmp.copy_dir(dir.path .. "/copy", path)
        local spoiled = log:sub(1, cut) .. bytes
        tmp.write(path .. "/1.data", spoiled)
        local kept = HEADER
        for _, offset in ipairs(ends) do
          if offset <= cut then kept = offset end
        end
        local torn = #(spoiled:gsub("\0+$", "")) - kept
        if torn < 0 then torn = 0 end
        check(path, ends, cut, torn)
        local lost = path .. "/lost/1." .. kept .. ".cut"
        if torn > 0 then assert.equal(spoiled:sub(kept + 1, kept + torn), tmp.read(lost)) end
        assert.equal(torn > 0, tmp.exists(path .. "/lost"), "cut " .. cut)
        os.execute("rm -r '" .. path .. "'")
      end
    end)
  end

  it("is damage, not torn, before the last sync, whichever of the two marks tells of it", function()
    for syncs = 1, 4 do
      local dir <close> = tmp.dir()
      local path, copy = dir.path .. "/db", dir.path .. "/copy"
      do
        local db <close> = assert(freyja.open(path, { sync = "none" }))
        for i = 1, syncs do
          db:put("key" .. i, "value " .. i)
          db:sync()
        end
        tmp.copy_dir(path, copy)
      end
      local bytes = tmp.read(copy .. "/1.data")
      local value = "value " .. syncs
      local at = assert(bytes:find(value, 1, true))
      tmp.write(copy .. "/1.data", bytes:sub(1, at - 1) .. "V" .. bytes:sub(at + 1))
      local db <close> = assert(freyja.open(copy))
      assert.equal(0, db:stats().recovery.bytes_cut, syncs)
      local ok, err = pcall(db.get, db, "key" .. syncs)
      assert.is_false(ok)
      assert.equal("corrupt", err.code)
    end
  end)

  it("drops whole records behind a torn one, which would leave a hole", function()
    local dir <close> = tmp.dir()
    local log, ends = written(dir)
    local spoiled = log:sub(1, ends[2] + 30) .. "?" .. log:sub(ends[2] + 32)
    tmp.write(dir.path .. "/copy/1.data", spoiled)
    check(dir.path .. "/copy", { ends[1], ends[2], math.huge, math.huge, math.huge }, #log,
      #log - ends[2] - (#log - #log:gsub("\0+$", "")))
  end)

  it("may end anywhere before the end of a page that is the file's last", function()
    for left = 8, 32, 8 do
      local dir <close> = tmp.dir()
      local path = dir.path .. "/db"
      do
        local db <close> = assert(freyja.open(path, { sync = "none" }))
        db:put("first", ("v"):rep(4096 - HEADER - 24 - 5 - left))
        tmp.copy_dir(path, dir.path .. "/copy")
      end
      local file = dir.path .. "/copy/1.data"
      tmp.write(file, tmp.read(file):sub(1, 4096 - left) .. ("\1"):rep(left))
      for _, io_mode in ipairs { "mmap", "syscall" } do
        local copy = dir.path .. "/" .. io_mode
        tmp.copy_dir(dir.path .. "/copy", copy)
        local db <close> = assert(freyja.open(copy, { io = io_mode }))
        assert.equal(1, #db, left)
        assert.equal(left, db:stats().recovery.bytes_cut)
      end
    end
  end)

  it("keeps torn bytes of any number", function()
    local dir <close> = tmp.dir()
    local log = written(dir)
    local bytes = {}
    for i = 1, 50000 do bytes[i] = ("%05d,"):format(i) end
    local torn = table.concat(bytes)
    for _, size in ipairs { 65535, 65536, 65537, 131072, #torn } do
      local path = dir.path .. "/torn"
      tmp.copy_dir(dir.path .. "/copy", path)
      tmp.write(path .. "/1.data", log .. torn:sub(1, size))
      do
        local db <close> = assert(freyja.open(path))
        assert.equal(size, db:stats().recovery.bytes_cut)
      end
      assert.equal(torn:sub(1, size), tmp.read(path .. "/lost/1." .. #log .. ".cut"), size)
      os.execute("rm -r '" .. path .. "'")
    end
  end)

  it("is not cut where the torn bytes cannot be kept", function()
    for what, make in pairs {
      ["a file"] = function(path) tmp.write(path .. "/lost", "mine") end,
      ["a link"] = function(path) assert(lfs.link("/tmp", path .. "/lost", true)) end,
    } do
      local dir <close> = tmp.dir()
      local log = written(dir)
      local path = dir.path .. "/copy"
      local whole = log .. "torn"
      tmp.write(path .. "/1.data", whole)
      make(path)
      local db, err = freyja.open(path)
      assert.is_nil(db, what)
      assert.equal("io", err.code, what)
      assert.equal(path .. "/lost", err.path, what)
      assert.equal(whole, tmp.read(path .. "/1.data"), what)
      os.execute("rm -r '" .. path .. "/lost'")
      local again <close> = assert(freyja.open(path))
      assert.equal(5, #again, what)
      assert.equal("torn", tmp.read(path .. "/lost/1." .. #log .. ".cut"), what)
    end
  end)

  it("is kept beside what earlier crashes left at the same place", function()
    local dir <close> = tmp.dir()
    local log = written(dir)
    local path = dir.path .. "/copy"
    local lost = path .. "/lost/1." .. #log .. ".cut"
    local function crash(torn)
      tmp.write(path .. "/1.data", log .. torn)
      local db <close> = assert(freyja.open(path))
      assert.equal(#torn, db:stats().recovery.bytes_cut)
    end
    crash "the first"
    crash "second"
    crash "of the same"
    assert(lfs.mkdir(lost .. ".4"))
    crash "fourth"
    crash "second" -- as after an open that was interrupted: it is there already
    assert.equal("the first", tmp.read(lost))
    assert.equal("second", tmp.read(lost .. ".2"))
    assert.equal("of the same", tmp.read(lost .. ".3"))
    assert.equal("fourth", tmp.read(lost .. ".5"))
    assert.is_false(tmp.exists(lost .. ".6"))
  end)

  it("changes nothing when it is opened read-only", function()
    local dir <close> = tmp.dir()
    local log, ends = written(dir)
    local path = dir.path .. "/copy"
    tmp.write(path .. "/1.data", log:sub(1, ends[5] - 10))
    do
      local db <close> = assert(freyja.open(path, { readonly = true }))
      assert.equal(4, #db)
    end
    assert.equal(log:sub(1, ends[5] - 10), tmp.read(path .. "/1.data"))
    assert.is_false(tmp.exists(path .. "/lost"))
  end)
end)
