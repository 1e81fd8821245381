--- Each allocation of the Lua state, and each of the engine, fails in turn, in every scenario:
--- once (Lua then collects and asks again), twice (so that it gives up), and from then on. The call
--- that meets it raises Lua's memory error or an error object `memory`, or succeeds; then the
--- store works and holds the old values or the new ones.

local machine = require "machine"
local scenarios = require "spec.support.lua.scenarios"
local prelude = string.dump(require "spec.support.lua.prelude")

local ONCE, TWICE, FOR_GOOD = 1, 2, 0
local POINTS_MAX = 5000

local function dump(f) return f and string.dump(f) end

--- One run of the scenario; returns the machine's result, with `wrong` set if anything is.
local function attempt(run, scenario, io, fails, at, times)
  local result = machine.run {
    given = { path = run.path(), io = io },
    prelude = prelude,
    before = dump(scenario.before),
    run = dump(scenario.run),
    mend = dump(scenario.after),
    after = string.dump(function(s) s.check() end),
    fails = fails, at = at, times = times,
  }
  if not result.wrong and result.kind ~= "ok" and not (fails and result.kind == "memory") then
    result.wrong = ("it raised %s: %s"):format(result.kind, result.said)
  end
  return result
end

--- Fails each allocation in turn; returns the number of failures and what went wrong first.
local function sweep(run, scenario, io, fails, times, step)
  local failures = 0
  for at = 1, POINTS_MAX, step do
    local result = attempt(run, scenario, io, fails, at, times)
    failures = failures + result.failed
    if result.wrong then
      return failures, ("%s, %s allocation %d fails%s: %s (%s %s) %s"):format(io, fails, at,
        times == FOR_GOOD and " and all after it" or times == TWICE and " twice" or "",
        result.wrong, result.kind, result.said, result.warnings)
    end
    if result.failed == 0 then return failures end
  end
  return failures, "it does not end"
end

return function(run)
  local heap_steps = { quick = 29, normal = 7, full = 1 } -- Lua's allocations are many, and much alike
  local steps = { heap = run.only and 1 or heap_steps[run.size], engine = run.size == "quick" and 29 or 1 }
  local ways = { { "heap", ONCE }, { "heap", TWICE }, { "heap", FOR_GOOD }, { "engine", ONCE }, { "engine", FOR_GOOD } }
  for _, scenario in ipairs(scenarios) do
    local name = "memory fails: " .. scenario.name
    if run.wants(name) then
      local failures, wrong = 0, nil
      for _, io in ipairs { "mmap", "syscall" } do
        wrong = wrong or attempt(run, scenario, io).wrong
        for _, way in ipairs(wrong and {} or ways) do
          local count, found = sweep(run, scenario, io, way[1], way[2], steps[way[1]])
          failures = failures + count
          wrong = wrong or found
        end
      end
      run.tell(name, ("%d failures injected"):format(failures), wrong)
    end
  end
end
