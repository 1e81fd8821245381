local freyja = require "freyja"
local store = require "spec.support.store"
local tmp = require "spec.support.tmp"

local contents <const>, error_of <const> = store.contents, store.error_of

--- A segment as db:segments() tells of it, mostly dead or not.
local function segment(id, bytes, dead, more)
  local t = {
    id = id, rank = id - 1, bytes = bytes, live_bytes = bytes - dead, dead_bytes = dead, keys = 10,
    live_keys = 5, tombstones = 0, oldest = 1, newest = 2, expires = 0, sealed = true, damaged = false,
  }
  for k, v in pairs(more or {}) do t[k] = v end
  return t
end

local function ids_of(groups)
  local all = {}
  for i, group in ipairs(groups) do
    assert.is_string(group.reason)
    all[i] = group.ids
  end
  return all
end

local MIB <const> = 1 << 20

describe("the policy", function()
  it("dead_ratio waits for a trigger and then takes what is beyond a threshold", function()
    local plan = require("freyja.policy.dead_ratio").plan
    local active = segment(9, 10 * MIB, 10 * MIB, { sealed = false })
    assert.same({}, plan({}))
    assert.same({}, plan({ active }))
    assert.same({}, plan({ segment(1, 100 * MIB, 50 * MIB), segment(2, 100 * MIB, 20 * MIB), active }))
    assert.same({ { 3, 1 } }, ids_of(plan({
      segment(1, 100 * MIB, 50 * MIB), segment(2, 100 * MIB, 30 * MIB), segment(3, 100 * MIB, 70 * MIB), active,
    })))
    assert.same({ { 1 } }, ids_of(plan({ segment(1, 2000 * MIB, 600 * MIB), segment(2, 100 * MIB, 0) })))
    assert.same({ { 2, 1 } }, ids_of(plan({ segment(1, 100 * MIB, 45 * MIB), segment(2, 100 * MIB, 49 * MIB) },
      { space = 1.5 })))
    assert.same({ { 3, 2 } },
      ids_of(plan({ segment(1, 50 * MIB, 0), segment(2, MIB, 0), segment(3, 20 * MIB, 15 * MIB) })))
    assert.same({}, plan({ segment(1, 100 * MIB, 90 * MIB) }, { frag_trigger = 0.95, space = 100 }))
  end)

  it("dead_ratio leaves alone what is damaged and what lies below", function()
    local plan = require("freyja.policy.dead_ratio").plan
    assert.same({ { 3 } }, ids_of(plan({
      segment(1, 100, 90), segment(2, 100 * MIB, 90 * MIB, { damaged = true }), segment(3, 100 * MIB, 90 * MIB),
    })))
  end)

  it("dead_ratio does not merge for tombstones that are still needed, but takes all below when they are what is there",
    function()
      local plan = require("freyja.policy.dead_ratio").plan
      local below, tombstones = segment(1, 100 * MIB, 10 * MIB), { tombstones = 2 * MIB }
      assert.same({}, plan({ below, segment(2, 100 * MIB, 80 * MIB, tombstones) }, { space = 9 }))
      assert.same({ { 2 } }, ids_of(plan({ segment(2, 100 * MIB, 80 * MIB, tombstones) }, { space = 9 })))
      assert.same({ { 1, 2 } }, ids_of(plan({ below, segment(2, 100 * MIB, 80 * MIB, tombstones) })))
    end)

  it("dead_ratio deletes what is older than its expiry, and keeps its hours", function()
    local plan = require("freyja.policy.dead_ratio").plan
    local function now() return 10000 end
    local segments = {
      segment(1, 100 * MIB, 0, { newest = 1000 * 1000000 }), segment(2, 100 * MIB, 0, { newest = 9000 * 1000000 }),
    }
    assert.same({}, plan(segments, { now = now, expiry = 6000 }))
    local groups = plan(segments, { now = now, expiry = 5000 })
    assert.same({ { 1 } }, ids_of(groups))
    assert.is_true(groups[1].filter { timestamp = 5000 * 1000000 })
    assert.is_false(groups[1].filter { timestamp = 4999 * 1000000 })
    local function at(hour)
      return #plan({ segment(1, 100, 90) }, { from = 22, to = 2, hour = function() return hour end })
    end
    assert.same({ 0, 1, 1, 0 }, { at(21), at(22), at(1), at(2) })
  end)

  it("size_tiered takes segments of like size together", function()
    local plan = require("freyja.policy.size_tiered").plan
    local segments = {}
    for i = 1, 4 do segments[i] = segment(i, 100 + i, 0) end
    segments[5] = segment(5, 1000, 0)
    assert.same({ { 1, 2, 3, 4 } }, ids_of(plan(segments)))
    assert.same({}, plan(segments, { min = 5 }))
    assert.same({ { 1, 2 }, { 3, 4 } }, ids_of(plan(segments, { min = 2, max = 2 })))
  end)

  it("window keeps its hours, also over midnight", function()
    local plan = require("freyja.policy.window").plan
    local segments = { segment(1, 100 * MIB, 90 * MIB) }
    local function at(hour, from, to)
      return #plan(segments, { from = from, to = to, hour = function() return hour end })
    end
    assert.same({ 0, 1, 1, 0 }, { at(0, 1, 5), at(1, 1, 5), at(4, 1, 5), at(5, 1, 5) })
    assert.same({ 1, 1, 0, 0 }, { at(23, 22, 2), at(1, 22, 2), at(2, 22, 2), at(12, 22, 2) })
  end)

  it("expiry takes what expired some time ago, beside what another policy says", function()
    local plan = require("freyja.policy.expiry").plan
    local segments = {
      segment(1, 100 * MIB, 0, { expires = 1000000000 }), segment(2, 100 * MIB, 0, { expires = 9000000000 }),
      segment(3, 100 * MIB, 90 * MIB),
    }
    local function now() return 5000 end
    assert.same({ { 3 }, { 1 } }, ids_of(plan(segments, { now = now })))
    assert.same({ { 1 } }, ids_of(plan(segments, { now = now, policy = "never" })))
    assert.same({ { 3 } }, ids_of(plan(segments, { now = now, grace = 4500 })))
  end)

  it("never does nothing", function()
    assert.same({}, require("freyja.policy.never").plan({ segment(1, 100, 100) }))
  end)
end)

