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

local function hour_now() return tonumber(os.date "%H") end

function M.plan(segments, settings)
  settings = settings or {}
  local from, to = settings.from or 1, settings.to or 5
  local hour = (settings.hour or hour_now)()
  local open = from <= to and hour >= from and hour < to or from > to and (hour >= from or hour < to)
  if not open then return {} end
  return require("freyja.maintenance").policy(settings.policy).plan(segments, settings.settings or {})
end

return M
