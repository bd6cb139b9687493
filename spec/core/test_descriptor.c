/* Owns: the checks of the descriptor and of the list behind it. Must not: check
 * the doorbell; test_doorbell.c does.
 */
#define _GNU_SOURCE
#include "rig.h"

#include "descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_readable(int fd, int ms) {
  struct pollfd p = {.fd = fd, .events = POLLIN};
  return poll(&p, 1, ms) == 1 && (p.revents & POLLIN);
}

static int descriptor(struct rig *g) {
  struct gn_error err = {0};
  int fd = gn_engine_descriptor(g->engine, &err);
  if (fd < 0)
    fail_msg("%s", err.message);
  return fd;
}

static void test_signal_and_clear(void **state) {
  struct gn_descriptor d;
  int i;
  (void)state;
  assert_int_equal(gn_descriptor_open(&d), 0);
  assert_true(fcntl(d.read_end, F_GETFD) & FD_CLOEXEC);
  assert_true(fcntl(d.write_end, F_GETFD) & FD_CLOEXEC);
  assert_true(fcntl(d.read_end, F_GETFL) & O_NONBLOCK);
  assert_true(fcntl(d.write_end, F_GETFL) & O_NONBLOCK);
  assert_false(is_readable(d.read_end, 0));
  gn_descriptor_clear(&d); /* does not block */
  for (i = 0; i < 20000; i++)
    gn_descriptor_signal(&d); /* nor does one that is full */
  assert_true(is_readable(d.read_end, 0));
  gn_descriptor_clear(&d);
  assert_false(is_readable(d.read_end, 0));
  gn_descriptor_signal(&d);
  assert_true(is_readable(d.read_end, 0));
  gn_descriptor_close(&d);
}

static void test_readable_until_acknowledged(void **state) {
  struct rig *g = *state;
  int fd = descriptor(g);
  assert_int_equal(fd, descriptor(g));
  assert_false(is_readable(fd, 0));
  assert_int_equal(gn_engine_ready(g->engine), 0);
  rig_get(g, "/x");
  assert_true(is_readable(fd, 10000));
  assert_true(is_readable(fd, 0));
  gn_engine_acknowledge(g->engine);
  assert_false(is_readable(fd, 0));
  assert_int_equal(gn_engine_ready(g->engine), g->mailbox->id);
  assert_int_equal(gn_engine_ready(g->engine), 0);
  gn_event_free(gn_mailbox_take(g->mailbox));
  gn_engine_acknowledge(g->engine);
  rig_get(g, "/x");
  assert_true(is_readable(fd, 10000));
  gn_event_free(rig_next(g));
}

/* What came before the descriptor is told of as well. */
static void test_made_late(void **state) {
  struct rig *g = *state;
  uint64_t id = rig_get(g, "/x");
  while (gn_mailbox_pending(g->mailbox) == 0)
    rig_run(g, 5);
  assert_true(is_readable(descriptor(g), 0));
  assert_int_equal(gn_engine_ready(g->engine), g->mailbox->id);
  gn_event_free(rig_done(g, id));
}

/* Each that has something once, in order; emptied and closed ones not. */
static void test_ready(void **state) {
  enum { N = 2000 };
  struct rig *g = *state;
  static struct gn_mailbox *boxes[N];
  struct gn_error err;
  int i;
  for (i = 0; i < N; i++) {
    boxes[i] = gn_mailbox_new(g->engine);
    assert_true(boxes[i]->id > (i ? boxes[i - 1]->id : 0));
  }
  for (i = 0; i < 40; i += 2)
    assert_true(gn_engine_submit(g->engine, boxes[i * 50], g->policy,
                                 rig_request(g, "GET", "/x"), &err) > 0);
  for (i = 0; i < 40; i += 2)
    while (gn_mailbox_pending(boxes[i * 50]) == 0)
      rig_run(g, 2);
  gn_event_free(gn_mailbox_take(boxes[0]));
  gn_mailbox_close(boxes[100]);
  boxes[100] = NULL;
  for (i = 0; i < 18; i++) {
    uint64_t id = gn_engine_ready(g->engine);
    int k = 0;
    while (k < N && (!boxes[k] || boxes[k]->id != id))
      k++;
    assert_in_range(k, 200, N - 1);
    assert_int_equal(gn_mailbox_pending(boxes[k]), 1);
    gn_event_free(gn_mailbox_take(boxes[k]));
  }
  assert_int_equal(gn_engine_ready(g->engine), 0);
  for (i = 0; i < N; i++)
    if (boxes[i])
      gn_mailbox_close(boxes[i]);
}

