/* Owns: the checks of the doorbell's protocol: who is let in, what is answered
 * when, and what hanging up does.
 * Must not: check where the socket is; test_doorbell_life.c does.
 */
#define _GNU_SOURCE
#include "doorbell_rig.h"

#include "alloc.h"
#include "clock.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>

static atomic_int left; /* requests whose client went away */

static void stalls(struct server_request *r, void *arg) {
  (void)arg;
  server_stall(r, 60000);
  atomic_fetch_add(&left, 1);
  server_close(r);
}

static void slow(struct server_request *r, void *arg) {
  (void)arg;
  server_stall(r, 2);
  server_answer(r, 200, NULL, "{}");
}

static uint64_t get_to(struct rig *g, struct gn_mailbox *m, const char *path) {
  struct gn_error err = {0};
  uint64_t id = gn_engine_submit(g->engine, m, g->policy,
                                 rig_request(g, "GET", path), &err);
  if (!id)
    fail_msg("%s", err.message);
  return id;
}

static void test_rings(void **state) {
  struct rig *g = *state;
  struct gn_doorbell_address one = doorbell_of(g->engine);
  struct gn_doorbell_address two = doorbell_of(g->engine);
  int fd = friend_of(g->engine), i;
  assert_memory_equal(&one, &two, sizeof one);
  assert_int_equal(strlen(one.key), 64);
  assert_int_equal(strspn(one.key, "0123456789abcdef"), 64);
  subscribe(fd, g->mailbox);
  nothing_heard(fd, 30);
  for (i = 0; i < 20; i++) {
    uint64_t id = rig_get(g, "/x");
    assert_int_equal(hear(fd), '+');
    assert_int_equal(gn_mailbox_pending(g->mailbox), 1);
    subscribe(fd, g->mailbox); /* has something already */
    assert_int_equal(hear(fd), '+');
    gn_event_free(rig_done(g, id));
    subscribe(fd, g->mailbox);
  }
  settle(fd);
  rig_body(rig_done(g, rig_get(g, "/x")), "{\"ok\":true}");
  nothing_heard(fd, 30);
  settle(fd);
  close(fd);
}

/* Lines come in any pieces. */
static void test_pieces(void **state) {
  struct rig *g = *state;
  struct gn_doorbell_address at = doorbell_of(g->engine);
  char text[128];
  size_t len = (size_t)snprintf(text, sizeof text, "%s\n%llu\n", at.key,
                                (unsigned long long)g->mailbox->id), i;
  int fd = dial(at.path);
  for (i = 0; i < len; i++) {
    assert_int_equal(send(fd, text + i, 1, MSG_NOSIGNAL), 1);
    if (i % 8 == 0)
      rig_run(g, 1);
  }
  rig_get(g, "/x");
  assert_int_equal(hear(fd), '+');
  say(fd, "-\n-\n-");
  assert_int_equal(hear(fd), '-');
  assert_int_equal(hear(fd), '-');
  say(fd, "\n");
  assert_int_equal(hear(fd), '-');
  close(fd);
  fd = dial(at.path); /* all at once, and something has come */
  say(fd, text);
  assert_int_equal(hear(fd), '+');
  close(fd);
}

static void is_refused(struct gn_doorbell_address *at, const char *first,
                       const char *then) {
  int fd = dial(at->path);
  assert_true(fd >= 0);
  send(fd, first, strlen(first), MSG_NOSIGNAL);
  send(fd, then, strlen(then), MSG_NOSIGNAL);
  if (hear(fd) != 0)
    fail_msg("'%s%s' was let in", first, then);
  close(fd);
}

