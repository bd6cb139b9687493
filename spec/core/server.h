/* Owns: a tiny HTTP/1.1 server inside the test program, on 127.0.0.1 and a free
 * port, one thread per connection. A test's handler writes every byte that goes
 * back, so it can also stall, cut, close and reset; what was asked is kept.
 * Must not: know garner.
 */
#ifndef SPEC_SERVER_H
#define SPEC_SERVER_H

#include <stdbool.h>
#include <stddef.h>

struct server;

struct server_request {
  struct server_request *next; /* the one that came after */
  struct server *server;       /* where it came in */
  int fd;                      /* the connection's socket */
  unsigned connection;         /* which connection, from 1 */
  unsigned nth;                /* which request on it, from 1 */
  bool keep;                   /* the handler left the connection open */
  char method[16];             /* "GET" */
  char target[2048];           /* "/path?query" */
  char head[16384];            /* request line and headers, CRLF between */
  char *body;                  /* NUL beyond its end */
  size_t body_len;             /* its bytes */
};

typedef void server_handler(struct server_request *r, void *arg);

struct server *server_start(server_handler *handler, void *arg);
/* Ends stalls and connections, waits for all threads. */
void server_stop(struct server *s);
unsigned server_port(const struct server *s);
void server_set(struct server *s, server_handler *handler, void *arg);
/* The handler is not called any more when this is back, so that its argument
 * may go; who still comes is hung up on until the next server_set. */
void server_quiet(struct server *s);
void server_forget(struct server *s); /* what was asked so far */
/* "http://127.0.0.1:port" + path; valid until the fourth call after. */
const char *server_url(const struct server *s, const char *path);

/* How many requests had a target with that beginning. */
unsigned server_hits(struct server *s, const char *prefix);
unsigned server_connections(struct server *s);
/* The i-th request from 0, oldest first; NULL: none. Valid until forgotten. */
const struct server_request *server_request(struct server *s, unsigned i);
/* A header's value, NULL if it was not sent; valid until the next call. */
const char *server_header(const struct server_request *r, const char *name);

/* For handlers. */
void server_write(struct server_request *r, const void *data, size_t len);
void server_send(struct server_request *r, const char *text);
/* A whole response; headers: NULL or lines that end in CRLF. */
void server_answer(struct server_request *r, int status, const char *headers,
                   const char *body);
/* Less if the client goes away. */
void server_stall(struct server_request *r, unsigned ms);
void server_close(struct server_request *r); /* an orderly end */
void server_reset(struct server_request *r); /* RST */

/* A port of 127.0.0.1 where nobody listens. */
unsigned server_dead_port(void);

#endif
