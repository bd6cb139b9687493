/* Owns: the checks of what engines count: each number over real requests, both
 * kinds of engine, and counters that outlive an engine or a fork.
 * Must not: check how the numbers are shown.
 */
#include "rig.h"

#include "stats.h"

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static struct gn_stats stats_of(struct rig *g) {
  struct gn_stats stats;
  gn_engine_stats(g->engine, &stats);
  return stats;
}

static int64_t count(struct rig *g, int what) {
  return stats_of(g).counts[what];
}

static int64_t total(const struct gn_durations *d) {
  int64_t n = 0;
  int i;
  for (i = 0; i <= GN_BUCKETS; i++)
    n += d->buckets[i];
  return n;
}

/* By the last part of the path: a status, or what else the server does. */
static void by_path(struct server_request *r, void *arg) {
  (void)arg;
  if (strncmp(r->target, "/slow", 5) == 0) {
    server_stall(r, 60);
    server_answer(r, 200, NULL, "{}");
  } else if (strncmp(r->target, "/gone", 5) == 0) {
    server_answer(r, 404, NULL, "");
  } else if (strncmp(r->target, "/cut", 4) == 0) {
    server_reset(r);
  } else if (strncmp(r->target, "/busy", 5) == 0) {
    server_answer(r, server_hits(r->server, "/busy") % 2 ? 503 : 200,
                  "Retry-After: 1\r\n", "{}");
  } else if (strncmp(r->target, "/ill", 4) == 0) {
    server_answer(r, server_hits(r->server, "/ill") % 2 ? 500 : 200, NULL,
                  "{}");
  } else {
    server_answer(r, 200, NULL, "{}");
  }
}

static void test_attempts(void **state) {
  struct rig *g = *state;
  struct gn_request *r;
  server_set(g->server, by_path, NULL);
  gn_event_free(rig_done(g, rig_get(g, "/good")));
  gn_event_free(rig_done(g, rig_get(g, "/good")));
  assert_int_equal(count(g, GN_COUNT_RESPONSES_2XX), 2);
  assert_int_equal(count(g, GN_COUNT_OPENED), 1);
  assert_int_equal(count(g, GN_COUNT_REUSED), 1);
  assert_int_equal(count(g, GN_COUNT_OPEN), 1);
  gn_event_free(rig_done(g, rig_get(g, "/gone")));
  assert_int_equal(count(g, GN_COUNT_RESPONSES_4XX), 1);
  assert_int_equal(count(g, GN_COUNT_ERRORS + GN_NOT_FOUND), 1);
  gn_event_free(rig_done(g, rig_get(g, "/ill")));
  assert_int_equal(count(g, GN_COUNT_RESPONSES_5XX), 1);
  assert_int_equal(count(g, GN_COUNT_RETRIES), 1);
  assert_int_equal(count(g, GN_COUNT_RETRIED_BACKOFF), 1);
  assert_int_equal(count(g, GN_COUNT_ERRORS + GN_SERVER), 0);
  r = rig_request(g, "GET", "/cut");
  r->attempts = 1;
  gn_event_free(rig_done(g, rig_submit(g, r)));
  assert_int_equal(count(g, GN_COUNT_RESPONSES), 1);
  assert_int_equal(count(g, GN_COUNT_ERRORS + GN_TRANSPORT), 1);
  assert_int_equal(count(g, GN_COUNT_EXCHANGES), 5);
  assert_int_equal(count(g, GN_COUNT_REQUESTS), 6);
  assert_int_equal(count(g, GN_COUNT_IN_FLIGHT), 0);
}

static void test_durations(void **state) {
  struct rig *g = *state;
  struct gn_stats stats;
  server_set(g->server, by_path, NULL);
  gn_event_free(rig_done(g, rig_get(g, "/slow")));
  stats = stats_of(g);
  assert_int_equal(total(&stats.timed[GN_TIMED_EXCHANGE]), 1);
  assert_int_equal(total(&stats.timed[GN_TIMED_REQUEST]), 1);
  /* 60 ms or more: in none of the buckets up to 0.05 s. */
  assert_int_equal(stats.timed[GN_TIMED_REQUEST].buckets[0] +
                   stats.timed[GN_TIMED_REQUEST].buckets[1] +
                   stats.timed[GN_TIMED_REQUEST].buckets[2] +
                   stats.timed[GN_TIMED_REQUEST].buckets[3], 0);
  assert_true(stats.timed[GN_TIMED_EXCHANGE].sum >= 0.06);
  assert_true(stats.timed[GN_TIMED_EXCHANGE].sum < 20);
}

