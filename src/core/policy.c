/* Owns: defaults and checks of a client's settings. Must not: send anything.
 */
#include "policy.h"

#include "address.h"
#include "alloc.h"
#include "clock.h"
#include "head.h"
#include "process.h"
#include "version.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LONGEST_STALL 65535L /* libcurl keeps it in 16 bits */
#define DEFAULT_MAX_BODY (64.0 * 1024 * 1024)
#define DEFAULT_MAX_HEADERS (256.0 * 1024)

/* Only ever counted up; an address may be used again, a serial is not. */
static atomic_uint_fast64_t serials;

static double or_default(double value, double fallback) {
  return value > 0 ? value : fallback;
}

static int copy_text(char **out, const char *text, struct gn_error *err) {
  if (!text)
    return 0;
  *out = gn_strdup(text);
  return *out ? 0 : gn_error_memory(err);
}

static int set_origins(struct gn_policy *p, const struct gn_policy_options *o,
                       struct gn_error *err) {
  size_t i;
  if (gn_url_origin(o->base_url, &p->origin, err) != 0 ||
      gn_url_base(o->base_url, &p->base, &p->base_origin, err) != 0)
    return -1;
  p->own_class = gn_url_is_loopback_host(p->origin.host)
                     ? GN_ADDRESS_LOOPBACK : GN_ADDRESS_PUBLIC;
  if (o->origin_count == 0)
    return 0;
  p->origins = gn_alloc_zero(o->origin_count * sizeof *p->origins);
  if (!p->origins)
    return gn_error_memory(err);
  for (i = 0; i < o->origin_count; i++, p->origin_count++)
    if (gn_url_origin(o->origins[i], &p->origins[i], err) != 0)
      return -1;
  return 0;
}

static int set_headers(struct gn_policy *p, const struct gn_policy_options *o,
                       struct gn_error *err) {
  size_t i;
  if (o->header_count == 0)
    return 0;
  p->headers = gn_alloc_zero(o->header_count * sizeof *p->headers);
  if (!p->headers)
    return gn_error_memory(err);
  for (i = 0; i < o->header_count; i++, p->header_count++)
    if (copy_text(&p->headers[i], o->headers[i], err) != 0)
      return -1;
  return 0;
}

static const char *first_set(const char *a, const char *b, const char *c,
                             const char *d) {
  const char *names[4];
  int i;
  names[0] = a, names[1] = b, names[2] = c, names[3] = d;
  for (i = 0; i < 4; i++) {
    const char *value = names[i] ? getenv(names[i]) : NULL;
    if (value && *value)
      return value;
  }
  return "";
}

/* Read here, once: the environment must not be read on the engine's thread. */
static int set_proxy(struct gn_policy *p, const struct gn_policy_options *o,
                     struct gn_error *err) {
  const char *http = o->proxy ? o->proxy : "";
  const char *https = http;
  const char *none = NULL;
  if (o->proxy_env) {
    http = first_set("http_proxy", "all_proxy", "ALL_PROXY", NULL);
    https = first_set("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY");
    none = first_set("no_proxy", "NO_PROXY", NULL, NULL);
  }
  if (copy_text(&p->proxy_http, http, err) != 0 ||
      copy_text(&p->proxy_https, https, err) != 0)
    return -1;
  return copy_text(&p->no_proxy, none, err);
}

static int set_ca_file(struct gn_policy *p, const struct gn_policy_options *o,
                       struct gn_error *err) {
  const char *ca = o->ca_file;
  if (ca && access(ca, R_OK) != 0)
    return gn_error_set(err, GN_INVALID, "ca_file",
                        "the CA file '%s' cannot be read", ca);
  if (!ca)
    ca = curl_version_info(CURLVERSION_NOW)->cainfo;
  return ca && access(ca, R_OK) == 0 ? copy_text(&p->ca_file, ca, err) : 0;
}

static int set_credential(struct gn_policy *p,
                          const struct gn_policy_options *o,
                          struct gn_error *err) {
  bool plain = strcmp(p->origin.scheme, "https") != 0;
  bool secret = o->scheme != GN_AUTH_NONE || o->header_count > 0;
  if (secret && plain && !o->allow_http &&
      !gn_url_is_loopback_host(p->origin.host))
    return gn_error_set(err, GN_INVALID, "allow_http",
                        "a %s would go over plain http to %s; use https, or "
                        "say allow_http = true",
                        o->scheme != GN_AUTH_NONE ? "credential" : "header",
                        p->origin.host);
  if (o->scheme == GN_AUTH_NONE)
    return 0;
  if (gn_auth_set_scheme(&p->auth, o->scheme, o->auth_header, err) != 0)
    return -1;
  if (o->scheme == GN_AUTH_BASIC)
    return gn_auth_set_basic(&p->auth, o->user ? o->user : "",
                             o->password ? o->password : "", err);
  if (o->oauth) {
    p->oauth = gn_oauth_new(o->oauth, o, err);
    return p->oauth && (!o->token || gn_oauth_seed(p->oauth, &p->auth, o->token,
                                                   err) == 0) ? 0 : -1;
  }
  return o->token ? gn_auth_set_token(&p->auth, o->token, o->token_len, err)
                  : 0;
}

