/* Owns: tests of what an exchange has to do with its waiter before its end:
 * answers in the network's place, records of attempts, log events.
 * Must not: know what is done with them.
 */
#define _GNU_SOURCE
#include "rig.h"

#include "alloc.h"
#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void offline(struct rig *g) {
  g->options.transport = true;
  rig_policy(g);
}

static struct gn_event *expect(struct rig *g, enum gn_event_type type) {
  struct gn_event *event = rig_next(g);
  assert_int_equal(event->type, type);
  return event;
}

/* The next request; its serial, the event is freed. */
static uint64_t asked(struct rig *g, const char *method, const char *path) {
  struct gn_event *event = expect(g, GN_EVENT_REQUEST);
  uint64_t serial = event->traffic->serial;
  assert_string_equal(event->traffic->method, method);
  assert_non_null(strstr(event->traffic->url, path));
  gn_event_free(event);
  return serial;
}

static void supply(struct rig *g, uint64_t serial, long status,
                   const char *headers, const char *body) {
  struct gn_supply *s = gn_supply_new(serial);
  assert_non_null(s);
  s->status = status;
  assert_int_equal(gn_buf_append_text(&s->headers, headers), GN_BUF_OK);
  assert_int_equal(gn_buf_append_text(&s->body, body), GN_BUF_OK);
  gn_engine_supply(g->engine, s);
}

static void supply_error(struct rig *g, uint64_t serial, int curl_code) {
  struct gn_supply *s = gn_supply_new(serial);
  s->curl_code = curl_code;
  strcpy(s->text, "the cable is out");
  gn_engine_supply(g->engine, s);
}

static void test_answered(void **state) {
  struct rig *g = *state;
  struct gn_error err;
  struct gn_request *r;
  struct gn_event *event;
  const char *value;
  size_t len;
  uint64_t id;
  offline(g);
  r = rig_request(g, "POST", "/a?b=c");
  assert_int_equal(gn_request_add_header(r, "x-mine", 6, "1:", 2, &err), 0);
  assert_int_equal(gn_request_set_body(r, "hello", 5, &err), 0);
  id = rig_submit(g, r);
  event = expect(g, GN_EVENT_REQUEST);
  assert_int_equal(event->id, id);
  assert_string_equal(event->traffic->body, "hello");
  assert_int_equal(event->traffic->attempt, 1);
  assert_int_equal(event->traffic->line_count, 1); /* no credential */
  assert_string_equal(event->traffic->lines[0], "x-mine: 1:");
  rig_nothing(g, 20);
  supply(g, event->traffic->serial, 200, "X-A: b\r\n", "fine");
  gn_event_free(event);
  event = rig_done(g, id);
  value = gn_headers_find(&event->result->headers, "x-a", &len);
  assert_non_null(value);
  assert_memory_equal(value, "b", len);
  assert_string_equal(event->result->request->body, "hello");
  rig_body(event, "fine");
  assert_int_equal(server_connections(g->server), 0);
}

static void test_retries(void **state) {
  struct rig *g = *state;
  struct gn_event *event;
  uint64_t id;
  offline(g);
  id = rig_get(g, "/a");
  supply(g, asked(g, "GET", "/a"), 503, "", "busy");
  supply_error(g, asked(g, "GET", "/a"), CURLE_COULDNT_CONNECT);
  supply(g, asked(g, "GET", "/a"), 302, "Location: /b\r\n", "");
  supply(g, asked(g, "GET", "/b"), 200, "", "at last");
  event = rig_done(g, id);
  assert_int_equal(event->result->record_count, 4);
  assert_string_equal(event->result->records[0].code, "503");
  assert_string_equal(event->result->records[1].code, "connect");
  rig_body(event, "at last");
}

static void test_failures(void **state) {
  struct rig *g = *state;
  struct gn_supply *s;
  struct gn_request *r;
  struct gn_event *event;
  uint64_t id;
  g->options.attempts = 1;
  offline(g);
  id = rig_get(g, "/a");
  supply_error(g, asked(g, "GET", "/a"), CURLE_RECV_ERROR);
  event = rig_done(g, id);
  rig_error_is(&event->result->error, GN_TRANSPORT, "reset");
  assert_non_null(strstr(event->result->error.message, "cable"));
  gn_event_free(event);
  /* A creating request whose answer got lost. */
  r = rig_request(g, "POST", "/b");
  r->safe = false;
  id = rig_submit(g, r);
  supply_error(g, asked(g, "POST", "/b"), CURLE_RECV_ERROR);
  event = rig_done(g, id);
  rig_error_is(&event->result->error, GN_IN_DOUBT, NULL);
  gn_event_free(event);
  /* An error of the answerer's own is the end, whatever the request. */
  r = rig_request(g, "POST", "/c");
  r->safe = false;
  id = rig_submit(g, r);
  s = gn_supply_new(asked(g, "POST", "/c"));
  gn_error_set(&s->error, GN_PROTOCOL, "replay", "not in the recording");
  gn_engine_supply(g->engine, s);
  event = rig_done(g, id);
  rig_error_is(&event->result->error, GN_PROTOCOL, "replay");
  gn_event_free(event);
}

