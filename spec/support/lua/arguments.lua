--- Wrong arguments: in each position of each function and metamethod, each kind of value that does
--- not belong there. Always an error that names the function and the position; the store is as it was.

local machine = require "machine"
local prelude = string.dump(require "spec.support.lua.prelude")

-- ---- the chunks --------------------------------------------------------------------------

-- For each function, of what kinds its arguments are; a function that is not listed fails the test.
local function describe(s)
  s.signatures = {
    methods = {
      put = "db text text writing", get = "db text", delete = "db text", has = "db text", ttl = "db text",
      insert = "db text text writing", cas = "db text nilable nilable writing", get_many = "db list",
      each = "db choice", keys = "db choice",
      count = "db optional", sync = "db", rotate = "db", refresh = "db", stats = "db", segments = "db", close = "db",
      verify = "db", backup = "db text options", rewrite = "db list", hint = "db id", checkpoint = "db",
      merge = "db list",
      maintain = "db policy", transaction = "db callable transacting", begin = "db beginning",
      load = "db callable",
    },
    of_stores = { __gc = "db", __close = "db", __tostring = "db", __len = "db" },
    of_iterators = { __gc = "it", __close = "it", __tostring = "it" },
    of_rewrites = { __gc = "rw", __close = "rw", __tostring = "rw" },
    rewrites = {
      give_way = "rw",
      step = "rw bytes", commit = "rw", progress = "rw", records = "rw", keep = "rw record", drop = "rw record",
      close = "rw",
    },
    of_transactions = { __gc = "tx", __close = "tx", __tostring = "tx" },
    transactions = {
      get = "tx text", has = "tx text", put = "tx text text writing", delete = "tx text", each = "tx choice",
      keys = "tx choice", commit = "tx", rollback = "tx", is_open = "tx",
    },
    of_errors = { __tostring = "error" },
    alone = { following = "it", recording = "rw" },
    freyja = { open = "optional options", repair = "text target" },
  }
  -- What values each kind takes, and whether it may be left out.
  s.kinds = {
    db = { takes = { db = true, ["disguised store"] = true } },
    it = { takes = { it = true, ["disguised iterator"] = true } },
    rw = { takes = { rw = true, ["disguised rewrite"] = true } },
    tx = { takes = { tx = true } },
    callable = { takes = { ["function"] = true } },
    beginning = { takes = { ["nil"] = true, empty = true }, may_miss = true },
    transacting = { takes = { ["nil"] = true, empty = true }, may_miss = true },
    bytes = { takes = { number = true, ["nil"] = true }, may_miss = true },
    record = { takes = {} },
    text = { takes = { string = true, number = true, fraction = true } },
    nilable = { takes = { string = true, number = true, fraction = true, ["nil"] = true } },
    optional = { takes = { string = true, number = true, fraction = true, ["nil"] = true }, may_miss = true },
    choice = {
      takes = { string = true, number = true, fraction = true, ["nil"] = true, empty = true }, may_miss = true,
    },
    options = { takes = { ["nil"] = true, empty = true }, may_miss = true },
    writing = { takes = { ["nil"] = true, empty = true }, may_miss = true },
    target = { takes = {} },
    id = { takes = { number = true } },
    policy = { takes = { ["nil"] = true, ["function"] = true }, may_miss = true },
    list = { takes = { empty = true, options = true, error = true } }, -- tables of no elements
    error = { takes = { table = true, empty = true, options = true, error = true } }, -- any table prints
  }
end

