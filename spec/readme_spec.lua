-- Goal: what README.md shows runs as it is shown.
-- Method: its blocks of Lua are run, each by itself, with a store as `db`; its program in C is
-- compiled with every warning and run.
local freyja = require "freyja"
local lfs = require "lfs"
local tmp = require "spec.support.tmp"

local root = lfs.currentdir()

local function blocks(language)
  local found = {}
  for text in tmp.read(root .. "/README.md"):gmatch("\n```" .. language .. "\n(.-)\n```\n") do
    found[#found + 1] = text
  end
  assert(#found > 0, "no block of " .. language)
  return found
end

local function output_of(command)
  local pipe <close> = assert(io.popen(command .. " 2>&1"))
  return pipe:read "a"
end

describe("README.md", function()
  require("spec.support.leaks").watch(before_each, after_each)

  it("has pieces of Lua that run", function()
    for _, text in ipairs(blocks "lua") do
      local dir <close> = tmp.dir()
      lfs.chdir(dir.path)
      -- A piece that opens the store itself gets none.
      local opens = text:find("freyja.open", 1, true)
      local db = not opens and assert(freyja.open "people.db") or nil
      if db then db:put("ada", "1815") end
      local printed = {}
      local env = setmetatable({
        db = db, freyja = freyja, key = "ada", value = "1815", main = function() error "wrong" end,
        print = function(key, value)
          printed[#printed + 1] = value == nil and tostring(key) or tostring(key) .. " " .. tostring(value)
        end,
        make_room = function() error "there is room" end,
        io = { stderr = { write = function(_, said) printed[#printed + 1] = said end } },
      }, { __index = _G })
      local ok, err = pcall(assert(load(text, "=README.md", "t", env)))
      if db then db:close() end
      lfs.chdir(root)
      assert.is_true(ok, tostring(err) .. " in:\n" .. text)
      if opens then assert.same({ "1815", "ada 1815" }, printed) end
    end
  end)

  it("has a program in C that compiles without a warning and works", function()
    local library
    for _, config in ipairs { "release", "debug" } do
      local path = ("%s/build/%s/libfreyja.a"):format(root, config)
      if tmp.exists(path) then library = path end
    end
    if not library then
      pending "the library was not built without instruments"
      return
    end
    local dir <close> = tmp.dir()
    tmp.write(dir.path .. "/program.c", blocks("c")[1])
    local flags = "-std=c11 -Wall -Wextra -Wpedantic -Wconversion -Werror"
    assert.equal("", output_of(("cd '%s' && ${CC:-cc} %s -I'%s/engine' program.c '%s' -o program")
      :format(dir.path, flags, root, library)))
    assert.equal("1815\n", output_of(("cd '%s' && ./program"):format(dir.path)))
    tmp.write(dir.path .. "/people.db/MANIFEST", "damaged")
    assert.equal("corrupt: the list of segments is damaged: it is too short; nothing was changed "
      .. "(people.db/MANIFEST)\n", output_of(("cd '%s' && ./program"):format(dir.path)))
  end)
end)