static void test_limits(void **state) {
  struct rig *g = *state;
  struct gn_event *event;
  struct gn_request *r;
  uint64_t id, serial;
  offline(g);
  r = rig_request(g, "GET", "/big");
  r->max_body = 3;
  id = rig_submit(g, r);
  supply(g, asked(g, "GET", "/big"), 200, "", "four");
  event = rig_done(g, id);
  rig_error_is(&event->result->error, GN_TOO_LARGE, "body");
  gn_event_free(event);
  r = rig_request(g, "GET", "/late");
  r->timeout_ms = 30;
  id = rig_submit(g, r);
  serial = asked(g, "GET", "/late");
  event = rig_done(g, id);
  rig_error_is(&event->result->error, GN_TIMEOUT, "deadline");
  gn_event_free(event);
  supply(g, serial, 200, "", "too late");
  supply(g, 0, 200, "", "nobody's");
  rig_nothing(g, 20);
}

/* Those who read headers would take it for the end of a text. */
static void test_nul_in_headers(void **state) {
  static const char headers[] = "Content-Encoding: gz\0\0ip\r\n";
  struct rig *g = *state;
  struct gn_event *event;
  struct gn_supply *s;
  uint64_t id;
  offline(g);
  id = rig_get(g, "/a");
  s = gn_supply_new(asked(g, "GET", "/a"));
  s->status = 200;
  assert_int_equal(gn_buf_append(&s->headers, headers, sizeof headers - 1),
                   GN_BUF_OK);
  assert_int_equal(gn_buf_append_text(&s->body, "fine"), GN_BUF_OK);
  gn_engine_supply(g->engine, s);
  event = rig_done(g, id);
  rig_error_is(&event->result->error, GN_PROTOCOL, "framing");
  gn_event_free(event);
}

static void test_cancelled(void **state) {
  struct rig *g = *state;
  struct gn_event *event;
  uint64_t id, serial, other;
  offline(g);
  id = rig_get(g, "/a");
  other = rig_get(g, "/b");
  serial = asked(g, "GET", "/a");
  event = expect(g, GN_EVENT_REQUEST);
  gn_event_free(event);
  gn_engine_cancel(g->engine, id);
  event = rig_done(g, id);
  rig_error_is(&event->result->error, GN_CANCELLED, "cancelled");
  gn_event_free(event);
  supply(g, serial, 200, "", "late");
  rig_nothing(g, 20);
  gn_engine_close(g->engine);
  event = gn_mailbox_take(g->mailbox);
  assert_int_equal(event->id, other);
  rig_error_is(&event->result->error, GN_CANCELLED, "cancelled");
  gn_event_free(event);
  supply(g, serial + 1, 200, "", "after the end"); /* freed */
}

static void test_walk(void **state) {
  struct rig *g = *state;
  struct gn_pager_rules *rules = gn_pager_rules_new();
  struct gn_error err;
  struct gn_event *event;
  uint64_t id;
  offline(g);
  rules->source = gn_strdup("next");
  rules->target = gn_strdup("t");
  rules->max_pages = 10;
  id = gn_engine_walk(g->engine, g->mailbox, g->policy,
                      rig_request(g, "GET", "/w"), rules, &err);
  supply(g, asked(g, "GET", "/w"), 200, "", "{\"next\":\"2\"}");
  event = expect(g, GN_EVENT_PAGE);
  gn_event_free(event);
  gn_engine_advance(g->engine, id);
  supply(g, asked(g, "GET", "/w?t=2"), 200, "", "{}");
  event = expect(g, GN_EVENT_PAGE);
  gn_event_free(event);
  event = expect(g, GN_EVENT_DONE);
  assert_null(event->result);
  gn_event_free(event);
}

/* Records ------------------------------------------------------------------ */

static void say_twice(struct server_request *r, void *arg) {
  (void)arg;
  if (server_hits(r->server, "/") == 1)
    server_answer(r, 503, NULL, "busy");
  else
    server_answer(r, 200, "X-A: b\r\n", "fine");
}

