-- Goal: whatever a policy does, it costs an error, time or space, and never data.
-- Method: each does its worst to a store; then that must hold what it held, pass its check, merge and open again.

local freyja = require "freyja"
local store = require "spec.support.store"
local tmp = require "spec.support.tmp"

local contents <const> = store.contents

local OPTIONS <const> = { segment_size = 16384, maintenance = "manual" }

local function sealed(db)
  local ids = {}
  for _, segment in ipairs(db:segments()) do
    if segment.sealed then ids[#ids + 1] = segment.id end
  end
  return ids
end

local function groups_of(...)
  local groups = {}
  for i, ids in ipairs { ... } do groups[i] = { ids = ids } end
  return groups
end

local function planning(make) return { plan = make } end

--- Ends as soon as Lua has collected what nobody holds.
local function collect()
  collectgarbage()
  collectgarbage()
end

describe("a hostile policy", function()
  local dir, path, db, expected
  require("spec.support.leaks").watch(before_each, after_each, function()
    dir = tmp.fast_dir()
    path = dir.path .. "/db"
    db = assert(freyja.open(path, OPTIONS))
    for i = 1, 1000 do
      db:put("key" .. i % 60, ("value %d "):format(i):rep(10), i % 3 == 0 and { ttl = 10000 } or nil)
    end
    for i = 1, 20 do db:delete("key" .. i) end
    expected = contents(db)
  end, function()
    db:close()
    getmetatable(dir).__close(dir)
  end)

  --- The store holds what is expected, and can do all it could.
  local function check(what)
    collect()
    assert.same(expected, contents(db), what)
    assert.same({}, db:verify().problems, what)
    db:put("probe", "1")
    db:rotate()
    db:merge(sealed(db))
    db:delete "probe"
    assert.same(expected, contents(db), what)
    db:close()
    db = assert(freyja.open(path, OPTIONS))
    assert.same(expected, contents(db), what)
    assert.same({}, db:verify().problems, what)
  end

  local function try(what, policy, code)
    local ok, err = pcall(db.maintain, db, policy)
    if code then
      assert.is_false(ok, what)
      local said = type(err) == "table" and err.code or tostring(err)
      assert.is_truthy(said:find(code), ("%s: %s"):format(what, said))
    end
    if not pcall(db.count, db) then db = assert(freyja.open(path, OPTIONS)) end
    check(what)
  end

  it("may be no policy at all", function()
    package.preload["spec.empty_policy"] = function() end
    package.preload["spec.number_policy"] = function() return 1 end
    package.preload["spec.raising_policy"] = function() error "at the top" end
    for _, policy in ipairs { {}, { plan = 1 }, { merge = "x" }, 5, "", "none", "/etc/passwd", "spec.empty_policy",
      "spec.number_policy", "spec.raising_policy", "spec.missing_policy" } do
      try(tostring(policy), policy, "bad argument #%d to 'maintain'")
    end
  end)

  it("may raise whatever it likes", function()
    for _, value in ipairs { "a message", 42, { code = "closed?" }, true } do
      for _, name in ipairs { "plan", "merge" } do
        local ok, err = pcall(db.maintain, db, { [name] = function() error(value, 0) end })
        assert.is_false(ok)
        assert.equal(value, err)
      end
    end
    assert.is_false((pcall(db.maintain, db, planning(function() error() end))))
    check "raised"
    try("deep", planning(function() local function f() return 1 + f() end return f() end), "stack overflow")
    try("raised in a step", { merge = function(own)
      own:merge(sealed(own), { step = 1000, progress = function(done) if done > 5000 then error "enough" end end })
    end }, "enough")
  end)

  it("may plan what there is not", function()
    local ids = sealed(db)
    local active, many, negative = ids[#ids] + 1, {}, {}
    for i = 1, 1000000 do many[i] = ids[1] + i % 2 end
    for i, id in ipairs(ids) do negative[i] = -id end
    for _, row in ipairs {
      { "unknown", { 99999 } }, { "active", { active } }, { "twice", { ids[1], ids[2], ids[1] } }, { "many", many },
      { "none", {} }, { "negative", negative }, { "largest", { math.maxinteger, math.mininteger } },
      { "all and one more", table.move(ids, 1, #ids, 1, { [#ids + 1] = 77777 }) },
    } do
      try(row[1], planning(function() return groups_of(row[2]) end), "limit")
    end
    for _, wrong in ipairs { { "x" }, { 1.5 }, { 0 / 0 }, { {} }, { true }, { ids[1], "y" } } do
      try("wrong ids", planning(function() return groups_of(wrong) end), "list of segments' ids")
    end
    for _, wrong in ipairs { 1, "x", true, { 1 }, { {} }, { { ids = 1 } }, db:segments() } do
      try("wrong plan", planning(function() return wrong end), "a policy's plan")
    end
    try("no plan", planning(function() end), "a policy's plan")
  end)

  it("may plan the same again, whether it is done or not", function()
    local ids = sealed(db)
    try("twice the same", planning(function() return groups_of(ids, ids) end), "limit")
    try("overlapping", planning(function(segments)
      return groups_of({ segments[1].id, segments[2] and segments[2].sealed and segments[2].id or nil },
        { segments[1].id })
    end))
    local calls, merges = 0, 0
    for _ = 1, 30 do -- whatever is there, all of it, for ever
      db:put("again", "x")
      db:rotate()
      merges = merges + db:maintain(function(segments)
        calls = calls + 1
        local all = {}
        for i = 1, #segments - 1 do all[i] = segments[i].id end
        return groups_of(all)
      end).merges
    end
    db:delete "again"
    assert.is_true(calls <= 60 and merges <= 60)
    check "for ever"
    assert.is_true(#db:segments() <= 4)
  end)

  it("may yield, and never be resumed", function()
    local function coroutine_of(policy)
      local thread = coroutine.create(function() return db:maintain(policy) end)
      return thread, coroutine.resume(thread)
    end
    for _, policy in ipairs {
      planning(function(segments)
        coroutine.yield "plan"
        return groups_of { segments[1].id }
      end),
      { merge = function(own)
        local rewrite <close> = own:rewrite(sealed(own))
        for record in rewrite:records() do
          coroutine.yield(record.key)
          rewrite:drop(record)
        end
        rewrite:commit()
      end },
      { merge = function(own) own:merge(sealed(own), { step = 100, progress = coroutine.yield }) end },
      { merge = function(own)
        own:merge(sealed(own))
        coroutine.yield "done"
      end },
    } do
      local thread = coroutine_of(policy)
      assert.equal("suspended", coroutine.status(thread))
      assert.same(expected, contents(db))
      db:put("key3", expected.key3 or "x") -- the store goes on being used
      expected.key3 = db:get "key3"
      thread = nil -- luacheck: ignore
      check "yielded"
      thread = coroutine_of(policy)
      coroutine.close(thread)
      check "closed"
    end
    try("not in a coroutine", planning(coroutine.yield), "yield")
  end)

  it("may close the store under its own feet", function()
    local function closing(name)
      return { [name] = function(own)
        db:close()
        return name == "merge" and own:segments() or groups_of { 1 }
      end }
    end
    try("in plan", closing "plan", "closed")
    try("in merge", closing "merge", "closed")
    try("in a step", { merge = function(own)
      own:merge(sealed(own), { step = 100, progress = function() db:close() end })
    end }, "closed")
    try("between records", { merge = function(own)
      local rewrite <close> = own:rewrite(sealed(own))
      for record in rewrite:records() do
        db:close()
        rewrite:drop(record)
      end
    end }, "closed")
    try("before the commit", { merge = function(own)
      local rewrite <close> = own:rewrite(sealed(own))
      for record in rewrite:records() do rewrite:drop(record) end
      own:close()
      rewrite:commit()
    end }, "closed")
  end)

  it("may close the store and open it again", function()
    try("in plan", planning(function(segments)
      db:close()
      db = assert(freyja.open(path, OPTIONS))
      return groups_of { segments[1].id }
    end), "closed")
  end)

  it("may write, delete, rotate and merge while it plans", function()
    local function write(n)
      for i = 1, 200 do
        db:put("new" .. i % 7, ("n"):rep(n + i))
        expected["new" .. i % 7] = ("n"):rep(n + i)
      end
      db:delete "key30"
      expected.key30 = nil
    end
    try("in plan", planning(function(segments)
      write(1)
      db:rotate()
      return groups_of { segments[1].id }
    end))
    try("and merges", planning(function(segments)
      write(2)
      db:rotate()
      db:merge(sealed(db))
      return groups_of { segments[1].id }
    end))
    try("and maintains", planning(function()
      write(3)
      db:maintain(function(segments) return groups_of { segments[1].id } end)
      return {}
    end))
    try("in a step", { merge = function(own)
      own:rotate()
      own:merge(sealed(own), { step = 500, progress = function() write(4) end })
    end })
    try("between records", { merge = function(own)
      own:rotate()
      local rewrite <close> = own:rewrite(sealed(own))
      for record in rewrite:records() do
        if record.key:find "^new" then
          db:put(record.key, "later")
          expected[record.key] = "later"
          rewrite:drop(record)
        end
      end
      rewrite:commit()
    end })
  end)

  it("may begin what it does not end", function()
    local kept
    try("left open", { merge = function(own)
      local rewrite = own:rewrite(sealed(own))
      for record in rewrite:records() do rewrite:drop(record) end
    end })
    local function leave(own)
      kept = own:rewrite(sealed(own))
      for record in kept:records() do kept:drop(record) end
    end
    db:maintain { merge = leave }
    local ok, err = pcall(db.maintain, db, { merge = leave })
    assert.is_false(ok)
    assert.equal("conflict", err.code)
    assert.same(expected, contents(db))
    kept:close()
    check "held"
    try("two at once", { merge = function(own)
      local rewrite <close> = own:rewrite(sealed(own))
      own:merge { rewrite:progress().bytes }
    end }, "conflict")
  end)

  it("may change what it is given", function()
    try("segments", planning(function(segments)
      for _, segment in ipairs(segments) do segment.id, segment.sealed = 1, true end
      return groups_of { segments[#segments].id }
    end))
    local settings = setmetatable({}, { __index = function() error "no setting" end })
    local ok, err = pcall(db.maintain, db, "dead_ratio", settings)
    assert.is_true(ok or tostring(err):find "no setting" ~= nil)
    check "settings"
    try("a plan that raises when it is read", planning(function()
      return setmetatable({}, { __index = function() error "not for you" end })
    end), "not for you")
    try("a list of ids that is not what it seems", planning(function()
      return groups_of(setmetatable({}, { __len = function() return 3 end, __index = function() return 1 end }))
    end))
  end)
end)
