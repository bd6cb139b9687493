/* Owns: the checks of a mailbox with a connection of its own at the doorbell,
 * subscribed by calls. Must not: check lines; test_doorbell.c does.
 */
#define _GNU_SOURCE
#include "doorbell_rig.h"

#include "clock.h"

#include <pthread.h>
#include <stdatomic.h>

static atomic_int left; /* requests whose client went away */

static void stalls(struct server_request *r, void *arg) {
  (void)arg;
  server_stall(r, 60000);
  atomic_fetch_add(&left, 1);
  server_close(r);
}

static void own(int fd, const struct gn_mailbox *m) {
  say(fd, "=");
  subscribe(fd, m);
}

/* Back when it is so. */
static void until_subscribes(struct rig *g, int wanted) {
  int64_t until = gn_now_ms() + 20000;
  while (gn_mailbox_subscribe(g->mailbox) != wanted && gn_now_ms() < until)
    rig_run(g, 2);
  assert_int_equal(gn_mailbox_subscribe(g->mailbox), wanted);
}

static void rings_by_call(struct rig *g, int fd) {
  uint64_t id;
  assert_int_equal(gn_mailbox_subscribe(g->mailbox), 1);
  id = rig_get(g, "/x");
  assert_int_equal(hear(fd), '+');
  assert_int_equal(gn_mailbox_subscribe(g->mailbox), 0);
  gn_event_free(rig_done(g, id));
  nothing_heard(fd, 1);
}

static void test_by_call(void **state) {
  struct rig *g = *state;
  struct gn_mailbox *other = gn_mailbox_new(g->engine);
  int fd = friend_of(g->engine), two = friend_of(g->engine), i;
  uint64_t id = rig_get(g, "/x");
  subscribe(fd, g->mailbox);
  assert_int_equal(hear(fd), '+');
  gn_event_free(rig_done(g, id));
  assert_int_equal(gn_mailbox_subscribe(g->mailbox), -1); /* not its own */
  own(fd, g->mailbox);
  id = rig_get(g, "/x");
  assert_int_equal(hear(fd), '+');
  gn_event_free(rig_done(g, id));
  for (i = 0; i < 20; i++)
    rings_by_call(g, fd);
  assert_int_equal(gn_mailbox_subscribe(g->mailbox), 1);
  assert_int_equal(gn_mailbox_subscribe(g->mailbox), 1); /* it is already */
  settle(fd);
  nothing_heard(fd, 1);
  own(two, g->mailbox); /* the last one counts */
  settle(two);
  rings_by_call(g, two);
  nothing_heard(fd, 1);
  rings_by_call(g, two);
  own(two, other); /* another's now */
  settle(two);
  assert_int_equal(gn_mailbox_subscribe(g->mailbox), -1);
  assert_int_equal(gn_mailbox_subscribe(other), 1);
  gn_mailbox_close(other);
  assert_int_equal(hear(two), '+');
  close(two);
  close(fd); /* was replaced, and its mailbox is about to be closed */
}

static void test_by_call_ends(void **state) {
  struct rig *g = *state;
  struct gn_mailbox *other = gn_mailbox_new(g->engine);
  struct gn_event *event;
  int fd = friend_of(g->engine), idle = friend_of(g->engine);
  uint64_t id;
  own(idle, other);
  settle(idle);
  gn_mailbox_close(other); /* told, though it was not subscribed */
  assert_int_equal(hear(idle), '+');
  own(fd, g->mailbox);
  settle(fd);
  server_set(g->server, stalls, NULL);
  id = rig_get(g, "/stalls");
  rig_until(g, "/stalls", 1);
  assert_int_equal(gn_mailbox_subscribe(g->mailbox), 1);
  close(fd);
  event = rig_done(g, id);
  rig_error_is(&event->result->error, GN_CANCELLED, "cancelled");
  gn_event_free(event);
  while (atomic_load(&left) == 0)
    rig_run(g, 5);
  until_subscribes(g, -1);
  own(idle, g->mailbox);
  settle(idle);
  close(idle); /* not subscribed: nobody's business */
  until_subscribes(g, -1);
  fd = friend_of(g->engine);
  own(fd, g->mailbox);
  settle(fd);
  assert_int_equal(gn_mailbox_subscribe(g->mailbox), 1);
  gn_engine_close(g->engine);
  assert_int_equal(gn_mailbox_subscribe(g->mailbox), 0);
  assert_int_equal(hear(fd), '+');
  assert_int_equal(hear(fd), 0);
  close(fd);
}

