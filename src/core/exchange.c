/* Owns: the way from a request to its one end. Must not: call libcurl but
 * through the attempt and the engine.
 */
#include "exchange_parts.h"

#include "alloc.h"
#include "clock.h"
#include "pace.h"
#include "relay.h"

#include <stdio.h>
#include <string.h>

static void on_timer(struct gn_timer *t);
static void on_token(struct gn_token_waiter *w, const struct gn_error *err,
                     bool again);

static struct gn_result *new_result(const struct gn_request *r,
                                    const struct gn_policy *p,
                                    struct gn_error *err) {
  struct gn_result *result = gn_result_new();
  if (!result) {
    gn_error_memory(err);
    return NULL;
  }
  gn_buf_init(&result->headers, p->max_headers);
  result->body = gn_sink_new_memory(r->max_body && !r->rows ? r->max_body
                                                            : p->max_body,
                                    err);
  result->records = gn_alloc(GN_RECORDS_FIRST * sizeof *result->records);
  result->server_url = r->download || r->server_url;
  if (!result->body || !result->records) {
    gn_result_free(result);
    gn_error_memory(err);
    return NULL;
  }
  return result;
}

int gn_exchange_init(struct gn_exchange *x, struct gn_engine *e,
                     struct gn_request *request, struct gn_policy *policy,
                     void (*done)(struct gn_exchange *), void *owner,
                     struct gn_error *err) {
  memset(x, 0, sizeof *x);
  x->engine = e;
  x->request = request;
  x->policy = gn_policy_ref(policy);
  x->done = done;
  x->owner = owner;
  x->timer.fire = on_timer;
  x->timer.owner = x;
  x->token.ready = on_token;
  x->token.owner = x;
  gn_rate_place_init(&x->place);
  x->redirects_left = request->redirects;
  x->result = new_result(request, policy, err);
  if (x->result && request->file) {
    x->file = gn_download_new(request, err);
    if (x->file)
      x->result->file = gn_strdup(request->file);
  }
  if (x->result && request->rows)
    x->rows = gn_rows_new(x, err);
  if (x->result && (!request->file || x->result->file) &&
      (!request->rows || x->rows))
    return 0;
  if (x->result && x->file)
    gn_error_memory(err);
  gn_exchange_destroy(x);
  return -1;
}

struct gn_exchange *gn_exchange_new(struct gn_engine *e,
                                    struct gn_request *request,
                                    struct gn_policy *policy,
                                    void (*done)(struct gn_exchange *),
                                    void *owner, struct gn_error *err) {
  struct gn_exchange *x = gn_alloc(sizeof *x);
  if (!x) {
    gn_request_free(request);
    gn_error_memory(err);
    return NULL;
  }
  if (gn_exchange_init(x, e, request, policy, done, owner, err) != 0) {
    gn_free(x);
    return NULL;
  }
  return x;
}

void gn_exchange_end(struct gn_exchange *x) {
  x->ended = true;
  if (x->rows && gn_rows_finish(x->rows, &x->result->error) != 0)
    x->result->retryable = false;
  gn_pace_give_back(x);
  gn_pace_wait_ends(x);
  gn_timer_clear(gn_engine_timers(x->engine), &x->timer);
  gn_token_leave(&x->token);
  gn_lane_leave(x);
  x->result->elapsed = gn_now() - x->started;
  gn_counters_time(gn_engine_counters(x->engine), GN_TIMED_EXCHANGE,
                   x->result->elapsed);
  if (x->result->error.kind != GN_OK && x->file)
    gn_sink_abort(x->file->sink);
  gn_engine_count(x->engine, GN_COUNT_IN_FLIGHT, -1);
  x->done(x);
}

static void fail(struct gn_exchange *x, enum gn_kind kind, const char *code,
                 const char *message) {
  gn_error_set(&x->result->error, kind, code, "%s", message);
  gn_exchange_end(x);
}

const char *gn_exchange_url(const struct gn_exchange *x) {
  return x->url ? x->url : x->request->url;
}

static bool server_chose_url(const struct gn_exchange *x) {
  return x->request->download || x->request->server_url || x->url;
}

bool gn_exchange_scheme_ok(const struct gn_exchange *x, const char *url) {
  struct gn_origin o;
  struct gn_error err;
  if (gn_url_origin(url, &o, &err) != 0)
    return false;
  return strcmp(o.scheme, "https") == 0 || x->policy->allow_http ||
         (gn_url_is_loopback_host(o.host) &&
          strcmp(x->policy->origin.scheme, "http") == 0);
}

