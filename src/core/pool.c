/* Owns: what the engine's step lends to works and exchanges: attempts with
 * handles that are set up, the wire, timers, jitter, counters.
 * Must not: be called by another thread, but for the counters.
 */
#include "engine_state.h"

#include "attempt.h"

struct gn_attempt *gn_engine_attempt_take(struct gn_engine *e,
                                          uint64_t wanted) {
  struct gn_attempt **link = &e->idle, *a;
  if (!e->idle)
    return gn_attempt_new();
  while (wanted && *link && (*link)->setup.serial != wanted)
    link = &(*link)->next;
  if (!*link)
    link = &e->idle;
  a = *link;
  *link = a->next;
  e->idle_count--;
  return a;
}

void gn_engine_attempt_give(struct gn_engine *e, struct gn_attempt *a) {
  gn_attempt_release(a);
  if (e->idle_count >= e->sockets.kept) {
    gn_attempt_free(a);
    return;
  }
  a->next = e->idle;
  e->idle = a;
  e->idle_count++;
}

void gn_engine_free_attempts(struct gn_engine *e) {
  struct gn_attempt *a;
  while ((a = e->idle)) {
    e->idle = a->next;
    gn_attempt_free(a);
  }
  e->idle_count = 0;
}

int gn_engine_wire_add(struct gn_engine *e, CURL *easy) {
  return gn_sockets_add(&e->sockets, easy);
}

void gn_engine_wire_remove(struct gn_engine *e, CURL *easy) {
  gn_sockets_remove(&e->sockets, easy);
}

struct gn_timers *gn_engine_timers(struct gn_engine *e) {
  return &e->timers;
}

struct gn_random *gn_engine_random(struct gn_engine *e) {
  return &e->random;
}

struct gn_counters *gn_engine_counters(struct gn_engine *e) {
  return e->counters;
}

void gn_engine_count(struct gn_engine *e, enum gn_count what, int64_t n) {
  gn_counters_add(e->counters, what, n);
}

void gn_engine_stats(struct gn_engine *e, struct gn_stats *out) {
  gn_counters_read(e->counters, out);
}
