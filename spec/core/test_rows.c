/* Owns: the checks of rows given while their response arrives: batches, rest
 * and going on, what ends a stream and what does not, and that nothing is asked
 * for again once rows were given.
 * Must not: check how a list is cut; test_json_split.c does.
 */
#define _GNU_SOURCE
#include "rig.h"

#include "clock.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define TEN(text) text text text text text text text text text text
#define ROW "{\"a\":\"" TEN(TEN("0123456789")) "\"}"
#define MANY 40000 /* of them are more than sockets hold */

/* What `arg` of the handlers says. */
struct plan {
  const char *head;       /* header lines, or NULL */
  const char *text;       /* the body, or its beginning */
  unsigned rows;          /* then so many rows */
  const char *tail;       /* and this */
  unsigned wait_ms;       /* before the tail */
  int end;                /* 0: keep, 1: close, 2: reset */
  unsigned spoiled;       /* so many first requests end before the rows */
  atomic_size_t sent;     /* bytes that the client's side took */
};

static bool put(struct server_request *r, struct plan *p, const char *text) {
  size_t len = strlen(text);
  ssize_t n = send(r->fd, text, len, MSG_NOSIGNAL);
  if (n > 0)
    atomic_fetch_add(&p->sent, (size_t)n);
  return n == (ssize_t)len;
}

static void stream(struct server_request *r, void *arg) {
  struct plan *p = arg;
  unsigned i;
  server_send(r, "HTTP/1.1 200 OK\r\nConnection: close\r\n");
  server_send(r, p->head ? p->head : "");
  server_send(r, "\r\n");
  if (!put(r, p, p->text))
    return;
  if (server_hits(r->server, "/") <= p->spoiled) {
    server_reset(r);
    return;
  }
  for (i = 0; i < p->rows; i++)
    if (!put(r, p, i ? "," ROW : ROW))
      return;
  if (p->wait_ms)
    server_stall(r, p->wait_ms);
  if (p->tail)
    put(r, p, p->tail);
  if (p->end == 2)
    server_reset(r);
  else
    server_close(r);
}

static uint64_t rows(struct rig *g, struct plan *p, const char *path) {
  struct gn_error err = {0};
  struct gn_request *r = rig_request(g, "GET", "/");
  assert_int_equal(gn_request_set_rows(r, path, &err), 0);
  server_forget(g->server);
  server_set(g->server, stream, p);
  return rig_submit(g, r);
}

/* Takes all there is; *done is the end. */
static size_t take_all(struct rig *g, uint64_t id, struct gn_event **done) {
  size_t count = 0;
  for (;;) {
    struct gn_event *event = rig_next(g);
    assert_int_equal(event->id, id);
    if (event->type == GN_EVENT_DONE) {
      *done = event;
      return count;
    }
    assert_int_equal(event->type, GN_EVENT_ROWS);
    count += event->batch->count;
    gn_engine_advance(g->engine, id);
    gn_event_free(event);
  }
}

static size_t expect(struct rig *g, struct plan *p, const char *path,
                     enum gn_kind kind, const char *code, unsigned sends,
                     const char *why) {
  struct gn_event *done;
  size_t count = take_all(g, rows(g, p, path), &done);
  const struct gn_result *r = done->result;
  server_quiet(g->server); /* the plan may go away with the test */
  rig_error_is(&r->error, kind, code);
  assert_int_equal(server_hits(g->server, "/"), sends);
  if (why)
    assert_string_equal(r->records[r->record_count - 1].why, why);
  gn_event_free(done);
  return count;
}

static void test_all(void **state) {
  struct rig *g = *state;
  struct plan none = {.text = "{\"x\":[]}"};
  struct plan few = {.text = "{\"x\":[", .rows = 3, .tail = "]}"};
  struct plan many = {.text = "[", .rows = 20000, .tail = "]"};
  assert_int_equal(expect(g, &none, "x", GN_OK, NULL, 1, NULL), 0);
  assert_int_equal(expect(g, &few, "x", GN_OK, NULL, 1, NULL), 3);
  assert_int_equal(expect(g, &many, "", GN_OK, NULL, 1, NULL), 20000);
}