static void test_wrong_key(void **state) {
  struct rig *g = *state;
  struct gn_doorbell_address at = doorbell_of(g->engine);
  char wrong[256];
  snprintf(wrong, sizeof wrong, "%s", at.key);
  wrong[63] = wrong[63] == 'a' ? 'b' : 'a';
  is_refused(&at, wrong, "\n1\n");
  snprintf(wrong, sizeof wrong, "%.63s", at.key);
  is_refused(&at, wrong, "\n");
  is_refused(&at, at.key, "0\n");
  is_refused(&at, at.key, "\r\n");
  is_refused(&at, "\n", at.key);
  is_refused(&at, "1\n", "");
  is_refused(&at, "-\n", "");
  memset(wrong, 'f', sizeof wrong - 1);
  wrong[255] = '\0';
  is_refused(&at, wrong, ""); /* a line without an end */
  is_refused(&at, wrong, wrong);
}

static void test_wrong_lines(void **state) {
  static const char *const lines[] = {
    "\n", "x\n", "-1\n", "1 \n", " 1\n", "1x\n", "+\n", "--\n", "0x1\n",
    "1\r\n", "1.0\n", "12345678901234567890\n", "1 x\n", "1 2 \n", "1  2\n",
    "1 -2\n", "1 2 3\n", "1 1234567890123\n", "=\n", "==1\n", "=1 2\n",
    "=x\n", "= 1\n", "1=\n",
  };
  struct rig *g = *state;
  struct gn_doorbell_address at = doorbell_of(g->engine);
  char known[70], endless[400];
  size_t i;
  snprintf(known, sizeof known, "%s\n", at.key);
  for (i = 0; i < sizeof lines / sizeof *lines; i++)
    is_refused(&at, known, lines[i]);
  memset(endless, '1', sizeof endless - 1);
  endless[sizeof endless - 1] = '\0';
  is_refused(&at, known, endless);
  rig_body(rig_done(g, rig_get(g, "/x")), "{\"ok\":true}");
}

/* Who says nothing is hung up on, who is known may be silent for ever. */
static void test_silence(void **state) {
  struct rig *g = *state;
  struct gn_doorbell_address at = doorbell_of(g->engine);
  int64_t start = gn_now_ms();
  int known = friend_of(g->engine), silent = dial(at.path), half, early;
  half = dial(at.path);
  early = dial(at.path);
  say(half, "0123456789abcdef");
  close(early);
  settle(known);
  assert_int_equal(hear(silent), 0);
  assert_int_equal(hear(half), 0);
  assert_in_range(gn_now_ms() - start, 4500, 20000);
  /* late: the key comes when the door is shut */
  send(silent, at.key, 64, MSG_NOSIGNAL);
  settle(known);
  close(known);
  close(silent);
  close(half);
}

static void test_unknown_mailbox(void **state) {
  struct rig *g = *state;
  struct gn_mailbox *m = gn_mailbox_new(g->engine);
  int fd = friend_of(g->engine);
  char line[32];
  snprintf(line, sizeof line, "%llu\n", (unsigned long long)m->id);
  gn_mailbox_close(m);
  say(fd, line);
  assert_int_equal(hear(fd), '+');
  say(fd, "0\n9999999999999999999\n000000000000\n");
  assert_int_equal(hear(fd), '+');
  assert_int_equal(hear(fd), '+');
  assert_int_equal(hear(fd), '+');
  subscribe(fd, g->mailbox);
  rig_get(g, "/x");
  assert_int_equal(hear(fd), '+');
  close(fd);
}

static void expect_cancelled(struct rig *g, uint64_t id) {
  struct gn_event *event = rig_done(g, id);
  rig_error_is(&event->result->error, GN_CANCELLED, "cancelled");
  gn_event_free(event);
}

static void test_subscribed_twice(void **state) {
  struct rig *g = *state;
  struct gn_mailbox *other = gn_mailbox_new(g->engine);
  int fd = friend_of(g->engine);
  uint64_t id;
  server_set(g->server, stalls, NULL);
  id = rig_get(g, "/stalls");
  subscribe(fd, g->mailbox);
  subscribe(fd, other);
  assert_int_equal(hear(fd), 0);
  expect_cancelled(g, id);
  close(fd);
  gn_mailbox_close(other);
}

