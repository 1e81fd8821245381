--- A policy around another one: it merges only in certain hours of the day, by the local clock.
--
-- | setting | default | means |
-- |---|---|---|
-- | `from` | 1 | the hour with which it begins, 0 to 23 |
-- | `to` | 5 | the hour before which it ends; where that is less than `from`, of the next day |
-- | `policy` | "dead_ratio" | what is done then |
-- | `settings` | {} | for that policy |
-- | `hour` | by `os.date` | a function that tells the hour |
-- @module freyja.policy.window

local M = { name = "window" }

--- The hour by the local clock.
function M.hour() return tonumber(os.date "%H") end

M.defaults = { from = 1, to = 5, hour = M.hour, settings = {} }
M.optional = { policy = "any" }

--- Whether it is between the hours `from` and `to` of the settings, by their `hour`.
function M.is_open(settings)
  local from, to, hour = settings.from, settings.to, settings.hour()
  if from <= to then return hour >= from and hour < to end
  return hour >= from or hour < to
end

function M.plan(segments, settings)
  local options = setmetatable({}, { __index = M.defaults })
  for name, value in pairs(settings or {}) do options[name] = value end
  if not M.is_open(options) then return {} end
  return require("freyja.maintenance").policy(options.policy).plan(segments, options.settings)
end

return M
