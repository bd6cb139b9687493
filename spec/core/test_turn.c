/* Owns: the checks of the turn to step a threaded engine: lent to a caller who
 * waits for its own request, given back whatever happens meanwhile.
 * Must not: depend on timing.
 */
#define _GNU_SOURCE
#include "doorbell_rig.h"

#include "clock.h"
#include "engine_state.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

enum { ROUNDS = 40, THREADS = 4, SHARES = 150 };

static void answers(struct server_request *r, void *arg) {
  (void)arg;
  if (strcmp(r->target, "/slow") == 0)
    server_stall(r, 300);
  if (strcmp(r->target, "/stalls") == 0)
    server_stall(r, 60000);
  server_answer(r, 200, NULL, "{\"ok\":true}");
}

static uint64_t exchange(struct rig *g, struct gn_mailbox *m,
                         const char *path, int64_t ms) {
  struct gn_error err = {0};
  char url[64];
  snprintf(url, sizeof url, "http://127.0.0.1:%u%s", server_port(g->server),
           path);
  return gn_engine_exchange(g->engine, m, g->policy,
                            gn_request_new("GET", url, &err), ms, &err);
}

static bool rests(struct gn_engine *e) {
  bool yes;
  gn_engine_lock(e);
  yes = e->resting && !e->lent;
  gn_engine_unlock(e);
  return yes;
}

static bool is_lent(struct gn_engine *e) {
  bool yes;
  gn_engine_lock(e);
  yes = e->lent;
  gn_engine_unlock(e);
  return yes;
}

static void until(bool (*true_of)(struct gn_engine *), struct gn_engine *e) {
  int64_t end = gn_now_ms() + 20000;
  while (!true_of(e)) {
    if (gn_now_ms() > end)
      fail_msg("that never came");
    usleep(200);
  }
}

