-- Goal: a backup holds what the store held at the call, opens as a store, and neither changes
-- the other afterwards; a backup that fails leaves nothing.
-- Method: random writes with backups in between, compared with plain tables; both written on;
-- inodes for hard links; targets that cannot be used.
local lfs = require "lfs"
local freyja = require "freyja"
local store = require "spec.support.store"
local tmp = require "spec.support.tmp"

local contents <const>, error_of <const> = store.contents, store.error_of

local function copy(t)
  local c = {}
  for k, v in pairs(t) do c[k] = v end
  return c
end

local function fill(db, from, to)
  for i = from, to do db:put("key" .. i, ("value %d "):format(i):rep(20)) end
end

local function assert_holds(path, expected, options)
  local db <close> = assert(freyja.open(path, options))
  assert.same(expected, contents(db))
  assert.is_true(db:verify().ok)
end

--- The inodes of the data files in a folder, by name.
local function inodes(path)
  local t = {}
  for _, name in ipairs(tmp.list(path)) do
    if name:find "%.data$" then t[name] = lfs.attributes(path .. "/" .. name, "ino") end
  end
  return t
end

for _, io_mode in ipairs { "mmap", "syscall" } do
  describe("a backup, with io = " .. io_mode, function()
    require("spec.support.leaks").watch(before_each, after_each)

    it("holds the state at the call, between any writes and within a loop", function()
      local seed = math.tointeger(tonumber(os.getenv "FREYJA_SEED")) or os.time()
      math.randomseed(seed)
      local dir <close> = tmp.dir()
      local db <close> = assert(freyja.open(dir.path .. "/db",
        { io = io_mode, segment_size = 4096, sync = "none" }))
      local model, snapshots = {}, {}
      local function write()
        local key = "key" .. math.random(50)
        if math.random(4) == 1 then
          db:delete(key)
          model[key] = nil
        else
          model[key] = tostring(math.random()):rep(math.random(0, 10))
          db:put(key, model[key])
        end
        if math.random(100) == 1 then db:rotate() end
      end
      local function back_up()
        local path = dir.path .. "/backup" .. #snapshots
        db:backup(path, { links = math.random(2) == 1 })
        snapshots[#snapshots + 1] = { path = path, model = copy(model) }
      end
      back_up()
      for _ = 1, 20 do
        for _ = 1, math.random(0, 60) do write() end
        back_up()
      end
      local steps = 0
      for _ in db:each() do
        write()
        steps = steps + 1
        if steps % 10 == 0 then back_up() end
      end
      for i, snapshot in ipairs(snapshots) do
        local other <close> = assert(freyja.open(snapshot.path, { readonly = i % 2 == 0 }))
        local message = ("seed %d, backup %d"):format(seed, i)
        assert.same(snapshot.model, contents(other), message)
        assert.is_true(other:verify().ok, message)
      end
      assert.is_true(db:verify().ok)
    end)

    it("and its store are written on without changing each other", function()
      for _, links in ipairs { true, false } do
        local dir <close> = tmp.dir()
        local path, second = dir.path .. "/db", dir.path .. "/second"
        local options = { io = io_mode, segment_size = 4096 }
        local db <close> = assert(freyja.open(path, options))
        fill(db, 1, 100)
        local before = contents(db)
        db:backup(second, { links = links })
        local other <close> = assert(freyja.open(second, options))
        assert.same(before, contents(other))
        fill(db, 50, 150)
        for i = 1, 20 do db:delete("key" .. i) end
        assert.same(before, contents(other))
        local mine = contents(db)
        for i = 1, 100, 2 do other:delete("key" .. i) end
        fill(other, 201, 300)
        local theirs = contents(other)
        assert.same(mine, contents(db))
        assert.same(theirs, contents(other))
        db:close()
        other:close()
        assert_holds(path, mine, options)
        assert_holds(second, theirs, options)
        local again <close> = assert(freyja.open(second, options))
        os.execute("rm -r " .. path)
        assert.same(theirs, contents(again))
        assert.is_true(again:verify().ok)
      end
    end)

    it("shares the sealed files by hard links, or none at all", function()
      local dir <close> = tmp.dir()
      local db <close> = assert(freyja.open(dir.path .. "/db",
        { io = io_mode, segment_size = 4096 }))
      fill(db, 1, 100)
      db:backup(dir.path .. "/linked")
      db:backup(dir.path .. "/copied", { links = false })
      local own, linked, copied = inodes(dir.path .. "/db"), inodes(dir.path .. "/linked"),
        inodes(dir.path .. "/copied")
      local active = db:segments()[#db:segments()].id .. ".data"
      local shared = 0
      for name, inode in pairs(own) do
        assert.equal(name ~= active, linked[name] == inode, name)
        assert.not_equal(inode, copied[name], name)
        if linked[name] == inode then shared = shared + 1 end
      end
      assert.is_true(shared > 3)
      assert.not_equal(lfs.attributes(dir.path .. "/db/MANIFEST", "ino"),
        lfs.attributes(dir.path .. "/linked/MANIFEST", "ino"))
      for _, name in ipairs { "linked", "copied" } do
        local path = dir.path .. "/" .. name
        assert.equal("rwx------", lfs.attributes(path, "permissions"))
        assert.is_true(tmp.exists(path .. "/LOCK"))
        assert_holds(path, contents(db), { readonly = true })
        assert_holds(path, contents(db))
      end
    end)

    it("is made of a read-only store, without its torn tail, into an empty folder", function()
      local dir <close> = tmp.dir()
      local path = dir.path .. "/db"
      local before
      do
        local db <close> = assert(freyja.open(path, { io = io_mode }))
        fill(db, 1, 30)
        before = contents(db)
      end
      local whole = tmp.read(path .. "/1.data")
      tmp.write(path .. "/1.data", whole .. "torn bytes")
      lfs.mkdir(path .. "/lost")
      lfs.mkdir(dir.path .. "/second")
      do
        local db <close> = assert(freyja.open(path, { io = io_mode, readonly = true }))
        db:backup(dir.path .. "/second")
        db:backup(dir.path .. "/third/")
      end
      assert.same({ "1.data", "LOCK", "MANIFEST" }, tmp.list(dir.path .. "/second"))
      assert.equal(#whole, lfs.attributes(dir.path .. "/second/1.data", "size"))
      assert_holds(dir.path .. "/second", before)
      assert_holds(dir.path .. "/third", before)
    end)

    it("tells damage of what was durable from a torn tail, whatever was synced before", function()
      local dir <close> = tmp.dir()
      do
        local db <close> = assert(freyja.open(dir.path .. "/db", { io = io_mode, sync = "none" }))
        fill(db, 1, 3)
        db:backup(dir.path .. "/second")
      end
      local file = dir.path .. "/second/1.data"
      local bytes = tmp.read(file)
      tmp.write(file, bytes:sub(1, -20) .. "x" .. bytes:sub(-18))
      local db <close> = assert(freyja.open(dir.path .. "/second", { io = io_mode }))
      assert.equal(0, db:stats().recovery.bytes_cut)
      assert.equal("corrupt", error_of(db.get, db, "key3").code)
      assert.matches("value 2", db:get "key2")
    end)

    it("and its store never give two files one name", function()
      local dir <close> = tmp.dir()
      local db <close> = assert(freyja.open(dir.path .. "/db", { io = io_mode }))
      db:put("k", "v")
      db:backup(dir.path .. "/second")
      local other <close> = assert(freyja.open(dir.path .. "/second", { io = io_mode }))
      assert.equal(db:stats().store_id, other:stats().store_id)
      local seen = {}
      for _, each in ipairs { db, other } do
        for i = 1, 3 do
          each:put("k", "v" .. i)
          each:rotate()
        end
        for i, segment in ipairs(each:segments()) do
          assert(i == 1 or not seen[segment.id], segment.id)
          seen[segment.id] = true
        end
      end
    end)

    it("of an empty store is an empty store", function()
      local dir <close> = tmp.dir()
      local db <close> = assert(freyja.open(dir.path .. "/db", { io = io_mode }))
      db:backup(dir.path .. "/second")
      assert.same({ "LOCK", "MANIFEST" }, tmp.list(dir.path .. "/second"))
      assert_holds(dir.path .. "/second", {}, { readonly = true })
      assert_holds(dir.path .. "/second", {})
    end)

    it("of a damaged store has the same damage", function()
      local dir <close> = tmp.dir()
      local path = dir.path .. "/db"
      do
        local db <close> = assert(freyja.open(path, { io = io_mode }))
        db:put("damaged", "value 1")
        db:rotate()
        db:put("missing", "value 2")
        db:rotate()
        db:put("whole", "value 3")
      end
      local bytes = tmp.read(path .. "/1.data")
      tmp.write(path .. "/1.data", bytes:sub(1, 128 + 24 + 7) .. "V" .. bytes:sub(128 + 24 + 9))
      os.remove(path .. "/2.data")
      do
        local db <close> = assert(freyja.open(path, { io = io_mode }))
        db:backup(dir.path .. "/second")
        db:backup(dir.path .. "/third", { links = false })
      end
      for _, name in ipairs { "db", "second", "third" } do
        local db <close> = assert(freyja.open(dir.path .. "/" .. name, { io = io_mode }))
        assert.equal("corrupt", error_of(db.get, db, "damaged").code)
        assert.equal("corrupt", error_of(db.get, db, "missing").code)
        assert.equal("value 3", db:get "whole")
        local problems = db:verify().problems
        assert.equal(2, #problems, name)
        assert.equal("damaged", problems[2].key or problems[1].key)
      end
    end)

    it("is refused where it would harm or cannot be, and then leaves nothing", function()
      local dir <close> = tmp.dir()
      local path = dir.path .. "/db"
      local db <close> = assert(freyja.open(path, { io = io_mode }))
      fill(db, 1, 10)
      lfs.mkdir(dir.path .. "/full")
      tmp.write(dir.path .. "/full/file", "something")
      tmp.write(dir.path .. "/file", "something")
      assert(freyja.open(dir.path .. "/store")):close()
      lfs.mkdir(path .. "/lost")
      assert(lfs.link(path .. "/lost", dir.path .. "/linked", true))
      local before = tmp.list(dir.path)
      for target, code in pairs {
        ["/full"] = "io", ["/store"] = "io", ["/file"] = "io", ["/file/below"] = "io",
        ["/none/below"] = "io", ["/db"] = "io", ["/db/below"] = "limit", ["/db/../db/x"] = "limit",
        ["/linked"] = "limit", ["/linked/below"] = "limit",
      } do
        local err = error_of(db.backup, db, dir.path .. target)
        assert.equal(code, err.code, target)
        assert.equal(dir.path .. target, err.path)
        assert.same(before, tmp.list(dir.path), target)
        assert.is_false(tmp.exists(path .. "/below"))
        assert.same({}, tmp.list(path .. "/lost"))
      end
      assert.equal("io", error_of(db.backup, db, "/proc/freyja").code)
      assert.equal("io", error_of(db.backup, db, "").code)
      assert.equal("something", tmp.read(dir.path .. "/full/file"))
      assert.matches("unknown option 'link'", error_of(db.backup, db, path .. "x", { link = true }))
      assert.matches("'links' must be a boolean",
        error_of(db.backup, db, path .. "x", { links = 1 }))
      assert.matches("zero byte", error_of(db.backup, db, "a\0b"))
      assert.matches("string expected", error_of(db.backup, db))
      db:close()
      assert.equal("closed", error_of(db.backup, db, path .. "x").code)
      assert.same(before, tmp.list(dir.path))
    end)

    it("that does not fit the disk is an error, and leaves nothing", function()
      local dir <close> = tmp.dir()
      do
        local db <close> = assert(freyja.open(dir.path .. "/db"))
        fill(db, 1, 2000)
      end
      lfs.mkdir(dir.path .. "/empty")
      local script = ([[
        local db = assert(require "freyja".open("%s/db", {readonly = true, io = "%s"}))
        for _, name in ipairs {"new", "empty"} do
          local ok, err = pcall(db.backup, db, "%s/" .. name, {links = false})
          print(ok, err.code, err.path:match "[^/]+$")
        end
        print(db:verify().ok)
      ]]):format(dir.path, io_mode, dir.path)
      -- A limit on the size of files, 64 blocks of 512 or 1024 bytes.
      local pipe <close> = assert(io.popen(("ulimit -f 64; lua5.4 -e '%s' 2>&1")
        :format(script)))
      assert.equal("false\tfull\t1.data\nfalse\tfull\t1.data\ntrue\n", pipe:read "a")
      assert.same({ "db", "empty" }, tmp.list(dir.path))
      assert.same({}, tmp.list(dir.path .. "/empty"))
    end)
  end)
end

describe("a backup to another file system", function()
  it("is copied", function()
    local here <close> = tmp.dir()
    local path = ("/dev/shm/freyja-backup-%d"):format(lfs.attributes(here.path, "ino"))
    local shm = lfs.attributes("/dev/shm", "dev")
    if not shm or shm == lfs.attributes(here.path, "dev") then
      pending "there is no second file system"
      return
    end
    local db <close> = assert(freyja.open(here.path .. "/db", { segment_size = 4096 }))
    fill(db, 1, 100)
    db:backup(path)
    assert_holds(path, contents(db))
    os.execute("rm -r " .. path)
  end)
end)
