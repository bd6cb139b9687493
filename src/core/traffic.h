/* Owns: what an exchange tells its waiter about one attempt: the request's head
 * and body and, if there is one, the response's. Plain data with one owner.
 * Must not: hold the credential; its header line comes with "***" for a value.
 */
#ifndef GN_TRAFFIC_H
#define GN_TRAFFIC_H

#include "request.h"

struct gn_traffic {
  const char *name;        /* which log event, static; else NULL */
  uint64_t serial;         /* of the exchange, unique in its engine */
  unsigned attempt;        /* from 1; redirects are not counted */
  char *method;            /* "GET" */
  char *url;               /* as sent: not to be shown without a look */
  bool server_url;         /* url came from the server */
  bool safe;               /* sending it twice does no harm */
  char **lines;            /* request header lines, as libcurl wants them */
  size_t line_count;       /* how many */
  char *body;              /* the request's, or NULL */
  size_t body_len;         /* its bytes */
  bool answered;           /* what is below was filled */
  long status;             /* HTTP status, 0 if none */
  int curl_code;           /* CURLcode: 0 for a whole response */
  char text[256];          /* libcurl's words for that code, or a reason */
  struct gn_buf headers;   /* response header lines */
  struct gn_buf response;  /* response body */
  bool raw;                /* the body is as it came: a file's */
  bool cut;                /* the body was too long to keep */
  double elapsed;          /* seconds on the wire */
  double waited;           /* log events: seconds of a wait */
  char code[48];           /* log events: why */
};

/* The request's side of one attempt without its lines; NULL: out of memory.
 * body: with it, too. */
struct gn_traffic *gn_traffic_new(const struct gn_request *r, const char *url,
                                  bool body);
/* A line of the request; secret: only its name is kept. -1: out of memory. */
int gn_traffic_add_line(struct gn_traffic *t, const char *line, bool secret);
void gn_traffic_free(struct gn_traffic *t);

#endif
