local freyja = require "freyja"
local record = require "spec.support.record"
local store = require "spec.support.store"
local tmp = require "spec.support.tmp"

local contents <const>, error_of <const> = store.contents, store.error_of

local SERIALIZABLE <const> = { serializable = true }

local function list(...)
  local found = {}
  for k, v in ... do found[#found + 1] = k .. "=" .. tostring(v) end
  table.sort(found)
  return table.concat(found, " ")
end

for _, io_mode in ipairs { "mmap", "syscall" } do
  describe("a transaction, with io = " .. io_mode, function()
    local dir, path, db
    local function open(options)
      options = options or {}
      options.io = io_mode
      return assert(freyja.open(path, options))
    end
    require("spec.support.leaks").watch(before_each, after_each, function()
      dir = tmp.fast_dir()
      path = dir.path .. "/db"
      db = open { maintenance = "manual" }
      for i = 1, 5 do db:put("old" .. i, tostring(i)) end
    end, function()
      db:close()
      getmetatable(dir).__close(dir)
    end)

    it("is seen by itself at once, and by others when it is committed", function()
      local tx <close> = db:begin()
      tx:put("new", "n")
      tx:put("old1", "changed")
      assert.is_true(tx:delete "old2")
      assert.is_false(tx:delete "old2")
      assert.is_false(tx:delete "never")
      assert.same({ "n", "changed", nil, "3" }, { tx:get "new", tx:get "old1", tx:get "old2", tx:get "old3" })
      assert.same({ true, false, true }, { tx:has "new", tx:has "old2", tx:has "old3" })
      assert.same({ nil, "1", "2" }, { db:get "new", db:get "old1", db:get "old2" })
      tx:commit()
      assert.same({ new = "n", old1 = "changed", old3 = "3", old4 = "4", old5 = "5" }, contents(db))
      assert.is_false(tx:is_open())
    end)

    it("leaves nothing when it is rolled back, closed or collected", function()
      local before, stats = contents(db), db:stats()
      local tx = db:begin()
      tx:put("new", "n")
      tx:delete "old1"
      tx:rollback()
      tx:rollback()
      assert.equal("closed", error_of(tx.put, tx, "a", "b").code)
      do
        local other <close> = db:begin()
        other:put("new", "n")
      end
      db:begin():put("new", "n")
      collectgarbage()
      collectgarbage()
      assert.same(before, contents(db))
      assert.equal(stats.bytes, db:stats().bytes)
      assert.equal(stats.keys, db:stats().keys)
    end)

    it("survives a close as a whole", function()
      db:transaction(function(tx)
        for i = 1, 1000 do tx:put("many" .. i, ("%d "):format(i):rep(i % 30)) end
        for i = 1, 5 do tx:delete("old" .. i) end
      end)
      local before = contents(db)
      assert.equal(1000, #db)
      db:close()
      db = open()
      assert.same(before, contents(db))
      assert.is_true(db:verify().ok)
    end)

    it("writes the last of several values, and nothing for what comes to nothing", function()
      local writes = db:stats()
      db:transaction(function(tx)
        for i = 1, 100 do tx:put("counter", tostring(i)) end
        tx:put("fleeting", "x")
        tx:delete "fleeting"
      end)
      assert.equal("100", db:get "counter")
      assert.equal(writes.puts + 1, db:stats().puts)
      assert.equal(writes.deletes, db:stats().deletes)
      db:transaction(function(tx) tx:get "counter" end)
      assert.equal(writes.puts + 1, db:stats().puts)
    end)

    it("reads what others have committed meanwhile", function()
      local tx <close> = db:begin()
      assert.equal("1", tx:get "old1")
      db:put("old1", "changed")
      assert.equal("changed", tx:get "old1")
      db:delete "old1"
      assert.is_nil(tx:get "old1")
      tx:commit()
    end)

    it("deletes what is there when it commits", function()
      local tx <close> = db:begin()
      tx:put("late", "own")
      tx:delete "late"
      tx:delete "old1"
      db:put("late", "other's")
      db:delete "old1"
      tx:commit()
      assert.is_nil(db:get "late")
      assert.is_nil(db:get "old1")
    end)

    it("iterates over the store and itself", function()
      local tx <close> = db:begin()
      tx:put("old1", "changed")
      tx:put("older", "new")
      tx:put("p", "v")
      tx:delete "old2"
      assert.equal("old1=changed old3=3 old4=4 old5=5 older=new p=v", list(tx:each()))
      assert.equal("old1=changed old3=3 old4=4 old5=5 older=new", list(tx:each "old"))
      assert.equal("old1=nil old3=nil old4=nil old5=nil older=nil", list(tx:keys "old"))
      local keys = {}
      for k, v in tx:each { order = "key", prefix = "o" } do keys[#keys + 1] = k .. v end
      assert.same({ "old1changed", "old33", "old44", "old55", "oldernew" }, keys)
      keys = {}
      for k in tx:keys { order = "key" } do keys[#keys + 1] = k end
      assert.same({ "old1", "old3", "old4", "old5", "older", "p" }, keys)
    end)

    it("iterates over all as it was when the loop began", function()
      local tx = db:begin()
      tx:put("own1", "a")
      tx:put("own2", "b")
      local seen = {}
      for k, v in tx:each() do
        seen[#seen + 1] = k .. "=" .. v
        for i = 1, 5 do tx:put("old" .. i, #seen .. "!") end
        tx:put("own1", "changed")
        tx:delete "own2"
        tx:put("later" .. #seen, "x")
        db:put("old5", "other's")
      end
      table.sort(seen)
      assert.equal("old1=1 old2=2 old3=3 old4=4 old5=5 own1=a own2=b", table.concat(seen, " "))
      assert.is_nil(tx:get "own2")
      local next_entry, state = tx:each "own"
      tx:commit()
      assert.equal("own1=changed", list(next_entry, state))
      assert.equal(#seen .. "!", db:get "old1")
    end)

    -- The last record of a transaction is not there, as after a loss of power.
    it("of which a part is missing at the log's end is not used, nor by a repair", function()
      db:close()
      db = open { sync = "none", maintenance = "manual" }
      db:transaction(function(tx) for i = 1, 3 do tx:put("part" .. i, "x") end end)
      tmp.copy_dir(path, dir.path .. "/torn")
      local file = dir.path .. "/torn/1.data"
      local bytes, offset = tmp.read(file), 128
      while true do
        local decoded = record.decode(bytes, offset)
        if decoded.key == "part3" then break end
        offset = offset + decoded.size
      end
      tmp.write(file, bytes:sub(1, offset) .. ("\0"):rep(#bytes - offset))
      local report = freyja.repair(dir.path .. "/torn", { to = dir.path .. "/saved" })
      assert.equal(5, report.keys)
      for _, name in ipairs { "/saved", "/torn" } do
        local other <close> = assert(freyja.open(dir.path .. name, { io = io_mode }))
        assert.equal("old1=1 old2=2 old3=3 old4=4 old5=5", list(other:each()))
      end
    end)

    it("may be looped over, and committed, in a loop over itself", function()
      local tx = db:begin()
      tx:put("own", "1")
      for k, v in tx:each "own" do
        assert.equal("own=1", k .. "=" .. v)
        tx:put("own", "2")
        assert.equal("own=2", list(tx:each "own"))
        tx:put("own", "3")
        tx:commit()
      end
      assert.equal("own=3", list(db:each "own"))
      assert.equal(6, #db)
      assert.is_true(db:verify().ok)
    end)

    it("commits by a function that returns, and returns what that does", function()
      local a, b, c = db:transaction(function(tx)
        tx:put("k", "v")
        return 1, nil, 3
      end)
      assert.same({ 1, nil, 3 }, { a, b, c })
      assert.equal("v", db:get "k")
    end)

    it("rolls back by a function that raises, and passes the error on", function()
      local thing = {}
      local inner
      assert.equal(thing, error_of(db.transaction, db, function(tx)
        inner = tx
        tx:put("k", "v")
        error(thing)
      end))
      assert.is_nil(db:get "k")
      assert.is_false(inner:is_open())
      db:transaction(function(tx)
        tx:put("k", "v")
        tx:rollback()
      end)
      assert.is_nil(db:get "k")
    end)

    it("lets a function yield", function()
      local run = coroutine.wrap(function()
        return db:transaction(function(tx)
          tx:put("k", coroutine.yield "first")
          return "second"
        end)
      end)
      assert.equal("first", run())
      assert.is_nil(db:get "k")
      assert.equal("second", run "v")
      assert.equal("v", db:get "k")
    end)

    it("expires its values from the commit on", function()
      local tx <close> = db:begin()
      tx:put("k", "v", { ttl = 1000 })
      tx:put("old1", "for ever")
      tx:commit()
      local ttl = db:ttl "k"
      assert.is_true(ttl > 900 and ttl <= 1000)
      assert.is_false(db:ttl "old1")
      local err = error_of(db.transaction, db, function(t) t:put("k", "v", { ttl = 1e14 }) end)
      assert.equal("limit", err.code)
    end)

    it("is refused at the put that makes it too large for a segment", function()
      db:close()
      db = open { segment_size = 4096, maintenance = "manual" }
      local tx <close> = db:begin()
      for i = 1, 31 do tx:put("k" .. i, ("x"):rep(100)) end -- 31 * 128 bytes
      local err = error_of(tx.put, tx, "more", ("x"):rep(100))
      assert.equal("limit", err.code)
      assert.matches("3968", err.message)
      assert.is_nil(tx:get "more")
      tx:put("k1", ("y"):rep(90)) -- in place of another
      assert.equal("limit", error_of(tx.put, tx, "k1", ("y"):rep(5000)).code)
      tx:commit()
      assert.equal(36, #db)
      assert.equal(("y"):rep(90), db:get "k1")
      assert.is_true(#db:segments() > 1)
      db:close()
      db = open()
      assert.equal(36, #db)
    end)

    it("ends with its store", function()
      local tx = db:begin()
      tx:put("k", "v")
      db:close()
      for _, name in ipairs { "get", "delete", "commit", "each", "has" } do
        assert.equal("closed", error_of(tx[name], tx, "k").code, name)
      end
      assert.is_true(tx:is_open()) -- nobody has ended it
      tx:rollback()
      db = open()
      assert.is_nil(db:get "k")
    end)

    it("is not to be had of a store that is read-only", function()
      db:close()
      db = open { readonly = true }
      local tx <close> = db:begin(SERIALIZABLE)
      assert.equal("1", tx:get "old1")
      assert.equal("readonly", error_of(tx.put, tx, "k", "v").code)
      assert.equal("readonly", error_of(tx.delete, tx, "old1").code)
      tx:commit()
    end)

    it("is merged as any other writes", function()
      db:transaction(function(tx) for i = 1, 5 do tx:put("old" .. i, "one") end end)
      db:rotate()
      db:transaction(function(tx)
        tx:delete "old1"
        for i = 2, 3 do tx:put("old" .. i, "two") end
      end)
      db:rotate()
      local before, ids = contents(db), {}
      for _, segment in ipairs(db:segments()) do ids[#ids + 1] = segment.sealed and segment.id or nil end
      db:merge(ids)
      for _, segment in ipairs(db:segments()) do if segment.sealed then db:hint(segment.id) end end
      assert.same(before, contents(db))
      db:close()
      db = open()
      assert.same(before, contents(db))
      assert.is_true(db:verify().ok)
    end)

    it("tells wrong arguments", function()
      assert.has_error(function() db:begin { isolation = "high" } end,
        "bad argument #1 to 'begin' (unknown option 'isolation')")
      assert.has_error(function() db:begin { serializable = 1 } end,
        "bad argument #1 to 'begin' (option 'serializable' must be a boolean)")
      assert.has_error(function() db:transaction(print, { retries = -1 }) end,
        "bad argument #2 to 'transaction' (option 'retries' must be an integer of at least 0)")
    end)

    -- ---- isolation ---------------------------------------------------------------------------

    -- Two transactions overlap; whether the second one, which commits last, is refused.
    local function overlap(options, first, second)
      local one <close> = db:begin(options)
      local two <close> = db:begin(options)
      first(one, two)
      one:commit()
      if second then second(two) end
      local ok, err = pcall(two.commit, two)
      assert(ok or err.code == "conflict", tostring(err))
      return not ok
    end

    -- The anomalies of H. Berenson et al., A critique of ANSI SQL isolation levels, 1995, and of A. Fekete et al., A
    -- read-only transaction anomaly under snapshot isolation, 2004.
    local anomalies = {
      ["a lost update"] = function(options)
        return overlap(options, function(one, two)
          local read = tonumber(two:get "old1")
          one:put("old1", tostring(tonumber(one:get "old1") + 10))
          two:put("old1", tostring(read + 100))
        end)
      end,
      ["write skew"] = function(options)
        return overlap(options, function(one, two)
          -- Each sees that the other's is there, and removes its own.
          assert(one:get "old2" and two:get "old1")
          one:delete "old1"
          two:delete "old2"
        end)
      end,
      ["write skew of keys that are not there"] = function(options)
        return overlap(options, function(one, two)
          assert(not one:get "b" and not two:get "a")
          one:put("a", "1")
          two:put("b", "1")
        end)
      end,
      ["a phantom"] = function(options)
        return overlap(options, function(one, two)
          local count = 0
          for _ in two:keys "old" do count = count + 1 end
          one:put("old6", "6")
          two:put("count", tostring(count))
        end)
      end,
      ["a fuzzy read"] = function(options)
        return overlap(options, function(one, two)
          two:get "old1"
          one:put("old1", "changed")
        end, function(two) two:get "old1" end)
      end,
      ["read skew"] = function(options)
        return overlap(options, function(one, two)
          two:get "old1"
          one:put("old1", "x")
          one:put("old2", "x")
        end, function(two) two:get "old2" end)
      end,
      -- Old1 and old2 are accounts. One takes from old1 and pays a charge, since it saw no deposit to old2; the reader
      -- sees the deposit and no charge: in no order of the three can both be.
      ["the read-only anomaly"] = function(options)
        local withdrawal <close> = db:begin(options)
        local reader <close> = db:begin(options)
        local sum = tonumber(withdrawal:get "old1") + tonumber(withdrawal:get "old2")
        db:transaction(function(deposit) deposit:put("old2", "20") end, options)
        reader:get "old1"
        reader:get "old2"
        reader:commit()
        withdrawal:put("old1", tostring(sum - 11))
        local ok, err = pcall(withdrawal.commit, withdrawal)
        assert(ok or err.code == "conflict", tostring(err))
        return not ok
      end,
    }

    for name, try in pairs(anomalies) do
      it("refuses " .. name .. " if it is serializable, and only then", function()
        assert.is_true(try(SERIALIZABLE))
        for _, key in ipairs { "a", "b", "old6", "count" } do db:delete(key) end
        for i = 1, 5 do db:put("old" .. i, tostring(i)) end
        assert.is_false(try {})
      end)
    end

    it("leaves nothing of what is refused", function()
      local tx <close> = db:begin(SERIALIZABLE)
      tx:get "old1"
      tx:put("new", "n")
      db:put("old1", "changed")
      assert.equal("conflict", error_of(tx.commit, tx).code)
      assert.equal("conflict", error_of(tx.commit, tx).code)
      assert.is_nil(db:get "new")
    end)

    it("does not mind what it has not read", function()
      local tx <close> = db:begin(SERIALIZABLE)
      tx:get "old1"
      tx:put("old2", "blind")
      for _ in tx:each "q" do end
      tx:get "old2" -- its own
      db:put("old2", "other's")
      db:put("old3", "other's")
      db:put("new", "n")
      db:delete "never"
      tx:commit()
      assert.equal("blind", db:get "old2")
    end)

    it("minds neither a merge nor another's commit that changes nothing", function()
      local tx <close> = db:begin(SERIALIZABLE)
      assert.equal("1", tx:get "old1")
      for _ in tx:each() do end
      db:transaction(function(other)
        other:put("new", "n")
        other:delete "new"
      end)
      db:rotate()
      db:merge { db:segments()[1].id }
      tx:put("k", "v")
      tx:commit()
      assert.equal("v", db:get "k")
    end)

    it("minds a merge that changes values", function()
      db:rotate()
      local tx <close> = db:begin(SERIALIZABLE)
      assert.equal("1", tx:get "old1")
      db:merge({ db:segments()[1].id }, { filter = function(one)
        one.value = one.value .. "!"
        return true
      end })
      assert.equal("1!", tx:get "old1")
      assert.equal("conflict", error_of(tx.commit, tx).code)
    end)

    it("is tried again as often as that is asked for", function()
      local calls = 0
      local function increment(tx)
        calls = calls + 1
        local n = tonumber(tx:get "old1")
        if calls < 4 then db:put("old1", tostring(n + 10)) end
        tx:put("old1", tostring(n + 100))
        return calls
      end
      local err = error_of(db.transaction, db, increment, { serializable = true, retries = 1 })
      assert.equal("conflict", err.code)
      assert.equal(2, calls)
      assert.equal(4, db:transaction(increment, { serializable = true, retries = 5.0 }))
      assert.equal("131", db:get "old1")
    end)

    it("passes a conflict that its function raises on", function()
      local calls = 0
      local err = error_of(db.transaction, db, function()
        calls = calls + 1
        error { code = "conflict" }
      end, { retries = 3 })
      assert.equal("conflict", err.code)
      assert.equal(1, calls)
    end)
  end)
end
