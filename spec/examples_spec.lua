-- Goal: the programs in examples/ do what their first lines say, as commands.
-- Method: run each as a user would, in a folder of its own, and read what it prints.

local lfs = require "lfs"

local root = lfs.currentdir()
local config = os.getenv("FREYJA_CONFIG") or "release"
local environment = ([[LUA_PATH_5_4='%s/lua/?.lua;%s/lua/?/init.lua' ]]
  .. [[LUA_CPATH_5_4='%s/build/%s/?.so']]):format(root, root, root, config)

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
