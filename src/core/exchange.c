/* Owns: the way from a request to its one end. Must not: call libcurl but
 * through the attempt and the engine.
 */
#include "exchange.h"

#include "alloc.h"
#include "clock.h"
#include "pace.h"
#include "relay.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* A signed URL with a session's token in it passes 2 KB. */
#define LONGEST_LOCATION 8192

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
  result->body = gn_sink_new_memory(r->max_body ? r->max_body : p->max_body,
                                    err);
  result->records = gn_alloc(GN_RECORDS_FIRST * sizeof *result->records);
  result->url = gn_strdup(r->url);
  result->server_url = r->download || r->server_url;
  if (!result->body || !result->records || !result->url) {
    gn_result_free(result);
    gn_error_memory(err);
    return NULL;
  }
  return result;
}

struct gn_exchange *gn_exchange_new(struct gn_engine *e,
                                    struct gn_request *request,
                                    struct gn_policy *policy,
                                    void (*done)(struct gn_exchange *),
                                    void *owner, struct gn_error *err) {
  struct gn_exchange *x = gn_alloc_zero(sizeof *x);
  if (!x) {
    gn_request_free(request);
    gn_error_memory(err);
    return NULL;
  }
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
  if (!x->result || (request->file && !x->result->file)) {
    if (x->result && x->file)
      gn_error_memory(err);
    gn_exchange_free(x);
    return NULL;
  }
  return x;
}

static void end(struct gn_exchange *x) {
  x->ended = true;
  gn_pace_give_back(x);
  gn_pace_wait_ends(x);
  gn_timer_clear(gn_engine_timers(x->engine), &x->timer);
  gn_token_leave(&x->token);
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
  end(x);
}

static const char *current_url(const struct gn_exchange *x) {
  return x->url ? x->url : x->request->url;
}

static bool server_chose_url(const struct gn_exchange *x) {
  return x->request->download || x->request->server_url || x->url;
}

/* Plain http is for this machine, or for those who said so. */
static bool scheme_ok(const struct gn_exchange *x, const char *url) {
  struct gn_origin o;
  struct gn_error err;
  if (gn_url_origin(url, &o, &err) != 0)
    return false;
  return strcmp(o.scheme, "https") == 0 || x->policy->allow_http ||
         (gn_url_is_loopback_host(o.host) &&
          strcmp(x->policy->origin.scheme, "http") == 0);
}

static void off_wire(struct gn_exchange *x) {
  uint64_t setup;
  CURL *easy;
  if (x->on_wire && x->attempt.easy)
    gn_engine_wire_remove(x->engine, x->attempt.easy);
  x->on_wire = false;
  gn_relay_forget(x);
  easy = gn_attempt_release(&x->attempt, &setup);
  gn_engine_easy_give(x->engine, easy, setup);
}

static int64_t timeout_ms(const struct gn_exchange *x) {
  return x->request->timeout_ms ? x->request->timeout_ms
                                : x->policy->timeout_ms;
}

static int64_t remaining_ms(struct gn_exchange *x) {
  int64_t now = gn_now_ms();
  if (x->request->download && x->request->timeout_ms == 0)
    x->deadline = GN_NEVER;
  if (x->deadline == 0)
    x->deadline = now + timeout_ms(x) - x->token_ms;
  if (x->deadline == GN_NEVER)
    return 0;
  return x->deadline > now ? x->deadline - now : -1;
}

static void make_plan(struct gn_exchange *x, struct gn_attempt_plan *plan) {
  memset(plan, 0, sizeof *plan);
  plan->request = x->request;
  plan->policy = x->policy;
  plan->counters = gn_engine_counters(x->engine);
  plan->url = current_url(x);
  plan->foreign = x->request->download ||
                  (server_chose_url(x) &&
                   !gn_policy_owns(x->policy, plan->url));
  plan->check_address = server_chose_url(x);
  plan->timeout_ms = remaining_ms(x);
  plan->result = x->result;
  plan->file = x->file;
}

static int put_on_wire(struct gn_exchange *x, struct gn_error *err) {
  struct gn_attempt_plan plan;
  uint64_t setup;
  CURL *easy;
  make_plan(x, &plan);
  if (plan.timeout_ms < 0)
    return gn_error_set(err, GN_TIMEOUT, "deadline",
                        "the deadline passed before the request left");
  if (server_chose_url(x) && !scheme_ok(x, plan.url))
    return gn_error_set(err, GN_PROTOCOL, "address",
                        "a URL from the server is plain http; only https is "
                        "followed (allow_http = true lifts this)");
  if (x->policy->transport)
    return gn_relay_ask(x, &plan, err);
  easy = gn_engine_easy_take(x->engine, gn_attempt_setup(&plan), &setup);
  if (!easy)
    return gn_error_memory(err);
  if (gn_attempt_prepare(&x->attempt, easy, setup, &plan, err) != 0)
    return -1;
  curl_easy_setopt(easy, CURLOPT_PRIVATE, x);
  return gn_engine_wire_add(x->engine, easy) == 0 ? 0 : gn_error_memory(err);
}

