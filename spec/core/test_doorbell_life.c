/* Owns: the checks of where the doorbell's socket is, who sees it, what is left
 * of it and when, and what running out of descriptors and forking do to it.
 * Must not: check the protocol; test_doorbell.c does.
 */
#define _GNU_SOURCE
#include "doorbell_rig.h"

#include "clock.h"
#include "process.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

static char base[64]; /* where the folders are made in these tests */

static void set_base(const char *path) {
  setenv("XDG_RUNTIME_DIR", path, 1);
  unsetenv("TMPDIR");
}

static int base_setup(void **state) {
  (void)state;
  snprintf(base, sizeof base, "/tmp/garner-base-XXXXXX");
  if (!mkdtemp(base))
    return -1;
  set_base(base);
  return 0;
}

static int base_teardown(void **state) {
  (void)state;
  return rmdir(base); /* all else was removed */
}

/* Entries of the base but for "." and "..". */
static int entries(void) {
  DIR *d = opendir(base);
  int n = -2;
  assert_non_null(d);
  while (readdir(d))
    n++;
  closedir(d);
  return n;
}

static bool is_below(const char *path, const char *folder) {
  size_t len = strlen(folder);
  return strncmp(path, folder, len) == 0 && path[len] == '/';
}

static mode_t mode_of(const char *path) {
  struct stat st;
  assert_int_equal(lstat(path, &st), 0);
  assert_int_equal(st.st_uid, geteuid());
  return st.st_mode & 07777;
}

static void folder_of(char *out, size_t cap, const char *path) {
  snprintf(out, cap, "%.*s", (int)(strrchr(path, '/') - path), path);
}

static void test_private(void **state) {
  struct rig *g = *state;
  struct gn_doorbell_address at;
  char folder[128], pid[32];
  mode_t old = umask(0);
  int i;
  for (i = 0; i < 2; i++) {
    struct gn_error err;
    struct gn_engine *e = gn_engine_new(true, &err);
    umask(i ? 0777 : 0);
    at = doorbell_of(e);
    folder_of(folder, sizeof folder, at.path);
    assert_true(is_below(at.path, base));
    snprintf(pid, sizeof pid, "/garner-%ld-", (long)getpid());
    assert_non_null(strstr(folder, pid));
    assert_int_equal(mode_of(folder), 0700);
    assert_int_equal(mode_of(at.path), 0600);
    gn_engine_close(e);
    gn_engine_unref(e);
    assert_int_equal(access(folder, F_OK), -1);
  }
  umask(old);
  assert_int_equal(entries(), 0);
  at = doorbell_of(g->engine);
  assert_int_equal(entries(), 1);
}

static void is_made_below(const char *folder) {
  struct gn_error err;
  struct gn_engine *e = gn_engine_new(true, &err);
  struct gn_doorbell_address at = doorbell_of(e);
  int fd = friend_of(e);
  settle(fd);
  close(fd);
  if (!is_below(at.path, folder))
    fail_msg("%s is not below %s", at.path, folder);
  gn_engine_close(e);
  gn_engine_unref(e);
  assert_int_equal(access(at.path, F_OK), -1);
}

/* A folder that others may write to, that is another's, none, or too long. */
static void test_bad_folders(void **state) {
  char path[200];
  (void)state;
  assert_int_equal(chmod(base, 0777), 0);
  is_made_below("/tmp");
  assert_int_equal(chmod(base, 0755), 0);
  is_made_below(base);
  assert_int_equal(chmod(base, 0700), 0);
  if (geteuid() == 0) {
    assert_int_equal(chown(base, 65534, 65534), 0);
    is_made_below("/tmp");
    assert_int_equal(chown(base, 0, 0), 0);
  }
  set_base("/nonexistent/folder");
  is_made_below("/tmp");
  set_base("");
  is_made_below("/tmp");
  set_base("tmp");
  is_made_below("/tmp");
  set_base("/dev/null");
  is_made_below("/tmp");
  memset(path, 'l', sizeof path);
  snprintf(path, sizeof path, "%s/", base);
  path[strlen(path)] = 'l';
  path[90] = '\0';
  assert_int_equal(mkdir(path, 0700), 0);
  set_base(path);
  is_made_below("/tmp");
  setenv("TMPDIR", base, 1); /* the next in line */
  is_made_below(base);
  set_base(path);
  setenv("TMPDIR", path, 1);
  is_made_below("/tmp");
  assert_int_equal(rmdir(path), 0);
  set_base(base);
}

