--- Bugs in programs and policies that are Lua.

local in_file, bug = ...

in_file "examples/last_days.lua"

bug("a_log_forgets_what_is_new", "examples",
  [[if record.timestamp < limit and not keep(record) then rewrite:drop(record) end]],
  [[if not keep(record) then rewrite:drop(record) end]])

in_file "examples/strip_field.lua"

bug("numbers_are_rounded", "examples", [[if not survives(value) then return false end]], "")

in_file "examples/maintain.lua"

bug("a_store_in_use_is_an_error", "examples",
  [[if not db then return problem.code == "locked" and IN_USE or 1, tostring(problem) end]],
  [[if not db then return 1, tostring(problem) end]])
