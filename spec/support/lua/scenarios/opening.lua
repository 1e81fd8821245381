--- A store is opened, and closed: by a call, at the end of a scope, by the collector.

local scenario = ...

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

scenario("open with a thread for maintenance", {
  before = function(s)
    s.begin "s1"
    s.db:close()
  end,
  run = function(s)
    s.allow("s1", 2)
    s.db = s.open { maintenance = "background", policy = "dead_ratio", policy_settings = { frag_trigger = 0.3 } }
    s.db:put("s1", s.value("s1", 2))
    assert(s.db:stats().maintenance.mode == "background")
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
    for path, code in pairs { [s.path .. "/no/such"] = "io", [s.path] = "conflict" } do
      local options = s.options()
      options.segment_size = 12345 -- another than the store has
      local db, err = open(path, options)
      assert(not db)
      if err.code ~= code then error(err, 0) end
      assert(err.path == path and #err.message > 0)
      assert(code ~= "io" or err.errno == 2)
      assert(tostring(err):find(path, 1, true))
    end
  end,
})

scenario("open once more", {
  before = function(s)
    s.begin "s1"
    s.allow("m1", 0, 2)
    s.mine = s.value("s1", 1)
  end,
  run = function(s)
    local db <close> = s.open()
    db:put("m1", s.value("m1", 2))
    assert(db:get "s1" == s.mine and s.db:get "m1" == s.value("m1", 2))
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
