-- Goal: Lua states that run in threads of one process share a store, as those do that a program makes by luv.
-- Method: threads that write and read the same keys at once, and what is there then. What C threads see, and that no
-- reader waits, is for spec/support/c/threads.c.
local freyja = require "freyja"
local luv = require "luv"
local store = require "spec.support.store"
local tmp = require "spec.support.tmp"

local contents <const>, error_of <const> = store.contents, store.error_of

--- Runs the function, which has no upvalues, in so many threads at once, with the path, the thread's number and
-- further plain values; raises what any of them has raised.
local function in_threads(count, path, body, ...)
  local paths, cpaths = package.path, package.cpath
  local results = tmp.dir()
  local threads, extra = {}, { ... }
  for i = 1, count do
    threads[i] = luv.new_thread(function(code, lua_path, c_path, out, ...)
      package.path, package.cpath = lua_path, c_path
      local ok, err = pcall(load(code, "thread", "b"), ...)
      local file = assert(io.open(out, "w"))
      file:write(ok and "ok" or tostring(err))
      file:close()
    end, string.dump(body), paths, cpaths, results.path .. "/" .. i, path, i, table.unpack(extra))
  end
  for i = 1, count do threads[i]:join() end
  for i = 1, count do assert.equal("ok", tmp.read(results.path .. "/" .. i)) end
  getmetatable(results).__close(results)
end

describe("a store that threads share", function()
  local dir
  require("spec.support.leaks").watch(before_each, after_each, function() dir = tmp.fast_dir() end, function()
    getmetatable(dir).__close(dir)
  end)

  it("has what all of them have written", function()
    local path = dir.path .. "/db"
    in_threads(4, path, function(where, number)
      local db <close> = assert(require("freyja").open(where))
      for i = 1, 2000 do
        db:put(("%d/%d"):format(number, i), i)
        assert(db:get(("%d/%d"):format(number, i)) == tostring(i))
      end
      for i = 1, 2000, 2 do assert(db:delete(("%d/%d"):format(number, i))) end
    end)
    local db <close> = assert(freyja.open(path))
    assert.equal(4000, #db)
    for number = 1, 4 do assert.equal("2000", db:get(number .. "/2000")) end
    assert.is_true(db:verify().ok)
  end)

  it("counts what they count by cas, and by transactions", function()
    local path = dir.path .. "/db"
    local db <close> = assert(freyja.open(path))
    db:put("cas", "0")
    db:put("transactions", "0")
    in_threads(4, path, function(where)
      local own <close> = assert(require("freyja").open(where))
      for _ = 1, 500 do
        local seen
        repeat seen = own:get "cas" until own:cas("cas", seen, tostring(math.tointeger(seen) + 1))
        own:transaction(function(tx)
          tx:put("transactions", tostring(math.tointeger(tx:get "transactions") + 1))
        end, { serializable = true, retries = 1000 })
      end
    end)
    assert.same({ cas = "2000", transactions = "2000" }, contents(db))
  end)

  it("goes on for the others when one of them closes it, or ends without that", function()
    local path = dir.path .. "/db"
    local db <close> = assert(freyja.open(path, { maintenance = "manual" }))
    for round = 1, 3 do
      in_threads(2, path, function(where, number, turn)
        local own = assert(require("freyja").open(where))
        own:put(("%d/%d"):format(turn, number), "x")
        own:begin():put("never", "x")
        own:each()
        if number == 1 then own:close() end
      end, round)
      assert.equal(2 * round, #db)
    end
    assert.is_nil(db:get "never")
    assert.equal(0, db:stats().iterators)
  end)

  it("is maintained by one of them at a time, whoever writes", function()
    local path = dir.path .. "/db"
    in_threads(3, path, function(where, number)
      local own <close> = assert(require("freyja").open(where, { segment_size = 65536, sync = "none" }))
      for i = 1, 30000 do own:put("key" .. (i * number) % 500, ("v"):rep(100) .. i) end
      assert(own:stats().maintenance.error == nil, tostring(own:stats().maintenance.error))
    end)
    local db <close> = assert(freyja.open(path))
    assert.equal(500, #db)
    local stats = db:stats()
    assert.is_true(stats.bytes < 6 * stats.live_bytes + 65536, ("%d of %d live"):format(stats.bytes, stats.live_bytes))
    assert.is_true(db:verify().ok)
  end)

  it("lets a read-only handle of the same process follow", function()
    local path = dir.path .. "/db"
    local db <close> = assert(freyja.open(path))
    db:put("k", "1")
    local reader <close> = assert(freyja.open(path, { readonly = true }))
    in_threads(1, path, function(where)
      local own <close> = assert(require("freyja").open(where))
      own:put("k", "2")
    end)
    assert.equal("2", db:get "k")
    assert.equal("1", reader:get "k")
    assert.is_true(reader:refresh())
    assert.equal("2", reader:get "k")
    assert.equal("readonly", error_of(reader.put, reader, "k", "3").code)
  end)
end)
