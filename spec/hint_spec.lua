-- Goal: an open that uses hint files shows exactly what one that reads the data files shows, and a
-- hint file that is not what it must be costs time, never a value.
-- Method: random stores, with collisions and without, opened with hint files and without; every
-- bit of a hint turned over, every length of it, hints of other files and of other stores.
local core = require "freyja.core"
local freyja = require "freyja"
local store = require "spec.support.store"
local tmp = require "spec.support.tmp"

local IO_MODES = { "mmap", "syscall" }

--- Writes the hint file of each sealed segment; returns how many.
local function hint_all(db)
  local count = 0
  for _, segment in ipairs(db:segments()) do
    if segment.sealed then
      db:hint(segment.id)
      count = count + 1
    end
  end
  return count
end

--- The figures of all segments, but for whether they have hints.
local function figures(db)
  local list = db:segments()
  for _, segment in ipairs(list) do segment.has_hint = nil end
  return list
end

--- All that a user sees of a store, and what verify finds.
local function look(path, options)
  local db <close> = assert(freyja.open(path, options))
  local report = db:verify()
  return {
    contents = store.contents(db),
    count = #db,
    segments = figures(db),
    live_bytes = db:stats().live_bytes,
    problems = report.problems,
    records = report.records,
  }, db:stats().recovery
end

local function remove_hints(path)
  for _, name in ipairs(tmp.list(path)) do
    if name:find "%.hint$" then os.remove(path .. "/" .. name) end
  end
end

--- Writes at random: some keys often, some deleted, some once.
local function write_some(db, random, model, count)
  for _ = 1, count do
    local key = "key" .. random(1, 60) .. ("x"):rep(random(0, 3) * 5)
    if random(1, 4) == 1 then
      db:delete(key)
      model[key] = nil
    else
      model[key] = ("v"):rep(random(0, 90)) .. random(1, 1000000)
      db:put(key, model[key])
    end
    if random(1, 60) == 1 then db:rotate() end
  end
end

--- Three sealed segments and one that is written to; returns its contents.
local function make(path, options)
  local db <close> = assert(freyja.open(path, options))
  for i = 1, 30 do db:put("key" .. i, "old") end
  db:rotate()
  for i = 1, 20 do db:put("key" .. i, "value " .. i) end
  for i = 15, 25 do db:delete("key" .. i) end
  db:rotate()
  for i = 24, 35 do db:put("key" .. i, "new") end
  db:rotate()
  db:put("key3", "last")
  hint_all(db)
  return store.contents(db)
end

