--- Transactions as functions.
-- @module freyja.transaction

local arguments <const> = require "freyja.arguments"

local M = {}

local OPTIONS <const> = { serializable = "boolean", retries = "count" }

--- Runs the function in a transaction and commits that. Returns what the function has returned, or nil and the error
-- of a commit that has met a conflict.
local function attempt(db, fn, options)
  local tx <close> = db:begin(options)
  local results = table.pack(fn(tx))
  if not tx:is_open() then return results end
  local ok, err = pcall(tx.commit, tx)
  if ok then return results end
  if err.code ~= "conflict" then error(err, 0) end
  return nil, err
end

--- Calls fn(tx) with a new transaction, which is committed when the function returns, and rolled back when it raises.
-- A function that has committed or rolled back itself leaves nothing to do.
-- @param db a store
-- @tparam function fn
-- @tparam[opt] table options serializable: as of db:begin. retries: how often the function is called again, with
--   another transaction, when the commit meets a conflict; 0
-- @return what the function returns
function M.transaction(db, fn, options)
  arguments.check_store(db, "transaction")
  arguments.check_type(2, "transaction", fn, "function")
  options = arguments.check_options(options, OPTIONS, 3, "transaction")
  local begin = { serializable = options.serializable }
  for left = options.retries or 0, 0, -1 do
    local results, err = attempt(db, fn, begin)
    if results then return table.unpack(results, 1, results.n) end
    if left == 0 then error(err, 0) end
  end
end

return M
