/* Owns: an exchange's dealings with its client's limiter. Must not: keep a slot
 * that is not used.
 */
#include "pace.h"

#include "clock.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void gn_pace_give_back(struct gn_exchange *x) {
  gn_rate_release(x->policy->rate, &x->place);
}

/* The slot is taken only when the attempt could leave: one reserved ahead,
 * behind a long wait, would hold up everybody who comes before it; one that a
 * pause has overtaken is taken anew behind it. A file's host is not the one
 * whose rate is known. */
double gn_pace_wait(struct gn_exchange *x, double now) {
  double wait;
  struct gn_rate *rate = x->policy->rate;
  if (x->request->download ||
      (x->place.taken && !gn_rate_missed(rate, now, &x->place) &&
       (!gn_rate_paused(rate, now) ||
        x->paused >= x->policy->retry.max_wait)))
    return 0;
  wait = gn_rate_reserve(rate, now, &x->place);
  if (wait > 0 && gn_rate_paused(rate, now))
    x->paused += wait;
  return wait;
}

void gn_pace_waits_for(struct gn_exchange *x, enum gn_count what) {
  gn_pace_wait_ends(x);
  x->waits_for = what;
  gn_engine_count(x->engine, what, 1);
}

void gn_pace_wait_ends(struct gn_exchange *x) {
  if (x->waits_for)
    gn_engine_count(x->engine, x->waits_for, -1);
  x->waits_for = 0;
}

/* Waits that follow each other are told as one. */
void gn_pace_record(struct gn_exchange *x, const char *why, double wait) {
  struct gn_result *r = x->result;
  struct gn_record *last = r->record_count > 0
                               ? &r->records[r->record_count - 1] : NULL;
  gn_engine_count(x->engine, GN_COUNT_THROTTLED_MS, (int64_t)(wait * 1000));
  if (!last || last->elapsed >= 0 || strcmp(last->why, why) != 0) {
    last = gn_result_add_record(r);
    last->elapsed = -1;
    snprintf(last->why, sizeof last->why, "%s", why);
  }
  last->waited += wait;
}

double gn_pace_left(const struct gn_exchange *x) {
  if (x->deadline == GN_NEVER)
    return HUGE_VAL;
  return (double)(x->deadline - gn_now_ms()) / 1000;
}

void gn_pace_heed(struct gn_exchange *x, const struct gn_outcome *o,
                  unsigned marks) {
  if (!x->request->download && o->curl_code == 0)
    gn_policy_heed(x->policy, &x->result->headers, marks);
}

void gn_pace_heed_throttling(struct gn_exchange *x, const struct gn_outcome *o,
                             const struct gn_verdict *v) {
  /* A longer one fails the request at once; the next one may ask again. */
  if (!x->request->download && v->throttled && o->retry_after > 0 &&
      o->retry_after <= x->policy->retry.max_wait)
    gn_policy_pause(x->policy, gn_now(), o->retry_after);
}
