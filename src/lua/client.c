/* Owns: a client's settings as a Lua object: reads the option table, keeps the
 * core's policy alive.
 * Must not: show a secret, or keep Lua text after the policy has its copy.
 */
#include "../core/alloc.h"
#include "../core/policy.h"
#include "util.h"

#include <string.h>

struct gn_policy *gn_lua_client(lua_State *L, int arg) {
  struct gn_policy **p = gn_lua_check(L, arg, GN_LUA_CLIENT);
  luaL_argcheck(L, *p != NULL, arg, "the client was closed");
  gn_policy_enter(*p);
  return *p;
}

static enum gn_auth_scheme read_scheme(lua_State *L, int table) {
  const char *name = gn_lua_text(L, table, "scheme", NULL);
  if (name && strcmp(name, "bearer") == 0)
    return GN_AUTH_BEARER;
  if (name && strcmp(name, "header") == 0)
    return GN_AUTH_HEADER;
  if (name && strcmp(name, "basic") == 0)
    return GN_AUTH_BASIC;
  luaL_error(L, "option 'auth': scheme is bearer, header or basic");
  return GN_AUTH_NONE;
}

static enum gn_grant read_grant(lua_State *L, int table) {
  const char *name = gn_lua_text(L, table, "grant", NULL);
  if (name && strcmp(name, "assertion") == 0)
    return GN_GRANT_ASSERTION;
  if (name && strcmp(name, "refresh") == 0)
    return GN_GRANT_REFRESH;
  if (name && strcmp(name, "login") == 0)
    return GN_GRANT_LOGIN;
  luaL_error(L, "option 'oauth': grant is assertion, refresh or login");
  return GN_GRANT_LOGIN;
}

/* The auth table anchors this one, and with it the text. */
static void read_oauth(lua_State *L, int auth, struct gn_oauth_options *o) {
  int t;
  if (!gn_lua_table(L, auth, "oauth"))
    return;
  t = lua_gettop(L);
  o->grant = read_grant(L, t);
  o->token_url = gn_lua_text(L, t, "token_url", NULL);
  o->url_from_key = gn_lua_flag(L, t, "url_from_key", false);
  o->scopes = gn_lua_text(L, t, "scopes", NULL);
  o->private_key = gn_lua_text(L, t, "private_key", &o->private_key_len);
  o->key_id = gn_lua_text(L, t, "key_id", NULL);
  o->issuer = gn_lua_text(L, t, "issuer", NULL);
  o->subject = gn_lua_text(L, t, "subject", NULL);
  o->audience = gn_lua_text(L, t, "audience", NULL);
  o->client_id = gn_lua_text(L, t, "client_id", NULL);
  o->client_secret = gn_lua_text(L, t, "client_secret", NULL);
  o->refresh_token = gn_lua_text(L, t, "refresh_token", NULL);
  o->rotates = gn_lua_flag(L, t, "rotates", false);
  o->body = gn_lua_text(L, t, "body", NULL);
  lua_pop(L, 1);
}

/* Leaves the auth table on the stack, so that its text stays anchored. */
static void read_auth(lua_State *L, int table, struct gn_policy_options *o,
                      struct gn_oauth_options *oauth) {
  int auth;
  if (!gn_lua_table(L, table, "auth")) {
    lua_pushnil(L);
    return;
  }
  auth = lua_gettop(L);
  o->scheme = read_scheme(L, auth);
  o->auth_header = gn_lua_text(L, auth, "header", NULL);
  o->token = gn_lua_text(L, auth, "token", &o->token_len);
  o->user = gn_lua_text(L, auth, "user", NULL);
  o->password = gn_lua_text(L, auth, "password", NULL);
  read_oauth(L, auth, oauth);
  o->oauth = oauth->token_url ? oauth : NULL;
}

static const char *header_line(lua_State *L) {
  size_t name_len, value_len;
  const char *name, *value;
  if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
    luaL_error(L, "option 'headers': text names and values expected");
  name = lua_tolstring(L, -2, &name_len);
  value = lua_tolstring(L, -1, &value_len);
  if (!gn_header_name_ok(name, name_len))
    luaL_error(L, "option 'headers': '%s' is not a header name", name);
  if (!gn_header_value_ok(value, value_len))
    luaL_error(L, "option 'headers': the value of '%s' holds a control "
               "character", name);
  return lua_pushfstring(L, value_len ? "%s: %s" : "%s;", name, value);
}

/* Leaves a table of lines and the array on the stack. */
static void read_client_headers(lua_State *L, int table,
                                struct gn_policy_options *o) {
  const char **lines;
  int n = 0, anchors;
  lua_newtable(L);
  anchors = lua_gettop(L);
  if (!gn_lua_table(L, table, "headers"))
    return;
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    header_line(L);
    lua_rawseti(L, anchors, ++n);
    lua_pop(L, 1);
  }
  lines = lua_newuserdata(L, (size_t)(n + 1) * sizeof *lines);
  o->headers = lines;
  for (; o->header_count < (size_t)n; o->header_count++) {
    lua_rawgeti(L, anchors, (int)o->header_count + 1);
    lines[o->header_count] = lua_tostring(L, -1);
    lua_pop(L, 1);
  }
}

