/* Owns: one fetch of a token as a work of the engine: its tries, the waits
 * between them, its deadline, what a failure means, and telling all who wait.
 * Must not: know what they wait for it with.
 */
#include "oauth_fetch.h"

#include "alloc.h"
#include "clock.h"
#include "exchange.h"

#include <stdio.h>
#include <string.h>

#define TRIES 3

struct gn_fetch {
  struct gn_work work;             /* first, so that one is the other */
  struct gn_fetch *next;           /* of the same credential; its lock */
  struct gn_oauth *oauth;          /* of work.policy */
  char *scope;                     /* what the token is asked for */
  struct gn_exchange *exchange;    /* the try on its way, or NULL */
  struct gn_timer timer;           /* the wait before the next try */
  struct gn_token_waiter *first;   /* waits longest, or NULL */
  struct gn_token_waiter *last;    /* waits shortest, or NULL */
  unsigned tries;                  /* so far */
  int64_t deadline;                /* monotonic ms, of all tries together */
};

static void leave_list(struct gn_fetch *f) {
  struct gn_fetch **at = &f->oauth->fetches;
  pthread_mutex_lock(&f->oauth->lock);
  while (*at && *at != f)
    at = &(*at)->next;
  if (*at)
    *at = f->next;
  pthread_mutex_unlock(&f->oauth->lock);
}

void gn_token_leave(struct gn_token_waiter *w) {
  if (!w->fetch)
    return;
  if (w->prev)
    w->prev->next = w->next;
  else
    w->fetch->first = w->next;
  if (w->next)
    w->next->prev = w->prev;
  else
    w->fetch->last = w->prev;
  w->fetch = NULL;
  w->next = w->prev = NULL;
}

/* Who is told may begin to wait again, but not for this one any more. */
static void end(struct gn_fetch *f, const struct gn_error *err, bool again) {
  struct gn_token_waiter *w;
  leave_list(f);
  gn_timer_clear(gn_engine_timers(f->work.engine), &f->timer);
  while ((w = f->first)) {
    gn_token_leave(w);
    w->ready(w, err, again);
  }
  gn_work_finish(&f->work, NULL);
}

static void fail(struct gn_fetch *f, const struct gn_error *err, bool again) {
  if (again && gn_oauth_postpone(f->oauth, f->scope))
    end(f, NULL, false);
  else
    end(f, err, again);
}

static void take_reply(struct gn_fetch *f, const struct gn_result *r) {
  struct gn_grant_reply reply;
  struct gn_error err;
  size_t len;
  const char *body = gn_result_body(r, &len);
  int rc = gn_grant_read(body, len, gn_wall_time(), &reply, &err);
  if (rc == 0)
    rc = gn_oauth_store(f->oauth, &f->work.policy->auth, f->scope, &reply,
                        &err);
  gn_grant_reply_wipe(&reply);
  if (rc == 0)
    end(f, NULL, false);
  else
    fail(f, &err, false);
}

/* What a waiter hears. The endpoint's word against the credential is final; any
 * other failure keeps its kind. */
static void explain(const struct gn_fetch *f, const struct gn_result *r,
                    const char *code, const char *text,
                    struct gn_error *err) {
  const char *host = f->oauth->host;
  if (r->error.kind == GN_IN_DOUBT)
    gn_error_set(err, GN_UNAUTHENTICATED, "refresh_in_doubt",
                 "the token endpoint %s: %s. If it took the refresh token, its "
                 "successor is lost and access has to be granted anew", host,
                 r->error.message);
  else if (r->error.kind == GN_CANCELLED || r->error.kind == GN_MEMORY)
    *err = r->error;
  else if (r->status >= 400 && gn_grant_is_transient(code))
    gn_error_set(err, GN_SERVER, code, "the token endpoint %s: %s%s%s", host,
                 code, *text ? ": " : "", text);
  else if (r->status >= 400 && r->status < 500 && r->status != 408 &&
           r->status != 429)
    gn_error_set(err, GN_UNAUTHENTICATED, *code ? code : "token",
                 "the token endpoint %s refused: %s%s%s", host,
                 *code ? code : r->error.message, *text ? ": " : "", text);
  else
    gn_error_set(err, r->error.kind, r->error.code,
                 "the token endpoint %s: %s%s%s", host, r->error.message,
                 *text ? ": " : "", text);
}