/* Events and subscriptions from two threads: none is missed. */
static void test_by_call_races(void **state) {
  struct rig *g = *state;
  int fd = friend_of(g->engine), i, waited = 0;
  own(fd, g->mailbox);
  settle(fd);
  for (i = 0; i < 300; i++) {
    uint64_t id = rig_get(g, "/x");
    usleep((useconds_t)(i % 30) * 50);
    if (gn_mailbox_subscribe(g->mailbox) == 1) {
      waited++;
      assert_int_equal(hear(fd), '+');
    }
    gn_event_free(rig_done(g, id));
  }
  print_message("%d of 300 had to be waited for\n", waited);
  nothing_heard(fd, 20);
  close(fd);
}

struct asker {
  struct gn_mailbox *m; /* whose connection is subscribed again and again */
  atomic_bool over;     /* enough of that */
  pthread_t thread;     /* does it */
};

static void *ask(void *arg) {
  struct asker *a = arg;
  while (!atomic_load(&a->over)) {
    gn_mailbox_subscribe(a->m);
    gn_event_free(gn_mailbox_take(a->m));
  }
  return NULL;
}

static void begin_to_ask(struct asker *a, struct gn_mailbox *m) {
  a->m = m;
  atomic_init(&a->over, false);
  pthread_create(&a->thread, NULL, ask, a);
}

static void end_to_ask(struct asker *a) {
  atomic_store(&a->over, true);
  pthread_join(a->thread, NULL);
}

/* Lost at the very moment somebody subscribes it: nothing of it stays. */
static void test_by_call_lost(void **state) {
  struct rig *g = *state;
  struct asker a;
  int i;
  for (i = 0; i < 60; i++) {
    int fd = friend_of(g->engine);
    own(fd, g->mailbox);
    settle(fd);
    begin_to_ask(&a, g->mailbox);
    usleep((useconds_t)(i % 7) * 20);
    close(fd);
    fd = friend_of(g->engine); /* the other one was seen before */
    settle(fd);
    end_to_ask(&a);
    assert_int_equal(gn_mailbox_subscribe(g->mailbox), -1);
    gn_event_free(rig_done(g, rig_get(g, "/x")));
    close(fd);
  }
}

/* Who takes without having heard may subscribe while the answer to the time
 * before is on its way; others that wait for the same are answered, too. */
static void test_by_call_unheard(void **state) {
  struct rig *g = *state;
  struct gn_mailbox *m = gn_mailbox_new(g->engine);
  int fd = friend_of(g->engine), others[3], i, k;
  struct asker a;
  own(fd, m);
  settle(fd);
  for (k = 0; k < 3; k++)
    others[k] = friend_of(g->engine);
  for (i = 0; i < 150; i++) {
    struct gn_error err;
    for (k = 0; k < 3; k++)
      subscribe(others[k], m);
    begin_to_ask(&a, m);
    assert_true(gn_engine_submit(g->engine, m, g->policy,
                                 rig_request(g, "GET", "/x"), &err) > 0);
    for (k = 0; k < 3; k++)
      assert_int_equal(hear(others[k]), '+');
    end_to_ask(&a);
  }
  gn_mailbox_close(m);
  for (k = 0; k < 3; k++)
    close(others[k]);
  close(fd);
}

static void until_waited_for(struct rig *g, struct gn_mailbox *m) {
  int64_t until = gn_now_ms() + 20000;
  bool yes = false;
  while (!yes && gn_now_ms() < until) {
    usleep(200);
    gn_engine_lock(g->engine);
    yes = m->waiters != NULL;
    gn_engine_unlock(g->engine);
  }
  assert_true(yes);
}

/* It waits for another mailbox by a line just now: not for this one. */
static void test_by_call_elsewhere(void **state) {
  struct rig *g = *state;
  struct gn_mailbox *other = gn_mailbox_new(g->engine);
  int fd = friend_of(g->engine);
  own(fd, g->mailbox);
  settle(fd);
  subscribe(fd, other);
  until_waited_for(g, other);
  assert_int_equal(gn_mailbox_subscribe(g->mailbox), -1);
  gn_mailbox_close(other);
  assert_int_equal(hear(fd), '+');
  rings_by_call(g, fd);
  close(fd);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    THREADED(test_by_call),
    THREADED(test_by_call_ends),
    THREADED(test_by_call_races),
    THREADED(test_by_call_lost),
    THREADED(test_by_call_unheard),
    THREADED(test_by_call_elsewhere),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
