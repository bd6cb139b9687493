/* Owns: the checks of walks: tokens, links, page numbers, ends, circles,
 * limits, errors in the middle, and that no page is fetched that nobody gave
 * credit for.
 * Must not: check single requests.
 */
#define _GNU_SOURCE
#include "rig.h"

#include "alloc.h"
#include "clock.h"
#include "tape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The value of a query parameter, "" if absent. */
static const char *query(const struct server_request *r, const char *name) {
  static _Thread_local char value[256];
  const char *p = strchr(r->target, '?');
  size_t len = strlen(name);
  for (; p; p = strchr(p + 1, '&'))
    if (strncmp(p + 1, name, len) == 0 && p[1 + len] == '=') {
      snprintf(value, sizeof value, "%.*s", (int)strcspn(p + 2 + len, "&"),
               p + 2 + len);
      return value;
    }
  return "";
}

/* The n-th page of `arg`, asked for by ?t=n or /p/n; "400" stands for that
 * status. */
static void pages(struct server_request *r, void *arg) {
  const char *const *texts = arg;
  unsigned n, count = 0;
  char body[512];
  while (texts[count])
    count++;
  n = (unsigned)strtoul(query(r, "t"), NULL, 10);
  if (strncmp(r->target, "/p/", 3) == 0)
    n = (unsigned)strtoul(r->target + 3, NULL, 10);
  if (n >= count)
    n = count - 1;
  if (strcmp(texts[n], "400") == 0) {
    server_answer(r, 400, NULL, "{}");
    return;
  }
  snprintf(body, sizeof body, "%s", texts[n]);
  server_answer(r, 200, NULL, body);
}

static struct gn_pager_rules *rules(const char *token, const char *link,
                                    const char *page) {
  struct gn_pager_rules *r = gn_pager_rules_new();
  r->max_pages = 10000;
  r->from = page ? GN_FROM_PAGE : GN_FROM_JSON;
  r->to = link ? GN_TO_URL : GN_TO_QUERY;
  r->source = page ? NULL : gn_strdup(token ? token : link);
  r->target = link ? NULL : gn_strdup(page ? page : "t");
  r->items = page ? gn_strdup("items") : NULL;
  r->size = 2;
  r->first = 1;
  r->tape = true;
  return r;
}

/* What the waiter's thread reads of a page. */
static void check_tape(const struct gn_result *page) {
  static const char *const whole = "";
  struct gn_json_slice s;
  struct gn_error err;
  size_t len;
  const char *body = gn_result_body(page, &len);
  assert_non_null(page->tape);
  assert_int_equal(gn_tape_pick(page->tape, &whole, 1, &s, &err), 0);
  assert_ptr_equal(s.text, body);
  assert_int_equal(s.len, len);
}

static uint64_t walk(struct rig *g, const char *path,
                     struct gn_pager_rules *r) {
  struct gn_error err = {0};
  uint64_t id = gn_engine_walk(g->engine, g->mailbox, g->policy,
                               rig_request(g, "GET", path), r, &err);
  if (id == 0)
    fail_msg("%s", err.message);
  return id;
}

/* Takes pages until the end; returns how many, and the error in *end. */
static unsigned finish(struct rig *g, uint64_t id, struct gn_error *end) {
  unsigned count = 0;
  for (;;) {
    struct gn_event *event = rig_next(g);
    bool done = event->type == GN_EVENT_DONE;
    assert_int_equal(event->id, id);
    gn_error_clear(end);
    if (done && event->result)
      *end = event->result->error;
    if (!done) {
      assert_int_equal(event->type, GN_EVENT_PAGE);
      assert_int_equal(event->result->error.kind, GN_OK);
      check_tape(event->result);
      count++;
    }
    gn_event_free(event);
    if (done)
      break;
    gn_engine_advance(g->engine, id);
  }
  rig_nothing(g, 20);
  return count;
}

static void expect(struct rig *g, const char *path, const char *const *texts,
                   struct gn_pager_rules *r, unsigned count,
                   enum gn_kind kind, const char *code) {
  struct gn_error end;
  server_forget(g->server);
  server_set(g->server, pages, (void *)(size_t)texts);
  assert_int_equal(finish(g, walk(g, path, r), &end), count);
  rig_error_is(&end, kind, code);
}

