/* Owns: making a credential, its tokens, its list of texts to hide and its
 * news. Must not: know how an answer of a token endpoint looks.
 */
#include "oauth.h"

#include "alloc.h"
#include "clock.h"
#include "jwt.h"
#include "policy.h"

#include <stdio.h>
#include <string.h>

#define MOST_TOKENS 32
#define TOKEN_REPLY_MAX (1024.0 * 1024)
/* A token is refreshed so long before it ends; one that lives briefly, when a
 * quarter of its time is left. */
#define REFRESH_AHEAD 225.0
#define REFRESH_FRACTION 0.25
#define POSTPONE_MS 30000
#define STILL_GOOD_MS 1000

static void wipe_text(char *text) {
  if (text)
    gn_wipe(text, strlen(text));
  gn_free(text);
}

static int copy(char **out, const char *text, struct gn_error *err) {
  if (!text)
    return 0;
  *out = gn_strdup(text);
  return *out ? 0 : gn_error_memory(err);
}

static int need(const char *text, const char *name, struct gn_error *err) {
  if (text && *text)
    return 0;
  return gn_error_set(err, GN_INVALID, name, "the credential has no %s", name);
}

static int check_grant(const struct gn_oauth_options *o,
                       struct gn_error *err) {
  if (o->grant == GN_GRANT_REFRESH)
    return need(o->client_id, "client_id", err) != 0 ||
                   need(o->refresh_token, "refresh_token", err) != 0
               ? -1 : 0;
  if (o->grant == GN_GRANT_LOGIN)
    return need(o->body, "body", err);
  if (need(o->issuer, "client_email", err) != 0 ||
      need(o->private_key, "private_key", err) != 0)
    return -1;
  if (!gn_jwt_text_ok(o->issuer) || (o->subject && !gn_jwt_text_ok(o->subject)))
    return gn_error_set(err, GN_INVALID, "subject",
                        "client_email or subject is not a plain text");
  return 0;
}

static int copy_all(struct gn_oauth *a, const struct gn_oauth_options *o,
                    struct gn_error *err) {
  a->grant = o->grant;
  a->url_from_key = o->url_from_key;
  a->rotates = o->rotates;
  if (o->grant == GN_GRANT_ASSERTION) {
    a->key = gn_jwt_key_new(o->private_key, o->private_key_len, err);
    if (!a->key)
      return -1;
  }
  return copy(&a->token_url, o->token_url, err) != 0 ||
                 copy(&a->scopes, o->scopes, err) != 0 ||
                 copy(&a->key_id, o->key_id, err) != 0 ||
                 copy(&a->issuer, o->issuer, err) != 0 ||
                 copy(&a->subject, o->subject, err) != 0 ||
                 copy(&a->audience,
                      o->audience ? o->audience : o->token_url, err) != 0 ||
                 copy(&a->client_id, o->client_id, err) != 0 ||
                 copy(&a->client_secret, o->client_secret, err) != 0 ||
                 copy(&a->refresh_token, o->refresh_token, err) != 0 ||
                 copy(&a->body, o->body, err) != 0
             ? -1 : 0;
}

/* The client's way to the network, but nothing that it sends. */
static int make_policy(struct gn_oauth *a, const struct gn_policy_options *p,
                       struct gn_error *err) {
  struct gn_policy_options own = *p;
  struct gn_origin origin;
  char base[sizeof origin.host + 32];
  if (gn_url_origin(a->token_url, &origin, err) != 0)
    return -1;
  if (strcmp(origin.scheme, "https") != 0 && !p->allow_http &&
      !gn_url_is_loopback_host(origin.host))
    return gn_error_set(err, GN_INVALID, "allow_http",
                        "the credential would go over plain http to the token "
                        "endpoint at %s; use https, or say allow_http = true",
                        origin.host);
  if (copy(&a->host, origin.host, err) != 0)
    return -1;
  snprintf(base, sizeof base, "%s://%s:%u", origin.scheme, origin.host,
           origin.port);
  own.base_url = base;
  own.scheme = GN_AUTH_NONE;
  own.token = own.user = own.password = NULL;
  own.oauth = NULL;
  own.headers = own.origins = NULL;
  own.header_count = own.origin_count = 0;
  own.rate = 0;
  own.attempts = 1;
  own.backoff = p->backoff > 0 ? p->backoff : 1;
  own.timeout = p->timeout > 0 ? p->timeout : 60;
  own.max_body = TOKEN_REPLY_MAX;
  a->policy = gn_policy_new(&own, err);
  return a->policy ? 0 : -1;
}

