-- Goal: the rules of the house that a program can check hold for every file.
-- Method: read the sources, the rockspec and the library's symbols.

local LINES_MAX = 800         -- of a file
local FUNCTION_LINES_MAX = 70 -- from its opening to its closing brace

-- Each file of the engine and its layer; it may include headers of its own
-- layer and of those below it.
local LAYERS = {
  { "freyja", "atomic" },
  { "os", "child", "thread" },
  { "clock", "guard", "error", "hash", "positions" },
  { "record", "findings", "lock", "local" },
  { "segment", "append" },
  { "manifest", "keydir", "entries", "scan", "torn", "hint", "checkpoint", "behind" },
  { "detour", "index", "segments", "folder", "inspect", "leftovers", "gather", "apply", "seek" },
  { "part", "run", "pieces", "estimate" },
  { "batch", "hinted", "plain" },
  { "recovery", "adopt", "intake", "hintwriter", "checkpointer", "hintcheck", "sorted", "audit", "builder", "salvage" },
  { "iterator", "reader", "repair" },
  { "store", "bootstrap", "read", "write", "expire", "report", "maintain", "rewrite", "swap", "lower",
    "commit", "transaction", "outputs", "load", "follow" },
  { "verify", "backup" },
  { "share", "api", "look", "group", "flusher" },
}

local function lines_of_command(command)
  local pipe = assert(io.popen(command))
  local lines = {}
  for line in pipe:lines() do lines[#lines + 1] = line end
  assert(pipe:close(), command)
  return lines
end

local function files(pattern)
  local found = lines_of_command("find " .. pattern .. " | LC_ALL=C sort")
  assert(#found > 0, pattern)
  return found
end

local function lines_of(path)
  local lines = {}
  for line in io.lines(path) do lines[#lines + 1] = line end
  return lines
end

-- The functions of more than FUNCTION_LINES_MAX lines. In this code's format a
-- function's opening brace ends a line that began at the margin, or continues
-- one, after a ")", and its closing brace stands alone at the margin.
local function long_functions(path)
  local found, start = {}, nil
  for number, line in ipairs(lines_of(path)) do
    if not start and line:find("%) {$") then start = number end
    if line == "}" and start then
      local length = number - start + 1
      if length > FUNCTION_LINES_MAX then
        found[#found + 1] = ("%s:%d: a function of %d lines"):format(path, start, length)
      end
      start = nil
    end
  end
  return found
end

local function layer_of()
  local layer = {}
  for number, names in ipairs(LAYERS) do
    for _, name in ipairs(names) do layer[name] = number end
  end
  return layer
end

-- The rockspec's variables.
local function rockspec()
  local values = {}
  assert(loadfile("rockspec/freyja-scm-1.rockspec", "t", values))()
  return values
end

describe("the sources", function()
  it("have files of a readable length", function()
    for _, path in ipairs(files("engine lua examples spec -type f")) do
      local count = #lines_of(path)
      assert.is_true(count <= LINES_MAX, ("%s has %d lines"):format(path, count))
    end
  end)

  it("have C functions of a readable length", function()
    for _, path in ipairs(files("engine -name '*.[ch]'")) do
      assert.same({}, long_functions(path))
    end
  end)

  it("say nothing to be done later, and nothing of the machine they were written on", function()
    local words = { "TO" .. "DO", "FIX" .. "ME", "/ho" .. "me/", "/wo" .. "rk/" }
    for _, path in ipairs(files("engine lua examples spec rockspec .ci *.* -type f")) do
      for number, line in ipairs(lines_of(path)) do
        for _, word in ipairs(words) do
          local where = ("%s:%d has %s"):format(path, number, word)
          assert.is_nil(line:find(word, 1, true), where)
        end
      end
    end
  end)

  it("include Lua's headers in the binding only", function()
    for _, path in ipairs(files("engine -maxdepth 1 -name '*.[ch]'")) do
      for number, line in ipairs(lines_of(path)) do
        local lua = line:find("^%s*#%s*include%s*[<\"]l[ua][ua]")
        assert.is_nil(lua, ("%s:%d: %s"):format(path, number, line))
      end
    end
  end)

  it("use the layers below them only", function()
    local layer = layer_of()
    for _, path in ipairs(files("engine -maxdepth 1 -name '*.[ch]'")) do
      local name = path:match("([%w_]+)%.[ch]$")
      assert.is_truthy(layer[name], path .. " has no layer: see LAYERS in this spec")
      for number, line in ipairs(lines_of(path)) do
        local used = line:match('^%s*#%s*include%s*"([%w_]+)%.h"')
        if used then
          local what = ("%s:%d includes %s.h"):format(path, number, used)
          assert.is_truthy(layer[used], what)
          assert.is_true(layer[used] <= layer[name], what .. ", of a higher layer")
        end
      end
    end
  end)
end)

describe("the library", function()
  it("defines no global symbol without its prefix", function()
    local library = "build/" .. (os.getenv("FREYJA_CONFIG") or "release") .. "/libfreyja.a"
    local count = 0
    for _, line in ipairs(lines_of_command("nm -g --defined-only " .. library)) do
      local symbol = line:match("^%x+ %a ([%w_.]+)$")
      -- What begins with two underscores is the sanitizers'.
      if symbol and not symbol:find("^__") then
        count = count + 1
        local ours = symbol:find("^freyja_") or symbol:find("^fj_")
        assert.is_truthy(ours, "a symbol without prefix: " .. symbol)
      end
    end
    assert.is_true(count > 20, "nm found " .. count .. " symbols")
  end)
end)

describe("the rockspec", function()
  it("lists every C file of the module", function()
    local listed = rockspec().build.modules["freyja.core"].sources
    assert.same(files("engine -name '*.c'"), listed)
  end)

  it("lists every Lua module", function()
    local listed = {}
    for name, source in pairs(rockspec().build.modules) do
      if type(source) == "string" then
        local path = "lua/" .. name:gsub("%.", "/")
        assert.is_true(source == path .. ".lua" or source == path .. "/init.lua", name)
        listed[#listed + 1] = source
      end
    end
    table.sort(listed)
    assert.same(files("lua -name '*.lua'"), listed)
  end)
end)

describe("the list of bugs to plant", function()
  it("names lines that there are, each bug once", function()
    local plant = dofile "spec/planted/plant.lua"
    local names = {}
    for _, bug in ipairs(dofile "spec/planted/bugs.lua") do
      local file <close> = assert(io.open(bug.file))
      assert.is_nil(names[bug.name], bug.name)
      names[bug.name] = true
      local source, why = plant(file:read "a", bug)
      assert(source, bug.name .. ": " .. tostring(why))
    end
  end)
end)