static void engine_comes_and_goes(void) {
  struct gn_error err;
  struct gn_engine *e = gn_engine_new(true, &err);
  doorbell_of(e);
  gn_engine_close(e);
  gn_engine_unref(e);
}

static void make_folder(const char *name, long pid) {
  char path[128];
  snprintf(path, sizeof path, "%s/garner-%ld-%s", base, pid, name);
  assert_int_equal(mkdir(path, 0700), 0);
}

static bool has(const char *name, long pid, bool remove) {
  char path[128];
  bool there;
  snprintf(path, sizeof path, "%s/garner-%ld-%s", base, pid, name);
  there = access(path, F_OK) == 0;
  if (remove)
    rmdir(path);
  return there;
}

static void make_old(const char *name, long pid) {
  struct timeval long_ago[2] = {{time(NULL) - 3600, 0}, {time(NULL) - 3600, 0}};
  char path[128];
  snprintf(path, sizeof path, "%s/garner-%ld-%s", base, pid, name);
  assert_int_equal(utimes(path, long_ago), 0);
}

/* What is not surely dead and ours is kept. */
static void test_sweeping(void **state) {
  char path[128], link[128], file[128];
  pid_t dead = fork();
  long mine = (long)getpid();
  (void)state;
  if (dead == 0)
    _exit(0);
  assert_int_equal(waitpid(dead, NULL, 0), dead);
  make_folder("dddddd", dead);
  make_folder("mmmmmm", mine);   /* in the making, maybe */
  make_folder("oooooo", mine);   /* of one that had the number before */
  make_old("oooooo", mine);
  make_folder("longername", dead); /* not one of ours */
  make_folder("ffffff", dead);     /* has something else in it */
  snprintf(file, sizeof file, "%s/garner-%ld-ffffff/mine", base, (long)dead);
  close(open(file, O_CREAT | O_WRONLY, 0600));
  snprintf(path, sizeof path, "%s/elsewhere", base);
  assert_int_equal(mkdir(path, 0700), 0);
  snprintf(link, sizeof link, "%s/garner-%ld-llllll", base, (long)dead);
  assert_int_equal(symlink(path, link), 0);
  engine_comes_and_goes();
  assert_false(has("dddddd", dead, true));
  assert_true(has("mmmmmm", mine, true));
  assert_false(has("oooooo", mine, true));
  assert_true(has("longername", dead, true));
  assert_int_equal(unlink(file), 0);
  assert_true(has("ffffff", dead, true));
  assert_int_equal(unlink(link), 0);
  assert_int_equal(rmdir(path), 0);
}

static void test_another_users(void **state) {
  char path[128];
  pid_t dead = fork();
  (void)state;
  if (dead == 0)
    _exit(0);
  assert_int_equal(waitpid(dead, NULL, 0), dead);
  if (geteuid() != 0) {
    print_message("not root: another user's folder is not tried\n");
    skip();
  }
  make_folder("uuuuuu", dead);
  snprintf(path, sizeof path, "%s/garner-%ld-uuuuuu", base, (long)dead);
  assert_int_equal(chown(path, 65534, 65534), 0);
  engine_comes_and_goes();
  assert_true(has("uuuuuu", dead, true));
}

/* Connects as nobody and shows the key. 0: let in, else what went wrong. */
static int try_as_nobody(const struct gn_doorbell_address *at) {
  int status = -1;
  pid_t pid;
  fflush(NULL);
  pid = fork();
  if (pid == 0) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char byte;
    int fd;
    if (setgid(65534) != 0 || setuid(65534) != 0)
      _exit(2);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memcpy(to.sun_path, at->path, sizeof at->path);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
      _exit(errno == EACCES ? 3 : 4);
    send(fd, at->key, 64, MSG_NOSIGNAL);
    send(fd, "\n-\n", 3, MSG_NOSIGNAL);
    _exit(recv(fd, &byte, 1, 0) > 0 ? 0 : 5);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_true(WIFEXITED(status));
  return WEXITSTATUS(status);
}