static int set_user_agent(struct gn_policy *p,
                          const struct gn_policy_options *o,
                          struct gn_error *err) {
  const char *extra = o->user_agent ? o->user_agent : "";
  const char *curl = curl_version_info(CURLVERSION_NOW)->version;
  static const char name[] = "User-Agent: ";
  size_t size = strlen(extra) + strlen(curl) + sizeof GN_VERSION +
                sizeof name + 40;
  if (!gn_header_value_ok(extra, strlen(extra)))
    return gn_error_set(err, GN_INVALID, "user_agent",
                        "user_agent holds a control character");
  p->agent_line = gn_alloc(size);
  if (!p->agent_line)
    return gn_error_memory(err);
  snprintf(p->agent_line, size, "%sgarner/%s (gzip) libcurl/%s%s%s", name,
           GN_VERSION, curl, *extra ? " " : "", extra);
  p->user_agent = p->agent_line + sizeof name - 1;
  return 0;
}

static void set_numbers(struct gn_policy *p,
                        const struct gn_policy_options *o) {
  p->connect_timeout_ms = (int64_t)(or_default(o->connect_timeout, 10) * 1000);
  p->timeout_ms = (int64_t)(or_default(o->timeout, 120) * 1000);
  p->stall_seconds = (long)(or_default(o->stall_timeout, 60) + 0.999);
  if (p->stall_seconds > LONGEST_STALL)
    p->stall_seconds = LONGEST_STALL;
  p->max_body = (size_t)or_default(o->max_body, DEFAULT_MAX_BODY);
  p->max_headers = (size_t)or_default(o->max_headers, DEFAULT_MAX_HEADERS);
  p->retry.attempts = o->attempts > 0 ? (unsigned)o->attempts : 4;
  p->retry.base = or_default(o->backoff, 0.25);
  p->retry.base_throttled = or_default(o->backoff_throttled, 1);
  p->retry.cap = or_default(o->backoff_cap, 20);
  p->retry.max_wait = or_default(o->max_wait, 120);
  p->http_version = o->http_version;
  p->proxy_env = o->proxy_env;
  p->allow_http = o->allow_http;
  p->allow_private = o->allow_private;
  p->insecure_tls = o->insecure_tls;
  p->transport = o->transport;
  p->record = o->record;
  p->log = o->log;
  gn_retry_budget_init(&p->budget);
}

static int set_rate(struct gn_policy *p, const struct gn_policy_options *o,
                    struct gn_error *err) {
  struct gn_rate_options own = {o->rate, o->burst, NULL, 0};
  p->rate = o->limiter ? gn_rate_ref(o->limiter) : gn_rate_new(&own, err);
  return p->rate ? 0 : -1;
}

struct gn_policy *gn_policy_new(const struct gn_policy_options *o,
                                struct gn_error *err) {
  struct gn_policy *p = gn_alloc_zero(sizeof *p);
  if (!p) {
    gn_error_memory(err);
    return NULL;
  }
  atomic_init(&p->refs, 1);
  p->serial = atomic_fetch_add(&serials, 1) + 1;
  p->generation = gn_process_generation();
  pthread_mutex_init(&p->lock, NULL);
  gn_auth_init(&p->auth);
  set_numbers(p, o);
  if (set_rate(p, o, err) != 0 ||
      gn_quota_copy(&p->quota, &o->quota, err) != 0 ||
      set_origins(p, o, err) != 0 || set_headers(p, o, err) != 0 ||
      set_proxy(p, o, err) != 0 || set_ca_file(p, o, err) != 0 ||
      set_credential(p, o, err) != 0 || set_user_agent(p, o, err) != 0) {
    gn_policy_unref(p);
    return NULL;
  }
  return p;
}

void gn_policy_enter(struct gn_policy *p) {
  static const pthread_mutex_t fresh = PTHREAD_MUTEX_INITIALIZER;
  unsigned generation = gn_process_generation();
  if (p->generation == generation)
    return;
  p->generation = generation;
  gn_rate_enter(p->rate);
  p->lock = fresh;
  p->auth.lock = fresh;
  if (p->oauth)
    gn_oauth_enter(p->oauth);
}

struct gn_policy *gn_policy_ref(struct gn_policy *p) {
  atomic_fetch_add(&p->refs, 1);
  return p;
}

