--- Bulk loading.
-- @module freyja.load

local arguments <const> = require "freyja.arguments"
local core <const> = require "freyja.core"

local M = {}

--- Puts all that a generic for over the same arguments would give, faster than one by one: all of it is there when
-- this returns, and durable; or nothing, if anything raises. Of several values of one key the last counts.
-- Until it ends nothing else may be written to the store.
-- @param db a store
-- @tparam function f called as f(s, c) for a key, a value and, if they are wanted, options of db:put; `c` is then
--   the last key; nil ends it
-- @param s
-- @param c
-- @param closing closed in the end, if it is given
-- @treturn integer how many values there were
function M.load(db, f, s, c, closing)
  arguments.check_store(db, "load")
  arguments.check_type(2, "load", f, "function")
  local loading <close> = core.begin_load(db)
  local count = 0
  for key, value, options in f, s, c, closing do
    loading:add(key, value, options)
    count = count + 1
  end
  loading:commit()
  return count
end

return M
