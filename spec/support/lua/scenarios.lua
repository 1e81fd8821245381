--- What the binding does, as named scenarios: every function, on every path. Their functions run
--- in a Lua state of their own, with prelude.lua's table `s`; `run` with memory failing; `after`
--- checks what holds for this one besides what holds for all. To add one, append it to a part, a file
--- in scenarios/: scenario(name, {before, run, after}); `before` and `after` may be missing.

local PARTS = { "opening", "values", "expiry", "iterating", "damage", "rewrites", "transactions" }

local M = {}

local function scenario(name, functions)
  functions.name = name
  M[#M + 1] = functions
end

for _, part in ipairs(PARTS) do
  local path = assert(package.searchpath("spec.support.lua.scenarios." .. part, package.path))
  assert(loadfile(path))(scenario)
end

return M
