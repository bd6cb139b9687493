/* Owns: libcurl's multi handle, the sockets that it wants watched, and waiting
 * for them. Only what is ready is worked on: what a step costs does not grow
 * with the number of transfers that wait.
 * Must not: be used by another thread than the one that steps, but for the
 * signal.
 */
#ifndef GN_SOCKETS_H
#define GN_SOCKETS_H

#include <curl/curl.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

struct gn_sockets {
  CURLM *multi;       /* libcurl's, NULL: closed */
  struct pollfd *fds; /* what libcurl wants, then others while waiting */
  size_t count;       /* of libcurl's */
  size_t room;        /* for so many */
  size_t handles;     /* easy handles that were added */
  size_t kept;        /* connections, and so handles, to keep for later */
  bool ready;         /* the wait found something */
};

/* -1: out of memory. */
int gn_sockets_open(struct gn_sockets *s);
/* After all handles were removed. */
void gn_sockets_close(struct gn_sockets *s);
/* -1: out of memory. */
int gn_sockets_add(struct gn_sockets *s, CURL *easy);
void gn_sockets_remove(struct gn_sockets *s, CURL *easy);
/* Waits for at most ms, less if libcurl has something to do earlier: for its
 * sockets; for the others, whose revents tell; for what wakes it (a descriptor,
 * or -1). True if that is readable. */
bool gn_sockets_wait(struct gn_sockets *s, int wake, struct pollfd *others,
                     size_t count, int ms);
/* Nothing is to be waited for. */
bool gn_sockets_idle(const struct gn_sockets *s);
/* What was added, and what is due by libcurl's clock. */
void gn_sockets_begin(struct gn_sockets *s);
/* Libcurl's work: what is ready since the wait, what is due by its clock, and
 * what was added. */
void gn_sockets_run(struct gn_sockets *s);

#endif
