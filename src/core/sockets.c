/* Owns: the array that poll takes. Must not: fail in libcurl's callback, after
 * which the multi handle would be of no use: there is room before it is called.
 */
#include "sockets.h"

#include "alloc.h"

#include <stdint.h>
#include <string.h>

#define SOCKETS_PER_HANDLE 5 /* libcurl's own limit */
#define OTHERS 4             /* room for those who wait, too */
#define SHORT_OF_MEMORY_MS 10
#define KEPT_FIRST 128
#define KEPT_MOST 1024

static int reserve(struct gn_sockets *s, size_t wanted) {
  size_t room = s->room ? s->room : 16;
  struct pollfd *grown;
  if (wanted <= s->room)
    return 0;
  while (room < wanted)
    room *= 2;
  grown = gn_realloc(s->fds, room * sizeof *grown);
  if (!grown)
    return -1;
  s->fds = grown;
  s->room = room;
  return 0;
}

/* libcurl keeps an entry's place + 1 for us, beside the socket. */
static void keep_place(struct gn_sockets *s, size_t i) {
  curl_multi_assign(s->multi, s->fds[i].fd, (void *)(uintptr_t)(i + 1));
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg,
                     void *place) {
  struct gn_sockets *s = arg;
  size_t i = (size_t)(uintptr_t)place;
  (void)easy;
  if (what == CURL_POLL_REMOVE) {
    if (i == 0)
      return 0;
    s->count--;
    if (i - 1 < s->count) {
      s->fds[i - 1] = s->fds[s->count];
      keep_place(s, i - 1);
    }
    return 0;
  }
  if (i == 0) {
    /* Newer releases also watch connections that they end by themselves, any
     * number of them; one that is not watched ends by their clock. */
    if (reserve(s, s->count + 1 + OTHERS) != 0)
      return 0;
    i = ++s->count;
    s->fds[i - 1] = (struct pollfd){fd, 0, 0};
    keep_place(s, i - 1);
  }
  s->fds[i - 1].events = (short)((what & CURL_POLL_IN ? POLLIN : 0) |
                                 (what & CURL_POLL_OUT ? POLLOUT : 0));
  return 0;
}

/* As many connections as were in use at once: with fewer, each of the others
 * would be closed by its answer and opened again by the next request. */
static void keep(struct gn_sockets *s, size_t wanted) {
  if (s->kept >= wanted || s->kept == KEPT_MOST)
    return;
  s->kept = s->kept ? s->kept * 2 : KEPT_FIRST;
  curl_multi_setopt(s->multi, CURLMOPT_MAXCONNECTS, (long)s->kept);
}

int gn_sockets_open(struct gn_sockets *s) {
  memset(s, 0, sizeof *s);
  if (reserve(s, OTHERS) != 0)
    return -1;
  s->multi = curl_multi_init();
  if (!s->multi) {
    gn_sockets_close(s);
    return -1;
  }
  curl_multi_setopt(s->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
  curl_multi_setopt(s->multi, CURLMOPT_SOCKETDATA, s);
  keep(s, KEPT_FIRST);
  return 0;
}

void gn_sockets_close(struct gn_sockets *s) {
  if (s->multi)
    curl_multi_cleanup(s->multi);
  s->multi = NULL;
  gn_free(s->fds);
  s->fds = NULL;
}

int gn_sockets_add(struct gn_sockets *s, CURL *easy) {
  size_t wanted = (s->handles + 1) * SOCKETS_PER_HANDLE + OTHERS;
  if (reserve(s, wanted) != 0 ||
      curl_multi_add_handle(s->multi, easy) != CURLM_OK)
    return -1;
  s->handles++;
  keep(s, s->handles);
  return 0;
}

void gn_sockets_remove(struct gn_sockets *s, CURL *easy) {
  curl_multi_remove_handle(s->multi, easy);
  s->handles--;
}

static long due_in(const struct gn_sockets *s) {
  long ms = -1;
  curl_multi_timeout(s->multi, &ms);
  return ms;
}

bool gn_sockets_idle(const struct gn_sockets *s) {
  return s->count == 0 && due_in(s) < 0;
}

/* Anything but plain readiness libcurl finds out by itself. */
static int bits_of(short revents) {
  if (revents & ~(POLLIN | POLLOUT))
    return 0;
  return (revents & POLLIN ? CURL_CSELECT_IN : 0) |
         (revents & POLLOUT ? CURL_CSELECT_OUT : 0);
}

/* From the end: what takes the place of one that is removed had its turn. */
static void work_on_ready(struct gn_sockets *s) {
  size_t i = s->count;
  int running;
  while (i-- > 0) {
    short revents = i < s->count ? s->fds[i].revents : 0;
    if (!revents)
      continue;
    s->fds[i].revents = 0;
    curl_multi_socket_action(s->multi, s->fds[i].fd, bits_of(revents),
                             &running);
  }
}

bool gn_sockets_wait(struct gn_sockets *s, int wake, struct pollfd *others,
                     size_t count, int ms) {
  long due = due_in(s);
  size_t i, first;
  bool woken;
  int rc;
  if (due >= 0 && due < ms)
    ms = (int)due;
  for (i = 0; i < count; i++)
    others[i].revents = 0;
  if (reserve(s, s->count + 1 + count) != 0) {
    count = 0; /* they are looked at soon again */
    ms = ms < SHORT_OF_MEMORY_MS ? ms : SHORT_OF_MEMORY_MS;
  }
  s->fds[s->count] = (struct pollfd){wake, POLLIN, 0};
  first = s->count + 1;
  if (count > 0)
    memcpy(s->fds + first, others, count * sizeof *others);
  rc = poll(s->fds, (nfds_t)(first + count), ms);
  for (i = 0; rc > 0 && i < count; i++)
    others[i].revents = s->fds[first + i].revents;
  woken = rc > 0 && s->fds[s->count].revents != 0;
  s->ready = rc > 0;
  return woken;
}

void gn_sockets_begin(struct gn_sockets *s) {
  int running;
  curl_multi_socket_action(s->multi, CURL_SOCKET_TIMEOUT, 0, &running);
}

void gn_sockets_run(struct gn_sockets *s) {
  if (s->ready)
    work_on_ready(s);
  s->ready = false;
  if (due_in(s) == 0)
    gn_sockets_begin(s);
}
