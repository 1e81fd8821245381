-- Goal: repair saves all that is whole, with its timestamps, tells what is not, never gives a wrong
-- value or brings back an older or a deleted one, and changes nothing in what it reads.
-- Method: every bit of the data files changed, files lost, cut, replaced, exchanged, with and
-- without the MANIFEST; the source compared before and after, times included.
local lfs = require "lfs"
local freyja = require "freyja"
local record = require "spec.support.record"
local store = require "spec.support.store"
local tmp = require "spec.support.tmp"

local error_of <const>, flip <const> = store.error_of, store.flip

local HEADER <const> = 128

--- Three sealed files and an active one. "gone" is deleted in a later file than it is in.
local function make(path)
  local db <close> = assert(freyja.open(path))
  db:put("twice", "value 00001")
  db:put("alone", "value 00002")
  db:put("gone", "value 00003")
  db:rotate()
  db:put("twice", "value 00004")
  db:delete "gone"
  db:rotate()
  db:put("later", "value 00005")
  db:put("back", "value 00006")
  db:delete "back"
  db:rotate()
  db:put("back", "value 00007")
  db:put("final", "value 00008")
end

local WHOLE = {
  twice = "value 00004", alone = "value 00002", later = "value 00005", back = "value 00007",
  final = "value 00008",
}
local OLDER = { twice = "value 00001", gone = "value 00003", back = "value 00006" }

--- What a folder holds: names, kinds, times and bytes.
local function picture(path)
  local t = {}
  for _, name in ipairs(tmp.list(path)) do
    local file = path .. "/" .. name
    local a = lfs.symlinkattributes(file)
    t[name] = ("%s %d %d %d %s"):format(a.mode, a.size, a.modification, a.change, a.permissions)
    if a.mode == "file" then t[name] = t[name] .. tmp.read(file) end
  end
  local a = lfs.attributes(path)
  t[""] = ("%d %d"):format(a.modification, a.change)
  return t
end

local function contents(path)
  local db <close> = assert(freyja.open(path))
  assert.is_true(db:verify().ok)
  assert.equal(0, db:stats().recovery.damaged)
  return store.contents(db)
end

local count = 0

