/* Owns: the checks of src/core/limiter_file.c and src/core/rate.c: one rate for
 * many processes, of which some are killed or stopped; files that are not ours,
 * are deleted, emptied, or from another boot; turns within a process.
 * Must not: depend on timing beyond seconds.
 */
#define _DEFAULT_SOURCE
#include "rate.h"

#include "clock.h"
#include "process.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];
static char path[80];

static int begin(void **state) {
  (void)state;
  snprintf(folder, sizeof folder, "/tmp/garner-limiter-XXXXXX");
  if (!mkdtemp(folder))
    return -1;
  snprintf(path, sizeof path, "%s/rate", folder);
  return 0;
}

static int over(void **state) {
  char command[100];
  (void)state;
  snprintf(command, sizeof command, "rm -rf '%s'", folder);
  return system(command);
}

static struct gn_rate *make(double rate, double burst, struct gn_error *err) {
  struct gn_rate_options o = {rate, burst, path, 0};
  return gn_rate_new(&o, err);
}

static struct gn_rate *need(double rate, double burst) {
  struct gn_error err;
  struct gn_rate *r = make(rate, burst, &err);
  if (!r)
    fail_msg("%s", err.message);
  return r;
}

static void refused(const char *why) {
  struct gn_error err;
  struct gn_rate *r = make(1, 1, &err);
  assert_null(r);
  assert_int_equal(err.kind, GN_INVALID);
  if (!strstr(err.message, why))
    fail_msg("\"%s\" does not say \"%s\"", err.message, why);
}

/* How many may leave at once. */
static int burst_of(struct gn_rate *r, double now) {
  struct gn_rate_place place;
  int n = 0;
  for (;;) {
    gn_rate_place_init(&place);
    if (gn_rate_reserve(r, now, &place) > 0)
      break;
    n++;
  }
  gn_rate_release(r, &place);
  return n;
}

static void test_made(void **state) {
  struct gn_rate *a = need(1, 5), *b = need(1, 5), *c;
  double now = gn_now();
  struct stat st;
  (void)state;
  assert_int_equal(stat(path, &st), 0);
  assert_int_equal(st.st_mode & 07777, 0600);
  assert_int_equal(st.st_nlink, 1); /* nothing is left of its making */
  assert_int_equal(burst_of(a, now), 5);
  assert_int_equal(burst_of(b, now), 0);
  gn_rate_pause(b, now, 20);
  assert_true(gn_rate_paused(a, now));
  gn_rate_unref(a);
  gn_rate_unref(b);
  c = need(1, 5); /* as they left it */
  assert_true(gn_rate_paused(c, now));
  assert_int_equal(burst_of(c, now), 0);
  gn_rate_unref(c);
}

static void put(const char *text, size_t len) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, text, len), (ssize_t)len);
  close(fd);
}

static void test_refused(void **state) {
  char target[100], text[4096];
  (void)state;
  snprintf(target, sizeof target, "%s/target", folder);
  assert_int_equal(symlink(target, path), 0);
  refused("symbolic link");
  unlink(path);
  assert_int_equal(mkdir(path, 0700), 0);
  refused("director");
  rmdir(path);
  assert_int_equal(mkfifo(path, 0600), 0);
  refused("regular file");
  unlink(path);
  put("[settings]\n", 11);
  refused("too short");
  memset(text, 'x', sizeof text);
  put(text, sizeof text);
  refused("another kind of file");
  unlink(path);
  snprintf(path, sizeof path, "%s/none/rate", folder);
  refused("No such file");
  if (geteuid() == 0) {
    snprintf(path, sizeof path, "%s/rate", folder);
    put("", 0);
    assert_int_equal(chown(path, 12345, 0), 0);
    refused("another user");
  }
}

/* What mktemp(1) leaves is as good as nothing. */
static void test_empty(void **state) {
  struct gn_rate *r;
  (void)state;
  put("", 0);
  r = need(1, 2);
  assert_int_equal(burst_of(r, gn_now()), 2);
  gn_rate_unref(r);
}

