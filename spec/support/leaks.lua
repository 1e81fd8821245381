--- Counts what a process holds: open files and mappings of data files.

local assert = require "luassert"
local lfs = require "lfs"

local M = {}

local function count_files()
  local count = 0
  for name in lfs.dir "/proc/self/fd" do
    if name ~= "." and name ~= ".." then count = count + 1 end
  end
  return count
end

local function count_mappings()
  local count = 0
  for line in io.lines "/proc/self/maps" do
    if line:find("%.data") then count = count + 1 end
  end
  return count
end

--- Given busted's two functions, makes each test of the block fail that leaves an open file or
--- a mapped data file behind. `set_up` and `tear_down` are the test's own, run inside of that.
function M.watch(before_each, after_each, set_up, tear_down)
  local files
  before_each(function()
    collectgarbage()
    files = count_files()
    if set_up then set_up() end
  end)
  after_each(function()
    if tear_down then tear_down() end
    collectgarbage()
    collectgarbage()
    assert.equal(files, count_files(), "open files were left")
    assert.equal(0, count_mappings(), "mapped data files were left")
  end)
end

return M
