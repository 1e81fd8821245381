--- A policy around another one: it also merges segments with values that expired some time ago.
--
-- | setting | default | raising it means |
-- |---|---|---|
-- | `grace` | 3600 | seconds after the first expiry in a segment: more is gone by one merge, but later |
-- | `policy` | "dead_ratio" | what else is merged |
-- | `settings` | {} | for that policy |
-- | `now` | by `os.time` | a function that tells the time in seconds since the epoch |
-- @module freyja.policy.expiry

local M = { name = "expiry" }

function M.plan(segments, settings)
  settings = settings or {}
  local due = ((settings.now or os.time)() - (settings.grace or 3600)) * 1000000
  local groups = require("freyja.maintenance").policy(settings.policy).plan(segments, settings.settings or {})
  local taken, ids = {}, {}
  for _, group in ipairs(groups) do
    for _, id in ipairs(group.ids) do taken[id] = true end
  end
  for _, segment in ipairs(segments) do
    local expires = segment.expires or 0
    if segment.damaged then ids = {}
    elseif segment.sealed and not taken[segment.id] and expires > 0 and expires <= due then
      ids[#ids + 1] = segment.id
    end
  end
  if #ids > 0 then table.insert(groups, { ids = ids, reason = "expired" }) end
  return groups
end

return M
