/* Owns: reading a request table into a core request that the collector frees if
 * anything raises on the way.
 * Must not: give a request meaning; the Lua files above do.
 */
#include "../core/url.h"
#include "util.h"

#include <math.h>
#include <string.h>

static int request_gc(lua_State *L) {
  struct gn_lua_request *box = gn_lua_check(L, 1, GN_LUA_REQUEST);
  gn_request_free(box->request);
  box->request = NULL;
  return 0;
}

static void refuse(lua_State *L, const struct gn_error *err) {
  if (err->kind == GN_MEMORY)
    gn_lua_no_memory(L);
  luaL_error(L, "%s", err->message);
}

static void read_headers(lua_State *L, int table, struct gn_request *r) {
  struct gn_error err;
  int i, n;
  if (!gn_lua_table(L, table, "headers"))
    return;
  n = (int)lua_rawlen(L, -1);
  for (i = 1; i <= n; i++) {
    const char *name, *value;
    size_t name_len, value_len;
    lua_rawgeti(L, -1, i);
    if (!lua_istable(L, -1))
      luaL_error(L, "option 'headers': a list of { name, value } expected");
    lua_rawgeti(L, -1, 1);
    lua_rawgeti(L, -2, 2);
    name = lua_tolstring(L, -2, &name_len);
    value = lua_tolstring(L, -1, &value_len);
    if (!name || !value)
      luaL_error(L, "option 'headers': a header's name and value are text");
    if (gn_request_add_header(r, name, name_len, value, value_len, &err) != 0)
      refuse(L, &err);
    lua_pop(L, 3);
  }
  lua_pop(L, 1);
}

static void read_body(lua_State *L, int table, struct gn_request *r) {
  struct gn_error err;
  size_t len;
  const char *text = gn_lua_text(L, table, "body", &len);
  if (text && gn_request_set_body(r, text, len, &err) != 0)
    refuse(L, &err);
}

static void read_file(lua_State *L, int table, struct gn_request *r) {
  struct gn_error err;
  const char *text = gn_lua_text(L, table, "file", NULL);
  if (text && gn_request_set_file(r, text, &err) != 0)
    refuse(L, &err);
}

static void read_scope(lua_State *L, int table, struct gn_request *r) {
  struct gn_error err;
  const char *text = gn_lua_text(L, table, "scope", NULL);
  if (text && gn_request_set_scope(r, text, &err) != 0)
    refuse(L, &err);
}

static void read_rows(lua_State *L, int table, struct gn_request *r) {
  struct gn_error err;
  const char *text = gn_lua_text(L, table, "rows", NULL);
  if (text && gn_request_set_rows(r, text, &err) != 0)
    refuse(L, &err);
}

static void read_safe(lua_State *L, int table, struct gn_request *r) {
  r->safe = gn_lua_flag(L, table, "safe", r->safe);
}

static void read_download(lua_State *L, int table, struct gn_request *r) {
  r->download = gn_lua_flag(L, table, "download", false);
}

static void read_server_url(lua_State *L, int table, struct gn_request *r) {
  r->server_url = gn_lua_flag(L, table, "server_url", false);
}

static void read_redirects(lua_State *L, int table, struct gn_request *r) {
  r->redirects = gn_lua_count(L, table, "redirects", r->redirects);
}

static void read_timeout(lua_State *L, int table, struct gn_request *r) {
  r->timeout_ms = (int64_t)ceil(gn_lua_number(L, table, "timeout", 0) * 1000);
}

static void read_attempts(lua_State *L, int table, struct gn_request *r) {
  r->attempts = (unsigned)gn_lua_count(L, table, "attempts", 0);
}

static void read_max_body(lua_State *L, int table, struct gn_request *r) {
  r->max_body = (size_t)gn_lua_number(L, table, "max_body", 0);
}

static void read_resume(lua_State *L, int table, struct gn_request *r) {
  r->resume = gn_lua_flag(L, table, "resume", false);
}

static void read_progress(lua_State *L, int table, struct gn_request *r) {
  r->progress = gn_lua_flag(L, table, "progress", false);
}

