/* Owns: the order of timers. Must not: allocate.
 */
#include "timer.h"

#include "clock.h"

void gn_timer_clear(struct gn_timers *l, struct gn_timer *t) {
  if (!t->set)
    return;
  if (t->prev)
    t->prev->next = t->next;
  else
    l->first = t->next;
  if (t->next)
    t->next->prev = t->prev;
  else
    l->last = t->prev;
  if (l->recent == t)
    l->recent = t->prev;
  t->prev = t->next = NULL;
  t->set = false;
}

/* The last one that is due no later than `when`, sought from both ends: what is
 * due now stands in front of all deadlines, a new deadline behind them. Of many
 * that are due now each belongs behind the one before it. */
static struct gn_timer *last_before(const struct gn_timers *l, int64_t when) {
  struct gn_timer *late = l->last, *early = l->first;
  if (l->recent && l->recent->when <= when)
    early = l->recent;
  while (late && late->when > when) {
    if (early->when > when)
      return early->prev;
    early = early->next;
    late = late->prev;
  }
  return late;
}

void gn_timer_set(struct gn_timers *l, struct gn_timer *t, int64_t when) {
  struct gn_timer *before;
  gn_timer_clear(l, t);
  t->when = when;
  t->set = true;
  before = last_before(l, when);
  t->prev = before;
  t->next = before ? before->next : l->first;
  if (t->next)
    t->next->prev = t;
  else
    l->last = t;
  if (before)
    before->next = t;
  else
    l->first = t;
  l->recent = t;
}

int64_t gn_timer_next(const struct gn_timers *l) {
  return l->first ? l->first->when : GN_NEVER;
}

size_t gn_timer_run(struct gn_timers *l, int64_t now) {
  size_t fired = 0;
  while (l->first && l->first->when <= now) {
    struct gn_timer *t = l->first;
    gn_timer_clear(l, t);
    t->fire(t);
    fired++;
  }
  return fired;
}