struct gn_attempt *gn_exchange_off_wire(struct gn_exchange *x) {
  struct gn_attempt *a = x->attempt;
  gn_lane_leave(x);
  if (x->on_wire && a->live)
    gn_engine_wire_remove(x->engine, a->setup.easy);
  x->on_wire = false;
  x->attempt = NULL;
  gn_relay_forget(x);
  return a;
}

static void drop_attempt(struct gn_exchange *x) {
  struct gn_attempt *a = gn_exchange_off_wire(x);
  if (a)
    gn_engine_attempt_give(x->engine, a);
}

int64_t gn_exchange_timeout_ms(const struct gn_exchange *x) {
  return x->request->timeout_ms ? x->request->timeout_ms
                                : x->policy->timeout_ms;
}

static int64_t remaining_ms(struct gn_exchange *x, int64_t now) {
  if (x->request->download && x->request->timeout_ms == 0)
    x->deadline = GN_NEVER;
  if (x->deadline == 0)
    x->deadline = now + gn_exchange_timeout_ms(x) - x->token_ms;
  if (x->deadline == GN_NEVER)
    return 0;
  return x->deadline > now ? x->deadline - now : -1;
}

static void make_plan(struct gn_exchange *x, struct gn_attempt_plan *plan,
                      int64_t now) {
  plan->exchange = x;
  plan->request = x->request;
  plan->policy = x->policy;
  plan->counters = gn_engine_counters(x->engine);
  plan->url = gn_exchange_url(x);
  plan->at_base = gn_policy_at_base(x->policy, plan->url);
  plan->foreign = x->request->download ||
                  (!plan->at_base && server_chose_url(x) &&
                   !gn_policy_owns(x->policy, plan->url));
  plan->check_address = server_chose_url(x);
  plan->timeout_ms = remaining_ms(x, now);
  plan->result = x->result;
  plan->file = x->file;
  plan->rows = x->rows;
}

static int put_on_wire(struct gn_exchange *x, int64_t now,
                       struct gn_error *err) {
  struct gn_attempt_plan plan;
  make_plan(x, &plan, now);
  if (plan.timeout_ms < 0)
    return gn_error_set(err, GN_TIMEOUT, "deadline",
                        "the deadline passed before the request left");
  if (server_chose_url(x) && !gn_exchange_scheme_ok(x, plan.url))
    return gn_error_set(err, GN_PROTOCOL, "address",
                        "a URL from the server is plain http; only https is "
                        "followed (allow_http = true lifts this)");
  x->attempt = gn_engine_attempt_take(x->engine, gn_setup_serial(&plan));
  if (!x->attempt)
    return gn_error_memory(err);
  if (x->policy->transport)
    return gn_relay_ask(x, &plan, err);
  if (gn_attempt_prepare(x->attempt, &plan, err) != 0)
    return -1;
  if (x->rows && plan.timeout_ms > 0)
    gn_timer_set(gn_engine_timers(x->engine), &x->timer,
                 gn_now_ms() + plan.timeout_ms);
  return gn_engine_wire_add(x->engine, x->attempt->setup.easy) == 0
             ? 0 : gn_error_memory(err);
}

static void send_attempt(struct gn_exchange *x, double now) {
  struct gn_error err;
  gn_error_clear(&err);
  if (put_on_wire(x, (int64_t)(now * 1000), &err) != 0) {
    drop_attempt(x);
    x->result->error = err;
    gn_exchange_end(x);
    return;
  }
  x->on_wire = true;
  gn_rate_use(&x->place);
  x->sent_at = now;
  gn_engine_count(x->engine, GN_COUNT_REQUESTS, 1);
  gn_engine_count(x->engine, GN_COUNT_SENT, (int64_t)x->request->body_len);
  gn_lane_sent(x);
}

static void set_timer(struct gn_exchange *x, double seconds) {
  int64_t when = GN_AT_ONCE;
  if (seconds > 0)
    when = gn_now_ms() + (int64_t)(seconds * 1000) + 1;
  gn_timer_set(gn_engine_timers(x->engine), &x->timer, when);
}

void gn_exchange_send_later(struct gn_exchange *x, double seconds) {
  x->place.taken = false;
  set_timer(x, seconds);
}

static bool needs_token(const struct gn_exchange *x) {
  return x->policy->oauth && !x->policy->transport && !x->request->download &&
         gn_policy_owns(x->policy, gn_exchange_url(x)) &&
         !gn_request_has_header(x->request, x->policy->auth.header);
}

