/* Owns: what is sent to a token endpoint and what its answers mean. Must not:
 * keep a token; the credential does.
 */
#include "oauth.h"

#include "alloc.h"
#include "json.h"
#include "jwt.h"
#include "url.h"

#include <stdlib.h>
#include <string.h>

#define ASSERTION_SECONDS 3600
/* A clock that is ahead of the server's must not sign for the future. */
#define CLOCK_SKEW 10
#define LONGEST_LIFETIME 1e9

static void wipe_free(char *text) {
  if (text)
    gn_wipe(text, strlen(text));
  gn_free(text);
}

struct field {
  const char *name;  /* as the form says it */
  const char *value; /* NULL: left out */
};

/* One allocation of the whole size, so that nothing stays in freed memory. */
static char *form(const struct field *fields, size_t count, size_t *len,
                  struct gn_error *err) {
  char *values[6] = {NULL}, *out = NULL;
  size_t i, size = 1;
  for (i = 0; i < count; i++) {
    if (!fields[i].value)
      continue;
    if (gn_url_escape(fields[i].value, strlen(fields[i].value), &values[i],
                      err) != 0)
      goto fail;
    size += strlen(fields[i].name) + strlen(values[i]) + 2;
  }
  out = gn_alloc_zero(size);
  if (!out) {
    gn_error_memory(err);
    goto fail;
  }
  for (i = 0; i < count; i++) {
    if (!values[i])
      continue;
    strcat(out, *out ? "&" : "");
    strcat(out, fields[i].name);
    strcat(out, "=");
    strcat(out, values[i]);
  }
  *len = strlen(out);
fail:
  for (i = 0; i < count; i++)
    wipe_free(values[i]);
  return out;
}

static char *assertion_form(struct gn_oauth *o, const char *scope,
                            double wall, size_t *len, struct gn_error *err) {
  struct gn_jwt_claims claims = {0};
  struct field fields[] = {
    {"grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"},
    {"assertion", NULL},
  };
  char *jwt, *out;
  claims.issuer = o->issuer;
  claims.subject = o->subject;
  claims.audience = o->audience;
  claims.scope = *scope ? scope : NULL;
  claims.issued_at = (int64_t)wall - CLOCK_SKEW;
  claims.expires_at = claims.issued_at + ASSERTION_SECONDS;
  jwt = gn_jwt_sign(o->key, o->key_id, &claims, err);
  if (!jwt)
    return NULL;
  fields[1].value = jwt;
  out = form(fields, 2, len, err);
  gn_oauth_remember(o, jwt);
  return out;
}

static char *refresh_form(struct gn_oauth *o, const char *scope, size_t *len,
                          struct gn_error *err) {
  struct field fields[] = {
    {"grant_type", "refresh_token"}, {"client_id", o->client_id},
    {"client_secret", o->client_secret}, {"refresh_token", NULL},
    {"scope", *scope ? scope : NULL},
  };
  char *token, *out;
  pthread_mutex_lock(&o->lock);
  token = gn_strdup(o->refresh_token);
  pthread_mutex_unlock(&o->lock);
  if (!token) {
    gn_error_memory(err);
    return NULL;
  }
  fields[3].value = token;
  out = form(fields, 5, len, err);
  wipe_free(token);
  return out;
}

char *gn_grant_body(struct gn_oauth *o, const char *scope, double wall,
                    size_t *len, struct gn_error *err) {
  char *body;
  if (o->grant == GN_GRANT_ASSERTION)
    return assertion_form(o, scope, wall, len, err);
  if (o->grant == GN_GRANT_REFRESH)
    return refresh_form(o, scope, len, err);
  body = gn_strdup(o->body);
  if (body)
    *len = strlen(body);
  else
    gn_error_memory(err);
  return body;
}

/* Seconds, as a number or as text; 0 for anything else. */
static double seconds_of(const struct gn_json_slice *s) {
  char text[40];
  size_t len = s->len;
  const char *from = s->text;
  char *end;
  double value;
  if (s->type == GN_JSON_STRING)
    from++, len -= 2;
  else if (s->type != GN_JSON_NUMBER)
    return 0;
  if (len == 0 || len >= sizeof text)
    return 0;
  memcpy(text, from, len);
  text[len] = '\0';
  value = strtod(text, &end);
  return *end == '\0' && value > 0 && value < 1e12 ? value : 0;
}