describe("maintaining a store", function()
  local dir, db
  require("spec.support.leaks").watch(before_each, after_each, function()
    dir = tmp.fast_dir()
    db = assert(freyja.open(dir.path .. "/db", { segment_size = 65536, maintenance = "manual" }))
  end, function()
    db:close()
    getmetatable(dir).__close(dir)
  end)

  it("keeps its size in proportion to what is live, whatever is overwritten and deleted", function()
    local seed = os.time()
    math.randomseed(seed)
    local most = 0
    for i = 1, 100000 do
      local key = "key" .. math.random(math.random(1500))
      if i % 7 == 0 then db:delete(key) else db:put(key, ("v"):rep(math.random(100))) end
      if i % 1000 == 0 then
        db:maintain("dead_ratio", { small = 0 })
        local stats = db:stats()
        most = math.max(most, (stats.bytes - 2 * 65536) / stats.live_bytes)
      end
    end
    assert.is_true(most <= 2.2, ("seed %d: %.2f times the live bytes"):format(seed, most))
    assert.is_true(db:verify().ok)
  end)

  it("merges through a filter, which may change values and delete", function()
    for i = 1, 10 do db:put("key" .. i, "value " .. i) end
    db:rotate()
    db:merge({ db:segments()[1].id }, { filter = function(record)
      record.value = record.value:upper()
      return record.key ~= "key5"
    end, step = 10 })
    assert.same({ "VALUE 1", nil, 9 }, { db:get "key1", db:get "key5", #db })
    db:rotate()
  end)

  it("is slowed down by a rate", function()
    for i = 1, 1000 do db:put("key" .. i, ("v"):rep(100)) end
    local bytes = db:stats().bytes
    local start = require("freyja.core").timer(db)
    db:maintain(function(segments) return { { ids = { segments[1].id } } } end, nil, { rate = 20 * bytes })
    local passed = require("freyja.core").timer(db) - start
    assert.is_true(passed >= 1000000 * 65000 / (20 * bytes), passed .. " microseconds")
  end)

  it("changes nothing that is read, and says what it has done", function()
    for i = 1, 3000 do db:put("key" .. i % 100, ("value %d "):format(i):rep(10)) end
    local before = contents(db)
    local report = db:maintain()
    assert.is_true(report.merges == 1 and report.read > 0 and report.written < report.read)
    assert.same(before, contents(db))
    assert.same({ merges = 0, read = 0, written = 0 }, db:maintain "never")
  end)

  it("takes a policy of one's own: a function, a table, a script, a module", function()
    for i = 1, 3000 do db:put("key" .. i % 10, ("value %d "):format(i):rep(10)) end
    local seen
    db:maintain(function(segments, settings)
      seen = { #segments, settings.x }
      return {}
    end, { x = 5 })
    assert.same({ #db:segments(), 5 }, seen)
    local first = db:segments()[1].id
    assert.equal(1, db:maintain({ plan = function() return { { ids = { first } } } end }).merges)
    local script = { merge = function(own) own:merge { own:segments()[1].id } end }
    assert.equal(1, db:maintain(script).merges)
    db:rotate()
    package.preload["spec.own_policy"] = function() return script end
    assert.equal(1, db:maintain("spec.own_policy").merges)
  end)

  it("costs an error, and no data, if the policy is wrong", function()
    for i = 1, 1000 do db:put("key" .. i % 10, ("value %d "):format(i):rep(10)) end
    local before = contents(db)
    local id, active = db:segments()[1].id, db:segments()[#db:segments()].id
    local many = {}
    for i = 1, 1000000 do many[i] = i end
    for _, ids in ipairs { { 99999 }, { active }, { id, id }, many, {} } do
      local err = error_of(db.maintain, db, function() return { { ids = ids } } end)
      assert.equal("limit", err.code)
    end
    assert.matches("oh", error_of(db.maintain, db, function() error "oh" end))
    assert.matches("no list of groups", error_of(db.maintain, db, function() return 1 end))
    assert.matches("without a list of ids", error_of(db.maintain, db, function() return { 1 } end))
    assert.matches("no list of groups", error_of(db.maintain, db, function() return { ids = { 1 } } end))
    assert.matches("field 'fliter'", error_of(db.maintain, db, function() return { { ids = { 1 }, fliter = 1 } } end))
    assert.matches("no setting 'frag'", error_of(db.maintain, db, "dead_ratio", { frag = 1 }))
    assert.matches("'frag_trigger' of the policy 'dead_ratio' must be a number",
      error_of(db.maintain, db, "dead_ratio", { frag_trigger = "much" }))
    assert.matches("no setting 'x'", error_of(db.maintain, db, "window", { policy = "expiry", settings = { x = 1 } }))
    assert.matches("'freyja.policy.nope' not found%)$", error_of(db.maintain, db, "window", { policy = "nope" }))
    assert.matches("attempt to yield", error_of(db.maintain, db, function() coroutine.yield() end))
    assert.matches("#2 to 'maintain'.*freyja.policy.none' not found", error_of(db.maintain, db, "none"))
    assert.matches("#2 to 'maintain'.*no table with a function", error_of(db.maintain, db, {}))
    assert.same(before, contents(db))
    assert.is_true(db:verify().ok)
  end)

  it("tells of progress, and ends without effect where that raises", function()
    for i = 1, 1000 do db:put("key" .. i % 10, ("value %d "):format(i):rep(10)) end
    local ids, seen = {}, {}
    for _, s in ipairs(db:segments()) do ids[#ids + 1] = s.sealed and s.id or nil end
    local files = #db:segments()
    assert.matches("enough", error_of(db.merge, db, ids, { step = 1000, progress = function() error "enough" end }))
    assert.equal(files, #db:segments())
    db:merge(ids, { step = 1000, progress = function(done, bytes) seen[#seen + 1] = { done, bytes } end })
    assert.is_true(#seen > 10)
    assert.equal(seen[#seen][1], seen[#seen][2])
    for i = 2, #seen do assert.is_true(seen[i][1] >= seen[i - 1][1] and seen[i][1] <= seen[i][2]) end
  end)
end)
