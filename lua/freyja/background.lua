--- Maintenance in a thread of its own: what runs there, in a Lua state that has nothing else to do.
--
-- The binding (engine/lua/background.c) calls it with a store and what the driver of the program's has written for it.
-- It goes on without a pause while there is something to do, in small parts, since a write waits for a part to be
-- done; and looks whenever it is woken, and now and then by itself, as values expire while nobody writes.
-- @module freyja.background

require "freyja" -- for what policies call

local core <const> = require "freyja.core"
local driver <const> = require "freyja.driver"
local plain <const> = require "freyja.plain"

local TEXT_MAX <const> = 1000 -- bytes of an error's message, and of its path

--- An error as the other state can have it: a string, or an error object's fields.
local function make_plain(err)
  if err == nil then return nil end
  if type(err) ~= "table" or not err.code then return tostring(err):sub(1, TEXT_MAX) end
  return {
    code = tostring(err.code), message = tostring(err.message or ""):sub(1, TEXT_MAX),
    path = err.path and tostring(err.path):sub(1, TEXT_MAX), errno = math.tointeger(err.errno),
  }
end

local function tell(worker)
  local report, failed = worker.report()
  report.error = make_plain(report.error)
  core.tell(plain.write(report), failed)
end

return function(db, text)
  local worker = driver.make_worker(plain.read(text), db)
  tell(worker)
  while core.pause(worker.step()) do tell(worker) end
  worker.leave()
end
