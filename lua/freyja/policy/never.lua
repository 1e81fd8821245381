--- A policy that merges nothing: disk use grows with everything that is written.
-- @module freyja.policy.never

return { name = "never", plan = function() return {} end }
