--- Transactions, by hand and as functions; bulk loads.

local scenario = ...

-- All of it is there in the end, or nothing.
local function all_or_nothing(s)
  local found = s.read(s.store())
  local done = found.s1 == 2
  assert((found.m1 == 2) == done and (found.s2 == nil) == done and (found.new == 1) == done, "a half of it")
end

local function prepare(s)
  s.begin("s1", "s2", "m1")
  s.allow("s1", 2)
  s.allow("m1", 2)
  s.allow("s2", 0)
  s.allow("new", 0, 1)
  s.db:sync()
end

scenario("a transaction", {
  before = prepare,
  run = function(s)
    local tx <close> = s.db:begin()
    assert(tostring(tx):find "open" and tx:is_open())
    for _, key in ipairs { "s1", "m1" } do
      assert(s.version(key, tx:get(key)) == 1)
      tx:put(key, s.value(key, 1), { ttl = 100 })
      tx:put(key, s.value(key, 2))
    end
    assert(tx:delete "s2" and not tx:has "s2" and not tx:delete "s2")
    tx:put("new", s.value("new", 1))
    assert(s.version("m1", tx:get "m1") == 2 and tx:get "never" == nil)
    tx:commit()
  end,
  after = all_or_nothing,
})

scenario("loops in a transaction", {
  before = prepare,
  run = function(s)
    local tx <close> = s.db:begin { serializable = true }
    tx:put("new", s.value("new", 1))
    local count = 0
    for key, value in tx:each() do
      count = count + 1
      if key == "s2" then tx:delete(key)
      elseif key ~= "new" then tx:put(key, s.value(key, s.version(key, value) + 1)) end
    end
    for key in tx:keys { order = "key", prefix = "s" } do assert(key == "s1") end
    assert(count == 4)
    tx:commit()
  end,
  after = all_or_nothing,
})

scenario("a transaction as a function", {
  before = prepare,
  run = function(s)
    local a, b = s.db:transaction(function(tx)
      tx:put("s1", s.value("s1", 2))
      tx:put("m1", s.value("m1", 2))
      tx:put("new", s.value("new", 1))
      assert(tx:delete "s2")
      return 1, nil
    end, { serializable = true, retries = 2 })
    assert(a == 1 and b == nil)
  end,
  after = all_or_nothing,
})

-- With a conflict, a rollback, one that is left to the collector, and one in a coroutine.
scenario("transactions that come to nothing", {
  before = function(s)
    s.begin("s1", "m1")
    s.allow("s1", 2)
    s.db:sync()
  end,
  run = function(s)
    local conflict = s.db:begin { serializable = true }
    assert(conflict:get "s1")
    conflict:put("m1", s.value("m1", 2))
    s.db:put("s1", s.value("s1", 2))
    local ok, err = pcall(conflict.commit, conflict)
    assert(not ok)
    if err.code ~= "conflict" then error(err, 0) end
    conflict:rollback()
    local left = s.db:begin()
    left:put("m1", s.value("m1", 2))
    s.co = coroutine.create(function()
      s.db:transaction(function(tx)
        for _ in tx:each() do coroutine.yield(tx:put("m1", s.value("m1", 2))) end
      end)
    end)
    assert(coroutine.resume(s.co))
  end,
  after = function(s) assert(s.read(s.store()).m1 == 1) end,
})

scenario("load", {
  before = prepare,
  run = function(s)
    local keys, i = { "s1", "new", "m1", "s1" }, 0
    s.db:load(function()
      i = i + 1
      if keys[i] then return keys[i], s.value(keys[i], keys[i] == "new" and 1 or 2), { ttl = 100 } end
    end)
  end,
  after = function(s)
    local found = s.read(s.store())
    assert((found.s1 == 2) == (found.m1 == 2) and (found.new == 1) == (found.s1 == 2), "a half of it")
  end,
})
