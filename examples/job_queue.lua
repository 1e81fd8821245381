-- A queue of jobs that threads share and that outlives them.
--
--   lua5.4 examples/job_queue.lua add STORE [FILE]        a job for each line of FILE, or of standard input
--   lua5.4 examples/job_queue.lua work STORE [THREADS]    does them, and says how many
--   lua5.4 examples/job_queue.lua show STORE              what came of them, in their order
--
-- A job is a number, doing it is to find its prime factors. It moves from "todo:" to "doing:" to "done:", each time in
-- one transaction, so that it is always in one place, and never in two threads' hands. Jobs of a program that was
-- killed are in "doing:" and go back to "todo:" when the next one begins.

local freyja = require "freyja"
local luv = require "luv"

-- What a thread does; it has no upvalues, as it goes to another Lua state.
local function work(path)
  local db <close> = assert(require("freyja").open(path))

  local function factors(text)
    local n, found = math.tointeger(text), {}
    if not n or n < 2 then return text .. " has none" end
    local rest, divisor = n, 2
    while divisor * divisor <= rest do
      if rest % divisor == 0 then found[#found + 1], rest = divisor, rest // divisor else divisor = divisor + 1 end
    end
    found[#found + 1] = rest
    return ("%d = %s"):format(n, table.concat(found, " * "))
  end

  -- The job, if this thread has got it: another may have, since its key was seen.
  local function take(id)
    local ok, job = pcall(db.transaction, db, function(tx)
      local job = tx:get("todo:" .. id)
      if not job then return end
      tx:delete("todo:" .. id)
      tx:put("doing:" .. id, job)
      return job
    end, { serializable = true })
    if not ok and job.code ~= "conflict" then error(job, 0) end
    return ok and job
  end

  local count
  repeat
    count = 0
    for key in db:keys "todo:" do
      local id = key:sub(#"todo:" + 1)
      local job = take(id)
      if job then
        local result = factors(job)
        db:transaction(function(tx)
          tx:delete("doing:" .. id)
          tx:put("done:" .. id, result)
        end)
        count = count + 1
      end
    end
  until count == 0
end

local function add(db, file)
  local count, next_id = 0, tonumber(db:get "next" or 1)
  for line in file:lines() do
    db:transaction(function(tx)
      tx:put(("todo:%012d"):format(next_id), line)
      tx:put("next", next_id + 1)
    end)
    count, next_id = count + 1, next_id + 1
  end
  print(("%d jobs more, %d to do"):format(count, db:count "todo:"))
end

local function put_back(db)
  for key, job in db:each "doing:" do
    db:transaction(function(tx)
      tx:delete(key)
      tx:put("todo:" .. key:sub(#"doing:" + 1), job)
    end)
  end
end

local function do_all(db, path, count)
  put_back(db)
  local before, threads = db:count "done:", {}
  for i = 1, count do
    threads[i] = luv.new_thread(function(code, lua_path, c_path, ...)
      package.path, package.cpath = lua_path, c_path
      load(code, "=job_queue", "b")(...)
    end, string.dump(work), package.path, package.cpath, path)
  end
  for _, thread in ipairs(threads) do thread:join() end
  print(("%d jobs done, %d to do"):format(db:count "done:" - before, db:count "todo:"))
end

local function show(db)
  for _, value in db:each { prefix = "done:", order = "key" } do print(value) end
end

local function main(command, path, argument)
  if not path or not ({ add = 1, work = 1, show = 1 })[command] then return "add|work|show STORE ..." end
  local db <close>, problem = freyja.open(path, { create = command == "add" })
  if not db then return tostring(problem) end
  if command == "show" then return show(db) end
  if command == "work" then return do_all(db, path, tonumber(argument or 4)) end
  local file, why = io.stdin, nil
  if argument then file, why = io.open(argument) end
  if not file then return why end
  add(db, file)
end

local problem = main(table.unpack(arg))
if problem then
  io.stderr:write("job_queue: ", problem, "\n")
  os.exit(false)
end
