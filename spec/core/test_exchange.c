/* Owns: the checks of one logical request over a real socket: verdicts, retries
 * and their record, deadlines, limits, files, and requests that create.
 * Must not: check origins and credentials; test_exchange_origin.c does.
 */
#define _GNU_SOURCE
#include "rig.h"

#include "alloc.h"
#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* What `arg` of the handlers says. */
struct plan {
  int failures;        /* so many first requests get: */
  int status;          /* this status; 0: a reset, -1: a close, -2: a stall */
  const char *headers; /* with these headers */
};

/* No connection is used twice: on one that was, libcurl would send again. */
static void fail_first(struct server_request *r, void *arg) {
  const struct plan p = *(const struct plan *)arg;
  char headers[256];
  snprintf(headers, sizeof headers, "Connection: close\r\n%s",
           p.headers ? p.headers : "");
  server_close(r);
  if ((int)server_hits(r->server, "/") > p.failures)
    server_answer(r, 200, "Connection: close\r\n", "fine");
  else if (p.status > 0)
    server_answer(r, p.status, headers, "no");
  else if (p.status == -2)
    server_stall(r, 60000);
  else if (p.status == 0)
    server_reset(r);
}

static struct gn_event *after(struct rig *g, const struct plan *p,
                              struct gn_request *r, enum gn_kind kind,
                              const char *code, unsigned sends) {
  struct gn_event *event;
  server_forget(g->server);
  server_set(g->server, fail_first, (void *)(size_t)p);
  event = rig_expect(g, r, kind, code);
  assert_int_equal(server_hits(g->server, "/"), sends);
  server_quiet(g->server);
  return event;
}

static void test_retries(void **state) {
  static const struct {
    struct plan plan;
    enum gn_kind kind;
    const char *code, *why;
    unsigned sends;
    bool retryable;
  } rows[] = {
    {{2, 503, NULL}, GN_OK, NULL, "backoff", 3, false},
    {{1, 500, NULL}, GN_OK, NULL, "backoff", 2, false},
    {{1, 502, NULL}, GN_OK, NULL, "backoff", 2, false},
    {{1, 504, NULL}, GN_OK, NULL, "backoff", 2, false},
    {{1, 429, NULL}, GN_OK, NULL, "throttled", 2, false},
    {{1, 0, NULL}, GN_OK, NULL, "backoff", 2, false},
    {{1, -1, NULL}, GN_OK, NULL, "backoff", 2, false},
    {{9, 503, NULL}, GN_SERVER, "503", "backoff", 4, true},
    {{9, 429, NULL}, GN_THROTTLED, "429", "throttled", 4, true},
    {{9, 0, NULL}, GN_TRANSPORT, "reset", "backoff", 4, true},
    {{9, 400, NULL}, GN_INVALID, "400", "final", 1, false},
    {{9, 401, NULL}, GN_UNAUTHENTICATED, "401", "final", 1, false},
    {{9, 403, NULL}, GN_FORBIDDEN, "403", "final", 1, false},
    {{9, 404, NULL}, GN_NOT_FOUND, "404", "final", 1, false},
    {{9, 520, NULL}, GN_SERVER, "520", "backoff", 2, true},
    {{1, 425, NULL}, GN_OK, NULL, "backoff", 2, false},
    {{9, 501, NULL}, GN_SERVER, "501", "final", 1, false},
    {{9, 304, NULL}, GN_PROTOCOL, "304", "final", 1, false},
  };
  struct rig *g = *state;
  size_t i;
  for (i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct gn_event *event = after(g, &rows[i].plan, rig_request(g, "GET", "/"),
                                   rows[i].kind, rows[i].code, rows[i].sends);
    const struct gn_result *r = event->result;
    assert_int_equal(r->record_count, rows[i].sends);
    assert_string_equal(r->records[0].why, rows[i].why);
    assert_int_equal(r->retryable, rows[i].retryable);
    if (rows[i].plan.status > 0)
      assert_int_equal(r->records[0].status, rows[i].plan.status);
    if (rows[i].sends == 4)
      assert_string_equal(r->records[3].why, "attempts used up");
    if (rows[i].kind == GN_OK)
      assert_string_equal(r->records[r->record_count - 1].why, "");
    gn_event_free(event);
  }
}

static void test_attempts_of_a_request(void **state) {
  static const struct plan p = {9, 503, NULL};
  struct rig *g = *state;
  struct gn_request *r = rig_request(g, "GET", "/");
  r->attempts = 2;
  gn_event_free(after(g, &p, r, GN_SERVER, "503", 2));
}

