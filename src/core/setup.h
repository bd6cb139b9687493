/* Owns: every option that libcurl is given for an attempt, and what an easy
 * handle keeps of them from one request of a client to its next one.
 * Must not: take a handle for set up that another client's request left.
 */
#ifndef GN_SETUP_H
#define GN_SETUP_H

#include "error.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdint.h>

struct gn_attempt;
struct gn_attempt_plan;

/* An easy handle and what it is set to, so that only what differs is set. */
struct gn_setup {
  CURL *easy;        /* NULL: none was needed yet */
  CURLU *parsed;     /* the URL that it is set to, read; or NULL */
  char *url;         /* the same as text, or NULL */
  uint64_t serial;   /* the policy that it is set up for, 0: for none */
  int64_t timeout;   /* ms, as set */
  int64_t connect;   /* ms, as set */
  bool fresh;        /* a new connection, as set */
  bool proxied;      /* through a proxy, as set */
  bool odd;          /* another method than GET, or a body, is set */
  struct curl_slist *lines; /* as set */
};

/* What a handle can stay set up for between the requests of one client to its
 * own base: the policy's serial; 0 for any other request. */
uint64_t gn_setup_serial(const struct gn_attempt_plan *plan);
/* Everything but the lines. */
int gn_setup_apply(struct gn_attempt *a, const struct gn_attempt_plan *plan,
                   struct gn_error *err);
/* The attempt's lines are whole. */
int gn_setup_lines(struct gn_attempt *a, struct gn_error *err);
/* No method and no body of this request may reach the next one. failed: nor
 * anything else. */
void gn_setup_forget(struct gn_setup *s, bool failed);
void gn_setup_destroy(struct gn_setup *s);

/* As libcurl calls them; in attempt.c. */
size_t gn_attempt_on_header(char *data, size_t size, size_t count, void *arg);
size_t gn_attempt_on_body(char *data, size_t size, size_t count, void *arg);
curl_socket_t gn_attempt_on_open(void *arg, curlsocktype purpose,
                                 struct curl_sockaddr *address);
/* Its own connection, or a share of another's, is there. */
int gn_attempt_on_connected(void *arg, char *to, char *from, int to_port,
                            int from_port);
int gn_attempt_on_close(void *counters, curl_socket_t fd);

#endif
