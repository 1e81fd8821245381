--- What the chunks under test have at hand: fills their table `s`. Chunks run in a Lua state of
--- their own: as string.dump gives them, with no upvalue but _ENV.
---
--- A key's value is a function of the key and a version, so that a value that was never written
--- shows. `s.may[key]` is the set of versions that the key may have in the end, 0 for none; the
--- store holds version 1 of the keys of `s.base` from the beginning.

return function(s)
  s.long = ("L"):rep(600) -- a key longer than what the binding copies to the C stack
  s.may = {}
  local values = {} -- all made before memory fails: it is not there to fail here

  local function make(key, version)
    local size = ({ m = 1500, b = 66000 })[key:sub(1, 1)] or 10
    return ("%s=%d;"):format(key, version) .. ("x"):rep(size * version)
  end

  --- Keys that begin with "m" have values of more than 1 KiB, with "b" of more than 64 KiB; version 2
  --- is twice as large as version 1.
  function s.value(key, version)
    local known = values[key]
    return known and known[version] or make(key, version)
  end

  --- The version of a value; nil if it is no value of that key. Of a number alone, what is before
  --- the point.
  function s.version(key, value)
    if value == nil then return 0 end
    if tonumber(value) then return tonumber(value) // 1 end
    local version = tonumber(value:match "=(%d+);")
    return version and s.value(key, version) == value and version or nil
  end

  function s.options(changes)
    local options = { segment_size = 256 << 10, sync = "none", io = s.io, maintenance = "manual" }
    for name, value in pairs(changes or {}) do options[name] = value end
    return options
  end

  function s.open(changes, path)
    return assert(require "freyja".open(path or s.path, s.options(changes)))
  end

  --- Opens the store, new, with version 1 of these keys.
  function s.begin(...)
    s.db = s.open()
    for _, key in ipairs { ... } do
      s.allow(key, 1)
      s.db:put(key, s.value(key, 1))
    end
  end

  --- In the end the key may also have one of these versions.
  function s.allow(key, ...)
    s.may[key] = s.may[key] or {}
    values[key] = values[key] or { make(key, 1), make(key, 2) }
    for _, version in ipairs { ... } do s.may[key][version] = true end
  end

  --- The versions that the store holds; raises if one is not allowed, or if get, each, keys
  --- and # do not agree. Of keys that are numbers, `may` need not tell.
  function s.read(db)
    local found, count = {}, 0
    for key, value in db:each() do
      local version = s.version(key, value)
      local may = s.may[key] or tonumber(key) and { true, true }
      assert(version and may and may[version], "a wrong value")
      assert(not found[key], "a key is given twice")
      found[key] = version
      count = count + 1
    end
    assert(#db == count, "the length is wrong")
    for key, versions in pairs(s.may) do
      assert(found[key] or versions[0], "a key is missing")
      assert(s.version(key, db:get(key)) == (found[key] or 0), "get and each disagree")
    end
    return found
  end

  --- Closes the store and damages version 1 of the value, the first in 1.data; or mends it.
  function s.damage(key, mend)
    if s.is_open(s.db) then s.db:close() end
    s.db = nil
    local file <close> = assert(io.open(s.path .. "/1.data", "r+b"))
    s.place = s.place or file:read "a":find(s.value(key, 1), 1, true)
    file:seek("set", s.place - 1)
    file:write(mend and key:sub(1, 1) or "!")
  end

  function s.is_open(handle) return handle and not tostring(handle):find "closed" end

  --- The store of the chunk, or one opened now, after what was left behind is gone.
  function s.store()
    s.it, s.co = nil, nil
    collectgarbage()
    collectgarbage()
    if not s.is_open(s.db) then s.db = s.open() end
    return s.db
  end

  --- The next operations work, the store holds what it may and nothing is held twice.
  function s.check()
    local db = s.store()
    assert(db:stats().iterators == 0, "an iterator is left")
    local before = s.read(db)
    db:put("probe", "1")
    assert(db:get "probe" == "1" and db:delete "probe" and not db:has "probe")
    db:close()
    db = s.open { sync = 4711 } -- which proves that nobody has it open: the option would not be its
    local after = s.read(db)
    for key in pairs(s.may) do assert(before[key] == after[key], "opened again, it differs") end
    s.db = db -- for the end of the state to close
  end
end
