-- Maintenance of a store, for cron: gives space back, writes hint files, and says what came of it.
--
--   lua5.4 examples/maintain.lua STORE [POLICY [NAME=VALUE...]]
--
--   17 3 * * *   lua5.4 maintain.lua /var/lib/app/people.db dead_ratio frag_trigger=0.3
--
-- POLICY is one of freyja's, or a file POLICY.lua beside this one. For stores that programs open when they need them;
-- one that a program has open all the time is maintained by it. The exit status is 0 when it is done, 75 (EX_TEMPFAIL,
-- "try again later") when the store is in use and nothing was done, and 1 when something is wrong, which standard error
-- tells.

local freyja = require "freyja"

local IN_USE <const> = 75

local BESIDE <const> = (arg[0]:match "^.*/" or "./") .. "?.lua"

-- What db:maintain takes as a policy.
local function find_policy(name)
  local file = name and package.searchpath(name, BESIDE)
  return file and dofile(file) or name
end

local function mib(bytes) return ("%.1f MiB"):format(bytes / (1 << 20)) end

-- {"grace=60", "policy=never"} as a policy's settings; nil and the one that is none.
local function parse(arguments)
  local settings = {}
  for _, argument in ipairs(arguments) do
    local name, value = argument:match "^([%w_]+)=(.*)$"
    if not name then return nil, argument end
    settings[name] = tonumber(value) or value
  end
  return settings
end

-- So that the next open is fast. A file that is damaged gets none.
local function write_hints(db)
  local count = 0
  for _, segment in ipairs(db:segments()) do
    if segment.sealed and not segment.has_hint and not segment.damaged then
      db:hint(segment.id)
      count = count + 1
    end
  end
  return count
end

-- The exit status, and a message for it.
local function main(path, policy, ...)
  if not path then return 1, "STORE [POLICY [NAME=VALUE...]]" end
  local settings, wrong = parse { ... }
  if not settings then return 1, ("'%s' is not NAME=VALUE"):format(wrong) end
  local db <close>, problem = freyja.open(path, { create = false })
  if not db then return problem.code == "locked" and IN_USE or 1, tostring(problem) end
  local before = db:stats()
  local report = db:maintain(find_policy(policy), settings)
  local hints = write_hints(db)
  print(("%s: %s, were %s; merged %d times, %s read, %s written; %d hint files"):format(path,
    mib(db:stats().bytes), mib(before.bytes), report.merges, mib(report.read), mib(report.written), hints))
  local found = before.recovery
  if found.damaged > 0 then return 1, ("%d places are damaged, the first: %s"):format(found.damaged, found.damage) end
  return 0
end

local ok, status, message = xpcall(main, tostring, ...)
if not ok then status, message = 1, status end
if message then io.stderr:write("maintain: ", message, "\n") end
os.exit(status, true)
