/* Owns: what a fork must not disturb, while engines are at work: locks that a
 * child meets, connections and files that it must not keep from ending.
 * Must not: check what Lua makes of it; process_spec.lua does.
 */
#define _GNU_SOURCE
#include "rig.h"

#include "clock.h"
#include "inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BUSY = 3, FORKS = 60, SIZE = 200000 };

static char folder[] = "/tmp/garner-fork-XXXXXX";
static char path[64], part[80], meta[96];
static atomic_uint hung_up; /* stalls that the client ended */

static int exit_code(pid_t pid) {
  int status = -1;
  assert_int_equal(waitpid(pid, &status, 0), pid);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Until the other end of the pipe is closed by all who have it. */
static void wait_for_end(int fd) {
  char c;
  while (read(fd, &c, 1) < 0 && errno == EINTR) {
  }
  _exit(0);
}

/* A child that does nothing until the gate is closed. */
static pid_t sleeper(int *gate) {
  int ends[2];
  pid_t pid;
  assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
  pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    close(ends[1]);
    wait_for_end(ends[0]);
  }
  close(ends[0]);
  *gate = ends[1];
  return pid;
}

static void stalls(struct server_request *r, void *arg) {
  (void)arg;
  server_stall(r, 60000);
  atomic_fetch_add(&hung_up, 1);
  server_close(r);
}

/* The child has the parent's connections open, and yet they end. */
static void test_hang_up_is_seen(void **state) {
  struct rig *g = *state;
  int64_t until = gn_now_ms() + 20000;
  int gate;
  pid_t pid;
  uint64_t id;
  atomic_store(&hung_up, 0);
  server_set(g->server, stalls, NULL);
  id = rig_get(g, "/stalls");
  rig_until(g, "/stalls", 1);
  pid = sleeper(&gate);
  gn_engine_cancel(g->engine, id);
  gn_event_free(rig_done(g, id));
  while (atomic_load(&hung_up) == 0 && gn_now_ms() < until)
    rig_run(g, 5);
  assert_int_equal(atomic_load(&hung_up), 1);
  assert_true(until - gn_now_ms() > 0);
  close(gate);
  assert_int_equal(exit_code(pid), 0);
}

static void serve(struct server_request *r, void *arg) {
  static const char block[4000];
  const char *range = server_header(r, "Range");
  size_t from = range ? strtoul(range + strlen("bytes="), NULL, 10) : 0;
  char head[256], line[64] = "";
  if (from > 0)
    snprintf(line, sizeof line, "Content-Range: bytes %zu-%d/%d\r\n", from,
             SIZE - 1, SIZE);
  snprintf(head, sizeof head,
           "HTTP/1.1 %s\r\nContent-Length: %zu\r\nETag: \"v\"\r\n%s\r\n",
           from > 0 ? "206 Partial Content" : "200 OK", SIZE - from, line);
  server_send(r, head);
  server_close(r);
  while (from < SIZE) {
    size_t len = SIZE - from < sizeof block ? SIZE - from : sizeof block;
    server_write(r, block, len);
    from += len;
    if (arg)
      server_stall(r, 5);
  }
}

static struct gn_request *download(struct rig *g) {
  struct gn_request *r = rig_request(g, "GET", "/file");
  struct gn_error err;
  r->download = r->resume = true;
  assert_int_equal(gn_request_set_file(r, path, &err), 0);
  return r;
}

static void until_written(struct rig *g, off_t size) {
  int64_t until = gn_now_ms() + 20000;
  struct stat st = {0};
  while ((stat(part, &st) != 0 || st.st_size < size) && gn_now_ms() < until)
    rig_run(g, 2);
  assert_true(st.st_size >= size);
}

static void check_resumed(struct rig *g) {
  struct gn_event *event;
  server_quiet(g->server);
  server_set(g->server, serve, NULL);
  event = rig_done(g, rig_submit(g, download(g)));
  rig_error_is(&event->result->error, GN_OK, NULL);
  assert_true(event->result->resumed > 0);
  gn_event_free(event);
}

/* Cancelled, a file may be gone on with at once, whatever children there are */
static void test_part_is_unlocked(void **state) {
  struct rig *g = *state;
  int gate;
  pid_t pid;
  uint64_t id;
  server_set(g->server, serve, g);
  id = rig_submit(g, download(g));
  until_written(g, 20000);
  pid = sleeper(&gate);
  gn_engine_cancel(g->engine, id);
  gn_event_free(rig_done(g, id));
  check_resumed(g);
  close(gate);
  assert_int_equal(exit_code(pid), 0);
}

