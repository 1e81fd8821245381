-- Goal: maintenance that runs by itself does what its policy says, a part at each of many writes, and nothing of it,
-- whatever the policy does, reaches the program.
-- Method: stores of small segments, with policies that note what they see, or that go wrong. Steps come with bytes
-- written, so nothing here depends on time.
local freyja = require "freyja"
local store = require "spec.support.store"
local tmp = require "spec.support.tmp"

local contents <const>, error_of <const> = store.contents, store.error_of

local SEGMENT <const> = 64 << 10
local VALUE <const> = ("v"):rep(100)

describe("maintenance that runs by itself", function()
  local dir, db
  require("spec.support.leaks").watch(before_each, after_each, function() dir = tmp.fast_dir() end, function()
    if db then db:close() end
    db = nil
    getmetatable(dir).__close(dir)
  end)

  local function open(options)
    local all = { segment_size = SEGMENT, sync = "none" }
    for name, value in pairs(options or {}) do all[name] = value end
    db = assert(freyja.open(dir.path .. "/db", all))
    return db
  end

  local writer <const> = store.writer(VALUE)
  local function write(bytes, keys) writer(db, bytes, keys) end

  --- Writes until the condition holds; false if that takes too long.
  local function write_until(condition, keys)
    for _ = 1, 400 do
      if condition() then return true end
      write(SEGMENT // 2, keys)
    end
    return false
  end

  local function report() return db:stats().maintenance end

  it("gives space back while a program does nothing but write", function()
    open()
    local most = 0
    for _ = 1, 100 do
      write(SEGMENT, 2000)
      local stats = db:stats()
      most = math.max(most, stats.bytes + stats.pending_bytes - SEGMENT)
    end
    assert.is_true(most < 3 * db:stats().live_bytes, ("%d of %d live"):format(most, db:stats().live_bytes))
    assert.is_true(report().merges > 2 and report().read > report().written and report().written > 0)
    assert.equal("auto", report().mode)
    assert.equal("dead_ratio", report().policy)
    assert.is_nil(report().error)
    local before = contents(db)
    assert.is_true(db:verify().ok)
    db:close()
    assert.same(before, contents(open()))
  end)

  it("does nothing if it is to be called", function()
    open { maintenance = "manual" }
    write(20 * SEGMENT)
    assert.is_true(#db:segments() >= 20)
    assert.equal("manual", report().mode)
    assert.equal(0, report().merges)
    assert.is_true(db:maintain().merges > 0)
  end)

  it("leaves no file behind that a merge has replaced when the store is closed", function()
    for round = 1, 60 do
      open { maintenance = round == 1 and "manual" or "auto" }
      for i = 1, 300 + round do db:put("key" .. i % 97, VALUE .. round) end
      local known = #db:segments()
      db:close()
      local files = 0
      for _, name in ipairs(tmp.list(dir.path .. "/db")) do files = files + (name:find "%.data$" and 1 or 0) end
      assert.is_true(files <= known + 1, ("%d files of %d segments"):format(files, known))
    end
  end)

  it("goes on in programs that write a little each time", function()
    open { maintenance = "manual" }
    write(20 * SEGMENT)
    for _ = 1, 300 do
      db:close()
      open()
      db:put("key", "value")
    end
    assert.is_true(#db:segments() < 10, #db:segments() .. " segments")
  end)

  it("writes hint files of what is sealed and what is merged", function()
    open()
    assert.is_true(write_until(function()
      local hinted, merged = 0, 0
      for _, segment in ipairs(db:segments()) do
        if segment.has_hint then hinted = hinted + 1 end
        if segment.has_hint and segment.merged then merged = merged + 1 end
      end
      return hinted > merged and merged > 0
    end, 3000))
  end)

  it("tells of all that there was when the store was opened, while little is written", function()
    open { maintenance = "manual" }
    write(20 * SEGMENT, 100000)
    db:close()
    local told = 0
    open { policy = { plan = function() return {} end, hint = function(_, event)
      if event == "seal" then told = told + 1 end
    end } }
    local sealed = #db:segments() - 1
    for i = 1, 1000 do db:put("new" .. i, "") end
    assert.is_true(told >= sealed and sealed >= 20, ("%d of %d"):format(told, sealed))
  end)

  it("calls a hook of the policy once for each event", function()
    local events = {}
    local policy = { name = "own", plan = function() return {} end }
    function policy.hint(own, event, segment)
      assert(event == "close" or own:get "key1")
      events[#events + 1] = event .. (segment and segment.id or "")
    end
    open { policy = policy }
    assert.is_true(write_until(function() return #events >= 4 end))
    local stats = db:stats().maintenance
    assert.equal("own", stats.policy)
    assert.is_nil(stats.error)
    db:close()
    db:close()
    assert.equal("close", table.remove(events))
    local sealed = {}
    for _, event in ipairs(events) do
      assert.is_true(event == "idle" or not sealed[event], event)
      sealed[event] = true
    end
    assert.is_true(sealed.seal1 and sealed.seal2 and sealed.idle)
  end)

  it("closes whatever the hook does", function()
    open { policy = { plan = function() return {} end, hint = function() error "oh" end } }
    write(3 * SEGMENT)
    assert.matches("oh", report().error)
    db:close()
    do
      local own <close> = open()
      own:put("in a scope", "v")
    end
    assert.equal("freyja.db (closed)", tostring(db))
    local before
    open { policy = { plan = function() return {} end, hint = function(own) before = #own; db:close() end } }
    db:close()
    assert.equal(301, before)
  end)

  it("tells of what is wrong with a policy, waits longer each time, and never fails a write", function()
    local calls = 0
    local function policy() calls = calls + 1 error("wrong " .. calls) end
    open { policy = policy }
    write(100 * SEGMENT)
    assert.matches("wrong", report().error)
    assert.is_true(report().failures == calls and calls > 2 and calls < 20, calls .. " calls")
    assert.is_true(db:verify().ok)
  end)

  it("costs a part of the time, whatever the policy asks for", function()
    local wrong = {
      { "ids that are none", function() return { { ids = { 99999 } } } end },
      { "no list", function() return 1 end },
      { "the active segment", function(segments) return { { ids = { segments[#segments].id } } } end },
      { "a script that yields what it likes", { merge = function() for i = 1, 1000 do coroutine.yield(i) end end } },
      { "a script that loops for ever", { merge = function() while true do end end } }, -- luacheck: ignore 542
      { "a script that never yields", { merge = function(own)
        own:rotate()
        local rewrite <close> = own:rewrite { own:segments()[1].id }
        while rewrite:step(1 << 30) do end
        rewrite:commit()
        while rewrite:step() do end
      end } },
      { "a script that closes nothing", { merge = function(own) own:rewrite { own:segments()[1].id }:step(1) end } },
      { "a script that writes", { merge = function(own) for _ = 1, 1000 do own:put("written", VALUE) end end } },
      { "a script that merges in a coroutine of its own", { merge = function(own)
        coroutine.wrap(function() own:merge { own:segments()[1].id } end)()
      end } },
      { "the same for ever", function(segments) return { { ids = { segments[1].id } } } end },
    }
    for _, case in ipairs(wrong) do
      open { policy = case[2] }
      write(30 * SEGMENT)
      assert.is_true(report().read < 200 * SEGMENT, case[1])
      assert.equal(VALUE, db:get("key1"):sub(1, 100), case[1])
      assert.is_true(db:verify().ok, case[1])
      db:close()
    end
  end)

  it("is not driven by what a policy writes itself", function()
    local calls = 0
    open { policy = { merge = function(own)
      calls = calls + 1
      if calls > 1 then return end
      for i = 1, 3000 do own:put("by the policy " .. i, ("x"):rep(1000)) end
    end } }
    write(2 << 20)
    assert.is_true(calls > 0)
    assert.is_nil(report().error)
    assert.equal(0, report().failures)
  end)

  it("leaves the store to what the program itself does", function()
    open()
    local function is_under_way() return report().running and report().pending_bytes > 0 end
    local function begin() assert.is_true(write_until(is_under_way, 3000)) end
    local function first() return db:segments()[1].id end
    begin()
    db:merge { first() }
    begin()
    db:maintain()
    begin()
    do
      local rewrite <close> = db:rewrite { first() }
      assert.is_true(rewrite:step(1))
      write(20 * SEGMENT, 3000) -- meanwhile it waits
      assert.is_nil(report().error)
      assert.matches("another rewrite", tostring(error_of(db.rewrite, db, { first() })))
      while rewrite:step() do end
      rewrite:commit()
    end
    begin()
    db:backup(dir.path .. "/backup")
    begin()
    assert.is_true(db:verify().ok)
    local before = contents(db)
    assert.is_nil(report().error)
    begin()
    for _, segment in ipairs(db:segments()) do
      if segment.sealed then db:hint(segment.id) end
    end
    db:close()
    open()
    for key in pairs(before) do assert(db:has(key)) end
    assert.is_true(db:verify().ok)
  end)

  it("goes on soon after a merge of the program's, and never has less than nothing to do", function()
    open()
    write(2 * SEGMENT)
    for _ = 1, 20 do
      db:merge { db:segments()[1].id }
      local merges = report().merges
      for _ = 1, 30 do
        write(SEGMENT // 4)
        assert.is_true(report().pending_bytes >= 0)
      end
      assert.is_true(report().merges > merges)
    end
  end)

  it("runs wherever a write comes from", function()
    open()
    local function in_coroutine() coroutine.wrap(function() write(SEGMENT) end)() end
    local function in_loops()
      for _ in db:each() do for _ in db:keys() do write(SEGMENT) break end break end -- luacheck: ignore 512
    end
    local function in_a_finalizer()
      setmetatable({}, { __gc = function() write(SEGMENT) end })
      collectgarbage()
    end
    local function deep(n)
      if n == 0 then write(SEGMENT) return end
      coroutine.wrap(function() deep(n - 1) end)()
    end
    local function in_comparisons()
      local written = false
      table.sort({ 1, 2, 3 }, function(a, b)
        if not written then write(SEGMENT) end
        written = true
        return a < b
      end)
    end
    for _, from in ipairs { in_coroutine, in_loops, in_a_finalizer, in_comparisons, function() deep(150) end } do
      local merges = report().merges
      for _ = 1, 40 do from() end
      assert.is_true(report().merges > merges)
    end
    assert.is_nil(report().error)
    assert.is_true(db:verify().ok)
  end)

  it("is not called by what a policy writes", function()
    local depth, deepest = 0, 0
    open { policy = { merge = function(own)
      depth = depth + 1
      deepest = math.max(deepest, depth)
      for _ = 1, SEGMENT // 64 do own:put("written", VALUE) end
      depth = depth - 1
    end } }
    write(10 * SEGMENT)
    assert.equal(1, deepest)
  end)

  it("survives a policy that closes the store", function()
    open { policy = { merge = function() db:close() end } }
    local err = error_of(write, 30 * SEGMENT)
    assert.equal("closed", err.code)
    open { maintenance = "manual" }
    assert.is_true(db:verify().ok)
  end)

  it("takes the options of a policy, and refuses what is none", function()
    local seen
    open { policy = function(_, settings) seen = settings.x return {} end, policy_settings = { x = 5 } }
    db:put("k", "v")
    assert.equal(5, seen)
    seen = nil
    db:maintain()
    assert.equal(5, seen)
    db:maintain(nil, { x = 6 })
    assert.equal(6, seen)
    db:close()
    for name, value in pairs { maintenance = "thread", policy = "none", policy_settings = 5, rate = 0 } do
      assert.matches("bad argument #2 to '[%w.]*open' %(option '" .. name .. "'",
        error_of(freyja.open, dir.path .. "/db", { [name] = value }))
    end
    assert.is_nil((freyja.open(dir.path .. "/none", { create = false })))
    open { readonly = true, policy = "never" }
    assert.is_nil(db:stats().maintenance)
  end)

  it("forgets what has expired", function()
    open()
    for i = 1, 2000 do db:put("key" .. i, VALUE, { ttl = 0.001 }) end
    write(100 * SEGMENT, 10) -- nothing is asked meanwhile that would count what has expired
    assert.is_true(#db:segments() <= 6, #db:segments() .. " segments")
    assert.equal(10, #db)
  end)
end)
