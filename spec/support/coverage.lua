--- Sums up what spec/coverage has counted.
--
--     lua5.4 spec/support/coverage.lua FILE.xml EXEMPT LINES BRANCHES
--
-- FILE.xml is gcovr's report in Cobertura's format; EXEMPT lists what need not be reached, as
-- "file: reason" followed by lines of that file, each indented, as they stand there. LINES and
-- BRANCHES are the least shares, in per cent. An exemption that is not needed is an error: it
-- may be a test's loss that went unseen.

local report_path, exempt_path, lines_least, branches_least = table.unpack(arg)

local function lines_of(path)
  local lines = {}
  for line in io.lines(path) do lines[#lines + 1] = line end
  return lines
end

local function trim(line) return line:match "^%s*(.-)%s*$" end

local problems = 0
local function problem(...)
  problems = problems + 1
  print("not ok - " .. string.format(...))
end

--- {[file] = {[text of a line] = {reason, used}}}
local function read_exemptions(path)
  local all, file, reason = {}, nil, nil
  for number, line in ipairs(lines_of(path)) do
    local is_comment = line:find "^#" or trim(line) == ""
    if line:find "^%s" and not is_comment then
      assert(file, path .. ":" .. number .. ": which file?")
      all[file][trim(line)] = { reason = reason, number = number, used = false }
    elseif not is_comment then
      file, reason = line:match "^(%S+): (.+)$"
      assert(file, path .. ":" .. number .. ": it should say `file: reason`")
      all[file] = all[file] or {}
    end
  end
  return all
end

--- Calls visit(file, number, hits, branches, branches_hit) for each line that was counted.
local function each_line(path, visit)
  local file
  for line in io.lines(path) do
    for tag in line:gmatch "<[^>]+>" do
      file = tag:match '^<class.- filename="([^"]+)"' or file
      local hits, number = tag:match '^<line.- hits="(%d+)"', tag:match '^<line.- number="(%d+)"'
      if number then
        local hit, all = tag:match "condition%-coverage=\"[^(]*%((%d+)/(%d+)%)"
        visit(file, tonumber(number), tonumber(hits), tonumber(all or 0), tonumber(hit or 0))
      end
    end
  end
end

local exemptions = read_exemptions(exempt_path)
local sources, files = {}, {}
local total = { lines = 0, lines_hit = 0, branches = 0, branches_hit = 0, exempt = 0 }

each_line(report_path, function(file, number, hits, branches, branches_hit)
  sources[file] = sources[file] or lines_of(file)
  local text = trim(sources[file][number])
  local short = hits == 0 or branches_hit < branches
  local exempt = exemptions[file] and exemptions[file][text]
  if exempt and short then
    exempt.used = true
    total.exempt = total.exempt + 1
    return
  end
  if not files[file] then
    files[file] = { name = file, lines = 0, lines_hit = 0, branches = 0, branches_hit = 0 }
    files[#files + 1] = files[file]
  end
  for _, sum in ipairs { total, files[file] } do
    sum.lines, sum.lines_hit = sum.lines + 1, sum.lines_hit + (hits > 0 and 1 or 0)
    sum.branches, sum.branches_hit = sum.branches + branches, sum.branches_hit + branches_hit
  end
  if hits == 0 then
    print(("%s:%d: never: %s"):format(file, number, text))
  elseif short then
    print(("%s:%d: %d of %d ways: %s"):format(file, number, branches_hit, branches, text))
  end
end)

for file, lines in pairs(exemptions) do
  for text, exempt in pairs(lines) do
    if not exempt.used then
      problem("%s:%d: %s has no such line that is not reached: %s", exempt_path, exempt.number, file, text)
    end
  end
end

local function share(hit, all) return all == 0 and 100 or 100 * hit / all end

local function show(name, sum)
  print(("%-28s %5d lines %6.1f %%   %5d branches %6.1f %%"):format(name, sum.lines,
    share(sum.lines_hit, sum.lines), sum.branches, share(sum.branches_hit, sum.branches)))
end

table.sort(files, function(a, b) return a.name < b.name end)
for _, file in ipairs(files) do show(file.name, file) end
show("all", total)
print(total.exempt .. " lines are exempt: " .. exempt_path)

if total.lines == 0 then problem "nothing was counted" end
for _, kind in ipairs { { "lines", lines_least }, { "branches", branches_least } } do
  local reached = share(total[kind[1] .. "_hit"], total[kind[1]])
  if reached < tonumber(kind[2]) then
    problem("%.1f %% of the %s were reached; %s %% are wanted", reached, kind[1], kind[2])
  end
end
os.exit(problems == 0)
