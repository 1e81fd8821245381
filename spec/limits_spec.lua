-- Goal: every limit holds exactly where the documentation says, and what is beyond it is refused
-- with `limit` before anything is written.
local freyja = require "freyja"
local tmp = require "spec.support.tmp"

local HEADER <const> = 128

local function code_of(ok, err) return ok and "ok" or err.code or tostring(err) end

describe("the limits of a store", function()
  require("spec.support.leaks").watch(before_each, after_each)

  for _, io_mode in ipairs { "mmap", "syscall" } do
    it("are 65,535 bytes for a key, with io = " .. io_mode, function()
      local dir <close> = tmp.dir()
      local db <close> = assert(freyja.open(dir.path .. "/db", { io = io_mode }))
      for _, row in ipairs { { 65534, "ok" }, { 65535, "ok" }, { 65536, "limit" } } do
        local key = ("k"):rep(row[1])
        local before = db:stats().bytes
        assert.equal(row[2], code_of(pcall(db.put, db, key, "v")), row[1])
        assert.equal(row[2], code_of(pcall(db.insert, db, key .. "", "v")), row[1])
        assert.equal(row[2] == "ok" and "v" or nil, db:get(key), row[1])
        assert.equal(row[2] == "ok", db:has(key), row[1])
        assert.equal(row[2], code_of(pcall(db.delete, db, key)), row[1])
        if row[2] ~= "ok" then assert.equal(before, db:stats().bytes) end
      end
    end)

    it("are a segment, less its header, for a record, with io = " .. io_mode, function()
      for _, segment_size in ipairs { 4096, 4100, 65536 } do
        local dir <close> = tmp.dir()
        local db <close> = assert(freyja.open(dir.path .. "/db",
          { io = io_mode, segment_size = segment_size }))
        local most = (segment_size - HEADER) // 8 * 8 - 24 - 1
        for _, row in ipairs { { most - 1, "ok" }, { most, "ok" }, { most + 1, "limit" } } do
          local value = ("v"):rep(row[1])
          local label = segment_size .. ", " .. row[1]
          assert.equal(row[2], code_of(pcall(db.put, db, "k", value)), label)
          if row[2] == "ok" then assert.equal(value, db:get "k", label) end
        end
        assert.equal(most, #db:get "k")
      end
    end)
  end

  it("are those of the segments that are begun now, for a delete too", function()
    for _, io_mode in ipairs { "mmap", "syscall" } do
      local dir <close> = tmp.dir()
      local most = (4096 - HEADER) // 8 * 8 - 24
      local fits, long = ("f"):rep(most), ("l"):rep(most + 1)
      do
        local db <close> = assert(freyja.open(dir.path .. "/db", { io = io_mode }))
        db:put(fits, "v")
        db:put(long, "v")
        db:rotate()
      end
      do
        local db <close> = assert(freyja.open(dir.path .. "/db", { io = io_mode, segment_size = 4096 }))
        db:put("k", "v") -- the active segment is one of the small ones
        db:rotate()
        local ok, err = pcall(db.delete, db, long)
        assert.equal("limit", code_of(ok, err))
        assert.matches("the key has 3945 bytes; at most 3944 fit a segment of 4096", err.message, 1, true)
        assert.equal("limit", code_of(pcall(db.put, db, long, "")))
        assert.equal("limit", code_of(pcall(db.cas, db, long, "v", nil)))
        assert.equal("v", db:get(long))
        assert.is_true(db:delete(fits))
      end
      local db <close> = assert(freyja.open(dir.path .. "/db", { io = io_mode }))
      assert.is_true(db:delete(long))
      assert.equal(1, db:count())
    end
  end)

  local options = {
    { "segment_size", 4095, "limit" }, { "segment_size", 4096, "ok" }, { "segment_size", 4097, "ok" },
    { "segment_size", (2 << 30) - 1, "ok" }, { "segment_size", 2 << 30, "ok" },
    { "segment_size", (2 << 30) + 1, "limit" }, { "segment_size", -1, "limit" },
    { "segment_size", 1 << 40, "limit" }, { "segment_size", math.mininteger, "limit" },
    { "sync", 0, "limit" }, { "sync", 1, "ok" }, { "sync", 86399999, "ok" }, { "sync", 86400000, "ok" },
    { "sync", 86400001, "limit" }, { "sync", -1, "limit" }, { "sync", 1 << 32, "limit" },
    { "hash_bits", 0, "limit" }, { "hash_bits", 1, "ok" }, { "hash_bits", 64, "ok" }, { "hash_bits", 65, "limit" },
  }
  for _, row in ipairs(options) do
    it(("make option %s = %d %s"):format(row[1], row[2], row[3] == "ok" and "fine" or "refused"), function()
      local dir <close> = tmp.dir()
      local path = dir.path .. "/db"
      local db, err = freyja.open(path, { [row[1]] = row[2] })
      assert.equal(row[3], db and "ok" or err.code)
      if db then
        db:put("k", "v")
        db:close()
      else
        assert.matches(("%s is %d"):format(row[1], row[2]), err.message, 1, true)
        assert.is_false(tmp.exists(path))
      end
    end)
  end

  it("allow values of tens of MiB", function()
    for _, io_mode in ipairs { "mmap", "syscall" } do
      local dir <close> = tmp.dir()
      local value = ("0123456789abcdef"):rep(2 << 20)
      do
        local db <close> = assert(freyja.open(dir.path .. "/db", { io = io_mode }))
        db:put("big", value)
        assert.is_true(db:get "big" == value)
        for _, v in db:each() do assert.is_true(v == value) end
      end
      local db <close> = assert(freyja.open(dir.path .. "/db", { io = io_mode }))
      assert.is_true(db:get "big" == value)
      assert.is_true(db:delete "big")
      assert.is_nil(db:get "big")
    end
  end)
end)
