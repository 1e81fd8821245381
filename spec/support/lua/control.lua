--- Wherever Lua code runs in a loop over our iterators, or under a call of ours: errors of every
--- kind, yields, jumps out, memory that ends, stacks that overflow, the store closed, the
--- iterator used up. Errors arrive unchanged, the next operation works and nothing is left.

local machine = require "machine"
local prelude = string.dump(require "spec.support.lua.prelude")

-- ---- places ------------------------------------------------------------------------------

-- DEED stands for a statement. `loop`: it may jump out; `called`: it runs under a C function of
-- ours, where Lua cannot yield, `boundary`: under one of Lua's; `unseen`: an error there does not get
-- out (a finalizer); `harmless`: the store may be closed there.
local PLACES = {
  { name = "each", loop = true, [[for k, v in db:each() do n = n + 1 DEED end]] },
  { name = "each by key", loop = true, [[for k, v in db:each { order = "key" } do n = n + 1 DEED end]] },
  { name = "keys", loop = true, [[for k in db:keys "s" do n = n + 1 DEED end]] },
  { name = "a loop in a loop", loop = true, [[
    for k in db:keys() do
      for k, v in db:each { order = "key" } do n = n + 1 DEED end
    end]] },
  { name = "behind an inner loop", loop = true, [[
    for k in db:keys() do
      for k, v in db:each() do n = n + 1 if n > 1 then break end end
      DEED
    end]] },
  { name = "a function called in a loop", [[
    for k in db:each() do n = n + 1 local ok = (function() DEED end)() end]] },
  { name = "pcall in a loop", [[
    for k in db:each() do
      n = n + 1
      local ok, err = pcall(function() DEED end)
      if not ok then error(err, 0) end
    end]] },
  { name = "a variable closed in a loop", [[
    local closing = setmetatable({}, { __close = function() DEED end })
    for k in db:each() do n = n + 1 local c <close> = closing end]] },
  { name = "a variable closed by break", harmless = true, [[
    local closing = setmetatable({}, { __close = function() DEED end })
    for k in db:each() do n = n + 1 local c <close> = closing break end]] },
  { name = "behind a store in its scope", harmless = true, [[
    local other <close> = assert(require "freyja".open(s.path .. ".2", s.options()))
    other:put(1, 2)
    for k in other:each() do n = n + 1 local c <const> = (function() DEED end)() end]] },
  { name = "a callback of Lua's in a loop", boundary = true, [[
    for k in db:each() do n = n + 1 local _ = ("x"):gsub("x", function() DEED end) end]] },
  { name = "each of a transaction", loop = true, [[
    local tx <close> = db:begin()
    tx:put("s1", s.value("s1", 2))
    for k, v in tx:each() do n = n + 1 DEED end
    tx:commit()]] },
  { name = "a transaction's function", [[
    db:transaction(function(tx) n = n + 1 tx:put("s1", s.value("s1", 2)) DEED end)]] },
  { name = "the index of a list of keys", called = true, [[
    local keys = setmetatable({}, { __len = function() return 2 end, __index = function(_, i)
      n = n + 1 DEED return "s" .. i end })
    local found = db:get_many(keys)
    assert(s.version("s1", found.s1) and s.version("s2", found.s2))]] },
  { name = "the length of a list of keys", called = true, [[
    local keys = setmetatable({ "s1", "s2" }, { __len = function() n = n + 1 DEED return 2 end })
    db:get_many(keys)]] },
  { name = "the text of an error's code", called = true, [[
    local ok, err = pcall(db.put, db, ("k"):rep(70000), "v")
    err.code = setmetatable({}, { __tostring = function() n = n + 1 DEED return "mine" end })
    assert(tostring(err):find "freyja: mine: ")
    db:get "s1"]] },
  { name = "a finalizer under get_many", unseen = true, [[
    collectgarbage("setpause", 0)
    collectgarbage("incremental", 0, 1000, 40)
    collectgarbage()
    setmetatable({}, { __gc = function() n = n + 1 DEED end })
    for i = 1, 20 do db:get_many { "s1", i } end]] },
  { name = "a finalizer under each", unseen = true, [[
    collectgarbage("setpause", 0)
    collectgarbage("incremental", 0, 1000, 40)
    collectgarbage()
    setmetatable({}, { __gc = function() n = n + 1 DEED end })
    for i = 1, 20 do for k, v in db:each(i) do end end]] },
}

