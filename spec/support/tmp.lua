--- Temporary directories and whole files, for specs.

local lfs = require "lfs"

local M = {}

local function remove(path)
  if lfs.symlinkattributes(path, "mode") == "directory" then
    for name in lfs.dir(path) do
      if name ~= "." and name ~= ".." then remove(path .. "/" .. name) end
    end
    lfs.rmdir(path)
  else
    os.remove(path)
  end
end

local Dir = { __close = function(self) remove(self.path) end }

--- A fresh directory in $TMPDIR or /tmp; removed with all it holds when its variable closes.
function M.dir()
  local path = os.tmpname()
  local base = os.getenv "TMPDIR"
  os.remove(path)
  if base then path = base .. "/" .. path:match "[^/]+$" end
  assert(lfs.mkdir(path))
  return setmetatable({ path = path }, Dir)
end

--- As dir, where a sync costs nothing, if there is such a place: for tests with thousands.
function M.fast_dir()
  local made = M.dir()
  local path = "/dev/shm/" .. made.path:match "[^/]+$"
  if not lfs.mkdir(path) then return made end
  remove(made.path)
  made.path = path
  return made
end

function M.read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

function M.write(path, bytes)
  local file <close> = assert(io.open(path, "wb"))
  assert(file:write(bytes))
end

function M.exists(path) return lfs.symlinkattributes(path, "mode") ~= nil end

--- The names in a directory, sorted, without "." and "..".
function M.list(path)
  local names = {}
  for name in lfs.dir(path) do
    if name ~= "." and name ~= ".." then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

--- Copies the regular files of a directory (not what is in its folders) to a new one.
function M.copy_dir(from, to)
  assert(lfs.mkdir(to))
  for _, name in ipairs(M.list(from)) do
    if lfs.symlinkattributes(from .. "/" .. name, "mode") == "file" then
      M.write(to .. "/" .. name, M.read(from .. "/" .. name))
    end
  end
end

return M