/* The child does not end what the parent holds either. */
static void test_part_stays_locked(void **state) {
  struct rig *g = *state;
  pid_t pid;
  uint64_t id;
  server_set(g->server, serve, g);
  id = rig_submit(g, download(g));
  until_written(g, 20000);
  pid = fork();
  if (pid == 0)
    _exit(0);
  assert_int_equal(exit_code(pid), 0);
  gn_event_free(rig_expect(g, download(g), GN_FILE, "locked"));
  gn_engine_cancel(g->engine, id);
  gn_event_free(rig_done(g, id));
}

/* In a process of its own: begins a download, forks, is killed. */
static void begin_and_die(struct rig *g, int fd) {
  struct gn_error err = {0};
  struct gn_mailbox *m;
  int ready[2];
  char c;
  g->engine = gn_engine_new(g->threaded, &err);
  m = gn_mailbox_new(g->engine);
  gn_policy_enter(g->policy);
  gn_engine_submit(g->engine, m, g->policy, download(g), &err);
  until_written(g, 20000);
  assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
  if (fork() == 0) {
    /* Not before it has let go of what it inherited. */
    assert_int_equal(write(ready[1], "", 1), 1);
    wait_for_end(fd);
  }
  assert_int_equal(read(ready[0], &c, 1), 1);
  kill(getpid(), SIGKILL);
}

/* Its child lives on, and does not keep the file locked. */
static void test_part_of_the_dead(void **state) {
  struct rig *g = *state;
  int ends[2];
  pid_t pid;
  server_set(g->server, serve, g);
  assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
  fflush(NULL);
  pid = fork();
  if (pid == 0) {
    close(ends[1]);
    begin_and_die(g, ends[0]);
  }
  close(ends[0]);
  assert_int_equal(exit_code(pid), 128 + SIGKILL);
  check_resumed(g);
  close(ends[1]);
}

/* A fork finds an allocator of a sanitizer's with its locks taken, by the
 * threads of this test: then it is not garner that hangs in the child. */
#if defined(CHILD_THREADS) && !defined(__SANITIZE_ADDRESS__)
#define AMID_WORK
#endif

#ifdef AMID_WORK
struct busy {
  struct rig *rig;          /* server and client */
  struct gn_engine *engine; /* that is to be at work */
  atomic_bool stop;         /* the end */
  char url[64];             /* that it asks for */
  unsigned sent;            /* requests that it made */
  unsigned good;            /* of them, ended as they should */
  unsigned bad;             /* the others that ended */
  pthread_t thread;         /* feeds it */
};

/* Not by rig_request, whose URL is in rooms that all threads share. */
static void send_one(struct busy *b, struct gn_mailbox *m) {
  struct gn_error err = {0};
  struct gn_request *r = gn_request_new("GET", b->url, &err);
  if (r && gn_engine_submit(b->engine, m, b->rig->policy, r, &err) != 0)
    b->sent++;
  else
    atomic_store(&b->stop, true);
}

/* Whatever becomes of a request, it ends: who waited for good ends alone would
 * wait for ever, and the others fill the server's records meanwhile. */
static void *keep_busy(void *arg) {
  struct busy *b = arg;
  struct gn_mailbox *m = gn_mailbox_new(b->engine);
  while (!atomic_load(&b->stop) || b->good + b->bad < b->sent) {
    uint64_t seen = gn_engine_sequence(b->engine);
    struct gn_event *event;
    while (!atomic_load(&b->stop) && b->sent - b->good - b->bad < 4)
      send_one(b, m);
    while ((event = gn_mailbox_take(m))) {
      bool done = event->type == GN_EVENT_DONE;
      bool good = done && event->result->error.kind == GN_OK;
      b->good += good;
      b->bad += done && !good;
      gn_event_free(event);
    }
    if (b->good + b->bad < b->sent)
      gn_engine_wait(b->engine, seen, 20000);
  }
  gn_mailbox_close(m);
  return NULL;
}

static int ask_anew(struct rig *g, bool threaded) {
  struct gn_error err = {0};
  struct gn_engine *e = gn_engine_new(threaded, &err);
  struct gn_mailbox *m = e ? gn_mailbox_new(e) : NULL;
  struct gn_event *event = NULL;
  int64_t until = gn_now_ms() + 20000;
  int code = 10;
  if (!m)
    return 11;
  gn_policy_enter(g->policy);
  if (gn_engine_submit(e, m, g->policy, rig_request(g, "GET", "/child"),
                       &err) == 0)
    return 12;
  while (!event && gn_now_ms() < until) {
    uint64_t seen = gn_engine_sequence(e);
    event = gn_mailbox_take(m);
    if (!event)
      gn_engine_wait(e, seen, 100);
  }
  if (event)
    code = event->result->error.kind == GN_OK ? 0 : 13;
  gn_event_free(event);
  gn_mailbox_close(m);
  gn_engine_close(e);
  gn_engine_unref(e);
  return code;
}

