/* Owns: engines as Lua objects, and what is submitted to them. Must not: call
 * back into Lua from the core, or yield.
 */
#include "../core/clock.h"
#include "../core/engine.h"
#include "util.h"

#include <math.h>

struct gn_engine *gn_lua_engine(lua_State *L, int arg) {
  struct gn_engine **e = gn_lua_check(L, arg, GN_LUA_ENGINE);
  luaL_argcheck(L, *e != NULL, arg, "the engine was closed");
  return *e;
}

static struct gn_engine *check_engine(lua_State *L) {
  return gn_lua_engine(L, 1);
}

/* Works and events are counted from 1; anything else is no number of theirs. */
static uint64_t check_number(lua_State *L, int arg) {
  lua_Number n = luaL_checknumber(L, arg);
  return n >= 0 && n < 9007199254740992.0 ? (uint64_t)n : 0;
}

/* Seconds as milliseconds; more than an hour is an hour. */
static int64_t check_ms(lua_State *L, int arg) {
  lua_Number seconds = luaL_checknumber(L, arg);
  if (!(seconds > 0))
    return 0;
  return (int64_t)ceil((seconds < 3600 ? seconds : 3600) * 1000);
}

/* The mailbox of an operation: the locks of two engines do not mix. */
static struct gn_mailbox *check_own_mailbox(lua_State *L,
                                            const struct gn_engine *e) {
  struct gn_mailbox *m = gn_lua_mailbox(L, 2);
  luaL_argcheck(L, m->engine == e, 2, "the mailbox is another engine's");
  return m;
}

static int engine_new(lua_State *L) {
  struct gn_engine **e;
  struct gn_error err;
  struct gn_counters *counters = NULL;
  bool threaded = false;
  if (!lua_isnoneornil(L, 1)) {
    luaL_checktype(L, 1, LUA_TTABLE);
    threaded = gn_lua_flag(L, 1, "thread", false);
    lua_getfield(L, 1, "counters"); /* stays, so that it is not collected */
    if (!lua_isnil(L, -1))
      counters = gn_lua_counters(L, -1);
  }
  e = gn_lua_object(L, sizeof *e, GN_LUA_ENGINE);
  *e = counters ? gn_engine_new_counted(threaded, counters, &err)
                : gn_engine_new(threaded, &err);
  return *e ? 1 : gn_lua_fail(L, &err);
}

static int engine_close(lua_State *L) {
  struct gn_engine **box = gn_lua_check(L, 1, GN_LUA_ENGINE);
  struct gn_engine *e = *box;
  *box = NULL;
  if (e) {
    gn_engine_close(e);
    gn_engine_unref(e);
  }
  return 0;
}

static int engine_is_closed(lua_State *L) {
  struct gn_engine **e = gn_lua_check(L, 1, GN_LUA_ENGINE);
  lua_pushboolean(L, !*e || gn_engine_is_closed(*e));
  return 1;
}

static int engine_is_threaded(lua_State *L) {
  lua_pushboolean(L, gn_engine_is_threaded(check_engine(L)));
  return 1;
}

static int engine_tostring(lua_State *L) {
  struct gn_engine **e = gn_lua_check(L, 1, GN_LUA_ENGINE);
  if (!*e || gn_engine_is_closed(*e))
    lua_pushliteral(L, "garner.core.engine (closed)");
  else
    lua_pushfstring(L, "garner.core.engine (%s)",
                    gn_engine_is_threaded(*e) ? "threaded" : "inline");
  return 1;
}

static int engine_sequence(lua_State *L) {
  lua_pushnumber(L, (lua_Number)gn_engine_sequence(check_engine(L)));
  return 1;
}

static int engine_wait(lua_State *L) {
  struct gn_engine *e = check_engine(L);
  uint64_t seen = check_number(L, 2);
  int64_t ms = check_ms(L, 3);
  lua_pushnumber(L, (lua_Number)gn_engine_wait(e, seen, ms));
  gn_lua_pass_interrupt(L);
  return 1;
}

static int push_id(lua_State *L, uint64_t id, const struct gn_error *err) {
  if (id == 0)
    return gn_lua_fail(L, err);
  lua_pushnumber(L, (lua_Number)id);
  return 1;
}

