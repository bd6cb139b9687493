/* Owns: the checks of polls: batches and single requests, matching by id, what
 * a status means, what passes and what does not, and the deadline.
 * Must not: check single requests.
 */
#define _GNU_SOURCE
#include "rig.h"

#include "alloc.h"
#include "clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64 };

/* What the server knows of the jobs r0, r1, ... */
struct jobs {
  const char *status[MOST]; /* element text without its id; NULL: 404 */
  unsigned ready_after;     /* before so many requests all run */
  unsigned transient;       /* first requests that fail */
  int transient_status;     /* with this; 0: a close */
  const char *headers;      /* of those */
  bool ordered;             /* it answers in the order it is asked in */
};

static void element(const struct jobs *j, unsigned hits, unsigned n, char *out,
                    size_t cap) {
  snprintf(out, cap, "{\"id\":\"r%u\",%s}", n,
           hits <= j->ready_after ? "\"status\":\"RUN\"" : j->status[n]);
}

/* Answers a batch in reverse order, or in its own, with one element nobody
 * asked for. */
static void batch(const struct jobs *j, struct server_request *r,
                  unsigned hits) {
  char out[8192] = "{\"reports\":[{\"id\":\"zzz\",\"status\":\"OK\"}", one[256];
  int i, n;
  for (i = MOST - 1; i >= 0; i--) {
    n = j->ordered ? MOST - 1 - i : i;
    snprintf(one, sizeof one, "{\"get\":\"r%d\"}", n);
    if (!strstr(r->body, one))
      continue;
    if (!j->status[n]) {
      server_answer(r, 404, NULL, "{\"code\":5}");
      return;
    }
    element(j, hits, (unsigned)n, one, sizeof one);
    strcat(strcat(out, ","), one);
  }
  server_answer(r, 200, NULL, strcat(out, "]}"));
}

static void answer(struct server_request *r, void *arg) {
  const struct jobs *j = arg;
  unsigned hits = server_hits(r->server, "/poll");
  const char *id = strstr(r->target, "id=r");
  if (!id)
    id = strstr(r->target, "at=r"); /* a URL of its own */
  char one[256];
  if (hits <= j->transient) {
    server_close(r);
    if (j->transient_status)
      server_answer(r, j->transient_status, j->headers, "");
  } else if (!id) {
    batch(j, r, hits);
  } else {
    unsigned n = (unsigned)strtoul(strchr(id, 'r') + 1, NULL, 10);
    element(j, hits, n, one, sizeof one);
    server_answer(r, j->status[n] ? 200 : 404, NULL, one);
  }
}

static struct gn_poller_rules *rules(size_t items, bool batches) {
  static const char *const states[][2] = {
    {"OK", "done"}, {"BAD", "failed"}, {"RUN", "running"}};
  struct gn_poller_rules *r = gn_poller_rules_new(items, 3);
  size_t i;
  for (i = 0; i < items; i++) {
    char text[64];
    snprintf(text, sizeof text, "r%zu", i);
    r->items[i].id = gn_strdup(text);
    snprintf(text, sizeof text, "{\"get\":\"r%zu\"}", i);
    r->items[i].fragment = gn_strdup(text);
  }
  for (i = 0; i < 3; i++) {
    r->states[i].status = gn_strdup(states[i][0]);
    strcpy(r->states[i].state, states[i][1]);
  }
  r->batch = 100;
  r->prefix = batches ? gn_strdup("{\"ids\":[") : NULL;
  r->suffix = batches ? gn_strdup("]}") : NULL;
  r->list = batches ? gn_strdup("reports") : NULL;
  r->query = batches ? NULL : gn_strdup("id");
  r->id = gn_strdup("id");
  r->status = gn_strdup("status");
  r->uri = gn_strdup("uri");
  r->first = 0.01;
  r->factor = 1.5;
  r->cap = 0.05;
  r->timeout = 15;
  r->grace = 10;
  return r;
}

static uint64_t poll_with(struct rig *g, server_handler *handler, void *arg,
                          struct gn_poller_rules *rules) {
  struct gn_request *r = rig_request(
    g, gn_poller_rules_single(rules) ? "GET" : "POST", "/poll");
  struct gn_error err = {0};
  uint64_t id;
  r->safe = true;
  r->attempts = 1;
  server_forget(g->server);
  server_set(g->server, handler, arg);
  id = gn_engine_poll(g->engine, g->mailbox, g->policy, r, rules, &err);
  if (id == 0)
    fail_msg("%s", err.message);
  return id;
}

