/* machine.h - the module `machine`: runs Lua code in a fresh Lua state whose memory
 * fails where it is told to, and tells what was left when that state was closed. */
#ifndef MACHINE_H
#define MACHINE_H

#include <lua.h>

/* The binding, linked into this program. */
int luaopen_freyja_core(lua_State *L);

int luaopen_machine(lua_State *L);

/* Removes a directory with the files and directories in it. */
void machine_remove(const char *folder);

#endif
