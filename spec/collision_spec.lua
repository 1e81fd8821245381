-- Goal: keys with the same hash are different keys, before and after every kind of opening.
-- Method: a hash of 1, 4 or 12 bits, many keys, overwrites and deletes in a fixed pattern that
-- makes every transition between flagged and unflagged records, opened again at each step.
local freyja = require "freyja"
local tmp = require "spec.support.tmp"

describe("keys whose hashes collide", function()
  require("spec.support.leaks").watch(before_each, after_each)

  for _, io_mode in ipairs { "mmap", "syscall" } do
    for _, hash_bits in ipairs { 1, 4, 12 } do
      it(("stay different keys with %d bits and io = %s"):format(hash_bits, io_mode), function()
        local dir <close> = tmp.dir()
        local options = { hash_bits = hash_bits, segment_size = 4096, io = io_mode }
        local model = {}
        for round = 1, 8 do
          do
            local db <close> = assert(freyja.open(dir.path, options))
            for i = 1, 120 do
              local key = ("key"):rep(i % 3 + 1) .. i
              local what = (i * 7 + round * round) % 5
              if what < 2 then
                model[key] = ("round %d of %s"):format(round, key)
                db:put(key, model[key])
              elseif what == 2 then
                assert.equal(model[key] ~= nil, db:delete(key))
                model[key] = nil
              elseif what == 3 then
                assert.equal(model[key] == nil, db:insert(key, "inserted"))
                model[key] = model[key] or "inserted"
              end
              assert.equal(model[key], db:get(key))
            end
          end
          local db <close> = assert(freyja.open(dir.path, { io = io_mode }))
          local found = {}
          for k, v in db:each() do found[k] = v end
          assert.same(model, found, "round " .. round)
          for k, v in pairs(model) do assert.equal(v, db:get(k)) end
          assert.is_nil(db:get "never")
        end
      end)
    end
  end

  for _, io_mode in ipairs { "mmap", "syscall" } do
    for hash_bits, count in pairs { 3, [8] = 300, [10] = 900 } do
      it(("are the same after reading a long log, %d bits, io = %s"):format(hash_bits, io_mode), function()
        local dir <close> = tmp.dir()
        local model = {}
        do
          local options = { hash_bits = hash_bits, sync = "none", maintenance = "manual" }
          local db <close> = assert(freyja.open(dir.path, options))
          for i = 1, 25000 do
            local key = "key" .. i * 7919 % 104729 % count
            if i * 31 % 64 < 32 then
              db:put(key, tostring(i))
              model[key] = tostring(i)
            else
              db:delete(key)
              model[key] = nil
            end
          end
        end
        os.remove(dir.path .. "/KEYDIR")
        local db <close> = assert(freyja.open(dir.path, { io = io_mode }))
        local found = {}
        for k, v in db:each() do found[k] = v end
        assert.same(model, found)
        for i = 0, count do assert.equal(model["key" .. i], (db:get("key" .. i))) end
        assert.is_true(db:verify().ok)
      end)
    end
  end

  for _, io_mode in ipairs { "mmap", "syscall" } do
    it("are refused by an open when they are so many that it would take too long, io = " .. io_mode, function()
      local dir <close> = tmp.dir()
      local function fill(name, hash_bits)
        local path = dir.path .. "/" .. name
        do
          local db <close> = assert(freyja.open(path, { hash_bits = hash_bits, sync = "none" }))
          for i = 1, 4500 do db:put("key" .. i, "v" .. i) end
        end
        return path, freyja.open(path, { io = io_mode })
      end
      local path, none, why = fill("one bit", 1)
      assert.is_nil(none)
      assert.equal("limit", why.code)
      assert.matches("the same hash", why.message)
      assert.matches("one bit", why.path)
      assert.same({}, assert(freyja.repair(path, { to = dir.path .. "/repaired" })).problems)
      for _, db in ipairs { assert(freyja.open(dir.path .. "/repaired")), (select(2, fill("eight bits", 8))) } do
        for i = 1, 4500 do assert.equal("v" .. i, db:get("key" .. i)) end
        db:close()
      end
    end)
  end

  -- A record is compared with those before it only if one of them says that its hash is not
  -- enough: that has to hold for whatever order merges leave.
  it("stay different keys when merges take away what stood between their records", function()
    local dir <close> = tmp.dir()
    local options = { hash_bits = 1, maintenance = "manual" }
    local function step(write)
      local db <close> = assert(freyja.open(dir.path, options))
      write(db)
      db:rotate()
      local segments = db:segments()
      return segments[#segments - 1].id
    end
    local function merge(ids)
      local db <close> = assert(freyja.open(dir.path, options))
      local rewrite <close> = db:rewrite(ids)
      rewrite:commit()
    end
    -- Of three keys two have the same bit.
    for _, pair in ipairs { { "k1", "k2" }, { "k1", "k3" }, { "k2", "k3" } } do
      local a, b = pair[1], pair[2]
      local first = step(function(db)
        db:put(a, "1")
        db:put(b, "2")
        db:delete(a)
      end)
      local second = step(function(db) db:put(a, "3") end)
      local third = step(function(db) db:put(b, "4") end)
      merge { first } -- now a is the first of the two
      local fourth = step(function(db) db:put(a, "5") end)
      merge { second } -- and now b
      do
        local db <close> = assert(freyja.open(dir.path, options))
        assert.equal("5", db:get(a))
        assert.equal("4", db:get(b))
      end
      local last = step(function(db)
        db:delete(a)
        db:delete(b)
      end)
      merge { third, fourth, last }
    end
  end)

  it("keep the width of the hash that the store was made with", function()
    local dir <close> = tmp.dir()
    do
      local db <close> = assert(freyja.open(dir.path, { hash_bits = 1 }))
      for i = 1, 50 do db:put("key" .. i, "v" .. i) end
    end
    local db <close> = assert(freyja.open(dir.path, { hash_bits = 64 }))
    for i = 1, 50 do assert.equal("v" .. i, db:get("key" .. i)) end
  end)
end)
