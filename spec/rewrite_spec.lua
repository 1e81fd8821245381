local freyja = require "freyja"
local lfs = require "lfs"
local store = require "spec.support.store"
local tmp = require "spec.support.tmp"

local contents <const>, error_of <const> = store.contents, store.error_of

local function fill(db, from, to)
  for i = from, to do db:put("key" .. i % 50, ("value %d "):format(i):rep(20)) end
end

local function sealed(db)
  local ids = {}
  for _, segment in ipairs(db:segments()) do
    if segment.sealed then ids[#ids + 1] = segment.id end
  end
  return ids
end

local function data_files(path)
  local count = 0
  for _, name in ipairs(tmp.list(path)) do count = count + (name:match "^%d+%.data$" and 1 or 0) end
  return count
end

for _, io_mode in ipairs { "mmap", "syscall" } do
  describe("a rewrite, with io = " .. io_mode, function()
    local dir, path, db
    require("spec.support.leaks").watch(before_each, after_each, function()
      dir = tmp.fast_dir()
      path = dir.path .. "/db"
      db = assert(freyja.open(path, { io = io_mode, segment_size = 16384, maintenance = "manual" }))
    end, function()
      db:close()
      getmetatable(dir).__close(dir)
    end)

    it("gives the space of what is dead back and changes nothing else", function()
      fill(db, 1, 1000)
      db:delete "key7"
      local before, was = contents(db), db:stats()
      do
        local rewrite <close> = db:rewrite(sealed(db))
        while rewrite:step(1000) do fill(db, 1001, 1001) end
        assert.equal(before.key8, db:get "key8")
        rewrite:commit()
        while rewrite:step(1000) do assert.equal(before.key8, db:get "key8") end
        assert.equal(0, db:stats().pending_bytes)
        assert.equal(#db:segments(), data_files(path))
      end
      before.key1 = db:get "key1"
      assert.same(before, contents(db))
      assert.is_true(db:stats().bytes < was.bytes // 2)
      assert.is_true(db:verify().ok)
      db:close()
      db = assert(freyja.open(path, { io = io_mode, maintenance = "manual" }))
      assert.same(before, contents(db))
      assert.is_true(db:verify().ok)
    end)

    it("has not happened unless it is committed", function()
      fill(db, 1, 500)
      local before, files = contents(db), data_files(path)
      do
        local rewrite <close> = db:rewrite(sealed(db))
        for record in rewrite:records() do rewrite:drop(record) end
        assert.is_true(data_files(path) >= files)
      end
      assert.same(before, contents(db))
      assert.equal(files, data_files(path))
    end)

    it("keeps, changes and drops records", function()
      fill(db, 1, 500)
      db:rotate()
      local expected = contents(db)
      do
        local rewrite <close> = db:rewrite(sealed(db))
        for record in rewrite:records() do
          assert.equal(expected[record.key], record.value)
          if record.key < "key2" then
            expected[record.key] = nil
            rewrite:drop(record)
          elseif record.key < "key3" then
            record.value = record.value:upper()
            expected[record.key] = record.value
            rewrite:keep(record)
          elseif record.key < "key35" then
            record.value = 35
            expected[record.key] = "35"
            rewrite:keep(record)
          elseif record.key < "key4" then
            rewrite:keep(record)
          end
        end
        rewrite:commit()
      end
      assert.same(expected, contents(db))
      db:close()
      db = assert(freyja.open(path, { io = io_mode, maintenance = "manual" }))
      assert.same(expected, contents(db))
    end)

    it("changes values and leaves their times, for opens with and without hint files, too", function()
      local before = os.time() * 1000000
      for i = 1, 200 do db:put("key" .. i, ("v"):rep(i), i % 2 == 0 and { ttl = 1000 } or nil) end
      db:rotate()
      local times, expected = {}, {}
      do
        local rewrite <close> = db:rewrite(sealed(db))
        for record in rewrite:records() do
          local number = math.tointeger(record.key:sub(4))
          assert.is_true(record.timestamp >= before and record.timestamp < before + 600000000)
          assert.equal(number % 2 == 0 and record.timestamp // 1000000 + 1000 or nil,
            record.expires and record.expires // 1000000)
          times[record.key] = { record.timestamp, record.expires }
          record.value = record.value:rep(number % 3)
          record.timestamp, record.expires = 1, 1 -- that is not heard
          expected[record.key] = record.value
          rewrite:keep(record)
        end
        rewrite:commit()
      end
      for round = 1, 3 do
        assert.same(expected, contents(db))
        assert.is_true(db:verify().ok)
        for key, value in pairs(expected) do assert.equal(value, db:get(key)) end
        if round == 2 then for _, id in ipairs(sealed(db)) do db:hint(id) end end
        db:close()
        db = assert(freyja.open(path, { io = io_mode, segment_size = 16384 }))
      end
      assert.is_true(db:stats().recovery.hints_used > 0)
      local rewrite <close> = db:rewrite(sealed(db))
      for record in rewrite:records() do
        assert.same(times[record.key], { record.timestamp, record.expires })
        assert.equal(times[record.key][2] ~= nil, db:ttl(record.key) ~= false)
        times[record.key] = nil
      end
      assert.is_nil(next(times))
    end)

    it("keeps a record that is longer than new ones may be, as long as it gets no longer", function()
      db:put("long", ("x"):rep(10000))
      db:rotate()
      db:close()
      db = assert(freyja.open(path, { io = io_mode, segment_size = 4096 }))
      do
        local rewrite <close> = db:rewrite { 1 }
        for record in rewrite:records() do
          record.value = ("y"):rep(10001)
          assert.equal("limit", error_of(rewrite.keep, rewrite, record).code)
          record.value = ("y"):rep(10000)
          rewrite:keep(record)
        end
        rewrite:commit()
      end
      assert.equal(("y"):rep(10000), db:get "long")
      assert.is_true(db:verify().ok)
    end)

    it("lets a write that comes meanwhile win", function()
      fill(db, 1, 200)
      db:rotate()
      do
        local rewrite <close> = db:rewrite(sealed(db))
        for record in rewrite:records() do
          if record.key == "key1" then db:put("key1", "newer") end
          if record.key == "key2" then db:delete "key2" end
          if record.key ~= "key3" then rewrite:drop(record) else rewrite:keep(record) end
        end
        db:put("key4", "newest")
        rewrite:commit()
        db:put("key5", "after")
      end
      assert.same({ key1 = "newer", key3 = db:get "key3", key4 = "newest", key5 = "after" }, contents(db))
    end)

    it("does not bring back what is deleted meanwhile by the slot of an expired key with its hash", function()
      for round = 1, 8 do -- of two keys half have the same hash of one bit
        local key, at = "key" .. round, path .. round
        local options = { io = io_mode, hash_bits = 1, maintenance = "manual" }
        do
          local short <close> = assert(freyja.open(at, options))
          short:put("expires", "v", { ttl = 0.000001 })
          repeat until not short:has "expires"
          short:segments() -- it is forgotten,
          short:put(key, "deleted")
          short:rotate()
          short:hint(1)
        end
        os.remove(at .. "/KEYDIR")
        local short <close> = assert(freyja.open(at, options)) -- and comes back by the hint file
        local rewrite <close> = short:rewrite { 1 }
        while rewrite:step() do end
        assert.is_true(short:delete(key))
        rewrite:commit()
        while rewrite:step() do end
        assert.is_nil(short:get(key))
        assert.is_true(short:verify().ok)
      end
    end)

    it("is not seen by iterators, whose files stay until they end", function()
      fill(db, 1, 300)
      db:rotate()
      local before, seen = contents(db), {}
      local nextly, iterator, _, closing = db:each()
      for _ = 1, 10 do
        local k, v = nextly(iterator)
        seen[k] = v
      end
      do
        local rewrite <close> = db:rewrite(sealed(db))
        rewrite:commit()
      end
      fill(db, 301, 350)
      assert.is_true(db:stats().pending_bytes > 0)
      for k, v in nextly, iterator, nil, closing do seen[k] = v end
      assert.same(before, seen)
      assert.equal(0, db:stats().pending_bytes)
      assert.equal(#db:segments(), data_files(path))
    end)

    it("removes at the next open what was left when its process ended", function()
      fill(db, 1, 300)
      db:rotate()
      local before = contents(db)
      local nextly, iterator = db:each()
      nextly(iterator)
      for _ = 1, 2 do -- the second one remembers what the first has left
        local rewrite <close> = db:rewrite(sealed(db))
        rewrite:commit()
      end
      local copy = dir.path .. "/copy"
      tmp.copy_dir(path, copy) -- with all the files, as after kill -9
      assert.is_true(data_files(copy) > #db:segments())
      local again <close> = assert(freyja.open(copy, { io = io_mode, maintenance = "manual" }))
      assert.same(before, contents(again))
      assert.equal(#again:segments(), data_files(copy))
    end)

    it("removes large files a piece at a time, but none that a backup shares or somebody reads", function()
      db:close()
      local options = { io = io_mode, segment_size = 64 << 20, maintenance = "manual" }
      db = assert(freyja.open(path, options))
      local value = ("v"):rep(1 << 20)
      for i = 1, 40 do db:put("key" .. i % 20, value .. i) end
      db:rotate()
      for _, by in ipairs { "a backup", "an earlier backup", "a reader", "nobody" } do
        local shared = by ~= "nobody"
        local id = sealed(db)[1]
        local file, copy = ("%s/%d.data"):format(path, id), dir.path .. "/" .. by
        local before = contents(db)
        if by:find "backup" then db:backup(copy, { links = true }) end
        if by == "an earlier backup" then
          db:close()
          db = assert(freyja.open(path, options))
        end
        local reader <close> = by == "a reader" and
          assert(freyja.open(path, { io = io_mode, readonly = true })) or nil
        local sizes = {}
        do
          local rewrite <close> = db:rewrite { id }
          rewrite:commit()
          while rewrite:step(1 << 20) do sizes[lfs.attributes(file, "size") or 0] = true end
          assert.is_nil(lfs.attributes(file, "size"))
        end
        local different = 0
        for size in pairs(sizes) do different = different + (size > 0 and 1 or 0) end
        assert.is_true(shared and different == 1 or not shared and different > 1, different .. " sizes")
        assert.same(before, contents(db))
        if reader and io_mode == "mmap" then assert.same(before, contents(reader)) end
        if by:find "backup" then
          local backup <close> = assert(freyja.open(copy, { io = io_mode, maintenance = "manual" }))
          assert.same(before, contents(backup))
          assert.is_true(backup:verify().ok)
        end
      end
    end)

    it("leaves nothing when its process ends before the commit", function()
      fill(db, 1, 300)
      local before = contents(db)
      local copy = dir.path .. "/copy"
      do
        local rewrite <close> = db:rewrite(sealed(db))
        while rewrite:step(1000) do end
        tmp.copy_dir(path, copy)
      end
      assert.is_true(data_files(copy) > #db:segments())
      local again <close> = assert(freyja.open(copy, { io = io_mode, maintenance = "manual" }))
      assert.same(before, contents(again))
      assert.equal(#again:segments(), data_files(copy))
    end)

    it("does not throw away what an older MANIFEST names no more", function()
      fill(db, 1, 300)
      db:rotate()
      local old = tmp.read(path .. "/MANIFEST")
      local before = contents(db)
      do
        local rewrite <close> = db:rewrite(sealed(db))
        rewrite:commit()
      end
      db:close()
      local newer, files = tmp.read(path .. "/MANIFEST"), tmp.list(path)
      tmp.write(path .. "/MANIFEST", old)
      local refused, err = freyja.open(path, { io = io_mode, maintenance = "manual" })
      assert.is_nil(refused)
      assert.equal("corrupt", err.code)
      assert.same(files, tmp.list(path))
      tmp.write(path .. "/MANIFEST", newer)
      db = assert(freyja.open(path, { io = io_mode, maintenance = "manual" }))
      assert.same(before, contents(db))
    end)

    it("refuses damaged segments, and those below damage", function()
      fill(db, 1, 300)
      local ids = sealed(db)
      db:close()
      store.flip(path .. "/" .. ids[2] .. ".data", 200 * 8)
      db = assert(freyja.open(path, { io = io_mode, maintenance = "manual" }))
      local bytes = tmp.read(path .. "/" .. ids[2] .. ".data")
      local err = error_of(db.rewrite, db, ids)
      assert.equal("corrupt", err.code)
      assert.matches(ids[2] .. ".data", err.path, 1, true)
      assert.equal("corrupt", error_of(db.rewrite, db, { ids[2] }).code)
      assert.equal(bytes, tmp.read(path .. "/" .. ids[2] .. ".data"))
      db:close()
      store.flip(path .. "/" .. ids[3] .. ".data", 132 * 8) -- a header: nobody can tell of which key
      db = assert(freyja.open(path, { io = io_mode, maintenance = "manual" }))
      err = error_of(db.rewrite, db, { ids[1] })
      assert.equal("corrupt", err.code)
      assert.matches("segment " .. ids[1] .. " cannot be merged", err.message, 1, true)
      do
        local rewrite <close> = db:rewrite { ids[4], ids[5] }
        rewrite:commit()
      end
      store.flip(path .. "/" .. ids[3] .. ".data", 132 * 8)
      db:close()
      db = assert(freyja.open(path, { io = io_mode, maintenance = "manual" }))
      local rewrite <close> = db:rewrite { ids[1] } -- a damaged value hides nothing
      rewrite:commit()
    end)

    it("does not make a damaged value a whole one, when that was damaged since the store was opened", function()
      fill(db, 1, 100)
      local value = ("x"):rep(100)
      db:put("damaged", value)
      db:rotate()
      local ids, files = sealed(db), data_files(path)
      local file = ("%s/%d.data"):format(path, ids[#ids])
      store.flip(file, (tmp.read(file):find(value, 1, true) - 1) * 8)
      do
        local rewrite <close> = db:rewrite(ids)
        local err = error_of(rewrite.commit, rewrite)
        assert.equal("corrupt", err.code)
        assert.equal(file, err.path)
      end
      assert.equal("corrupt", error_of(db.get, db, "damaged").code)
      assert.equal(files, data_files(path))
      assert.matches("value 99 ", db:get "key49", 1, true)
    end)

    it("leaves no tombstone where nothing is left that it hides", function()
      fill(db, 1, 200)
      for key in pairs(contents(db)) do db:delete(key) end
      db:rotate()
      do
        local rewrite <close> = db:rewrite(sealed(db))
        rewrite:commit()
      end
      assert.equal(1, #db:segments())
      assert.equal(0, db:segments()[1].tombstones)
      db:close()
      db = assert(freyja.open(path, { io = io_mode, maintenance = "manual" }))
      assert.same({}, contents(db))
    end)

    it("leaves tombstones out where hint files say that nothing below has their keys", function()
      db:put("below", "old") -- 1.data
      db:rotate()
      db:put("gone", "value")
      db:rotate()
      db:delete "gone"
      db:delete "below"
      db:put("kept", "value")
      db:rotate()
      local function merge_all_but_first()
        local ids = sealed(db)
        table.remove(ids, 1)
        db:merge(ids)
        return db:segments()[2].tombstones
      end
      assert.equal(2, merge_all_but_first())
      db:hint(db:segments()[1].id)
      assert.equal(io_mode == "mmap" and 1 or 2, merge_all_but_first())
      assert.same({ kept = "value" }, contents(db))
      os.remove(path .. "/KEYDIR")
      for _ = 1, 2 do
        db:close()
        db = assert(freyja.open(path, { io = io_mode, maintenance = "manual" }))
        assert.same({ kept = "value" }, contents(db))
        os.remove(path .. "/1.hint")
      end
    end)

    it("leaves tombstones out that are older than a merge of all that lies below", function()
      db:put("early", "old")
      db:put("late", "old")
      db:rotate()
      db:delete "early"
      db:rotate()
      db:put("kept", "value")
      db:rotate()
      local ids = sealed(db)
      db:merge { ids[1] } -- the copy has no "early"
      db:delete "late"
      db:rotate()
      ids = sealed(db)
      table.remove(ids, 1)
      db:merge(ids)
      assert.equal(1, db:segments()[2].tombstones)
      for _ = 1, 2 do
        assert.same({ kept = "value" }, contents(db))
        assert.is_true(db:verify().ok)
        db:close()
        db = assert(freyja.open(path, { io = io_mode, maintenance = "manual" }))
      end
    end)

    it("says what is wrong with the ids", function()
      fill(db, 1, 100)
      local ids = sealed(db)
      local active = db:segments()[#db:segments()].id
      for _, row in ipairs {
        { { 99999 }, "limit", "segment 99999 is not one of the store" },
        { { ids[1], ids[1] }, "limit", "stands twice" },
        { { active }, "limit", "is being written" },
        { {}, "limit", "no segments to merge" },
        { { -1 }, "limit", "is not one of the store" },
      } do
        local err = error_of(db.rewrite, db, row[1])
        assert.equal(row[2], err.code)
        assert.matches(row[3], err.message, 1, true)
      end
      local many = {}
      for i = 1, 1000000 do many[i] = i end
      assert.equal("limit", error_of(db.rewrite, db, many).code)
      assert.matches("list of segments' ids expected", error_of(db.rewrite, db, { "x" }))
      assert.matches("table expected", error_of(db.rewrite, db, 1))
      local rewrite <close> = db:rewrite(ids)
      assert.equal("conflict", error_of(db.rewrite, db, ids).code)
      assert.is_not_nil(rewrite)
    end)

    it("takes only the record that it is at", function()
      fill(db, 1, 100)
      local rewrite <close> = db:rewrite(sealed(db))
      local nextly = rewrite:records()
      local first = nextly(rewrite)
      assert.matches("not the record", error_of(rewrite.keep, rewrite, { key = "x", value = "y" }))
      rewrite:keep(first)
      assert.matches("not the record", error_of(rewrite.drop, rewrite, first))
      local second = nextly(rewrite)
      second.value = {}
      assert.matches("no string or number", error_of(rewrite.keep, rewrite, second))
      second.value = ("x"):rep(20000)
      assert.equal("limit", error_of(rewrite.keep, rewrite, second).code)
      rewrite:drop(second)
    end)

    it("gives way to the next one when it is committed", function()
      fill(db, 1, 400)
      local before = contents(db)
      local first <close> = db:rewrite(sealed(db))
      assert.equal("conflict", error_of(db.rewrite, db, sealed(db)).code)
      first:commit()
      do
        local second <close> = db:rewrite(sealed(db))
        assert.is_false(first:step())
        first:commit() -- as a second time ever
        second:commit()
      end
      assert.is_false(first:step())
      assert.same(before, contents(db))
      assert.equal(#db:segments(), data_files(path))
      assert.is_true(db:verify().ok)
    end)

    it("turns inert when its store closes", function()
      fill(db, 1, 100)
      local rewrite = db:rewrite(sealed(db))
      rewrite:step(100)
      db:close()
      for _, name in ipairs { "step", "commit" } do assert.equal("closed", error_of(rewrite[name], rewrite).code) end
      rewrite:close()
      rewrite:close()
      assert.equal("closed", error_of(rewrite.step, rewrite).code)
      assert.matches("closed", tostring(rewrite))
      db = assert(freyja.open(path, { io = io_mode, maintenance = "manual" }))
      assert.equal(#db:segments(), data_files(path))
    end)
  end)
end

it("a rewrite is refused by a store opened for reading", function()
  local dir <close> = tmp.dir()
  assert(lfs.mkdir(dir.path .. "/db"))
  do
    local db <close> = assert(freyja.open(dir.path .. "/db"))
    fill(db, 1, 10)
    db:rotate()
  end
  local db <close> = assert(freyja.open(dir.path .. "/db", { readonly = true }))
  assert.equal("readonly", error_of(db.rewrite, db, { 1 }).code)
end)
