/* Owns: reading the rules of walks and polls from tables, in boxes that the
 * collector empties if anything raises on the way.
 * Must not: invent a rule; what is missing raises.
 */
#include "../core/alloc.h"
#include "../core/pager.h"
#include "../core/poller.h"
#include "util.h"

#include <stdio.h>
#include <string.h>

static int rules_gc(lua_State *L) {
  struct gn_lua_rules *box = luaL_checkudata(L, 1, GN_LUA_RULES);
  struct gn_lua_rules rules = *box;
  memset(box, 0, sizeof *box);
  gn_pager_rules_free(rules.pager);
  gn_poller_rules_free(rules.poller);
  return 0;
}

static void copy(lua_State *L, int table, const char *name, char **out) {
  const char *text = gn_lua_text(L, table, name, NULL);
  if (!text)
    return;
  *out = gn_strdup(text);
  if (!*out)
    gn_lua_no_memory(L);
}

static void need(lua_State *L, const char *text, const char *name) {
  if (!text)
    luaL_error(L, "rule '%s' is missing", name);
}

static int choose(lua_State *L, int table, const char *name,
                  const char *const *words) {
  const char *text = gn_lua_text(L, table, name, NULL);
  int i;
  for (i = 0; text && words[i]; i++)
    if (strcmp(text, words[i]) == 0)
      return i;
  return luaL_error(L, "rule '%s' is missing or not known", name);
}

static void read_places(lua_State *L, int arg, struct gn_pager_rules *r) {
  static const char *const sources[] = {"json", "header", "link", "page",
                                        "offset", NULL};
  static const char *const targets[] = {"query", "body", "header", "url",
                                        NULL};
  static const char *const repeats[] = {"error", "end", "allow", NULL};
  r->from = (enum gn_next_from)choose(L, arg, "from", sources);
  r->to = (enum gn_next_to)choose(L, arg, "to", targets);
  if (gn_lua_text(L, arg, "repeats", NULL))
    r->repeats = (enum gn_repeats)choose(L, arg, "repeats", repeats);
  copy(L, arg, "source", &r->source);
  copy(L, arg, "target", &r->target);
  copy(L, arg, "prefix", &r->prefix);
  copy(L, arg, "suffix", &r->suffix);
  if (r->from == GN_FROM_JSON || r->from == GN_FROM_HEADER ||
      r->from == GN_FROM_LINK)
    need(L, r->source, "source");
  else if (r->to == GN_TO_URL)
    luaL_error(L, "rule 'to': a number is no URL");
  if (r->to == GN_TO_QUERY || r->to == GN_TO_HEADER)
    need(L, r->target, "target");
  if (r->to == GN_TO_BODY) {
    need(L, r->prefix, "prefix");
    need(L, r->suffix, "suffix");
  }
}

struct gn_lua_rules *gn_lua_walk_rules(lua_State *L, int arg) {
  struct gn_lua_rules *box;
  struct gn_pager_rules *r;
  luaL_checktype(L, arg, LUA_TTABLE);
  box = gn_lua_object(L, sizeof *box, GN_LUA_RULES);
  r = box->pager = gn_pager_rules_new();
  if (!r)
    gn_lua_no_memory(L);
  read_places(L, arg, r);
  copy(L, arg, "items", &r->items);
  copy(L, arg, "more", &r->more);
  copy(L, arg, "start", &r->start);
  r->before = (uint64_t)gn_lua_number(L, arg, "before", 0);
  r->size = (uint64_t)gn_lua_number(L, arg, "size", 0);
  r->first = (uint64_t)gn_lua_number(L, arg, "first", 1);
  r->max_pages = (uint64_t)gn_lua_number(L, arg, "max_pages", 10000);
  r->max_bytes = (uint64_t)gn_lua_number(L, arg, "max_bytes", 0);
  r->ahead = (unsigned)gn_lua_count(L, arg, "ahead", 0);
  r->tape = gn_lua_flag(L, arg, "tape", false);
  if (r->from == GN_FROM_OFFSET ||
      (r->from == GN_FROM_PAGE && !r->more))
    need(L, r->items, "items");
  return box;
}