/* The other end belongs to another user, who even knows the key. */
static void test_another_user(void **state) {
  struct rig *g = *state;
  struct gn_doorbell_address at = doorbell_of(g->engine);
  char folder[128];
  if (geteuid() != 0) {
    print_message("not root: another user is not tried\n");
    skip();
  }
  folder_of(folder, sizeof folder, at.path);
  assert_int_equal(chmod(base, 0755), 0);
  assert_int_equal(try_as_nobody(&at), 3); /* the folder keeps it out */
  assert_int_equal(chmod(folder, 0755), 0);
  assert_int_equal(try_as_nobody(&at), 3); /* the socket's mode does */
  assert_int_equal(chmod(at.path, 0666), 0);
#ifdef GN_PORTABLE
  assert_int_equal(try_as_nobody(&at), 0); /* nothing else can tell */
#else
  assert_int_equal(try_as_nobody(&at), 5); /* who it is does */
#endif
  assert_int_equal(chmod(base, 0700), 0);
}

static void test_no_descriptors(void **state) {
  struct rig *g = *state;
  struct gn_doorbell_address at;
  struct gn_error err = {0};
  struct rlimit old, less;
  int next, rc, i;
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
  next = dup(0);
  close(next);
  for (i = 0; i < 3; i++) { /* the socket, the folder, the watcher */
    less = old;
    less.rlim_cur = (rlim_t)(next + i);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &less), 0);
    rc = gn_engine_doorbell(g->engine, &at, &err);
    setrlimit(RLIMIT_NOFILE, &old);
    if (rc == 0)
      break;
    rig_error_is(&err, GN_TRANSPORT, "doorbell");
    assert_int_equal(entries(), 0);
  }
  assert_true(i > 0);
  settle(friend_of(g->engine));
}

static double cpu_seconds(void) {
  struct rusage used;
  getrusage(RUSAGE_SELF, &used);
  return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
         1e-6 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

/* Who cannot be let in waits, and the engine neither spins nor stops. */
static void test_no_descriptors_for_guests(void **state) {
  struct rig *g = *state;
  struct gn_doorbell_address at = doorbell_of(g->engine);
  struct rlimit old, less;
  int fd = friend_of(g->engine), guest = -1, next;
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  double before;
  settle(fd);
  rig_body(rig_done(g, rig_get(g, "/x")), "{\"ok\":true}");
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
  guest = socket(AF_UNIX, SOCK_STREAM, 0);
  next = dup(0);
  close(next);
  less = old;
  less.rlim_cur = (rlim_t)next;
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &less), 0);
  memcpy(to.sun_path, at.path, sizeof at.path);
  assert_int_equal(connect(guest, (struct sockaddr *)&to, sizeof to), 0);
  say(guest, at.key);
  say(guest, "\n-\n");
  settle(fd);
  before = cpu_seconds();
  nothing_heard(guest, 400);
  assert_true(cpu_seconds() - before < 0.2);
  settle(fd); /* who is in, is served */
  setrlimit(RLIMIT_NOFILE, &old);
  assert_int_equal(hear(guest), '-');
  close(guest);
  close(fd);
}

/* All that was opened is closed on exec. */
static void test_exec(void **state) {
  struct rig *g = *state;
  bool open_before[256];
  int i, fd, client, found = 0;
  for (i = 0; i < 256; i++)
    open_before[i] = fcntl(i, F_GETFD) >= 0;
  client = friend_of(g->engine);
  settle(client);
  fd = gn_engine_descriptor(g->engine, &(struct gn_error){0});
  assert_true(fd >= 0);
  for (i = 0; i < 256; i++) {
    int flags = fcntl(i, F_GETFD);
    if (open_before[i] || flags < 0 || i == client)
      continue;
    found++;
    assert_true(flags & FD_CLOEXEC);
  }
  assert_in_range(found, 3, 8);
  close(client);
}

/* The child has copies of everything and must touch nothing: not the socket's
 * file, not who is connected. */
