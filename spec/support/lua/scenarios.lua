--- What the binding does, as named scenarios: every function, on every path. Their functions run
--- in a Lua state of their own, with prelude.lua's table `s`; `run` with memory failing. To add one,
--- append it to the list: {name, before, run}; `before` may be missing.

local M = {}

local function scenario(name, functions)
  functions.name = name
  M[#M + 1] = functions
end

-- ---- loading and opening ---------------------------------------------------------------

scenario("require", {
  run = function(s) s.freyja = require "freyja" end,
})

scenario("open a new store", {
  before = function() require "freyja" end,
  run = function(s) s.db = s.open() end,
})

scenario("open with every option", {
  before = function() require "freyja" end,
  run = function(s)
    local options = { create = true, readonly = false, sync = 5, hash_bits = 64, segment_size = 4096, io = "syscall" }
    s.db = assert(require "freyja".open(s.path, options))
    s.db:close()
    s.db = assert(require "freyja".open(s.path, { sync = "always", io = "mmap", segment_size = 262144 }))
  end,
})

scenario("open a store of several segments", {
  before = function(s)
    s.begin("s1", "m1", "s2")
    for _ = 1, 3 do
      s.db:put("s1", s.value("s1", 1))
      s.db:put("gone", "x")
      s.db:delete "gone"
      s.db:rotate()
    end
    s.db:close()
  end,
  run = function(s) s.db = s.open() end,
})

scenario("open for reading", {
  before = function(s)
    s.begin("s1", "m1")
    s.db:close()
  end,
  run = function(s)
    local db <close> = s.open { readonly = true }
    local ok, err = pcall(db.put, db, "s1", "x")
    assert(not ok)
    if err.code ~= "readonly" then error(err, 0) end
    assert(db:get "s1" == s.value("s1", 1))
  end,
})

scenario("open what cannot be opened", {
  before = function(s) s.begin "s1" end,
  run = function(s)
    local open = require "freyja".open
    for path, code in pairs { [s.path .. "/no/such"] = "io", [s.path] = "locked" } do
      local db, err = open(path, s.options())
      assert(not db)
      if err.code ~= code then error(err, 0) end
      assert(err.path == path and #err.message > 0)
      assert(code ~= "io" or err.errno == 2)
      assert(tostring(err):find(path, 1, true))
    end
  end,
})

scenario("open with wrong options", {
  before = function() require "freyja" end,
  run = function(s)
    for _, options in ipairs { { sync = true }, { "x" }, { unknown = 1 }, { io = "x" }, { create = 1 } } do
      local ok, err = pcall(require "freyja".open, s.path, options)
      assert(not ok)
      if not err:find "bad argument #2" then error(err, 0) end
    end
    local db, err = require "freyja".open(s.path, { segment_size = 1 })
    assert(not db)
    if err.code ~= "limit" then error(err, 0) end
  end,
})

-- ---- reading and writing -----------------------------------------------------------------

scenario("put", {
  before = function(s)
    s.begin("s1", "s2")
    s.allow("s1", 2)
    s.allow("s3", 0, 1)
  end,
  run = function(s)
    s.db:put("s1", s.value("s1", 2))
    s.db:put("s3", s.value("s3", 1))
  end,
})

scenario("put large values", {
  before = function(s)
    s.begin("m1", "b1")
    for _, key in ipairs { "m1", "b1" } do s.allow(key, 2) end
    for _, key in ipairs { "b2", s.long } do s.allow(key, 0, 2) end
  end,
  run = function(s)
    for _, key in ipairs { "m1", "b1", "b2", s.long } do
      s.db:put(key, s.value(key, 2))
    end
  end,
})

scenario("put and get numbers", {
  before = function(s) s.begin "s1" end,
  run = function(s)
    s.db:put(12345.5, 2.25)
    assert(s.db:get(12345.5) == "2.25" and s.db:has(12345.5))
    assert(s.db:count(123) == 1 and s.db:cas(12345.5, 2.25, 1.5) and s.db:delete(12345.5))
    assert(s.db:insert(777, 1.125))
    assert(s.db:get_many { 777 }["777"] == "1.125")
    for key in s.db:keys(77) do assert(key == "777") end
  end,
})

scenario("get", {
  before = function(s) s.begin("s1", "m1", "b1", s.long) end,
  run = function(s)
    for _, key in ipairs { "s1", "m1", "b1", s.long } do
      assert(s.db:get(key) == s.value(key, 1))
      assert(s.db:has(key))
    end
    assert(s.db:get "none" == nil and not s.db:has "none")
  end,
})

scenario("get_many", {
  before = function(s) s.begin("s1", "m1", "b1", s.long) end,
  run = function(s)
    local found = s.db:get_many { "s1", "m1", "none", "b1", s.long, "s1" }
    for _, key in ipairs { "s1", "m1", "b1", s.long } do
      assert(found[key] == s.value(key, 1))
      found[key] = nil
    end
    assert(next(found) == nil)
  end,
})

scenario("get_many of many", {
  before = function(s)
    s.keys = {}
    for i = 1, 100 do s.keys[i] = "s" .. i end
    s.begin(table.unpack(s.keys))
  end,
  run = function(s)
    local found, count = s.db:get_many(s.keys), 0
    for key, value in pairs(found) do
      assert(value == s.value(key, 1))
      count = count + 1
    end
    assert(count == 100)
  end,
})

scenario("insert", {
  before = function(s)
    s.begin("s1", "m1")
    s.allow("s2", 0, 2)
    s.allow("b1", 0, 2)
  end,
  run = function(s)
    assert(s.db:insert("s1", s.value("s1", 2)) == false)
    assert(s.db:insert("s2", s.value("s2", 2)) == true)
    assert(s.db:insert("b1", s.value("b1", 2)) == true)
  end,
})

scenario("cas", {
  before = function(s)
    s.begin("s1", "m1")
    s.allow("s1", 2)
    s.allow("m1", 0, 2)
    s.allow("s2", 0, 1)
  end,
  run = function(s)
    assert(s.db:cas("s1", "x", "y") == false)
    assert(s.db:cas("s1", s.value("s1", 1), s.value("s1", 2)))
    assert(s.db:cas("m1", s.value("m1", 1), s.value("m1", 2)))
    assert(s.db:cas("m1", s.value("m1", 2), nil))
    assert(s.db:cas("s2", nil, s.value("s2", 1)))
  end,
})

scenario("values that expire", {
  before = function(s)
    s.begin("s1", "m1")
    s.allow("s1", 2)
    s.allow("s2", 0, 2)
  end,
  run = function(s)
    s.db:put("s1", s.value("s1", 2), { ttl = 1000 })
    assert(s.db:ttl "s1" > 900 and s.db:ttl "m1" == false and s.db:ttl "none" == nil)
    assert(s.db:insert("s2", s.value("s2", 2), { ttl = 1500.5 }))
    assert(s.db:cas("s1", s.value("s1", 2), s.value("s1", 2), { ttl = 2000 }))
    assert(s.db:segments()[1].expires > 0)
    local ok, err = pcall(s.db.put, s.db, "s1", "x", { ttl = math.huge })
    assert(not ok)
    if err.code ~= "limit" then error(err, 0) end
    ok, err = pcall(s.db.put, s.db, "s1", "x", { ttl = 0 })
    assert(not ok)
    if not err:find "greater than 0" then error(err, 0) end
  end,
})

scenario("delete", {
  before = function(s)
    s.begin("s1", "m1")
    s.allow("s1", 0)
    s.allow("m1", 0)
  end,
  run = function(s)
    assert(s.db:delete "s1" == true)
    assert(s.db:delete "m1" == true)
    assert(s.db:delete "none" == false)
  end,
})

scenario("many puts, so that the index grows", {
  before = function(s)
    s.begin()
    s.keys = {}
    for i = 1, 100 do
      s.keys[i] = "s" .. i
      s.allow(s.keys[i], 0, 1)
    end
  end,
  run = function(s)
    for _, key in ipairs(s.keys) do s.db:put(key, s.value(key, 1)) end
  end,
})

scenario("faults raise", {
  before = function(s) s.begin "s1" end,
  run = function(s)
    local function fails(code, ...)
      local ok, err = pcall(...)
      assert(not ok)
      if type(err) ~= "table" or err.code ~= code then error(err, 0) end
      return tostring(err)
    end
    fails("limit", s.db.put, s.db, ("k"):rep(70000), "v")
    fails("limit", s.db.put, s.db, "k", ("v"):rep(300000))
    fails("limit", s.db.insert, s.db, "k", ("v"):rep(300000))
    s.db:close()
    assert(fails("closed", s.db.put, s.db, "k", "v"):find(s.path, 1, true))
    fails("closed", s.db.get, s.db, "k")
    fails("closed", s.db.each, s.db)
  end,
})

-- ---- iterating -------------------------------------------------------------------------------

scenario("each, in both orders", {
  before = function(s) s.begin("s1", "m1", "b1", s.long) end,
  run = function(s)
    for _, order in ipairs { "log", "key" } do
      local count = 0
      for key, value in s.db:each { order = order } do
        assert(value == s.value(key, 1))
        count = count + 1
      end
      assert(count == 4)
    end
  end,
})

scenario("each, keys and count by prefix", {
  before = function(s) s.begin("s1", "s2", "m1", s.long) end,
  run = function(s)
    local count = 0
    for key, value in s.db:each "s" do
      assert(value == s.value(key, 1))
      count = count + 1
    end
    for _, order in ipairs { "log", "key" } do
      for key, value in s.db:keys { prefix = "s", order = order } do
        assert(key:find "^s" and value == nil)
        count = count + 1
      end
    end
    assert(count == 6)
    assert(s.db:count() == 4 and s.db:count "s" == 2 and s.db:count "none" == 0)
  end,
})

scenario("break out of loops, and errors in them", {
  before = function(s) s.begin("s1", "m1", s.long) end,
  run = function(s)
    for _, order in ipairs { "log", "key" } do
      for _ in s.db:each { order = order } do break end -- luacheck: ignore 512
      for _ in s.db:keys { order = order } do break end -- luacheck: ignore 512
      local ok, err = pcall(function()
        for _ in s.db:each { order = order } do error { code = "mine" } end -- luacheck: ignore 512
      end)
      assert(not ok)
      if err.code ~= "mine" then error(err, 0) end
      assert(s.db:stats().iterators == 0)
    end
  end,
})

scenario("write in a loop", {
  before = function(s)
    s.begin("s1", "s2", "m1", "m2")
    for _, key in ipairs { "s1", "s2", "m1", "m2" } do s.allow(key, 0, 2) end
    s.allow("s3", 0, 1)
  end,
  run = function(s)
    for key, value in s.db:each() do
      assert(value == s.value(key, 1))
      s.db:put(key, s.value(key, 2))
      s.db:delete(key)
      s.db:put("s3", s.value("s3", 1))
      s.db:put("s2", s.value("s2", 2))
      s.db:rotate()
    end
  end,
})

scenario("loops in coroutines, one of them left", {
  before = function(s) s.begin("s1", "s2", "m1") end,
  run = function(s)
    local function loop()
      for key in s.db:each() do coroutine.yield(key) end
    end
    s.co = coroutine.create(loop)
    assert(select(2, assert(coroutine.resume(s.co))) == "s1")
    local other = coroutine.create(loop)
    for _, key in ipairs { "s1", "s2", "m1" } do
      local _, found = assert(coroutine.resume(other))
      assert(found == key)
    end
    assert(coroutine.resume(other))
    assert(coroutine.status(other) == "dead")
    assert(coroutine.close(s.co))
  end,
})

scenario("iterators without a loop", {
  before = function(s) s.begin("s1", "m1") end,
  run = function(s)
    local following, it = s.db:each()
    assert(tostring(it) == "freyja.iterator (open)")
    assert(following(it) == "s1" and following(it) == "m1" and following(it) == nil)
    assert(following(it) == nil)
    assert(tostring(it) == "freyja.iterator (closed)")
    s.it = select(2, s.db:keys())
    s.db:close()
    local ok, err = pcall(following, s.it)
    assert(not ok)
    if err.code ~= "closed" then error(err, 0) end
  end,
})

-- ---- the rest ----------------------------------------------------------------------------------

scenario("stats and segments", {
  before = function(s)
    s.begin("s1", "s2")
    s.db:rotate()
  end,
  run = function(s)
    local stats, segments = s.db:stats(), s.db:segments()
    assert(stats.keys == 2 and stats.segments == 2 and stats.io == s.io)
    assert(stats.recovery.damaged == 0 and #stats.store_id == 32)
    assert(#segments == 2 and segments[1].sealed and segments[1].keys == 2)
  end,
})

scenario("sync and rotate", {
  before = function(s)
    s.begin "s1"
    s.allow("s1", 2)
  end,
  run = function(s)
    s.db:sync()
    s.db:rotate()
    s.db:put("s1", s.value("s1", 2))
    s.db:sync()
    s.db:rotate()
    s.db:rotate()
  end,
})

scenario("hint", {
  before = function(s)
    s.begin "s1"
    s.db:rotate()
  end,
  run = function(s)
    local id = s.db:segments()[1].id
    s.db:hint(id)
    assert(s.db:segments()[1].has_hint)
  end,
})

scenario("close, and close again", {
  before = function(s)
    s.begin("s1", "m1")
    s.it = select(2, s.db:each())
  end,
  run = function(s)
    assert(tostring(s.db):find(s.path, 1, true))
    s.db:close()
    s.db:close()
    assert(tostring(s.db) == "freyja.db (closed)")
  end,
})

scenario("scopes that close", {
  before = function(s)
    s.begin("s1", "m1")
    s.db:close()
  end,
  run = function(s)
    do
      local db <close> = s.open()
      assert(db:get "s1" == s.value("s1", 1))
    end
    local ok, err = pcall(function()
      local db <close> = s.open()
      local _ <close> = select(4, db:each())
      error { code = "mine" }
    end)
    assert(not ok)
    if err.code ~= "mine" then error(err, 0) end
  end,
})

scenario("stores and iterators left to the collector", {
  before = function(s)
    s.begin("s1", "m1")
    s.db:close()
    s.db = nil
  end,
  run = function(s)
    local function leave()
      local db = s.open()
      local following, it = db:each()
      assert(following(it) == "s1")
    end
    leave()
    collectgarbage()
    collectgarbage()
    leave()
  end,
})

-- A finalizer is called where the collector happens to run: there, Lua's stack may have to grow.
scenario("stores left to the collector anywhere on the stack", {
  before = function(s)
    s.begin "s1"
    s.db:close()
    s.db = nil
    s.dive = function(depth)
      if depth > 0 then return 1 + s.dive(depth - 1) end
      collectgarbage()
      return 0
    end
  end,
  run = function(s)
    for depth = 4, 9 do
      collectgarbage()
      s.open()
      coroutine.wrap(s.dive)(depth)
    end
  end,
})

scenario("damage", {
  before = function(s)
    s.begin("s1", "s2", "m1")
    s.db:rotate()
    s.damage "s2"
  end,
  run = function(s)
    s.db = s.open()
    assert(s.db:get "s1" == s.value("s1", 1))
    local ok, err = pcall(s.db.get, s.db, "s2")
    assert(not ok)
    if err.code ~= "corrupt" then error(err, 0) end
    assert(err.path:find "1.data" and tostring(err):find "offset")
    local damage = s.db:stats().recovery.damage
    assert(damage.code == "corrupt" and damage.path == err.path)
    for _, order in ipairs { "log", "key" } do
      ok, err = pcall(function()
        for _ in s.db:each { order = order } do end -- luacheck: ignore 542
      end)
      assert(not ok)
      if err.code ~= "corrupt" then error(err, 0) end
    end
  end,
  after = function(s)
    s.store()
    s.damage("s2", true)
  end,
})

scenario("repair", {
  before = function(s)
    s.begin("s1", "s2", "m1")
    s.damage "s2"
    s.new = s.path .. "-new"
    for _, name in ipairs { "/1.data", "/MANIFEST", "/LOCK", "" } do os.remove(s.new .. name) end
  end,
  run = function(s)
    local report = require "freyja".repair(s.path, { to = s.new })
    assert(report.keys == 2 and report.lost_keys == 1 and report.problems[1].lost)
    assert(report.problems[1].key == "s2")
    local ok, err = pcall(require "freyja".repair, s.path .. "/none", { to = s.new .. "er" })
    assert(not ok)
    if err.code ~= "io" then error(err, 0) end
  end,
  after = function(s)
    s.store()
    s.damage("s2", true)
  end,
})

scenario("verify", {
  before = function(s)
    s.begin("s1", "s2", "m1")
    s.db:delete "none"
    s.db:rotate()
    s.damage "s2"
    s.db = s.open()
  end,
  run = function(s)
    local report = s.db:verify()
    assert(not report.ok and report.problem_count == #report.problems)
    local problem = report.problems[1]
    assert(problem.key == "s2" and problem.path:find "1.data" and problem.size > 0 and #problem.message > 0)
  end,
  after = function(s)
    s.store()
    s.damage("s2", true)
  end,
})

scenario("rewrite", {
  before = function(s)
    s.begin("s1", "s2", "m1")
    s.db:put("gone", "x")
    s.db:rotate()
    s.db:delete "gone"
    s.db:put("s1", s.value("s1", 1))
    s.db:rotate()
  end,
  run = function(s)
    local rewrite <close> = s.db:rewrite { 1, 2 }
    assert(tostring(rewrite):find "open")
    for record in rewrite:records() do
      if record.key == "s2" then rewrite:keep(record) end
    end
    rewrite:commit()
    while rewrite:step(10) do assert(rewrite:progress().bytes > 0) end
  end,
  after = function(s) s.store() end,
})

-- All of what it decides is there in the end, or nothing.
scenario("transform", {
  before = function(s)
    s.begin("s1", "s2", "m1", "m2")
    s.allow("s1", 2)
    s.allow("m1", 2)
    s.allow("s2", 0)
    s.db:rotate()
  end,
  run = function(s)
    local rewrite <close> = s.db:rewrite { 1 }
    for record in rewrite:records() do
      if record.key == "s2" then
        rewrite:drop(record)
      elseif record.key ~= "m2" then
        record.value = s.value(record.key, 2)
        rewrite:keep(record)
      end
    end
    rewrite:commit()
    while rewrite:step(10) do assert(rewrite:progress().bytes > 0) end
  end,
  after = function(s)
    assert(s.store():verify().ok) -- which goes on where a commit was not followed by all that follows
    local found = s.read(s.db)
    local done = found.s1 == 2
    assert((found.m1 == 2) == done and (found.s2 == nil) == done and found.m2 == 1, "a half of it")
  end,
})

-- Nobody ends it: the collector does, and then there may be another.
scenario("a rewrite in a coroutine", {
  before = function(s)
    s.begin("s1", "s2", "m1")
    s.db:rotate()
  end,
  run = function(s)
    local co = coroutine.create(function()
      local rewrite <close> = s.db:rewrite { 1 }
      for record in rewrite:records() do
        rewrite:drop(record)
        coroutine.yield()
      end
      rewrite:commit()
    end)
    for _ = 1, 2 do
      local ok, err = coroutine.resume(co)
      if not ok then error(err, 0) end
    end
    co = nil -- luacheck: ignore
    collectgarbage()
    s.db:merge { 1 }
  end,
  after = function(s) s.store() end,
})

scenario("merge and maintain", {
  before = function(s)
    s.begin("s1", "m1")
    s.db:rotate()
  end,
  run = function(s)
    s.db:merge({ 1 }, { step = 10, progress = function(done, bytes) assert(done <= bytes) end })
    assert(s.db:maintain().merges == 0)
    assert(not pcall(s.db.rewrite, s.db, { 99 }))
  end,
  after = function(s) s.store() end,
})

-- A put that has returned is there, whatever became of the step of maintenance that it took along.
scenario("maintenance that runs by itself", {
  before = function(s)
    s.begin("m1", "m2")
    s.db:close()
    for _, key in ipairs { "m1", "m2" } do s.allow(key, 2) end
    s.db = s.open { segment_size = 8192, maintenance = "auto" }
    s.sure = {}
  end,
  run = function(s)
    for i = 1, 20 do
      local key, version = "m" .. i % 2 + 1, i // 2 % 2 + 1
      s.trying = key
      s.db:put(key, s.value(key, version))
      s.sure[key], s.trying = version, nil
    end
    local report = s.db:stats().maintenance
    assert(report.mode == "auto" and (report.merges > 0 or report.error))
  end,
  after = function(s)
    local db = s.store()
    for key, version in pairs(s.sure) do
      assert(key == s.trying or db:get(key) == s.value(key, version), "an acknowledged put is lost")
    end
  end,
})

-- What a backup that failed has made is gone again.
scenario("backup", {
  before = function(s)
    s.begin("s1", s.long)
    s.db:rotate()
    s.db:put("s1", s.value("s1", 1))
  end,
  run = function(s)
    for suffix, links in pairs { [".linked"] = true, [".copied"] = false } do
      s.db:backup(s.path .. suffix, { links = links })
    end
    local ok, err = pcall(s.db.backup, s.db, s.path)
    assert(not ok)
    if err.code ~= "io" then error(err, 0) end
  end,
  after = function(s)
    for _, suffix in ipairs { ".linked", ".copied" } do
      local db, err = require "freyja".open(s.path .. suffix, s.options { create = false })
      if db then
        s.read(db)
        db:close()
      else
        assert(err.code == "io" and err.errno == 2 and err.path == s.path .. suffix, tostring(err))
      end
    end
  end,
})

return M