static void test_token(void **state) {
  static const char *const texts[] = {
    "{\"next\":\"1\"}", "{\"next\":2}", "{\"next\":\"3\",\"next\":\"3\"}",
    "{\"next\":\"\"}", NULL};
  static const char *const null_ends[] = {"{\"next\":null}", NULL};
  static const char *const absent[] = {"{}", NULL};
  static const char *const deep[] = {"{\"a\":{\"b\":\"1\"}}", "{\"a\":{}}",
                                     NULL};
  struct rig *g = *state;
  expect(g, "/x?t=0&a=b%20c", texts, rules("next", NULL, NULL), 4, GN_OK, NULL);
  assert_string_equal(server_request(g->server, 3)->target,
                      "/x?t=3&a=b%20c");
  expect(g, "/x", null_ends, rules("next", NULL, NULL), 1, GN_OK, NULL);
  expect(g, "/x", absent, rules("next", NULL, NULL), 1, GN_OK, NULL);
  expect(g, "/x", deep, rules("a.b", NULL, NULL), 2, GN_OK, NULL);
}

static void odd_token(struct server_request *r, void *arg) {
  (void)arg;
  server_answer(r, 200, NULL, strcmp(query(r, "t"), "") == 0
                                  ? "{\"next\":\"a&b=c/\\u00e9 #\"}" : "{}");
}

static void test_token_is_escaped(void **state) {
  struct rig *g = *state;
  struct gn_error end;
  server_set(g->server, odd_token, NULL);
  assert_int_equal(finish(g, walk(g, "/x", rules("next", NULL, NULL)), &end),
                   2);
  assert_string_equal(query(server_request(g->server, 1), "t"),
                      "a%26b%3Dc%2F%C3%A9%20%23");
}

static void test_link(void **state) {
  static const char *const texts[] = {"{\"next\":\"/p/1?x=1\"}",
                                      "{\"next\":\"2\"}", "{}", NULL};
  static const char *const bad[] = {"{\"next\":\"file:///etc/passwd\"}", NULL};
  static const char *const plain[] = {"{\"next\":\"http://192.0.2.1/\"}", NULL};
  static const char *const inside[] = {"{\"next\":\"https://10.1.1.1/\"}",
                                       NULL};
  struct rig *g = *state;
  expect(g, "/p/0", texts, rules(NULL, "next", NULL), 3, GN_OK, NULL);
  assert_string_equal(server_request(g->server, 2)->target, "/p/2");
  assert_string_equal(
      server_header(server_request(g->server, 2), "Authorization"),
      "Bearer secret");
  expect(g, "/p/0", bad, rules(NULL, "next", NULL), 1, GN_PROTOCOL, NULL);
  expect(g, "/p/0", plain, rules(NULL, "next", NULL), 1, GN_PROTOCOL,
         "address");
  expect(g, "/p/0", inside, rules(NULL, "next", NULL), 1, GN_PROTOCOL,
         "address");
}

/* A next page at another origin is fetched without anything that is ours. */
static void test_link_elsewhere(void **state) {
  static const char *const texts[] = {"{}", NULL};
  struct rig *g = *state;
  struct server *other = server_start(pages, (void *)(size_t)texts);
  char first[256];
  const char *const away[] = {first, NULL};
  const struct server_request *r;
  snprintf(first, sizeof first, "{\"next\":\"%s\"}", server_url(other, "/p/0"));
  expect(g, "/p/0", away, rules(NULL, "next", NULL), 2, GN_OK, NULL);
  r = server_request(other, 0);
  assert_non_null(r);
  assert_null(server_header(r, "Authorization"));
  server_stop(other);
}

static void numbered(struct server_request *r, void *arg) {
  unsigned long n = strtoul(query(r, "page"), NULL, 10);
  (void)arg;
  server_answer(r, 200, NULL, n == 1 ? "{\"items\":[1,2]}"
                              : n == 2 ? "{\"items\":[3,4]}"
                              : n == 3 ? "{\"items\":[5]}" : "{\"items\":[]}");
}

