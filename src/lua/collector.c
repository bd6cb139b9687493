/* Owns: Lua's collector held back while one large value is built: all of it is
 * alive, so that walking it half made is lost work. What was due meanwhile is
 * done before one of the next such values is built, when this one is mostly
 * garbage: a loop that does nothing else cannot grow without bound.
 * Must not: run or wake a collector that the program has stopped, or leave it
 * stopped, whatever happens.
 */
#include "collector.h"

#define ACCOUNT "garner.collector"
#define WORTH 4096            /* bytes of source from which on it pays */
#define PATIENCE 1024         /* KiB owed from which on it is paid */
#define CREDIT_MAX (1 << 20)  /* KiB: as bytes they fit a long of 32 bits */

#if GN_LUA_COLLECTOR

/* KiB made while it was held back that it has not worked for. */
static int *owed_of(lua_State *L) {
  int *owed;
  lua_getfield(L, LUA_REGISTRYINDEX, ACCOUNT);
  owed = lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (owed)
    return owed;
  owed = lua_newuserdata(L, sizeof *owed);
  *owed = 0;
  lua_setfield(L, LUA_REGISTRYINDEX, ACCOUNT);
  return owed;
}

/* Stopping and starting it made the collector forget for how long it wanted to
 * sleep after its last cycle, about half of the time: it is spared half. Nor
 * does it work for less than PATIENCE: each cycle walks all that is alive. */
static void pay(lua_State *L, int *owed) {
  int kib = *owed;
  if (GN_LUA_COLLECTOR == GN_LUA_COLLECTOR_STOPS && kib < PATIENCE)
    return;
  *owed = 0;
  if (kib > 0)
    lua_gc(L, LUA_GCSTEP,
           GN_LUA_COLLECTOR == GN_LUA_COLLECTOR_STOPS ? kib / 2 : kib);
}

/* With GN_LUA_COLLECTOR_DEBT, a step's size is added to what the collector
 * takes for allocated since its last work: a negative one is credit, and its
 * own figures survive. A byte of JSON seldom becomes more than 64. */
static int hold_back(lua_State *L, size_t len) {
  int credit = len / 16 < CREDIT_MAX ? (int)(len / 16) : CREDIT_MAX;
  if (GN_LUA_COLLECTOR == GN_LUA_COLLECTOR_DEBT)
    lua_gc(L, LUA_GCSTEP, -credit);
  else
    lua_gc(L, LUA_GCSTOP, 0);
  return credit;
}

static void let_go(lua_State *L, int credit, int grown) {
  if (GN_LUA_COLLECTOR == GN_LUA_COLLECTOR_STOPS)
    lua_gc(L, LUA_GCRESTART, 0);
  else if (lua_gc(L, LUA_GCISRUNNING, 0) == 1)  /* no finalizer stopped it */
    lua_gc(L, LUA_GCSTEP, credit - grown);
}

int gn_lua_uncollected(lua_State *L, lua_CFunction f, size_t len) {
  int status, *owed, args = lua_gettop(L), credit, before, grown;
  if (len < WORTH || lua_gc(L, LUA_GCISRUNNING, 0) != 1)
    return f(L);
  owed = owed_of(L);
  pay(L, owed);
  lua_pushcfunction(L, f);
  lua_insert(L, 1);
  before = lua_gc(L, LUA_GCCOUNT, 0);
  credit = hold_back(L, len);
  status = lua_pcall(L, args, LUA_MULTRET, 0);
  grown = lua_gc(L, LUA_GCCOUNT, 0) - before;
  grown = grown < 0 ? 0 : grown;
  if (GN_LUA_COLLECTOR == GN_LUA_COLLECTOR_DEBT && grown > credit)
    grown = credit;  /* it has worked for the rest */
  let_go(L, credit, grown);
  *owed += grown;
  return status == 0 ? lua_gettop(L) : lua_error(L);
}

#else

int gn_lua_uncollected(lua_State *L, lua_CFunction f, size_t len) {
  (void)len;
  return f(L);
}

#endif
