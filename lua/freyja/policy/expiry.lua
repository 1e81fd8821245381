--- A policy around another one: it also merges segments with values that expired some time ago.
--
-- | setting | default | raising it means |
-- |---|---|---|
-- | `grace` | 3600 | seconds after the first expiry in a segment: more is gone by one merge, but later |
-- | `policy` | "dead_ratio" | what else is merged |
-- | `settings` | {} | for that policy |
-- | `now` | by `os.time` | a function that tells the time in seconds since the epoch |
-- @module freyja.policy.expiry

local M = { name = "expiry", defaults = { grace = 3600, settings = {}, now = os.time }, optional = { policy = "any" } }

function M.plan(segments, settings)
  local options = setmetatable({}, { __index = M.defaults })
  for name, value in pairs(settings or {}) do options[name] = value end
  local due = (options.now() - options.grace) * 1000000
  local groups = require("freyja.maintenance").policy(options.policy).plan(segments, options.settings)
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