/* submit(mailbox, client, request, tag): the tag comes with its events. */
static int engine_submit(lua_State *L) {
  struct gn_engine *e = check_engine(L);
  struct gn_mailbox *m = check_own_mailbox(L, e);
  struct gn_policy *p = gn_lua_client(L, 3);
  uint64_t tag = lua_isnoneornil(L, 5) ? 0 : check_number(L, 5);
  struct gn_lua_request *box = gn_lua_request(L, 4, p);
  struct gn_error err;
  return push_id(L, gn_engine_submit_tagged(e, m, tag, p,
                                            gn_lua_request_take(box), &err),
                 &err);
}

/* Submits what client:request_new gave and waits once, argument 5 at most, in
 * seconds: result, and its status or false where it is an error; nil, id where
 * it has not ended yet; nil, nil, error where it did not begin. Nothing where
 * the engine is closed, or this is another coroutine than the main one. No Lua
 * runs meanwhile. */
static int engine_exchange(lua_State *L) {
  struct gn_engine *e = check_engine(L);
  struct gn_mailbox *m = check_own_mailbox(L, e);
  struct gn_policy *p = gn_lua_client(L, 3);
  struct gn_lua_request *box = gn_lua_request(L, 4, p);
  int64_t ms = check_ms(L, 5);
  uint64_t id;
  struct gn_error err;
  if (!gn_compat_is_main(L))
    return 0;
  id = gn_engine_exchange(e, m, p, gn_lua_request_take(box), ms, &err);
  if (id == 0 && err.kind == GN_CANCELLED)
    return 0;
  if (id && gn_lua_mailbox_push_end(L, m, id))
    return 2;
  lua_pushnil(L);
  return push_id(L, id, &err) + 1;
}

static int engine_walk(lua_State *L) {
  struct gn_engine *e = check_engine(L);
  struct gn_mailbox *m = check_own_mailbox(L, e);
  struct gn_policy *p = gn_lua_client(L, 3);
  struct gn_lua_rules *rules = gn_lua_walk_rules(L, 5);
  struct gn_request *r = gn_lua_request_take(gn_lua_request(L, 4, p));
  struct gn_pager_rules *pager = rules->pager;
  struct gn_error err;
  rules->pager = NULL;
  return push_id(L, gn_engine_walk(e, m, p, r, pager, &err), &err);
}

static int engine_poll(lua_State *L) {
  struct gn_engine *e = check_engine(L);
  struct gn_mailbox *m = check_own_mailbox(L, e);
  struct gn_policy *p = gn_lua_client(L, 3);
  struct gn_lua_rules *rules = gn_lua_poll_rules(L, 5);
  struct gn_request *r = gn_lua_request_take(gn_lua_request(L, 4, p));
  struct gn_poller_rules *poller = rules->poller;
  struct gn_error err;
  rules->poller = NULL;
  return push_id(L, gn_engine_poll(e, m, p, r, poller, &err), &err);
}

static int engine_advance(lua_State *L) {
  gn_engine_advance(check_engine(L), check_number(L, 2));
  return 0;
}

static int engine_cancel(lua_State *L) {
  gn_engine_cancel(check_engine(L), check_number(L, 2));
  return 0;
}

void gn_lua_engine_open(lua_State *L) {
  static const luaL_Reg engine_methods[] = {
    {"close", engine_close}, {"is_closed", engine_is_closed},
    {"is_threaded", engine_is_threaded}, {"mailbox_new", gn_lua_mailbox_new},
    {"sequence", engine_sequence}, {"wait", engine_wait},
    {"submit", engine_submit}, {"exchange", engine_exchange},
    {"walk", engine_walk}, {"poll", engine_poll},
    {"advance", engine_advance}, {"cancel", engine_cancel},
    {"supply", gn_lua_engine_supply}, {NULL, NULL},
  };
  static const luaL_Reg engine_meta[] = {
    {"__gc", engine_close}, {"__close", engine_close},
    {"__tostring", engine_tostring}, {NULL, NULL},
  };
  gn_lua_type(L, GN_LUA_ENGINE, engine_methods, engine_meta);
  lua_pushcfunction(L, engine_new);
  lua_setfield(L, -2, "engine_new");
}