static void test_retry_after(void **state) {
  static const struct {
    const char *headers;
    double least, most; /* seconds waited; least < 0: not sent again */
  } rows[] = {
    {"Retry-After: 1\r\n", 1, 2.5},
    {"Retry-After: 0\r\n", 0, 0.9},
    {"Retry-After: soon\r\n", 0, 0.9},
    {"Retry-After: -5\r\n", 0, 0.9},
    {"Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n", 0, 0.9},
    {"Retry-After: 6\r\n", -1, 0},
    {"Retry-After: 1000000000000\r\n", -1, 0},
    {"Retry-After: Fri, 06 Nov 2099 08:49:37 GMT\r\n", -1, 0},
  };
  struct rig *g = *state;
  size_t i;
  g->options.max_wait = 5;
  rig_policy(g);
  for (i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct plan p = {1, 429, rows[i].headers};
    bool again = rows[i].least >= 0;
    int64_t start = gn_now_ms();
    struct gn_event *event = after(g, &p, rig_request(g, "GET", "/"),
                                   again ? GN_OK : GN_THROTTLED, NULL,
                                   again ? 2 : 1);
    double took = (double)(gn_now_ms() - start) / 1000;
    const struct gn_result *r = event->result;
    if (took < rows[i].least || took > rows[i].most + 4)
      fail_msg("row %zu took %g s", i, took);
    if (again) {
      assert_true(r->records[0].waited >= rows[i].least);
    } else {
      assert_string_equal(r->records[0].why, "max_wait");
      assert_true(r->retry_after > 5 && r->retryable);
    }
    gn_event_free(event);
  }
}

/* Fails at once, with the last error, if the wait would pass the deadline. */
static void test_retry_after_and_deadline(void **state) {
  static const struct plan p = {9, 503, "Retry-After: 20\r\n"};
  struct rig *g = *state;
  struct gn_request *r = rig_request(g, "GET", "/");
  int64_t start = gn_now_ms();
  struct gn_event *event;
  r->timeout_ms = 10000;
  event = after(g, &p, r, GN_SERVER, "503", 1);
  assert_string_equal(event->result->records[0].why, "deadline");
  assert_in_range(gn_now_ms() - start, 0, 9000);
  gn_event_free(event);
}

static void test_deadline(void **state) {
  static const struct plan p = {99, -2, NULL};
  struct rig *g = *state;
  struct gn_request *r = rig_request(g, "GET", "/");
  int64_t start = gn_now_ms();
  r->timeout_ms = 300;
  gn_event_free(after(g, &p, r, GN_TIMEOUT, "deadline", 1));
  assert_in_range(gn_now_ms() - start, 299, 3000);
}

