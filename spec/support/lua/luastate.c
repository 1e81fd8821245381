/* luastate.c - tests the Lua binding against what can go wrong between Lua and C. An
 * interpreter of Lua with the binding and the module `machine` linked in, which runs the
 * tests of main.lua in this folder; LUA_PATH_5_4 must lead to the project.
 *
 *   luastate [quick | full | NAME]     quick: a sample, for slow machines and valgrind
 *   luastate full DAY                  every twenty-fourth test in full, others the next day
 */
#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "machine.h"

/* In memory, where there is such a folder: a sync costs nothing there. */
static bool make_folder(char *folder, size_t size) {
  static const char shared[] = "/dev/shm";
  const char *base = getenv("TMPDIR");
  if (base == NULL) base = access(shared, W_OK) == 0 ? shared : "/tmp";
  (void)snprintf(folder, size, "%s/freyja-luastate-XXXXXX", base);
  return mkdtemp(folder) != NULL;
}

static void preload(lua_State *L, const char *name, lua_CFunction open) {
  (void)luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  lua_pushcfunction(L, open);
  lua_setfield(L, -2, name);
  lua_pop(L, 1);
}

/* main(folder, argument...) -> whether all is well */
static int run_tests(lua_State *L, const char *folder, int argc, char **argv) {
  if (luaL_dostring(L, "return (require 'spec.support.lua.main')") != LUA_OK) return 1;
  lua_pushstring(L, folder);
#ifdef __SANITIZE_ADDRESS__ /* it is slow, and there for what its checks find */
  static char quick[] = "quick";
  if (argc == 1) argv[argc++] = quick;
#endif
  for (int i = 1; i < argc; i++) lua_pushstring(L, argv[i]);
  if (lua_pcall(L, argc, 1, 0) != LUA_OK) return 1;
  return lua_toboolean(L, -1) ? 0 : 2;
}

int main(int argc, char **argv) {
  char folder[300];
  lua_State *L = luaL_newstate();
  if (L == NULL || !make_folder(folder, sizeof folder)) return 1;
  luaL_openlibs(L);
  preload(L, "freyja.core", luaopen_freyja_core);
  preload(L, "machine", luaopen_machine);
  int result = run_tests(L, folder, argc, argv);
  if (result == 1) printf("not ok luastate: %s\n", luaL_tolstring(L, -1, NULL));
  lua_close(L);
  machine_remove(folder);
  return result;
}