static void send_attempt(struct gn_exchange *x) {
  struct gn_error err;
  gn_error_clear(&err);
  if (put_on_wire(x, &err) != 0) {
    off_wire(x);
    x->result->error = err;
    end(x);
    return;
  }
  x->on_wire = true;
  gn_rate_use(&x->place);
  x->sent_at = gn_now();
  gn_engine_count(x->engine, GN_COUNT_REQUESTS, 1);
  gn_engine_count(x->engine, GN_COUNT_SENT, (int64_t)x->request->body_len);
}

static void set_timer(struct gn_exchange *x, double seconds) {
  int64_t ms = (int64_t)(seconds * 1000);
  gn_timer_set(gn_engine_timers(x->engine), &x->timer,
               gn_now_ms() + ms + (seconds > 0));
}

/* Always by the timer, so that starting an exchange never ends it: its owner
 * would be gone under the caller's feet. */
static void send_later(struct gn_exchange *x, double seconds) {
  x->place.taken = false;
  set_timer(x, seconds);
}

static bool needs_token(const struct gn_exchange *x) {
  return x->policy->oauth && !x->policy->transport && !x->request->download &&
         gn_policy_owns(x->policy, current_url(x)) &&
         !gn_request_has_header(x->request, x->policy->auth.header);
}

/* False: it waits for a token, or has ended. */
static bool has_token(struct gn_exchange *x) {
  int64_t now = gn_now_ms();
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
    end(x);
    return false;
  }
  gn_pace_waits_for(x, GN_COUNT_WAITING_TOKEN);
  x->token_since = now;
  gn_timer_set(gn_engine_timers(x->engine), &x->timer,
               x->deadline ? x->deadline : now + timeout_ms(x) - x->token_ms);
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
  end(x);
}

/* A request that was refused for its token was not taken: it may be sent once
 * more, whatever it does, with another one. */
static bool renew_token(struct gn_exchange *x, struct gn_record *record) {
  if (!x->token_serial || x->token_renewed)
    return false;
  gn_oauth_refuse(x->policy->oauth, x->token_serial);
  x->token_renewed = true;
  x->token_waited = false;
  x->token_serial = 0;
  snprintf(record->why, sizeof record->why, GN_WHY_TOKEN);
  send_later(x, 0);
  return true;
}