struct gn_oauth *gn_oauth_new(const struct gn_oauth_options *o,
                              const struct gn_policy_options *p,
                              struct gn_error *err) {
  struct gn_oauth *a;
  if (need(o->token_url, "token_url", err) != 0 || check_grant(o, err) != 0)
    return NULL;
  a = gn_alloc_zero(sizeof *a);
  if (!a) {
    gn_error_memory(err);
    return NULL;
  }
  pthread_mutex_init(&a->lock, NULL);
  if (copy_all(a, o, err) != 0 || make_policy(a, p, err) != 0) {
    gn_oauth_free(a);
    return NULL;
  }
  return a;
}

static void free_token(struct gn_oauth_token *t) {
  wipe_text(t->line);
  gn_free(t->scope);
  gn_free(t);
}

static void free_news(struct gn_oauth_news *n) {
  wipe_text(n->refresh_token);
  wipe_text(n->access_token);
  gn_free(n);
}

void gn_oauth_free(struct gn_oauth *a) {
  size_t i;
  if (!a)
    return;
  while (a->tokens) {
    struct gn_oauth_token *t = a->tokens;
    a->tokens = t->next;
    free_token(t);
  }
  while (a->news) {
    struct gn_oauth_news *n = a->news;
    a->news = n->next;
    free_news(n);
  }
  for (i = 0; i < GN_OAUTH_SEEN; i++)
    wipe_text(a->seen[i]);
  gn_jwt_key_free(a->key);
  wipe_text(a->client_secret);
  wipe_text(a->refresh_token);
  wipe_text(a->body);
  gn_free(a->token_url);
  gn_free(a->scopes);
  gn_free(a->key_id);
  gn_free(a->issuer);
  gn_free(a->subject);
  gn_free(a->audience);
  gn_free(a->client_id);
  gn_free(a->host);
  gn_policy_unref(a->policy);
  pthread_mutex_destroy(&a->lock);
  gn_free(a);
}

/* What a thread of the parent had half changed at the fork is left where it is:
 * it can neither be used nor freed. */
void gn_oauth_enter(struct gn_oauth *a) {
  static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
  if (pthread_mutex_trylock(&a->lock) != 0) {
    a->tokens = NULL;
    a->news = NULL;
    memset(a->seen, 0, sizeof a->seen);
  }
  a->lock = fresh;
  a->fetches = NULL;
  gn_policy_enter(a->policy);
}

const char *gn_oauth_scope(const struct gn_oauth *a, const char *requested) {
  if (a->grant == GN_GRANT_ASSERTION && requested && *requested)
    return requested;
  return a->scopes ? a->scopes : "";
}

/* With the lock held, like the functions below. */
static struct gn_oauth_token *find(const struct gn_oauth *a,
                                   const char *scope) {
  struct gn_oauth_token *t = a->tokens;
  while (t && strcmp(t->scope, scope) != 0)
    t = t->next;
  return t;
}

uint64_t gn_oauth_usable(struct gn_oauth *a, const char *scope, bool stale) {
  const struct gn_oauth_token *t;
  uint64_t serial = 0;
  pthread_mutex_lock(&a->lock);
  t = find(a, scope);
  if (t && t->line && (stale || gn_now_ms() < t->refresh_at))
    serial = t->serial;
  pthread_mutex_unlock(&a->lock);
  return serial;
}

