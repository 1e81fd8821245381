-- Money moves between accounts, by many threads at once, and none comes or goes.
--
--   lua5.4 examples/bank.lua STORE [THREADS [TRANSFERS]]
--
-- Each thread (luv's, with a Lua state of its own) opens the store and makes its share of the transfers, each in a
-- serializable transaction: what it has read of both accounts must still be so when it commits, or it is made again.
-- Meanwhile the main thread sums up all accounts, over and over: each loop shows the store as of one moment. A second
-- run goes on with the accounts as they are, also after the first one was killed.

local freyja = require "freyja"
local luv = require "luv"

local ACCOUNTS <const>, BEGINNING <const> = 1000, 100

-- What a thread does; it has no upvalues, as it goes to another Lua state.
local function move_money(path, transfers, accounts, seed)
  local db <close> = assert(require("freyja").open(path))
  math.randomseed(seed)
  for _ = 1, transfers do
    local from, to = "account:" .. math.random(accounts), "account:" .. math.random(accounts)
    local amount = math.random(20)
    db:transaction(function(tx)
      local has = math.tointeger(tx:get(from))
      if from == to or has < amount then return end
      tx:put(from, has - amount)
      tx:put(to, math.tointeger(tx:get(to)) + amount)
    end, { serializable = true, retries = 1 << 40 })
  end
end

local function start(work, ...)
  local done = os.tmpname()
  os.remove(done)
  local thread = luv.new_thread(function(code, lua_path, c_path, file, ...)
    package.path, package.cpath = lua_path, c_path
    local ok, problem = pcall(load(code, "=bank", "b"), ...)
    if not ok then io.stderr:write("bank: ", tostring(problem), "\n") end
    assert(io.open(file, "w")):close()
  end, string.dump(work), package.path, package.cpath, done, ...)
  return { thread = thread, done = done }
end

local function has_ended(worker)
  local file = io.open(worker.done)
  if file then file:close() end
  return file ~= nil
end

local function sum(db)
  local total = 0
  for _, value in db:each "account:" do total = total + math.tointeger(value) end
  return total
end

local function main(path, threads, transfers)
  if not path then return "STORE [THREADS [TRANSFERS]]" end
  threads, transfers = tonumber(threads or 8), tonumber(transfers or 100000)
  local db <close>, problem = freyja.open(path)
  if not db then return tostring(problem) end
  if not db:has "account:1" then
    db:transaction(function(tx)
      for i = 1, ACCOUNTS do tx:put("account:" .. i, BEGINNING) end
    end)
  end
  local workers, looks = {}, 0
  for i = 1, threads do
    workers[i] = start(move_money, path, transfers // threads, ACCOUNTS, os.time() + i)
  end
  repeat
    looks = looks + 1
    local total = sum(db)
    if total ~= ACCOUNTS * BEGINNING then return ("the accounts have %d together"):format(total) end
    local busy = false
    for _, worker in ipairs(workers) do busy = busy or not has_ended(worker) end
  until not busy
  for _, worker in ipairs(workers) do
    worker.thread:join()
    os.remove(worker.done)
  end
  print(("%d transfers by %d threads; %d looks, at each %d in %d accounts"):format(transfers // threads * threads,
    threads, looks, ACCOUNTS * BEGINNING, ACCOUNTS))
end

local problem = main(table.unpack(arg))
if problem then
  io.stderr:write("bank: ", problem, "\n")
  os.exit(false)
end
