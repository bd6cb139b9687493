/* Owns: the queue of events of one waiter. Must not: touch works; closing asks
 * the engine to cancel them.
 */
#include "mailbox.h"

#include "alloc.h"
#include "doorbell.h"
#include "engine.h"
#include "work.h"

#define WAITING_BYTES 64 /* events, beyond which no more of bytes are kept */

void gn_event_free(struct gn_event *event) {
  if (!event)
    return;
  gn_result_free(event->result);
  gn_traffic_free(event->traffic);
  gn_batch_free(event->batch);
  gn_free(event);
}

struct gn_mailbox *gn_mailbox_new(struct gn_engine *e) {
  struct gn_mailbox *m = gn_alloc_zero(sizeof *m);
  if (!m)
    return NULL;
  gn_engine_ref(e);
  m->engine = e;
  atomic_init(&m->refs, 1);
  atomic_init(&m->count, 0);
  gn_engine_enrol(e, m);
  return m;
}

static void free_all(struct gn_event *events) {
  while (events) {
    struct gn_event *event = events;
    events = event->next;
    gn_event_free(event);
  }
}

static void drop(struct gn_mailbox *m) {
  struct gn_engine *e = m->engine;
  free_all(m->head);
  gn_free(m);
  gn_engine_unref(e);
}

void gn_mailbox_release(struct gn_mailbox *m) {
  if (atomic_fetch_sub(&m->refs, 1) == 1)
    drop(m);
}

void gn_mailbox_close(struct gn_mailbox *m) {
  struct gn_event *events;
  gn_engine_cancel_mailbox(m->engine, m);
  gn_engine_lock(m->engine);
  gn_engine_strike(m->engine, m);
  m->closed = true;
  events = m->head;
  m->head = m->tail = NULL;
  m->count = 0;
  gn_engine_unlock(m->engine);
  free_all(events);
  gn_mailbox_release(m);
}

/* Mostly there is nothing yet; what comes this very moment, the next look
 * finds. */
static bool is_empty(struct gn_mailbox *m) {
  return atomic_load_explicit(&m->count, memory_order_acquire) == 0;
}

struct gn_event *gn_mailbox_take(struct gn_mailbox *m) {
  struct gn_event *event;
  if (is_empty(m))
    return NULL;
  gn_engine_lock(m->engine);
  event = m->head;
  if (event) {
    m->head = event->next;
    if (!m->head)
      m->tail = NULL;
    m->count--;
    if (event->type == GN_EVENT_LOG)
      m->logs--;
    event->next = NULL;
  }
  gn_engine_unlock(m->engine);
  return event;
}

bool gn_mailbox_peek(struct gn_mailbox *m, struct gn_event *copy) {
  bool any;
  if (is_empty(m))
    return false;
  gn_engine_lock(m->engine);
  any = m->head != NULL;
  if (any)
    *copy = *m->head;
  gn_engine_unlock(m->engine);
  return any;
}

int gn_mailbox_subscribe(struct gn_mailbox *m) {
  int rc = 0;
  if (gn_engine_is_closed(m->engine))
    return 0;
  gn_engine_lock(m->engine);
  if (!m->head && !gn_engine_is_closed(m->engine))
    rc = gn_doorbell_subscribe(m) ? 1 : -1;
  gn_engine_unlock(m->engine);
  return rc;
}

size_t gn_mailbox_pending(struct gn_mailbox *m) {
  return atomic_load_explicit(&m->count, memory_order_acquire);
}

void gn_mailbox_drop_pages(struct gn_mailbox *m, uint64_t id) {
  struct gn_event **link = &m->head, *dropped = NULL;
  gn_engine_lock(m->engine);
  m->tail = NULL;
  while (*link) {
    struct gn_event *event = *link;
    if (event->id == id &&
        (event->type == GN_EVENT_PAGE || event->type == GN_EVENT_ROWS)) {
      *link = event->next;
      event->next = dropped;
      dropped = event;
      m->count--;
    } else {
      m->tail = event;
      link = &event->next;
    }
  }
  gn_engine_unlock(m->engine);
  free_all(dropped);
}

/* With the lock held: whether this one has to go. */
static bool is_too_much(struct gn_mailbox *m, const struct gn_event *event) {
  if (m->closed || event->type != GN_EVENT_LOG)
    return m->closed;
  if (m->logs == GN_LOGS_MAX) {
    m->dropped++;
    return true;
  }
  m->logs++;
  return false;
}