/* Nothing is asserted while they run: they would outlive the test. */
static int fork_amid(struct rig *g) {
  int i, code = 0;
  for (i = 0; i < FORKS && code == 0; i++) {
    int status = -1;
    pid_t pid;
    usleep((useconds_t)(i % 7) * 300);
    pid = fork();
    if (pid == 0) {
      alarm(40);
      _exit(ask_anew(g, i % 2 == 0));
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
      code = 1;
    else
      code = WEXITSTATUS(status);
  }
  return code;
}

/* The parent's engines may hold any lock there is in the moment of the fork. */
static void test_amid_work(void **state) {
  struct rig *g = *state;
  struct busy busy[BUSY];
  struct gn_error err;
  int i, code;
  for (i = 0; i < BUSY; i++) {
    memset(&busy[i], 0, sizeof busy[i]);
    busy[i].rig = g;
    snprintf(busy[i].url, sizeof busy[i].url, "%s",
             server_url(g->server, "/busy"));
    busy[i].engine = gn_engine_new(i > 0, &err);
    assert_non_null(busy[i].engine);
  }
  for (i = 0; i < BUSY; i++)
    pthread_create(&busy[i].thread, NULL, keep_busy, &busy[i]);
  code = fork_amid(g);
  for (i = 0; i < BUSY; i++)
    atomic_store(&busy[i].stop, true);
  for (i = 0; i < BUSY; i++) {
    pthread_join(busy[i].thread, NULL);
    gn_engine_close(busy[i].engine);
    gn_engine_unref(busy[i].engine);
  }
  assert_int_equal(code, 0);
  for (i = 0; i < BUSY; i++) {
    assert_int_equal(busy[i].bad, 0);
    assert_true(busy[i].good > 0);
  }
  assert_int_equal(server_hits(g->server, "/child"), FORKS);
}
#endif

static int open_null(void) {
  int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  assert_true(fd >= 0);
  return fd;
}

/* Only what is still the same is closed, and only in the child. */
static void test_inherited(void **state) {
  int kept = open_null(), given = open_null(), gone = open_null();
  int back = open_null(), ends[2];
  pid_t pid;
  (void)state;
  gn_inherited_add(given);
  gn_inherited_add(gone);
  gn_inherited_add(back);
  gn_inherited_remove(back);
  gn_inherited_add(-1);
  gn_inherited_add(1 << 30);
  gn_inherited_remove(1 << 30);
  /* Closed unseen: the number is another file's now. */
  assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
  assert_int_equal(dup2(ends[0], gone), gone);
  pid = fork();
  if (pid == 0)
    _exit((fcntl(given, F_GETFD) == -1 ? 0 : 1) |
          (fcntl(kept, F_GETFD) != -1 ? 0 : 2) |
          (fcntl(gone, F_GETFD) != -1 ? 0 : 4) |
          (fcntl(back, F_GETFD) != -1 ? 0 : 8));
  assert_int_equal(exit_code(pid), 0);
  assert_true(fcntl(given, F_GETFD) != -1);
  gn_inherited_remove(given);
  gn_inherited_remove(gone);
  close(ends[0]);
  close(ends[1]);
  close(kept);
  close(given);
  close(gone);
  close(back);
}

static int start(void **state) {
  memcpy(folder + sizeof folder - 7, "XXXXXX", 6);
  if (!mkdtemp(folder))
    return -1;
  snprintf(path, sizeof path, "%s/out", folder);
  snprintf(part, sizeof part, "%s.part", path);
  snprintf(meta, sizeof meta, "%s.meta", part);
  return rig_setup(state);
}

static int stop(void **state) {
  int rc = rig_teardown(state);
  unlink(path);
  unlink(part);
  unlink(meta);
  return rmdir(folder) == 0 ? rc : -1;
}

#define ONE(test, kind) {#test " (" #kind ")", test, start, stop, &rig_##kind}
#define EACH(test) ONE(test, inline), ONE(test, threaded)

int main(void) {
#ifndef AMID_WORK
  print_message("sanitizers hang in a child of fork that has threads: "
                "test_amid_work is left to the other builds\n");
#endif
  const struct CMUnitTest tests[] = {
    EACH(test_hang_up_is_seen), EACH(test_part_is_unlocked),
    EACH(test_part_stays_locked), ONE(test_part_of_the_dead, inline),
#ifdef CHILD_THREADS
    ONE(test_part_of_the_dead, threaded),
#endif
#ifdef AMID_WORK
    ONE(test_amid_work, threaded),
#endif
    ONE(test_inherited, inline),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
