/* Owns: the choice of each option, and the memory of what is set. Must not:
 * build header lines, or look at what comes back.
 */
#include "setup.h"

#include "address.h"
#include "alloc.h"
#include "attempt.h"

#include <string.h>
#include <strings.h>

/* A small part of the reads that libcurl's own size takes for what is large. */
#define ROWS_BUFFER 131072L
#define FILE_BUFFER 262144L

static void check(struct gn_attempt *a, CURLcode rc) {
  if (a->setopt_rc == CURLE_OK)
    a->setopt_rc = rc;
}

static void set_long(struct gn_attempt *a, CURLoption option, long value) {
  check(a, curl_easy_setopt(a->setup.easy, option, value));
}

static void set_text(struct gn_attempt *a, CURLoption option,
                     const char *value) {
  check(a, curl_easy_setopt(a->setup.easy, option, value));
}

static void set_method(struct gn_attempt *a, const struct gn_request *r) {
  bool body = gn_request_carries_body(r);
  if (r->reads && !body)
    return;
  a->setup.odd = true;
  if (strcmp(r->method, "HEAD") == 0) {
    set_long(a, CURLOPT_NOBODY, 1);
    return;
  }
  if (body) {
    check(a, curl_easy_setopt(a->setup.easy, CURLOPT_POSTFIELDSIZE_LARGE,
                              (curl_off_t)r->body_len));
    check(a, curl_easy_setopt(a->setup.easy, CURLOPT_POSTFIELDS,
                              r->body ? r->body : ""));
  }
  set_text(a, CURLOPT_CUSTOMREQUEST, r->method);
}

/* Behind a proxy no socket of ours leads to the host, so the host's name must
 * do: what it resolves to there is the proxy's affair. */
static int check_literal(struct gn_attempt *a, const struct gn_origin *o,
                         struct gn_error *err) {
  int c = gn_url_is_loopback_host(o->host) ? GN_ADDRESS_LOOPBACK
                                           : (int)gn_address_of_host(o->host);
  if (c == GN_ADDRESS_PUBLIC || c == gn_policy_own_class(a->policy))
    return 0;
  return gn_error_set(err, GN_PROTOCOL, "address",
                      "a URL from the server leads to a private address");
}

/* libcurl writes its User-Agent line twice, ours once; but only its own goes
 * to the proxy that a tunnel is asked of. */
static int set_proxy(struct gn_attempt *a, const char *url,
                     struct gn_error *err) {
  const struct gn_policy *p = a->policy;
  struct gn_origin o;
  const char *proxy, *none = p->no_proxy ? p->no_proxy : "";
  if (gn_policy_origin_of(p, url, &o, err) != 0)
    return -1;
  proxy = gn_policy_proxy(p, &o);
  a->uses_proxy = *proxy != '\0';
  if (a->uses_proxy && a->check_address && !p->allow_private) {
    if (check_literal(a, &o, err) != 0)
      return -1;
    /* no_proxy names hosts of the inside: none of the server's business. */
    if (!a->own)
      none = "";
  }
  set_text(a, CURLOPT_PROXY, proxy);
  set_text(a, CURLOPT_NOPROXY, none);
  set_long(a, CURLOPT_HEADEROPT, CURLHEADER_SEPARATE);
  set_long(a, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1);
  if (a->uses_proxy)
    set_text(a, CURLOPT_USERAGENT, p->user_agent);
  return 0;
}

static void set_tls(struct gn_attempt *a, const char *url) {
  const struct gn_policy *p = a->policy;
  /* Rows that rest would hold up whoever shares their connection. */
  bool http2 = p->http_version != 1 && !a->rows &&
               strncasecmp(url, "https:", 6) == 0;
  set_long(a, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
  set_long(a, CURLOPT_SSL_VERIFYPEER, p->insecure_tls ? 0 : 1);
  set_long(a, CURLOPT_SSL_VERIFYHOST, p->insecure_tls ? 0 : 2);
  /* A CAPATH beside the file switches libcurl's cache of the parsed bundle
   * off, which costs 30 ms of CPU for each connection. */
  if (p->ca_file) {
    set_text(a, CURLOPT_CAINFO, p->ca_file);
    set_text(a, CURLOPT_CAPATH, NULL);
  }
  set_long(a, CURLOPT_HTTP_VERSION, http2 ? (long)CURL_HTTP_VERSION_2TLS
                                          : (long)CURL_HTTP_VERSION_1_1);
}

static void set_limits(struct gn_attempt *a,
                       const struct gn_attempt_plan *plan) {
  struct gn_setup *s = &a->setup;
  int64_t connect = a->policy->connect_timeout_ms;
  /* Rows may take any time once they come: the exchange has a timer. */
  int64_t timeout = a->rows ? 0 : plan->timeout_ms;
  /* libcurl sends a request again by itself, and says nothing, when a reused
   * connection closes before the response. A creating request must not be;
   * and a server-supplied URL must meet the address policy. */
  bool fresh = !plan->request->safe || (plan->check_address && !a->own);
  if (plan->timeout_ms > 0 && plan->timeout_ms < connect)
    connect = plan->timeout_ms;
  if (connect != s->connect)
    set_long(a, CURLOPT_CONNECTTIMEOUT_MS, (long)connect);
  if (timeout != s->timeout)
    set_long(a, CURLOPT_TIMEOUT_MS, (long)timeout);
  if (fresh != s->fresh)
    set_long(a, CURLOPT_FRESH_CONNECT, fresh);
  s->connect = connect;
  s->timeout = timeout;
  s->fresh = fresh;
}

static void set_conduct(struct gn_attempt *a) {
  CURL *easy = a->setup.easy;
  set_text(a, CURLOPT_PROTOCOLS_STR, "http,https");
  set_long(a, CURLOPT_LOW_SPEED_LIMIT, 1);
  set_long(a, CURLOPT_LOW_SPEED_TIME, a->policy->stall_seconds);
  set_long(a, CURLOPT_FOLLOWLOCATION, 0);
  set_long(a, CURLOPT_NOSIGNAL, 1);
  set_long(a, CURLOPT_QUICK_EXIT, 1);
  set_long(a, CURLOPT_NETRC, CURL_NETRC_IGNORED);
  set_long(a, CURLOPT_HTTP09_ALLOWED, 0);
  set_long(a, CURLOPT_PATH_AS_IS, 1);
  set_long(a, CURLOPT_TCP_NODELAY, 1);
  /* The unpacking is not libcurl's: it takes a gzip body that was cut for
   * whole. */
  set_long(a, CURLOPT_HTTP_CONTENT_DECODING, 0);
  check(a, curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION,
                            gn_attempt_on_header));
  check(a, curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, gn_attempt_on_body));
  check(a, curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION,
                            gn_attempt_on_open));
  check(a, curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION,
                            gn_attempt_on_close));
  check(a, curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION,
                            gn_attempt_on_connected));
  check(a, curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, a->counters));
  check(a, curl_easy_setopt(easy, CURLOPT_HEADERDATA, a));
  check(a, curl_easy_setopt(easy, CURLOPT_WRITEDATA, a));
  check(a, curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, a));
  check(a, curl_easy_setopt(easy, CURLOPT_PREREQDATA, a));
  check(a, curl_easy_setopt(easy, CURLOPT_PRIVATE, a));
  check(a, curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, a->text));
}