/* No room, and no right to write. */
static void test_full(void **state) {
  struct rlimit none = {0, RLIM_INFINITY}, before;
  struct stat st;
  (void)state;
  signal(SIGXFSZ, SIG_IGN);
  getrlimit(RLIMIT_FSIZE, &before);
  none.rlim_max = before.rlim_max;
  setrlimit(RLIMIT_FSIZE, &none);
  refused("File too large");
  setrlimit(RLIMIT_FSIZE, &before);
  assert_int_equal(stat(path, &st), -1);
  assert_int_equal(rmdir(folder), 0); /* nothing was left there */
  if (geteuid() != 0 || access("/proc/version", W_OK) != 0) {
    snprintf(path, sizeof path, "/proc/version");
    refused("cannot hold");
  }
}

static void test_deleted(void **state) {
  struct gn_rate *a = need(1, 5), *b;
  double now = gn_now();
  (void)state;
  assert_int_equal(burst_of(a, now), 5);
  assert_int_equal(unlink(path), 0);
  assert_int_equal(burst_of(a, now), 0); /* goes on, in a new file */
  b = need(1, 5);
  assert_int_equal(burst_of(b, now), 0);
  gn_rate_pause(b, now, 20);
  assert_true(gn_rate_paused(a, now));
  gn_rate_unref(b);
  gn_rate_unref(a);
}

/* Cut to nothing under those who use it, the folder gone too. */
static void test_emptied(void **state) {
  struct gn_rate *a = need(1, 5);
  double now = gn_now();
  (void)state;
  /* As if the burst had just been used up. */
  assert_int_equal(truncate(path, 0), 0);
  assert_int_equal(burst_of(a, now), 1);
  assert_int_equal(burst_of(a, now + 2), 2);
  assert_int_equal(truncate(path, 0), 0);
  unlink(path);
  assert_int_equal(rmdir(folder), 0);
  assert_int_equal(burst_of(a, now + 4), 1); /* in memory, for the while */
  assert_int_equal(burst_of(a, now + 5), 1);
  assert_int_equal(mkdir(folder, 0700), 0);
  assert_int_equal(burst_of(a, now + 6), 1);
  gn_rate_unref(a);
  a = need(1, 5);
  assert_int_equal(burst_of(a, now + 6), 0);
  gn_rate_unref(a);
}

/* Another boot's clock says nothing about ours. */
static void test_boot(void **state) {
  struct gn_rate *a = need(1, 5);
  double now = gn_now();
  int fd;
  (void)state;
  gn_rate_pause(a, now, 1000);
  gn_rate_unref(a);
  fd = open(path, O_RDWR);
  assert_int_equal(pwrite(fd, "another-boot", 12, 16), 12);
  close(fd);
  a = need(1, 5);
  assert_false(gn_rate_paused(a, now));
  assert_int_equal(burst_of(a, now), 5);
  gn_rate_unref(a);
}

static void test_settings(void **state) {
  struct gn_rate *a = need(1, 5), *b, *c;
  (void)state;
  assert_true(a->other.rate == 1 && a->other.burst == 5);
  b = need(2, 9);
  assert_true(b->other.rate == 1 && b->other.burst == 5);
  gn_rate_unref(a);
  gn_rate_unref(b);
  c = need(3, 4); /* alone: its are the settings */
  assert_true(c->other.rate == 3 && c->other.burst == 4);
  b = need(3, 4);
  assert_true(b->other.rate == 3 && b->other.burst == 4);
  gn_rate_unref(b);
  gn_rate_unref(c);
}

/* Who waits longer goes first, and one that gives up holds nobody up. */
static void test_turns(void **state) {
  struct gn_rate *r = need(1, 1);
  struct gn_rate_place p[5];
  double now = gn_now();
  size_t i;
  (void)state;
  for (i = 0; i < 5; i++) {
    gn_rate_place_init(&p[i]);
    gn_rate_reserve(r, now, &p[i]);
  }
  assert_true(p[0].taken && p[1].taken && !p[2].taken);
  gn_rate_use(&p[0]);
  gn_rate_release(r, &p[2]);
  assert_true(gn_rate_reserve(r, now + 1, &p[4]) <= 1 && p[4].taken);
  assert_true(gn_rate_reserve(r, now + 1, &p[3]) > 0 && !p[3].taken);
  gn_rate_release(r, &p[3]);
  gn_rate_release(r, &p[3]);
  /* One that was not used in time does not count as one for now. */
  assert_false(gn_rate_missed(r, now + 2.5, &p[4]));
  assert_true(gn_rate_missed(r, now + 4, &p[4]));
  assert_false(gn_rate_missed(r, now + 4, &p[4]));
  gn_rate_unref(r);
}

/* Processes ----------------------------------------------------------------*/