static double used(clockid_t clock) {
  struct timespec t;
  assert_int_equal(clock_gettime(clock, &t), 0);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* One request after the other takes no time of the engine's thread. */
static void test_caller_works(void **state) {
  struct rig *g = *state;
  clockid_t clock;
  double own, thread;
  int i;
  server_set(g->server, answers, NULL);
  assert_int_equal(pthread_getcpuclockid(g->engine->thread, &clock), 0);
  until(rests, g->engine);
  own = used(CLOCK_THREAD_CPUTIME_ID);
  thread = used(clock);
  for (i = 1; i <= ROUNDS; i++) {
    assert_int_equal(exchange(g, g->mailbox, "/", 20000), i);
    assert_int_equal(gn_mailbox_pending(g->mailbox), 1);
    rig_body(rig_done(g, (uint64_t)i), "{\"ok\":true}");
    assert_true(rests(g->engine));
  }
  own = used(CLOCK_THREAD_CPUTIME_ID) - own;
  thread = used(clock) - thread;
  if (thread > own / 10)
    fail_msg("the thread took %.6f s, the caller %.6f s", thread, own);
}

/* Who does not wait to the end leaves the rest to the thread. */
static void test_thread_goes_on(void **state) {
  struct rig *g = *state;
  uint64_t id;
  server_set(g->server, answers, NULL);
  until(rests, g->engine);
  id = exchange(g, g->mailbox, "/slow", 5);
  assert_int_equal(gn_mailbox_pending(g->mailbox), 0);
  assert_false(is_lent(g->engine));
  rig_body(rig_done(g, id), "{\"ok\":true}");
  until(rests, g->engine);
}

/* Somebody else's work is not held up: the thread has it before, or the caller
 * does it, too. */
static void test_busy_engine(void **state) {
  struct rig *g = *state;
  uint64_t stalled, id;
  server_set(g->server, answers, NULL);
  stalled = rig_get(g, "/stalls");
  id = exchange(g, g->mailbox, "/", 20000);
  assert_false(is_lent(g->engine));
  rig_body(rig_done(g, id), "{\"ok\":true}");
  gn_engine_cancel(g->engine, stalled);
  gn_event_free(rig_done(g, stalled));
}

struct waiter {
  struct rig *rig;      /* its engine */
  struct gn_mailbox *m; /* of its own */
  pthread_t thread;     /* runs it */
  uint64_t id;          /* of its request */
};

static void *wait_long(void *arg) {
  struct waiter *w = arg;
  w->id = exchange(w->rig, w->m, "/stalls", 20000);
  return NULL;
}

static void begin_to_wait(struct waiter *w, struct rig *g) {
  server_set(g->server, answers, NULL);
  w->rig = g;
  w->m = gn_mailbox_new(g->engine);
  until(rests, g->engine);
  pthread_create(&w->thread, NULL, wait_long, w);
  until(is_lent, g->engine);
}

static void expect_cancelled(struct waiter *w) {
  struct gn_event *event = gn_mailbox_take(w->m);
  assert_non_null(event);
  assert_int_equal(event->id, w->id);
  rig_error_is(&event->result->error, GN_CANCELLED, "cancelled");
  gn_event_free(event);
  gn_mailbox_close(w->m);
}

/* What others submit and cancel while it waits wakes who steps. */
static void test_others_meanwhile(void **state) {
  struct rig *g = *state;
  int64_t start = gn_now_ms();
  struct waiter w;
  begin_to_wait(&w, g);
  rig_until(g, "/stalls", 1);
  rig_body(rig_done(g, rig_get(g, "/quick")), "{\"ok\":true}");
  pthread_join(w.thread, NULL); /* an event was posted: not its own */
  gn_engine_cancel(g->engine, w.id);
  while (gn_mailbox_pending(w.m) == 0)
    gn_engine_wait(g->engine, gn_engine_sequence(g->engine), 100);
  expect_cancelled(&w);
  assert_in_range(gn_now_ms() - start, 0, 15000);
}

static void test_close_meanwhile(void **state) {
  struct rig *g = *state;
  int64_t start = gn_now_ms();
  struct waiter w;
  begin_to_wait(&w, g);
  gn_engine_close(g->engine);
  pthread_join(w.thread, NULL);
  assert_false(is_lent(g->engine));
  expect_cancelled(&w);
  assert_int_equal(exchange(g, g->mailbox, "/", 20000), 0);
  assert_in_range(gn_now_ms() - start, 0, 4000);
}

/* Who connects must be answered from now on, also when nothing else is there:
 * the thread does not rest any more. */
static void test_doorbell_meanwhile(void **state) {
  struct rig *g = *state;
  struct waiter w;
  int fd;
  begin_to_wait(&w, g);
  fd = friend_of(g->engine);
  settle(fd);
  subscribe(fd, w.m);
  rig_until(g, "/stalls", 1);
  gn_engine_cancel_mailbox(g->engine, w.m);
  assert_int_equal(hear(fd), '+');
  pthread_join(w.thread, NULL);
  expect_cancelled(&w);
  settle(fd);
  assert_false(rests(g->engine));
  rig_body(rig_done(g, exchange(g, g->mailbox, "/", 20000)), "{\"ok\":true}");
  close(fd);
}

static void *share(void *arg) {
  struct waiter *w = arg;
  struct gn_engine *e = w->rig->engine;
  int64_t end = gn_now_ms() + 60000;
  int i;
  for (i = 0; i < SHARES && gn_now_ms() < end; i++) {
    struct gn_event *event = NULL;
    int kind = (i + (int)w->id) % 5;
    uint64_t id = exchange(w->rig, w->m, kind == 4 ? "/stalls" : "/",
                           kind < 3 ? 10000 : kind - 3);
    if (kind == 4)
      gn_engine_cancel(e, id);
    while (!event && gn_now_ms() < end) {
      uint64_t seen = gn_engine_sequence(e);
      event = gn_mailbox_take(w->m);
      if (!event)
        gn_engine_wait(e, seen, 10000);
    }
    if (!event || event->id != id)
      break;
    gn_event_free(event);
    if (i % 3)
      usleep((useconds_t)(i % 11) * 60);
  }
  w->id = (uint64_t)i;
  return NULL;
}

/* Borrowed, refused and given back in every order: nothing lies there until a
 * timer is due, and each request ends once. Forks come in between. */
static void test_shared(void **state) {
  struct rig *g = *state;
  struct waiter workers[THREADS];
  int i;
  server_set(g->server, answers, NULL);
  for (i = 0; i < THREADS; i++) {
    workers[i] = (struct waiter){.rig = g, .id = (uint64_t)i};
    workers[i].m = gn_mailbox_new(g->engine);
    pthread_create(&workers[i].thread, NULL, share, &workers[i]);
  }
  for (i = 0; i < 10; i++) {
    int status = -1;
    pid_t pid = fork();
    if (pid == 0)
      _exit(exchange(g, g->mailbox, "/", 1000) == 0 ? 42 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
    usleep(1000);
  }
  for (i = 0; i < THREADS; i++) {
    pthread_join(workers[i].thread, NULL);
    assert_int_equal(workers[i].id, SHARES);
    gn_mailbox_close(workers[i].m);
  }
  until(rests, g->engine);
}

/* Closed by another thread at any moment of an exchange. */
static void test_close_at_any_time(void **state) {
  struct rig *g = *state;
  struct gn_engine *shared = g->engine;
  int i;
  server_set(g->server, answers, NULL);
  for (i = 0; i < ROUNDS; i++) {
    struct gn_error err;
    struct waiter w = {.rig = g};
    g->engine = gn_engine_new(true, &err);
    w.m = gn_mailbox_new(g->engine);
    pthread_create(&w.thread, NULL, wait_long, &w);
    usleep((useconds_t)(i % 8) * 150);
    gn_engine_close(g->engine);
    pthread_join(w.thread, NULL);
    if (w.id)
      expect_cancelled(&w);
    else
      gn_mailbox_close(w.m);
    gn_engine_unref(g->engine);
  }
  g->engine = shared;
}

/* The same verb where there is no thread. */
static void test_inline(void **state) {
  struct rig *g = *state;
  uint64_t id = exchange(g, g->mailbox, "/", 20000);
  assert_int_equal(gn_mailbox_pending(g->mailbox), 1);
  rig_body(rig_done(g, id), "{\"ok\":true}");
}

int main(void) {
  const struct CMUnitTest tests[] = {
    THREADED(test_caller_works), THREADED(test_thread_goes_on),
    THREADED(test_busy_engine), THREADED(test_others_meanwhile),
    THREADED(test_close_meanwhile), THREADED(test_doorbell_meanwhile),
    THREADED(test_shared), THREADED(test_close_at_any_time),
    INLINE(test_inline),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
