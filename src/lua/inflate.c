/* Owns: the core's unpacking of gzip data as a Lua object: bytes in, bytes out.
 * Must not: keep what it is given; the caller hands in the rest again.
 */
#include "../core/inflate.h"

#include "util.h"

#define PIECE 32768

static struct gn_inflate *check(lua_State *L) {
  struct gn_inflate **z = luaL_checkudata(L, 1, GN_LUA_INFLATE);
  luaL_argcheck(L, *z != NULL, 1, "it was closed");
  return *z;
}

static int inflate_new(lua_State *L) {
  struct gn_inflate **z = gn_lua_object(L, sizeof *z, GN_LUA_INFLATE);
  struct gn_error err;
  *z = gn_inflate_new(GN_CODING_GZIP, &err);
  return *z ? 1 : gn_lua_fail(L, &err);
}

/* next(data, at): some unpacked bytes and where the rest of data begins; ""
 * when all of it was taken and more is needed. */
static int inflate_next(lua_State *L) {
  struct gn_inflate *z = check(L);
  size_t len, at, n;
  const char *start = luaL_checklstring(L, 2, &len), *data;
  lua_Number from = luaL_optnumber(L, 3, 1);
  struct gn_error err;
  char piece[PIECE];
  luaL_argcheck(L, from >= 1 && from <= (lua_Number)len + 1, 3,
                "not a place in the data");
  at = (size_t)from - 1;
  data = start + at;
  len -= at;
  if (gn_inflate_next(z, &data, &len, piece, sizeof piece, &n, &err) != 0)
    return gn_lua_fail(L, &err);
  lua_pushlstring(L, piece, n);
  gn_lua_push_size(L, (size_t)(data - start) + 1);
  return 2;
}

/* finish(): true, or nil and an error where the data may not end here. */
static int inflate_finish(lua_State *L) {
  struct gn_error err;
  if (gn_inflate_finish(check(L), &err) != 0)
    return gn_lua_fail(L, &err);
  lua_pushboolean(L, 1);
  return 1;
}

static int inflate_close(lua_State *L) {
  struct gn_inflate **z = luaL_checkudata(L, 1, GN_LUA_INFLATE);
  struct gn_inflate *gone = *z;
  *z = NULL;
  gn_inflate_free(gone);
  return 0;
}

static int inflate_tostring(lua_State *L) {
  struct gn_inflate **z = luaL_checkudata(L, 1, GN_LUA_INFLATE);
  lua_pushstring(L, *z ? GN_LUA_INFLATE : GN_LUA_INFLATE " (closed)");
  return 1;
}

void gn_lua_inflate_open(lua_State *L) {
  static const luaL_Reg methods[] = {
    {"next", inflate_next}, {"finish", inflate_finish},
    {"close", inflate_close}, {NULL, NULL},
  };
  static const luaL_Reg meta[] = {
    {"__gc", inflate_close}, {"__close", inflate_close},
    {"__tostring", inflate_tostring}, {NULL, NULL},
  };
  gn_lua_type(L, GN_LUA_INFLATE, methods, meta);
  lua_pushcfunction(L, inflate_new);
  lua_setfield(L, -2, "inflate_new");
}
