/* Owns: the monotonic clock that every deadline is made on, the wall clock for
 * dates in headers, and jitter's random numbers.
 * Must not: keep global state; a generator belongs to its engine.
 */
#ifndef GN_CLOCK_H
#define GN_CLOCK_H

#include <stdint.h>

#define GN_NEVER INT64_MAX

struct gn_random {
  uint64_t state; /* never 0 once seeded */
};

int64_t gn_now_ms(void);   /* monotonic, goes on during suspend if it can */
double gn_now(void);       /* the same in seconds */
double gn_wall_time(void); /* seconds since 1970, with a fraction */

void gn_random_seed(struct gn_random *r); /* from the system */
double gn_random_next(struct gn_random *r); /* [0, 1) */

#endif