static void drip(struct server_request *r, void *arg) {
  int i;
  (void)arg;
  server_send(r, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
  for (i = 0; i < 3; i++) {
    server_send(r, "x");
    server_stall(r, 100);
  }
  server_stall(r, 60000);
  server_close(r);
}

static void test_stall(void **state) {
  struct rig *g = *state;
  struct gn_request *r = rig_request(g, "GET", "/drip");
  int64_t start = gn_now_ms();
  g->options.stall_timeout = 1;
  rig_policy(g);
  server_set(g->server, drip, NULL);
  r->download = true;
  r->attempts = 1;
  gn_event_free(rig_expect(g, r, GN_TIMEOUT, "stall"));
  assert_in_range(gn_now_ms() - start, 900, 8000);
}

/* A stall limit that libcurl cannot hold must not break requests. */
static void test_long_limits(void **state) {
  struct rig *g = *state;
  g->options.stall_timeout = 1e6;
  g->options.timeout = 1e9;
  g->options.connect_timeout = 1e9;
  rig_policy(g);
  gn_event_free(rig_expect(g, rig_request(g, "GET", "/"), GN_OK, NULL));
}

static void test_refused(void **state) {
  struct rig *g = *state;
  struct gn_event *event;
  struct gn_request *r;
  char url[64];
  snprintf(url, sizeof url, "http://127.0.0.1:%u/", server_dead_port());
  r = rig_request(g, "POST", url); /* not safe, but surely not sent */
  event = rig_expect(g, r, GN_TRANSPORT, "connect");
  assert_int_equal(event->result->record_count, 4);
  gn_event_free(event);
}

static void test_retry_budget(void **state) {
  static const struct plan p = {100000, 503, NULL};
  struct rig *g = *state;
  unsigned i, used_up = 0;
  server_set(g->server, fail_first, (void *)(size_t)&p);
  for (i = 0; i < 30; i++)
    rig_get(g, "/storm");
  for (i = 0; i < 30; i++) {
    struct gn_event *event = rig_next(g);
    const struct gn_result *r = event->result;
    const char *why = r->records[r->record_count - 1].why;
    rig_error_is(&r->error, GN_SERVER, "503");
    used_up += strcmp(why, "retry budget") == 0;
    gn_event_free(event);
  }
  assert_true(used_up > 0);
  assert_int_equal(server_hits(g->server, "/storm"), 30 + 500 / 14);
}

/* ---- what comes back ---- */

static void raw(struct server_request *r, void *arg) {
  server_send(r, arg);
  server_close(r);
}

static void test_responses(void **state) {
  static const struct {
    const char *text;
    enum gn_kind kind;
    const char *code, *body;
  } rows[] = {
    {"HTTP/1.1 100 Continue\r\nX-A: 1\r\n\r\nHTTP/1.1 103 Hints\r\n\r\n"
     "HTTP/1.1 200 OK\r\nX-B: 2\r\nContent-Length: 2\r\n\r\nhi",
     GN_OK, NULL, "hi"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
     "2\r\nhi\r\n0\r\n\r\n", GN_OK, NULL, "hi"},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-B: 2\r\n\r\n"
     "0\r\nX-A: 1\r\n\r\n", GN_OK, NULL, ""},
    {"HTTP/1.1 204 No Content\r\n\r\n", GN_OK, NULL, ""},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi",
     GN_PROTOCOL, "incomplete", NULL},
    {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", GN_PROTOCOL,
     "incomplete", NULL},
    {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi",
     GN_PROTOCOL, "encoding", NULL},
    {"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\nhi",
     GN_PROTOCOL, "encoding", NULL},
    {"HTTP/1.1 400 No\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nhi",
     GN_INVALID, "400", NULL},
    {"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n",
     GN_OK, NULL, ""},
    {"SSH-2.0-x\r\n", GN_PROTOCOL, "framing", NULL},
    {"", GN_TRANSPORT, "reset", NULL},
  };
  struct rig *g = *state;
  size_t i, len;
  for (i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct gn_request *r = rig_request(g, "GET", "/");
    struct gn_event *event;
    server_set(g->server, raw, (void *)(size_t)rows[i].text);
    r->attempts = 1;
    event = rig_expect(g, r, rows[i].kind, rows[i].code);
    if (i == 0 || i == 2) {
      assert_null(gn_headers_find(&event->result->headers, "X-A", &len));
      assert_non_null(gn_headers_find(&event->result->headers, "x-b", &len));
    }
    if (rows[i].body)
      rig_body(event, rows[i].body);
    else
      gn_event_free(event);
  }
}

#define GZIP_HELLO \
  "\x1f\x8b\x08\0\0\0\0\0\0\3\xcb\x48\xcd\xc9\xc9\x07\0\x86\xa6\x10\x36" \
  "\x05\0\0"

/* libcurl would take what is cut off for nothing. The last byte, a zero, is
 * the string's own. */
static void cut_gzip_once(struct server_request *r, void *arg) {
  static const char hello[] = GZIP_HELLO;
  size_t len = sizeof hello - (server_hits(r->server, "/") == 1);
  char head[128];
  int n = snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Encoding: "
                   "gzip\r\nContent-Length: %zu\r\n\r\n", len);
  (void)arg;
  server_write(r, head, (size_t)n);
  server_write(r, hello, len);
}

static void test_gzip_cut(void **state) {
  struct rig *g = *state;
  struct gn_event *event;
  server_set(g->server, cut_gzip_once, NULL);
  event = rig_done(g, rig_get(g, "/"));
  assert_int_equal(event->result->record_count, 2);
  assert_string_equal(event->result->records[0].code, "incomplete");
  assert_string_equal(server_header(server_request(g->server, 0),
                                    "Accept-Encoding"), "gzip");
  rig_body(event, "hello");
  server_forget(g->server);
  event = rig_expect(g, rig_request(g, "POST", "/"), GN_IN_DOUBT, NULL);
  assert_int_equal(server_hits(g->server, "/"), 1);
  gn_event_free(event);
}

