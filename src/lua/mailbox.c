/* Owns: mailboxes as Lua objects, and with them all that a driver needs: its
 * engine's descriptor and doorbell. A mailbox keeps its engine's memory by the
 * core's own count, so that the collector may take them in any order.
 * Must not: wait, call back into Lua from the core, or yield.
 */
#include "../core/engine.h"
#include "util.h"

struct gn_mailbox *gn_lua_mailbox(lua_State *L, int arg) {
  struct gn_mailbox **m = gn_lua_check(L, arg, GN_LUA_MAILBOX);
  luaL_argcheck(L, *m != NULL, arg, "the mailbox was closed");
  return *m;
}

int gn_lua_mailbox_new(lua_State *L) {
  struct gn_mailbox **m = gn_lua_object(L, sizeof *m, GN_LUA_MAILBOX);
  /* Looked at only now: a finalizer may have closed it meanwhile. */
  *m = gn_mailbox_new(gn_lua_engine(L, 1));
  if (!*m)
    return gn_lua_no_memory(L);
  return 1;
}

static const char *const event_names[] = {
  "done", "page", "report", "progress", "notice", "request", "record",
  "log", "rows",
};

static void push_progress(lua_State *L, const struct gn_event *event) {
  if (event->bytes > 0) {
    lua_createtable(L, 0, 2);
    gn_lua_push_size(L, event->bytes);
    lua_setfield(L, -2, "bytes");
    if (event->total >= 0) {
      gn_lua_push_size(L, (uint64_t)event->total);
      lua_setfield(L, -2, "total");
    }
    return;
  }
  lua_createtable(L, 0, 3);
  lua_pushinteger(L, (lua_Integer)event->pending);
  lua_setfield(L, -2, "pending");
  lua_pushinteger(L, (lua_Integer)event->finished);
  lua_setfield(L, -2, "done");
  lua_pushinteger(L, (lua_Integer)event->polls);
  lua_setfield(L, -2, "polls");
}

/* All that take gives of an event; what it owns comes into a box when it has
 * been taken. */
static void push_event(lua_State *L, const struct gn_event *event,
                       struct gn_result ***result, struct gn_batch ***batch) {
  *result = NULL;
  *batch = NULL;
  lua_pushnumber(L, (lua_Number)event->id);
  lua_pushstring(L, event_names[event->type]);
  if (event->type == GN_EVENT_PROGRESS)
    push_progress(L, event);
  else if (event->traffic)
    gn_lua_push_traffic(L, event->traffic);
  else if (event->result)
    *result = gn_lua_result_new(L);
  else if (event->batch)
    *batch = gn_lua_batch_new(L);
  else
    lua_pushnil(L);
  if (event->dropped)
    lua_pushnumber(L, (lua_Number)event->dropped);
  else
    lua_pushnil(L);
  if (event->tag)
    gn_lua_push_size(L, event->tag);
}

static bool is_first(struct gn_mailbox *m, const struct gn_event *event) {
  struct gn_event first;
  return gn_mailbox_peek(m, &first) && first.id == event->id &&
         first.type == event->type && first.result == event->result &&
         first.batch == event->batch;
}

/* take(): id, name, value, how many log events were dropped before or nil, and
 * the tag, if there is one; nil if there is no event. What may raise comes
 * before the event is taken, so that none is lost; but a finalizer that runs
 * then may have it dropped (drop_pages): the next one is another one. */
static int mailbox_take(lua_State *L) {
  struct gn_mailbox *m = gn_lua_mailbox(L, 1);
  struct gn_result **result;
  struct gn_batch **batch;
  struct gn_event *event, copy;
  do {
    lua_settop(L, 1);
    if (!gn_mailbox_peek(m, &copy)) {
      lua_pushnil(L);
      return 1;
    }
    gn_lua_reserve(L, 8);
    push_event(L, &copy, &result, &batch);
  } while (!is_first(m, &copy));
  event = gn_mailbox_take(m);
  if (result) {
    *result = event->result;
    event->result = NULL;
  }
  if (batch) {
    *batch = event->batch;
    event->batch = NULL;
  }
  gn_event_free(event);
  return copy.tag ? 5 : 4;
}

/* Whether the oldest event is an end that nothing else has to be told of. */
static bool peek_end(struct gn_mailbox *m, struct gn_event *copy) {
  return gn_mailbox_peek(m, copy) && copy->type == GN_EVENT_DONE &&
         copy->result && copy->dropped == 0;
}

/* Takes that one: its result, and its status or false. */
static void push_end(lua_State *L, struct gn_mailbox *m) {
  struct gn_result **result = gn_lua_result_new(L);
  struct gn_event *event = gn_mailbox_take(m);
  *result = event->result;
  event->result = NULL;
  gn_event_free(event);
  if ((*result)->error.kind == GN_OK)
    lua_pushinteger(L, (lua_Integer)(*result)->status);
  else
    lua_pushboolean(L, 0);
}

bool gn_lua_mailbox_push_end(lua_State *L, struct gn_mailbox *m, uint64_t id) {
  struct gn_event copy;
  if (!peek_end(m, &copy) || copy.id != id)
    return false;
  push_end(L, m);
  return true;
}

