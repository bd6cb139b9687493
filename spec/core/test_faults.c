/* Owns: the loops in which each allocation of the core fails in turn, once and
 * from then on, under a request, a redirect, a retry, a walk, a poll, a
 * download and rows: one end or a clean refusal, and no trace left.
 * Must not: fail libcurl's own allocations.
 */
#define _GNU_SOURCE
#include "rig.h"

#include "alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef GN_FAULTS
int main(void) {
  print_message("built without GN_FAULTS: no allocation is made to fail\n");
  return 0;
}
#else

static char path[64], part[80];

static void route(struct server_request *r, void *arg) {
  (void)arg;
  if (strcmp(r->target, "/redirect") == 0)
    server_answer(r, 302, "Location: /x\r\n", "");
  else if (strcmp(r->target, "/retry") == 0 &&
           server_hits(r->server, "/retry") == 1)
    server_answer(r, 503, NULL, "{\"code\":14,\"details\":[]}");
  else if (strcmp(r->target, "/walk") == 0)
    server_answer(r, 200, NULL, "{\"next\":\"b\"}");
  else if (strcmp(r->target, "/poll") == 0)
    server_answer(r, 200, NULL,
                  server_hits(r->server, "/poll") == 1
                      ? "{\"l\":[{\"id\":\"a\",\"s\":1},"
                        "{\"id\":\"b\",\"s\":0}]}"
                      : "{\"l\":[{\"id\":\"b\",\"s\":1}]}");
  else if (strcmp(r->target, "/rows") == 0)
    server_answer(r, 200, NULL, "{\"a\":[{\"b\":1},{\"b\":2}]}");
  else
    server_answer(r, 200, NULL, "{}");
}

static struct gn_pager_rules *pager_rules(const char *flow) {
  struct gn_pager_rules *r = gn_pager_rules_new();
  r->to = strcmp(flow, "/link") == 0   ? GN_TO_URL
          : strcmp(flow, "/body") == 0 ? GN_TO_BODY : GN_TO_QUERY;
  r->source = gn_strdup("next");
  r->target = r->to == GN_TO_QUERY ? gn_strdup("t") : NULL;
  r->prefix = gn_strdup("{\"t\":");
  r->suffix = gn_strdup("}");
  r->max_pages = 10;
  r->tape = r->to != GN_TO_BODY;
  return r;
}

static struct gn_poller_rules *poller_rules(void) {
  struct gn_poller_rules *r = gn_poller_rules_new(2, 1);
  int i;
  for (i = 0; i < 2; i++) {
    r->items[i].id = gn_strdup(i ? "b" : "a");
    r->items[i].fragment = gn_strdup(i ? "\"b\"" : "\"a\"");
  }
  r->states[0].status = gn_strdup("1");
  strcpy(r->states[0].state, "done");
  r->batch = 10;
  r->prefix = gn_strdup("[");
  r->suffix = gn_strdup("]");
  r->list = gn_strdup("l");
  r->id = gn_strdup("id");
  r->status = gn_strdup("s");
  r->first = 0.001;
  r->factor = 1;
  r->cap = 0.001;
  r->timeout = 10;
  return r;
}

/* What is needed is made first; from the submit on, allocations fail. */
static uint64_t begin(struct rig *g, const char *flow, long n, int persistent,
                      struct gn_error *err) {
  bool is_poll = strcmp(flow, "/poll") == 0;
  bool body = strcmp(flow, "/body") == 0;
  bool is_walk = body || strcmp(flow, "/link") == 0 ||
                 strcmp(flow, "/walk") == 0;
  struct gn_request *r = rig_request(g, is_poll || body ? "POST" : "GET",
                                     is_walk ? "/walk" : flow);
  struct gn_pager_rules *pager = is_walk ? pager_rules(flow) : NULL;
  struct gn_poller_rules *poller = is_poll ? poller_rules() : NULL;
  assert_int_equal(gn_request_add_header(r, "x-mine", 6, "1", 1, err), 0);
  r->safe = true;
  if (strcmp(flow, "/file") == 0) {
    r->download = true;
    assert_int_equal(gn_request_set_file(r, path, err), 0);
  }
  if (strcmp(flow, "/rows") == 0)
    assert_int_equal(gn_request_set_rows(r, "a", err), 0);
  gn_error_clear(err);
  gn_alloc_fail_after(n, persistent);
  if (is_walk)
    return gn_engine_walk(g->engine, g->mailbox, g->policy, r, pager, err);
  if (is_poll)
    return gn_engine_poll(g->engine, g->mailbox, g->policy, r, poller, err);
  return gn_engine_submit(g->engine, g->mailbox, g->policy, r, err);
}

static size_t rows;

static void end(struct rig *g, uint64_t id, struct gn_error *err) {
  bool done = false;
  rows = 0;
  while (!done) {
    struct gn_event *event = rig_next(g);
    assert_int_equal(event->id, id);
    done = event->type == GN_EVENT_DONE;
    if (done && event->result)
      *err = event->result->error;
    if (event->type == GN_EVENT_PAGE)
      gn_engine_advance(g->engine, id);
    rows += event->batch ? event->batch->count : 0;
    gn_event_free(event);
  }
}

/* True as long as allocation n was still reached. */
static bool run(struct rig *g, const char *flow, long n, int persistent) {
  struct gn_error err;
  bool reached;
  uint64_t id;
  unlink(path);
  server_forget(g->server);
  id = begin(g, flow, n, persistent, &err);
  if (id)
    end(g, id, &err);
  reached = gn_alloc_count() > n;
  gn_alloc_fail_after(-1, 0);
  assert_null(gn_mailbox_take(g->mailbox));
  if (err.kind != GN_MEMORY && err.kind != GN_OK &&
      strcmp(err.code, "page_token") != 0)
    fail_msg("%s, allocation %ld: %s/%s: %s", flow, n, gn_kind_name(err.kind),
             err.code, err.message);
  if (!reached)
    assert_true(id != 0 && err.kind != GN_MEMORY);
  if (strcmp(flow, "/rows") == 0 && id && err.kind == GN_OK)
    assert_int_equal(rows, 2);
  if (strcmp(flow, "/file") == 0) {
    assert_int_equal(access(part, F_OK), -1);
    assert_int_equal(access(path, F_OK), err.kind == GN_OK ? 0 : -1);
  }
  return reached;
}

static void test_allocations(void **state) {
  static const char *const flows[] = {"/x", "/redirect", "/retry", "/walk",
                                      "/link", "/body", "/poll", "/file",
                                      "/rows"};
  struct rig *g = *state;
  size_t i;
  int persistent;
  server_set(g->server, route, NULL);
  g->options.backoff = 0.0001;
  rig_policy(g);
  for (i = 0; i < sizeof flows / sizeof *flows; i++)
    for (persistent = 0; persistent < 2; persistent++) {
      long n = 0;
      while (run(g, flows[i], n, persistent))
        assert_true(++n < 5000);
      assert_in_range(n, 5, 4999);
    }
  unlink(path);
}

/* The server's walk leads in a circle, so that it has three pages. */
int main(void) {
  const struct CMUnitTest tests[] = {BOTH(test_allocations)};
  int failed;
  snprintf(path, sizeof path, "/tmp/garner-faults-%ld", (long)getpid());
  snprintf(part, sizeof part, "%s.part", path);
  failed = cmocka_run_group_tests(tests, NULL, NULL);
  unlink(path);
  return failed;
}
#endif
