--- A policy that merges segments of like size: few large copies, and many small segments become one. For stores that
-- are mostly added to.
--
-- | setting | default | raising it means |
-- |---|---|---|
-- | `min` | 4 | more segments of a size gather before they are merged: fewer copies, more files |
-- | `max` | 32 | larger merges |
-- | `ratio` | 2 | sizes that differ by more still count as alike |
-- @module freyja.policy.size_tiered

local M = { name = "size_tiered", defaults = { min = 4, max = 32, ratio = 2 } }

--- Groups of at least `min` segments, the largest at most `ratio` times the smallest.
function M.plan(segments, settings)
  local function option(name) return settings and settings[name] or M.defaults[name] end
  local sealed, groups, group = {}, {}, {}
  for _, segment in ipairs(segments) do
    if segment.damaged then sealed = {} elseif segment.sealed then sealed[#sealed + 1] = segment end
  end
  table.sort(sealed, function(a, b)
    if a.bytes ~= b.bytes then return a.bytes < b.bytes end
    return a.id < b.id
  end)
  local function finish()
    if #group >= option "min" then
      local ids = {}
      for i, segment in ipairs(group) do ids[i] = segment.id end
      groups[#groups + 1] = { ids = ids, reason = ("%d segments of %d bytes or more"):format(#ids, group[1].bytes) }
    end
    group = {}
  end
  for _, segment in ipairs(sealed) do
    if group[1] and (segment.bytes > option "ratio" * group[1].bytes or #group >= option "max") then finish() end
    group[#group + 1] = segment
  end
  finish()
  return groups
end

return M
