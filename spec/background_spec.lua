-- Goal: maintenance in a thread of its own does what its policy says, tells what goes wrong, gives way to the program,
-- and ends with the store, whatever its policy is doing.
-- Method: stores of small segments, and policies from modules that a test writes. What a thread does is waited for, for
-- as long as it takes.
local core = require "freyja.core"
local freyja = require "freyja"
local luv = require "luv"
local store = require "spec.support.store"
local tmp = require "spec.support.tmp"

local contents <const>, error_of <const> = store.contents, store.error_of

local SEGMENT <const> = 64 << 10
local VALUE <const> = ("v"):rep(100)
local MOST <const> = 30000 -- looks, a millisecond apart, before what is waited for never comes

describe("maintenance in the background", function()
  local dir, db, path_before
  require("spec.support.leaks").watch(before_each, after_each, function()
    dir = tmp.fast_dir()
    path_before = package.path
    package.path = dir.path .. "/?.lua;" .. package.path
  end, function()
    if db then db:close() end
    db = nil
    package.path = path_before
    getmetatable(dir).__close(dir)
  end)

  local function try_open(options)
    local all = { segment_size = SEGMENT, sync = "none", maintenance = "background" }
    for name, value in pairs(options or {}) do all[name] = value end
    return freyja.open(dir.path .. "/db", all)
  end

  local function open(options)
    db = assert(try_open(options))
    return db
  end

  --- A module that a policy's name stands for.
  local module_count = 0
  local function policy(text)
    module_count = module_count + 1
    local name = "background_spec." .. module_count
    luv.fs_mkdir(dir.path .. "/background_spec", 448)
    tmp.write(dir.path .. "/background_spec/" .. module_count .. ".lua", text)
    return name
  end

  local writer <const> = store.writer(VALUE)
  local function write(bytes, keys) writer(db, bytes, keys) end

  local function report() return db:stats().maintenance end

  local function await(what, condition)
    for _ = 1, MOST do
      local result = condition()
      if result then return result end
      core.sleep(db, 1000)
    end
    error("in vain: " .. what)
  end

  it("gives space back, and the program goes on meanwhile", function()
    open()
    for _ = 1, 100 do
      write(SEGMENT, 2000)
      local stats = db:stats()
      assert.is_true(stats.bytes + stats.pending_bytes < 3 * stats.live_bytes + 4 * SEGMENT, stats.bytes)
    end
    await("merges", function() return report().merges > 2 end)
    await("nothing to do", function() return not report().running end)
    assert.equal("background", report().mode)
    assert.equal("dead_ratio", report().policy)
    assert.is_nil(report().error)
    assert.is_true(report().read > report().written and report().written > 0)
    local before = contents(db)
    assert.is_true(db:verify().ok)
    db:close()
    assert.same(before, contents(open()))
  end)

  it("gives space back in files of the default size, too", function()
    db = assert(freyja.open(dir.path .. "/db", { maintenance = "background" }))
    for _ = 1, 6 do
      write(SEGMENT)
      db:rotate()
    end
    await("a merge", function() return report().merges > 0 end)
    await("nothing to do", function() return not report().running end)
    assert.is_nil(report().error)
    assert.equal(0, report().failures)
  end)

  it("works while nobody writes, too", function()
    open { maintenance = "manual" }
    write(20 * SEGMENT)
    db:close()
    open()
    await("fewer segments", function() return #db:segments() < 5 end)
    await("nothing to do", function() return not report().running end)
    local before = db:stats().bytes
    for i = 1, 1000 do db:put("expires" .. i, VALUE, { ttl = 0.5 }) end -- nobody wakes it then
    for _ = 1, 3 do db:rotate() end
    await("what has expired to go", function() return db:stats().bytes < before + 100 * #VALUE end)
  end)

  it("writes hint files", function()
    open()
    write(3 * SEGMENT, 100000)
    await("hint files", function()
      for _, segment in ipairs(db:segments()) do
        if segment.sealed and not segment.has_hint then return false end
      end
      return true
    end)
  end)

  it("hands the settings on, and the rate", function()
    local name = policy [[return {
      defaults = { low = 1 }, optional = { list = "table" },
      plan = function(_, settings)
        local list = settings.list
        error(("%d %s %s %s"):format(settings.low, list[2], list.deep.er, math.type(list[1])))
      end,
    }]]
    open { policy = name, policy_settings = { low = 7, list = { 1.0, "a\0b", deep = { er = true } } }, rate = 1e6 }
    write(2 * SEGMENT)
    local err = await("an error", function() return report().error end)
    assert.matches("7 a\0b true float$", err)
    assert.is_true(report().failures > 0)
  end)

  it("tells the program's next call of an error, once for each", function()
    local name = policy [[return { plan = function(segments)
      local text = "failure"
      if #segments > 3 then freyja = require "freyja" assert(freyja.open("/dev/null/none")) end
      error(text, 0)
    end }]]
    local told = {}
    open { policy = name, on_error = function(err) told[#told + 1] = err end }
    write(2 * SEGMENT)
    await("a call", function() return #told > 0 or db:get "none" end)
    assert.equal("failure", told[1])
    assert.equal("failure", report().error)
    write(4 * SEGMENT)
    local last = await("an error object", function()
      db:get "none"
      return type(told[#told]) == "table" and told[#told]
    end)
    assert.equal("io", last.code)
    assert.matches("^freyja: io: .*/dev/null/none", tostring(last))
  end)

  it("says nothing of an error behind what it has done already", function()
    local told = 0
    open { maintenance = "auto", policy = { plan = function() error "no plan" end }, on_error = function(err)
      told = told + 1
      error(err, 0)
    end }
    local done = 0
    for i = 1, 300 do
      local ok = pcall(db.transaction, db, function(tx)
        tx:put("tx", VALUE:rep(20) .. i)
        db:put("other", VALUE:rep(60)) -- with a step of maintenance, when its time has come
      end)
      if ok then done = i end
      local got, value = pcall(db.get, db, "tx")
      if got and done > 0 then assert.equal(VALUE:rep(20) .. done, value) end
    end
    assert.is_true(told > 0)
  end)

  it("raises what the callback raises, and then nothing has been done", function()
    open {
      policy = policy [[return { plan = function() error "no plan" end }]],
      on_error = function(err) error(err, 0) end,
    }
    pcall(write, 2 * SEGMENT)
    local value, err = 0, nil
    while not pcall(db.put, db, "k", "0") do core.sleep(db, 1000) end
    for _ = 1, MOST do
      value = value + 1
      local ok, why = pcall(db.put, db, "k", tostring(value))
      if not ok then err = why break end
      core.sleep(db, 1000)
    end
    assert.matches("no plan", err)
    assert.equal(tostring(value - 1), db:get "k")
  end)

  it("tells on the thread that writes, too, where that does the maintenance", function()
    local told = {}
    open { maintenance = "auto", on_error = function(err) told[#told + 1] = err end,
      policy = { plan = function() error("no plan", 0) end } }
    write(3 * SEGMENT)
    assert.equal("no plan", told[1])
    assert.is_true(db:get "key1" ~= nil)
    assert.is_true(#told <= report().failures)
  end)

  it("gives way to the program's merges, loads and transactions", function()
    open()
    local names <const> = { "put", "merge", "load", "transaction", "backup" }
    for round = 1, 60 do
      write(SEGMENT, 1000)
      local kind = names[round % #names + 1]
      if kind == "merge" then
        local ids = {}
        for _, segment in ipairs(db:segments()) do if segment.sealed then ids[#ids + 1] = segment.id end end
        local ok, err = pcall(db.merge, db, ids) -- one of them may be gone by now
        assert(ok or err.code == "conflict" or tostring(err):find "segment", tostring(err))
      elseif kind == "load" then
        local i = 0
        db:load(function() i = i + 1 if i <= 100 then return "loaded" .. i, VALUE .. round end end)
      elseif kind == "transaction" then
        db:transaction(function(tx) for i = 1, 50 do tx:put("tx" .. i, VALUE .. round) end end)
      elseif kind == "backup" then
        db:backup(dir.path .. "/backup" .. round)
      end
    end
    assert.is_nil(report().error)
    assert.is_true(db:verify().ok)
    assert.equal(1150, #db)
  end)

  it("looks again when what its policy has chosen is gone", function()
    local function path(name) return ("%s/%s"):format(dir.path, name) end
    open { policy = policy(([[
      local core = require "freyja.core"
      local rounds = 0
      local function leave(name) assert(io.open(%q .. name, "w")):close() end
      return { merge = function(db)
        rounds = rounds + 1
        if rounds > 1 then return leave "again" end
        local ids = {}
        for _, segment in ipairs(db:segments()) do if segment.sealed then ids[#ids + 1] = segment.id end end
        leave "chosen"
        while not io.open(%q) do core.did() end
        db:merge(ids)
      end }]]):format(path "", path "merged")) }
    write(3 * SEGMENT, 10)
    await("the policy to choose", function() return tmp.exists(path "chosen") end)
    for _, segment in ipairs(db:segments()) do
      if segment.sealed then db:merge { segment.id } end
    end
    tmp.write(path "merged", "")
    await("another look", function() return tmp.exists(path "again") end)
    assert.is_nil(report().error)
    assert.equal(0, report().failures)
  end)

  it("ends with the store, whatever its policy does", function()
    for _, body in ipairs {
      "while true do end",
      "while true do pcall(function() while true do end end) end",
      "while true do coroutine.wrap(function() while true do end end)() end",
      "while true do pcall(table.sort, { 1, 2, 3 }, function() while true do end end) end",
      "local t <close> = setmetatable({}, { __close = function() error 'closed' end }) while true do end",
      "while true do db:segments() end",
      "while true do require('freyja.core').did() end",
      "while true do db:maintain('never') end",
    } do
      local begun = dir.path .. "/begun"
      os.remove(begun)
      open { policy = policy(([[local db return { merge = function(d)
        db = d
        assert(io.open(%q, "w")):close()
        %s
      end, hint = function(_, event) while event == "close" do end end }]]):format(begun, body)) }
      write(2 * SEGMENT, 10)
      await("the policy to begin", function() return tmp.exists(begun) end)
      local before = contents(db)
      db:close()
      db = assert(freyja.open(dir.path .. "/db", { maintenance = "manual" }))
      assert.same(before, contents(db))
      db:close()
    end
  end)

  it("ends with a store that is collected, and with the Lua state", function()
    open { maintenance = "manual" }
    write(20 * SEGMENT)
    db:close()
    for _ = 1, 20 do
      open()
      db = nil
      collectgarbage()
    end
    if os.getenv "FREYJA_CONFIG" == "tsan" then return end -- its runtime and shells do not get along
    local script = ([[
      package.path = %q
      local db = assert(require("freyja").open(%q, { maintenance = "background" }))
      for i = 1, 1000 do db:put("key" .. i, ("v"):rep(1000)) end
      %s]])
    for _, ending in ipairs { "", "os.exit(true, true)", "os.exit(true, false)", "error 'at the end'" } do
      tmp.write(dir.path .. "/script.lua", script:format(package.path, dir.path .. "/db", ending))
      local _, why, status = os.execute(("lua5.4 '%s/script.lua' >'%s/out' 2>&1"):format(dir.path, dir.path))
      assert.equal("exit", why)
      assert.equal(ending:find "^error" and 1 or 0, status, tmp.read(dir.path .. "/out"))
    end
    assert.equal(1001, #open())
  end)

  it("is one thread's at a time where several have the store open", function()
    open()
    local paths, cpaths = package.path, package.cpath
    local thread = luv.new_thread(function(where, lua_path, c_path)
      package.path, package.cpath = lua_path, c_path
      local own <close> = assert(require("freyja").open(where, { maintenance = "background" }))
      for i = 1, 20000 do own:put("key" .. i % 300, ("w"):rep(100) .. i) end
    end, dir.path .. "/db", paths, cpaths)
    write(20 * SEGMENT)
    thread:join()
    assert.is_nil(report().error)
    assert.equal(300, #db)
    assert.is_true(db:verify().ok)
  end)

  it("is nothing for a read-only handle", function()
    open { maintenance = "manual" }
    db:put("k", "v")
    db:close()
    open { readonly = true }
    assert.is_nil(report())
    assert.equal("v", db:get "k")
  end)

  it("refuses at the open what another Lua state cannot have", function()
    local function why(options)
      options.maintenance = "background"
      return error_of(freyja.open, dir.path .. "/db", options)
    end
    assert.matches("bad argument #2 to '[%w.]*open' %(option 'policy' must be a module's name",
      why { policy = function() return {} end })
    assert.matches("option 'policy' must be a module's name", why { policy = { plan = print } })
    assert.matches("option 'policy_settings': a function is no plain value",
      why { policy = policy "return { plan = print }", policy_settings = { print } })
    local cycle = {}
    cycle[1] = cycle
    assert.matches("option 'policy_settings': tables are nested too deeply",
      why { policy = policy "return { plan = print }", policy_settings = cycle })
    assert.matches("option 'on_error' must be a function", why { on_error = "print" })
    assert.matches('option \'maintenance\' must be "auto", "background" or "manual"',
      error_of(freyja.open, dir.path .. "/db", { maintenance = "thread" }))
  end)

  it("refuses a module that the other Lua state does not find", function()
    package.preload["background_spec.own"] = function() return { plan = function() return {} end } end
    local found, err = try_open { policy = "background_spec.own" }
    package.preload["background_spec.own"] = nil
    assert.is_nil(found)
    assert.equal("io", err.code)
    assert.matches("background_spec.own", err.message)
    open { maintenance = "manual" } -- nothing was left of it
  end)
end)
