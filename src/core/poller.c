/* Owns: the rounds of one poll: each asks for all that has not ended, in
 * batches, a few at a time. Must not: end early because of a failure that may
 * pass; the deadline ends it then.
 */
#include "poller.h"

#include "alloc.h"
#include "clock.h"
#include "exchange.h"
#include "poll_round.h"

#include <stdio.h>
#include <string.h>

#define REQUESTS_AT_ONCE 8
/* Whatever the rules say, a server is not asked in a tight loop. */
#define SHORTEST_WAIT 0.01
/* So many rounds in a row with an answer that nobody can read are no accident
 * of a proxy on the way. */
#define UNREADABLE_ROUNDS 3

struct query {
  struct poller *poller;         /* whose it is */
  struct gn_exchange *exchange;  /* the request, or NULL */
  struct gn_poll_batch asked;    /* what it asks for */
  size_t next;                   /* whose element is expected next */
};

struct poller {
  struct gn_work work;             /* first, so that one is the other */
  struct gn_request *request;      /* the template */
  struct gn_poller_rules *rules;   /* owned */
  struct query queries[REQUESTS_AT_ONCE]; /* those on their way */
  struct gn_poll_round round;      /* what is asked for together */
  size_t in_flight;                /* how many queries are on their way */
  size_t finished;                 /* items that ended */
  unsigned polls;                  /* requests made */
  double wait;                     /* seconds before the next round */
  int64_t not_before;              /* monotonic ms: the server asked for it */
  double started;                  /* monotonic seconds */
  struct gn_timer timer;           /* the next round, or the deadline */
  int64_t deadline;                /* monotonic milliseconds */
  struct gn_result *failure;       /* of the last look, if that failed */
  bool unreadable;                 /* an answer of this round was */
  unsigned unreadable_rounds;      /* so many in a row */
  bool ending;                     /* no further queries */
};

static void drop_queries(struct poller *p) {
  size_t i;
  p->ending = true;
  for (i = 0; i < REQUESTS_AT_ONCE; i++) {
    struct gn_exchange *x = p->queries[i].exchange;
    p->queries[i].exchange = NULL;
    if (x)
      gn_exchange_cancel(x, "the poll ended");
    gn_exchange_free(x);
  }
  p->in_flight = 0;
  gn_timer_clear(gn_engine_timers(p->work.engine), &p->timer);
}

static void fail(struct poller *p, struct gn_result *result,
                 const struct gn_error *err) {
  drop_queries(p);
  gn_work_fail(&p->work, result, err);
}

static int post(struct poller *p, enum gn_event_type type,
                const struct gn_poll_item *item, const char *state,
                const char *text, size_t len) {
  struct gn_result *result = gn_result_new();
  struct gn_error err;
  if (!result)
    return -1;
  result->id = gn_strdup(item->id);
  snprintf(result->state, sizeof result->state, "%s", state);
  result->body = gn_sink_new_memory(len + 1, &err);
  if (!result->id || !result->body ||
      gn_sink_begin(result->body, &err) != 0 ||
      gn_sink_write(result->body, text, len, &err) != 0) {
    gn_result_free(result);
    return -1;
  }
  return gn_work_post(&p->work, type, result);
}

/* What is known of those that did not end. */
static int post_unfinished(struct poller *p) {
  size_t i;
  for (i = 0; i < p->rules->item_count; i++) {
    const struct gn_poll_item *item = &p->rules->items[i];
    if (!item->finished &&
        post(p, GN_EVENT_REPORT, item, *item->state ? item->state : "unknown",
             item->last ? item->last : "null",
             item->last ? item->last_len : 4) != 0)
      return -1;
  }
  return 0;
}

static void end_by_deadline(struct poller *p) {
  struct gn_result *failure = p->failure;
  struct gn_error err;
  gn_error_clear(&err);
  gn_error_set(&err, GN_TIMEOUT, "job",
               "%zu of %zu reports did not end within %.0f s%s%s",
               p->rules->item_count - p->finished, p->rules->item_count,
               p->rules->timeout,
               failure ? "; the last look failed: " : "",
               failure ? failure->error.message : "");
  if (post_unfinished(p) != 0)
    gn_error_memory(&err);
  p->failure = NULL;
  fail(p, failure, &err);
}

/* One look was all that was wanted. */
static void end_by_look(struct poller *p) {
  struct gn_error err;
  if (post_unfinished(p) != 0) {
    gn_error_memory(&err);
    fail(p, NULL, &err);
    return;
  }
  drop_queries(p);
  gn_work_finish(&p->work, NULL);
}