/* A rotating refresh token was not used up if the endpoint itself says that it
 * failed; where its fate is unknown, the exchange said "in doubt". */
static bool may_repeat(const struct gn_result *r, const char *code) {
  if (r->error.kind == GN_IN_DOUBT || r->error.kind == GN_CANCELLED)
    return false;
  return r->retryable || (r->status >= 400 && gn_grant_is_transient(code));
}

static void judge(struct gn_fetch *f, const struct gn_result *r) {
  const struct gn_policy *p = f->oauth->policy;
  struct gn_error err;
  char code[sizeof err.code], text[200];
  bool again, throttled = r->error.kind == GN_THROTTLED;
  double wait = gn_retry_backoff(
      &p->retry, f->tries - 1, throttled,
      gn_random_next(gn_engine_random(f->work.engine)));
  size_t len;
  const char *body = gn_result_body(r, &len);
  gn_grant_read_error(f->oauth, body, len, code, sizeof code, text,
                      sizeof text);
  again = may_repeat(r, code);
  if (wait < r->retry_after)
    wait = r->retry_after;
  if (again && f->tries < TRIES && r->retry_after <= p->retry.max_wait &&
      gn_now_ms() + (int64_t)(wait * 1000) < f->deadline) {
    gn_timer_set(gn_engine_timers(f->work.engine), &f->timer,
                 gn_now_ms() + (int64_t)(wait * 1000) + 1);
    return;
  }
  explain(f, r, code, text, &err);
  fail(f, &err, again);
}

static void wipe(struct gn_exchange *x, struct gn_result *r) {
  size_t len;
  const char *body = r ? gn_result_body(r, &len) : NULL;
  const struct gn_request *sent = r ? r->request : x->request;
  gn_wipe(sent->body, sent->body_len);
  if (body && len > 0)
    gn_wipe((char *)body, len);
  gn_result_free(r);
  gn_exchange_free(x);
}

static void on_done(struct gn_exchange *x) {
  struct gn_fetch *f = x->owner;
  struct gn_result *r = gn_exchange_take_result(x);
  struct gn_exchange *finished = f->exchange;
  f->exchange = NULL;
  if (r->error.kind == GN_OK)
    take_reply(f, r);
  else
    judge(f, r);
  wipe(finished, r);
}

static struct gn_request *make_request(struct gn_fetch *f, int64_t timeout_ms,
                                       struct gn_error *err) {
  struct gn_oauth *o = f->oauth;
  const char *type = o->grant == GN_GRANT_LOGIN
                         ? "application/json"
                         : "application/x-www-form-urlencoded";
  struct gn_request *r = gn_request_new("POST", o->token_url, err);
  char *body = NULL;
  size_t len;
  int rc = -1;
  if (!r)
    return NULL;
  body = gn_grant_body(o, f->scope, gn_wall_time(), &len, err);
  if (body &&
      gn_request_add_header(r, "Content-Type", 12, type, strlen(type),
                            err) == 0 &&
      gn_request_add_header(r, "Accept", 6, "application/json", 16, err) == 0)
    rc = gn_request_set_body(r, body, len, err);
  if (body)
    gn_wipe(body, len);
  gn_free(body);
  if (rc != 0) {
    gn_request_free(r);
    return NULL;
  }
  r->safe = !o->rotates;
  r->server_url = o->url_from_key;
  r->redirects = 0;
  r->timeout_ms = timeout_ms;
  return r;
}