static void flood(struct server_request *r, void *arg) {
  const char *kind = arg;
  int i;
  if (strcmp(kind, "headers") == 0)
    server_send(r, "HTTP/1.1 200 OK\r\n");
  if (strcmp(kind, "body") == 0)
    server_send(r, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (i = 0; i < 4000; i++)
    server_send(r, strcmp(kind, "headers") == 0 ? "X-Flood: 0123456789abcde\r\n"
                   : strcmp(kind, "body") == 0
                       ? "10\r\n0123456789abcdef\r\n"
                       : "HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n");
  server_close(r);
}

static void test_too_large(void **state) {
  static const char *const kinds[] = {"headers", "body", "interim"};
  struct rig *g = *state;
  size_t i;
  g->options.max_headers = 8192;
  g->options.max_body = 8192;
  rig_policy(g);
  for (i = 0; i < 3; i++) {
    struct gn_event *event;
    server_forget(g->server);
    server_set(g->server, flood, (void *)(size_t)kinds[i]);
    event = rig_expect(g, rig_request(g, "GET", "/"), GN_TOO_LARGE,
                       i == 1 ? "body" : "headers");
    assert_int_equal(server_hits(g->server, "/"), 1);
    gn_event_free(event);
  }
}

static void echo(struct server_request *r, void *arg) {
  const char *type = server_header(r, "Content-Type");
  char text[256];
  (void)arg;
  snprintf(text, sizeof text, "%s %s %s", r->method, type ? type : "-",
           r->body);
  server_answer(r, 200, NULL, text);
}

static void test_methods(void **state) {
  static const struct {
    const char *method, *body, *want;
  } rows[] = {
    {"GET", NULL, "GET - "}, {"POST", "b", "POST - b"},
    {"POST", NULL, "POST - "}, {"PUT", "b", "PUT - b"},
    {"PATCH", "b", "PATCH - b"}, {"DELETE", NULL, "DELETE - "},
    {"GET", "b", "GET - b"}, {"HEAD", NULL, ""},
  };
  struct rig *g = *state;
  struct gn_error err;
  size_t i;
  server_set(g->server, echo, NULL);
  for (i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct gn_request *r = rig_request(g, rows[i].method, "/echo");
    if (rows[i].body)
      gn_request_set_body(r, rows[i].body, 1, &err);
    rig_body(rig_expect(g, r, GN_OK, NULL), rows[i].want);
  }
}

/* ---- requests that create ---- */

static void test_creation(void **state) {
  static const struct {
    struct plan plan;
    enum gn_kind kind;
    const char *code;
    unsigned sends;
  } rows[] = {
    {{0, 200, NULL}, GN_OK, NULL, 1},
    {{1, 429, NULL}, GN_OK, NULL, 2},
    {{1, 503, "Retry-After: 0\r\n"}, GN_OK, NULL, 2},
    {{1, 503, NULL}, GN_IN_DOUBT, "503", 1},
    {{1, 500, NULL}, GN_IN_DOUBT, "500", 1},
    {{1, 502, NULL}, GN_IN_DOUBT, "502", 1},
    {{1, 504, NULL}, GN_IN_DOUBT, "504", 1},
    {{1, 408, NULL}, GN_IN_DOUBT, "408", 1},
    {{1, 400, NULL}, GN_INVALID, "400", 1},
    {{1, 0, NULL}, GN_IN_DOUBT, "reset", 1},
    {{1, -1, NULL}, GN_IN_DOUBT, "reset", 1},
    {{1, -2, NULL}, GN_IN_DOUBT, "deadline", 1},
  };
  struct rig *g = *state;
  size_t i;
  for (i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct gn_request *r = rig_request(g, "POST", "/create");
    struct gn_event *event;
    if (rows[i].plan.status == -2)
      r->timeout_ms = 200;
    event = after(g, &rows[i].plan, r, rows[i].kind, rows[i].code,
                  rows[i].sends);
    if (rows[i].kind == GN_IN_DOUBT) {
      assert_false(event->result->retryable);
      assert_string_equal(event->result->records[0].why,
                          "not safe to repeat");
    }
    gn_event_free(event);
  }
}

static void close_on_create(struct server_request *r, void *arg) {
  (void)arg;
  if (strcmp(r->target, "/create") == 0)
    server_close(r); /* read, not answered */
  else
    server_answer(r, 200, NULL, "fine");
}

/* libcurl by itself would send it again on a connection that it used before. */
static void test_creation_on_kept_connection(void **state) {
  static const char *const methods[] = {"POST", "GET"};
  struct rig *g = *state;
  size_t i;
  server_set(g->server, close_on_create, NULL);
  for (i = 0; i < 2; i++) {
    struct gn_request *r = rig_request(g, methods[i], "/create");
    r->safe = false;
    gn_event_free(rig_expect(g, rig_request(g, "GET", "/warm"), GN_OK, NULL));
    server_forget(g->server);
    gn_event_free(rig_expect(g, r, GN_IN_DOUBT, "reset"));
    assert_int_equal(server_hits(g->server, "/create"), 1);
  }
}

static void say_target(struct server_request *r, void *arg) {
  (void)arg;
  server_answer(r, 200, NULL, r->target);
}

static const char *sent(struct rig *g, unsigned i, const char *name) {
  const char *value = server_header(server_request(g->server, i), name);
  return value ? value : "";
}

/* One handle after the other's requests: what one of them set, none of the
 * others has. */
static void test_kept_handle(void **state) {
  static const char *const targets[] = {
    "/a", "/a", "/b?x=%2F..", "/b?x=%2f..", "/a%2fb;c", "/a", "/",
  };
  struct rig *g = *state;
  struct gn_error err;
  struct gn_request *r;
  unsigned i;
  server_set(g->server, say_target, NULL);
  for (i = 0; i < sizeof targets / sizeof *targets; i++) {
    r = rig_request(g, "GET", targets[i]);
    if (i % 2)
      gn_request_add_header(r, "User-Agent", 10, "mine", 4, &err);
    if (i == 3)
      gn_request_add_header(r, "Accept-Encoding", 15, "identity", 8, &err);
    r->timeout_ms = i == 1 ? 7000 : 0;
    rig_body(rig_expect(g, r, GN_OK, NULL), targets[i]);
    if (i % 2)
      assert_string_equal(sent(g, i, "User-Agent"), "mine");
    else
      assert_string_equal(sent(g, i, "User-Agent"), g->policy->user_agent);
    assert_string_equal(sent(g, i, "Accept-Encoding"),
                        i == 3 ? "identity" : "gzip");
  }
  assert_int_equal(server_connections(g->server), 1);
}

/* The i-th of a row of requests that have little in common. */
static struct gn_request *some_request(struct rig *g,
                                       struct gn_random *random) {
  static const char *const methods[] = {"GET", "GET", "GET", "HEAD", "POST",
                                        "PUT", "DELETE", "PATCH"};
  static const char *const targets[] = {"/a", "/b?x=1", "/"};
  static const char *const names[] = {"Authorization", "Accept-Encoding",
                                      "User-Agent", "Content-Type", "Range"};
  unsigned dice = (unsigned)(gn_random_next(random) * 100000);
  struct gn_request *r = rig_request(g, methods[dice % 8], targets[dice % 3]);
  struct gn_error err;
  unsigned i, lines = dice % 7 == 0 ? 20 : dice % 4;
  char name[16];
  for (i = 0; i < lines; i++) {
    int len = snprintf(name, sizeof name, "X-%u", i);
    gn_request_add_header(r, name, (size_t)len, "v", dice % 11 ? 1 : 0, &err);
  }
  if (dice % 5 < 3)
    gn_request_set_header(r, names[dice % 13 % 5], "mine", &err);
  if (dice % 3 == 1)
    gn_request_set_body(r, "body", dice % 5, &err);
  r->timeout_ms = dice % 2 ? 15000 : 0;
  r->safe = r->safe && dice % 9 > 0;
  return r;
}

/* What a handle sends after whatever it sent before is what a new one sends. */
static void test_kept_as_new(void **state) {
  enum { REQUESTS = 150 };
  struct rig *g = *state;
  struct gn_random random;
  unsigned i;
  server_set(g->server, say_target, NULL);
  for (i = 0; i < 2 * REQUESTS; i++) {
    if (i % REQUESTS == 0)
      random.state = 7;
    if (i >= REQUESTS)
      rig_policy(g);
    gn_event_free(rig_expect(g, some_request(g, &random), GN_OK, NULL));
  }
  for (i = 0; i < REQUESTS; i++) {
    const struct server_request *kept = server_request(g->server, i);
    const struct server_request *anew = server_request(g->server, i + REQUESTS);
    assert_string_equal(kept->head, anew->head);
    assert_string_equal(kept->body, anew->body);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
    BOTH(test_retries), BOTH(test_attempts_of_a_request),
    BOTH(test_retry_after), BOTH(test_retry_after_and_deadline),
    BOTH(test_deadline), BOTH(test_stall), INLINE(test_long_limits),
    BOTH(test_refused), BOTH(test_retry_budget),
    BOTH(test_responses), BOTH(test_gzip_cut), BOTH(test_too_large),
    BOTH(test_methods), BOTH(test_kept_handle), BOTH(test_kept_as_new),
    BOTH(test_creation), BOTH(test_creation_on_kept_connection),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
