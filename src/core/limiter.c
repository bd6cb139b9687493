/* Owns: the arithmetic of the generic cell rate algorithm. Must not: read a
 * clock or lock; the policy that holds a limiter does.
 */
#include "limiter.h"

void gn_limiter_init(struct gn_limiter *l, double rate, double burst) {
  l->interval = rate > 0 ? 1.0 / rate : 0;
  l->slack = l->interval * (burst > 1 ? burst - 1 : 0);
  l->arrival = 0;
}

double gn_limiter_reserve(struct gn_limiter *l, double now) {
  double at;
  if (l->interval <= 0)
    return 0;
  if (l->arrival < now)
    l->arrival = now;
  at = l->arrival - l->slack;
  l->arrival += l->interval;
  return at > now ? at - now : 0;
}
