/* Owns: the shared helpers of the binding. Must not: know any one type.
 */
#include "util.h"

#include <string.h>

const char GN_LUA_ENGINE[] = "garner.core.engine";
const char GN_LUA_MAILBOX[] = "garner.core.mailbox";
const char GN_LUA_CLIENT[] = "garner.core.client";
const char GN_LUA_RESULT[] = "garner.core.result";
const char GN_LUA_REQUEST[] = "garner.core.request";

/* Behind each object stands the address of its type's name. */
void *gn_lua_object(lua_State *L, size_t size, const char *type) {
  char *p = gn_compat_userdata(L, size + sizeof type);
  memset(p, 0, size);
  memcpy(p + size, &type, sizeof type);
  luaL_getmetatable(L, type);
  lua_setmetatable(L, -2);
  return p;
}

void *gn_lua_check(lua_State *L, int arg, const char *type) {
  if (lua_type(L, arg) == LUA_TUSERDATA) {
    char *p = lua_touserdata(L, arg);
    size_t size = lua_rawlen(L, arg);
    if (size >= sizeof type &&
        memcmp(p + size - sizeof type, &type, sizeof type) == 0)
      return p;
  }
  return luaL_checkudata(L, arg, type);
}

int gn_lua_no_memory(lua_State *L) {
  lua_pushliteral(L, "not enough memory");
  return lua_error(L);
}

void gn_lua_reserve(lua_State *L, int n) {
  if (lua_checkstack(L, n))
    return;
  if (lua_gettop(L) + n < GN_LUA_STACK_SLOTS)
    gn_lua_no_memory(L);
  luaL_error(L, "stack overflow");
}

void gn_lua_type(lua_State *L, const char *type, const luaL_Reg *methods,
                 const luaL_Reg *meta) {
  luaL_newmetatable(L, type);
  luaL_setfuncs(L, meta, 0);
  lua_newtable(L);
  luaL_setfuncs(L, methods, 0);
  lua_setfield(L, -2, "__index");
  lua_pushstring(L, type);
  lua_setfield(L, -2, "__metatable");
  lua_pop(L, 1);
}

static int wrong(lua_State *L, const char *name, const char *wanted) {
  return luaL_error(L, "option '%s': %s expected, got %s", name, wanted,
                    luaL_typename(L, -1));
}

/* Without metamethods: what one of them makes would be anchored nowhere. */
static void push_field(lua_State *L, int table, const char *name) {
  lua_pushstring(L, name);
  lua_rawget(L, table);
}

const char *gn_lua_text(lua_State *L, int table, const char *name,
                        size_t *len) {
  const char *text = NULL;
  push_field(L, table, name);
  if (lua_type(L, -1) == LUA_TSTRING)
    text = lua_tolstring(L, -1, len);
  else if (!lua_isnil(L, -1))
    wrong(L, name, "text");
  if (text && !len && strlen(text) != lua_rawlen(L, -1))
    luaL_error(L, "option '%s' holds a NUL", name);
  lua_pop(L, 1);
  return text;
}

int gn_lua_count(lua_State *L, int table, const char *name, int fallback) {
  double value = gn_lua_number(L, table, name, fallback);
  return value < 1e6 ? (int)value : 1000000;
}

double gn_lua_number(lua_State *L, int table, const char *name,
                     double fallback) {
  double value = fallback;
  push_field(L, table, name);
  if (lua_type(L, -1) == LUA_TNUMBER)
    value = (double)lua_tonumber(L, -1);
  else if (!lua_isnil(L, -1))
    wrong(L, name, "a number");
  lua_pop(L, 1);
  if (!(value >= 0 && value < 1e15))
    luaL_error(L, "option '%s' is out of range", name);
  return value;
}

bool gn_lua_flag(lua_State *L, int table, const char *name, bool fallback) {
  bool value = fallback;
  push_field(L, table, name);
  if (lua_isboolean(L, -1))
    value = lua_toboolean(L, -1) != 0;
  else if (!lua_isnil(L, -1))
    wrong(L, name, "true or false");
  lua_pop(L, 1);
  return value;
}

bool gn_lua_table(lua_State *L, int table, const char *name) {
  push_field(L, table, name);
  if (lua_istable(L, -1))
    return true;
  if (!lua_isnil(L, -1))
    wrong(L, name, "a table");
  lua_pop(L, 1);
  return false;
}

/* The interpreter's handler sets a hook that raises, but on the main coroutine
 * only: one that waits in another would wait on. What hook that one had gives
 * way, as the main one's did. The main one keeps its hook, so that nobody can
 * swallow the interruption. */
void gn_lua_pass_interrupt(lua_State *L) {
  const int wanted = LUA_MASKCALL | LUA_MASKRET | LUA_MASKCOUNT;
  lua_State *main = gn_compat_main(L);
  if (!main || main == L || !lua_gethook(main) ||
      lua_gethook(L) == lua_gethook(main))
    return;
  if (lua_gethookcount(main) == 1 &&
      (lua_gethookmask(main) & wanted) == wanted)
    lua_sethook(L, lua_gethook(main), lua_gethookmask(main), 1);
}

void gn_lua_push_size(lua_State *L, uint64_t size) {
#if GN_LUA_HAS_INTEGERS
  lua_pushinteger(L, (lua_Integer)size);
#else
  lua_pushnumber(L, (lua_Number)size);
#endif
}

void gn_lua_push_error(lua_State *L, const struct gn_error *err) {
  lua_createtable(L, 0, 8);
  lua_pushstring(L, gn_kind_name(err->kind));
  lua_setfield(L, -2, "kind");
  lua_pushstring(L, err->code);
  lua_setfield(L, -2, "code");
  lua_pushstring(L, err->message);
  lua_setfield(L, -2, "message");
}

int gn_lua_fail(lua_State *L, const struct gn_error *err) {
  lua_pushnil(L);
  gn_lua_push_error(L, err);
  return 2;
}

int gn_lua_refuse(lua_State *L, const struct gn_error *err) {
  if (err->kind == GN_INVALID)
    return luaL_error(L, "%s", err->message);
  if (err->kind == GN_MEMORY)
    return gn_lua_no_memory(L);
  return gn_lua_fail(L, err);
}
