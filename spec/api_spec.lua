-- Goal: every function of the Lua API does what its documentation says, raises as Lua's own
-- library does for wrong arguments, and lets go of what it holds.
local freyja = require "freyja"
local tmp = require "spec.support.tmp"

local function collect(db, ...)
  local found, order = {}, {}
  for k, v in db:each(...) do
    found[k] = v
    order[#order + 1] = k
  end
  return found, order
end

local dir, db

local function open()
  dir = tmp.dir()
  db = assert(freyja.open(dir.path .. "/db"))
end

local function close()
  db:close()
  getmetatable(dir).__close(dir)
end

describe("the Lua API", function()
  require("spec.support.leaks").watch(before_each, after_each, open, close)

  it("has a version", function() assert.matches("^%d+%.%d+%.%d+$", freyja.version) end)

  it("stores strings of any bytes, the empty one too, as key and as value", function()
    local all = {}
    for byte = 0, 255 do all[#all + 1] = string.char(byte) end
    local bytes = table.concat(all)
    for _, key in ipairs { "", "\0", bytes, "k" } do
      for _, value in ipairs { "", "\0\0", bytes, ("v"):rep(1024), ("v"):rep(1025), ("w"):rep(100000) } do
        db:put(key, value)
        assert.equal(value, db:get(key))
        assert.is_true(db:has(key))
      end
    end
    assert.equal(4, #db)
    assert.is_true(db:delete "")
    assert.is_nil(db:get "")
    assert.is_false(db:delete "")
    assert.is_false(db:has "")
  end)

  it("takes numbers as Lua's string functions do", function()
    db:put(1, 2.5)
    assert.equal("2.5", db:get "1")
  end)

  it("returns nothing from put", function() assert.equal(0, select("#", db:put("k", "v"))) end)

  it("inserts only what is not there", function()
    assert.is_true(db:insert("k", "1"))
    assert.is_false(db:insert("k", "2"))
    assert.equal("1", db:get "k")
    db:delete "k"
    assert.is_true(db:insert("k", "3"))
    assert.equal("3", db:get "k")
  end)

  it("compares and swaps, nil standing for an absent key", function()
    local puts = db:stats().puts
    assert.is_false(db:cas("k", "1", "2"))
    assert.is_true(db:cas("k", nil, nil))
    assert.equal(puts, db:stats().puts)
    assert.is_true(db:cas("k", nil, "1"))
    assert.is_false(db:cas("k", nil, "2"))
    assert.is_false(db:cas("k", "x", "2"))
    assert.is_true(db:cas("k", "1", ""))
    assert.is_true(db:cas("k", "", "2"))
    assert.is_true(db:cas("k", "2", nil))
    assert.is_nil(db:get "k")
    assert.equal(0, #db)
  end)

  it("gets many at once", function()
    db:put("a", "1")
    db:put("b", ("2"):rep(5000))
    assert.same({ a = "1", b = ("2"):rep(5000) }, db:get_many { "a", "b", "c", "a" })
    assert.same({}, db:get_many {})
  end)

  it("iterates by prefix, by key, over keys only, and counts", function()
    for _, key in ipairs { "user:2", "user:1", "group:1", "user", "" } do db:put(key, key .. "!") end
    assert.same({ ["user:1"] = "user:1!", ["user:2"] = "user:2!" }, (collect(db, "user:")))
    local _, order = collect(db, { order = "key" })
    assert.same({ "", "group:1", "user", "user:1", "user:2" }, order)
    _, order = collect(db, { order = "key", prefix = "user:" })
    assert.same({ "user:1", "user:2" }, order)
    _, order = collect(db, { order = "log" })
    assert.same({ "user:2", "user:1", "group:1", "user", "" }, order)
    local keys = {}
    for k, v in db:keys { prefix = "user", order = "key" } do
      keys[#keys + 1] = k
      assert.is_nil(v)
    end
    assert.same({ "user", "user:1", "user:2" }, keys)
    assert.equal(5, db:count())
    assert.equal(3, db:count "user")
    assert.equal(0, db:count "zzz")
    assert.equal(5, #db)
  end)

  it("iterates keys and values of all sizes, in both orders", function()
    local want = {}
    for _, key_size in ipairs { 0, 1, 511, 512, 513, 60000 } do
      local key = ("k"):rep(key_size)
      want[key] = ("v"):rep(70000 - key_size)
      db:put(key, want[key])
    end
    assert.same(want, (collect(db)))
    assert.same(want, (collect(db, { order = "key" })))
  end)

  it("releases an iterator at the end, at break and at an error", function()
    for i = 1, 10 do db:put("key" .. i, "v") end
    for _ in db:each() do assert.equal(1, db:stats().iterators) end
    assert.equal(0, db:stats().iterators)
    for _ in db:each() do break end -- luacheck: ignore 512
    assert.equal(0, db:stats().iterators)
    for _ in db:keys { order = "key" } do break end -- luacheck: ignore 512
    assert.equal(0, db:stats().iterators)
    pcall(function()
      for _ in db:each() do error "stop" end
    end)
    assert.equal(0, db:stats().iterators)
    db:each()
    collectgarbage()
    assert.equal(0, db:stats().iterators)
    local nextly, iterator <const> = db:each() -- kept, and never closed
    while nextly(iterator) do assert.equal(1, db:stats().iterators) end
    assert.equal(0, db:stats().iterators)
  end)

  it("keeps a store open as long as there is an iterator of it", function()
    local other <close> = tmp.dir()
    local nextly, iterator = (function()
      local store = assert(freyja.open(other.path))
      store:put("k", "v")
      return store:each()
    end)()
    collectgarbage()
    collectgarbage()
    assert.equal("k", (nextly(iterator)))
    assert.is_nil(nextly(iterator))
    iterator = nil -- luacheck: ignore 311
    collectgarbage()
    collectgarbage()
    assert(freyja.open(other.path)):close()
  end)

  it("shows an iterator the store as it was, whatever is written in the loop", function()
    for i = 1, 100 do db:put("key" .. i, "old") end
    local seen = 0
    for k, v in db:each() do
      assert.equal("old", v)
      db:put(k, "new")
      db:put("another" .. seen, "x")
      db:delete("key" .. (seen * 7 % 100 + 1))
      if seen % 10 == 0 then db:rotate() end
      seen = seen + 1
    end
    assert.equal(100, seen)
  end)

  it("iterates in coroutines, which may yield", function()
    for i = 1, 3 do db:put("key" .. i, "v") end
    local next_key = coroutine.wrap(function()
      for k in db:each() do coroutine.yield(k) end
    end)
    assert.same({ "key1", "key2", "key3" }, { next_key(), next_key(), next_key() })
  end)

  it("makes iterators of a closed store raise, and their release harmless", function()
    for i = 1, 3 do db:put("key" .. i, "v") end
    local ok, err = pcall(function()
      for _ in db:each() do db:close() end
    end)
    assert.is_false(ok)
    assert.equal("closed", err.code)
    collectgarbage()
  end)

  it("raises for wrong arguments what Lua's own library raises", function()
    local rows = {
      { "put", { {}, "v" }, "bad argument #1 to 'put' %(string expected, got table%)" },
      { "put", { "k", {} }, "bad argument #2 to 'put' %(string expected, got table%)" },
      { "put", { "k" }, "bad argument #2 to 'put' %(string expected, got no value%)" },
      { "get", {}, "bad argument #1 to 'get' %(string expected, got no value%)" },
      { "get", { true }, "bad argument #1 to 'get' %(string expected, got boolean%)" },
      { "has", {}, "bad argument #1 to 'has' %(string expected, got no value%)" },
      { "delete", { print }, "bad argument #1 to 'delete' %(string expected, got function%)" },
      { "insert", { "k" }, "bad argument #2 to 'insert' %(string expected, got no value%)" },
      { "cas", { "k", {}, "v" }, "bad argument #2 to 'cas' %(string or nil expected, got table%)" },
      { "cas", { "k", "v" }, "bad argument #3 to 'cas' %(value expected%)" },
      { "get_many", { "k" }, "bad argument #1 to 'get_many' %(table expected, got string%)" },
      { "get_many", { { {} } }, "bad argument #1 to 'get_many' %(element 1 must be a string, not table%)" },
      { "each", { true }, "bad argument #1 to 'each' %(string or table expected, got boolean%)" },
      { "each", { { prefiks = "a" } }, "bad argument #1 to 'each' %(unknown option 'prefiks'%)" },
      { "each", { { order = "up" } }, "bad argument #1 to 'each' %(option 'order' must be \"log\" or \"key\"%)" },
      { "keys", { { prefix = {} } }, "bad argument #1 to 'keys' %(option 'prefix' must be a string%)" },
      { "count", { {} }, "bad argument #1 to 'count' %(string expected, got table%)" },
      { "hint", { "k" }, "bad argument #1 to 'hint' %(number expected, got string%)" },
      { "hint", { 1.5 }, "bad argument #1 to 'hint' %(number has no integer representation%)" },
    }
    for _, row in ipairs(rows) do
      local name, arguments, message = table.unpack(row)
      local source = ("local db, a = ... db:%s(table.unpack(a))"):format(name)
      local ok, err = pcall(assert(load(source)), db, arguments)
      assert.is_false(ok, message)
      assert.matches(message, err)
    end
    for name in pairs(getmetatable(db).__index) do
      local ok, err = pcall(db[name], {})
      assert.is_false(ok, name)
      assert.matches("freyja.db expected, got table", err, nil, nil, name)
    end
  end)

  it("raises for wrong options of open", function()
    local rows = {
      { 1, {}, "bad argument #1 to 'open' %(string expected, got table%)" },
      { 1, "a\0b", "bad argument #1 to 'open' %(the path contains a zero byte%)" },
      { 2, "none", "bad argument #2 to 'open' %(table expected, got string%)" },
      { 2, { snyc = "none" }, "bad argument #2 to 'open' %(unknown option 'snyc'%)" },
      { 2, { "none" }, "bad argument #2 to 'open' %(options have names%)" },
      { 2, { sync = "never" }, "option 'sync' must be \"none\", \"always\" or an integer" },
      { 2, { sync = 1.5 }, "option 'sync' must be \"none\", \"always\" or an integer" },
      { 2, { io = "stdio" }, "option 'io' must be \"mmap\" or \"syscall\"" },
      { 2, { readonly = 1 }, "option 'readonly' must be a boolean" },
      { 2, { create = "yes" }, "option 'create' must be a boolean" },
      { 2, { segment_size = "big" }, "option 'segment_size' must be an integer %(bytes%)" },
    }
    for _, row in ipairs(rows) do
      local arguments = { dir.path .. "/other" }
      arguments[row[1]] = row[2]
      local ok, err = pcall(function() return freyja.open(table.unpack(arguments)) end)
      assert.is_false(ok, row[3])
      assert.matches(row[3], err)
      assert.is_false(tmp.exists(dir.path .. "/other"))
    end
  end)

  it("raises `closed` from every method of a closed store but close", function()
    db:close()
    db:close()
    for name in pairs(getmetatable(db).__index) do
      local ok, err = pcall(db[name], db, "1", "v", name == "cas" and "w" or nil)
      if name ~= "close" then
        assert.is_false(ok, name)
        assert.equal("closed", err.code, name)
        assert.equal(dir.path .. "/db", err.path, name)
      end
    end
    assert.is_false((pcall(function() return #db end)))
  end)

  it("closes at the end of a scope and by the collector", function()
    local path = dir.path .. "/scope"
    do
      local scoped <close> = assert(freyja.open(path))
      scoped:put("k", "v")
    end
    local again = assert(freyja.open(path))
    assert.equal("v", again:get "k")
    again = nil -- luacheck: ignore
    collectgarbage()
    assert(freyja.open(path)):close()
  end)

  it("says what a handle is", function()
    assert.equal('freyja.db ("' .. dir.path .. '/db")', tostring(db))
    db:close()
    assert.equal("freyja.db (closed)", tostring(db))
  end)

  it("gives errors as objects that print well", function()
    local _, err = freyja.open(dir.path .. "/no/such")
    assert.equal("io", err.code)
    assert.equal(2, err.errno)
    assert.equal(dir.path .. "/no/such", err.path)
    assert.equal("freyja: io: " .. err.message .. " (" .. err.path .. ")", tostring(err))
  end)

  it("counts what is stored", function()
    db:put("a", "1")
    db:put("a", "2")
    db:put("b", "3")
    db:delete "b"
    local stats = db:stats()
    assert.equal(1, stats.keys)
    assert.equal(3, stats.puts)
    assert.equal(1, stats.deletes)
    assert.equal(1, stats.segments)
    assert.equal(128 + 4 * 32, stats.bytes)
    assert.equal(32, stats.live_bytes)
    assert.equal(3 * 32, stats.dead_bytes)
    assert.equal(1000, stats.sync)
    assert.equal("mmap", stats.io)
    assert.is_false(stats.poisoned)
    assert.matches("^%x+$", stats.store_id)
    local segment = db:segments()[1]
    assert.same({ 1, 0, 3, 1, 1 },
      { segment.id, segment.rank, segment.keys, segment.tombstones, segment.live_keys })
    assert.is_false(segment.sealed or segment.damaged)
    assert.is_true(segment.oldest <= segment.newest)
    assert.is_true(math.abs(segment.oldest - os.time() * 1000000) < 10000000)
    db:rotate()
    db:rotate()
    assert.equal(2, #db:segments())
    assert.is_true(db:segments()[1].sealed)
  end)

  it("is described completely in freyja/types.lua", function()
    local described = {}
    for name in tmp.read "lua/freyja/types.lua":gmatch "function store:([%w_]+)" do described[name] = true end
    local real = {}
    for name in pairs(getmetatable(db).__index) do real[name] = true end
    assert.same(real, described)
    assert.is_table(require "freyja.types")
  end)
end)
