/* Owns: what differs between the C APIs of 5.1, 5.2, 5.3, 5.4 and LuaJIT, seen
 * from the newest. Must not: be needed anywhere but in src/lua; nothing else
 * in src/lua tests a version.
 */
#ifndef GN_LUA_COMPAT_H
#define GN_LUA_COMPAT_H

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#if LUA_VERSION_NUM < 502
#undef luaL_newlib
#undef luaL_newlibtable
#undef luaL_setfuncs
#define luaL_newlib(L, l) (lua_newtable(L), gn_compat_setfuncs(L, l))
#define luaL_setfuncs(L, l, n) gn_compat_setfuncs(L, l)
#undef lua_rawlen
#define lua_rawlen(L, i) lua_objlen(L, i)
#undef lua_absindex
#define lua_absindex(L, i) \
  ((i) > 0 || (i) <= LUA_REGISTRYINDEX ? (i) : lua_gettop(L) + (i) + 1)

static inline void gn_compat_setfuncs(lua_State *L, const luaL_Reg *l) {
  for (; l->name; l++) {
    lua_pushcfunction(L, l->func);
    lua_setfield(L, -2, l->name);
  }
}
#endif

/* The main coroutine, NULL where this Lua does not tell (then gn_compat_open
 * was called in another one). */
#define GN_COMPAT_MAIN "garner.main"
static inline lua_State *gn_compat_main(lua_State *L) {
  lua_State *main;
#if LUA_VERSION_NUM >= 502
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
#else
  lua_getfield(L, LUA_REGISTRYINDEX, GN_COMPAT_MAIN);
#endif
  main = lua_tothread(L, -1);
  lua_pop(L, 1);
  return main;
}

static inline void gn_compat_open(lua_State *L) {
#if LUA_VERSION_NUM < 502
  if (lua_pushthread(L))
    lua_setfield(L, LUA_REGISTRYINDEX, GN_COMPAT_MAIN);
  else
    lua_pop(L, 1);
#else
  (void)L;
#endif
}

/* A userdata with nothing of Lua's beside it. */
static inline void *gn_compat_userdata(lua_State *L, size_t size) {
#if LUA_VERSION_NUM >= 504
  return lua_newuserdatauv(L, size, 0);
#else
  return lua_newuserdata(L, size);
#endif
}

/* Whether this is the main coroutine, outside of any other. */
static inline int gn_compat_is_main(lua_State *L) {
  int is_main = lua_pushthread(L);
  lua_pop(L, 1);
  return is_main;
}

/* Pushes the table that require looks into first. */
static inline void gn_compat_preload(lua_State *L) {
#if LUA_VERSION_NUM >= 502
  luaL_getsubtable(L, LUA_REGISTRYINDEX, "_PRELOAD");
#else
  lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
  if (lua_istable(L, -1)) {
    lua_getfield(L, -1, "package");
    lua_remove(L, -2);
  }
  if (lua_istable(L, -1)) {
    lua_getfield(L, -1, "preload");
    lua_remove(L, -2);
  }
  if (!lua_istable(L, -1))
    luaL_error(L, "the package library is not open");
#endif
}

/* Whether the function that called this one may yield; -1 where this Lua does
 * not tell. */
static inline int gn_compat_yieldable(lua_State *L) {
#if LUA_VERSION_NUM >= 503 || defined(LUA_JITLIBNAME)
  return lua_isyieldable(L);
#else
  (void)L;
  return -1;
#endif
}

/* Slots that a C function may have on the stack at most, beyond which a builder
 * must store what it holds: 5.1 and LuaJIT allow 8,000. */
#if LUA_VERSION_NUM < 502
#define GN_LUA_STACK_SLOTS 7000
#else
#define GN_LUA_STACK_SLOTS 200000
#endif

/* How a running collector can be held back for a while. DEBT: a step of
 * negative size is credit. STOPS: stopping it and starting it again; it tells
 * whether it was running. 5.1 does not, and 5.2 cannot do what was due. */
#define GN_LUA_COLLECTOR_DEBT 1
#define GN_LUA_COLLECTOR_STOPS 2
#if LUA_VERSION_NUM == 503 || LUA_VERSION_NUM == 504
#define GN_LUA_COLLECTOR GN_LUA_COLLECTOR_DEBT
#elif defined(LUA_JITLIBNAME)
#define GN_LUA_COLLECTOR GN_LUA_COLLECTOR_STOPS
#else
#define GN_LUA_COLLECTOR 0
#endif

/* True if this Lua keeps integers apart from floats. */
#if LUA_VERSION_NUM >= 503
#define GN_LUA_HAS_INTEGERS 1
#else
#define GN_LUA_HAS_INTEGERS 0
#endif

#endif