-- ---- deeds -------------------------------------------------------------------------------

-- What is expected: "thrown" (the error arrives unchanged), "ok", or a part of the message or code.
local JUMPS = {
  { name = "break", source = "break", expect = "ok" },
  { name = "goto", source = "goto out", expect = "ok" },
  { name = "return", source = "do return end", expect = "ok" },
}

local DEEDS = {
  { name = "nothing", expect = "ok" },
  { name = "error string", expect = "thrown" },
  { name = "error nil", expect = "thrown" },
  { name = "error false", expect = "thrown" },
  { name = "error table", expect = "thrown" },
  { name = "error that cannot be printed", expect = "thrown" },
  { name = "error object of ours", expect = "limit" },
  { name = "memory error", expect = "not enough memory" },
  { name = "stack overflow", expect = "stack overflow" },
  { name = "C stack overflow", expect = "stack overflow" },
  { name = "yield", expect = "yield" },
  { name = "close the store", expect = "closed" },
  { name = "close and reopen the store", expect = "closed" },
  { name = "write", expect = "ok" },
  { name = "delete everything", expect = "ok" },
  { name = "rotate", expect = "ok" },
  { name = "collect", expect = "ok" },
  { name = "leave many iterators", expect = "ok" },
  { name = "close the running coroutine", expect = "cannot close a running coroutine" },
}

local CONTEXTS = {
  yield = { "main", "resumed", "closed", "left" },
  ["stack overflow"] = { "resumed" }, -- it takes long
  others = { "main", "resumed" },
}

-- ---- the chunks --------------------------------------------------------------------------

local function before(s)
  s.begin("s1", "s2", "m1")
  for _, key in ipairs { "s1", "s2", "m1" } do s.allow(key, 0, 2) end
  local deeds = {}

  local function throw(name, value)
    deeds[name] = function()
      s.thrown = value
      error(value, 0)
    end
  end

  throw("error string", "boom")
  throw("error nil", nil)
  throw("error false", false)
  throw("error table", { code = "mine" })
  throw("error that cannot be printed", setmetatable({}, { __tostring = function() error "no" end }))

  deeds["error object of ours"] = function() s.db:put(("k"):rep(70000), "v") end
  deeds["memory error"] = function() return ("x"):rep((1 << 30) + 1) end

  deeds["stack overflow"] = function()
    local function deeper() return 1 + deeper() end
    return deeper()
  end

  -- Through C functions of ours.
  deeds["C stack overflow"] = function()
    local keys
    local function deeper() return s.db:get_many(keys) end
    keys = setmetatable({}, { __len = deeper })
    return deeper()
  end

  deeds["yield"] = function() coroutine.yield() end
  deeds["close the store"] = function() s.db:close() end

  deeds["close and reopen the store"] = function()
    s.db:close()
    s.db = s.open()
    s.db:put("s1", s.value("s1", 2))
  end

  deeds["write"] = function()
    for _, key in ipairs { "s1", "s2", "m1" } do s.db:put(key, s.value(key, 2)) end
  end

  deeds["delete everything"] = function()
    for key in s.db:keys() do s.db:delete(key) end
  end

  deeds["rotate"] = function() s.db:rotate() end
  deeds["collect"] = function() collectgarbage() end

  deeds["leave many iterators"] = function()
    for _ = 1, 50 do
      local following, it = s.db:each { order = "key" }
      following(it)
    end
  end

  deeds["close the running coroutine"] = function() assert(coroutine.close((coroutine.running()))) end

  s.deed = function()
    if deeds[s.does] and not s.done then
      s.done = s.does ~= "yield" -- which can be done again
      deeds[s.does]()
    end
  end
