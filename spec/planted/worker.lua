--- A worker of spec/planted/run, in a copy of the project that is its own, built, and once more in
--- build/pristine: takes bugs that no other worker has taken, plants each, builds, and runs tests until one fails.

local lfs = require "lfs"

local ROOT <const> = lfs.currentdir()
local COMPILER <const> = (os.getenv "CC" or "gcc") .. " -w" -- what is left unused is no error here
local LINE_MAX <const> = 150                               -- characters of a reason

local plant = dofile "spec/planted/plant.lua"

local function trim(line) return line:match "^%s*(.-)%s*$" end

local bugs = {}
for _, bug in ipairs(dofile "spec/planted/bugs.lua") do bugs[bug.name] = bug end

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

local function write(path, bytes)
  local file <close> = assert(io.open(path, "wb"))
  assert(file:write(bytes))
end

--- Runs a shell command; returns its status (128 + signal if one ended it) and what it said.
local function run(command)
  local log = "build/planted.log"
  local _, how, status = os.execute(("{ %s; } >%s 2>&1 </dev/null"):format(command, log))
  return how == "signal" and 128 + status or status, read(log)
end

-- Building ------------------------------------------------------------------------------------

--- Builds `what` (all if nil); nil and the first error if it does not compile.
local function build(what)
  local status, said = run(("make -s -C build config=release 'CC=%s' %s"):format(COMPILER, what or ""))
  if status == 0 then return true end
  return nil, said:match "[^\n]*error:[^\n]*" or said
end

-- Testing -------------------------------------------------------------------------------------

--- All tests: {kind, name} of a spec or a C program, which may have an argument (with `build` as
--- its folder). What the sources look like is not tested.
local function all_tests()
  local tests = {}
  for name in lfs.dir "spec" do
    local spec = name:match "^(.*)_spec%.lua$"
    if spec and spec ~= "tidy" then tests[#tests + 1] = { kind = "spec", name = spec } end
  end
  for name in lfs.dir "spec/support/c" do
    local program = name:match "^(.*)%.c$"
    if program then tests[#tests + 1] = { kind = "program", name = program } end
  end
  tests[#tests + 1] = { kind = "program", name = "luastate" }
  for name in lfs.dir "spec/fuzz/target" do
    local target = name:match "^(.*)%.c$"
    if target then
      local corpus = "../spec/fuzz/corpus/" .. target
      tests[#tests + 1] = { kind = "program", name = "fuzz_" .. target, argument = corpus }
    end
  end
  table.sort(tests, function(a, b)
    if a.kind ~= b.kind then return a.kind > b.kind end
    return a.name < b.name
  end)
  return tests
end

local TIMEOUT <const> = 124 -- the status that `timeout` returns

--- What a failed spec or program said of the first test that failed.
local function reason_of(test, said)
  if test.kind == "program" then return said:match "not ok ([^\n]*)" end
  local name, where = said:match "%f[^\n%z]%s*Failure %-> [^\n]*\n([^\n]*)\n([^\n]*)"
  if not name then name, where = said:match "%f[^\n%z]%s*Error %-> [^\n]*\n([^\n]*)\n([^\n]*)" end
  return name and trim(name) .. ": " .. trim(where)
end

--- Runs a test of the build in build/<which>, for at most `limit` seconds. Returns nil if it
--- passed, else why not.
local function run_test(test, which, limit)
  local command = [[export FREYJA_CONFIG=WHICH FREYJA_COUNTS=build/counts
    export LUA_CPATH_5_4='ROOT/build/WHICH/?.so;;'
    export LUA_PATH_5_4='ROOT/lua/?.lua;ROOT/lua/?/init.lua;ROOT/?.lua;;'
  ]]
  if test.kind == "spec" then
    os.remove "build/counts"
    command = command .. [[timeout -k 5 LIMIT lua5.4 "$(command -v busted)" --ignore-lua \
      --output=spec/support/counted.lua spec/NAME_spec.lua]]
  else
    command = command .. "cd build && timeout -k 5 LIMIT ./WHICH/NAME " .. (test.argument or "")
  end
  command = command:gsub("%u+", { WHICH = which, ROOT = ROOT, LIMIT = limit, NAME = test.name })
  local start = os.time()
  local status, said = run(command)
  if status == 0 then return nil end
  if status == TIMEOUT or os.difftime(os.time(), start) >= limit then
    return ("no end within %d seconds"):format(limit)
  end
  local reason = reason_of(test, said) or ("it ended with status %d"):format(status)
  return #reason > LINE_MAX and reason:sub(1, LINE_MAX) .. "..." or reason
end

local limits = {}

--- Seconds that the test may take. That it passes without a bug is tried the first time, where that is not known.
local function limit_of(test)
  local id = test.kind .. test.name
  if os.getenv "FREYJA_PASSED" then return test.kind == "spec" and 150 or 300 end
  if not limits[id] then
    local start = os.time()
    local why = run_test(test, "pristine", 300)
    if why then error(("%s fails without any bug: %s"):format(test.name, why), 0) end
    limits[id] = 20 + 5 * math.ceil(os.difftime(os.time(), start))
  end
  return limits[id]
end

--- The test that fails, those called bug.test first, and why; nil if none does.
local function catch(bug)
  local tests = all_tests()
  for _, expected in ipairs { true, false } do
    for _, test in ipairs(tests) do
      if (test.name == bug.test) == expected then
        local limit = limit_of(test)
        local why = run_test(test, "release", limit)
        if why then return test, why end
      end
    end
  end
end

--- Returns whether the bug was caught, and what to say of that.
local function try(bug)
  -- Before it is planted: what is no C has no build without the bug.
  for _, test in ipairs(all_tests()) do
    if test.name == bug.test then limit_of(test) end
  end
  local whole = read(bug.file)
  local source, problem = plant(whole, bug)
  if not source then return false, problem end
  write(bug.file, source)
  local good, err = build()
  local test, why
  if good then test, why = catch(bug) end
  write(bug.file, whole)
  -- What tests that died have left.
  os.execute 'rm -rf "$TMPDIR"/*; [ -z "$ALONE" ] || rm -rf /dev/shm/*'
  if not good then return false, "does not compile: " .. err end
  if not test then return false, "survived; " .. bug.test .. " should have caught it" end
  local other = test.name == bug.test and "" or (" (not by %s)"):format(bug.test)
  return true, ("caught by %s%s: %s"):format(test.name, other, why)
end

for name in io.lines(os.getenv "CHOSEN") do
  if lfs.mkdir(os.getenv "CLAIMS" .. "/" .. name) then -- nobody else has it
    local start = os.time()
    local caught, what = try(bugs[name])
    local line = ("%s %s: %s (%d s)\n"):format(caught and "ok" or "not ok", name, (what:gsub("%s+", " ")),
      os.difftime(os.time(), start))
    io.write(line)
    io.flush()
    local results <close> = assert(io.open(os.getenv "RESULTS", "a"))
    assert(results:write(line))
  end
end
