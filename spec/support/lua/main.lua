--- What luastate runs: main(folder, size or scenario [, day]) -> whether all is well. Prints a line "ok ..."
--- or "not ok ..." for each test. With a day, a whole number, it is a part of the tests, another the next day.

local machine = require "machine"

local SUITES = { "arguments", "control", "endings", "finalizers", "expiry", "edges", "allocations" }

local PARTS <const> = 24

return function(folder, wanted, day)
  local run = { size = "normal", good = true }
  local asked, part = 0, day and math.tointeger(day) % PARTS
  if wanted == "quick" or wanted == "full" then run.size = wanted else run.only = wanted end

  --- The path for a store that is not there yet, in a folder where nothing is.
  function run.path()
    machine.empty(folder .. "/stores")
    return folder .. "/stores/db"
  end

  --- Whether the test of that name is wanted.
  function run.wants(name)
    asked = asked + 1
    if part and asked % PARTS ~= part then return false end
    return not run.only or name:find(run.only, 1, true)
  end

  --- Tells the outcome of a test; `wrong` says what is wrong, nil if nothing is.
  function run.tell(name, text, wrong)
    if wrong then run.good = false end
    print(wrong and ("not ok %s: %s"):format(name, wrong) or ("ok %s: %s"):format(name, text))
  end

  for _, suite in ipairs(SUITES) do require("spec.support.lua." .. suite)(run) end
  return run.good
end
