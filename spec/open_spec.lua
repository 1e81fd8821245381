-- Goal: opening gives a store or an error that names the thing, whatever stands in its place, and
-- one writer at a time.
local freyja = require "freyja"
local lfs = require "lfs"
local store = require "spec.support.store"
local tmp = require "spec.support.tmp"

local contents <const>, error_of <const> = store.contents, store.error_of

--- Runs Lua code in a child process with `path` as argument; returns what it prints.
local function in_child(path, code, prefix)
  local dir <close> = tmp.dir()
  tmp.write(dir.path .. "/code.lua", "local freyja = require 'freyja'\nlocal path = ...\n" .. code)
  os.execute("chmod 755 '" .. dir.path .. "'")
  local pipe <close> = assert(io.popen(("%s lua5.4 '%s/code.lua' '%s' 2>&1"):format(prefix or "", dir.path, path)))
  return (pipe:read("a"):gsub("\n$", ""))
end

local function mode_of(path) return lfs.attributes(path, "permissions") end

describe("opening a store", function()
  require("spec.support.leaks").watch(before_each, after_each)

  it("makes a directory for its owner alone", function()
    local dir <close> = tmp.dir()
    local path = dir.path .. "/db"
    local db <close> = assert(freyja.open(path))
    db:put("k", "v")
    assert.equal("rwx------", mode_of(path))
    for _, name in ipairs(tmp.list(path)) do assert.equal("rw-------", mode_of(path .. "/" .. name), name) end
    assert.same({ "1.data", "LOCK", "MANIFEST" }, tmp.list(path))
  end)

  it("is shared by those who open it in one process", function()
    local dir <close> = tmp.dir()
    local first <close> = assert(freyja.open(dir.path, { segment_size = 65536, sync = "none" }))
    first:put("k", "v")
    do
      local second <close> = assert(freyja.open(dir.path .. "/."))
      assert.equal("v", second:get "k")
      second:put("k2", "v2")
      assert.equal(65536, second:stats().segment_size)
      assert.equal("v2", first:get "k2")
    end
    local third <close> = assert(freyja.open(dir.path, { segment_size = 65536, sync = "none", io = "mmap" }))
    first:close()
    assert.equal("closed", error_of(first.get, first, "k").code)
    assert.equal("v", third:get "k")
    third:delete "k"
    third:close()
    local last <close> = assert(freyja.open(dir.path))
    assert.same({ k2 = "v2" }, contents(last))
  end)

  it("is refused to who asks for other options than it has", function()
    local dir <close> = tmp.dir()
    local db <close> = assert(freyja.open(dir.path, { segment_size = 65536 }))
    for option, value in pairs { segment_size = 131072, sync = "always", io = "syscall" } do
      local other, err = freyja.open(dir.path, { [option] = value })
      assert.is_nil(other)
      assert.equal("conflict", err.code)
      assert.equal("the store is open in this process with another " .. option, err.message)
      assert.equal(dir.path, err.path)
    end
    assert(freyja.open(dir.path, { sync = 1000, segment_size = 65536, io = "mmap" })):close()
    assert.equal(0, #db)
  end)

  it("ends with a handle what that has opened, and nothing else", function()
    local dir <close> = tmp.dir()
    local first <close> = assert(freyja.open(dir.path, { segment_size = 4096, maintenance = "manual" }))
    for i = 1, 200 do first:put("key" .. i % 40, ("x"):rep(100)) end
    local second = assert(freyja.open(dir.path))
    local going, ending = first:begin(), second:begin()
    going:put("a", "1")
    ending:put("b", "2")
    local following, state = second:each()
    assert.is_string((following(state)))
    local rewrite = second:rewrite { second:segments()[1].id }
    rewrite:step(1000)
    second:close()
    assert.equal("closed", error_of(ending.commit, ending).code)
    assert.equal("closed", error_of(rewrite.step, rewrite).code)
    assert.equal("closed", error_of(following, state).code)
    going:commit()
    first:merge { first:segments()[1].id }
    assert.equal("1", first:get "a")
    assert.is_nil(first:get "b")
    assert.equal(41, first:count())
    assert.is_true(first:verify().ok)
  end)

  it("has its committed merge carried on when the handle of it is closed", function()
    local dir <close> = tmp.dir()
    local first <close> = assert(freyja.open(dir.path, { segment_size = 4096, maintenance = "manual" }))
    for i = 1, 200 do first:put("key" .. i % 40, ("x"):rep(100)) end
    local second = assert(freyja.open(dir.path))
    local files = #first:segments()
    local rewrite = second:rewrite { first:segments()[1].id, first:segments()[2].id }
    while rewrite:step(1 << 20) do end
    rewrite:commit()
    second:close()
    assert.is_true(#first:segments() < files)
    assert.equal(0, first:stats().pending_bytes)
    assert.equal(40, first:count())
    assert.is_true(first:verify().ok)
  end)

  it("is refused to another process, which is told whose it is", function()
    local dir <close> = tmp.dir()
    local db <close> = assert(freyja.open(dir.path))
    db:put("k", "v")
    local pid = tmp.read(dir.path .. "/LOCK"):match "%d+"
    assert.equal("freyja: locked: the store is open in process " .. pid .. " (" .. dir.path .. ")",
      in_child(dir.path, "print(select(2, freyja.open(path)))"))
  end)

  it("leaves the process's id in the LOCK, and nothing else, whatever was there", function()
    local dir <close> = tmp.dir()
    local own
    for _, text in ipairs { "", "1\n", ("9"):rep(40), "not a number\n" } do
      tmp.write(dir.path .. "/LOCK", text)
      local db <close> = assert(freyja.open(dir.path))
      assert.is_nil(db:get "k")
      own = own or tmp.read(dir.path .. "/LOCK")
      assert.matches("^%d+\n$", own)
      assert.equal(own, tmp.read(dir.path .. "/LOCK"), text)
    end
  end)

  it("is possible again when its holder was killed", function()
    local dir <close> = tmp.dir()
    in_child(dir.path, "local db = freyja.open(path) db:put('k', 'v') os.execute('kill -9 $PPID')")
    do
      local db <close> = assert(freyja.open(dir.path))
      assert.equal("v", db:get "k")
    end
    -- What the holder had reserved is given back, though nothing was written.
    assert.equal(128 + 32, #tmp.read(dir.path .. "/1.data"))
  end)

  it("is shared by readers and a writer", function()
    local dir <close> = tmp.dir()
    assert(freyja.open(dir.path)):close()
    local first <close> = assert(freyja.open(dir.path, { readonly = true }))
    local writer <close> = assert(freyja.open(dir.path))
    local second <close> = assert(freyja.open(dir.path, { readonly = true }))
    assert.equal("locked", in_child(dir.path, "print(select(2, freyja.open(path)).code)"))
    assert.equal(0, #first + #second + #writer)
  end)

  it("is refused to a second writer, though the LOCK was lost or exchanged", function()
    for _, spoil in ipairs { os.remove, function(path) os.remove(path) tmp.write(path, "") end } do
      local dir <close> = tmp.dir()
      local db <close> = assert(freyja.open(dir.path))
      spoil(dir.path .. "/LOCK")
      assert.equal("locked", in_child(dir.path, "print(select(2, freyja.open(path)).code)"))
      db:put("k", "v")
    end
  end)

  it("makes no LOCK to read", function()
    local dir <close> = tmp.dir()
    assert(freyja.open(dir.path)):close()
    os.remove(dir.path .. "/LOCK")
    local reader <close> = assert(freyja.open(dir.path, { readonly = true }))
    assert.is_false(tmp.exists(dir.path .. "/LOCK"))
    local writer <close> = assert(freyja.open(dir.path))
    assert.equal(0, #reader + #writer)
  end)

  it("makes the directory, but not the one above it", function()
    local dir <close> = tmp.dir()
    local db, err = freyja.open(dir.path .. "/no/db")
    assert.is_nil(db)
    assert.equal("io", err.code)
    assert.equal(2, err.errno)
    assert.equal(dir.path .. "/no/db", err.path)
  end)

  it("says of an empty path that it is one", function()
    local dir <close> = tmp.dir()
    local _, err = freyja.open ""
    assert.equal("freyja: io: cannot create the store's folder: the path is empty", tostring(err))
    assert.equal(2, err.errno)
    assert.is_nil(err.path)
    _, err = freyja.open("", { readonly = true })
    assert.equal("freyja: io: cannot open the store's folder: the path is empty", tostring(err))
    local db = assert(freyja.open(dir.path))
    local _, backup_err = pcall(db.backup, db, "")
    db:close()
    local _, from_err = pcall(freyja.repair, "", { to = dir.path .. "/x" })
    local _, to_err = pcall(freyja.repair, dir.path, { to = "" })
    for _, each in ipairs { backup_err, from_err, to_err } do
      assert.matches("the path is empty", each.message, 1, true)
    end
  end)

  it("makes nothing with create = false or readonly = true", function()
    local dir <close> = tmp.dir()
    for _, options in ipairs { { create = false }, { readonly = true } } do
      for _, path in ipairs { dir.path .. "/db", dir.path } do
        local db, err = freyja.open(path, options)
        assert.is_nil(db)
        assert.equal("io", err.code)
        assert.same({}, tmp.list(dir.path))
      end
    end
  end)

  it("names a file that stands where the directory should be", function()
    local dir <close> = tmp.dir()
    tmp.write(dir.path .. "/db", "a file")
    local _, err = freyja.open(dir.path .. "/db")
    assert.equal("io", err.code)
    assert.equal("a file", tmp.read(dir.path .. "/db"))
  end)

  for name, make in pairs {
    ["a symbolic link"] = "ln -s /etc/passwd '%s'",
    ["a FIFO"] = "mkfifo '%s'",
    ["a directory"] = "mkdir '%s'",
  } do
    it("reports " .. name .. " in place of a data file as damage, and reads the rest", function()
      for _, io_mode in ipairs { "mmap", "syscall" } do
        local dir <close> = tmp.dir()
        local path = dir.path .. "/db"
        do
          local db <close> = assert(freyja.open(path))
          db:put("old", "1")
          db:rotate()
          db:put("new", "2")
        end
        os.remove(path .. "/1.data")
        assert(os.execute(make:format(path .. "/1.data")))
        local db <close> = assert(freyja.open(path, { io = io_mode }))
        assert.equal("2", db:get "new")
        local ok, err = pcall(db.get, db, "old")
        assert.is_false(ok)
        assert.equal("corrupt", err.code)
        assert.equal(path .. "/1.data", err.path)
        assert.matches("not a regular file", err.message)
        db:put("old", "3")
        assert.equal("3", db:get "old")
      end
      assert.matches("root", tmp.read "/etc/passwd")
    end)
  end

  for name, make in pairs {
    ["a symbolic link"] = "ln -s /etc/passwd '%s'",
    ["a FIFO"] = "mkfifo '%s'",
    ["a directory"] = "mkdir '%s'",
  } do
    it("refuses " .. name .. " in place of the list of data files or the lock", function()
      for file, code in pairs { MANIFEST = "corrupt", LOCK = "io" } do
        local dir <close> = tmp.dir()
        assert(freyja.open(dir.path)):close()
        os.remove(dir.path .. "/" .. file)
        assert(os.execute(make:format(dir.path .. "/" .. file)))
        for _, options in ipairs { {}, { readonly = true } } do
          local db, err = freyja.open(dir.path, options)
          assert.is_nil(db, file)
          assert.equal(code, err.code, file)
          assert.equal(dir.path .. "/" .. file, err.path)
        end
      end
      assert.matches("root", tmp.read "/etc/passwd")
    end)
  end

  it("is refused whatever the lock's file says", function()
    local dir <close> = tmp.dir()
    local db <close> = assert(freyja.open(dir.path))
    for text, message in pairs {
      [""] = "in another process", ["-1\n"] = "in another process", ["12"] = "in process 12",
      ["7x"] = "in process 7", [("9"):rep(40)] = "in process ",
    } do
      tmp.write(dir.path .. "/LOCK", text)
      local said = in_child(dir.path, "print(select(2, freyja.open(path)))")
      assert.matches("^freyja: locked: ", said)
      assert.matches(message, said, 1, true)
    end
    assert.equal(0, #db)
  end)

  it("leaves alone in its folder what is not the store's", function()
    local dir <close> = tmp.dir()
    local names = { "MANIFEST.tmp~", "a.tmp", "1.data.tmp", "notes.txt", "01.data" }
    for _, name in ipairs(names) do tmp.write(dir.path .. "/" .. name, "mine") end
    for n = 1, 3 do -- with nothing in the active file, and with a record in it
      tmp.write(dir.path .. "/MANIFEST.tmp", "left by a crash")
      local db <close> = assert(freyja.open(dir.path))
      if n > 1 then db:put("k", "v") end
      db:close()
      for _, name in ipairs(names) do assert.equal("mine", tmp.read(dir.path .. "/" .. name), name) end
      assert.is_false(tmp.exists(dir.path .. "/MANIFEST.tmp"))
    end
  end)

  it("goes on working when the process changes its directory", function()
    local dir <close> = tmp.dir()
    local before = lfs.currentdir()
    assert(lfs.mkdir(dir.path .. "/sub"))
    lfs.chdir(dir.path)
    local db = assert(freyja.open("db", { segment_size = 4096 }))
    lfs.chdir "sub"
    for i = 1, 500 do db:put("key" .. i, "value") end
    db:close()
    lfs.chdir(before)
    assert.same({}, tmp.list(dir.path .. "/sub"))
    local again <close> = assert(freyja.open(dir.path .. "/db"))
    assert.equal(500, #again)
  end)

  it("reads in a directory that may not be written, and says that it cannot write there", function()
    local nobody <const> = store.as_nobody()
    if not nobody then
      pending "needs root and setpriv"
      return
    end
    local dir <close> = tmp.dir()
    local path = dir.path .. "/db"
    do
      local db <close> = assert(freyja.open(path))
      db:put("k", "v")
    end
    os.execute(("chmod 755 '%s' '%s' && chmod 644 '%s'/*"):format(dir.path, path, path))
    assert.equal("v", in_child(path, "print(assert(freyja.open(path, {readonly = true})):get 'k')", nobody))
    assert.matches("^freyja: io: cannot open: Permission denied %(.*/LOCK%)$",
      in_child(path, "print(select(2, freyja.open(path)))", nobody))
    os.remove(path .. "/LOCK")
    assert.equal("v", in_child(path, "print(assert(freyja.open(path, {readonly = true})):get 'k')", nobody))
    assert.same({ "1.data", "MANIFEST" }, tmp.list(path))
  end)

  it("makes a store in a folder of one's own, though the one above may not be read", function()
    local nobody <const> = store.as_nobody()
    if not nobody then
      pending "needs root and setpriv"
      return
    end
    local dir <close> = tmp.dir()
    local path = dir.path .. "/db"
    lfs.mkdir(path)
    os.execute(("chown 65534 '%s' && chmod 711 '%s'"):format(path, dir.path))
    local code = "local db = assert(freyja.open(path)) db:put('k', 'v') print(db:get 'k')"
    -- The script is in a folder of its own, which may be read.
    assert.equal("v", in_child(path, code, nobody))
  end)

  it("refuses every write when it is read-only", function()
    local dir <close> = tmp.dir()
    assert(freyja.open(dir.path)):close()
    local db <close> = assert(freyja.open(dir.path, { readonly = true }))
    for name, arguments in pairs {
      put = { "k", "v" }, delete = { "k" }, insert = { "k", "v" }, cas = { "k", nil, "v", n = 3 }, rotate = {},
    } do
      local ok, err = pcall(db[name], db, table.unpack(arguments, 1, arguments.n or #arguments))
      assert.is_false(ok, name)
      assert.equal("readonly", err.code, name)
    end
    db:sync()
  end)
end)
