-- Goal: whenever a process that writes is killed, nothing that it was told of is lost, and the
-- store is in the state after some prefix of its operations.
-- Method: see spec/support/kill.lua; spec/stress/kill.lua runs more of it.
local kill = require "spec.support.kill"
local tmp = require "spec.support.tmp"

describe("a store whose process is killed by kill -9", function()
  require("spec.support.leaks").watch(before_each, after_each)

  it("holds a prefix of the writes with all that were acknowledged", function()
    local seed = math.tointeger(tonumber(os.getenv "FREYJA_SEED")) or os.time()
    local figures = kill.run(60, seed, tmp.dir)
    assert.equal(60, figures.cycles, "seed " .. seed)
  end)
end)
