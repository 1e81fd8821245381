--- freyja: an embedded, log-structured key-value store.
--
--     local freyja <const> = require "freyja"
--     local db <close> = assert(freyja.open("path"))
--     db:put("k", "v")
--
-- Keys and values are strings of any bytes. A missing key is `nil`; a wrong argument raises as
-- Lua's own library does; a fault raises an error object {code, message, path, errno}, but
-- `open` returns `nil, error`. The store's methods are described in freyja/types.lua.
-- @module freyja

local core <const> = require "freyja.core"
local driver <const> = require "freyja.driver"
local loading <const> = require "freyja.load"
local maintenance <const> = require "freyja.maintenance"
local transaction <const> = require "freyja.transaction"

core.set_driver(driver.make)
core.methods.load = loading.load
core.methods.hint = maintenance.hint
core.methods.merge = maintenance.merge
core.methods.maintain = maintenance.maintain
core.methods.transaction = transaction.transaction

local M = {}

--- The library's version, "major.minor.patch".
M.version = core.version

--- Opens a store, recovering it from whatever a crash left.
-- @tparam[opt="freyja.db"] string path the store's directory; made if it is missing
-- @tparam[opt] table options readonly, create, sync ("none", "always" or milliseconds),
--   segment_size (bytes), io ("mmap" or "syscall"), maintenance ("auto", "background" or "manual"), policy,
--   policy_settings, rate (bytes a second), on_error; an unknown one raises
-- @return a store, or nil and an error object
M.open = core.open

--- Writes all that is whole of a damaged store to a new one; the damaged one is not changed.
-- @tparam string path the store's directory
-- @tparam table options to: the new store's directory, which must not exist or be empty
-- @treturn table a report, as that of verify, with the keys that were lost in `problems`
M.repair = core.repair

return M
