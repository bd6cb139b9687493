/* Owns: the checks of the client's rate over a real socket: slots, pauses that
 * a server asks for, what is told about both, and what is given back.
 * Must not: check the arithmetic; test_limiter.c and test_quota.c do.
 */
#include "rig.h"

#include "clock.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_rate(void **state) {
  struct rig *g = *state;
  int64_t start = gn_now_ms();
  struct gn_stats stats;
  int i;
  g->options.rate = 10;
  g->options.burst = 2;
  rig_policy(g);
  for (i = 0; i < 6; i++)
    rig_get(g, "/rate");
  for (i = 0; i < 6; i++)
    gn_event_free(rig_next(g));
  assert_in_range(gn_now_ms() - start, 390, 3000);
  gn_engine_stats(g->engine, &stats);
  /* 100 + 200 + 300 + 400 */
  assert_in_range(stats.counts[GN_COUNT_THROTTLED_MS], 900, 1100);
}

/* What the waits for the rate look like from outside, and that a slot which is
 * not used is there for the next one. */
static void test_rate_is_told(void **state) {
  struct rig *g = *state;
  struct gn_event *event;
  const struct gn_result *r;
  uint64_t ids[20];
  int64_t start;
  int i;
  g->options.rate = 5;
  rig_policy(g);
  gn_event_free(rig_done(g, rig_get(g, "/first")));
  event = rig_done(g, rig_get(g, "/second"));
  r = event->result;
  assert_int_equal(r->record_count, 2);
  assert_string_equal(r->records[0].why, "rate");
  assert_true(r->records[0].waited > 0 && r->records[0].waited <= 0.21);
  assert_true(r->records[0].elapsed < 0);
  assert_int_equal(r->records[0].status, 0);
  assert_int_equal(r->records[1].status, 200);
  gn_event_free(event);
  for (i = 0; i < 20; i++)
    ids[i] = rig_get(g, "/never");
  rig_run(g, 20);
  for (i = 0; i < 20; i++)
    gn_engine_cancel(g->engine, ids[i]);
  for (i = 0; i < 20; i++)
    gn_event_free(rig_next(g));
  start = gn_now_ms();
  gn_event_free(rig_done(g, rig_get(g, "/after")));
  assert_in_range(gn_now_ms() - start, 0, 3500); /* not 20 slots: 4 s */
  assert_int_equal(server_hits(g->server, "/never"), 0);
}

static void answer_quota(struct server_request *r, void *arg) {
  bool first = server_hits(r->server, "/q") == 1;
  server_answer(r, 200, first ? arg : NULL, "fine");
}

/* Nothing left: those that follow wait; a pause is never longer than max_wait,
 * and the server has the word then. */
static void test_quota_headers(void **state) {
  static const struct {
    const char *headers;
    double max_wait;
    int64_t least, most;
  } rows[] = {
    {"RateLimit-Remaining: 0\r\nRateLimit-Reset: 1\r\n", 60, 990, 8000},
    {"RateLimit: \"d\";r=0;t=1\r\n", 60, 990, 8000},
    {"X-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 3600\r\n", 0.3, 290,
     8000},
    {"RateLimit-Remaining: 3\r\nRateLimit-Reset: 9\r\n", 60, 0, 8000},
    {"RateLimit-Remaining: 0\r\n", 60, 0, 8000},
  };
  struct rig *g = *state;
  size_t i;
  for (i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct gn_event *event;
    int64_t start;
    g->options.max_wait = rows[i].max_wait;
    rig_policy(g);
    server_forget(g->server);
    server_set(g->server, answer_quota, (void *)(size_t)rows[i].headers);
    gn_event_free(rig_done(g, rig_get(g, "/q")));
    start = gn_now_ms();
    event = rig_done(g, rig_get(g, "/q"));
    assert_in_range(gn_now_ms() - start, rows[i].least, rows[i].most);
    assert_int_equal(event->result->record_count, rows[i].least > 0 ? 2 : 1);
    if (rows[i].least > 0)
      assert_string_equal(event->result->records[0].why, "rate");
    gn_event_free(event);
  }
}

static void throttle_once(struct server_request *r, void *arg) {
  (void)arg;
  if (strcmp(r->target, "/busy") == 0 && server_hits(r->server, "/busy") == 1)
    server_answer(r, 429, "Retry-After: 1\r\n", "");
  else
    server_answer(r, 200, NULL, "fine");
}