/* Where the clocks differ so much that a fresh token has ended already, its end
 * says nothing: asking again at once would go on for ever. */
static double lifetime_of(const struct gn_json_slice *in,
                          const struct gn_json_slice *at, double wall) {
  double lifetime = seconds_of(in);
  if (lifetime <= 0 && seconds_of(at) > 0)
    lifetime = seconds_of(at) - wall;
  return lifetime > 0 && lifetime < LONGEST_LIFETIME ? lifetime : 0;
}

static int read_text(const struct gn_json_slice *s, char **out,
                     struct gn_error *err) {
  size_t len;
  *out = NULL;
  if (s->type != GN_JSON_STRING || s->len <= 2)
    return 0;
  if (gn_json_string(s, out, &len, err) != 0)
    return -1;
  if (strlen(*out) == len && gn_header_value_ok(*out, len))
    return 0;
  wipe_free(*out);
  *out = NULL;
  return gn_error_set(err, GN_PROTOCOL, "token",
                      "the token endpoint's answer has a token with a control "
                      "character in it");
}

int gn_grant_read(const char *body, size_t len, double wall,
                  struct gn_grant_reply *out, struct gn_error *err) {
  static const char *const paths[] = {
    "access_token", "refresh_token", "expires_in", "expires_at", "token_type",
  };
  struct gn_json_slice s[5];
  memset(out, 0, sizeof *out);
  if (gn_json_pick(body, len, paths, 5, s, NULL) != 0)
    return gn_error_set(err, GN_PROTOCOL, "json",
                        "the token endpoint's answer is not JSON");
  if (read_text(&s[0], &out->access_token, err) != 0 ||
      read_text(&s[1], &out->refresh_token, err) != 0) {
    gn_grant_reply_wipe(out);
    return -1;
  }
  if (!out->access_token) {
    gn_grant_reply_wipe(out);
    return gn_error_set(err, GN_PROTOCOL, "token",
                        "the token endpoint's answer has no access_token");
  }
  out->lifetime = lifetime_of(&s[2], &s[3], wall);
  return 0;
}

void gn_grant_reply_wipe(struct gn_grant_reply *r) {
  wipe_free(r->access_token);
  wipe_free(r->refresh_token);
  r->access_token = r->refresh_token = NULL;
}

static bool repeats_secret(struct gn_oauth *o, const char *text) {
  bool found = false;
  size_t i;
  for (i = 0; i < GN_OAUTH_SECRETS && !found; i++) {
    char *secret = gn_oauth_secret(o, i);
    found = secret && *secret && strstr(text, secret);
    wipe_free(secret);
  }
  return found;
}

/* Nothing at all of a text that repeats a secret; and none that would be cut
 * where the core does not know each secret of its own (a login's). */
static void read_word(struct gn_oauth *o, const struct gn_json_slice *s,
                      char *out, size_t cap) {
  char *text = NULL;
  size_t len, i;
  *out = '\0';
  if (s->type != GN_JSON_STRING || gn_json_string(s, &text, &len, NULL) != 0)
    return;
  if (!repeats_secret(o, text) && (len < cap || o->grant != GN_GRANT_LOGIN)) {
    for (i = 0; i < len && i + 1 < cap; i++)
      out[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? ' ' : text[i];
    out[i] = '\0';
  }
  wipe_free(text);
}

void gn_grant_read_error(struct gn_oauth *o, const char *body, size_t len,
                         char *code, size_t code_cap, char *text,
                         size_t text_cap) {
  static const char *const paths[] = {"error", "error_description", "message"};
  struct gn_json_slice s[3];
  *code = *text = '\0';
  if (gn_json_pick(body, len, paths, 3, s, NULL) != 0)
    return;
  read_word(o, &s[0], code, code_cap);
  read_word(o, s[1].type == GN_JSON_STRING ? &s[1] : &s[2], text, text_cap);
  /* A code has no spaces; what has is a text that stands in its place. */
  if (strpbrk(code, " \t")) {
    if (!*text)
      read_word(o, &s[0], text, text_cap);
    *code = '\0';
  }
}

bool gn_grant_is_transient(const char *code) {
  return strcmp(code, "internal_failure") == 0 ||
         strcmp(code, "server_error") == 0 ||
         strcmp(code, "temporarily_unavailable") == 0;
}
