/* Owns: the core's counters as a Lua object, and their numbers as a table.
 * Must not: name a counter; the core does.
 */
#include "../core/stats.h"

#include "util.h"

#include <math.h>

struct gn_counters *gn_lua_counters(lua_State *L, int arg) {
  struct gn_counters **c = luaL_checkudata(L, arg, GN_LUA_COUNTERS);
  luaL_argcheck(L, *c != NULL, arg, "the counters were closed");
  return *c;
}

static int counters_new(lua_State *L) {
  struct gn_counters **c = gn_lua_object(L, sizeof *c, GN_LUA_COUNTERS);
  *c = gn_counters_new();
  return *c ? 1 : gn_lua_no_memory(L);
}

static int counters_close(lua_State *L) {
  struct gn_counters **box = luaL_checkudata(L, 1, GN_LUA_COUNTERS);
  struct gn_counters *c = *box;
  *box = NULL;
  gn_counters_unref(c);
  return 0;
}

/* Another process's: this one was forked from it. */
static int counters_is_foreign(lua_State *L) {
  lua_pushboolean(L, gn_counters_is_foreign(gn_lua_counters(L, 1)));
  return 1;
}

/* Gauges may be seen below 0 between two changes of two threads. */
static void push_count(lua_State *L, int64_t n) {
  gn_lua_push_size(L, n > 0 ? (uint64_t)n : 0);
}

/* Pushes the table of a group, made where there is none yet. */
static void push_group(lua_State *L, const char *group) {
  lua_getfield(L, -1, group);
  if (!lua_isnil(L, -1))
    return;
  lua_pop(L, 1);
  lua_createtable(L, 0, 8);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, group);
}

static void push_counts(lua_State *L, const struct gn_stats *s) {
  int i;
  for (i = 0; i < GN_COUNTS; i++) {
    const char *group, *name;
    gn_count_name((enum gn_count)i, &group, &name);
    if (!name)
      continue;
    if (group)
      push_group(L, group);
    push_count(L, s->counts[i]);
    lua_setfield(L, -2, name);
    if (group)
      lua_pop(L, 1);
  }
}

/* { sum = seconds, [i] = { upper bound, how many were not longer } }; the last
 * one's bound is infinite. */
static void push_durations(lua_State *L, const struct gn_durations *d) {
  int64_t count = 0;
  int i;
  lua_createtable(L, GN_BUCKETS + 1, 1);
  for (i = 0; i <= GN_BUCKETS; i++) {
    count += d->buckets[i];
    lua_createtable(L, 2, 0);
    lua_pushnumber(L, i < GN_BUCKETS ? gn_bucket_bounds[i] : HUGE_VAL);
    lua_rawseti(L, -2, 1);
    push_count(L, count);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, i + 1);
  }
  lua_pushnumber(L, d->sum);
  lua_setfield(L, -2, "sum");
}

static int counters_read(lua_State *L) {
  struct gn_stats s;
  gn_counters_read(gn_lua_counters(L, 1), &s);
  gn_lua_reserve(L, 8);
  lua_createtable(L, 0, 24);
  push_counts(L, &s);
  lua_pushnumber(L, (lua_Number)s.counts[GN_COUNT_THROTTLED_MS] / 1000);
  lua_setfield(L, -2, "throttled");
  lua_createtable(L, 0, GN_TIMED_COUNT);
  push_durations(L, &s.timed[GN_TIMED_EXCHANGE]);
  lua_setfield(L, -2, "exchange");
  push_durations(L, &s.timed[GN_TIMED_REQUEST]);
  lua_setfield(L, -2, "request");
  lua_setfield(L, -2, "durations");
  return 1;
}

void gn_lua_stats_open(lua_State *L) {
  static const luaL_Reg methods[] = {
    {"read", counters_read}, {"is_foreign", counters_is_foreign},
    {"close", counters_close}, {NULL, NULL},
  };
  static const luaL_Reg meta[] = {
    {"__gc", counters_close}, {"__close", counters_close}, {NULL, NULL},
  };
  gn_lua_type(L, GN_LUA_COUNTERS, methods, meta);
  lua_pushcfunction(L, counters_new);
  lua_setfield(L, -2, "counters_new");
}
