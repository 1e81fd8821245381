std = "lua54"
max_line_length = 120
exclude_files = { "build", "lua_modules" }

files["spec"] = { std = "lua54+busted" }
files["lua/freyja/types.lua"] = { ignore = { "21.", "241" } } -- declarations: nothing is used
files["premake5.lua"] = {
  std = "lua51+lua54",
  globals = { "_OPTIONS" },
  read_globals = {
    "_SCRIPT", "buildoptions", "configuration", "configurations", "defines", "files", "filter",
    "flags", "includedirs", "kind", "language", "links", "linkoptions", "location", "newaction",
    "newoption", "objdir", "path", "project", "solution", "symbols", "targetdir",
    "targetprefix", "workspace",
    os = { fields = { "isfile", "matchfiles" }, other_fields = true },
  },
}
files["**/*.rockspec"] = { std = "rockspec" }
files[".busted"] = { std = "lua54" }
