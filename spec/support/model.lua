--- A randomised run of a store against a plain Lua table: every operation is done to both, and
--- what they answer must agree. Iterators are held open across writes and must show the store
--- as it was when they were made. Segments are merged, also by themselves and by any policy, hint files
--- and a KEYDIR written and lost. Values expire: where time can be moved, at moments that the table's own
--- clock tells; otherwise too late for the run to see it.

local freyja = require "freyja"

local M = {}

local BIG_KEY = ("\0k"):rep(300)
local CENTURY = 36525 * 24 * 3600 * 1000000 -- microseconds

local function pick(list) return list[math.random(#list)] end

--- A policy that asks for anything: known segments and unknown ones, in any order, or raises.
local function random_plan(segments)
  local ids = {}
  for _, segment in ipairs(segments) do
    if math.random(3) == 1 then ids[math.random(#ids + 1)] = math.random(20) == 1 and 99999 or segment.id end
  end
  if math.random(20) == 1 then error "a policy's own" end
  return { { ids = ids, filter = math.random(3) == 1 and function() return true end or nil } }
end

local function random_options(hash_bits)
  return {
    maintenance = pick { "manual", "auto", "auto" },
    policy = pick { "dead_ratio", "size_tiered", random_plan, random_plan },
    segment_size = pick { 4096, 8192, 65536, 1 << 20 },
    io = pick { "mmap", "syscall" },
    sync = pick { "none", "none", 1000, 1, "always" },
    hash_bits = hash_bits,
  }
end

local function random_key()
  local n = math.random(60)
  if n == 1 then return "" end
  if n == 2 then return BIG_KEY end
  return "key" .. n
end

local function random_value()
  local n = math.random(20)
  if n == 1 then return "" end
  if n == 2 then return ("\0"):rep(math.random(3000)) end
  return string.char(math.random(0, 255)):rep(math.random(0, 200))
end

local function count(t)
  local n = 0
  for _ in pairs(t) do n = n + 1 end
  return n
end

-- Time ---------------------------------------------------------------------------------------

--- Drops from the model what has expired: the store's time is the system's, but it does not go back.
local function expire(run)
  if not run.clock then return end
  local wall, steady = run.clock.now()
  run.time = math.max(wall, run.time + steady - run.steady)
  run.steady = steady
  for key, expiry in pairs(run.expiry) do
    if expiry <= run.time then run.expiry[key], run.model[key] = nil, nil end
  end
end

--- The time when the store has been opened: not before its newest record.
local function begin_time(run)
  if not run.clock then return end
  run.time, run.steady = run.clock.now()
  for _, segment in ipairs(run.db:segments()) do run.time = math.max(run.time, segment.newest) end
  expire(run)
end

--- Options for a write, or nil.
local function random_ttl(run)
  if math.random(3) > 1 then return nil end
  return { ttl = run.clock and math.random(20) / 1000 + 0.0005 or math.random(1000, 2000) }
end

--- The key has this value now, or none.
local function set(run, key, value, options)
  run.model[key] = value
  run.writes = run.writes + 1
  run.version[key] = run.writes
  -- In integers: the sum would be beyond what a float tells apart, after some centuries.
  run.expiry[key] = value and options and run.time + math.floor(options.ttl * 1e6 + 0.5) or nil
end

local function check_ttl(run, key)
  local ttl, expiry = run.db:ttl(key), run.expiry[key]
  if not expiry then
    assert(ttl == (run.model[key] and false), "ttl of what does not expire")
  elseif run.clock then
    assert(math.abs(ttl * 1e6 - (expiry - run.time)) < 2, "ttl") -- what is no binary fraction is rounded up
  else
    assert(ttl > 500 and ttl <= 2000, "ttl")
  end
end

--- Compares everything that the store can be asked with the model.
local function check(run)
  local db, model = run.db, run.model
  local n = count(model)
  assert(#db == n, "#db")
  assert(db:count() == n, "count()")
  local keys, seen, last = {}, 0, nil
  for k, v in pairs(model) do
    keys[#keys + 1] = k
    assert(db:get(k) == v, "get")
    check_ttl(run, k)
  end
  local many = db:get_many(keys)
  for k, v in pairs(model) do assert(many[k] == v, "get_many") end
  for k, v in db:each() do
    assert(model[k] == v, "each")
    seen = seen + 1
  end
  assert(seen == n, "each gives every key once")
  for k, v in db:each { order = "key", prefix = "key1" } do
    assert(model[k] == v and k:sub(1, 4) == "key1", "each in key order, by prefix")
    assert(not last or last < k, "key order")
    last, seen = k, seen + 1
  end
  assert(seen - n == db:count "key1", "count by prefix")
  local live = 0
  for _, segment in ipairs(db:segments()) do live = live + segment.live_keys end
  assert(live == n, "live_keys of the segments")
end

local function verify(run)
  local report = run.db:verify()
  local first = report.problems[1]
  assert(report.ok, first and ("%s, offset %d: %s"):format(first.path, first.offset, first.message))
  assert(report.keys == count(run.model), "keys of verify")
end

--- The ids of some sealed segments, in any order.
local function some_sealed(run)
  local ids, share = {}, math.random()
  for _, segment in ipairs(run.db:segments()) do
    if segment.sealed and math.random() < share then
      table.insert(ids, math.random(#ids + 1), segment.id)
    end
  end
  return ids
end

local function merge(run)
  local ids = some_sealed(run)
  if #ids > 0 then run.db:merge(ids, { step = pick { 1, 1000, 1 << 20 } }) end
end

local function hint(run)
  for _, id in ipairs(some_sealed(run)) do run.db:hint(id) end
end

--- Some of the hint files are lost, and the KEYDIR or not.
local function lose_files(run)
  if math.random(2) == 1 then os.remove(run.path .. "/KEYDIR") end
  local share = pick { 0, 0.5, 1 }
  for _, segment in ipairs(run.db:segments()) do
    if math.random() < share then os.remove(("%s/%d.hint"):format(run.path, segment.id)) end
  end
end

local function reopen(run)
  -- The newest record has the time until now in it, whatever the clock says at the next open.
  run.db:put("key1", "closing")
  set(run, "key1", "closing")
  verify(run)
  run.iterators = {}
  lose_files(run)
  run.db:close()
  run.db = assert(freyja.open(run.path, random_options(run.hash_bits)))
  local recovery = run.db:stats().recovery
  assert(recovery.hints_ignored == 0, "a hint file that does not fit")
  assert(not recovery.checkpoint, "a KEYDIR that does not fit")
  begin_time(run)
  verify(run)
  check(run)
end

local function begin_iterator(run)
  local snapshot = {}
  for k, v in pairs(run.model) do snapshot[k] = v end
  local next_entry, state = run.db:each { order = pick { "log", "key" } }
  table.insert(run.iterators, { next = next_entry, state = state, left = snapshot })
end

local function step_iterator(run)
  if #run.iterators == 0 then return end
  local index = math.random(#run.iterators)
  local it = run.iterators[index]
  for _ = 1, math.random(30) do
    local k, v = it.next(it.state)
    if k == nil then
      assert(next(it.left) == nil, "an iterator ends with entries missing")
      table.remove(run.iterators, index)
      return
    end
    assert(it.left[k] == v, "an iterator gives what was not there, or twice")
    it.left[k] = nil
  end
end

local function swap(run, key)
  local model = run.model
  local expected = pick { model[key] or false, random_value() } or nil
  local new = math.random(3) > 1 and random_value() or nil
  local options = random_ttl(run)
  assert(run.db:cas(key, expected, new, options) == (model[key] == expected), "cas")
  if model[key] == expected then set(run, key, new, options) end
end

local function put(run, key)
  local value, options = random_value(), random_ttl(run)
  run.db:put(key, value, options)
  set(run, key, value, options)
end

-- Transactions -------------------------------------------------------------------------------

--- The number of the write that made the key's value; 0 if it is not there, however that came.
local function version(run, key) return run.model[key] and run.version[key] or 0 end

--- What the transaction sees of a key: its own value, or the store's, which it has then read.
local function see(run, t, key)
  if t.own[key] ~= nil then return t.own[key] or nil end
  t.reads[key] = t.reads[key] or version(run, key)
  t.broken = t.broken or t.reads[key] ~= version(run, key)
  if run.expiry[key] then t.soonest = math.min(t.soonest, run.expiry[key]) end
  return run.model[key]
end

--- One that does not fit the segment any more changes nothing.
local function put_within(t, key, value, options)
  local ok, err = pcall(t.tx.put, t.tx, key, value, options)
  assert(ok or err.code == "limit", tostring(err))
  if ok then t.own[key], t.ttl[key] = value, options end
end

--- Somebody else writes to a key.
local function write_beside(run, t, key)
  put(run, key)
  for _, prefix in ipairs(t.prefixes) do
    if key:sub(1, #prefix) == prefix then t.broken = true end
  end
end

local function iterate_within(run, t)
  local prefix, left = pick { "", "key1", "key2" }, {}
  for key in pairs(run.model) do left[key] = true end
  for key in pairs(t.own) do left[key] = true end
  for key in pairs(left) do
    left[key] = key:sub(1, #prefix) == prefix and (t.own[key] == nil and run.model[key] or t.own[key]) or nil
    if t.own[key] == nil and left[key] and run.expiry[key] then t.soonest = math.min(t.soonest, run.expiry[key]) end
  end
  for key, value in t.tx:each { prefix = prefix, order = pick { "log", "key" } } do
    assert(left[key] == value, "each in a transaction")
    left[key] = nil
    put_within(t, key, value) -- the loop goes on with what there was
  end
  assert(next(left) == nil, "each in a transaction ends with entries missing")
  table.insert(t.prefixes, prefix)
end

local steps = {
  function(_, t, key)
    put_within(t, key, random_value(), random_ttl { clock = t.clock })
  end,
  function(run, t, key)
    local there = see(run, t, key) ~= nil
    local ok, found = pcall(t.tx.delete, t.tx, key)
    assert(ok and found == there or not ok and found.code == "limit", "delete in a transaction")
    if ok and there then t.own[key], t.ttl[key] = false, nil end
  end,
  function(run, t, key)
    local value = see(run, t, key)
    assert(t.tx:get(key) == value, "get in a transaction")
    assert(t.tx:has(key) == (value ~= nil), "has in a transaction")
  end,
  write_beside,
}

--- A transaction that overlaps with writes of others: it sees what it must, and all of it or nothing is there
--- afterwards.
local function transact(run)
  local serializable = math.random(2) == 1
  local tx <close> = run.db:begin { serializable = serializable }
  local t = { tx = tx, own = {}, ttl = {}, reads = {}, prefixes = {}, soonest = math.huge, clock = run.clock }
  for _ = 1, math.random(20) do
    expire(run)
    if math.random(15) == 1 then iterate_within(run, t)
    else pick(steps)(run, t, random_key()) end
    if run.clock and math.random(10) == 1 then run.clock.wait(math.random(0, 9) * 1000) end
  end
  if math.random(5) == 1 then return end
  expire(run)
  for key, read in pairs(t.reads) do t.broken = t.broken or read ~= version(run, key) end
  local ok, err = pcall(tx.commit, tx)
  local broken = serializable and (t.broken or t.soonest <= run.time)
  assert(ok or err.code == "conflict", tostring(err))
  assert(ok == not broken, broken and "a conflict is not noticed" or "a conflict without cause")
  if not ok then return end
  for key, value in pairs(t.own) do set(run, key, value or nil, t.ttl[key]) end
end

--- Many values at once; or none, where the iterator raises.
local function load_many(run)
  local pairs_, loaded, count_ = {}, {}, math.random(60)
  for i = 1, count_ do
    local key = random_key()
    pairs_[i] = { key, random_value(), random_ttl(run) }
    loaded[key] = pairs_[i]
  end
  local ends, i = math.random(5) == 1 and math.random(count_), 0
  local ok, err = pcall(run.db.load, run.db, function()
    i = i + 1
    if i == ends then error "enough" end
    if i % 10 == 0 then assert(not pcall(run.db.put, run.db, "key1", "x"), "a write beside a load") end
    if pairs_[i] then return table.unpack(pairs_[i], 1, 3) end
  end)
  assert(ok == not ends, tostring(err))
  if not ok then return end
  assert(err == count_, "the number that were loaded")
  for key, pair in pairs(loaded) do set(run, key, pair[2], pair[3]) end
end

--- Time passes.
local function wait(run)
  if run.clock then run.clock.wait(math.random(0, 9) * 1000) end
end

--- The clock is set a hundred years ahead of the store's time or behind it, or right. A put sees that.
local function jump(run, key)
  if not run.clock then return end
  local wall = run.clock.now()
  run.clock.jump(run.time + math.random(-1, 1) * CENTURY - wall)
  expire(run)
  put(run, key)
end

local operations = {
  { 40, put },
  { 20, function(run, key)
    assert(run.db:delete(key) == (run.model[key] ~= nil), "delete")
    set(run, key, nil)
  end },
  { 5, function(run, key)
    local value, options = random_value(), random_ttl(run)
    assert(run.db:insert(key, value, options) == (run.model[key] == nil), "insert")
    if not run.model[key] then set(run, key, value, options) end
  end },
  { 7, swap },
  { 18, function(run, key)
    assert(run.db:get(key) == run.model[key], "get")
    assert(run.db:has(key) == (run.model[key] ~= nil), "has")
    check_ttl(run, key)
  end },
  { 2, begin_iterator },
  { 5, step_iterator },
  { 1, function(run) run.db:rotate() end },
  { 1, function(run) run.db:sync() end },
  { 0.5, merge },
  { 0.3, hint },
  { 0.3, function(run) run.db:checkpoint() end },
  { 0.1, verify },
  { 0.2, reopen },
  { 2, transact },
  { 0.2, load_many },
  { 10, wait },
  { 0.3, jump },
}

local WEIGHTS = 0
for _, operation in ipairs(operations) do WEIGHTS = WEIGHTS + operation[1] end

local function choose()
  local r = math.random() * WEIGHTS
  for _, operation in ipairs(operations) do
    r = r - operation[1]
    if r < 0 then return operation[2] end
  end
  return operations[1][2]
end

--- Runs `count` operations on a store in `path`; raises at the first difference. `clock`, if it can
--- be moved and stands still otherwise: now() -> microseconds since the epoch, microseconds that
--- have passed; wait(microseconds); jump(microseconds).
function M.run(path, seed, operations_count, hash_bits, clock)
  math.randomseed(seed)
  local run = {
    path = path, hash_bits = hash_bits, model = {}, expiry = {}, iterators = {}, clock = clock, time = 0,
    version = {}, writes = 0,
  }
  run.db = assert(freyja.open(path, random_options(hash_bits)))
  begin_time(run)
  local ok, why = xpcall(function()
    for _ = 1, operations_count do
      expire(run)
      choose()(run, random_key())
    end
    expire(run)
    reopen(run)
  end, debug.traceback)
  run.db:close()
  if not ok then error(("seed %d, hash_bits %d: %s"):format(seed, hash_bits, why), 0) end
end

return M
