-- Goal: the programs in examples/ do what their first lines say, as commands.
-- Method: run each as a user would, in a folder of its own, and read what it prints.

local freyja = require "freyja"
local lfs = require "lfs"
local store = require "spec.support.store"

local root = lfs.currentdir()
local config = os.getenv("FREYJA_CONFIG") or "release"
local environment = ([[LUA_PATH_5_4='%s/lua/?.lua;%s/lua/?/init.lua' ]]
  .. [[LUA_CPATH_5_4='%s/build/%s/?.so;;']]):format(root, root, root, config)

local function output_of(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read("a")
  local ok, _, status = pipe:close()
  return text, ok and 0 or status
end

local function write(path, text)
  local file <close> = assert(io.open(path, "w"))
  assert(file:write(text))
end

describe("the examples", function()
  local folder

  before_each(function() folder = output_of("mktemp -d"):gsub("\n$", "") end)
  after_each(function() assert(os.execute("rm -r '" .. folder .. "'")) end)

  -- What `lua5.4 examples/...` prints, errors included, and its exit status.
  -- `settings` are environment variables, as for a shell.
  local function run(command, settings)
    return output_of(("cd '%s' && %s %s lua5.4 '%s'/examples/%s 2>&1")
      :format(folder, environment, settings or "", root, command))
  end

  local function says(expected, command, settings)
    local text, status = run(command, settings)
    assert.equal(expected, text, command)
    assert.equal(0, status, command)
  end

  local function fails(message, command, settings)
    local text, status = run(command, settings)
    assert.equal(message, text, command)
    assert.equal(1, status, command)
  end

  describe("config", function()
    it("keeps typed values between runs and lists a section by name", function()
      says("", "config.lua")
      says("", "config.lua set server.port 8080")
      says("", "config.lua set server.host example.org")
      says("", "config.lua set server.timeout 2.5")
      says("", "config.lua set server.tls true")
      says("", [[config.lua set server.zip '"01234"']])
      says("", "config.lua set server.load 0.1")
      says("", "config.lua set servers.count 3")
      says("8080\n", "config.lua get server.port")
      says("true\n", "config.lua get server.tls")
      says("01234\n", "config.lua get server.zip")
      local lines = {
        "server.host              string   example.org",
        "server.load              float    0.1",
        "server.port              integer  8080",
        "server.timeout           float    2.5",
        "server.tls               boolean  true",
        "server.zip               string   01234",
      }
      says(table.concat(lines, "\n") .. "\n", "config.lua list server")
      lines[#lines + 1] = "servers.count            integer  3"
      says(table.concat(lines, "\n") .. "\n", "config.lua list")
    end)

    it("replaces and removes values, and says what is not set", function()
      says("", "config.lua set a.b 1", "CONFIG_STORE=other.db")
      says("", "config.lua set a.b no", "CONFIG_STORE=other.db")
      says("no\n", "config.lua get a.b", "CONFIG_STORE=other.db")
      says("", "config.lua unset a.b", "CONFIG_STORE=other.db")
      fails("config: not set: a.b\n", "config.lua get a.b", "CONFIG_STORE=other.db")
      fails("config: not set: a.b\n", "config.lua unset a.b", "CONFIG_STORE=other.db")
      fails("config: set SECTION.NAME VALUE\n", "config.lua set port 1")
      fails("config: commands: set, get, unset, list\n", "config.lua frobnicate")
    end)
  end)

  describe("session_cache", function()
    local NONE = "session_cache: no such session\n"

    local function login(user, now)
      local token, status = run("session_cache.lua login " .. user, "SESSION_NOW=" .. now)
      assert.equal(0, status, token)
      assert.matches("^%x+\n$", token)
      assert.equal(33, #token)
      return token:sub(1, -2)
    end

    it("keeps a session that is touched and forgets one that is idle", function()
      local ada, bob = login("ada", 1000), login("bob", 1000)
      assert.not_equal(ada, bob)
      says("ada\n", "session_cache.lua touch " .. ada, "SESSION_NOW=2500")
      says("ada\n", "session_cache.lua touch " .. ada, "SESSION_NOW=4000")
      fails(NONE, "session_cache.lua touch " .. bob, "SESSION_NOW=4000")
      local listed = { ada .. "\tada\tidle 10 s\n", bob .. "\tbob\tidle 3010 s\n" }
      table.sort(listed)
      says(table.concat(listed), "session_cache.lua list", "SESSION_NOW=4010")
      says("1 dropped, 1 left\n", "session_cache.lua sweep", "SESSION_NOW=4010")
      says(ada .. "\tada\tidle 10 s\n", "session_cache.lua", "SESSION_NOW=4010")
      says("1 dropped, 0 left\n", "session_cache.lua sweep 5", "SESSION_NOW=4010")
    end)

    it("ends a session at logout", function()
      local ada = login("ada", 1000)
      says("", "session_cache.lua logout " .. ada)
      fails(NONE, "session_cache.lua logout " .. ada)
      fails(NONE, "session_cache.lua touch " .. ada, "SESSION_NOW=1001")
      fails("session_cache: login USER\n", "session_cache.lua login")
    end)
  end)

  describe("word_count", function()
    it("adds up the words of all texts that it was given, run after run", function()
      write(folder .. "/a.txt", "The cat sat. The dog's tail, the 'cat'!\n")
      write(folder .. "/b.txt", "cat\nCAT bird Vögel\n")
      write(folder .. "/c.txt", "bird\n")
      says([[
a.txt: 8 words
5 different words so far
       3 the
       2 cat
       1 dog's
       1 sat
       1 tail
]], "word_count.lua a.txt")
      says([[
b.txt: 4 words
-: 1 words
7 different words so far
       4 cat
       3 the
       2 bird
]], "word_count.lua -n 3 b.txt - <c.txt")
    end)

    it("says which text it cannot read", function()
      fails("word_count: nope.txt: No such file or directory\n", "word_count.lua nope.txt")
      fails("word_count: -n TOP\n", "word_count.lua -n many")
      says("0 different words so far\n", "word_count.lua")
    end)
  end)

  describe("event_log", function()
    local DAY <const> = 86400
    local now

    before_each(function() now = os.time() end)

    local function at(days) return ("EVENTS_NOW=%d"):format(now + days * DAY) end
    local function time(days) return os.date("!%Y-%m-%d %H:%M:%S", now + days * DAY) .. "  " end

    it("forgets what is older than some days, but no errors", function()
      write(folder .. "/a.txt", "one\ndisk error\nno errors\n")
      write(folder .. "/b.txt", "two\n")
      says("", "event_log.lua add a.txt", at(0))
      says("", "event_log.lua add b.txt - <a.txt", at(4))
      says("", "event_log.lua add b.txt", at(9))
      local lines = {
        time(0) .. "disk error\n", time(4) .. "two\n", time(4) .. "one\n", time(4) .. "disk error\n",
        time(4) .. "no errors\n", time(9) .. "two\n",
      }
      says("2 forgotten, 6 left\n", "event_log.lua clean 7", at(10))
      says(table.concat(lines), "event_log.lua", at(10))
      says("0 forgotten, 6 left\n", "event_log.lua clean 7", at(10))
      says(lines[6], "event_log.lua show " .. time(9):sub(1, 10), at(10))
      says("4 forgotten, 2 left\n", "event_log.lua clean 1.5", at(20))
      says(lines[1] .. lines[4], "event_log.lua show", at(20))
      assert.same("", (output_of("ls " .. folder .. "/events.db/lost 2>/dev/null")))
    end)

    it("goes by when each line was written", function()
      local policy = assert(loadfile(root .. "/examples/last_days.lua"))()
      local db <close> = assert(freyja.open(folder .. "/lines.db"))
      local times = {}
      for i = 1, 300 do
        db:put("line" .. i, "x")
        if i % 100 == 0 then
          db:rotate()
          times[#times + 1] = db:segments()[#times + 1].newest
        end
      end
      db:put("line301", "x")
      local function clock() return times[2] / 1000000 + 86400 - 0.00001 end -- so much as 10 lines are at most
      assert.same({ 1, 2 }, policy.plan(db:segments(), { days = 1, now = clock })[1].ids)
      db:maintain(policy, { days = 1, now = clock, keep = function(record) return record.key == "line3" end })
      assert.is_true(db:has "line3" and db:has "line200" and db:has "line300" and db:has "line301")
      assert.is_false(db:has "line1" or db:has "line2" or db:has "line100" or db:has "line180")
      assert.same({}, policy.plan(db:segments(), { days = 2, now = clock }))
    end)

    it("gives the space back", function()
      write(folder .. "/a.txt", ("something happened\n"):rep(1000))
      says("", "event_log.lua add a.txt")
      local before = tonumber((output_of("du -k " .. folder .. "/events.db | cut -f 1")))
      says("1000 forgotten, 0 left\n", "event_log.lua clean 1", at(2))
      assert.is_true(tonumber((output_of("du -k " .. folder .. "/events.db | cut -f 1"))) < before // 2)
      fails("event_log: clean DAYS\n", "event_log.lua clean")
      fails("event_log: nope: No such file or directory\n", "event_log.lua add nope")
    end)
  end)

  describe("strip_field", function()
    local json = require "cjson"

    local function fill(values)
      local db <close> = assert(freyja.open(folder .. "/objects.db"))
      for key, value in pairs(values) do db:put(key, value) end
    end

    local function contents()
      local db <close> = assert(freyja.open(folder .. "/objects.db"))
      local all = {}
      for key, value in db:each() do all[key] = value end
      assert.is_true(db:verify().ok)
      return all
    end

    it("takes a field out of JSON objects and touches nothing else", function()
      local values = {
        ["user:1"] = '{"name":"ada","password":"x","born":1815}', ["user:2"] = '{"password":{"a":[1,null]}}',
        ["user:3"] = '{"name":"bob"}', ["user:4"] = "not JSON", ["user:5"] = "[1,2]", ["user:6"] = "",
        ["user:7"] = '{"password":1,"id":1234567890123456}', ["user:8"] = '{"password":1,"list":[ ]}',
        ["other:1"] = '{"password":1}',
      }
      fill(values)
      local text, status = run("strip_field.lua objects.db password user:")
      assert.equal(0, status, text)
      assert.matches("^2 values without 'password' now, 5 had none, 2 stay as they are; %d+ bytes, were %d+\n$", text)
      local now = contents()
      assert.same({ name = "ada", born = 1815 }, json.decode(now["user:1"]))
      assert.same({}, json.decode(now["user:2"]))
      now["user:1"], now["user:2"] = values["user:1"], values["user:2"]
      assert.same(values, now)
    end)

    it("does so with the characters of Unicode", function()
      write(folder .. "/unicode.txt", "0041;LATIN CAPITAL LETTER A;Lu;0;L;;;;;N;;;;0061;\n"
        .. "2028;LINE SEPARATOR;Zl;0;WS;;;;;N;OLD NAME;;;;\n")
      says("2 characters\n", "characters.lua load unicode.txt")
      assert.matches("unicode_1_name%s+OLD NAME", (run("characters.lua show 2028")))
      local text = run("strip_field.lua characters.db unicode_1_name")
      assert.matches("^1 values without 'unicode_1_name' now, 1 had none, 0 stay as they are", text)
      says([[
code_point                2028
name                      LINE SEPARATOR
general_category          Zl
canonical_combining_class 0
bidi_class                WS
bidi_mirrored             N
]], "characters.lua show 2028")
      fails("characters: no such character\n", "characters.lua show 2029")
    end)

    it("says what is wrong", function()
      fails("strip_field: STORE FIELD [PREFIX]\n", "strip_field.lua objects.db")
      fails("strip_field: freyja: io: cannot open the store's folder: No such file or directory (none.db)\n",
        "strip_field.lua none.db x")
      fill {}
      fails("strip_field: the store is empty\n", "strip_field.lua objects.db x")
      fill { a = "{}" }
      local db <close> = assert(freyja.open(folder .. "/objects.db"))
      local text, status = run("strip_field.lua objects.db x")
      assert.matches("^strip_field: freyja: locked: ", text)
      assert.equal(1, status)
      assert.equal(1, #db)
    end)
  end)

  --- Starts `lua5.4 examples/...` and kills it when the condition holds; it must not have ended by itself.
  local function kill_when(condition, command)
    local pid = output_of(("cd '%s' && { %s lua5.4 '%s'/examples/%s >/dev/null 2>&1 & } && echo $!")
      :format(folder, environment, root, command)):gsub("\n$", "")
    while not condition() do
      assert.equal("0\n", output_of(("kill -0 %s 2>/dev/null; echo $?"):format(pid)), command .. " has ended")
    end
    os.execute(("kill -9 %s"):format(pid))
    while output_of(("kill -0 %s 2>/dev/null; echo $?"):format(pid)) == "0\n" do end
  end

  --- Whether a follower of the store sees that many keys that begin so.
  local function has_keys(path, prefix, count)
    return function()
      local db <close> = freyja.open(folder .. "/" .. path, { readonly = true })
      return db and db:count(prefix) >= count
    end
  end

  describe("bank", function()
    local function check()
      local db <close>, total = assert(freyja.open(folder .. "/bank.db", { readonly = true })), 0
      for _, value in db:each "account:" do total = total + math.tointeger(value) end
      assert.equal(100000, total)
      assert.equal(1000, db:count "account:")
    end

    it("moves money, of which none comes or goes", function()
      local text, status = run("bank.lua bank.db 4 4000")
      assert.equal(0, status, text)
      assert.matches("^4000 transfers by 4 threads; %d+ looks, at each 100000 in 1000 accounts\n$", text)
      check()
    end)

    it("does so when it is killed", function()
      kill_when(has_keys("bank.db", "account:", 1000), "bank.lua bank.db 2 100000000")
      check()
      assert.equal(0, select(2, run("bank.lua bank.db 2 200")))
      check()
    end)

    it("says what is wrong", function()
      fails("bank: STORE [THREADS [TRANSFERS]]\n", "bank.lua")
      fails("bank: freyja: io: cannot create the store's folder: No such file or directory (no/such)\n",
        "bank.lua no/such")
    end)
  end)

  describe("job_queue", function()
    it("does each job once, with threads", function()
      local numbers, expected = {}, {}
      for n = 1, 300 do
        numbers[n] = 1000003 * n
        expected[n] = tostring(numbers[n])
      end
      write(folder .. "/jobs", table.concat(numbers, "\n") .. "\n")
      says("300 jobs more, 300 to do\n", "job_queue.lua add queue.db jobs")
      says("300 jobs done, 0 to do\n", "job_queue.lua work queue.db 3")
      local found = {}
      for line in run("job_queue.lua show queue.db"):gmatch "[^\n]+" do found[#found + 1] = line:match "^(%d+) = " end
      assert.same(expected, found)
      write(folder .. "/more", "12\n97\nx\n")
      says("3 jobs more, 3 to do\n", "job_queue.lua add queue.db more")
      says("3 jobs done, 0 to do\n", "job_queue.lua work queue.db 2")
      assert.matches("\n12 = 2 %* 2 %* 3\n97 = 97\nx has none\n$", (run("job_queue.lua show queue.db")))
    end)

    it("loses none when it is killed", function()
      local numbers = {}
      for n = 1, 400 do numbers[n] = 1000003 * 1000033 end
      write(folder .. "/jobs", table.concat(numbers, "\n") .. "\n")
      says("400 jobs more, 400 to do\n", "job_queue.lua add queue.db jobs")
      kill_when(has_keys("queue.db", "done:", 3), "job_queue.lua work queue.db 2")
      local db <close> = assert(freyja.open(folder .. "/queue.db", { readonly = true }))
      assert.equal(400, db:count "todo:" + db:count "doing:" + db:count "done:")
    end)
  end)

  describe("import", function()
    it("takes over a text, which another process follows", function()
      local lines = {}
      for n = 1, 12345 do lines[n] = "the line " .. n end
      write(folder .. "/text", table.concat(lines, "\n"))
      says("12345 lines more, 12345 in all\n", "import.lua load text.db text 5000")
      says("12345 lines, the last one the line 12345\n", "import.lua follow text.db 12345")
      write(folder .. "/text", table.concat(lines, "\n") .. "\none more\n")
      says("1 lines more, 12346 in all\n", "import.lua load text.db text")
      says("12346 lines, the last one one more\n", "import.lua follow text.db 12346")
    end)

    it("is gone on with after it was killed", function()
      local lines = {}
      for n = 1, 300000 do lines[n] = "the line " .. n end
      write(folder .. "/text", table.concat(lines, "\n") .. "\n")
      kill_when(has_keys("text.db", "line:", 100), "import.lua load text.db text 100")
      local text = run("import.lua load text.db text 100000")
      assert.matches("^%d+ lines more, 300000 in all\n$", text)
      says("300000 lines, the last one the line 300000\n", "import.lua follow text.db 300000")
    end)
  end)

  describe("maintain", function()
    local function fill()
      local db <close> = assert(freyja.open(folder .. "/some.db", { segment_size = 65536, maintenance = "manual" }))
      for i = 1, 5000 do db:put("key" .. (i % 5 == 0 and i or i % 100), ("value %d "):format(i):rep(10)) end
      local all = {}
      for key, value in db:each() do all[key] = value end
      return all
    end

    local function check(expected)
      local db <close> = assert(freyja.open(folder .. "/some.db"))
      local all = {}
      for key, value in db:each() do all[key] = value end
      assert.same(expected, all)
      return db:stats().recovery, db:segments()
    end

    it("merges, writes hint files and says so", function()
      local expected = fill()
      local text, status = run("maintain.lua some.db dead_ratio small=0")
      assert.equal(0, status, text)
      assert.matches("^some.db: 0%.%d MiB, were 0%.%d MiB; merged 1 times, 0%.%d MiB read, 0%.%d MiB written; "
        .. "%d+ hint files\n$", text)
      local recovery, segments = check(expected)
      assert.is_true(#segments < 4)
      assert.is_true(recovery.hints_used > 0)
      text = run("maintain.lua some.db never")
      assert.matches("merged 0 times", text)
    end)

    it("leaves a store alone that is in use, and comes again", function()
      local expected = fill()
      do
        local db <close> = assert(freyja.open(folder .. "/some.db"))
        local text, status = run("maintain.lua some.db")
        assert.equal(75, status, text)
        assert.matches("^maintain: freyja: locked: the store is open in process %d+ %(some.db%)\n$", text)
        assert.is_true(db:verify().ok)
      end
      check(expected)
      assert.matches("merged 1 times", (run("maintain.lua some.db")))
      check(expected)
    end)

    it("takes a policy beside it, and its settings", function()
      fill()
      assert.matches("merged 0 times", (run("maintain.lua some.db last_days days=1")))
      check(fill())
      assert.equal(0, select(2, run("maintain.lua some.db last_days days=-1")))
      local db <close> = assert(freyja.open(folder .. "/some.db"))
      assert.is_true(#db > 0 and #db < 500 and #db:segments() == 1) -- what is left is in the file being written
    end)

    it("ends with 1 where something is wrong", function()
      fails("maintain: STORE [POLICY [NAME=VALUE...]]\n", "maintain.lua")
      fails("maintain: 'x' is not NAME=VALUE\n", "maintain.lua some.db dead_ratio x")
      fails("maintain: freyja: io: cannot open the store's folder: No such file or directory (none.db)\n",
        "maintain.lua none.db")
      fill()
      local text, status = run("maintain.lua some.db nosuch")
      assert.equal(1, status)
      assert.matches("freyja.policy.nosuch", text)
      store.flip(folder .. "/some.db/1.data", 200 * 8)
      text, status = run("maintain.lua some.db")
      assert.equal(1, status)
      assert.matches("merged 1 times.*maintain: 1 places are damaged, the first: freyja: corrupt: .*1.data", text)
    end)
  end)

  describe("the tour", function()
    it("loses nothing that a killed writer had acknowledged", function()
      local characters = "0041;LATIN CAPITAL LETTER A;Lu\n20AC;EURO SIGN;Sc\n"
      write(folder .. "/unicode.txt", characters)
      write(folder .. "/words.txt", "cat\ncat's\nunder\nunder's\nzebra\n")
      local text, status = run("tour.lua tour.db unicode.txt words.txt")
      assert.equal(0, status, text)
      assert.matches("characters of Unicode put%s+2 ", text)
      assert.matches("words put%s+5 ", text)
      assert.matches('changed%s+2 ', text)
      assert.matches("possessives deleted%s+2 ", text)
      assert.matches("no acknowledged write lost, nothing deleted is back", text)
      assert.matches("Done%.\n$", text)
    end)
  end)
end)
