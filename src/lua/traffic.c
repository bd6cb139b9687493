/* Owns: requests and attempts as Lua tables, and reading what a waiter brings
 * as the answer to one.
 * Must not: hide secrets; the Lua files above do before anything is shown.
 */
#include "../core/alloc.h"
#include "../core/engine.h"
#include "../core/url.h"
#include "util.h"

#include <stdio.h>
#include <string.h>

static void set_text(lua_State *L, const char *name, const char *text) {
  lua_pushstring(L, text);
  lua_setfield(L, -2, name);
}

static void set_bytes(lua_State *L, const char *name, const char *data,
                      size_t len) {
  if (!data)
    return;
  lua_pushlstring(L, data, len);
  lua_setfield(L, -2, name);
}

static void set_number(lua_State *L, const char *name, double value) {
  lua_pushnumber(L, (lua_Number)value);
  lua_setfield(L, -2, name);
}

static void set_flag(lua_State *L, const char *name, bool value) {
  lua_pushboolean(L, value);
  lua_setfield(L, -2, name);
}

static void push_pair(lua_State *L, int n, const char *name, size_t name_len,
                      const char *value, size_t value_len) {
  lua_createtable(L, 2, 0);
  lua_pushlstring(L, name, name_len);
  lua_rawseti(L, -2, 1);
  lua_pushlstring(L, value, value_len);
  lua_rawseti(L, -2, 2);
  lua_rawseti(L, -2, n);
}

/* "Name: value", or "Name;" for a header that is sent empty. */
static void push_lines(lua_State *L, char *const *lines, size_t count) {
  size_t i;
  lua_createtable(L, (int)count, 0);
  for (i = 0; i < count; i++) {
    size_t len = strcspn(lines[i], ":;");
    const char *value = lines[i] + len + strspn(lines[i] + len, ":; ");
    push_pair(L, (int)i + 1, lines[i], len, value, strlen(value));
  }
}

static void push_block(lua_State *L, const struct gn_buf *block) {
  const char *name, *value;
  size_t pos = 0, name_len, value_len;
  int n = 0;
  lua_newtable(L);
  while (gn_headers_next(block, &pos, &name, &name_len, &value, &value_len))
    push_pair(L, ++n, name, name_len, value, value_len);
}

static void push_shown_url(lua_State *L, const char *url, bool server_url) {
  char shown[2048];
  gn_url_redact(url, server_url, shown, sizeof shown);
  lua_pushstring(L, shown);
  lua_setfield(L, -2, "url");
}

static void push_response(lua_State *L, const struct gn_traffic *t) {
  lua_pushinteger(L, (lua_Integer)t->status);
  lua_setfield(L, -2, "status");
  lua_pushinteger(L, (lua_Integer)t->curl_code);
  lua_setfield(L, -2, "curl_code");
  set_number(L, "elapsed", t->elapsed);
  if (*t->text)
    set_text(L, "text", t->text);
  push_block(L, &t->headers);
  lua_setfield(L, -2, "response_headers");
  set_bytes(L, "response_body", t->response.data, t->response.len);
  set_flag(L, "raw", t->raw);
  if (t->cut)
    set_flag(L, "cut", true);
}

void gn_lua_push_traffic(lua_State *L, const struct gn_traffic *t) {
  gn_lua_reserve(L, 8);
  lua_createtable(L, 0, 16);
  set_text(L, "method", t->method);
  lua_pushinteger(L, (lua_Integer)t->attempt);
  lua_setfield(L, -2, "attempt");
  push_lines(L, t->lines, t->line_count);
  lua_setfield(L, -2, "headers");
  set_flag(L, "server_url", t->server_url);
  if (t->answered)
    push_response(L, t);
  if (t->name) {
    set_text(L, "event", t->name);
    push_shown_url(L, t->url, t->server_url);
    set_number(L, "waited", t->waited);
    if (*t->code)
      set_text(L, "code", t->code);
    return;
  }
  set_number(L, "serial", (double)t->serial);
  set_text(L, "url", t->url);
  set_bytes(L, "body", t->body, t->body_len);
  set_flag(L, "safe", t->safe);
}

void gn_lua_push_request(lua_State *L, const struct gn_request *r,
                         bool server_url) {
  gn_lua_reserve(L, 8);
  lua_createtable(L, 0, 8);
  set_text(L, "method", r->method);
  push_shown_url(L, r->url, server_url);
  push_lines(L, r->headers, r->header_count);
  lua_setfield(L, -2, "headers");
  set_bytes(L, "body", r->body, r->body_len);
  set_flag(L, "server_url", server_url);
  set_flag(L, "download", r->download);
  if (r->file)
    set_text(L, "file", r->file);
}

/* Supplies ----------------------------------------------------------------- */

static void copy_text(lua_State *L, const char *name, char *out, size_t cap) {
  const char *text = gn_lua_text(L, 2, name, NULL);
  snprintf(out, cap, "%s", text ? text : "");
}

/* What may raise is read before anything is allocated. */
struct answer {
  struct gn_error error;   /* the end instead of a response */
  char text[256];          /* why, for people */
  int curl_code;           /* what libcurl would say */
  long status;             /* of the response */
  const char *headers;     /* its header lines */
  size_t headers_len;      /* their bytes */
  const char *body;        /* its body */
  size_t body_len;         /* its bytes */
};

static enum gn_kind read_kind(lua_State *L) {
  const char *name = gn_lua_text(L, 2, "kind", NULL);
  int kind;
  if (!name)
    return GN_OK;
  for (kind = GN_OK + 1; kind < GN_KIND_COUNT; kind++)
    if (strcmp(name, gn_kind_name((enum gn_kind)kind)) == 0)
      return (enum gn_kind)kind;
  return GN_PROTOCOL;
}

static void read_answer(lua_State *L, struct answer *a) {
  memset(a, 0, sizeof *a);
  a->error.kind = read_kind(L);
  copy_text(L, "code", a->error.code, sizeof a->error.code);
  copy_text(L, "message", a->error.message, sizeof a->error.message);
  copy_text(L, "text", a->text, sizeof a->text);
  a->curl_code = gn_lua_count(L, 2, "curl_code", 0);
  a->status = gn_lua_count(L, 2, "status", 0);
  a->headers = gn_lua_text(L, 2, "headers", &a->headers_len);
  a->body = gn_lua_text(L, 2, "body", &a->body_len);
}

int gn_lua_engine_supply(lua_State *L) {
  struct gn_engine *e = gn_lua_engine(L, 1);
  struct gn_supply *s;
  struct answer a;
  double serial;
  lua_settop(L, 3);
  serial = luaL_checknumber(L, 2);
  luaL_checktype(L, 3, LUA_TTABLE);
  lua_remove(L, 2); /* the table is the second now */
  read_answer(L, &a);
  s = gn_supply_new(serial > 0 ? (uint64_t)serial : 0);
  if (!s)
    return gn_lua_no_memory(L);
  s->error = a.error;
  s->curl_code = a.curl_code;
  s->status = a.status;
  memcpy(s->text, a.text, sizeof s->text);
  if ((a.headers_len &&
       gn_buf_append(&s->headers, a.headers, a.headers_len) != GN_BUF_OK) ||
      (a.body_len &&
       gn_buf_append(&s->body, a.body, a.body_len) != GN_BUF_OK)) {
    gn_supply_free(s);
    return gn_lua_no_memory(L);
  }
  gn_engine_supply(e, s);
  return 0;
}
