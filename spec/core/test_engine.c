/* Owns: the checks of the engine's promises: every work ends exactly once, and
 * engines, mailboxes and works may be closed in any order.
 * Must not: check what a response means; test_exchange.c does.
 */
#define _GNU_SOURCE
#include "rig.h"

#include "alloc.h"
#include "clock.h"
#include "process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void stalls(struct server_request *r, void *arg) {
  (void)arg;
  server_stall(r, 60000);
  server_close(r);
}

static void unavailable(struct server_request *r, void *arg) {
  (void)arg;
  server_answer(r, 503, "Retry-After: 30\r\n", "");
}

static void test_done_once(void **state) {
  struct rig *g = *state;
  struct gn_stats stats;
  uint64_t id = rig_get(g, "/one");
  rig_body(rig_done(g, id), "{\"ok\":true}");
  rig_nothing(g, 50);
  gn_engine_stats(g->engine, &stats);
  assert_int_equal(stats.counts[GN_COUNT_EXCHANGES], 1);
  assert_int_equal(stats.counts[GN_COUNT_REQUESTS], 1);
  assert_int_equal(stats.counts[GN_COUNT_RETRIES], 0);
  assert_int_equal(stats.counts[GN_COUNT_RECEIVED], 11);
  assert_int_equal(stats.counts[GN_COUNT_IN_FLIGHT], 0);
}

static void test_many(void **state) {
  enum { N = 200 };
  struct rig *g = *state;
  bool seen[N + 1] = {false};
  int i;
  for (i = 1; i <= N; i++)
    assert_int_equal(rig_get(g, "/many"), i);
  for (i = 0; i < N; i++) {
    struct gn_event *event = rig_next(g);
    assert_in_range(event->id, 1, N);
    assert_false(seen[event->id]);
    seen[event->id] = true;
    rig_body(event, "{\"ok\":true}");
  }
  rig_nothing(g, 50);
  assert_int_equal(server_hits(g->server, "/many"), N);
}

/* One request, sent by several: each result has it, the last one frees it. */
static void test_request_shared(void **state) {
  enum { N = 5 };
  struct rig *g = *state;
  struct gn_request *r = rig_request(g, "GET", "/shared");
  struct gn_event *events[N];
  int i;
  for (i = 0; i < N; i++)
    assert_int_equal(rig_submit(g, gn_request_ref(r)), i + 1);
  gn_request_free(r);
  for (i = 0; i < N; i++) {
    events[i] = rig_next(g);
    assert_ptr_equal(events[i]->result->request, r);
  }
  for (i = 0; i < N; i++)
    rig_body(events[i], "{\"ok\":true}");
  assert_int_equal(server_hits(g->server, "/shared"), N);
}

static void expect_cancelled(struct rig *g, uint64_t id) {
  struct gn_event *event = rig_done(g, id);
  rig_error_is(&event->result->error, GN_CANCELLED, "cancelled");
  gn_event_free(event);
}

static void test_cancel_before_start(void **state) {
  struct rig *g = *state;
  uint64_t id = rig_get(g, "/never");
  gn_engine_cancel(g->engine, id);
  gn_engine_cancel(g->engine, id);
  if (!g->threaded) {
    expect_cancelled(g, id);
    assert_int_equal(server_hits(g->server, "/"), 0);
  } else {
    gn_event_free(rig_done(g, id)); /* either end is right, but one */
  }
  gn_engine_cancel(g->engine, id);
  gn_engine_cancel(g->engine, 999);
  gn_engine_advance(g->engine, id);
  rig_nothing(g, 50);
}

static void test_cancel_on_wire(void **state) {
  struct rig *g = *state;
  int64_t start = gn_now_ms();
  uint64_t id;
  server_set(g->server, stalls, NULL);
  id = rig_get(g, "/stalls");
  rig_until(g, "/stalls", 1);
  gn_engine_cancel(g->engine, id);
  expect_cancelled(g, id);
  rig_nothing(g, 50);
  assert_in_range(gn_now_ms() - start, 0, 5000);
}

