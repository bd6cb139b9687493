/* Owns: a rate that several clients, or processes, keep as a Lua object, and
 * the place that a caller of Lua's own takes in it. Must not: wait.
 */
#include "../core/clock.h"
#include "../core/rate.h"
#include "util.h"

struct place {
  struct gn_rate *rate;       /* a reference, or NULL */
  struct gn_rate_place place; /* what it has of the rate */
};

struct gn_rate *gn_lua_limiter(lua_State *L, int arg) {
  struct gn_rate **r = luaL_checkudata(L, arg, GN_LUA_LIMITER);
  luaL_argcheck(L, *r != NULL, arg, "the limiter was closed");
  gn_rate_enter(*r);
  return *r;
}

/* { rate, burst, shared, mode } -> limiter. Raises where the file cannot be
 * used. */
static int limiter_new(lua_State *L) {
  struct gn_rate_options o = {0};
  struct gn_rate **r;
  struct gn_error err;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  o.rate = gn_lua_number(L, 1, "rate", 0);
  luaL_argcheck(L, o.rate > 0, 1, "the rate must be above 0");
  o.burst = gn_lua_number(L, 1, "burst", 1);
  o.file = gn_lua_text(L, 1, "shared", NULL);
  o.mode = gn_lua_count(L, 1, "mode", 0);
  r = gn_lua_object(L, sizeof *r, GN_LUA_LIMITER);
  *r = gn_rate_new(&o, &err);
  if (!*r)
    return gn_lua_refuse(L, &err);
  return 1;
}

/* The settings of those who used the file before: rate, burst. */
static int limiter_others(lua_State *L) {
  struct gn_rate *r = gn_lua_limiter(L, 1);
  lua_pushnumber(L, r->other.rate);
  lua_pushnumber(L, r->other.burst);
  return 2;
}

static int limiter_pause(lua_State *L) {
  struct gn_rate *r = gn_lua_limiter(L, 1);
  gn_rate_pause(r, gn_now(), luaL_checknumber(L, 2));
  return 0;
}

static int limiter_gc(lua_State *L) {
  struct gn_rate **r = luaL_checkudata(L, 1, GN_LUA_LIMITER);
  struct gn_rate *rate = *r;
  *r = NULL;
  if (rate)
    gn_rate_enter(rate);
  gn_rate_unref(rate);
  return 0;
}

static int limiter_place(lua_State *L) {
  struct gn_rate *r = gn_lua_limiter(L, 1);
  struct place *p = gn_lua_object(L, sizeof *p, GN_LUA_PLACE);
  gn_rate_place_init(&p->place);
  p->rate = gn_rate_ref(r);
  return 1;
}

static struct place *check_place(lua_State *L) {
  struct place *p = luaL_checkudata(L, 1, GN_LUA_PLACE);
  if (!p->rate)
    luaL_error(L, "the place was given back");
  gn_rate_enter(p->rate);
  return p;
}

/* Seconds to wait, and whether the place is taken then; if not: ask again. */
static int place_reserve(lua_State *L) {
  struct place *p = check_place(L);
  double now = gn_now();
  lua_pushnumber(L, gn_rate_reserve(p->rate, now, &p->place));
  lua_pushboolean(L, p->place.taken);
  return 2;
}

/* Whether the slot that was waited for still holds. */
static int place_use(lua_State *L) {
  struct place *p = check_place(L);
  double now = gn_now();
  bool good = p->place.taken && !gn_rate_paused(p->rate, now) &&
              !gn_rate_missed(p->rate, now, &p->place);
  if (good)
    gn_rate_use(&p->place);
  lua_pushboolean(L, good);
  return 1;
}

static int place_release(lua_State *L) {
  struct place *p = luaL_checkudata(L, 1, GN_LUA_PLACE);
  struct gn_rate *rate = p->rate;
  p->rate = NULL;
  if (rate) {
    gn_rate_enter(rate);
    gn_rate_release(rate, &p->place);
  }
  gn_rate_unref(rate);
  return 0;
}

void gn_lua_limiter_open(lua_State *L) {
  static const luaL_Reg methods[] = {
    {"others", limiter_others}, {"pause", limiter_pause},
    {"place", limiter_place}, {NULL, NULL},
  };
  static const luaL_Reg meta[] = {{"__gc", limiter_gc}, {NULL, NULL}};
  static const luaL_Reg place_methods[] = {
    {"reserve", place_reserve}, {"use", place_use},
    {"release", place_release}, {NULL, NULL},
  };
  static const luaL_Reg place_meta[] = {
    {"__gc", place_release}, {NULL, NULL},
  };
  gn_lua_type(L, GN_LUA_LIMITER, methods, meta);
  gn_lua_type(L, GN_LUA_PLACE, place_methods, place_meta);
  lua_pushcfunction(L, limiter_new);
  lua_setfield(L, -2, "limiter_new");
}