static void try_now(struct gn_fetch *f) {
  struct gn_error err;
  struct gn_request *r;
  int64_t left = f->deadline - gn_now_ms();
  f->tries++;
  gn_policy_set_own_class(f->oauth->policy,
                          gn_policy_own_class(f->work.policy));
  r = make_request(f, left > 0 ? left : 1, &err);
  if (r)
    f->exchange = gn_exchange_new(f->work.engine, r, f->oauth->policy, on_done,
                                  f, &err);
  if (f->exchange)
    gn_exchange_start(f->exchange);
  else
    fail(f, &err, false);
}

static void on_timer(struct gn_timer *t) {
  try_now(t->owner);
}

/* By the timer, so that starting it never ends it. */
static void fetch_start(struct gn_work *w) {
  struct gn_fetch *f = (struct gn_fetch *)w;
  gn_timer_set(gn_engine_timers(w->engine), &f->timer, gn_now_ms());
}

static void fetch_cancel(struct gn_work *w, const char *why) {
  struct gn_fetch *f = (struct gn_fetch *)w;
  struct gn_error err;
  if (f->exchange) {
    gn_exchange_cancel(f->exchange, why);
    return;
  }
  gn_error_set(&err, GN_CANCELLED, "cancelled", "%s", why);
  end(f, &err, false);
}

static void fetch_destroy(struct gn_work *w) {
  struct gn_fetch *f = (struct gn_fetch *)w;
  gn_work_release(w);
  gn_free(f->scope);
  gn_free(f);
}

static const struct gn_work_ops fetch_ops = {
  fetch_start, fetch_cancel, NULL, fetch_destroy,
};

/* Nobody takes what its mailbox gets. */
static struct gn_fetch *fetch_new(struct gn_engine *e, struct gn_policy *p,
                                  const char *scope, struct gn_error *err) {
  struct gn_fetch *f = gn_alloc_zero(sizeof *f);
  struct gn_mailbox *m = gn_mailbox_new(e);
  int rc = -1;
  if (f)
    f->scope = gn_strdup(scope);
  if (f && f->scope && m)
    rc = gn_work_init(&f->work, &fetch_ops, e, m, p, false, err);
  else
    gn_error_memory(err);
  if (m)
    gn_mailbox_close(m);
  if (rc != 0) {
    if (f)
      gn_free(f->scope);
    gn_free(f);
    return NULL;
  }
  f->oauth = p->oauth;
  f->timer.fire = on_timer;
  f->timer.owner = f;
  f->deadline = gn_now_ms() + f->oauth->policy->timeout_ms;
  return f;
}

/* One of another engine is not ours to wait for. */
static struct gn_fetch *find_running(struct gn_oauth *o, struct gn_engine *e,
                                     const char *scope) {
  struct gn_fetch *f;
  pthread_mutex_lock(&o->lock);
  f = o->fetches;
  while (f && (f->work.engine != e || strcmp(f->scope, scope) != 0))
    f = f->next;
  pthread_mutex_unlock(&o->lock);
  return f;
}

static struct gn_fetch *begin(struct gn_engine *e, struct gn_policy *p,
                              const char *scope, struct gn_error *err) {
  struct gn_fetch *f = fetch_new(e, p, scope, err);
  if (!f)
    return NULL;
  pthread_mutex_lock(&p->oauth->lock);
  f->next = p->oauth->fetches;
  p->oauth->fetches = f;
  pthread_mutex_unlock(&p->oauth->lock);
  gn_engine_run(e, &f->work);
  return f;
}

int gn_token_acquire(struct gn_engine *e, struct gn_policy *p,
                     const char *scope, bool waited, struct gn_token_waiter *w,
                     uint64_t *serial, struct gn_error *err) {
  struct gn_fetch *f;
  *serial = gn_oauth_usable(p->oauth, scope, waited);
  if (*serial)
    return 1;
  f = find_running(p->oauth, e, scope);
  if (!f && !(f = begin(e, p, scope, err)))
    return -1;
  w->fetch = f;
  w->next = NULL;
  w->prev = f->last;
  if (f->last)
    f->last->next = w;
  else
    f->first = w;
  f->last = w;
  return 0;
}
