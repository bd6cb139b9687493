/* Owns: a server that is an API and its token endpoint in one, as the tests of
 * tokens script it, and the rig around it.
 * Must not: be included by anything else.
 */
#ifndef SPEC_OAUTH_RIG_H
#define SPEC_OAUTH_RIG_H

#include "rig.h"

#include "alloc.h"
#include "clock.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the endpoint does; read and changed by the server's threads. */
static struct plan {
  pthread_mutex_t lock;   /* guards the rest */
  int tokens;             /* given so far: t1, t2, ... */
  int refuse;             /* the API refuses tokens up to this number */
  const char *expires;    /* the value of expires_in, or NULL */
  bool rotate;            /* a new refresh token each time */
  int failures;           /* so many more token requests fail */
  int status;             /* with this status; 0: a reset, -1: a stall */
  const char *body;       /* and this body */
  unsigned slow_ms;       /* the answer takes so long */
} plan;

static struct gn_oauth_options grant;

static void token(struct server_request *r) {
  char body[256], expires[64] = "", refresh[64] = "";
  struct plan p;
  pthread_mutex_lock(&plan.lock);
  if (plan.failures > 0)
    plan.failures--, plan.tokens += plan.status == -1;
  else
    plan.status = 200, plan.tokens++;
  p = plan;
  pthread_mutex_unlock(&plan.lock);
  if (p.slow_ms)
    server_stall(r, p.slow_ms);
  if (p.status == 0) {
    server_reset(r);
    return;
  }
  if (p.status == -1) {
    server_stall(r, 60000);
    return;
  }
  if (p.status != 200) {
    server_answer(r, p.status, "Connection: close\r\n", p.body);
    server_close(r);
    return;
  }
  if (p.expires)
    snprintf(expires, sizeof expires, ",\"expires_in\":%s", p.expires);
  if (p.rotate)
    snprintf(refresh, sizeof refresh, ",\"refresh_token\":\"r%d\"", p.tokens);
  snprintf(body, sizeof body, "{\"access_token\":\"t%d\"%s%s}", p.tokens,
           expires, refresh);
  server_answer(r, 200, NULL, body);
}

static void serve(struct server_request *r, void *arg) {
  const char *line;
  int number = 0, refuse;
  (void)arg;
  if (strncmp(r->target, "/token", 6) == 0) {
    token(r);
    return;
  }
  pthread_mutex_lock(&plan.lock);
  refuse = plan.refuse;
  pthread_mutex_unlock(&plan.lock);
  line = strcasestr(r->head, "\r\nAuthorization: Bearer t");
  if (line)
    number = atoi(line + strlen("\r\nAuthorization: Bearer t"));
  if (number > refuse)
    server_answer(r, 200, NULL, "fine");
  else
    server_answer(r, 401, NULL, "no");
}

static void fresh(struct rig *g) {
  static const struct plan nothing;
  pthread_mutex_t lock = plan.lock;
  plan = nothing;
  plan.lock = lock;
  memset(&grant, 0, sizeof grant);
  grant.grant = GN_GRANT_REFRESH;
  grant.token_url = strdup(server_url(g->server, "/token"));
  grant.client_id = "me";
  grant.client_secret = "secret-of-mine";
  grant.refresh_token = "secret r&0";
  g->options.oauth = &grant;
  g->options.token = NULL;
  g->options.token_len = 0;
}

static int setup(void **state) {
  int rc = rig_setup(state);
  struct rig *g = *state;
  pthread_mutex_init(&plan.lock, NULL);
  fresh(g);
  rig_policy(g);
  server_set(g->server, serve, NULL);
  return rc;
}

static int teardown(void **state) {
  char *url = (char *)grant.token_url;
  int rc = rig_teardown(state);
  free(url);
  return rc;
}

#define RUN(test) \
  {#test " (inline)", test, setup, teardown, &rig_inline}, \
  {#test " (threaded)", test, setup, teardown, &rig_threaded}

static void fine(struct rig *g) {
  rig_body(rig_expect(g, rig_request(g, "GET", "/x"), GN_OK, NULL), "fine");
}

static unsigned asked(struct rig *g) {
  return server_hits(g->server, "/token");
}

#endif
