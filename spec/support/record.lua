--- Decodes data files and MANIFESTs by engine/FORMAT.md, without the engine. Checks fields and
--- lengths, not sums.

local M = {}

local KINDS = { "put", "tombstone" }

--- The record at `offset` (from 0) of the bytes of a data file.
function M.decode(bytes, offset)
  local check, value_sum, value_size, key_size, kind, flags, timestamp, at =
    ("<I4I4I4I2I1I1I8"):unpack(bytes, offset + 1)
  assert(KINDS[kind], "kind")
  assert(flags & ~7 == 0 and (kind == 1 or flags & 2 == 0), "flags")
  local expiry = 0
  if flags & 2 ~= 0 then
    expiry, at = ("<I8"):unpack(bytes, at)
    assert(expiry ~= 0, "expiry")
  end
  local key = bytes:sub(at, at + key_size - 1)
  local value = bytes:sub(at + key_size, at + key_size + value_size - 1)
  local size = (at - offset - 1 + key_size + value_size + 7) // 8 * 8
  local padding = bytes:sub(at + key_size + value_size, offset + size)
  assert(padding == ("\0"):rep(#padding), "padding")
  return {
    check = check, value_sum = value_sum, kind = KINDS[kind], collides = flags & 1 == 1, more = flags & 4 == 4,
    timestamp = timestamp, expiry = expiry, key = key, value = value, size = size,
  }
end

--- The header of a data file.
function M.header(bytes)
  local magic, size, zero, store_id, hash_seed, id, created, _, mark0, _, mark1 =
    ("<c8I4I4c16i8I8I8i8I8i8I8"):unpack(bytes)
  assert(magic == "freyjaD\1" and size == 128 and zero == 0, "header")
  return {
    store_id = store_id, hash_seed = hash_seed, id = id, created = created,
    mark = math.max(mark0, mark1, 128), marks = { mark0, mark1 },
  }
end

--- A MANIFEST.
function M.manifest(bytes)
  local magic, count, hash_bits, store_id, hash_seed, generation, next_id, _, at =
    ("<c8I4I4c16i8I8I8I8"):unpack(bytes)
  assert(magic == "freyjaM\1" and #bytes == 64 + 16 * count + 8, "MANIFEST")
  local manifest = {
    hash_bits = hash_bits, store_id = store_id, hash_seed = hash_seed,
    generation = generation, next_id = next_id, segments = {},
  }
  for i = 1, count do
    local id, size
    id, size, at = ("<I8I8"):unpack(bytes, at)
    manifest.segments[i] = { id = id, size = size }
  end
  return manifest
end

return M