static uint64_t poll_jobs(struct rig *g, struct jobs *j,
                          struct gn_poller_rules *rules) {
  return poll_with(g, answer, j, rules);
}

struct seen {
  char state[MOST][16];    /* of each report's event */
  char element[MOST][256]; /* its body */
  unsigned reports;        /* how many came */
  char noticed[MOST][16];  /* the state of each notice's event */
  unsigned notices;        /* how many came */
  unsigned polls;          /* what the last progress said */
  struct gn_error end;     /* of the done event */
};

static void collect(struct rig *g, uint64_t id, struct seen *s) {
  bool done = false;
  memset(s, 0, sizeof *s);
  while (!done) {
    struct gn_event *event = rig_next(g);
    const struct gn_result *r = event->result;
    assert_int_equal(event->id, id);
    if (event->type == GN_EVENT_REPORT) {
      unsigned n = (unsigned)strtoul(r->id + 1, NULL, 10);
      size_t len;
      assert_string_equal(s->state[n], "");
      snprintf(s->state[n], sizeof s->state[n], "%s", r->state);
      snprintf(s->element[n], sizeof s->element[n], "%s",
               gn_result_body(r, &len));
      s->reports++;
    } else if (event->type == GN_EVENT_NOTICE) {
      snprintf(s->noticed[strtoul(r->id + 1, NULL, 10)],
               sizeof s->noticed[0], "%s", r->state);
      s->notices++;
    } else if (event->type == GN_EVENT_PROGRESS) {
      s->polls = event->polls;
      assert_int_equal(event->finished, s->reports);
    } else {
      assert_int_equal(event->type, GN_EVENT_DONE);
      done = true;
      if (r)
        s->end = r->error;
    }
    gn_event_free(event);
  }
  rig_nothing(g, 20);
  server_quiet(g->server);
}

static void fill(struct jobs *j, const char *status) {
  size_t i;
  memset(j, 0, sizeof *j);
  for (i = 0; i < MOST; i++)
    j->status[i] = status;
}

#define OK "\"status\":\"OK\",\"uri\":\"https://h/x\""
#define BAD "\"status\":\"BAD\",\"why\":\"x\""
#define RUN "\"status\":\"RUN\""
#define ODD "\"status\":\"ODD\""

static void test_batches(void **state) {
  struct rig *g = *state;
  struct gn_poller_rules *r = rules(50, true);
  struct jobs j;
  struct seen s;
  int i;
  fill(&j, OK);
  j.status[7] = BAD;
  r->batch = 20;
  collect(g, poll_jobs(g, &j, r), &s);
  rig_error_is(&s.end, GN_OK, NULL);
  assert_int_equal(s.reports, 50);
  assert_int_equal(server_hits(g->server, "/poll"), 3);
  assert_int_equal(s.polls, 3);
  for (i = 0; i < 50; i++)
    assert_string_equal(s.state[i], i == 7 ? "failed" : "done");
  assert_string_equal(s.element[31], "{\"id\":\"r31\"," OK "}");
  for (i = 0; i < 3; i++) {
    const char *body = server_request(g->server, (unsigned)i)->body;
    assert_memory_equal(body, "{\"ids\":[{\"get\":\"r", 17);
    assert_non_null(strstr(body, "\"},{\"get\":\"r"));
    assert_string_equal(body + strlen(body) - 4, "\"}]}");
  }
}

/* No request more than it takes to ask for what has not ended. */
static void test_in_order(void **state) {
  struct rig *g = *state;
  struct gn_poller_rules *r = rules(MOST, true);
  struct jobs j;
  struct seen s;
  int i;
  fill(&j, OK);
  j.ordered = true;
  j.ready_after = 7;
  r->batch = 10;
  collect(g, poll_jobs(g, &j, r), &s);
  rig_error_is(&s.end, GN_OK, NULL);
  assert_int_equal(s.reports, MOST);
  assert_int_equal(server_hits(g->server, "/poll"), 14);
  for (i = 0; i < MOST; i++)
    assert_string_equal(s.state[i], "done");
}

static void test_singles(void **state) {
  struct rig *g = *state;
  struct jobs j;
  struct seen s;
  fill(&j, OK);
  j.ready_after = 20;
  collect(g, poll_jobs(g, &j, rules(10, false)), &s);
  rig_error_is(&s.end, GN_OK, NULL);
  assert_int_equal(s.reports, 10);
  assert_int_equal(server_hits(g->server, "/poll"), 30);
}

