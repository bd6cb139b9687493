/* Owns: the server's threads, sockets and records. Must not: assert; a test
 * sees what went wrong by what it gets.
 */
#define _GNU_SOURCE
#include "server.h"

#include <errno.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct connection {
  struct connection *next; /* in the server's list */
  struct server *server;   /* whose it is */
  pthread_t thread;        /* serves it */
  int fd;                  /* its socket */
  unsigned number;         /* from 1 */
  struct server_request *reading; /* so that a forked child can reach it */
};

struct server {
  int fd;                        /* listens */
  unsigned port;                 /* where */
  pthread_t thread;              /* accepts */
  pthread_mutex_t lock;          /* guards what follows */
  bool stopping;                 /* no more connections */
  server_handler *handler;       /* answers */
  void *arg;                     /* for the handler */
  unsigned busy;                 /* handlers that run */
  struct connection *connections; /* all, also those that ended */
  unsigned connection_count;     /* how many */
  struct server_request *first;  /* what was asked, oldest first */
  struct server_request *last;   /* the newest */
  struct server_request *old;    /* forgotten, but perhaps still answered */
};

static bool is_stopping(struct server *s) {
  bool stopping;
  pthread_mutex_lock(&s->lock);
  stopping = s->stopping;
  pthread_mutex_unlock(&s->lock);
  return stopping;
}

void server_write(struct server_request *r, const void *data, size_t len) {
  const char *p = data;
  while (len > 0) {
    ssize_t n = send(r->fd, p, len, MSG_NOSIGNAL);
    if (n <= 0)
      return;
    p += n;
    len -= (size_t)n;
  }
}

void server_send(struct server_request *r, const char *text) {
  server_write(r, text, strlen(text));
}

void server_answer(struct server_request *r, int status, const char *headers,
                   const char *body) {
  char head[4096];
  int len = snprintf(head, sizeof head,
                     "HTTP/1.1 %d Status\r\nContent-Length: %zu\r\n%s\r\n",
                     status, strlen(body), headers ? headers : "");
  server_write(r, head, (size_t)len);
  if (strcmp(r->method, "HEAD") != 0)
    server_send(r, body);
}

void server_stall(struct server_request *r, unsigned ms) {
  unsigned i;
  for (i = 0; i < ms / 5 && !is_stopping(r->server); i++) {
    struct pollfd p = {r->fd, POLLRDHUP, 0};
    if (poll(&p, 1, 5) != 0)
      return;
  }
}

void server_close(struct server_request *r) {
  r->keep = false;
}

void server_reset(struct server_request *r) {
  struct linger hard = {1, 0};
  setsockopt(r->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
  r->keep = false;
}

/* Reads on until the head is whole; what is beyond it belongs to the body. */
static size_t read_head(int fd, char *out, size_t cap, size_t *got) {
  *got = 0;
  for (;;) {
    char *end;
    ssize_t n = recv(fd, out + *got, cap - 1 - *got, 0);
    if (n <= 0)
      return 0;
    *got += (size_t)n;
    out[*got] = '\0';
    end = strstr(out, "\r\n\r\n");
    if (end)
      return (size_t)(end + 4 - out);
  }
}

static struct server_request *read_request(struct connection *c, unsigned nth) {
  struct server_request *r = calloc(1, sizeof *r);
  size_t got, head, want = 0;
  const char *length;
  c->reading = r;
  r->server = c->server;
  r->fd = c->fd;
  r->connection = c->number;
  r->nth = nth;
  r->keep = true;
  head = read_head(c->fd, r->head, sizeof r->head, &got);
  if (head == 0 || sscanf(r->head, "%15s %2047s", r->method, r->target) != 2) {
    c->reading = NULL;
    free(r);
    return NULL;
  }
  length = server_header(r, "Content-Length");
  want = length ? (size_t)strtoul(length, NULL, 10) : 0;
  r->body = calloc(1, want + 1);
  r->body_len = got - head < want ? got - head : want;
  memcpy(r->body, r->head + head, r->body_len);
  r->head[head] = '\0';
  while (r->body_len < want) {
    ssize_t n = recv(c->fd, r->body + r->body_len, want - r->body_len, 0);
    if (n <= 0)
      break;
    r->body_len += (size_t)n;
  }
  return r;
}

static void *serve(void *arg) {
  struct connection *c = arg;
  struct server *s = c->server;
  bool keep = true;
  unsigned nth;
  for (nth = 1; keep; nth++) {
    server_handler *handler;
    void *handler_arg;
    struct server_request *r = read_request(c, nth);
    if (!r)
      break;
    pthread_mutex_lock(&s->lock);
    if (s->last)
      s->last->next = r;
    else
      s->first = r;
    s->last = r;
    handler = s->handler;
    handler_arg = s->arg;
    s->busy++;
    pthread_mutex_unlock(&s->lock);
    handler(r, handler_arg);
    keep = r->keep;
    pthread_mutex_lock(&s->lock);
    s->busy--;
    pthread_mutex_unlock(&s->lock);
  }
  pthread_mutex_lock(&s->lock);
  close(c->fd);
  c->fd = -1;
  pthread_mutex_unlock(&s->lock);
  return NULL;
}

static void *accept_all(void *arg) {
  struct server *s = arg;
  for (;;) {
    int one = 1, fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC);
    struct connection *c;
    /* A test that takes the descriptors away takes them from here too. */
    if (fd < 0 && (errno == EMFILE || errno == EINTR)) {
      poll(NULL, 0, 1);
      continue;
    }
    if (fd < 0)
      return NULL;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c = calloc(1, sizeof *c);
    c->server = s;
    c->fd = fd;
    pthread_mutex_lock(&s->lock);
    if (s->stopping) {
      pthread_mutex_unlock(&s->lock);
      close(fd);
      free(c);
      return NULL;
    }
    c->number = ++s->connection_count;
    c->next = s->connections;
    s->connections = c;
    pthread_create(&c->thread, NULL, serve, c);
    pthread_mutex_unlock(&s->lock);
  }
}