static void test_cancel_in_backoff(void **state) {
  struct rig *g = *state;
  int64_t start = gn_now_ms();
  struct gn_event *event;
  uint64_t id;
  server_set(g->server, unavailable, NULL);
  id = rig_get(g, "/busy");
  rig_until(g, "/busy", 1);
  rig_run(g, 50);
  gn_engine_cancel(g->engine, id);
  event = rig_done(g, id);
  rig_error_is(&event->result->error, GN_CANCELLED, "cancelled");
  assert_int_equal(event->result->record_count, 1);
  assert_true(event->result->records[0].waited >= 30);
  gn_event_free(event);
  rig_nothing(g, 50);
  assert_in_range(gn_now_ms() - start, 0, 5000);
}

static void test_mailbox_closed_in_flight(void **state) {
  struct rig *g = *state;
  struct gn_stats stats;
  int i;
  server_set(g->server, stalls, NULL);
  for (i = 0; i < 5; i++)
    rig_get(g, "/stalls");
  rig_until(g, "/stalls", 5);
  gn_mailbox_close(g->mailbox);
  g->mailbox = NULL;
  for (i = 0; i < 1000; i++) {
    gn_engine_stats(g->engine, &stats);
    if (stats.counts[GN_COUNT_IN_FLIGHT] == 0)
      break;
    gn_engine_wait(g->engine, gn_engine_sequence(g->engine), 5);
  }
  assert_int_equal(stats.counts[GN_COUNT_IN_FLIGHT], 0);
}

/* Another mailbox's works go on when one closes. */
static void test_mailboxes_are_apart(void **state) {
  struct rig *g = *state;
  struct gn_mailbox *other = gn_mailbox_new(g->engine);
  struct gn_error err;
  uint64_t id = rig_get(g, "/mine");
  assert_true(gn_engine_submit(g->engine, other, g->policy,
                               rig_request(g, "GET", "/other"), &err) > id);
  gn_mailbox_close(other);
  rig_body(rig_done(g, id), "{\"ok\":true}");
}

static void test_engine_closed_in_flight(void **state) {
  struct rig *g = *state;
  struct gn_error err = {0};
  struct gn_request *r;
  int i;
  server_set(g->server, stalls, NULL);
  for (i = 1; i <= 5; i++)
    rig_get(g, "/stalls");
  rig_until(g, "/stalls", 5);
  rig_get(g, "/late");
  gn_engine_close(g->engine);
  gn_engine_close(g->engine);
  assert_true(gn_engine_is_closed(g->engine));
  for (i = 1; i <= 6; i++) {
    struct gn_event *event = gn_mailbox_take(g->mailbox);
    assert_non_null(event);
    assert_int_equal(event->type, GN_EVENT_DONE);
    rig_error_is(&event->result->error, GN_CANCELLED, "cancelled");
    assert_non_null(strstr(event->result->error.message, "engine was closed"));
    gn_event_free(event);
  }
  assert_null(gn_mailbox_take(g->mailbox));
  assert_int_equal(gn_running_count(), 0);
  r = rig_request(g, "GET", "/refused");
  assert_int_equal(
      gn_engine_submit(g->engine, g->mailbox, g->policy, r, &err), 0);
  rig_error_is(&err, GN_CANCELLED, "closed");
  gn_engine_cancel(g->engine, 1);
  gn_engine_advance(g->engine, 1);
  assert_true(gn_engine_wait(g->engine, gn_engine_sequence(g->engine), 5000) >
              0);
  assert_int_equal(server_hits(g->server, "/refused"), 0);
}

/* All orders of letting go of policy, mailbox and engine, work in flight. */
static void test_any_order(void **state) {
  static const char *const orders[] = {"pme", "pem", "mpe", "mep", "epm",
                                       "emp"};
  struct rig *g = *state;
  struct gn_error err;
  size_t i, k;
  server_set(g->server, stalls, NULL);
  for (i = 0; i < 6; i++) {
    struct gn_engine *e = gn_engine_new(g->threaded, &err);
    struct gn_mailbox *m = gn_mailbox_new(e);
    struct gn_policy *p = gn_policy_new(&g->options, &err);
    assert_true(gn_engine_submit(e, m, p, rig_request(g, "GET", "/order"),
                                 &err) > 0);
    if (i % 2)
      gn_engine_wait(e, 0, 20);
    for (k = 0; k < 3; k++) {
      if (orders[i][k] == 'p')
        gn_policy_unref(p);
      if (orders[i][k] == 'm')
        gn_mailbox_close(m);
      if (orders[i][k] == 'e') {
        gn_engine_close(e);
        gn_engine_unref(e);
      }
    }
  }
  assert_int_equal(gn_running_count(), 1);
}

