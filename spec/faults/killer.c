/* Owns: a death at a chosen moment: preloaded, it counts what is done to files
 * whose names begin with $KILL_PATH and kills the process in the $KILL_AT-th
 * such call: a write when half of it is done, anything else before it is.
 * Must not: change any other call.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* True if this call is the one to die in. */
static int due(const char *path) {
  static int calls;
  const char *prefix = getenv("KILL_PATH"), *at = getenv("KILL_AT");
  return prefix && at && strncmp(path, prefix, strlen(prefix)) == 0 &&
         __sync_add_and_fetch(&calls, 1) == atoi(at);
}

static int due_fd(int fd) {
  char name[64], path[512];
  ssize_t len;
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  len = readlink(name, path, sizeof path - 1);
  if (len < 0)
    return 0;
  path[len] = '\0';
  return due(path);
}

static void die(void) {
  kill(getpid(), SIGKILL);
}

ssize_t write(int fd, const void *data, size_t len) {
  if (due_fd(fd)) {
    syscall(SYS_write, fd, data, len / 2);
    die();
  }
  return syscall(SYS_write, fd, data, len);
}

int ftruncate(int fd, off_t size) {
  if (due_fd(fd))
    die();
  return (int)syscall(SYS_ftruncate, fd, size);
}

int fsync(int fd) {
  if (due_fd(fd))
    die();
  return (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to) {
  if (due(from))
    die();
  return (int)syscall(SYS_renameat, -100, from, -100, to);
}

int unlink(const char *path) {
  if (due(path))
    die();
  return (int)syscall(SYS_unlinkat, -100, path, 0);
}
