/* Owns: libcurl's callbacks, the lines of a request, and what an attempt came
 * to. Must not: follow redirects, retry, or touch anything but its own buffers.
 */
#include "posix.h"

#include "attempt.h"

#include "address.h"
#include "alloc.h"
#include "clock.h"
#include "framing.h"
#include "head.h"
#include "inherited.h"
#include "platform.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEPT_HEAD 16384 /* bytes of room for header lines that stay */

size_t gn_attempt_on_header(char *data, size_t size, size_t count, void *arg) {
  struct gn_attempt *a = arg;
  size_t len = size * count;
  bool begins = len >= 5 && memcmp(data, "HTTP/", 5) == 0;
  a->header_bytes += len;
  if (a->header_bytes > a->policy->max_headers) {
    gn_error_set(&a->sink_error, GN_TOO_LARGE, "headers",
                 "the header lines pass the limit of %zu bytes",
                 a->policy->max_headers);
    return 0;
  }
  /* What comes behind the block is a trailer, also where no body came. */
  if (a->body_started || (a->head_ended && !begins))
    return len;
  /* libcurl refuses it on the wire; who reads headers relies on it. */
  if (memchr(data, '\0', len)) {
    gn_error_set(&a->sink_error, GN_PROTOCOL, "framing",
                 "the header lines hold a NUL");
    return 0;
  }
  /* libcurl shows interim responses too: each status line starts anew. */
  if (begins) {
    gn_buf_reset(&a->head);
    a->head_ended = false;
    a->marks = 0;
  } else if (gn_buf_append(&a->head, data, len) != GN_BUF_OK) {
    gn_error_memory(&a->sink_error);
    return 0;
  }
  /* Who answers in libcurl's place brings all lines at once. */
  a->marks = a->live ? gn_head_mark(a->marks, data, len) : GN_HEAD_ANY;
  a->head_ended = a->head_ended || *data == '\r' || *data == '\n';
  return len;
}

/* Not asked for before it is the last response's. */
static long status_of(struct gn_attempt *a) {
  if (a->live && a->status == 0)
    curl_easy_getinfo(a->setup.easy, CURLINFO_RESPONSE_CODE, &a->status);
  return a->status;
}

/* The header block is there, and a body or its end comes. What goes to a file
 * stays if it is cut, so its framing is looked at before. */
static int begin_body(struct gn_attempt *a) {
  struct gn_sink *sink = a->memory;
  const char *wrong = a->file && a->live
                          ? gn_framing_contradiction(&a->head) : NULL;
  long status = status_of(a);
  curl_off_t length = -1;
  bool good = status >= 200 && status < 300;
  unsigned coded = a->marks & GN_HEAD_CODING;
  a->body_started = true;
  if (wrong)
    return gn_error_set(&a->sink_error, GN_PROTOCOL, "framing", "%s", wrong);
  a->to_file = a->file && good;
  if (a->live && (a->to_file || a->marks & GN_HEAD_LENGTH))
    curl_easy_getinfo(a->setup.easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T,
                      &length);
  if (a->to_file) {
    sink = a->file->sink;
    if (gn_download_response(a->file, status, &a->head, length,
                             &a->sink_error) != 0)
      return -1;
  } else if (length > 0 && !coded && !a->rows) {
    gn_sink_expect(sink, (uint64_t)length);
  }
  if (a->rows && good)
    sink = gn_rows_begin(a->rows);
  return gn_body_begin(&a->body, sink, coded ? &a->head : NULL, a->deflate,
                       !good, &a->sink_error);
}

void gn_attempt_copy(struct gn_attempt *a, const char *data, size_t len) {
  if (a->policy->record && gn_buf_append(&a->copy, data, len) != GN_BUF_OK)
    a->copy_cut = true;
}

