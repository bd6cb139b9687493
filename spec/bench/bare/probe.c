/* Owns: the probe of the benchmarks: GETs of one URL at a constant rate, each
 * timed from the instant at which it was due, so that a server that stalls
 * cannot hide the requests it kept from being sent.
 * Must not: use anything of garner.
 *
 * probe PORT PATH RATE SECONDS -> prints "<count> <p50> <p99> <max>", times in
 * microseconds. Any answer but a 200 ends it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 4000

struct connection {
  int fd;           /* its socket */
  int64_t due;      /* when its request was due, 0: it is idle */
  char data[4096];  /* of the answer */
  size_t len;       /* bytes of it */
};

static struct connection pool[CONNECTIONS];
static int open_count;

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static struct connection *idle_one(int port) {
  struct sockaddr_in a = {.sin_family = AF_INET};
  struct connection *c;
  int i, one = 1;
  for (i = 0; i < open_count; i++)
    if (!pool[i].due)
      return &pool[i];
  if (open_count == CONNECTIONS)
    fail("too many connections");
  c = &pool[open_count++];
  a.sin_port = htons((uint16_t)port);
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&a, sizeof a) != 0)
    fail("connect");
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  fcntl(c->fd, F_SETFL, O_NONBLOCK);
  return c;
}

/* True when the answer is whole. */
static bool take(struct connection *c) {
  ssize_t n = read(c->fd, c->data + c->len, sizeof c->data - 1 - c->len);
  const char *length, *end;
  if (n <= 0)
    fail("read");
  c->len += (size_t)n;
  c->data[c->len] = '\0';
  end = strstr(c->data, "\r\n\r\n");
  if (!end)
    return false;
  length = strcasestr(c->data, "Content-Length:");
  if (strncmp(c->data, "HTTP/1.1 200 ", 13) != 0 || !length)
    fail("not the answer that was expected");
  return c->data + c->len >= end + 4 + strtol(length + 15, NULL, 10);
}

static void wait_until(int64_t when, int64_t *times, size_t *done) {
  struct pollfd fds[CONNECTIONS];
  struct connection *of[CONNECTIONS];
  int64_t left = when - now();
  struct timespec t = {left > 0 ? left / 1000000000 : 0,
                       left > 0 ? left % 1000000000 : 0};
  nfds_t n = 0, i;
  int k;
  for (k = 0; k < open_count; k++)
    if (pool[k].due) {
      fds[n].fd = pool[k].fd;
      fds[n].events = POLLIN;
      of[n++] = &pool[k];
    }
  if (ppoll(fds, n, &t, NULL) <= 0)
    return;
  for (i = 0; i < n; i++)
    if (fds[i].revents && take(of[i])) {
      times[(*done)++] = now() - of[i]->due;
      of[i]->due = 0;
    }
}

static int by_size(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  char request[512];
  size_t i, count, done = 0;
  int64_t begin, *times;
  double rate;
  int port, len;
  if (argc != 5) {
    fprintf(stderr, "usage: probe PORT PATH RATE SECONDS\n");
    return 2;
  }
  port = atoi(argv[1]);
  rate = atof(argv[3]);
  count = (size_t)(rate * atof(argv[4]));
  times = calloc(count + 1, sizeof *times);
  len = snprintf(request, sizeof request,
                 "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", argv[2]);
  if (!times || count == 0 || len >= (int)sizeof request)
    fail("arguments");
  begin = now() + 1000000;
  for (i = 0; i < count; i++) {
    int64_t due = begin + (int64_t)((double)i * 1e9 / rate);
    struct connection *c;
    while (now() < due)
      wait_until(due, times, &done);
    c = idle_one(port);
    c->due = due;
    c->len = 0;
    if (write(c->fd, request, (size_t)len) != len)
      fail("write");
  }
  while (done < count)
    wait_until(now() + 1000000000, times, &done);
  qsort(times, count, sizeof *times, by_size);
  printf("%zu %.1f %.1f %.1f\n", count, (double)times[count / 2] / 1e3,
         (double)times[count * 99 / 100] / 1e3,
         (double)times[count - 1] / 1e3);
  free(times);
  return 0;
}