static void read_origins(lua_State *L, int table,
                         struct gn_policy_options *o) {
  const char **list;
  size_t i, n;
  int origins;
  if (!gn_lua_table(L, table, "origins"))
    return;
  origins = lua_gettop(L);
  n = lua_rawlen(L, origins);
  list = lua_newuserdata(L, (n + 1) * sizeof *list);
  for (i = 0; i < n; i++) {
    lua_rawgeti(L, origins, (int)i + 1);
    list[i] = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
    if (!list[i])
      luaL_error(L, "option 'origins': a list of URLs expected");
    lua_pop(L, 1);
  }
  o->origins = list;
  o->origin_count = n;
}

static void read_proxy(lua_State *L, int table, struct gn_policy_options *o) {
  lua_pushliteral(L, "proxy");
  lua_rawget(L, table);
  o->proxy_env = lua_isnil(L, -1);
  if (lua_type(L, -1) == LUA_TSTRING) {
    o->proxy_env = strcmp(lua_tostring(L, -1), "env") == 0;
    o->proxy = o->proxy_env ? NULL : lua_tostring(L, -1);
  } else if (!lua_isnil(L, -1) &&
             !(lua_isboolean(L, -1) && !lua_toboolean(L, -1))) {
    luaL_error(L, "option 'proxy': \"env\", a URL or false expected");
  }
  lua_pop(L, 1);
}

static int read_version(lua_State *L, int table) {
  const char *version = gn_lua_text(L, table, "http_version", NULL);
  if (!version)
    return 0;
  if (strcmp(version, "1.1") == 0)
    return 1;
  if (strcmp(version, "2") == 0)
    return 2;
  return luaL_error(L, "option 'http_version': \"1.1\" or \"2\" expected");
}

static void read_numbers(lua_State *L, int t, struct gn_policy_options *o) {
  o->connect_timeout = gn_lua_number(L, t, "connect_timeout", 0);
  o->timeout = gn_lua_number(L, t, "timeout", 0);
  o->stall_timeout = gn_lua_number(L, t, "stall_timeout", 0);
  o->attempts = gn_lua_count(L, t, "attempts", 0);
  o->backoff = gn_lua_number(L, t, "backoff", 0);
  o->backoff_throttled = gn_lua_number(L, t, "backoff_throttled", 0);
  o->backoff_cap = gn_lua_number(L, t, "backoff_cap", 0);
  o->max_wait = gn_lua_number(L, t, "max_wait", 0);
  o->max_body = gn_lua_number(L, t, "max_body", 0);
  o->max_headers = gn_lua_number(L, t, "max_headers", 0);
  o->rate = gn_lua_number(L, t, "rate", 0);
  o->burst = gn_lua_number(L, t, "burst", 1);
  o->http_version = read_version(L, t);
  o->allow_http = gn_lua_flag(L, t, "allow_http", false);
  o->allow_private = gn_lua_flag(L, t, "allow_private", false);
  o->insecure_tls = gn_lua_flag(L, t, "insecure_tls", false);
  o->transport = gn_lua_flag(L, t, "transport", false);
  o->record = gn_lua_flag(L, t, "record", false);
  o->log = gn_lua_count(L, t, "log", 0);
}

static enum gn_quota_reset read_reset_kind(lua_State *L, int table) {
  const char *kind = gn_lua_text(L, table, "reset_kind", NULL);
  if (!kind)
    return GN_QUOTA_GUESS;
  if (strcmp(kind, "seconds") == 0)
    return GN_QUOTA_SECONDS;
  if (strcmp(kind, "epoch") != 0)
    luaL_error(L, "option 'rate_headers': reset_kind is seconds or epoch");
  return GN_QUOTA_EPOCH;
}

static struct gn_rate *read_limiter(lua_State *L, int table) {
  struct gn_rate *limiter;
  lua_pushliteral(L, "limiter");
  lua_rawget(L, table);
  limiter = lua_isnil(L, -1) ? NULL : gn_lua_limiter(L, -1);
  lua_pop(L, 1);
  return limiter;
}

/* The core copies; until then the option table keeps the names. */
static void read_quota(lua_State *L, int table, struct gn_policy_options *o) {
  int rules;
  lua_pushliteral(L, "rate_headers");
  lua_rawget(L, table);
  rules = lua_gettop(L);
  if (lua_istable(L, rules)) {
    o->quota.remaining = (char *)gn_lua_text(L, rules, "remaining", NULL);
    o->quota.used = (char *)gn_lua_text(L, rules, "used", NULL);
    o->quota.limit = (char *)gn_lua_text(L, rules, "limit", NULL);
    o->quota.reset = (char *)gn_lua_text(L, rules, "reset", NULL);
    o->quota.reset_kind = read_reset_kind(L, rules);
  } else {
    o->quota.off = lua_isboolean(L, rules) && !lua_toboolean(L, rules);
    if (!o->quota.off && !lua_isnil(L, rules))
      luaL_error(L, "option 'rate_headers': a table or false expected");
  }
  lua_pop(L, 1);
}