static void test_page_number(void **state) {
  static const char *const none[] = {"{}", NULL};
  static const char *const odd[] = {"{\"items\":{}}", NULL};
  struct rig *g = *state;
  struct gn_error end;
  server_set(g->server, numbered, NULL);
  assert_int_equal(finish(g, walk(g, "/x?a=1", rules(NULL, NULL, "page")),
                          &end), 3);
  rig_error_is(&end, GN_OK, NULL);
  assert_string_equal(server_request(g->server, 0)->target, "/x?a=1&page=1");
  assert_string_equal(server_request(g->server, 2)->target, "/x?a=1&page=3");
  expect(g, "/x", none, rules(NULL, NULL, "page"), 1, GN_OK, NULL);
  expect(g, "/x", odd, rules(NULL, NULL, "page"), 1, GN_PROTOCOL, "shape");
}

static void test_circles(void **state) {
  static const char *const a_a[] = {"{\"next\":\"1\"}", "{\"next\":\"1\"}",
                                    NULL};
  static const char *const a_b_a[] = {"{\"next\":\"1\"}", "{\"next\":\"2\"}",
                                      "{\"next\":\"1\"}", NULL};
  static const char *const self[] = {"{\"next\":\"/p/0\"}", NULL};
  static const char *const back[] = {"{\"next\":\"/p/1\"}",
                                     "{\"next\":\"/p/0\"}", NULL};
  struct rig *g = *state;
  expect(g, "/x", a_a, rules("next", NULL, NULL), 2, GN_PROTOCOL, "page_token");
  expect(g, "/x", a_b_a, rules("next", NULL, NULL), 3, GN_PROTOCOL,
         "page_token");
  expect(g, "/p/0", self, rules(NULL, "next", NULL), 1, GN_PROTOCOL,
         "page_token");
  expect(g, "/p/0", back, rules(NULL, "next", NULL), 2, GN_PROTOCOL,
         "page_token");
}

/* Pages 1 to 9, then a circle of 50 that begins with page 10. */
static void circle(struct server_request *r, void *arg) {
  unsigned long n = strtoul(query(r, "t"), NULL, 10) + 1;
  char body[64];
  (void)arg;
  if (n > 59)
    n = 10;
  snprintf(body, sizeof body, "{\"next\":\"%lu\"}", n);
  server_answer(r, 200, NULL, body);
}

static void test_circle_of_50(void **state) {
  struct rig *g = *state;
  struct gn_error end;
  server_set(g->server, circle, NULL);
  assert_int_equal(finish(g, walk(g, "/x", rules("next", NULL, NULL)), &end),
                   60);
  rig_error_is(&end, GN_PROTOCOL, "page_token");
  assert_non_null(strstr(end.message, "page 60 leads to page 11, "));
}

/* A walk that goes on knows its pages' numbers, and its limit. */
static void test_start(void **state) {
  static const char *const texts[] = {"{\"next\":\"1\"}", "{\"next\":\"2\"}",
                                      "{\"next\":\"3\"}", "{\"next\":\"2\"}",
                                      NULL};
  static const char *const links[] = {"{}", "{\"next\":\"2\"}", "{}", NULL};
  struct gn_pager_rules *r = rules("next", NULL, NULL);
  struct rig *g = *state;
  struct gn_error end;
  r->start = gn_strdup("2");
  r->before = 7;
  server_set(g->server, pages, (void *)(size_t)texts);
  assert_int_equal(finish(g, walk(g, "/x?a=1", r), &end), 2);
  rig_error_is(&end, GN_PROTOCOL, "page_token");
  assert_non_null(strstr(end.message, "page 9 leads to page 8, "));
  assert_string_equal(server_request(g->server, 0)->target, "/x?a=1&t=2");
  r = rules("next", NULL, NULL);
  r->start = gn_strdup("0");
  r->before = 7;
  r->max_pages = 9;
  assert_int_equal(finish(g, walk(g, "/x", r), &end), 2);
  rig_error_is(&end, GN_TRUNCATED, "max_pages");
  r = rules(NULL, "next", NULL);
  r->start = gn_strdup(server_url(g->server, "/p/1"));
  r->before = 1;
  expect(g, "/p/0", links, r, 2, GN_OK, NULL);
  assert_string_equal(server_request(g->server, 0)->target, "/p/1");
  assert_string_equal(server_request(g->server, 1)->target, "/p/2");
  r = rules(NULL, "next", NULL);
  r->start = gn_strdup("ftp://h/x");
  assert_int_equal(finish(g, walk(g, "/p/0", r), &end), 0);
  rig_error_is(&end, GN_PROTOCOL, "link");
}

