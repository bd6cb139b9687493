/* Owns: when an engine is at work, and how a fork has it at rest meanwhile.
 * Must not: make a fork wait for ever; one that comes from within the work
 * itself (a signal's handler) would.
 */
#include "engine_state.h"

#include "platform.h"

#define PATIENCE_MS 1000

void gn_engine_work_begin(struct gn_engine *e) {
  gn_engine_lock(e);
  while (e->forking)
    pthread_cond_wait(&e->changed, &e->lock);
  e->at_work = true;
}

void gn_engine_work_end(struct gn_engine *e) {
  gn_engine_lock(e);
  e->at_work = false;
  if (e->untold)
    gn_engine_tell(e);
  if (e->forking)
    pthread_cond_broadcast(&e->changed);
  gn_engine_unlock(e);
}

/* The lock is kept, so that the lists are whole in the child, too. */
void gn_engine_pause(void *engine) {
  struct gn_engine *e = engine;
  int64_t until = gn_now_ms() + PATIENCE_MS;
  gn_engine_lock(e);
  e->forking = true;
  while (e->at_work &&
         gn_cond_wait_until(&e->changed, &e->lock, until)) {
  }
}

void gn_engine_resume(void *engine) {
  struct gn_engine *e = engine;
  e->forking = false;
  pthread_cond_broadcast(&e->changed);
  gn_engine_unlock(e);
}
