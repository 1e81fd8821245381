rockspec_format = "3.0"
package = "freyja"
version = "scm-1"
source = {
  url = "git+file://.", -- built from a checkout: luarocks make
}
description = {
  summary = "An embedded log-structured key-value store",
  detailed = [[
Freyja keeps key-value pairs in an append-only log in a directory, with an index in memory: a put is
one append, a get one read. What a put has written survives the death of the process, and at choice
power loss. Keys and values are strings of any bytes. The engine is C11.]],
  license = "MIT",
  labels = { "database", "storage" },
}
supported_platforms = { "linux" }
dependencies = { "lua >= 5.4, < 5.5" }
external_dependencies = {
  XXHASH = { header = "xxhash.h" },
}
build = {
  type = "builtin",
  modules = {
    freyja = "lua/freyja/init.lua",
    ["freyja.driver"] = "lua/freyja/driver.lua",
    ["freyja.maintenance"] = "lua/freyja/maintenance.lua",
    ["freyja.policy.dead_ratio"] = "lua/freyja/policy/dead_ratio.lua",
    ["freyja.policy.expiry"] = "lua/freyja/policy/expiry.lua",
    ["freyja.policy.never"] = "lua/freyja/policy/never.lua",
    ["freyja.policy.size_tiered"] = "lua/freyja/policy/size_tiered.lua",
    ["freyja.policy.window"] = "lua/freyja/policy/window.lua",
    ["freyja.types"] = "lua/freyja/types.lua",
    ["freyja.core"] = {
      sources = {
        "engine/adopt.c",
        "engine/append.c",
        "engine/apply.c",
        "engine/audit.c",
        "engine/backup.c",
        "engine/batch.c",
        "engine/bootstrap.c",
        "engine/builder.c",
        "engine/checkpoint.c",
        "engine/checkpointer.c",
        "engine/clock.c",
        "engine/detour.c",
        "engine/error.c",
        "engine/expire.c",
        "engine/findings.c",
        "engine/folder.c",
        "engine/gather.c",
        "engine/hint.c",
        "engine/hintcheck.c",
        "engine/hinted.c",
        "engine/hintwriter.c",
        "engine/index.c",
        "engine/inspect.c",
        "engine/intake.c",
        "engine/iterator.c",
        "engine/keydir.c",
        "engine/leftovers.c",
        "engine/lock.c",
        "engine/lower.c",
        "engine/lua/change.c",
        "engine/lua/core.c",
        "engine/lua/db.c",
        "engine/lua/each.c",
        "engine/lua/handle.c",
        "engine/lua/health.c",
        "engine/lua/many.c",
        "engine/lua/raise.c",
        "engine/lua/rewriting.c",
        "engine/lua/stats.c",
        "engine/lua/upkeep.c",
        "engine/maintain.c",
        "engine/manifest.c",
        "engine/os.c",
        "engine/positions.c",
        "engine/read.c",
        "engine/reader.c",
        "engine/record.c",
        "engine/recovery.c",
        "engine/repair.c",
        "engine/report.c",
        "engine/rewrite.c",
        "engine/salvage.c",
        "engine/scan.c",
        "engine/segment.c",
        "engine/segments.c",
        "engine/sorted.c",
        "engine/store.c",
        "engine/swap.c",
        "engine/torn.c",
        "engine/verify.c",
        "engine/write.c",
      },
      defines = { "_GNU_SOURCE", "NDEBUG" },
      incdirs = { "engine", "$(XXHASH_INCDIR)" },
    },
  },
}