/* False: it waits for a token, or has ended. */
static bool has_token(struct gn_exchange *x) {
  int64_t now;
  int rc;
  if (!needs_token(x))
    return true;
  rc = gn_token_acquire(x->engine, x->policy,
                        gn_oauth_scope(x->policy->oauth, x->request->scope),
                        x->token_waited, &x->token, &x->token_serial,
                        &x->result->error);
  if (rc > 0)
    return true;
  if (rc < 0) {
    gn_exchange_end(x);
    return false;
  }
  now = gn_now_ms();
  gn_pace_waits_for(x, GN_COUNT_WAITING_TOKEN);
  x->token_since = now;
  gn_timer_set(gn_engine_timers(x->engine), &x->timer,
               x->deadline ? x->deadline
                           : now + gn_exchange_timeout_ms(x) - x->token_ms);
  return false;
}

static void on_token(struct gn_token_waiter *w, const struct gn_error *err,
                     bool again) {
  struct gn_exchange *x = w->owner;
  gn_pace_wait_ends(x);
  x->token_ms += gn_now_ms() - x->token_since;
  x->token_waited = true;
  if (!err) {
    set_timer(x, 0);
    return;
  }
  x->result->error = *err;
  x->result->retryable = again;
  x->result->status = 0;
  gn_exchange_end(x);
}

bool gn_exchange_renew_token(struct gn_exchange *x, struct gn_record *record) {
  if (!x->token_serial || x->token_renewed)
    return false;
  gn_oauth_refuse(x->policy->oauth, x->token_serial);
  x->token_renewed = true;
  x->token_waited = false;
  x->token_serial = 0;
  snprintf(record->why, sizeof record->why, GN_WHY_TOKEN);
  gn_exchange_send_later(x, 0);
  return true;
}

static void on_timer(struct gn_timer *t) {
  struct gn_exchange *x = t->owner;
  bool told = x->place.ticket > 0; /* that it waits */
  double now, wait;
  gn_pace_wait_ends(x);
  if (x->on_wire) { /* the deadline, and nobody has answered */
    if (!gn_rows_begun(x->rows))
      gn_exchange_completed(x, CURLE_OPERATION_TIMEDOUT);
    return;
  }
  if (x->token.fetch) {
    fail(x, GN_TIMEOUT, "deadline",
         "no token came from the token endpoint before the deadline");
    return;
  }
  if (x->lane.waiting) {
    gn_pace_record(x, GN_WHY_DEADLINE, 0);
    x->result->retryable = true;
    fail(x, GN_TIMEOUT, "deadline",
         "no connection was there to share before the deadline");
    return;
  }
  if (!has_token(x))
    return;
  now = gn_now();
  if (!gn_lane_enter(x, gn_exchange_url(x))) {
    remaining_ms(x, (int64_t)(now * 1000));
    gn_timer_set(gn_engine_timers(x->engine), &x->timer, x->deadline);
    return;
  }
  wait = gn_pace_wait(x, now);
  if (wait <= 0) {
    send_attempt(x, now);
    return;
  }
  if (x->deadline != 0 && x->deadline != GN_NEVER &&
      gn_now_ms() + (int64_t)(wait * 1000) >= x->deadline) {
    gn_pace_record(x, GN_WHY_DEADLINE, 0);
    x->result->retryable = true;
    fail(x, GN_TIMEOUT, "deadline",
         "the rate limit's next slot comes after the deadline");
    return;
  }
  gn_pace_record(x, GN_WHY_RATE, wait);
  if (!told)
    gn_relay_log_wait(x, "rate_wait", NULL, wait);
  gn_pace_waits_for(x, GN_COUNT_WAITING_RATE);
  set_timer(x, wait);
}

void gn_exchange_start(struct gn_exchange *x) {
  x->started = gn_now();
  gn_engine_count(x->engine, GN_COUNT_EXCHANGES, 1);
  gn_engine_count(x->engine, GN_COUNT_IN_FLIGHT, 1);
  x->sends = 1;
  gn_exchange_send_later(x, 0);
}

void gn_exchange_cancel(struct gn_exchange *x, const char *why) {
  x->called_off = true;
  if (x->ended || x->finishing)
    return;
  drop_attempt(x);
  fail(x, GN_CANCELLED, "cancelled", why);
}

struct gn_result *gn_exchange_take_result(struct gn_exchange *x) {
  struct gn_result *r = x->result;
  r->request = x->request;
  x->request = NULL;
  x->result = NULL;
  return r;
}

void gn_exchange_destroy(struct gn_exchange *x) {
  drop_attempt(x);
  gn_timer_clear(gn_engine_timers(x->engine), &x->timer);
  gn_token_leave(&x->token);
  gn_pace_give_back(x);
  gn_request_free(x->request);
  gn_policy_unref(x->policy);
  gn_result_free(x->result);
  gn_download_free(x->file);
  gn_rows_free(x->rows);
  gn_free(x->url);
}

void gn_exchange_free(struct gn_exchange *x) {
  if (!x)
    return;
  gn_exchange_destroy(x);
  gn_free(x);
}
