/* Owns: handing work to an engine from any thread, and asking it to end or to
 * go on: lists and flags behind the engine's lock, and a wake-up.
 * Must not: run anything; the step does.
 */
#include "call.h"
#include "engine_state.h"

/* One that is awake looks before it sleeps. */
void gn_engine_wake(struct gn_engine *e) {
  e->woken = true;
  if (e->asleep)
    gn_descriptor_signal(&e->wake);
  e->asleep = false;
  gn_turn_call(e);
}

/* Takes the work; its id, or 0 if the engine is closed. turn, if not NULL:
 * whether the caller has to step. */
static uint64_t accept_work(struct gn_engine *e, struct gn_work *w, bool *turn,
                            struct gn_error *err) {
  bool open;
  uint64_t id = 0;
  if (!w)
    return 0;
  gn_engine_lock(e);
  open = !e->stopping;
  if (open) {
    bool borrowed = turn && gn_turn_borrow(e);
    id = w->id = ++e->next_id;
    w->next = NULL;
    if (e->incoming_tail)
      e->incoming_tail->next = w;
    else
      e->incoming = w;
    e->incoming_tail = w;
    if (borrowed)
      *turn = true;
    else
      gn_engine_wake(e);
  }
  gn_engine_unlock(e);
  if (!open) {
    w->ops->destroy(w);
    gn_error_set(err, GN_CANCELLED, "closed", "the engine is closed");
  }
  return id;
}

static bool refuses(struct gn_engine *e, struct gn_error *err) {
  if (!gn_engine_is_closed(e))
    return false;
  gn_error_set(err, GN_CANCELLED, "closed", "the engine is closed");
  return true;
}

uint64_t gn_engine_submit_tagged(struct gn_engine *e, struct gn_mailbox *m,
                                 uint64_t tag, struct gn_policy *p,
                                 struct gn_request *r, struct gn_error *err) {
  struct gn_work *w;
  if (refuses(e, err)) {
    gn_request_free(r);
    return 0;
  }
  w = gn_call_new(e, m, p, r, err);
  if (w)
    w->tag = tag;
  return accept_work(e, w, NULL, err);
}

uint64_t gn_engine_submit(struct gn_engine *e, struct gn_mailbox *m,
                          struct gn_policy *p, struct gn_request *r,
                          struct gn_error *err) {
  return gn_engine_submit_tagged(e, m, 0, p, r, err);
}

uint64_t gn_engine_exchange(struct gn_engine *e, struct gn_mailbox *m,
                            struct gn_policy *p, struct gn_request *r,
                            int64_t ms, struct gn_error *err) {
  uint64_t id, seen = gn_engine_sequence(e);
  bool turn = false;
  if (refuses(e, err)) {
    gn_request_free(r);
    return 0;
  }
  id = accept_work(e, gn_call_new(e, m, p, r, err), &turn, err);
  if (turn) {
    gn_engine_drive(e, seen, ms);
    gn_turn_return(e);
  } else if (id) {
    gn_engine_wait(e, seen, ms);
  }
  return id;
}

uint64_t gn_engine_walk(struct gn_engine *e, struct gn_mailbox *m,
                        struct gn_policy *p, struct gn_request *r,
                        struct gn_pager_rules *rules, struct gn_error *err) {
  if (refuses(e, err)) {
    gn_request_free(r);
    gn_pager_rules_free(rules);
    return 0;
  }
  return accept_work(e, gn_pager_new(e, m, p, r, rules, err), NULL, err);
}

uint64_t gn_engine_poll(struct gn_engine *e, struct gn_mailbox *m,
                        struct gn_policy *p, struct gn_request *r,
                        struct gn_poller_rules *rules, struct gn_error *err) {
  if (refuses(e, err)) {
    gn_request_free(r);
    gn_poller_rules_free(rules);
    return 0;
  }
  return accept_work(e, gn_poller_new(e, m, p, r, rules, err), NULL, err);
}

static struct gn_work *find(struct gn_work *w, uint64_t id) {
  while (w && w->id != id)
    w = w->next;
  return w;
}

/* With the lock held: true if the step has to look at the work. */
static bool mark(struct gn_work *w, bool cancel) {
  if (cancel)
    w->cancelled = true;
  else
    w->credits++;
  /* A walk that is busy finds its credit when it has a use for it. */
  return cancel || w->waiting;
}

static void flag(struct gn_engine *e, uint64_t id, bool cancel) {
  struct gn_work *w;
  if (gn_engine_is_foreign(e))
    return;
  gn_engine_lock(e);
  w = find(e->works, id);
  if (!w)
    w = find(e->incoming, id);
  if (w && !e->stopping && mark(w, cancel)) {
    e->attention = true;
    gn_engine_wake(e);
  }
  gn_engine_unlock(e);
}

void gn_engine_cancel(struct gn_engine *e, uint64_t id) {
  flag(e, id, true);
}

void gn_engine_advance(struct gn_engine *e, uint64_t id) {
  flag(e, id, false);
}

static bool flag_all(struct gn_work *w, const struct gn_mailbox *m) {
  bool any = false;
  for (; w; w = w->next)
    if (w->mailbox == m)
      any = w->cancelled = true;
  return any;
}

void gn_engine_cancel_mailbox(struct gn_engine *e, struct gn_mailbox *m) {
  bool any;
  if (gn_engine_is_foreign(e))
    return;
  gn_engine_lock(e);
  /* Each of its works has a reference beside the owner's: mostly there is none
   * left, and the lists of all others need not be looked through. */
  any = m->refs > 1 && flag_all(e->works, m);
  any = (m->refs > 1 && flag_all(e->incoming, m)) || any;
  if (any && !e->stopping) {
    e->attention = true;
    gn_engine_wake(e);
  }
  gn_engine_unlock(e);
}