static void search(struct server_request *r, void *arg) {
  static const char *const answers[] = {
    "{\"next\":\"a\\u0022\\\\\\n\\u00e9\"}", "{\"next\":37}", "{}"};
  (void)arg;
  server_answer(r, 200, "X-Next: h 1\r\n",
                answers[server_hits(r->server, "/") - 1]);
}

/* A token of the body goes back as what it was: an escaped text, a number. */
static void test_body(void **state) {
  struct rig *g = *state;
  struct gn_pager_rules *rules = gn_pager_rules_new();
  struct gn_request *r = rig_request(g, "POST", "/search");
  struct gn_error err;
  uint64_t id;
  rules->to = GN_TO_BODY;
  rules->source = gn_strdup("next");
  rules->prefix = gn_strdup("{\"q\":1,\"t\":");
  rules->suffix = gn_strdup("}");
  rules->max_pages = 10;
  r->safe = true;
  assert_int_equal(gn_request_set_body(r, "{\"q\":1}", 7, &err), 0);
  server_set(g->server, search, NULL);
  rules->tape = true;
  id = gn_engine_walk(g->engine, g->mailbox, g->policy, r, rules, &err);
  assert_int_equal(finish(g, id, &err), 3);
  rig_error_is(&err, GN_OK, NULL);
  assert_string_equal(server_request(g->server, 0)->body, "{\"q\":1}");
  assert_string_equal(server_request(g->server, 1)->body,
                      "{\"q\":1,\"t\":\"a\\u0022\\u005c\\u000a\xc3\xa9\"}");
  assert_string_equal(server_request(g->server, 2)->body,
                      "{\"q\":1,\"t\":37}");
}

static void by_header(struct server_request *r, void *arg) {
  const char *page = server_header(r, "x-page");
  (void)arg;
  server_answer(r, 200, page && strcmp(page, "p 2") == 0
                            ? "X-Next:\r\n"
                            : page ? "X-Next: p 2\r\n" : "x-next: p1\r\n",
                "[]");
}

static void test_headers(void **state) {
  struct rig *g = *state;
  struct gn_pager_rules *rules = gn_pager_rules_new();
  struct gn_request *r = rig_request(g, "GET", "/h");
  struct gn_error err;
  uint64_t id;
  rules->from = GN_FROM_HEADER;
  rules->to = GN_TO_HEADER;
  rules->source = gn_strdup("X-Next");
  rules->target = gn_strdup("X-Page");
  rules->max_pages = 10;
  assert_int_equal(gn_request_add_header(r, "X-Other", 7, "o", 1, &err), 0);
  server_set(g->server, by_header, NULL);
  rules->tape = true;
  id = gn_engine_walk(g->engine, g->mailbox, g->policy, r, rules, &err);
  assert_int_equal(finish(g, id, &err), 3);
  rig_error_is(&err, GN_OK, NULL);
  assert_string_equal(server_header(server_request(g->server, 1), "X-Page"),
                      "p1");
  assert_string_equal(server_header(server_request(g->server, 2), "X-Other"),
                      "o");
}

/* arg: how many pages there are. */
static void long_walk(struct server_request *r, void *arg) {
  unsigned long n = strtoul(query(r, "t"), NULL, 10) + 1;
  char body[64];
  snprintf(body, sizeof body,
           n < *(unsigned *)arg ? "{\"next\":\"%lu\"}" : "{}", n);
  server_answer(r, 200, NULL, body);
}