/* A row is given when it came, whatever comes later. */
static void test_soon(void **state) {
  struct rig *g = *state;
  struct plan p = {.text = "[", .rows = 3, .tail = ",7]", .wait_ms = 60000};
  uint64_t id = rows(g, &p, "");
  struct gn_event *event = rig_next(g);
  assert_int_equal(event->type, GN_EVENT_ROWS);
  assert_in_range(event->batch->count, 1, 3);
  gn_event_free(event);
  gn_engine_cancel(g->engine, id);
  do {
    event = rig_next(g);
    if (event->type == GN_EVENT_ROWS)
      gn_event_free(event);
  } while (event->type == GN_EVENT_ROWS);
  rig_error_is(&event->result->error, GN_CANCELLED, NULL);
  gn_event_free(event);
  server_quiet(g->server); /* its plan goes away */
}

/* Until the server cannot send any more. */
static void settle(struct rig *g, struct plan *p) {
  size_t sent = 0, before;
  do {
    before = sent;
    rig_run(g, 100);
    sent = atomic_load(&p->sent);
  } while (sent == 0 || sent != before);
}

/* Nobody takes rows: the server cannot send, for longer than any timeout. */
static void test_rest(void **state) {
  struct rig *g = *state;
  struct plan p = {.text = "[", .rows = MANY, .tail = "]"};
  struct gn_event *done;
  uint64_t id;
  g->options.stall_timeout = 1;
  g->options.timeout = 1;
  rig_policy(g);
  id = rows(g, &p, "");
  settle(g, &p);
  assert_in_range(gn_mailbox_pending(g->mailbox), 1, 4);
  rig_run(g, 2000);
  assert_in_range(atomic_load(&p.sent), 1, MANY * (sizeof ROW - 1) / 2);
  assert_int_equal(take_all(g, id, &done), MANY);
  rig_error_is(&done->result->error, GN_OK, NULL);
  gn_event_free(done);
  server_quiet(g->server);
}

static void test_cancel_at_rest(void **state) {
  struct rig *g = *state;
  struct plan p = {.text = "[", .rows = MANY, .tail = "]"};
  struct gn_event *done;
  uint64_t id = rows(g, &p, "");
  settle(g, &p);
  gn_engine_cancel(g->engine, id);
  take_all(g, id, &done);
  rig_error_is(&done->result->error, GN_CANCELLED, NULL);
  gn_event_free(done);
  server_quiet(g->server); /* its sending failed */
}

/* A server that is faster than who takes rows: nobody waits for its end. */
static void test_cancel_amid(void **state) {
  struct rig *g = *state;
  int i;
  for (i = 0; i < 3; i++) {
    struct plan p = {.text = "[", .rows = 4 * MANY, .tail = "]"};
    struct gn_event *done;
    uint64_t id = rows(g, &p, "");
    gn_event_free(rig_next(g));
    gn_engine_cancel(g->engine, id);
    take_all(g, id, &done);
    rig_error_is(&done->result->error, GN_CANCELLED, NULL);
    gn_event_free(done);
    server_quiet(g->server);
  }
}

static void test_broken(void **state) {
  struct rig *g = *state;
  struct plan cut = {.text = "[", .rows = 5000, .end = 2, .wait_ms = 20};
  struct plan length = {.head = "Content-Length: 9000000\r\n", .text = "[",
                        .rows = 5000};
  struct plan bad = {.text = "[", .rows = 100, .tail = ",{\"a\":01},7]",
                     .wait_ms = 20};
  struct plan behind = {.text = "[", .rows = 100, .tail = "] x",
                        .wait_ms = 20};
  struct plan shorter = {.text = "{\"x\":[", .rows = 100, .tail = "]",
                         .wait_ms = 20};
  struct plan html = {.text = "<html>"};
  struct plan absent = {.text = "{\"y\":[1]}"};
  struct plan nothing = {.text = ""};
  assert_in_range(expect(g, &cut, "", GN_TRANSPORT, "reset", 1, "rows given"),
                  1, 5000);
  assert_in_range(expect(g, &length, "", GN_PROTOCOL, "incomplete", 1,
                         "rows given"), 4999, 5000);
  assert_int_equal(expect(g, &bad, "", GN_PROTOCOL, "json", 1, "final"), 100);
  assert_int_equal(expect(g, &behind, "", GN_PROTOCOL, "json", 1, "final"),
                   100);
  assert_int_equal(expect(g, &shorter, "x", GN_PROTOCOL, "incomplete", 1,
                          "rows given"), 100);
  assert_int_equal(expect(g, &html, "", GN_PROTOCOL, "json", 1, "final"), 0);
  assert_int_equal(expect(g, &absent, "x", GN_PROTOCOL, "no_items", 1,
                          "final"), 0);
  assert_int_equal(expect(g, &nothing, "x", GN_PROTOCOL, "json", 1, "final"),
                   0);
}

