/* Owns: the seam to what is built while Lua's collector waits.
 * Must not: be seen by the core.
 */
#ifndef GN_LUA_COLLECTOR_H
#define GN_LUA_COLLECTOR_H

#include "compat.h"

#include <stddef.h>

/* Calls f with all arguments on the stack and returns its results' number. If
 * what it builds is worth it (`len`: bytes of its source), the collector waits
 * meanwhile and then does the work that was due. Errors pass through. */
int gn_lua_uncollected(lua_State *L, lua_CFunction f, size_t len);

#endif