/* Events that came before the call end a wait at once. */
static void test_wait_with_old_sequence(void **state) {
  struct rig *g = *state;
  uint64_t before = gn_engine_sequence(g->engine);
  uint64_t id = rig_get(g, "/x");
  int64_t start;
  gn_event_free(rig_done(g, id));
  start = gn_now_ms();
  assert_int_equal(gn_engine_wait(g->engine, before, 10000), before + 1);
  assert_in_range(gn_now_ms() - start, 0, 2000);
  start = gn_now_ms();
  gn_engine_wait(g->engine, gn_engine_sequence(g->engine), 60);
  assert_in_range(gn_now_ms() - start, 59, 2000);
}

static void test_connections_are_kept(void **state) {
  struct rig *g = *state;
  int i;
  for (i = 0; i < 5; i++)
    gn_event_free(rig_done(g, rig_get(g, "/kept")));
  assert_int_equal(server_connections(g->server), 1);
}

static void a_moment_later(struct server_request *r, void *arg) {
  (void)arg;
  server_stall(r, 200);
  server_answer(r, 200, NULL, "ok");
}

/* However many were in flight at once: none is opened a second time. */
static void test_many_connections_are_kept(void **state) {
  enum { MANY = 200 };
  struct rig *g = *state;
  int i, wave;
  server_set(g->server, a_moment_later, NULL);
  for (wave = 0; wave < 2; wave++) {
    for (i = 0; i < MANY; i++)
      rig_get(g, "/kept");
    for (i = 0; i < MANY; i++) {
      struct gn_event *event = rig_next(g);
      rig_body(event, "ok");
    }
  }
  assert_in_range(server_connections(g->server), 2, MANY);
}

/* The child sees a closed engine, leaves without hanging, and does not disturb
 * what its parent has on the wire. */
static void slow_answer(struct server_request *r, void *arg) {
  (void)arg;
  server_stall(r, 400);
  server_answer(r, 200, NULL, "late");
}

static int in_child(struct rig *g) {
  struct gn_error err = {0};
  static struct gn_engine *mine; /* static: no leak when the child exits */
  static struct gn_mailbox *box;
  struct gn_event *event = NULL;
  int i;
  gn_policy_enter(g->policy);
  if (!gn_engine_is_closed(g->engine) || gn_running_count() != 0)
    return 10;
  if (gn_engine_submit(g->engine, g->mailbox, g->policy,
                       rig_request(g, "GET", "/child"), &err) != 0 ||
      err.kind != GN_CANCELLED)
    return 11;
  gn_engine_cancel(g->engine, 1);
  gn_engine_wait(g->engine, 0, 10000);
  gn_engine_close(g->engine);
  gn_mailbox_close(g->mailbox);
  gn_engine_unref(g->engine);
  mine = gn_engine_new(g->threaded, &err);
  box = gn_mailbox_new(mine);
  if (gn_running_count() != 1 ||
      gn_engine_submit(mine, box, g->policy, rig_request(g, "GET", "/own"),
                       &err) == 0)
    return 12;
  for (i = 0; i < 100 && !event; i++) {
    event = gn_mailbox_take(box);
    if (!event)
      gn_engine_wait(mine, gn_engine_sequence(mine), 100);
  }
  if (!event || event->result->error.kind != GN_OK)
    return 13;
  gn_event_free(event);
  return 0; /* with its engine open: the exit hook's work */
}