char *gn_oauth_line(struct gn_oauth *a, const char *scope,
                    struct gn_error *err) {
  const struct gn_oauth_token *t;
  char *line = NULL;
  gn_error_clear(err);
  pthread_mutex_lock(&a->lock);
  t = find(a, scope);
  if (t && t->line && !(line = gn_strdup(t->line)))
    gn_error_memory(err);
  pthread_mutex_unlock(&a->lock);
  return line;
}

void gn_oauth_refuse(struct gn_oauth *a, uint64_t serial) {
  struct gn_oauth_token *t;
  pthread_mutex_lock(&a->lock);
  for (t = a->tokens; t; t = t->next)
    if (t->serial == serial && t->line) {
      wipe_text(t->line);
      t->line = NULL;
    }
  pthread_mutex_unlock(&a->lock);
}

bool gn_oauth_postpone(struct gn_oauth *a, const char *scope) {
  struct gn_oauth_token *t;
  int64_t now = gn_now_ms();
  bool good;
  pthread_mutex_lock(&a->lock);
  t = find(a, scope);
  good = t && t->line && t->expires_at - STILL_GOOD_MS > now;
  if (good)
    t->refresh_at = now + POSTPONE_MS < t->expires_at ? now + POSTPONE_MS
                                                      : t->expires_at;
  pthread_mutex_unlock(&a->lock);
  return good;
}

/* Takes the text; the oldest one goes. */
static void remember(struct gn_oauth *a, char *secret) {
  wipe_text(a->seen[GN_OAUTH_SEEN - 1]);
  memmove(a->seen + 1, a->seen, (GN_OAUTH_SEEN - 1) * sizeof *a->seen);
  a->seen[0] = secret;
}

void gn_oauth_remember(struct gn_oauth *a, char *secret) {
  pthread_mutex_lock(&a->lock);
  remember(a, secret);
  pthread_mutex_unlock(&a->lock);
}

/* Beyond the maximum the scope that was asked for longest ago makes room. */
static void put_token(struct gn_oauth *a, struct gn_oauth_token *fresh) {
  struct gn_oauth_token **at = &a->tokens, *old;
  size_t count = 1;
  fresh->serial = ++a->serials;
  while ((old = *at)) {
    if (strcmp(old->scope, fresh->scope) == 0 || count == MOST_TOKENS) {
      *at = old->next;
      free_token(old);
    } else {
      at = &old->next;
      count++;
    }
  }
  fresh->next = a->tokens;
  a->tokens = fresh;
}

static struct gn_oauth_token *new_token(const struct gn_auth *auth,
                                        const char *scope,
                                        const struct gn_grant_reply *reply,
                                        struct gn_error *err) {
  struct gn_oauth_token *t = gn_alloc_zero(sizeof *t);
  double ahead = reply->lifetime * REFRESH_FRACTION;
  int64_t now = gn_now_ms();
  if (ahead > REFRESH_AHEAD)
    ahead = REFRESH_AHEAD;
  if (!t || !(t->scope = gn_strdup(scope))) {
    gn_free(t);
    gn_error_memory(err);
    return NULL;
  }
  t->refresh_at = t->expires_at = GN_NEVER;
  if (reply->lifetime > 0) {
    t->expires_at = now + (int64_t)(reply->lifetime * 1000);
    t->refresh_at = t->expires_at - (int64_t)(ahead * 1000);
  }
  t->line = gn_auth_make_line(auth, reply->access_token,
                              strlen(reply->access_token), err);
  if (!t->line) {
    free_token(t);
    return NULL;
  }
  return t;
}

static bool is_news(struct gn_oauth *a, const struct gn_grant_reply *r) {
  return a->grant == GN_GRANT_REFRESH && r->refresh_token &&
         strcmp(r->refresh_token, a->refresh_token) != 0;
}

