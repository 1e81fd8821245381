-- Goal: opening needs no flag and no tool after any crash, says what it found, and is the
-- same however often it is done.
local freyja = require "freyja"
local tmp = require "spec.support.tmp"

describe("opening again", function()
  require("spec.support.leaks").watch(before_each, after_each)

  it("tells what it read", function()
    local dir <close> = tmp.dir()
    do
      local db <close> = assert(freyja.open(dir.path, { segment_size = 4096, maintenance = "manual" }))
      assert.equal(0, db:stats().recovery.files_scanned)
      for i = 1, 100 do db:put("key" .. i % 10, ("v"):rep(200)) end
      db:delete "key1"
    end
    for _ = 1, 2 do
      local db <close> = assert(freyja.open(dir.path))
      local recovery = db:stats().recovery
      assert.equal(101, recovery.records)
      assert.equal(db:stats().segments, recovery.files_scanned)
      assert.equal(0, recovery.bytes_cut)
      assert.equal(0, recovery.damaged)
      assert.is_nil(recovery.damage)
      assert.is_true(recovery.milliseconds >= 0)
      assert.equal(9, #db)
    end
  end)

  it("finds an empty store empty, any number of times", function()
    local dir <close> = tmp.dir()
    for _ = 1, 3 do
      local db <close> = assert(freyja.open(dir.path))
      assert.equal(0, #db)
      assert.equal(1, #db:segments())
    end
    assert.same({ "1.data", "LOCK", "MANIFEST" }, tmp.list(dir.path))
  end)

  it("goes on in the same segment, and keeps what a closed one reserved", function()
    local dir <close> = tmp.dir()
    for i = 1, 20 do
      local db <close> = assert(freyja.open(dir.path))
      assert.equal(i - 1, #db)
      db:put("key" .. i, "value")
      assert.equal(1, #db:segments())
    end
    assert.equal(128 + 20 * 40, #tmp.read(dir.path .. "/1.data"))
  end)

  it("finishes a creation that a crash interrupted", function()
    for name, make in pairs {
      ["an empty directory"] = function() end,
      ["a lock"] = function(path) tmp.write(path .. "/LOCK", "") end,
      ["a lock of garbage"] = function(path) tmp.write(path .. "/LOCK", "not a number\n") end,
      ["half a MANIFEST"] = function(path) tmp.write(path .. "/MANIFEST.tmp", "freyja") end,
    } do
      local dir <close> = tmp.dir()
      make(dir.path)
      local db <close> = assert(freyja.open(dir.path))
      db:put("k", "v")
      assert.same({ "1.data", "LOCK", "MANIFEST" }, tmp.list(dir.path), name)
    end
  end)

  it("removes what an interrupted rotation left, and nothing that is not ours", function()
    local dir <close> = tmp.dir()
    local options = { maintenance = "manual" }
    do
      local db <close> = assert(freyja.open(dir.path, options))
      db:put("k", "v")
      db:rotate()
      db:put("k", "w")
    end
    local header = tmp.read(dir.path .. "/2.data"):sub(1, 128)
    tmp.write(dir.path .. "/3.data", "")
    tmp.write(dir.path .. "/4.data", header:sub(1, 50))
    tmp.write(dir.path .. "/5.data", ("\0"):rep(100))
    tmp.write(dir.path .. "/3000.data", ("not a data file\n"):rep(20))
    tmp.write(dir.path .. "/3001.data", "not one either")
    tmp.write(dir.path .. "/MANIFEST.tmp", "half")
    tmp.write(dir.path .. "/notes.txt", "mine")
    tmp.write(dir.path .. "/01.data", "not a name of ours")
    do
      local db <close> = assert(freyja.open(dir.path, options))
      assert.equal("w", db:get "k")
      db:rotate()
      db:put("k", "x")
      assert.equal(3, db:segments()[3].id)
    end
    assert.same({ "01.data", "1.data", "2.data", "3.data", "3000.data", "3001.data", "LOCK", "MANIFEST",
      "notes.txt" },
      tmp.list(dir.path))
  end)

  it("goes on whatever files have names like those of data files", function()
    local names = {
      "3.data", "4.data", "6.data", "0.data", "0004.data", "1048579.data", "9223372036854775807.data",
      "9223372036854775808.data", "18446744073709551613.data", "18446744073709551614.data",
      "18446744073709551615.data", "018446744073709551615.data", "18446744073709551616.data",
      "99999999999999999999999999.data", ("9"):rep(200) .. ".data", "-1.data", "5 .data",
    }
    for io_mode in pairs { mmap = true, syscall = true } do
      local dir <close> = tmp.dir()
      local bytes = ("not a data file\n"):rep(20)
      for i, name in ipairs(names) do
        if i ~= 1 then tmp.write(dir.path .. "/" .. name, bytes) end
      end
      assert.is_nil((freyja.open(dir.path)), "files and no MANIFEST")
      for _, name in ipairs(names) do os.remove(dir.path .. "/" .. name) end
      for round = 1, 4 do
        local db <close> = assert(freyja.open(dir.path, { io = io_mode }))
        for i = 1, 3 do
          db:put("key", round .. "." .. i)
          db:rotate()
          -- And names that come while it is open.
          if round == 1 and i == 1 then
            for _, name in ipairs(names) do tmp.write(dir.path .. "/" .. name, bytes) end
          end
        end
        assert.equal(round .. ".3", db:get "key")
      end
      for _, name in ipairs(names) do
        assert.equal(name == "3.data" and 3 or bytes, name == "3.data" and 3 or tmp.read(dir.path .. "/" .. name))
      end
      local db <close> = assert(freyja.open(dir.path, { io = io_mode }))
      for _, segment in ipairs(db:segments()) do assert.is_true(segment.id < 100, segment.id) end
    end
  end)

  it("refuses a newer format and leaves it alone", function()
    local dir <close> = tmp.dir()
    do
      local db <close> = assert(freyja.open(dir.path))
      db:put("k", "v")
    end
    local bytes = tmp.read(dir.path .. "/MANIFEST")
    tmp.write(dir.path .. "/MANIFEST", bytes:sub(1, 7) .. "\2" .. bytes:sub(9))
    local db, err = freyja.open(dir.path)
    assert.is_nil(db)
    assert.is_true(err.code == "corrupt" or err.code == "format")
  end)

  it("opens a copy of the files of a store that is being written", function()
    local dir <close> = tmp.dir()
    local path = dir.path .. "/db"
    local db <close> = assert(freyja.open(path, { sync = "none" }))
    for i = 1, 1000 do db:put("key" .. i, "value " .. i) end
    tmp.copy_dir(path, dir.path .. "/copy")
    local copy <close> = assert(freyja.open(dir.path .. "/copy"))
    assert.equal(1000, #copy)
    assert.equal("value 1000", copy:get "key1000")
  end)
end)
