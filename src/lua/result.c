/* Owns: a finished response as a Lua object; its parts become Lua values only
 * when asked for.
 * Must not: hand out a pointer into it.
 */
#include "../core/alloc.h"
#include "collector.h"
#include "json.h"
#include "util.h"

#include <string.h>
#include <strings.h>

struct gn_result **gn_lua_result_new(lua_State *L) {
  return gn_lua_object(L, sizeof(struct gn_result *), GN_LUA_RESULT);
}

static struct gn_result *check(lua_State *L) {
  struct gn_result **r = gn_lua_check(L, 1, GN_LUA_RESULT);
  luaL_argcheck(L, *r != NULL, 1, "the result was closed");
  return *r;
}

static void push_attempts(lua_State *L, const struct gn_result *r) {
  size_t i;
  lua_createtable(L, (int)r->record_count, 0);
  for (i = 0; i < r->record_count; i++) {
    const struct gn_record *record = &r->records[i];
    lua_createtable(L, 0, 5);
    if (record->status) {
      lua_pushinteger(L, (lua_Integer)record->status);
      lua_setfield(L, -2, "status");
    }
    if (*record->code) {
      lua_pushstring(L, record->code);
      lua_setfield(L, -2, "code");
    }
    if (*record->why) {
      lua_pushstring(L, record->why);
      lua_setfield(L, -2, "why");
    }
    lua_pushnumber(L, record->waited);
    lua_setfield(L, -2, "waited");
    if (record->elapsed >= 0) {
      lua_pushnumber(L, record->elapsed);
      lua_setfield(L, -2, "elapsed");
    }
    lua_rawseti(L, -2, (int)i + 1);
  }
}

static void push_url(lua_State *L, const struct gn_result *r) {
  char url[2048];
  gn_result_url(r, url, sizeof url);
  lua_pushstring(L, url);
}

static int result_error(lua_State *L) {
  const struct gn_result *r = check(L);
  if (r->error.kind == GN_OK) {
    lua_pushnil(L);
    return 1;
  }
  gn_lua_push_error(L, &r->error);
  if (r->status) {
    lua_pushinteger(L, (lua_Integer)r->status);
    lua_setfield(L, -2, "status");
  }
  if (r->retry_after >= 0) {
    lua_pushnumber(L, r->retry_after);
    lua_setfield(L, -2, "retry_after");
  }
  lua_pushboolean(L, r->retryable);
  lua_setfield(L, -2, "retryable");
  push_url(L, r);
  lua_setfield(L, -2, "url");
  push_attempts(L, r);
  lua_setfield(L, -2, "attempts");
  return 1;
}

static int result_status(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)check(L)->status);
  return 1;
}

