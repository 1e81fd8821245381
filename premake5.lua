-- The build for people who work on freyja or embed its C engine. (Lua programs
-- take it from LuaRocks: rockspec/.) One file for Premake 5 and for Debian's
-- Premake 4.3, bridged by the few lines of "two Premakes" below.
--
--   premake4 --file=premake5.lua gmake      or: premake5 gmake
--   make -C build config=release [CC=clang]
--
-- It makes, in build/<config>: libfreyja.a, freyja/core.so (the Lua module
-- `freyja.core`), and programs: each C test of spec/support/c, luastate of
-- spec/support/lua, each fuzz target (here it replays inputs; spec/fuzz/run builds it for
-- a fuzzer), and the C benchmark.

local root = path.getdirectory(_SCRIPT)

newoption {
  trigger = "out",
  value = "DIR",
  description = "Where to build, below the project (default: build)",
}
newoption {
  trigger = "lua-include",
  value = "DIR",
  description = "Where lua.h of Lua 5.4 is (default: looked for)",
}
newoption {
  trigger = "lua-library",
  value = "NAME",
  description = "Lua 5.4 as the linker knows it, for a test (default: lua5.4)",
}

-- Two Premakes ---------------------------------------------------------------

local group = workspace or solution

-- What follows holds for that configuration only; for all of them without one.
local function when(config)
  if filter then
    filter(config and "configurations:" .. config or {})
  else
    configuration(config or {})
  end
end

-- Keeps the linker from stripping what it makes.
local function with_symbols()
  if symbols then symbols "On" else flags { "Symbols" } end
end

-- Runs a command in the project's folder; true if it succeeded.
local function run(command)
  local result = os.execute("cd '" .. root .. "' && " .. command)
  return result == true or result == 0
end

-- Settings -------------------------------------------------------------------

local out = _OPTIONS["out"] or "build"

local function lua_include()
  local places = {
    "/usr/include/lua5.4",
    "/usr/include/lua/5.4",
    "/usr/local/include/lua5.4",
    "/usr/local/include/lua/5.4",
    "/usr/local/include",
  }
  for _, place in ipairs(places) do
    if os.isfile(place .. "/lua.h") then return place end
  end
  return places[1]
end

local warnings_on = {
  "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion",
  "-Wstrict-prototypes", "-Wmissing-prototypes", "-Werror",
}

local sanitizers = {
  asan = "-fsanitize=address,undefined", -- both: one run finds what either does
  ubsan = "-fsanitize=undefined",
  tsan = "-fsanitize=thread",
}

local configs = { "debug", "release", "asan", "ubsan", "tsan", "coverage" }

group "freyja"
  configurations(configs)
  language "C"
  location(out)
  includedirs { "engine" }
  defines { "_GNU_SOURCE" }
  buildoptions { "-std=c11", "-fPIC", "-fvisibility=hidden" }
  buildoptions(warnings_on)
  with_symbols()

  when "debug"
    buildoptions { "-Og", "-g" }
  when "release"
    defines { "NDEBUG" }
    buildoptions { "-O2", "-g" }
  for name, flag in pairs(sanitizers) do
    when(name)
      buildoptions { "-O1", "-g", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all", flag }
      linkoptions { flag }
  end
  when "coverage" -- by gcc; assertions would be branches that never go the other way
    defines { "NDEBUG", "FREYJA_COVERAGE" }
    buildoptions { "-O2", "-g" }
    linkoptions { "--coverage" }
  when()

-- A project whose result has a folder for each configuration: make's time
-- stamps would otherwise keep the binary of another one.
local function target(name, what, folder)
  project(name)
    kind(what)
    language "C"
    location(out)
    objdir(out .. "/obj/" .. name)
    for _, config in ipairs(configs) do
      when(config)
        targetdir(out .. "/" .. config .. (folder or ""))
    end
    when()
end

-- Coverage is of the engine: what tests it is not slowed down by counting.
local function is_counted()
  when "coverage"
    buildoptions { "-Og", "--coverage" }
  when()
end

-- What is built ----------------------------------------------------------------

target("freyja", "StaticLib")
  files { "engine/*.h", "engine/*.c" }
  is_counted()

-- The binding, in what is being defined.
local function with_binding()
  files { "engine/lua/*.h", "engine/lua/*.c" }
  buildoptions { "-isystem " .. (_OPTIONS["lua-include"] or lua_include()) }
end

target("core", "SharedLib", "/freyja")
  targetprefix ""
  with_binding()
  is_counted()
  links { "freyja" }

-- The simulated disk that C tests use.
target("sim", "StaticLib")
  files { "spec/support/sim/*.h", "spec/support/sim/*.c" }

-- What fuzz targets share.
target("fuzz", "StaticLib")
  files { "spec/fuzz/harness/*.h", "spec/fuzz/harness/*.c" }
  includedirs { "spec/support/sim" }

-- `libraries`: those that it needs besides the disk and the engine.
local function program(name, sources, libraries)
  target(name, "ConsoleApp")
    files(sources)
    includedirs { "spec/support/sim", "spec/fuzz/harness" }
    links(libraries or {})
    links { "sim", "freyja" }
end

local bench_sources = os.matchfiles("spec/bench/*.c")
if #bench_sources > 0 then program("bench", bench_sources) end

-- A test that has a folder of its name is made of that, too.
for _, source in ipairs(os.matchfiles("spec/support/c/*.c")) do
  local name = path.getbasename(source)
  local folder = "spec/support/c/" .. name
  program(name, { source, folder .. "/*.h", folder .. "/*.c" })
  if name == "behind" then linkoptions { "-Wl,--wrap=fj_thread_begin" } end
end

-- Lua with the binding linked in, and with an operating system of its own.
if os.isfile("spec/support/lua/luastate.c") then
  program("luastate", { "spec/support/lua/*.h", "spec/support/lua/*.c" })
    with_binding()
    is_counted()
    links { _OPTIONS["lua-library"] or "lua5.4" }
    linkoptions { "-Wl,--wrap=fj_os_real" }
end

for _, source in ipairs(os.matchfiles("spec/fuzz/target/*.c")) do
  program("fuzz_" .. path.getbasename(source), { source, "spec/fuzz/replay.c" }, { "fuzz" })
end
program("fuzz_seeds", { "spec/fuzz/seeds.c" }, { "fuzz" })

-- Actions --------------------------------------------------------------------

local c_sources = "find engine spec -name '*.[ch]'"

newaction {
  trigger = "lint",
  description = "Check the Lua code by luacheck, the C code's format by clang-format",
  execute = function()
    local good = run "luacheck -q premake5.lua rockspec lua spec examples"
    good = run(c_sources .. " | xargs clang-format --dry-run -Werror") and good
    if not good then os.exit(1) end
  end,
}

newaction {
  trigger = "format",
  description = "Bring the C code into its format by clang-format",
  execute = function()
    if not run(c_sources .. " | xargs clang-format -i") then os.exit(1) end
  end,
}
