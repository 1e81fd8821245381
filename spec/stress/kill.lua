--- Many kill -9 cycles, over all sync and I/O modes; see spec/support/kill.lua.
---   FREYJA_KILL_CYCLES  how many (default 1000)
---   FREYJA_SEED         the seed (default: the time)
local kill = require "spec.support.kill"
local tmp = require "spec.support.tmp"

local cycles = math.tointeger(tonumber(os.getenv "FREYJA_KILL_CYCLES")) or 1000
local seed = math.tointeger(tonumber(os.getenv "FREYJA_SEED")) or os.time()
print(("%d cycles, seed %d"):format(cycles, seed))
local figures = kill.run(cycles, seed, tmp.dir)
print(("%d cycles over %d modes: %d writes acknowledged, none lost; %d found that were not acknowledged; "
  .. "%d torn bytes cut"):format(figures.cycles, #kill.MODES, figures.acknowledged,
    figures.unacknowledged, figures.cut))