static int result_headers(lua_State *L) {
  const struct gn_result *r = check(L);
  const char *name, *value;
  size_t pos = 0, name_len, value_len;
  int n = 0;
  lua_newtable(L);
  while (gn_headers_next(&r->headers, &pos, &name, &name_len, &value,
                         &value_len)) {
    lua_createtable(L, 2, 0);
    lua_pushlstring(L, name, name_len);
    lua_rawseti(L, -2, 1);
    lua_pushlstring(L, value, value_len);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

static char lower(char c) {
  return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static void push_lower(lua_State *L, const char *name, size_t len) {
  char small[64];
  luaL_Buffer b;
  size_t i;
  if (len <= sizeof small) {
    for (i = 0; i < len; i++)
      small[i] = lower(name[i]);
    lua_pushlstring(L, small, len);
    return;
  }
  luaL_buffinit(L, &b);
  for (i = 0; i < len; i++)
    luaL_addchar(&b, lower(name[i]));
  luaL_pushresult(&b);
}

/* Room for the usual number of headers, not for any that a server may send. */
static int expected_names(const struct gn_buf *block) {
  size_t i;
  int lines = 0;
  for (i = 0; i < block->len && lines < 32; i++) {
    const char *end = memchr(block->data + i, '\n', block->len - i);
    i = end ? (size_t)(end - block->data) : block->len;
    lines++;
  }
  return lines;
}

struct name {
  const char *text; /* not terminated */
  size_t len;       /* its bytes */
};

#define NAMES 24 /* that are compared here; for more, the table is asked */

/* Whether a name may have come before; counts it in. */
static bool came_before(struct name *names, int n, const char *text,
                        size_t len) {
  int i;
  if (n >= NAMES)
    return true;
  for (i = 0; i < n; i++)
    if (names[i].len == len && strncasecmp(names[i].text, text, len) == 0)
      return true;
  names[n].text = text;
  names[n].len = len;
  return false;
}

/* Puts ", " between what the name at the top has in the table at 3 and a value,
 * and pushes it. */
static void push_joined(lua_State *L, const char *value, size_t len) {
  lua_pushvalue(L, -1);
  lua_rawget(L, 3);
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    lua_pushlstring(L, value, len);
    return;
  }
  lua_pushliteral(L, ", ");
  lua_pushlstring(L, value, len);
  lua_concat(L, 3);
}

/* Every header once, by its name in lower case; several of a name are joined.
 * A metatable, argument 2, makes it what users get. */
static int result_header_map(lua_State *L) {
  const struct gn_result *r = check(L);
  struct name names[NAMES];
  const char *name, *value;
  size_t pos = 0, name_len, value_len;
  int n = 0;
  lua_settop(L, 2);
  lua_createtable(L, 0, expected_names(&r->headers));
  while (gn_headers_next(&r->headers, &pos, &name, &name_len, &value,
                         &value_len)) {
    push_lower(L, name, name_len);
    if (came_before(names, n, name, name_len)) {
      push_joined(L, value, value_len);
    } else {
      n++;
      lua_pushlstring(L, value, value_len);
    }
    lua_rawset(L, 3);
  }
  lua_pushvalue(L, 2);
  lua_setmetatable(L, 3);
  return 1;
}

static int result_header(lua_State *L) {
  const struct gn_result *r = check(L);
  size_t wanted_len, pos = 0, name_len, value_len;
  const char *wanted = luaL_checklstring(L, 2, &wanted_len);
  const char *name, *value;
  luaL_Buffer b;
  int found = 0;
  luaL_buffinit(L, &b);
  while (gn_headers_next(&r->headers, &pos, &name, &name_len, &value,
                         &value_len)) {
    if (name_len != wanted_len || strncasecmp(name, wanted, name_len) != 0)
      continue;
    if (found++)
      luaL_addlstring(&b, ", ", 2);
    luaL_addlstring(&b, value, value_len);
  }
  luaL_pushresult(&b);
  if (!found)
    lua_pushnil(L);
  return 1;
}

static int result_body(lua_State *L) {
  size_t len;
  const char *body = gn_result_body(check(L), &len);
  lua_pushlstring(L, body, len);
  return 1;
}

static int result_size(lua_State *L) {
  const struct gn_result *r = check(L);
  size_t len;
  gn_result_body(r, &len);
  gn_lua_push_size(L, len ? len : r->file_size);
  return 1;
}

/* From its tape, which is used up, where it has one: only once, since a
 * finalizer that runs meanwhile may come here, too. */
static int decode_body(lua_State *L) {
  struct gn_result *r = check(L);
  size_t len;
  const char *body = gn_result_body(r, &len);
  struct gn_tape *tape = r->tape;
  if (tape && !tape->used && luaL_optinteger(L, 2, 0) == 0) {
    tape->used = true;
    gn_lua_tape_push(L, tape);
    r->tape = NULL;
    gn_tape_free(tape);
    return 1;
  }
  return gn_lua_json_push(L, body, len, (unsigned)luaL_optinteger(L, 2, 0));
}

static int result_json(lua_State *L) {
  size_t len;
  gn_result_body(check(L), &len);
  luaL_optinteger(L, 2, 0);
  return gn_lua_uncollected(L, decode_body, len);
}

static int result_attempts(lua_State *L) {
  push_attempts(L, check(L));
  return 1;
}

static int result_elapsed(lua_State *L) {
  lua_pushnumber(L, check(L)->elapsed);
  return 1;
}

static int result_url(lua_State *L) {
  push_url(L, check(L));
  return 1;
}

static int result_request(lua_State *L) {
  const struct gn_result *r = check(L);
  if (r->request)
    gn_lua_push_request(L, r->request, r->server_url);
  else
    lua_pushnil(L);
  return 1;
}

static int result_file(lua_State *L) {
  lua_pushstring(L, check(L)->file);
  return 1;
}

/* What was checked of the file: { verified, resumed (bytes), sha256 }. */
static int result_facts(lua_State *L) {
  const struct gn_result *r = check(L);
  lua_createtable(L, 0, 3);
  lua_pushboolean(L, r->verified);
  lua_setfield(L, -2, "verified");
  gn_lua_push_size(L, r->resumed);
  lua_setfield(L, -2, "resumed");
  if (*r->sha256) {
    lua_pushstring(L, r->sha256);
    lua_setfield(L, -2, "sha256");
  }
  return 1;
}

/* What asks for the page after this one, and whether this is the last. */
static int result_next(lua_State *L) {
  const struct gn_result *r = check(L);
  lua_pushstring(L, r->next);
  lua_pushboolean(L, r->last);
  return 2;
}

static int result_id(lua_State *L) {
  lua_pushstring(L, check(L)->id);
  return 1;
}

static int result_state(lua_State *L) {
  lua_pushstring(L, check(L)->state);
  return 1;
}

static int result_close(lua_State *L) {
  struct gn_result **r = gn_lua_check(L, 1, GN_LUA_RESULT);
  struct gn_result *result = *r;
  *r = NULL;
  gn_result_free(result);
  return 0;
}

static int result_tostring(lua_State *L) {
  struct gn_result **r = gn_lua_check(L, 1, GN_LUA_RESULT);
  if (*r)
    lua_pushfstring(L, "garner.core.result (%d)", (int)(*r)->status);
  else
    lua_pushliteral(L, "garner.core.result (closed)");
  return 1;
}

void gn_lua_result_open(lua_State *L) {
  static const luaL_Reg methods[] = {
    {"error", result_error}, {"status", result_status},
    {"headers", result_headers}, {"header", result_header},
    {"header_map", result_header_map},
    {"body", result_body}, {"size", result_size}, {"json", result_json},
    {"attempts", result_attempts}, {"elapsed", result_elapsed},
    {"url", result_url}, {"file", result_file}, {"next", result_next},
    {"facts", result_facts}, {"id", result_id},
    {"state", result_state}, {"request", result_request},
    {"close", result_close}, {NULL, NULL},
  };
  static const luaL_Reg meta[] = {
    {"__gc", result_close}, {"__close", result_close},
    {"__tostring", result_tostring}, {NULL, NULL},
  };
  gn_lua_type(L, GN_LUA_RESULT, methods, meta);
}
