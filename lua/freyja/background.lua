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

--- A text of what may be anything.
local function make_text(value)
  local ok, text = pcall(tostring, value)
  return ok and text:sub(1, TEXT_MAX) or "an error without a text"
end

--- An error as the other state can have it: a string, or an error object's fields.
local function make_plain(err)
  if err == nil then return nil end
  local code = type(err) == "table" and rawget(err, "code")
  if type(code) ~= "string" then return make_text(err) end
  local path = rawget(err, "path")
  return {
    code = make_text(code), message = make_text(rawget(err, "message") or ""),
    path = path and make_text(path), errno = math.tointeger(rawget(err, "errno")),
  }
end

local function tell(worker)
  local report, untold = worker.report()
  report.policy, report.error = make_text(report.policy), make_plain(report.error)
  core.tell(plain.write(report), untold ~= nil and plain.write(make_plain(untold)) or nil)
end

return function(db, text)
  local worker = driver.make_worker(plain.read(text), db)
  tell(worker)
  repeat
    local pause = worker.step()
    tell(worker)
  until not pause or not core.pause(pause)
  worker.leave()
end
