local follow = require "spec.support.follow"
local freyja = require "freyja"
local store = require "spec.support.store"
local tmp = require "spec.support.tmp"

local contents <const>, error_of <const> = store.contents, store.error_of

for _, io_mode in ipairs { "mmap", "syscall" } do
  describe("a store that follows, with io = " .. io_mode, function()
    local dir, path, db, reader
    local function open(options)
      options.io = io_mode
      return assert(freyja.open(path, options))
    end
    require("spec.support.leaks").watch(before_each, after_each, function()
      dir = tmp.fast_dir()
      path = dir.path .. "/db"
      db = open { maintenance = "manual", segment_size = 65536 }
      db:put("old", "1")
      reader = open { readonly = true }
    end, function()
      reader:close()
      db:close()
      getmetatable(dir).__close(dir)
    end)

    it("shows what was written when it is refreshed, and not before", function()
      db:put("new", "2")
      db:delete "old"
      assert.same({ old = "1" }, contents(reader))
      assert.is_true(reader:refresh())
      assert.same({ new = "2" }, contents(reader))
      assert.equal(1, #reader)
      assert.is_false(reader:refresh())
    end)

    it("follows all that changes files", function()
      for i = 1, 300 do db:put("key" .. i % 100, ("x"):rep(i)) end
      db:rotate()
      db:transaction(function(tx)
        tx:put("t1", "1")
        tx:delete "key5"
      end)
      assert.is_true(reader:refresh())
      assert.same(contents(db), contents(reader))
      local i = 0
      db:load(function()
        i = i + 1
        if i < 50 then return "key" .. i, "loaded" end
      end)
      db:hint(1)
      db:checkpoint()
      db:put("behind", "1")
      assert.is_true(reader:refresh())
      assert.same(contents(db), contents(reader))
      local ids = {}
      for _, segment in ipairs(db:segments()) do ids[#ids + 1] = segment.sealed and segment.id or nil end
      local rewrite <close> = db:rewrite(ids)
      for record in rewrite:records() do
        if record.key == "key7" then rewrite:drop(record) end
      end
      rewrite:commit()
      assert.is_true(reader:refresh())
      assert.is_nil(reader:get "key7")
      assert.same(contents(db), contents(reader))
      db:close()
      assert.same({ "behind", "1" }, { "behind", reader:get "behind" })
      assert.is_false(reader:refresh())
      db = open { maintenance = "manual" }
      db:put("again", "1")
      assert.is_true(reader:refresh())
      assert.same(contents(db), contents(reader))
      assert.equal(#db:segments(), #reader:segments())
    end)

    it("tells of what a filter has dropped", function()
      db:rotate()
      reader:refresh()
      db:merge({ db:segments()[1].id }, { filter = function() return false end })
      assert.is_true(reader:refresh())
      assert.is_nil(reader:get "old")
      assert.equal(0, #reader)
    end)

    it("verifies the files as they are by then", function()
      for i = 1, 300 do db:put("key" .. i % 100, ("x"):rep(i)) end
      db:rotate()
      db:merge { db:segments()[1].id }
      db:put("more", "1")
      db:close()
      assert.is_true(reader:verify().ok)
      assert.equal("1", reader:get "more")
    end)

    it("tells of a file that is gone, as often as it is asked", function()
      db:rotate()
      db:put("k", "1")
      db:rotate()
      os.remove(path .. "/2.data")
      for _ = 1, 2 do
        reader:refresh()
        assert.equal("corrupt", error_of(reader.get, reader, "k").code)
        assert.equal("corrupt", error_of(reader.get, reader, "old").code)
      end
    end)

    it("reads anew a store that was put back from a backup", function()
      db:backup(dir.path .. "/saved")
      for i = 1, 300 do db:put("key" .. i, ("x"):rep(100)) end
      reader:refresh()
      assert.equal(301, #reader)
      db:close()
      for _, name in ipairs(tmp.list(path)) do os.remove(path .. "/" .. name) end
      for _, name in ipairs(tmp.list(dir.path .. "/saved")) do
        tmp.write(path .. "/" .. name, tmp.read(dir.path .. "/saved/" .. name))
      end
      assert.is_true(reader:refresh())
      assert.same({ old = "1" }, contents(reader))
      assert.is_nil(reader:get "key300")
    end)

    it("tells of damage, whether it opens then or is refreshed", function()
      for _, key in ipairs { "a", "b", "c" } do db:put(key, ("x"):rep(40)) end
      db:sync()
      db:put("behind", "1")
      local file = path .. "/1.data"
      local bytes = tmp.read(file)
      local at = assert(bytes:find("b" .. ("x"):rep(40), 1, true))
      local handle <close> = assert(io.open(file, "r+"))
      handle:seek("set", at)
      handle:write "y"
      handle:flush()
      assert.is_true(reader:refresh())
      local other <close> = open { readonly = true }
      for _, follower in ipairs { reader, other } do
        assert.equal("corrupt", error_of(follower.get, follower, "b").code)
        assert.equal(("x"):rep(40), follower:get "c")
        assert.equal("1", follower:get "behind")
        assert.equal(1, follower:stats().recovery.damaged)
      end
    end)

    it("lets values expire", function()
      db:put("soon", "x", { ttl = 1e-6 })
      db:put("later", "x", { ttl = 1000 })
      assert.is_true(reader:refresh())
      while db:has "soon" do db:get "old" end
      assert.same({ old = "1", later = "x" }, contents(reader))
      assert.is_true(reader:ttl "later" > 900)
    end)

    it("goes on with loops that were begun before", function()
      for i = 1, 50 do db:put("key" .. i, "1") end
      reader:refresh()
      local seen = {}
      for key, value in reader:each() do
        seen[key] = value
        db:put("key" .. #key, "2")
        db:delete "key20"
        db:put("other" .. key, "2")
        reader:refresh()
      end
      for i = 1, 50 do assert.equal("1", seen["key" .. i]) end
      assert.is_nil(seen.otherkey1)
      assert.is_nil(reader:get "key20")
    end)

    it("tells serializable transactions of what came", function()
      local tx <close> = reader:begin { serializable = true }
      assert.equal("1", tx:get "old")
      tx:commit()
      local late <close> = reader:begin { serializable = true }
      for _ in late:each() do end
      db:put("new", "2")
      reader:refresh()
      assert.equal("conflict", error_of(late.commit, late).code)
    end)

    it("leaves what needs all files at rest to the writer", function()
      assert.equal("conflict", error_of(reader.verify, reader).code)
      assert.equal("conflict", error_of(reader.backup, reader, dir.path .. "/second").code)
      db:close()
      assert.is_true(reader:verify().ok)
      reader:backup(dir.path .. "/second")
      db = open {}
    end)

    it("is nothing for a store that writes", function()
      db:put("new", "2")
      assert.is_false(db:refresh())
      db:close()
      assert.equal("closed", error_of(db.refresh, db).code)
    end)

    it("is told when the folder holds another store", function()
      db:close()
      os.execute(("rm -f '%s'/*"):format(path))
      db = open {}
      assert.equal("corrupt", error_of(reader.refresh, reader).code)
      assert.equal(0, #db)
    end)
  end)
end

describe("a writer in another process", function()
  require("spec.support.leaks").watch(before_each, after_each)

  for number, mode in ipairs(follow.MODES) do
    it(("is followed to the operation, killed and begun again: %s, %s, %s"):format(mode.writer, mode.sync,
      mode.follower), function()
      local dir <close> = tmp.fast_dir()
      local seed = os.time() + number
      local function enough(figures) return figures.changes >= 40 and figures.writers >= 2 end
      local figures = follow.run(dir.path .. "/db", seed, mode, 300, enough)
      assert.is_true(figures.operations >= 300, "seed " .. seed)
    end)
  end

  it("does not mind that a follower is killed", function()
    local dir <close> = tmp.dir()
    local db <close> = assert(freyja.open(dir.path))
    db:put("k", "1")
    tmp.write(dir.path .. ".lua", [[
      local db = assert(require "freyja".open((...), { readonly = true }))
      print(db:get "k")
      io.stdout:flush()
      os.execute "kill -9 $PPID"
    ]])
    local pipe <close> = assert(io.popen(("lua5.4 '%s.lua' '%s' 2>&1"):format(dir.path, dir.path)))
    assert.equal("1", pipe:read "l")
    os.remove(dir.path .. ".lua")
    db:put("k", "2")
    assert.is_true(db:verify().ok)
  end)
end)
