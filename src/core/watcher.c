/* Owns: the epoll descriptor, or the array that stands for it. Must not: read
 * from a socket.
 */
#include "watcher.h"

#include "alloc.h"
#include "platform.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#if GN_LINUX
#include <sys/epoll.h>

#define BATCH 64

int gn_watcher_open(struct gn_watcher *w) {
  memset(w, 0, sizeof *w);
  w->fd = epoll_create1(EPOLL_CLOEXEC);
  w->epoll.fd = w->fd;
  w->epoll.events = POLLIN;
  w->fds = &w->epoll;
  w->count = 1;
  return w->fd < 0 ? -1 : 0;
}

void gn_watcher_close(struct gn_watcher *w) {
  close(w->fd);
}

int gn_watcher_add(struct gn_watcher *w, int fd, void *owner) {
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = owner};
  return epoll_ctl(w->fd, EPOLL_CTL_ADD, fd, &event);
}

void gn_watcher_remove(struct gn_watcher *w, int fd) {
  struct epoll_event unused = {0};
  epoll_ctl(w->fd, EPOLL_CTL_DEL, fd, &unused);
}

void gn_watcher_run(struct gn_watcher *w,
                    void (*ready)(void *owner, void *arg), void *arg) {
  struct epoll_event events[BATCH];
  int i, count;
  if (!w->epoll.revents)
    return;
  w->epoll.revents = 0;
  count = epoll_wait(w->fd, events, BATCH, 0);
  for (i = 0; i < count; i++)
    ready(events[i].data.ptr, arg);
}

#else

int gn_watcher_open(struct gn_watcher *w) {
  memset(w, 0, sizeof *w);
  w->fd = -1;
  return 0;
}

void gn_watcher_close(struct gn_watcher *w) {
  gn_free(w->fds);
  gn_free(w->owners);
}

static int grow(struct gn_watcher *w) {
  unsigned room = w->room ? 2 * w->room : 16;
  struct pollfd *fds = gn_realloc(w->fds, room * sizeof *fds);
  void **owners;
  if (!fds)
    return -1;
  w->fds = fds;
  owners = gn_realloc(w->owners, room * sizeof *owners);
  if (!owners)
    return -1;
  w->owners = owners;
  w->room = room;
  return 0;
}

int gn_watcher_add(struct gn_watcher *w, int fd, void *owner) {
  if (w->count == w->room && grow(w) != 0)
    return -1;
  w->fds[w->count] = (struct pollfd){fd, POLLIN, 0};
  w->owners[w->count++] = owner;
  return 0;
}

void gn_watcher_remove(struct gn_watcher *w, int fd) {
  unsigned i = w->count;
  while (i > 0 && w->fds[i - 1].fd != fd)
    i--;
  if (i == 0)
    return;
  w->count--;
  w->fds[i - 1] = w->fds[w->count];
  w->owners[i - 1] = w->owners[w->count];
}

/* From the end: what takes the place of one that was removed had its turn. */
void gn_watcher_run(struct gn_watcher *w,
                    void (*ready)(void *owner, void *arg), void *arg) {
  unsigned i = w->count;
  while (i-- > 0) {
    bool has = w->fds[i].revents != 0;
    w->fds[i].revents = 0;
    if (has)
      ready(w->owners[i], arg);
  }
}

#endif