/* What broke before the first row was given is asked for again. */
static void test_retry(void **state) {
  struct rig *g = *state;
  struct plan p = {.text = "{\"x\":[", .rows = 50, .tail = "]}", .spoiled = 2};
  struct plan all = {.text = "{\"x\":[", .rows = 50, .tail = "]}",
                     .spoiled = 9};
  assert_int_equal(expect(g, &p, "x", GN_OK, NULL, 3, NULL), 50);
  assert_int_equal(expect(g, &all, "x", GN_TRANSPORT, "reset", 4,
                          "attempts used up"), 0);
}

static void slow_head(struct server_request *r, void *arg) {
  (void)arg;
  server_stall(r, 60000);
}

/* Until its body begins, it is a request as any other. */
static void test_deadline(void **state) {
  struct rig *g = *state;
  struct plan p = {.text = "[", .rows = 10, .tail = "]", .wait_ms = 500};
  struct gn_request *r = rig_request(g, "GET", "/");
  struct gn_error err = {0};
  struct gn_event *done;
  g->options.timeout = 0.2;
  rig_policy(g);
  assert_int_equal(expect(g, &p, "", GN_OK, NULL, 1, NULL), 10);
  assert_int_equal(gn_request_set_rows(r, "", &err), 0);
  server_set(g->server, slow_head, NULL);
  done = rig_expect(g, r, GN_TIMEOUT, "deadline");
  gn_event_free(done);
}

static void test_stall(void **state) {
  struct rig *g = *state;
  struct plan p = {.text = "[", .rows = 10, .tail = "]", .wait_ms = 60000};
  g->options.stall_timeout = 1;
  rig_policy(g);
  assert_int_equal(expect(g, &p, "", GN_TIMEOUT, NULL, 1, "rows given"), 10);
}

static void refuse_first(struct server_request *r, void *arg) {
  (void)arg;
  if (strcmp(r->target, "/") == 0)
    server_answer(r, 302, "Location: /there\r\n", "[1,2]");
  else if (server_hits(r->server, "/there") == 1)
    server_answer(r, 503, NULL, "[3]");
  else
    server_answer(r, 200, NULL, "[4,5,6]");
}

static void test_elsewhere(void **state) {
  struct rig *g = *state;
  struct gn_request *r = rig_request(g, "GET", "/");
  struct gn_error err = {0};
  struct gn_event *done;
  r->redirects = 5;
  assert_int_equal(gn_request_set_rows(r, "", &err), 0);
  server_set(g->server, refuse_first, NULL);
  assert_int_equal(take_all(g, rig_submit(g, r), &done), 3);
  rig_error_is(&done->result->error, GN_OK, NULL);
  gn_event_free(done);
}

/* The body of an error is kept as that of any other request. */
static void test_refused(void **state) {
  struct rig *g = *state;
  struct gn_request *r = rig_request(g, "GET", "/");
  struct gn_error err = {0};
  struct gn_event *done;
  size_t len;
  const char *body;
  r->max_body = 2;
  server_set(g->server, refuse_first, NULL);
  assert_int_equal(gn_request_set_rows(r, "", &err), 0);
  gn_request_set_url(r, server_url(g->server, "/there"), &err);
  r->attempts = 1;
  done = rig_expect(g, r, GN_SERVER, "503");
  body = gn_result_body(done->result, &len);
  assert_int_equal(len, 3);
  assert_memory_equal(body, "[3]", 3);
  gn_event_free(done);
}

/* A mailbox that is closed amid rows takes them along. */
static void test_closed(void **state) {
  struct rig *g = *state;
  struct plan p = {.text = "[", .rows = MANY, .tail = "]"};
  rows(g, &p, "");
  settle(g, &p);
  gn_mailbox_close(g->mailbox);
  g->mailbox = NULL;
  rig_run(g, 50); /* an inline engine has to hear of it */
  server_quiet(g->server);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    BOTH(test_all),       BOTH(test_soon),      BOTH(test_rest),
    BOTH(test_cancel_at_rest), BOTH(test_cancel_amid), BOTH(test_broken),
    BOTH(test_retry),
    BOTH(test_deadline), THREADED(test_stall), BOTH(test_elsewhere),
    BOTH(test_refused),   BOTH(test_closed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