/* True: it is wanted; text: it must be this one. */
static void read_sha256(lua_State *L, int table, struct gn_request *r) {
  const char *text;
  lua_getfield(L, table, "sha256");
  r->sha256 = lua_toboolean(L, -1);
  text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
  if (strlen(text) >= sizeof r->sha256_hex)
    luaL_error(L, "option 'sha256': 64 hexadecimal digits expected");
  memcpy(r->sha256_hex, text, strlen(text) + 1);
  lua_pop(L, 1);
}

static const struct {
  const char *name;                                   /* of the field */
  void (*read)(lua_State *, int, struct gn_request *); /* reads it */
} fields[] = {
  {"headers", read_headers}, {"body", read_body}, {"file", read_file},
  {"scope", read_scope},
  {"safe", read_safe},
  {"download", read_download}, {"server_url", read_server_url},
  {"redirects", read_redirects}, {"timeout", read_timeout},
  {"attempts", read_attempts}, {"max_body", read_max_body},
  {"resume", read_resume}, {"progress", read_progress},
  {"sha256", read_sha256}, {"rows", read_rows},
};

/* Most requests have two or three of the fields: one walk over the table finds
 * them, where asking for each by name would cost more than the rest. */
static void read_fields(lua_State *L, int table, struct gn_request *r) {
  size_t i;
  bool redirects_given = false;
  lua_pushnil(L);
  while (lua_next(L, table)) {
    const char *name = NULL;
    lua_pop(L, 1);
    if (lua_type(L, -1) == LUA_TSTRING)
      name = lua_tostring(L, -1);
    for (i = 0; name && i < sizeof fields / sizeof fields[0]; i++)
      if (*name == *fields[i].name && strcmp(name, fields[i].name) == 0) {
        fields[i].read(L, table, r);
        redirects_given = redirects_given || fields[i].read == read_redirects;
      }
  }
  if (gn_lua_flag(L, table, "creates", false))
    r->safe = false;
  if (!r->safe && !redirects_given)
    r->redirects = 0;
}

static void check_method(lua_State *L, const char *method) {
  size_t len = strlen(method);
  if (len == 0 || len > 32 ||
      strspn(method, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != len)
    luaL_error(L, "option 'method': capital letters expected");
}

static struct gn_lua_request *check(lua_State *L, int arg) {
  struct gn_lua_request *box = gn_lua_check(L, arg, GN_LUA_REQUEST);
  luaL_argcheck(L, box->request != NULL, arg, "the request is gone");
  return box;
}

struct gn_lua_request *gn_lua_request(lua_State *L, int arg,
                                      const struct gn_policy *p) {
  struct gn_lua_request *box;
  struct gn_error err;
  struct gn_origin origin;
  const char *method, *url;
  if (lua_isuserdata(L, arg))
    return check(L, arg);
  luaL_checktype(L, arg, LUA_TTABLE);
  box = gn_lua_object(L, sizeof *box, GN_LUA_REQUEST);
  method = gn_lua_text(L, arg, "method", NULL);
  url = gn_lua_text(L, arg, "url", NULL);
  if (!url)
    luaL_error(L, "option 'url' is missing");
  method = method ? method : "GET";
  check_method(L, method);
  if (!gn_policy_at_base(p, url) && gn_url_origin(url, &origin, &err) != 0)
    refuse(L, &err);
  box->request = gn_request_new(method, url, &err);
  if (!box->request)
    refuse(L, &err);
  read_fields(L, arg, box->request);
  return box;
}

struct gn_request *gn_lua_request_take(struct gn_lua_request *box) {
  struct gn_request *r = box->request;
  if (box->kept)
    return gn_request_ref(r);
  box->request = NULL;
  return r;
}

int gn_lua_request_new(lua_State *L) {
  const struct gn_policy *p = gn_lua_client(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  gn_lua_request(L, 2, p)->kept = true;
  return 1;
}

/* What it asks for, as a table, for those who show it. */
static int request_describe(lua_State *L) {
  const struct gn_request *r = check(L, 1)->request;
  gn_lua_push_request(L, r, r->download || r->server_url);
  return 1;
}

void gn_lua_request_open(lua_State *L) {
  static const luaL_Reg methods[] = {
    {"describe", request_describe}, {NULL, NULL},
  };
  static const luaL_Reg meta[] = {{"__gc", request_gc}, {NULL, NULL}};
  gn_lua_type(L, GN_LUA_REQUEST, methods, meta);
}
