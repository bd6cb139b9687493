/* Owns: one GCRA word per credential: who may send when, so that a documented
 * rate is kept without a queue; slots given back; and the pause that a server
 * asked all of a client for.
 * Must not: wait; it hands out instants, the exchange waits for its own.
 */
#ifndef GN_LIMITER_H
#define GN_LIMITER_H

#include <stdbool.h>
#include <stddef.h>

struct gn_limiter {
  double interval;       /* seconds between requests; 0: off */
  double slack;          /* seconds that the arrival may run ahead */
  double arrival;        /* theoretical arrival of the next request, seconds */
  double pause;          /* nothing leaves before this instant */
  double *freed;         /* slots that were given back, earliest first */
  size_t freed_count;    /* how many */
  size_t freed_capacity; /* how many have room */
};

#define GN_NO_SLOT (-1.0)

/* rate: requests per second, 0 or less switches the limiter off;
 * burst: how many may leave at once, at least 1. */
void gn_limiter_init(struct gn_limiter *l, double rate, double burst);
void gn_limiter_destroy(struct gn_limiter *l);
/* In a child of fork: the slots given back are neither used nor freed. */
void gn_limiter_forget(struct gn_limiter *l);
/* Takes the next slot; returns the seconds to wait until it, 0 for now. *slot
 * is what gn_limiter_release takes, GN_NO_SLOT if there is nothing to give. */
double gn_limiter_reserve(struct gn_limiter *l, double now, double *slot);
/* A slot that nobody will use. Where memory ran out it is lost: the rate is
 * kept, only not used up. */
void gn_limiter_release(struct gn_limiter *l, double slot);
/* Nothing leaves before `until`, what leaves then does so at the rate, not as
 * one burst. A shorter pause changes nothing. */
void gn_limiter_pause(struct gn_limiter *l, double until);
bool gn_limiter_paused(const struct gn_limiter *l, double now);

#endif
