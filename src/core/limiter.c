/* Owns: the arithmetic of the generic cell rate algorithm. Must not: read a
 * clock or lock; the policy that holds a limiter does.
 */
#include "limiter.h"

#include "alloc.h"

#include <string.h>

void gn_limiter_init(struct gn_limiter *l, double rate, double burst) {
  memset(l, 0, sizeof *l);
  l->interval = rate > 0 ? 1.0 / rate : 0;
  l->slack = l->interval * (burst > 1 ? burst - 1 : 0);
}

void gn_limiter_destroy(struct gn_limiter *l) {
  gn_free(l->freed);
  gn_limiter_forget(l);
}

void gn_limiter_forget(struct gn_limiter *l) {
  l->freed = NULL;
  l->freed_count = l->freed_capacity = 0;
}

static void drop_first(struct gn_limiter *l, size_t n) {
  l->freed_count -= n;
  if (n > 0 && l->freed_count > 0)
    memmove(l->freed, l->freed + n, l->freed_count * sizeof *l->freed);
}

/* The earliest slot that was given back and has not passed, or GN_NO_SLOT. */
static double take_freed(struct gn_limiter *l, double now) {
  size_t passed = 0;
  double slot;
  while (passed < l->freed_count && l->freed[passed] < now)
    passed++;
  drop_first(l, passed);
  if (l->freed_count == 0)
    return GN_NO_SLOT;
  slot = l->freed[0];
  drop_first(l, 1);
  return slot;
}

double gn_limiter_reserve(struct gn_limiter *l, double now, double *slot) {
  double at;
  *slot = GN_NO_SLOT;
  if (l->interval <= 0)
    return l->pause > now ? l->pause - now : 0;
  *slot = take_freed(l, now);
  if (*slot < 0) {
    if (l->arrival < now)
      l->arrival = now;
    *slot = l->arrival;
    l->arrival += l->interval;
  }
  at = *slot - l->slack;
  if (at < l->pause)
    at = l->pause;
  return at > now ? at - now : 0;
}

/* Slots at the end of the line need not be remembered: the line gets shorter,
 * to the very instants it had before. */
static bool shorten(struct gn_limiter *l, double slot) {
  if (slot + l->interval < l->arrival)
    return false;
  l->arrival = slot;
  while (l->freed_count > 0 &&
         l->freed[l->freed_count - 1] + l->interval >= l->arrival)
    l->arrival = l->freed[--l->freed_count];
  return true;
}

void gn_limiter_release(struct gn_limiter *l, double slot) {
  size_t i = l->freed_count;
  /* One from before a pause does not count any more. */
  if (slot < 0 || slot < l->pause + l->slack || shorten(l, slot))
    return;
  if (l->freed_count == l->freed_capacity) {
    size_t capacity = l->freed_capacity ? l->freed_capacity * 2 : 16;
    double *grown = gn_realloc(l->freed, capacity * sizeof *grown);
    if (!grown)
      return;
    l->freed = grown;
    l->freed_capacity = capacity;
  }
  for (; i > 0 && l->freed[i - 1] > slot; i--)
    l->freed[i] = l->freed[i - 1];
  l->freed[i] = slot;
  l->freed_count++;
}

void gn_limiter_pause(struct gn_limiter *l, double until) {
  size_t before = 0;
  if (until <= l->pause)
    return;
  l->pause = until;
  if (l->interval <= 0)
    return;
  if (l->arrival < until + l->slack)
    l->arrival = until + l->slack;
  while (before < l->freed_count && l->freed[before] < until + l->slack)
    before++;
  drop_first(l, before);
}

bool gn_limiter_paused(const struct gn_limiter *l, double now) {
  return now < l->pause;
}
