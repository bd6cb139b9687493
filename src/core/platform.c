/* Owns: how each call of platform.h is made here. Must not: choose by anything
 * but what the system has.
 */
#define _GNU_SOURCE
#define _DARWIN_C_SOURCE
#include "platform.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#if GN_LINUX
#include <sys/random.h>
#endif

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

#if !GN_LINUX
/* A fork of another thread between the two calls leaks the descriptor into what
 * it executes: without the calls that do both there is nothing better. */
static int prepare(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (fd < 0)
    return -1;
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
      fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    int kept = errno;
    close(fd);
    errno = kept;
    return -1;
  }
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
  if (prepare(ends[0]) < 0) {
    close(ends[1]);
    return -1;
  }
  if (prepare(ends[1]) < 0) {
    close(ends[0]);
    return -1;
  }
  return 0;
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
  return send(fd, data, len, MSG_NOSIGNAL);
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

int gn_random_bytes(void *out, size_t len) {
  unsigned char *to = out;
  int fd = -1;
#if GN_LINUX
  if (getrandom(out, len, GRND_NONBLOCK) == (ssize_t)len)
    return 0;
#endif
  fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
  while (fd >= 0 && len > 0) {
    ssize_t got = read(fd, to, len);
    if (got <= 0 && errno != EINTR)
      break;
    if (got > 0) {
      to += got;
      len -= (size_t)got;
    }
  }
  if (fd >= 0)
    close(fd);
  return fd >= 0 && len == 0 ? 0 : -1;
}
