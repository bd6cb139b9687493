/* Owns: whose turn it is to step a threaded engine: its thread's, or, where it
 * has nothing else to do, that of a caller who waits for a request of its own.
 * Must not: step.
 */
#include "engine_state.h"

/* With the lock held, and nobody in the step: there is nothing to look at, and
 * nothing to wait for. */
static bool is_idle(const struct gn_engine *e) {
  return !e->works && !e->incoming && !e->woken && !e->attention &&
         !e->supplies && !e->doorbell &&
         gn_timer_next(&e->timers) == GN_NEVER &&
         gn_sockets_idle(&e->sockets);
}

bool gn_turn_wait(struct gn_engine *e) {
  bool go;
  gn_engine_lock(e);
  while (e->lent || (!e->stopping && is_idle(e))) {
    e->resting = true;
    pthread_cond_wait(&e->called, &e->lock);
  }
  e->resting = false;
  go = !e->stopping;
  gn_engine_unlock(e);
  return go;
}

bool gn_turn_borrow(struct gn_engine *e) {
  if (!e->resting || e->lent || !is_idle(e))
    return false;
  e->lent = true;
  return true;
}

void gn_turn_return(struct gn_engine *e) {
  gn_engine_lock(e);
  e->lent = false;
  if (e->stopping || !is_idle(e))
    pthread_cond_signal(&e->called);
  gn_engine_unlock(e);
}

/* Who has borrowed the turn gives it back to somebody who looks. */
void gn_turn_call(struct gn_engine *e) {
  if (e->resting && !e->lent)
    pthread_cond_signal(&e->called);
}
