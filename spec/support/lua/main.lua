--- What luastate runs: main(folder, size or scenario) -> whether all is well. Prints a line "ok ..."
--- or "not ok ..." for each test.

local machine = require "machine"

local SUITES = { "arguments", "control", "endings", "finalizers", "expiry", "edges", "allocations" }

return function(folder, wanted)
  local run = { size = "normal", good = true }
  if wanted == "quick" or wanted == "full" then run.size = wanted else run.only = wanted end

  --- The path for a store that is not there yet, in a folder where nothing is.
  function run.path()
    machine.empty(folder .. "/stores")
    return folder .. "/stores/db"
  end

  --- Whether the test of that name is wanted.
  function run.wants(name) return not run.only or name:find(run.only, 1, true) end

  --- Tells the outcome of a test; `wrong` says what is wrong, nil if nothing is.
  function run.tell(name, text, wrong)
    if wrong then run.good = false end
    print(wrong and ("not ok %s: %s"):format(name, wrong) or ("ok %s: %s"):format(name, text))
  end

  for _, suite in ipairs(SUITES) do require("spec.support.lua." .. suite)(run) end
  return run.good
end
