/* Owns: the checks of what may happen to a download while its file is being
 * hashed on the file thread, which a pread that waits makes as long as needed.
 * Must not: check what hashes and renames do; test_download.c and test_sink.c
 * do.
 */
#define _GNU_SOURCE
#include "rig.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WHOLE "0123456789"
#define ETAG "ETag: \"v\"\r\n"

static struct {
  pthread_mutex_t lock;   /* guards the two below */
  pthread_cond_t changed; /* one of them did */
  bool hold;              /* who reads has to wait */
  bool held;              /* somebody waits */
} gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false};

static char path[64], part[80], meta[96];

static void set(bool *flag, bool value) {
  pthread_mutex_lock(&gate.lock);
  *flag = value;
  pthread_cond_broadcast(&gate.changed);
  pthread_mutex_unlock(&gate.lock);
}

static void wait_until(const bool *flag, bool value) {
  pthread_mutex_lock(&gate.lock);
  while (*flag != value)
    pthread_cond_wait(&gate.changed, &gate.lock);
  pthread_mutex_unlock(&gate.lock);
}

/* In front of libc's for this program. */
ssize_t pread(int fd, void *data, size_t len, off_t at) {
  static ssize_t (*next)(int, void *, size_t, off_t);
  void *address = dlsym(RTLD_NEXT, "pread");
  memcpy(&next, &address, sizeof next);
  set(&gate.held, true);
  wait_until(&gate.hold, false);
  set(&gate.held, false);
  return next(fd, data, len, at);
}

/* Cut at first, so that what is there has to be read again; and never what its
 * checksum says. */
static void serve(struct server_request *r, void *arg) {
  (void)arg;
  if (server_header(r, "Range"))
    server_answer(r, 206, ETAG "Content-Range: bytes 4-9/10\r\n", WHOLE + 4);
  else if (server_hits(r->server, "/file") == 1)
    server_send(r, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n" ETAG
                   "x-oss-hash-crc64ecma: 1\r\n\r\n0123");
  else
    server_answer(r, 200, ETAG "x-oss-hash-crc64ecma: 1\r\n", WHOLE);
  server_close(r);
}

/* The file is whole, and being read. */
static uint64_t begin(struct rig *g) {
  struct gn_request *r = rig_request(g, "GET", "/file");
  struct gn_error err;
  uint64_t id;
  server_set(g->server, serve, NULL);
  r->download = r->resume = true;
  assert_int_equal(gn_request_set_file(r, path, &err), 0);
  set(&gate.hold, true);
  id = rig_submit(g, r);
  wait_until(&gate.held, true);
  assert_int_equal(server_hits(g->server, "/file"), 2);
  return id;
}

static void nothing_is_left(void) {
  assert_int_equal(access(path, F_OK), -1);
  assert_int_equal(access(part, F_OK), -1);
  assert_int_equal(access(meta, F_OK), -1);
}

static void test_cancelled(void **state) {
  struct rig *g = *state;
  struct gn_event *event;
  uint64_t id = begin(g);
  gn_engine_cancel(g->engine, id);
  /* When this one has come, the engine has seen the other. */
  event = rig_done(g, rig_get(g, "/other"));
  gn_event_free(event);
  set(&gate.hold, false);
  event = rig_done(g, id);
  rig_error_is(&event->result->error, GN_PROTOCOL, "checksum");
  gn_event_free(event);
  assert_int_equal(server_hits(g->server, "/file"), 2);
  nothing_is_left();
}

/* Nobody is told, and nothing goes on. */
static void test_left(void **state) {
  struct rig *g = *state;
  begin(g);
  gn_mailbox_close(g->mailbox);
  g->mailbox = gn_mailbox_new(g->engine);
  gn_event_free(rig_done(g, rig_get(g, "/other")));
  set(&gate.hold, false);
  for (;;) {
    struct gn_stats stats;
    gn_engine_stats(g->engine, &stats);
    if (stats.counts[GN_COUNT_IN_FLIGHT] == 0)
      break;
    usleep(1000);
  }
  assert_int_equal(server_hits(g->server, "/file"), 2);
  nothing_is_left();
}

static void *release(void *arg) {
  (void)arg;
  usleep(20000);
  set(&gate.hold, false);
  return NULL;
}

static void test_closed(void **state) {
  struct rig *g = *state;
  struct gn_event *event;
  pthread_t thread;
  uint64_t id = begin(g);
  assert_int_equal(pthread_create(&thread, NULL, release, NULL), 0);
  gn_engine_close(g->engine);
  pthread_join(thread, NULL);
  event = gn_mailbox_take(g->mailbox);
  assert_non_null(event);
  assert_int_equal(event->id, id);
  assert_int_not_equal(event->result->error.kind, GN_OK);
  gn_event_free(event);
  assert_int_equal(server_hits(g->server, "/file"), 2);
  nothing_is_left();
}

int main(void) {
  const struct CMUnitTest tests[] = {
    THREADED(test_cancelled), THREADED(test_left), THREADED(test_closed),
  };
  snprintf(path, sizeof path, "/tmp/garner-finishing-%ld", (long)getpid());
  snprintf(part, sizeof part, "%s.part", path);
  snprintf(meta, sizeof meta, "%s.meta", part);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