static void end_unreadable(struct poller *p) {
  struct gn_result *failure = p->failure;
  struct gn_error err = failure->error;
  p->failure = NULL;
  fail(p, failure, &err);
}

static void next_round(struct poller *p);

static void on_timer(struct gn_timer *t) {
  struct poller *p = t->owner;
  if (gn_now_ms() >= p->deadline)
    end_by_deadline(p);
  else
    next_round(p);
}

static void wake_at(struct poller *p, int64_t when) {
  gn_timer_set(gn_engine_timers(p->work.engine), &p->timer,
               when < p->deadline ? when : p->deadline);
}

static void end_round(struct poller *p) {
  const struct gn_poller_rules *rules = p->rules;
  double jitter = gn_random_next(gn_engine_random(p->work.engine));
  int64_t when;
  if (p->finished == rules->item_count || (rules->once && p->polls > 0)) {
    end_by_look(p);
    return;
  }
  p->unreadable_rounds = p->unreadable ? p->unreadable_rounds + 1 : 0;
  p->unreadable = false;
  if (p->unreadable_rounds == UNREADABLE_ROUNDS) {
    end_unreadable(p);
    return;
  }
  when = gn_now_ms() + (int64_t)(p->wait * (0.8 + 0.2 * jitter) * 1000);
  wake_at(p, when > p->not_before ? when : p->not_before);
  p->wait = p->wait > 0 ? p->wait * rules->factor : 1;
  if (p->wait > rules->cap)
    p->wait = rules->cap;
  if (p->wait < SHORTEST_WAIT)
    p->wait = SHORTEST_WAIT;
}

/* An exchange gives up where Retry-After passes max_wait; a poll has the time,
 * up to its own deadline. */
static void heed_retry_after(struct poller *p, const struct gn_result *result) {
  int64_t left = p->deadline - gn_now_ms();
  int64_t wait = result->retry_after < (double)left / 1000
                     ? (int64_t)(result->retry_after * 1000) + 1 : left;
  if (result->retry_after > 0 && gn_now_ms() + wait > p->not_before)
    p->not_before = gn_now_ms() + wait;
}

/* What one element says of one item. */
static int judge(struct poller *p, struct gn_poll_item *item,
                 const struct gn_json_slice *element,
                 const struct gn_json_slice *status,
                 const struct gn_json_slice *uri) {
  const char *state = gn_poll_state(p->rules, status, uri);
  bool odd;
  item->alone = false;
  if (gn_poll_ended(state)) {
    item->finished = true;
    p->finished++;
    return post(p, GN_EVENT_REPORT, item, state, element->text, element->len);
  }
  if (gn_poll_item_keep(item, state, element, status, &odd) != 0)
    return -1;
  return odd ? post(p, GN_EVENT_NOTICE, item, state, element->text,
                    element->len) : 0;
}

/* Most servers answer in the order in which they are asked. */
static struct gn_poll_item *find(struct poller *p, struct query *q,
                                 const struct gn_json_slice *id) {
  size_t i, at = q->next;
  for (i = 0; i < q->asked.count; i++, at++) {
    struct gn_poll_item *item;
    at = at < q->asked.count ? at : 0;
    item = &p->rules->items[q->asked.items[at]];
    if (!item->finished && gn_json_equals(id, item->id)) {
      q->next = at + 1;
      return item;
    }
  }
  return NULL;
}

/* The item that an element is about, by its id. Where only one was asked for,
 * an answer may do without; one about another is none. */
static int item_of(struct poller *p, struct query *q,
                   const struct gn_json_slice *id, struct gn_poll_item **item,
                   struct gn_error *err) {
  *item = find(p, q, id);
  if (*item || !gn_poller_rules_single(p->rules))
    return 0;
  if (id->type != GN_JSON_ABSENT && id->type != GN_JSON_NULL)
    return gn_error_set(err, GN_PROTOCOL, "id",
                        "the answer is about another job than the one asked "
                        "for");
  *item = &p->rules->items[q->asked.items[0]];
  return 0;
}

static int read_element(struct poller *p, struct query *q,
                        const struct gn_json_slice *element,
                        struct gn_error *err) {
  const char *paths[3];
  struct gn_json_slice found[3];
  struct gn_poll_item *item;
  paths[0] = p->rules->status;
  paths[1] = p->rules->uri ? p->rules->uri : p->rules->status;
  paths[2] = p->rules->id;
  if (gn_json_pick(element->text, element->len, paths, 3, found, err) != 0 ||
      item_of(p, q, &found[2], &item, err) != 0)
    return -1;
  if (!item || item->finished)
    return 0;
  if (judge(p, item, element, &found[0], &found[1]) != 0)
    return gn_error_memory(err);
  return 0;
}

