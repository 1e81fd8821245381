-- Goal: damage is told, never turned into absence or into an older value; what is whole reads.
-- Method: stores with sealed segments, closed; bytes of their files changed; opened again.
local freyja = require "freyja"
local lfs = require "lfs"
local store = require "spec.support.store"
local tmp = require "spec.support.tmp"

local HEADER <const> = 128

local function flip(path, offset, bit) store.flip(path, offset * 8 + bit) end

--- Three records of 40 bytes each in 1.data (the second overwrites "twice" of the first), then
--- two in 2.data.
local function make(path)
  local db <close> = assert(freyja.open(path))
  db:put("twice", "value 00001")
  db:put("alone", "value 00002")
  db:put("twice", "value 00003")
  db:rotate()
  db:put("later", "value 00004")
  db:put("final", "value 00005")
end

local function code_of(db, key)
  local ok, result = pcall(db.get, db, key)
  if ok then return result end
  return result.code, result
end

for _, io_mode in ipairs { "mmap", "syscall" } do
  describe("damage, with io = " .. io_mode, function()
    require("spec.support.leaks").watch(before_each, after_each)

    it("of a value makes exactly its key raise, with file and offset", function()
      for bit = 0, 11 * 8 - 1 do
        local dir <close> = tmp.dir()
        local path = dir.path .. "/db"
        make(path)
        flip(path .. "/1.data", HEADER + 40 + 24 + 5 + bit // 8, bit % 8)
        local db <close> = assert(freyja.open(path, { io = io_mode }))
        local code, err = code_of(db, "alone")
        assert.equal("corrupt", code, bit)
        assert.equal(path .. "/1.data", err.path)
        assert.matches("offset 168", err.message)
        assert.equal("value 00003", db:get "twice")
        assert.equal("value 00004", db:get "later")
        assert.is_nil(db:get "absent")
        assert.equal(1, db:stats().recovery.damaged)
        assert.equal("corrupt", db:stats().recovery.damage.code)
        assert.is_true(db:segments()[1].damaged)
        db:put("alone", "again")
        assert.equal("again", db:get "alone")
      end
    end)

    it("of a header or a key never shows a wrong value or absence", function()
      for bit = 0, 29 * 8 - 1 do
        local dir <close> = tmp.dir()
        local path = dir.path .. "/db"
        make(path)
        flip(path .. "/1.data", HEADER + 80 + bit // 8, bit % 8)
        local db <close> = assert(freyja.open(path, { io = io_mode }))
        assert.equal("corrupt", code_of(db, "twice"), bit)
        assert.equal("corrupt", code_of(db, "absent"), bit)
        assert.equal("value 00004", db:get "later")
        assert.equal("value 00005", db:get "final")
        local ok, err = pcall(function()
          for _, v in db:each() do assert(v == "value 00004" or v == "value 00005") end
        end)
        assert.is_false(ok)
        assert.equal("corrupt", err.code, bit)
      end
    end)

    it("of a value is an error in a loop that goes on behind it", function()
      local dir <close> = tmp.dir()
      make(dir.path .. "/db")
      flip(dir.path .. "/db/1.data", HEADER + 40 + 24 + 5, 0)
      local db <close> = assert(freyja.open(dir.path .. "/db", { io = io_mode }))
      local next_entry, it <close> = db:each()
      local ok, err = pcall(next_entry, it)
      assert.is_false(ok)
      assert.equal("corrupt", err.code)
      assert.equal("twice", (next_entry(it)))
      assert.equal("later", (next_entry(it)))
    end)

    it("is told to a loop that goes on after each error, and lets it end", function()
      for where, expected in pairs {
        [HEADER + 40 + 24 + 5] = { "twice", "later", "final", errors = 1 }, -- a value
        [HEADER + 80 + 3] = { "later", "final", errors = 1 }, -- a record's header
        [20] = { "twice", "alone", "later", "final", errors = 0 }, -- the file's header
        [0] = { "later", "final", errors = 1 }, -- the whole file
      } do
        local dir <close> = tmp.dir()
        make(dir.path .. "/db")
        if where == 0 then os.remove(dir.path .. "/db/1.data")
        else flip(dir.path .. "/db/1.data", where, 0) end
        local db <close> = assert(freyja.open(dir.path .. "/db", { io = io_mode }))
        for _, order in ipairs { "log", "key" } do
          local found, errors, calls = {}, 0, 0
          local next_entry, it <close> = db:each { order = order }
          repeat
            local ok, key = pcall(next_entry, it)
            calls = calls + 1
            if not ok then
              assert.equal("corrupt", key.code)
              errors = errors + 1
            elseif key then
              found[key] = true
            end
          until (ok and key == nil) or calls == 10
          local wanted = {}
          for _, key in ipairs(expected) do wanted[key] = true end
          assert.same(wanted, found, where)
          assert.equal(expected.errors, errors, where)
          assert.is_true(calls < 10, where)
        end
      end
    end)

    it("of the active segment below what was synced is not taken for a torn tail", function()
      local dir <close> = tmp.dir()
      local path = dir.path .. "/db"
      make(path)
      flip(path .. "/2.data", HEADER + 24 + 5 + 3, 0)
      for _ = 1, 2 do
        local db <close> = assert(freyja.open(path, { io = io_mode }))
        assert.equal("corrupt", code_of(db, "later"))
        assert.equal("value 00005", db:get "final")
        assert.equal(0, db:stats().recovery.bytes_cut)
        db:put("new", "value")
        assert.equal("value", db:get "new")
      end
    end)

    it("of a whole file, gone or cut or another store's, costs no other file", function()
      local other <close> = tmp.dir()
      make(other.path .. "/db")
      for what, spoil in pairs {
        gone = function(file) os.remove(file) end,
        empty = function(file) tmp.write(file, "") end,
        cut = function(file) tmp.write(file, tmp.read(file):sub(1, HEADER + 80)) end,
        foreign = function(file) tmp.write(file, tmp.read(other.path .. "/db/1.data")) end,
      } do
        local dir <close> = tmp.dir()
        local path = dir.path .. "/db"
        make(path)
        spoil(path .. "/1.data")
        for _ = 1, 2 do
          local db <close> = assert(freyja.open(path, { io = io_mode }))
          local code, err = code_of(db, "twice")
          assert.equal("corrupt", code, what)
          assert.equal(path .. "/1.data", err.path, what)
          assert.equal("corrupt", code_of(db, "absent"), what)
          assert.equal("value 00004", db:get "later", what)
        end
      end
    end)

    it("of the active file, gone or cut, is remembered when writing goes on", function()
      for what, spoil in pairs {
        gone = function(file) os.remove(file) end,
        cut = function(file) tmp.write(file, tmp.read(file):sub(1, HEADER + 40)) end,
        header = function(file) flip(file, 20, 3) end,
      } do
        local dir <close> = tmp.dir()
        local path = dir.path .. "/db"
        make(path)
        spoil(path .. "/2.data")
        for _ = 1, 3 do
          local db <close> = assert(freyja.open(path, { io = io_mode }))
          if what ~= "header" then assert.equal("corrupt", code_of(db, "final"), what) end
          if what == "header" then assert.equal("value 00005", db:get "final", what) end
          assert.is_true(db:stats().recovery.damaged > 0, what)
          db:put("new", "value")
          assert.equal("value", db:get "new", what)
        end
      end
    end)

    it("of a file that was active is forgotten neither while it is gone nor after", function()
      local dir <close> = tmp.dir()
      local path = dir.path .. "/db"
      make(path)
      os.rename(path .. "/2.data", dir.path .. "/kept")
      for _ = 1, 2 do
        local db <close> = assert(freyja.open(path, { io = io_mode }))
        assert.equal("corrupt", code_of(db, "later"))
        db:put("new", "value")
      end
      os.rename(dir.path .. "/kept", path .. "/2.data")
      local db <close> = assert(freyja.open(path, { io = io_mode }))
      for key, value in pairs { later = "value 00004", final = "value 00005" } do
        local found = code_of(db, key)
        assert.is_true(found == value or found == "corrupt", key)
      end
      assert.equal("value", db:get "new")
    end)

    it("by an older MANIFEST refuses to open and removes no data", function()
      local dir <close> = tmp.dir()
      local path = dir.path .. "/db"
      make(path)
      local older = tmp.read(path .. "/MANIFEST")
      do
        local db <close> = assert(freyja.open(path, { io = io_mode }))
        db:rotate()
        db:put("newest", "value 00006")
      end
      local newer = tmp.read(path .. "/MANIFEST")
      tmp.write(path .. "/MANIFEST", older)
      for _, readonly in ipairs { false, true } do
        local db, err = freyja.open(path, { io = io_mode, readonly = readonly })
        assert.is_nil(db)
        assert.equal("corrupt", err.code)
        assert.equal(path .. "/MANIFEST", err.path)
        assert.matches("3.data", err.message, 1, true)
      end
      tmp.write(path .. "/MANIFEST", newer)
      local db <close> = assert(freyja.open(path, { io = io_mode }))
      assert.equal("value 00006", db:get "newest")
    end)

    it("by the MANIFEST of a backup is told though nothing was rotated since, and repaired", function()
      local dir <close> = tmp.dir()
      local path = dir.path .. "/db"
      local manifest
      do
        local db <close> = assert(freyja.open(path, { io = io_mode }))
        db:put("gone", "value 1")
        db:put("changed", "value 2")
        db:backup(dir.path .. "/backup")
        manifest = tmp.read(dir.path .. "/backup/MANIFEST")
        db:put("changed", "value 3")
        db:delete "gone"
        db:put("added", "value 4")
      end
      tmp.write(path .. "/MANIFEST", manifest)
      for _, readonly in ipairs { true, false } do
        local _, err = freyja.open(path, { io = io_mode, readonly = readonly })
        assert.equal("corrupt", err.code)
        assert.matches("ends 1.data", err.message, 1, true)
      end
      local report = freyja.repair(path, { to = dir.path .. "/saved" })
      assert.matches("ends 1.data", report.problems[1].message, 1, true)
      local db <close> = assert(freyja.open(dir.path .. "/saved"))
      assert.equal("value 3", db:get "changed")
      assert.equal("value 4", db:get "added")
      assert.is_nil(db:get "gone")
      -- Bytes that are no records behind the end of a file cost nothing.
      local second = dir.path .. "/backup/1.data"
      tmp.write(second, tmp.read(second) .. ("noise"):rep(50))
      local backup <close> = assert(freyja.open(dir.path .. "/backup", { io = io_mode }))
      assert.equal("value 2", backup:get "changed")
    end)

    it("by the MANIFEST of a backup refuses to open and removes no data", function()
      local dir <close> = tmp.dir()
      local path = dir.path .. "/db"
      make(path)
      do
        local db <close> = assert(freyja.open(path, { io = io_mode }))
        db:rotate()
        db:put("kept", "in the backup")
        db:backup(dir.path .. "/backup")
        for i = 1, 5 do
          db:put("newest", "value " .. i)
          db:rotate()
        end
      end
      local newer = tmp.read(path .. "/MANIFEST")
      local files = tmp.list(path)
      tmp.write(path .. "/MANIFEST", tmp.read(dir.path .. "/backup/MANIFEST"))
      local db, err = freyja.open(path, { io = io_mode })
      assert.is_nil(db)
      assert.equal("corrupt", err.code)
      assert.same(files, tmp.list(path))
      tmp.write(path .. "/MANIFEST", newer)
      local again <close> = assert(freyja.open(path, { io = io_mode }))
      assert.equal("value 5", again:get "newest")
    end)

    it("by a MANIFEST that does not name a file of the store is told, whatever the file's number", function()
      local dir <close> = tmp.dir()
      local path = dir.path .. "/db"
      make(path)
      do
        local db <close> = assert(freyja.open(path, { io = io_mode }))
        assert(lfs.mkdir(path .. "/MANIFEST.tmp"))
        assert.is_false(pcall(db.rotate, db)) -- which uses up number 3
        assert(lfs.rmdir(path .. "/MANIFEST.tmp"))
        db:rotate()
      end
      local bytes = tmp.read(path .. "/2.data")
      local unnamed = bytes:sub(1, 40) .. ("<I8"):pack(3) .. bytes:sub(49)
      for _, row in ipairs { { #unnamed, true }, { HEADER + 1, true }, { HEADER, false }, { 0, false } } do
        tmp.write(path .. "/3.data", unnamed:sub(1, row[1]))
        local db, err = freyja.open(path, { io = io_mode })
        if row[2] then
          assert.equal("corrupt", err.code, row[1])
          assert.matches("3.data", err.message, 1, true)
          assert.equal(unnamed:sub(1, row[1]), tmp.read(path .. "/3.data"))
        else
          assert.equal("value 00005", db:get "final", row[1])
          assert.is_false(tmp.exists(path .. "/3.data"))
          db:close()
        end
      end
    end)

    it("of a data file's header says which field it is and costs no key", function()
      local fields = { { 0, 0 }, { 7, 0 }, { 8, 8 }, { 11, 8 }, { 12, 12 }, { 15, 12 }, { 16, 16 }, { 31, 16 },
        { 32, 32 }, { 39, 32 }, { 40, 40 }, { 47, 40 }, { 48, 56 }, { 55, 56 }, { 56, 56 }, { 63, 56 },
        { 96, 96 }, { 127, 96 } }
      for _, name in ipairs { "1.data", "2.data" } do
        for _, row in ipairs(fields) do
          local dir <close> = tmp.dir()
          local path = dir.path .. "/db"
          make(path)
          flip(path .. "/" .. name, row[1], 2)
          for _ = 1, 2 do
            local db <close> = assert(freyja.open(path, { io = io_mode }))
            local label = name .. ", " .. row[1]
            assert.equal("value 00003", db:get "twice", label)
            assert.equal("value 00005", db:get "final", label)
            local damage = db:stats().recovery.damage
            assert.equal(path .. "/" .. name, damage.path, label)
            assert.matches(("offset %d)"):format(row[2]), damage.message, 1, true)
            local report = db:verify()
            assert.equal(1, #report.problems, label)
            assert.matches(("offset %d)"):format(row[2]), report.problems[1].message, 1, true)
          end
        end
      end
    end)

    it("of the MANIFEST refuses to open and changes nothing", function()
      local dir <close> = tmp.dir()
      local path = dir.path .. "/db"
      make(path)
      local whole = tmp.read(path .. "/MANIFEST")
      for bit = 0, #whole * 8 - 1 do
        flip(path .. "/MANIFEST", bit // 8, bit % 8)
        local db, err = freyja.open(path, { io = io_mode })
        assert.is_nil(db, bit)
        assert.equal("corrupt", err.code, bit)
        assert.equal(path .. "/MANIFEST", err.path)
        tmp.write(path .. "/MANIFEST", whole)
      end
      for size = 0, #whole - 1 do
        tmp.write(path .. "/MANIFEST", whole:sub(1, size))
        local db, err = freyja.open(path, { io = io_mode })
        assert.is_nil(db, size)
        assert.equal("corrupt", err.code, size)
      end
      os.remove(path .. "/MANIFEST")
      local _, err = freyja.open(path, { io = io_mode })
      assert.equal("corrupt", err.code)
      assert.matches("no MANIFEST", err.message)
      tmp.write(path .. "/MANIFEST", whole)
      local db <close> = assert(freyja.open(path, { io = io_mode }))
      assert.equal("value 00003", db:get "twice")
    end)
  end)
end
