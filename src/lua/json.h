/* Owns: the seam between the JSON reader and Lua values, both ways.
 * Must not: be seen by the core.
 */
#ifndef GN_LUA_JSON_H
#define GN_LUA_JSON_H

#include "../core/tape.h"
#include "compat.h"

#include <stddef.h>

/* Pushes the value and returns 1, or pushes nil, a message and the offset of
 * the bad byte (from 1), and returns 3. The text must stay anchored by the
 * caller. A depth of 0 is the default. Raises only if memory runs out. */
int gn_lua_json_push(lua_State *L, const char *text, size_t len,
                     unsigned depth);

/* Pushes the value of the document that the tape is of; its text must still be
 * there. Raises only if memory runs out. */
void gn_lua_tape_push(lua_State *L, const struct gn_tape *t);

/* The integers that a Lua number holds exactly. */
#if GN_LUA_HAS_INTEGERS
#define GN_LUA_EXACT(i) 1
#define GN_LUA_PUSH_INT64(L, i) lua_pushinteger(L, (lua_Integer)(i))
#else
#define GN_LUA_EXACT_MAX ((int64_t)1 << 53)
#define GN_LUA_EXACT(i) ((i) >= -GN_LUA_EXACT_MAX && (i) <= GN_LUA_EXACT_MAX)
#define GN_LUA_PUSH_INT64(L, i) lua_pushnumber(L, (lua_Number)(i))
#endif

/* Pushes the metatable that says "this table is an array". */
void gn_lua_json_push_array_metatable(lua_State *L);

/* json_encode(value [, options]) -> text | nil, message; options.depth. */
int gn_lua_json_encode(lua_State *L);

/* Adds json_decode, json_encode, json_array and null to the table on top. */
void gn_lua_json_open(lua_State *L);

#endif
