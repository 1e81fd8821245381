--- A policy for logs: what was written more than some days ago is deleted, and its space comes back.
--
-- | setting | default | means |
-- |---|---|---|
-- | `days` | 30 | how long what was written stays |
-- | `now` | `os.time` | a function that tells the time in seconds since the epoch |
-- | `keep` | none | a function of a record that says whether it stays all the same |
--
-- `db:maintain(require "last_days", {days = 7})` does it, if this file is where Lua looks for modules.

local M = { name = "last_days" }

local function limit_of(settings)
  return math.tointeger(((settings.now or os.time)() - (settings.days or 30) * 86400) * 1000000 // 1)
end

-- The oldest data files as far as anything in them is too old. None is left out in between: where all older files are
-- rewritten, too, nothing needs to remember that a record was deleted.
function M.plan(segments, settings)
  local limit, ids, count = limit_of(settings), {}, 0
  for _, segment in ipairs(segments) do
    if segment.damaged then ids, count = {}, 0 -- those below cannot be rewritten either
    elseif segment.sealed then
      ids[#ids + 1] = segment.id
      if segment.oldest and segment.oldest < limit then count = #ids end
    end
  end
  if count == 0 then return {} end
  return { { ids = table.move(ids, 1, count, 1, {}), reason = "older than " .. (settings.days or 30) .. " days" } }
end

function M.merge(db, settings)
  local limit = limit_of(settings)
  local keep = settings.keep or function() return false end
  for _, group in ipairs(M.plan(db:segments(), settings)) do
    local rewrite <close> = db:rewrite(group.ids)
    for record in rewrite:records() do
      if record.timestamp < limit and not keep(record) then rewrite:drop(record) end
    end
    rewrite:commit()
  end
end

return M