static void test_limits(void **state) {
  static unsigned count;
  static const struct {
    unsigned there;
    uint64_t max_pages, max_bytes;
    unsigned got;
    enum gn_kind kind;
    const char *code;
  } rows[] = {
    {50, 10000, 0, 50, GN_OK, NULL},
    {200, 10000, 0, 200, GN_OK, NULL},
    {50, 50, 0, 50, GN_OK, NULL},
    {50, 49, 0, 49, GN_TRUNCATED, "max_pages"},
    {50, 1, 0, 1, GN_TRUNCATED, "max_pages"},
    {5, 100, 25, 3, GN_TRUNCATED, "max_bytes"},
    {2, 100, 1000, 2, GN_OK, NULL},
  };
  struct rig *g = *state;
  size_t i;
  server_set(g->server, long_walk, &count);
  for (i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct gn_pager_rules *r = rules("next", NULL, NULL);
    struct gn_error end;
    r->max_pages = rows[i].max_pages;
    r->max_bytes = rows[i].max_bytes;
    count = rows[i].there;
    assert_int_equal(finish(g, walk(g, "/x", r), &end), rows[i].got);
    rig_error_is(&end, rows[i].kind, rows[i].code);
  }
}

static void test_errors(void **state) {
  static const char *const third[] = {"{\"next\":\"1\"}", "{\"next\":\"2\"}",
                                      "400", NULL};
  static const char *const html[] = {"{\"next\":\"1\"}", "<html></html>", NULL};
  static const char *const cut[] = {"{\"next\":\"1\"", NULL};
  static const char *const empty[] = {"", NULL};
  static const char *const object[] = {"{\"next\":{}}", NULL};
  struct rig *g = *state;
  expect(g, "/x", third, rules("next", NULL, NULL), 2, GN_INVALID, "400");
  expect(g, "/x", html, rules("next", NULL, NULL), 1, GN_PROTOCOL, "json");
  expect(g, "/x", cut, rules("next", NULL, NULL), 0, GN_PROTOCOL, "json");
  expect(g, "/x", empty, rules("next", NULL, NULL), 0, GN_PROTOCOL, "json");
  expect(g, "/x", object, rules("next", NULL, NULL), 1, GN_PROTOCOL,
         "page_token");
}

static void test_only_what_is_asked_for(void **state) {
  static unsigned count = 10;
  struct rig *g = *state;
  struct gn_event *event;
  uint64_t id;
  server_set(g->server, long_walk, &count);
  id = walk(g, "/x", rules("next", NULL, NULL));
  gn_event_free(rig_next(g));
  rig_nothing(g, 50);
  assert_int_equal(server_hits(g->server, "/x"), 1);
  gn_engine_advance(g->engine, id);
  gn_engine_advance(g->engine, id);
  gn_event_free(rig_next(g));
  gn_event_free(rig_next(g));
  rig_nothing(g, 50);
  assert_int_equal(server_hits(g->server, "/x"), 3);
  /* cancelled between two pages */
  gn_engine_cancel(g->engine, id);
  event = rig_done(g, id);
  rig_error_is(&event->result->error, GN_CANCELLED, "cancelled");
  gn_event_free(event);
  gn_engine_advance(g->engine, id);
  rig_nothing(g, 50);
}

static void second_stalls(struct server_request *r, void *arg) {
  (void)arg;
  if (*query(r, "t"))
    server_stall(r, 60000);
  server_answer(r, 200, NULL, "{\"next\":\"1\"}");
}

static void test_cancel_on_wire(void **state) {
  struct rig *g = *state;
  struct gn_event *event;
  uint64_t id;
  server_set(g->server, second_stalls, NULL);
  id = walk(g, "/x", rules("next", NULL, NULL));
  gn_event_free(rig_next(g));
  gn_engine_advance(g->engine, id);
  rig_until(g, "/x", 2);
  gn_engine_cancel(g->engine, id);
  event = rig_done(g, id);
  rig_error_is(&event->result->error, GN_CANCELLED, "cancelled");
  gn_event_free(event);
}

static uint64_t walk_ahead(struct rig *g, unsigned ahead) {
  struct gn_pager_rules *r = rules("next", NULL, NULL);
  r->ahead = ahead;
  return walk(g, "/x", r);
}

/* The token that an event's page names; frees the event. */
static unsigned next_of(struct gn_event *event) {
  unsigned next;
  assert_int_equal(event->type, GN_EVENT_PAGE);
  next = (unsigned)strtoul(event->result->next, NULL, 10);
  gn_event_free(event);
  return next;
}