/* Each id at a URL of its own, whatever the template's is. */
static void test_urls(void **state) {
  struct rig *g = *state;
  struct gn_poller_rules *r = rules(5, false);
  struct jobs j;
  struct seen s;
  size_t i;
  fill(&j, OK);
  j.ready_after = 10;
  j.status[3] = BAD;
  gn_free(r->query);
  r->query = NULL;
  r->urls = true;
  for (i = 0; i < 5; i++) {
    char path[32];
    snprintf(path, sizeof path, "/poll?at=r%zu", i);
    gn_free(r->items[i].fragment);
    r->items[i].fragment = gn_strdup(server_url(g->server, path));
  }
  collect(g, poll_jobs(g, &j, r), &s);
  rig_error_is(&s.end, GN_OK, NULL);
  assert_int_equal(s.reports, 5);
  assert_string_equal(s.state[3], "failed");
  assert_string_equal(s.state[4], "done");
  assert_int_equal(server_hits(g->server, "/poll"), 15);
}

/* Those that ended are not asked for again. */
static void test_rounds(void **state) {
  struct rig *g = *state;
  struct jobs j;
  struct seen s;
  unsigned i;
  fill(&j, OK);
  j.ready_after = 5;
  collect(g, poll_jobs(g, &j, rules(3, true)), &s);
  assert_int_equal(s.reports, 3);
  assert_int_equal(server_hits(g->server, "/poll"), 6);
  fill(&j, OK);
  j.status[1] = RUN;
  {
    struct gn_poller_rules *r = rules(3, true);
    r->timeout = 0.4;
    collect(g, poll_jobs(g, &j, r), &s);
  }
  for (i = 1; i < server_hits(g->server, "/poll"); i++)
    assert_string_equal(server_request(g->server, i)->body,
                        "{\"ids\":[{\"get\":\"r1\"}]}");
  rig_error_is(&s.end, GN_TIMEOUT, "job");
}

static void test_deadline(void **state) {
  static const char *const texts[] = {OK, RUN, ODD, "\"status\":\"OK\"",
                                      "\"status\":\"OK\",\"uri\":\"\"",
                                      "\"x\":1"};
  static const char *const states[] = {"done", "running", "unknown", "no_uri",
                                       "no_uri", "unknown"};
  struct rig *g = *state;
  struct gn_poller_rules *r = rules(6, true);
  int64_t start = gn_now_ms();
  struct jobs j;
  struct seen s;
  unsigned i;
  fill(&j, OK);
  for (i = 0; i < 6; i++)
    j.status[i] = texts[i];
  r->timeout = 0.5;
  collect(g, poll_jobs(g, &j, r), &s);
  assert_in_range(gn_now_ms() - start, 499, 3000);
  rig_error_is(&s.end, GN_TIMEOUT, "job");
  assert_non_null(strstr(s.end.message, "5 of 6"));
  for (i = 0; i < 6; i++) {
    char want[256];
    snprintf(want, sizeof want, "{\"id\":\"r%u\",%s}", i, texts[i]);
    assert_string_equal(s.state[i], states[i]);
    assert_string_equal(s.element[i], want);
    assert_string_equal(s.noticed[i], i < 2 ? "" : states[i]);
  }
  assert_int_equal(s.notices, 4);
  assert_true(server_hits(g->server, "/poll") > 3);
}

static void stalls(struct server_request *r, void *arg) {
  (void)arg;
  server_stall(r, 60000);
  server_close(r);
}

static void test_deadline_on_wire(void **state) {
  struct rig *g = *state;
  struct gn_poller_rules *r = rules(2, true);
  struct seen s;
  r->timeout = 0.3;
  collect(g, poll_with(g, stalls, NULL, r), &s);
  rig_error_is(&s.end, GN_TIMEOUT, "job");
  assert_int_equal(s.reports, 2);
  assert_string_equal(s.element[0], "null");
}

