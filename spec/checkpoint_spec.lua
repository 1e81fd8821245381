-- Goal: a store that is opened by its KEYDIR is the one that reading its files gives, opening reads
-- none of them, and a KEYDIR that is anything else costs time, never a value.
-- Method: random stores, opened with and without; the file cut at many lengths, with bits turned over,
-- of another store, of another time, and things in its place that are no file.
local freyja = require "freyja"
local store = require "spec.support.store"
local tmp = require "spec.support.tmp"

local IO_MODES = { "mmap", "syscall" }

--- All that a user sees of a store, and what verify finds.
local function look(path, options)
  local db <close> = assert(freyja.open(path, options))
  local recovery = db:stats().recovery
  return { contents = store.contents(db), count = #db, segments = db:segments() }, recovery, db:verify()
end

--- A hundred keys in two segments, some deleted, and a KEYDIR; one more behind it.
local function make(path, options)
  local db <close> = assert(freyja.open(path, options))
  for i = 1, 100 do db:put("key" .. i, "old") end
  db:rotate()
  for i = 1, 50 do db:put("key" .. i, "value " .. i) end
  for i = 40, 60 do db:delete("key" .. i) end
  db:checkpoint()
  db:put("later", "behind it")
end

for _, io_mode in ipairs(IO_MODES) do
  describe("an open by the KEYDIR, io = " .. io_mode .. ",", function()
    require("spec.support.leaks").watch(before_each, after_each)
    local options = { io = io_mode, segment_size = 4096, maintenance = "manual" }

    it("reads only what was written behind it, and says so", function()
      local dir <close> = tmp.dir()
      make(dir.path, options)
      local shown, recovery, report = look(dir.path, options)
      assert.same({ true, 1, 1 }, { recovery.checkpoint_used, recovery.records, recovery.files_scanned })
      assert.is_nil(recovery.checkpoint)
      assert.is_true(report.ok)
      os.remove(dir.path .. "/KEYDIR")
      local plain, without = look(dir.path, options)
      assert.same(plain, shown)
      assert.is_false(without.checkpoint_used)
      assert.is_nil(without.checkpoint)
      assert.equal(100 - 21 + 1, shown.count)
    end)

    it("is the next one's again after a program has opened the store, merged and closed it", function()
      local dir <close> = tmp.fast_dir()
      local large = { io = io_mode, segment_size = 1 << 20, maintenance = "manual" }
      do
        local db <close> = assert(freyja.open(dir.path, large))
        for i = 1, 5000 do db:put("key" .. i % 3000, ("v"):rep(1000)) end
      end
      do
        local db <close> = assert(freyja.open(dir.path, large))
        assert.is_true(db:stats().recovery.checkpoint_used)
        db:merge { 1, 2, 3 }
      end
      local _, recovery, report = look(dir.path, large)
      assert.is_true(recovery.checkpoint_used and report.ok)
    end)

    it("is not made where a data file is an older one, of which less is certain", function()
      local dir <close> = tmp.dir()
      local file = dir.path .. "/1.data"
      local older
      do
        local db <close> = assert(freyja.open(dir.path, { io = io_mode, maintenance = "manual" }))
        for i = 1, 400 do db:put("key" .. i, ("value of %3d"):format(i)) end
        older = tmp.read(file)
        db:checkpoint()
      end
      local at = assert(older:find("value of  10", 1, true))
      tmp.write(file, older:sub(1, at - 1) .. ("\0"):rep(12) .. older:sub(at + 12))
      local shown, recovery, report = look(dir.path, options)
      assert.is_false(recovery.checkpoint_used)
      assert.equal(9, shown.count)
      assert.is_true(report.ok)
    end)

    it("shows what one without shows, whatever was written", function()
      local seed = math.tointeger(tonumber(os.getenv "FREYJA_SEED")) or os.time()
      math.randomseed(seed)
      for round = 1, 12 do
        local said = ("seed %d, round %d"):format(seed, round)
        local dir <close> = tmp.fast_dir()
        local model = {}
        for _ = 1, 4 do
          local db <close> = assert(freyja.open(dir.path, {
            io = io_mode, segment_size = 4096, hash_bits = ({ 64, 2, 5 })[round % 3 + 1],
            maintenance = "manual",
          }))
          for _ = 1, math.random(1, 200) do
            local key = "key" .. math.random(1, 50)
            if math.random(1, 3) == 1 then model[key] = nil db:delete(key)
            else
              model[key] = ("v"):rep(math.random(0, 90))
              db:put(key, model[key])
            end
            if math.random(1, 50) == 1 then db:checkpoint() end
          end
          if math.random(1, 3) == 1 then db:maintain("dead_ratio", { frag_trigger = 0.2 }) end
        end
        local kept = dir.path .. "/without"
        tmp.copy_dir(dir.path, kept)
        os.remove(kept .. "/KEYDIR")
        local shown, _, report = look(dir.path, options)
        assert.same(model, shown.contents, said)
        assert.is_true(report.ok, said)
        assert.same(look(kept, options), shown, said)
      end
    end)

    it("passes over one that is cut, turned over, or something else", function()
      local dir <close> = tmp.fast_dir()
      make(dir.path, options)
      local file = dir.path .. "/KEYDIR"
      local whole = tmp.read(file)
      local right = look(dir.path, options)
      local function check(what)
        local shown, recovery = look(dir.path, options)
        assert.same(right, shown, what)
        assert.equal("corrupt", recovery.checkpoint and recovery.checkpoint.code, what)
        assert.truthy(recovery.checkpoint.path:find "KEYDIR", what)
      end
      for size = 0, #whole - 1, 3001 do
        tmp.write(file, whole:sub(1, size))
        check("cut at " .. size)
      end
      tmp.write(file, whole .. "\0")
      check "longer"
      for bit = 0, 8 * 300, 37 do
        tmp.write(file, whole)
        store.flip(file, bit)
        check("bit " .. bit)
      end
      os.remove(file)
      for what, command in pairs { fifo = "mkfifo '%s'", folder = "mkdir '%s'", link = "ln -s LOCK '%s'" } do
        os.execute(command:format(file))
        local shown, recovery = look(dir.path, options)
        assert.same(right, shown, what)
        assert.is_false(recovery.checkpoint_used, what)
        assert.is_truthy(recovery.checkpoint, what)
        os.execute("rm -rf '" .. file .. "'")
      end
    end)

    it("passes over that of another store, and of another time", function()
      local dir <close> = tmp.fast_dir()
      local path, other = dir.path .. "/db", dir.path .. "/other"
      make(path, options)
      make(other, options)
      local bytes = tmp.read(path .. "/KEYDIR")
      tmp.write(other .. "/KEYDIR", bytes)
      local _, recovery = look(other, options)
      assert.truthy(tostring(recovery.checkpoint):find("not of this store", 1, true))
      do
        local db <close> = assert(freyja.open(path, options))
        db:rotate()
        db:maintain("dead_ratio", { frag_trigger = 0.1 })
        assert.is_false(tmp.exists(path .. "/KEYDIR"))
        db:put("key1", "new")
      end
      tmp.write(path .. "/KEYDIR", bytes)
      local shown, again = look(path, options)
      assert.truthy(tostring(again.checkpoint):find("other segments", 1, true))
      assert.equal("new", shown.contents.key1)
      assert.equal(100 - 21 + 1, shown.count)
    end)
  end)
end

describe("db:checkpoint", function()
  require("spec.support.leaks").watch(before_each, after_each)

  it("says what is in its way", function()
    local dir <close> = tmp.dir()
    make(dir.path)
    do
      local db <close> = assert(freyja.open(dir.path, { readonly = true }))
      assert.equal("readonly", store.error_of(db.checkpoint, db).code)
      assert.is_true(db:stats().recovery.checkpoint_used)
    end
    local db = assert(freyja.open(dir.path))
    db:close()
    assert.equal("closed", store.error_of(db.checkpoint, db).code)
  end)

  it("is told of by verify when it is damaged", function()
    local dir <close> = tmp.dir()
    make(dir.path)
    local size = #tmp.read(dir.path .. "/KEYDIR")
    local db <close> = assert(freyja.open(dir.path))
    store.flip(dir.path .. "/KEYDIR", 8 * (size // 2))
    local report = db:verify()
    assert.equal(1, #report.problems)
    assert.truthy(report.problems[1].path:find "KEYDIR$")
    assert.equal(80, #db)
    db:put("one more", "")
    db:checkpoint()
    assert.is_true(db:verify().ok)
  end)
end)