static void test_pages_ahead(void **state) {
  static unsigned count = 20;
  struct rig *g = *state;
  struct gn_error end;
  unsigned n;
  uint64_t id;
  server_set(g->server, long_walk, &count);
  for (n = 1; n < 6; n += 2) {
    server_forget(g->server);
    id = walk_ahead(g, n);
    rig_until(g, "/x", n);
    rig_run(g, 30);
    assert_int_equal(server_hits(g->server, "/x"), n);
    assert_int_equal(next_of(rig_next(g)), 1);
    rig_run(g, 30);
    assert_int_equal(server_hits(g->server, "/x"), n);
    gn_engine_advance(g->engine, id);
    rig_until(g, "/x", n + 1);
    rig_run(g, 30);
    assert_int_equal(server_hits(g->server, "/x"), n + 1);
    assert_int_equal(finish(g, id, &end), count - 1);
    rig_error_is(&end, GN_OK, NULL);
  }
}

/* Nothing leaves behind an error or a limit, and all is told in order. */
static void test_ahead_of_an_end(void **state) {
  static unsigned count = 50;
  static const char *const third[] = {"{\"next\":\"1\"}", "{\"next\":\"2\"}",
                                      "400", "{}", NULL};
  static const char *const circle[] = {"{\"next\":\"1\"}", "{\"next\":\"2\"}",
                                       "{\"next\":\"1\"}", NULL};
  struct rig *g = *state;
  struct gn_pager_rules *r = rules("next", NULL, NULL);
  struct gn_error end;
  r->ahead = 5;
  expect(g, "/x", third, r, 2, GN_INVALID, "400");
  assert_int_equal(server_hits(g->server, "/x"), 3);
  r = rules("next", NULL, NULL);
  r->ahead = 5;
  expect(g, "/x", circle, r, 3, GN_PROTOCOL, "page_token");
  assert_int_equal(server_hits(g->server, "/x"), 3);
  r = rules("next", NULL, NULL);
  r->ahead = 9;
  r->max_pages = 4;
  server_forget(g->server);
  server_set(g->server, long_walk, &count);
  assert_int_equal(finish(g, walk(g, "/x", r), &end), 4);
  rig_error_is(&end, GN_TRUNCATED, "max_pages");
  assert_int_equal(server_hits(g->server, "/x"), 4);
}

static void test_cancel_ahead(void **state) {
  static unsigned count = 9;
  struct rig *g = *state;
  struct gn_event *event;
  uint64_t id, other;
  server_set(g->server, long_walk, &count);
  id = walk_ahead(g, 3);
  rig_until(g, "/x", 3);
  rig_run(g, 30);
  other = walk_ahead(g, 1);
  while (gn_mailbox_pending(g->mailbox) < 4)
    rig_run(g, 5);
  gn_mailbox_drop_pages(g->mailbox, id);
  assert_int_equal(gn_mailbox_pending(g->mailbox), 1);
  gn_engine_cancel(g->engine, id);
  event = rig_next(g);
  assert_int_equal(event->id, other);
  assert_int_equal(next_of(event), 1);
  event = rig_done(g, id);
  rig_error_is(&event->result->error, GN_CANCELLED, "cancelled");
  gn_event_free(event);
  /* The end stays, and what comes after a drop is in its place. */
  gn_engine_cancel(g->engine, other);
  while (gn_mailbox_pending(g->mailbox) < 1)
    rig_run(g, 5);
  gn_mailbox_drop_pages(g->mailbox, other);
  gn_event_free(rig_done(g, other));
  assert_int_equal(server_hits(g->server, "/x"), 4);
  rig_nothing(g, 20);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    BOTH(test_token), BOTH(test_token_is_escaped), BOTH(test_link),
    BOTH(test_link_elsewhere), BOTH(test_page_number), BOTH(test_circles),
    BOTH(test_circle_of_50), BOTH(test_start), BOTH(test_body),
    BOTH(test_headers),
    BOTH(test_limits), BOTH(test_errors), BOTH(test_only_what_is_asked_for),
    BOTH(test_cancel_on_wire), BOTH(test_pages_ahead),
    BOTH(test_ahead_of_an_end), BOTH(test_cancel_ahead),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