/* Gauges of waits go up and come back, however the wait ends. */
static void test_waits(void **state) {
  struct rig *g = *state;
  uint64_t id;
  server_set(g->server, by_path, NULL);
  id = rig_get(g, "/busy");
  rig_until(g, "/busy", 1);
  while (count(g, GN_COUNT_WAITING_RETRY) == 0)
    rig_run(g, 5);
  gn_engine_cancel(g->engine, id);
  gn_event_free(rig_done(g, id));
  assert_int_equal(count(g, GN_COUNT_WAITING_RETRY), 0);
  assert_int_equal(count(g, GN_COUNT_RETRIED_AFTER), 1);
  assert_int_equal(count(g, GN_COUNT_ERRORS + GN_CANCELLED), 1);
  g->options.rate = 2;
  rig_policy(g);
  gn_event_free(rig_done(g, rig_get(g, "/good")));
  id = rig_get(g, "/good");
  while (count(g, GN_COUNT_WAITING_RATE) == 0)
    rig_run(g, 1);
  gn_event_free(rig_done(g, id));
  assert_int_equal(count(g, GN_COUNT_WAITING_RATE), 0);
  assert_in_range(count(g, GN_COUNT_THROTTLED_MS), 1, 600);
}

/* One engine after the other in one set; its sockets are closed with it. */
static void test_goes_on(void **state) {
  struct rig *g = *state;
  struct gn_counters *c = gn_counters_new();
  struct gn_error err;
  struct gn_stats stats;
  int i;
  assert_non_null(c);
  for (i = 1; i <= 3; i++) {
    struct gn_engine *e = gn_engine_new_counted(g->threaded, c, &err);
    struct gn_mailbox *m = gn_mailbox_new(e);
    uint64_t seen = 0;
    assert_non_null(e);
    assert_int_not_equal(gn_engine_submit(e, m, g->policy,
                                          rig_request(g, "GET", "/x"), &err),
                         0);
    while (gn_mailbox_pending(m) == 0)
      seen = gn_engine_wait(e, seen, 1000);
    gn_mailbox_close(m);
    gn_engine_close(e);
    gn_engine_unref(e);
    gn_counters_read(c, &stats);
    assert_int_equal(stats.counts[GN_COUNT_ENGINES], i);
    assert_int_equal(stats.counts[GN_COUNT_EXCHANGES], i);
    assert_int_equal(stats.counts[GN_COUNT_OPENED], i);
    assert_int_equal(stats.counts[GN_COUNT_OPEN], 0);
    assert_int_equal(stats.counts[GN_COUNT_IN_FLIGHT], 0);
  }
  gn_counters_unref(c);
}

static void test_fork(void **state) {
  struct gn_counters *c = gn_counters_new();
  int status = 0;
  pid_t child;
  (void)state;
  assert_non_null(c);
  assert_false(gn_counters_is_foreign(c));
  child = fork();
  if (child == 0)
    _exit(gn_counters_is_foreign(c) ? 0 : 1);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  gn_counters_unref(c);
}

static void *count_many(void *counters) {
  int i;
  for (i = 0; i < 10000; i++) {
    gn_counters_add(counters, GN_COUNT_PAGES, 1);
    gn_counters_attempt(counters, 200, 0.5, 0);
  }
  return NULL;
}

/* Nothing is lost between threads, and a reader sees whole numbers. */
static void test_threads(void **state) {
  struct gn_counters *c = gn_counters_new();
  struct gn_stats stats;
  pthread_t threads[4];
  int64_t last = 0;
  int i;
  (void)state;
  assert_non_null(c);
  for (i = 0; i < 4; i++)
    pthread_create(&threads[i], NULL, count_many, c);
  for (i = 0; i < 100; i++) {
    gn_counters_read(c, &stats);
    assert_true(stats.counts[GN_COUNT_PAGES] >= last);
    last = stats.counts[GN_COUNT_PAGES];
  }
  for (i = 0; i < 4; i++)
    pthread_join(threads[i], NULL);
  gn_counters_read(c, &stats);
  assert_int_equal(stats.counts[GN_COUNT_PAGES], 40000);
  assert_int_equal(stats.counts[GN_COUNT_REUSED], 40000);
  assert_int_equal(stats.counts[GN_COUNT_RESPONSES_2XX], 40000);
  assert_int_equal(total(&stats.timed[GN_TIMED_REQUEST]), 40000);
  assert_true(stats.timed[GN_TIMED_REQUEST].sum == 20000);
  gn_counters_unref(c);
}

static void test_odd_statuses(void **state) {
  static const long odd[] = {0, -1, 99, 600, 999};
  struct gn_counters *c = gn_counters_new();
  struct gn_stats stats;
  size_t i;
  (void)state;
  assert_non_null(c);
  for (i = 0; i < sizeof odd / sizeof odd[0]; i++)
    gn_counters_attempt(c, odd[i], 1e9, -1);
  gn_counters_read(c, &stats);
  assert_int_equal(stats.counts[GN_COUNT_RESPONSES], 5);
  assert_int_equal(stats.timed[GN_TIMED_REQUEST].buckets[GN_BUCKETS], 5);
  gn_counters_unref(c);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    BOTH(test_attempts), BOTH(test_durations), BOTH(test_waits),
    BOTH(test_goes_on), cmocka_unit_test(test_fork),
    cmocka_unit_test(test_threads), cmocka_unit_test(test_odd_statuses),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
