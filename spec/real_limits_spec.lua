-- Goal: where the operating system says no, for want of space, file size, descriptors or memory,
-- the error says so, nothing that was acknowledged is lost, and writing goes on in the same
-- handle once there is room.
-- Method: spec/support/real_limits.lua, in processes of their own; FREYJA_LIMITS=all tries more.
local lfs = require "lfs"
local tmp = require "spec.support.tmp"

-- Where a sync costs nothing, if there is such a place.
local fast = lfs.attributes("/dev/shm", "mode") and "env TMPDIR=/dev/shm" or ""

local function can(command) return os.execute("(" .. command .. ") >/dev/null 2>&1") == true end

--- Runs a task by the command `wrap`, after the shell command `before`; returns the number of
--- limits that it tried.
local function run(before, wrap, task)
  local pipe <close> = assert(io.popen(
    ("{ %s; exec %s lua5.4 spec/support/real_limits.lua %s; } 2>&1"):format(before, wrap, task)))
  local said = pipe:read "a"
  return math.tointeger(tonumber(said)) or error("it said: " .. said, 2)
end

--- How to get a file system of one's own mounted: nil where that is not permitted.
local function unshare()
  for _, command in ipairs { "unshare -m", "unshare -r -m" } do
    if can(command .. " mount -t tmpfs tmpfs /tmp") then return command end
  end
end

local has_prlimit = can "prlimit --version"

describe("where the operating system says no", function()
  require("spec.support.leaks").watch(before_each, after_each)

  --- Runs a task on a full or nearly full disk of its own.
  local function run_on_small_disk(task)
    local own = unshare()
    if not own then
      pending "mounting a small disk is not permitted here"
      return
    end
    local dir <close> = tmp.dir()
    return run("true", ([[%s sh -c '
      mount -t tmpfs -o size=1152k,mode=700 tmpfs "$0" && TMPDIR="$0" exec "$@"
    ' '%s' ]]):format(own, dir.path), task)
  end

  it("a full disk loses nothing, whatever was free, and is `full`", function()
    local all = os.getenv "FREYJA_LIMITS" == "all"
    local points = run_on_small_disk("full_disk " .. (all and "all" or "some"))
    assert.equal(all and 4100 or 1025, points)
  end)

  it("nor does it kill who writes to a copy that has holes in place of zeros", function()
    assert.equal(132, run_on_small_disk "sparse_copy")
  end)

  it("the largest size of a file loses nothing, is `full`, and kills nobody", function()
    if not has_prlimit then pending "needs prlimit" return end
    assert.equal(128, run("true", "", "file_size 1024"))
  end)

  it("one below the size that a file has loses nothing, is `full`, and kills nobody", function()
    if not has_prlimit then pending "needs prlimit" return end
    assert.equal(54, run("true", "", "lower_limit"))
    assert.equal(54, run("true", fast, "lower_limit"))
  end)

  it("the same with the signal ignored, down to no bytes at all", function()
    if not has_prlimit then pending "needs prlimit" return end
    assert.equal(130, run("trap '' XFSZ", fast, "file_size 0"))
  end)

  it("16 descriptors are enough for 120 data files, and fewer are `io`", function()
    assert.equal(28, run("ulimit -n 16", fast, "descriptors"))
  end)

  it("16,384 data files are mapped, and more can be used", function()
    if os.getenv "FREYJA_LIMITS" ~= "all" then pending "takes its time: FREYJA_LIMITS=all" return end
    assert.equal(16410, run("true", fast, "mappings"))
  end)

  it("no memory for the index is `memory`, and a mapping is done without", function()
    if not has_prlimit then pending "needs prlimit" return end
    if os.getenv "FREYJA_CONFIG" == "asan" or os.getenv "FREYJA_CONFIG" == "tsan" then
      pending "sanitizers take more memory than can be limited"
      return
    end
    assert.equal(54, run("true", fast, "memory"))
  end)
end)