/* Read once, a URL need not be written and read again for each request to it,
 * which is a tenth of what a request costs libcurl. Not where an address has a
 * zone, that copies of what was read may lose. */
static bool set_parsed(struct gn_setup *s, const char *url) {
  if (strchr(url, '['))
    return false;
  if (!s->parsed)
    s->parsed = curl_url();
  return s->parsed &&
         curl_url_set(s->parsed, CURLUPART_URL, url, CURLU_PATH_AS_IS) ==
             CURLUE_OK;
}

static int set_url(struct gn_attempt *a, const char *url,
                   struct gn_error *err) {
  struct gn_setup *s = &a->setup;
  if (s->url && strcmp(s->url, url) == 0)
    return 0;
  gn_free(s->url);
  s->url = NULL;
  set_text(a, CURLOPT_URL, url);
  if (!a->serial)
    return 0;
  check(a, curl_easy_setopt(s->easy, CURLOPT_CURLU,
                            set_parsed(s, url) ? s->parsed : NULL));
  s->url = gn_strdup(url);
  return s->url ? 0 : gn_error_memory(err);
}

static void reset(struct gn_setup *s) {
  curl_easy_reset(s->easy);
  gn_free(s->url);
  s->url = NULL;
  s->serial = 0;
  s->timeout = s->connect = 0;
  s->fresh = s->odd = false;
  s->lines = NULL;
}

uint64_t gn_setup_serial(const struct gn_attempt_plan *plan) {
  return !plan->check_address && !gn_attempt_is_for_file(plan) &&
                 !plan->rows && plan->at_base
             ? plan->policy->serial : 0;
}

static int result(const struct gn_attempt *a, struct gn_error *err) {
  if (a->setopt_rc == CURLE_OUT_OF_MEMORY)
    return gn_error_memory(err);
  if (a->setopt_rc != CURLE_OK)
    return gn_error_set(err, GN_TRANSPORT, "setup",
                        "libcurl refused an option: %s",
                        curl_easy_strerror(a->setopt_rc));
  return 0;
}

int gn_setup_apply(struct gn_attempt *a, const struct gn_attempt_plan *plan,
                   struct gn_error *err) {
  struct gn_setup *s = &a->setup;
  if (!s->easy)
    s->easy = curl_easy_init();
  if (!s->easy)
    return gn_error_memory(err);
  a->serial = gn_setup_serial(plan);
  if (s->serial == 0 || s->serial != a->serial) {
    reset(s);
    set_conduct(a);
    if (gn_attempt_is_for_file(plan) || plan->rows)
      set_long(a, CURLOPT_BUFFERSIZE, plan->rows ? ROWS_BUFFER : FILE_BUFFER);
    set_tls(a, plan->url);
    if (set_proxy(a, plan->url, err) != 0)
      return -1;
    s->serial = a->serial;
    s->proxied = a->uses_proxy;
  }
  a->uses_proxy = s->proxied;
  if (set_url(a, plan->url, err) != 0)
    return -1;
  set_limits(a, plan);
  set_method(a, plan->request);
  return result(a, err);
}

int gn_setup_lines(struct gn_attempt *a, struct gn_error *err) {
  struct curl_slist *lines = gn_lines_list(&a->lines);
  if (lines != a->setup.lines)
    check(a, curl_easy_setopt(a->setup.easy, CURLOPT_HTTPHEADER, lines));
  a->setup.lines = lines;
  return result(a, err);
}

static bool forget_method(struct gn_setup *s) {
  CURL *easy = s->easy;
  s->odd = false;
  return curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, NULL) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_POSTFIELDS, NULL) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                          (curl_off_t)-1) == CURLE_OK &&
         curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L) == CURLE_OK;
}

void gn_setup_forget(struct gn_setup *s, bool failed) {
  if (!s->easy)
    return;
  if (failed || s->serial == 0 || (s->odd && !forget_method(s)))
    reset(s);
}

void gn_setup_destroy(struct gn_setup *s) {
  curl_easy_cleanup(s->easy);
  curl_url_cleanup(s->parsed);
  gn_free(s->url);
}
