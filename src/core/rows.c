/* Owns: when a batch is posted, when the transfer rests and when it goes on.
 * Must not: tell libcurl to rest or go on from inside of its callbacks.
 */
#include "rows.h"

#include "alloc.h"
#include "clock.h"
#include "engine.h"
#include "exchange.h"

#define BATCH 65536 /* bytes of rows that are worth an event at once */
#define HELD (2 * BATCH) /* bytes of rows that may wait without credit */
/* Bytes after which the step has its turn. libcurl by itself reads on as long
 * as something comes, and nobody else would be heard meanwhile. */
#define BURST (4 * BATCH)
#define CREDITS_THREADED 4
/* The caller is on the engine's own thread: what comes meanwhile would only lie
 * there, and a slow caller would look like a server that stalls. */
#define CREDITS_INLINE 1
#define EXCERPT 512 /* of a body that turns out to be no JSON */
#define SHORT_OF_MEMORY_MS 10

unsigned gn_rows_credits(const struct gn_engine *e) {
  return gn_engine_is_threaded(e) ? CREDITS_THREADED : CREDITS_INLINE;
}

static struct gn_timers *timers(const struct gn_rows *r) {
  return gn_engine_timers(r->exchange->engine);
}

static bool on_wire(const struct gn_rows *r) {
  const struct gn_attempt *a = r->exchange->attempt;
  return a && a->live;
}

/* Whoever answers in the network's place brings all at once, and cannot be held
 * up. */
static bool may_post(struct gn_rows *r) {
  if (!r->credit && on_wire(r))
    r->credit = gn_work_take_credit(r->exchange->work);
  return r->credit || !on_wire(r);
}

static int post(struct gn_rows *r, struct gn_error *err) {
  struct gn_batch *batch;
  if (gn_json_split_take(r->split, &batch, err) != 0)
    return -1;
  if (!batch)
    return 0;
  if (gn_work_post_rows(r->exchange->work, batch) != 0)
    return gn_error_memory(err);
  if (!r->given)
    gn_sink_begin(r->exchange->result->body, err); /* it is JSON so far */
  r->given = true;
  r->credit = false;
  return 0;
}

/* As soon as libcurl is done with what it has. */
static void look_soon(struct gn_rows *r, int64_t ms) {
  gn_timer_set(timers(r), &r->timer, gn_now_ms() + ms);
}

static void keep_excerpt(struct gn_rows *r, const char *data, size_t len) {
  struct gn_sink *body = r->exchange->result->body;
  size_t have = gn_sink_size(body);
  struct gn_error err;
  if (!r->given && have < EXCERPT)
    gn_sink_write(body, data, len < EXCERPT - have ? len : EXCERPT - have,
                  &err);
}

static int take(void *owner, const char *data, size_t len,
                struct gn_error *err) {
  struct gn_rows *r = owner;
  gn_attempt_copy(r->exchange->attempt, data, len);
  keep_excerpt(r, data, len);
  r->burst += len;
  while (len > 0) {
    size_t n = len < BATCH ? len : BATCH;
    if (gn_json_split_feed(r->split, data, n, err) != 0 ||
        (gn_json_split_ready(r->split) >= BATCH && may_post(r) &&
         post(r, err) != 0))
      return -1;
    data += n;
    len -= n;
  }
  look_soon(r, 0);
  return 0;
}

static void rest(struct gn_rows *r) {
  if (on_wire(r) && !r->resting)
    r->resting = curl_easy_pause(r->exchange->attempt->setup.easy,
                                 CURLPAUSE_RECV) == CURLE_OK;
}

/* What libcurl kept comes at once, and may end the exchange. */
static void go_on(struct gn_rows *r) {
  struct gn_exchange *x = r->exchange;
  CURLcode rc;
  r->resting = false;
  rc = curl_easy_pause(x->attempt->setup.easy, CURLPAUSE_CONT);
  /* That it has nothing to go on with is said when the step looks. */
  if (rc != CURLE_OK && rc != CURLE_BAD_FUNCTION_ARGUMENT)
    gn_exchange_completed(x, rc);
}

/* The transfer goes on only as long as what it brings can be posted. */
static void look(struct gn_rows *r) {
  struct gn_error err;
  r->burst = 0;
  if (may_post(r) && post(r, &err) != 0)
    look_soon(r, SHORT_OF_MEMORY_MS);
  if (!may_post(r))
    rest(r);
  else if (r->resting && on_wire(r))
    go_on(r);
}

static void on_timer(struct gn_timer *t) {
  look(t->owner);
}

void gn_rows_advance(struct gn_rows *r) {
  /* Between two attempts the credit is kept for the next one. */
  if (!r->credit)
    r->credit = gn_work_take_credit(r->exchange->work);
  if (on_wire(r))
    look(r);
}

struct gn_rows *gn_rows_new(struct gn_exchange *x, struct gn_error *err) {
  struct gn_rows *r = gn_alloc_zero(sizeof *r);
  if (!r) {
    gn_error_memory(err);
    return NULL;
  }
  r->exchange = x;
  r->timer.fire = on_timer;
  r->timer.owner = r;
  r->split = gn_json_split_new(x->request->rows, x->request->max_body
                                                     ? x->request->max_body
                                                     : x->policy->max_body,
                               err);
  r->sink = r->split ? gn_sink_new_taker(take, r, err) : NULL;
  if (!r->sink) {
    gn_rows_free(r);
    return NULL;
  }
  return r;
}

void gn_rows_reset(struct gn_rows *r) {
  gn_timer_clear(timers(r), &r->timer);
  gn_json_split_reset(r->split);
  r->begun = r->resting = false;
  r->burst = 0;
}

struct gn_sink *gn_rows_begin(struct gn_rows *r) {
  r->begun = true;
  return r->sink;
}

bool gn_rows_begun(const struct gn_rows *r) {
  return r && r->begun;
}

bool gn_rows_given(const struct gn_rows *r) {
  return r && r->given;
}

bool gn_rows_hold(struct gn_rows *r) {
  if (r->burst < BURST &&
      (gn_json_split_ready(r->split) < HELD || may_post(r)))
    return false;
  r->resting = true;
  return true;
}

int gn_rows_end(struct gn_rows *r, struct gn_error *err) {
  return gn_json_split_end(r->split, err);
}

int gn_rows_finish(struct gn_rows *r, struct gn_error *err) {
  gn_timer_clear(timers(r), &r->timer);
  return post(r, err);
}

void gn_rows_free(struct gn_rows *r) {
  if (!r)
    return;
  gn_timer_clear(timers(r), &r->timer);
  gn_json_split_free(r->split);
  gn_sink_free(r->sink);
  gn_free(r);
}
