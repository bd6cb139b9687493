/* Owns: a set of sockets to be read from, watched beside libcurl's own: behind
 * one epoll descriptor, so that idle ones cost nothing, or one by one where
 * there is no epoll.
 * Must not: be used by another thread than the one that polls.
 */
#ifndef GN_WATCHER_H
#define GN_WATCHER_H

#include <poll.h>

struct gn_watcher {
  int fd;                   /* the epoll descriptor, or -1 */
  struct pollfd *fds;  /* what libcurl has to watch */
  void **owners;            /* without epoll: of each of them */
  unsigned count;           /* of them */
  unsigned room;            /* for so many */
  struct pollfd epoll; /* with epoll: the one */
};

/* -1 and errno. */
int gn_watcher_open(struct gn_watcher *w);
void gn_watcher_close(struct gn_watcher *w);
/* -1: no memory or descriptor for it. */
int gn_watcher_add(struct gn_watcher *w, int fd, void *owner);
/* Before the socket is closed: a child of fork may have it open too. */
void gn_watcher_remove(struct gn_watcher *w, int fd);
/* After a poll: calls back for each that has something. The callback may add
 * any and remove its own. */
void gn_watcher_run(struct gn_watcher *w,
                    void (*ready)(void *owner, void *arg), void *arg);

#endif
