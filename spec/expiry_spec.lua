-- Goal: a value written with a ttl is there until it has expired, and never after that.
-- Method: what needs time to pass to the microsecond is tested with clocks that are moved by hand,
-- by spec/support/c/expiry.c and spec/support/lua/expiry.lua. Here the system's clock runs: values
-- with a long ttl stay, and the shortest ttl is over with the clock's next tick, for which `let_expire`
-- looks again and again.
local freyja = require "freyja"
local store = require "spec.support.store"
local tmp = require "spec.support.tmp"

local HOUR <const> = 3600

--- Puts a value and returns when it has expired.
local function let_expire(db, key, value)
  db:put(key, value, { ttl = 1e-6 })
  repeat until not db:has(key)
end

local function other(io_mode) return io_mode == "mmap" and "syscall" or "mmap" end

for _, io_mode in ipairs { "mmap", "syscall" } do
  describe("values that expire, with io = " .. io_mode, function()
    local dir, db

    local function open(mode, options)
      options = options or {}
      options.io = mode
      db = assert(freyja.open(dir.path .. "/db", options))
    end

    local function reopen(mode, options)
      db:close()
      open(mode, options)
    end

    require("spec.support.leaks").watch(before_each, after_each, function()
      dir = tmp.dir()
      open(io_mode)
    end, function()
      db:close()
      getmetatable(dir).__close(dir)
    end)

    it("are there with the seconds that are left", function()
      db:put("k", "v", { ttl = HOUR })
      local ttl = db:ttl "k"
      assert.is_true(ttl > HOUR - 60 and ttl <= HOUR)
      assert.equal("float", math.type(ttl))
      assert.equal("v", db:get "k")
      assert.same({ k = "v" }, store.contents(db))
      for _, mode in ipairs { other(io_mode), io_mode } do
        reopen(mode)
        assert.equal("v", db:get "k")
        assert.is_true(db:ttl "k" > HOUR - 60 and db:ttl "k" <= ttl)
      end
      assert.is_true(db:verify().ok)
    end)

    it("are told from those that stay and from absent ones", function()
      db:put("stays", "v")
      assert.is_false(db:ttl "stays")
      assert.is_nil(db:ttl "absent")
      assert.is_nil(db:ttl(("k"):rep(70000)))
      let_expire(db, "gone", "v")
      assert.is_nil(db:ttl "gone")
    end)

    it("get their ttl from every write anew", function()
      db:put("k", "1", { ttl = HOUR })
      db:put("k", "2")
      assert.is_false(db:ttl "k")
      db:put("k", "3", { ttl = HOUR })
      assert.is_true(db:cas("k", "3", "4"))
      assert.is_false(db:ttl "k")
      assert.is_true(db:cas("k", "4", "5", { ttl = 2 * HOUR }))
      assert.is_true(db:ttl "k" > HOUR)
      assert.is_false(db:insert("k", "6"))
      assert.is_true(db:ttl "k" > HOUR)
      assert.is_true(db:cas("k", "5", nil, { ttl = HOUR }))
      assert.is_nil(db:ttl "k")
      assert.is_true(db:insert("k", "7", { ttl = HOUR }))
      assert.is_true(db:ttl "k" <= HOUR)
      db:put("k", "8", {})
      assert.is_false(db:ttl "k")
      db:put("k", "9", nil)
      reopen(io_mode)
      assert.is_false(db:ttl "k")
    end)

    it("are absent for every method when they have expired", function()
      db:put("gone", "older")
      db:put("there", "value")
      let_expire(db, "gone", "newer")
      local written = db:stats().puts
      assert.is_nil(db:get "gone")
      assert.is_false(db:has "gone")
      assert.is_false(db:delete "gone")
      assert.is_false(db:cas("gone", "newer", "x"))
      assert.is_true(db:cas("gone", nil, nil))
      assert.same({ there = "value" }, db:get_many { "gone", "there" })
      assert.same({ there = "value" }, store.contents(db))
      for _, order in ipairs { "log", "key" } do
        for key in db:keys { order = order } do assert.equal("there", key) end
      end
      assert.same({ 1, 1, 0, 1 }, { #db, db:count(), db:count "gone", db:stats().keys })
      assert.same({ written, 0 }, { db:stats().puts, db:stats().deletes })
      assert.equal(1, db:segments()[1].live_keys)
      local report = db:verify()
      assert.same({ true, 1 }, { report.ok, report.keys })
    end)

    it("stay dead whenever the store is opened again, and so do older values", function()
      db:put("gone", "older")
      db:rotate()
      let_expire(db, "gone", "newer")
      db:put("last", "value")
      for _, options in ipairs { {}, { readonly = true }, {} } do
        for _, mode in ipairs { other(io_mode), io_mode } do
          reopen(mode, options)
          assert.is_nil(db:get "gone")
          assert.same({ last = "value" }, store.contents(db))
          assert.equal(1, #db)
          assert.is_true(db:verify().ok)
        end
      end
      local copy <close> = tmp.dir()
      db:backup(copy.path .. "/db")
      local second <close> = assert(freyja.open(copy.path .. "/db"))
      assert.same({ last = "value" }, store.contents(second))
    end)

    it("can be written again", function()
      let_expire(db, "a", "1")
      let_expire(db, "b", "1")
      let_expire(db, "c", "1")
      db:put("a", "2")
      assert.is_true(db:insert("b", "2"))
      assert.is_true(db:cas("c", nil, "2"))
      for _ = 1, 2 do
        assert.same({ a = "2", b = "2", c = "2" }, store.contents(db))
        assert.equal(3, #db)
        reopen(other(io_mode))
      end
    end)

    it("are one key each when their hashes collide", function()
      for hash_bits = 1, 4 do
        local more <close> = tmp.dir()
        local path, want = more.path .. "/db", {}
        do
          local narrow <close> = assert(freyja.open(path, { io = io_mode, hash_bits = hash_bits }))
          for i = 1, 60 do
            local key = "key" .. i
            narrow:put(key, "old")
            if i % 3 == 0 then let_expire(narrow, key, "gone")
            elseif i % 3 == 1 then narrow:put(key, "long", { ttl = HOUR }) end
            if i % 3 > 0 then want[key] = i % 3 == 1 and "long" or "old" end
            if i % 5 == 0 then assert.equal(want[key] ~= nil, narrow:delete(key)) want[key] = nil end
            if i % 7 == 0 then narrow:put(key, "new") want[key] = "new" end
          end
          assert.same(want, store.contents(narrow))
        end
        for _, mode in ipairs { io_mode, other(io_mode) } do
          local narrow <close> = assert(freyja.open(path, { io = mode }))
          assert.same(want, store.contents(narrow))
          local count = 0
          for key, value in pairs(want) do
            count = count + 1
            assert.equal(value, narrow:get(key))
          end
          assert.equal(count, #narrow)
          for i = 1, 60 do assert.equal(want["key" .. i], narrow:get("key" .. i)) end
          assert.is_true(narrow:verify().ok)
        end
      end
    end)

    it("are told by their segment", function()
      db:put("a", "v")
      assert.is_nil(db:segments()[1].expires)
      db:rotate()
      local before = os.time()
      db:put("a", "v", { ttl = 2 * HOUR })
      db:put("b", "v", { ttl = HOUR })
      for _, mode in ipairs { io_mode, other(io_mode) } do
        local expires = db:segments()[2].expires
        assert.is_true(math.abs(expires - (before + HOUR) * 1000000) < 60 * 1000000)
        assert.is_nil(db:segments()[1].expires)
        reopen(mode)
      end
    end)

    it("keep their ttl in a repaired store", function()
      db:put("late", "v", { ttl = HOUR })
      let_expire(db, "gone", "v")
      db:close()
      local report = freyja.repair(dir.path .. "/db", { to = dir.path .. "/new" })
      assert.same({ true, 1 }, { report.ok, report.keys })
      open(io_mode)
      local new <close> = assert(freyja.open(dir.path .. "/new", { io = io_mode }))
      assert.is_true(new:ttl "late" > HOUR - 60 and new:ttl "late" <= HOUR)
      assert.is_nil(new:get "gone")
    end)

    it("are 8 bytes longer than others", function()
      reopen(io_mode, { segment_size = 4096 })
      db:rotate()
      local most = (4096 - 128) - 32 - 1
      db:put("k", ("v"):rep(most), { ttl = HOUR })
      assert.equal("limit", store.error_of(db.put, db, "k", ("v"):rep(most + 1), { ttl = HOUR }).code)
      assert.equal(most, #db:get "k")
      db:put("k", ("v"):rep(most + 8))
    end)

    it("raise for what is no time to live", function()
      for _, ttl in ipairs { 0, -1, 0 / 0, -math.huge, "5", true, {} } do
        for position, call in pairs {
          [3] = function(options) db:put("k", "v", options) end,
          [4] = function(options) db:cas("k", nil, "v", options) end,
        } do
          local message = store.error_of(call, { ttl = ttl })
          assert.matches(("bad argument #%d to '%%a+' %%(option 'ttl' must be"):format(position), message)
        end
        assert.matches("bad argument #3 to 'insert'", store.error_of(db.insert and function()
          db:insert("k", "v", { ttl = ttl })
        end))
      end
      assert.matches("bad argument #3 to 'put' %(unknown option 'tll'%)", store.error_of(function()
        db:put("k", "v", { tll = 1 })
      end))
      assert.matches("table expected", store.error_of(function() db:put("k", "v", 5) end))
      for _, ttl in ipairs { math.huge, 1e15, 1 << 62 } do
        for _, call in ipairs { db.put, db.insert } do
          local err = store.error_of(call, db, "k", "v", { ttl = ttl })
          assert.equal("limit", err.code)
          assert.equal(dir.path .. "/db", err.path)
        end
        assert.equal("limit", store.error_of(db.cas, db, "k", nil, "v", { ttl = ttl }).code)
      end
      assert.equal(0, #db)
      assert.equal(0, db:stats().puts)
    end)

    it("make their key raise when they are damaged, and never absent", function()
      db:put("key", "old")
      db:put("key", "value", { ttl = HOUR })
      db:rotate()
      db:put("later", "value")
      db:close()
      local path = dir.path .. "/db/1.data"
      for bit = 0, 8 * 40 - 1 do
        store.flip(path, (128 + 32) * 8 + bit)
        open(io_mode, { readonly = true })
        assert.equal("corrupt", store.error_of(db.get, db, "key").code, bit)
        assert.equal("value", db:get "later", bit)
        assert.is_false(db:verify().ok, bit)
        db:close()
        store.flip(path, (128 + 32) * 8 + bit)
      end
      open(io_mode)
      assert.equal("value", db:get "key")
    end)
  end)
end
