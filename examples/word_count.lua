-- Counts the words of texts into a store, and keeps the counts between runs.
--
--   lua5.4 examples/word_count.lua [-n TOP] [FILE...]     "-": standard input
--
-- Without a file it only shows the ten most frequent words counted so far.
-- The store is the directory in WORDS_STORE, or ./words.db.

local freyja = require "freyja"

-- Adds `n` to a word's count. Compare and swap fails when something else has
-- counted the same word since the get; then it is read again.
local function add(db, word, n)
  repeat
    local old = db:get(word)
    local new = tostring((tonumber(old) or 0) + n)
  until db:cas(word, old, new)
end

-- The counts of one text are summed up in memory first: one write for each
-- different word.
local function count(db, file)
  local counts, total = {}, 0
  for line in file:lines() do
    for match in line:lower():gmatch("[%a\x80-\xff][%a\x80-\xff']*") do
      local word = match:gsub("'+$", "")
      counts[word] = (counts[word] or 0) + 1
      total = total + 1
    end
  end
  for word, n in pairs(counts) do add(db, word, n) end
  return total
end

local function show_top(db, top)
  local words = {}
  for word, n in db:each() do words[#words + 1] = { word = word, n = tonumber(n) } end
  table.sort(words, function(a, b)
    if a.n ~= b.n then return a.n > b.n end
    return a.word < b.word
  end)
  for i = 1, math.min(top, #words) do print(("%8d %s"):format(words[i].n, words[i].word)) end
end

local function main(arguments)
  local top = 10
  if arguments[1] == "-n" then
    top = math.tointeger(tonumber(arguments[2]))
    if not top then return nil, "-n TOP" end
    arguments = table.move(arguments, 3, #arguments + 2, 1, {})
  end
  local db <close> = assert(freyja.open(os.getenv("WORDS_STORE") or "words.db"))
  for _, name in ipairs(arguments) do
    local file, message = io.stdin, nil
    if name ~= "-" then file, message = io.open(name) end
    if not file then return nil, message end
    print(("%s: %d words"):format(name, count(db, file)))
    file:close()
  end
  print(("%d different words so far"):format(#db))
  show_top(db, top)
  return true
end

local ok, message = main(arg)
if not ok then
  io.stderr:write("word_count: ", message, "\n")
  os.exit(1, true)
end
