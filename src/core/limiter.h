/* Owns: one GCRA word per credential: who may send when, so that a documented
 * rate is kept without a queue.
 * Must not: wait; it hands out instants, the exchange waits for its own.
 */
#ifndef GN_LIMITER_H
#define GN_LIMITER_H

struct gn_limiter {
  double interval; /* seconds between requests at the sustained rate; 0: off */
  double slack;    /* seconds that the theoretical arrival may run ahead */
  double arrival;  /* theoretical arrival time of the next request, seconds */
};

/* rate: requests per second, 0 or less switches the limiter off;
 * burst: how many may leave at once, at least 1. */
void gn_limiter_init(struct gn_limiter *l, double rate, double burst);
/* Takes the next slot; returns the seconds to wait until it, 0 for now. */
double gn_limiter_reserve(struct gn_limiter *l, double now);

#endif