static int read_answer(struct poller *p, struct query *q,
                       const struct gn_result *result, struct gn_error *err) {
  bool single = gn_poller_rules_single(p->rules);
  const char *path = single ? "" : p->rules->list;
  struct gn_json_slice list, element;
  size_t len, pos = 0;
  const char *body = gn_result_body(result, &len);
  if (gn_json_pick(body, len, &path, 1, &list, err) != 0)
    return -1;
  if (single) {
    if (list.type != GN_JSON_OBJECT)
      return gn_error_set(err, GN_PROTOCOL, "shape",
                          "a job's state is not a JSON object");
    return read_element(p, q, &list, err);
  }
  if (list.type != GN_JSON_ARRAY)
    return gn_error_set(err, GN_PROTOCOL, "shape",
                        "the answer has no list '%s'", path);
  while (gn_json_array_next(&list, &pos, &element))
    if (read_element(p, q, &element, err) != 0)
      return -1;
  return 0;
}

/* True if asking again later may help. */
static bool may_pass(const struct gn_error *e) {
  return e->kind == GN_TIMEOUT || e->kind == GN_SERVER ||
         e->kind == GN_THROTTLED ||
         (e->kind == GN_TRANSPORT && strcmp(e->code, "tls") != 0 &&
          strcmp(e->code, "proxy") != 0) ||
         (e->kind == GN_PROTOCOL && strcmp(e->code, "incomplete") == 0);
}

/* 404 says nothing about which id of a batch is meant: its halves are asked
 * for until the culprit is, by itself. */
static int not_found(struct poller *p, const struct query *q) {
  struct gn_poll_item *item = &p->rules->items[q->asked.items[0]];
  double age = gn_now() - p->started;
  if (q->asked.count > 1) {
    gn_poll_round_split(&p->round, &q->asked);
    return 0;
  }
  item->alone = true;
  if (age < p->rules->grace && age < p->rules->timeout / 2)
    return 0;
  item->finished = true;
  p->finished++;
  return post(p, GN_EVENT_REPORT, item, "not_found", "null", 4);
}

/* Takes the result. True if the poll goes on: the failure may pass. */
static bool survives(struct poller *p, struct gn_result *result,
                     const struct gn_error *err, bool unreadable) {
  if (p->rules->once || !(unreadable || may_pass(err)))
    return false;
  p->unreadable = p->unreadable || unreadable;
  heed_retry_after(p, result);
  gn_result_free(p->failure);
  p->failure = result;
  p->failure->error = *err;
  return true;
}

static void fill_round(struct poller *p);

static void on_answer(struct gn_exchange *x) {
  struct query *q = x->owner;
  struct poller *p = q->poller;
  struct gn_result *result;
  struct gn_error err;
  bool answered;
  if (p->ending)
    return;
  result = gn_exchange_take_result(x);
  gn_exchange_free(x);
  q->exchange = NULL;
  p->in_flight--;
  err = result->error;
  answered = err.kind == GN_OK;
  if (answered)
    read_answer(p, q, result, &err);
  else if (err.kind == GN_NOT_FOUND)
    err.kind = not_found(p, q) == 0 ? GN_OK : GN_MEMORY;
  if (err.kind == GN_OK) {
    if (answered && !p->unreadable) {
      gn_result_free(p->failure);
      p->failure = NULL;
    }
    gn_result_free(result);
  } else if (!survives(p, result, &err,
                       answered && err.kind == GN_PROTOCOL)) {
    fail(p, result, &err);
    return;
  }
  fill_round(p);
}

static int body_of(struct poller *p, const struct query *q,
                   struct gn_request *r, struct gn_error *err) {
  struct gn_buf body;
  enum gn_buf_status status;
  size_t i;
  int rc;
  gn_buf_init(&body, p->work.policy->max_body);
  status = gn_buf_append_text(&body, p->rules->prefix);
  for (i = 0; i < q->asked.count && status == GN_BUF_OK; i++) {
    if (i > 0)
      status = gn_buf_append_text(&body, ",");
    if (status == GN_BUF_OK)
      status = gn_buf_append_text(&body,
                                  p->rules->items[q->asked.items[i]].fragment);
  }
  if (status == GN_BUF_OK)
    status = gn_buf_append_text(&body, p->rules->suffix);
  rc = status == GN_BUF_OK ? gn_request_set_body(r, body.data, body.len, err)
                           : gn_error_memory(err);
  gn_buf_free(&body);
  return rc;
}

