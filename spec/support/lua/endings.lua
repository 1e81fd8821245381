--- Lua states that end with everything open, in every order of creation and so of finalizing: a
--- store, an iterator over a transaction, a rewrite, a second store and a coroutine that is suspended in a loop and in
--- a rewrite, with a store of its own to be closed; referred to, dropped, in a cycle; and with a
--- finalizer of the program that uses them all and makes new ones. When the state is closed nothing
--- is left, and the stores hold what was written.

local machine = require "machine"
local prelude = string.dump(require "spec.support.lua.prelude")

local PARTS = { "store", "iterator", "rewrite", "second", "coroutine" }
local FATES = { "kept", "dropped", "collected", "in a cycle" }
local FINALIZERS = { "none", "older", "younger" }

local function permutations(list)
  local found = {}
  local function permute(rest, chosen)
    if #rest == 0 then found[#found + 1] = chosen end
    for i, item in ipairs(rest) do
      local others = table.move(rest, 1, #rest, 1, {})
      table.remove(others, i)
      permute(others, chosen .. " " .. item)
    end
  end
  permute(list, "")
  return found
end

local function run(s)
  s.begin("s1", "m1")
  local freyja = require "freyja"
  local all = {}

  local function open(name)
    local db = assert(freyja.open(s.path .. name, s.options()))
    for i = 1, 3 do db:put("s" .. i, s.value("s" .. i, 1)) end
    return db
  end

  -- A finalizer of the program's.
  local function arm(name)
    setmetatable({ all = all }, {
      __gc = function(self)
        for _, db in ipairs { self.all.store or s.db, self.all.second or s.db, s.db } do
          pcall(db.put, db, "s1", s.value("s1", 1))
          pcall(db.rotate, db)
          local ok, following, it = pcall(db.each, db)
          if ok then following(it) end
          pcall(tostring, db)
        end
        if self.all.iterator then pcall(s.following, self.all.iterator) end
        if self.all.tx then
          pcall(self.all.tx.put, self.all.tx, "never", "y")
          pcall(self.all.tx.each, self.all.tx)
        end
        if self.all.rewrite then
          pcall(self.all.rewrite.drop, self.all.rewrite, s.record)
          pcall(self.all.rewrite.step, self.all.rewrite)
        end
        if self.all.coroutine then pcall(coroutine.resume, self.all.coroutine) end
        local made = freyja.open(s.path .. name, s.options())
        Made = { Made, made, made and made:each(), made and select(2, made:keys()) } -- luacheck: ignore
        if name == ".4" then setmetatable({}, { __gc = function() error "made too late" end }) end
      end,
    })
  end

  local parts = {}
  function parts.store() return open ".1" end
  function parts.second() return open ".2" end
  function parts.iterator()
    local it
    all.tx = (all.store or all.second or s.db):begin()
    all.tx:put("never", "x")
    s.following, it = all.tx:each()
    assert(s.following(it))
    return it
  end
  -- Never committed: what it drops is not dropped.
  function parts.rewrite()
    s.db:rotate()
    local rewrite = s.db:rewrite { 1 }
    for record in rewrite:records() do
      if s.record then break end
      rewrite:drop(record)
      s.record = record
    end
    return rewrite
  end
  function parts.coroutine()
    local co = coroutine.create(function()
      local db <close> = open ".3"
      db:rotate()
      local rewrite <close> = db:rewrite { 1 }
      local tx <close> = db:begin()
      tx:put("never", "x")
      for _ in rewrite:records() do
        for key in (all.second or all.store or s.db):each() do coroutine.yield(key) end
      end
    end)
    assert(coroutine.resume(co))
    return co
  end

  if s.finalizer == "older" then arm ".4" end
  for name in s.order:gmatch "%a+" do all[name] = parts[name]() end
  if s.finalizer == "younger" then arm ".5" end
  if s.fate == "kept" then All = all end -- luacheck: ignore
  if s.fate == "in a cycle" then
    for _, part in pairs(all) do
      if type(part) == "userdata" then debug.setuservalue(part, all, 1) end
    end
    all.all = all
  end
  all = nil
  if s.fate == "collected" then collectgarbage() end
end

local function attempt(run_, order, fate, finalizer)
  local given = { path = run_.path(), io = "mmap", order = order, fate = fate, finalizer = finalizer }
  local result = machine.run { given = given, prelude = prelude, run = string.dump(run) }
  if not result.wrong and result.kind ~= "ok" then return result.said end
  result = result.wrong and result or machine.run {
    given = given, prelude = prelude, run = string.dump(function(t)
      t.allow("s1", 1)
      t.allow("m1", 1)
      t.db = t.open()
    end),
    after = string.dump(function(t) t.check() end),
  }
  return result.wrong or result.kind ~= "ok" and result.said or nil
end

return function(run_)
  local turn, step = 0, ({ quick = 17, normal = 4, full = 1 })[run_.size]
  for _, finalizer in ipairs(FINALIZERS) do
    local name = "the state ends, finalizers of the program: " .. finalizer
    if run_.wants(name) then
      local count, wrong = 0, nil
      for _, order in ipairs(permutations(PARTS)) do
        for _, fate in ipairs(FATES) do
          turn = turn + 1
          local found = not wrong and turn % step == 0 and attempt(run_, order, fate, finalizer)
          if found then wrong = ("%s,%s: %s"):format(fate, order, found) end
          if turn % step == 0 then count = count + 1 end
        end
      end
      run_.tell(name, ("%d orders"):format(count), wrong)
    end
  end
end
