--- Finalizers run wherever Lua may collect: in the middle of our functions. Here it collects at
--- every allocation, and in each operation the finalizer at each place in turn does each of
--- the things that a program could do there: write, close the store, open it again, iterate. Whatever
--- it does, the operation shows the store as it was at one moment, or raises `closed`.

local machine = require "machine"
local prelude = string.dump(require "spec.support.lua.prelude")

local PLACES_MAX = 2000

local ACTIONS = {
  "rewrite", "delete", "close", "reopen", "iterate", "advance", "rotate", "fail", "yield", "open another",
  "rotate from then on", "merge", "end a rewrite",
}

-- ---- the chunks --------------------------------------------------------------------------

-- Prepares the store, and finalizers of which the one numbered s.at does s.action; "any" stands
-- for an action at random at each. Every action leaves all keys with the same version. The text of
-- the key 777.5 is nowhere in the state, so that the number has to be converted.
local function before(s)
  s.keys = { "s1", "s2", "m1", "m2", s.long }
  s.begin(table.unpack(s.keys))
  s.db:put(777.5, 1.25)
  s.db:put("other", s.value("other", 1))
  for _, key in ipairs(s.keys) do s.allow(key, 0, 1, 2) end
  s.allow("other", 1, 2)
  s.handles = {}
  local actions = {}

  local function keep(handle)
    s.handles[#s.handles + 1] = handle
    return handle
  end

  function actions.rewrite()
    for _, key in ipairs(s.keys) do s.db:put(key, s.value(key, 2)) end
    s.db:put(777.5, 2.25)
  end

  actions["delete"] = function()
    for _, key in ipairs(s.keys) do s.db:delete(key) end
    s.db:delete(777.5)
  end

  function actions.close() s.db:close() end

  -- Some are left to the collector, some are kept, one is in a coroutine.
  function actions.iterate(db)
    db = db or s.db
    for _, order in ipairs { "log", "key" } do
      local following, it = db:each { order = order }
      following(it)
      keep(select(2, db:keys { order = order }))
    end
    keep(coroutine.wrap(function()
      for key in db:each() do coroutine.yield(key) end
    end))()
  end

  -- The memory of the old handle is likely to be used again.
  function actions.reopen()
    s.db:close()
    s.db = keep(s.open())
    actions.iterate(s.db)
  end

  -- Uses up what a loop is at.
  function actions.advance()
    while s.it and s.following(s.it) do end -- luacheck: ignore 542
  end

  function actions.rotate()
    for i = 1, 3 do
      s.db:put("other", s.value("other", i % 2 + 1))
      s.db:rotate()
    end
  end

  -- While a rewrite is open there is no other.
  function actions.merge()
    s.db:rotate()
    local ids = {}
    for i, segment in ipairs(s.db:segments()) do ids[i] = segment.sealed and segment.id or nil end
    local ok, err = pcall(s.db.merge, s.db, ids)
    if not ok and err.code ~= "conflict" then error(err, 0) end
  end

  actions["end a rewrite"] = function()
    if s.rewriting then s.rewriting:close() end
  end

  function actions.fail() error { "in a finalizer" } end

  function actions.yield() coroutine.yield() end

  actions["open another"] = function()
    local db = keep(assert(require "freyja".open(s.path .. ".2", s.options())))
    for i = 1, 5 do db:put(i, ("x"):rep(500 * i)) end
    actions.iterate(db)
  end

  local names = {}
  for name in pairs(actions) do names[#names + 1] = name end
  table.sort(names)
  math.randomseed(s.at)
  s.count = 0

  local function arm()
    setmetatable({}, {
      __gc = function()
        if s.stop then return end
        s.count = s.count + 1
        arm()
        if s.action == "any" then actions[names[math.random(#names)]]() end
        if s.action == "rotate from then on" and s.count >= s.at then actions.rotate() end
        if s.count == s.at and actions[s.action] then actions[s.action]() end
      end,
    })
  end

  if s.mode == "generational" then
    collectgarbage("generational", 1, 1)
  else
    collectgarbage("setpause", 0)
    collectgarbage("incremental", 0, 1000, 40) -- a whole cycle at a step
  end
  arm()
  collectgarbage()
end

-- Lets go of all that finalizers made.
local function mend(s)
  s.stop = true
  collectgarbage "incremental"
  collectgarbage("setpause", 200)
  s.following, s.handles, s.rewriting = nil, nil, nil
end

local function after(s)
  s.check()
  return s.count
end

-- ---- operations ----------------------------------------------------------------------------

local operations = {}

local function operation(name, run) operations[#operations + 1] = { name = name, run = run } end

operation("put", function(s) s.db:put("s1", s.value("s1", 2)) end)

operation("put numbers", function(s)
  s.db:put(777.5, 2.125)
  s.db:put("s1", 2.0625)
end)

operation("put a large value", function(s) s.db:put("m1", s.value("m1", 2)) end)

operation("get", function(s)
  for _, key in ipairs(s.keys) do assert(s.version(key, s.db:get(key))) end
end)

operation("get a number", function(s) assert(s.version("", s.db:get(777.5))) end)

operation("has", function(s) assert(type(s.db:has(777.5)) == "boolean") end)

operation("get_many", function(s)
  local found = s.db:get_many(s.keys)
  local version = s.version("s1", found.s1)
  for _, key in ipairs(s.keys) do assert(s.version(key, found[key]) == version, "of two moments") end
end)

operation("get_many of numbers", function(s)
  local found = s.db:get_many { 777.5, 1.5, 777.5 }
  local key, value = next(found)
  assert(s.version("", value) and (key == nil or tonumber(key) == 777.5 and not next(found, key)))
end)

operation("insert", function(s)
  s.db:insert(777.5, 2.125)
  s.db:insert("m1", s.value("m1", 2))
end)

operation("cas", function(s)
  s.db:cas(777.5, 1.25, 2.125)
  s.db:cas(777.5, 2.125, nil)
  s.db:cas(777.5, nil, 1.5)
  s.db:cas("m1", s.value("m1", 1), s.value("m1", 2))
end)

operation("delete", function(s)
  s.db:delete(777.5)
  s.db:delete "m1"
end)

operation("count", function(s)
  local count = s.db:count(77.5 * 10)
  assert(s.db:count(777.5) <= 1 and count == 0)
  assert(s.db:count() <= 7 and #s.db <= 7)
end)

-- What a loop sees is the store as it was when the loop began.
local function each(order, prefix)
  return load(([[
    local s = ...
    local version, count
    local following, it, _, closing <close> = s.db:each { order = "%s", prefix = %s }
    s.following, s.it = following, it
    for key, value in following, it do
      if key ~= "other" then
        local found = assert(s.version(key, value), "a wrong value")
        assert(version == nil or found == version, "of two moments")
        version = found
        count = (count or 0) + 1
      end
    end
    assert(count == nil or count == %d or s.action == "advance" or s.action == "any", "not all")
  ]]):format(order, prefix or "nil", prefix and 1 or 6))
end

operation("each", each "log")
operation("each by key", each "key")
operation("each by a prefix that is a number", each("log", 77))
operation("each by key and prefix", each("key", 77))

operation("keys", function(s)
  for _, order in ipairs { "log", "key" } do
    local following, it, _, closing <close> = s.db:keys { order = order } -- luacheck: ignore
    s.following, s.it = following, it
    for key in following, it do assert(s.may[key] or tonumber(key) == 777.5) end
  end
end)

operation("loops that are left", function(s)
  for _ in s.db:each(77) do break end -- luacheck: ignore 512
  for _ in s.db:keys { order = "key" } do break end -- luacheck: ignore 512
  local ok, err = pcall(function()
    for _ in s.db:each() do error { code = "mine" } end -- luacheck: ignore 512
  end)
  if not ok and err.code ~= "mine" then error(err, 0) end
end)

operation("stats", function(s)
  local stats = s.db:stats()
  assert(stats.keys <= 7 and stats.recovery.damaged == 0 and #stats.store_id == 32)
end)

operation("segments", function(s)
  local segments = s.db:segments()
  for i, segment in ipairs(segments) do
    assert(segment.rank == i - 1 and segment.sealed == (i < #segments))
  end
end)

operation("verify", function(s)
  local report = s.db:verify()
  assert(report.ok and #report.problems == 0 and report.keys <= 7)
end)

operation("backup", function(s)
  s.db:backup(s.path .. ".backup")
  local db <close> = s.open({}, s.path .. ".backup")
  local version
  for key, value in db:each() do
    local found = assert(s.version(key, value), "a wrong value")
    assert(version == nil or key == "other" or found == version, "of two moments")
    version = key ~= "other" and found or version
  end
end)

operation("sync and rotate", function(s)
  s.db:sync()
  s.db:rotate()
end)

operation("hint", function(s)
  s.db:rotate()
  local ok, err = pcall(s.db.hint, s.db, s.db:segments()[1].id)
  if not ok and err.code ~= "limit" then error(err, 0) end -- merged meanwhile
end)

-- Not begun while a finalizer's merge may have taken the ids away.
operation("rewrite", function(s)
  s.db:rotate()
  local ok, rewrite = pcall(s.db.rewrite, s.db, { s.db:segments()[1].id })
  if not ok and rewrite.code == "limit" then return end
  local rewriting <close> = ok and rewrite or error(rewrite, 0)
  s.rewriting = rewriting
  for record in rewriting:records() do
    assert(s.version(record.key, record.value), "a wrong value")
    assert(record.timestamp > 0 and record.expires == nil)
    rewriting:keep(record)
  end
  rewriting:commit()
  while rewriting:step(100) do assert(rewriting:progress().bytes > 0) end
end)

operation("transaction", function(s)
  local tx <close> = s.db:begin()
  local found = tx:get "s1"
  assert(not found or s.version("s1", found))
  for _, key in ipairs(s.keys) do tx:put(key, s.value(key, 2)) end
  tx:put(777.5, 2.125)
  tx:delete "other"
  tx:put("other", s.value("other", 2))
  for key, value in tx:each() do assert(s.version(tonumber(key) and "" or key, value), "a wrong value") end
  for _, key in ipairs(s.keys) do assert(tx:get(key) == s.value(key, 2)) end
  tx:commit()
end)

operation("transaction as a function", function(s)
  local results = table.pack(s.db:transaction(function(tx)
    for _, key in ipairs(s.keys) do tx:put(key, s.value(key, 2)) end
    tx:put(777.5, 2.125)
    return s.long, 777.5, tx:get "m1"
  end))
  assert(results.n == 3 and results[1] == s.long and results[3] == s.value("m1", 2))
end)

-- A finalizer's write beside it is refused.
operation("load", function(s)
  local i = 0
  local ok, err = pcall(s.db.load, s.db, function()
    i = i + 1
    if i <= #s.keys then return s.keys[i], s.value(s.keys[i], 2) end
    if i == #s.keys + 1 then return 777.5, 2.125 end
  end)
  if not ok and err.code ~= "conflict" then error(err, 0) end
end)

operation("merge", function(s)
  s.db:rotate()
  local ok, err = pcall(s.db.merge, s.db, { s.db:segments()[1].id }, { step = 100, progress = function() end })
  if not ok and err.code ~= "limit" then error(err, 0) end
end)

operation("open and close", function(s)
  local freyja = require "freyja"
  local path = s.path .. ".3"
  local db <close> = assert(freyja.open(path, s.options()))
  db:put(1, 2)
  local other <close> = assert(freyja.open(path))
  assert(other:get "1" == "2")
  db:close()
  local third, err = freyja.open(path, { segment_size = 12345 })
  assert(not third and err.code == "conflict" and err.path == path)
end)

operation("say what things are", function(s)
  local _, it = s.db:each()
  assert(tostring(s.db):find "^freyja.db %(" and tostring(it):find "^freyja.iterator %(")
end)

operation("raise", function(s)
  local ok, err = pcall(s.db.put, s.db, ("k"):rep(70000), "v")
  assert(not ok)
  if err.code ~= "limit" then error(err, 0) end
  assert(tostring(err):find "freyja: limit: ")
end)

operation("closed", function(s)
  s.db:close()
  s.db:get "s1"
end)

-- ---- the test --------------------------------------------------------------------------------

-- Runs the operation with the finalizer at `at` doing the action.
local function attempt(op, given)
  local result = machine.run {
    given = given,
    prelude = prelude,
    before = string.dump(before),
    run = string.dump(op.run),
    mend = string.dump(mend),
    after = string.dump(after),
  }
  local may_close = given.action == "close" or given.action == "reopen" or given.action == "any" or op.name == "closed"
    or given.action == "end a rewrite"
  if not result.wrong and result.kind ~= "ok" and not (may_close and result.kind == "closed") then
    result.wrong = ("it raised %s: %s"):format(result.kind, result.said)
  end
  if result.wrong then
    result.wrong = ("%s, %s, %s at finalizer %d: %s"):format(given.io, given.mode, given.action, given.at, result.wrong)
  end
  return result
end

-- Both kinds of input and output, and both kinds of collecting; all four pairs if there is time.
local PAIRS = {
  { "mmap", "incremental" }, { "syscall", "generational" }, { "mmap", "generational" }, { "syscall", "incremental" },
}

-- Every action at every place, or at each second one, in the pair that comes next at the others;
-- returns the number of places and what went wrong first.
local function sweep(run, op, pair)
  local io, mode = PAIRS[pair][1], PAIRS[pair][2]
  local places = 0
  local step = run.only and 1 or ({ quick = 7, normal = 2, full = 1 })[run.size]
  for _, action in ipairs(ACTIONS) do
    for at = pair % step + 1, PLACES_MAX, step do
      local given = { path = run.path(), io = io, mode = mode, action = action, at = at }
      local result = attempt(op, given)
      if result.wrong then return places, result.wrong end
      if tonumber(result.result) < at then break end
      places = places + 1
    end
  end
  return places
end

-- At random; `at` is the seed.
local function shake(run, op, io)
  for seed = 1, ({ quick = 1, normal = 5, full = 200 })[run.size] do
    local given = { path = run.path(), io = io, mode = "incremental", action = "any", at = seed }
    local wrong = attempt(op, given).wrong
    if wrong then return wrong end
  end
end

return function(run)
  for _, op in ipairs(operations) do
    local name = "finalizers run: " .. op.name
    if run.wants(name) then
      local places, wrong = 0, nil
      for i = 1, ({ quick = 1, normal = 2, full = 4 })[run.size] do
        local count, found = sweep(run, op, i)
        places = places + count
        wrong = wrong or found or shake(run, op, PAIRS[i][1])
      end
      run.tell(name, ("%d places"):format(places), wrong)
    end
  end
end