/* Throttling is the client's affair, not one request's: one that comes after
 * waits, and one that was waiting for its slot waits on. */
static void test_throttling_pauses_the_client(void **state) {
  struct rig *g = *state;
  int64_t start = gn_now_ms();
  int i;
  g->options.rate = 20;
  g->options.burst = 2;
  rig_policy(g);
  server_set(g->server, throttle_once, NULL);
  rig_get(g, "/busy");
  rig_until(g, "/busy", 1);
  for (i = 0; i < 4; i++)
    rig_get(g, "/other");
  for (i = 0; i < 5; i++) {
    struct gn_event *event = rig_next(g);
    rig_error_is(&event->result->error, GN_OK, NULL);
    gn_event_free(event);
  }
  assert_in_range(gn_now_ms() - start, 950, 4000);
  assert_true(server_hits(g->server, "/busy") == 2);
}

static void unavailable(struct server_request *r, void *arg) {
  server_answer(r, 503, arg, "no");
}

/* A wait for the rate that passes the deadline is not begun. */
static void test_rate_and_deadline(void **state) {
  static const struct {
    const char *headers;
    double rate;
  } rows[] = {
    {NULL, 0.01},
    {"RateLimit-Remaining: 0\r\nRateLimit-Reset: 30\r\n", 0},
  };
  struct rig *g = *state;
  size_t i;
  for (i = 0; i < sizeof rows / sizeof *rows; i++) {
    struct gn_request *r = rig_request(g, "GET", "/");
    int64_t start = gn_now_ms();
    struct gn_event *event;
    r->timeout_ms = 10000;
    g->options.rate = rows[i].rate;
    rig_policy(g);
    server_forget(g->server);
    server_set(g->server, unavailable, (void *)(size_t)rows[i].headers);
    event = rig_expect(g, r, GN_TIMEOUT, "deadline");
    assert_in_range(gn_now_ms() - start, 0, 9000);
    assert_int_equal(server_hits(g->server, "/"), 1);
    assert_int_equal(event->result->record_count, 2);
    assert_string_equal(event->result->records[0].why, "backoff");
    assert_string_equal(event->result->records[1].why, "deadline");
    assert_true(event->result->retryable);
    gn_event_free(event);
  }
}

static void busy_once(struct server_request *r, void *arg) {
  (void)arg;
  if (strcmp(r->target, "/busy") == 0 && server_hits(r->server, "/busy") == 1)
    server_answer(r, 503, "Retry-After: 10\r\n", "");
  else
    server_answer(r, 200, NULL, "fine");
}

/* One request that waits long must not hold up the others. */
static void test_rate_and_backoff(void **state) {
  struct rig *g = *state;
  int64_t start = gn_now_ms();
  uint64_t busy, other;
  g->options.rate = 50;
  rig_policy(g);
  server_set(g->server, busy_once, NULL);
  busy = rig_get(g, "/busy");
  rig_until(g, "/busy", 1);
  rig_run(g, 100);
  other = rig_get(g, "/other");
  rig_body(rig_done(g, other), "fine");
  assert_in_range(gn_now_ms() - start, 0, 9000);
  gn_engine_cancel(g->engine, busy);
  gn_event_free(rig_done(g, busy));
}

/* Neither two engines nor a process and its child wait in step. */
static void test_seeds(void **state) {
  struct gn_random a, b, mine, theirs = {0};
  int ends[2];
  pid_t child;
  (void)state;
  gn_random_seed(&a);
  gn_random_seed(&b);
  assert_true(a.state != b.state);
  assert_int_equal(pipe(ends), 0);
  child = fork();
  if (child == 0) {
    gn_random_seed(&mine);
    _exit(write(ends[1], &mine, sizeof mine) == sizeof mine ? 0 : 1);
  }
  gn_random_seed(&mine);
  assert_int_equal(read(ends[0], &theirs, sizeof theirs), sizeof theirs);
  waitpid(child, NULL, 0);
  close(ends[0]);
  close(ends[1]);
  assert_true(theirs.state != 0 && theirs.state != mine.state);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_seeds),
    BOTH(test_rate), BOTH(test_rate_is_told), BOTH(test_quota_headers),
    BOTH(test_throttling_pauses_the_client), BOTH(test_rate_and_deadline),
    BOTH(test_rate_and_backoff),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
