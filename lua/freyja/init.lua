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

local M = {}

--- The library's version, "major.minor.patch".
M.version = core.version

--- Opens a store, recovering it from whatever a crash left.
-- @tparam[opt="freyja.db"] string path the store's directory; made if it is missing
-- @tparam[opt] table options readonly, create, sync ("none", "always" or milliseconds),
--   segment_size (bytes), io ("mmap" or "syscall"); an unknown one raises
-- @return a store, or nil and an error object
M.open = core.open

return M