--- Repairs; returns what is in the new store, and the report.
local function repair(path)
  count = count + 1
  local to = path .. "-new" .. count
  local before = picture(path)
  local report = freyja.repair(path, { to = to })
  assert.same(before, picture(path))
  local t = contents(to)
  local keys = 0
  for _ in pairs(t) do keys = keys + 1 end
  assert.equal(keys, report.keys)
  assert.equal(report.ok, #report.problems == 0)
  return t, report, to
end

--- The problem about that file, which must be there.
local function problem_of(report, name)
  for _, problem in ipairs(report.problems) do
    if problem.path:match "[^/]+$" == name then return problem end
  end
  error("no problem is about " .. name)
end

--- Each key has its value, or it is missing and that is said; or its value is an older one, and
--- then its newest record is among bytes that nobody knows.
local function assert_honest(t, report, message)
  local older, missing = 0, 0
  for k, v in pairs(t) do
    if v ~= WHOLE[k] then
      assert.equal(OLDER[k], v, message)
      older = older + 1
    end
  end
  for k in pairs(WHOLE) do missing = missing + (t[k] and 0 or 1) end
  if older + missing > 0 then assert.is_false(report.ok, message) end
  assert.is_true(older <= report.doubtful_keys, message)
  for _, problem in ipairs(report.problems) do
    if problem.lost then assert.is_nil(t[problem.key], message) end
  end
end

describe("repair", function()
  local dir, path

  require("spec.support.leaks").watch(before_each, after_each, function()
    dir = tmp.fast_dir()
    path = dir.path .. "/db"
    make(path)
  end, function() getmetatable(dir).__close(dir) end)

  it("of a whole store makes one with the same content and times, and another id", function()
    local t, report, to = repair(path)
    assert.same(WHOLE, t)
    assert.is_true(report.ok)
    assert.same({ 4, 10, 5, 0, 0, 0 }, { report.files, report.records, report.keys,
      report.lost_keys, report.doubtful_keys, report.torn_records })
    local function times(folder)
      local found = {}
      for _, name in ipairs(tmp.list(folder)) do
        if name:find "%.data$" then
          local bytes = tmp.read(folder .. "/" .. name)
          local at = HEADER
          while at < #bytes do
            local r = record.decode(bytes, at)
            found[r.key] = r.timestamp
            at = at + r.size
          end
        end
      end
      found.gone = nil
      return found
    end
    assert.same(times(path), times(to))
    local old, new = record.header(tmp.read(path .. "/1.data")), record.header(tmp.read(to .. "/1.data"))
    assert.not_equal(old.store_id, new.store_id)
    assert.not_equal(old.hash_seed, new.hash_seed)
    assert.equal(lfs.attributes(path, "permissions"), lfs.attributes(to, "permissions"))
  end)

  it("saves what is whole, whichever byte of the data files is wrong", function()
    for id = 1, 4 do
      local file = ("%s/%d.data"):format(path, id)
      local size = lfs.attributes(file, "size")
      for byte = 0, size - 1 do
        local bit = byte * 8 + (byte * 5 + id) % 8
        local message = ("%d.data, bit %d"):format(id, bit)
        flip(file, bit)
        local t, report = repair(path)
        assert_honest(t, report, message)
        -- One damaged record costs one record.
        local missing = 0
        for k in pairs(WHOLE) do missing = missing + (t[k] and 0 or 1) end
        assert.is_true(missing <= 1, message)
        -- The marks, and the zeros behind them, say nothing of a sealed file's records.
        assert.is_true(report.ok == (byte >= 64 and byte < HEADER), message)
        flip(file, bit)
      end
    end
  end)

  it("lists a key whose newest value is damaged, and does not give an older one", function()
    flip(path .. "/2.data", (HEADER + 24 + 5 + 10) * 8)
    local t, report = repair(path)
    assert.is_nil(t.twice)
    assert.equal(1, report.lost_keys)
    local problem = report.problems[1]
    assert.same({ path .. "/2.data", HEADER, 40, "twice", true },
      { problem.path, problem.offset, problem.size, problem.key, problem.lost })
    t.twice = WHOLE.twice
    assert.same(WHOLE, t)
    assert.equal(0, report.doubtful_keys)
  end)

  it("tells of a damaged value that was replaced since, and loses nothing", function()
    flip(path .. "/1.data", (HEADER + 24 + 5 + 10) * 8)
    local t, report = repair(path)
    assert.same(WHOLE, t)
    assert.equal(0, report.lost_keys)
    assert.equal("twice", report.problems[1].key)
    assert.is_nil(report.problems[1].lost)
  end)

  it("counts the keys of which a damaged record may have been the newest", function()
    flip(path .. "/2.data", (HEADER + 16) * 8) -- the header of "twice"
    local t, report = repair(path)
    assert.equal(OLDER.twice, t.twice)
    assert.equal(2, report.doubtful_keys) -- twice and alone; all others are later
    assert.is_nil(t.gone)
  end)

  it("needs no MANIFEST, in whatever order the files are", function()
    local manifest = path .. "/MANIFEST"
    local bytes = tmp.read(manifest)
    for what, spoil in pairs {
      gone = function() os.remove(manifest) end,
      damaged = function() flip(manifest, 300) end,
      empty = function() tmp.write(manifest, "") end,
      folder = function() os.remove(manifest) lfs.mkdir(manifest) end,
      fifo = function() os.remove(manifest) os.execute("mkfifo " .. manifest) end,
    } do
      os.execute("rm -rf " .. manifest)
      tmp.write(manifest, bytes)
      spoil()
      local t, report = repair(path)
      assert.same(WHOLE, t, what)
      assert.equal("MANIFEST", report.problems[1].path:match "[^/]+$", what)
      assert.equal(1, #report.problems, what)
    end
    os.execute("rm -rf " .. manifest)
    for _, names in ipairs { { 1, 3 }, { 2, 3 }, { 1, 4 } } do
      local a, b = ("%s/%d.data"):format(path, names[1]), ("%s/%d.data"):format(path, names[2])
      os.rename(a, path .. "/x")
      os.rename(b, a)
      os.rename(path .. "/x", b)
      local t, report = repair(path)
      assert.same(WHOLE, t)
      assert.is_true(#report.problems > 2)
      assert.matches("under another name", report.problems[2].message)
    end
  end)

  it("uses exchanged files with the MANIFEST too, but none that it does not name", function()
    os.rename(path .. "/1.data", path .. "/x")
    os.rename(path .. "/3.data", path .. "/1.data")
    os.rename(path .. "/x", path .. "/3.data")
    local t, report = repair(path)
    assert.same(WHOLE, t)
    assert.equal(2, #report.problems)
    -- As a merge would leave it: the MANIFEST no longer names the file with what was deleted.
    tmp.write(path .. "/9.data", tmp.read(path .. "/3.data"))
    t, report = repair(path)
    assert.same(WHOLE, t)
    assert.equal(2, #report.problems)
  end)

  it("does not believe an older MANIFEST", function()
    local old = dir.path .. "/old"
    do
      local db <close> = assert(freyja.open(old))
      db:put("k", "old")
      db:put("alone", "v")
    end
    local manifest = tmp.read(old .. "/MANIFEST")
    do
      local db <close> = assert(freyja.open(old))
      db:rotate()
      db:put("k", "new")
      db:rotate() -- 3.data has a header only
    end
    tmp.write(old .. "/MANIFEST", manifest)
    local data = tmp.read(old .. "/2.data")
    for byte = 0, 63 do -- of that file's header; the first is left as it is
      if byte > 0 then flip(old .. "/2.data", byte * 8) end
      local _, err = freyja.open(old)
      assert.equal("corrupt", err.code, byte)
      assert.matches("does not name 2.data", err.message, 1, true)
      local t, report = repair(old)
      assert.same({ k = "new", alone = "v" }, t, byte)
      assert.equal(byte > 0 and 2 or 1, #report.problems, byte)
      assert.matches("an older one", report.problems[1].message)
      assert.equal(old .. "/MANIFEST", report.problems[1].path)
      tmp.write(old .. "/2.data", data)
    end
  end)

  it("checks records by other files' headers where one is damaged, or all but one", function()
    for id = 1, 3 do flip(("%s/%d.data"):format(path, id), 20 * 8) end
    local t, report = repair(path)
    assert.same(WHOLE, t)
    assert.equal(3, #report.problems)
    os.remove(path .. "/MANIFEST")
    t, report = repair(path)
    assert.same(WHOLE, t)
    assert.equal(4, #report.problems)
    flip(path .. "/4.data", 20 * 8)
    local err = error_of(freyja.repair, path, { to = dir.path .. "/none" })
    assert.equal("corrupt", err.code)
    assert.equal(path, err.path)
    assert.is_false(tmp.exists(dir.path .. "/none"))
    for id = 1, 3 do flip(("%s/%d.data"):format(path, id), 20 * 8) end
    assert.same(WHOLE, (repair(path)))
  end)

  it("takes the store that most files are of, and lists the others", function()
    make(dir.path .. "/other")
    os.remove(path .. "/MANIFEST")
    tmp.write(path .. "/11.data", tmp.read(dir.path .. "/other/1.data"))
    tmp.write(path .. "/2.data", tmp.read(dir.path .. "/other/2.data"))
    local t, report = repair(path)
    assert.matches("another store", problem_of(report, "2.data").message)
    assert.matches("another store", problem_of(report, "11.data").message)
    assert.same({ "MANIFEST", "2.data", "11.data" }, { report.problems[1].path:match "[^/]+$",
      report.problems[2].path:match "[^/]+$", report.problems[3].path:match "[^/]+$" })
    assert.equal(WHOLE.final, t.final)
    assert.equal(OLDER.twice, t.twice) -- 2.data is lost, and without a MANIFEST nobody misses it
  end)

  it("tells of files that are missing, cut, or something else, and saves the others", function()
    for id = 1, 4 do
      local file = ("%s/%d.data"):format(path, id)
      for what, spoil in pairs {
        gone = function() end,
        empty = function() tmp.write(file, "") end,
        short = function(bytes) tmp.write(file, bytes:sub(1, HEADER - 1)) end,
        header = function(bytes) tmp.write(file, bytes:sub(1, HEADER)) end,
        cut = function(bytes) tmp.write(file, bytes:sub(1, HEADER + 20)) end,
        noise = function() tmp.write(file, ("noise"):rep(1000)) end,
        folder = function() lfs.mkdir(file) end,
        link = function() lfs.link(dir.path .. "/kept", file, true) end,
        fifo = function() assert(os.execute("mkfifo " .. file)) end,
      } do
        os.rename(file, dir.path .. "/kept")
        spoil(tmp.read(dir.path .. "/kept"))
        local t, report = repair(path)
        local message = ("%s of %d.data"):format(what, id)
        assert_honest(t, report, message)
        assert.equal(file, problem_of(report, id .. ".data").path, message)
        if id ~= 4 then assert.equal(WHOLE.final, t.final, message) end
        if id ~= 3 then assert.equal(WHOLE.later, t.later, message) end
        if id ~= 1 then assert.equal(WHOLE.alone, t.alone, message) end
        os.execute("rm -rf " .. file)
        os.rename(dir.path .. "/kept", file)
      end
    end
    assert.same(WHOLE, (repair(path)))
  end)

  it("does not use a torn tail, whole records behind it included", function()
    local file = path .. "/4.data"
    local bytes = tmp.read(file)
    local mark = HEADER
    -- Nothing was synced but the header: as a crash may leave it.
    local unsynced = bytes:sub(1, 64) .. ("\0"):rep(32) .. bytes:sub(97)
    tmp.write(file, unsynced:sub(1, mark + 24) .. "X" .. unsynced:sub(mark + 26) .. ("\0"):rep(500))
    for _, name in ipairs { "with", "without" } do
      if name == "without" then os.remove(path .. "/MANIFEST") end
      local t, report = repair(path)
      assert.is_nil(t.final, name)
      assert.is_nil(t.back, name) -- its deletion is whole
      assert.equal(WHOLE.later, t.later)
      assert.equal(1, report.torn_records)
      assert.equal(#bytes - mark - (bytes:match "\0*$"):len(), report.torn_bytes)
      assert.equal(name == "with", report.ok) -- a crash is no damage
    end
    tmp.write(file, unsynced .. ("\0"):rep(500))
    local t, report = repair(path)
    assert.same(WHOLE, t)
    assert.equal(0, report.torn_bytes)
  end)

  it("without a MANIFEST takes the file with the newest record for the one that may be torn", function()
    os.remove(path .. "/MANIFEST")
    os.rename(path .. "/4.data", path .. "/x")
    -- A higher number is no sign: a rotation may have left an empty file, a merge an older one.
    local bytes = tmp.read(path .. "/3.data")
    tmp.write(path .. "/3.data", bytes:sub(1, 64) .. ("\0"):rep(32) .. bytes:sub(97, HEADER + 30) ..
      "!" .. bytes:sub(HEADER + 32))
    local t, report = repair(path)
    assert.is_nil(t.later)
    assert.equal(2, report.torn_records)
    os.rename(path .. "/x", path .. "/4.data")
    -- Now it is not: the same bytes are damage, and what follows counts.
    t, report = repair(path)
    assert.is_nil(t.later)
    assert.equal("later", problem_of(report, "3.data").key)
    assert.equal(0, report.torn_records)
    assert.equal(WHOLE.back, t.back)
  end)

  it("keeps keys apart that have the same hash", function()
    local few = dir.path .. "/few"
    local expected = {}
    do
      local db <close> = assert(freyja.open(few, { hash_bits = 2, segment_size = 4096 }))
      for i = 1, 300 do
        local key = "key" .. i % 60
        db:put(key, "value" .. i)
        expected[key] = "value" .. i
        if i % 7 == 0 then
          db:delete(key)
          expected[key] = nil
        end
      end
    end
    local t, _, to = repair(few)
    assert.same(expected, t)
    do
      local db <close> = assert(freyja.open(to))
      local key = assert(next(expected))
      db:put(key, "new")
      assert.is_true(db:delete(key))
      expected[key] = nil
    end
    assert.same(expected, contents(to))
    assert.same(expected, (repair(to)))
  end)

  it("does the same for random stores, as a plain table says", function()
    local seed = math.tointeger(tonumber(os.getenv "FREYJA_SEED")) or os.time()
    math.randomseed(seed)
    for round = 1, 20 do
      local model, versions = {}, {}
      local source = dir.path .. "/random" .. round
      do
        local db <close> = assert(freyja.open(source, { segment_size = 4096, maintenance = "manual" }))
        for i = 1, math.random(200, 400) do -- several files: one whole header stays
          local key = "k" .. math.random(40)
          local value = ("%d "):format(i):rep(math.random(30))
          versions[key .. "\0" .. value] = true
          db:put(key, value)
          model[key] = value
          if math.random(5) == 1 then
            db:delete(key)
            model[key] = nil
          end
        end
      end
      local message = ("seed %d, round %d"):format(seed, round)
      assert.same(model, (repair(source)), message)
      if round % 2 == 0 then os.remove(source .. "/MANIFEST") end
      for _ = 1, math.random(3) do
        local names = tmp.list(source)
        local file = source .. "/" .. names[math.random(#names)]
        if file:find "%.data$" then flip(file, math.random(lfs.attributes(file, "size") * 8) - 1) end
      end
      local t, report = repair(source)
      local wrong = 0
      for k, v in pairs(t) do
        assert.is_true(versions[k .. "\0" .. v], message)
        if model[k] ~= v then wrong = wrong + 1 end
      end
      -- Where the mark of the last file was hit as well, what follows a damaged record there is taken for torn.
      assert.is_true(wrong <= report.doubtful_keys + report.torn_records, message)
      for _, problem in ipairs(report.problems) do
        if problem.lost then assert.is_nil(t[problem.key], message) end
      end
    end
  end)

  it("refuses what is no store, and leaves nothing", function()
    lfs.mkdir(dir.path .. "/empty")
    lfs.mkdir(dir.path .. "/other")
    tmp.write(dir.path .. "/other/notes.txt", "something")
    tmp.write(dir.path .. "/file", "something")
    local before = tmp.list(dir.path)
    for _, row in ipairs {
      { "/none", "/to", "io" }, { "/empty", "/to", "io" }, { "/other", "/to", "io" },
      { "/file", "/to", "io" }, { "/db", "/db", "io" }, { "/db", "/other", "io" },
      { "/db", "/file", "io" }, { "/db", "/no/to", "io" }, { "/db", "/db/to", "limit" },
    } do
      local err = error_of(freyja.repair, dir.path .. row[1], { to = dir.path .. row[2] })
      assert.equal(row[3], err.code, row[1] .. " to " .. row[2])
      assert.truthy(err.path)
      assert.same(before, tmp.list(dir.path))
      assert.is_false(tmp.exists(path .. "/to"))
    end
    assert.same({}, tmp.list(dir.path .. "/empty"))
    freyja.repair(path, { to = dir.path .. "/empty" })
    assert.same(WHOLE, contents(dir.path .. "/empty"))
  end)

  it("is refused while a writer has the store, and excludes one", function()
    do
      local db <close> = assert(freyja.open(path))
      local err = error_of(freyja.repair, path, { to = dir.path .. "/to" })
      assert.equal("locked", err.code)
      assert.is_false(tmp.exists(dir.path .. "/to"))
      db:put("new", "value")
    end
    local db <close> = assert(freyja.open(path, { readonly = true }))
    assert.equal("value", (repair(path)).new)
    db:close()
    os.remove(path .. "/LOCK")
    assert.equal("value", (repair(path)).new)
    assert.is_false(tmp.exists(path .. "/LOCK"))
    lfs.mkdir(path .. "/LOCK")
    local t, report = repair(path)
    assert.equal("value", t.new)
    assert.matches("LOCK$", report.problems[1].path)
  end)

  it("refuses the format of another version", function()
    local bytes = tmp.read(path .. "/1.data")
    tmp.write(path .. "/1.data", bytes:sub(1, 7) .. "\2" .. bytes:sub(9))
    local _, report = repair(path) -- its check does not hold: it is damaged
    assert.matches("damaged", problem_of(report, "1.data").message)
  end)

  it("checks its arguments", function()
    for _, row in ipairs {
      { {}, "string expected" }, { { path }, "table expected" }, { { path, {} }, "'to' must be" },
      { { path, { to = 1 } }, "'to' must be" }, { { path, { to = "x", also = 1 } }, "unknown option" },
      { { path, { to = "a\0b" } }, "zero byte" }, { { "a\0b", { to = "x" } }, "zero byte" },
    } do
      assert.matches(row[2], error_of(freyja.repair, table.unpack(row[1])))
    end
  end)

  it("that does not fit the disk leaves nothing", function()
    do
      local db <close> = assert(freyja.open(path))
      for i = 1, 3000 do db:put("key" .. i, ("x"):rep(100)) end
    end
    local script = ([[
      local ok, err = pcall(require "freyja".repair, "%s", {to = "%s/to"})
      print(ok, err.code)
    ]]):format(path, dir.path)
    local pipe <close> = assert(io.popen(("ulimit -f 64; lua5.4 -e '%s' 2>&1"):format(script)))
    assert.equal("false\tfull\n", pipe:read "a")
    assert.same({ "db" }, tmp.list(dir.path))
  end)
end)