for _, io_mode in ipairs(IO_MODES) do
  describe("an open with hint files, io = " .. io_mode .. ",", function()
    require("spec.support.leaks").watch(before_each, after_each)
    local options = { io = io_mode, segment_size = 4096, maintenance = "manual" }

    it("shows what one without them shows, whatever was written", function()
      local seed = os.time() * 1000 + math.random(0, 999)
      for round = 1, 24 do
        local this = seed + round
        local said = ("seed %d, round %d"):format(this, round)
        math.randomseed(this)
        local dir <close> = tmp.fast_dir()
        local model = {}
        local bits = ({ 64, 1, 3, 8 })[round % 4 + 1]
        for _ = 1, 3 do
          do
            local db <close> = assert(freyja.open(dir.path, {
              io = io_mode, segment_size = 4096, hash_bits = bits, maintenance = "manual",
            }))
            write_some(db, math.random, model, math.random(1, 200))
            hint_all(db)
          end
          local with, recovery = look(dir.path, options)
          local sealed = #with.segments - 1
          assert.equal(sealed, recovery.hints_used, said)
          assert.equal(0, recovery.hints_ignored, said)
          assert.equal(#with.segments - sealed, recovery.files_scanned, said)
          assert.same(model, with.contents, said)
          assert.same({}, with.problems, said)
          local kept = dir.path .. "/without"
          tmp.copy_dir(dir.path, kept)
          remove_hints(kept)
          local without, plain = look(kept, options)
          assert.equal(0, plain.hints_used, said)
          assert.same(without, with, said)
          os.execute("rm -r " .. kept)
        end
      end
    end)

    it("reads no sealed data file, and says so", function()
      local dir <close> = tmp.dir()
      local contents = make(dir.path, options)
      local db <close> = assert(freyja.open(dir.path, options))
      local recovery = db:stats().recovery
      assert.equal(3, recovery.hints_used)
      assert.equal(1, recovery.files_scanned)
      assert.equal(1, recovery.records)
      assert.is_nil(recovery.hint)
      assert.same(contents, store.contents(db))
      for i, segment in ipairs(db:segments()) do assert.equal(i < 4, segment.has_hint) end
    end)

    it("needs none of them, and says nothing of those that are missing", function()
      local dir <close> = tmp.dir()
      local contents = make(dir.path, options)
      os.remove(dir.path .. "/2.hint")
      local db <close> = assert(freyja.open(dir.path, options))
      local recovery = db:stats().recovery
      assert.equal(2, recovery.hints_used)
      assert.equal(0, recovery.hints_ignored)
      assert.is_nil(recovery.hint)
      assert.same(contents, store.contents(db))
      assert.is_false(db:segments()[2].has_hint)
    end)

    --- Opens the store with one hint file that must be ignored.
    local function check_ignored(path, contents, what, text)
      local opened = { io = io_mode, readonly = true }
      local db <close> = assert(freyja.open(path, opened))
      local recovery = db:stats().recovery
      assert.equal(2, recovery.hints_used, what)
      assert.equal(1, recovery.hints_ignored, what)
      assert.equal("corrupt", recovery.hint.code, what)
      assert.equal(path .. "/2.hint", recovery.hint.path, what)
      assert.matches(text or "not used", recovery.hint.message, nil, nil, what)
      assert.same(contents, store.contents(db), what)
      assert.is_false(db:segments()[2].has_hint, what)
      local report = db:verify()
      assert.equal(1, #report.problems, what)
      assert.equal(path .. "/2.hint", report.problems[1].path, what)
    end

    it("ignores one of which any bit is another, or that was cut anywhere", function()
      local dir <close> = tmp.fast_dir()
      local path = dir.path .. "/db"
      do
        local db <close> = assert(freyja.open(path, options))
        for i = 1, 4 do
          db:put("key" .. i, "value " .. i)
          if i == 2 then db:delete "key1" end
          if i < 4 then db:rotate() end
        end
        hint_all(db)
      end
      local contents = { key2 = "value 2", key3 = "value 3", key4 = "value 4" }
      local bytes = tmp.read(path .. "/2.hint")
      assert.equal(128 + 2 * 16, #bytes)
      for bit = 0, #bytes * 8 - 1 do
        local text = bit < 56 and "does not begin" or bit < 1024 and "header's check" or "not used"
        store.flip(path .. "/2.hint", bit)
        check_ignored(path, contents, "bit " .. bit, text)
        tmp.write(path .. "/2.hint", bytes)
      end
      for size = 0, #bytes - 1 do
        tmp.write(path .. "/2.hint", bytes:sub(1, size))
        check_ignored(path, contents, "cut at " .. size)
      end
      tmp.write(path .. "/2.hint", bytes .. "\0")
      check_ignored(path, contents, "one byte longer", "size is wrong")
    end)

    it("ignores those of other files and other stores, and what is no file", function()
      local dir <close> = tmp.dir()
      local path, other = dir.path .. "/db", dir.path .. "/other"
      local contents = make(path, options)
      make(other, options)
      local bytes = tmp.read(path .. "/2.hint")
      tmp.write(path .. "/2.hint", tmp.read(path .. "/1.hint"))
      check_ignored(path, contents, "another segment's", "offset 40")
      tmp.write(path .. "/2.hint", tmp.read(other .. "/2.hint"))
      check_ignored(path, contents, "another store's", "offset 16")
      tmp.write(path .. "/2.hint", ("not a hint file\n"):rep(20))
      check_ignored(path, contents, "text", "does not begin")
      os.remove(path .. "/2.hint")
      assert(os.execute(("mkdir %s/2.hint"):format(path)))
      check_ignored(path, contents, "a folder", "not a regular file")
      assert(os.execute(("rmdir %s/2.hint; mkfifo %s/2.hint"):format(path, path)))
      check_ignored(path, contents, "a FIFO", "not a regular file")
      os.remove(path .. "/2.hint")
      tmp.write(path .. "/2.hint", bytes)
      local db <close> = assert(freyja.open(path, options))
      assert.equal(3, db:stats().recovery.hints_used)
    end)

    it("ignores one of a file that was put back as it once was, and went on otherwise to the same size", function()
      local dir <close> = tmp.dir()
      local path, kept = dir.path .. "/db", dir.path .. "/kept"
      local function fill(letter)
        local db <close> = assert(freyja.open(path, options))
        db:put(letter, "v")
        db:rotate()
        if letter == "b" then db:hint(2) end
      end
      fill "a"
      tmp.copy_dir(path, kept)
      fill "b"
      local hint = tmp.read(path .. "/2.hint")
      os.execute(("rm -r %s && mv %s %s"):format(path, kept, path))
      fill "c"
      tmp.write(path .. "/2.hint", hint)
      local db <close> = assert(freyja.open(path, options))
      assert.equal(1, db:stats().recovery.hints_ignored)
      assert.matches("last record is another", db:stats().recovery.hint.message)
      assert.equal("v", db:get "c")
      assert.is_nil(db:get "b")
    end)

    it("mends one that was ignored by writing it again", function()
      local dir <close> = tmp.dir()
      local contents = make(dir.path, options)
      store.flip(dir.path .. "/3.hint", 1000)
      do
        local db <close> = assert(freyja.open(dir.path, options))
        assert.equal(1, db:stats().recovery.hints_ignored)
        assert.is_false(db:segments()[3].has_hint)
        db:hint(3)
        assert.is_true(db:segments()[3].has_hint)
        assert.is_true(db:verify().ok)
      end
      local db <close> = assert(freyja.open(dir.path, options))
      assert.equal(3, db:stats().recovery.hints_used)
      assert.same(contents, store.contents(db))
    end)

    it("leaves damage of the data file to those who read it", function()
      local dir <close> = tmp.dir()
      local contents = make(dir.path, options)
      local where = assert(tmp.read(dir.path .. "/2.data"):find "value 7")
      store.flip(dir.path .. "/2.data", where * 8)
      local db <close> = assert(freyja.open(dir.path, options))
      assert.equal(3, db:stats().recovery.hints_used)
      assert.equal("corrupt", store.error_of(db.get, db, "key7").code)
      for key, value in pairs(contents) do
        if key ~= "key7" then assert.equal(value, db:get(key)) end
      end
      local err = store.error_of(db.hint, db, 2)
      assert.equal("corrupt", err.code)
      assert.equal(dir.path .. "/2.data", err.path)
      assert.matches("at offset %d+", err.message)
      local report = db:verify()
      assert.equal(1, #report.problems)
      assert.equal("key7", report.problems[1].key)
    end)

    it("is not made with the hint of a data file that is missing, cut or has a damaged header", function()
      for _, spoil in ipairs {
        function(file) os.remove(file) end,
        function(file) tmp.write(file, tmp.read(file):sub(1, -9)) end,
        function(file) store.flip(file, 50 * 8) end,
      } do
        local dir <close> = tmp.dir()
        make(dir.path, options)
        spoil(dir.path .. "/2.data")
        local db <close> = assert(freyja.open(dir.path, options))
        local recovery = db:stats().recovery
        assert.equal(2, recovery.hints_used)
        assert.is_true(recovery.damaged > 0)
        assert.equal(dir.path .. "/2.data", recovery.damage.path)
        assert.equal(0, recovery.hints_ignored) -- nothing is wrong with the hint
        assert.is_nil(recovery.hint)
        local err = store.error_of(db.hint, db, 2)
        assert.equal("corrupt", err.code)
        assert.equal(dir.path .. "/2.data", err.path)
      end
    end)

    it("keeps later writes newer than what it has not read", function()
      local dir <close> = tmp.dir()
      make(dir.path, options)
      local newest
      do
        local db <close> = assert(freyja.open(dir.path, options))
        newest = db:segments()[3].newest
      end
      os.remove(dir.path .. "/4.data")
      local manifest = tmp.read(dir.path .. "/MANIFEST")
      assert(newest > 0 and #manifest > 0)
      local db <close> = assert(freyja.open(dir.path, options))
      db:put("key1", "later")
      assert.is_true(db:segments()[#db:segments()].newest > newest)
      assert.equal("later", db:get "key1")
    end)
  end)
end

describe("db:hint", function()
  require("spec.support.leaks").watch(before_each, after_each)

  it("writes one file of 16 bytes a key, and nothing else", function()
    local dir <close> = tmp.dir()
    local db <close> = assert(freyja.open(dir.path))
    for i = 1, 100 do db:put("key" .. i % 10, "v") end
    db:delete "never"
    db:delete "key3"
    db:rotate()
    db:hint(1)
    db:hint(1)
    assert.same({ "1.data", "1.hint", "2.data", "LOCK", "MANIFEST" }, tmp.list(dir.path))
    assert.equal(128 + 10 * 16, #tmp.read(dir.path .. "/1.hint"))
    assert.is_true(db:segments()[1].has_hint)
    assert.is_false(db:segments()[2].has_hint)
  end)

  it("raises where there is nothing to write or it may not, changing nothing", function()
    local dir <close> = tmp.dir()
    make(dir.path, {})
    local names = tmp.list(dir.path)
    do
      local db <close> = assert(freyja.open(dir.path))
      for _, id in ipairs { 0, -1, 5, 1000, math.maxinteger } do
        local err = store.error_of(db.hint, db, id)
        assert.equal("limit", err.code)
        assert.matches("no segment", err.message)
      end
      local err = store.error_of(db.hint, db, 4)
      assert.equal("limit", err.code)
      assert.matches("being written", err.message)
    end
    local db <close> = assert(freyja.open(dir.path, { readonly = true }))
    assert.equal("readonly", store.error_of(db.hint, db, 1).code)
    assert.same(names, tmp.list(dir.path))
  end)

  it("is written, however many write others in turn, step by step", function()
    local dir <close> = tmp.dir()
    local db <close> = assert(freyja.open(dir.path .. "/turns", { segment_size = 65536, maintenance = "manual" }))
    for i = 1, 3000 do db:put("key" .. i, ("v"):rep(40)) end
    local left = {}
    for _, segment in ipairs(db:segments()) do
      if segment.sealed then left[#left + 1] = segment.id end
    end
    assert.is_true(#left >= 2)
    local steps = 0
    while #left > 0 do
      for i = #left, 1, -1 do
        if not core.hint_step(db, left[i], 1) then table.remove(left, i) end
        steps = steps + 1
      end
      assert.is_true(steps < 1000000, "each of them begins anew for ever")
    end
    for _, segment in ipairs(db:segments()) do assert.equal(segment.sealed, segment.has_hint) end
    assert.is_true(db:verify().ok)
  end)

  it("leaves what an interrupted one left to the next open, and others' files alone", function()
    local dir <close> = tmp.dir()
    make(dir.path, {})
    local names = tmp.list(dir.path)
    tmp.write(dir.path .. "/2.hint.tmp", "half")
    tmp.write(dir.path .. "/77.hint.tmp", "half")
    do
      local db <close> = assert(freyja.open(dir.path))
      assert.equal(3, db:stats().recovery.hints_used)
    end
    assert.same(names, tmp.list(dir.path))
    for _, name in ipairs { "a.hint.tmp", "0.hint.tmp", "2.hint.tmp2", "9.hint" } do
      tmp.write(dir.path .. "/" .. name, "mine")
    end
    do
      local _ <close> = assert(freyja.open(dir.path))
    end
    assert.equal(#names + 4, #tmp.list(dir.path))
  end)

  it("leaves nothing of itself where a backup fails", function()
    local dir <close> = tmp.dir()
    make(dir.path .. "/db", {})
    local db <close> = assert(freyja.open(dir.path .. "/db"))
    os.remove(dir.path .. "/db/2.data") -- which the open store does not know yet
    local to = dir.path .. "/backup"
    assert(os.execute("mkdir " .. to))
    assert.equal("io", store.error_of(db.backup, db, to).code)
    assert.same({}, tmp.list(to))
  end)

  it("is taken along by a backup, by links and by copies", function()
    for _, links in ipairs { true, false } do
      local dir <close> = tmp.dir()
      local contents = make(dir.path .. "/db", {})
      do
        local db <close> = assert(freyja.open(dir.path .. "/db"))
        db:backup(dir.path .. "/backup", { links = links })
        db:hint(1)
      end
      local db <close> = assert(freyja.open(dir.path .. "/backup"))
      assert.equal(3, db:stats().recovery.hints_used)
      assert.same(contents, store.contents(db))
      assert.is_true(db:verify().ok)
    end
  end)
end)
