/* Owns: many threads that submit, cancel, advance, wait and close at once, for
 * the thread sanitizer and for lost wake-ups. Must not: depend on timing.
 */
#define _GNU_SOURCE
#include "rig.h"

#include "alloc.h"
#include "clock.h"
#include "process.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, ROUNDS = 60 };

static void slow_or_quick(struct server_request *r, void *arg) {
  (void)arg;
  if (strcmp(r->target, "/stalls") == 0)
    server_stall(r, 60000);
  server_answer(r, 200, NULL, "{\"next\":\"1\"}");
}

struct worker {
  struct rig *rig;       /* the engine that all share */
  pthread_t thread;      /* runs it */
  unsigned ends;         /* "done" events it got */
  unsigned submitted;    /* works it began */
};

static void take_all(struct worker *w, struct gn_mailbox *m) {
  struct gn_event *event;
  while ((event = gn_mailbox_take(m))) {
    w->ends += event->type == GN_EVENT_DONE;
    if (event->type == GN_EVENT_PAGE)
      gn_engine_advance(w->rig->engine, event->id);
    gn_event_free(event);
  }
}

static uint64_t begin(struct worker *w, struct gn_mailbox *m, bool stalls) {
  struct rig *g = w->rig;
  struct gn_error err;
  struct gn_pager_rules *rules;
  struct gn_request *r;
  char url[64];
  snprintf(url, sizeof url, "http://127.0.0.1:%u/%s", server_port(g->server),
           stalls ? "stalls" : "x");
  r = gn_request_new("GET", url, &err);
  if (w->submitted++ % 3)
    return gn_engine_submit(g->engine, m, g->policy, r, &err);
  rules = gn_pager_rules_new();
  rules->source = gn_strdup("next");
  rules->target = gn_strdup("t");
  rules->max_pages = 5;
  rules->ahead = w->submitted % 4;
  return gn_engine_walk(g->engine, m, g->policy, r, rules, &err);
}

/* Every work ends exactly once, cancelled right away or late. */
static void *work(void *arg) {
  struct worker *w = arg;
  struct gn_engine *e = w->rig->engine;
  struct gn_mailbox *m = gn_mailbox_new(e);
  int64_t until = gn_now_ms() + 60000;
  int i;
  for (i = 0; i < ROUNDS; i++) {
    struct gn_mailbox *other = gn_mailbox_new(e);
    uint64_t quick = begin(w, m, false);
    uint64_t slow = begin(w, m, true);
    begin(w, other, i % 2);
    w->submitted--;
    if (i % 3 == 0)
      gn_engine_wait(e, gn_engine_sequence(e), 2);
    gn_engine_cancel(e, slow);
    if (i % 5 == 0) {
      /* A walk whose pages are dropped waits for credit: nobody gives any. */
      gn_mailbox_drop_pages(m, quick);
      gn_engine_cancel(e, quick);
    }
    gn_mailbox_close(other);
    take_all(w, m);
  }
  while (w->ends < w->submitted && gn_now_ms() < until) {
    uint64_t seen = gn_engine_sequence(e);
    take_all(w, m);
    if (w->ends < w->submitted)
      gn_engine_wait(e, seen, 1000);
  }
  gn_mailbox_close(m);
  return NULL;
}

static void test_threads(void **state) {
  struct rig *g = *state;
  struct worker workers[THREADS];
  struct gn_error err;
  int i;
  server_set(g->server, slow_or_quick, NULL);
  memset(workers, 0, sizeof workers);
  for (i = 0; i < THREADS; i++) {
    workers[i].rig = g;
    pthread_create(&workers[i].thread, NULL, work, &workers[i]);
  }
  for (i = 0; i < 200; i++) {
    struct gn_stats stats;
    char token[32];
    gn_engine_stats(g->engine, &stats);
    gn_auth_set_token(&g->policy->auth, token,
                      (size_t)snprintf(token, sizeof token, "secret%d", i),
                      &err);
  }
  for (i = 0; i < THREADS; i++) {
    pthread_join(workers[i].thread, NULL);
    assert_int_equal(workers[i].ends, workers[i].submitted);
  }
}

/* Cancelled in the moment of submission, while others keep the engine busy. */
static void *submit_and_cancel(void *arg) {
  struct worker *w = arg;
  struct gn_engine *e = w->rig->engine;
  struct gn_mailbox *m = gn_mailbox_new(e);
  int64_t until = gn_now_ms() + 30000;
  int i, k;
  for (i = 0; i < 300; i++) {
    for (k = 0; k < 20; k++)
      gn_engine_cancel(e, begin(w, m, true));
    while (w->ends < w->submitted && gn_now_ms() < until) {
      uint64_t seen = gn_engine_sequence(e);
      take_all(w, m);
      if (w->ends < w->submitted)
        gn_engine_wait(e, seen, 1000);
    }
  }
  gn_mailbox_close(m);
  return NULL;
}

static void test_no_lost_cancel(void **state) {
  struct rig *g = *state;
  struct worker workers[THREADS];
  int i;
  server_set(g->server, slow_or_quick, NULL);
  memset(workers, 0, sizeof workers);
  for (i = 0; i < THREADS; i++) {
    workers[i].rig = g;
    pthread_create(&workers[i].thread, NULL, submit_and_cancel, &workers[i]);
  }
  for (i = 0; i < THREADS; i++) {
    pthread_join(workers[i].thread, NULL);
    assert_int_equal(workers[i].ends, workers[i].submitted);
  }
}

static void *close_it(void *arg) {
  gn_engine_close(arg);
  return NULL;
}

