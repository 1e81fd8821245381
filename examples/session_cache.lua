-- The sessions of a web site, by token: they survive a restart of the server.
--
--   lua5.4 examples/session_cache.lua login USER        prints the new token
--   lua5.4 examples/session_cache.lua touch TOKEN       the user did something: prints who
--   lua5.4 examples/session_cache.lua logout TOKEN
--   lua5.4 examples/session_cache.lua list
--   lua5.4 examples/session_cache.lua sweep [SECONDS]   drops those idle for longer
--
-- The store is the directory in SESSION_STORE, or ./sessions.db; SESSION_NOW
-- stands in for the clock, in seconds since 1970. Idle means 1800 s by default.

local freyja = require "freyja"

local IDLE_SECONDS = 1800
local PREFIX = "session:"

-- A session as it is stored: when it began and was last seen, and whose it is.
local FORMAT = "<i8i8s4"

local function pack(session)
  return FORMAT:pack(session.created, session.seen, session.user)
end

local function unpack(stored)
  local created, seen, user = FORMAT:unpack(stored)
  return { created = created, seen = seen, user = user }
end

-- 128 bits that nobody can guess.
local function new_token()
  local source <close> = assert(io.open("/dev/urandom", "rb"))
  return (source:read(16):gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function login(db, user, now)
  local token
  repeat
    token = new_token()
  until db:insert(PREFIX .. token, pack { created = now, seen = now, user = user })
  return token
end

-- The session, seen now; nil if there is none or it was idle for too long.
-- Compare and swap, so that a session that a callback ended stays ended.
local function touch(db, token, now)
  local stored = db:get(PREFIX .. token)
  local session = stored and unpack(stored)
  if not session or now - session.seen > IDLE_SECONDS then return nil end
  session.seen = now
  return db:cas(PREFIX .. token, stored, pack(session)) and session or nil
end

local function logout(db, token) return db:delete(PREFIX .. token) end

-- Deletes what has been idle for too long. The iterator shows the store as it
-- was when it began, so that deleting on the way is safe.
local function sweep(db, now, idle_seconds)
  local dropped = 0
  for key, stored in db:each(PREFIX) do
    if now - unpack(stored).seen > (idle_seconds or IDLE_SECONDS) then
      db:delete(key)
      dropped = dropped + 1
    end
  end
  return dropped
end

local commands = {}

function commands.login(db, now, user)
  if not user then return nil, "login USER" end
  print(login(db, user, now))
  return true
end

function commands.touch(db, now, token)
  if not token then return nil, "touch TOKEN" end
  local session = touch(db, token, now)
  if not session then return nil, "no such session" end
  print(session.user)
  return true
end

function commands.logout(db, _, token)
  if not token then return nil, "logout TOKEN" end
  if not logout(db, token) then return nil, "no such session" end
  return true
end

function commands.list(db, now)
  for key, stored in db:each { prefix = PREFIX, order = "key" } do
    local session = unpack(stored)
    print(key:sub(#PREFIX + 1), session.user, ("idle %d s"):format(now - session.seen))
  end
  return true
end

function commands.sweep(db, now, seconds)
  local idle_seconds = tonumber(seconds or IDLE_SECONDS)
  if not idle_seconds then return nil, "sweep [SECONDS]" end
  print(("%d dropped, %d left"):format(sweep(db, now, idle_seconds), db:count(PREFIX)))
  return true
end

local function main(command, ...)
  local run = commands[command or "list"]
  if not run then return nil, "commands: login, touch, logout, list, sweep" end
  local now = math.tointeger(tonumber(os.getenv("SESSION_NOW")) or os.time())
  local db <close> = assert(freyja.open(os.getenv("SESSION_STORE") or "sessions.db"))
  return run(db, now, ...)
end

local ok, message = main(...)
if not ok then
  io.stderr:write("session_cache: ", message, "\n")
  os.exit(1, true)
end
