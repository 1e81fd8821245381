-- A configuration kept in a store: typed values under "section.name".
--
--   lua5.4 examples/config.lua set server.port 8080
--   lua5.4 examples/config.lua get server.port            8080
--   lua5.4 examples/config.lua list [server]              by name, with types
--   lua5.4 examples/config.lua unset server.port
--
-- The store is the directory in CONFIG_STORE, or ./config.db. A value that
-- reads as a number or as true or false is one; put quotes around it for a
-- string: set server.zip '"01234"'.

local freyja = require "freyja"

-- The first byte of a stored value says its type.
local TAGS = { integer = "i", float = "f", boolean = "b", string = "s" }

local function encode(value)
  local kind = math.type(value) or type(value)
  local tag = assert(TAGS[kind], "cannot store a " .. kind)
  return tag .. (kind == "float" and ("%.17g"):format(value) or tostring(value))
end

local function decode(stored)
  local tag, text = stored:sub(1, 1), stored:sub(2)
  if tag == "i" then return math.tointeger(tonumber(text)) end
  if tag == "f" then return tonumber(text) + 0.0 end
  if tag == "b" then return text == "true" end
  return text
end

-- What a user types on a command line as a value.
local function parse(text)
  local quoted = text:match('^"(.*)"$')
  if quoted then return quoted end
  if text == "true" or text == "false" then return text == "true" end
  local number = tonumber(text)
  return number and math.abs(number) < math.huge and number or text
end

local function get(db, name, default)
  local stored = db:get(name)
  if stored == nil then return default end
  return decode(stored)
end

local function set(db, name, value) db:put(name, encode(value)) end

local commands = {}

function commands.set(db, name, text)
  if not (name and name:find("^[^.]+%..+$") and text) then return nil, "set SECTION.NAME VALUE" end
  set(db, name, parse(text))
  return true
end

function commands.get(db, name)
  if not name then return nil, "get SECTION.NAME" end
  local value = get(db, name)
  if value == nil then return nil, "not set: " .. name end
  print(value)
  return true
end

function commands.unset(db, name)
  if not name then return nil, "unset SECTION.NAME" end
  if not db:delete(name) then return nil, "not set: " .. name end
  return true
end

function commands.list(db, section)
  local prefix = section and section .. "." or ""
  for name, stored in db:each { prefix = prefix, order = "key" } do
    local value = decode(stored)
    print(("%-24s %-8s %s"):format(name, math.type(value) or type(value), value))
  end
  return true
end

local function main(command, ...)
  local run = commands[command or "list"]
  if not run then return nil, "commands: set, get, unset, list" end
  local db <close> = assert(freyja.open(os.getenv("CONFIG_STORE") or "config.db"))
  return run(db, ...)
end

local ok, message = main(...)
if not ok then
  io.stderr:write("config: ", message, "\n")
  os.exit(1, true)
end