static int client_new(lua_State *L) {
  struct gn_policy_options o;
  struct gn_oauth_options oauth = {0};
  struct gn_policy **p;
  struct gn_error err;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  gn_lua_reserve(L, 20);
  memset(&o, 0, sizeof o);
  p = gn_lua_object(L, sizeof *p, GN_LUA_CLIENT);
  o.base_url = gn_lua_text(L, 1, "base_url", NULL);
  if (!o.base_url)
    return luaL_error(L, "option 'base_url' is missing");
  o.ca_file = gn_lua_text(L, 1, "ca_file", NULL);
  o.user_agent = gn_lua_text(L, 1, "user_agent", NULL);
  read_proxy(L, 1, &o);
  read_numbers(L, 1, &o);
  read_quota(L, 1, &o);
  o.limiter = read_limiter(L, 1);
  read_auth(L, 1, &o, &oauth);
  read_client_headers(L, 1, &o);
  read_origins(L, 1, &o);
  *p = gn_policy_new(&o, &err);
  if (!*p)
    return gn_lua_refuse(L, &err);
  lua_pushvalue(L, 2);
  return 1;
}

static int client_set_token(lua_State *L) {
  struct gn_policy *p = gn_lua_client(L, 1);
  struct gn_error err;
  size_t len;
  const char *token = luaL_checklstring(L, 2, &len);
  if (p->oauth) {
    if (gn_oauth_set_refresh_token(p->oauth, token, &err) != 0)
      return gn_lua_fail(L, &err);
  } else if (gn_auth_set_token(&p->auth, token, len, &err) != 0)
    return gn_lua_fail(L, &err);
  lua_pushboolean(L, 1);
  return 1;
}

/* The texts to hide that the core knows: tokens, what got them. */
static int client_secrets(lua_State *L) {
  struct gn_policy *p = gn_lua_client(L, 1);
  char **box = gn_lua_object(L, sizeof *box, GN_LUA_TEXT);
  size_t i;
  int n = 0;
  lua_newtable(L);
  for (i = 0; p->oauth && i < GN_OAUTH_SECRETS; i++) {
    *box = gn_oauth_secret(p->oauth, i);
    if (!*box)
      continue;
    lua_pushstring(L, *box);
    gn_wipe(*box, strlen(*box));
    gn_free(*box);
    *box = NULL;
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

/* The oldest refresh token that nobody was told of; it stays until token_told,
 * so that an error on the way loses nothing. */
static int client_token_news(lua_State *L) {
  struct gn_policy *p = gn_lua_client(L, 1);
  const struct gn_oauth_news *news = p->oauth ? gn_oauth_news(p->oauth) : NULL;
  if (!news)
    return 0;
  lua_createtable(L, 0, 3);
  lua_pushstring(L, news->refresh_token);
  lua_setfield(L, -2, "refresh_token");
  lua_pushstring(L, news->access_token);
  lua_setfield(L, -2, "access_token");
  if (news->expires_at > 0) {
    lua_pushnumber(L, (lua_Number)news->expires_at);
    lua_setfield(L, -2, "expires_at");
  }
  return 1;
}

static int client_token_told(lua_State *L) {
  struct gn_policy *p = gn_lua_client(L, 1);
  if (p->oauth)
    gn_oauth_drop_news(p->oauth);
  return 0;
}

static int client_origin(lua_State *L) {
  const struct gn_origin *o = &gn_lua_client(L, 1)->origin;
  lua_pushfstring(L, "%s://%s:%d", o->scheme, o->host, (int)o->port);
  return 1;
}

static int client_close(lua_State *L) {
  struct gn_policy **box = gn_lua_check(L, 1, GN_LUA_CLIENT);
  struct gn_policy *p = *box;
  *box = NULL;
  if (p)
    gn_policy_enter(p);
  gn_policy_unref(p);
  return 0;
}

static int client_tostring(lua_State *L) {
  struct gn_policy **p = gn_lua_check(L, 1, GN_LUA_CLIENT);
  if (*p)
    lua_pushfstring(L, "garner.core.client (%s://%s)", (*p)->origin.scheme,
                    (*p)->origin.host);
  else
    lua_pushliteral(L, "garner.core.client (closed)");
  return 1;
}

void gn_lua_client_open(lua_State *L) {
  static const luaL_Reg methods[] = {
    {"set_token", client_set_token}, {"origin", client_origin},
    {"secrets", client_secrets}, {"token_news", client_token_news},
    {"token_told", client_token_told},
    {"url_build", gn_lua_client_url_build},
    {"request_new", gn_lua_request_new}, {"close", client_close},
    {NULL, NULL},
  };
  static const luaL_Reg meta[] = {
    {"__gc", client_close}, {"__close", client_close},
    {"__tostring", client_tostring}, {NULL, NULL},
  };
  gn_lua_type(L, GN_LUA_CLIENT, methods, meta);
  lua_pushcfunction(L, client_new);
  lua_setfield(L, -2, "client_new");
}