end

-- Runs the place's code in the context and returns what became of it.
local function run(s)
  local code = assert(load(s.source, "=place"))
  local threads = { main = false, resumed = true, closed = true, left = true }
  if not threads[s.context] then
    local ok, err = pcall(code, s, s.db)
    return s.outcome(ok, err)
  end
  s.co = coroutine.create(code)
  local ok, err
  repeat
    ok, err = coroutine.resume(s.co, s, s.db)
    if coroutine.status(s.co) == "suspended" then
      s.yields = (s.yields or 0) + 1
      assert(s.db:get "m1") -- the store can be used meanwhile
      if s.context == "closed" then
        assert(coroutine.close(s.co))
        assert(s.db:stats().iterators == 0)
      end
      if s.context ~= "resumed" then return "yield" end
    end
  until coroutine.status(s.co) == "dead"
  if s.yields then return ok and "yield" or s.outcome(ok, err) end
  return s.outcome(ok, err)
end

local function with_outcome(s)
  function s.outcome(ok, err)
    if ok then return "ok" end
    if s.done and rawequal(err, s.thrown) then return "thrown" end
    if type(err) == "table" then return tostring(err.code) end
    return tostring(err)
  end
end

-- With `s.keep` the coroutine is left to the end of the state.
local function mend(s)
  collectgarbage("setpause", 200)
  collectgarbage "incremental"
  if s.context == "left" then
    Left = s.co -- luacheck: ignore 111
    if s.is_open(s.db) then s.db:close() end -- its loop is over, then
  end
end

-- ---- the test --------------------------------------------------------------------------------

local function expected(place, deed, context)
  if place.harmless and deed.expect == "closed" then return "ok" end
  if place.unseen then return deed.expect == "closed" and "closed" or "ok" end
  if deed.name == "close the running coroutine" and context == "main" then return "cannot close a running coroutine" end
  if deed.name ~= "yield" then return deed.expect end
  if context == "main" then return "outside a coroutine" end
  return (place.called or place.boundary) and "C-call boundary" or "yield"
end

local function attempt(run_, place, deed, context)
  local source = place[1]:gsub("DEED", deed.source or "s.deed()")
  local result = machine.run {
    given = {
      path = run_.path(), io = "mmap", does = deed.name, context = context,
      source = "local s, db = ... local n = 0 do " .. source .. " end ::out:: assert(n > 0)",
    },
    prelude = prelude,
    before = string.dump(before),
    describe = string.dump(with_outcome),
    run = string.dump(run),
    mend = string.dump(mend),
    after = string.dump(function(s) s.check() end),
  }
  local want = expected(place, deed, context)
  if result.wrong then return result.wrong end
  if result.kind ~= "ok" then return result.said end
  if not result.said:find(want, 1, true) then return ("expected %s, got %s"):format(want, result.said) end
end

return function(run_)
  local turn, step = 0, run_.size == "quick" and 5 or 1
  for _, place in ipairs(PLACES) do
    local name = "control leaves: " .. place.name
    if run_.wants(name) then
      local count, wrong = 0, nil
      for _, deeds in ipairs { DEEDS, place.loop and JUMPS or {} } do
        for _, deed in ipairs(deeds) do
          local contexts = CONTEXTS[deed.name] or CONTEXTS.others
          for _, context in ipairs(contexts) do
            turn = turn + 1
            local found = not wrong and turn % step == 0 and attempt(run_, place, deed, context)
            if found then wrong = ("%s, %s: %s"):format(deed.name, context, found) end
            if turn % step == 0 then count = count + 1 end
          end
        end
      end
      run_.tell(name, ("%d ways"):format(count), wrong)
    end
  end
end
