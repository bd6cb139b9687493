/* Owns: how each call of platform.h is made here. Must not: choose by anything
 * but what the system has.
 */
#if defined(__linux__) && !defined(GN_PORTABLE)
#define _GNU_SOURCE
#endif
#include "posix.h"

#include "platform.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef GN_PORTABLE
#include <dlfcn.h>
#endif
#if GN_LINUX
#include <sys/random.h>
#endif
#if defined(__APPLE__)
#include <sys/sysctl.h>
#endif

#if defined(MSG_NOSIGNAL) && !defined(GN_PORTABLE)
#define SEND_FLAGS MSG_NOSIGNAL
#else
#define SEND_FLAGS 0
#endif

#if GN_LINUX
#define WAIT_CLOCK CLOCK_MONOTONIC
#define LONGEST_WAIT_MS INT64_C(86400000)
#else
/* The wall clock may be set meanwhile: nobody trusts it for long. */
#define WAIT_CLOCK CLOCK_REALTIME
#define LONGEST_WAIT_MS INT64_C(1000)
#endif

#if !GN_LINUX
static int close_kept(int fd) {
  int kept = errno;
  close(fd);
  errno = kept;
  return -1;
}

static int close_on_exec(int fd) {
  if (fd >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) != 0)
    return close_kept(fd);
  return fd;
}

/* A fork of another thread between the two calls leaks the descriptor into what
 * it executes: without the calls that do both there is nothing better. */
static int prepare(int fd) {
  int flags;
  if (close_on_exec(fd) < 0)
    return -1;
  flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
    return close_kept(fd);
#ifdef SO_NOSIGPIPE
  setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &(int){1}, sizeof(int));
#endif
  return fd;
}
#endif

int gn_pipe_open(int ends[2]) {
#if GN_LINUX
  return pipe2(ends, O_CLOEXEC | O_NONBLOCK);
#else
  if (pipe(ends) != 0)
    return -1;
  if (prepare(ends[0]) < 0)
    return close_kept(ends[1]);
  return prepare(ends[1]) < 0 ? close_kept(ends[0]) : 0;
#endif
}

int gn_socket(int family, int type, int protocol) {
#if GN_LINUX
  return socket(family, type | SOCK_CLOEXEC, protocol);
#else
  return close_on_exec(socket(family, type, protocol));
#endif
}

int gn_unix_socket(void) {
#if GN_LINUX
  return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
#else
  return prepare(socket(AF_UNIX, SOCK_STREAM, 0));
#endif
}

int gn_accept(int listener) {
#if GN_LINUX
  return accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
#else
  return prepare(accept(listener, NULL, NULL));
#endif
}

ssize_t gn_send(int fd, const void *data, size_t len) {
  return send(fd, data, len, SEND_FLAGS);
}

bool gn_peer_is_ours(int fd) {
#if GN_LINUX
  struct ucred peer;
  socklen_t len = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0 &&
         peer.uid == geteuid();
#elif defined(__APPLE__) || defined(__FreeBSD__) || defined(__NetBSD__) || \
    defined(__OpenBSD__) || defined(__DragonFly__)
  uid_t uid;
  gid_t gid;
  return getpeereid(fd, &uid, &gid) == 0 && uid == geteuid();
#else
  (void)fd; /* the folder's mode and the key have to do */
  return true;
#endif
}

void gn_clock_read(struct timespec *out) {
#if GN_LINUX
  if (clock_gettime(CLOCK_BOOTTIME, out) == 0)
    return;
#endif
  clock_gettime(CLOCK_MONOTONIC, out);
}

static size_t read_some(const char *path, void *out, size_t len) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t got = fd < 0 ? 0 : read(fd, out, len);
  if (fd >= 0)
    close(fd);
  return got > 0 ? (size_t)got : 0;
}

/* Not OpenSSL's generator: to start that costs a millisecond, which a program
 * that needs no secret would pay for nothing. */
bool gn_entropy(void *out, size_t len) {
#if GN_LINUX
  if (getrandom(out, len, 0) == (ssize_t)len)
    return true;
#endif
  return read_some("/dev/urandom", out, len) == len;
}

void gn_boot_id(char *out, size_t cap) {
  size_t len = 0;
  memset(out, 0, cap);
#if defined(__APPLE__)
  len = cap - 1;
  if (sysctlbyname("kern.bootsessionuuid", out, &len, NULL, 0) != 0)
    len = 0;
#else
  len = read_some("/proc/sys/kernel/random/boot_id", out, cap - 1);
#endif
  out[len] = '\0';
  out[strcspn(out, "\n")] = '\0';
}

void gn_pin(void (*code)(void)) {
#if defined(RTLD_NODELETE) && !defined(GN_PORTABLE)
  Dl_info info;
  if (dladdr((void *)(size_t)code, &info) && info.dli_fname)
    dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
#else
  (void)code; /* the linker's flag has to do */
#endif
}

int gn_cond_init(pthread_cond_t *cond) {
#if GN_LINUX
  pthread_condattr_t attr;
  int rc;
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, WAIT_CLOCK);
  rc = pthread_cond_init(cond, &attr);
  pthread_condattr_destroy(&attr);
  return rc;
#else
  return pthread_cond_init(cond, NULL);
#endif
}

bool gn_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *lock,
                        int64_t until) {
  int64_t left = until - gn_now_ms();
  struct timespec t;
  if (left <= 0)
    return false;
  if (left > LONGEST_WAIT_MS)
    left = LONGEST_WAIT_MS;
  clock_gettime(WAIT_CLOCK, &t);
  t.tv_sec += (time_t)(left / 1000);
  t.tv_nsec += (long)(left % 1000) * 1000000;
  if (t.tv_nsec >= 1000000000) {
    t.tv_sec++;
    t.tv_nsec -= 1000000000;
  }
  pthread_cond_timedwait(cond, lock, &t);
  return true;
}
