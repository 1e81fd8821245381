--- The default policy: merges segments of which much is dead, the most dead first. Settings, Bitcask's and `space`:
--
-- | setting | default | raising it means; lowering it, the contrary |
-- |---|---|---|
-- | `frag_trigger` | 0.7 | part of a segment that is dead when merging begins: later; fewer bytes are copied |
-- | `dead_trigger` | 512 MiB | likewise, in bytes, for large segments |
-- | `space` | 1.6 | likewise, for all: their bytes as a multiple of the live ones; more space used |
-- | `frag_threshold` | 0.4 | part that is dead of segments that are then merged too: fewer of them, less often |
-- | `dead_threshold` | 128 MiB | likewise, in bytes |
-- | `small` | 4 MiB | size of segments that are taken along in any case: there are fewer and larger files; 0: none |
-- | `expiry` | none | seconds after which whatever was written is deleted by merging: it stays longer |
-- | `grace` | 3600 | seconds from then until that alone begins a merge: more is gone by one, but later |
-- | `from`, `to` | 0, 24 | hours, local time, in which merging begins: before `to`, which may be the next day's |
--
-- Tombstones that hide what older segments may hold are not counted as dead: a merge keeps them. Where they are what
-- takes the space, all segments up to them are merged.
-- @module freyja.policy.dead_ratio

local window <const> = require "freyja.policy.window"

local M = { name = "dead_ratio" }

M.defaults = {
  frag_trigger = 0.7, dead_trigger = 512 << 20, space = 1.6, frag_threshold = 0.4, dead_threshold = 128 << 20,
  small = 4 << 20, grace = 3600, from = 0, to = 24, hour = window.hour, now = os.time,
}

M.optional = { expiry = "number" }

local TOMBSTONE <const> = 40 -- bytes, about

--- Of each sealed segment what a merge can free of it, oldest first: all that is dead, but no tombstones that are newer
-- than what is left out below. And the sums of their bytes, and of what is live in all.
local function judge(segments, options)
  local sealed, bytes, live, left_out = {}, 0, 0, math.huge -- since when there is nothing new in what is left out
  for _, segment in ipairs(segments) do
    live = live + segment.live_bytes
    if segment.damaged then sealed, bytes, left_out = {}, 0, 0 -- those below cannot be merged either
    elseif segment.sealed then
      local kept = segment.newest > left_out and TOMBSTONE * segment.tombstones or 0
      local dead = math.max(0, segment.dead_bytes - kept)
      local ratio = dead / math.max(segment.bytes, 1)
      local chosen = ratio >= options.frag_threshold or dead >= options.dead_threshold
      sealed[#sealed + 1] = { segment = segment, dead = dead, ratio = ratio, chosen = chosen }
      bytes = bytes + segment.live_bytes + segment.dead_bytes
      if not chosen then left_out = math.min(left_out, segment.began or 0) end
    end
  end
  return sealed, bytes, live
end

--- @return whether anything is worth beginning, and why; and whether it is all of them together
local function find_reason(sealed, bytes, live, due, options)
  for _, one in ipairs(sealed) do
    if one.ratio >= options.frag_trigger then return ("dead %.2f"):format(one.ratio) end
    if one.dead >= options.dead_trigger then return ("dead %d bytes"):format(one.dead) end
    if one.segment.newest + options.grace * 1000000 < due then one.chosen = true return "expired" end
  end
  if bytes > options.space * live then return ("%d bytes, %d live"):format(bytes, live), true end
end

local function most_dead_first(a, b)
  return a.ratio > b.ratio or a.ratio == b.ratio and a.segment.rank < b.segment.rank
end

--- The segments to merge, as one group, or none.
function M.plan(segments, settings)
  local options, ids, free, worth = setmetatable({}, { __index = M.defaults }), {}, 0, false
  for name, value in pairs(settings or {}) do options[name] = value end
  if not window.is_open(options) then return {} end
  local sealed, bytes, live = judge(segments, options)
  local due = options.expiry and (options.now() - options.expiry) * 1000000 // 1 | 0 or 0
  local reason, together = find_reason(sealed, bytes, live, due, options)
  if not reason then return {} end
  for _, one in ipairs(sealed) do free = free + one.dead end
  -- Where tombstones take the space, they can go with all that is older.
  local all = together and free < (options.space - 1) / 2 * live
  if not all then table.sort(sealed, most_dead_first) end
  for _, one in ipairs(sealed) do
    local chosen = one.chosen or all or together and not worth
    if chosen or one.segment.bytes <= options.small then ids[#ids + 1] = one.segment.id end
    worth = worth or chosen
  end
  if not worth and #ids < 2 then return {} end
  local filter = options.expiry and function(record) return record.timestamp >= due end or nil
  return { { ids = ids, reason = reason, divisible = not all, filter = filter } }
end

return M