static void test_failures_that_pass(void **state) {
  static const int statuses[] = {0, 500, 503, 429, 408};
  struct rig *g = *state;
  size_t i;
  for (i = 0; i < sizeof statuses / sizeof *statuses; i++) {
    struct jobs j;
    struct seen s;
    fill(&j, OK);
    j.transient = 4;
    j.transient_status = statuses[i];
    j.headers = "Connection: close\r\n";
    collect(g, poll_jobs(g, &j, rules(3, true)), &s);
    rig_error_is(&s.end, GN_OK, NULL);
    assert_int_equal(s.reports, 3);
    assert_int_equal(server_hits(g->server, "/poll"), 5);
  }
}

static void test_failures_that_stay(void **state) {
  static const struct {
    int status;
    enum gn_kind kind;
  } rows[] = {{401, GN_UNAUTHENTICATED}, {403, GN_FORBIDDEN},
              {400, GN_INVALID}, {302, GN_PROTOCOL}};
  struct rig *g = *state;
  size_t i;
  for (i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct jobs j;
    struct seen s;
    fill(&j, OK);
    j.transient = 1000;
    j.transient_status = rows[i].status;
    collect(g, poll_jobs(g, &j, rules(30, false)), &s);
    rig_error_is(&s.end, rows[i].kind, NULL);
    assert_int_equal(s.reports, 0);
  }
}

/* A Retry-After beyond max_wait is still a floor for the next look. */
static void test_retry_after(void **state) {
  struct rig *g = *state;
  int64_t start = gn_now_ms();
  struct jobs j;
  struct seen s;
  g->options.max_wait = 1;
  rig_policy(g);
  fill(&j, OK);
  j.transient = 1;
  j.transient_status = 429;
  j.headers = "Retry-After: 2\r\nConnection: close\r\n";
  collect(g, poll_jobs(g, &j, rules(1, true)), &s);
  rig_error_is(&s.end, GN_OK, NULL);
  assert_in_range(gn_now_ms() - start, 1999, 6000);
}

/* How many of the first requests asked for several ids. */
static unsigned batches_of(struct rig *g, unsigned hits) {
  unsigned i, n = 0;
  for (i = 0; i < hits; i++)
    n += strstr(server_request(g->server, i)->body, "},{") != NULL;
  return n;
}

/* 404 for a batch: it is halved until the culprit is known; the others go on
 * in batches. */
static void test_not_found(void **state) {
  struct rig *g = *state;
  struct gn_poller_rules *r = rules(32, true);
  struct jobs j;
  struct seen s;
  unsigned hits;
  int i;
  fill(&j, OK);
  j.status[2] = NULL;
  j.ready_after = 12;
  r->timeout = 1;
  collect(g, poll_jobs(g, &j, r), &s);
  rig_error_is(&s.end, GN_OK, NULL);
  assert_int_equal(s.reports, 32);
  for (i = 0; i < 32; i++)
    assert_string_equal(s.state[i], i == 2 ? "not_found" : "done");
  assert_string_equal(s.element[2], "null");
  hits = server_hits(g->server, "/poll");
  assert_in_range(hits, 13, 100);
  /* 1 + 4 x 2 of them find it, then there is one in each round. */
  assert_in_range(batches_of(g, hits), 1 + 2 * 4 + 1, 1 + 2 * 4 + 2);
}

/* After the time that a new job may need to be known, at once. */
static void test_not_found_without_grace(void **state) {
  struct rig *g = *state;
  struct gn_poller_rules *r = rules(4, true);
  struct jobs j;
  struct seen s;
  fill(&j, NULL);
  r->grace = 0;
  collect(g, poll_jobs(g, &j, r), &s);
  rig_error_is(&s.end, GN_OK, NULL);
  assert_int_equal(s.reports, 4);
  assert_string_equal(s.state[3], "not_found");
  assert_int_equal(server_hits(g->server, "/poll"), 7);
}

/* One look: everything is told as it is, nothing is waited for. */
static void test_once(void **state) {
  static const char *const states[] = {"done", "running", "unknown", "no_uri",
                                       "unknown", "failed"};
  struct rig *g = *state;
  struct gn_poller_rules *r = rules(6, true);
  struct jobs j;
  struct seen s;
  int i;
  fill(&j, OK);
  j.status[1] = RUN;
  j.status[2] = ODD;
  j.status[3] = "\"status\":\"OK\"";
  j.status[4] = NULL;
  j.status[5] = BAD;
  r->once = true;
  r->first = 0;
  collect(g, poll_jobs(g, &j, r), &s);
  rig_error_is(&s.end, GN_OK, NULL);
  assert_int_equal(s.reports, 6);
  for (i = 0; i < 6; i++)
    assert_string_equal(s.state[i], states[i]);
  j.transient = 1;
  j.transient_status = 503;
  j.headers = "Connection: close\r\n";
  r = rules(1, true);
  r->once = true;
  collect(g, poll_jobs(g, &j, r), &s);
  rig_error_is(&s.end, GN_SERVER, NULL);
}

