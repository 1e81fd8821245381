--- What happens when the operating system refuses, told by the operating system itself: a full
--- disk, the largest size of a file, of open files, of memory. Run as a program, in a process
--- of its own, whose limits it changes; spec/real_limits_spec.lua starts it. The last line that
--- it prints is the number of limits that it tried.

local freyja = require "freyja"
local lfs = require "lfs"
local tmp = require "spec.support.tmp"

local MODES <const> = { "mmap", "syscall" }

--- What a store was told and acknowledged: `count` values of a little more than `size` bytes.
local function writes(size) return { count = 0, tail = ("v"):rep(size) } end

local function key_of(n) return "key" .. n end

local function value_of(done, n) return n .. done.tail end

--- Puts until a put fails or `most` are done; returns the error, nil if there was none.
local function fill(db, done, most)
  for n = done.count + 1, done.count + most do
    local ok, err = pcall(db.put, db, key_of(n), value_of(done, n))
    if not ok then return err end
    done.count = n
  end
end

--- The directory holds the files of the store's data and no others: none of a try that failed.
local function check_files(db, path, label)
  local files = 0
  for _, name in ipairs(tmp.list(path)) do
    assert(not name:find "%.tmp$", label .. ": a temporary file is left")
    if name:find "%.data$" then files = files + 1 end
  end
  assert(files == #db:segments(), label .. ": a data file is left")
end

--- The store holds what was acknowledged and nothing else.
local function check(db, done, label)
  assert(#db == done.count, label .. ": the number of keys")
  for n = 1, done.count do
    assert(db:get(key_of(n)) == value_of(done, n), label .. ": a value is lost")
  end
  assert(db:get(key_of(done.count + 1)) == nil, label .. ": a write that failed is there")
end

--- Writing goes on in the same handle, and all is there when the store is opened again.
local function check_recovered(db, done, path, label)
  local err = fill(db, done, 20)
  assert(not err, ("%s: there is room, and a put says: %s"):format(label, tostring(err)))
  check(db, done, label)
  db:close()
  local again <close> = assert(freyja.open(path, { maintenance = "manual" }))
  check(again, done, label .. ", opened again")
  assert(again:stats().recovery.damaged == 0, label)
end

local function expect(err, code, label)
  assert(type(err) == "table" and err.code == code,
    ("%s: the error should be `%s`: %s"):format(label, code, tostring(err)))
end

-- A full disk -------------------------------------------------------------------------------

local KIB <const> = 1024
local BALLAST <const> = 128 * KIB -- what is freed when the disk has been full

--- Bytes of the disk that the files of a directory take.
local function allocated(path)
  local bytes = 0
  for _, name in ipairs(tmp.list(path)) do
    bytes = bytes + lfs.attributes(path .. "/" .. name, "blocks") * 512
  end
  return bytes
end

local function try_full_disk(free, io_mode, sync)
  local dir <close> = tmp.dir() -- on the small disk: the spec sets TMPDIR
  local path = dir.path .. "/db"
  local label = ("%d KiB free, io %s, sync %s"):format(free, io_mode, sync)
  local options = {
    io = io_mode, sync = sync, maintenance = "manual",
    segment_size = ({ 4096, 16384, 65536, 1 << 20 })[free // 4 % 4 + 1],
  }
  local done = writes(free % 31 * 100 + 500)
  tmp.write(dir.path .. "/ballast", ("b"):rep(BALLAST))
  local db, err = freyja.open(path, options)
  if db then
    err = fill(db, done, math.huge)
    check(db, done, label)
    check_files(db, path, label)
    -- Beside the record, a new data file and a new MANIFEST may have been needed, a page each.
    local needed = #value_of(done, done.count + 1) + 3 * 4 * KIB
    assert(allocated(path) + needed > free * KIB, label .. ": there was room")
    if free // 16 % 2 == 1 then -- a full disk is no reason not to open
      db:close()
      db = assert(freyja.open(path, options))
      check(db, done, label .. ", opened while the disk is full")
    end
  end
  expect(err, "full", label)
  assert(err.path:sub(1, #dir.path) == dir.path, label)
  os.remove(dir.path .. "/ballast")
  check_recovered(db or assert(freyja.open(path, options)), done, path, label)
end

--- At every KiB of free space. The disk gives pages of 4 KiB, so that the four modes, in turn,
--- meet every amount that there is; "all": every mode at each.
local function full_disk(which)
  local points = 0
  local dir <close> = tmp.dir()
  for free = 0, 1024 do
    tmp.write(dir.path .. "/filler", ("f"):rep((1024 - free) * KIB))
    for mode = 0, 3 do
      if which == "all" or free % 4 == mode then
        try_full_disk(free, MODES[mode % 2 + 1], mode < 2 and "none" or "always")
        points = points + 1
      end
    end
  end
  return points
end

--- Takes all of the disk but `free` KiB.
local function take_disk(path, free)
  local spared <const> = path .. ".spared"
  tmp.write(spared, ("s"):rep(free * KIB))
  local file <close> = assert(io.open(path, "wb"))
  file:setvbuf "no"
  local page <const> = ("f"):rep(4 * KIB)
  while file:write(page) do end
  os.remove(spared)
end

--- A copy that leaves out the zeros of the files, among them what was reserved: what looks like
--- a reserve has no blocks. Nor has a page of zeros within a value; where nothing is free, tmpfs
--- has none to give even for reading it through a mapping, so that is tried by calls only.
local function try_sparse_copy(free, io_mode, sync)
  local dir <close> = tmp.dir()
  local path, copy = dir.path .. "/db", dir.path .. "/copy"
  local label = ("a sparse copy, %d KiB free, io %s, sync %s"):format(free, io_mode, sync)
  local options = { maintenance = "manual", io = io_mode, sync = sync, segment_size = 1 << 20 }
  local done = writes(900)
  if free // 4 % 2 == 1 and io_mode == "syscall" then done.tail = ("\0"):rep(9000) end
  do -- the files are those of a killed process: with their reserve
    local db <close> = assert(freyja.open(path, { maintenance = "manual", sync = "none", segment_size = 1 << 20 }))
    assert(not fill(db, done, 10))
    assert(os.execute(("cp -r --sparse=always '%s' '%s'"):format(path, copy)))
  end
  assert(os.execute(("rm -r '%s'"):format(path)))
  take_disk(dir.path .. "/filler", free)
  local db, err = freyja.open(copy, options)
  if db then
    err = fill(db, done, math.huge)
    check(db, done, label)
  else
    local reader <close> = assert(freyja.open(copy, { readonly = true, io = io_mode }))
    check(reader, done, label)
  end
  expect(err, "full", label)
  os.remove(dir.path .. "/filler")
  check_recovered(db or assert(freyja.open(copy, options)), done, copy, label)
end

local function sparse_copy()
  local points = 0
  for free = 0, 128, 4 do
    for mode = 0, 3 do
      try_sparse_copy(free, MODES[mode % 2 + 1], mode < 2 and "none" or "always")
      points = points + 1
    end
  end
  return points
end

-- Limits of this process ----------------------------------------------------------------------

--- Sets the soft limit `name`, as util-linux's prlimit calls it, of this process.
local function set_limit(name, value)
  local pid = tmp.read("/proc/self/stat"):match "%d+"
  assert(os.execute(("prlimit --pid %s --%s=%s:"):format(pid, name, value)))
end

--- Every half KiB from `least` on. Below the size of a data file's header no store can be made.
local function file_size(least)
  local points = 0
  for _, io_mode in ipairs(MODES) do
    for limit = tonumber(least), 64 * KIB, KIB do
      local dir <close> = tmp.dir()
      local path = dir.path .. "/db"
      local label = ("files of %d bytes, io %s"):format(limit, io_mode)
      local options = { maintenance = "manual", io = io_mode, sync = "none", segment_size = 100000 }
      local done = writes(limit % 1000 + 100)
      set_limit("fsize", limit)
      local db, err = freyja.open(path, options)
      if db then
        err = fill(db, done, math.huge)
        check(db, done, label)
      else
        assert(limit < 128, label)
      end
      expect(err, "full", label)
      assert(err.path:sub(1, #path) == path, label)
      set_limit("fsize", "unlimited")
      check_recovered(db or assert(freyja.open(path, options)), done, path, label)
      points = points + 1
    end
  end
  return points
end

--- A limit that lies below what the files of a killed process have already: behind the limit not
--- even what is there may be written again.
local function try_lower_limit(limit, io_mode, sync)
  local dir <close> = tmp.dir()
  local path, copy = dir.path .. "/db", dir.path .. "/copy"
  local label = ("files of %d bytes from now on, io %s, sync %s"):format(limit, io_mode, sync)
  local options = { maintenance = "manual", io = io_mode, sync = "none" }
  local done = writes(limit % 1000 + 3000)
  do
    local db <close> = assert(freyja.open(path, options))
    assert(not fill(db, done, 300))
    if sync == "always" then db:sync() end
    assert(os.execute(("cp -r '%s' '%s'"):format(path, copy)))
  end
  set_limit("fsize", limit)
  do
    local reader <close> = assert(freyja.open(copy, { io = io_mode, readonly = true }))
    check(reader, done, label)
  end
  local db, err = freyja.open(copy, options)
  if db then
    assert(sync == "always", label)
    err = fill(db, done, math.huge)
    check(db, done, label)
  end
  expect(err, "full", label)
  assert(err.path == copy .. "/1.data", label)
  set_limit("fsize", "unlimited")
  check_recovered(db or assert(freyja.open(copy, options)), done, copy, label)
end

--- The same for a store that is open, and has reserved more than it may write.
local function try_lower_while_open(limit, io_mode)
  local dir <close> = tmp.dir()
  local path = dir.path .. "/db"
  local label = ("files of %d bytes while it is open, io %s"):format(limit, io_mode)
  local db = assert(freyja.open(path, { maintenance = "manual", io = io_mode, sync = "none" }))
  local done = writes(9000)
  assert(not fill(db, done, 20))
  set_limit("fsize", limit)
  local err = fill(db, done, math.huge)
  check(db, done, label)
  expect(err, "full", label)
  set_limit("fsize", "unlimited")
  check_recovered(db, done, path, label)
end

local function lower_limit()
  local points = 0
  for _, io_mode in ipairs(MODES) do
    for limit = 1000, 250000, 30000 do
      try_lower_while_open(limit, io_mode)
      points = points + 1
    end
    for _, sync in ipairs { "none", "always" } do
      for limit = 1000, 1000000, 111111 do
        try_lower_limit(limit, io_mode, sync)
        points = points + 1
      end
    end
  end
  return points
end

--- Opens files until that fails, then closes `left` of them.
local function take_descriptors(left)
  local files = {}
  repeat
    local file = io.open "/dev/null"
    files[#files + 1] = file
  until not file
  for _ = 1, left do
    local file = table.remove(files)
    if file then file:close() end
  end
  return files
end

local function give_back(files)
  for _, file in ipairs(files) do file:close() end
end

--- Every read gives what was written or fails by `io` about a file of the store.
local function check_reads(db, done, path, label)
  for n = 1, done.count do
    local ok, value = pcall(db.get, db, key_of(n))
    if ok then
      assert(value == value_of(done, n), label .. ": a value is lost")
    else
      expect(value, "io", label)
      assert(value.path:sub(1, #path) == path and value.message:find "Too many open files", label)
    end
  end
end

local function try_descriptors(path, done, left, io_mode)
  local options = { maintenance = "manual", io = io_mode, segment_size = 4096, sync = "none" }
  local label = ("%d descriptors left, io %s"):format(left, io_mode)
  local files = take_descriptors(left)
  local db, err = freyja.open(path, options)
  if not db then
    expect(err, "io", label)
    assert(err.path:sub(1, #path) == path and err.message:find "Too many open files", label)
  else
    check_reads(db, done, path, label)
    db:close()
  end
  give_back(files)

  db = assert(freyja.open(path, options))
  for n = 1, done.count, 3 do assert(db:get(key_of(n)), label) end
  files = take_descriptors(left)
  check_reads(db, done, path, label)
  err = fill(db, done, 3) -- each fills a data file
  if err then expect(err, "io", label) end
  check_reads(db, done, path, label)
  give_back(files)
  check_recovered(db, done, path, label)
end

local function descriptors()
  local points = 0
  local dir <close> = tmp.dir()
  local path = dir.path .. "/db"
  local done = writes(3500)
  do
    local db <close> = assert(freyja.open(path, { maintenance = "manual", segment_size = 4096, sync = "none" }))
    assert(not fill(db, done, 120))
    assert(#db:segments() == 120)
  end
  for _, io_mode in ipairs(MODES) do
    for left = 0, 13 do
      try_descriptors(path, done, left, io_mode)
      points = points + 1
    end
  end
  return points
end

-- Memory ------------------------------------------------------------------------------------

--- A mapping that is given up before the limit is lifted, which takes memory for a process.
local spare_path, spare

--- Bytes more than are in use now.
local function limit_memory(more)
  collectgarbage()
  spare = assert(freyja.open(spare_path, { maintenance = "manual", segment_size = 8 << 20 }))
  set_limit("as", math.tointeger(tmp.read("/proc/self/statm"):match "%d+") * 4096 + more)
end

local function free_memory()
  spare:close()
  collectgarbage()
  set_limit("as", "unlimited")
end

local function is_memory_error(err)
  return type(err) == "table" and err.code == "memory" or tostring(err):find "not enough memory"
end

--- Mapping a data file of 256 MiB: where there is no room, all goes on by calls. True if there
--- was none for some of the files.
local function try_mapping(mebibytes)
  local dir <close> = tmp.dir()
  local path = dir.path .. "/db"
  local label = ("%d MiB of memory"):format(mebibytes)
  local done = writes(100)
  limit_memory(mebibytes << 20)
  local db = assert(freyja.open(path))
  for _ = 1, 2 do
    assert(not fill(db, done, 100), label)
    check(db, done, label)
    db:rotate() -- maps another one
  end
  local _, mapped = tmp.read("/proc/self/maps"):gsub(path:gsub("%p", "%%%0") .. "/%d+%.data", "")
  free_memory()
  check_recovered(db, done, path, label)
  return mapped < 3
end

--- Growing the index, and mapping one more data file of 1 MiB. Here Lua itself may be the one
--- that finds no memory.
local function try_index(kibibytes, io_mode)
  local dir <close> = tmp.dir()
  local path = dir.path .. "/db"
  local label = ("%d KiB of memory for the index, io %s"):format(kibibytes, io_mode)
  local options = { maintenance = "manual", io = io_mode, sync = "none", segment_size = 1 << 20 }
  local done = writes(0)
  local db = assert(freyja.open(path, options))
  assert(not fill(db, done, 1000))
  limit_memory(kibibytes << 10)
  local err = fill(db, done, 1000000)
  local ok, why = pcall(check, db, done, label)
  free_memory()
  assert(is_memory_error(err), label .. ": " .. tostring(err))
  assert(ok or is_memory_error(why), why)
  check(db, done, label)
  check_recovered(db, done, path, label)
  return type(err) == "table"
end

local function memory()
  local dir <close> = tmp.dir()
  spare_path = dir.path .. "/spare"
  local points, refused, index_refused = 0, 0, 0
  for mebibytes = 10, 900, 80 do
    if try_mapping(mebibytes) then refused = refused + 1 end
    points = points + 1
  end
  assert(refused > 5 and refused < points, refused .. " mappings were refused")
  for _, io_mode in ipairs(MODES) do
    for kibibytes = 0, 400, 20 do
      if try_index(kibibytes, io_mode) then index_refused = index_refused + 1 end
      points = points + 1
    end
  end
  assert(index_refused > 10, index_refused .. " writes were refused by the store")
  return points
end

--- More data files than are mapped.
local function mappings()
  local dir <close> = tmp.dir()
  local path = dir.path .. "/db"
  local done = writes(3500)
  local options = { maintenance = "manual", segment_size = 4096, sync = "none" }
  do
    local db <close> = assert(freyja.open(path, options))
    assert(not fill(db, done, 16400))
    check(db, done, "written")
  end
  local db <close> = assert(freyja.open(path, options))
  assert(not fill(db, done, 10))
  check(db, done, "opened again")
  local _, mapped = tmp.read("/proc/self/maps"):gsub("/%d+%.data\n", "")
  assert(mapped == 16384, mapped .. " data files are mapped")
  return #db:segments()
end

local tasks = {
  full_disk = full_disk, sparse_copy = sparse_copy, file_size = file_size,
  lower_limit = lower_limit, descriptors = descriptors, mappings = mappings, memory = memory,
}
print(assert(tasks[arg[1]], "no such task")(arg[2]))