static void test_records(void **state) {
  struct rig *g = *state;
  struct gn_traffic *t;
  struct gn_event *event;
  uint64_t id;
  server_set(g->server, say_twice, NULL);
  g->options.record = true;
  rig_policy(g);
  id = rig_get(g, "/a?b=c");
  event = expect(g, GN_EVENT_RECORD);
  assert_int_equal(event->traffic->status, 503);
  assert_string_equal(event->traffic->response.data, "busy");
  gn_event_free(event);
  event = expect(g, GN_EVENT_RECORD);
  t = event->traffic;
  assert_int_equal(event->id, id);
  assert_int_equal(t->attempt, 2);
  assert_int_equal(t->status, 200);
  assert_int_equal(t->curl_code, 0);
  assert_string_equal(t->response.data, "fine");
  assert_non_null(strstr(t->headers.data, "X-A: b"));
  assert_non_null(strstr(t->url, "/a?b=c"));
  assert_string_equal(t->lines[0], "Authorization: ***");
  gn_event_free(event);
  rig_body(rig_done(g, id), "fine");
}

static void cut_short(struct server_request *r, void *arg) {
  (void)arg;
  server_send(r, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
  server_close(r);
}

static void test_records_files(void **state) {
  struct rig *g = *state;
  struct gn_event *event;
  struct gn_request *r;
  struct gn_error err;
  char path[64];
  uint64_t id;
  snprintf(path, sizeof path, "/tmp/garner-relay-%ld", (long)getpid());
  g->options.record = true;
  g->options.attempts = 1;
  g->options.max_body = 8;
  rig_policy(g);
  r = rig_request(g, "GET", "/f");
  r->download = true;
  assert_int_equal(gn_request_set_file(r, path, &err), 0);
  id = rig_submit(g, r);
  event = expect(g, GN_EVENT_RECORD); /* {"ok":true} is longer than 8 */
  assert_true(event->traffic->cut);
  gn_event_free(event);
  event = rig_done(g, id);
  rig_error_is(&event->result->error, GN_OK, NULL);
  gn_event_free(event);
  unlink(path);
  server_set(g->server, cut_short, NULL);
  r = rig_request(g, "GET", "/f");
  r->download = true;
  assert_int_equal(gn_request_set_file(r, path, &err), 0);
  id = rig_submit(g, r);
  event = expect(g, GN_EVENT_RECORD);
  assert_false(event->traffic->cut);
  assert_string_equal(event->traffic->response.data, "half");
  assert_int_equal(event->traffic->curl_code, CURLE_PARTIAL_FILE);
  assert_true(*event->traffic->text);
  gn_event_free(event);
  gn_event_free(rig_done(g, id));
  unlink(path);
  strcat(path, ".part");
  unlink(path);
}

/* A gzip file's first ten bytes, which unpack to nothing, and then the rest. */
static void packed_slowly(struct server_request *r, void *arg) {
  static const char head[] = "\x1f\x8b\x08\0\0\0\0\0\x02\x03";
  static const char rest[] = "\xcb\x48\xcd\xc9\xc9\x07\0"
                             "\x86\xa6\x10\x36\x05\0\0\0";
  (void)arg;
  server_send(r, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
                 "Content-Length: 25\r\n\r\n");
  server_write(r, head, sizeof head - 1);
  server_stall(r, 50);
  server_write(r, rest, sizeof rest - 1);
  server_close(r);
}

static void test_progress(void **state) {
  struct rig *g = *state;
  struct gn_request *r = rig_request(g, "GET", "/f");
  struct gn_event *event;
  struct gn_error err;
  char path[64];
  snprintf(path, sizeof path, "/tmp/garner-relay-%ld", (long)getpid());
  server_set(g->server, packed_slowly, NULL);
  r->download = r->progress = true;
  assert_int_equal(gn_request_set_file(r, path, &err), 0);
  rig_submit(g, r);
  event = expect(g, GN_EVENT_PROGRESS); /* nothing is none */
  assert_int_equal(event->bytes, 5);
  gn_event_free(event);
  event = expect(g, GN_EVENT_DONE);
  rig_error_is(&event->result->error, GN_OK, NULL);
  gn_event_free(event);
  unlink(path);
}

/* Log events --------------------------------------------------------------- */

static void busy(struct server_request *r, void *arg) {
  (void)arg;
  server_answer(r, 503, NULL, "busy");
}

static void test_logs_are_bounded(void **state) {
  struct rig *g = *state;
  struct gn_event *event;
  unsigned i, logs = 0, done = 0, dropped = 0;
  server_set(g->server, busy, NULL);
  g->options.log = 1;
  g->options.attempts = 2;
  g->options.backoff = 0.0001;
  for (i = 0; i < 80; i++) {
    if (i % 20 == 0)
      rig_policy(g); /* with a retry budget of its own */
    rig_get(g, "/a");
  }
  rig_until(g, "/a", 160);
  while (done < 80) {
    event = rig_next(g);
    logs += event->type == GN_EVENT_LOG;
    done += event->type == GN_EVENT_DONE;
    dropped += (unsigned)event->dropped;
    gn_event_free(event);
  }
  assert_in_range(logs, 1, GN_LOGS_MAX);
  assert_int_equal(logs + dropped, 80);
}

static void test_logs(void **state) {
  struct rig *g = *state;
  struct gn_event *event;
  uint64_t id;
  server_set(g->server, say_twice, NULL);
  g->options.log = 2;
  g->options.rate = 50;
  rig_policy(g);
  id = rig_get(g, "/a");
  event = expect(g, GN_EVENT_LOG);
  assert_string_equal(event->traffic->name, "attempt");
  assert_int_equal(event->traffic->status, 503);
  assert_string_equal(event->traffic->lines[0], "Authorization: ***");
  assert_null(event->traffic->response.data);
  gn_event_free(event);
  event = expect(g, GN_EVENT_LOG);
  assert_string_equal(event->traffic->name, "retry");
  assert_string_equal(event->traffic->code, "503");
  assert_int_equal(event->traffic->attempt, 1);
  gn_event_free(event);
  event = expect(g, GN_EVENT_LOG);
  if (strcmp(event->traffic->name, "rate_wait") == 0) {
    assert_true(event->traffic->waited > 0);
    gn_event_free(event);
    event = expect(g, GN_EVENT_LOG);
  }
  assert_string_equal(event->traffic->name, "attempt");
  gn_event_free(event);
  rig_body(rig_done(g, id), "fine");
}

/* Failing allocations ------------------------------------------------------ */

#ifdef GN_FAULTS
static void expect_tags(struct rig *g, uint64_t id, uint64_t tag) {
  enum gn_event_type type;
  do {
    struct gn_event *event = rig_next(g);
    type = event->type;
    assert_int_equal(event->id, id);
    assert_int_equal(event->tag, tag);
    gn_event_free(event);
  } while (type != GN_EVENT_DONE);
}

/* What was submitted with a tag tells it with each of its events. */
static void test_tags(void **state) {
  struct rig *g = *state;
  struct gn_error err;
  uint64_t id;
  server_set(g->server, say_twice, NULL);
  g->options.log = 2;
  g->options.record = true;
  rig_policy(g);
  id = gn_engine_submit_tagged(g->engine, g->mailbox, 7, g->policy,
                               rig_request(g, "GET", "/a"), &err);
  assert_true(id > 0);
  expect_tags(g, id, 7);
  expect_tags(g, rig_get(g, "/a"), 0);
}

static void answer_next(struct rig *g, struct gn_event *event) {
  struct gn_supply *s = gn_supply_new(event->traffic->serial);
  if (s && gn_buf_append_text(&s->body, "{}") == GN_BUF_OK) {
    s->status = event->traffic->attempt == 1 ? 503 : 200;
    gn_engine_supply(g->engine, s);
    return;
  }
  gn_supply_free(s);
  gn_engine_cancel(g->engine, event->id);
}

static bool run(struct rig *g, long n, int persistent) {
  struct gn_request *r = rig_request(g, "GET", "/x");
  struct gn_error err;
  bool done = false, reached;
  uint64_t id;
  gn_error_clear(&err);
  server_forget(g->server);
  gn_alloc_fail_after(n, persistent);
  id = gn_engine_submit(g->engine, g->mailbox, g->policy, r, &err);
  while (id && !done) {
    struct gn_event *event = rig_next(g);
    done = event->type == GN_EVENT_DONE;
    if (done)
      err = event->result->error;
    if (event->type == GN_EVENT_REQUEST)
      answer_next(g, event);
    gn_event_free(event);
  }
  reached = gn_alloc_count() > n;
  gn_alloc_fail_after(-1, 0);
  assert_null(gn_mailbox_take(g->mailbox));
  if (err.kind != GN_OK && err.kind != GN_CANCELLED)
    rig_error_is(&err, GN_MEMORY, NULL);
  return reached;
}

static void test_allocations(void **state) {
  struct rig *g = *state;
  int persistent, online;
  server_set(g->server, say_twice, NULL);
  g->options.record = true;
  g->options.log = 2;
  g->options.backoff = 0.0001;
  for (online = 0; online < 2; online++) {
    g->options.transport = !online;
    rig_policy(g);
    for (persistent = 0; persistent < 2; persistent++) {
      long n = 0;
      while (run(g, n, persistent))
        assert_true(++n < 5000);
      assert_in_range(n, 10, 4999);
    }
  }
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
    BOTH(test_answered), BOTH(test_retries), BOTH(test_failures),
    BOTH(test_limits), BOTH(test_nul_in_headers), BOTH(test_cancelled),
    BOTH(test_walk), BOTH(test_progress),
    BOTH(test_records), BOTH(test_records_files), BOTH(test_logs),
    BOTH(test_logs_are_bounded), BOTH(test_tags),
#ifdef GN_FAULTS
    BOTH(test_allocations),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