static void text(struct server_request *r, void *arg) {
  server_answer(r, 200, NULL, arg);
}

static void test_bad_answers(void **state) {
  static const char *const texts[] = {"<html>", "", "{}", "{\"reports\":{}}",
                                      "{\"reports\":[{\"id\":\"r0\"}"};
  struct rig *g = *state;
  size_t i;
  for (i = 0; i < sizeof texts / sizeof *texts; i++) {
    struct seen s;
    collect(g, poll_with(g, text, (void *)(size_t)texts[i], rules(1, true)),
            &s);
    rig_error_is(&s.end, GN_PROTOCOL, NULL);
  }
}

/* Two answers that nobody can read, or about another job, then good ones. */
static void odd_then_good(struct server_request *r, void *arg) {
  bool early = server_hits(r->server, "/poll") <= 2;
  server_answer(r, 200, NULL, early ? arg : "{\"id\":\"r0\"," OK "}");
}

static void test_unreadable_now_and_then(void **state) {
  static const char *const texts[] = {"<html>", "[]",
                                      "{\"id\":\"r7\"," OK "}"};
  struct rig *g = *state;
  size_t i;
  for (i = 0; i < sizeof texts / sizeof *texts; i++) {
    struct seen s;
    collect(g, poll_with(g, odd_then_good, (void *)(size_t)texts[i],
                         rules(1, false)), &s);
    rig_error_is(&s.end, GN_OK, NULL);
    assert_string_equal(s.state[0], "done");
    assert_int_equal(server_hits(g->server, "/poll"), 3);
  }
}

/* What nobody documented is told once, however often it comes. */
static void odd_twice(struct server_request *r, void *arg) {
  static const char *const rows[] = {ODD, ODD, "\"status\":\"ODDER\"", ODD,
                                     "\"status\":\"OK\",\"uri\":null", OK};
  unsigned hits = server_hits(r->server, "/poll");
  char one[128];
  (void)arg;
  snprintf(one, sizeof one, "{%s}", rows[hits < 6 ? hits - 1 : 5]);
  server_answer(r, 200, NULL, one);
}

static void test_notices(void **state) {
  struct rig *g = *state;
  struct seen s;
  collect(g, poll_with(g, odd_twice, NULL, rules(1, false)), &s);
  rig_error_is(&s.end, GN_OK, NULL);
  assert_int_equal(s.notices, 4);
  assert_string_equal(s.noticed[0], "no_uri");
  assert_string_equal(s.state[0], "done");
}

static void test_cancel(void **state) {
  struct rig *g = *state;
  struct jobs j;
  struct seen s;
  uint64_t id;
  fill(&j, RUN);
  id = poll_jobs(g, &j, rules(40, false));
  rig_until(g, "/poll", 60);
  gn_engine_cancel(g->engine, id);
  collect(g, id, &s);
  rig_error_is(&s.end, GN_CANCELLED, "cancelled");
}

/* No waits at all asked for: still no storm. */
static void test_no_tight_loop(void **state) {
  struct rig *g = *state;
  struct gn_poller_rules *r = rules(1, true);
  struct jobs j;
  struct seen s;
  fill(&j, RUN);
  r->first = r->cap = 0;
  r->timeout = 0.5;
  collect(g, poll_jobs(g, &j, r), &s);
  rig_error_is(&s.end, GN_TIMEOUT, "job");
  assert_in_range(server_hits(g->server, "/poll"), 2, 70);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    BOTH(test_batches), BOTH(test_in_order), BOTH(test_singles),
    BOTH(test_urls), BOTH(test_rounds),
    BOTH(test_deadline), BOTH(test_deadline_on_wire),
    BOTH(test_failures_that_pass), BOTH(test_failures_that_stay),
    BOTH(test_retry_after), BOTH(test_not_found),
    BOTH(test_not_found_without_grace), BOTH(test_once),
    BOTH(test_bad_answers), BOTH(test_unreadable_now_and_then),
    BOTH(test_notices), BOTH(test_cancel), BOTH(test_no_tight_loop),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
