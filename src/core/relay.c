/* Owns: the list of exchanges that wait for an answer, the queue of answers,
 * and copying an attempt for the waiter. Must not: let a copy that fails for
 * want of memory end the exchange, but for a request that only the waiter can
 * answer.
 */
#include "relay.h"

#include "alloc.h"
#include "clock.h"
#include "engine_state.h"

#include <stdio.h>
#include <string.h>

#define LARGEST_SUPPLY ((size_t)1 << 30)

struct gn_supply *gn_supply_new(uint64_t serial) {
  struct gn_supply *s = gn_alloc_zero(sizeof *s);
  if (s) {
    s->serial = serial;
    gn_buf_init(&s->headers, LARGEST_SUPPLY);
    gn_buf_init(&s->body, LARGEST_SUPPLY);
  }
  return s;
}

void gn_supply_free(struct gn_supply *s) {
  if (!s)
    return;
  gn_buf_free(&s->headers);
  gn_buf_free(&s->body);
  gn_free(s);
}

void gn_engine_supply(struct gn_engine *e, struct gn_supply *s) {
  bool open = false;
  if (!gn_engine_is_foreign(e)) {
    gn_engine_lock(e);
    open = !e->stopping;
    if (open) {
      if (e->supplies_tail)
        e->supplies_tail->next = s;
      else
        e->supplies = s;
      e->supplies_tail = s;
      gn_engine_wake(e);
    }
    gn_engine_unlock(e);
  }
  if (!open)
    gn_supply_free(s);
}

static struct gn_supply *next_supply(struct gn_engine *e) {
  struct gn_supply *s;
  gn_engine_lock(e);
  s = e->supplies;
  if (s) {
    e->supplies = s->next;
    if (!e->supplies)
      e->supplies_tail = NULL;
  }
  gn_engine_unlock(e);
  return s;
}

static void deliver(struct gn_exchange *x, const struct gn_supply *s) {
  CURLcode rc;
  if (s->error.kind != GN_OK) {
    gn_exchange_refuse(x, &s->error);
    return;
  }
  snprintf(x->attempt->text, sizeof x->attempt->text, "%s", s->text);
  rc = gn_attempt_feed(x->attempt, s->status, s->headers.data,
                       s->headers.len, s->body.data, s->body.len);
  gn_exchange_completed(x, rc == CURLE_OK ? (CURLcode)s->curl_code : rc);
}

void gn_relay_run(struct gn_engine *e) {
  struct gn_supply *s;
  while ((s = next_supply(e))) {
    struct gn_exchange *x = e->asked;
    while (x && x->asked != s->serial)
      x = x->next_asked;
    if (x)
      deliver(x, s);
    gn_supply_free(s);
  }
}

void gn_relay_drop(struct gn_engine *e) {
  struct gn_supply *s;
  while ((s = next_supply(e)))
    gn_supply_free(s);
}

void gn_relay_forget(struct gn_exchange *x) {
  struct gn_exchange **link = &x->engine->asked;
  if (!x->asked)
    return;
  while (*link != x)
    link = &(*link)->next_asked;
  *link = x->next_asked;
  x->asked = 0;
  gn_timer_clear(gn_engine_timers(x->engine), &x->timer);
}

/* The lines that only tell libcurl what not to add are nobody's business. */
static bool is_real(const char *line) {
  const char *colon = strchr(line, ':');
  return !colon || colon[1] != '\0';
}

static struct gn_traffic *make(struct gn_exchange *x, bool bodies) {
  const char *url = x->url ? x->url : x->request->url;
  struct gn_traffic *t = gn_traffic_new(x->request, url, bodies);
  const struct gn_attempt *a = x->attempt;
  size_t i;
  if (!t)
    return NULL;
  t->attempt = x->sends;
  t->server_url = x->request->download || x->request->server_url || x->url;
  for (i = 0; a && i < a->lines.told; i++) {
    const char *line = gn_lines_at(&a->lines, i);
    if (is_real(line) &&
        gn_traffic_add_line(t, line, i == 0 && a->has_credential) != 0) {
      gn_traffic_free(t);
      return NULL;
    }
  }
  return t;
}

int gn_relay_ask(struct gn_exchange *x, const struct gn_attempt_plan *plan,
                 struct gn_error *err) {
  struct gn_engine *e = x->engine;
  struct gn_traffic *t;
  if (!x->work)
    return gn_error_set(err, GN_TRANSPORT, "transport",
                        "nobody is there to answer this request");
  if (gn_attempt_stage(x->attempt, plan, err) != 0)
    return -1;
  t = make(x, true);
  if (t)
    t->serial = ++e->next_asked;
  if (gn_work_post_traffic(x->work, GN_EVENT_REQUEST, t) != 0)
    return gn_error_memory(err);
  x->asked = e->next_asked;
  x->next_asked = e->asked;
  e->asked = x;
  if (plan->timeout_ms > 0)
    gn_timer_set(gn_engine_timers(e), &x->timer,
                 gn_now_ms() + plan->timeout_ms);
  return 0;
}

static int add_response(struct gn_traffic *t, struct gn_exchange *x,
                        bool body) {
  const struct gn_attempt *a = x->attempt;
  const struct gn_buf *headers = &x->result->headers;
  const char *data = a->copy.data;
  size_t len = a->copy.len;
  if (!a->to_file && !gn_rows_begun(a->rows))
    data = gn_result_body(x->result, &len);
  t->cut = a->copy_cut;
  t->raw = a->to_file;
  if (gn_buf_append(&t->headers, headers->data, headers->len) != GN_BUF_OK)
    return -1;
  return body && len
             ? gn_buf_append(&t->response, data, len) == GN_BUF_OK ? 0 : -1
             : 0;
}

static struct gn_traffic *answered(struct gn_exchange *x, CURLcode rc,
                                   long status, bool bodies) {
  struct gn_traffic *t = make(x, bodies);
  if (!t)
    return NULL;
  t->answered = true;
  t->status = status;
  t->curl_code = (int)rc;
  t->elapsed = x->took;
  if (rc != CURLE_OK)
    snprintf(t->text, sizeof t->text, "%s",
             *x->attempt->text ? x->attempt->text : curl_easy_strerror(rc));
  if (add_response(t, x, bodies) != 0) {
    gn_traffic_free(t);
    return NULL;
  }
  return t;
}

void gn_relay_tell(struct gn_exchange *x, CURLcode rc, long status) {
  if (!x->work)
    return;
  if (x->policy->record)
    gn_work_post_traffic(x->work, GN_EVENT_RECORD,
                         answered(x, rc, status, true));
  if (x->policy->log >= 2) {
    struct gn_traffic *t = answered(x, rc, status, false);
    if (t)
      t->name = "attempt";
    gn_work_post_traffic(x->work, GN_EVENT_LOG, t);
  }
}

void gn_relay_log_wait(struct gn_exchange *x, const char *name,
                       const struct gn_record *record, double seconds) {
  struct gn_traffic *t;
  if (!x->work || x->policy->log < 1)
    return;
  t = make(x, false);
  if (t) {
    t->name = name;
    t->waited = seconds;
    if (record) {
      t->attempt = x->sends - 1; /* the next one is counted already */
      t->answered = true;
      t->status = record->status;
      t->elapsed = record->elapsed;
      snprintf(t->code, sizeof t->code, "%s", record->code);
    }
  }
  gn_work_post_traffic(x->work, GN_EVENT_LOG, t);
}
