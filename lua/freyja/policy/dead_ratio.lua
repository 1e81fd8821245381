--- The default policy: merges segments of which much is dead.
--
-- Nothing is done until a trigger is reached; then all segments are merged that are beyond a threshold. The names are
-- those of Bitcask's settings.
--
-- | setting | default | raising it means |
-- |---|---|---|
-- | `frag_trigger` | 0.6 | merging begins later: more space used, fewer bytes copied |
-- | `dead_trigger` | 512 MiB | likewise, for large segments |
-- | `space` | 1.8 | likewise: all bytes as a multiple of the live ones |
-- | `frag_threshold` | 0.4 | fewer segments are taken along when merging begins |
-- | `dead_threshold` | 128 MiB | likewise |
-- | `small` | 10 MiB | larger segments count as small, which are taken along to become fewer; 0: none |
-- @module freyja.policy.dead_ratio

local M = { name = "dead_ratio" }

M.defaults = {
  frag_trigger = 0.6, dead_trigger = 512 << 20, space = 1.8, frag_threshold = 0.4,
  dead_threshold = 128 << 20, small = 10 << 20,
}

local function fragmentation(segment) return segment.dead_bytes / math.max(segment.bytes, 1) end

--- @return whether anything is worth beginning, and why
local function find_reason(sealed, options)
  local bytes, live = 0, 0
  for _, segment in ipairs(sealed) do
    bytes, live = bytes + segment.bytes, live + segment.live_bytes
    if fragmentation(segment) >= options.frag_trigger then return ("dead %.2f"):format(fragmentation(segment)) end
    if segment.dead_bytes >= options.dead_trigger then return ("dead %d bytes"):format(segment.dead_bytes) end
  end
  if bytes > options.space * live and #sealed > 0 then return ("%d bytes, %d live"):format(bytes, live) end
end

--- The segments to merge, as one group, or none.
function M.plan(segments, settings)
  local options = setmetatable({}, { __index = function(_, name)
    local value = settings and settings[name]
    if value == nil then value = M.defaults[name] end
    return value
  end })
  local sealed, ids, worth = {}, {}, false
  for _, segment in ipairs(segments) do
    if segment.damaged then sealed = {} -- those below damage cannot be merged either
    elseif segment.sealed then sealed[#sealed + 1] = segment end
  end
  local reason = find_reason(sealed, options)
  if not reason then return {} end
  for _, segment in ipairs(sealed) do
    local dead = fragmentation(segment) >= options.frag_threshold or segment.dead_bytes >= options.dead_threshold
    if dead or segment.bytes <= options.small then ids[#ids + 1] = segment.id end
    worth = worth or dead
  end
  if not worth and #ids < 2 then return {} end
  return { { ids = ids, reason = reason } }
end

return M
