-- Goal: engine/FORMAT.md is true: its example record is what the store writes, and files can be
-- read by what it says alone.
-- Method: the hex dump of section 8 is parsed out of the document and decoded; that it is what the
-- engine writes is shown by spec/support/c/capi.c, with the same bytes. A store's own files are
-- decoded by spec/support/record.lua, written from the document.
local freyja = require "freyja"
local record = require "spec.support.record"
local tmp = require "spec.support.tmp"

--- The bytes of the examples of section 8.
local function examples()
  local document = tmp.read "engine/FORMAT.md"
  local section = assert(document:match "## 8%. An example(.-)## 9")
  local found = {}
  for hex in section:gmatch "```\n(.-)```" do
    found[#found + 1] = hex:gsub("%s+", ""):gsub("%x%x", function(byte) return string.char(tonumber(byte, 16)) end)
  end
  return found
end

describe("FORMAT.md", function()
  require("spec.support.leaks").watch(before_each, after_each)

  it("shows records that decode to what it says", function()
    local plain, expiring = table.unpack(examples())
    assert.same({ 32, 40 }, { #plain, #expiring })
    assert.same({
      check = 0x07aae796, value_sum = 0xa2a0d9ec, kind = "put", collides = false, more = false,
      timestamp = 1, expiry = 0, key = "k", value = "v", size = 32,
    }, record.decode(plain, 0))
    assert.same({
      check = 0x5a3937b5, value_sum = 0xa2a0d9ec, kind = "put", collides = false, more = false,
      timestamp = 1, expiry = 258, key = "k", value = "v", size = 40,
    }, record.decode(expiring, 0))
  end)

  it("shows the records that the test of the engine's codec writes", function()
    local source = tmp.read "spec/support/c/capi.c"
    for i, name in ipairs { "want%[32%]", "expiring%[40%]" } do
      local hex = examples()[i]:gsub(".", function(byte) return ("0x%02x,"):format(byte:byte()) end)
      local tested = source:match(name .. " = {(.-)}"):gsub("%s+", "")
      assert.equal(hex, tested .. ",")
    end
  end)

  it("says that marks go to the two slots in turn, whenever the store is opened again", function()
    local dir <close> = tmp.dir()
    local synced = { 128, 128 }
    for i, syncs in ipairs { 1, 1, 2, 1, 0, 3, 1, 1 } do
      do
        local db <close> = assert(freyja.open(dir.path))
        for _ = 1, syncs do
          db:put("key", "value " .. i)
          db:sync()
          synced[#synced + 1] = synced[#synced] + 40
        end
      end
      local marks = record.header(tmp.read(dir.path .. "/1.data")).marks
      table.sort(marks)
      if synced[#synced - 1] > 128 then
        assert.same({ synced[#synced - 1], synced[#synced] }, marks)
      end
    end
  end)

  it("says how the records of a transaction are known, also in a copy by a merge", function()
    local dir <close> = tmp.dir()
    local function more(id)
      local bytes, offset, flags = tmp.read(("%s/%d.data"):format(dir.path, id)), 128, {}
      while offset < #bytes do
        local decoded = record.decode(bytes, offset)
        flags[#flags + 1] = decoded.more
        offset = offset + decoded.size
      end
      return flags
    end
    do
      local db <close> = assert(freyja.open(dir.path, { segment_size = 4096, maintenance = "manual" }))
      db:put("k", "v")
      db:transaction(function(tx) for i = 1, 3 do tx:put(i, i) end end)
      db:transaction(function(tx) tx:put("alone", "x") end)
      db:transaction(function(tx)
        tx:delete "k"
        tx:put("large", ("x"):rep(3900)) -- does not fit any more: a new file for both
      end)
      db:rotate()
      assert.same({ false, true, true, false, false }, more(1))
      assert.same({ true, false }, more(2))
      db:merge { 1, 2 }
      for _, segment in ipairs(db:segments()) do
        for _, flag in ipairs(more(segment.id)) do assert.is_false(flag) end
      end
      assert.equal(5, #db)
    end
  end)

  it("is enough to find every record of a store", function()
    local dir <close> = tmp.dir()
    local want = {}
    do
      local db <close> = assert(freyja.open(dir.path, { segment_size = 4096, hash_bits = 4, maintenance = "manual" }))
      for i = 1, 300 do
        local key, value = "key" .. i % 50, ("v"):rep(i % 23)
        if i % 7 == 0 and db:delete(key) then
          want[#want + 1] = { "tombstone", key, "" }
        elseif i % 7 ~= 0 then
          db:put(key, value)
          want[#want + 1] = { "put", key, value }
        end
      end
    end
    local manifest = record.manifest(tmp.read(dir.path .. "/MANIFEST"))
    assert.equal(4, manifest.hash_bits)
    local found, last = {}, 0
    for i, entry in ipairs(manifest.segments) do
      local bytes = tmp.read(dir.path .. "/" .. entry.id .. ".data")
      local header = record.header(bytes)
      assert.equal(entry.id, header.id)
      assert.equal(manifest.store_id, header.store_id)
      assert.equal(manifest.hash_seed, header.hash_seed)
      assert.equal(i == #manifest.segments and 0 or #bytes, entry.size)
      if i == #manifest.segments then assert.equal(#bytes, header.mark) end
      local offset = 128
      while offset < #bytes do
        local decoded = record.decode(bytes, offset)
        found[#found + 1] = { decoded.kind, decoded.key, decoded.value }
        assert.is_true(decoded.timestamp > last)
        last = decoded.timestamp
        offset = offset + decoded.size
      end
    end
    assert.same(want, found)
  end)
end)
