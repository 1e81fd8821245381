--- Segments are written anew: by rewrites, merges and the maintenance that runs by itself.

local scenario = ...

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
