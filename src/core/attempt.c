/* Owns: every option that libcurl is given, in one place, and its callbacks.
 * Must not: follow redirects, retry, or touch anything but its own buffers.
 */
#include "posix.h"

#include "attempt.h"

#include "address.h"
#include "alloc.h"
#include "clock.h"
#include "framing.h"
#include "inherited.h"
#include "platform.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define USUAL_HEADERS 1000
/* An eighth of the reads that libcurl's own size takes for a large file. */
#define FILE_BUFFER 131072L

static size_t on_header(char *data, size_t size, size_t count, void *arg) {
  struct gn_attempt *a = arg;
  size_t len = size * count;
  a->header_bytes += len;
  if (a->header_bytes > a->policy->max_headers) {
    gn_error_set(&a->sink_error, GN_TOO_LARGE, "headers",
                 "the header lines pass the limit of %zu bytes",
                 a->policy->max_headers);
    return 0;
  }
  if (a->body_started)
    return len;
  /* libcurl refuses it on the wire; who reads headers relies on it. */
  if (memchr(data, '\0', len)) {
    gn_error_set(&a->sink_error, GN_PROTOCOL, "framing",
                 "the header lines hold a NUL");
    return 0;
  }
  /* libcurl shows interim responses too: each status line starts anew. */
  if (len >= 5 && memcmp(data, "HTTP/", 5) == 0) {
    gn_buf_reset(a->headers);
    a->head_ended = false;
  } else if (gn_buf_append(a->headers, data, len) != GN_BUF_OK) {
    gn_error_memory(&a->sink_error);
    return 0;
  }
  a->head_ended = a->head_ended || *data == '\r' || *data == '\n';
  return len;
}

static long status_of(struct gn_attempt *a) {
  long status = a->supplied;
  if (a->easy)
    curl_easy_getinfo(a->easy, CURLINFO_RESPONSE_CODE, &status);
  return status;
}

/* The header block is there, and a body or its end comes. What goes to a file
 * stays if it is cut, so its framing is looked at before. */