-- Makes a store, an iterator, values of all kinds, and some that are not what they say they are.
local function before(s)
  s.begin("s1", "m1")
  local freyja = require "freyja"
  local following, it = s.db:each()
  local function rewrite(db)
    db:put(1, 1)
    db:rotate()
    return db:rewrite { 1 }
  end
  local rw = rewrite(s.db)
  s.allow("1", 0, 1)
  local recording = rw:records()
  local _, err = freyja.open(s.path .. "/no/such")
  s.holders = {
    methods = getmetatable(s.db).__index, of_stores = getmetatable(s.db), of_iterators = getmetatable(it),
    of_errors = getmetatable(err), alone = { following = following, recording = recording },
    freyja = freyja, of_rewrites = getmetatable(rw), rewrites = getmetatable(rw).__index,
    of_transactions = getmetatable(s.db:begin()), transactions = getmetatable(s.db:begin()).__index,
  }
  local function open(suffix) return assert(freyja.open(s.path .. suffix, s.options())) end
  local function another() return (select(2, s.db:each())) end
  s.disguised = {}
  local function disguise(value, metatable)
    s.disguised[#s.disguised + 1] = { value, debug.getmetatable(value) }
    return debug.setmetatable(value, metatable)
  end
  local of_stores, of_iterators = s.holders.of_stores, s.holders.of_iterators
  s.values = {
    { "nil", nil }, { "boolean", true }, { "boolean", false }, { "number", 1 }, { "fraction", 0.5 },
    { "string", "text" }, { "empty", {} }, { "table", { 1, 2, {} } }, { "options", { unknown = 1 } },
    { "options", { prefix = {} } }, { "options", { order = 1 } }, { "function", print }, { "function", open },
    { "thread", coroutine.create(print) }, { "userdata", io.stderr }, { "light userdata", debug.upvalueid(open, 1) },
    { "it", another() }, { "db", open ".2" }, { "error", err }, { "rw", rewrite(open ".6") },
    { "tx", s.db:begin() },
    { "userdata", disguise(io.tmpfile(), of_stores) }, { "userdata", disguise(io.tmpfile(), of_iterators) },
    { "disguised iterator", disguise(another(), of_stores) }, { "disguised store", disguise(open ".3", of_iterators) },
    { "disguised rewrite", disguise(rewrite(open ".7"), of_stores) },
  }
  s.good = {
    tx = s.db:begin(), callable = print, beginning = {}, transacting = {}, rw = rw, bytes = 1, record = recording(rw),
    db = s.db, it = it, text = "s1", nilable = "s1", optional = s.path .. ".4", list = { "s1" },
    choice = "s", error = err, options = {}, id = 1, writing = { ttl = 1000 }, target = { to = s.path .. ".5" },
  }
end

local function run(s)
  local count = 0

  -- Calls holder.name with the first `n` arguments; the error must name the position.
  local function try(holder, name, arguments, n, position, what)
    count = count + 1
    local list = ("a, b, c, d, e"):sub(1, math.max(0, 3 * n - 2))
    local function called(as)
      local source = ("local holder, a, b, c, d, e = ... local r = %s(%s) return r"):format(as, list)
      local ok, message = pcall(assert(load(source)), holder, table.unpack(arguments, 1, 5))
      local where = ("%s: argument %d is %s, %d are given: "):format(name, position, what, n)
      assert(not ok, where .. "that is accepted")
      return tostring(message), where
    end
    local message, where = called("holder." .. name)
    assert(message:find(("bad argument #%d to '%s'"):format(position, name), 1, true), where .. message)
    if debug.getmetatable(arguments[1]) ~= s.holders.of_stores or holder ~= s.holders.methods then return end
    list = list:sub(4)
    message = called("a:" .. name)
    local text = position == 1 and "calling '%s' on bad self" or "bad argument #" .. position - 1 .. " to '%s'"
    assert(message:find(text:format(name), 1, true), where .. message)
  end

  -- Every value at that position, with the arguments behind it and without.
  local function try_position(holder, name, kinds, position)
    local arguments = {}
    for i = 1, #kinds do arguments[i] = s.good[kinds[i]] end
    local kind = s.kinds[kinds[position]]
    for _, value in ipairs(s.values) do
      arguments[position] = value[2]
      if not kind.takes[value[1]] then
        try(holder, name, arguments, position, position, value[1])
        if #kinds > position then try(holder, name, arguments, #kinds, position, value[1]) end
      end
    end
    arguments[position] = nil
    if not kind.may_miss then try(holder, name, arguments, position - 1, position, "missing") end
  end

  for group, holder in pairs(s.holders) do
    local signatures = s.signatures[group]
    for name, f in pairs(holder) do
      assert(signatures[name] or type(f) ~= "function", name .. " has no signature in this test")
    end
    for name, signature in pairs(signatures) do
      local kinds = {}
      for kind in signature:gmatch "%S+" do kinds[#kinds + 1] = kind end
      for position in ipairs(kinds) do try_position(holder, name, kinds, position) end
    end
  end

  -- The options of open.
  for name, right in pairs {
    readonly = "boolean", create = "boolean", sync = "number", segment_size = "number",
    hash_bits = "number", io = "none", maintenance = "none",
  } do
    for _, value in ipairs(s.values) do
      if value[2] ~= nil and value[1] ~= right then
        count = count + 1
        local ok, message = pcall(require "freyja".open, s.path .. ".4", { [name] = value[2] })
        assert(not ok and message:find(("option '%s' must be"):format(name), 1, true), name .. " " .. tostring(message))
      end
    end
  end

  -- The options of writes.
  for _, write in ipairs { s.db.put, s.db.insert, function(db, k, v, o) return db:cas(k, v, v, o) end } do
    for _, value in ipairs(s.values) do
      local ttl = value[2]
      if ttl ~= nil and value[1] ~= "number" and value[1] ~= "fraction" then
        count = count + 1
        local ok, message = pcall(write, s.db, "s1", "s1", { ttl = ttl })
        assert(not ok and message:find("option 'ttl' must be", 1, true), tostring(message))
      end
    end
  end

  for _, pair in ipairs(s.disguised) do debug.setmetatable(pair[1], pair[2]) end
  assert(s.is_open(s.good.it) and s.is_open(s.db) and s.is_open(s.good.rw) and s.good.tx:is_open())
  s.good, s.values, s.disguised = nil, nil, nil
  return count
end

return function(run_)
  local name = "wrong arguments"
  if not run_.wants(name) then return end
  local result = machine.run {
    given = { path = run_.path(), io = "mmap" },
    prelude = prelude, describe = string.dump(describe), before = string.dump(before),
    run = string.dump(run), after = string.dump(function(s) s.check() end),
  }
  local wrong = result.kind ~= "ok" and result.said or result.wrong
  run_.tell(name, ("%s combinations"):format(result.said), wrong)
end