enum { CHILDREN = 4, SLOTS = 4000, RATE = 40, BURST = 10 };

struct board {
  atomic_int count;     /* entries below */
  double left_at[SLOTS]; /* when each request left */
};

/* Sends for some seconds, as fast as the rate lets it; some give up. */
static void send_all(struct board *board, double until, unsigned seed) {
  struct gn_rate *r = need(RATE, BURST);
  struct gn_rate_place place;
  gn_rate_place_init(&place);
  while (gn_now() < until) {
    double wait = gn_rate_reserve(r, gn_now(), &place), now;
    struct timespec t = {0, (long)((wait < 0.9 ? wait : 0.9) * 1e9)};
    if (wait > 0)
      nanosleep(&t, NULL);
    now = gn_now();
    if (!place.taken || gn_rate_missed(r, now, &place))
      continue;
    if (rand_r(&seed) % 7 == 0) {
      gn_rate_release(r, &place);
      continue;
    }
    gn_rate_use(&place);
    board->left_at[atomic_fetch_add(&board->count, 1) % SLOTS] = now;
  }
  gn_rate_unref(r);
}

static int by_value(const void *a, const void *b) {
  double one = *(const double *)a, other = *(const double *)b;
  return (one > other) - (one < other);
}

/* No span holds more than its share, give or take what a busy machine is late:
 * who had a slot may leave as much later as a slot is taken ahead. */
static void check_board(struct board *b) {
  int n = atomic_load(&b->count), i, j;
  const double late = 0.25;
  assert_in_range(n, RATE, SLOTS);
  qsort(b->left_at, (size_t)n, sizeof b->left_at[0], by_value);
  for (i = 0; i < n; i++)
    for (j = i; j < n; j++) {
      double span = b->left_at[j] - b->left_at[i];
      if (j - i + 1 > BURST + (span + late) * RATE + 1)
        fail_msg("%d requests within %g s", j - i + 1, span);
    }
}

/* One is killed and one stands still in the middle: the rate holds, and the
 * others go on at it. */
static void test_processes(void **state) {
  struct board *board = mmap(NULL, sizeof *board, PROT_READ | PROT_WRITE,
                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  double start = gn_now(), until = start + 1.6;
  struct timespec while_ = {0, 500000000};
  pid_t pids[CHILDREN];
  int i, before, status;
  (void)state;
  for (i = 0; i < CHILDREN; i++) {
    pids[i] = fork();
    if (pids[i] == 0) {
      send_all(board, until, (unsigned)i);
      _exit(0);
    }
  }
  nanosleep(&while_, NULL);
  kill(pids[0], SIGKILL);
  kill(pids[1], SIGSTOP);
  before = atomic_load(&board->count);
  nanosleep(&while_, NULL);
  assert_in_range(atomic_load(&board->count) - before, 1, 1000);
  kill(pids[1], SIGCONT);
  for (i = 0; i < CHILDREN; i++) {
    assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
    if (i == 0)
      assert_true(WIFSIGNALED(status));
    else
      assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  check_board(board);
  munmap(board, sizeof *board);
}

/* A child uses what its parent opened, and what the parent's waiters had taken
 * holds nobody up in it. */
static void test_fork(void **state) {
  struct gn_rate *r = need(1, 3);
  struct gn_rate_place p[3];
  double now = gn_now();
  int i, status;
  pid_t child;
  (void)state;
  assert_int_equal(burst_of(r, now), 3);
  for (i = 0; i < 3; i++) {
    gn_rate_place_init(&p[i]);
    gn_rate_reserve(r, now, &p[i]);
  }
  child = fork();
  if (child == 0) {
    gn_rate_enter(r);
    status = burst_of(r, now) == 0 && burst_of(r, now + 5) > 0 ? 42 : 1;
    gn_rate_unref(r);
    _exit(status);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 42);
  assert_int_equal(burst_of(r, now + 5), 0);
  gn_rate_unref(r);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, over)
  const struct CMUnitTest tests[] = {
    TEST(test_made), TEST(test_refused), TEST(test_empty), TEST(test_full),
    TEST(test_deleted), TEST(test_emptied), TEST(test_boot),
    TEST(test_settings), TEST(test_turns), TEST(test_processes),
    TEST(test_fork),
  };
  if (gn_process_init(NULL) != 0)
    return 1;
  return cmocka_run_group_tests(tests, NULL, NULL);
}
