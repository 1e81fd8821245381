local freyja = require "freyja"
local store = require "spec.support.store"
local tmp = require "spec.support.tmp"

local contents <const>, error_of <const> = store.contents, store.error_of

--- An iterator over pairs of a list, which does something before each.
local function list(pairs_, before)
  local i = 0
  return function()
    i = i + 1
    if before then before(i) end
    if pairs_[i] then return table.unpack(pairs_[i]) end
  end
end

local function numbers(from, to)
  local found = {}
  for i = from, to do found[#found + 1] = { "key" .. i, ("value %d "):format(i):rep(i % 20) } end
  return found
end

local function data_files(path)
  local count = 0
  for _, name in ipairs(tmp.list(path)) do count = count + (name:match "^%d+%.data$" and 1 or 0) end
  return count
end

for _, io_mode in ipairs { "mmap", "syscall" } do
  describe("a bulk load, with io = " .. io_mode, function()
    local dir, path, db
    local function open(options)
      options = options or {}
      options.io = io_mode
      options.maintenance = options.maintenance or "manual"
      options.segment_size = options.segment_size or 16384
      return assert(freyja.open(path, options))
    end
    require("spec.support.leaks").watch(before_each, after_each, function()
      dir = tmp.fast_dir()
      path = dir.path .. "/db"
      db = open()
      for i = 1, 5 do db:put("old" .. i, tostring(i)) end
    end, function()
      db:close()
      getmetatable(dir).__close(dir)
    end)

    local function expect_again(want)
      assert.same(want, contents(db))
      assert.is_true(db:verify().ok)
      db:close()
      db = open()
      assert.same(want, contents(db))
      assert.is_true(db:verify().ok)
    end

    it("is followed by a KEYDIR that is of use", function()
      for turn = 1, 3 do
        db:load(list(numbers(turn * 100, turn * 100 + 99)))
        db:checkpoint()
      end
      local want = contents(db)
      expect_again(want)
      assert.is_true(db:stats().recovery.checkpoint_used)
    end)

    it("puts all that the iterator gives, in as many data files as it needs", function()
      local want = contents(db)
      for _, pair in ipairs(numbers(1, 1000)) do want[pair[1]] = pair[2] end
      assert.equal(1000, db:load(list(numbers(1, 1000))))
      assert.equal(1005, #db)
      assert.is_true(#db:segments() > 5)
      expect_again(want)
    end)

    it("takes what a generic for takes", function()
      assert.equal(2, db:load(pairs { a = "1", b = "2" }))
      assert.equal("1", db:get "a")
      local other <close> = assert(freyja.open(dir.path .. "/other", { maintenance = "manual" }))
      assert.equal(7, other:load(db:each()))
      assert.equal(7, other:load(other:each()))
      assert.same(contents(db), contents(other))
      assert.equal(0, other:stats().iterators)
      assert.equal(0, db:stats().iterators)
      assert.equal(0, db:load(function() end))
    end)

    it("wins over what was there, the last of several over the others", function()
      local want = contents(db)
      want.old2, want.old4, want.new = "again", "four", "3"
      db:delete "old5"
      want.old5 = "back"
      local it, state = db:each()
      assert.equal(7, db:load(list {
        { "new", "1" }, { "old2", "x" }, { "old4", "four" }, { "new", "2" }, { "old5", "back" }, { "old2", "again" },
        { "new", "3" },
      }))
      local seen = {}
      for k, v in it, state do seen[k] = v end
      assert.same({ old1 = "1", old2 = "2", old3 = "3", old4 = "4" }, seen)
      db:put("old1", "later")
      want.old1 = "later"
      expect_again(want)
    end)

    it("knows all values of a key that was there, though they come in turns with those of others", function()
      local given, want = {}, contents(db)
      for turn = 0, 3 do
        for i = 1, 2000 do
          local key, value = "turn" .. i, ("%d of %d"):format(i, turn)
          if turn == 0 then db:put(key, value) else given[#given + 1] = { key, value } end
          want[key] = value
        end
      end
      db:load(list(given))
      expect_again(want)
    end)

    it("gives nothing to be seen before it ends, and refuses other writes until then", function()
      local before = contents(db)
      db:load(list(numbers(1, 50), function(i)
        if i ~= 40 then return end
        assert.same(before, contents(db))
        assert.is_nil(db:get "key1")
        for name, call in pairs {
          put = function() db:put("k", "v") end, delete = function() db:delete "old1" end,
          insert = function() db:insert("k", "v") end, cas = function() db:cas("k", nil, "v") end,
          load = function() db:load(pairs { k = "v" }) end,
          transaction = function() db:transaction(function(tx) tx:put("k", "v") end) end,
        } do
          assert.equal("conflict", error_of(call).code, name)
        end
        db:sync()
        db:rotate()
      end))
      assert.equal(55, #db)
      db:put("k", "v")
      assert.equal(56, #db)
    end)

    it("leaves nothing when the iterator raises, or gives what is none", function()
      local before, files = contents(db), data_files(path)
      local thing = {}
      local raising = list(numbers(1, 900), function(i) if i > 800 then error(thing) end end)
      assert.equal(thing, error_of(db.load, db, raising))
      assert.matches("load_spec.lua:%d+: bad argument #1 to 'load' %(its values must be strings, not nil%)",
        error_of(function() db:load(list { { "k" } }) end))
      assert.matches("its keys must be strings, not table", error_of(function() db:load(list { { {}, "v" } }) end))
      assert.equal("limit", error_of(db.load, db, list { { "k", ("v"):rep(20000) } }).code)
      assert.equal(files, data_files(path))
      db:put("old1", "1") -- nothing is under way
      expect_again(before)
    end)

    it("ends with its store", function()
      local err = error_of(db.load, db, list(numbers(1, 900), function(i) if i == 850 then db:close() end end))
      assert.equal("closed", err.code)
      db = open()
      assert.equal(5, #db)
      assert.equal(1, data_files(path))
    end)

    it("keeps keys of one hash apart", function()
      db:close()
      path = dir.path .. "/narrow"
      db = open { hash_bits = 3 }
      local want = {}
      for i = 1, 60 do
        db:put("key" .. i, "old")
        want["key" .. i] = "old"
      end
      for i = 1, 20 do
        db:delete("key" .. i)
        want["key" .. i] = nil
      end
      for _, pair in ipairs(numbers(10, 90)) do want[pair[1]] = pair[2] end
      db:load(list(numbers(10, 90)))
      db:put("key30", "later")
      want.key30 = "later"
      expect_again(want)
      db:rotate()
      for _, segment in ipairs(db:segments()) do if segment.sealed then db:hint(segment.id) end end
      expect_again(want)
      local ids = {}
      for _, segment in ipairs(db:segments()) do ids[#ids + 1] = segment.sealed and segment.id or nil end
      db:merge(ids)
      expect_again(want)
    end)

    it("expires values, by options as those of put", function()
      db:load(list { { "a", "1", { ttl = 1000 } }, { "b", "2" }, { "old1", "x" } })
      assert.is_true(db:ttl "a" > 900 and db:ttl "a" < 1001)
      assert.is_false(db:ttl "b")
      assert.matches("unknown option", error_of(db.load, db, list { { "a", "1", { tll = 1 } } }))
    end)

    it("is a conflict for a transaction that has read what it writes", function()
      local reader = db:begin { serializable = true }
      local looper = db:begin { serializable = true }
      local stranger = db:begin { serializable = true }
      reader:get "old1"
      for _ in looper:each "new" do end
      stranger:get "old3"
      db:load(list { { "old1", "x" }, { "new1", "y" } })
      assert.equal("conflict", error_of(reader.commit, reader).code)
      assert.equal("conflict", error_of(looper.commit, looper).code)
      stranger:put("k", "v")
      stranger:commit()
      reader:rollback()
      looper:rollback()
    end)

    it("goes on in the store's order of time", function()
      db:load(list(numbers(1, 100)))
      db:put("after", "x")
      db:transaction(function(tx) tx:put("after that", "y") end)
      local last = 0
      for _, segment in ipairs(db:segments()) do
        if segment.keys > 0 then
          assert.is_true(segment.oldest > last)
          last = segment.newest
        end
      end
    end)
  end)
end