static void test_two_waiters(void **state) {
  struct rig *g = *state;
  int one = friend_of(g->engine), two = friend_of(g->engine);
  int three = friend_of(g->engine);
  subscribe(one, g->mailbox);
  subscribe(two, g->mailbox);
  subscribe(three, g->mailbox);
  settle(two); /* from the middle */
  rig_get(g, "/x");
  assert_int_equal(hear(one), '+');
  assert_int_equal(hear(three), '+');
  nothing_heard(two, 20);
  close(one);
  close(two);
  close(three);
}

static void until_left(struct rig *g, int wanted) {
  int64_t until = gn_now_ms() + 20000;
  while (atomic_load(&left) < wanted && gn_now_ms() < until)
    rig_run(g, 5);
  assert_int_equal(atomic_load(&left), wanted);
}

static void test_hanging_up_cancels(void **state) {
  struct rig *g = *state;
  struct gn_mailbox *other = gn_mailbox_new(g->engine);
  int fd = friend_of(g->engine), i;
  uint64_t ids[5];
  atomic_store(&left, 0);
  server_set(g->server, stalls, NULL);
  for (i = 0; i < 5; i++)
    ids[i] = rig_get(g, "/mine");
  get_to(g, other, "/other");
  rig_until(g, "/mine", 5);
  rig_until(g, "/other", 1);
  subscribe(fd, g->mailbox);
  settle(fd);
  close(fd); /* not subscribed any more: nobody's business */
  fd = friend_of(g->engine);
  subscribe(fd, g->mailbox);
  nothing_heard(fd, 50);
  assert_int_equal(atomic_load(&left), 0);
  close(fd);
  for (i = 0; i < 5; i++) {
    struct gn_event *event = rig_next(g);
    rig_error_is(&event->result->error, GN_CANCELLED, "cancelled");
    assert_in_range(event->id, ids[0], ids[4]);
    gn_event_free(event);
  }
  until_left(g, 5);
  assert_int_equal(server_hits(g->server, "/mine"), 5);
  assert_int_equal(gn_mailbox_pending(other), 0);
  gn_mailbox_close(other);
}

/* The waiter's deadline and the event come at the same time. */
static void test_giving_up_races(void **state) {
  struct rig *g = *state;
  int fd = friend_of(g->engine), i, rung = 0;
  server_set(g->server, slow, NULL);
  for (i = 0; i < 300; i++) {
    uint64_t id = rig_get(g, "/slow");
    char first;
    subscribe(fd, g->mailbox);
    usleep((useconds_t)(i % 30) * 200);
    say(fd, "-\n");
    first = hear(fd);
    if (first == '+') {
      rung++;
      first = hear(fd);
    }
    assert_int_equal(first, '-');
    gn_event_free(rig_done(g, id));
  }
  print_message("%d of 300 were rung for before they gave up\n", rung);
  nothing_heard(fd, 20);
  close(fd);
}

static void subscribe_for(int fd, const struct gn_mailbox *m, int ms) {
  char line[64];
  snprintf(line, sizeof line, "%llu %d\n", (unsigned long long)m->id, ms);
  say(fd, line);
}

