/* Owns: a single request as a work. Must not: outlive its exchange.
 */
#include "call.h"

#include "alloc.h"
#include "exchange.h"

#include <string.h>

struct call {
  struct gn_work work;           /* first, so that one is the other */
  struct gn_exchange exchange;   /* the request */
};

static void on_done(struct gn_exchange *x) {
  struct call *c = x->owner;
  gn_work_finish(&c->work, gn_exchange_take_result(x));
}

static void on_bytes(void *owner, uint64_t bytes, int64_t total) {
  gn_work_post_bytes(&((struct call *)owner)->work, bytes, total);
}

static void call_start(struct gn_work *w) {
  gn_exchange_start(&((struct call *)w)->exchange);
}

static void call_cancel(struct gn_work *w, const char *why) {
  gn_exchange_cancel(&((struct call *)w)->exchange, why);
}

/* Only rows wait for credit. */
static void call_advance(struct gn_work *w) {
  gn_rows_advance(((struct call *)w)->exchange.rows);
}

static void call_destroy(struct gn_work *w) {
  struct call *c = (struct call *)w;
  gn_exchange_destroy(&c->exchange);
  gn_work_release(w);
  gn_free(c);
}

static const struct gn_work_ops call_ops = {
  call_start, call_cancel, call_advance, call_destroy,
};

struct gn_work *gn_call_new(struct gn_engine *e, struct gn_mailbox *m,
                            struct gn_policy *p, struct gn_request *r,
                            struct gn_error *err) {
  struct call *c = gn_alloc(sizeof *c);
  if (!c) {
    gn_request_free(r);
    gn_error_memory(err);
    return NULL;
  }
  memset(&c->work, 0, sizeof c->work);
  if (gn_exchange_init(&c->exchange, e, r, p, on_done, c, err) != 0)
    goto fail;
  if (gn_work_init(&c->work, &call_ops, e, m, p, false, err) != 0) {
    gn_exchange_destroy(&c->exchange);
    goto fail;
  }
  if (r->progress && c->exchange.file) {
    c->exchange.file->progress = on_bytes;
    c->exchange.file->owner = c;
  }
  if (c->exchange.rows)
    c->work.credits = gn_rows_credits(e);
  c->exchange.work = &c->work;
  return &c->work;
fail:
  gn_free(c);
  return NULL;
}
