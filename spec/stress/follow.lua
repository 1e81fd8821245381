--- Followers of a writer that puts, transacts, loads, rotates and merges, and is killed time and again; see
--- spec/support/follow.lua.
---   FREYJA_FOLLOW_SECONDS  for how long, in all modes together (default 60)
---   FREYJA_SEED            the seed (default: the time)
local follow = require "spec.support.follow"
local tmp = require "spec.support.tmp"

local seconds = tonumber(os.getenv "FREYJA_FOLLOW_SECONDS") or 60
local seed = math.tointeger(tonumber(os.getenv "FREYJA_SEED")) or os.time()
print(("%g seconds, seed %d"):format(seconds, seed))
for i, mode in ipairs(follow.MODES) do
  local dir <close> = tmp.fast_dir()
  local ends = os.time() + seconds / #follow.MODES
  local figures = follow.run(dir.path .. "/db", seed + i, mode, 3000, function() return os.time() >= ends end)
  print(("%s, sync %s, followed by %s: %d operations of %d writers that were killed, %d refreshes, %d of which had "
    .. "something to show, all as it had been committed"):format(mode.writer, mode.sync, mode.follower,
    figures.operations, figures.writers, figures.refreshes, figures.changes))
end
