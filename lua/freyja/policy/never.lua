--- A policy that merges nothing: disk use grows with everything that is written.
-- @module freyja.policy.never

return { name = "never", defaults = {}, plan = function() return {} end }
