--- Values are written with a time to live.

local scenario = ...

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
