--- Planting a bug of spec/planted/bugs.lua in a source.

local function split(text)
  local lines = {}
  for line in (text .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = line end
  return lines
end

local function trim(line) return line:match "^%s*(.-)%s*$" end

--- Whether the lines from `first` on are those wanted, but for the space around them.
local function matches(lines, first, wanted)
  for i, line in ipairs(wanted) do
    if trim(lines[first + i - 1] or "") ~= trim(line) then return false end
  end
  return true
end

--- The source with the bug's lines replaced, or nil and why not: they must stand there once, in
--- the function `within` if the bug names one (by a part of the line that its body begins behind).
return function(source, bug)
  local lines, wanted, places = split(source), split(bug.find), {}
  local inside = not bug.within
  for i, line in ipairs(lines) do
    if bug.within and line:find(bug.within, 1, true) and line:find "^[%w#]" then inside = true end
    if inside and matches(lines, i, wanted) then places[#places + 1] = i end
    if bug.within and line == "}" then inside = false end
  end
  if #places ~= 1 then
    return nil, ("its line stands %d times in %s: %s"):format(#places, bug.file, trim(wanted[1]))
  end
  table.move(lines, places[1] + #wanted, #lines + #wanted, places[1] + 1)
  lines[places[1]] = bug.replace
  return table.concat(lines, "\n")
end