/* Two close, one submits, one waits: all come back. */
static void test_close_from_threads(void **state) {
  struct rig *g = *state;
  int i, k;
  server_set(g->server, slow_or_quick, NULL);
  for (i = 0; i < 40; i++) {
    struct gn_error err;
    struct rig mine = *g;
    struct worker w = {.rig = &mine};
    struct gn_mailbox *m;
    pthread_t closers[2];
    unsigned refused = 0;
    mine.engine = gn_engine_new(true, &err);
    m = gn_mailbox_new(mine.engine);
    for (k = 0; k < 2; k++)
      pthread_create(&closers[k], NULL, close_it, mine.engine);
    for (k = 0; k < 20; k++)
      refused += begin(&w, m, true) == 0;
    gn_engine_wait(mine.engine, gn_engine_sequence(mine.engine), 20000);
    for (k = 0; k < 2; k++)
      pthread_join(closers[k], NULL);
    take_all(&w, m);
    assert_int_equal(w.ends + refused, 20);
    gn_mailbox_close(m);
    gn_engine_unref(mine.engine);
  }
  assert_int_equal(gn_running_count(), 1);
}

static void *wait_on(void *engine) {
  while (!gn_engine_is_closed(engine))
    gn_engine_wait(engine, gn_engine_sequence(engine), 20000);
  gn_engine_unref(engine);
  return NULL;
}

/* Closed by another thread than the one that steps it. */
static void test_close_of_inline(void **state) {
  struct rig *g = *state;
  struct gn_engine *shared = g->engine;
  int i, k;
  server_set(g->server, slow_or_quick, NULL);
  for (i = 0; i < 40; i++) {
    struct gn_error err;
    struct worker w = {.rig = g};
    struct gn_engine *e = gn_engine_new(false, &err);
    struct gn_mailbox *m = gn_mailbox_new(e);
    pthread_t waiter;
    gn_engine_ref(e);
    g->engine = e;
    for (k = 0; k < 8; k++)
      begin(&w, m, k % 2);
    pthread_create(&waiter, NULL, wait_on, e);
    usleep((useconds_t)(i % 8) * 300);
    gn_engine_close(e);
    take_all(&w, m);
    assert_int_equal(w.ends, w.submitted);
    pthread_join(waiter, NULL);
    gn_mailbox_close(m);
    gn_engine_unref(e);
  }
  g->engine = shared;
}

#ifdef CHILD_THREADS
/* The process exits while its engines work and another thread closes them. */
static void test_exit(void **state) {
  struct rig *g = *state;
  int i;
  server_set(g->server, slow_or_quick, NULL);
  for (i = 0; i < 10; i++) {
    int status = -1;
    pid_t pid;
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
      /* Kept to the end, so that leak checks find them in use. */
      static struct gn_engine *volatile engines[8];
      static struct gn_mailbox *volatile boxes[8];
      struct worker w = {.rig = g};
      struct gn_error err;
      pthread_t closer;
      int k;
      gn_policy_enter(g->policy);
      for (k = 0; k < 8; k++) {
        engines[k] = gn_engine_new(true, &err);
        g->engine = engines[k];
        boxes[k] = gn_mailbox_new(engines[k]);
        begin(&w, boxes[k], true);
      }
      pthread_create(&closer, NULL, close_it, engines[i % 8]);
      pthread_detach(closer);
      exit(42);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
  }
}
#endif

/* What is submitted while the thread falls asleep wakes it: a lost one would
 * lie there until some timer is due. */
static void *submit_and_wait(void *arg) {
  struct worker *w = arg;
  struct rig *g = w->rig;
  struct gn_mailbox *m = gn_mailbox_new(g->engine);
  char url[64];
  int i;
  snprintf(url, sizeof url, "http://127.0.0.1:%u/", server_dead_port());
  for (i = 0; i < 800; i++) {
    int64_t start = gn_now_ms();
    struct gn_error err;
    struct gn_event *event;
    gn_engine_submit(g->engine, m, g->policy, gn_request_new("GET", url, &err),
                     &err);
    while (!(event = gn_mailbox_take(m)) && gn_now_ms() - start < 10000) {
      uint64_t seen = gn_engine_sequence(g->engine);
      if (gn_mailbox_pending(m) == 0)
        gn_engine_wait(g->engine, seen, 10000);
    }
    w->ends += event != NULL;
    gn_event_free(event);
    if (i % 3)
      usleep((useconds_t)(i % 11) * 9);
  }
  gn_mailbox_close(m);
  return NULL;
}

static void test_no_lost_wake_up(void **state) {
  struct rig *g = *state;
  struct worker workers[2] = {{.rig = g}, {.rig = g}};
  int i;
  g->options.attempts = 1;
  rig_policy(g);
  for (i = 0; i < 2; i++)
    pthread_create(&workers[i].thread, NULL, submit_and_wait, &workers[i]);
  for (i = 0; i < 2; i++)
    pthread_join(workers[i].thread, NULL);
  assert_int_equal(workers[0].ends, 800);
  assert_int_equal(workers[1].ends, 800);
}

int main(void) {
#ifndef CHILD_THREADS
  print_message("the thread sanitizer knows no threads in a child of fork: "
                "test_exit is left to the other builds\n");
#endif
  const struct CMUnitTest tests[] = {
    THREADED(test_threads), THREADED(test_no_lost_cancel),
    THREADED(test_no_lost_wake_up),
    THREADED(test_close_from_threads), INLINE(test_close_of_inline),
#ifdef CHILD_THREADS
    INLINE(test_exit),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
