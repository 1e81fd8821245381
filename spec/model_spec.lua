-- Goal: whatever is done in whatever order, a store answers as a plain table would.
-- Method: see spec/support/model.lua. FREYJA_SEED chooses the seed, FREYJA_MODEL_OPS the number
-- of operations.
local model = require "spec.support.model"
local tmp = require "spec.support.tmp"

describe("a store compared with a plain table", function()
  require("spec.support.leaks").watch(before_each, after_each)

  local seed = math.tointeger(tonumber(os.getenv "FREYJA_SEED")) or os.time()
  local count = math.tointeger(tonumber(os.getenv "FREYJA_MODEL_OPS")) or 60000

  for _, hash_bits in ipairs { 64, 9, 4, 1 } do
    it(("answers the same with %d bits of hash"):format(hash_bits), function()
      local dir <close> = tmp.fast_dir()
      model.run(dir.path .. "/db", seed, count // 4, hash_bits)
    end)
  end
end)
