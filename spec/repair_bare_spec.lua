-- Goal: a repair without a MANIFEST tells what was committed from what was not: no half of a transaction,
-- nothing of a bulk load that was not finished, nothing that a merge's filter has dropped or changed. And with
-- a MANIFEST that is older than a bulk load nothing is opened.
-- Method: folders copied in the middle of it, as a kill leaves them; the MANIFEST is removed or put back.
local freyja = require "freyja"
local store = require "spec.support.store"
local tmp = require "spec.support.tmp"

local MANUAL <const> = { maintenance = "manual", segment_size = 4096 }

--- Takes a data file's marks away, as a crash or a full disk does that comes between the claims of several.
local function disown(file)
  local bytes = tmp.read(file)
  tmp.write(file, bytes:sub(1, 64) .. ("\0"):rep(32) .. bytes:sub(97))
end

describe("without the MANIFEST", function()
  local dir, path, killed

  local function copy() tmp.copy_dir(path, killed) end

  --- What a writer finds in what a kill left, and what a repair saves of it without its MANIFEST.
  local function both()
    local found
    do
      tmp.copy_dir(killed, killed .. "-open")
      local db <close> = assert(freyja.open(killed .. "-open", MANUAL))
      found = store.contents(db)
    end
    os.remove(killed .. "/MANIFEST")
    local report = freyja.repair(killed, { to = killed .. "-new" })
    local db <close> = assert(freyja.open(killed .. "-new"))
    return found, store.contents(db), report
  end

  require("spec.support.leaks").watch(before_each, after_each, function()
    dir = tmp.fast_dir()
    path, killed = dir.path .. "/db", dir.path .. "/killed"
  end, function() getmetatable(dir).__close(dir) end)

  it("a repair leaves out a bulk load that was not finished, and says so", function()
    do
      local db <close> = assert(freyja.open(path, MANUAL))
      db:put("a", "1")
      db:put("b", "1")
      db:rotate()
      db:merge { db:segments()[1].id } -- nothing is written between it and the load
      local n = 0
      pcall(db.load, db, function()
        n = n + 1
        if n == 50 then
          copy()
          error "stop"
        end
        return n == 1 and "a" or "x" .. n, ("loading"):rep(30)
      end)
      assert.equal(50, n)
    end
    local found, saved, report = both()
    assert.same({ a = "1", b = "1" }, found)
    assert.same(found, saved)
    assert.equal(0, report.doubtful_keys)
    local told = 0
    for _, problem in ipairs(report.problems) do
      if problem.message:find "bulk load" and problem.path:find "%.data$" then told = told + 1 end
    end
    assert.is_true(told > 0)
  end)

  it("a repair takes a bulk load that was", function()
    do
      local db <close> = assert(freyja.open(path, MANUAL))
      db:put("a", "1")
      db:load(pairs { a = "2", x = "2" })
      db:put("b", "3")
      db:sync()
      copy()
    end
    local found, saved, report = both()
    assert.same({ a = "2", x = "2", b = "3" }, found)
    assert.same(found, saved)
    assert.equal(1, #report.problems)
  end)

  it("a repair drops what a filter has dropped, though the files that it replaced are still there", function()
    do
      local db <close> = assert(freyja.open(path, MANUAL))
      db:put("secret", "old")
      db:put("changed", "old")
      db:put("kept", "old")
      db:rotate()
      db:put("last", "new")
      local step, state <close> = db:each() -- the inputs stay as long as it does
      step(state)
      do
        local rewrite <close> = db:rewrite { db:segments()[1].id }
        for record in rewrite:records() do
          if record.key == "changed" then record.value = "new" end
          if record.key == "secret" then rewrite:drop(record) else rewrite:keep(record) end
        end
        rewrite:commit()
      end
      copy()
    end
    assert.is_true(tmp.exists(killed .. "/1.data"))
    local found, saved, report = both()
    assert.same({ changed = "new", kept = "old", last = "new" }, found)
    assert.same(found, saved)
    assert.same({ 0, 0 }, { report.lost_keys, report.doubtful_keys })
  end)

  it("a repair saves what a damaged copy has lost from the file that it replaced", function()
    do
      local db <close> = assert(freyja.open(path, MANUAL))
      for i = 1, 5 do db:put("key" .. i, "value" .. i) end
      db:rotate()
      local step, state <close> = db:each()
      step(state)
      db:merge { db:segments()[1].id }
      copy()
    end
    store.flip(killed .. "/3.data", (128 + 24) * 8) -- the key of its first record
    os.remove(killed .. "/MANIFEST")
    local report = freyja.repair(killed, { to = killed .. "-new" })
    local db <close> = assert(freyja.open(killed .. "-new"))
    assert.equal(5, report.keys)
    assert.equal(5, report.doubtful_keys)
    for i = 1, 5 do assert.equal("value" .. i, db:get("key" .. i)) end
  end)

  --- The data files that came by `act`.
  local function made_by(act)
    local there, made = {}, {}
    for _, name in ipairs(tmp.list(path)) do there[name] = true end
    act()
    for _, name in ipairs(tmp.list(path)) do
      if not there[name] and name:find "%.data$" then made[#made + 1] = name end
    end
    return made
  end

  for _, claimed in ipairs { 1, 2 } do
    it("a repair takes all of a load of whose files one was claimed: " .. claimed, function()
      local files
      do
        local db <close> = assert(freyja.open(path, MANUAL))
        db:put("old", "1")
        db:rotate()
        local n = 0
        files = made_by(function()
          db:load(function()
            n = n + 1
            if n <= 60 then return "loaded" .. n, ("x"):rep(100) end
          end)
        end)
        copy()
      end
      assert.is_true(#files >= 2)
      for i, name in ipairs(files) do
        if i ~= claimed then disown(killed .. "/" .. name) end
      end
      local found, saved = both()
      assert.equal(("x"):rep(100), saved.loaded60)
      assert.same(found, saved)
    end)

    it("a repair loses nothing of a merge of whose files one was claimed: " .. claimed, function()
      local files
      do
        local db <close> = assert(freyja.open(path, MANUAL))
        for _ = 1, 10 do db:put("again", ("x"):rep(100)) end -- so that inputs and outputs end elsewhere
        for i = 1, 60 do db:put("key" .. i, ("x"):rep(100)) end
        db:rotate()
        local ids = {}
        for _, segment in ipairs(db:segments()) do
          if segment.sealed then ids[#ids + 1] = segment.id end
        end
        local step, state <close> = db:each() -- the inputs stay
        step(state)
        files = made_by(function() db:merge(ids) end)
        copy()
      end
      assert.is_true(#files >= 2)
      for i, name in ipairs(files) do
        if i ~= claimed then disown(killed .. "/" .. name) end
      end
      local found, saved, report = both()
      assert.equal(("x"):rep(100), saved.key60)
      assert.same(found, saved)
      assert.same({ 0, 0 }, { report.lost_keys, report.doubtful_keys })
    end)
  end

  it("a repair tells of what it takes for dropped", function()
    do
      local db <close> = assert(freyja.open(path, MANUAL))
      for _ = 1, 10 do db:put("again", ("x"):rep(100)) end -- so that inputs and outputs end elsewhere
      for i = 1, 60 do db:put("key" .. i, ("x"):rep(100)) end
      db:rotate()
      local ids = {}
      for _, segment in ipairs(db:segments()) do
        if segment.sealed then ids[#ids + 1] = segment.id end
      end
      local step, state <close> = db:each()
      step(state)
      local files = made_by(function() db:merge(ids) end)
      copy()
      os.remove(killed .. "/" .. files[#files]) -- with the MANIFEST: nothing tells that it was there
    end
    os.remove(killed .. "/MANIFEST")
    local report = freyja.repair(killed, { to = killed .. "-new" })
    local missing = 0
    for _, problem in ipairs(report.problems) do
      missing = missing + (tonumber(problem.message:match "; (%d+) keys that it did not copy") or 0)
    end
    assert.equal(61, report.keys + missing)
    assert.is_true(missing > 0)
  end)

  it("a repair takes no half of a transaction, whatever number a merge's file has", function()
    do
      local db <close> = assert(freyja.open(path, MANUAL))
      db:put("alice", "100")
      db:put("bob", "0")
      db:rotate()
      db:merge { db:segments()[1].id } -- 3.data; the log goes on in 2.data
      db:transaction(function(tx)
        tx:put("alice", "70")
        tx:put("bob", "30")
      end)
      copy()
    end
    local file = killed .. "/2.data"
    local bytes = tmp.read(file)
    local at = assert(bytes:find("bob30", 1, true)) - 24
    tmp.write(file, bytes:sub(1, at - 1) .. ("\0"):rep(32) .. bytes:sub(at + 32)) -- it did not reach the disk
    local found, saved, report = both()
    assert.same({ alice = "100", bob = "0" }, found)
    assert.same(found, saved)
    assert.equal(1, report.torn_records)
  end)
end)

describe("a MANIFEST that is older than a bulk load", function()
  it("is refused, and nothing is changed", function()
    local dir <close> = tmp.fast_dir()
    local path = dir.path .. "/db"
    local old
    do
      local db <close> = assert(freyja.open(path, MANUAL))
      db:put("before", "1")
      db:rotate()
      old = tmp.read(path .. "/MANIFEST")
      db:load(pairs { loaded = "1" })
    end
    tmp.write(path .. "/MANIFEST", old)
    local files = tmp.list(path)
    for _, readonly in ipairs { true, false } do
      local db, err = freyja.open(path, { readonly = readonly })
      assert.is_nil(db)
      assert.equal("corrupt", err.code)
      assert.matches("does not name 3.data", err.message, 1, true)
    end
    assert.same(files, tmp.list(path))
    assert.equal(old, tmp.read(path .. "/MANIFEST"))
    freyja.repair(path, { to = dir.path .. "/new" })
    local db <close> = assert(freyja.open(dir.path .. "/new"))
    assert.same({ before = "1", loaded = "1" }, store.contents(db))
  end)
end)

describe("a damaged store that is killed", function()
  local function spoil_short(path) tmp.write(path .. "/1.data", tmp.read(path .. "/1.data"):sub(1, -9)) end
  local function spoil_gone(path) os.remove(path .. "/1.data") end

  local function load(db, copy)
    local n = 0
    pcall(db.load, db, function()
      n = n + 1
      if n == 100 then
        copy()
        error "stop"
      end
      return "loaded" .. n, ("x"):rep(60)
    end)
  end

  local function merge(db, copy)
    local ids = {}
    for _, s in ipairs(db:segments()) do
      if s.sealed and s.rank > 1 then ids[#ids + 1] = s.id end
    end
    local rewrite <close> = db:rewrite(ids)
    while rewrite:step(500) do end
    copy()
  end

  for what, act in pairs { ["a bulk load"] = load, ["a merge"] = merge } do
    for how, spoil in pairs { short = spoil_short, missing = spoil_gone } do
      it(("in %s above a file that is %s opens again"):format(what, how), function()
        local dir <close> = tmp.fast_dir()
        local path, killed = dir.path .. "/db", dir.path .. "/killed"
        do
          local db <close> = assert(freyja.open(path, MANUAL))
          for file = 1, 3 do
            for i = 1, 10 do db:put(("%d-%d"):format(file, i), ("v"):rep(50)) end
            db:rotate()
          end
          db:put("last", "1")
        end
        spoil(path)
        do
          local db <close> = assert(freyja.open(path, MANUAL))
          db:put("more", "2")
          act(db, function() tmp.copy_dir(path, killed) end)
        end
        local before = #tmp.list(killed)
        local db <close> = assert(freyja.open(killed, MANUAL))
        assert.same({ "1", "2", nil }, { db:get "last", db:get "more" })
        assert.equal(("v"):rep(50), db:get "3-1")
        assert.is_true(#tmp.list(killed) < before) -- what was not finished is gone
        assert.has_error(function() return db:get "loaded1" end) -- nobody knows what the damaged file had
        local report = freyja.repair(path, { to = dir.path .. "/new" })
        assert.is_true(report.keys >= 20)
      end)
    end
  end
end)

describe("a backup by a reader of a store that was killed before its merge was through", function()
  it("has files of its own, of which a repair knows that they count", function()
    local dir <close> = tmp.fast_dir()
    local path, copy = dir.path .. "/db", dir.path .. "/copy"
    do
      local db <close> = assert(freyja.open(path, MANUAL))
      for i = 1, 5 do db:put("key" .. i, "value" .. i) end
      db:rotate()
      db:merge { db:segments()[1].id }
    end
    disown(path .. "/3.data")
    local before = tmp.read(path .. "/3.data")
    do
      local db <close> = assert(freyja.open(path, { readonly = true }))
      db:backup(copy)
    end
    assert.equal(before, tmp.read(path .. "/3.data"))
    for _, name in ipairs { "/MANIFEST", "/LOCK" } do os.remove(copy .. name) end
    local report = freyja.repair(copy, { to = dir.path .. "/new" })
    assert.same({ 5, 0, 0 }, { report.keys, report.lost_keys, report.doubtful_keys })
  end)
end)

describe("what a merge has replaced", function()
  local function spoil(how, file)
    local bytes = tmp.read(file)
    if how == "missing" then os.remove(file)
    elseif how == "short" then tmp.write(file, bytes:sub(1, -9))
    elseif how == "short and not claimed" then
      tmp.write(file, bytes:sub(1, -9))
      disown(file)
    else tmp.write(file, bytes:sub(1, 40) .. "\xff" .. bytes:sub(42)) end
  end

  for _, how in ipairs { "missing", "short", "short and not claimed", "header" } do
    it(("stays when what came in its place is damaged after a kill (%s), and repair has it"):format(how), function()
      local dir <close> = tmp.fast_dir()
      local path, killed = dir.path .. "/db", dir.path .. "/killed"
      do
        local db <close> = assert(freyja.open(path, MANUAL))
        for i = 1, 5 do db:put("key" .. i, "value" .. i) end
        db:rotate()
        local step, state <close> = db:each() -- the input stays
        step(state)
        db:merge { db:segments()[1].id }
        tmp.copy_dir(path, killed)
      end
      spoil(how, killed .. "/3.data")
      local before = { tmp.read(killed .. "/1.data"), how ~= "missing" and tmp.read(killed .. "/3.data") }
      do
        local db <close> = assert(freyja.open(killed, MANUAL))
        db:put("new", "1")
      end
      assert.same(before, { tmp.read(killed .. "/1.data"), how ~= "missing" and tmp.read(killed .. "/3.data") })
      os.remove(killed .. "/3.data")
      os.remove(killed .. "/MANIFEST")
      freyja.repair(killed, { to = killed .. "-new" })
      local db <close> = assert(freyja.open(killed .. "-new"))
      for i = 1, 5 do assert.equal("value" .. i, db:get("key" .. i)) end
      assert.equal("1", db:get "new")
    end)
  end
end)
