--- Kill cycles: a child process writes and acknowledges each write, is killed by SIGKILL at
--- a random moment, and the store must hold exactly a prefix of its operations that contains
--- all that were acknowledged. Operations follow from a seed, so that the parent knows them.
--- Without arguments of its own it is a module; run as a program it is the child.

local M = {}

--- A generator of pseudo-random integers that is the same in every process.
local function generator(seed)
  local state = seed
  return function(n)
    state = (state * 6364136223846793005 + 1442695040888963407)
    return (state >> 33) % n
  end
end

--- The endless sequence of operations of a seed: returns a function that gives the next
--- {kind, key, value}.
function M.operations(seed)
  local random = generator(seed)
  local count = 0
  return function()
    count = count + 1
    local kind = random(20)
    local key = ("key%d"):format(random(40))
    if kind == 0 then return { "rotate" } end
    if kind < 5 then return { "delete", key } end
    return { "put", key, ("%d:"):format(count) .. ("x"):rep(random(kind == 5 and 3000 or 60)) }
  end
end

--- Applies an operation to a plain table.
function M.apply(model, operation)
  if operation[1] == "put" then
    model[operation[2]] = operation[3]
  elseif operation[1] == "delete" then
    model[operation[2]] = nil
  end
end

local function same(a, b)
  for k, v in pairs(a) do
    if b[k] ~= v then return false end
  end
  for k in pairs(b) do
    if a[k] == nil then return false end
  end
  return true
end

--- The number of operations after which the model equals the contents, at least `least` and
--- at most `most`; nil if there is none. `model` is the state after `done` operations.
function M.find_prefix(model, next_operation, contents, least, most)
  local done = 0
  while done < least do
    M.apply(model, next_operation())
    done = done + 1
  end
  while not same(model, contents) do
    if done >= most then return nil end
    M.apply(model, next_operation())
    done = done + 1
  end
  return done
end

--- Starts the child and kills it after about `lines` acknowledgements; returns the number of
--- the last operation that it acknowledged, `skip` if none.
local function run_child(path, seed, skip, mode, lines)
  local command = ("echo $$; exec lua5.4 spec/support/kill.lua '%s' %d %d %s %s 2>&1"):format(
    path, seed, skip, mode.io, mode.sync)
  local pipe <close> = assert(io.popen(command))
  local pid = assert(math.tointeger(tonumber(pipe:read("l"))))
  local acknowledged = skip
  local read, killed = 0, false
  for line in pipe:lines() do
    local number = math.tointeger(tonumber(line))
    if not number then error("the child says: " .. line .. "\n" .. (pipe:read("a") or "")) end
    acknowledged = number
    read = read + 1
    if read >= lines and not killed then
      killed = os.execute("kill -9 " .. pid)
    end
  end
  return acknowledged
end

local MODES = {}
for _, io_mode in ipairs { "mmap", "syscall" } do
  for _, sync in ipairs { "none", "always", 1 } do
    MODES[#MODES + 1] = { io = io_mode, sync = sync }
  end
end
M.MODES = MODES

--- Runs that many cycles, spread evenly over all modes; each store lives for `cycles_a_store`.
--- Raises, naming seed and cycle, when an acknowledged write is lost or the state is no prefix.
--- Returns figures {cycles, acknowledged, unacknowledged, cut}.
function M.run(cycles, seed, new_dir)
  local freyja = require "freyja"
  local random = generator(seed)
  local figures = { cycles = 0, acknowledged = 0, unacknowledged = 0, cut = 0 }
  while figures.cycles < cycles do
    local mode = MODES[(figures.cycles // 10) % #MODES + 1]
    local dir <close> = new_dir()
    local path, store_seed = dir.path .. "/db", seed + figures.cycles
    local model, next_operation, done = {}, M.operations(store_seed), 0
    for _ = 1, math.min(10, cycles - figures.cycles) do
      local acknowledged = run_child(path, store_seed, done, mode, 1 + random(200))
      local db <close> = assert(freyja.open(path, { io = mode.io, segment_size = 16384 }))
      local contents = {}
      for k, v in db:each() do contents[k] = v end
      local found = M.find_prefix(model, next_operation, contents, acknowledged - done,
        acknowledged - done + 1)
      assert(found, ("seed %d, cycle %d, io %s, sync %s: not the state after %d operations"):format(
        seed, figures.cycles, mode.io, mode.sync, acknowledged))
      figures.acknowledged = figures.acknowledged + acknowledged - done
      figures.unacknowledged = figures.unacknowledged + found - (acknowledged - done)
      done = done + found
      assert(db:verify().ok, "verify finds damage after a kill")
      figures.cut = figures.cut + db:stats().recovery.bytes_cut
      figures.cycles = figures.cycles + 1
    end
  end
  return figures
end

--- The child: goes on from what is in the store, and prints a line for each operation done.
local function child(path, seed, skip, io_mode, sync)
  local freyja = require "freyja"
  local db = assert(freyja.open(path, {
    io = io_mode,
    sync = tonumber(sync) and math.tointeger(tonumber(sync)) or sync,
    segment_size = 16384,
  }))
  local next_operation = M.operations(seed)
  for _ = 1, skip do next_operation() end
  io.stdout:setvbuf("no")
  for i = skip + 1, math.maxinteger do
    local operation = next_operation()
    if operation[1] == "put" then
      db:put(operation[2], operation[3])
    elseif operation[1] == "delete" then
      db:delete(operation[2])
    else
      db:rotate()
    end
    io.stdout:write(i, "\n")
  end
end

if arg and arg[0] and arg[0]:find("support/kill%.lua$") then
  child(arg[1], math.tointeger(tonumber(arg[2])), math.tointeger(tonumber(arg[3])), arg[4], arg[5])
end

return M