/* The list at the top of the stack; an item is { id =, fragment = }. */
static void read_items(lua_State *L, struct gn_poller_rules *r, bool body) {
  int list = lua_gettop(L);
  size_t i;
  for (i = 0; i < r->item_count; i++) {
    lua_rawgeti(L, list, (int)i + 1);
    luaL_checktype(L, -1, LUA_TTABLE);
    copy(L, list + 1, "id", &r->items[i].id);
    copy(L, list + 1, "fragment", &r->items[i].fragment);
    need(L, r->items[i].id, "id");
    if (body)
      need(L, r->items[i].fragment, "fragment");
    lua_pop(L, 1);
  }
}

static size_t count_pairs(lua_State *L) {
  size_t n = 0;
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    n++;
    lua_pop(L, 1);
  }
  return n;
}

static bool is_state(const char *state) {
  return strcmp(state, "running") == 0 || strcmp(state, "done") == 0 ||
         strcmp(state, "failed") == 0;
}

/* The map at the top of the stack; keys may be numbers. */
static void read_states(lua_State *L, struct gn_poller_rules *r) {
  size_t i = 0;
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    const char *state = lua_tostring(L, -1), *status;
    lua_pushvalue(L, -2);
    status = lua_tostring(L, -1);
    if (!status || !state || !is_state(state))
      luaL_error(L, "rule 'states': a map from statuses to states expected");
    r->states[i].status = gn_strdup(status);
    if (!r->states[i].status)
      gn_lua_no_memory(L);
    snprintf(r->states[i].state, sizeof r->states[i].state, "%s", state);
    i++;
    lua_pop(L, 2);
  }
}

static void read_poll_rules(lua_State *L, int arg, struct gn_poller_rules *r) {
  copy(L, arg, "prefix", &r->prefix);
  copy(L, arg, "suffix", &r->suffix);
  copy(L, arg, "query", &r->query);
  r->urls = gn_lua_flag(L, arg, "urls", false);
  copy(L, arg, "items", &r->list);
  copy(L, arg, "id", &r->id);
  copy(L, arg, "status", &r->status);
  copy(L, arg, "uri", &r->uri);
  need(L, r->id, "id");
  need(L, r->status, "status");
  if (!gn_poller_rules_single(r)) {
    need(L, r->prefix, "prefix");
    need(L, r->suffix, "suffix");
    need(L, r->list, "items");
  }
  r->batch = (size_t)gn_lua_number(L, arg, "batch", 100);
  r->first = gn_lua_number(L, arg, "first", 1);
  r->factor = gn_lua_number(L, arg, "factor", 1.5);
  r->cap = gn_lua_number(L, arg, "cap", 20);
  r->timeout = gn_lua_number(L, arg, "timeout", 1800);
  r->grace = gn_lua_number(L, arg, "grace", 10);
  r->once = gn_lua_flag(L, arg, "once", false);
  if (r->batch < 1 || r->factor < 1 || r->timeout <= 0)
    luaL_error(L, "rules 'batch', 'factor' or 'timeout' are out of range");
}

struct gn_lua_rules *gn_lua_poll_rules(lua_State *L, int arg) {
  struct gn_lua_rules *box;
  size_t items, states;
  luaL_checktype(L, arg, LUA_TTABLE);
  gn_lua_reserve(L, 10);
  box = gn_lua_object(L, sizeof *box, GN_LUA_RULES);
  if (!gn_lua_table(L, arg, "ids") || !gn_lua_table(L, arg, "states"))
    luaL_error(L, "rules 'ids' and 'states' expected");
  items = lua_rawlen(L, -2);
  states = count_pairs(L);
  if (items == 0)
    luaL_error(L, "rule 'ids' is empty");
  box->poller = gn_poller_rules_new(items, states);
  if (!box->poller)
    gn_lua_no_memory(L);
  read_states(L, box->poller);
  lua_pop(L, 1);
  read_poll_rules(L, arg, box->poller);
  read_items(L, box->poller, box->poller->query == NULL);
  lua_pop(L, 1);
  return box;
}

void gn_lua_rules_open(lua_State *L) {
  static const luaL_Reg methods[] = {{NULL, NULL}};
  static const luaL_Reg meta[] = {{"__gc", rules_gc}, {NULL, NULL}};
  gn_lua_type(L, GN_LUA_RULES, methods, meta);
}
