-- Goal: verify finds nothing in a store that is whole, and whatever else is wrong with it, with
-- file and place.
-- Method: bits of all files changed, while the store is open and before it is opened; files
-- cut, replaced, removed. What verify does not cover is said where it is left out.
local lfs = require "lfs"
local freyja = require "freyja"
local record = require "spec.support.record"
local store = require "spec.support.store"
local tmp = require "spec.support.tmp"

local flip <const> = store.flip

local HEADER <const> = 128
local MARKS <const>, MARKS_END <const> = 64, 96

--- Changes bytes of a file where they are: the file stays the one that is open and mapped.
local function patch(path, offset, bytes)
  local file <close> = assert(io.open(path, "r+b"))
  file:seek("set", offset)
  local old = file:read(#bytes)
  file:seek("set", offset)
  file:write(bytes)
  return old
end

--- 1.data is sealed: 4 records, of which one replaces another and one is a tombstone; 2.data is
--- active, 2 records.
local function fill(db)
  db:put("twice", "value 00001")
  db:put("alone", "value 00002")
  db:put("twice", "value 00003")
  db:put("gone", "")
  db:delete "gone"
  db:rotate()
  db:put("later", "value 00004")
  db:put("final", "odd")
  db:sync()
end

local function make(path, options)
  local db = assert(freyja.open(path, options))
  fill(db)
  return db
end

--- The problem that is about a byte of a file, of which verify must have found one.
local function find(report, path, offset)
  assert.is_false(report.ok)
  assert.equal(report.problem_count, #report.problems)
  for _, problem in ipairs(report.problems) do
    local whole = problem.size == 0 or problem.path:find "MANIFEST$"
    local inside = offset >= problem.offset and offset < problem.offset + problem.size
    if problem.path == path and (whole or inside) then return problem end
  end
  local said = {}
  for i, p in ipairs(report.problems) do said[i] = ("%s %d+%d: %s"):format(p.path, p.offset,
    p.size, p.message) end
  error(("no problem is about %s, offset %d, but these are:\n%s"):format(path, offset,
    table.concat(said, "\n")))
end

local function assert_clean(db, what)
  local report = db:verify()
  local first = report.problems[1]
  local said = first and ("%s, offset %d: %s"):format(first.path, first.offset, first.message)
  assert.is_true(report.ok, ("%s: %s"):format(what or "", said))
  assert.equal(0, report.problem_count)
  return report
end

for _, io_mode in ipairs { "mmap", "syscall" } do
  describe("verify, with io = " .. io_mode, function()
    local dir, path, db

    require("spec.support.leaks").watch(before_each, after_each, function()
      dir = tmp.fast_dir()
      path = dir.path .. "/db"
      db = make(path, { io = io_mode })
    end, function()
      db:close()
      getmetatable(dir).__close(dir)
    end)

    local function reopen(options)
      db:close()
      options = options or {}
      options.io = io_mode
      db = assert(freyja.open(path, options))
    end

    it("finds nothing in a whole store, and counts what there is", function()
      local report = assert_clean(db)
      assert.equal(2, report.files)
      assert.equal(7, report.records)
      assert.equal(4, report.keys)
      assert.equal(0, report.torn_bytes)
      assert.equal(db:stats().bytes, report.bytes)
      reopen()
      assert_clean(db)
      reopen { readonly = true }
      assert.equal(4, assert_clean(db).keys)
      local empty <close> = assert(freyja.open(dir.path .. "/empty", { io = io_mode }))
      assert.equal(0, assert_clean(empty).records)
    end)

    it("finds every bit of a data file and of the MANIFEST changed under an open store", function()
      for _, name in ipairs { "1.data", "2.data", "MANIFEST" } do
        local file = path .. "/" .. name
        local size = lfs.attributes(file, "size")
        if name == "2.data" then size = db:segments()[2].bytes end
        for bit = 0, size * 8 - 1 do
          -- Of a mark whose check does not hold nobody can tell what it was.
          local covered = name == "MANIFEST" or bit < MARKS * 8 or bit >= MARKS_END * 8
          if covered then
            flip(file, bit)
            find(db:verify(), file, bit // 8)
            flip(file, bit)
          end
        end
        assert_clean(db, name)
      end
    end)

    it("finds every byte below the log's end changed before the store was opened", function()
      db:close()
      for _, name in ipairs { "1.data", "2.data" } do
        local file = path .. "/" .. name
        for byte = 0, lfs.attributes(file, "size") - 1 do
          local bit = byte * 8 + byte % 8 -- a bit of each: the test above has them all
          if bit < MARKS * 8 or bit >= MARKS_END * 8 then
            flip(file, bit)
            local other, err = freyja.open(path, { io = io_mode, readonly = true })
            if other then
              find(other:verify(), file, bit // 8)
              other:close()
            else
              assert.equal("format", err.code)
            end
            flip(file, bit)
          end
        end
      end
      db = assert(freyja.open(path, { io = io_mode }))
      assert_clean(db)
    end)

    it("finds the newest mark of the active file changed, by what the open store knows", function()
      local file = path .. "/2.data"
      local bytes = tmp.read(file)
      local mark = record.header(bytes).mark
      local newest = ("<I8"):unpack(bytes, MARKS + 1) == mark and MARKS or MARKS + 16
      for bit = newest * 8, (newest + 16) * 8 - 1 do
        flip(file, bit)
        find(db:verify(), file, bit // 8)
        flip(file, bit)
      end
    end)

    it("finds a mark behind the log's end", function()
      local file, copy = path .. "/2.data", dir.path .. "/copy"
      reopen()
      tmp.copy_dir(path, copy)
      local other <close> = assert(freyja.open(copy, { io = io_mode, sync = "always" }))
      for i = 1, 2 do other:put("a write of the copy", ("x"):rep(i)) end
      other:close()
      local marks = tmp.read(copy .. "/2.data"):sub(MARKS + 1, MARKS_END)
      for slot = 0, 1 do
        local old = patch(file, MARKS + 16 * slot, marks:sub(16 * slot + 1, 16 * slot + 16))
        assert.matches("the log ends at", find(db:verify(), file, MARKS + 16 * slot).message)
        patch(file, MARKS + 16 * slot, old)
      end
      assert_clean(db)
    end)

    it("names the key of a damaged value and goes on behind each problem", function()
      flip(path .. "/1.data", (HEADER + 24 + 5 + 3) * 8)        -- a value: "twice", replaced since
      flip(path .. "/1.data", (HEADER + 40 + 2) * 8)            -- a header: "alone"
      flip(path .. "/1.data", (HEADER + 80 + 24 + 5 + 10) * 8)  -- a value: "twice"
      flip(path .. "/2.data", (HEADER + 24 + 5 + 3) * 8)        -- a value: "later"
      local problems = db:verify().problems
      local at = {}
      for _, problem in ipairs(problems) do
        at[problem.path:match "[^/]+$" .. ":" .. problem.offset] = problem.key or "unknown"
      end
      assert.same({ ["1.data:128"] = "twice", ["1.data:168"] = "unknown", ["1.data:208"] = "twice",
        ["2.data:128"] = "later" }, at)
      assert.equal(4, #problems)
    end)

    it("finds a file cut, longer, gone, or replaced by something else", function()
      local other <close> = tmp.dir()
      make(other.path .. "/db"):close()
      for _, name in ipairs { "1.data", "2.data", "MANIFEST" } do
        local file = path .. "/" .. name
        for what, spoil in pairs {
          cut = function() tmp.write(file, tmp.read(file):sub(1, 64)) end,
          empty = function() tmp.write(file, "") end,
          gone = function() end,
          foreign = function() tmp.write(file, tmp.read(other.path .. "/db/" .. name)) end,
          folder = function() lfs.mkdir(file) end,
          link = function() lfs.link(other.path .. "/db/" .. name, file, true) end,
          fifo = function() assert(os.execute("mkfifo " .. file)) end,
        } do
          -- The file that is open goes to another name: what is done to the name does not
          -- reach the mapping.
          os.rename(file, dir.path .. "/kept")
          if what == "cut" then tmp.write(file, tmp.read(dir.path .. "/kept")) end
          spoil()
          assert.is_false(db:verify().ok, ("%s of %s"):format(what, name))
          find(db:verify(), file, 0)
          os.execute("rm -rf " .. file)
          os.rename(dir.path .. "/kept", file)
          assert_clean(db, what)
        end
      end
      local sealed = path .. "/1.data"
      local whole = tmp.read(sealed)
      patch(sealed, #whole, "\0")
      assert.matches("longer", find(db:verify(), sealed, #whole).message)
    end)

    it("finds records lost at the end of the active file", function()
      reopen { readonly = true }
      local file = path .. "/2.data"
      local whole = tmp.read(file)
      for size = #whole - 8, HEADER, -8 do
        os.remove(file) -- not cut: the mapping is of the old one
        tmp.write(file, whole:sub(1, size))
        find(db:verify(), file, size)
        local other <close> = assert(freyja.open(path, { io = io_mode, readonly = true }))
        find(other:verify(), file, size)
      end
      os.remove(file)
      tmp.write(file, whole)
    end)

    it("finds bytes behind the log's end, but not those of a torn tail or a failed write", function()
      local file = path .. "/2.data"
      local tail = db:segments()[2].bytes
      patch(file, tail + 100, "x")
      find(db:verify(), file, tail + 100)
      patch(file, tail + 100, "\0")
      assert_clean(db)
      -- The put stages its bytes before it looks the key up, which fails.
      flip(path .. "/1.data", (HEADER + 80 + 4) * 8)
      assert.is_false(pcall(db.put, db, "twice", ("x"):rep(500)))
      flip(path .. "/1.data", (HEADER + 80 + 4) * 8)
      assert_clean(db, "after a failed put")
      db:put("shorter", "x")
      assert_clean(db, "and a shorter one")
      db:close()
      patch(file, lfs.attributes(file, "size"), "torn bytes")
      db = assert(freyja.open(path, { io = io_mode, readonly = true }))
      assert.equal(10, assert_clean(db, "torn").torn_bytes)
      reopen()
      assert.equal(0, assert_clean(db, "cut").torn_bytes)
    end)

    it("leaves what is not the store's alone, and what the next open removes", function()
      for _, name in ipairs { "notes.txt", "MANIFEST.tmp", "9.data", "LOCK" } do
        tmp.write(path .. "/" .. name, "anything")
      end
      assert_clean(db)
    end)

    it("works within a loop, and is refused by a closed store", function()
      local seen = 0
      for key in db:each() do
        assert_clean(db, key)
        db:put(key, "changed")
        seen = seen + 1
      end
      assert.equal(4, seen)
      assert_clean(db)
      db:close()
      local ok, err = pcall(db.verify, db)
      assert.is_false(ok)
      assert.equal("closed", err.code)
    end)
  end)
end
