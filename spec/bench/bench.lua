--- The benchmark from Lua: the same names, keys and values as the one in C (spec/bench/README.md).
---   lua5.4 spec/bench/bench.lua [--keys N] [--runs N] [--dir FOLDER] [--against build/release/bench]
--- With --against, the C program runs too and each figure's difference is printed. The cost of
--- the loop itself, which derives the keys, is measured beside and subtracted.

local NAMES <const> = {
  "put", "overwrite", "get", "get-free", "miss", "miss-free", "delete", "each", "reopen", "load", "durable",
}
local PASSES <const> = {
  "put", "get", "get-free", "miss", "miss-free", "each", "reopen", "overwrite", "delete", "load", "durable",
}

local freyja <const> = require "freyja"

local options = { keys = 1000000, runs = 5 }
for i = 1, #arg, 2 do
  local name = arg[i]:match "^%-%-(%a+)$"
  assert(name and arg[i + 1], "usage: bench.lua [--keys N] [--runs N] [--dir FOLDER] [--against PROGRAM]")
  options[name] = math.tointeger(tonumber(arg[i + 1])) or arg[i + 1]
end
local keys <const>, path = options.keys, (options.dir or ".") .. "/freyja-bench-lua.db"

--- Seconds that pass, as the C program counts them; with os.clock, those of all threads.
local has_system <const>, system <const> = pcall(require, "system") -- comes with busted
local clock <const> = has_system and system.monotime or os.clock

local function remove_store() os.execute("rm -rf '" .. path .. "'") end

local function mix(x)
  x = (x ~ (x >> 30)) * 0xBF58476D1CE4E5B9
  x = (x ~ (x >> 27)) * 0x94D049BB133111EB
  return x ~ (x >> 31)
end

local pack <const> = string.pack
local function make_key(i) return pack("<i8i8", mix(i + 1), mix(~i)) end

--- What follows each key in a random cycle over all keys. Keys and values are made when they
--- are needed: a table of a million strings would add its own cache misses to each operation.
local function make_cycle()
  local order, following = {}, {}
  for i = 1, keys do order[i] = i - 1 end
  for i = keys, 2, -1 do
    local j = (mix(i) >> 1) % i + 1
    order[i], order[j] = order[j], order[i]
  end
  for i = 1, keys do following[i] = 0 end
  for i = 1, keys do following[order[i] + 1] = order[i % keys + 1] end
  return following
end

local following <const> = make_cycle()
local rest <const> = ("\0"):rep(84)

--- Each loop works on a store, or on one that does nothing, which tells what the loop costs.
local nothing <const> = {
  put = function() end,
  delete = function() end,
  get = function(_, key) return key end,
  load = function(_, following_pair)
    while following_pair() do end
  end,
}

local work = {}

function work.put(db)
  for i = 1, keys do db:put(make_key(i - 1), make_key(following[i]) .. rest) end
end

work.overwrite = work.put

function work.load(db)
  local i = 0
  db:load(function()
    if i == keys then return nil end
    i = i + 1
    return make_key(i - 1), make_key(following[i]) .. rest
  end)
end

function work.get(db)
  local key = make_key(0)
  for _ = 1, keys do key = db:get(key):sub(1, 16) end
end

work["get-free"] = function(db)
  for i = 1, keys do db:get(make_key(i * 7919 % keys)) end
end

--- The absent keys depend on the answer before: `found` is nil or, of `nothing`, a string.
function work.miss(db)
  local found
  for i = 1, keys do found = db:get(make_key(found and i or keys + i)) end
end

work["miss-free"] = function(db)
  for i = 1, keys do db:get(make_key(keys + i)) end
end

function work.delete(db)
  for i = 1, keys do db:delete(make_key(i - 1)) end
end

function work.each(db)
  local count = 0
  for _ in db:each() do count = count + 1 end
  assert(count == keys)
end

local function timed(count, f, ...)
  collectgarbage()
  local start = clock()
  f(...)
  return (clock() - start) / count * 1e9
end

local function durable_nanoseconds()
  local count = math.min(keys, 2000)
  remove_store()
  local db <close> = assert(freyja.open(path, { sync = "always" }))
  local socket_ok, socket = pcall(require, "socket") -- waiting for a disk takes no CPU time
  local now = socket_ok and socket.gettime or os.time
  local start = now()
  for i = 1, count do db:put(make_key(i - 1), make_key(following[i]) .. rest) end
  return (now() - start) / count * 1e9
end

local results, loops = {}, {}
for _, name in ipairs(NAMES) do
  results[name], loops[name] = {}, {}
end

for _ = 1, options.runs do
  remove_store()
  local db = assert(freyja.open(path))
  for _, name in ipairs(PASSES) do
    local cost = 0
    if name == "reopen" then
      db:close()
      table.insert(results[name], timed(keys, function() db = assert(freyja.open(path)) end))
    elseif name == "durable" then
      db:close()
      table.insert(results[name], durable_nanoseconds())
    else
      if name == "load" then
        db:close()
        remove_store()
        db = assert(freyja.open(path))
      end
      cost = name == "each" and 0 or timed(keys, work[name], nothing)
      table.insert(results[name], timed(keys, work[name], db))
    end
    table.insert(loops[name], cost)
  end
  remove_store()
end

local function median(list_of_numbers)
  table.sort(list_of_numbers)
  return list_of_numbers[#list_of_numbers // 2 + 1]
end

local in_c = {}
if options.against then
  local pipe <close> = assert(io.popen(("'%s' --keys %d --runs %d --dir '%s'")
    :format(options.against, keys, options.runs, options.dir or ".")))
  for line in pipe:lines() do
    local name, figure = line:match "^([%a-]+)%s+([%d.]+) %["
    if name then in_c[name] = tonumber(figure) end
  end
end

print(("%s, freyja %s, %d keys of 16 bytes, values of 100; ns per operation, medians of %d runs")
  :format(_VERSION, freyja.version, keys, options.runs))
print(("%-10s %10s %10s %10s %12s"):format("name", "Lua", "its loop", "C", "Lua-loop-C"))
for _, name in ipairs(NAMES) do
  local lua, loop, c = median(results[name]), median(loops[name]), in_c[name]
  print(("%-10s %10.1f %10.1f %10s %12s"):format(name, lua, loop, c and ("%.1f"):format(c) or "-",
    c and ("%.1f"):format(lua - loop - c) or "-"))
end
