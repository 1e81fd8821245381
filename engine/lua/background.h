/* background.h - maintenance in a thread of its own, as who has opened the store knows it. */
#ifndef FJL_BACKGROUND_H
#define FJL_BACKGROUND_H

#include "binding.h"

/* Whether its policy has failed since the program was told. */
bool fjl_background_has_failed(const fjl_background *background);

/* Has the thread end, waits until it has, and frees what there is of it; where there is none,
 * does nothing. The thread ends at the next safe point: within milliseconds, unless a sync of
 * the disk takes longer, or a function in C that its policy has called. */
void fjl_background_stop(lua_State *L, fjl_handle *handle);

/* Functions of the module freyja.core, for the driver: of a store whose maintenance is a
 * thread's, */
int fjl_start(lua_State *L);
int fjl_wake(lua_State *L);
int fjl_await(lua_State *L);
int fjl_report(lua_State *L);
int fjl_take_failure(lua_State *L);

/* and for that thread. */
int fjl_tell(lua_State *L);
int fjl_pause(lua_State *L);

#endif