static struct gn_oauth_news *new_news(const struct gn_grant_reply *r) {
  struct gn_oauth_news *n = gn_alloc_zero(sizeof *n);
  if (!n)
    return NULL;
  n->refresh_token = gn_strdup(r->refresh_token);
  n->access_token = gn_strdup(r->access_token);
  if (r->lifetime > 0)
    n->expires_at = gn_wall_time() + r->lifetime;
  if (!n->refresh_token || !n->access_token) {
    free_news(n);
    return NULL;
  }
  return n;
}

/* A rotated refresh token comes first: even where memory ends after that, the
 * old one is worth nothing any more. */
static int store_locked(struct gn_oauth *a, const struct gn_auth *auth,
                        const char *scope, struct gn_grant_reply *reply,
                        struct gn_error *err) {
  struct gn_oauth_news *news = NULL, **end = &a->news;
  struct gn_oauth_token *token;
  if (is_news(a, reply)) {
    news = new_news(reply);
    if (!news)
      return gn_error_memory(err);
    while (*end)
      end = &(*end)->next;
    *end = news;
    remember(a, a->refresh_token);
    a->refresh_token = reply->refresh_token;
    reply->refresh_token = NULL;
  }
  token = new_token(auth, scope, reply, err);
  if (!token)
    return -1;
  put_token(a, token);
  remember(a, reply->access_token);
  reply->access_token = NULL;
  return 0;
}

int gn_oauth_store(struct gn_oauth *a, const struct gn_auth *auth,
                   const char *scope, struct gn_grant_reply *reply,
                   struct gn_error *err) {
  int rc;
  pthread_mutex_lock(&a->lock);
  rc = store_locked(a, auth, scope, reply, err);
  pthread_mutex_unlock(&a->lock);
  return rc;
}

int gn_oauth_seed(struct gn_oauth *a, const struct gn_auth *auth,
                  const char *token, struct gn_error *err) {
  struct gn_grant_reply reply = {0};
  int rc;
  reply.access_token = gn_strdup(token);
  if (!reply.access_token)
    return gn_error_memory(err);
  rc = gn_oauth_store(a, auth, gn_oauth_scope(a, NULL), &reply, err);
  gn_grant_reply_wipe(&reply);
  return rc;
}

const struct gn_oauth_news *gn_oauth_news(struct gn_oauth *a) {
  const struct gn_oauth_news *n;
  pthread_mutex_lock(&a->lock);
  n = a->news;
  pthread_mutex_unlock(&a->lock);
  return n;
}

void gn_oauth_drop_news(struct gn_oauth *a) {
  struct gn_oauth_news *n;
  pthread_mutex_lock(&a->lock);
  n = a->news;
  if (n)
    a->news = n->next;
  pthread_mutex_unlock(&a->lock);
  if (n)
    free_news(n);
}

int gn_oauth_set_refresh_token(struct gn_oauth *a, const char *token,
                               struct gn_error *err) {
  char *fresh = gn_strdup(token);
  if (!fresh)
    return gn_error_memory(err);
  pthread_mutex_lock(&a->lock);
  if (a->refresh_token)
    remember(a, a->refresh_token);
  a->refresh_token = fresh;
  pthread_mutex_unlock(&a->lock);
  return 0;
}

char *gn_oauth_secret(struct gn_oauth *a, size_t i) {
  const char *text = NULL;
  char *out;
  pthread_mutex_lock(&a->lock);
  if (i < GN_OAUTH_SEEN)
    text = a->seen[i];
  else if (i == GN_OAUTH_SEEN)
    text = a->refresh_token;
  else if (i == GN_OAUTH_SEEN + 1)
    text = a->client_secret;
  out = text ? gn_strdup(text) : NULL;
  pthread_mutex_unlock(&a->lock);
  return out;
}
