--- Values are written and read, and a store is asked for its figures.

local scenario = ...

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

scenario("follow and refresh", {
  before = function(s)
    s.begin "s1"
    s.allow("s1", 2)
  end,
  run = function(s)
    local reader <close> = s.open { readonly = true }
    s.db:put("s1", s.value("s1", 2))
    reader:refresh()
    s.db:rotate()
    s.db:merge { 1 }
    reader:refresh()
    if reader:get "s1" ~= s.value("s1", 2) then error "a follower shows another value" end
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
