-- The characters of Unicode as JSON objects in a store.
--
--   lua5.4 examples/characters.lua load FILE      UnicodeData.txt, of Debian's package unicode-data
--   lua5.4 examples/characters.lua show 20AC      by code point
--
-- The store is the directory in CHARACTERS_STORE, or ./characters.db. Needs lua-cjson.

local cjson = require "cjson"
local freyja = require "freyja"

-- The fields of a line of UnicodeData.txt, by what the Unicode standard calls them.
local FIELDS <const> = {
  "code_point", "name", "general_category", "canonical_combining_class", "bidi_class", "decomposition", "decimal",
  "digit", "numeric", "bidi_mirrored", "unicode_1_name", "iso_comment", "uppercase", "lowercase", "titlecase",
}

local function parse(line)
  local character, i = {}, 0
  for field in (line .. ";"):gmatch "([^;]*);" do
    i = i + 1
    if FIELDS[i] and field ~= "" then character[FIELDS[i]] = field end
  end
  return character
end

local commands = {}

function commands.load(db, name)
  if not name then return nil, "load FILE" end
  local file <close>, message = io.open(name)
  if not file then return nil, message end
  for line in file:lines() do
    local character = parse(line)
    db:put("U+" .. character.code_point, cjson.encode(character))
  end
  print(("%d characters"):format(db:count "U+"))
  return true
end

function commands.show(db, code)
  local stored = code and db:get("U+" .. code:upper())
  if not stored then return nil, "no such character" end
  local character = cjson.decode(stored)
  for _, field in ipairs(FIELDS) do
    if character[field] then print(("%-26s%s"):format(field, character[field])) end
  end
  return true
end

local function main(command, ...)
  local run = commands[command or "?"]
  if not run then return nil, "commands: load, show" end
  local db <close> = assert(freyja.open(os.getenv("CHARACTERS_STORE") or "characters.db"))
  return run(db, ...)
end

local ok, message = main(...)
if not ok then
  io.stderr:write("characters: ", message, "\n")
  os.exit(1, true)
end
