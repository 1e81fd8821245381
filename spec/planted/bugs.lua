--- Bugs to plant: each takes the place of lines that must stand in a file once (or once in the
--- function `within`), and is to be caught by the named test. Where the sources change, the list
--- changes with them: a bug that finds no place counts as one that was not caught.
--- Run by spec/planted/run.

local bugs, file = {}, nil

local function in_file(path) file = path end

--- The lines `find` (without regard to space around them) become `replace`.
local function bug(name, test, find, replace, within)
  bugs[#bugs + 1] = {
    name = name, file = file, test = test, find = find, replace = replace, within = within,
  }
end

local PARTS = {
  "files", "store", "index", "copies", "merges", "expiry", "hints", "checkpoints", "scripts", "maintenance",
  "transactions", "followers", "threads", "background",
}

for _, part in ipairs(PARTS) do
  assert(loadfile("spec/planted/bugs/" .. part .. ".lua"))(in_file, bug)
end

return bugs