static void test_fork(void **state) {
  struct rig *g = *state;
  int status = -1, i;
  pid_t pid;
  uint64_t id;
  server_set(g->server, slow_answer, NULL);
  id = rig_get(g, "/parent");
  rig_until(g, "/parent", 1);
  fflush(NULL);
  pid = fork();
  if (pid == 0)
    exit(in_child(g));
  rig_body(rig_done(g, id), "late");
  for (i = 0; i < 1000 && waitpid(pid, &status, WNOHANG) == 0; i++)
    rig_run(g, 10);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  assert_int_equal(server_hits(g->server, "/child"), 0);
  assert_int_equal(server_hits(g->server, "/own"), 1);
  rig_body(rig_done(g, rig_get(g, "/parent-again")), "late");
}

/* No descriptor for the engine's wake-up: an error now, not a hang later. */
static void test_no_descriptors(void **state) {
  struct rig *g = *state;
  struct gn_error err = {0};
  struct rlimit old, none;
  struct gn_engine *e;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
  none = old;
  none.rlim_cur = 3;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
  e = gn_engine_new(true, &err);
  setrlimit(RLIMIT_NOFILE, &old);
  assert_null(e);
  assert_int_not_equal(err.kind, GN_OK);
  gn_event_free(rig_done(g, rig_get(g, "/goes-on")));
}

#ifdef CHILD_THREADS
/* No thread for it: an error, and nothing left open. A child that is nobody, as
 * the limit means a user, and is none for root. */
static void test_no_thread(void **state) {
  int status = -1;
  pid_t pid;
  (void)state;
  fflush(NULL);
  pid = fork();
  if (pid == 0) {
    struct rlimit none = {0, 0};
    struct gn_error err = {0};
    int before = dup(0), after;
    close(before);
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
      _exit(2);
    if (setrlimit(RLIMIT_NPROC, &none) != 0)
      _exit(3);
    if (gn_engine_new(true, &err))
      _exit(4);
    after = dup(0);
    _exit(err.kind == GN_TRANSPORT && strcmp(err.code, "thread") == 0 &&
                  gn_running_count() == 0 && after == before
              ? 0 : 5);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
}
#endif

/* Many ends of one step do not wake who waits for each of them. */
static void test_told_in_groups(void **state) {
  enum { N = 40 };
  struct rig *g = *state;
  unsigned woken = 0, ends = 0;
  int64_t until = gn_now_ms() + 20000;
  int i;
  server_set(g->server, stalls, NULL);
  for (i = 0; i < N; i++)
    rig_get(g, "/stalls");
  rig_until(g, "/stalls", N);
  gn_engine_cancel_mailbox(g->engine, g->mailbox);
  while (ends < N && gn_now_ms() < until) {
    struct gn_event *event;
    uint64_t seen;
    while ((event = gn_mailbox_take(g->mailbox))) {
      ends++;
      gn_event_free(event);
    }
    seen = gn_engine_sequence(g->engine);
    if (ends < N && gn_mailbox_pending(g->mailbox) == 0) {
      gn_engine_wait(g->engine, seen, 20000);
      woken++;
    }
  }
  assert_int_equal(ends, N);
  assert_in_range(woken, 0, N / 2);
}

int main(void) {
#ifndef CHILD_THREADS
  print_message("the thread sanitizer knows no threads in a child of fork: "
                "two tests are left to the other builds\n");
#endif
  const struct CMUnitTest tests[] = {
    BOTH(test_done_once),
    BOTH(test_many),
    BOTH(test_request_shared),
    BOTH(test_cancel_before_start),
    BOTH(test_cancel_on_wire),
    BOTH(test_cancel_in_backoff),
    BOTH(test_mailbox_closed_in_flight),
    BOTH(test_mailboxes_are_apart),
    BOTH(test_engine_closed_in_flight),
    BOTH(test_any_order),
    BOTH(test_wait_with_old_sequence),
    BOTH(test_connections_are_kept),
    BOTH(test_many_connections_are_kept),
#ifdef CHILD_THREADS
    THREADED(test_fork),
    INLINE(test_no_thread),
#endif
    INLINE(test_fork),
    THREADED(test_no_descriptors),
    THREADED(test_told_in_groups),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