static int listen_any(unsigned *port) {
  struct sockaddr_in a = {.sin_family = AF_INET};
  socklen_t len = sizeof a;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) != 0 ||
      getsockname(fd, (struct sockaddr *)&a, &len) != 0)
    abort();
  *port = ntohs(a.sin_port);
  return fd;
}

unsigned server_dead_port(void) {
  unsigned port;
  close(listen_any(&port));
  return port;
}

struct server *server_start(server_handler *handler, void *arg) {
  struct server *s = calloc(1, sizeof *s);
  pthread_mutex_init(&s->lock, NULL);
  s->handler = handler;
  s->arg = arg;
  s->fd = listen_any(&s->port);
  if (listen(s->fd, 512) != 0 ||
      pthread_create(&s->thread, NULL, accept_all, s) != 0)
    abort();
  return s;
}

static void free_requests(struct server_request *r) {
  while (r) {
    struct server_request *next = r->next;
    free(r->body);
    free(r);
    r = next;
  }
}

void server_stop(struct server *s) {
  struct connection *c;
  pthread_mutex_lock(&s->lock);
  s->stopping = true;
  for (c = s->connections; c; c = c->next)
    if (c->fd >= 0)
      shutdown(c->fd, SHUT_RDWR);
  pthread_mutex_unlock(&s->lock);
  shutdown(s->fd, SHUT_RDWR);
  pthread_join(s->thread, NULL);
  close(s->fd);
  while ((c = s->connections)) {
    s->connections = c->next;
    pthread_join(c->thread, NULL);
    free(c);
  }
  free_requests(s->first);
  free_requests(s->old);
  pthread_mutex_destroy(&s->lock);
  free(s);
}

unsigned server_port(const struct server *s) {
  return s->port;
}

void server_set(struct server *s, server_handler *handler, void *arg) {
  pthread_mutex_lock(&s->lock);
  s->handler = handler;
  s->arg = arg;
  pthread_mutex_unlock(&s->lock);
}

static void hang_up(struct server_request *r, void *arg) {
  (void)arg;
  server_close(r);
}

void server_quiet(struct server *s) {
  struct timespec slice = {0, 1000000};
  unsigned busy = 1;
  server_set(s, hang_up, NULL);
  while (busy > 0) {
    pthread_mutex_lock(&s->lock);
    busy = s->busy;
    pthread_mutex_unlock(&s->lock);
    nanosleep(&slice, NULL);
  }
}

void server_forget(struct server *s) {
  pthread_mutex_lock(&s->lock);
  if (s->last) {
    s->last->next = s->old;
    s->old = s->first;
    s->first = s->last = NULL;
  }
  pthread_mutex_unlock(&s->lock);
}

const char *server_url(const struct server *s, const char *path) {
  static char rooms[4][4096];
  static unsigned next;
  char *out = rooms[next++ % 4];
  snprintf(out, sizeof rooms[0], "http://127.0.0.1:%u%s", s->port, path);
  return out;
}

unsigned server_hits(struct server *s, const char *prefix) {
  const struct server_request *r;
  unsigned hits = 0;
  pthread_mutex_lock(&s->lock);
  for (r = s->first; r; r = r->next)
    hits += strncmp(r->target, prefix, strlen(prefix)) == 0;
  pthread_mutex_unlock(&s->lock);
  return hits;
}

unsigned server_connections(struct server *s) {
  unsigned count;
  pthread_mutex_lock(&s->lock);
  count = s->connection_count;
  pthread_mutex_unlock(&s->lock);
  return count;
}

const struct server_request *server_request(struct server *s, unsigned i) {
  const struct server_request *r;
  pthread_mutex_lock(&s->lock);
  for (r = s->first; r && i > 0; i--)
    r = r->next;
  pthread_mutex_unlock(&s->lock);
  return r;
}

const char *server_header(const struct server_request *r, const char *name) {
  static _Thread_local char value[4096];
  const char *line = strstr(r->head, "\r\n");
  size_t len = strlen(name);
  for (; line && line[2] && line[2] != '\r'; line = strstr(line + 2, "\r\n")) {
    const char *p = line + 2;
    if (strncasecmp(p, name, len) != 0 || p[len] != ':')
      continue;
    p += len + 1;
    p += strspn(p, " \t");
    snprintf(value, sizeof value, "%.*s", (int)strcspn(p, "\r\n"), p);
    return value;
  }
  return NULL;
}
