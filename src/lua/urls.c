/* Owns: the core's URL functions for Lua: maps become sorted pairs, values
 * become text.
 * Must not: parse a URL.
 */
#include "../core/alloc.h"
#include "../core/url.h"
#include "util.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A core string in a box, freed by the collector if pushing it raises; it may
 * be a secret. */
static int box_gc(lua_State *L) {
  char **box = luaL_checkudata(L, 1, GN_LUA_TEXT);
  if (*box)
    gn_wipe(*box, strlen(*box));
  gn_free(*box);
  *box = NULL;
  return 0;
}

static char **new_box(lua_State *L) {
  return gn_lua_object(L, sizeof(char *), GN_LUA_TEXT);
}

static int push_text(lua_State *L, int rc, char **box,
                     const struct gn_error *err) {
  if (rc != 0 && err->kind == GN_MEMORY)
    return gn_lua_no_memory(L);
  if (rc != 0) {
    lua_pushnil(L);
    lua_pushstring(L, err->message);
    return 2;
  }
  lua_pushstring(L, *box);
  return 1;
}

/* Replaces the value at the top of the stack by its text. */
static void value_text(lua_State *L, const char *name) {
  char number[64];
  double value;
  switch (lua_type(L, -1)) {
    case LUA_TSTRING:
      return;
    case LUA_TBOOLEAN:
      lua_pushstring(L, lua_toboolean(L, -1) ? "true" : "false");
      break;
    case LUA_TNUMBER:
      value = (double)lua_tonumber(L, -1);
      if (!isfinite(value))
        luaL_error(L, "'%s' is not a finite number", name);
#if GN_LUA_HAS_INTEGERS
      if (lua_isinteger(L, -1))
        snprintf(number, sizeof number, "%lld",
                 (long long)lua_tointeger(L, -1));
      else
#endif
      if (value == floor(value) && fabs(value) < 1e18)
        snprintf(number, sizeof number, "%.0f", value);
      else
        snprintf(number, sizeof number, "%.17g", value);
      lua_pushstring(L, number);
      break;
    default:
      luaL_error(L, "'%s' must be text, a number or a boolean", name);
  }
  lua_replace(L, -2);
}

static size_t count_values(lua_State *L, int table) {
  size_t n = 0;
  lua_pushnil(L);
  while (lua_next(L, table)) {
    n += lua_istable(L, -1) ? lua_rawlen(L, -1) : 1;
    lua_pop(L, 1);
  }
  return n;
}

/* Turns the value at the top into text, anchors it, and pops it. */
static void add_pair(lua_State *L, struct gn_pair *pair, const char *name,
                     int anchors) {
  value_text(L, name);
  pair->name = name;
  pair->value = lua_tolstring(L, -1, &pair->len);
  lua_rawseti(L, anchors, (int)lua_rawlen(L, anchors) + 1);
}

/* Pushes the array and the table that anchors its text. */
static struct gn_pair *read_pairs(lua_State *L, int table, bool lists,
                                  size_t *count) {
  struct gn_pair *pairs;
  size_t i, n = 0;
  int anchors;
  *count = 0;
  if (lua_isnoneornil(L, table))
    return NULL;
  luaL_checktype(L, table, LUA_TTABLE);
  pairs = lua_newuserdata(L, (count_values(L, table) + 1) * sizeof *pairs);
  lua_newtable(L);
  anchors = lua_gettop(L);
  lua_pushnil(L);
  while (lua_next(L, table)) {
    const char *name;
    if (lua_type(L, -2) != LUA_TSTRING)
      luaL_error(L, "names of a query or of params must be text");
    name = lua_tostring(L, -2);
    if (!lua_istable(L, -1)) {
      add_pair(L, &pairs[n++], name, anchors);
      continue;
    }
    if (!lists)
      luaL_error(L, "'%s' must be text, a number or a boolean", name);
    for (i = 1; i <= lua_rawlen(L, -1); i++) {
      lua_rawgeti(L, -1, (int)i);
      add_pair(L, &pairs[n++], name, anchors);
    }
    lua_pop(L, 1);
  }
  *count = n;
  return pairs;
}

/* By insertion: equal names must keep their order, which qsort may not. */
static void sort_pairs(struct gn_pair *pairs, size_t n) {
  size_t i, j;
  for (i = 1; i < n; i++) {
    struct gn_pair p = pairs[i];
    for (j = i; j > 0 && strcmp(pairs[j - 1].name, p.name) > 0; j--)
      pairs[j] = pairs[j - 1];
    pairs[j] = p;
  }
}

/* gn_url_build or gn_url_build_on. */
typedef int builder(const char *, const char *, const struct gn_pair *, size_t,
                    const struct gn_pair *, size_t, char **,
                    struct gn_error *);

/* Arguments 2 to 4: path, params, query. */
static int build(lua_State *L, builder *how, const char *base) {
  const char *path = luaL_checkstring(L, 2);
  struct gn_pair *params, *query;
  size_t nparams, nquery;
  struct gn_error err;
  char **box;
  if (strlen(path) != lua_rawlen(L, 2))
    return luaL_error(L, "the path holds a NUL");
  lua_settop(L, 4);
  gn_lua_reserve(L, 20);
  params = read_pairs(L, 3, false, &nparams);
  query = read_pairs(L, 4, true, &nquery);
  if (query)
    sort_pairs(query, nquery);
  box = new_box(L);
  return push_text(L, how(base, path, params, nparams, query, nquery, box,
                          &err), box, &err);
}

static int url_build(lua_State *L) {
  return build(L, gn_url_build, luaL_checkstring(L, 1));
}

int gn_lua_client_url_build(lua_State *L) {
  return build(L, gn_url_build_on, gn_lua_client(L, 1)->base);
}

static int url_resolve(lua_State *L) {
  const char *base = luaL_checkstring(L, 1);
  const char *reference = luaL_checkstring(L, 2);
  struct gn_error err;
  char **box = new_box(L);
  return push_text(L, gn_url_resolve(base, reference, box, &err), box, &err);
}

static int url_redact(lua_State *L) {
  char out[2048];
  gn_url_redact(luaL_checkstring(L, 1), lua_toboolean(L, 2) != 0, out,
                sizeof out);
  lua_pushstring(L, out);
  return 1;
}

static int url_same_origin(lua_State *L) {
  struct gn_origin a, b;
  struct gn_error err;
  lua_pushboolean(L, gn_url_origin(luaL_checkstring(L, 1), &a, &err) == 0 &&
                         gn_url_origin(luaL_checkstring(L, 2), &b, &err) == 0 &&
                         gn_url_same_origin(&a, &b));
  return 1;
}

static int is_secret_name(lua_State *L) {
  size_t len;
  const char *name = luaL_checklstring(L, 1, &len);
  lua_pushboolean(L, gn_url_looks_secret(name, len));
  return 1;
}

void gn_lua_urls_open(lua_State *L) {
  static const luaL_Reg functions[] = {
    {"url_build", url_build}, {"url_resolve", url_resolve},
    {"url_redact", url_redact}, {"url_same_origin", url_same_origin},
    {"is_secret_name", is_secret_name}, {NULL, NULL},
  };
  static const luaL_Reg none[] = {{NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", box_gc}, {NULL, NULL}};
  gn_lua_type(L, GN_LUA_TEXT, none, meta);
  luaL_setfuncs(L, functions, 0);
}