static int begin_body(struct gn_attempt *a) {
  struct gn_sink *sink = a->memory;
  const char *wrong = a->file && a->easy
                          ? gn_framing_contradiction(a->headers) : NULL;
  long status = status_of(a);
  curl_off_t length = -1;
  bool good = status >= 200 && status < 300;
  a->body_started = true;
  if (wrong)
    return gn_error_set(&a->sink_error, GN_PROTOCOL, "framing", "%s", wrong);
  a->to_file = a->file && good;
  if (a->to_file) {
    sink = a->file->sink;
    if (a->easy)
      curl_easy_getinfo(a->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
    if (gn_download_response(a->file, status, a->headers, length,
                             &a->sink_error) != 0)
      return -1;
  }
  return gn_body_begin(&a->body, sink, a->headers, a->deflate, !good,
                       &a->sink_error);
}

static size_t on_body(char *data, size_t size, size_t count, void *arg) {
  struct gn_attempt *a = arg;
  size_t len = size * count;
  if (!a->body_started && begin_body(a) != 0)
    return 0;
  a->received += len;
  if (a->to_file && a->policy->record &&
      gn_buf_append(&a->copy, data, len) != GN_BUF_OK)
    a->copy_cut = true;
  if (gn_body_write(&a->body, data, len, &a->sink_error) != 0)
    return 0;
  if (a->file && a->body.sink != a->memory)
    gn_download_tell(a->file);
  return len;
}

static curl_socket_t on_open(void *arg, curlsocktype purpose,
                             struct curl_sockaddr *address) {
  struct gn_attempt *a = arg;
  enum gn_address_class c = gn_address_classify(&address->addr);
  curl_socket_t fd;
  (void)purpose;
  if (a->check_address && !a->uses_proxy && !a->policy->allow_private &&
      c != GN_ADDRESS_PUBLIC && (int)c != gn_policy_own_class(a->policy)) {
    a->blocked = true;
    return CURL_SOCKET_BAD;
  }
  if (a->base && !a->check_address && !a->uses_proxy)
    gn_policy_set_own_class(a->policy, (int)c);
  fd = gn_socket(address->family, address->socktype, address->protocol);
  if (fd != CURL_SOCKET_BAD)
    gn_counters_add(a->counters, GN_COUNT_OPEN, 1);
  gn_inherited_add(fd);
  return fd;
}

static int on_close(void *counters, curl_socket_t fd) {
  gn_counters_add(counters, GN_COUNT_OPEN, -1);
  gn_inherited_remove(fd);
  return close(fd);
}

static void check(struct gn_attempt *a, CURLcode rc) {
  if (a->setopt_rc == CURLE_OK)
    a->setopt_rc = rc;
}

static void set_long(struct gn_attempt *a, CURLoption option, long value) {
  check(a, curl_easy_setopt(a->easy, option, value));
}

static void set_text(struct gn_attempt *a, CURLoption option,
                     const char *value) {
  check(a, curl_easy_setopt(a->easy, option, value));
}

static int add_line(struct gn_attempt *a, const char *line,
                    struct gn_error *err) {
  struct curl_slist *grown = curl_slist_append(a->lines, line);
  if (!grown)
    return gn_error_memory(err);
  a->lines = grown;
  return 0;
}

static bool same_name(const char *line, const char *other) {
  size_t len = strcspn(line, ":;");
  return strncasecmp(line, other, len) == 0 &&
         (other[len] == ':' || other[len] == ';');
}

static bool mentions(const char *text, const char *word) {
  size_t len = strlen(word);
  while (*text && strncasecmp(text, word, len) != 0)
    text++;
  return *text != '\0';
}

static bool asks_for_deflate(const struct gn_request *r) {
  size_t i;
  for (i = 0; i < r->header_count; i++)
    if (same_name("Accept-Encoding:", r->headers[i]) &&
        mentions(r->headers[i], "deflate"))
      return true;
  return false;
}

static bool lines_have(const struct gn_attempt *a, const char *line) {
  const struct curl_slist *l;
  for (l = a->lines; l; l = l->next)
    if (same_name(line, l->data))
      return true;
  return false;
}

static int add_credential(struct gn_attempt *a,
                          const struct gn_attempt_plan *plan,
                          struct gn_error *err) {
  char *line;
  int rc = 0;
  size_t i;
  if (plan->foreign || !a->own)
    return 0;
  line = plan->policy->transport
             ? NULL : gn_policy_credential(plan->policy, plan->request->scope,
                                           err);
  if (line) {
    if (!gn_request_has_header(plan->request, line)) {
      rc = add_line(a, line, err);
      a->has_credential = true;
    }
    gn_wipe(line, strlen(line));
    gn_free(line);
  } else if (err->kind != GN_OK) {
    return -1;
  }
  for (i = 0; rc == 0 && i < plan->policy->header_count; i++)
    if (!gn_request_has_header(plan->request, plan->policy->headers[i]))
      rc = add_line(a, plan->policy->headers[i], err);
  return rc;
}

/* Files come as they are, so that they can be resumed. */
static bool is_for_file(const struct gn_attempt_plan *plan) {
  return plan->request->download || plan->file;
}

static bool carries_body(const struct gn_request *r) {
  return r->body || strcmp(r->method, "POST") == 0 ||
         strcmp(r->method, "PUT") == 0;
}

/* Content-Type and Expect are switched off where libcurl would add its own. */
static int set_lines(struct gn_attempt *a, const struct gn_attempt_plan *plan,
                     struct gn_error *err) {
  const struct gn_request *r = plan->request;
  char range[64], if_range[300];
  size_t i;
  if (add_credential(a, plan, err) != 0)
    return -1;
  for (i = 0; !plan->foreign && i < r->header_count; i++)
    if (add_line(a, r->headers[i], err) != 0)
      return -1;
  if (is_for_file(plan) && add_line(a, "Accept-Encoding: identity", err) != 0)
    return -1;
  if (plan->file &&
      gn_download_lines(plan->file, range, sizeof range, if_range,
                        sizeof if_range) &&
      (add_line(a, range, err) != 0 || add_line(a, if_range, err) != 0))
    return -1;
  if (carries_body(r) &&
      ((!lines_have(a, "Content-Type:") &&
        add_line(a, "Content-Type:", err) != 0) ||
       add_line(a, "Expect:", err) != 0))
    return -1;
  return 0;
}

static void set_method(struct gn_attempt *a, const struct gn_request *r) {
  if (strcmp(r->method, "HEAD") == 0) {
    set_long(a, CURLOPT_NOBODY, 1);
    return;
  }
  if (carries_body(r)) {
    check(a, curl_easy_setopt(a->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                              (curl_off_t)r->body_len));
    check(a, curl_easy_setopt(a->easy, CURLOPT_POSTFIELDS,
                              r->body ? r->body : ""));
  }
  if (strcmp(r->method, "GET") != 0 || r->body)
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
  return 0;
}

static void set_tls(struct gn_attempt *a, const char *url) {
  const struct gn_policy *p = a->policy;
  bool http2 = p->http_version != 1 && strncasecmp(url, "https:", 6) == 0;
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
  /* Without TLS the first response would have to tell the version, and all
   * others would wait for it. */
  set_long(a, CURLOPT_PIPEWAIT, http2);
}

static void set_limits(struct gn_attempt *a,
                       const struct gn_attempt_plan *plan) {
  int64_t connect = a->policy->connect_timeout_ms;
  if (plan->timeout_ms > 0 && plan->timeout_ms < connect)
    connect = plan->timeout_ms;
  set_long(a, CURLOPT_CONNECTTIMEOUT_MS, (long)connect);
  set_long(a, CURLOPT_TIMEOUT_MS, (long)plan->timeout_ms);
  /* libcurl sends a request again by itself, and says nothing, when a reused
   * connection closes before the response. A creating request must not be;
   * and a server-supplied URL must meet the address policy. */
  set_long(a, CURLOPT_FRESH_CONNECT,
           !plan->request->safe || (plan->check_address && !a->own));
}

static void set_conduct(struct gn_attempt *a) {
  set_text(a, CURLOPT_PROTOCOLS_STR, "http,https");
  set_text(a, CURLOPT_USERAGENT, a->policy->user_agent);
  set_long(a, CURLOPT_LOW_SPEED_LIMIT, 1);
  set_long(a, CURLOPT_LOW_SPEED_TIME, a->policy->stall_seconds);
  set_long(a, CURLOPT_FOLLOWLOCATION, 0);
  set_long(a, CURLOPT_NOSIGNAL, 1);
  set_long(a, CURLOPT_QUICK_EXIT, 1);
  set_long(a, CURLOPT_NETRC, CURL_NETRC_IGNORED);
  set_long(a, CURLOPT_HTTP09_ALLOWED, 0);
  set_long(a, CURLOPT_PATH_AS_IS, 1);
  set_long(a, CURLOPT_TCP_NODELAY, 1);
  check(a, curl_easy_setopt(a->easy, CURLOPT_HEADERFUNCTION, on_header));
  check(a, curl_easy_setopt(a->easy, CURLOPT_WRITEFUNCTION, on_body));
  check(a, curl_easy_setopt(a->easy, CURLOPT_OPENSOCKETFUNCTION, on_open));
  check(a, curl_easy_setopt(a->easy, CURLOPT_CLOSESOCKETFUNCTION, on_close));
  check(a, curl_easy_setopt(a->easy, CURLOPT_CLOSESOCKETDATA, a->counters));
}

static void set_receiver(struct gn_attempt *a, void *self, char *text) {
  check(a, curl_easy_setopt(a->easy, CURLOPT_HEADERDATA, self));
  check(a, curl_easy_setopt(a->easy, CURLOPT_WRITEDATA, self));
  check(a, curl_easy_setopt(a->easy, CURLOPT_OPENSOCKETDATA, self));
  check(a, curl_easy_setopt(a->easy, CURLOPT_ERRORBUFFER, text));
}

uint64_t gn_attempt_setup(const struct gn_attempt_plan *plan) {
  return !plan->check_address && !is_for_file(plan) &&
                 gn_policy_at_base(plan->policy, plan->url)
             ? plan->policy->serial : 0;
}

/* What stays as it is for all requests of one client to its base. */
static int set_up(struct gn_attempt *a, const struct gn_attempt_plan *plan,
                  struct gn_error *err) {
  set_conduct(a);
  /* The header line is libcurl's, the unpacking is not: it takes a gzip body
   * that was cut for whole. */
  if (is_for_file(plan))
    set_long(a, CURLOPT_BUFFERSIZE, FILE_BUFFER);
  else
    set_text(a, CURLOPT_ACCEPT_ENCODING, "gzip");
  set_long(a, CURLOPT_HTTP_CONTENT_DECODING, 0);
  set_tls(a, plan->url);
  return set_proxy(a, plan->url, err);
}

static int begin(struct gn_attempt *a, const struct gn_attempt_plan *plan,
                 struct gn_error *err) {
  memset(a, 0, sizeof *a);
  gn_error_clear(err);
  gn_buf_init(&a->copy, plan->policy->max_body);
  a->policy = plan->policy;
  a->headers = &plan->result->headers;
  a->memory = plan->result->body;
  a->file = plan->file;
  a->counters = plan->counters;
  a->connects = -1;
  a->check_address = plan->check_address;
  a->own = gn_policy_owns(plan->policy, plan->url);
  a->base = a->own && gn_policy_is_base(plan->policy, plan->url);
  a->deflate = asks_for_deflate(plan->request);
  gn_buf_reset(a->headers);
  /* One allocation for a usual block; if it fails, so will the first line. */
  gn_buf_reserve(a->headers, USUAL_HEADERS);
  if (gn_sink_begin(a->memory, err) != 0 ||
      (a->file && gn_download_prepare(a->file, err) != 0))
    return -1;
  return 0;
}

int gn_attempt_stage(struct gn_attempt *a, const struct gn_attempt_plan *plan,
                     struct gn_error *err) {
  return begin(a, plan, err) == 0 ? set_lines(a, plan, err) : -1;
}

int gn_attempt_prepare(struct gn_attempt *a, CURL *easy, uint64_t setup,
                       const struct gn_attempt_plan *plan,
                       struct gn_error *err) {
  int rc = begin(a, plan, err);
  a->easy = easy;
  if (rc != 0)
    return -1;
  a->setup = gn_attempt_setup(plan);
  if (setup == 0 || setup != a->setup) {
    curl_easy_reset(easy);
    if (set_up(a, plan, err) != 0)
      return -1;
  } else {
    a->uses_proxy = *gn_policy_proxy(a->policy, &a->policy->origin) != '\0';
  }
  set_text(a, CURLOPT_URL, plan->url);
  set_receiver(a, a, a->text);
  set_limits(a, plan);
  set_method(a, plan->request);
  if (set_lines(a, plan, err) != 0)
    return -1;
  check(a, curl_easy_setopt(easy, CURLOPT_HTTPHEADER, a->lines));
  if (a->setopt_rc == CURLE_OUT_OF_MEMORY)
    return gn_error_memory(err);
  if (a->setopt_rc != CURLE_OK)
    return gn_error_set(err, GN_TRANSPORT, "setup",
                        "libcurl refused an option: %s",
                        curl_easy_strerror(a->setopt_rc));
  return 0;
}

/* A connection that is cut cannot look like this end. */
static bool is_framed(struct gn_attempt *a) {
  curl_off_t length = -1;
  long version = 0;
  size_t len;
  if (!a->easy)
    return true;
  curl_easy_getinfo(a->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
  curl_easy_getinfo(a->easy, CURLINFO_HTTP_VERSION, &version);
  return length >= 0 || version >= CURL_HTTP_VERSION_2_0 ||
         gn_headers_find(a->headers, "Transfer-Encoding", &len);
}

/* What ended well for libcurl need not be whole: it does not know codings and
 * the size of files. */
static CURLcode end_body(struct gn_attempt *a, CURLcode rc) {
  struct gn_error err;
  bool good, empty = !a->body_started;
  long status = status_of(a);
  if (rc != CURLE_OK)
    return rc;
  good = a->file && status >= 200 && status < 300;
  if (good && empty && begin_body(a) != 0)
    return CURLE_WRITE_ERROR;
  if ((empty || gn_body_end(&a->body, &err) == 0) &&
      (!good || gn_download_end(a->file, is_framed(a), &err) == 0))
    return CURLE_OK;
  snprintf(a->text, sizeof a->text, "%.200s", err.message);
  return CURLE_PARTIAL_FILE;
}

/* Whatever is a matter of framing, a damaged chunk too: what came before it may
 * be no part of the file. */
static CURLcode check_framing(struct gn_attempt *a, CURLcode rc) {
  curl_off_t first_byte = 0;
  struct gn_framing f = {rc, a->headers, false, a->head_ended, a->text};
  CURLcode result;
  curl_easy_getinfo(a->easy, CURLINFO_STARTTRANSFER_TIME_T, &first_byte);
  f.answering = first_byte > 0;
  result = gn_framing_result(&f);
  if (a->to_file && (result != rc || result == CURLE_WEIRD_SERVER_REPLY))
    gn_download_distrust(a->file);
  return result;
}

CURLcode gn_attempt_feed(struct gn_attempt *a, long status,
                         const char *headers, size_t headers_len,
                         const char *body, size_t body_len) {
  a->supplied = status;
  if (headers_len && on_header((char *)headers, 1, headers_len, a) == 0)
    return CURLE_WRITE_ERROR;
  if (body_len && on_body((char *)body, 1, body_len, a) == 0)
    return CURLE_WRITE_ERROR;
  return CURLE_OK;
}

/* Whether any byte of the request may have left. */
static bool was_sent(struct gn_attempt *a, CURLcode rc) {
  curl_off_t sent_after = 0;
  if (!a->easy)
    return rc != CURLE_COULDNT_CONNECT && rc != CURLE_COULDNT_RESOLVE_HOST;
  curl_easy_getinfo(a->easy, CURLINFO_PRETRANSFER_TIME_T, &sent_after);
  return sent_after > 0;
}

void gn_attempt_outcome(struct gn_attempt *a, CURLcode rc,
                        struct gn_outcome *o) {
  long connect_code = 0;
  rc = end_body(a, rc);
  if (a->easy)
    rc = check_framing(a, rc);
  memset(o, 0, sizeof *o);
  o->curl_code = (int)rc;
  o->retry_after = -1;
  o->blocked = a->blocked;
  o->status = status_of(a);
  o->sent = was_sent(a, rc);
  if (a->easy) {
    curl_easy_getinfo(a->easy, CURLINFO_HTTP_CONNECTCODE, &connect_code);
    if (o->sent)
      curl_easy_getinfo(a->easy, CURLINFO_NUM_CONNECTS, &a->connects);
  }
  o->proxy_refused = rc != CURLE_OK ? connect_code >= 300
                                    : a->uses_proxy && o->status == 407;
  if (o->status >= 300)
    o->retry_after = gn_retry_after_of(a->headers, gn_wall_time());
  if (rc == CURLE_OK && o->status >= 400)
    gn_retry_read_body(gn_sink_data(a->memory) ? gn_sink_data(a->memory) : "",
                       gn_sink_size(a->memory), o);
}

/* Nothing of this request may reach the next one: no pointer, no method. */
static void forget_request(struct gn_attempt *a) {
  set_receiver(a, NULL, NULL);
  check(a, curl_easy_setopt(a->easy, CURLOPT_HTTPHEADER, NULL));
  set_text(a, CURLOPT_CUSTOMREQUEST, NULL);
  check(a, curl_easy_setopt(a->easy, CURLOPT_POSTFIELDS, NULL));
  check(a, curl_easy_setopt(a->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                            (curl_off_t)-1));
  set_long(a, CURLOPT_HTTPGET, 1);
}

CURL *gn_attempt_release(struct gn_attempt *a, uint64_t *setup) {
  CURL *easy = a->easy;
  struct curl_slist *line;
  *setup = 0;
  for (line = a->lines; line; line = line->next)
    gn_wipe(line->data, strlen(line->data));
  if (easy && a->setup)
    forget_request(a);
  if (a->setopt_rc == CURLE_OK)
    *setup = a->setup;
  if (easy && *setup == 0)
    curl_easy_reset(easy);
  curl_slist_free_all(a->lines);
  gn_body_free(&a->body);
  gn_buf_free(&a->copy);
  a->lines = NULL;
  a->easy = NULL;
  return easy;
}