/* ended: the work whose end it is, or NULL. */
static void post(struct gn_mailbox *m, struct gn_event *event,
                 struct gn_work *ended) {
  struct gn_bell *waiters;
  gn_engine_lock(m->engine);
  if (ended)
    gn_engine_delist(m->engine, ended);
  if (is_too_much(m, event)) {
    gn_engine_unlock(m->engine);
    gn_event_free(event);
    return;
  }
  event->dropped = m->dropped;
  m->dropped = 0;
  if (m->tail)
    m->tail->next = event;
  else
    m->head = event;
  m->tail = event;
  m->count++;
  waiters = gn_engine_posted(m->engine, m);
  gn_engine_unlock(m->engine);
  gn_doorbell_ring(waiters);
}

int gn_work_init(struct gn_work *w, const struct gn_work_ops *ops,
                 struct gn_engine *e, struct gn_mailbox *m,
                 struct gn_policy *p, bool spare, struct gn_error *err) {
  w->done = gn_alloc_zero(sizeof *w->done);
  w->spare = spare ? gn_result_new() : NULL;
  if (!w->done || (spare && !w->spare)) {
    gn_event_free(w->done);
    gn_result_free(w->spare);
    return gn_error_memory(err);
  }
  w->ops = ops;
  w->engine = e;
  w->policy = gn_policy_ref(p);
  w->mailbox = m;
  atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
  return 0;
}

void gn_work_release(struct gn_work *w) {
  struct gn_mailbox *m = w->mailbox;
  gn_event_free(w->done);
  gn_result_free(w->spare);
  gn_policy_unref(w->policy);
  w->spare = NULL;
  w->done = NULL;
  w->policy = NULL;
  w->mailbox = NULL;
  if (m)
    gn_mailbox_release(m);
}

bool gn_work_take_credit(struct gn_work *w) {
  bool may;
  gn_engine_lock(w->engine);
  may = w->credits > 0;
  if (may)
    w->credits--;
  w->waiting = !may;
  gn_engine_unlock(w->engine);
  return may;
}

static void name(struct gn_event *event, const struct gn_work *w,
                 enum gn_event_type type) {
  event->id = w->id;
  event->tag = w->tag;
  event->type = type;
}

static struct gn_event *event_of(const struct gn_work *w,
                                 enum gn_event_type type) {
  struct gn_event *event = gn_alloc_zero(sizeof *event);
  if (event)
    name(event, w, type);
  return event;
}

int gn_work_post(struct gn_work *w, enum gn_event_type type,
                 struct gn_result *result) {
  struct gn_event *event = event_of(w, type);
  if (!event) {
    gn_result_free(result);
    return -1;
  }
  event->result = result;
  post(w->mailbox, event, NULL);
  return 0;
}

int gn_work_post_traffic(struct gn_work *w, enum gn_event_type type,
                         struct gn_traffic *traffic) {
  struct gn_event *event = traffic ? event_of(w, type) : NULL;
  if (!event) {
    gn_traffic_free(traffic);
    if (type == GN_EVENT_REQUEST)
      return -1;
    gn_engine_lock(w->engine);
    w->mailbox->dropped++;
    gn_engine_unlock(w->engine);
    return -1;
  }
  event->traffic = traffic;
  post(w->mailbox, event, NULL);
  return 0;
}

int gn_work_post_rows(struct gn_work *w, struct gn_batch *batch) {
  struct gn_event *event = event_of(w, GN_EVENT_ROWS);
  if (!event) {
    gn_batch_free(batch);
    return -1;
  }
  event->batch = batch;
  post(w->mailbox, event, NULL);
  return 0;
}

int gn_work_post_progress(struct gn_work *w, unsigned pending,
                          unsigned finished, unsigned polls) {
  struct gn_event *event = event_of(w, GN_EVENT_PROGRESS);
  if (!event)
    return -1;
  event->pending = pending;
  event->finished = finished;
  event->polls = polls;
  post(w->mailbox, event, NULL);
  return 0;
}

void gn_work_post_bytes(struct gn_work *w, uint64_t bytes, int64_t total) {
  struct gn_event *event = NULL;
  if (gn_mailbox_pending(w->mailbox) < WAITING_BYTES)
    event = event_of(w, GN_EVENT_PROGRESS);
  if (!event)
    return;
  event->bytes = bytes;
  event->total = total;
  post(w->mailbox, event, NULL);
}

void gn_work_post_done(struct gn_work *w, struct gn_result *result) {
  struct gn_event *event = w->done;
  w->done = NULL;
  name(event, w, GN_EVENT_DONE);
  event->result = result;
  post(w->mailbox, event, w);
}

void gn_work_fail(struct gn_work *w, struct gn_result *result,
                  const struct gn_error *err) {
  if (!result) {
    result = w->spare;
    w->spare = NULL;
  }
  result->error = *err;
  gn_work_finish(w, result);
}
