/* Owns: one engine's timers, in the order they will fire. The links are in the
 * timers themselves, so that setting one cannot fail; new ones mostly belong
 * near an end, or behind the one set before, where the search for their place
 * begins.
 * Must not: read a clock or be used from two threads; the engine steps it.
 */
#ifndef GN_TIMER_H
#define GN_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gn_timer {
  int64_t when;                    /* monotonic milliseconds */
  bool set;                        /* is in the list */
  struct gn_timer *prev;           /* fires before this one */
  struct gn_timer *next;           /* fires after this one */
  void (*fire)(struct gn_timer *); /* called once, after it was taken out */
  void *owner;                     /* whose it is */
};

struct gn_timers {
  struct gn_timer *first; /* the next to fire */
  struct gn_timer *last;  /* the last to fire */
  struct gn_timer *recent; /* set not long ago, or NULL */
};

#define GN_AT_ONCE 0 /* when: before all that have a time */

void gn_timer_set(struct gn_timers *l, struct gn_timer *t, int64_t when);
void gn_timer_clear(struct gn_timers *l, struct gn_timer *t);
/* The next instant, GN_NEVER if no timer is set. */
int64_t gn_timer_next(const struct gn_timers *l);
/* Fires what is due; returns how many. */
size_t gn_timer_run(struct gn_timers *l, int64_t now);

#endif
