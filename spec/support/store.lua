--- What specs ask of stores and do to their files.

local tmp = require "spec.support.tmp"

local M = {}

--- All keys and values, as a table.
function M.contents(db)
  local t = {}
  for k, v in db:each() do t[k] = v end
  return t
end

--- The error of a call that has to raise one.
function M.error_of(...)
  local ok, err = pcall(...)
  assert(not ok, "it raised no error")
  return err
end

--- A function write(db, bytes [, keys]) that writes about so many bytes to a store: `keys` keys (300) over and over, in
--- no order, each time with another value that begins with `value`, of about 100 bytes.
function M.writer(value)
  local count = 0
  return function(db, bytes, keys)
    for _ = 1, bytes // 128 do
      count = count + 1
      db:put("key" .. (count * 2654435761 & 0xffffffff) * (keys or 300) // 0x100000000, value .. count)
    end
  end
end

--- Turns a bit of a file over; the bits of its first byte are 0 to 7.
function M.flip(path, bit)
  local bytes = tmp.read(path)
  local byte = bytes:byte(bit // 8 + 1) ~ (1 << bit % 8)
  tmp.write(path, bytes:sub(1, bit // 8) .. string.char(byte) .. bytes:sub(bit // 8 + 2))
end

--- A command in front of another that runs it as a user without rights; nil where that is not to be had, or
--- where the build counts what runs, which that user may not write.
function M.as_nobody()
  if os.getenv "FREYJA_CONFIG" == "coverage" then return nil end
  if not os.execute "command -v setpriv >/dev/null && [ $(id -u) = 0 ]" then return nil end
  return "setpriv --reuid 65534 --clear-groups"
end

return M