static int ask(struct poller *p, struct query *q, struct gn_error *err) {
  struct gn_request *r = gn_request_copy(p->request, err);
  const struct gn_poll_item *item = &p->rules->items[q->asked.items[0]];
  char *url = NULL;
  int rc = -1;
  if (!r)
    return -1;
  if (p->rules->urls) {
    rc = gn_request_set_url(r, item->fragment, err);
  } else if (p->rules->query) {
    if (gn_url_with_query(r->url, p->rules->query, item->id,
                          strlen(item->id), &url, err) == 0)
      rc = gn_request_set_url(r, url, err);
    gn_free(url);
  } else {
    rc = body_of(p, q, r, err);
  }
  if (rc != 0) {
    gn_request_free(r);
    return -1;
  }
  q->exchange = gn_exchange_new(p->work.engine, r, p->work.policy, on_answer,
                                q, err);
  return q->exchange ? 0 : -1;
}

static void fill_round(struct poller *p) {
  struct gn_error err;
  size_t i;
  gn_error_clear(&err);
  for (i = 0; i < REQUESTS_AT_ONCE; i++) {
    struct query *q = &p->queries[i];
    if (q->exchange)
      continue;
    if (!gn_poll_round_next(&p->round, &q->asked))
      break;
    q->next = 0;
    if (ask(p, q, &err) != 0) {
      fail(p, NULL, &err);
      return;
    }
    p->in_flight++;
    p->polls++;
    gn_engine_count(p->work.engine, GN_COUNT_POLLS, 1);
    q->exchange->work = &p->work;
    gn_exchange_start(q->exchange);
  }
  if (p->in_flight > 0)
    return;
  if (gn_work_post_progress(&p->work,
                            (unsigned)(p->rules->item_count - p->finished),
                            (unsigned)p->finished, p->polls) != 0) {
    gn_error_memory(&err);
    fail(p, NULL, &err);
    return;
  }
  end_round(p);
}

static void next_round(struct poller *p) {
  gn_poll_round_begin(&p->round, p->rules);
  wake_at(p, p->deadline);
  fill_round(p);
}

static void poller_start(struct gn_work *w) {
  struct poller *p = (struct poller *)w;
  p->started = gn_now();
  p->deadline = gn_now_ms() + (int64_t)(p->rules->timeout * 1000);
  p->wait = p->rules->first;
  end_round(p);
}

static void poller_cancel(struct gn_work *w, const char *why) {
  struct gn_error err;
  gn_error_clear(&err);
  gn_error_set(&err, GN_CANCELLED, "cancelled", "%s", why);
  fail((struct poller *)w, NULL, &err);
}

static void poller_destroy(struct gn_work *w) {
  struct poller *p = (struct poller *)w;
  drop_queries(p);
  gn_request_free(p->request);
  gn_poller_rules_free(p->rules);
  gn_poll_round_free(&p->round);
  gn_result_free(p->failure);
  gn_work_release(w);
  gn_free(p);
}

static const struct gn_work_ops poller_ops = {
  poller_start, poller_cancel, NULL, poller_destroy,
};

struct gn_work *gn_poller_new(struct gn_engine *e, struct gn_mailbox *m,
                              struct gn_policy *p, struct gn_request *r,
                              struct gn_poller_rules *rules,
                              struct gn_error *err) {
  struct poller *w = gn_alloc_zero(sizeof *w);
  size_t i;
  if (!w || gn_poll_round_init(&w->round, rules->item_count) != 0 ||
      gn_work_init(&w->work, &poller_ops, e, m, p, true, err) != 0) {
    if (w)
      gn_poll_round_free(&w->round);
    gn_free(w);
    gn_request_free(r);
    gn_poller_rules_free(rules);
    gn_error_memory(err);
    return NULL;
  }
  for (i = 0; i < REQUESTS_AT_ONCE; i++)
    w->queries[i].poller = w;
  /* Answers are read, not kept: a file would outlive the query it is for. */
  gn_free(r->file);
  r->file = NULL;
  w->request = r;
  w->rules = rules;
  w->timer.fire = on_timer;
  w->timer.owner = w;
  return &w->work;
}