static void test_fork(void **state) {
  struct rig *g = *state;
  struct gn_doorbell_address at = doorbell_of(g->engine);
  struct gn_mailbox *other = gn_mailbox_new(g->engine);
  int one = friend_of(g->engine), two = friend_of(g->engine);
  int status = -1, ends[2];
  pid_t pid;
  char byte;
  subscribe(one, g->mailbox);
  subscribe(two, other);
  settle(friend_of(g->engine));
  assert_int_equal(pipe(ends), 0);
  fflush(NULL);
  pid = fork();
  if (pid == 0) {
    struct gn_error err = {0};
    struct gn_doorbell_address mine;
    close(ends[1]);
    close(one);
    close(two);
    if (gn_engine_doorbell(g->engine, &mine, &err) != -1 ||
        err.kind != GN_CANCELLED)
      _exit(1);
    gn_mailbox_close(g->mailbox);
    gn_mailbox_close(other);
    gn_engine_close(g->engine);
    gn_engine_unref(g->engine);
    if (read(ends[0], &byte, 1) != 0)
      _exit(2);
    exit(gn_running_count() == 0 ? 0 : 3);
  }
  close(ends[0]);
  nothing_heard(one, 50);
  rig_get(g, "/x");
  assert_int_equal(hear(one), '+');
  gn_event_free(rig_next(g));
  subscribe(one, g->mailbox);
  settle(one);
  close(two); /* while the child has its other end open */
  settle(one);
  gn_mailbox_close(other);
  settle(friend_of(g->engine));
  say(one, "x\n"); /* the end is told although the child has a copy */
  assert_int_equal(hear(one), 0);
  close(ends[1]);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
  assert_int_equal(access(at.path, F_OK), 0);
  close(one);
}

#ifdef CHILD_THREADS
/* Only root can take /tmp away, and only in a process of its own. */
static void test_no_folder(void **state) {
  int status = -1;
  pid_t pid;
  (void)state;
  if (geteuid() != 0) {
    print_message("not root: a world without /tmp is not tried\n");
    skip();
  }
  fflush(NULL);
  pid = fork();
  if (pid == 0) {
    struct gn_doorbell_address at;
    struct gn_error err = {0};
    struct gn_engine *e;
    if (chroot(base) != 0)
      _exit(2);
    e = gn_engine_new(true, &err);
    if (!e || gn_engine_doorbell(e, &at, &err) != -1)
      _exit(3);
    gn_engine_close(e);
    /* no way out but this: a leak checker needs /proc */
    _exit(err.kind == GN_TRANSPORT && strcmp(err.code, "doorbell") == 0 &&
                  strstr(err.message, "below /tmp")
              ? 0 : 4);
  }
  assert_int_equal(waitpid(pid, &status, 0), pid);
  assert_int_equal(status, 0);
}

/* A child that makes an engine with a doorbell and ends as it is told; the
 * rig's engine is inline, so that the child may have threads. */
static pid_t start_child(void) {
  pid_t pid;
  int ends[2];
  char byte;
  assert_int_equal(pipe(ends), 0);
  fflush(NULL);
  pid = fork();
  if (pid == 0) {
    struct gn_error err = {0};
    struct gn_doorbell_address at;
    struct gn_engine *e = gn_engine_new(true, &err);
    sigset_t set;
    int number = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    if (!e || gn_engine_doorbell(e, &at, &err) != 0)
      _exit(9);
    if (write(ends[1], "x", 1) != 1)
      _exit(8);
    sigwait(&set, &number);
    exit(0);
  }
  close(ends[1]);
  assert_int_equal(read(ends[0], &byte, 1), 1);
  close(ends[0]);
  return pid;
}

static void end_child(pid_t pid, int number) {
  int status;
  assert_int_equal(kill(pid, number), 0);
  assert_int_equal(waitpid(pid, &status, 0), pid);
  if (number == SIGUSR1)
    assert_int_equal(status, 0);
}

static void test_exit_and_kill(void **state) {
  pid_t pid = start_child(), other = start_child();
  (void)state;
  assert_int_equal(entries(), 2);
  engine_comes_and_goes();
  assert_int_equal(entries(), 2); /* both are alive */
  end_child(pid, SIGUSR1);
  assert_int_equal(entries(), 1);
  end_child(other, SIGKILL);
  assert_int_equal(entries(), 1);
  engine_comes_and_goes();
  assert_int_equal(entries(), 0);
}
#endif

int main(void) {
#ifndef CHILD_THREADS
  print_message("the thread sanitizer knows no threads in a child of fork: "
                "exit and kill are left to the other builds\n");
#endif
  const struct CMUnitTest tests[] = {
    THREADED(test_private),
    THREADED(test_bad_folders),
    THREADED(test_another_users),
    THREADED(test_another_user),
    THREADED(test_no_descriptors),
    THREADED(test_no_descriptors_for_guests),
    THREADED(test_exec),
    THREADED(test_fork),
    INLINE(test_sweeping),
#ifdef CHILD_THREADS
    INLINE(test_no_folder),
    INLINE(test_exit_and_kill),
#endif
  };
  return cmocka_run_group_tests(tests, base_setup, base_teardown);
}