static void test_deadline(void **state) {
  struct rig *g = *state;
  struct gn_mailbox *other = gn_mailbox_new(g->engine);
  int fd = friend_of(g->engine), two = friend_of(g->engine);
  int64_t start = gn_now_ms();
  uint64_t id;
  subscribe_for(fd, g->mailbox, 40);
  assert_int_equal(hear(fd), '-');
  assert_in_range(gn_now_ms() - start, 40, 15000);
  subscribe_for(fd, g->mailbox, 0);
  assert_int_equal(hear(fd), '-');
  /* what is in flight goes on, and rings for the next */
  server_set(g->server, slow, NULL);
  id = rig_get(g, "/slow");
  subscribe_for(fd, g->mailbox, 60000);
  subscribe_for(two, other, 10);
  assert_int_equal(hear(fd), '+');
  assert_int_equal(hear(two), '-');
  subscribe_for(fd, g->mailbox, 0); /* has something already */
  assert_int_equal(hear(fd), '+');
  gn_event_free(rig_done(g, id));
  /* one that was answered or given up, or whose waiter left, has none */
  subscribe_for(fd, g->mailbox, 50);
  rig_get(g, "/slow");
  assert_int_equal(hear(fd), '+');
  subscribe_for(two, other, 50);
  settle(two);
  subscribe(two, other);
  nothing_heard(fd, 80);
  nothing_heard(two, 1);
  subscribe_for(fd, other, 20);
  close(fd);
  nothing_heard(two, 40);
  subscribe_for(two, other, 1); /* twice */
  assert_int_equal(hear(two), 0);
  close(two);
  gn_mailbox_close(other);
}

/* The engine's deadline and the event come at the same time: one answer. */
static void test_deadline_races(void **state) {
  struct rig *g = *state;
  int fd = friend_of(g->engine), i, rung = 0;
  server_set(g->server, slow, NULL);
  for (i = 0; i < 200; i++) {
    uint64_t id = rig_get(g, "/slow");
    subscribe_for(fd, g->mailbox, i % 6);
    if (hear(fd) == '+')
      rung++;
    gn_event_free(rig_done(g, id));
  }
  print_message("%d of 200 were rung for before their deadline\n", rung);
  nothing_heard(fd, 20);
  close(fd);
}

static void test_mailbox_closed(void **state) {
  struct rig *g = *state;
  int one = friend_of(g->engine), two = friend_of(g->engine), i;
  for (i = 0; i < 50; i++) {
    struct gn_mailbox *m = gn_mailbox_new(g->engine);
    subscribe(one, m);
    if (i % 2)
      settle(two);
    gn_mailbox_close(m);
    assert_int_equal(hear(one), '+');
  }
  /* and the waiter leaves at the same moment */
  for (i = 0; i < 50; i++) {
    struct gn_mailbox *m = gn_mailbox_new(g->engine);
    subscribe(one, m);
    settle(two);
    close(one);
    gn_mailbox_close(m);
    one = friend_of(g->engine);
  }
  settle(one);
  close(one);
  close(two);
}

static void test_many(void **state) {
  enum { N = 500 };
  struct rig *g = *state;
  static struct gn_mailbox *boxes[N];
  static int fds[N];
  struct gn_doorbell_address at = doorbell_of(g->engine);
  struct rlimit limit;
  int i, round;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
  limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
  gn_engine_lock(g->engine); /* nobody is let in: the backlog has them all */
  for (i = 0; i < N; i++)
    assert_true((fds[i] = dial(at.path)) >= 0);
  gn_engine_unlock(g->engine);
  for (i = 0; i < N; i++) {
    boxes[i] = gn_mailbox_new(g->engine);
    say(fds[i], at.key);
    say(fds[i], "\n");
  }
  for (round = 0; round < 2; round++) {
    for (i = 0; i < N; i++) {
      subscribe(fds[i], boxes[i]);
      if (i % 4 == 0)
        get_to(g, boxes[i], "/x");
    }
    for (i = 0; i < N; i += 4) {
      assert_int_equal(hear(fds[i]), '+');
      assert_int_equal(gn_mailbox_pending(boxes[i]), 1);
      gn_event_free(gn_mailbox_take(boxes[i]));
    }
    for (i = 0; i < N; i++)
      settle(fds[i]);
  }
  for (i = 0; i < N; i++) {
    close(fds[i]);
    gn_mailbox_close(boxes[i]);
  }
}

