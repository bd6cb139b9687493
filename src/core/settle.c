/* Owns: what an attempt's end means for its exchange: the response, a redirect,
 * another attempt after a wait, or an error. Must not: send; exchange.c does.
 */
#include "exchange_parts.h"

#include "clock.h"
#include "pace.h"
#include "redirect.h"
#include "relay.h"

#include <stdio.h>
#include <string.h>

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
             (double)gn_exchange_timeout_ms(x) / 1000);
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
  if (next.again && gn_rows_given(x->rows)) {
    next.again = false;
    next.why = GN_WHY_ROWS;
  }
  if (next.again && !gn_policy_take_retry(x->policy, v->throttled)) {
    next.again = false;
    next.why = GN_WHY_BUDGET;
  }
  snprintf(record->why, sizeof record->why, "%s", next.why);
  if (!next.again) {
    r->retryable = v->again;
    r->retry_after = o->retry_after;
    gn_exchange_end(x);
    return;
  }
  if (x->rows)
    gn_rows_reset(x->rows);
  x->budget_taken += v->throttled ? GN_RETRY_COST_THROTTLED : GN_RETRY_COST;
  x->sends++;
  gn_error_clear(&r->error);
  record->waited = next.wait;
  gn_counters_retry(gn_engine_counters(x->engine), next.why);
  gn_pace_waits_for(x, GN_COUNT_WAITING_RETRY);
  gn_relay_log_wait(x, "retry", record, next.wait);
  gn_exchange_send_later(x, next.wait);
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
  gn_exchange_end(x);
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
    gn_exchange_end(x);
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

static void judge(struct gn_exchange *x, const struct gn_attempt *a,
                  struct gn_outcome *o) {
  const struct gn_error *sink_error = &a->sink_error;
  const char *text = a->text;
  struct gn_verdict v;
  struct gn_record *record = gn_result_add_record(x->result);
  struct gn_result *r = x->result;
  record->status = o->status;
  record->elapsed = x->took;
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
  if (*v.code)
    snprintf(record->code, sizeof record->code, "%s", v.code);
  if (v.kind == GN_OK) {
    succeed(x);
    return;
  }
  if (v.kind == GN_UNAUTHENTICATED && gn_exchange_renew_token(x, record))
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
  record->elapsed = x->took;
  snprintf(record->why, sizeof record->why, "%s", why);
  gn_exchange_send_later(x, 0);
}

void gn_exchange_refuse(struct gn_exchange *x, const struct gn_error *err) {
  struct gn_record *record = gn_result_add_record(x->result);
  struct gn_attempt *a = gn_exchange_off_wire(x);
  if (a)
    gn_engine_attempt_give(x->engine, a);
  x->result->status = 0;
  x->result->error = *err;
  snprintf(record->code, sizeof record->code, "%s", err->code);
  snprintf(record->why, sizeof record->why, GN_WHY_FINAL);
  gn_exchange_end(x);
}

/* The exchange may be gone after this. */
static void settle(struct gn_exchange *x, const struct gn_attempt *a,
                   struct gn_outcome *o) {
  struct gn_error err;
  int followed = o->curl_code == CURLE_OK ? gn_redirect_follow(x, &err) : 0;
  if (followed == 1) {
    send_elsewhere(x, o, GN_WHY_REDIRECT);
  } else if (x->file && gn_download_restarts(x->file, o->status)) {
    send_elsewhere(x, o, GN_WHY_RESTART);
  } else if (followed == -1) {
    struct gn_record *record = gn_result_add_record(x->result);
    record->status = o->status;
    record->elapsed = x->took;
    snprintf(record->why, sizeof record->why, GN_WHY_FINAL);
    x->result->error = err;
    gn_exchange_end(x);
  } else {
    judge(x, a, o);
  }
}

void gn_exchange_completed(struct gn_exchange *x, CURLcode rc) {
  struct gn_engine *e = x->engine;
  struct gn_attempt *a = x->attempt;
  struct gn_counters *counters = gn_engine_counters(e);
  struct gn_outcome o;
  x->took = gn_now() - x->sent_at;
  gn_attempt_outcome(a, rc, &o);
  gn_counters_attempt(counters, o.status, x->took, a->connects);
  gn_counters_add(counters, GN_COUNT_RECEIVED, (int64_t)a->received);
  gn_relay_tell(x, (CURLcode)o.curl_code, o.status);
  x->result->status = o.status;
  if (gn_rows_begun(x->rows))
    x->deadline = GN_NEVER;
  gn_exchange_off_wire(x);
  gn_pace_heed(x, &o, a->marks);
  settle(x, a, &o);
  gn_engine_attempt_give(e, a);
}