void gn_policy_unref(struct gn_policy *p) {
  size_t i;
  if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
    return;
  for (i = 0; i < p->header_count; i++) {
    gn_wipe(p->headers[i], strlen(p->headers[i]));
    gn_free(p->headers[i]);
  }
  gn_free(p->headers);
  gn_free(p->origins);
  gn_free(p->base);
  gn_free(p->ca_file);
  if (p->proxy_http)
    gn_wipe(p->proxy_http, strlen(p->proxy_http));
  if (p->proxy_https)
    gn_wipe(p->proxy_https, strlen(p->proxy_https));
  gn_free(p->proxy_http);
  gn_free(p->proxy_https);
  gn_free(p->no_proxy);
  gn_free(p->agent_line);
  gn_quota_destroy(&p->quota);
  gn_rate_unref(p->rate);
  gn_auth_destroy(&p->auth);
  gn_oauth_free(p->oauth);
  pthread_mutex_destroy(&p->lock);
  gn_free(p);
}

bool gn_policy_at_base(const struct gn_policy *p, const char *url) {
  char next;
  if (strncmp(url, p->base, p->base_origin) != 0)
    return false;
  next = url[p->base_origin];
  return next == '/' || next == '?' || next == '\0';
}

int gn_policy_origin_of(const struct gn_policy *p, const char *url,
                        struct gn_origin *out, struct gn_error *err) {
  if (!gn_policy_at_base(p, url))
    return gn_url_origin(url, out, err);
  *out = p->origin;
  return 0;
}

const char *gn_policy_proxy(const struct gn_policy *p,
                            const struct gn_origin *o) {
  const char *proxy = strcmp(o->scheme, "https") == 0 ? p->proxy_https
                                                      : p->proxy_http;
  /* A credential may go to this machine in the clear, not to the proxy that
   * the environment names. */
  if (*proxy && p->proxy_env && gn_url_is_loopback_host(o->host))
    return "";
  return proxy;
}

bool gn_policy_owns(const struct gn_policy *p, const char *url) {
  struct gn_origin origin;
  struct gn_error err;
  size_t i;
  if (gn_policy_at_base(p, url))
    return true;
  if (gn_url_origin(url, &origin, &err) != 0)
    return false;
  if (gn_url_same_origin(&origin, &p->origin))
    return true;
  for (i = 0; i < p->origin_count; i++)
    if (gn_url_same_origin(&origin, &p->origins[i]))
      return strcmp(origin.scheme, "https") == 0 || p->allow_http ||
             gn_url_is_loopback_host(origin.host);
  return false;
}

char *gn_policy_credential(struct gn_policy *p, const char *scope,
                           struct gn_error *err) {
  return p->oauth ? gn_oauth_line(p->oauth, gn_oauth_scope(p->oauth, scope),
                                  err)
                  : gn_auth_line(&p->auth, err);
}

bool gn_policy_is_base(const struct gn_policy *p, const char *url) {
  struct gn_origin origin;
  struct gn_error err;
  return gn_policy_origin_of(p, url, &origin, &err) == 0 &&
         gn_url_same_origin(&origin, &p->origin);
}

void gn_policy_pause(struct gn_policy *p, double now, double seconds) {
  double most = p->retry.max_wait;
  gn_rate_pause(p->rate, now, seconds < most ? seconds : most);
}

void gn_policy_heed(struct gn_policy *p, const struct gn_buf *headers,
                    unsigned marks) {
  double wait;
  /* A caller's own headers may have any name. */
  if (!(marks & GN_HEAD_QUOTA) && !p->quota.remaining && !p->quota.used)
    return;
  wait = gn_quota_wait(&p->quota, headers, gn_wall_time());
  /* Until when is not said: as long as the documented rate takes for one. */
  if (wait < 0)
    wait = p->rate->interval;
  if (wait > 0)
    gn_policy_pause(p, gn_now(), wait);
}

bool gn_policy_take_retry(struct gn_policy *p, bool throttled) {
  bool taken;
  pthread_mutex_lock(&p->lock);
  taken = gn_retry_budget_take(&p->budget, throttled);
  p->spent = true;
  pthread_mutex_unlock(&p->lock);
  return taken;
}

void gn_policy_refund(struct gn_policy *p, double taken) {
  if (!p->spent)
    return;
  pthread_mutex_lock(&p->lock);
  gn_retry_budget_refund(&p->budget, taken);
  p->spent = p->budget.tokens < GN_RETRY_BUDGET;
  pthread_mutex_unlock(&p->lock);
}

void gn_policy_set_own_class(struct gn_policy *p, int address_class) {
  pthread_mutex_lock(&p->lock);
  p->own_class = address_class;
  pthread_mutex_unlock(&p->lock);
}

int gn_policy_own_class(struct gn_policy *p) {
  int address_class;
  pthread_mutex_lock(&p->lock);
  address_class = p->own_class;
  pthread_mutex_unlock(&p->lock);
  return address_class;
}
