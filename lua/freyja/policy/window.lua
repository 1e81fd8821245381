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

--- Whether it is between the hours `from` and `to` of the settings, by their `hour`.
function M.is_open(settings)
  local from, to, hour = settings.from, settings.to, settings.hour()
  if from <= to then return hour >= from and hour < to end
  return hour >= from or hour < to
end

function M.plan(segments, settings)
  settings = settings or {}
  local hours = { from = settings.from or 1, to = settings.to or 5, hour = settings.hour or M.hour }
  if not M.is_open(hours) then return {} end
  return require("freyja.maintenance").policy(settings.policy).plan(segments, settings.settings or {})
end

return M