/* For good once closed, and the number stays until all is gone. */
static void test_closed(void **state) {
  struct rig *g = *state;
  struct gn_error err = {0};
  int fd = descriptor(g);
  gn_engine_close(g->engine);
  assert_true(is_readable(fd, 0));
  gn_engine_acknowledge(g->engine);
  assert_true(is_readable(fd, 0));
  assert_int_equal(gn_engine_ready(g->engine), 0);
  assert_int_equal(gn_engine_descriptor(g->engine, &err), -1);
  rig_error_is(&err, GN_CANCELLED, "closed");
  gn_engine_unref(g->engine);
  g->engine = NULL;
  assert_true(is_readable(fd, 0));
  gn_mailbox_close(g->mailbox);
  g->mailbox = NULL;
  assert_int_equal(fcntl(fd, F_GETFD), -1);
  assert_int_equal(errno, EBADF);
}

static void test_inline(void **state) {
  struct rig *g = *state;
  struct gn_error err = {0};
  assert_int_equal(gn_engine_descriptor(g->engine, &err), -1);
  rig_error_is(&err, GN_INVALID, "thread");
  gn_engine_acknowledge(g->engine);
  rig_get(g, "/x");
  gn_event_free(rig_next(g));
  assert_int_equal(gn_engine_ready(g->engine), 0);
}

static void test_no_descriptors(void **state) {
  struct rig *g = *state;
  struct gn_error err = {0};
  struct rlimit old, none;
  int fd;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
  none = old;
  none.rlim_cur = 3;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
  fd = gn_engine_descriptor(g->engine, &err);
  setrlimit(RLIMIT_NOFILE, &old);
  assert_int_equal(fd, -1);
  rig_error_is(&err, GN_TRANSPORT, "descriptor");
  assert_true(descriptor(g) >= 0);
}

/* The child shares the descriptor and must leave it as it is. */
static void test_fork(void **state) {
  struct rig *g = *state;
  int fd = descriptor(g), status = -1;
  uint64_t id = rig_get(g, "/x");
  pid_t pid;
  assert_true(is_readable(fd, 10000));
  fflush(NULL);
  pid = fork();
  if (pid == 0) {
    struct gn_error err = {0};
    bool left_alone;
    gn_engine_acknowledge(g->engine);
    left_alone = gn_engine_ready(g->engine) == 0 &&
                 gn_engine_descriptor(g->engine, &err) == -1 &&
                 err.kind == GN_CANCELLED;
    gn_mailbox_close(g->mailbox);
    _exit(left_alone ? 0 : 1);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  assert_true(is_readable(fd, 0));
  gn_event_free(rig_done(g, id));
}

/* Before the first engine of the process, in a child that may do without. */
static void test_start_without(void **state) {
  struct rlimit none = {3, 3}, some;
  struct gn_error err = {0};
  struct gn_engine *e;
  int status = -1;
  pid_t pid;
  (void)state;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &some), 0);
  none.rlim_max = some.rlim_max;
  fflush(NULL);
  pid = fork();
  assert_true(pid >= 0);
  if (pid > 0) {
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    return;
  }
  if (setrlimit(RLIMIT_NOFILE, &none) != 0)
    _exit(1);
  if (gn_engine_new(false, &err) || err.kind != GN_TRANSPORT ||
      strcmp(err.code, "descriptor") != 0)
    _exit(2);
  setrlimit(RLIMIT_NOFILE, &some);
  e = gn_engine_new(false, &err);
  if (!e)
    _exit(3);
  gn_engine_close(e);
  gn_engine_unref(e);
  _exit(0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_start_without),
    cmocka_unit_test(test_signal_and_clear),
    THREADED(test_readable_until_acknowledged),
    THREADED(test_made_late),
    THREADED(test_ready),
    THREADED(test_closed),
    INLINE(test_inline),
    THREADED(test_no_descriptors),
    THREADED(test_fork),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
