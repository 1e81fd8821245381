-- Goal: a program may end anywhere: in loops, coroutines, callbacks and finalizers, by os.exit with
-- the state closed, by an error, or by reaching its end. It ends as it says, its stores are closed
-- and hold what was written.
-- Method: small programs as child processes. What can be tested within a process, luastate tests
-- (spec/support/lua).
local freyja = require "freyja"
local tmp = require "spec.support.tmp"

-- END stands for the statement that ends the program. `finalizer`: errors there are only warnings.
local PLACES = {
  { "in the main chunk", [[END]] },
  { "in a loop", [[for k, v in db:each() do END end]] },
  { "in loops in both orders", [[
    for k in db:keys() do for k, v in db:each { order = "key" } do END end end]] },
  { "in a coroutine's loop", [[
    coroutine.wrap(function() for k in db:keys() do END end end)()]] },
  { "while a coroutine waits in a loop", [[
    local co = coroutine.wrap(function()
      local other <close> = assert(freyja.open(path .. "/2"))
      for k in db:keys() do coroutine.yield() end
    end)
    co()
    END]] },
  { "in a scope of two stores", [[
    local first <close> = assert(freyja.open(path .. "/2"))
    local second <close> = assert(freyja.open(path .. "/3"))
    for k in db:keys() do END end]] },
  { "where a variable is closed", [[
    local closing <close> = setmetatable({}, { __close = function() END end })
    for k in db:keys() do break end]] },
  { "in a list of keys", [[
    db:get_many(setmetatable({}, { __len = function() END end }))]] },
  { "in the text of an error", [[
    local _, err = freyja.open(path .. "/no/such")
    err.code = setmetatable({}, { __tostring = function() END end })
    tostring(err)]] },
  { "in a finalizer", [[
    setmetatable({}, { __gc = function() END end })
    local n = 0
    for i = 1, 1000 do
      for k in db:each() do n = n + #k end
      db:get_many { "a", "b", i }
    end]], finalizer = true },
}

local ENDINGS = {
  { "os.exit(true, true)", 0 },
  { "os.exit(3, true)", 3 },
  { "os.exit(3)", 3 },
  { "error 'the end'", 1 },
  { "error(setmetatable({}, { __tostring = function() return db:get 'b' end }))", 1 },
  { "db:close() os.exit(3, true)", 3 },
}

local function program(path, place, statement)
  return ([[
    local freyja = require "freyja"
    local path = %q
    local db = assert(freyja.open(path .. "/db"))
    db:put("a", "1")
    db:put("b", ("2"):rep(5000))
    io.stdout:write "begun "
    %s]]):format(path, (place:gsub("END", (statement:gsub("%%", "%%%%")))))
end

describe("a program that uses stores", function()
  require("spec.support.leaks").watch(before_each, after_each)

  for _, place in ipairs(PLACES) do
    it("may end " .. place[1], function()
      for _, ending in ipairs(ENDINGS) do
        local dir <close> = tmp.dir()
        tmp.write(dir.path .. "/program.lua", program(dir.path, place[2], ending[1]))
        local pipe = assert(io.popen(("lua5.4 %s/program.lua 2>&1"):format(dir.path)))
        local said = pipe:read "a"
        local _, how, status = pipe:close()
        local what = ("%s: %s %d, %s"):format(ending[1], how, status, said)
        local want = place.finalizer and ending[2] == 1 and 0 or ending[2]
        assert.equal("exit", how, what)
        assert.equal(want, status, what)
        assert.matches("begun ", said, 1, true)
        local db <close> = assert(freyja.open(dir.path .. "/db"))
        assert.same({ "1", ("2"):rep(5000), 2 }, { db:get "a", (db:get "b"), #db }, what)
      end
    end)
  end
end)