size_t gn_attempt_on_body(char *data, size_t size, size_t count, void *arg) {
  struct gn_attempt *a = arg;
  size_t len = size * count;
  if (!a->body_started && begin_body(a) != 0)
    return 0;
  if (a->rows && a->live && gn_rows_hold(a->rows))
    return CURL_WRITEFUNC_PAUSE;
  a->received += len;
  if (a->to_file)
    gn_attempt_copy(a, data, len);
  if (gn_body_write(&a->body, data, len, &a->sink_error) != 0)
    return 0;
  if (a->file && a->body.sink != a->memory)
    gn_download_tell(a->file);
  return len;
}

curl_socket_t gn_attempt_on_open(void *arg, curlsocktype purpose,
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

int gn_attempt_on_connected(void *arg, char *to, char *from, int to_port,
                            int from_port) {
  struct gn_attempt *a = arg;
  (void)to, (void)from, (void)to_port;
  a->connected = from_port;
  return CURL_PREREQFUNC_OK;
}

int gn_attempt_on_close(void *counters, curl_socket_t fd) {
  gn_counters_add(counters, GN_COUNT_OPEN, -1);
  gn_inherited_remove(fd);
  return close(fd);
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
    if (gn_lines_same_name("Accept-Encoding:", r->headers[i]) &&
        mentions(r->headers[i], "deflate"))
      return true;
  return false;
}

static int add_credential(struct gn_attempt *a,
                          const struct gn_attempt_plan *plan,
                          struct gn_error *err) {
  const struct gn_policy *p = plan->policy;
  char *line = p->transport ? NULL
                            : gn_policy_credential(plan->policy,
                                                   plan->request->scope, err);
  size_t i;
  if (!line && err->kind != GN_OK)
    return -1;
  if (line && gn_request_has_header(plan->request, line)) {
    gn_wipe(line, strlen(line));
    gn_free(line);
  } else if (line) {
    a->has_credential = true;
    if (gn_lines_take(&a->lines, line, err) != 0)
      return -1;
  }
  for (i = 0; i < p->header_count; i++)
    if (!gn_request_has_header(plan->request, p->headers[i]) &&
        gn_lines_add(&a->lines, p->headers[i], err) != 0)
      return -1;
  return 0;
}

/* Files come as they are, so that they can be resumed. */
bool gn_attempt_is_for_file(const struct gn_attempt_plan *plan) {
  return plan->request->download || plan->file;
}

static int add_range(struct gn_lines *l, const struct gn_download *file,
                     struct gn_error *err) {
  char range[64], if_range[300];
  if (!gn_download_lines(file, range, sizeof range, if_range,
                         sizeof if_range))
    return 0;
  return gn_lines_take(l, gn_strdup(range), err) == 0
             ? gn_lines_take(l, gn_strdup(if_range), err) : -1;
}

/* Content-Type and Expect are switched off where libcurl would add its own. */
static int add_request(struct gn_attempt *a, const struct gn_attempt_plan *plan,
                       struct gn_error *err) {
  const struct gn_request *r = plan->request;
  struct gn_lines *l = &a->lines;
  size_t i;
  for (i = 0; !plan->foreign && i < r->header_count; i++)
    if (gn_lines_add(l, r->headers[i], err) != 0)
      return -1;
  if (gn_attempt_is_for_file(plan) &&
      gn_lines_add(l, "Accept-Encoding: identity", err) != 0)
    return -1;
  if (plan->file && add_range(l, plan->file, err) != 0)
    return -1;
  if (gn_request_carries_body(r) &&
      ((!gn_lines_have(l, "Content-Type:") &&
        gn_lines_add(l, "Content-Type:", err) != 0) ||
       gn_lines_add(l, "Expect:", err) != 0))
    return -1;
  return 0;
}

/* What libcurl would add by options, but write letter by letter twice. */
static int add_usual(struct gn_attempt *a, struct gn_error *err) {
  const char *agent = a->policy->agent_line;
  struct gn_lines *l = &a->lines;
  l->told = l->count;
  if (!a->uses_proxy && !gn_lines_have(l, agent) &&
      gn_lines_add(l, agent, err) != 0)
    return -1;
  return gn_lines_have(l, "Accept-Encoding:")
             ? 0 : gn_lines_add(l, "Accept-Encoding: gzip", err);
}

static int set_lines(struct gn_attempt *a, const struct gn_attempt_plan *plan,
                     struct gn_error *err) {
  if ((!plan->foreign && a->own && add_credential(a, plan, err) != 0) ||
      add_request(a, plan, err) != 0)
    return -1;
  return add_usual(a, err);
}

static int begin(struct gn_attempt *a, const struct gn_attempt_plan *plan,
                 struct gn_error *err) {
  memset(&a->exchange, 0, sizeof *a - offsetof(struct gn_attempt, exchange));
  gn_error_clear(err);
  gn_error_clear(&a->sink_error);
  a->text[0] = '\0';
  gn_buf_init(&a->copy, plan->policy->max_body);
  a->exchange = plan->exchange;
  a->policy = plan->policy;
  a->headers = &plan->result->headers;
  a->memory = plan->result->body;
  a->file = plan->file;
  a->rows = plan->rows;
  a->counters = plan->counters;
  a->connects = -1;
  a->check_address = plan->check_address;
  a->own = plan->at_base || gn_policy_owns(plan->policy, plan->url);
  a->base = plan->at_base ||
            (a->own && gn_policy_is_base(plan->policy, plan->url));
  a->deflate = asks_for_deflate(plan->request);
  a->head.max = plan->policy->max_headers;
  gn_buf_reset(&a->head);
  gn_buf_reset(a->headers);
  if (a->rows)
    gn_rows_reset(a->rows);
  if (gn_sink_begin(a->memory, err) != 0 ||
      (a->file && gn_download_prepare(a->file, err) != 0))
    return -1;
  return 0;
}

int gn_attempt_prepare(struct gn_attempt *a,
                       const struct gn_attempt_plan *plan,
                       struct gn_error *err) {
  if (begin(a, plan, err) != 0)
    return -1;
  a->live = true;
  if (gn_setup_apply(a, plan, err) != 0 || set_lines(a, plan, err) != 0)
    return -1;
  return gn_setup_lines(a, err);
}

int gn_attempt_stage(struct gn_attempt *a, const struct gn_attempt_plan *plan,
                     struct gn_error *err) {
  return begin(a, plan, err) == 0 ? set_lines(a, plan, err) : -1;
}

/* A connection that is cut cannot look like this end. In HTTP/2 a stream can:
 * libcurl takes one for whole that is reset without an error. */
static bool is_framed(struct gn_attempt *a) {
  CURL *easy = a->setup.easy;
  curl_off_t length = -1;
  size_t len;
  if (!a->live)
    return true;
  curl_easy_getinfo(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
  return length >= 0 ||
         gn_headers_find(&a->head, "Transfer-Encoding", &len);
}

/* What ended well for libcurl need not be whole: it does not know codings and
 * the size of files. */
static CURLcode end_body(struct gn_attempt *a, CURLcode rc) {
  struct gn_error err;
  bool good, empty = !a->body_started;
  long status = status_of(a);
  if (rc != CURLE_OK)
    return rc;
  good = (a->file || a->rows) && status >= 200 && status < 300;
  if (good && empty && begin_body(a) != 0)
    return CURLE_WRITE_ERROR;
  if ((empty || gn_body_end(&a->body, &err) == 0) &&
      (!good || !a->file ||
       gn_download_end(a->file, is_framed(a), &err) == 0) &&
      (!good || !a->rows || gn_rows_end(a->rows, &err) == 0))
    return CURLE_OK;
  if (a->rows && strcmp(err.code, "incomplete") != 0) {
    a->sink_error = err;
    return CURLE_WRITE_ERROR;
  }
  snprintf(a->text, sizeof a->text, "%.200s", err.message);
  return CURLE_PARTIAL_FILE;
}

/* Whatever is a matter of framing, a damaged chunk too: what came before it may
 * be no part of the file. */
static CURLcode check_framing(struct gn_attempt *a, CURLcode rc) {
  curl_off_t first_byte = 0;
  struct gn_framing f = {rc, &a->head, false, a->head_ended,
                         !(a->marks & GN_HEAD_FRAMING), a->text};
  CURLcode result;
  if (rc != CURLE_OK)
    curl_easy_getinfo(a->setup.easy, CURLINFO_STARTTRANSFER_TIME_T,
                      &first_byte);
  f.answering = first_byte > 0;
  result = gn_framing_result(&f);
  if (a->to_file && (result != rc || result == CURLE_WEIRD_SERVER_REPLY))
    gn_download_distrust(a->file);
  return result;
}

CURLcode gn_attempt_feed(struct gn_attempt *a, long status,
                         const char *headers, size_t headers_len,
                         const char *body, size_t body_len) {
  a->status = status;
  if (headers_len &&
      gn_attempt_on_header((char *)headers, 1, headers_len, a) == 0)
    return CURLE_WRITE_ERROR;
  if (body_len && gn_attempt_on_body((char *)body, 1, body_len, a) == 0)
    return CURLE_WRITE_ERROR;
  return CURLE_OK;
}

/* Whether any byte of the request may have left. */
static bool was_sent(struct gn_attempt *a, CURLcode rc) {
  curl_off_t sent_after = 0;
  if (!a->live)
    return rc != CURLE_COULDNT_CONNECT && rc != CURLE_COULDNT_RESOLVE_HOST;
  if (rc == CURLE_OK)
    return true;
  curl_easy_getinfo(a->setup.easy, CURLINFO_PRETRANSFER_TIME_T, &sent_after);
  return sent_after > 0;
}

/* One block of just the size; what the lines were collected in stays. */
static CURLcode give_head(struct gn_attempt *a, CURLcode rc) {
  gn_buf_expect(a->headers, a->head.len);
  if (gn_buf_append(a->headers, a->head.data, a->head.len) == GN_BUF_OK)
    return rc;
  gn_error_memory(&a->sink_error);
  return CURLE_WRITE_ERROR;
}

void gn_attempt_outcome(struct gn_attempt *a, CURLcode rc,
                        struct gn_outcome *o) {
  CURL *easy = a->setup.easy;
  long connect_code = 0;
  rc = give_head(a, rc);
  rc = end_body(a, rc);
  if (a->live)
    rc = check_framing(a, rc);
  memset(o, 0, sizeof *o);
  o->curl_code = (int)rc;
  o->retry_after = -1;
  o->blocked = a->blocked;
  o->status = status_of(a);
  o->sent = was_sent(a, rc);
  if (a->live && rc != CURLE_OK)
    curl_easy_getinfo(easy, CURLINFO_HTTP_CONNECTCODE, &connect_code);
  if (a->live && o->sent)
    curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &a->connects);
  o->proxy_refused = rc != CURLE_OK ? connect_code >= 300
                                    : a->uses_proxy && o->status == 407;
  if (o->status >= 300)
    o->retry_after = gn_retry_after_of(&a->head, gn_wall_time());
  if (rc == CURLE_OK && o->status >= 400)
    gn_retry_read_body(gn_sink_data(a->memory) ? gn_sink_data(a->memory) : "",
                       gn_sink_size(a->memory), o);
}

struct gn_attempt *gn_attempt_new(void) {
  return gn_alloc_zero(sizeof(struct gn_attempt));
}

void gn_attempt_release(struct gn_attempt *a) {
  gn_lines_clear(&a->lines);
  if (a->live)
    gn_setup_forget(&a->setup, a->setopt_rc != CURLE_OK);
  gn_body_free(&a->body);
  gn_buf_free(&a->copy);
  if (a->head.capacity > KEPT_HEAD)
    gn_buf_free(&a->head);
  a->exchange = NULL;
  a->headers = NULL;
  a->memory = NULL;
  a->file = NULL;
  a->rows = NULL;
}

void gn_attempt_free(struct gn_attempt *a) {
  if (!a)
    return;
  gn_setup_destroy(&a->setup);
  gn_buf_free(&a->head);
  gn_free(a);
}
