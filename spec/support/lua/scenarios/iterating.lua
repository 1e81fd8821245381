--- Loops over a store, and iterators without one.

local scenario = ...

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
