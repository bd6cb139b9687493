/* Owns: when an exchange's next attempt may leave, as far as the client's rate
 * decides it: its slot, the pauses that servers ask for, the record of both.
 * Must not: send, or set timers; the exchange does.
 */
#ifndef GN_PACE_H
#define GN_PACE_H

#include "exchange.h"

/* Seconds until the rate lets the next attempt leave, 0: now. */
double gn_pace_wait(struct gn_exchange *x, double now);
/* A request that never left does not count. */
void gn_pace_give_back(struct gn_exchange *x);
/* A wait that is no attempt, or that there was no time for one. */
void gn_pace_record(struct gn_exchange *x, const char *why, double wait);
/* The gauge that counts it until its wait ends, or another one begins. */
void gn_pace_waits_for(struct gn_exchange *x, enum gn_count what);
void gn_pace_wait_ends(struct gn_exchange *x);
/* Seconds until the deadline, HUGE_VAL without one. */
double gn_pace_left(const struct gn_exchange *x);
/* What a server says about the rate is for the whole client. marks: of its
 * header lines (see head.h). */
void gn_pace_heed(struct gn_exchange *x, const struct gn_outcome *o,
                  unsigned marks);
void gn_pace_heed_throttling(struct gn_exchange *x, const struct gn_outcome *o,
                             const struct gn_verdict *v);

#endif
