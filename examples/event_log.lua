-- A log of events that remembers the last days.
--
--   lua5.4 examples/event_log.lua add [FILE...]     each line is an event that happens now; "-": standard input
--   lua5.4 examples/event_log.lua show [TIME]       those whose time begins so: 2026-11, say
--   lua5.4 examples/event_log.lua clean DAYS        forgets what is older, but never a line with the word "error"
--
-- The store is the directory in EVENTS_STORE, or ./events.db. EVENTS_NOW, in seconds since the epoch, takes the place
-- of the clock's time. How old events go is the policy examples/last_days.lua.

package.path = (arg[0]:match "^.*/" or "./") .. "?.lua;" .. package.path

local freyja = require "freyja"

-- Keys are times, and a number for events of the same second: their order by name is that in time.
local KEY <const> = "%s %06d"

local function time_of(seconds) return os.date("!%Y-%m-%d %H:%M:%S", seconds) end

local function add(db, now, file)
  local time, n = time_of(now), 0
  for key in db:keys(time) do n = math.max(n, tonumber(key:sub(-6))) end
  for line in file:lines() do
    n = n + 1
    db:put(KEY:format(time, n), line)
  end
  return n
end

local commands = {}

function commands.add(db, now, ...)
  for _, name in ipairs(... and { ... } or { "-" }) do
    local file, message = io.stdin, nil
    if name ~= "-" then file, message = io.open(name) end
    if not file then return nil, message end
    add(db, now, file)
    file:close()
  end
  db:rotate() -- only what is in a file that is full can be forgotten
  return true
end

function commands.show(db, _, time)
  for key, line in db:each { prefix = time or "", order = "key" } do print(key:sub(1, -8) .. "  " .. line) end
  return true
end

function commands.clean(db, now, days)
  days = tonumber(days)
  if not days then return nil, "clean DAYS" end
  local before, limit = #db, time_of(now - days * 86400 // 1)
  db:maintain(require "last_days", {
    days = days,
    now = function() return now end,
    keep = function(event) return event.key > limit or event.value:find "%f[%a]error%f[%A]" end,
  })
  print(("%d forgotten, %d left"):format(before - #db, #db))
  return true
end

local function main(command, ...)
  local run = commands[command or "show"]
  if not run then return nil, "commands: add, show, clean" end
  local now = math.tointeger(tonumber(os.getenv("EVENTS_NOW")) or os.time())
  local db <close> = assert(freyja.open(os.getenv("EVENTS_STORE") or "events.db"))
  return run(db, now, ...)
end

local ok, message = main(...)
if not ok then
  io.stderr:write("event_log: ", message, "\n")
  os.exit(1, true)
end