static void test_engine_closed(void **state) {
  struct rig *g = *state;
  struct gn_doorbell_address at = doorbell_of(g->engine);
  int one = friend_of(g->engine), two = friend_of(g->engine);
  int idle = friend_of(g->engine), stranger = dial(at.path);
  struct gn_mailbox *other = gn_mailbox_new(g->engine);
  server_set(g->server, stalls, NULL);
  rig_get(g, "/stalls");
  subscribe(one, g->mailbox);
  subscribe(two, other);
  settle(idle);
  gn_engine_close(g->engine);
  assert_int_equal(hear(one), '+');
  assert_int_equal(hear(one), 0);
  assert_int_equal(hear(two), '+');
  assert_int_equal(hear(two), 0);
  assert_int_equal(hear(idle), 0);
  assert_int_equal(hear(stranger), 0);
  assert_int_equal(dial(at.path), -1);
  assert_int_equal(errno, ENOENT);
  gn_mailbox_close(other);
  close(one);
  close(two);
  close(idle);
  close(stranger);
}

/* Who never reads is hung up on, and holds nobody up. */
static void test_never_reads(void **state) {
  struct rig *g = *state;
  int deaf = friend_of(g->engine), fd = friend_of(g->engine);
  static char lines[4096];
  struct pollfd p = {.fd = deaf, .events = POLLOUT};
  size_t i;
  for (i = 0; i < sizeof lines; i += 2)
    memcpy(lines + i, "-\n", 2);
  for (;;) {
    ssize_t rc = send(deaf, lines, sizeof lines, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (rc < 0 && errno != EAGAIN)
      break;
    if (rc < 0 && poll(&p, 1, 20000) != 1)
      fail_msg("who never reads is still connected");
  }
  assert_int_equal(errno, EPIPE);
  subscribe(fd, g->mailbox);
  rig_get(g, "/x");
  assert_int_equal(hear(fd), '+');
  close(deaf);
  close(fd);
}

static void test_inline(void **state) {
  struct rig *g = *state;
  struct gn_doorbell_address at;
  struct gn_error err = {0};
  assert_int_equal(gn_engine_doorbell(g->engine, &at, &err), -1);
  rig_error_is(&err, GN_INVALID, "thread");
  assert_non_null(strstr(err.message, "needs a threaded engine"));
}

#ifdef GN_FAULTS
static void test_memory(void **state) {
  struct rig *g = *state;
  struct gn_doorbell_address at;
  struct gn_error err = {0};
  int fd, other;
  gn_alloc_fail_after(0, 1);
  assert_int_equal(gn_engine_doorbell(g->engine, &at, &err), -1);
  gn_alloc_fail_after(-1, 0);
  rig_error_is(&err, GN_MEMORY, NULL);
  at = doorbell_of(g->engine);
  fd = friend_of(g->engine);
  settle(fd);
  gn_alloc_fail_after(0, 1);
  other = dial(at.path);
  assert_int_equal(hear(other), 0);
  subscribe(fd, g->mailbox); /* needs none */
  settle(fd);
  gn_alloc_fail_after(-1, 0);
  close(other);
  other = friend_of(g->engine);
  settle(other);
  close(other);
  close(fd);
}
#endif

int main(void) {
  const struct CMUnitTest tests[] = {
    THREADED(test_rings),
    THREADED(test_pieces),
    THREADED(test_wrong_key),
    THREADED(test_wrong_lines),
    THREADED(test_silence),
    THREADED(test_unknown_mailbox),
    THREADED(test_subscribed_twice),
    THREADED(test_two_waiters),
    THREADED(test_hanging_up_cancels),
    THREADED(test_giving_up_races),
    THREADED(test_deadline),
    THREADED(test_deadline_races),
    THREADED(test_mailbox_closed),
    THREADED(test_many),
    THREADED(test_engine_closed),
    THREADED(test_never_reads),
    INLINE(test_inline),
#ifdef GN_FAULTS
    THREADED(test_memory),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