static void on_timer(struct gn_timer *t) {
  struct gn_exchange *x = t->owner;
  bool told = x->place.ticket > 0; /* that it waits */
  double wait;
  gn_pace_wait_ends(x);
  if (x->asked) { /* the deadline, and nobody has answered */
    gn_exchange_completed(x, CURLE_OPERATION_TIMEDOUT);
    return;
  }
  if (x->token.fetch) {
    fail(x, GN_TIMEOUT, "deadline",
         "no token came from the token endpoint before the deadline");
    return;
  }
  if (!has_token(x))
    return;
  wait = gn_pace_wait(x);
  if (wait <= 0) {
    send_attempt(x);
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
  send_later(x, 0);
}

void gn_exchange_cancel(struct gn_exchange *x, const char *why) {
  x->called_off = true;
  if (x->ended || x->finishing)
    return;
  off_wire(x);
  fail(x, GN_CANCELLED, "cancelled", why);
}

/* Any other method would have to change, or send its body once more. */
static bool is_read(const struct gn_request *r) {
  return strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;
}

/* 1: followed, 0: this is no redirect to follow, -1: refused, err says why. */
static int follow(struct gn_exchange *x, struct gn_error *err) {
  const char *location;
  char *text, *target = NULL;
  struct gn_origin origin, from;
  size_t len;
  bool may;
  int rc;
  long status = x->result->status;
  /* "See Other" is what a server says that took the request. */
  enum gn_kind kind =
      status == 303 && !x->request->safe ? GN_IN_DOUBT : GN_PROTOCOL;
  if (status != 301 && status != 302 && status != 303 && status != 307 &&
      status != 308)
    return 0;
  location = gn_headers_find(&x->result->headers, "Location", &len);
  if (!location || len == 0 || len > LONGEST_LOCATION)
    return gn_error_set(err, kind, "redirect",
                        "HTTP %ld without a usable Location", status);
  text = gn_strndup(location, len);
  if (!text)
    return gn_error_memory(err);
  rc = gn_url_resolve(current_url(x), text, &target, err);
  gn_free(text);
  if (rc != 0 || gn_url_origin(target, &origin, err) != 0 ||
      gn_url_origin(current_url(x), &from, err) != 0) {
    gn_free(target);
    if (err->kind == GN_MEMORY)
      return -1;
    return gn_error_set(err, kind, "redirect",
                        "HTTP %ld to something that is no http URL", status);
  }
  may = x->redirects_left > 0 && x->request->safe && is_read(x->request) &&
        (x->request->download || gn_url_same_origin(&origin, &from)) &&
        scheme_ok(x, target);
  if (!may) {
    gn_free(target);
    return gn_error_set(err, kind, "redirect",
                        x->redirects_left <= 0 && x->request->redirects > 0
                            ? "too many redirects, the last to %s://%s"
                            : "HTTP redirect to %s://%s is not followed",
                        origin.scheme, origin.host);
  }
  x->redirects_left--;
  gn_free(x->url);
  x->url = target;
  return 1;
}

static void describe(const struct gn_exchange *x, const struct gn_outcome *o,
                     const char *text, struct gn_error *e) {
  if (o->curl_code == 0)
    snprintf(e->message, sizeof e->message, "%sHTTP status %ld",
             o->proxy_refused ? "the proxy refused the request: " : "",
             o->status);
  else if (o->blocked)
    snprintf(e->message, sizeof e->message,
             "a URL from the server leads to a private address");
  else if (o->curl_code == CURLE_OPERATION_TIMEDOUT &&
           strcmp(e->code, "deadline") == 0)
    snprintf(e->message, sizeof e->message, "no whole response within %.3g s",
             (double)timeout_ms(x) / 1000);
  else
    snprintf(e->message, sizeof e->message, "%s",
             *text ? text : curl_easy_strerror((CURLcode)o->curl_code));
  if (e->kind == GN_IN_DOUBT) {
    size_t used = strlen(e->message);
    snprintf(e->message + used, sizeof e->message - used,
             "; whether the server took the request is not known");
  }
}

static void retry_or_end(struct gn_exchange *x, const struct gn_outcome *o,
                         struct gn_verdict *v, struct gn_record *record) {
  struct gn_result *r = x->result;
  struct gn_retry_state at = {x->sends, x->request->attempts, 0, 0};
  struct gn_retry_next next;
  if (at.attempts == 0)
    at.attempts = x->policy->retry.attempts;
  at.left = gn_pace_left(x);
  at.random = gn_random_next(gn_engine_random(x->engine));
  gn_retry_decide(&x->policy->retry, v, o, &at, &next);
  if (next.again && !gn_policy_take_retry(x->policy, v->throttled)) {
    next.again = false;
    next.why = GN_WHY_BUDGET;
  }
  snprintf(record->why, sizeof record->why, "%s", next.why);
  if (!next.again) {
    r->retryable = v->again;
    r->retry_after = o->retry_after;
    end(x);
    return;
  }
  x->budget_taken += v->throttled ? GN_RETRY_COST_THROTTLED : GN_RETRY_COST;
  x->sends++;
  gn_error_clear(&r->error);
  record->waited = next.wait;
  gn_counters_retry(gn_engine_counters(x->engine), next.why);
  gn_pace_waits_for(x, GN_COUNT_WAITING_RETRY);
  gn_relay_log_wait(x, "retry", record, next.wait);
  send_later(x, next.wait);
}

/* The file's bytes are not what they should be: all of it is asked for anew. */
static bool fetch_again(struct gn_exchange *x) {
  const struct gn_outcome o = {.retry_after = -1};
  struct gn_result *r = x->result;
  struct gn_record *record = &r->records[r->record_count - 1];
  struct gn_verdict v = {.kind = r->error.kind};
  if (strcmp(r->error.code, "checksum") != 0)
    return false;
  v.again = gn_download_spoiled(x->file) && x->request->safe &&
            !x->called_off;
  snprintf(v.code, sizeof v.code, "checksum");
  snprintf(record->code, sizeof record->code, "checksum");
  retry_or_end(x, &o, &v, record);
  return true;
}

static void file_finished(struct gn_exchange *x) {
  struct gn_result *r = x->result;
  if (r->error.kind != GN_OK && fetch_again(x))
    return;
  if (r->error.kind == GN_OK)
    gn_engine_count(x->engine, GN_COUNT_DOWNLOADS, 1);
  gn_policy_refund(x->policy, x->budget_taken);
  gn_download_facts(x->file, r);
  end(x);
}

static void on_file(struct gn_file_job *job) {
  struct gn_exchange *x = job->owner;
  x->finishing = false;
  x->result->error = job->error;
  file_finished(x);
}

static void succeed(struct gn_exchange *x) {
  struct gn_result *r = x->result;
  if (!x->file) {
    gn_policy_refund(x->policy, x->budget_taken);
    end(x);
    return;
  }
  x->job.sink = x->file->sink;
  x->job.done = on_file;
  x->job.owner = x;
  x->finishing = gn_engine_finish_file(x->engine, &x->job);
  if (x->finishing)
    return;
  gn_sink_finish(x->file->sink, &r->error);
  file_finished(x);
}

static void judge(struct gn_exchange *x, struct gn_outcome *o,
                  const struct gn_error *sink_error, const char *text) {
  struct gn_verdict v;
  struct gn_record *record = gn_result_add_record(x->result);
  struct gn_result *r = x->result;
  record->status = o->status;
  record->elapsed = gn_now() - x->sent_at;
  gn_retry_judge(o, x->request->safe, &v);
  if (sink_error->kind != GN_OK && v.kind != GN_IN_DOUBT) {
    v.kind = sink_error->kind;
    v.again = false;
    snprintf(v.code, sizeof v.code, "%s", sink_error->code);
  } else if (o->curl_code == CURLE_OPERATION_TIMEDOUT &&
             x->deadline != GN_NEVER && gn_now_ms() >= x->deadline - 1) {
    v.again = false;
    if (v.kind == GN_TIMEOUT || v.kind == GN_IN_DOUBT)
      snprintf(v.code, sizeof v.code, "deadline");
  }
  snprintf(record->code, sizeof record->code, "%s", v.code);
  if (v.kind == GN_OK) {
    succeed(x);
    return;
  }
  if (v.kind == GN_UNAUTHENTICATED && renew_token(x, record))
    return;
  gn_error_set(&r->error, v.kind, v.code, " ");
  if (sink_error->kind != GN_OK)
    text = sink_error->message;
  describe(x, o, text, &r->error);
  gn_pace_heed_throttling(x, o, &v);
  retry_or_end(x, o, &v, record);
}

/* Another request of the same attempt. */
static void send_elsewhere(struct gn_exchange *x, const struct gn_outcome *o,
                           const char *why) {
  struct gn_record *record = gn_result_add_record(x->result);
  record->status = o->status;
  record->elapsed = gn_now() - x->sent_at;
  snprintf(record->why, sizeof record->why, "%s", why);
  send_later(x, 0);
}

void gn_exchange_refuse(struct gn_exchange *x, const struct gn_error *err) {
  struct gn_record *record = gn_result_add_record(x->result);
  off_wire(x);
  x->result->status = 0;
  x->result->error = *err;
  snprintf(record->code, sizeof record->code, "%s", err->code);
  snprintf(record->why, sizeof record->why, GN_WHY_FINAL);
  end(x);
}

void gn_exchange_completed(struct gn_exchange *x, CURLcode rc) {
  struct gn_outcome o;
  struct gn_error sink_error, err;
  char text[CURL_ERROR_SIZE];
  int followed;
  gn_attempt_outcome(&x->attempt, rc, &o);
  gn_counters_attempt(gn_engine_counters(x->engine), o.status,
                      gn_now() - x->sent_at, x->attempt.connects);
  sink_error = x->attempt.sink_error;
  gn_engine_count(x->engine, GN_COUNT_RECEIVED,
                  (int64_t)x->attempt.received);
  memcpy(text, x->attempt.text, sizeof text);
  gn_relay_tell(x, (CURLcode)o.curl_code, o.status);
  x->result->status = o.status;
  off_wire(x);
  gn_pace_heed(x, &o);
  followed = o.curl_code == CURLE_OK ? follow(x, &err) : 0;
  if (followed == 1) {
    send_elsewhere(x, &o, GN_WHY_REDIRECT);
  } else if (x->file && gn_download_restarts(x->file, o.status)) {
    send_elsewhere(x, &o, GN_WHY_RESTART);
  } else if (followed == -1) {
    struct gn_record *record = gn_result_add_record(x->result);
    record->status = o.status;
    record->elapsed = gn_now() - x->sent_at;
    snprintf(record->why, sizeof record->why, GN_WHY_FINAL);
    x->result->error = err;
    end(x);
  } else {
    judge(x, &o, &sink_error, text);
  }
}

struct gn_result *gn_exchange_take_result(struct gn_exchange *x) {
  struct gn_result *r = x->result;
  r->request = x->request;
  x->request = NULL;
  x->result = NULL;
  return r;
}

void gn_exchange_free(struct gn_exchange *x) {
  if (!x)
    return;
  off_wire(x);
  gn_timer_clear(gn_engine_timers(x->engine), &x->timer);
  gn_token_leave(&x->token);
  gn_pace_give_back(x);
  gn_request_free(x->request);
  gn_policy_unref(x->policy);
  gn_result_free(x->result);
  gn_download_free(x->file);
  gn_free(x->url);
  gn_free(x);
}
