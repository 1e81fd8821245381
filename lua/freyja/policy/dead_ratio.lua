--- The default policy: merges segments of which much is dead, the most dead first. Settings, Bitcask's and `space`:
--
-- | setting | default | raising it means; lowering it, the contrary |
-- |---|---|---|
-- | `frag_trigger` | 0.7 | part of a segment that is dead when merging begins: later; fewer bytes are copied |
-- | `dead_trigger` | 512 MiB | likewise, in bytes, for large segments |
-- | `space` | 1.7 | likewise, for all: their bytes as a multiple of the live ones; more space used |
-- | `frag_threshold` | 0.4 | part that is dead of segments that are then merged too: fewer of them, less often |
-- | `dead_threshold` | 128 MiB | likewise, in bytes |
-- | `small` | 4 MiB | size of segments that are taken along in any case: there are fewer and larger files; 0: none |
-- | `expiry` | none | seconds after which what was written is deleted by merging: it stays longer |
-- | `grace` | 3600 | seconds from an expiry until that alone makes a merge: more is gone by one, but later |
-- | `from`, `to` | 0, 24 | hours of the day, local time, between which merging begins; `to` may be less than `from` |
-- @module freyja.policy.dead_ratio

local M = { name = "dead_ratio" }

M.defaults = {
  frag_trigger = 0.7, dead_trigger = 512 << 20, space = 1.7, frag_threshold = 0.4, dead_threshold = 128 << 20,
  small = 4 << 20, grace = 3600, from = 0, to = 24,
}

local function fragmentation(segment) return segment.dead_bytes / math.max(segment.bytes, 1) end

--- @return whether anything is worth beginning, and why
local function find_reason(sealed, live, due, options)
  local bytes = 0
  for _, segment in ipairs(sealed) do
    bytes = bytes + segment.bytes
    local expires = segment.expires or segment.expiring
    if fragmentation(segment) >= options.frag_trigger then return ("dead %.2f"):format(fragmentation(segment)) end
    if segment.dead_bytes >= options.dead_trigger then return ("dead %d bytes"):format(segment.dead_bytes) end
    if due and expires and expires > 0 and expires <= due then return "expired" end
  end
  if bytes > options.space * live then return ("%d bytes, %d live"):format(bytes, live), true end
end

--- The segments to merge, as one group, or none.
function M.plan(segments, settings)
  local options = setmetatable({}, { __index = function(_, name)
    local value = settings and settings[name]
    if value == nil then value = M.defaults[name] end
    return value
  end })
  local sealed, live = {}, 0
  for _, segment in ipairs(segments) do
    live = live + segment.live_bytes
    if segment.damaged then sealed = {} -- those below damage cannot be merged either
    elseif segment.sealed then sealed[#sealed + 1] = segment end
  end
  local reason, any = find_reason(sealed, live, nil, options)
  if not reason then return {} end
  table.sort(sealed, function(a, b)
    local x, y = fragmentation(a), fragmentation(b)
    if x ~= y then return x > y end
    return a.rank < b.rank
  end)
  local ids, worth = {}, false
  for _, segment in ipairs(sealed) do
    local dead = fragmentation(segment) >= options.frag_threshold or segment.dead_bytes >= options.dead_threshold
      or any and not worth
    if dead or segment.bytes <= options.small then ids[#ids + 1] = segment.id end
    worth = worth or dead
  end
  if not worth and #ids < 2 then return {} end
  return { { ids = ids, reason = reason, divisible = true } }
end

return M