/* take_end(): the tag, id, result and status (or false) of the end that comes
 * next, if it has a tag; else nothing. */
static int mailbox_take_end(lua_State *L) {
  struct gn_mailbox *m = gn_lua_mailbox(L, 1);
  struct gn_event copy;
  if (!peek_end(m, &copy) || copy.tag == 0)
    return 0;
  gn_lua_push_size(L, copy.tag);
  lua_pushnumber(L, (lua_Number)copy.id);
  push_end(L, m);
  return 4;
}

/* finish(id): result, and its status or false; nil, whether there is something
 * else to take. */
static int mailbox_finish(lua_State *L) {
  struct gn_mailbox *m = gn_lua_mailbox(L, 1);
  lua_Number id = luaL_checknumber(L, 2);
  if (gn_lua_mailbox_push_end(L, m, id > 0 ? (uint64_t)id : 0))
    return 2;
  lua_pushnil(L);
  lua_pushboolean(L, gn_mailbox_pending(m) > 0);
  return 2;
}

static int mailbox_pending(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)gn_mailbox_pending(gn_lua_mailbox(L, 1)));
  return 1;
}

static int mailbox_drop_pages(lua_State *L) {
  struct gn_mailbox *m = gn_lua_mailbox(L, 1);
  lua_Number id = luaL_checknumber(L, 2);
  /* Works are counted from 1; anything else is no number of theirs. */
  if (id >= 1 && id < 9007199254740992.0)
    gn_mailbox_drop_pages(m, (uint64_t)id);
  return 0;
}

static int mailbox_id(lua_State *L) {
  gn_lua_push_size(L, gn_lua_mailbox(L, 1)->id);
  return 1;
}

static int mailbox_descriptor(lua_State *L) {
  struct gn_error err;
  int fd = gn_engine_descriptor(gn_lua_mailbox(L, 1)->engine, &err);
  if (fd < 0)
    return gn_lua_fail(L, &err);
  lua_pushinteger(L, fd);
  return 1;
}

static int mailbox_acknowledge(lua_State *L) {
  gn_engine_acknowledge(gn_lua_mailbox(L, 1)->engine);
  return 0;
}

static int mailbox_ready(lua_State *L) {
  uint64_t id = gn_engine_ready(gn_lua_mailbox(L, 1)->engine);
  if (id)
    gn_lua_push_size(L, id);
  else
    lua_pushnil(L);
  return 1;
}

static int mailbox_is_closed(lua_State *L) {
  struct gn_mailbox **m = gn_lua_check(L, 1, GN_LUA_MAILBOX);
  lua_pushboolean(L, !*m || gn_engine_is_closed((*m)->engine));
  return 1;
}

static int mailbox_doorbell(lua_State *L) {
  struct gn_doorbell_address address;
  struct gn_error err;
  if (gn_engine_doorbell(gn_lua_mailbox(L, 1)->engine, &address, &err) != 0)
    return gn_lua_fail(L, &err);
  lua_pushstring(L, address.path);
  lua_pushlstring(L, address.key, GN_KEY_SIZE - 1);
  return 2;
}

/* subscribe(): true: its own connection is answered when there is something;
 * false: there is, or nothing more comes; nil: it has no connection. */
static int mailbox_subscribe(lua_State *L) {
  int rc = gn_mailbox_subscribe(gn_lua_mailbox(L, 1));
  if (rc < 0)
    lua_pushnil(L);
  else
    lua_pushboolean(L, rc);
  return 1;
}

static int mailbox_close(lua_State *L) {
  struct gn_mailbox **box = gn_lua_check(L, 1, GN_LUA_MAILBOX);
  struct gn_mailbox *m = *box;
  *box = NULL;
  if (m)
    gn_mailbox_close(m);
  return 0;
}

static int mailbox_tostring(lua_State *L) {
  struct gn_mailbox **m = gn_lua_check(L, 1, GN_LUA_MAILBOX);
  lua_pushstring(L, *m ? "garner.core.mailbox"
                       : "garner.core.mailbox (closed)");
  return 1;
}

void gn_lua_mailbox_open(lua_State *L) {
  static const luaL_Reg methods[] = {
    {"take", mailbox_take}, {"take_end", mailbox_take_end},
    {"finish", mailbox_finish},
    {"pending", mailbox_pending}, {"drop_pages", mailbox_drop_pages},
    {"id", mailbox_id}, {"descriptor", mailbox_descriptor},
    {"acknowledge", mailbox_acknowledge}, {"ready", mailbox_ready},
    {"is_closed", mailbox_is_closed}, {"doorbell", mailbox_doorbell},
    {"subscribe", mailbox_subscribe}, {"close", mailbox_close}, {NULL, NULL},
  };
  static const luaL_Reg meta[] = {
    {"__gc", mailbox_close}, {"__close", mailbox_close},
    {"__tostring", mailbox_tostring}, {NULL, NULL},
  };
  gn_lua_type(L, GN_LUA_MAILBOX, methods, meta);
}
