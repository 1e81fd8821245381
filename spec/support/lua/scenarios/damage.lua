--- Damage is met, looked for and repaired; backups are made against it.

local scenario = ...

scenario("damage", {
  before = function(s)
    s.begin("s1", "s2", "m1")
    s.db:rotate()
    s.damage "s2"
  end,
  run = function(s)
    s.db = s.open()
    assert(s.db:get "s1" == s.value("s1", 1))
    local ok, err = pcall(s.db.get, s.db, "s2")
    assert(not ok)
    if err.code ~= "corrupt" then error(err, 0) end
    assert(err.path:find "1.data" and tostring(err):find "offset")
    local damage = s.db:stats().recovery.damage
    assert(damage.code == "corrupt" and damage.path == err.path)
    for _, order in ipairs { "log", "key" } do
      ok, err = pcall(function()
        for _ in s.db:each { order = order } do end -- luacheck: ignore 542
      end)
      assert(not ok)
      if err.code ~= "corrupt" then error(err, 0) end
    end
  end,
  after = function(s)
    s.store()
    s.damage("s2", true)
  end,
})

scenario("repair", {
  before = function(s)
    s.begin("s1", "s2", "m1")
    s.damage "s2"
    s.new = s.path .. "-new"
    for _, name in ipairs { "/1.data", "/MANIFEST", "/LOCK", "" } do os.remove(s.new .. name) end
  end,
  run = function(s)
    local report = require "freyja".repair(s.path, { to = s.new })
    assert(report.keys == 2 and report.lost_keys == 1 and report.problems[1].lost)
    assert(report.problems[1].key == "s2")
    local ok, err = pcall(require "freyja".repair, s.path .. "/none", { to = s.new .. "er" })
    assert(not ok)
    if err.code ~= "io" then error(err, 0) end
  end,
  after = function(s)
    s.store()
    s.damage("s2", true)
  end,
})

scenario("verify", {
  before = function(s)
    s.begin("s1", "s2", "m1")
    s.db:delete "none"
    s.db:rotate()
    s.damage "s2"
    s.db = s.open()
  end,
  run = function(s)
    local report = s.db:verify()
    assert(not report.ok and report.problem_count == #report.problems)
    local problem = report.problems[1]
    assert(problem.key == "s2" and problem.path:find "1.data" and problem.size > 0 and #problem.message > 0)
  end,
  after = function(s)
    s.store()
    s.damage("s2", true)
  end,
})

-- What a backup that failed has made is gone again.
scenario("backup", {
  before = function(s)
    s.begin("s1", s.long)
    s.db:rotate()
    s.db:put("s1", s.value("s1", 1))
  end,
  run = function(s)
    for suffix, links in pairs { [".linked"] = true, [".copied"] = false } do
      s.db:backup(s.path .. suffix, { links = links })
    end
    local ok, err = pcall(s.db.backup, s.db, s.path)
    assert(not ok)
    if err.code ~= "io" then error(err, 0) end
  end,
  after = function(s)
    for _, suffix in ipairs { ".linked", ".copied" } do
      local db, err = require "freyja".open(s.path .. suffix, s.options { create = false })
      if db then
        s.read(db)
        db:close()
      else
        assert(err.code == "io" and err.errno == 2 and err.path == s.path .. suffix, tostring(err))
      end
    end
  end,
})
